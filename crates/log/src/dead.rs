//! Carries rejected messages to their streams of dead letters. Each becomes durable in one frame with the mark that its group is done with it.
use crate::{
    append::{Append, Entry},
    error::Error,
    group::{Burial, Group, GroupSpec},
    log::Log,
    reader::Reader,
    shared::Shared,
    stream::{Keep, Retention, Stream, StreamSpec},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidegate_core::{
    clock,
    endpoint::{Limit, Start},
    error::{Code, Result},
    headers::Headers,
    message::Message,
    position::Position,
    receipt::{Level, Receipt},
};
use tokio::sync::Notify;

/// On their way at a time.
const TOGETHER: usize = 64;
/// What is kept of the last error, in bytes.
const ERROR: usize = 1 << 10;
/// What a stream of dead letters keeps if nobody has declared it.
const KEPT: (Duration, u64) = (Duration::from_hours(7 * 24), 256 << 20);

/// The group of every stream of dead letters: what it is done with was handled, sent again or dropped. No resource can be called so.
pub const DEAD: &str = "$dead";
/// How streams begin that bring dead letters back to one group. What dies there is still a dead letter of the stream it first lay in.
pub const AGAIN: &str = "$again/";

/// Names of the headers that say what became of a dead letter.
pub mod header {
    /// A word or a sentence: why it was given up.
    pub const REASON: &str = "tidegate-dead-reason";
    /// What the last attempt met.
    pub const ERROR: &str = "tidegate-dead-error";
    /// How often it was delivered.
    pub const ATTEMPTS: &str = "tidegate-dead-attempts";
    /// The group that gave it up.
    pub const GROUP: &str = "tidegate-dead-group";
    /// The stream it was read from.
    pub const STREAM: &str = "tidegate-dead-stream";
    /// Where it lay there.
    pub const POSITION: &str = "tidegate-dead-position";
    /// When it was given up, RFC 3339.
    pub const TIME: &str = "tidegate-dead-time";
    /// All of them.
    pub const ALL: [&str; 7] = [REASON, ERROR, ATTEMPTS, GROUP, STREAM, POSITION, TIME];
}

/// The groups that have dead letters to carry.
#[derive(Default)]
pub(crate) struct Undertaker {
    groups: Mutex<Waiting>,
    wake: Notify,
}
#[derive(Default)]
struct Waiting {
    now: Vec<Arc<Group>>,
    /// It could not be done: tried again with the next tick.
    later: Vec<Arc<Group>>,
}
impl Undertaker {
    pub(crate) fn wake(&self, group: &Arc<Group>) {
        let mut waiting = self.waiting();
        if !waiting.now.iter().any(|known| Arc::ptr_eq(known, group)) {
            waiting.now.push(group.clone());
        }
        drop(waiting);
        self.wake.notify_one();
    }
    fn later(&self, group: &Arc<Group>) {
        self.waiting().later.push(group.clone());
    }
    /// Twice a second; and at the end, to let go.
    pub(crate) fn tick(&self) {
        let mut waiting = self.waiting();
        let later = std::mem::take(&mut waiting.later);
        waiting.now.extend(later);
        drop(waiting);
        self.wake.notify_one();
    }
    /// Ends when the log is closing.
    pub(crate) async fn run(shared: Arc<Shared>) {
        while !shared.intake.is_closed() {
            let groups = std::mem::take(&mut shared.dead.waiting().now);
            for group in groups {
                if !carry(&shared, &group).await {
                    shared.dead.later(&group);
                }
            }
            if shared.dead.waiting().now.is_empty() {
                shared.dead.wake.notified().await;
            }
        }
    }
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that a group has rejected; whether it could be done.
async fn carry(shared: &Arc<Shared>, group: &Arc<Group>) -> bool {
    loop {
        let burials = group.take_dying(TOGETHER);
        if burials.is_empty() || group.is_deleted() {
            group.set_stuck(None);
            return true;
        }
        let mut sent = Vec::with_capacity(burials.len());
        let mut stuck = None;
        for mut burial in burials {
            match send(shared, group, &burial).await {
                Ok(receipt) => sent.push((burial, receipt)),
                Err(error) => {
                    burial.not_yet(&error);
                    group.still_dying(burial);
                    stuck = Some(error);
                }
            }
        }
        for (mut burial, receipt) in sent {
            let failed = match receipt {
                Some(receipt) => match receipt.await {
                    Ok(mut kept) => kept.failed.pop().map(|(_, error)| error),
                    Err(error) => Some(error),
                },
                None => None,
            };
            match failed {
                None => {
                    group.buried();
                    burial.confirm.into_iter().for_each(crate::group::Confirm::one);
                }
                Some(error) => {
                    burial.not_yet(&error);
                    group.still_dying(burial);
                    stuck = Some(error);
                }
            }
        }
        if let Some(error) = stuck {
            group.set_stuck(Some(error.to_string().into()));
            // Who waits behind it waits for no turn of its own: there are as many turns as there is time.
            group.not_yet(&error);
            return false;
        }
    }
}
/// `None`: the message is not there any more.
async fn send(shared: &Arc<Shared>, group: &Arc<Group>, burial: &Burial) -> Result<Option<Receipt>> {
    let mut reader = Reader::new(shared.clone(), group.stream().clone(), Start::Earliest);
    let range = burial.offset..burial.offset + 1;
    let one = Limit {
        messages: 1,
        bytes: u32::MAX,
    };
    let part = reader.part(burial.partition as usize, range, one).await?;
    let Some((position, message)) = part.items.into_iter().next() else {
        if group.drop_message(burial.partition, burial.offset) {
            shared.intake.settle(group.clone(), false)?;
        }
        return Ok(None);
    };
    let stream = target(shared, &group.dead_letters()).await?;
    let told = dead_letter(group, burial, position, &message, shared.limits.now());
    match append(shared, group, burial, &stream, &told).await {
        // With what is said of it, it is too large: better without a reason than lost.
        Err(error) if error.code() == Code::RecordTooLarge => append(shared, group, burial, &stream, &message).await,
        sent => sent,
    }
    .map(Some)
}
async fn append(shared: &Arc<Shared>, group: &Arc<Group>, burial: &Burial, stream: &Arc<Stream>, message: &Message) -> Result<Receipt> {
    let mut append = Append::reserve(shared, Level::Stored, Append::size(message)).await?;
    append.as_new();
    append.add(Entry {
        item: 0,
        stream,
        partition: message.key.as_deref().map_or(0, |key| stream.partition_of(key)),
        message,
        scope: 0,
    });
    append.and_done(group, burial.partition, burial.offset);
    append.send_whole()
}
impl Log {
    /// A stream that takes dead letters, made at need.
    pub async fn dead_letters(&self, name: &str) -> Result<Arc<Stream>> {
        target(&self.shared, name).await
    }
}
/// Made at need, with its group.
async fn target(shared: &Arc<Shared>, name: &str) -> Result<Arc<Stream>> {
    let stream = stream(shared, name).await?;
    // Before the first dead letter, so that a stream kept until acked keeps it; and of a stream that somebody declared.
    if shared.catalog.group(&stream, DEAD).is_none() {
        shared.group(&stream, DEAD, Start::Earliest, GroupSpec::default()).await?;
    }
    Ok(stream)
}
async fn stream(shared: &Arc<Shared>, name: &str) -> Result<Arc<Stream>> {
    if let Some(stream) = shared.catalog.by_name(name) {
        return Ok(stream);
    }
    let spec = StreamSpec {
        retention: Retention {
            age: Some(KEPT.0),
            bytes: Some(KEPT.1),
            messages: None,
        },
        // What was handled goes first.
        keep: Keep::UntilAcked,
        ..StreamSpec::default()
    };
    match shared.create_stream(name, spec).await {
        Err(error) if error.code() == Code::StreamExists => {
            let there = shared.catalog.by_name(name);
            there.ok_or_else(|| Error::NoSuchStream(name.to_owned()).into())
        }
        made => made,
    }
}
/// The message as it was, and what became of it.
fn dead_letter(group: &Group, burial: &Burial, position: Position, message: &Message, now: i64) -> Message {
    let mut headers = Headers::EMPTY.edit();
    for (name, value) in message.headers.iter() {
        if !header::ALL.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            // It was a header before.
            let _fits = headers.push(name, value);
        }
    }
    // One that was sent again is still the message it was.
    let before = |name: &str| {
        let value = message.headers.get(name).filter(|_| group.stream().name().starts_with(AGAIN));
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let place = before(header::POSITION).unwrap_or_else(|| position.to_string());
    let stream = before(header::STREAM).unwrap_or_else(|| group.stream().name().to_owned());
    let attempts = burial.attempts.to_string();
    let error = burial.error.as_deref().map(|error| cut(error, ERROR));
    let said = [
        (header::REASON, Some(cut(&burial.reason, ERROR))),
        (header::ERROR, error),
        (header::ATTEMPTS, Some(&*attempts)),
        (header::GROUP, Some(group.name())),
        (header::STREAM, Some(&*stream)),
        (header::POSITION, Some(&*place)),
        (header::TIME, Some(&*clock::rfc3339(now))),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            let _fits = headers.push(name, value.as_bytes());
        }
    }
    Message {
        headers: headers.build(),
        timing: None,
        ..message.clone()
    }
}
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
