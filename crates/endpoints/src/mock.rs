//! Messages out of nothing, for trying things out: each consumer gets its own, from number 0, the first one interval after it came.
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tidegate_core::{
    check::{Checked, Kind, Problem},
    clock,
    delivery::{Delivery, Received},
    endpoint::{AckMode, Capabilities, Consumer, ConsumerSpec, Endpoint, Limit, Producer, Publish, Start},
    error::{Code, Error, Result},
    headers::Headers,
    message::Message,
    position::Position,
    receipt::Receipt,
    settle::Ack,
    topic::Topic,
};
use tokio::time::Instant;

const TOPIC: Topic = Topic::from_static("mock");
/// No faster than this: a mock is for looking at, not for load.
const SHORTEST: Duration = Duration::from_millis(1);

/// `{ interval: 1s, payload: mock message, count: 10, headers: { … }, metadata: { … } }`, every key optional.
pub fn kind() -> Kind {
    Kind {
        name: "mock",
        schema,
        check: Box::new(|value| check(value).map(|mock| Box::new(mock) as Box<dyn Checked>)),
    }
}
fn schema() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "interval": { "type": "string", "default": "1s", "description": "how long between two messages" },
            "payload": { "type": "string", "default": "mock message", "description": "what each message carries" },
            "count": { "type": "integer", "minimum": 0, "description": "how many messages a consumer gets; absent: endless" },
            "headers": texts,
            "metadata": texts,
        },
    })
}

/// Checked.
#[derive(Clone, Debug)]
struct Mock {
    interval: Duration,
    payload: Arc<str>,
    count: Option<u64>,
    headers: Headers,
    metadata: Headers,
    digest: u64,
}
fn check(value: &Value) -> Result<Mock, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |at: &str, expected: &'static str, hint: Option<&'static str>| {
        problems.push(Problem {
            at: at.to_owned(),
            expected: expected.into(),
            hint: hint.map(Into::into),
        });
    };
    let mut mock = Mock {
        interval: Duration::from_secs(1),
        payload: "mock message".into(),
        count: None,
        headers: Headers::EMPTY,
        metadata: Headers::EMPTY,
        digest: digest(value),
    };
    let empty = serde_json::Map::new();
    let keys = match value {
        Value::Null => &empty,
        Value::Object(keys) => keys,
        _ => {
            wrong("", "a map with `interval`, `payload`, `count`, `headers`, `metadata`", None);
            &empty
        }
    };
    for (key, value) in keys {
        let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        match key.as_str() {
            "interval" => match value.as_str().and_then(clock::parse_duration) {
                Some(interval) if interval >= SHORTEST => mock.interval = interval,
                _ => wrong(&at, "a duration of at least `1ms`, like `250ms`, `1s`, `2m`", None),
            },
            "payload" => match value {
                Value::String(text) => mock.payload = text.as_str().into(),
                Value::Null | Value::Array(_) | Value::Object(_) => wrong(&at, "a text", Some("put JSON in quotes")),
                Value::Bool(_) | Value::Number(_) => mock.payload = value.to_string().into(),
            },
            "count" => match value.as_u64() {
                Some(count) => mock.count = Some(count),
                None => wrong(&at, "a whole number, 0 or more", Some("leave it out for an endless mock")),
            },
            "headers" => texts(value, &at, &mut mock.headers, &mut wrong),
            "metadata" => texts(value, &at, &mut mock.metadata, &mut wrong),
            _ => wrong(&at, "one of `interval`, `payload`, `count`, `headers`, `metadata`", None),
        }
    }
    if problems.is_empty() { Ok(mock) } else { Err(problems) }
}
fn texts(value: &Value, at: &str, into: &mut Headers, wrong: &mut impl FnMut(&str, &'static str, Option<&'static str>)) {
    let Some(map) = value.as_object() else {
        return wrong(at, "a map of names to texts", None);
    };
    let mut builder = Headers::EMPTY.edit();
    for (name, value) in map {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                wrong(&format!("{at}/{name}"), "a text", None);
                continue;
            }
        };
        if builder.push(name, text.as_bytes()).is_err() {
            wrong(&format!("{at}/{name}"), "a name of at most 64 KiB", None);
        }
    }
    *into = builder.build();
}
/// Equal texts, equal mocks: `Value` keeps its keys sorted.
fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}
impl Checked for Mock {
    fn digest(&self) -> u64 {
        self.digest
    }
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Endpoint>>> {
        Box::pin(async move { Ok(Arc::new(*self) as Arc<dyn Endpoint>) })
    }
}

impl Endpoint for Mock {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: false,
            produce: false,
            consume: true,
            ack: AckMode::None,
            by_cursor: true,
            by_group: false,
            levels: &[],
            topic_admin: false,
        }
    }
    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(Nowhere)
    }
    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>>> {
        Box::pin(async move {
            let next = match &spec.start {
                Start::After(cursor) => cursor.iter().next().map_or(0, |p| number(p).saturating_add(1)),
                Start::At(position) => number(*position),
                Start::Earliest | Start::Latest | Start::Last(_) | Start::Since(_) => 0,
            };
            Ok(Box::new(Ticking {
                mock: self.clone(),
                next,
                due: Instant::now() + self.interval,
                draining: false,
            }) as Box<dyn Consumer>)
        })
    }
    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
/// A cursor a client made up is no reason to overflow.
fn number(p: Position) -> u64 {
    u64::try_from(p.offset).unwrap_or(u64::MAX)
}

/// A mock cannot be published to; deployment refuses it, so this answers nobody who went through `check`.
struct Nowhere;
impl Producer for Nowhere {
    fn send(&self, _publish: Publish) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(async { Err(Error::client(Code::LevelNotOffered, "a mock cannot be published to")) })
    }
}
struct Ticking {
    mock: Mock,
    next: u64,
    due: Instant,
    draining: bool,
}
impl Consumer for Ticking {
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move {
            if self.draining || self.mock.count.is_some_and(|count| self.next >= count) {
                return Ok(None);
            }
            tokio::time::sleep_until(self.due).await;
            let mut items = Vec::new();
            // More than one only if the client was slower than the interval.
            while items.len() < limit.messages.max(1) as usize
                && self.due <= Instant::now()
                && self.mock.count.is_none_or(|count| self.next < count)
            {
                items.push(self.mock.message(self.next, items.len() as u32));
                self.next = self.next.saturating_add(1);
                self.due += self.mock.interval;
            }
            Ok(Some(Delivery::new(items, Ack::none())))
        })
    }
    fn drain(&mut self) {
        self.draining = true;
    }
}
impl Mock {
    fn message(&self, number: u64, slot: u32) -> Received {
        let message = Message {
            headers: self.headers.clone(),
            at: clock::now_us(),
            ..Message::new(TOPIC, self.payload.as_bytes().to_vec())
        };
        let position = Position {
            source: 0,
            partition: 0,
            offset: u128::from(number),
        };
        Received {
            message: Arc::new(message),
            position: Some(position),
            attempt: 1,
            slot,
            metadata: self.metadata.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(value: Value) -> Arc<dyn Endpoint> {
        (kind().check)(&value).expect("checked").open().await.expect("opened")
    }
    fn spec(start: Start) -> ConsumerSpec {
        let window = Limit {
            messages: 100,
            bytes: 1 << 20,
        };
        ConsumerSpec {
            topics: Vec::new(),
            start,
            group: None,
            window,
        }
    }
    async fn offsets(consumer: &mut dyn Consumer, count: usize) -> Vec<u128> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let Some(delivery) = consumer.next(Limit { messages: 1, bytes: 1 }).await.unwrap() else {
                break;
            };
            seen.extend(delivery.items().iter().filter_map(|r| r.position).map(|p| p.offset));
            delivery.accept();
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_comes_one_interval_after_connecting_and_each_client_starts_at_zero() {
        let mock = open(json!({ "interval": "1s" })).await;
        let began = Instant::now();
        let mut one = mock.consumer(spec(Start::Latest)).await.unwrap();
        assert_eq!(offsets(&mut *one, 4).await, [0, 1, 2, 3]);
        assert_eq!(began.elapsed(), Duration::from_secs(4));
        let mut other = mock.consumer(spec(Start::Earliest)).await.unwrap();
        assert_eq!(offsets(&mut *other, 1).await, [0]);
    }
    #[tokio::test(start_paused = true)]
    async fn resumes_behind_a_cursor_and_ends_at_its_count() {
        let mock = open(json!({ "count": 5, "headers": { "a": "b" } })).await;
        let mut consumer = mock.consumer(spec(Start::After("2".parse().unwrap()))).await.unwrap();
        assert_eq!(offsets(&mut *consumer, 10).await, [3, 4]);
        let mut beyond = mock
            .consumer(spec(Start::After("340282366920938463463374607431768211455".parse().unwrap())))
            .await
            .unwrap();
        assert_eq!(offsets(&mut *beyond, 1).await, []);
    }
    #[test]
    fn tells_all_that_is_wrong_at_once() {
        let value = json!({ "interval": "0s", "payload": [], "count": -1, "headers": "x", "cuont": 1 });
        let problems = (kind().check)(&value).err().unwrap();
        let at: Vec<_> = problems.iter().map(|p| p.at.as_str()).collect();
        assert_eq!(at, ["/count", "/cuont", "/headers", "/interval", "/payload"]);
    }
}
