//! The second thread: keeps the next journal file ready.
use crate::{error::Error, journal::JournalFile, shared::Shared};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How often space is looked at when nothing else happens.
const TICK: Duration = Duration::from_secs(1);

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
    fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .ring
            .wait_timeout_while(state, TICK, |s| !s.rung && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.rung = false;
        !state.closed
    }
}

pub(crate) struct Mover {
    shared: Arc<Shared>,
}
impl Mover {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
    pub(crate) fn run(mut self) {
        while self.shared.mover.wait() {
            self.step();
        }
        self.shared.life.end();
    }
    /// One round.
    pub(crate) fn step(&mut self) {
        let shared = &self.shared;
        if shared.health.is_read_only() {
            return;
        }
        let open = shared.files.state().open.clone();
        if let Some((file, at)) = open
            && file.wants_zeros(at, &shared.limits)
            && let Err(error @ Error::Disk(..)) = file.zero_ahead(shared)
        {
            shared.health.fail(error.to_string());
            return;
        }
        let number = {
            let mut state = shared.files.state();
            if state.spare.is_some() {
                return;
            }
            state.next_number += 1;
            state.next_number - 1
        };
        shared.files.offer(JournalFile::create(shared, number));
    }
}
