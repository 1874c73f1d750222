//! What a consumer hands over: messages, what is missing before them, and the duty to settle.
use crate::{
    headers::Headers,
    message::Message,
    position::{Gap, Position},
    settle::{Ack, Outcome},
};
use std::sync::Arc;
use tokio::time::Instant;

/// One message as a consumer handed it over.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message itself, shared with everybody who reads it.
    pub message: Arc<Message>,
    /// Where it sits; `None` when the endpoint stores nothing.
    pub position: Option<Position>,
    /// From 1.
    pub attempt: u32,
    /// Names it in the delivery's [`Ack`]; survives filtering.
    pub slot: u32,
    /// What the endpoint tells beside the message: a broker's own place and properties. Mostly empty.
    pub metadata: Headers,
}

/// A gap lies before the items: a consumer that meets one ends the delivery and starts the next with it.
#[must_use = "dropping a delivery gives the messages back"]
#[derive(Debug)]
pub struct Delivery {
    gap: Option<Box<Gap>>,
    items: Vec<Received>,
    ack: Ack,
    all_back: bool,
    until: Option<Instant>,
}
impl Delivery {
    /// A delivery with nothing missing before it. `ack` has one slot per item.
    pub fn new(items: Vec<Received>, ack: Ack) -> Self {
        Self {
            gap: None,
            items,
            ack,
            all_back: false,
            until: None,
        }
    }
    /// The same, before its time: only a consumer of an ordered group gets it so, and must not act on it before that moment.
    pub fn waiting_until(mut self, moment: Instant) -> Self {
        self.until = Some(moment);
        self
    }
    /// Until when none of it may be acted on; it is given back until then, or put aside. Most may be at once.
    pub fn waits_until(&self) -> Option<Instant> {
        self.until
    }
    /// The same, with whatever was given back and was due when it was made: in it, or handed over before it.
    pub fn with_all_back(mut self, all: bool) -> Self {
        self.all_back = all;
        self
    }
    /// Whether nothing that was given back was due behind it. `false` says nothing.
    pub fn has_all_back(&self) -> bool {
        self.all_back
    }
    /// The same, with something missing before its first item. There may be no items.
    pub fn with_gap(mut self, gap: Gap) -> Self {
        self.gap = Some(Box::new(gap));
        self
    }
    /// What is missing before the items.
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_deref()
    }
    /// The items, in the order they were read.
    pub fn items(&self) -> &[Received] {
        &self.items
    }
    /// For policies: `Arc::make_mut` on the message copies only if somebody else holds it.
    pub fn items_mut(&mut self) -> &mut [Received] {
        &mut self.items
    }
    /// What `keep` refuses was filtered on purpose: settled as done.
    pub fn retain(&mut self, mut keep: impl FnMut(&Received) -> bool) {
        let ack = &mut self.ack;
        self.items.retain(|r| {
            let kept = keep(r);
            if !kept {
                ack.settle(r.slot, Outcome::Ack);
            }
            kept
        });
    }
    /// Settles as done whatever is still open, and ends the delivery.
    pub fn accept(mut self) {
        self.ack.settle_all(Outcome::Ack);
    }
    /// Items and duty apart. The gap is dropped: ask [`Delivery::gap`] first.
    pub fn into_parts(self) -> (Vec<Received>, Ack) {
        (self.items, self.ack)
    }
}
