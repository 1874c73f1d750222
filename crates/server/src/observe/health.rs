//! Whether the node is alive, and whether it wants traffic.
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};
use tidegate_log::{Log, Status};

const RECOVERING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// Ready only between the end of recovery and the drain, and only while the disk takes what is published.
#[derive(Default)]
pub(crate) struct Health {
    phase: AtomicU8,
    log: OnceLock<Arc<Log>>,
}
impl Health {
    pub(crate) fn recovered(&self, log: Arc<Log>) {
        // Said once, by `boot`.
        let _again = self.log.set(log);
    }
    pub(crate) fn ready(&self) {
        self.phase.store(READY, Ordering::Release);
    }
    pub(crate) fn draining(&self) {
        self.phase.store(DRAINING, Ordering::Release);
    }
    pub(crate) fn log(&self) -> Option<&Arc<Log>> {
        self.log.get()
    }
    /// `Err` says why not.
    pub(crate) fn is_ready(&self) -> Result<(), String> {
        match self.phase.load(Ordering::Acquire) {
            RECOVERING => return Err("recovering".into()),
            DRAINING => return Err("draining".into()),
            _ => {}
        }
        match self.log.get().map(|log| log.status()) {
            None => Err("recovering".into()),
            Some(Status::Serving) => Ok(()),
            Some(Status::Full { .. }) => Err("the disk is full".into()),
            Some(Status::ReadOnly { reason }) => Err(format!("the disk failed: {reason}")),
        }
    }
}
