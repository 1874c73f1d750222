//! What a client sends at once. Each item keeps its number from decoding to answer, whoever refuses it on the way.
use crate::{error::Error, error::Result, headers::Headers, message::Message};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{ops::Deref, sync::Arc};

/// Derefs to the messages that are still in. Numbers are kept aside, and only once something was refused.
#[derive(Debug, Default)]
pub struct Batch {
    messages: SmallVec<[Arc<Message>; 1]>,
    refused: Option<Box<Refused>>,
}
/// What was taken out, and the numbers of what stayed.
#[derive(Debug, Default)]
pub struct Refused {
    pub(crate) stayed: Vec<u32>,
    pub(crate) failed: Vec<(u32, Error)>,
    pub(crate) converted: Vec<(u32, Bytes)>,
}

impl Batch {
    /// Adds a message under the next number.
    pub fn push(&mut self, message: impl Into<Arc<Message>>) {
        let number = self.items();
        if let Some(r) = &mut self.refused {
            r.stayed.push(number);
        }
        self.messages.push(message.into());
    }
    /// The next number goes to something that could not even be decoded.
    pub fn push_refused(&mut self, error: Error) {
        let number = self.items();
        self.refusals().failed.push((number, error));
    }
    /// Takes out what does not pass; the rest goes on.
    pub fn check(&mut self, mut pass: impl FnMut(&Message) -> Result<()>) {
        let mut at = 0;
        while let Some(message) = self.messages.get(at) {
            match pass(message) {
                Ok(()) => at += 1,
                Err(error) => {
                    let refused = self.refusals();
                    let number = refused.stayed.remove(at);
                    refused.failed.push((number, error));
                    self.messages.remove(at);
                }
            }
        }
    }
    /// Another payload takes the place of what was sent, and that is remembered under the item's number.
    pub fn convert(&mut self, at: usize, payload: Bytes, headers: Headers) {
        self.converted(at, payload.clone());
        if let Some(message) = self.edit(at) {
            message.payload = payload;
            message.headers = headers;
        }
    }
    /// Somewhere this payload is kept in the place of what was sent.
    pub fn converted(&mut self, at: usize, payload: Bytes) {
        let refused = self.refusals();
        if let Some(number) = refused.stayed.get(at).copied() {
            refused.converted.push((number, payload));
        }
    }
    /// Copies only if somebody else holds it too.
    pub fn edit(&mut self, at: usize) -> Option<&mut Message> {
        self.messages.get_mut(at).map(Arc::make_mut)
    }
    /// The bytes of what is still in, counted as [`Message::size`] counts.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|m| m.size()).sum()
    }
    /// How many numbers were given out, refused ones included.
    pub fn items(&self) -> u32 {
        (self.messages.len() + self.refused.as_ref().map_or(0, |r| r.failed.len())) as u32
    }
    /// The messages that are still in, each with its number.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Arc<Message>)> {
        let number = |at: usize| self.refused.as_ref().map_or(at as u32, |refused| refused.stayed[at]);
        self.messages.iter().enumerate().map(move |(at, message)| (number(at), message))
    }
    /// The messages that are still in, without their numbers. For a producer, once the refusals were taken out.
    pub fn into_messages(self) -> impl Iterator<Item = Arc<Message>> {
        self.messages.into_iter()
    }
    /// For `flow::publish`: what to join to the receipt of the rest.
    pub fn take_refused(&mut self) -> Option<Box<Refused>> {
        self.refused.take()
    }
    fn refusals(&mut self) -> &mut Refused {
        let stayed = self.messages.len() as u32;
        self.refused.get_or_insert_with(|| {
            Box::new(Refused {
                stayed: (0..stayed).collect(),
                failed: Vec::new(),
                converted: Vec::new(),
            })
        })
    }
}
impl Deref for Batch {
    type Target = [Arc<Message>];
    fn deref(&self) -> &[Arc<Message>] {
        &self.messages
    }
}
impl From<Message> for Batch {
    fn from(message: Message) -> Self {
        Self {
            messages: smallvec::smallvec![Arc::new(message)],
            refused: None,
        }
    }
}
impl<M: Into<Arc<Message>>> FromIterator<M> for Batch {
    fn from_iter<I: IntoIterator<Item = M>>(it: I) -> Self {
        Self {
            messages: it.into_iter().map(Into::into).collect(),
            refused: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Code, topic::Topic};
    use proptest::{collection::vec, prelude::*};

    fn message(payload: u8) -> Message {
        Message::new(Topic::from_static("t"), vec![payload])
    }
    fn refusal() -> Error {
        Error::client(Code::BadItem, "no")
    }
    proptest! {
        /// Whoever refuses what, in whichever order: a number stays with its item.
        #[test]
        fn numbers_never_shift(decoded in vec(any::<bool>(), 0..40), first in any::<u64>(), second in any::<u64>()) {
            let mut batch = Batch::default();
            for (number, good) in decoded.iter().enumerate() {
                if *good {
                    batch.push(message(number as u8));
                } else {
                    batch.push_refused(refusal());
                }
            }
            for mask in [first, second] {
                batch.check(|m| if mask & (1 << m.payload[0]) == 0 { Ok(()) } else { Err(refusal()) });
            }
            prop_assert_eq!(batch.items() as usize, decoded.len());
            for (number, message) in batch.numbered() {
                prop_assert_eq!(number, u32::from(message.payload[0]));
            }
            let stayed = batch.len();
            let failed = batch.take_refused().map_or(0, |r| r.failed.len());
            prop_assert_eq!(stayed + failed, decoded.len());
        }
    }
    #[test]
    fn an_edit_copies_only_what_is_shared() {
        let shared = Arc::new(message(1));
        let mut batch: Batch = [shared.clone()].into_iter().collect();
        batch.edit(0).unwrap().payload = vec![2].into();
        assert_eq!((shared.payload[0], batch[0].payload[0]), (1, 2));
    }
}
