//! What a client sends at once. Each item keeps its number from decoding to answer, whoever refuses it on the way.
use crate::{error::Error, error::Result, message::Message};
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
}

impl Batch {
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
    /// Copies only if somebody else holds it too.
    pub fn edit(&mut self, at: usize) -> Option<&mut Message> {
        self.messages.get_mut(at).map(Arc::make_mut)
    }
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
