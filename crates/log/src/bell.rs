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
    state: Mutex<Wanted>,
    ring: Condvar,
}
#[derive(Default)]
struct Wanted {
    woken: bool,
    /// Limits may have been passed.
    look: bool,
    closed: bool,
}
impl Bell {
    /// There is a file to move or to make ready.
    pub(crate) fn wake(&self) {
        self.ring(false);
    }
    /// It should also look at what streams may keep: with many of them that is much to look at.
    pub(crate) fn look(&self) {
        self.ring(true);
    }
    fn ring(&self, look: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.woken = true;
        state.look |= look;
        drop(state);
        self.ring.notify_one();
    }
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.ring.notify_one();
    }
    /// Until woken or [`TICK`] is over; whether to look round. `None`: closed.
    pub(crate) fn wait(&self) -> Option<bool> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, late) = self
            .ring
            .wait_timeout_while(state, TICK, |s| !s.woken && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let look = std::mem::take(&mut state.look) || late.timed_out();
        state.woken = false;
        (!state.closed).then_some(look)
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
