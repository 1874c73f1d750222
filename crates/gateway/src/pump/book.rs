//! What a pump knows of its messages and its target. All its threads write into one book, one at a time: which call is next, and what became of
//! one that has ended, is decided here.
use super::{
    Ended, Pumping,
    backoff::{Backoff, Firsts, GivenUp, chance},
    breaker::{Circuit, Pass, Said},
    call::Called,
    lines::{self, Lines},
    progress::{Count, Progress},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use tidegate_core::{
    action::{Action, BatchError, is_targets},
    delivery::{Delivery, Received},
    endpoint::Limit,
    error::{Code, Error, Result},
    position::{Position, Reason},
    settle::Outcome,
};
use tokio::{sync::Notify, time::Instant};

/// Messages of so many calls are read for each that may be under way.
const AHEAD: u32 = 4;

/// The messages of a call that may begin.
pub(super) type Load = (lines::Load, Pass);

/// When a call could begin, beside those that did.
pub(super) enum Next {
    /// Now: another thread may have room for it.
    Now,
    /// When it has waited long enough for more messages.
    At(Instant),
    /// When something has happened.
    Later,
}
/// What a pump knows, whoever of its threads asks.
pub(super) struct Shared {
    pub(super) to: Arc<dyn Action>,
    pub(super) progress: Arc<Progress>,
    book: Mutex<Book>,
    /// Something is in the book that whoever reads the source has to look at.
    pub(super) look: Notify,
    /// Whoever is cut from now on is cut because it was stopped.
    pub(super) stopped: AtomicBool,
}
impl Shared {
    pub(super) fn new(to: &Arc<dyn Action>, how: &Pumping, progress: &Arc<Progress>) -> Arc<Self> {
        Arc::new(Self {
            to: to.clone(),
            progress: progress.clone(),
            book: Mutex::new(Book::new(to, how, progress)),
            look: Notify::new(),
            stopped: AtomicBool::new(false),
        })
    }
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// What waits, what is under way, and what the target is like.
pub(super) struct Book {
    to: Arc<dyn Action>,
    how: Pumping,
    batch: Limit,
    most: usize,
    progress: Arc<Progress>,
    lines: Lines,
    circuit: Circuit,
    firsts: Firsts,
    under_way: usize,
    /// When the last call began.
    begun: Instant,
    ended: Option<Result<Ended>>,
    /// What was met last.
    error: Option<String>,
    /// Why the last message was given up, if none was taken since.
    given_up: Option<String>,
}
impl Book {
    fn new(to: &Arc<dyn Action>, how: &Pumping, progress: &Arc<Progress>) -> Self {
        let (now, limits) = (Instant::now(), to.limits());
        let circuit = Circuit::new(how.breaker, how.rest_until.filter(|until| *until > now));
        match circuit.probe_at() {
            Some(probe_at) => progress.open(probe_at - now, None),
            None => progress.begins(),
        }
        Self {
            to: to.clone(),
            how: *how,
            batch: limits.batch,
            most: limits.in_flight.min(how.parallel).max(1) as usize,
            progress: progress.clone(),
            lines: Lines::new(how.order, progress),
            circuit,
            firsts: Firsts::default(),
            under_way: 0,
            begun: now,
            ended: None,
            error: None,
            given_up: None,
        }
    }
    /// Calls at once, at most.
    pub(super) fn most(&self) -> usize {
        self.most
    }
    /// These have ended, and so many new ones may begin.
    pub(super) fn turn(&mut self, done: &mut Vec<Called>, room: usize, new: &mut Vec<Load>) -> Next {
        let now = Instant::now();
        done.drain(..).for_each(|called| self.hear(called, now));
        while self.ended.is_none()
            && self.under_way < self.most
            && let Some(pass) = self.circuit.pass(now)
        {
            let batch = if pass.probe { one(self.batch) } else { self.batch };
            let linger = if pass.probe { Duration::ZERO } else { self.how.linger };
            let to = self.to.clone();
            let weight = |item: &Received| to.weight(item);
            match self.lines.ripe_at((batch, &weight), linger, now) {
                Some(at) if at > now => return Next::At(at),
                Some(_) if new.len() >= room => return Next::Now,
                _ => {}
            }
            let Some(load) = self.lines.load(batch, &weight, now) else {
                break;
            };
            self.circuit.begin(pass);
            self.begun = now;
            self.under_way += 1;
            new.push((load, pass));
        }
        Next::Later
    }
    /// Whether whoever reads the source has nothing to do before the next call ends.
    pub(super) fn is_calm(&self) -> bool {
        self.ended.is_none()
            && self.has_enough()
            && !self.circuit.is_open()
            && !self.lines.goes_on()
            && !self.lines.is_failing(Instant::now())
    }
    /// Whether a call is under way.
    pub(super) fn is_calling(&self) -> bool {
        self.under_way > 0
    }
    /// When the last call began.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }
    /// Whether nothing more is read or sent.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some()
    }
    /// Why it ended. What waits goes back, and what the source is to call back for whoever comes next.
    pub(super) fn close(&mut self) -> (Result<Ended>, Vec<Position>) {
        let waiting = self.lines.let_go();
        (self.ended.take().unwrap_or(Ok(Ended::SourceEnded)), waiting)
    }
    /// When [`Book::tidy`] has something to do.
    pub(super) fn tidy_at(&self) -> Option<Instant> {
        self.lines.tidy_at()
    }
    /// Some time has passed. `all_back`: what was due by then was handed out.
    pub(super) fn tidy(&mut self, all_back: Option<Instant>) {
        let now = Instant::now();
        if let Some(then) = all_back {
            self.lines.all_back(then);
        }
        self.lines.tidy(now);
        let idle = all_back.is_some() && self.under_way == 0 && !self.lines.is_ready();
        if idle && !self.lines.is_failing(now) && !self.circuit.is_open() {
            self.progress.nothing_waits();
        }
    }
    /// Nothing more is read or sent. What waits goes back when the last call has ended: its followers are not to come before it.
    pub(super) fn end(&mut self, why: Result<Ended>) {
        // What happened first is why.
        self.ended.get_or_insert(why);
    }
    /// What the source is to call back, in this order.
    pub(super) fn recall(&mut self, now: Instant) -> Vec<Position> {
        // For a probe, too, when its time has come and nothing else is here for it.
        let may_call = match self.circuit.probe_at() {
            Some(probe_at) => probe_at <= now && !self.lines.is_ready(),
            None => !self.circuit.is_open(),
        };
        if self.ended.is_some() || !may_call {
            return Vec::new();
        }
        self.lines.recall(now)
    }
    /// When the source may be asked; `None`: something else has to happen first.
    pub(super) fn fetch_at(&self, now: Instant) -> Option<Instant> {
        if self.ended.is_some() || self.has_enough() {
            return None;
        }
        let room = self.lines.room_at(now);
        match self.circuit.probe_at() {
            // One message is enough for a probe.
            Some(_) if self.lines.is_ready() => None,
            Some(probe_at) if self.lines.goes_on() => Some(probe_at),
            Some(probe_at) => Some(probe_at.max(room)),
            None if self.circuit.is_open() => None,
            None => Some(room),
        }
    }
    /// While there is a next message for each call nothing more is read: then much at once, not one for one that went out.
    fn has_enough(&self) -> bool {
        self.lines.has((self.batch.messages as usize).saturating_mul(self.most))
    }
    /// How much is read at once.
    pub(super) fn reads(&self) -> Limit {
        let batch = self.batch;
        if self.circuit.is_open() || self.lines.is_full() {
            return one(batch);
        }
        let calls = u32::try_from(self.most).unwrap_or(u32::MAX).saturating_mul(AHEAD);
        Limit {
            messages: batch
                .messages
                .saturating_mul(calls)
                .clamp(batch.messages, batch.messages.max(1_024)),
            bytes: batch.bytes.saturating_mul(calls).clamp(batch.bytes, batch.bytes.max(1 << 20)),
        }
    }
    /// Messages have come that were asked for at that moment.
    pub(super) fn take(&mut self, delivery: Delivery, asked: Instant) {
        if let Some(gap) = delivery.gap() {
            self.progress.add(Count::Missed, gap.count());
            if gap.reason == Reason::Retention {
                self.lines.lost(&gap.to);
            }
        }
        let (all_back, until) = (delivery.has_all_back(), delivery.waits_until());
        let (items, mut ack) = delivery.into_parts();
        let now = Instant::now();
        let failed = items.iter().any(|item| item.attempt > 1);
        for item in items {
            let Some(mut duty) = ack.take(item.slot) else { continue };
            if item.attempt > self.how.retry.attempts.max(1) {
                self.progress.add(Count::Attempts, 1);
                duty.settle_all(GivenUp::Attempts.outcome(&"the last attempt was cut short"));
                continue;
            }
            self.lines.take(item, duty, (now, until));
        }
        if all_back {
            // Its maker looked at the clock after it was asked; how long ago that was nobody knows.
            self.lines.all_back(asked);
        }
        if let Some(until) = until.filter(|_| failed && self.lines.is_failing(now) && !self.circuit.is_open()) {
            self.progress.retrying(until.saturating_duration_since(now), self.error.as_deref());
        }
        if let Some(until) = self.circuit.probe_at().filter(|probe_at| *probe_at > now) {
            self.lines.give_back(until);
        }
    }
    /// A call has ended.
    fn hear(&mut self, called: Called, now: Instant) {
        let Called { load, result, pass, began } = called;
        self.under_way -= 1;
        let mut told = Told::default();
        let (how, progress, firsts) = (&self.how, &self.progress, &mut self.firsts);
        let said = said(result.as_ref().err(), load.items.len(), &how.retry);
        self.lines.unload(load, now, |at, item| {
            let error = result.as_ref().err().and_then(|failed| failed.of(at));
            let since = error.map_or(Duration::ZERO, |_| firsts.since(item.position, began, now));
            let outcome = told.outcome(error, item, how, progress, (now, since));
            if !matches!(outcome, Outcome::Requeue { .. } | Outcome::Hold { .. }) {
                firsts.forget(item.position);
            }
            outcome
        });
        if told.delivered > 0 {
            self.given_up = None;
        } else if told.given_up {
            self.given_up.clone_from(&told.error);
        }
        if let Some(error) = &told.error {
            self.error = Some(error.clone());
        }
        let was_open = self.circuit.is_open();
        self.circuit.hear(pass, said, now);
        if let Some(error) = told.gone {
            self.end(Ok(Ended::TargetGone(error)));
        } else if let Some(probe_at) = self.circuit.probe_at() {
            if !was_open {
                progress.add(Count::Opened, 1);
            }
            self.lines.give_back(probe_at);
            progress.open(probe_at.saturating_duration_since(now), self.error.as_deref());
        } else if self.circuit.is_open() {
            // A probe is under way, and this was another call.
        } else if let Some(next) = told.next {
            progress.retrying(next, self.error.as_deref());
        } else if !self.lines.is_failing(now) {
            match &self.given_up {
                Some(error) => progress.failing(error),
                None => progress.well(),
            }
        } else if was_open {
            progress.retrying(Duration::ZERO, self.error.as_deref());
        }
    }
}
/// What a call says, item by item.
#[derive(Default)]
struct Told {
    delivered: u64,
    /// Something of it will not be tried again.
    given_up: bool,
    /// The next attempt of what failed.
    next: Option<Duration>,
    /// One for all of it: what failed together is tried together again, as far as nothing comes between.
    chance: Option<u64>,
    error: Option<String>,
    gone: Option<Error>,
}
impl Told {
    /// `since`: its first attempt.
    fn outcome(
        &mut self,
        error: Option<&Error>,
        item: &Received,
        how: &Pumping,
        progress: &Progress,
        (now, since): (Instant, Duration),
    ) -> Outcome {
        let Some(error) = error else {
            if self.delivered == 0 {
                progress.succeeded();
            }
            self.delivered += 1;
            progress.add(Count::Delivered, 1);
            return Outcome::Ack;
        };
        self.error.get_or_insert_with(|| error.to_string());
        if error.code() == Code::TargetGone {
            self.gone.get_or_insert_with(|| error.again());
            progress.add(Count::Gone, 1);
            return Outcome::Hold { until: now };
        }
        let chance = *self.chance.get_or_insert_with(chance);
        match how.retry.after(error, item.attempt, since, chance) {
            Ok(after) => {
                progress.add(Count::Retried, 1);
                self.next = Some(self.next.map_or(after, |next| next.min(after)));
                Outcome::Requeue { after: Some(after) }
            }
            Err(why) => {
                let count = match why {
                    GivenUp::Attempts => Count::Attempts,
                    GivenUp::Refused => Count::Refused,
                    GivenUp::Time => Count::Time,
                };
                progress.add(count, 1);
                self.given_up = true;
                why.outcome(error)
            }
        }
    }
}
/// What a call says of its target, whatever it says of the messages.
fn said(failed: Option<&BatchError>, items: usize, retry: &Backoff) -> Said {
    let Some(failed) = failed else { return Said::Well };
    let mut ill = None;
    for at in 0..items {
        match failed.of(at) {
            None => return Said::Well,
            Some(error) if is_targets(error) => ill = Some(retry.asked(error).max(ill.flatten())),
            // It answered, and meant the message.
            Some(error) if error.code() == Code::TargetRefused => return Said::Well,
            Some(_) => {}
        }
    }
    ill.map_or(Said::Nothing, Said::Ill)
}
fn one(batch: Limit) -> Limit {
    Limit { messages: 1, ..batch }
}
