//! The handle: opens, publishes, hands out readers, closes.
use crate::{
    append::Append,
    commit::Committer,
    dead::Undertaker,
    dedupe::{self, Dedupe, Id},
    disk::Disk,
    error::Error,
    frame,
    herald::Herald,
    journal::{self, Closed, Writer},
    le::Salt,
    marker,
    mover::Mover,
    names,
    options::{Limits, Options, Sabotage},
    partition::Partition,
    reader::Reader,
    record::{self, Missing},
    recover::{self, Recovered},
    retention,
    segment::{Folder, Segment},
    shared::Shared,
    stream::{Stream, StreamStats},
    tail::Recent,
};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};
use tidegate_core::{clock, endpoint::Start, error::Result, message::Message, receipt::Level};

/// What the crate asks of who opens it.
pub struct Hooks {
    /// Called by the herald, in order, only after the records are synced and readers can see them.
    pub on_committed: OnCommitted,
    /// Runs a closure that may block on the disk, off the runtime's threads.
    pub run_blocking: RunBlocking,
}
/// Hears of records that became durable.
pub type OnCommitted = Box<dyn Fn(&[Committed]) + Send + Sync>;
/// Runs what may block.
pub type RunBlocking = Box<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;
/// Records of one partition that became durable together, in order.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The stream's number.
    pub stream: u32,
    /// The partition.
    pub partition: u32,
    pub(crate) recent: Arc<Recent>,
}
impl Committed {
    /// As readers see them; each is a slice of all that became durable together.
    pub fn messages(&self) -> &[Arc<Message>] {
        self.recent.messages()
    }
}
/// A log that serves. Both futures must be polled until they end, which they do after [`Log::close`].
pub struct Opened {
    /// The handle.
    pub log: Arc<Log>,
    /// Resolves receipts and wakes readers: without it nobody is told anything.
    pub herald: Task,
    /// Carries dead letters, and ends with the log.
    pub clock: Task,
    /// What recovery found.
    pub found: Found,
}
type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// What recovery found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Streams there are.
    pub streams: u64,
    /// Records in the journal, not yet moved.
    pub records: u64,
    /// Frames in the journal.
    pub frames: u64,
    /// Records that do not check, at least, and lists of message ids, which were read from the records instead.
    pub damaged: u64,
    /// Offsets left out by every home, because the end of the journal did not check; 0: it did.
    pub lost_tail: u64,
    /// The table file was damaged: segments were read to find out what they hold.
    pub slow: bool,
    /// Files of the journal are gone, or all that was in them. Every partition that may have had records there goes on far behind the
    /// last one that is known, and its readers are told.
    pub lost_files: bool,
    /// From the lock to the first publish.
    pub took: Duration,
}
/// Whether the log can be written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    #[default]
    Serving,
    /// No room: publishes are refused, all else works. Recovers by itself.
    Full {
        /// Microseconds since the epoch.
        since: i64,
    },
    /// The disk failed: reads go on, nothing is written until the next start.
    ReadOnly {
        /// What happened.
        reason: String,
    },
}
/// Numbers for metrics, since the start unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Records appended.
    pub appended_records: u64,
    /// Bytes of frames written.
    pub appended_bytes: u64,
    /// Frames written.
    pub frames: u64,
    /// Syncs of the journal.
    pub syncs: u64,
    /// The last one, microseconds.
    pub last_sync_us: u64,
    /// Bytes that wait now to be written and synced.
    pub intake_bytes: u64,
    /// Bytes of recent messages in memory now.
    pub tail_cache_bytes: u64,
    /// Records moved into segments.
    pub moved_records: u64,
    /// Records that did not check.
    pub damaged_records: u64,
    /// Message ids remembered now.
    pub dedupe_ids: u64,
    /// Entries of the index of the journal in memory now, a few dozen bytes each.
    pub index_entries: u64,
    /// Of each stream: its number and its numbers.
    pub streams: Vec<(u32, StreamStats)>,
}
/// The embedded log of one node.
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// Locks the folder, recovers, starts two threads. Blocks: call it where that does not hurt.
    pub fn open(disk: Arc<dyn Disk>, options: Options, hooks: Hooks) -> Result<Opened, Error> {
        let started = clock::instant();
        let (shared, committer, mover, mut found) = start(disk, &options, hooks)?;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            shared.life.start();
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
            spawned.map_err(|error| {
                shared.life.end();
                Error::disk("start a thread")(error)
            })
        };
        // What a start found may be too much: retention looks at once.
        shared.mover.look();
        let mover = spawn("log-mover", Box::new(move || mover.run()))?;
        if let Err(error) = spawn("log-commit", Box::new(move || committer.run())) {
            shared.mover.close();
            let _ended = mover.join();
            return Err(error);
        }
        found.took = started.elapsed();
        let ended = shared.clone();
        Ok(Opened {
            herald: Box::pin(Herald::run(shared.clone())),
            clock: Box::pin(async move {
                Undertaker::run(ended.clone()).await;
                ended.life.over().await;
            }),
            log: Arc::new(Self { shared }),
            found,
        })
    }
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
    /// By name.
    pub fn stream(&self, name: &str) -> Option<Arc<Stream>> {
        self.shared.catalog.by_name(name)
    }
    /// All, by name.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.shared.catalog.all()
    }
    /// By number.
    pub fn stream_by_number(&self, number: u32) -> Option<Arc<Stream>> {
        self.shared.catalog.by_number(number)
    }

    /// Begins a call: waits for room of so many bytes (the sum of [`Append::size`], once per stream), which is the back-pressure; then
    /// records are added and sent together without another wait. Cancel-safe: dropped before it is sent, nothing was accepted. Levels
    /// other than `Accepted` and `Stored` are an error.
    pub async fn append(&self, level: Level, bytes: usize) -> Result<Append<'_>> {
        if !matches!(level, Level::Accepted | Level::Stored) {
            return Err(Error::Level.into());
        }
        self.shared.health.check()?;
        Append::reserve(&self.shared, level, bytes).await
    }
    /// Reads from a place on. A place of another stream's number, one that retention has passed, or one behind the end begins with a gap;
    /// behind the end, as in another stream, reading begins anew.
    /// Partitions that `After` does not name begin at their first record, as do those beside the one of `At`.
    pub fn reader(&self, stream: &Arc<Stream>, start: Start) -> Result<Reader> {
        Ok(Reader::new(self.shared.clone(), stream.clone(), start))
    }
    /// For readiness.
    pub fn status(&self) -> Status {
        self.shared.health.status()
    }
    /// For metrics. Locks every partition shortly.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            appended_records: counters.records.load(Relaxed),
            appended_bytes: counters.bytes.load(Relaxed),
            frames: counters.frames.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            last_sync_us: counters.sync_us.load(Relaxed),
            intake_bytes: self.shared.intake.used() as u64,
            tail_cache_bytes: counters.tail_bytes.load(Relaxed),
            moved_records: counters.moved.load(Relaxed),
            damaged_records: counters.damaged.load(Relaxed),
            dedupe_ids: counters.dedupe_ids.load(Relaxed),
            index_entries: self
                .streams()
                .iter()
                .flat_map(|s| s.homes.iter())
                .map(|home| home.places().runs.len() as u64)
                .sum(),
            streams: self.streams().iter().map(|s| (s.number(), s.stats())).collect(),
        }
    }
    /// Writes and syncs all that was accepted, stops the threads, gives the folder back. Later appends fail with `Draining`, readers
    /// end. Needs the herald to be running. May be called again.
    pub async fn close(&self) {
        self.shared.intake.close();
        self.shared.dead.tick();
        self.shared.life.over().await;
    }
}
/// The threads end by themselves; who needs to know when calls [`Log::close`].
impl Drop for Log {
    fn drop(&mut self) {
        self.shared.intake.close();
        self.shared.dead.tick();
    }
}

/// All but the threads.
pub(crate) fn start(disk: Arc<dyn Disk>, options: &Options, hooks: Hooks) -> Result<(Arc<Shared>, Committer, Mover, Found), Error> {
    let lock = disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked(error.to_string()),
        _ => match Error::disk("lock the data folder")(error) {
            Error::Disk(_, error) => Error::Folder(disk.name(), error),
            full => full,
        },
    })?;
    let space = disk.space().map_err(Error::disk("look at the free space"))?;
    let limits = Limits::of(options, space);
    let (value, begun) = marker::open(&*disk, limits.internal.salt, limits.now())?;
    let blind = limits.sabotaged(Sabotage::NoChecksum);
    let salt = Salt { value, blind };
    let shared = Shared::new(disk, limits, hooks, salt, lock);
    let recovered = recover::run(&shared, begun)?;
    serve(shared, recovered)
}
fn serve(shared: Arc<Shared>, recovered: Recovered) -> Result<(Arc<Shared>, Committer, Mover, Found), Error> {
    let Recovered {
        mut homes,
        tables,
        mut found,
        next_seq,
        state_seq,
        next_number,
        closed,
        mut table,
        covered,
        ids,
        ..
    } = recovered;
    shared.catalog.load(tables);
    let mut frame = vec![0; frame::HEADER];
    let mut records = 0;
    let mut state_seq = state_seq;
    if found.lost_files {
        // Streams may be lost too, and their numbers are in cursors: nobody has given numbers as fast as the clock.
        let seconds = u32::try_from(shared.limits.now() / 1_000_000).unwrap_or(0);
        let mut row = shared.catalog.advance(seconds);
        for _ in 0..2 {
            state_seq += 1;
            record::stamp(&mut row, names::table::COUNTERS, state_seq, shared.limits.now(), shared.salt);
            frame.extend_from_slice(&row);
            records += 1;
        }
        shared.catalog.tables().seq = state_seq;
    }
    for stream in shared.catalog.all() {
        found.streams += 1;
        for partition in &stream.homes {
            if let Some(home) = homes.remove(&partition.home) {
                records += fill(partition, home, &mut frame, shared.salt);
            }
            if let Some(floor) = shared.catalog.floor(partition.home) {
                partition.places().begin(floor);
                partition.next.fetch_max(floor, Relaxed);
            }
        }
    }
    {
        // The table must not lose what it covers to a power cut once the file is written over: who wrote it may have died before the sync.
        let done = |closed: &Closed| closed.bytes > 0 && closed.last_seq <= covered;
        let synced = closed.iter().any(done) && table.sync(&shared);
        let mut files = shared.files.state();
        files.next_number = next_number;
        for closed in closed {
            if synced && done(&closed) {
                files.free.push(closed.file);
            } else {
                files.closed.push_back(closed);
            }
        }
    }
    let mut writer = Writer::new(journal::first(&shared)?, next_seq);
    let opening = journal::Opening { frame, records };
    let opening = match writer.open(&shared, opening) {
        Ok(()) => None,
        // The first frame that has room is led by it.
        Err((Error::Full, opening)) => Some(opening),
        Err((error, _)) => return Err(error),
    };
    shared.reached.note(&shared, false);
    retention::look_at_space(&shared);
    let (ids, damaged_lists) = remembered(&shared, ids)?;
    found.damaged += damaged_lists;
    shared.counters.damaged.store(found.damaged, Relaxed);
    let dedupe = Dedupe::load(ids, shared.limits.dedupe);
    let committer = Committer::new(shared.clone(), writer, opening, state_seq, dedupe);
    if !found.slow {
        shared.catalog.unsweep();
    }
    let mover = Mover::new(shared.clone(), table, covered);
    Ok((shared, committer, mover, found))
}
/// Ids within their streams' windows: of the journal, and of segments by their lists. A list has no times: all of a segment count as its
/// newest record, so a window is never shorter than asked. How many lists do not check, too.
fn remembered(shared: &Shared, journal: Vec<(u32, u64, i64, u128)>) -> Result<(Vec<Id>, u64), Error> {
    let now = shared.limits.now();
    let mut ids = Vec::new();
    let mut damaged = 0;
    for (home, offset, time, hash) in journal {
        if let Some((stream, partition)) = shared.catalog.by_home(home) {
            ids.push(Id {
                stream: stream.number(),
                partition,
                offset,
                time,
                hash,
            });
        }
    }
    for stream in shared.catalog.all() {
        let window = stream.spec().dedupe;
        for partition in stream.homes.iter().filter(|_| !window.is_zero()) {
            let segments: Vec<_> = partition.places().segments.iter().map(Segment::clone_head).collect();
            let start = dedupe::start(window, now);
            for segment in segments.iter().filter(|segment| segment.last_time >= start) {
                let folder = Folder::of(&stream, partition.number);
                let listed = segment.ids(&*shared.disk, &folder, shared.salt);
                let (known, bad_list) = listed.map_err(Error::disk("read message ids"))?;
                if bad_list {
                    damaged += 1;
                    // Told once; from now on the records are read.
                    let _told_again = shared.disk.remove(&folder.ids(segment.base));
                }
                for (offset, hash) in known {
                    ids.push(Id {
                        stream: stream.number(),
                        partition: partition.number,
                        offset,
                        time: segment.last_time,
                        hash,
                    });
                }
            }
        }
    }
    Ok((ids, damaged))
}
/// Puts what was found in its place; writes the skip that explains what was not.
fn fill(partition: &Partition, home: recover::Home, frame: &mut Vec<u8>, salt: Salt) -> u32 {
    partition.next.store(home.next, Relaxed);
    partition.last_time.store(home.last_time, Relaxed);
    let mut places = partition.places();
    places.torn = home
        .skips
        .iter()
        .any(|skip| matches!(skip.why, Missing::TailLost | Missing::Damaged));
    places.end = home.moved_to;
    places.moved(home.segments, home.moved_to);
    for run in home.runs {
        places.append(run, None);
    }
    home.skips.into_iter().for_each(|skip| places.skip(skip));
    places.raise(home.floor);
    for lost in &home.lost {
        let mut skip = record::encode_skip(lost.to - lost.from, lost.why);
        record::stamp(&mut skip, partition.home, lost.from, home.last_time, salt);
        frame.extend_from_slice(&skip);
    }
    home.lost.len() as u32
}
