//! Wakes the mover, or lets it look round twice a second.
use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How often space is looked at when nothing else happens.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// Wakes the mover.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<Rung>,
    ring: Condvar,
}
#[derive(Default)]
struct Rung {
    rung: bool,
    closed: bool,
}
impl Bell {
    pub(crate) fn wake(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rung = true;
        self.ring.notify_one();
    }
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.ring.notify_one();
    }
    /// Until woken or a second is over; whether to go on.
    pub(crate) fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .ring
            .wait_timeout_while(state, TICK, |s| !s.rung && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.rung = false;
        !state.closed
    }
    /// Sleeps, unless closed meanwhile.
    pub(crate) fn doze(&self, time: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let _awake = self.ring.wait_timeout_while(state, time, |s| !s.closed);
    }
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed
    }
}
