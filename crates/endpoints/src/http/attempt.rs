//! What the delivery log is told of an attempt: enough to see what happened, and no secret.
use super::Do;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering},
    },
    time::Duration,
};
use tidegate_core::{position::Position, sensitive::Sensitive};
use url::Url;

/// Of a body as much is shown.
pub(super) const EXCERPT: usize = 8 << 10;
/// Of the value of a header as much is shown.
const EXCERPT_OF_VALUE: usize = 1 << 10;
/// In place of a secret.
pub(super) const HIDDEN: HeaderValue = HeaderValue::from_static("***");

/// Hears of every attempt, for the delivery log.
pub trait Journal: Send + Sync {
    /// Takes it. Must not block: it is bounded, and counts what it cannot take. The bodies are slices: who keeps them copies.
    fn note(&self, attempt: Attempt);
    /// Nobody listens: then nothing is put together for it.
    fn is_deaf(&self) -> bool {
        false
    }
}
/// Nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Deaf;
impl Journal for Deaf {
    fn note(&self, _attempt: Attempt) {}
    fn is_deaf(&self) -> bool {
        true
    }
}
/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The name of the target.
    pub webhook: Arc<str>,
    /// When it began: microseconds since the epoch.
    pub at: i64,
    /// How long it took.
    pub took: Duration,
    /// What was sent.
    pub items: Vec<Sent>,
    /// What was asked.
    pub request: Excerpt,
    /// What came of it.
    pub outcome: AttemptOutcome,
}
/// A message of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// As `webhook-id` says it, when it is sent alone; the same on every attempt.
    pub id: Box<str>,
    /// Its place, where it has one.
    pub position: Option<Position>,
    /// Which attempt this was, from 1.
    pub attempt: u32,
}
/// A request as it was sent, without what is secret.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// `POST`.
    pub method: Method,
    /// With `***` for the values of a query.
    pub url: Arc<str>,
    /// With `***` for what is secret.
    pub headers: HeaderMap,
    /// Its beginning.
    pub body: Bytes,
    /// How long it is as a whole.
    pub length: u64,
}
/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum AttemptOutcome {
    /// The target answered.
    Answered {
        /// What it said.
        status: StatusCode,
        /// And what that means for the messages.
        means: Do,
        /// With `***` for what is secret.
        headers: HeaderMap,
        /// Its beginning.
        body: Bytes,
        /// The rest of it was not read: it was longer than may be.
        cut: bool,
    },
    /// There is no answer, or no whole one.
    Failed {
        /// How far it came.
        step: Step,
        /// What the target said, if it got that far.
        status: Option<StatusCode>,
        /// For people.
        error: String,
    },
    /// The webhook was stopped or changed, and nobody waited for the answer any more.
    Stopped {
        /// How far it came.
        step: Step,
    },
    /// Nobody waited for the answer any more, for another reason: the node ended, or whoever asked for it went.
    Abandoned {
        /// How far it came.
        step: Step,
    },
}
/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// It waits for its turn, or is put together.
    Compose,
    /// A token is fetched.
    Authorize,
    /// A name is looked up.
    Resolve,
    /// The address is judged.
    Guard,
    /// A connection is made, also through a proxy.
    Connect,
    /// Hands are shaken.
    Tls,
    /// The request is written.
    Write,
    /// It was written, and the answer has not begun.
    Wait,
    /// The answer is read.
    Read,
}
impl Step {
    const ALL: [Self; 9] = [
        Self::Compose,
        Self::Authorize,
        Self::Resolve,
        Self::Guard,
        Self::Connect,
        Self::Tls,
        Self::Write,
        Self::Wait,
        Self::Read,
    ];
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compose => "compose",
            Self::Authorize => "authorize",
            Self::Resolve => "resolve",
            Self::Guard => "guard",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Write => "write",
            Self::Wait => "wait",
            Self::Read => "read",
        }
    }
}
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
/// How far an attempt came, for who gives up waiting.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Reached>);
#[derive(Debug, Default)]
struct Reached {
    step: AtomicU8,
    /// What the answer began with; 0: it did not.
    status: AtomicU16,
    /// All of the request was handed over.
    whole: AtomicBool,
}
impl Progress {
    pub(super) fn reach(&self, step: Step) {
        self.0.step.store(step as u8, Ordering::Relaxed);
    }
    /// Nothing of the request is left to write, or not any more.
    pub(super) fn written(&self, whole: bool) {
        self.0.whole.store(whole, Ordering::Relaxed);
        self.reach(if whole { Step::Wait } else { Step::Write });
    }
    pub(super) fn is_written(&self) -> bool {
        self.0.whole.load(Ordering::Relaxed)
    }
    pub(super) fn answered(&self, status: StatusCode) {
        self.0.status.store(status.as_u16(), Ordering::Relaxed);
        self.reach(Step::Read);
    }
    pub(super) fn step(&self) -> Step {
        let number = self.0.step.load(Ordering::Relaxed);
        Step::ALL.get(usize::from(number)).copied().unwrap_or(Step::Compose)
    }
    pub(super) fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0.status.load(Ordering::Relaxed)).ok()
    }
}

/// The same headers, fit to be shown.
pub(super) fn redacted(mut headers: HeaderMap) -> HeaderMap {
    for (name, value) in &mut headers {
        if Sensitive::is_hidden(name.as_str()) || value.is_sensitive() {
            *value = HIDDEN;
        } else if let Some(begin) = value.as_bytes().get(..EXCERPT_OF_VALUE) {
            *value = HeaderValue::from_bytes(begin).unwrap_or(HIDDEN);
        }
    }
    headers
}
/// A URL fit to be shown: who it is, and with `***` for the values of its query.
pub(super) fn shown(url: &Url) -> Arc<str> {
    let mut bare = url.clone();
    bare.set_fragment(None);
    // Fails only for URLs that have no host.
    let _always_there = (bare.set_username(""), bare.set_password(None));
    let Some(query) = url.query() else { return bare.as_str().into() };
    let parts: Vec<String> = query
        .split('&')
        .map(|pair| {
            pair.split_once('=')
                .map_or_else(|| "***".to_owned(), |(name, _)| format!("{name}=***"))
        })
        .collect();
    bare.set_query(Some(&parts.join("&")));
    bare.as_str().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn secrets_are_not_shown() {
        let mut headers = HeaderMap::new();
        for (name, secret) in [
            ("authorization", true),
            ("cookie", true),
            ("set-cookie", true),
            ("x-api-key", true),
            ("x-auth", true),
            ("x-csrf-token", true),
            ("tidegate-key", false),
            ("webhook-signature", false),
            ("content-type", false),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("value"));
            let expected = if secret { "***" } else { "value" };
            assert_eq!(redacted(headers.clone())[name], expected, "{name}");
        }
        let mut marked = HeaderValue::from_static("value");
        marked.set_sensitive(true);
        headers.insert("x-team", marked);
        assert_eq!(redacted(headers)["x-team"], "***");
    }
    #[test]
    fn long_values_are_cut() {
        let mut headers = HeaderMap::new();
        headers.insert("x-long", HeaderValue::from_bytes(&[b'a'; 5_000]).unwrap());
        headers.insert("x-short", HeaderValue::from_static("a"));
        let shown = redacted(headers);
        assert_eq!((shown["x-long"].len(), shown["x-short"].len()), (1 << 10, 1));
    }
    #[test]
    fn urls_show_no_secrets() {
        for (url, expected) in [
            ("https://a.example/x?token=abc&b=1&c#f", "https://a.example/x?token=***&b=***&***"),
            ("https://u:p@a.example:8443/x", "https://a.example:8443/x"),
            ("https://a.example", "https://a.example/"),
        ] {
            assert_eq!(&*shown(&url.parse().unwrap()), expected);
        }
    }
    #[test]
    fn every_step_is_known_by_its_number() {
        let progress = Progress::default();
        for step in Step::ALL {
            progress.reach(step);
            assert_eq!(progress.step(), step);
        }
    }
}
