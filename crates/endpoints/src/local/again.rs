//! Dead letters that are sent again. To the group that gave them up they go through a stream of its own, which nobody else reads: the move and
//! the mark that it was made are durable together. Elsewhere they are published like anything else, and marked then: at least once.
use super::{House, producer::Sender};
use std::{collections::HashMap, sync::Arc};
use tidegate_core::{
    batch::Batch,
    delivery::{Delivery, Received},
    endpoint::{Limit, Producer, Publish, Start},
    error::{Code, Error, Result},
    headers::Headers,
    message::Message,
    position::Position,
    receipt::{Level, Receipt},
    topic::Topic,
};
use tidegate_log::{AGAIN, Append, Entry, Group, GroupSpec, Keep, Log, Manner, Member, Retention, Stream, StreamSpec, dead_letter};
use tokio::sync::{Notify, futures::Notified};

/// What the name of a stream may take, in bytes.
const NAME: usize = 255;
/// So that who is sent again is a duplicate of nobody but itself.
const SCOPE: u64 = 0x6465_6164_6c65_7474;

/// Tells who reads a group that there is something to send again.
#[derive(Default)]
pub(super) struct Again {
    made: Notify,
}
impl Again {
    /// Resolves when a stream was made; to be enabled before looking for one.
    pub(super) fn made(&self) -> Notified<'_> {
        self.made.notified()
    }
}
/// The stream that brings a group what is sent again.
fn name(stream: &Stream, group: &Group) -> String {
    let name = format!("{AGAIN}{}/{}", stream.name(), group.name());
    if name.len() <= NAME {
        return name;
    }
    // Numbers name both as well, and are never used twice.
    format!("{AGAIN}{}/{}", stream.number(), group.number())
}
/// What brings a group the dead letters that are sent to it again, if any ever were.
pub fn again(log: &Log, group: &Group) -> Option<Arc<Group>> {
    let way = log.stream(&name(group.stream(), group))?;
    log.find_group(&way, group.name())
}
impl House {
    /// Sends a dead letter to the group that gave it up, and to nobody else. Once the receipt resolved, both hold: that group will get it, and
    /// `dead` is done with it. One call at a time.
    pub async fn again(&self, dead: &Arc<Group>, at: Position, letter: &Message) -> Result<Receipt> {
        let (stream, group) = self.origin(letter)?;
        let way = self.way(&stream, &group).await?;
        let mut append = self.log.append(Level::Stored, Append::size(letter)).await?;
        append.as_new();
        append.add(Entry {
            item: 0,
            stream: &way,
            partition: 0,
            message: letter,
            scope: 0,
        });
        append.and_done(dead, at.partition, at.offset as u64);
        append.send()
    }
    /// Publishes a dead letter to a topic, as the message it was. Whoever has the receipt marks it.
    pub async fn elsewhere(self: &Arc<Self>, at: Position, letter: &Message, to: &Topic) -> Result<Receipt> {
        let message = Message {
            topic: to.clone(),
            headers: stripped(&letter.headers),
            ..letter.clone()
        };
        // Whoever gave it up, and however often: it is the message that lay there.
        let at = place(letter).unwrap_or(at);
        let publish = Publish {
            level: Some(Level::Stored),
            // A second try after a crash is the same message, if it had a name.
            scope: SCOPE ^ u64::from(at.source).rotate_left(40) ^ u64::from(at.partition).rotate_left(20) ^ at.offset as u64,
            ..Batch::from(message).into()
        };
        // What a stream asks is asked again; what does not match stays the dead letter it is.
        Sender::of_dead(self.clone()).send(publish).await
    }
    /// Whether a dead letter has a group to go back to.
    pub fn origin(&self, letter: &Message) -> Result<(Arc<Stream>, Arc<Group>)> {
        let told = |name: &str| letter.headers.get(name).map(String::from_utf8_lossy);
        let gone = |what: String| Error::client(Code::NoSuchReference, what).with_hint("it can be sent to a topic, or dropped");
        let (Some(of), Some(by)) = (told(dead_letter::STREAM), told(dead_letter::GROUP)) else {
            return Err(gone("it does not say which group gave it up".to_owned()));
        };
        let stream = self.log.stream(&of).ok_or_else(|| gone(format!("its stream `{of}` is gone")))?;
        let group = self.log.find_group(&stream, &by);
        let group = group.ok_or_else(|| gone(format!("the group `{by}` of stream `{of}` is gone")))?;
        Ok((stream, group))
    }
    /// Made at need, with its group: before the first message, which must find it.
    async fn way(&self, stream: &Arc<Stream>, group: &Arc<Group>) -> Result<Arc<Stream>> {
        let name = name(stream, group);
        let (way, made) = match self.log.stream(&name) {
            Some(way) => (way, false),
            None => (self.log.create_stream(&name, spec()).await?, true),
        };
        if made || self.log.find_group(&way, group.name()).is_none() {
            self.log.group(&way, group.name(), Start::Earliest, like(group)).await?;
            self.again.made.notify_waiters();
        }
        Ok(way)
    }
    /// Streams that bring messages to groups, or keep them for streams, that are gone go with them.
    pub async fn forget_gone(&self) {
        self.forget_lines().await;
        // Before the groups: a way that is made meanwhile has one.
        let mut ways = self.log.streams();
        ways.retain(|stream| stream.name().starts_with(AGAIN));
        if ways.is_empty() {
            return;
        }
        let mut known = Vec::new();
        for stream in self.log.streams() {
            known.extend(self.log.groups(&stream).iter().map(|group| name(&stream, group)));
        }
        for way in ways.iter().filter(|way| !known.iter().any(|name| name == way.name())) {
            if let Err(error) = self.log.delete_stream(way.name()).await {
                tracing::warn!(stream = way.name(), error = %error, "what a group that is gone was to get again is left");
            }
        }
    }
}
fn spec() -> StreamSpec {
    StreamSpec {
        retention: Retention::default(),
        keep: Keep::UntilAcked,
        ..StreamSpec::default()
    }
}
/// Tries as often, and what dies again lies where it lay.
fn like(group: &Group) -> GroupSpec {
    GroupSpec {
        deliveries: group.spec().deliveries,
        dead_letters: Some(group.dead_letters()),
    }
}
fn stripped(headers: &Headers) -> Headers {
    let mut kept = headers.edit();
    for name in dead_letter::ALL {
        kept.remove(name);
    }
    kept.build()
}

/// Places that are remembered without asking whether they still matter.
const FEW: usize = 1_024;

/// One consumer's part in what its group gets again.
pub(super) struct Second {
    house: Arc<House>,
    stream: String,
    group: Arc<Group>,
    window: Limit,
    manner: Manner,
    member: Option<Member>,
    /// Where those lie that were handed out, by the place they had before. Some are done.
    places: HashMap<Position, Position>,
    /// Of so many it is worth finding out.
    many: usize,
}
impl Second {
    /// Beside the group itself, whose settings hold here too.
    pub(super) async fn new(house: Arc<House>, group: Arc<Group>, (window, manner): (Limit, Manner)) -> Result<Self> {
        let stream = name(group.stream(), &group);
        if let Some(way) = house.log.stream(&stream) {
            house.log.group(&way, group.name(), Start::Earliest, like(&group)).await?;
        }
        Ok(Self {
            house,
            stream,
            group,
            window,
            manner,
            member: None,
            places: HashMap::new(),
            many: FEW,
        })
    }
    pub(super) fn house(&self) -> &Arc<House> {
        &self.house
    }
    /// The group of the stream, once there is one.
    pub(super) fn group(&mut self) -> Option<Arc<Group>> {
        self.member.take_if(|member| member.is_over());
        if self.member.is_none() {
            let log = &self.house.log;
            let group = log.stream(&self.stream).and_then(|way| log.find_group(&way, self.group.name()))?;
            self.member = Some(log.member(&group, self.window, self.manner));
        }
        self.member.as_ref().map(|member| member.group().clone())
    }
    /// When the next that waits may go, if there is room for it; in microseconds since the epoch.
    pub(super) fn next_due(&self) -> Option<i64> {
        let member = self.member.as_ref().filter(|member| member.has_room())?;
        member.group().next_due()
    }
    /// Whether something that was given back may go.
    pub(super) fn has_due(&self, now: i64) -> bool {
        self.member.as_ref().is_some_and(|member| member.group().has_due(now))
    }
    /// What there is now, as it was the first time: its place, its headers.
    pub(super) async fn ready(&mut self, limit: Limit) -> Result<Option<Delivery>> {
        self.group();
        let Some(member) = &mut self.member else {
            return Ok(None);
        };
        let Some(mut delivery) = member.ready(limit).await? else {
            return Ok(None);
        };
        for received in delivery.items_mut() {
            let own = received.position;
            restore(received);
            self.places.extend(received.position.zip(own));
        }
        if self.places.len() >= self.many {
            let group = member.group();
            self.places.retain(|_, own| !group.is_done(own.partition, own.offset as u64));
            self.many = FEW.max(2 * self.places.len());
        }
        Ok(Some(delivery))
    }
    /// What was given back until a later moment may go at once, in this order.
    pub(super) fn recall(&mut self, positions: &[Position]) {
        let own: Vec<_> = positions.iter().filter_map(|position| self.places.get(position).copied()).collect();
        if let Some(member) = self.member.as_ref().filter(|_| !own.is_empty()) {
            member.recall(&own);
        }
    }
}
/// Where a dead letter lay before it was one.
fn place(letter: &Message) -> Option<Position> {
    let place = letter.headers.get(dead_letter::POSITION)?;
    std::str::from_utf8(place).ok()?.parse().ok()
}
fn restore(received: &mut Received) {
    received.position = place(&received.message).or(received.position);
    received.message = Arc::new(Message {
        headers: stripped(&received.message.headers),
        ..Message::clone(&received.message)
    });
}
