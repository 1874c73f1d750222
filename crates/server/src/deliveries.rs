//! The delivery log: the last attempts of every webhook, as JSON in a stream of their own. Bounded on disk as that stream is; what comes
//! faster than it can be written is counted, not waited for.
mod search;

pub(crate) use search::search;

use base64_simd::STANDARD;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::{clock, error::Result, message::Message, receipt::Level};
use tidegate_endpoints::http::{Attempt, AttemptOutcome, Journal};
use tidegate_log::{Append, Entry, Log, Retention, Stream, StreamSpec};
use tokio::sync::mpsc;

/// The stream; no resource can be called so. A record's topic is the name of its webhook.
pub(crate) const DELIVERIES: &str = "$deliveries";
/// What it keeps.
const KEPT: (Duration, u64) = (Duration::from_hours(7 * 24), 64 << 20);
/// Attempts that wait to be written, a few KiB each.
const WAITING: usize = 2_048;

/// Hears of every attempt.
pub(crate) struct Deliveries {
    tell: mpsc::Sender<Box<Attempt>>,
    lost: AtomicU64,
}
impl Deliveries {
    /// And what writes them down, to be polled as long as the log is open.
    pub(crate) fn new(log: Arc<Log>) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (tell, told) = mpsc::channel(WAITING);
        let deliveries = Arc::new(Self {
            tell,
            lost: AtomicU64::new(0),
        });
        (deliveries, write(log, told))
    }
    /// Attempts that are not in it because they came too fast.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
impl Journal for Deliveries {
    fn note(&self, attempt: Attempt) {
        if self.tell.try_send(Box::new(attempt)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
async fn write(log: Arc<Log>, mut told: mpsc::Receiver<Box<Attempt>>) {
    let mut waiting = Vec::new();
    while told.recv_many(&mut waiting, 64).await > 0 {
        if let Err(error) = append(&log, &waiting).await {
            tracing::debug!(error = %error, "attempts are missing in the delivery log");
        }
        waiting.clear();
    }
}
async fn append(log: &Log, attempts: &[Box<Attempt>]) -> Result<()> {
    let stream = made(log).await?;
    let messages: Vec<_> = attempts
        .iter()
        .map(|attempt| Message::new((&*attempt.webhook).into(), shown(attempt).to_string()))
        .collect();
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
/// As the management API shows it.
pub(crate) fn shown(attempt: &Attempt) -> Value {
    let items = attempt
        .items
        .iter()
        .map(|item| json!({"id": &*item.id, "position": item.position.map(|position| position.to_string()), "attempt": item.attempt}));
    let request = &attempt.request;
    let mut whole = json!({
        "webhook": &*attempt.webhook,
        "at": clock::rfc3339(attempt.at),
        "took_ms": attempt.took.as_secs_f64() * 1_000.0,
        "messages": items.collect::<Vec<_>>(),
        "request": {
            "method": request.method.as_str(), "url": &*request.url, "headers": headers(&request.headers), "bytes": request.length,
        },
    });
    put(&mut whole["request"], &request.body);
    match &attempt.outcome {
        AttemptOutcome::Answered {
            status,
            headers: told,
            body,
            cut,
        } => {
            whole["outcome"] = if status.is_success() { "delivered" } else { "answered" }.into();
            whole["status"] = status.as_u16().into();
            whole["response"] = json!({"headers": headers(told), "cut": cut});
            put(&mut whole["response"], body);
        }
        AttemptOutcome::Failed { step, status, error } => {
            whole["outcome"] = "failed".into();
            whole["status"] = status.map(|status| status.as_u16()).into();
            whole["step"] = step.as_str().into();
            whole["error"] = error.as_str().into();
        }
        AttemptOutcome::Abandoned { step } => {
            whole["outcome"] = "abandoned".into();
            whole["step"] = step.as_str().into();
        }
    }
    whole
}
fn headers(all: &HeaderMap) -> Value {
    let mut map = Map::new();
    for (name, value) in all {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        match map.get_mut(name.as_str()) {
            Some(Value::String(known)) => {
                known.push_str(", ");
                known.push_str(&text);
            }
            _ => drop(map.insert(name.as_str().to_owned(), text.into())),
        }
    }
    map.into()
}
/// Text as it is, other bytes in base64.
fn put(into: &mut Value, body: &[u8]) {
    if let Ok(text) = std::str::from_utf8(body) {
        into["body"] = text.into();
    } else {
        into["body"] = STANDARD.encode_to_string(body).into();
        into["encoding"] = "base64".into();
    }
}
