//! The log without its threads: a test drives commit, mover and herald itself, in any order.
use crate::{
    Error, Found, Hooks, Log, Options,
    commit::{Committer, Step},
    disk::Disk,
    log::start,
    mover::Mover,
    shared::Shared,
};
use std::{sync::Arc, time::Duration};

/// What the threads would do.
pub struct Steps {
    shared: Arc<Shared>,
    committer: Committer,
    mover: Mover,
}
impl Steps {
    /// Like [`Log::open`], without threads.
    pub fn open(disk: Arc<dyn Disk>, options: &Options, hooks: Hooks) -> Result<(Log, Self, Found), Error> {
        let (shared, committer, mover, found) = start(disk, options, hooks)?;
        let steps = Self {
            shared: shared.clone(),
            committer,
            mover,
        };
        Ok((Log::of(shared), steps, found))
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
    /// Tells what has been committed.
    pub fn herald(&self) {
        self.shared.herald.step(&self.shared);
    }
}
