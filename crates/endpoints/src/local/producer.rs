//! Each message to every stream that captures its topic, or to who listens now.
use super::House;
use bytes::Bytes;
use futures::future::BoxFuture;
use smallvec::SmallVec;
use std::{
    collections::{HashMap, hash_map},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tidegate_core::{
    batch::Batch,
    clock,
    endpoint::{Producer, Publish},
    error::{Code, Error, Result},
    message::Message,
    position::Position,
    receipt::{Kept, Level, Receipt},
    topic::Topic,
};
use tidegate_log::{Append, Entry, Stream};

pub(super) struct Sender {
    house: Arc<House>,
    /// For messages without a key: round robin.
    turn: AtomicU32,
    /// What a stream refuses may become a dead letter.
    buries: bool,
    /// Who publishes here means this stream, and not whoever else captures its topic.
    own: Option<Arc<Stream>>,
}
impl Sender {
    pub(super) fn new(house: Arc<House>) -> Self {
        Self {
            house,
            turn: AtomicU32::new(0),
            buries: true,
            own: None,
        }
    }
    /// To one stream.
    pub(super) fn of_stream(house: Arc<House>, stream: Arc<Stream>) -> Self {
        Self {
            own: Some(stream),
            ..Self::new(house)
        }
    }
    /// Of messages that are dead letters already.
    pub(super) fn of_dead(house: Arc<House>) -> Self {
        Self {
            buries: false,
            ..Self::new(house)
        }
    }
    fn partition(&self, stream: &Stream, message: &Message, asked: Option<u32>) -> Result<u32> {
        let partitions = stream.partitions();
        match (asked, &message.key) {
            (Some(partition), _) if partition < partitions => Ok(partition),
            (Some(partition), _) => Err(Error::client(
                Code::PartitionOutOfRange,
                format!("stream `{}` has partitions 0 to {}, not {partition}", stream.name(), partitions - 1),
            )),
            (None, _) if partitions == 1 => Ok(0),
            (None, Some(key)) => Ok(stream.partition_of(key)),
            (None, None) => Ok(self.turn.fetch_add(1, Ordering::Relaxed) % partitions),
        }
    }
}
impl Producer for Sender {
    fn send(&self, publish: Publish) -> BoxFuture<'_, Result<Receipt>> {
        Box::pin(async move {
            let Publish {
                mut batch,
                level,
                partition,
                scope,
            } = publish;
            let mut routes = Routes::new(&self.house, level, self.own.as_deref());
            let apart = self.house.ask(&mut routes, &mut batch, scope, self.buries).await?;
            let refused = batch.take_refused();
            if batch.is_empty() {
                return Ok(Receipt::now(Ok(Kept::new(level.unwrap_or(Level::Stored)))).with(refused));
            }
            let mut bytes = 0;
            let mut live = Vec::new();
            let now = clock::now_us();
            let is_later = |message: &Message| message.timing.as_ref().and_then(|timing| timing.due).is_some_and(|due| due > now);
            let mut lines = HashMap::new();
            if batch.iter().any(|message| is_later(message)) {
                lines = Box::pin(self.lines(&mut routes, &batch, is_later, partition)).await?;
            }
            for (item, message) in batch.iter().enumerate() {
                match routes.of(&message.topic)? {
                    streams if is_later(message) => bytes += streams.len() * Append::size(message),
                    [] => live.push(message.clone()),
                    streams => {
                        bytes += streams
                            .iter()
                            .map(|stream| Append::size(apart.of(item, stream, message)))
                            .sum::<usize>();
                    }
                }
            }
            if bytes == 0 {
                if let Some(partition) = partition.filter(|partition| *partition > 0) {
                    return Err(Error::client(
                        Code::PartitionOutOfRange,
                        format!("what no stream captures has no partition {partition}"),
                    ));
                }
                drop((routes, batch));
                self.live(live);
                return Ok(Receipt::now(Ok(Kept::new(level.unwrap_or(Level::Delivered)))).with(refused));
            }
            // Room first: what waits for it is not yet copied once per stream.
            let mut append = self.house.log.append(level.unwrap_or(Level::Stored), bytes).await?;
            for (item, message) in batch.iter().enumerate() {
                for stream in routes.of(&message.topic)? {
                    let line = lines.get(&stream.number()).filter(|_| is_later(message));
                    append.add(match line {
                        Some(stream) => Entry {
                            item: item as u32,
                            partition: 0,
                            stream,
                            message,
                            scope,
                        },
                        None => Entry {
                            item: item as u32,
                            partition: self.partition(stream, message, partition)?,
                            stream,
                            message: apart.of(item, stream, message),
                            scope,
                        },
                    });
                }
            }
            drop((routes, batch));
            let receipt = append.send()?.with(refused);
            self.live(live);
            Ok(receipt.without(lines.values().map(|line| line.number())))
        })
    }
    fn kept(&self, position: Position) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(self.house.payload(position))
    }
}
impl Sender {
    /// Where messages go that are due later, by the number of the stream they are for. Only what a stream captures can wait.
    async fn lines(
        &self,
        routes: &mut Routes<'_>,
        batch: &Batch,
        is_later: impl Fn(&Message) -> bool,
        partition: Option<u32>,
    ) -> Result<HashMap<u32, Arc<Stream>>> {
        if partition.is_some() {
            return Err(Error::client(
                Code::LevelNotOffered,
                "a delayed message goes by its key: it cannot name a partition",
            ));
        }
        let mut lines = HashMap::new();
        for message in batch.iter().filter(|message| is_later(message)) {
            let streams = routes.of(&message.topic)?;
            if streams.is_empty() {
                let text = format!("cannot delay: no stream captures topic {}", &*message.topic);
                return Err(Error::client(Code::LevelNotOffered, text));
            }
            for stream in streams {
                if let hash_map::Entry::Vacant(free) = lines.entry(stream.number()) {
                    free.insert(self.house.later.line(&self.house, stream).await?);
                }
            }
        }
        Ok(lines)
    }
    fn live(&self, messages: Vec<Arc<Message>>) {
        if messages.is_empty() {
            return;
        }
        let at = clock::now_us();
        let mut batch: Batch = messages.into_iter().collect();
        for number in 0..batch.len() {
            if let Some(message) = batch.edit(number) {
                message.at = at;
            }
        }
        for message in batch.into_messages() {
            self.house.hub.publish(&message);
        }
    }
}
/// Which streams capture what, of one call: nearly always one topic.
pub(super) struct Routes<'a> {
    house: &'a House,
    level: Option<Level>,
    own: Option<&'a Stream>,
    known: Option<(Topic, SmallVec<[Arc<Stream>; 1]>)>,
}
impl<'a> Routes<'a> {
    fn new(house: &'a House, level: Option<Level>, own: Option<&'a Stream>) -> Self {
        Self {
            house,
            level,
            own,
            known: None,
        }
    }
    /// None: it is live. The level is refused where it cannot be kept. A stream that was meant and is gone is nobody's level.
    pub(super) fn of(&mut self, topic: &Topic) -> Result<&[Arc<Stream>]> {
        if self.known.as_ref().is_none_or(|(known, _)| known != topic) {
            let own = self.own.filter(|own| own.topic() == topic);
            let streams = match own.and_then(|own| self.house.captures.named(own)) {
                Some(streams) => streams,
                None => self.house.captures.find(topic),
            };
            // One of that name that came after it will do.
            if let Some(own) = own.filter(|_| streams.iter().all(|stream| stream.topic() != topic)) {
                return Err(self.absent(own.name()));
            }
            offered(self.level, topic, &streams)?;
            self.known = Some((topic.clone(), streams));
        }
        Ok(self.known.as_ref().map_or(&[], |(_, streams)| streams))
    }
    fn absent(&self, own: &str) -> Error {
        if self.house.captures.is_closed(own) {
            return Error::client(Code::Forbidden, format!("the stream `{own}` takes dead letters and nothing else"));
        }
        Error::client(Code::NoSuchStream, format!("there is no stream `{own}` any more"))
    }
}
/// A level the target cannot keep is refused, never lowered.
fn offered(level: Option<Level>, topic: &Topic, streams: &[Arc<Stream>]) -> Result<()> {
    let refused = |why: String| Err(Error::client(Code::LevelNotOffered, why));
    match (level, streams) {
        (None | Some(Level::Accepted), _) | (Some(Level::Stored), [_, ..]) | (Some(Level::Delivered), []) => Ok(()),
        (Some(level @ (Level::Stored | Level::Replicated)), []) => {
            refused(format!("cannot promise {}: no stream captures topic {}", level.as_str(), &**topic))
        }
        (Some(Level::Replicated), [stream, ..]) => refused(format!(
            "cannot promise replicated: stream `{}` is on this node only",
            stream.name()
        )),
        (Some(Level::Delivered), [stream, ..]) => refused(format!(
            "cannot promise delivered: stream `{}` stores topic {}",
            stream.name(),
            &**topic
        )),
    }
}
