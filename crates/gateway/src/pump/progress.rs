//! How a pump is doing, for whoever looks: nobody who reads it holds the pump up.
use arc_swap::{ArcSwap, ArcSwapOption};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::clock;

/// Shared by a pump and its readers; it outlives the pump, so that the next one goes on counting. Times are microseconds since the epoch.
#[derive(Debug)]
pub struct Progress {
    state: ArcSwap<State>,
    /// Of another process, until the target takes something from this one.
    before: ArcSwapOption<Before>,
    counts: [AtomicU64; Count::ALL.len()],
    in_flight: AtomicU64,
    last_success: AtomicI64,
    /// The target took something since this began.
    tried: AtomicBool,
    took: [AtomicU64; BOUNDS.len() + 1],
    took_micros: AtomicU64,
}
/// What was met before this process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Nothing was taken since then.
    pub since: i64,
    /// The last failure.
    pub error: Arc<str>,
}
/// What the target is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It took nothing since this began, and nothing failed.
    Untried {
        /// From when on.
        since: i64,
    },
    /// It took what it was asked to last.
    Connected {
        /// From when on.
        since: i64,
    },
    /// Messages wait for their next attempt.
    Retrying {
        /// The first failure of this time.
        since: i64,
        /// The next attempt, if none comes before.
        next: i64,
        /// The last failure.
        error: Arc<str>,
    },
    /// Nothing waits, but since its last success everything that was tried was given up.
    Failing {
        /// The first failure of this time.
        since: i64,
        /// The last failure.
        error: Arc<str>,
    },
    /// It is left alone.
    Open {
        /// From when on.
        since: i64,
        /// When it is asked again.
        probe_at: i64,
        /// The last failure.
        error: Arc<str>,
    },
    /// Nothing is sent.
    Stopped {
        /// From when on.
        since: i64,
        /// Why.
        reason: Arc<str>,
    },
}
impl State {
    /// All there are.
    pub const WORDS: [&'static str; 6] = ["untried", "connected", "retrying", "failing", "open", "stopped"];
    /// Reasons to stand still that are no failure.
    pub const ON_PURPOSE: [&'static str; 2] = ["stopped", "draining"];
    /// One word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Untried { .. } => "untried",
            Self::Connected { .. } => "connected",
            Self::Retrying { .. } => "retrying",
            Self::Failing { .. } => "failing",
            Self::Open { .. } => "open",
            Self::Stopped { .. } => "stopped",
        }
    }
}
/// What is counted, in messages unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Taken by the target.
    Delivered,
    /// Attempts that failed and come again.
    Retried,
    /// Given up after the last attempt.
    Attempts,
    /// Given up because the target will never take them.
    Refused,
    /// Given up for their age.
    Time,
    /// Attempts after which the target wanted nothing more: they come again when it is started.
    Gone,
    /// Given back without an attempt.
    Held,
    /// Lost before they were read: told by the source as a gap.
    Missed,
    /// Times the circuit opened.
    Opened,
}
impl Count {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Retried,
        Self::Attempts,
        Self::Refused,
        Self::Time,
        Self::Gone,
        Self::Held,
        Self::Missed,
        Self::Opened,
    ];
    /// One word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Attempts => "given_up_attempts",
            Self::Refused => "given_up_refused",
            Self::Time => "given_up_time",
            Self::Gone => "stopped",
            Self::Held => "held",
            Self::Missed => "missed",
            Self::Opened => "opened",
        }
    }
}
/// Upper bounds of the classes calls are sorted into by how long they took, in milliseconds.
pub const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

impl Progress {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self {
            state: ArcSwap::from_pointee(State::Untried { since: clock::now_us() }),
            before: ArcSwapOption::empty(),
            counts: Default::default(),
            in_flight: AtomicU64::new(0),
            last_success: AtomicI64::new(0),
            tried: AtomicBool::new(false),
            took: Default::default(),
            took_micros: AtomicU64::new(0),
        }
    }
    /// Its target was ill before.
    pub fn was_ill(&self, before: Before) {
        self.before.store(Some(Arc::new(before)));
    }
    /// What the target is like.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }
    /// How many there were of it since the start.
    pub fn count(&self, what: Count) -> u64 {
        self.counts.get(what as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
    /// Messages that are with the target now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
    /// When it last took a message.
    pub fn last_success(&self) -> Option<i64> {
        Some(self.last_success.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
    /// How many calls took at most that of [`BOUNDS`], each class by itself, the last one longer; and how long all took together.
    pub fn took(&self) -> ([u64; BOUNDS.len() + 1], Duration) {
        let mut classes = [0; BOUNDS.len() + 1];
        for (class, count) in classes.iter_mut().zip(&self.took) {
            *class = count.load(Ordering::Relaxed);
        }
        (classes, Duration::from_micros(self.took_micros.load(Ordering::Relaxed)))
    }

    pub(super) fn add(&self, what: Count, n: u64) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }
    pub(super) fn began(&self, messages: usize) -> Sent<'_> {
        self.in_flight.fetch_add(messages as u64, Ordering::Relaxed);
        Sent {
            progress: self,
            messages: messages as u64,
        }
    }
    pub(super) fn ended(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let class = BOUNDS.iter().position(|bound| millis <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.took.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took_micros.fetch_add(micros, Ordering::Relaxed);
    }
    pub(super) fn succeeded(&self) {
        if self.before.load().is_some() {
            self.before.store(None);
        }
        self.last_success.store(clock::now_us(), Ordering::Relaxed);
        self.tried.store(true, Ordering::Relaxed);
    }
    /// Nobody has asked the target yet.
    pub(super) fn begins(&self) {
        self.tried.store(false, Ordering::Relaxed);
        match &*self.before.load() {
            Some(before) => self.failing(&before.error),
            None => self.well(),
        }
    }
    /// What was known of the target is known of another one.
    pub(crate) fn begins_anew(&self) {
        self.before.store(None);
    }
    /// Nothing is known against it: it took something, or nothing was asked of it yet.
    pub(super) fn well(&self) {
        let since = clock::now_us();
        match (self.tried.load(Ordering::Relaxed), &**self.state.load()) {
            (true, State::Connected { .. }) | (false, State::Untried { .. }) => {}
            (true, _) => self.state.store(Arc::new(State::Connected { since })),
            (false, _) => self.state.store(Arc::new(State::Untried { since })),
        }
    }
    /// `error`: what was met now; without it, what was known.
    pub(super) fn retrying(&self, next: Duration, error: Option<&str>) {
        let now = clock::now_us();
        let before = self.before.load();
        let next = now.saturating_add(micros(next));
        let was = self.state.load();
        let (since, next) = match &**was {
            State::Retrying { since, next: was, .. } => (*since, if *was > now { next.min(*was) } else { next }),
            // It has been ill for as long as that.
            State::Open { since, .. } | State::Failing { since, .. } => (*since, next),
            State::Untried { .. } | State::Connected { .. } | State::Stopped { .. } => {
                (before.as_ref().map_or(now, |before| before.since), next)
            }
        };
        let known = || before.as_ref().map_or_else(|| EARLIER.into(), |before| before.error.clone());
        let error = error.map_or_else(known, Into::into);
        self.state.store(Arc::new(State::Retrying { since, next, error }));
    }
    /// What was to be tried again comes no more: it expired, or another had it.
    pub(super) fn nothing_waits(&self) {
        if let State::Retrying { since, error, .. } = &**self.state.load() {
            match self.last_success() {
                Some(at) if at >= *since => self.well(),
                _ => self.failing(error),
            }
        }
    }
    pub(super) fn failing(&self, error: &str) {
        let was = self.state.load();
        let since = match &**was {
            State::Retrying { since, .. } | State::Open { since, .. } | State::Failing { since, .. } => *since,
            State::Untried { .. } | State::Connected { .. } | State::Stopped { .. } => {
                let before = self.before.load();
                before.as_ref().map_or_else(clock::now_us, |before| before.since)
            }
        };
        let error = error.into();
        self.state.store(Arc::new(State::Failing { since, error }));
    }
    /// `error`: what was met now; without it, what was known.
    pub(super) fn open(&self, probe_in: Duration, error: Option<&str>) {
        let now = clock::now_us();
        let was = self.state.load();
        let (since, known) = match &**was {
            State::Open { since, error, .. } => (*since, error.clone()),
            State::Retrying { error, .. } | State::Failing { error, .. } => (now, error.clone()),
            State::Untried { .. } | State::Connected { .. } | State::Stopped { .. } => {
                let before = self.before.load();
                let known = before.as_ref().map(|before| (before.since, before.error.clone()));
                known.unwrap_or_else(|| (now, RESTING.into()))
            }
        };
        self.state.store(Arc::new(State::Open {
            since,
            probe_at: now.saturating_add(micros(probe_in)),
            error: error.map_or(known, Into::into),
        }));
    }
    /// Somebody stopped it, or started it again: so it is said from then on, and not only once its pump has heard of it. Who was stopped for what
    /// its target said is not asked again, and that reason stays.
    pub(crate) fn ordered(&self, runs: bool) {
        let stopped = match &**self.state.load() {
            State::Stopped { reason, .. } => Some(State::ON_PURPOSE.contains(&&**reason)),
            _ => None,
        };
        match (runs, stopped) {
            (false, None | Some(true)) => self.stopped("stopped"),
            (true, Some(true)) => self.well(),
            (false, Some(false)) | (true, _) => {}
        }
    }
    /// For the same reason it is since it was.
    pub(crate) fn stopped(&self, reason: &str) {
        let since = match &**self.state.load() {
            State::Stopped { since, reason: was } if **was == *reason => *since,
            _ => clock::now_us(),
        };
        self.stopped_since(since, reason);
    }
    /// It was stopped before this process began.
    pub fn stopped_since(&self, since: i64, reason: &str) {
        let reason = reason.into();
        self.state.store(Arc::new(State::Stopped { since, reason }));
    }
}
impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
/// Why messages wait that failed before it began.
const EARLIER: &str = "it failed before this began";
/// Why it is left alone from the beginning.
const RESTING: &str = "the target asked for a pause, before this began";
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
/// Messages with the target, until they are not, whatever ended it.
pub(super) struct Sent<'a> {
    progress: &'a Progress,
    messages: u64,
}
impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.progress.in_flight.fetch_sub(self.messages, Ordering::Relaxed);
    }
}
