//! What was given up on this node, whichever streams it lies in: looked through in the order of time, sent again, dropped.
mod back;

use back::Back;
use base64_simd::STANDARD;
use futures::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};
use tidegate_control::dead_letters::{self as asked, Before, Deed, Handled, Page, Wanted, Which, missing};
use tidegate_core::{
    clock,
    error::{Code, Error, Result, Retry},
    message::Message,
    position::Position,
    receipt::Receipt,
};
use tidegate_endpoints::{
    http::{spelled, spelled_place},
    local::{House, REASON},
};
use tidegate_log::{DEAD, Group, Log, Scan, dead_letter};
use tokio::sync::Mutex;

/// Looked through for one page.
const LOOKED_THROUGH: usize = 20_000;
/// Sent again, or dropped, at a time: they share the log's frames.
const TOGETHER: usize = 256;
/// And so many bytes of them, or one.
const BYTES: usize = 8 << 20;
/// Of what could not be done, so many are named.
const NAMED: usize = 20;

/// See the head of this file.
pub(crate) struct DeadLetters {
    log: Arc<Log>,
    house: Arc<House>,
    /// One at a time does something: no letter is sent twice because two asked for it.
    turn: Mutex<()>,
}
impl DeadLetters {
    pub(crate) fn new(log: Arc<Log>, house: Arc<House>) -> Self {
        Self {
            log,
            house,
            turn: Mutex::default(),
        }
    }
    /// Of every stream that ever took a dead letter.
    fn groups(&self) -> Vec<Arc<Group>> {
        let streams = self.log.streams();
        streams.iter().filter_map(|stream| self.log.find_group(stream, DEAD)).collect()
    }
    fn group(&self, at: Position) -> Option<Arc<Group>> {
        let stream = self.log.stream_by_number(at.source)?;
        self.log.find_group(&stream, DEAD)
    }
    /// One that was not handled yet.
    async fn find(&self, at: Position) -> Result<(Arc<Group>, Arc<Message>)> {
        let found = self.group(at).zip(u64::try_from(at.offset).ok());
        let (group, offset) = found.ok_or_else(|| missing(at))?;
        if group.is_done(at.partition, offset) {
            return Err(missing(at));
        }
        let message = self.log.read(group.stream(), at.partition, offset).await?;
        Ok((group, message.ok_or_else(|| missing(at))?))
    }
    /// Some that were wanted when they were found.
    async fn act(&self, letters: &[Letter], deed: &Deed, handled: &mut Handled) {
        let _turn = self.turn.lock().await;
        let mut going = Vec::with_capacity(letters.len());
        for letter in letters {
            // Whoever was here before.
            if !letter.is_done() {
                going.push((letter, self.begin(letter, deed).await));
            }
        }
        let ends = going
            .into_iter()
            .map(async |(letter, begun)| (letter.at, self.end(letter, begun).await));
        for (at, ended) in join_all(ends).await {
            match ended {
                Ok(()) => handled.done += 1,
                Err(error) => {
                    handled.failed += 1;
                    if handled.problems.len() < NAMED {
                        handled.problems.push((at, error));
                    }
                }
            }
        }
    }
    async fn begin(&self, letter: &Letter, deed: &Deed) -> Result<Begun> {
        let Letter { group, at, message } = letter;
        Ok(match deed {
            // Refused when it came: no group gave it up, and it is asked again.
            Deed::Replay(None) if was_refused(message) => Begun::Sent(self.house.elsewhere(*at, message, &message.topic).await?),
            Deed::Replay(None) => Begun::Whole(self.house.again(group, *at, message).await?),
            Deed::Replay(Some(to)) => Begun::Sent(self.house.elsewhere(*at, message, to).await?),
            Deed::Drop => Begun::Dropped,
        })
    }
    /// Durable.
    async fn end(&self, letter: &Letter, begun: Result<Begun>) -> Result<()> {
        let kept = |receipt: Receipt| async {
            let mut kept = receipt.await?;
            kept.failed.pop().map_or(Ok(()), |(_, error)| Err(error))
        };
        match begun? {
            Begun::Whole(receipt) => return kept(receipt).await,
            Begun::Sent(receipt) => kept(receipt).await?,
            Begun::Dropped => {}
        }
        self.log.finish(&letter.group, letter.at.partition, letter.at.offset as u64).await
    }
    /// Where a page begins that goes on from there.
    async fn place(&self, before: Before<'_>) -> Result<Place> {
        match before {
            Before::Cursor(cursor) => parse(cursor),
            // Though it was sent again or dropped meanwhile, it lies there.
            Before::Letter(at) => {
                let found = self.group(at).zip(u64::try_from(at.offset).ok());
                let (group, offset) = found.ok_or_else(|| missing(at))?;
                let message = self.log.read(group.stream(), at.partition, offset).await?;
                Ok((message.ok_or_else(|| missing(at))?.at, at))
            }
        }
    }
    /// All that may be wanted, in the order of time.
    async fn walk(&self, wanted: &Wanted) -> Result<Walk> {
        let since = wanted.since.unwrap_or(i64::MIN);
        let mut walk = Walk {
            scans: Vec::new(),
            heads: BinaryHeap::new(),
        };
        for group in self.groups() {
            for partition in 0..group.stream().partitions() {
                let scan = self.log.scan(&group, partition, since);
                walk.scans.push((group.clone(), scan));
                walk.fill(walk.scans.len() - 1).await?;
            }
        }
        Ok(walk)
    }
    /// Some that are wanted, of those that are still there.
    async fn some(walk: &mut Walk, wanted: &Wanted) -> Result<Vec<Letter>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < TOGETHER
            && bytes < BYTES
            && let Some(letter) = walk.next().await?
        {
            if is_wanted(wanted, &letter.message) {
                bytes += letter.message.size();
                found.push(letter);
            }
        }
        Ok(found)
    }
}
enum Begun {
    /// With its mark.
    Whole(Receipt),
    Sent(Receipt),
    Dropped,
}
/// When it was given up, and where it lies: the order of all.
type Place = (i64, Position);
struct Letter {
    group: Arc<Group>,
    at: Position,
    message: Arc<Message>,
}
impl Letter {
    fn is_done(&self) -> bool {
        self.group.is_done(self.at.partition, self.at.offset as u64)
    }
    fn place(&self) -> Place {
        (self.message.at, self.at)
    }
}
/// Several partitions at once, the oldest first.
struct Walk {
    scans: Vec<(Arc<Group>, Scan)>,
    heads: BinaryHeap<Reverse<Head>>,
}
struct Head {
    scan: usize,
    letter: Letter,
}
impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.letter.place() == other.letter.place()
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.letter.place().cmp(&other.letter.place())
    }
}
impl Walk {
    async fn next(&mut self) -> Result<Option<Letter>> {
        let Some(Reverse(Head { scan, letter })) = self.heads.pop() else {
            return Ok(None);
        };
        self.fill(scan).await?;
        Ok(Some(letter))
    }
    async fn fill(&mut self, number: usize) -> Result<()> {
        let Some((group, scan)) = self.scans.get_mut(number) else {
            return Ok(());
        };
        if let Some((at, message)) = scan.next().await? {
            let group = group.clone();
            let letter = Letter { group, at, message };
            self.heads.push(Reverse(Head { scan: number, letter }));
        }
        Ok(())
    }
}
impl asked::DeadLetters for DeadLetters {
    fn list<'a>(&'a self, wanted: &'a Wanted, before: Option<Before<'a>>, limit: usize) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let first = Position {
                source: 0,
                partition: 0,
                offset: 0,
            };
            let until = wanted.until.map(|until| (until, first));
            let before = match before {
                Some(before) => Some(self.place(before).await?),
                None => None,
            };
            let groups = self.groups();
            let before = before.into_iter().chain(until).min();
            let mut walk = Back::new(&self.log, &groups, before, wanted.since.unwrap_or(i64::MIN)).await?;
            let mut page = Page::default();
            let mut last = None;
            for _looked in 0..LOOKED_THROUGH {
                let Some(letter) = walk.next().await? else {
                    return Ok(page);
                };
                let there = !letter.is_done();
                // Where nothing follows there is no next page.
                if there && page.items.len() >= limit {
                    break;
                }
                last = Some(letter.place());
                if there && is_wanted(wanted, &letter.message) {
                    page.items.push(shown(&letter));
                }
            }
            page.next = last.map(|(time, at)| format!("{time}_{at}"));
            Ok(page)
        })
    }
    fn read(&self, at: Position) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            let (group, message) = self.find(at).await?;
            Ok(whole(&Letter { group, at, message }))
        })
    }
    fn count<'a>(&'a self, which: &'a Which) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            match which {
                Which::One(at) => self.find(*at).await.map(|_there| 1),
                Which::All(wanted) => {
                    let mut walk = self.walk(wanted).await?;
                    let mut count = 0;
                    while let Some(letter) = walk.next().await? {
                        count += u64::from(is_wanted(wanted, &letter.message));
                    }
                    Ok(count)
                }
            }
        })
    }
    fn handle<'a>(&'a self, which: &'a Which, deed: &'a Deed) -> BoxFuture<'a, Result<Handled>> {
        Box::pin(async move {
            let mut handled = Handled::default();
            match which {
                Which::One(at) => {
                    let (group, message) = self.find(*at).await?;
                    let letter = Letter { group, at: *at, message };
                    self.act(&[letter], deed, &mut handled).await;
                }
                Which::All(wanted) => {
                    let mut walk = self.walk(wanted).await?;
                    loop {
                        let some = Self::some(&mut walk, wanted).await?;
                        if some.is_empty() {
                            break;
                        }
                        self.act(&some, deed, &mut handled).await;
                        if handled.done == 0 && handled.failed > 0 && handled.problems.iter().all(|(_, error)| error.retry() != Retry::No) {
                            // The disk is full, or the node ends: it is the same with all of them.
                            let first = handled.problems.swap_remove(0).1;
                            return Err(first);
                        }
                    }
                }
            }
            Ok(handled)
        })
    }
}
/// A cursor: the time and the place of the last one on a page.
fn parse(cursor: &str) -> Result<Place> {
    let parts = cursor
        .split_once('_')
        .and_then(|(time, at)| Some((time.parse().ok()?, at.parse().ok()?)));
    parts.ok_or_else(|| Error::client(Code::BadCursor, "`cursor` is not the `next_cursor` of a page"))
}
/// By the schema of its stream.
fn was_refused(message: &Message) -> bool {
    let is = |name: &str| message.headers.get(name);
    is(dead_letter::REASON) == Some(REASON.as_bytes()) && is(dead_letter::GROUP).is_none()
}
fn told<'m>(message: &'m Message, name: &str) -> Option<std::borrow::Cow<'m, str>> {
    message.headers.get(name).map(String::from_utf8_lossy)
}
fn is_wanted(wanted: &Wanted, message: &Message) -> bool {
    let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| told(message, name).as_deref() == Some(wanted));
    // As clients call it, or as the log does.
    let group = |wanted: &String| {
        let group = told(message, dead_letter::GROUP).unwrap_or_default();
        group == *wanted || group.rsplit_once("/-/").is_some_and(|(_, own)| own == wanted)
    };
    // As its sender called it, or as `webhook-id` does.
    let called = |wanted: &String| match &message.id {
        Some(id) => **id == *wanted.as_bytes() || *spelled(id) == **wanted,
        None => told(message, dead_letter::POSITION).is_some_and(|place| place == *wanted || spelled_place(&place) == *wanted),
    };
    wanted.until.is_none_or(|until| message.at < until)
        && wanted.since.is_none_or(|since| message.at >= since)
        && wanted.topic.as_ref().is_none_or(|topic| topic.matches(&message.topic))
        && is(&wanted.stream, dead_letter::STREAM)
        && wanted.group.as_ref().is_none_or(group)
        && is(&wanted.reason, dead_letter::REASON)
        && wanted.id.as_ref().is_none_or(called)
}
/// In a list: all but what it carries.
fn shown(letter: &Letter) -> Value {
    let Letter { group, at, message } = letter;
    let told = |name: &str| told(message, name);
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut shown = json!({
        "id": at.to_string(),
        "stream": told(dead_letter::STREAM), "group": told(dead_letter::GROUP),
        "reason": told(dead_letter::REASON), "error": told(dead_letter::ERROR),
        "attempts": told(dead_letter::ATTEMPTS).and_then(|attempts| attempts.parse::<u32>().ok()),
        "topic": &*message.topic, "position": told(dead_letter::POSITION), "time": clock::rfc3339(message.at),
        "lies_in": group.stream().name(), "bytes": message.payload.len(),
    });
    if let Some(id) = &message.id {
        shown["message_id"] = text(id).into();
    }
    if let Some(key) = &message.key {
        shown["key"] = text(key).into();
    }
    shown
}
/// Those it was sent with.
pub(crate) fn headers(message: &Message) -> Map<String, Value> {
    let own = message.headers.iter().filter(|(name, _)| !dead_letter::ALL.contains(name));
    own.map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into()))
        .collect()
}
fn whole(letter: &Letter) -> Value {
    let message = &letter.message;
    let mut shown = shown(letter);
    shown["headers"] = headers(message).into();
    if let Ok(text) = std::str::from_utf8(&message.payload) {
        shown["payload"] = text.into();
    } else {
        shown["payload"] = STANDARD.encode_to_string(&message.payload).into();
        shown["encoding"] = "base64".into();
    }
    shown
}
