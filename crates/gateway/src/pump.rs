//! The one loop from a consumer to an action: webhooks now, rule actions and bridges later. It retries, keeps order where that is asked,
//! and leaves a target alone that is ill.
//!
//! It relies on its source for three things beside the contract of a consumer: what is given back comes again about in the order of its moments,
//! or when it is called back ([`Consumer::recall`]), and a delivery says when nothing of it is due any more ([`Delivery::has_all_back`]).
//! Fresh messages come in turns with those: what fails
//! and fails again does not keep a target from the rest.
mod backoff;
mod book;
mod breaker;
mod call;
mod hands;
mod lines;
mod progress;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use breaker::Breaker;
pub use hands::Crew;
pub use progress::{BOUNDS, Before, Count, Progress, State};

use book::{Next, Shared};
use call::{call, ended};
use futures::stream::FuturesUnordered;
use hands::Hands;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tidegate_core::{
    action::Action,
    drain::Watch,
    endpoint::Consumer,
    error::{Error, Result},
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
    to: &Arc<dyn Action>,
    how: &Pumping,
    progress: &Arc<Progress>,
    crew: &Crew,
    (mut drain, mut stop): (Watch, Watch),
) -> Result<Ended> {
    let _guard = drain.guard();
    let shared = Shared::new(to, how, progress);
    let ended = run(from, &shared, crew, (&mut drain, &mut stop)).await;
    match &ended {
        Ok(Ended::TargetGone(error)) | Err(error) => progress.stopped(&error.to_string()),
        Ok(Ended::Draining) => progress.stopped("draining"),
        Ok(Ended::SourceEnded) => progress.stopped("the source has ended"),
    }
    ended
}
async fn run(mut from: Box<dyn Consumer>, shared: &Arc<Shared>, crew: &Crew, (drain, stop): (&mut Watch, &mut Watch)) -> Result<Ended> {
    let mut hands = Hands::new(crew, shared);
    let (mut calls, mut done, mut new) = (FuturesUnordered::new(), Vec::new(), Vec::new());
    let mut cut_at = None;
    loop {
        let now = Instant::now();
        let (over, calling, next, recalled, reads, fetch_at, tidy_at) = {
            let mut book = shared.book();
            let next = book.turn(&mut done, hands.share().saturating_sub(calls.len()), &mut new);
            let recalled = book.recall(now);
            let fetch_at = book.fetch_at(now);
            (
                book.is_over(),
                book.is_calling(),
                next,
                recalled,
                book.reads(),
                fetch_at,
                book.tidy_at(),
            )
        };
        if !recalled.is_empty() {
            from.recall(&recalled);
        }
        calls.extend(new.drain(..).map(|load| call(shared, load)));
        if over && (!calling || cut_at.is_some_and(|at| at <= now)) {
            if calling {
                shared.to.stopped();
                shared.stopped.store(true, Ordering::Relaxed);
            }
            calls.clear();
            hands.leave().await;
            let (ended, waiting) = shared.book().close();
            from.recall(&waiting);
            return ended;
        }
        let mut ripe_at = None;
        match next {
            Next::Now => hands.help(),
            Next::At(at) => ripe_at = Some(at),
            Next::Later => {}
        }
        let fetch = fetch_at.is_some_and(|at| at <= now);
        let wakes = [ripe_at, fetch_at.filter(|at| *at > now), tidy_at, cut_at];
        let wake = wakes.into_iter().flatten().min();
        let waking = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.started(), if !over => {
                from.drain();
                shared.book().end(Ok(Ended::Draining));
            }
            () = stop.started(), if cut_at.is_none() => {
                from.drain();
                let mut book = shared.book();
                book.end(Ok(Ended::Draining));
                cut_at = Some(book.begun() + SOON);
            }
            () = ended(&mut calls, &mut done) => {}
            () = shared.look.notified() => {}
            next = from.next(reads), if fetch => match next {
                Ok(Some(delivery)) => shared.book().take(delivery, now),
                Ok(None) => shared.book().end(Ok(Ended::SourceEnded)),
                Err(error) => shared.book().end(Err(error)),
            },
            () = waking => {
                // Nobody asks it any more: what it was about to hand out is due again.
                let now = Instant::now();
                let all_back = from.has_all_back();
                shared.book().tidy(all_back.then_some(now));
            }
        }
    }
}
