//! What the delivery log knows of the time before this node started. A circuit that was open stays open; where the log knows nothing the target is
//! asked, as after a first start. And who was stopped by its target still says so.
use super::DELIVERIES;
use crate::backwards::Backwards;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tidegate_core::{clock, error::Result};
use tidegate_endpoints::http::wish;
use tidegate_gateway::pump::Before;
use tidegate_log::Log;

/// Attempts that are looked at.
const LOOKED_AT: usize = 5_000;
/// And bytes of them, a little more or less.
const BYTES: usize = 16 << 20;

/// What is to be known of one webhook.
pub(crate) struct Circuit {
    /// So many failures in a row open it; 0: nothing does.
    pub(crate) failures: u32,
    /// The longest wish of a target that is obeyed.
    pub(crate) obey: Duration,
    /// Where it sends: what another target said is not its own.
    pub(crate) url: String,
}
/// What was seen of it so far, from the newest attempt on.
struct Seen<'a> {
    circuit: &'a Circuit,
    failed: u32,
    /// It refused a message since, and so was well enough to answer.
    answered: bool,
    until: Option<i64>,
    /// As far back as its attempts failed.
    ill: Option<Before>,
}
/// By webhook; times are microseconds since the epoch.
#[derive(Default)]
pub(crate) struct Past {
    /// Until when its target is left alone, if it is.
    pub(crate) rests: HashMap<Arc<str>, i64>,
    /// When its target stopped it, and what it said.
    pub(crate) stops: HashMap<Arc<str>, (i64, String)>,
    /// Whose last attempts all failed.
    pub(crate) ills: HashMap<Arc<str>, Before>,
}
impl Past {
    /// Of those whose circuit is to be known, and of those that stand still.
    pub(crate) async fn look(log: &Log, circuits: &HashMap<Arc<str>, Circuit>, mut still: HashSet<Arc<str>>) -> Result<Self> {
        let mut stops = HashMap::new();
        let Some(stream) = log.stream(DELIVERIES) else {
            return Ok(Self::default());
        };
        let now = clock::now_us();
        let of = |circuit| Seen {
            circuit,
            failed: 0,
            answered: false,
            until: None,
            ill: None,
        };
        let mut open: HashMap<&str, Seen<'_>> = circuits.iter().map(|(name, circuit)| (&**name, of(circuit))).collect();
        let mut known: Vec<(&str, Seen<'_>)> = Vec::new();
        let mut back = Backwards::new(log, &stream, 0, None);
        let (mut looked_at, mut bytes) = (0, 0);
        while !(back.is_over() || open.is_empty() && still.is_empty()) && looked_at < LOOKED_AT && bytes < BYTES {
            for (_, message) in back.step().await? {
                looked_at += 1;
                bytes += message.payload.len();
                let name = &*message.topic;
                if !open.contains_key(name) && !still.contains(name) {
                    continue;
                }
                let Ok(attempt) = serde_json::from_slice::<Value>(&message.payload) else {
                    continue;
                };
                if still.contains(name) && attempt["outcome"] != "abandoned" {
                    still.remove(name);
                    stops.extend(stopped(&attempt).map(|stop| (name.into(), stop)));
                }
                let over = open.get_mut(name).is_some_and(|seen| !seen.goes_on(&attempt));
                if over {
                    known.extend(open.remove_entry(name));
                }
            }
        }
        known.extend(open);
        let (mut rests, mut ills) = (HashMap::new(), HashMap::new());
        for (name, seen) in known {
            if let Some(until) = seen.rests_until().filter(|until| *until > now) {
                rests.insert(name.into(), until);
            }
            ills.extend(seen.ill.map(|ill| (name.into(), ill)));
        }
        Ok(Self { rests, stops, ills })
    }
}
/// When a target wanted nothing more, and what it said.
fn stopped(attempt: &Value) -> Option<(i64, String)> {
    let status = attempt["status"].as_u64().filter(|_| attempt["outcome"] == "stopped")?;
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    let at = attempt["at"].as_str().and_then(clock::parse_rfc3339)?;
    Some((at, format!("the target answered {status}")))
}
impl Seen<'_> {
    /// Until when its target wanted to be left alone, if its circuit was open.
    fn rests_until(&self) -> Option<i64> {
        self.until
            .filter(|_| self.circuit.failures > 0 && self.failed >= self.circuit.failures)
    }
    fn was_ill(&mut self, attempt: &Value) {
        if let Some(since) = attempt["at"].as_str().and_then(clock::parse_rfc3339) {
            self.ill.get_or_insert_with(|| met(attempt, since)).since = since;
        }
    }
    /// One more attempt; `false`: all is known.
    fn goes_on(&mut self, attempt: &Value) -> bool {
        match attempt["outcome"].as_str() {
            Some("answered" | "failed") if attempt["request"]["url"] == *self.circuit.url => {
                self.failed += u32::from(!self.answered);
                if !self.answered && self.failed <= self.circuit.failures {
                    self.until = self.until.max(asked(attempt, self.circuit.obey));
                }
                self.was_ill(attempt);
                true
            }
            Some("refused") if attempt["request"]["url"] == *self.circuit.url => {
                self.answered = true;
                self.was_ill(attempt);
                true
            }
            // Nobody heard what it would have said.
            Some("abandoned") => true,
            Some("stopped") => attempt["status"].is_null(),
            _ => false,
        }
    }
}
/// What was met, in the words of the pump.
fn met(attempt: &Value, since: i64) -> Before {
    let status = attempt["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let error = match (attempt["error"].as_str(), status) {
        (Some(error), _) => error.into(),
        (None, Some(status)) => format!("the target answered {status}").into(),
        (None, None) => "".into(),
    };
    Before { since, error }
}
/// Until when.
fn asked(attempt: &Value, obey: Duration) -> Option<i64> {
    let mut headers = HeaderMap::new();
    for name in [http::header::RETRY_AFTER, http::header::DATE] {
        let text = attempt["response"]["headers"][name.as_str()].as_str();
        let value = text.and_then(|text| HeaderValue::from_str(text).ok());
        headers.extend(value.map(|value| (HeaderName::clone(&name), value)));
    }
    let began = attempt["at"].as_str().and_then(clock::parse_rfc3339)?;
    let took = Duration::from_secs_f64((attempt["took_ms"].as_f64()? / 1_000.0).clamp(0.0, 86_400.0));
    let rest = took + wish(&headers)?.min(obey);
    Some(began.saturating_add(i64::try_from(rest.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const URL: &str = "https://a.example/";
    fn attempt(outcome: &str, retry_after: Option<&str>) -> Value {
        json!({
            "outcome": outcome, "at": "2026-11-22T10:00:00Z", "took_ms": 500.0, "request": {"url": URL},
            "response": {"headers": {"retry-after": retry_after}},
        })
    }
    /// Newest first: until when, in seconds behind the beginning of the attempts, and whether it was open.
    fn seen(failures: u32, attempts: &[Value]) -> (Option<f64>, bool) {
        let circuit = Circuit {
            failures,
            obey: Duration::from_mins(1),
            url: URL.to_owned(),
        };
        let mut seen = Seen {
            circuit: &circuit,
            failed: 0,
            answered: false,
            until: None,
            ill: None,
        };
        let _rest: Vec<_> = attempts.iter().take_while(|attempt| seen.goes_on(attempt)).collect();
        let began = clock::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        let until = seen.until.map(|until| (until - began) as f64 / 1e6);
        (until, seen.failed >= failures)
    }

    #[test]
    fn who_was_stopped_by_its_target_is_known() {
        let mut gone = attempt("stopped", None);
        assert_eq!(stopped(&gone), None, "by somebody");
        gone["status"] = json!(410);
        let at = clock::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        assert_eq!(stopped(&gone), Some((at, "the target answered 410 Gone".to_owned())));
        gone["outcome"] = json!("refused");
        assert_eq!(stopped(&gone), None);
    }
    #[test]
    fn who_was_ill_is_known_with_what_was_met_and_since_when() {
        let mut failed = attempt("failed", None);
        (failed["error"], failed["at"]) = (json!("connection refused"), json!("2026-11-22T10:00:09Z"));
        let mut first = attempt("answered", None);
        first["status"] = json!(500);
        let mut seen = Seen {
            circuit: &Circuit {
                failures: 1,
                obey: Duration::ZERO,
                url: URL.to_owned(),
            },
            failed: 0,
            answered: false,
            until: None,
            ill: None,
        };
        assert!(
            seen.goes_on(&failed)
                && seen.goes_on(&attempt("refused", None))
                && seen.goes_on(&first)
                && !seen.goes_on(&attempt("delivered", None))
        );
        let since = clock::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        assert_eq!(
            seen.ill,
            Some(Before {
                since,
                error: "connection refused".into()
            })
        );
        assert_eq!(seen.failed, 1, "who refuses is well");
        assert_eq!(&*met(&first, since).error, "the target answered 500 Internal Server Error");
    }
    #[test]
    fn a_circuit_was_open_if_enough_failed_in_a_row() {
        let ill = || attempt("answered", Some("30"));
        let none = || attempt("failed", None);
        assert_eq!(seen(2, &[ill(), none()]), (Some(30.5), true));
        assert_eq!(seen(2, &[none(), ill()]), (Some(30.5), true));
        assert_eq!(seen(2, &[none(), none(), ill()]), (None, true), "that was before it opened");
        assert_eq!(seen(2, &[ill()]), (Some(30.5), false));
        assert_eq!(seen(2, &[ill(), attempt("delivered", None), ill()]), (Some(30.5), false));
        assert_eq!(seen(2, &[attempt("refused", None), ill(), ill()]), (None, false));
        assert_eq!(seen(2, &[attempt("abandoned", None), ill(), ill()]), (Some(30.5), true));
        assert_eq!(
            seen(1, &[attempt("answered", Some("3600"))]),
            (Some(60.5), true),
            "as long as is obeyed"
        );
        let mut elsewhere = ill();
        elsewhere["request"]["url"] = json!("https://b.example/");
        assert_eq!(seen(1, &[elsewhere, ill()]), (None, false));
    }
}
