//! The one thread that writes the journal: takes all that waits, names it, writes one frame, syncs once, tells.
use crate::{
    Committed,
    catalog::Catalog,
    dedupe::{Dedupe, Id},
    draft::{Frame, Lost, Owner, Placed, Repeated, Work},
    error::Error,
    frame,
    herald::Package,
    intake::{Change, Woke},
    journal::{Opening, Writer},
    partition::{RUN, Run, Skip},
    record::{self, Missing},
    shared::Shared,
    tail::Tail,
};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tidegate_core::receipt::{Keep, Kept, Level};

/// How long to wait for the mover's next file before looking round again.
const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Committer {
    shared: Arc<Shared>,
    writer: Writer,
    /// Not written yet: there was no room.
    opening: Option<Opening>,
    queue: VecDeque<Work>,
    tail: Tail,
    /// Built, but there was no file for it yet.
    ready: Option<Frame>,
    /// Its memory is used again.
    spare: Vec<u8>,
    /// Offsets of frames that could not be written: the next frame explains them.
    lost: Vec<Lost>,
    state_seq: u64,
    sealed: bool,
    dedupe: Dedupe,
    /// Bytes of the last frame.
    written: usize,
    /// Bytes since the mover was asked to look at the total.
    fresh: u64,
}
/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Idle,
    Committed,
    /// The mover has to make a file first.
    Blocked,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer, opening: Option<Opening>, state_seq: u64, dedupe: Dedupe) -> Self {
        Self {
            shared,
            writer,
            opening,
            queue: VecDeque::new(),
            tail: Tail::default(),
            ready: None,
            spare: Vec::new(),
            lost: Vec::new(),
            state_seq,
            sealed: false,
            dedupe,
            written: 0,
            fresh: 0,
        }
    }
    pub(crate) fn run(mut self) {
        let limits = &self.shared.limits;
        let (lazy, seal_after) = (limits.lazy, limits.internal.seal_after);
        loop {
            let silence = (!self.sealed && !self.shared.health.is_read_only()).then_some(seal_after);
            // At least four times the last sync, so that a slow disk is not kept busy by what nobody waits for.
            let slow = Duration::from_micros(4 * self.shared.counters.sync_us.load(Relaxed));
            match self.shared.intake.wait(lazy.max(slow), silence) {
                Woke::Work => {
                    while self.step(PATIENCE) != Step::Idle {
                        self.brake();
                    }
                }
                Woke::Silence => self.seal(PATIENCE),
                Woke::Closed => break,
            }
        }
        while self.step(PATIENCE) != Step::Idle {}
        if !self.sealed {
            self.seal(PATIENCE);
        }
        let shared = self.shared.clone();
        drop(self);
        shared.herald.close();
        shared.mover.close();
        shared.life.end();
    }
    fn brake(&mut self) {
        let shared = &self.shared;
        let rate = shared.counters.move_rate.load(Relaxed);
        let pause = shared.files.brake(self.written, rate, &shared.limits);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    /// Commits one frame of what waits.
    pub(crate) fn step(&mut self, patience: Duration) -> Step {
        let frame = match self.ready.take() {
            Some(frame) => frame,
            None => match self.build() {
                Some(frame) => frame,
                None => return Step::Idle,
            },
        };
        self.commit(frame, patience)
    }
    /// Says that all before is whole.
    pub(crate) fn seal(&mut self, patience: Duration) {
        self.sealed = true;
        if self.shared.health.is_read_only() || self.ready.is_some() {
            return;
        }
        let mut frame = Frame {
            bytes: vec![0; frame::HEADER],
            flags: frame::flag::SEAL,
            ..Frame::default()
        };
        self.explain(&mut frame);
        // A seal is not worth a new file.
        if let Step::Blocked = self.commit(frame, patience) {
            self.ready = None;
        }
    }
    fn commit(&mut self, mut frame: Frame, patience: Duration) -> Step {
        let shared = self.shared.clone();
        let written = if shared.health.is_read_only() {
            Err(Error::ReadOnly)
        } else if let Err(error) = self.open() {
            Err(error)
        } else {
            match self.writer.reserve(&shared, frame.bytes.len(), patience) {
                Ok(false) => {
                    self.ready = Some(frame);
                    return Step::Blocked;
                }
                Ok(true) => self.writer.write(&shared, &mut frame.bytes, frame.records, frame.flags),
                Err(error) => Err(error),
            }
        };
        self.written = frame.bytes.len();
        self.sealed = frame.flags & frame::flag::SEAL != 0;
        let package = match written {
            Ok(at) => self.publish(&mut frame, at),
            Err(error) => self.fail(&mut frame, &error),
        };
        self.tail.shrink(shared.limits.tail_cache);
        shared.counters.tail_bytes.store(self.tail.bytes() as u64, Relaxed);
        self.answer(frame, package);
        Step::Committed
    }

    /// The first frame of this start goes before all others.
    fn open(&mut self) -> Result<(), Error> {
        let Some(opening) = self.opening.take() else {
            return Ok(());
        };
        self.writer.open(&self.shared, opening).map_err(|(error, opening)| {
            self.opening = Some(opening);
            error
        })
    }

    /// Takes what waits, as far as it fits into one frame; gives offsets and times.
    fn build(&mut self) -> Option<Frame> {
        let taken = self.shared.intake.take();
        self.queue.extend(taken.into_iter().map(Work::from));
        self.queue.front()?;
        let limits = self.shared.limits.clone();
        let now = limits.now();
        let mut frame = Frame {
            bytes: std::mem::take(&mut self.spare),
            ..Frame::default()
        };
        frame.bytes.clear();
        frame.bytes.resize(frame::HEADER, 0);
        self.explain(&mut frame);
        let mut size = frame.bytes.len();
        let mut full = false;
        while !full && let Some(work) = self.queue.pop_front() {
            match work {
                Work::Change(change, keep) => {
                    self.change(&mut frame, change, keep, now);
                    size = frame.bytes.len() + frame.placed.iter().map(|p| p.record.len()).sum::<usize>();
                }
                Work::Append(mut owner) => {
                    let number = frame.owners.len();
                    while let Some(item) = owner.rest.as_slice().first().map(|p| p.item) {
                        let entries = owner.rest.as_slice().iter().take_while(|p| p.item == item).count();
                        let bytes: usize = owner.rest.as_slice().iter().take(entries).map(|p| p.record.len()).sum();
                        let room = size + bytes <= limits.frame && frame.placed.len() + entries <= limits.frame_records;
                        if !room && !frame.placed.is_empty() {
                            full = true;
                            break;
                        }
                        size += self.place(&mut frame, number, &mut owner, entries, now);
                    }
                    frame.owners.push(owner);
                }
            }
        }
        self.write_records(&mut frame);
        Some(frame)
    }
    /// Names the next item's records, or refuses it whole; the bytes they take.
    fn place(&mut self, frame: &mut Frame, number: usize, owner: &mut Owner, entries: usize, now: i64) -> usize {
        let gone = owner.rest.as_slice().iter().take(entries).find(|p| p.stream.is_deleted());
        if let Some(refused) = gone {
            let error = Error::NoSuchStream(refused.stream.name().to_owned());
            owner.kept.failed.push((refused.item, error.into()));
            owner.rest.by_ref().take(entries).for_each(drop);
            return 0;
        }
        let (mut bytes, mut repeated) = (0, 0);
        // What is known already needs no room.
        let fresh = owner.rest.as_slice().iter().take(entries).filter(|p| {
            let known = p.hash.and_then(|hash| self.dedupe.find(&p.stream, hash, now));
            known.is_none()
        });
        if let Some((refused, error)) = frame.refusal(fresh) {
            refused.stream.counters.dropped.fetch_add(1, Relaxed);
            owner.kept.failed.push((refused.item, error.into()));
            owner.rest.by_ref().take(entries).for_each(drop);
            return 0;
        }
        let item = owner.rest.as_slice().first().map_or(0, |p| p.item);
        for pending in owner.rest.by_ref().take(entries) {
            if let Some(seen) = pending.hash.and_then(|hash| self.dedupe.find(&pending.stream, hash, now)) {
                pending.stream.counters.duplicates.fetch_add(1, Relaxed);
                repeated += 1;
                frame.repeated.push(Repeated {
                    owner: number,
                    item: pending.item,
                    stream: pending.stream,
                    partition: seen.partition,
                    offset: seen.offset,
                });
                continue;
            }
            frame.admit(&pending);
            let Some(partition) = pending.stream.partition(pending.partition) else {
                continue;
            };
            let offset = partition.next.load(Relaxed);
            let time = now.max(partition.last_time.load(Relaxed));
            partition.next.store(offset + 1, Relaxed);
            partition.last_time.store(time, Relaxed);
            bytes += pending.record.len();
            if let Some(hash) = pending.hash {
                let id = Id {
                    stream: pending.stream.number(),
                    partition: pending.partition,
                    offset,
                    time,
                    hash,
                };
                self.dedupe.note(id, self.shared.limits.dedupe);
                self.dedupe.expire(&pending.stream, now);
                frame.hashes.push(hash);
            }
            frame.placed.push(Placed {
                owner: number,
                item: pending.item,
                home: partition.home,
                partition: pending.partition,
                offset,
                time,
                record: pending.record,
                message: pending.message,
                stream: pending.stream,
            });
        }
        if repeated == entries {
            owner.kept.duplicates.push(item);
        }
        bytes
    }
    fn change(&mut self, frame: &mut Frame, change: Change, keep: Keep, now: i64) {
        for (home, mut row) in Catalog::rows(&change) {
            self.state_seq += 1;
            record::stamp(&mut row, home, self.state_seq, now, self.shared.salt);
            if let Some(header) = record::Header::read(&row, self.shared.salt)
                && let Some((key, value)) = header.body(&row, self.shared.salt).and_then(|body| header.row(body))
            {
                let value = (header.kind == record::kind::PUT).then_some(value);
                frame.rows.push(Catalog::row_of(home, key, value));
            }
            frame.bytes.extend_from_slice(&row);
            frame.records += 1;
        }
        frame.changes.push((change, keep));
    }
    /// Skips for what earlier frames lost.
    fn explain(&mut self, frame: &mut Frame) {
        frame.lost = std::mem::take(&mut self.lost);
        for lost in &frame.lost {
            let Some(partition) = lost.stream.partition(lost.partition) else {
                continue;
            };
            let mut skip = record::encode_skip(lost.count, Missing::Failed);
            let time = partition.last_time.load(Relaxed);
            record::stamp(&mut skip, partition.home, lost.from, time, self.shared.salt);
            frame.bytes.extend_from_slice(&skip);
            frame.records += 1;
        }
    }
    /// Records of one home side by side, in order.
    fn write_records(&self, frame: &mut Frame) {
        let mixed = frame.placed.windows(2).any(|pair| matches!(pair, [a, b] if a.home != b.home));
        if mixed {
            frame.placed.sort_by_key(|placed| placed.home);
        }
        for placed in &mut frame.placed {
            let at = frame.bytes.len();
            frame.bytes.extend_from_slice(&placed.record);
            if let Some(record) = frame.bytes.get_mut(at..) {
                record::stamp(record, placed.home, placed.offset, placed.time, self.shared.salt);
            }
            if let Some(message) = Arc::get_mut(&mut placed.message) {
                message.at = placed.time;
            }
        }
        frame.records += frame.placed.len() as u32;
    }

    /// The frame is synced: readers may see it.
    fn publish(&mut self, frame: &mut Frame, records_at: u64) -> Package {
        let mut package = Package::default();
        let rows: usize = frame.bytes.len() - frame::HEADER - frame.placed.iter().map(|p| p.record.len()).sum::<usize>();
        let mut at = records_at + rows as u64;
        for lost in frame.lost.drain(..) {
            if let Some(partition) = lost.stream.partition(lost.partition) {
                partition.places().skip(Skip {
                    from: lost.from,
                    to: lost.from + lost.count,
                    why: Missing::Failed,
                });
            }
            package.streams.push(lost.stream);
        }
        let counters = &self.shared.counters;
        counters.frames.fetch_add(1, Relaxed);
        counters.records.fetch_add(frame.placed.len() as u64, Relaxed);
        counters.bytes.fetch_add(frame.bytes.len() as u64, Relaxed);
        self.fresh += frame.bytes.len() as u64;
        if self.shared.limits.total.is_some_and(|total| self.fresh >= total / 16) {
            // All streams together may hold too much now.
            self.fresh = 0;
            self.shared.mover.wake();
        }
        let Some(file) = self.writer.file.clone() else {
            return package;
        };
        for group in frame.placed.chunk_by(|a, b| a.home == b.home && a.offset + 1 == b.offset) {
            let Some((first, partition)) = group.first().and_then(|p| Some((p, p.stream.partition(p.partition)?))) else {
                continue;
            };
            let mut places = partition.places();
            let mut rest = group;
            while let Some(start) = rest.first() {
                let mut bytes = 0;
                let fits = rest.iter().take_while(|p| {
                    let before = bytes;
                    bytes += p.record.len();
                    before == 0 || bytes <= RUN
                });
                let (run, tail) = rest.split_at(fits.count());
                let bytes: usize = run.iter().map(|p| p.record.len()).sum();
                let messages: Vec<_> = run.iter().map(|p| p.message.clone()).collect();
                let count = messages.len();
                places.append(
                    Run {
                        first: start.offset,
                        count: count as u32,
                        bytes: bytes as u32,
                        data: bytes as u32,
                        at,
                        time: start.time,
                        file: file.clone(),
                    },
                    Some(messages),
                );
                self.tail.add(&start.stream, start.partition, start.offset, count, bytes);
                at += bytes as u64;
                rest = tail;
            }
            drop(places);
            if first.stream.is_over(group.len() as u64) {
                self.shared.mover.wake();
            }
            if !package.streams.last().is_some_and(|s| Arc::ptr_eq(s, &first.stream)) {
                package.streams.push(first.stream.clone());
            }
            package.committed.push(Committed {
                stream: first.stream.number(),
                partition: first.partition,
                first: first.offset,
                messages: group.iter().map(|p| p.message.clone()).collect(),
            });
        }
        if !frame.rows.is_empty() {
            let mut tables = self.shared.catalog.tables();
            frame.rows.drain(..).for_each(|(key, value)| tables.set(key, value));
            tables.seq = self.state_seq;
        }
        for (change, keep) in frame.changes.drain(..) {
            self.shared.catalog.apply(change);
            package.answers.push((keep, Ok(Kept::new(Level::Stored))));
        }
        // Places in the order of the items, which sorting by home may have mixed.
        frame.placed.sort_by_key(|p| (p.owner, p.item));
        for placed in &frame.placed {
            if let Some(owner) = frame.owners.get_mut(placed.owner) {
                owner.stored(&placed.stream, placed.item, placed.partition, placed.offset);
            }
        }
        for repeated in &frame.repeated {
            if let Some(owner) = frame.owners.get_mut(repeated.owner) {
                owner.stored(&repeated.stream, repeated.item, repeated.partition, repeated.offset);
            }
        }
        counters.dedupe_ids.store(self.dedupe.len() as u64, Relaxed);
        package
    }
    /// Nothing of the frame is kept; its offsets are never used again.
    fn fail(&mut self, frame: &mut Frame, error: &Error) -> Package {
        let mut package = Package::default();
        self.lost.append(&mut frame.lost);
        if matches!(error, Error::Full) {
            self.shared.health.set_full(true, self.shared.limits.now());
            self.shared.mover.wake();
        }
        for hash in frame.hashes.drain(..) {
            self.dedupe.forget(hash);
        }
        // The first one may have been in this frame too.
        for repeated in frame.repeated.drain(..) {
            if let Some(owner) = frame.owners.get_mut(repeated.owner) {
                owner.failure = Some(error.clone());
                owner.kept.duplicates.retain(|item| *item != repeated.item);
                owner.kept.failed.push((repeated.item, error.clone().into()));
            }
        }
        for placed in &frame.placed {
            match self.lost.last_mut() {
                Some(lost)
                    if Arc::ptr_eq(&lost.stream, &placed.stream)
                        && lost.partition == placed.partition
                        && lost.from + lost.count == placed.offset =>
                {
                    lost.count += 1;
                }
                _ => self.lost.push(Lost {
                    stream: placed.stream.clone(),
                    partition: placed.partition,
                    from: placed.offset,
                    count: 1,
                }),
            }
            if let Some(owner) = frame.owners.get_mut(placed.owner) {
                owner.failure = Some(error.clone());
                if owner.kept.failed.last().is_none_or(|(item, _)| *item != placed.item) {
                    owner.kept.failed.push((placed.item, error.clone().into()));
                }
            }
        }
        for (_, keep) in frame.changes.drain(..) {
            package.answers.push((keep, Err(error.clone().into())));
        }
        package
    }
    /// Hands what is complete to the herald; the rest of the last call comes first in the next frame.
    fn answer(&mut self, mut frame: Frame, mut package: Package) {
        if let Some(owner) = frame.owners.pop_if(|owner| owner.rest.len() > 0) {
            self.queue.push_front(Work::Append(owner));
        }
        for mut owner in frame.owners {
            package.permits += owner.permits;
            let Some(keep) = owner.keep.take() else {
                continue;
            };
            let nothing = owner.kept.places.is_empty() && owner.kept.duplicates.is_empty();
            let answer = match owner.failure {
                Some(error) if nothing => Err(error.into()),
                _ => {
                    owner.kept.failed.sort_by_key(|(item, _)| *item);
                    Ok(owner.kept)
                }
            };
            package.answers.push((keep, answer));
        }
        self.spare = frame.bytes;
        // One large frame must not be held by an idle node.
        self.spare.clear();
        self.spare.shrink_to(1 << 20);
        self.shared.herald.send(package);
    }
}
