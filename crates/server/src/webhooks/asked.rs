//! What a webhook is asked to send at once: a test message, or what its source still holds once more. Its own place stays where it is.
use super::{GROUP, Webhooks, guard, job};
use crate::{
    backwards::{Backwards, at, between},
    deliveries::{Deliveries, Shown, search},
};
use futures::{StreamExt, future::BoxFuture, stream};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidegate_config::webhook::{Order, WebhookSource};
use tidegate_control::hooks::{Attempts, Hooks, Place, Wanted, Which};
use tidegate_core::{
    action::Action,
    clock,
    delivery::Received,
    error::{Code, Error, Fault, Result},
    filter::Filter,
    headers::Headers,
    message::Message,
    position::Position,
};
use tidegate_endpoints::http::{Attempt, Journal, Shared, Target, spelled};
use tidegate_log::{Log, Stream};

/// Of one replay.
const MOST: usize = 1_000;
/// Records that are looked at for it.
const LOOKED_AT: usize = 100_000;
/// What is not sent by then is left: somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// When a message came, and where it lies.
type Found = (i64, Position);
/// Listens to one attempt beside the delivery log.
struct Overheard {
    deliveries: Arc<Deliveries>,
    told: Mutex<Option<Value>>,
}
impl Journal for Overheard {
    fn note(&self, attempt: Attempt) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = serde_json::to_value(Shown::from(&attempt)).ok();
        self.deliveries.note(attempt);
    }
}
/// What a webhook reads, as it lies in the log.
struct From<'a> {
    log: &'a Log,
    stream: Arc<Stream>,
    topics: Vec<Filter>,
}

impl Hooks for Webhooks {
    fn deliveries<'a>(&'a self, webhook: &'a str, wanted: &'a Wanted) -> BoxFuture<'a, Result<Attempts>> {
        Box::pin(search(&self.log, Some(webhook), wanted))
    }
    fn test<'a>(&'a self, webhook: &'a str) -> BoxFuture<'a, Result<Value>> {
        Box::pin(self.test_now(webhook))
    }
    fn replay<'a>(&'a self, webhook: &'a str, which: Which) -> BoxFuture<'a, Result<Value>> {
        Box::pin(self.replay_now(webhook, which))
    }
    fn trace<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Value>> {
        Box::pin(super::trace::trace(&self.log, id))
    }
}
impl Webhooks {
    /// Through a client of its own: it also tells of a webhook that stands still, and waits behind nobody.
    async fn test_now(&self, name: &str) -> Result<Value> {
        let running = self.running(name)?;
        let journal = Arc::new(Overheard {
            deliveries: self.deliveries.clone(),
            told: Mutex::default(),
        });
        let shared = Shared::new(guard(&running.outgoing), journal.clone());
        let target = Target::new(job::spec(&running.webhook, &running.outgoing)?, Arc::new(shared))?;
        let now = clock::now_us();
        let payload = json!({"test": true, "webhook": name, "at": clock::rfc3339(now)});
        let mut message = Message::new("tidegate/test".into(), payload.to_string());
        message.id = Some(format!("test_{now}").into());
        message.at = now;
        let result = target.perform(&[received(Arc::new(message), None)]).await;
        let told = journal.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let unheard = || Error::new(Code::Internal, Fault::Gateway, "the test message was not sent");
        let mut told = told.ok_or_else(unheard)?;
        told["taken"] = result.is_ok().into();
        if let Some(error) = result.as_ref().err().and_then(|error| error.of(0)) {
            told["error"] = error.to_string().into();
            told["code"] = error.code().to_string().into();
        }
        Ok(told)
    }
    async fn replay_now(&self, name: &str, which: Which) -> Result<Value> {
        let running = self.running(name)?;
        let Some(target) = running.target else {
            let error = Error::client(Code::Changed, format!("the webhook `{name}` is stopped"));
            return Err(error.with_hint(format!("tidegate webhook start {name}")));
        };
        let unread = || {
            Error::new(
                Code::NoSuchStream,
                Fault::Operator,
                format!("the webhook `{name}` has not begun to read its source"),
            )
        };
        let from = From {
            log: &self.log,
            stream: self.source(name, &running.webhook.source).ok_or_else(unread)?,
            topics: running.topics,
        };
        let found = match which {
            Which::Last(count) => from.last(count).await?,
            Which::Id(id) => vec![self.find(name, &from, &id).await?],
            Which::Range(begin, end) => from.range(begin, end).await?,
        };
        // One after the other where order is asked for, as its pump does.
        let at_once = match running.webhook.order {
            Order::None => running.webhook.parallel as usize,
            Order::Key | Order::All => 1,
        };
        let until = clock::instant() + PATIENCE;
        let (from, target) = (&from, &*target);
        let send = |(_, position): &Found| {
            let position = *position;
            async move {
                if clock::instant() >= until {
                    return None;
                }
                let mut told = json!({"position": position.to_string()});
                match at(from.log, &from.stream, position).await {
                    Ok(Some(message)) => {
                        let id = message.id.as_deref().map(|id| String::from_utf8_lossy(id).into_owned());
                        told["id"] = id.unwrap_or_else(|| position.to_string()).into();
                        if let Err(error) = target.perform(&[received(message, Some(position))]).await {
                            told["error"] = error.of(0).map_or_else(String::new, ToString::to_string).into();
                        }
                    }
                    Ok(None) => told["error"] = "it is not there any more".into(),
                    Err(error) => told["error"] = error.to_string().into(),
                }
                Some(told)
            }
        };
        let results: Vec<Value> = stream::iter(found.iter().map(send))
            .buffered(at_once.max(1))
            .filter_map(std::future::ready)
            .collect()
            .await;
        let failed = results.iter().filter(|told| told["error"].is_string()).count();
        Ok(json!({
            "matched": found.len(), "sent": results.len() - failed, "failed": failed, "left": found.len() - results.len(), "results": results,
        }))
    }
    fn source(&self, name: &str, source: &WebhookSource) -> Option<Arc<Stream>> {
        if let WebhookSource::Stream(of) = source {
            return self.log.stream(of);
        }
        let called = format!("{GROUP}{name}");
        let mut streams = self.log.streams().into_iter();
        streams.find(|stream| self.log.find_group(stream, &called).is_some())
    }
    /// By its position; by the delivery log, which knows where it lies; else by looking through the source.
    async fn find(&self, name: &str, from: &From<'_>, id: &str) -> Result<Found> {
        let place = id
            .parse::<Position>()
            .ok()
            .filter(|position| position.source == from.stream.number());
        let place = if place.is_some() {
            place
        } else {
            let wanted = Wanted {
                id: Some(id.to_owned()),
                limit: 1,
                ..Wanted::default()
            };
            let attempts = search(&self.log, Some(name), &wanted).await?.items;
            let messages = attempts.iter().filter_map(|attempt| attempt["messages"].as_array()).flatten();
            let spelled = spelled(id.as_bytes());
            let mut places = messages
                .filter(|message| message["id"] == id || message["id"] == *spelled)
                .filter_map(|message| message["position"].as_str()?.parse().ok());
            places.next()
        };
        if let Some(place) = place
            && let Some(message) = at(from.log, &from.stream, place).await?
        {
            return Ok((message.at, place));
        }
        let is = |message: &Message| message.id.as_deref() == Some(id.as_bytes());
        let found = from.newest(1, is).await?.pop();
        let gone = || {
            let text = format!(
                "the source of `{name}` holds no message `{}` among the newest {LOOKED_AT}",
                id.escape_debug()
            );
            Error::client(Code::NoSuchResource, text).with_hint("`tidegate webhook log` shows positions, which are found at once")
        };
        found.ok_or_else(gone)
    }
}
impl From<'_> {
    fn wants(&self, message: &Message) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|topic| topic.matches(&message.topic))
    }
    async fn last(&self, count: usize) -> Result<Vec<Found>> {
        self.newest(count, |_| true).await
    }
    /// In the order they came.
    async fn newest(&self, count: usize, is: impl Fn(&Message) -> bool) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for partition in 0..self.stream.partitions() {
            let mut behind = Backwards::new(self.log, &self.stream, partition, None);
            let (mut found, mut looked_at) = (0, 0);
            while found < count && looked_at < LOOKED_AT && !behind.is_over() {
                for (position, message) in behind.step().await? {
                    looked_at += 1;
                    if found < count && self.wants(&message) && is(&message) {
                        found += 1;
                        all.push((message.at, position));
                    }
                }
            }
        }
        all.sort_unstable();
        Ok(all.split_off(all.len().saturating_sub(count)))
    }
    async fn range(&self, begin: Place, end: Option<Place>) -> Result<Vec<Found>> {
        let partitions = match begin {
            Place::At(position) if position.source != self.stream.number() => {
                let text = format!("`from` is no position of the stream `{}`", self.stream.name());
                return Err(Error::client(Code::BadValue, text));
            }
            Place::At(position) => position.partition..position.partition.saturating_add(1).min(self.stream.partitions()),
            Place::Time(_) => 0..self.stream.partitions(),
        };
        if let Some(Place::At(last)) = end {
            let Place::At(first) = begin else {
                return Err(Error::client(
                    Code::BadValue,
                    "`to` is a position and `from` is none: a range has two of a kind",
                ));
            };
            if (last.source, last.partition) != (first.source, first.partition) {
                return Err(Error::client(Code::BadValue, "`from` and `to` are not of one partition"));
            }
        }
        let before = |at: i64| matches!(begin, Place::Time(first) if at < first);
        let behind = |at: i64| matches!(end, Some(Place::Time(last)) if at > last);
        let mut all = Vec::new();
        for partition in partitions {
            let Some((floor, top)) = self.stream.range(partition) else {
                continue;
            };
            let mut next = match begin {
                Place::At(first) => u64::try_from(first.offset).unwrap_or(u64::MAX).max(floor),
                Place::Time(first) => self.since(partition, first).await?,
            };
            let top = match end {
                Some(Place::At(last)) => u64::try_from(last.offset).unwrap_or(u64::MAX).saturating_add(1).min(top),
                _ => top,
            };
            'partition: while next < top {
                let to = next.saturating_add(256).min(top);
                for (position, message) in between(self.log, &self.stream, partition, next..to).await? {
                    if behind(message.at) {
                        break 'partition;
                    }
                    if self.wants(&message) && !before(message.at) {
                        all.push((message.at, position));
                    }
                }
                if all.len() > MOST {
                    let text = format!("more than {MOST} messages lie there; nothing was sent");
                    return Err(Error::client(Code::BadValue, text).with_hint("name a smaller range"));
                }
                next = to;
            }
        }
        all.sort_unstable();
        Ok(all)
    }
    /// The offset of the first message that came then or later, by halves: times rise.
    async fn since(&self, partition: u32, time: i64) -> Result<u64> {
        let (mut low, mut high) = self.stream.range(partition).unwrap_or_default();
        while low < high {
            let middle = low.midpoint(high);
            let found = between(self.log, &self.stream, partition, middle..high.min(middle.saturating_add(16))).await?;
            match found.first() {
                Some((position, message)) if message.at < time => low = u64::try_from(position.offset).unwrap_or(high).saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
fn received(message: Arc<Message>, position: Option<Position>) -> Received {
    Received {
        message,
        position,
        attempt: 1,
        slot: 0,
        metadata: Headers::EMPTY,
    }
}
