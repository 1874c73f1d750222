//! The delivery log: the last attempts of every webhook, as JSON in a stream of their own. Bounded on disk as that stream is; what comes
//! faster than it can be written is counted, not waited for.
mod past;
mod search;

pub(crate) use past::{Circuit, Past};
pub(crate) use search::{is_message, search};

use base64_simd::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{clock, error::Result, message::Message, receipt::Level};
use tidegate_endpoints::http::{Attempt, AttemptOutcome, Do, Journal};
use tidegate_log::{Append, Entry, Log, Retention, Stream, StreamSpec};
use tokio::sync::mpsc;

/// The stream; no resource can be called so. A record's topic is the name of its webhook.
pub(crate) const DELIVERIES: &str = "$deliveries";
/// What it keeps.
const KEPT: (Duration, u64) = (Duration::from_hours(7 * 24), 64 << 20);
/// Bytes that wait to be written, and attempts.
const WAITING: usize = 8 << 20;
const MOST: usize = 16_384;
/// Attempts that are written at once.
const AT_ONCE: usize = 256;

/// Hears of every attempt.
pub(crate) struct Deliveries {
    tell: mpsc::Sender<Told>,
    waiting: Arc<AtomicUsize>,
    lost: AtomicU64,
}
/// An attempt as it is written: what it was made of may be a slice of much more.
struct Told {
    webhook: Arc<str>,
    text: Vec<u8>,
}
impl Deliveries {
    /// And what writes them down, to be polled as long as the log is open.
    pub(crate) fn new(log: Arc<Log>) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (tell, told) = mpsc::channel(MOST);
        let waiting = Arc::new(AtomicUsize::new(0));
        let deliveries = Arc::new(Self {
            tell,
            waiting: waiting.clone(),
            lost: AtomicU64::new(0),
        });
        (deliveries, write(log, told, waiting))
    }
    /// Attempts that are not in it because they came too fast.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
impl Journal for Deliveries {
    fn note(&self, attempt: Attempt) {
        let room = self.waiting.load(Ordering::Relaxed) < WAITING;
        if room && let Some(text) = written(&attempt) {
            let (webhook, length) = (attempt.webhook, text.len());
            self.waiting.fetch_add(length, Ordering::Relaxed);
            if self.tell.try_send(Told { webhook, text }).is_ok() {
                return;
            }
            self.waiting.fetch_sub(length, Ordering::Relaxed);
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}
/// Nothing in it can fail to be written as JSON.
fn written(attempt: &Attempt) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(1 << 10);
    serde_json::to_writer(&mut text, &Shown::from(attempt)).ok()?;
    Some(text)
}
async fn write(log: Arc<Log>, mut told: mpsc::Receiver<Told>, waiting: Arc<AtomicUsize>) {
    let mut all = Vec::new();
    while told.recv_many(&mut all, AT_ONCE).await > 0 {
        waiting.fetch_sub(all.iter().map(|told| told.text.len()).sum(), Ordering::Relaxed);
        if let Err(error) = append(&log, all.drain(..)).await {
            tracing::debug!(error = %error, "attempts are missing in the delivery log");
        }
    }
}
async fn append(log: &Log, attempts: impl Iterator<Item = Told>) -> Result<()> {
    let stream = made(log).await?;
    let messages: Vec<_> = attempts.map(|told| Message::new((&*told.webhook).into(), told.text)).collect();
    let mut append = log.append(Level::Accepted, messages.iter().map(Append::size).sum()).await?;
    for (item, message) in messages.iter().enumerate() {
        append.add(Entry {
            item: item as u32,
            stream: &stream,
            partition: 0,
            message,
            scope: 0,
        });
    }
    append.send().map(drop)
}
/// The stream there is, or a new one.
pub(crate) async fn made(log: &Log) -> Result<Arc<Stream>> {
    if let Some(stream) = log.stream(DELIVERIES) {
        return Ok(stream);
    }
    let spec = StreamSpec {
        retention: Retention {
            age: Some(KEPT.0),
            bytes: Some(KEPT.1),
            messages: None,
        },
        ..StreamSpec::default()
    };
    log.create_stream(DELIVERIES, spec).await
}
/// As the delivery log and the management API show it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    webhook: &'a str,
    at: String,
    took_ms: f64,
    messages: Vec<Item<'a>>,
    request: Asked<'a>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Answered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}
#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    position: Option<String>,
    attempt: u32,
}
#[derive(Serialize)]
struct Asked<'a> {
    method: &'a str,
    url: &'a str,
    headers: Headers<'a>,
    bytes: u64,
    #[serde(flatten)]
    body: Body<'a>,
}
#[derive(Serialize)]
struct Answered<'a> {
    headers: Headers<'a>,
    cut: bool,
    #[serde(flatten)]
    body: Body<'a>,
}
impl<'a> From<&'a Attempt> for Shown<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let request = &attempt.request;
        let mut shown = Self {
            webhook: &attempt.webhook,
            at: clock::rfc3339(attempt.at),
            took_ms: attempt.took.as_secs_f64() * 1_000.0,
            messages: attempt
                .items
                .iter()
                .map(|item| Item {
                    id: &item.id,
                    position: item.position.map(|position| position.to_string()),
                    attempt: item.attempt,
                })
                .collect(),
            request: Asked {
                method: request.method.as_str(),
                url: &request.url,
                headers: Headers(&request.headers),
                bytes: request.length,
                body: Body::from(&*request.body),
            },
            outcome: "abandoned",
            status: None,
            response: None,
            step: None,
            error: None,
        };
        match &attempt.outcome {
            AttemptOutcome::Answered {
                status,
                means,
                headers,
                body,
                cut,
            } => {
                shown.outcome = match means {
                    Do::Success => "delivered",
                    Do::Retry => "answered",
                    Do::DeadLetter => "refused",
                    Do::Stop => "stopped",
                };
                shown.status = Some(status.as_u16());
                shown.response = Some(Answered {
                    headers: Headers(headers),
                    cut: *cut,
                    body: Body::from(&**body),
                });
            }
            AttemptOutcome::Failed { step, status, error } => {
                shown.outcome = "failed";
                shown.status = status.map(|status| status.as_u16());
                shown.step = Some(step.as_str());
                shown.error = Some(error);
            }
            AttemptOutcome::Stopped { step } => {
                shown.outcome = "stopped";
                shown.step = Some(step.as_str());
                shown.error = Some("the webhook was stopped or changed");
            }
            AttemptOutcome::Abandoned { step } => shown.step = Some(step.as_str()),
        }
        shown
    }
}
/// Several values of one name are one, as HTTP says.
struct Headers<'a>(&'a HeaderMap);
impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.keys_len()))?;
        let mut all = self.0.iter().peekable();
        while let Some((name, value)) = all.next() {
            let mut whole = text(value);
            // Values of one name lie side by side.
            while let Some((_, more)) = all.next_if(|(next, _)| *next == name) {
                whole = Cow::Owned(format!("{whole}, {}", text(more)));
            }
            map.serialize_entry(name.as_str(), &whole)?;
        }
        map.end()
    }
}
fn text(value: &HeaderValue) -> Cow<'_, str> {
    value
        .to_str()
        .map_or_else(|_| String::from_utf8_lossy(value.as_bytes()), Cow::Borrowed)
}
/// Text as it is, other bytes in base64.
#[derive(Serialize)]
struct Body<'a> {
    body: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}
impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                body: text.into(),
                encoding: None,
            },
            Err(_) => Self {
                body: STANDARD.encode_to_string(bytes).into(),
                encoding: Some("base64"),
            },
        }
    }
}
