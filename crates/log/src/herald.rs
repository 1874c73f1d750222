//! Tells who waits: receipts first, then readers and the hub, then those who wait for room. One wake-up per frame.
use crate::{Committed, group::Confirm, shared::Shared, stream::Stream};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{
    error::Result,
    receipt::{Keep, Kept},
};
use tokio::sync::Notify;

/// What one frame brought.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) answers: Vec<(Keep, Result<Kept>)>,
    pub(crate) streams: Vec<Arc<Stream>>,
    pub(crate) committed: Vec<Committed>,
    pub(crate) permits: u32,
    /// Settlements that are durable.
    pub(crate) confirmed: Vec<Arc<Confirm>>,
}
/// Bounded by the intake's budget: what it holds is released only here.
#[derive(Default)]
pub(crate) struct Herald {
    packages: Mutex<State>,
    wake: Notify,
}
#[derive(Default)]
struct State {
    packages: Vec<Package>,
    closed: bool,
}
impl Herald {
    pub(crate) fn send(&self, package: Package) {
        self.state().packages.push(package);
        self.wake.notify_one();
    }
    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }
    /// Tells what has come so far; whether more can come.
    pub(crate) fn step(&self, shared: &Shared) -> bool {
        let (packages, closed) = {
            let mut state = self.state();
            (std::mem::take(&mut state.packages), state.closed)
        };
        for package in packages {
            for (keep, kept) in package.answers {
                keep.resolve(kept);
            }
            package.confirmed.into_iter().for_each(Confirm::one);
            for stream in package.streams {
                stream.grown.notify_waiters();
            }
            if !package.committed.is_empty() {
                (shared.hooks.on_committed)(&package.committed);
            }
            shared.intake.release(package.permits);
        }
        !closed
    }
    /// Ends after [`Herald::close`].
    pub(crate) async fn run(shared: Arc<Shared>) {
        while shared.herald.step(&shared) {
            shared.herald.wake.notified().await;
        }
        // Readers at the end of their streams learn that nothing comes any more.
        shared.catalog.all().iter().for_each(|stream| stream.grown.notify_waiters());
    }
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
