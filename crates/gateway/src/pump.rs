//! The one loop from a consumer to an action: webhooks now, rule actions and bridges later. It retries, keeps order where that is asked,
//! and leaves a target alone that is ill.
//!
//! It relies on its source for two things beside the contract of a consumer: what is given back comes again about in the order of its moments,
//! and a delivery says when nothing of it is due any more ([`Delivery::has_all_back`]). Fresh messages come in turns with those: what fails
//! and fails again does not keep a target from the rest.
mod backoff;
mod breaker;
mod lines;
mod progress;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use breaker::Breaker;
pub use progress::{BOUNDS, Count, Progress, State};

use backoff::{Firsts, GivenUp, chance};
use breaker::{Circuit, Pass, Said};
use futures::{StreamExt, stream::FuturesUnordered};
use lines::{Lines, Load};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tidegate_core::{
    action::{Action, BatchError, is_targets},
    delivery::{Delivery, Received},
    drain::Watch,
    endpoint::{Consumer, Limit},
    error::{Code, Error, Result},
    settle::Outcome,
};
use tokio::time::{Instant, sleep_until};

/// How messages go to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pumping {
    /// What must go one after the other.
    pub order: Order,
    /// Calls at once, at most; the action's own limit holds beside it.
    pub parallel: u32,
    /// How long a call that is not full waits for more messages.
    pub linger: Duration,
    /// What becomes of what failed.
    pub retry: Backoff,
    /// When the target is left alone.
    pub breaker: Breaker,
    /// It is left alone until then: it asked for that earlier.
    pub rest_until: Option<Instant>,
}
/// What must go one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// Messages of one key. A failing key holds only itself.
    Key,
    /// All of them.
    All,
}
/// Messages of so many calls are read for each that may be under way.
const AHEAD: u32 = 4;
/// Why it is left alone from the beginning.
const RESTING: &str = "the target asked for a pause, before this began";
/// When it is stopped, a call has that long from its beginning: a target that is well answers within it, and so gets nothing twice.
const SOON: Duration = Duration::from_secs(1);

/// Why a pump ended.
#[derive(Debug)]
pub enum Ended {
    /// The source has no more to give.
    SourceEnded,
    /// The gateway is shutting down, or whoever owns the pump wants it to end.
    Draining,
    /// The target wants nothing more.
    TargetGone(Error),
}

/// Until the source ends, the drain or the stop begins, or the target wants nothing more. Calls under way are waited for; the owner whose
/// patience ends first drops the future. Fails when the source does, after the calls under way.
///
/// `stop` is the impatient drain: somebody wants it to stand still or to do something else. Calls that are older than a moment are given up,
/// and their messages go back as if they had not been tried, though the target may have got them.
///
/// Cancel-safe: whatever ends it, each message is settled or given back, once. What was not tried counts no attempt; a call that was cut
/// short by dropping the future counts one, for the target may have got it.
pub async fn pump(
    from: Box<dyn Consumer>,
    to: &dyn Action,
    how: &Pumping,
    progress: &Progress,
    mut drain: Watch,
    mut stop: Watch,
) -> Result<Ended> {
    let _guard = drain.guard();
    let ended = run(from, to, how, progress, (&mut drain, &mut stop)).await;
    match &ended {
        Ok(Ended::TargetGone(error)) | Err(error) => progress.stopped(&error.to_string()),
        Ok(Ended::Draining) => progress.stopped("draining"),
        Ok(Ended::SourceEnded) => progress.stopped("the source has ended"),
    }
    ended
}
async fn run(
    mut from: Box<dyn Consumer>,
    to: &dyn Action,
    how: &Pumping,
    progress: &Progress,
    (drain, stop): (&mut Watch, &mut Watch),
) -> Result<Ended> {
    let limits = to.limits();
    let most = limits.in_flight.min(how.parallel).max(1) as usize;
    let mut state = Pump {
        how,
        progress,
        lines: Lines::new(how.order, progress),
        circuit: Circuit::new(how.breaker, how.rest_until.filter(|until| *until > Instant::now())),
        firsts: Firsts::default(),
        ended: None,
        error: None,
        given_up: None,
    };
    match state.circuit.probe_at() {
        Some(probe_at) => progress.open(probe_at - Instant::now(), Some(RESTING)),
        None => progress.connected(),
    }
    let given_up = AtomicBool::new(false);
    let mut begun = Instant::now();
    let mut cut_at = None;
    // After `state`, so that it goes first: a call that is cut gives back before what waits behind it does.
    let mut calls = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        let mut wake = None;
        if cut_at.is_some_and(|at| at <= now) && !calls.is_empty() {
            to.stopped();
            given_up.store(true, Ordering::Relaxed);
            calls.clear();
        }
        if state.ended.is_none() {
            while calls.len() < most
                && let Some(pass) = state.circuit.pass(now)
            {
                let batch = if pass.probe { one(limits.batch) } else { limits.batch };
                let linger = if pass.probe { Duration::ZERO } else { how.linger };
                wake = state.lines.ripe_at(batch, linger, now).filter(|at| *at > now);
                if wake.is_some() {
                    break;
                }
                let Some(load) = state.lines.load(batch, now) else { break };
                state.circuit.begin(pass);
                begun = now;
                calls.push(call(to, Carried::new(load, &given_up), pass, progress));
            }
        } else if calls.is_empty() {
            return state.ended.unwrap_or(Ok(Ended::SourceEnded));
        }
        let fetch_at = state.fetch_at(now, limits.batch, most);
        let fetch = fetch_at.is_some_and(|at| at <= now);
        let wakes = [wake, fetch_at.filter(|at| *at > now), state.lines.tidy_at(), cut_at];
        let wake = wakes.into_iter().flatten().min();
        let waking = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.started(), if state.ended.is_none() => {
                from.drain();
                state.end(Ok(Ended::Draining));
            }
            () = stop.started(), if cut_at.is_none() => {
                from.drain();
                state.end(Ok(Ended::Draining));
                cut_at = Some(begun + SOON);
            }
            Some(called) = calls.next(), if !calls.is_empty() => state.hear(called),
            next = from.next(state.reads(limits.batch, most)), if fetch => match next {
                Ok(Some(delivery)) => state.take(delivery),
                Ok(None) => state.end(Ok(Ended::SourceEnded)),
                Err(error) => state.end(Err(error)),
            },
            () = waking => {
                let now = Instant::now();
                if fetch && calls.is_empty() && !state.lines.is_ready() {
                    state.lines.all_back(now);
                }
                state.lines.tidy(now);
            }
        }
    }
}
fn one(batch: Limit) -> Limit {
    Limit { messages: 1, ..batch }
}
/// A call that has ended.
struct Called {
    load: Load,
    result: Result<(), BatchError>,
    pass: Pass,
    began: Instant,
}
async fn call(to: &dyn Action, mut carried: Carried<'_>, pass: Pass, progress: &Progress) -> Called {
    let _sent = progress.began(carried.load.items.len());
    let began = Instant::now();
    let result = to.perform(&carried.load.items).await;
    progress.ended(began.elapsed());
    let load = std::mem::take(&mut carried.load);
    Called { load, result, pass, began }
}
/// The messages of a call, until it has ended.
struct Carried<'a> {
    load: Load,
    /// It is cut because it was stopped.
    given_up: &'a AtomicBool,
}
impl<'a> Carried<'a> {
    fn new(load: Load, given_up: &'a AtomicBool) -> Self {
        Self { load, given_up }
    }
}
impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if self.given_up.load(Ordering::Relaxed) {
            self.load.hold(Instant::now());
        }
    }
}
struct Pump<'a> {
    how: &'a Pumping,
    progress: &'a Progress,
    lines: Lines<'a>,
    circuit: Circuit,
    firsts: Firsts,
    /// Nothing more is read or sent.
    ended: Option<Result<Ended>>,
    /// What was met last.
    error: Option<String>,
    /// Why the last message was given up, if none was taken since.
    given_up: Option<String>,
}
impl Pump<'_> {
    fn end(&mut self, why: Result<Ended>) {
        self.lines.give_back(Instant::now());
        // What happened first is why.
        self.ended.get_or_insert(why);
    }
    /// When the source may be asked; `None`: something else has to happen first.
    fn fetch_at(&self, now: Instant, batch: Limit, calls: usize) -> Option<Instant> {
        // While there is a next message for each call nothing more is read: then much at once, not one for one that went out.
        if self.ended.is_some() || self.lines.has((batch.messages as usize).saturating_mul(calls)) {
            return None;
        }
        let room = self.lines.room_at(now);
        match self.circuit.probe_at() {
            // One message is enough for a probe.
            Some(_) if self.lines.is_ready() => None,
            Some(probe_at) => Some(probe_at.max(room)),
            None if self.circuit.is_open() => None,
            None => Some(room),
        }
    }
    /// How much is read at once.
    fn reads(&self, batch: Limit, calls: usize) -> Limit {
        if self.circuit.is_open() || self.lines.is_full() {
            return one(batch);
        }
        let calls = u32::try_from(calls).unwrap_or(u32::MAX).saturating_mul(AHEAD);
        Limit {
            messages: batch
                .messages
                .saturating_mul(calls)
                .clamp(batch.messages, batch.messages.max(1_024)),
            bytes: batch.bytes.saturating_mul(calls).clamp(batch.bytes, batch.bytes.max(1 << 20)),
        }
    }
    fn take(&mut self, delivery: Delivery) {
        if let Some(gap) = delivery.gap() {
            self.progress.add(Count::Missed, gap.count());
        }
        let all_back = delivery.has_all_back();
        let (items, mut ack) = delivery.into_parts();
        let now = Instant::now();
        for item in items {
            let Some(mut duty) = ack.take(item.slot) else { continue };
            if item.attempt > self.how.retry.attempts.max(1) {
                self.progress.add(Count::Attempts, 1);
                duty.settle_all(GivenUp::Attempts.outcome(&"the last attempt was cut short"));
                continue;
            }
            self.lines.take(item, duty, now);
        }
        if all_back {
            self.lines.all_back(now);
        }
        if let Some(until) = self.circuit.probe_at().filter(|probe_at| *probe_at > now) {
            self.lines.give_back(until);
        }
    }
    fn hear(&mut self, called: Called) {
        let Called { load, result, pass, began } = called;
        let now = Instant::now();
        let mut told = Told::default();
        let (how, progress, firsts) = (self.how, self.progress, &mut self.firsts);
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
            progress.succeeded(told.delivered);
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
            progress.retrying(next, self.error.as_deref().unwrap_or_default());
        } else if !self.lines.is_failing(now) {
            match &self.given_up {
                Some(error) => progress.failing(error),
                None => progress.connected(),
            }
        } else if was_open {
            progress.retrying(Duration::ZERO, self.error.as_deref().unwrap_or_default());
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
            self.delivered += 1;
            return Outcome::Ack;
        };
        self.error.get_or_insert_with(|| error.to_string());
        if error.code() == Code::TargetGone {
            self.gone.get_or_insert_with(|| error.again());
            progress.add(Count::Held, 1);
            return Outcome::Hold { until: now };
        }
        match how.retry.after(error, item.attempt, since, chance()) {
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
