//! The second thread: copies the oldest journal file into segments, then uses it again; keeps the next file ready.
mod home;
mod lists;
#[cfg(test)]
mod tests;

use home::Home;
pub(crate) use home::partition_row;

use crate::{
    bell::TICK,
    disk::{DiskFile, Open, read_range},
    error::Error,
    frame::{self, Met},
    journal::{Closed, FILES, JournalFile},
    names::{FIRST_PARTITION, table},
    options::Sabotage,
    record::{self},
    retention,
    segment::{self, Segment},
    shared::Shared,
    table::Writer,
};
use bytes::BufMut;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tidegate_core::clock;

/// Segment files open at a time.
const OPEN: usize = 256;
/// Syncs at a time, once there are many: a disk does several for the price of one.
const SYNCS: usize = 4;
/// Closed files that wait before the oldest is moved: what dies young is never written twice.
const LAZY: usize = 2;
/// A move rests so many times as long as it worked, unless files run short: publishers need the processors and the disk more.
const REST: u32 = 3;
/// How long it rests without looking up.
const DOZE: Duration = Duration::from_millis(10);
/// What a window holds of each partition, so that many do not mean many small writes.
const SHARE: usize = 64 << 10;
/// The smallest window.
const WINDOW: usize = 1 << 20;
/// How much less of a processor it asks for than who wants the same one: about a tenth.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Bytes of one file that wait for a sync: a sync of many would hold up the journal's.
const UNSYNCED: u64 = 2 << 20;
pub(crate) struct Mover {
    shared: Arc<Shared>,
    table: Writer,
    /// The journal up to here is covered by the table file.
    covered: u64,
    job: Option<Box<Job>>,
    /// The index of the journal takes too much memory: nothing waits.
    early: bool,
}
/// One file on its way into segments.
struct Job {
    closed: Closed,
    /// Read up to here.
    at: u64,
    homes: HashMap<u32, Home>,
    dirty: HashMap<PathBuf, Dirty>,
    /// How many of them are open.
    open: usize,
    /// Of new files: their folders need a sync.
    made: Vec<PathBuf>,
    moved: u64,
    state: State,
    begun: Instant,
}
/// A file that was written to.
struct Dirty {
    /// `None`: closed for now.
    file: Option<Arc<dyn DiskFile>>,
    /// Bytes since its last sync.
    unsynced: u64,
}
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Copying,
    Copied,
    Listed,
}
/// This thread to all others: where they want its processor it lets them, and who waits for an answer waits less. When files run short it is the
/// publishers who rest.
fn give_way() {
    // Where this is about the thread, and not about its process.
    #[cfg(target_os = "linux")]
    let _as_important_as_the_others = rustix::process::nice(NICE);
}
impl Mover {
    pub(crate) fn new(shared: Arc<Shared>, table: Writer, covered: u64) -> Self {
        Self {
            shared,
            table,
            covered,
            job: None,
            early: false,
        }
    }
    pub(crate) fn run(mut self) {
        give_way();
        let mut ticked = clock::instant();
        while let Some(look) = self.shared.mover.wait() {
            if look || ticked.elapsed() > TICK {
                self.tick();
                ticked = clock::instant();
            }
            let mut began = clock::instant();
            while self.step() && !self.shared.mover.is_closed() {
                // Under load there is no silence to wait for.
                if self.job.is_none() && ticked.elapsed() > TICK {
                    self.tick();
                    ticked = clock::instant();
                }
                self.rest(began.elapsed() * REST);
                began = clock::instant();
            }
        }
        // The journal is sealed: all of it must be there at the next start.
        self.shared.reached.note(&self.shared, true);
        self.shared.life.end();
    }
    /// For so long, as long as nobody begins to wait for the move.
    fn rest(&self, time: Duration) {
        let until = clock::instant() + time;
        while self.may_rest() && !self.shared.mover.is_closed() {
            let left = until.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return;
            }
            self.shared.mover.doze(left.min(DOZE));
        }
    }
    /// In the middle of a move that nobody waits for.
    fn may_rest(&self) -> bool {
        self.job.is_some() && !self.early && !self.shared.health.is_full() && !self.shared.files.run_short()
    }
    /// Retention and space. An error is met again by the next one.
    pub(crate) fn tick(&mut self) {
        if self.shared.health.is_read_only() {
            return;
        }
        retention::apply(&self.shared);
        let runs: usize = self
            .shared
            .catalog
            .all()
            .iter()
            .flat_map(|s| s.homes.iter())
            .map(|home| home.places().runs.len())
            .sum();
        self.early = runs > self.shared.limits.internal.runs / 2;
        // A move has its own idea of segments and rows until it is published.
        if self.job.is_none() {
            let removed = retention::remove(&self.shared, &mut self.table, self.covered);
            if matches!(removed, Err(Error::Full)) && self.give_up_spare() {
                let _again_next_time = retention::remove(&self.shared, &mut self.table, self.covered);
            }
            let sweep = self.shared.catalog.swept();
            if sweep && retention::sweep(&self.shared, &mut self.table, self.covered).is_err() {
                self.shared.catalog.unsweep();
            }
        }
        self.shared.reached.note(&self.shared, false);
        self.trim();
        if self.shared.files.state().spare.is_none() {
            self.prepare();
        }
        retention::look_at_space(&self.shared);
        self.shared.dead.tick();
    }
    /// Not even a row has room, and without rows nothing can be removed: the next journal file, which is empty, is room. Whether there was one.
    fn give_up_spare(&self) -> bool {
        let Some(spare) = self.shared.files.state().spare.take() else {
            return false;
        };
        spare.recycle();
        let path = crate::names::journal(spare.number);
        drop(spare);
        self.shared.disk.remove(&path).and_then(|()| self.shared.sync_dirs(&path)).is_ok()
    }
    /// One emptied file waits to be used again, more only take room.
    fn trim(&self) {
        let keep = usize::from(!self.shared.health.is_full());
        let extra: Vec<_> = {
            let mut state = self.shared.files.state();
            let keep = keep.min(state.free.len());
            state.free.drain(keep..).collect()
        };
        for file in extra {
            file.recycle();
            let path = crate::names::journal(file.number);
            let _swept_by_the_next_start = self.shared.disk.remove(&path).and_then(|()| self.shared.sync_dirs(&path));
        }
    }
    /// One small piece of work; whether there was any.
    pub(crate) fn step(&mut self) -> bool {
        if self.shared.health.is_read_only() {
            return false;
        }
        // No room, or a file that could not be opened: the next round tries again.
        self.try_step().unwrap_or(false)
    }
    fn try_step(&mut self) -> Result<bool, Error> {
        // Without room there are no zeros ahead, but moves must go on: they make room.
        if self.zero().unwrap_or(false) || self.prepare() {
            return Ok(true);
        }
        match self.job.take() {
            None => Ok(self.begin()),
            Some(job) => match self.advance(job).or_else(|(error, job)| self.again(error, job)) {
                Ok(job) => {
                    self.job = job;
                    Ok(true)
                }
                Err((error, job)) if job.state == State::Copying => {
                    self.abandon(&job);
                    Err(error)
                }
                // All is copied and synced; what is missing is a row.
                Err((error, job)) => {
                    self.job = Some(job);
                    Err(error)
                }
            },
        }
    }
    /// At once, before a next file takes the room that was made.
    fn again(&mut self, error: Error, job: Box<Job>) -> Result<Option<Box<Job>>, (Error, Box<Job>)> {
        let rows = job.state == State::Copied;
        if rows && matches!(error, Error::Full) && self.give_up_spare() {
            return self.advance(job);
        }
        Err((error, job))
    }
    /// Zeros ahead of the journal's end.
    fn zero(&self) -> Result<bool, Error> {
        let open = self.shared.files.state().open.clone();
        let Some((file, _)) = open.filter(|(file, at)| file.wants_zeros(*at, &self.shared.limits)) else {
            return Ok(false);
        };
        file.zero_ahead(&self.shared).map(|()| true)
    }
    /// The next journal file: an emptied one, else a new one.
    fn prepare(&self) -> bool {
        let shared = &self.shared;
        let (number, free) = {
            let mut state = shared.files.state();
            // More files would make the next start slower: publishers wait for the move instead.
            let files = state.closed.len() + usize::from(state.open.is_some());
            if state.spare.is_some() || (state.free.is_empty() && files >= FILES) {
                return false;
            }
            state.next_number += 1;
            (state.next_number - 1, state.free.pop())
        };
        let made = match free {
            Some(file) => file.reuse(shared, number),
            None => JournalFile::create(shared, number),
        };
        let ready = made.is_ok();
        shared.files.offer(made);
        ready
    }
    fn begin(&mut self) -> bool {
        // Often enough that the reserve is kept however fast publishers are.
        retention::look_at_space(&self.shared);
        let early = self.early || self.shared.health.is_full();
        let closed = {
            let state = self.shared.files.state();
            // Without room nothing waits: an emptied file and what died in it are room.
            let lazy = if early { 1 } else { LAZY };
            (state.closed.len() >= lazy).then(|| state.closed.front().cloned()).flatten()
        };
        let job = closed.map(|closed| Job {
            at: crate::journal::HEADER as u64,
            closed,
            homes: HashMap::new(),
            dirty: HashMap::new(),
            open: 0,
            made: Vec::new(),
            moved: 0,
            state: State::Copying,
            begun: clock::instant(),
        });
        self.job = job.map(Box::new);
        self.job.is_some()
    }
    fn advance(&mut self, mut job: Box<Job>) -> Result<Option<Box<Job>>, (Error, Box<Job>)> {
        let done = match job.state {
            State::Copying => self.copy(&mut job).map(|last| {
                if last {
                    job.state = State::Copied;
                    if self.shared.limits.sabotaged(Sabotage::RecycleBeforePublish) {
                        self.recycle(&job.closed);
                    }
                }
            }),
            State::Copied => self
                .sync(&mut job)
                .and_then(|()| self.list(&job))
                .map(|()| job.state = State::Listed),
            State::Listed => {
                self.publish(*job);
                return Ok(None);
            }
        };
        match done {
            Ok(()) => Ok(Some(job)),
            Err(error) => Err((error, job)),
        }
    }
    /// No row speaks of the files it made: they would only take the room that is missing.
    fn abandon(&self, job: &Job) {
        for path in &job.made {
            let _swept_by_the_next_start = self.shared.disk.remove(path);
        }
    }

    /// The next window of the file into segments; whether it was the last.
    fn copy(&self, job: &mut Job) -> Result<bool, Error> {
        let shared = &self.shared;
        let most = shared.limits.internal.move_window;
        let mut window = (job.homes.len() * SHARE).clamp(WINDOW.min(most), most) as u64;
        loop {
            let rest = job.closed.bytes.saturating_sub(job.at);
            let bytes = read_range(&*job.closed.file.file, job.at, rest.min(window) as usize).map_err(Error::disk("read the journal"))?;
            let last = rest <= window || (bytes.len() as u64) < rest.min(window);
            let mut failed = None;
            let consumed = frame::walk_part(&bytes, shared.salt, last, |met| {
                if let Met::Record(at, header, body) = met {
                    let record = bytes.get(at..at + header.stored().min(bytes.len() - at)).unwrap_or_default();
                    failed = self.take(job, &header, body, record).err();
                }
                failed.is_none()
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if consumed == 0 && !last {
                // One record larger than the window.
                window *= 2;
                continue;
            }
            job.at += consumed as u64;
            self.flush(job)?;
            return Ok(last);
        }
    }
    fn take(&self, job: &mut Job, header: &record::Header, body: &[u8], record: &[u8]) -> Result<(), Error> {
        if header.home < FIRST_PARTITION {
            return Ok(());
        }
        let new = || {
            let (stream, number) = self.shared.catalog.by_home(header.home)?;
            let mut home = Home::new(&stream, number, &self.shared)?;
            // After a start the last segment has no marks; without them seeking in it would begin at its start.
            if let Some(segment) = home.segments.last_mut().filter(|segment| segment.marks.is_empty()) {
                let file = self.shared.disk.open(&home.folder.segment(segment.base), Open::Existing).ok();
                file.and_then(|file| segment.remark(&*file, self.shared.salt).ok());
            }
            Some(home)
        };
        let Some(mut home) = job.homes.remove(&header.home).or_else(new) else {
            return Ok(());
        };
        let taken = self.take_for(job, &mut home, header, body, record);
        job.homes.insert(header.home, home);
        taken
    }
    fn take_for(&self, job: &mut Job, home: &mut Home, header: &record::Header, body: &[u8], record: &[u8]) -> Result<(), Error> {
        let skip = (header.kind == record::kind::SKIP).then(|| record::Header::skip(body)).flatten();
        let end = header.offset.saturating_add(skip.map_or(1, |(count, _)| count));
        if end <= home.next {
            return Ok(());
        }
        if end <= home.floor {
            // Died young: never written twice. The row's floor explains it.
            home.next = end;
            return Ok(());
        }
        if header.offset > home.next.max(home.floor) {
            let from = home.next.max(home.floor);
            for skip in home.explain(from, header.offset, &self.shared.counters.damaged) {
                let mut bytes = record::encode_skip(skip.1 - skip.0, skip.2);
                record::stamp(&mut bytes, header.home, skip.0, header.time, self.shared.salt);
                self.put(job, home, skip.0..skip.1, header.time, &bytes)?;
            }
        }
        job.moved += 1;
        self.put(job, home, header.offset.max(home.next)..end, header.time, record)?;
        if home.dedupes {
            home.ids.push((header.offset, header.dedupe(body).unwrap_or(0)));
        }
        Ok(())
    }
    fn put(&self, job: &mut Job, home: &mut Home, offsets: std::ops::Range<u64>, time: i64, record: &[u8]) -> Result<(), Error> {
        if home.is_full(offsets.end, record.len() as u64, time) {
            self.roll(job, home)?;
        }
        if home.segments.last().is_none_or(|segment| segment.sealed) {
            home.segments.push(Segment::new(offsets.start));
        }
        if let Some(segment) = home.segments.last_mut() {
            segment.grow(
                offsets.start,
                offsets.end,
                time,
                record.len(),
                u64::from(record.get(3) == Some(&record::kind::MESSAGE)),
            );
        }
        home.buffer.put_slice(record);
        home.next = offsets.end;
        Ok(())
    }
    /// The segment takes no more.
    fn roll(&self, job: &mut Job, home: &mut Home) -> Result<(), Error> {
        self.write(job, home)?;
        let Some(segment) = home.segments.last_mut() else {
            return Ok(());
        };
        segment.sealed = true;
        let path = home.folder.segment(segment.base);
        let file = open(&self.shared, job, &path)?;
        let written = file.write_at(&segment.footer(), segment.len);
        segment.marks = Vec::new();
        written.map_err(Error::disk("write a segment"))
    }
    fn flush(&self, job: &mut Job) -> Result<(), Error> {
        let mut homes = std::mem::take(&mut job.homes);
        let written = homes.values_mut().try_for_each(|home| self.write(job, home));
        job.homes = homes;
        written
    }
    /// What waits for the end of the segment.
    fn write(&self, job: &mut Job, home: &mut Home) -> Result<(), Error> {
        let Some(segment) = home.segments.last().filter(|_| !home.buffer.is_empty()) else {
            return Ok(());
        };
        let path = home.folder.segment(segment.base);
        let file = open(&self.shared, job, &path)?;
        let at = segment.len - home.buffer.len() as u64;
        let written = if at == segment::HEADER {
            let first = home.stream.partition(home.partition).map_or(0, |p| p.home);
            let mut bytes = segment.header(first, home.stream.number(), self.shared.salt).to_vec();
            bytes.extend_from_slice(&home.buffer);
            // Its folder entry too must be durable before a row speaks of it, even if an earlier attempt made the file.
            job.made.push(path.clone());
            file.write_at(&bytes, 0)
        } else {
            file.write_at(&home.buffer, at)
        };
        let bytes = std::mem::take(&mut home.buffer).len() as u64;
        written.map_err(Error::disk("write a segment"))?;
        if let Some(dirty) = job.dirty.get_mut(&path) {
            dirty.unsynced += bytes;
            if dirty.unsynced >= UNSYNCED {
                dirty.unsynced = 0;
                self.shared.sync_file(&*file).map_err(Error::disk("sync a segment"))?;
            }
        }
        self.write_ids(job, home)?;
        if job.open >= OPEN {
            job.dirty.values_mut().for_each(|dirty| dirty.file = None);
            job.open = 0;
        }
        Ok(())
    }

    /// Everything the rows will speak of.
    fn sync(&self, job: &mut Job) -> Result<(), Error> {
        self.sync_files(job)?;
        job.made.sort();
        job.made.dedup_by(|a, b| a.parent() == b.parent());
        for path in &job.made {
            self.shared.sync_dirs(path).map_err(Error::disk("sync a folder"))?;
        }
        job.made.clear();
        Ok(())
    }
    fn sync_files(&self, job: &mut Job) -> Result<(), Error> {
        let files: Vec<_> = job.dirty.iter().collect();
        let sync = |files: &[(&PathBuf, &Dirty)]| {
            for (path, dirty) in files {
                // Many syncs of a slow disk are not worth waiting for: the next start moves again.
                if self.shared.mover.is_closed() {
                    return Err(std::io::Error::other("the log is closing"));
                }
                let file = match &dirty.file {
                    Some(file) => file.clone(),
                    None => self.shared.disk.open(path, Open::Existing)?,
                };
                self.shared.sync_file(&*file)?;
            }
            Ok(())
        };
        let synced = if files.len() <= 2 * SYNCS {
            sync(&files)
        } else {
            let (sync, share) = (&sync, files.len().div_ceil(SYNCS));
            thread::scope(|scope| {
                let threads: Vec<_> = files.chunks(share).map(|files| scope.spawn(move || sync(files))).collect();
                let lost = || Err(std::io::Error::other("a thread ended"));
                threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| lost()))
            })
        };
        synced.map_err(Error::disk("sync a segment"))?;
        job.dirty.clear();
        job.open = 0;
        Ok(())
    }
    /// One batch of rows: from its sync on the segments count.
    fn list(&mut self, job: &Job) -> Result<(), Error> {
        let shared = self.shared.clone();
        let changed = {
            let mut tables = shared.catalog.tables();
            for (number, home) in &job.homes {
                let last_time = home.segments.last().map_or(0, |segment| segment.last_time);
                let row = partition_row(home.next, home.floor, last_time);
                tables.set((table::PARTITIONS, number.to_le_bytes().to_vec()), Some(row.into()));
                for segment in &home.segments {
                    tables.set((table::SEGMENTS, segment.key(*number)), Some(segment.row().into()));
                }
            }
            drop(tables);
            shared.catalog.changed_rows()
        };
        let covered = self.covered.max(job.closed.last_seq);
        if let Err(error) = self.table.append(&shared, &changed, covered) {
            shared.catalog.tables().put_back(changed);
            return Err(error);
        }
        self.covered = covered;
        Ok(())
    }
    /// Readers go to the segments; then the file is free.
    fn publish(&self, job: Job) {
        for home in job.homes.into_values() {
            if let Some(partition) = home.stream.partition(home.partition) {
                partition.places().moved(home.segments, home.next);
            }
        }
        self.shared.counters.moved.fetch_add(job.moved, Relaxed);
        let us = job.begun.elapsed().as_micros().max(1) as u64;
        self.shared
            .counters
            .move_rate
            .store((job.closed.bytes * 1_000_000 / us).max(1), Relaxed);
        if !self.shared.limits.sabotaged(Sabotage::RecycleBeforePublish) {
            self.recycle(&job.closed);
        }
    }
    fn recycle(&self, closed: &Closed) {
        let mut state = self.shared.files.state();
        state.closed.retain(|other| !Arc::ptr_eq(&other.file, &closed.file));
        state.free.push(closed.file.clone());
    }
}
/// A file of the move: there already, or made.
fn open(shared: &Shared, job: &mut Job, path: &PathBuf) -> Result<Arc<dyn DiskFile>, Error> {
    if let Some(file) = job.dirty.get(path).and_then(|dirty| dirty.file.clone()) {
        return Ok(file);
    }
    let file = match shared.disk.open(path, Open::Existing) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            shared.disk.open(path, Open::New).map_err(Error::disk("create a segment"))?
        }
        file => file.map_err(Error::disk("open a segment"))?,
    };
    let dirty = job.dirty.entry(path.clone()).or_insert(Dirty { file: None, unsynced: 0 });
    dirty.file = Some(file.clone());
    job.open += 1;
    Ok(file)
}
