//! A graceful end: a signal that everything long-lived watches, and a count of what is still going on.
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::sync::{Notify, watch};

/// The owner's side: says when, and waits for the rest.
#[derive(Debug)]
pub struct Drain {
    signal: watch::Sender<bool>,
    count: Arc<Count>,
}
#[derive(Debug, Default)]
struct Count {
    /// What `signal` says, for who only looks: reading that takes a lock.
    draining: AtomicBool,
    open: AtomicUsize,
    none: Notify,
}
/// The watcher's side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {
    signal: watch::Receiver<bool>,
    count: Arc<Count>,
}
/// Something that must end before the drain is over.
#[derive(Debug)]
pub struct Guard {
    count: Arc<Count>,
}
impl Drain {
    /// Not draining.
    pub fn new() -> Self {
        Self {
            signal: watch::Sender::new(false),
            count: Arc::default(),
        }
    }
    /// A watcher.
    pub fn watch(&self) -> Watch {
        Watch {
            signal: self.signal.subscribe(),
            count: self.count.clone(),
        }
    }
    /// Tells every watcher. Twice is once.
    pub fn start(&self) {
        self.count.draining.store(true, Ordering::Release);
        self.signal.send_replace(true);
    }
    /// Resolves when no guard is held. Cancel-safe.
    pub async fn ended(&self) {
        loop {
            let none = self.count.none.notified();
            if self.open() == 0 {
                return;
            }
            none.await;
        }
    }
    /// How many guards are held.
    pub fn open(&self) -> usize {
        self.count.open.load(Ordering::Acquire)
    }
}
impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}
impl Watch {
    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.count.draining.load(Ordering::Acquire)
    }
    /// Resolves when it begins, at once if it has. Pends for ever if the owner went without saying so. Cancel-safe.
    pub async fn started(&mut self) {
        if self.signal.wait_for(|draining| *draining).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    /// Counts something in.
    pub fn guard(&self) -> Guard {
        self.count.open.fetch_add(1, Ordering::AcqRel);
        Guard { count: self.count.clone() }
    }
}
impl Drop for Guard {
    fn drop(&mut self) {
        if self.count.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.count.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_when_the_last_guard_goes() {
        let drain = Drain::new();
        let mut watch = drain.watch();
        let guard = watch.guard();
        drain.start();
        watch.started().await;
        assert_eq!(drain.open(), 1);
        drop(guard);
        drain.ended().await;
    }
}
