//! The log without its threads: a test drives commit, mover and herald itself, in any order.
use crate::{
    Error, Found, Hooks, Log, Options,
    commit::{Committer, Step},
    dead::Undertaker,
    disk::Disk,
    log::start,
    mover::Mover,
    shared::Shared,
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

/// What the threads would do.
pub struct Steps {
    shared: Arc<Shared>,
    committer: Committer,
    mover: Mover,
    undertaker: Pin<Box<dyn Future<Output = ()>>>,
}
impl Steps {
    /// Like [`Log::open`], without threads.
    pub fn open(disk: Arc<dyn Disk>, options: &Options, hooks: Hooks) -> Result<(Log, Self, Found), Error> {
        let (shared, committer, mover, found) = start(disk, options, hooks)?;
        let steps = Self {
            shared: shared.clone(),
            committer,
            mover,
            undertaker: Box::pin(Undertaker::run(shared)),
        };
        Ok((Log::of(steps.shared.clone()), steps, found))
    }
    /// One frame of what waits; whether there was any.
    pub fn commit(&mut self) -> bool {
        match self.committer.step(Duration::ZERO) {
            Step::Idle => false,
            Step::Committed => true,
            Step::Blocked => {
                self.mover.step();
                true
            }
        }
    }
    /// What a silence brings.
    pub fn seal(&mut self) {
        self.committer.seal(Duration::ZERO);
    }
    /// One step of the mover; whether there was any work.
    pub fn mover(&mut self) -> bool {
        self.mover.step()
    }
    /// What the mover does every half second.
    pub fn tick(&mut self) {
        self.mover.tick();
    }
    /// Goes on carrying dead letters.
    pub fn bury(&mut self) {
        let _runs_for_ever = self.undertaker.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    /// Tells what has been committed.
    pub fn herald(&self) {
        self.shared.herald.step(&self.shared);
    }
}
