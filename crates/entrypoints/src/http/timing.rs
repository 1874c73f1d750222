//! How long a message is worth something, and when it is due: wishes as durations, which become moments when the message is made.
use std::time::Duration;
use tidegate_core::{
    clock,
    endpoint::Capabilities,
    error::{Code, Error, Result},
    message::Timing,
    receipt::Level,
};

/// The longest life.
const LONGEST_TTL: Duration = Duration::from_hours(365 * 24);
/// The longest wait.
pub(super) const LONGEST_DELAY: Duration = Duration::from_hours(24);

/// What a request or an item of it asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    ttl: Option<Duration>,
    delay: Option<Duration>,
}
impl Times {
    /// Words as they came, each with its name for what is told of an error.
    pub(crate) fn parse(ttl: Option<(&str, &str)>, delay: Option<(&str, &str)>) -> Result<Self, String> {
        let ttl = ttl.map(|(name, text)| between(name, text, Duration::from_millis(1), LONGEST_TTL, "365d"));
        let delay = delay.map(|(name, text)| between(name, text, Duration::ZERO, LONGEST_DELAY, "24h"));
        Ok(Self {
            ttl: ttl.transpose()?,
            delay: delay.transpose()?.filter(|delay| !delay.is_zero()),
        })
    }
    /// An item's own before those of all.
    pub(super) fn or(self, all: Self) -> Self {
        Self {
            ttl: self.ttl.or(all.ttl),
            delay: self.delay.or(all.delay),
        }
    }
    /// From now on. Nobody would ever see what expires before it is due.
    pub(crate) fn timing(self) -> Result<Option<Box<Timing>>, &'static str> {
        let Self { ttl, delay } = self;
        if ttl.is_none() && delay.is_none() {
            return Ok(None);
        }
        if delay.is_some_and(|delay| ttl.is_some_and(|ttl| ttl <= delay)) {
            return Err("it would expire before it is due: the time to live counts from now on, as the delay does");
        }
        let now = clock::now_us();
        // At most 365 days.
        let then = |after: Duration| now.saturating_add(after.as_micros() as i64);
        Ok(Some(Box::new(Timing {
            expires: ttl.map(then),
            due: delay.map(then),
        })))
    }
}
/// A duration within its bounds; `longest` as a user writes it.
fn between(name: &str, text: &str, shortest: Duration, most: Duration, longest: &str) -> Result<Duration, String> {
    let read = clock::parse_duration(text).filter(|time| *time >= shortest && *time <= most);
    read.ok_or_else(|| {
        let least = if shortest.is_zero() { "0s" } else { "1ms" };
        let text: String = text.chars().take(64).collect();
        format!(
            "`{name}` is `{}`: expected a duration such as `250ms`, `5s` or `2m`, from {least} to {longest}",
            text.escape_debug()
        )
    })
}
/// The level of messages of which some wait: only what is stored can.
pub(crate) fn level(delayed: bool, asked: Option<Level>, can: Capabilities) -> Result<Option<Level>> {
    let stores = |level: &Level| matches!(level, Level::Stored | Level::Replicated);
    if !delayed {
        return Ok(asked);
    }
    match asked {
        Some(level) if stores(&level) => Ok(Some(level)),
        Some(level) => Err(Error::client(
            Code::LevelNotOffered,
            format!(
                "a delayed message waits on disk, and `{}` does not promise that it gets there",
                level.as_str()
            ),
        )
        .with_hint("send `Tidegate-Ack: stored`, or no delay")),
        None => can.levels.iter().copied().find(stores).map(Some).ok_or_else(|| {
            Error::client(Code::LevelNotOffered, "nothing stores messages here, so none can wait")
                .with_hint("put a stream in front of it, or send no delay")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::endpoint::AckMode;

    fn times(ttl: Option<&str>, delay: Option<&str>) -> Result<Times, String> {
        Times::parse(ttl.map(|text| ("ttl", text)), delay.map(|text| ("delay", text)))
    }
    #[test]
    fn durations_become_moments() {
        assert_eq!(times(None, None).unwrap().timing(), Ok(None));
        let before = clock::now_us();
        let timing = times(Some("10s"), Some("250ms")).unwrap().timing().unwrap().unwrap();
        let after = clock::now_us();
        assert!((before + 10_000_000..=after + 10_000_000).contains(&timing.expires.unwrap()));
        assert!((before + 250_000..=after + 250_000).contains(&timing.due.unwrap()));
        assert_eq!(times(None, Some("0s")).unwrap().timing(), Ok(None), "no delay is none");
        let item = times(Some("1s"), None).unwrap().or(times(Some("9s"), Some("500ms")).unwrap());
        assert_eq!(item, times(Some("1s"), Some("500ms")).unwrap());
    }
    #[test]
    fn bounds_are_told() {
        for bad in ["", "5", "soon", "-1s", "0s", "366d", "1.5s"] {
            assert!(times(Some(bad), None).unwrap_err().ends_with("from 1ms to 365d"), "{bad}");
        }
        for bad in ["25h", "x"] {
            assert!(times(None, Some(bad)).unwrap_err().ends_with("from 0s to 24h"), "{bad}");
        }
        assert!(times(Some("365d"), Some("24h")).unwrap().timing().is_ok());
        assert!(times(Some("5s"), Some("5s")).unwrap().timing().is_err());
    }
    #[test]
    fn only_what_is_stored_can_wait() {
        let can = |levels| Capabilities {
            shared: true,
            produce: true,
            consume: true,
            ack: AckMode::None,
            by_cursor: true,
            by_group: false,
            levels,
            topic_admin: false,
        };
        let local = can(&[Level::Delivered, Level::Stored, Level::Accepted]);
        assert_eq!(level(true, None, local).unwrap(), Some(Level::Stored));
        assert_eq!(level(false, None, local).unwrap(), None);
        assert_eq!(level(true, Some(Level::Stored), local).unwrap(), Some(Level::Stored));
        for asked in [Level::Accepted, Level::Delivered] {
            assert_eq!(level(true, Some(asked), local).unwrap_err().code(), Code::LevelNotOffered);
            assert_eq!(level(false, Some(asked), local).unwrap(), Some(asked));
        }
        assert_eq!(
            level(true, None, can(&[Level::Delivered])).unwrap_err().code(),
            Code::LevelNotOffered
        );
        assert_eq!(level(true, None, can(&[Level::Replicated])).unwrap(), Some(Level::Replicated));
    }
}
