//! One record. Shared as `Arc<Message>`, never copied: rules, producers and every subscriber hold the same one.
use crate::{headers::Headers, topic::Topic};
use bytes::Bytes;

/// Payload, name and place of one record.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// Decides the partition, and the order of a pump.
    pub key: Option<Bytes>,
    /// The sender's name for it, at most [`Message::MAX_ID`] bytes; deduplicated per stream. `None` is shown as its position.
    pub id: Option<Bytes>,
    /// What the sender said beside the payload.
    pub headers: Headers,
    /// The bytes that were sent, never changed on the way.
    pub payload: Bytes,
    /// Microseconds since the epoch; 0 until the endpoint sets it. A client's time never gets here.
    pub at: i64,
    /// Most have none: one word.
    pub timing: Option<Box<Timing>>,
}
/// Microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// After this nobody needs it; `None` = it never expires.
    pub expires: Option<i64>,
    /// Not to be delivered before; `None` = at once.
    pub due: Option<i64>,
}
impl Message {
    /// The longest id, in bytes.
    pub const MAX_ID: usize = 255;

    /// A message with nothing but topic and payload; the endpoint sets its time.
    pub fn new(topic: Topic, payload: impl Into<Bytes>) -> Self {
        Self {
            topic,
            key: None,
            id: None,
            headers: Headers::EMPTY,
            payload: payload.into(),
            at: 0,
            timing: None,
        }
    }
    /// The same in memory of its own: a slice keeps the whole buffer it was cut from, too much for what waits long.
    #[must_use]
    pub fn detached(&self) -> Self {
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        Self {
            topic: Topic::from(&*self.topic),
            key: self.key.as_ref().map(own),
            id: self.id.as_ref().map(own),
            headers: self.headers.detached(),
            payload: own(&self.payload),
            at: self.at,
            timing: self.timing.clone(),
        }
    }
    /// What budgets and windows count.
    pub fn size(&self) -> usize {
        let optional = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        self.topic.len() + optional(&self.key) + optional(&self.id) + self.headers.as_block().len() + self.payload.len()
    }
}
