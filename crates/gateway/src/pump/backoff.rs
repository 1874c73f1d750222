//! What becomes of a message that its target did not take: when it is tried again, and when it is given up.
use std::time::Duration;
use tidegate_core::{
    delivery::Received,
    error::{Error, Retry},
    settle::Outcome,
};

/// How often, how late and for how long a message is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the second attempt; it doubles from there.
    pub first: Duration,
    /// The longest wait of all. What the target asks for may be longer.
    pub max: Duration,
    /// How often at most; one is the least.
    pub attempts: u32,
    /// How old a message may be when it is tried again, counted from when it was stored or due; `None`: attempts alone end it.
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
    /// When it is tried again, or why never. `now` in microseconds since the epoch; `chance` lies anywhere in its range.
    pub(super) fn after(&self, error: &Error, item: &Received, now: i64, chance: u64) -> Result<Duration, GivenUp> {
        if error.retry() == Retry::No {
            return Err(GivenUp::Refused);
        }
        if item.attempt >= self.attempts.max(1) {
            return Err(GivenUp::Attempts);
        }
        let left = self.left(item, now);
        match (error.retry(), left) {
            (_, Some(Duration::ZERO)) => Err(GivenUp::Time),
            // Not sooner than it asked for, so not at all.
            (Retry::After(asked), Some(left)) if asked > left => Err(GivenUp::Time),
            (Retry::After(asked), _) => Ok(asked),
            (Retry::Now | Retry::No, left) => {
                let wait = self.wait(item.attempt, chance);
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
    fn left(&self, item: &Received, now: i64) -> Option<Duration> {
        let most = self.give_up_after?;
        let due = item.message.timing.as_ref().and_then(|timing| timing.due).unwrap_or_default();
        let since = item.message.at.max(due);
        // An endpoint that sets no time says nothing about age.
        let age = if since > 0 { now.saturating_sub(since).max(0) } else { 0 };
        Some(most.saturating_sub(Duration::from_micros(age as u64)))
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
    use std::sync::Arc;
    use tidegate_core::{
        error::{Code, Fault},
        headers::Headers,
        message::{Message, Timing},
        topic::Topic,
    };

    const HOUR: i64 = 3_600_000_000;
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        max: Duration::from_mins(1),
        attempts: 20,
        give_up_after: None,
    };
    fn item(attempt: u32, at: i64) -> Received {
        let message = Message {
            at,
            ..Message::new(Topic::from("t"), "x")
        };
        Received {
            message: Arc::new(message),
            position: None,
            attempt,
            slot: 0,
            metadata: Headers::EMPTY,
        }
    }
    fn failed(retry: Retry) -> Error {
        Error::new(Code::TargetRefused, Fault::Broker, "500").with_retry(retry)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_lie_anywhere_below() {
        for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (19, 60)] {
            let most = BACKOFF.after(&failed(Retry::Now), &item(attempt, 0), 0, u64::MAX).unwrap();
            assert_eq!(most.as_secs_f64().round() as u64, seconds, "attempt {attempt}");
            let least = BACKOFF.after(&failed(Retry::Now), &item(attempt, 0), 0, 0).unwrap();
            assert_eq!(least, Duration::ZERO);
            let half = BACKOFF.after(&failed(Retry::Now), &item(attempt, 0), 0, 1 << 63).unwrap();
            assert_eq!(half, Duration::from_secs(seconds) / 2);
        }
    }
    #[test]
    fn what_the_target_asks_for_is_obeyed_beyond_the_longest() {
        let asked = failed(Retry::After(Duration::from_hours(2)));
        assert_eq!(BACKOFF.after(&asked, &item(1, 0), 0, 0), Ok(Duration::from_hours(2)));
    }
    #[test]
    fn the_last_attempt_and_a_refusal_end_it() {
        assert_eq!(BACKOFF.after(&failed(Retry::Now), &item(20, 0), 0, 0), Err(GivenUp::Attempts));
        assert_eq!(BACKOFF.after(&failed(Retry::No), &item(1, 0), 0, 0), Err(GivenUp::Refused));
    }
    #[test]
    fn time_ends_it_and_the_last_moment_is_tried() {
        let backoff = Backoff {
            give_up_after: Some(Duration::from_hours(1)),
            first: Duration::from_mins(1),
            ..BACKOFF
        };
        let stored = 1_000 * HOUR;
        let after = |age: i64, retry| backoff.after(&failed(retry), &item(1, stored), stored + age, u64::MAX);
        assert_eq!(after(HOUR, Retry::Now), Err(GivenUp::Time));
        assert_eq!(after(HOUR - 5_000_000, Retry::Now), Ok(Duration::from_secs(5)));
        assert_eq!(after(HOUR - 5_000_000, Retry::After(Duration::from_secs(6))), Err(GivenUp::Time));
        assert_eq!(
            after(HOUR - 5_000_000, Retry::After(Duration::from_secs(5))),
            Ok(Duration::from_secs(5))
        );
        let mut delayed = item(1, stored);
        Arc::make_mut(&mut delayed.message).timing = Some(Box::new(Timing {
            expires: None,
            due: Some(stored + 10 * HOUR),
        }));
        let young = backoff.after(&failed(Retry::Now), &delayed, stored + 10 * HOUR, 0);
        assert_eq!(young, Ok(Duration::ZERO), "what was to wait is not old");
        let unknown = backoff.after(&failed(Retry::Now), &item(1, 0), stored, 0);
        assert_eq!(unknown, Ok(Duration::ZERO));
    }
}
