//! The embedded default: hub and log as one endpoint. What a stream captures is stored and read from the log; the rest is live.
mod again;
mod captures;
mod consumer;
mod group;
mod later;
mod producer;
mod required;

pub use again::again;
pub use captures::Captures;
pub use later::{has_left, line_of};
pub use required::{Failures, Letter, Need, REASON};

use again::{Again, Second};
use arc_swap::ArcSwap;
use consumer::{FromHub, FromLog};
use futures::future::BoxFuture;
use group::{DELIVERIES, FromGroup};
use later::Later;
use producer::Sender;
use required::Needs;
use smallvec::{SmallVec, smallvec};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use tidegate_core::{
    endpoint::{AckMode, Capabilities, Consumer, ConsumerSpec, Endpoint, Producer, Start},
    error::{Code, Error, Fault, Result},
    filter::Filter,
    receipt::Level,
};
use tidegate_hub::{Bound, Hub};
use tidegate_log::{Committed, GroupSpec, Log, Manner, Stream};

/// What the local endpoints of a realm share.
pub struct House {
    log: Arc<Log>,
    hub: Arc<Hub>,
    captures: Arc<Captures>,
    later: Later,
    again: Again,
    /// By number of the stream.
    rules: RwLock<HashMap<u32, Rules>>,
    needs: ArcSwap<Needs>,
    failures: Arc<Failures>,
}
/// How the names of groups begin that anybody may make by asking for them.
const CLIENTS: [&str; 2] = ["$api/", "$memphis/"];
/// A stream has room for 1,000: whoever makes up names leaves some for webhooks.
const OF_CLIENTS: usize = 900;
/// What holds of a stream's groups, unless the one that makes a group says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How often a message is delivered.
    pub deliveries: Option<u32>,
    /// Which stream takes dead letters.
    pub dead_letters: Option<String>,
}
impl House {
    /// From now on, for groups that are made or joined.
    pub fn rule(&self, rules: impl IntoIterator<Item = (u32, Rules)>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules.into_iter().collect();
    }
    fn rules(&self, stream: &Stream) -> Rules {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.get(&stream.number()).cloned().unwrap_or_default()
    }
    /// Looks after delayed messages; to be polled as long as the log is open.
    pub async fn run(self: Arc<Self>) {
        later::run(self).await;
    }
    /// Over an open log and its hub.
    pub fn new(log: Arc<Log>, hub: Arc<Hub>, captures: Arc<Captures>) -> Arc<Self> {
        Arc::new(Self {
            log,
            hub,
            captures,
            later: Later::default(),
            rules: RwLock::default(),
            again: Again::default(),
            needs: required::nothing(),
            failures: Arc::default(),
        })
    }
    /// All topics, captured or live.
    pub fn topics(self: &Arc<Self>) -> Arc<dyn Endpoint> {
        Arc::new(Local {
            sender: Arc::new(Sender::new(self.clone())),
            house: self.clone(),
            stream: None,
        })
    }
    /// One stream, read whole.
    pub fn stream(self: &Arc<Self>, name: &str) -> Result<Arc<dyn Endpoint>> {
        let found = self.log.stream(name);
        let stream = found.ok_or_else(|| Error::new(Code::NoSuchStream, Fault::Operator, format!("there is no stream `{name}`")))?;
        Ok(Arc::new(Local {
            sender: Arc::new(Sender::of_stream(self.clone(), stream.clone())),
            house: self.clone(),
            stream: Some(stream),
        }))
    }
}
/// What the log calls when records are on disk: only now do captured topics go live. A message that several streams capture goes
/// once, with the stream of the lowest number.
pub fn go_live(hub: Arc<Hub>, captures: Arc<Captures>) -> impl Fn(&[Committed]) + Send + Sync {
    move |committed| {
        if hub.is_idle() {
            return;
        }
        for part in committed {
            for message in part.messages() {
                if hub.listens(&message.topic) && captures.first(&message.topic) == Some(part.stream) {
                    // What waits in a queue must not keep all that was committed with it in memory.
                    hub.publish(&Arc::new(message.detached()));
                }
            }
        }
    }
}

struct Local {
    house: Arc<House>,
    sender: Arc<Sender>,
    stream: Option<Arc<Stream>>,
}
impl Endpoint for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            shared: true,
            produce: true,
            consume: true,
            // Who reads alone has nothing to settle.
            ack: if self.stream.is_some() {
                AckMode::Individual
            } else {
                AckMode::None
            },
            by_cursor: self.stream.is_some(),
            by_group: self.stream.is_some(),
            levels: match self.stream {
                Some(_) => &[Level::Stored, Level::Accepted],
                // Which it is depends on the topic: asked for each publish.
                None => &[Level::Stored, Level::Delivered, Level::Accepted],
            },
            topic_admin: false,
        }
    }
    fn producer(&self) -> Arc<dyn Producer> {
        self.sender.clone()
    }
    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>>> {
        Box::pin(async move {
            match &self.stream {
                Some(stream) => self.by_stream(stream, spec, None).await,
                None => self.by_topic(spec).await,
            }
        })
    }
    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
impl Local {
    /// Alone, or as one of a group.
    async fn by_stream(&self, stream: &Arc<Stream>, spec: ConsumerSpec, filter: Option<Filter>) -> Result<Box<dyn Consumer>> {
        FromLog::check(&spec.start)?;
        let log = &self.house.log;
        let Some(group) = spec.group else {
            return Ok(Box::new(FromLog::new(log.reader(stream, spec.start)?, filter)));
        };
        let rules = self.house.rules(stream);
        let asked = GroupSpec {
            deliveries: Some(group.deliveries.or(rules.deliveries).unwrap_or(DELIVERIES)),
            dead_letters: group.dead_letters.map(|topic| topic.to_string()).or(rules.dead_letters),
        };
        let manner = Manner {
            ordered: group.ordered,
            ahead: group.ahead,
        };
        let name = group.name.as_str();
        if CLIENTS.iter().any(|begin| name.starts_with(begin))
            && log.find_group(stream, name).is_none()
            && log.groups(stream).len() >= OF_CLIENTS
        {
            let text = format!(
                "the stream `{}` has {OF_CLIENTS} groups, and takes no more of clients",
                stream.name()
            );
            return Err(Error::client(Code::Overloaded, text).with_hint("use one that is there, or `tidegate stream rm-group`"));
        }
        let group = log.group(stream, group.name.as_str(), spec.start, asked).await?;
        let filters = if self.stream.is_some() {
            spec.topics
        } else {
            filter.into_iter().collect()
        };
        let again = Second::new(self.house.clone(), group.clone(), (spec.window, manner)).await?;
        let member = log.member(&group, spec.window, manner);
        Ok(Box::new(FromGroup::new(member, again, filters)))
    }
    /// A captured topic is read from its log; patterns and topics that nobody captures come live.
    async fn by_topic(&self, spec: ConsumerSpec) -> Result<Box<dyn Consumer>> {
        let plain = match &spec.topics[..] {
            [filter] if filter.is_plain() => Some(filter),
            _ => None,
        };
        let mut streams = plain.map_or_else(SmallVec::new, |filter| self.house.captures.find(filter.as_str()));
        // A place to begin names its stream, where several would do.
        let source = match &spec.start {
            Start::At(position) => Some(position.source),
            Start::After(cursor) => cursor.iter().next().map(|position| position.source),
            Start::Earliest | Start::Latest | Start::Last(_) | Start::Since(_) => None,
        };
        if let Some(named) = streams.iter().find(|stream| Some(stream.number()) == source).cloned() {
            streams = smallvec![named];
        }
        match (plain, &streams[..]) {
            (Some(filter), [stream]) => {
                let narrower = self.narrower(filter, stream);
                self.by_stream(stream, spec, narrower).await
            }
            (Some(filter), [_, _, ..]) => {
                let names: Vec<_> = streams.iter().map(|stream| format!("`{}`", stream.name())).collect();
                Err(Error::client(
                    Code::AmbiguousStream,
                    format!("the streams {} capture `{}`", names.join(", "), filter.as_str()),
                )
                .with_hint("an api with `backend: { stream: NAME }` says which"))
            }
            _ if spec.group.is_some() => Err(Error::client(
                Code::NoSuchStream,
                "a group needs a stream to keep its place in, and none captures this topic",
            )),
            _ => {
                let subscriber = self.house.hub.subscribe(&spec.topics, Bound::default());
                Ok(Box::new(FromHub::new(subscriber, spec.start)))
            }
        }
    }
    /// A filter only where the stream holds other topics too.
    fn narrower(&self, filter: &Filter, stream: &Stream) -> Option<Filter> {
        let only = self.house.captures.holds_only(stream, filter.as_str());
        (!only).then(|| filter.clone())
    }
}
