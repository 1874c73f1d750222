//! The one thread that writes the journal: takes all that waits, names it, writes one frame, syncs once, tells.
mod groups;

use crate::{
    Committed,
    append::Pending,
    catalog::Catalog,
    dedupe::{Dedupe, Id, Seen},
    draft::{Frame, Lost, Owner, Placed, Repeated, owner},
    error::Error,
    frame,
    herald::Package,
    intake::{Change, Submission, Waiting, Woke},
    journal::{Opening, Writer},
    partition::{Run, Skip, runs},
    record::{self, Missing},
    shared::Shared,
    stream::Stream,
    tail::{Recent, Tail},
};
use bytes::Bytes;
use std::{
    num::NonZeroU128,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tidegate_core::{
    home::Post,
    receipt::{Keep, Kept, Level},
};

/// A sync that takes longer is worth waiting for those it has woken: without that, half of the publishers always miss the next frame.
const SLOW_SYNC: Duration = Duration::from_micros(400);
/// What part of a sync nobody may come for. As long as somebody does, a whole one is waited at most, and never longer than that.
const QUIET_PART: u32 = 8;
const LINGER_MOST: Duration = Duration::from_millis(4);
/// Where a frame answered so many callers, they come back all at once, and a sync for each few of them would cost more of a processor than
/// they do. As long as one comes within the second time, they are waited for, at most for the first.
const MANY: usize = 16;
const MANY_LINGER: (Duration, Duration) = (Duration::from_micros(600), Duration::from_micros(150));
/// How long to wait for the mover's next file before looking round again.
const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Committer {
    shared: Arc<Shared>,
    writer: Writer,
    /// Not written yet: there was no room.
    opening: Option<Opening>,
    queue: Waiting,
    /// What of a call did not fit into the last frame: it comes first in the next.
    rest: Option<Owner>,
    tail: Tail,
    /// Built, but there was no file for it yet.
    ready: Option<Frame>,
    /// Offsets of frames that could not be written: the next frame explains them.
    lost: Vec<Lost>,
    state_seq: u64,
    sealed: bool,
    dedupe: Dedupe,
    /// Bytes of the last frame.
    written: usize,
    /// Callers the last frame answered.
    answered: usize,
    /// Bytes since the mover was asked to look at the total.
    fresh: u64,
    /// Answers that go home without the herald.
    post: Post,
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
            queue: Waiting::default(),
            rest: None,
            tail: Tail::default(),
            ready: None,
            lost: Vec::new(),
            state_seq,
            sealed: false,
            dedupe,
            written: 0,
            answered: 0,
            fresh: 0,
            post: Post::default(),
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
                        self.linger();
                        if !self.is_pressed() {
                            break;
                        }
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
    /// Whether there is more that should not wait. What came meanwhile and nobody waits for has its time: to commit it at once, again and again,
    /// would be a sync for every few messages.
    fn is_pressed(&self) -> bool {
        self.has_more() || self.shared.intake.is_pressed()
    }
    /// Whether something was taken that is not committed.
    fn has_more(&self) -> bool {
        self.ready.is_some() || self.rest.is_some() || !self.queue.submissions.is_empty()
    }
    /// Those who were just answered come back, if they go on publishing: they share the next sync with those who came meanwhile.
    fn linger(&self) {
        if self.has_more() {
            return;
        }
        let sync = Duration::from_micros(self.shared.counters.sync_us.load(Relaxed));
        if sync > SLOW_SYNC {
            let most = sync.min(LINGER_MOST);
            self.shared.intake.gather(self.answered, most, (sync / QUIET_PART).min(most));
        } else if self.answered >= MANY {
            let (most, quiet) = MANY_LINGER;
            self.shared.intake.gather(self.answered, most, quiet);
        }
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
        if !self.has_more() {
            // Who does nothing holds nothing.
            self.queue = Waiting::default();
            self.shared.intake.forget();
        }
        if self.shared.health.is_read_only() || self.ready.is_some() {
            return;
        }
        let mut frame = Frame::new(frame::flag::SEAL, 0, 0);
        self.explain(&mut frame);
        frame.finish();
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
        if self.queue.submissions.is_empty() {
            self.shared.intake.take(&mut self.queue);
        }
        if self.rest.is_none() && self.queue.submissions.is_empty() {
            return None;
        }
        let limits = &self.shared.limits;
        let now = limits.now();
        let mut frame = Frame::new(0, self.queue.size.min(limits.frame), self.queue.submissions.len());
        self.explain(&mut frame);
        let mut full = match self.rest.take() {
            Some(rest) => !self.append(&mut frame, rest, now),
            None => false,
        };
        while !full && let Some(submission) = self.queue.submissions.pop_front() {
            match submission {
                Submission::Change(change, keep) => self.change(&mut frame, change, keep, now),
                Submission::Settle(group) => self.settle(&mut frame, &group, now),
                Submission::Append(handed, held) => full = !self.append(&mut frame, Owner::new(handed, held), now),
            }
        }
        frame.finish();
        Some(frame)
    }
    /// Names a call's records, as far as there is room; whether there was for all.
    fn append(&mut self, frame: &mut Frame, mut owner: Owner, now: i64) -> bool {
        let is_waited_for = owner.is_waited_for();
        let number = is_waited_for.then_some(frame.owners.len() as u32);
        while !owner.is_done() {
            let (limits, item) = (&self.shared.limits, owner.item());
            let bytes: usize = item.iter().map(|p| p.len as usize).sum();
            let room = frame.size() + bytes <= limits.frame && frame.placed.len() + item.len() <= limits.frame_records;
            if !room && !frame.placed.is_empty() {
                owner.detach(&self.queue);
                if is_waited_for {
                    frame.owners.push(owner);
                } else {
                    self.rest = Some(owner);
                }
                return false;
            }
            self.place(frame, number, &mut owner, now);
        }
        if let Some(unit) = owner.unit.take() {
            self.unite(frame, &owner, *unit, now);
        }
        if is_waited_for {
            frame.owners.push(owner);
        } else {
            frame.permits += owner.permits;
        }
        true
    }
    /// Names the next item's records, or refuses it whole.
    fn place(&mut self, frame: &mut Frame, number: Option<u32>, owner: &mut Owner, now: i64) {
        let entries = owner.item();
        let count = entries.len();
        let item = entries.first().map_or(0, |p| p.item);
        let records = || entries.iter().filter_map(|p| Some((p, owner.stream(p)?)));
        if let Some((_, gone)) = records().find(|(_, stream)| stream.is_deleted()) {
            let error = Error::NoSuchStream(gone.name().to_owned());
            return owner.refuse(item, count, error);
        }
        // What is known already needs no room.
        let fresh = records().filter(|(p, stream)| self.known(stream, p, now).is_none());
        if let Some((refused, error)) = frame.refusal(fresh.map(|(p, stream)| (stream, p.len))) {
            refused.counters.dropped.fetch_add(1, Relaxed);
            return owner.refuse(item, count, error);
        }
        let mut repeated = 0;
        for _ in 0..count {
            let Some((pending, at)) = owner.take() else { break };
            let Some(stream) = owner.stream(&pending) else { continue };
            if let Some(seen) = self.known(stream, &pending, now) {
                stream.counters.duplicates.fetch_add(1, Relaxed);
                repeated += 1;
                frame.repeated.push(Repeated {
                    owner: number,
                    item: pending.item,
                    stream: stream.number(),
                    partition: seen.partition,
                    offset: seen.offset,
                });
                continue;
            }
            frame.admit(stream, pending.len);
            let Some(partition) = stream.partition(pending.partition) else {
                continue;
            };
            let offset = partition.next.load(Relaxed);
            let time = now.max(partition.last_time.load(Relaxed));
            partition.next.store(offset + 1, Relaxed);
            partition.last_time.store(time, Relaxed);
            if let Some(hash) = pending.hash.map(NonZeroU128::get) {
                let id = Id {
                    stream: stream.number(),
                    partition: pending.partition,
                    offset,
                    time,
                    hash,
                };
                self.dedupe.note(id, self.shared.limits.dedupe);
                self.dedupe.expire(stream, now);
                frame.hashes.push(hash);
            }
            frame.mixed |= frame.placed.last().is_some_and(|last| last.home != partition.home);
            let stream = frame.number_of(stream);
            let from = frame.bytes.len();
            frame.bytes.extend_from_slice(owner.bytes(at, pending.len, &self.queue));
            if let Some(record) = frame.bytes.get_mut(from..) {
                record::stamp(record, partition.home, offset, time, self.shared.salt);
            }
            frame.placed.push(Placed {
                owner: number,
                item,
                stream,
                partition: pending.partition,
                home: partition.home,
                at: from as u32,
                len: pending.len,
                offset,
                time,
            });
        }
        if repeated == count {
            owner.kept.duplicates.push(item);
        }
    }
    /// Where a message with this id lies already.
    fn known(&self, stream: &Stream, pending: &Pending, now: i64) -> Option<Seen> {
        pending.hash.and_then(|hash| self.dedupe.find(stream, hash.get(), now))
    }
    fn change(&mut self, frame: &mut Frame, change: Change, keep: Keep, now: i64) {
        for (home, mut row) in self.shared.clone().catalog.rows(&change) {
            self.state_seq += 1;
            record::stamp(&mut row, home, self.state_seq, now, self.shared.salt);
            if let Some(header) = record::Header::read(&row, self.shared.salt)
                && let Some((key, value)) = header.body(&row, self.shared.salt).and_then(|body| header.row(body))
            {
                let value = (header.kind == record::kind::PUT).then_some(value);
                frame.rows.push(Catalog::row_of(home, key, value));
            }
            frame.push_first(&row);
        }
        frame.changes.push((change, keep));
    }
    /// Skips for what earlier frames lost.
    fn explain(&mut self, frame: &mut Frame) {
        let lost = std::mem::take(&mut self.lost);
        for lost in &lost {
            let Some(partition) = lost.stream.partition(lost.partition) else {
                continue;
            };
            let mut skip = record::encode_skip(lost.count, Missing::Failed);
            let time = partition.last_time.load(Relaxed);
            record::stamp(&mut skip, partition.home, lost.from, time, self.shared.salt);
            frame.push_first(&skip);
        }
        frame.lost = lost;
    }

    /// The frame is synced: readers may see it.
    fn publish(&mut self, frame: &mut Frame, records_at: u64) -> Package {
        let mut package = Package::default();
        // Skips and rows lie before the records.
        let before = frame.placed.first().map_or(frame.bytes.len(), |placed| placed.at as usize);
        let mut at = records_at + (before - frame::HEADER) as u64;
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
            self.shared.mover.look();
        }
        let Some(file) = self.writer.file.clone() else {
            return package;
        };
        let mut rest = Bytes::from(std::mem::take(&mut frame.bytes)).split_off(before);
        for group in frame.placed.chunk_by(|a, b| a.home == b.home && a.offset + 1 == b.offset) {
            let Some(start) = group.first() else { continue };
            let Some(stream) = frame.stream(start) else { continue };
            let number = start.partition;
            let Some(partition) = stream.partition(number) else { continue };
            let mut places = partition.places();
            for run in runs(group) {
                let bytes: usize = run.iter().map(|placed| placed.len as usize).sum();
                let (first, time) = run.first().map_or((0, 0), |p| (p.offset, p.time));
                let count = run.len() as u32;
                let records = rest.split_to(bytes);
                let recent = Arc::new(Recent::new(stream.clone(), number, first, count, records, self.shared.salt));
                let more = places.append(
                    Run {
                        first,
                        count,
                        bytes: bytes as u32,
                        data: bytes as u32,
                        at,
                        time,
                        file: file.clone(),
                    },
                    Some(recent.clone()),
                );
                self.writer.runs += usize::from(more);
                self.tail.add(recent.clone());
                package.committed.push(Committed {
                    stream: stream.number(),
                    partition: number,
                    recent,
                });
                at += bytes as u64;
            }
            drop(places);
            if stream.is_over(group.len() as u64) {
                self.shared.mover.look();
            }
            if !package.streams.last().is_some_and(|s| Arc::ptr_eq(s, stream)) {
                package.streams.push(stream.clone());
            }
        }
        self.keep_rows(frame, &mut package);
        for (change, keep) in frame.changes.drain(..) {
            self.shared.catalog.apply(change);
            package.answers.push((keep, Ok(Kept::new(Level::Stored))));
        }
        if frame.mixed {
            // Places in the order of the items.
            frame.placed.sort_by_key(|p| (p.owner, p.item));
        }
        for placed in &frame.placed {
            let source = frame.stream(placed).map(|stream| stream.number());
            if let (Some(owner), Some(source)) = (owner(&mut frame.owners, placed.owner), source) {
                owner.stored(source, placed.item, placed.partition, placed.offset);
            }
        }
        for repeated in &frame.repeated {
            if let Some(owner) = owner(&mut frame.owners, repeated.owner) {
                owner.stored(repeated.stream, repeated.item, repeated.partition, repeated.offset);
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
            self.shared.mover.look();
        }
        for hash in frame.hashes.drain(..) {
            self.dedupe.forget(hash);
        }
        // The first one may have been in this frame too.
        for repeated in frame.repeated.drain(..) {
            if let Some(owner) = owner(&mut frame.owners, repeated.owner) {
                owner.failure = Some(error.clone());
                owner.kept.duplicates.retain(|item| *item != repeated.item);
                owner.kept.failed.push((repeated.item, error.clone().into()));
            }
        }
        for placed in &frame.placed {
            let partition = placed.partition;
            let Some(stream) = frame.stream(placed) else { continue };
            match self.lost.last_mut() {
                Some(lost)
                    if Arc::ptr_eq(&lost.stream, stream) && lost.partition == partition && lost.from + lost.count == placed.offset =>
                {
                    lost.count += 1;
                }
                _ => self.lost.push(Lost {
                    stream: stream.clone(),
                    partition,
                    from: placed.offset,
                    count: 1,
                }),
            }
            let item = placed.item;
            if let Some(owner) = owner(&mut frame.owners, placed.owner) {
                owner.failure = Some(error.clone());
                if owner.kept.failed.last().is_none_or(|(failed, _)| *failed != item) {
                    owner.kept.failed.push((item, error.clone().into()));
                }
            }
        }
        for (_, keep) in frame.changes.drain(..) {
            package.answers.push((keep, Err(error.clone().into())));
        }
        self.take_back(frame, error);
        package
    }
    /// Hands what is complete to the herald; the rest of the last call comes first in the next frame.
    fn answer(&mut self, mut frame: Frame, mut package: Package) {
        if let Some(owner) = frame.owners.pop_if(|owner| !owner.is_done()) {
            self.rest = Some(owner);
        }
        self.answered = 0;
        package.permits += frame.permits;
        for mut owner in frame.owners {
            package.permits += owner.permits;
            let Some(keep) = owner.keep.take() else {
                continue;
            };
            self.answered += 1;
            let nothing = owner.kept.places.is_empty() && owner.kept.duplicates.is_empty();
            let answer = match owner.failure {
                Some(error) if nothing => Err(error.into()),
                _ => {
                    owner.kept.failed.sort_by_key(|(item, _)| *item);
                    Ok(owner.kept)
                }
            };
            package.answers.extend(self.post.take(keep, answer));
        }
        self.post.deliver();
        self.shared.herald.send(package);
    }
}
