//! The one place that asks what time it is, so that tests and lints can find it.
use std::{
    fmt::Write as _,
    time::{Duration, Instant, SystemTime},
};

/// Microseconds since the epoch, by the machine's clock: it may jump, so it dates messages and measures nothing.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}
/// A moment that never goes back, for measuring and for deadlines.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn instant() -> Instant {
    Instant::now()
}
/// `at` (microseconds since the epoch) as RFC 3339 in UTC with microseconds: `2026-11-21T10:00:00.000001Z`.
/// What lies outside the calendar is written as its nearest end.
pub fn rfc3339(at: i64) -> String {
    let stamp = jiff::Timestamp::from_microsecond(at).unwrap_or(if at < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX });
    format!("{stamp:.6}")
}
/// Writes many times near each other: what changes less than once a second is made once, and nothing is for the same time again.
#[derive(Debug, Default)]
pub struct Rfc3339 {
    at: i64,
    /// Empty before the first.
    text: String,
}
impl Rfc3339 {
    /// Appends what [`rfc3339`] answers.
    pub fn write(&mut self, at: i64, out: &mut Vec<u8>) {
        if at != self.at || self.text.is_empty() {
            self.tell(at);
        }
        out.extend_from_slice(self.text.as_bytes());
    }
    fn tell(&mut self, at: i64) {
        let second = |at: i64| at.div_euclid(1_000_000);
        if self.text.is_empty() || second(at) != second(self.at) {
            self.text = rfc3339(at);
        } else {
            // `000000Z`.
            self.text.truncate(self.text.len().saturating_sub(7));
            // Writing to memory cannot fail.
            let _never = write!(self.text, "{:06}Z", at.rem_euclid(1_000_000));
        }
        self.at = at;
    }
}
/// Reads RFC 3339, to microseconds since the epoch.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}
/// `250ms 5s 2m 1h 7d`: a whole number and one unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        let text = rfc3339(1_795_000_000_000_001);
        assert_eq!(text.len(), "2026-11-21T10:00:00.000001Z".len());
        assert_eq!(parse_rfc3339(&text), Some(1_795_000_000_000_001));
    }
    #[test]
    fn both_ways_to_write_a_time_agree() {
        let mut writer = Rfc3339::default();
        for at in [
            0,
            1,
            -1,
            999_999,
            1_000_000,
            1_795_255_200_000_000,
            1_795_255_200_123_456,
            -62_000_000_000_000_000,
        ] {
            let mut out = Vec::new();
            writer.write(at, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), rfc3339(at));
        }
    }
    #[test]
    fn durations_have_one_unit() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_hours(7 * 24)));
        for bad in ["", "5", "s", "1.5s", "-1s", "5 s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
