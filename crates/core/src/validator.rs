//! What messages must look like. Implemented by `schema`; asked by streams on every way in, and by a policy of an API.
use crate::{
    error::{Code, Error, Fault, Result},
    message::Message,
};
use bytes::Bytes;
use std::sync::{Arc, LazyLock};
use tokio::sync::{Semaphore, oneshot};

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

/// Up to so many bytes are asked about where they are: some hundred microseconds. More of them would keep everybody else on that thread waiting.
pub const INLINE: usize = 64 << 10;
/// Asked at once about large messages, in the whole process: the other processors are for everybody else.
static LARGE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new((processors / 2).max(1)))
});

/// What validators say of messages, each by its place, asked beside the threads of requests. Cancel-safe: what nobody waits for any more
/// ends with the message that is being asked about.
pub async fn ask_aside(questions: Vec<(Arc<dyn Validator>, Arc<Message>)>) -> Result<impl Iterator<Item = Result<Option<Bytes>>>> {
    let gone = || Error::new(Code::Internal, Fault::Gateway, "a message could not be checked");
    let turn = LARGE.clone().acquire_owned().await.map_err(|_| gone())?;
    let (answer, answered) = oneshot::channel();
    let _detached = tokio::task::spawn_blocking(move || {
        let open = questions.iter().take_while(|_| !answer.is_closed());
        let said: Vec<_> = open.map(|(validator, message)| validator.check(message)).collect();
        drop(turn);
        answer.send(said)
    });
    Ok(answered.await.map_err(|_| gone())?.into_iter())
}
