//! What a group has out, what waits, and what the journal has yet to be told.
use super::{
    Manner,
    burial::{Burial, Confirm},
    waiting::Waiting,
};
use crate::{
    progress::{Progress, Try},
    ranges::Ranges,
};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    mem,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};
use tidegate_core::{error::Error, position::Position, settle::Done};

/// What may be given back and not done at a time: then no fresh ones are taken.
const UNSETTLED: usize = 100_000;

/// What one lock guards.
pub(super) struct Live {
    parts: Vec<Part>,
    /// Delivered, by the first of the numbers the [`tidegate_core::settle::Ack`] knows.
    out: BTreeMap<u64, Run>,
    /// Messages in it.
    open: usize,
    next: u64,
    /// Given back.
    waiting: Waiting,
    dying: VecDeque<Burial>,
    /// Taken from `dying`, and on their way.
    carried: usize,
    /// Who waits for the next change to be durable.
    confirm: Vec<Arc<Confirm>>,
    /// The commit thread knows that there is something to ask for.
    queued: bool,
    turn: usize,
    /// So many fresh ones go before the next that was given back.
    owed: u64,
    /// Handing out is no attempt.
    ahead: bool,
}
struct Part {
    progress: Progress,
    /// What of it the journal has not got.
    change: Progress,
    /// Never claimed from here on.
    fresh: u64,
    /// Claimed, and seen by nobody.
    unseen: Ranges,
    /// Before the start these were delivered once.
    before: u64,
}
/// What a member has out.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) messages: AtomicU32,
    pub(super) bytes: AtomicU64,
}
/// Handed out one after the other to one member: numbers and offsets count up together, and one attempt is true for all.
struct Run {
    partition: u32,
    /// Of its first message.
    offset: u64,
    attempt: u32,
    tally: Arc<Tally>,
    /// Their bytes; [`HOME`]: it has come home.
    sizes: SmallVec<[u32; 4]>,
    /// Those that have not.
    left: usize,
}
/// No message is that long.
const HOME: u32 = u32::MAX;
impl Run {
    /// Whether a message would be its next.
    fn goes_on(&self, partition: u32, offset: u64, attempt: u32, tally: &Arc<Tally>) -> bool {
        let next = self.offset + self.sizes.len() as u64;
        (self.partition, next, self.attempt) == (partition, offset, attempt) && Arc::ptr_eq(&self.tally, tally)
    }
    /// Of these places in it, the first side by side that come home now: their offsets.
    fn come_home(&mut self, mut places: Range<usize>) -> Option<Range<u64>> {
        let is_out = |sizes: &[u32], at: usize| sizes.get(at).is_some_and(|size| *size != HOME);
        let start = places.find(|at| is_out(&self.sizes, *at))?;
        let end = places.find(|at| !is_out(&self.sizes, *at)).unwrap_or(places.end);
        let mut bytes = 0;
        for size in self.sizes.get_mut(start..end).into_iter().flatten() {
            bytes += u64::from(mem::replace(size, HOME));
        }
        self.left -= end - start;
        self.tally.messages.fetch_sub((end - start) as u32, Relaxed);
        self.tally.bytes.fetch_sub(bytes, Relaxed);
        Some(self.offset + start as u64..self.offset + end as u64)
    }
}
/// What has come home.
struct Back {
    partition: u32,
    attempt: u32,
    offsets: Range<u64>,
    /// The number behind the last of them.
    next: u64,
}
/// Offsets one member is about to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) partition: u32,
    pub(super) range: Range<u64>,
    /// It waits for that moment, microseconds since the epoch; `None`: it may go.
    pub(super) due: Option<i64>,
}
impl Claim {
    fn count(&self) -> u64 {
        self.range.end - self.range.start
    }
}
/// For the next frame.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By partition.
    pub(crate) parts: Vec<(u32, Progress)>,
    pub(crate) confirm: Vec<Arc<Confirm>>,
}
/// What becomes of a message that comes home.
pub(super) enum Fate {
    Again {
        /// Microseconds since the epoch; 0: at once.
        due: i64,
        /// Whether it was tried.
        tried: bool,
    },
    Dead {
        reason: Cow<'static, str>,
        error: Option<Box<str>>,
    },
}

impl Live {
    pub(super) fn new(progress: Vec<Progress>) -> Self {
        let mut waiting = Waiting::default();
        let part = |(partition, progress): (usize, Progress)| {
            // Whatever was given back before the start is looked at when its time comes.
            let tried = progress.tries.iter();
            tried.for_each(|(offset, tried)| waiting.insert(tried.due, partition as u32, *offset));
            Part {
                fresh: progress.floor,
                before: progress.mark,
                change: Progress::default(),
                unseen: Ranges::default(),
                progress,
            }
        };
        Self {
            parts: progress.into_iter().enumerate().map(part).collect(),
            out: BTreeMap::new(),
            open: 0,
            next: 0,
            waiting,
            dying: VecDeque::new(),
            carried: 0,
            confirm: Vec::new(),
            queued: false,
            turn: 0,
            owed: 0,
            ahead: false,
        }
    }
    /// A member has come. If it keeps an order, it gets all that waits before anything else, in the order of the stream, and before its time
    /// too: only who had it before knows what must not overtake it.
    pub(super) fn join(&mut self, manner: Manner) {
        self.ahead = manner.ahead;
        if !manner.ordered {
            return self.waiting.dismiss();
        }
        for (partition, part) in (0..).zip(&mut self.parts) {
            for (from, to) in mem::take(&mut part.unseen).iter() {
                (from..to).for_each(|offset| self.waiting.insert(0, partition, offset));
            }
        }
        self.waiting.muster();
    }
    pub(super) fn out(&self) -> usize {
        self.open
    }
    /// Those whose time has not come.
    pub(super) fn waiting(&self, now: i64) -> usize {
        self.waiting.later(now)
    }
    pub(super) fn dying(&self) -> usize {
        self.dying.len() + self.carried
    }
    /// Not on their way yet.
    pub(super) fn rejected(&self) -> usize {
        self.dying.len()
    }
    pub(super) fn progress(&self) -> impl Iterator<Item = &Progress> {
        self.parts.iter().map(|part| &part.progress)
    }
    /// When the next one that waits may go.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.waiting.next_due()
    }

    /// Whether something that was given back may go, or was claimed in vain.
    pub(super) fn has_due(&self, now: i64) -> bool {
        self.is_due(now) || self.parts.iter().any(|part| !part.unseen.is_empty())
    }
    fn is_due(&self, now: i64) -> bool {
        self.next_due().is_some_and(|at| at <= now)
    }

    /// The next offsets for a member, at most `most`: what was claimed in vain, then in turns as many fresh ones, up to the ends of the
    /// partitions, as of those that were given back and may go, the one that waits longest first. So neither holds up the other, however much
    /// of it there is.
    pub(super) fn claim(&mut self, now: i64, most: u64, held: impl Fn(usize) -> (u64, u64)) -> Option<Claim> {
        if let Some(claim) = self.forgotten(&held) {
            return Some(claim);
        }
        if let Some(claim) = self.take_turns(|_, part| part.unseen(most)) {
            return Some(claim);
        }
        if self.waiting.is_mustered()
            && let Some(claim) = self.back(now, most)
        {
            return Some(claim);
        }
        if self.is_due(now) {
            if let Some(claim) = self.fresh(most.min(self.owed), &held) {
                self.owed = self.owed.saturating_sub(claim.count());
                return Some(claim);
            }
            if let Some(claim) = self.back(now, most) {
                self.owed = claim.count();
                return Some(claim);
            }
        }
        self.owed = 0;
        self.fresh(most, held)
    }
    /// What waits and is no longer there is looked at before its moment: so everybody learns that it is lost.
    fn forgotten(&mut self, held: impl Fn(usize) -> (u64, u64)) -> Option<Claim> {
        for i in 0..self.parts.len() {
            let (partition, floor) = (i as u32, held(i).0);
            if let Some((at, offset)) = self.waiting.below(partition, floor) {
                self.waiting.remove(at, partition, offset);
                return Some(Claim {
                    partition,
                    range: offset..offset + 1,
                    due: None,
                });
            }
        }
        None
    }
    /// What waits below an offset is not there. How many of them were not done.
    pub(super) fn pass_waiting(&mut self, partition: u32, below: u64) -> u64 {
        let mut missed = 0;
        while let Some((at, offset)) = self.waiting.below(partition, below) {
            self.waiting.remove(at, partition, offset);
            missed += self.open_in(partition, offset..offset + 1);
            self.pass(partition, offset..offset + 1);
        }
        missed
    }
    /// The first partition, after the one that was last, that has something.
    fn take_turns(&mut self, mut look: impl FnMut(usize, &mut Part) -> Option<Range<u64>>) -> Option<Claim> {
        let count = self.parts.len();
        let (i, range) = (0..count).find_map(|i| {
            let i = (self.turn + i) % count;
            Some((i, look(i, self.parts.get_mut(i)?)?))
        })?;
        self.turn = (i + 1) % count;
        Some(Claim {
            partition: i as u32,
            range,
            due: None,
        })
    }
    fn fresh(&mut self, most: u64, held: impl Fn(usize) -> (u64, u64)) -> Option<Claim> {
        if most == 0 || self.waiting.len() + self.open >= UNSETTLED {
            return None;
        }
        self.take_turns(|i, part| part.fresh(most, held(i)))
    }
    /// Of what was given back and may go: the first, and those side by side with it that follow it.
    fn back(&mut self, now: i64, most: u64) -> Option<Claim> {
        let mut claim: Option<Claim> = None;
        while let Some((at, partition, offset)) = self.waiting.first(now) {
            let due = Some(at).filter(|at| *at > now);
            let follows = |claim: &Claim| (claim.partition, claim.range.end, claim.due) == (partition, offset, due) && claim.count() < most;
            if claim.as_ref().is_some_and(|claim| !follows(claim)) {
                break;
            }
            self.waiting.remove(at, partition, offset);
            // Somebody else may have settled it meanwhile.
            if self.parts.get(partition as usize).is_none_or(|part| part.progress.is_done(offset)) {
                continue;
            }
            let range = claim.map_or(offset, |claim| claim.range.start)..offset + 1;
            claim = Some(Claim { partition, range, due });
        }
        claim
    }
    /// They wait for their moment no longer, and go in this order. Those that do not wait here.
    pub(super) fn recall(&mut self, now: i64, positions: &[Position]) -> Vec<Position> {
        let (mut at, mut next) = (now, None);
        let mut others = Vec::new();
        for position in positions.iter().rev() {
            if next.is_some_and(|next| next < position) {
                // Of one moment the lower goes first.
                at -= 1;
            }
            next = Some(position);
            if !self.waiting.recall(at, position.partition, position.offset as u64) {
                others.push(*position);
            }
        }
        others.reverse();
        others
    }
    /// Nobody has seen them.
    pub(super) fn unclaim(&mut self, claim: &Claim) {
        if let Some(due) = claim.due {
            claim
                .range
                .clone()
                .for_each(|offset| self.waiting.put_back(due, claim.partition, offset));
        } else if let Some(part) = self.part(claim.partition) {
            part.unseen.add(claim.range.clone());
        }
    }
    /// How often it was delivered, this time included.
    pub(super) fn attempt(&self, partition: u32, offset: u64) -> u32 {
        let Some(part) = self.parts.get(partition as usize) else {
            return 1;
        };
        match part.progress.tries.get(&offset) {
            Some(tried) => tried.attempts.saturating_add(1),
            None => 1 + u32::from(offset < part.before && !self.ahead),
        }
    }
    /// Goes out; the number it is known by from now on. Numbers follow each other as long as nobody else calls.
    pub(super) fn hand_out(&mut self, partition: u32, offset: u64, attempt: u32, bytes: u64, tally: &Arc<Tally>) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.open += 1;
        let size = u32::try_from(bytes).unwrap_or(HOME).min(HOME - 1);
        tally.messages.fetch_add(1, Relaxed);
        tally.bytes.fetch_add(u64::from(size), Relaxed);
        if let Some(part) = self.part(partition) {
            part.reached(offset + 1);
        }
        if let Some(mut last) = self.out.last_entry()
            && last.key() + last.get().sizes.len() as u64 == seq
            && last.get().goes_on(partition, offset, attempt, tally)
        {
            let last = last.get_mut();
            last.sizes.push(size);
            last.left += 1;
            return seq;
        }
        let run = Run {
            partition,
            offset,
            attempt,
            tally: tally.clone(),
            sizes: SmallVec::from_slice(&[size]),
            left: 1,
        };
        self.out.insert(seq, run);
        seq
    }
    pub(super) fn next_seq(&self) -> u64 {
        self.next
    }
    /// Nobody needs to see them: they are not there, or their time is over.
    pub(super) fn pass(&mut self, partition: u32, range: Range<u64>) {
        if let Some(part) = self.part(partition) {
            part.finish(range);
        }
    }
    /// How many of them are not done.
    pub(super) fn open_in(&self, partition: u32, range: Range<u64>) -> u64 {
        let part = self.parts.get(partition as usize);
        part.map_or(0, |part| range.filter(|offset| !part.progress.is_done(*offset)).count() as u64)
    }
    /// Nothing lies up to there, as reading a claim that ends at `from` has shown; unless somebody has claimed more meanwhile. How many
    /// that were.
    pub(super) fn pass_fresh(&mut self, partition: u32, from: u64, to: u64) -> u64 {
        let Some(part) = self.part(partition).filter(|part| part.fresh == from) else {
            return 0;
        };
        part.fresh = to;
        part.finish(from..to);
        to.saturating_sub(from)
    }
    /// One message comes home, and is not done.
    pub(super) fn settle(&mut self, seq: u64, fate: Fate, deliveries: Option<u32>, now: i64) {
        let Some(Back {
            partition,
            attempt,
            offsets,
            ..
        }) = self.come_home(&(seq..seq + 1))
        else {
            return;
        };
        let offset = offsets.start;
        // In one unit with something else.
        if self.parts.get(partition as usize).is_some_and(|part| part.progress.is_done(offset)) {
            return;
        }
        let spent = deliveries.is_some_and(|most| attempt >= most);
        match fate {
            Fate::Again { tried: true, .. } if spent => self.die(partition, offset, attempt, "attempts".into(), None),
            Fate::Again { due, tried } => self.again((partition, offset), attempt, (due, now), tried),
            Fate::Dead { reason, error } => self.die(partition, offset, attempt, reason, error),
        }
    }
    /// Messages come home and are done: how many there were. Neighbours are noted together.
    pub(super) fn done(&mut self, seqs: Range<u64>) -> u64 {
        let (mut count, mut from) = (0, seqs.start);
        while from < seqs.end
            && let Some(back) = self.come_home(&(from..seqs.end))
        {
            count += back.offsets.end - back.offsets.start;
            from = back.next;
            self.pass(back.partition, back.offsets);
        }
        count
    }
    /// The first of them that are out, side by side in one run.
    fn come_home(&mut self, seqs: &Range<u64>) -> Option<Back> {
        let before = self.out.range(..=seqs.start).next_back();
        let from = before.map_or(seqs.start, |(first, _)| *first);
        let (first, back, is_over) = self.out.range_mut(from..seqs.end).find_map(|(first, run)| {
            let place = |seq: u64| (seq.saturating_sub(*first) as usize).min(run.sizes.len());
            let offsets = run.come_home(place(seqs.start)..place(seqs.end))?;
            let back = Back {
                partition: run.partition,
                attempt: run.attempt,
                next: first + (offsets.end - run.offset),
                offsets,
            };
            Some((*first, back, run.left == 0))
        })?;
        if is_over {
            self.out.remove(&first);
        }
        self.open -= (back.offsets.end - back.offsets.start) as usize;
        Some(back)
    }
    fn again(&mut self, (partition, offset): (u32, u64), attempt: u32, (due, now): (i64, i64), tried: bool) {
        let ahead = self.ahead;
        let Some(part) = self.part(partition) else {
            return;
        };
        if tried {
            let tried = Try { attempts: attempt, due };
            part.progress.tries.insert(offset, tried);
            // That it was delivered once the mark says already.
            if attempt > 1 || due > 0 || ahead {
                part.change.tries.insert(offset, tried);
            }
        }
        // At once is behind all that may go already.
        self.waiting.insert(if due > 0 { due } else { now }, partition, offset);
    }
    pub(super) fn die(&mut self, partition: u32, offset: u64, attempts: u32, reason: Cow<'static, str>, error: Option<Box<str>>) {
        self.dying.push_back(Burial {
            partition,
            offset,
            attempts,
            reason,
            error,
            confirm: None,
        });
    }
    /// Whoever answers for what was settled is told when it is durable: with the newest dead letters, and with the next change.
    pub(super) fn confirm(&mut self, done: Done, dead: usize, finished: bool) {
        let confirm = Arc::new(Confirm::new(done));
        for burial in self.dying.iter_mut().rev().take(dead) {
            burial.confirm = Some(confirm.clone());
        }
        if finished {
            self.confirm.push(confirm);
        }
    }
    /// Whether the commit thread has to be told that there is something.
    pub(super) fn wants_writing(&mut self) -> bool {
        let changed = !self.confirm.is_empty() || self.parts.iter().any(|part| !part.change.is_empty());
        changed && !mem::replace(&mut self.queued, true)
    }

    pub(super) fn take_changes(&mut self) -> Changes {
        self.queued = false;
        let changed = self.parts.iter_mut().enumerate().filter(|(_, part)| !part.change.is_empty());
        Changes {
            parts: changed.map(|(i, part)| (i as u32, mem::take(&mut part.change))).collect(),
            confirm: mem::take(&mut self.confirm),
        }
    }
    pub(super) fn put_back(&mut self, changes: Vec<(u32, Progress)>) -> bool {
        for (partition, mut older) in changes {
            if let Some(part) = self.part(partition) {
                older.merge(&part.change);
                part.change = older;
            }
        }
        self.wants_writing()
    }
    pub(super) fn take_dying(&mut self, most: usize) -> Vec<Burial> {
        let most = most.min(self.dying.len());
        self.carried += most;
        self.dying.drain(..most).collect()
    }
    pub(super) fn still_dying(&mut self, burial: Burial) {
        self.carried = self.carried.saturating_sub(1);
        self.dying.push_back(burial);
    }
    pub(super) fn not_yet(&mut self, error: &Error) {
        self.dying.iter_mut().for_each(|burial| burial.not_yet(error));
    }
    pub(super) fn buried(&mut self) {
        self.carried = self.carried.saturating_sub(1);
    }
    pub(super) fn finished(&mut self, partition: u32, offset: u64) {
        if let Some(part) = self.part(partition) {
            // It need not be said again.
            part.progress.finish(offset..offset + 1);
            part.unseen.remove(offset..offset + 1);
        }
    }
    fn part(&mut self, partition: u32) -> Option<&mut Part> {
        self.parts.get_mut(partition as usize)
    }
}
impl Part {
    /// Claimed in vain, the oldest first, side by side.
    fn unseen(&mut self, most: u64) -> Option<Range<u64>> {
        let (from, to) = self.unseen.first()?;
        let range = from..to.min(from.saturating_add(most));
        self.unseen.remove(range.clone());
        Some(range)
    }
    /// Never claimed, not done before the start, and not waiting since then.
    fn fresh(&mut self, most: u64, (floor, end): (u64, u64)) -> Option<Range<u64>> {
        // The floor has moved over what was done before the start, and remembers it no longer.
        let mut from = self.fresh.max(self.progress.floor);
        if from < floor {
            // What the stream has forgotten is passed over at once, and told.
            self.fresh = floor;
            return Some(from..floor);
        }
        loop {
            if let Some((_, to)) = self.progress.done.at(from) {
                from = to;
            } else if self.progress.tries.contains_key(&from) {
                from += 1;
            } else {
                break;
            }
        }
        if from >= end {
            return None;
        }
        let tried = self.progress.tries.range(from..).next().map(|(offset, _)| *offset);
        let until = [Some(end), Some(from.saturating_add(most)), self.progress.done.next(from), tried];
        let until = until.into_iter().flatten().min().unwrap_or(from);
        self.fresh = until;
        Some(from..until)
    }
    fn reached(&mut self, mark: u64) {
        if mark > self.progress.mark {
            self.progress.mark = mark;
            self.change.mark = mark;
        }
    }
    fn finish(&mut self, range: Range<u64>) {
        self.reached(range.end);
        self.progress.finish(range.clone());
        self.change.finish(range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ORDERED: Manner = Manner {
        ordered: true,
        ahead: false,
    };

    fn done(live: &mut Live, claim: &Claim) {
        let tally = Arc::new(Tally::default());
        for offset in claim.range.clone() {
            let seq = live.hand_out(claim.partition, offset, 1, 1, &tally);
            assert_eq!(live.done(seq..seq + 1), 1);
        }
    }
    /// Alone or together, twice, across runs: each comes home once, and its member has room again.
    #[test]
    fn in_whatever_order_they_come_home_each_does_once() {
        const COUNT: u64 = 24;
        for step in [1, 5, 7, 11, 13, 17, 19, 23] {
            for width in 1..9 {
                let mut live = Live::new(vec![Progress::starting(0), Progress::starting(0)]);
                let tallies = [Arc::new(Tally::default()), Arc::new(Tally::default())];
                let mut places = Vec::new();
                for seq in 0..COUNT {
                    // Runs end with their partition, their attempt, their member and a gap.
                    let (partition, offset) = (u32::from(seq >= 6), if seq >= 20 { seq + 1 } else { seq });
                    let (attempt, tally) = (1 + u32::from(seq >= 10), &tallies[usize::from(seq >= 15)]);
                    assert_eq!(live.hand_out(partition, offset, attempt, 10 + seq, tally), seq);
                    places.push((partition, offset));
                }
                assert_eq!(live.out.keys().copied().collect::<Vec<_>>(), [0, 6, 10, 15, 20]);
                let mut home = BTreeSet::new();
                for turn in 0..COUNT {
                    let from = turn * step % COUNT;
                    let seqs = from..(from + width).min(COUNT);
                    let new = seqs.clone().filter(|seq| home.insert(*seq)).count();
                    if turn % 3 == 0 && width == 1 {
                        live.settle(from, Fate::Again { due: 1, tried: true }, None, 0);
                        live.pass(places[from as usize].0, places[from as usize].1..places[from as usize].1 + 1);
                    } else {
                        assert_eq!(live.done(seqs), new as u64);
                    }
                    assert_eq!(live.out(), COUNT as usize - home.len());
                    let bytes: u64 = (0..COUNT).filter(|seq| !home.contains(seq)).map(|seq| 10 + seq).sum();
                    assert_eq!(tallies.iter().map(|tally| tally.bytes.load(Relaxed)).sum::<u64>(), bytes);
                    let messages: u32 = tallies.iter().map(|tally| tally.messages.load(Relaxed)).sum();
                    assert_eq!(messages as usize, live.out());
                    for (seq, (partition, offset)) in (0..).zip(&places) {
                        assert_eq!(live.parts[*partition as usize].progress.is_done(*offset), home.contains(&seq));
                    }
                }
                assert!(live.out.is_empty() && live.out() == 0);
            }
        }
    }
    /// What lies between two runs may be home, and forgotten.
    #[test]
    fn a_run_does_not_go_on_behind_one_that_has_come_home() {
        let mut live = Live::new(vec![Progress::starting(0), Progress::starting(0)]);
        let tally = Arc::new(Tally::default());
        let out = |live: &mut Live, partition, offset| live.hand_out(partition, offset, 1, 1, &tally);
        assert_eq!((out(&mut live, 0, 0), out(&mut live, 1, 0)), (0, 1));
        assert_eq!(live.done(1..2), 1);
        assert_eq!(out(&mut live, 0, 1), 2);
        assert_eq!(live.done(2..3), 1);
        let progress = &live.parts[0].progress;
        assert_eq!((progress.is_done(0), progress.is_done(1), live.out()), (false, true, 1));
    }
    /// The floor moves over what was done before the start, and remembers it no longer.
    #[test]
    fn what_was_done_before_the_start_is_not_claimed_again() {
        let mut before = Progress::starting(0);
        before.merge(&Progress {
            mark: 1_000,
            tries: [(0, Try { attempts: 1, due: 0 })].into(),
            ..Progress::default()
        });
        before.finish(1..1_000);
        let mut live = Live::new(vec![before]);
        let stuck = live.claim(1, 100, |_| (0, 1_000)).unwrap();
        assert_eq!(stuck.range, 0..1);
        done(&mut live, &stuck);
        assert_eq!(live.claim(2, 100, |_| (0, 1_000)), None);
        // And what comes now is.
        let fresh = live.claim(3, 100, |_| (0, 1_001)).unwrap();
        assert_eq!(fresh.range, 1_000..1_001);
    }
    /// Neither those that fail and fail again nor a backlog keeps the other waiting.
    #[test]
    fn what_was_given_back_and_what_is_fresh_take_turns() {
        let mut live = Live::new(vec![Progress::starting(0)]);
        let tally = Arc::new(Tally::default());
        let fail = |live: &mut Live, range: Range<u64>, now: i64| {
            for offset in range {
                let seq = live.hand_out(0, offset, 1, 1, &tally);
                live.settle(seq, Fate::Again { due: 0, tried: true }, None, now);
            }
        };
        let claim = |live: &mut Live, now: i64, most: u64| live.claim(now, most, |_| (0, 1_000)).unwrap().range;
        assert_eq!(claim(&mut live, 1, 10), 0..10);
        // Every second one, so that no two lie side by side.
        fail(&mut live, 0..1, 2);
        fail(&mut live, 2..3, 3);
        live.pass(0, 1..2);
        live.pass(0, 3..10);
        let mut seen = Vec::new();
        for now in 10..16 {
            let range = claim(&mut live, now, 4);
            if range.start < 10 {
                fail(&mut live, range.clone(), now);
            }
            seen.push(range);
        }
        assert_eq!(seen, [0..1, 10..11, 2..3, 11..12, 0..1, 12..13]);
        assert!(live.has_due(16));
        // As many as came again.
        fail(&mut live, 20..23, 0);
        assert_eq!(claim(&mut live, 20, 4), 20..23);
        assert_eq!(claim(&mut live, 20, 4), 13..16);
        assert_eq!(claim(&mut live, 20, 4), 2..3);
        assert_eq!(claim(&mut live, 20, 4), 16..17);
        assert_eq!(claim(&mut live, 20, 4), 0..1);
        assert!(!live.has_due(20));
        assert_eq!(claim(&mut live, 20, 4), 17..20);
    }
    /// Only the one that had it before knew what must not overtake it.
    #[test]
    fn a_member_that_keeps_an_order_gets_what_waits_first_in_the_order_of_the_stream() {
        let mut live = Live::new(vec![Progress::starting(0)]);
        let tally = Arc::new(Tally::default());
        let give_back = |live: &mut Live, offset, due| {
            let seq = live.hand_out(0, offset, 1, 1, &tally);
            live.settle(seq, Fate::Again { due, tried: offset == 4 }, None, 2);
        };
        let claim = |live: &mut Live, now: i64, most: u64| live.claim(now, most, |_| (0, 1_000));
        let next = |live: &mut Live| claim(live, 5, 4).map(|claim| (claim.range, claim.due));
        let first = claim(&mut live, 1, 13).unwrap();
        assert_eq!((first.range, first.due), (0..13, None));
        for (offset, due) in [(9, 0), (4, 100), (5, 100), (2, 5), (8, 3), (1, 0), (6, 0)] {
            give_back(&mut live, offset, due);
        }
        for done in [0, 3, 7] {
            live.pass(0, done..done + 1);
        }
        let rest = |due| Claim {
            partition: 0,
            range: 10..12,
            due,
        };
        live.unclaim(&rest(None));
        live.join(ORDERED);
        // Given back since then: in its turn. And somebody has settled one meanwhile.
        give_back(&mut live, 12, 0);
        live.pass(0, 6..7);
        assert_eq!((live.next_due(), live.has_due(0)), (Some(0), true));
        assert_eq!(next(&mut live), Some((1..3, None)));
        assert_eq!(next(&mut live), Some((4..6, Some(100))));
        // Nobody saw the second.
        live.unclaim(&Claim {
            partition: 0,
            range: 5..6,
            due: Some(100),
        });
        assert_eq!(next(&mut live), Some((5..6, Some(100))));
        assert_eq!(next(&mut live), Some((8..12, None)));
        assert_eq!(next(&mut live), Some((12..13, None)));
        assert_eq!(next(&mut live), Some((13..17, None)));
    }
    /// What lies below the mark may have been behind one that was tried.
    #[test]
    fn who_reads_ahead_counts_only_what_was_given_back_as_tried() {
        let before = Progress {
            mark: 3,
            tries: [(1, Try { attempts: 2, due: 0 })].into(),
            ..Progress::default()
        };
        let mut live = Live::new(vec![before]);
        let attempts = |live: &Live| [0, 1, 2, 3].map(|offset| live.attempt(0, offset));
        assert_eq!(attempts(&live), [2, 3, 2, 1]);
        live.join(Manner { ahead: true, ..ORDERED });
        assert_eq!(attempts(&live), [1, 3, 1, 1]);
        let seq = live.hand_out(0, 0, 1, 1, &Arc::new(Tally::default()));
        live.settle(seq, Fate::Again { due: 0, tried: true }, None, 2);
        let changes = live.take_changes();
        assert_eq!(changes.parts[0].1.tries[&0].attempts, 1, "no mark says it");
        assert_eq!(attempts(&live), [2, 3, 1, 1]);
    }
    #[test]
    fn what_was_mustered_waits_for_its_time_when_no_order_is_kept_any_more() {
        let before = Progress {
            mark: 3,
            tries: [(0, Try { attempts: 1, due: 100 }), (2, Try { attempts: 1, due: 50 })].into(),
            ..Progress::default()
        };
        let mut live = Live::new(vec![before]);
        live.join(ORDERED);
        let next = |live: &mut Live, now| live.claim(now, 9, |_| (0, 3)).map(|claim| (claim.range, claim.due));
        assert_eq!(next(&mut live, 10), Some((0..1, Some(100))));
        live.unclaim(&Claim {
            partition: 0,
            range: 0..1,
            due: Some(100),
        });
        live.join(Manner::default());
        assert_eq!(live.next_due(), Some(50));
        assert_eq!(next(&mut live, 10), Some((1..2, None)), "fresh");
        assert_eq!(next(&mut live, 10), None);
        assert_eq!(
            (next(&mut live, 50), next(&mut live, 100)),
            (Some((2..3, None)), Some((0..1, None)))
        );
    }
    #[test]
    fn what_was_settled_while_it_waited_is_not_handed_out_again() {
        let mut live = Live::new(vec![Progress::starting(0)]);
        let tally = Arc::new(Tally::default());
        let claim = live.claim(1, 3, |_| (0, 3)).unwrap();
        for offset in claim.range {
            let seq = live.hand_out(0, offset, 1, 1, &tally);
            live.settle(seq, Fate::Again { due: 0, tried: false }, None, 1);
        }
        live.pass(0, 1..2);
        assert_eq!(live.claim(2, 3, |_| (0, 3)).unwrap().range, 0..1);
        assert_eq!(live.claim(2, 3, |_| (0, 3)).unwrap().range, 2..3);
        assert_eq!(live.claim(2, 3, |_| (0, 3)), None);
    }
}
