//! What a consumer hands over: messages, what is missing before them, and the duty to settle.
use crate::{
    headers::Headers,
    message::Message,
    position::{Gap, Position},
    settle::{Ack, Outcome},
};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Received {
    pub message: Arc<Message>,
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
}
impl Delivery {
    pub fn new(items: Vec<Received>, ack: Ack) -> Self {
        Self { gap: None, items, ack }
    }
    pub fn with_gap(mut self, gap: Gap) -> Self {
        self.gap = Some(Box::new(gap));
        self
    }
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_deref()
    }
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
    pub fn accept(mut self) {
        self.ack.settle_all(Outcome::Ack);
    }
    pub fn into_parts(self) -> (Vec<Received>, Ack) {
        (self.items, self.ack)
    }
}
