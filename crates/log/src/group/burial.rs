//! A message on its way to the dead letters, and who waits for that.
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};
use tidegate_core::{error::Error, settle::Done};

/// One message that becomes a dead letter.
#[derive(Debug)]
pub(crate) struct Burial {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) attempts: u32,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) error: Option<Box<str>>,
    pub(crate) confirm: Option<Arc<Confirm>>,
}
/// Somebody who answers for several messages: told when all of them are durable. Dropped instead, he learns that they come again.
#[derive(Debug)]
pub(crate) struct Confirm(Mutex<Option<Done>>);
impl Burial {
    /// Whoever answers for it need not wait until it can be done: it is tried again, and a restart forgets that it was rejected.
    pub(crate) fn not_yet(&mut self, error: &Error) {
        if let Some(confirm) = self.confirm.take() {
            confirm.fail(error.again());
        }
    }
}
impl Confirm {
    pub(super) fn new(done: Done) -> Self {
        Self(Mutex::new(Some(done)))
    }
    /// One part is durable.
    pub(crate) fn one(self: Arc<Self>) {
        if let Some(last) = Arc::into_inner(self)
            && let Some(done) = last.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        {
            done.resolve(Ok(()));
        }
    }
    /// One part could not be written, which may be another time.
    pub(crate) fn fail(&self, error: Error) {
        if let Some(done) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            done.resolve(Err(error));
        }
    }
}
