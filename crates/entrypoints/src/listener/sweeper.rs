//! One task for all timeouts of a listener: a coarse tick, no timer per request.
use super::{
    Limits,
    connection::{Allowed, Connection},
    proxies::Proxies,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::drain::Watch;

/// A timeout is kept to within an eighth of itself, or a second.
const PARTS: u32 = 8;
const COARSEST: Duration = Duration::from_secs(1);
const FINEST: Duration = Duration::from_millis(10);

pub(super) struct Sweeper {
    limits: Limits,
    every: Duration,
    tick: Arc<AtomicU32>,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}
impl Sweeper {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let shortest = limits.head_timeout.min(limits.idle).min(limits.write_stall);
        Arc::new(Self {
            limits,
            every: (shortest / PARTS).clamp(FINEST, COARSEST),
            tick: Arc::new(AtomicU32::new(1)),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }
    /// Watches one more connection, until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr, proxies: Option<Arc<Proxies>>, secure: bool) -> Swept {
        let mut state = Connection::new(peer, self.tick.clone());
        state.proxies = proxies;
        state.secure = secure;
        let state = Arc::new(state);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, state.clone());
        Swept {
            sweeper: self.clone(),
            number,
            state,
        }
    }
    pub(super) async fn run(self: Arc<Self>, mut drain: Watch) {
        let ticks = |time: Duration| (time.as_millis() / self.every.as_millis().max(1)) as u32;
        let allowed = Allowed {
            head: ticks(self.limits.head_timeout),
            idle: ticks(self.limits.idle),
            write: ticks(self.limits.write_stall),
        };
        let mut every = tokio::time::interval(self.every);
        let mut draining = false;
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = drain.started(), if !draining => {
                    draining = true;
                    self.lock().values().for_each(|connection| connection.wake());
                    continue;
                }
            }
            let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            for connection in self.lock().values() {
                connection.sweep(now, allowed);
            }
        }
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// One connection, while it is open.
pub(super) struct Swept {
    sweeper: Arc<Sweeper>,
    number: u64,
    pub(super) state: Arc<Connection>,
}
impl Drop for Swept {
    fn drop(&mut self) {
        self.sweeper.lock().remove(&self.number);
    }
}
