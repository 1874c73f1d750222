//! Delayed messages. Those of each stream wait on disk in a line of their own, a stream nobody sees, and move when they are due: first what is due
//! first, and of the same moment in the order they came. The move and the mark that it was made are durable together, so none is lost and none
//! comes twice. What a stream does not take yet holds up its own line and no other.
mod line;

use super::House;
use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use line::Line;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    endpoint::{Limit, Start},
    error::{Code, Error, Result, Retry},
    position::Position,
};
use tidegate_log::{GroupSpec, Keep, Log, Reader, Retention, Status, Stream, StreamSpec};
use tokio::sync::{Mutex, Notify};

/// How the names of lines begin; no resource can be called so. The number of the stream they are for follows. Where none does, it is the line of
/// an earlier version, for all streams together.
const LATER: &str = "$later";
/// How many may wait unless somebody says otherwise: each is remembered in memory, with its time.
const MOST: u64 = 200_000;
/// How long what could not be moved waits.
const AGAIN: Duration = Duration::from_secs(1);

/// All lines, by the number of the stream they are for.
pub(super) struct Later {
    lines: RwLock<HashMap<u32, Arc<Line>>>,
    making: Mutex<()>,
    made: Notify,
    most: AtomicU64,
}
impl Default for Later {
    fn default() -> Self {
        Self {
            lines: RwLock::default(),
            making: Mutex::default(),
            made: Notify::default(),
            most: AtomicU64::new(MOST),
        }
    }
}
/// What the name of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Everybody,
    Stream(u32),
}
impl For {
    fn read(name: &str) -> Option<Self> {
        match name.strip_prefix(LATER)?.strip_prefix('/') {
            None => (name == LATER).then_some(Self::Everybody),
            Some(number) => Some(Self::Stream(number.parse().ok()?)),
        }
    }
}
/// The name of the stream whose messages wait in this one until they are due, if it is such a one.
pub fn line_of(log: &Log, stream: &Stream) -> Option<String> {
    match For::read(stream.name())? {
        For::Everybody => Some(stream.name().to_owned()),
        For::Stream(number) => log.stream_by_number(number).map(|to| to.name().to_owned()),
    }
}
/// Whether it has left its line.
pub fn has_left(log: &Log, line: &Stream, position: Position) -> bool {
    let group = log.find_group(line, LATER);
    group.is_some_and(|group| group.is_done(position.partition, position.offset as u64))
}

impl Later {
    /// Where what is for this stream waits, if there is room for more.
    pub(super) async fn line(&self, house: &House, to: &Arc<Stream>) -> Result<Arc<Stream>> {
        let line = self.of(to).filter(|line| line.dedupes_for(to));
        let line = match line {
            Some(line) => line,
            None => self.make(house, to).await?,
        };
        self.ask_room(&line, to)?;
        Ok(line.stream().clone())
    }
    /// Whoever has much waiting leaves room for as many of others.
    fn ask_room(&self, line: &Line, to: &Stream) -> Result<()> {
        let all: u64 = self.lines().values().map(|line| line.count()).sum();
        let most = self.most.load(Ordering::Relaxed);
        if line.count() < most.saturating_sub(all) {
            return Ok(());
        }
        let text = format!(
            "{} delayed messages of the stream `{}` are waiting, and {all} in all: no more are taken",
            line.count(),
            to.name()
        );
        Err(Error::client(Code::Overloaded, text)
            .with_hint("`limits.delayed` of the node says how many may; one stream has half of what others leave")
            .with_retry(Retry::After(Duration::from_mins(1))))
    }
    async fn make(&self, house: &House, to: &Arc<Stream>) -> Result<Arc<Line>> {
        let _one_at_a_time = self.making.lock().await;
        let name = format!("{LATER}/{}", to.number());
        let spec = spec(to.spec().dedupe);
        let stream = match house.log.stream(&name) {
            Some(stream) if stream.spec() == spec => stream,
            Some(_) => house.log.change_stream(&name, spec).await?,
            None => house.log.create_stream(&name, spec).await?,
        };
        if let Some(line) = self.of(to) {
            return Ok(line);
        }
        self.open(house, to.number(), stream).await
    }
    async fn open(&self, house: &House, number: u32, stream: Arc<Stream>) -> Result<Arc<Line>> {
        // Before the first message: it must find its group.
        let group = house.log.group(&stream, LATER, Start::Earliest, GroupSpec::default()).await?;
        let line = Arc::new(Line::new(stream, group));
        self.lines
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, line.clone());
        self.made.notify_one();
        Ok(line)
    }
    fn of(&self, to: &Stream) -> Option<Arc<Line>> {
        self.lines().get(&to.number()).cloned()
    }
    fn lines(&self) -> RwLockReadGuard<'_, HashMap<u32, Arc<Line>>> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner)
    }
}
fn spec(dedupe: Duration) -> StreamSpec {
    StreamSpec {
        retention: Retention::default(),
        dedupe,
        keep: Keep::UntilAcked,
        ..StreamSpec::default()
    }
}
impl House {
    /// So many delayed messages may wait, of all streams together.
    pub fn limit_delayed(&self, most: u64) {
        self.later.most.store(most, Ordering::Relaxed);
    }
    /// How many messages wait until they are due for that stream.
    pub fn delayed(&self, stream: &Stream) -> u64 {
        self.later.of(stream).map_or(0, |line| line.count())
    }
    /// Forgets all messages of a stream, those included that wait until they are due, and says how many that were.
    pub async fn purge(&self, name: &str) -> Result<u64> {
        let line = self.log.stream(name).and_then(|stream| self.later.of(&stream));
        let Some(line) = line else {
            return self.log.purge_stream(name).await;
        };
        // None comes out of it in between. What has moved may lie there still, and counts where it is now.
        let _still = line.still().await;
        let waiting = line.count();
        self.log.purge_stream(line.stream().name()).await?;
        Ok(waiting + self.log.purge_stream(name).await?)
    }
    /// The payload that lies at that place, or lay there until it was due.
    pub(super) async fn payload(&self, position: Position) -> Result<Option<Bytes>> {
        let Some(stream) = self.log.stream_by_number(position.source) else {
            return Ok(None);
        };
        if let Some(found) = at(&self.log, &stream, position).await? {
            return Ok(Some(found));
        }
        let Some(For::Stream(to)) = For::read(stream.name()) else {
            return Ok(None);
        };
        let line = self.later.lines().get(&to).cloned();
        let moved = line.and_then(|line| line.moved(position.offset as u64));
        match moved.and_then(|moved| Some((moved, self.log.stream_by_number(moved.source)?))) {
            Some((moved, stream)) => at(&self.log, &stream, moved).await,
            None => Ok(None),
        }
    }
    /// Lines of streams that are gone go with what waits in them.
    pub(super) async fn forget_lines(&self) {
        for stream in self.log.streams() {
            let Some(For::Stream(number)) = For::read(stream.name()) else {
                continue;
            };
            if self.log.stream_by_number(number).is_some() {
                continue;
            }
            self.later.lines.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
            if let Err(error) = self.log.delete_stream(stream.name()).await {
                tracing::warn!(stream = stream.name(), error = %error, "what waited for a stream that is gone is left");
            }
        }
    }
}
async fn at(log: &Log, stream: &Arc<Stream>, position: Position) -> Result<Option<Bytes>> {
    const ONE: Limit = Limit { messages: 1, bytes: 1 };
    let mut reader: Reader = log.reader(stream, Start::At(position))?.with_expired();
    let found = reader.ready(ONE).await?;
    let mut items = found.into_iter().flat_map(|chunk| chunk.items);
    Ok(items.find(|(at, _)| *at == position).map(|(_, message)| message.payload.clone()))
}
/// Moves what is due, until dropped.
pub(super) async fn run(house: Arc<House>) {
    for stream in house.log.streams() {
        let number = match For::read(stream.name()) {
            Some(For::Stream(number)) => number,
            // Nobody's number.
            Some(For::Everybody) => u32::MAX,
            None => continue,
        };
        if let Err(error) = house.later.open(&house, number, stream.clone()).await {
            tracing::warn!(stream = stream.name(), error = %error, "what waits in it waits for the next start");
        }
    }
    let (mut carrying, mut known) = (FuturesUnordered::new(), HashSet::new());
    loop {
        let mut lines: Vec<_> = house.later.lines().values().cloned().collect();
        lines.retain(|line| known.insert(line.stream().number()));
        carrying.extend(lines.into_iter().map(|line| carry(&house, line)));
        tokio::select! {
            () = house.later.made.notified() => {}
            Some(()) = carrying.next(), if !carrying.is_empty() => {}
        }
    }
}
/// Until its stream is gone, or the log closed.
async fn carry(house: &Arc<House>, line: Arc<Line>) {
    while let Err(error) = line.carry(house).await {
        if matches!(house.log.status(), Status::ReadOnly { .. }) {
            return;
        }
        tracing::warn!(stream = line.stream().name(), error = %error, "delayed messages wait longer");
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::For;

    #[test]
    fn the_name_of_a_line_says_whose_it_is() {
        for (name, whose) in [
            ("$later", Some(For::Everybody)),
            ("$later/7", Some(For::Stream(7))),
            ("$later7", None),
            ("$later/", None),
            ("$later/x", None),
            ("later/7", None),
        ] {
            assert_eq!(For::read(name), whose, "{name}");
        }
    }
}
