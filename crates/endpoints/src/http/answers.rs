//! What an answer means for the messages of its request.
use http::{HeaderMap, StatusCode, header};
use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Retry},
};

/// Longer nobody is waited for, whatever it says.
const LONGEST: Duration = Duration::from_hours(24);
/// The same request gets the same answer.
const HOPELESS: &[u16] = &[400, 405, 406, 411, 413, 414, 415, 422, 431];

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// The messages are delivered.
    Success,
    /// They are sent again later.
    Retry,
    /// They are given up at once.
    DeadLetter,
    /// Nothing is sent any more until somebody starts it again.
    Stop,
}
/// Ranges of statuses; the first that holds one decides, and the defaults where none does.
#[derive(Clone, Debug, Default)]
pub struct Answers(Vec<(RangeInclusive<u16>, Do)>);
impl Answers {
    /// Asked in this order.
    pub fn new(ranges: Vec<(RangeInclusive<u16>, Do)>) -> Self {
        Self(ranges)
    }
    /// 2xx is success and 410 the end. Redirects are never followed: they are tried again, as everything else that may change.
    pub fn of(&self, status: StatusCode) -> Do {
        let status = status.as_u16();
        let told = self.0.iter().find(|(range, _)| range.contains(&status));
        match (told, status) {
            (Some((_, what)), _) => *what,
            (None, 200..=299) => Do::Success,
            (None, 410) => Do::Stop,
            (None, status) if HOPELESS.contains(&status) => Do::DeadLetter,
            (None, _) => Do::Retry,
        }
    }
    /// The same as the pump is told.
    pub(super) fn judge(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Error> {
        let answered = |code, fault| Error::new(code, fault, format!("the target answered {status}"));
        match self.of(status) {
            Do::Success => Ok(()),
            Do::DeadLetter => Err(answered(Code::TargetRefused, Fault::Broker)),
            Do::Stop => Err(answered(Code::TargetGone, Fault::Operator).with_hint("start the webhook again if that was a mistake")),
            Do::Retry => {
                let retry = wish(headers).map_or(Retry::Now, Retry::After);
                let error = answered(Code::TargetRefused, Fault::Broker).with_retry(retry);
                Err(match status.as_u16() {
                    300..=399 => error.with_hint("redirects are not followed: name the address it leads to"),
                    401 | 403 => error.with_hint("it does not take who we say we are"),
                    _ => error,
                })
            }
        }
    }
}
/// `Retry-After` in seconds or as a date, at most a day.
pub fn wish(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // What no number holds is longer than a day.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    // Its clock and ours may differ: what counts is how far apart its two times are.
    let date = headers
        .get(header::DATE)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let now = date.unwrap_or_else(|| SystemTime::UNIX_EPOCH + Duration::from_micros(clock::now_us().max(0) as u64));
    Some(then.duration_since(now).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn every_status_has_a_meaning() {
        let answers = Answers::default();
        for status in 100..=999 {
            let expected = match status {
                200..=299 => Do::Success,
                410 => Do::Stop,
                400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431 => Do::DeadLetter,
                _ => Do::Retry,
            };
            assert_eq!(answers.of(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
    #[test]
    fn the_first_range_decides() {
        let answers = Answers::new(vec![(409..=409, Do::Success), (400..=499, Do::DeadLetter), (500..=599, Do::Stop)]);
        for (status, expected) in [
            (409, Do::Success),
            (410, Do::DeadLetter),
            (404, Do::DeadLetter),
            (503, Do::Stop),
            (204, Do::Success),
            (302, Do::Retry),
        ] {
            assert_eq!(answers.of(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
    #[test]
    fn who_says_when_is_waited_for_a_day_at_most() {
        let told = |value: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_str(date).unwrap());
            }
            wish(&headers)
        };
        let day = Some(Duration::from_hours(24));
        assert_eq!(told("0", None), Some(Duration::ZERO));
        assert_eq!(told(" 7 ", None), Some(Duration::from_secs(7)));
        assert_eq!(told("86401", None), day);
        assert_eq!(told("99999999999999999999999", None), day);
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(told("Sun, 06 Nov 1994 08:50:07 GMT", date), Some(Duration::from_secs(30)));
        assert_eq!(told("Sun, 06 Nov 1994 08:49:00 GMT", date), Some(Duration::ZERO));
        assert_eq!(told("Fri, 31 Dec 9999 23:59:59 GMT", date), day);
        // By our own clock.
        assert_eq!(told("Sun, 06 Nov 1994 08:49:00 GMT", None), Some(Duration::ZERO));
        assert_eq!(told("Fri, 31 Dec 9999 23:59:59 GMT", None), day);
        for none in ["", "-1", "1.5", "soon", "+3"] {
            assert_eq!(told(none, None), None, "{none}");
        }
    }
    #[test]
    fn the_pump_is_told_which_of_its_four_ways_to_go() {
        let judged = |status: u16, wish: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(wish) = wish {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(wish));
            }
            Answers::default()
                .judge(StatusCode::from_u16(status).unwrap(), &headers)
                .map_err(|error| (error.code(), error.retry()))
        };
        assert_eq!(judged(204, None), Ok(()));
        assert_eq!(judged(503, None), Err((Code::TargetRefused, Retry::Now)));
        assert_eq!(
            judged(429, Some("3")),
            Err((Code::TargetRefused, Retry::After(Duration::from_secs(3))))
        );
        assert_eq!(judged(422, Some("3")), Err((Code::TargetRefused, Retry::No)));
        assert_eq!(judged(410, None), Err((Code::TargetGone, Retry::No)));
        assert_eq!(judged(302, None), Err((Code::TargetRefused, Retry::Now)));
    }
}
