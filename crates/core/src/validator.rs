//! What messages must look like. Implemented by `schema`; asked by streams on every way in, and by a policy of an API.
use crate::{error::Result, message::Message};
use bytes::Bytes;
use std::sync::Arc;

/// One schema, compiled, at one version. No I/O, so it never waits.
pub trait Validator: Send + Sync {
    /// `Ok(None)`: good as it is. `Ok(Some)`: good, and this is the payload to keep (JSON that became Protobuf).
    /// `Err`: code `SchemaViolation`, and the text says what was expected where.
    fn check(&self, message: &Message) -> Result<Option<Bytes>>;
}
/// What a stream asks of its messages.
#[derive(Clone)]
pub struct Required {
    /// The schema.
    pub validator: Arc<dyn Validator>,
    /// What happens to a message that does not match.
    pub on_failure: OnFailure,
}
/// What happens to a message that does not match its schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused, and the caller is told.
    #[default]
    Reject,
    /// It is refused, the caller is told, and it is kept as a dead letter.
    DeadLetter,
    /// It is taken; the failure is counted and told in the log.
    Warn,
}
impl OnFailure {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::DeadLetter => "dead_letter",
            Self::Warn => "warn",
        }
    }
    /// What that word means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Reject, Self::DeadLetter, Self::Warn]
            .into_iter()
            .find(|one| one.as_str() == word)
    }
}
