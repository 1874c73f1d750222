//! What becomes of a message that its target did not take: when it is tried again, and when it is given up.
use super::lines::MOST_AWAY;
use std::{collections::HashMap, time::Duration};
use tidegate_core::{
    error::{Error, Retry},
    position::Position,
    settle::Outcome,
};
use tokio::time::Instant;

/// How often, how late and for how long a message is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the second attempt; it doubles from there.
    pub first: Duration,
    /// The longest wait of all. What the target asks for may be longer.
    pub max: Duration,
    /// The longest wait that a target may ask for.
    pub obey: Duration,
    /// How often at most; one is the least.
    pub attempts: u32,
    /// How long after its first attempt a message may be tried again, as far back as this pump has run; `None`: attempts alone end it.
    pub give_up_after: Option<Duration>,
}
/// Why a message was given up: the word in its dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// The last attempt failed.
    Attempts,
    /// The target will never take it.
    Refused,
    /// It is too old to be tried again.
    Time,
}
impl GivenUp {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Refused => "refused",
            Self::Time => "time",
        }
    }
    pub(super) fn outcome(self, error: &dyn std::fmt::Display) -> Outcome {
        Outcome::Reject {
            reason: self.as_str().into(),
            error: Some(error.to_string().into()),
        }
    }
}
impl Backoff {
    /// When it is tried again, or why never, so long after its first attempt. `chance` lies anywhere in its range.
    pub(super) fn after(&self, error: &Error, attempt: u32, since_first: Duration, chance: u64) -> Result<Duration, GivenUp> {
        if error.retry() == Retry::No {
            return Err(GivenUp::Refused);
        }
        if attempt >= self.attempts.max(1) {
            return Err(GivenUp::Attempts);
        }
        let left = self.give_up_after.map(|most| most.saturating_sub(since_first));
        match (self.asked(error), left) {
            (_, Some(Duration::ZERO)) => Err(GivenUp::Time),
            // Not sooner than it asked for, so not at all.
            (Some(asked), Some(left)) if asked > left => Err(GivenUp::Time),
            (Some(asked), _) => Ok(asked),
            (None, left) => {
                let wait = self.wait(attempt, chance);
                // The last moment is worth an attempt.
                Ok(left.map_or(wait, |left| wait.min(left)))
            }
        }
    }
    /// Full jitter: anything from nothing to the doubled wait, so that those who failed together do not come back together.
    fn wait(&self, attempt: u32, chance: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(self.max);
        let nanos = u64::try_from(doubled.as_nanos()).unwrap_or(u64::MAX);
        // The upper half of the product is the share.
        Duration::from_nanos(((u128::from(nanos) * u128::from(chance)) >> 64) as u64)
    }
    /// What a target asks for, as far as it is obeyed.
    pub(super) fn asked(&self, error: &Error) -> Option<Duration> {
        match error.retry() {
            Retry::After(asked) => Some(asked.min(self.obey)),
            Retry::Now | Retry::No => None,
        }
    }
}
/// When messages that failed were tried first.
#[derive(Default)]
pub(super) struct Firsts(HashMap<Position, Instant>);
impl Firsts {
    /// How long ago that was; `began` if this was it. With too many of them one is taken for new.
    pub(super) fn since(&mut self, position: Option<Position>, began: Instant, now: Instant) -> Duration {
        let Some(position) = position else { return now - began };
        let known = self.0.get(&position).copied();
        if known.is_none() && self.0.len() < MOST_AWAY {
            self.0.insert(position, began);
        }
        now.saturating_duration_since(known.unwrap_or(began))
    }
    /// It will not be tried again.
    pub(super) fn forget(&mut self, position: Option<Position>) {
        if !self.0.is_empty()
            && let Some(position) = position
        {
            self.0.remove(&position);
        }
    }
}
/// 64 bits of chance. Without any, jitter is at its middle.
pub(super) fn chance() -> u64 {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).map_or(1 << 63, |()| u64::from_ne_bytes(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::error::{Code, Fault};

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        max: Duration::from_mins(1),
        obey: Duration::from_hours(3),
        attempts: 20,
        give_up_after: None,
    };
    const NEW: Duration = Duration::ZERO;
    fn failed(retry: Retry) -> Error {
        Error::new(Code::TargetRefused, Fault::Broker, "500").with_retry(retry)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_lie_anywhere_below() {
        for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (19, 60)] {
            let most = BACKOFF.after(&failed(Retry::Now), attempt, NEW, u64::MAX).unwrap();
            assert_eq!(most.as_secs_f64().round() as u64, seconds, "attempt {attempt}");
            let least = BACKOFF.after(&failed(Retry::Now), attempt, NEW, 0).unwrap();
            assert_eq!(least, Duration::ZERO);
            let half = BACKOFF.after(&failed(Retry::Now), attempt, NEW, 1 << 63).unwrap();
            assert_eq!(half, Duration::from_secs(seconds) / 2);
        }
    }
    #[test]
    fn what_the_target_asks_for_is_obeyed_beyond_the_longest_within_reason() {
        for (asked, obeyed) in [(2, 2), (24 * 365, 3)] {
            let asked = failed(Retry::After(Duration::from_hours(asked)));
            assert_eq!(BACKOFF.after(&asked, 1, NEW, 0), Ok(Duration::from_hours(obeyed)));
        }
    }
    #[test]
    fn the_last_attempt_and_a_refusal_end_it() {
        assert_eq!(BACKOFF.after(&failed(Retry::Now), 20, NEW, 0), Err(GivenUp::Attempts));
        assert_eq!(BACKOFF.after(&failed(Retry::No), 1, NEW, 0), Err(GivenUp::Refused));
    }
    #[test]
    fn time_ends_it_and_the_last_moment_is_tried() {
        let backoff = Backoff {
            give_up_after: Some(Duration::from_hours(1)),
            first: Duration::from_mins(1),
            ..BACKOFF
        };
        let hour = Duration::from_hours(1);
        let short = |seconds: u64| Duration::from_secs(3_600 - seconds);
        let after = |since, retry| backoff.after(&failed(retry), 1, since, u64::MAX);
        assert_eq!(after(hour, Retry::Now), Err(GivenUp::Time));
        assert_eq!(after(short(5), Retry::Now), Ok(Duration::from_secs(5)));
        assert_eq!(after(short(5), Retry::After(Duration::from_secs(6))), Err(GivenUp::Time));
        assert_eq!(after(short(5), Retry::After(Duration::from_secs(5))), Ok(Duration::from_secs(5)));
    }
    #[tokio::test(start_paused = true)]
    async fn the_first_attempt_is_remembered_until_there_is_no_next() {
        let place = |offset| {
            Some(Position {
                source: 1,
                partition: 0,
                offset,
            })
        };
        let (mut firsts, began) = (Firsts::default(), Instant::now());
        let later = began + Duration::from_secs(10);
        assert_eq!(
            firsts.since(place(1), began, began + Duration::from_secs(1)),
            Duration::from_secs(1)
        );
        assert_eq!(firsts.since(place(1), later, later), Duration::from_secs(10));
        assert_eq!(firsts.since(place(2), later, later), Duration::ZERO);
        firsts.forget(place(1));
        assert_eq!(firsts.since(place(1), later, later), Duration::ZERO);
        assert_eq!(firsts.since(None, began, later), Duration::from_secs(10));
    }
}
