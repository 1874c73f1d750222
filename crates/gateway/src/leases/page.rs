//! Leases that were handed out together.
use super::{Owner, Settling, Verdict};
use smallvec::SmallVec;
use std::{collections::BTreeMap, ops::Range};
use tidegate_core::settle::{Ack, Outcome};
use tokio::time::Instant;

pub(super) struct Page {
    /// In the order of their places.
    parts: SmallVec<[Part; 1]>,
    /// How many there were.
    places: u32,
    /// How many are left.
    left: usize,
    pub(super) of: Owner,
    /// When the time of those is up that were not extended.
    until: Instant,
    extended: BTreeMap<u32, Instant>,
    /// When it is looked at: no lease of it ends earlier.
    pub(super) due: Instant,
}
/// One duty: what is open in it is a lease.
struct Part {
    /// The place of its first slot.
    first: u32,
    ack: Ack,
}
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Gone,
    Late,
    Open,
}
impl Page {
    /// At most 65,536 of them.
    pub(super) fn new(acks: impl IntoIterator<Item = Ack>, until: Instant, of: Owner) -> Self {
        let mut places = 0;
        let part = |ack: Ack| {
            let first = places;
            places += ack.slots();
            Part { first, ack }
        };
        let parts = acks.into_iter().map(part).collect();
        Self {
            parts,
            places,
            left: places as usize,
            of,
            until,
            extended: BTreeMap::new(),
            due: until,
        }
    }
    pub(super) fn len(&self) -> usize {
        self.left
    }
    /// What is to become of some that lie side by side. They are no leases any more, unless they are extended.
    pub(super) fn settle(&mut self, places: Range<u32>, now: Instant, outcome: &Outcome, settling: &mut Settling) {
        let mut at = places.start;
        while at < places.end {
            let (state, run) = self.run(at..places.end, now);
            at = run.end;
            match (state, outcome) {
                (State::Gone, _) => settling.say(run.len(), &Verdict::Expired),
                (State::Late, _) => {
                    settling.late.extend(self.split(&run));
                    settling.say(run.len(), &Verdict::Expired);
                }
                (State::Open, Outcome::Extend(by)) => {
                    self.extend(&run, outcome, now + *by);
                    settling.say(run.len(), &Verdict::Ok);
                }
                (State::Open, _) => {
                    let ack = self.split(&run);
                    settling.take(run.len(), ack, outcome, &self.of.keeps);
                }
            }
        }
    }
    /// All whose time is up.
    pub(super) fn late(&mut self, now: Instant, late: &mut Vec<Ack>) {
        let mut at = 0;
        while at < self.places {
            let (state, run) = self.run(at..self.places, now);
            at = run.end;
            if state == State::Late {
                late.extend(self.split(&run));
            }
        }
    }
    /// When the next of those that are left ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let open = |place: &u32| self.find(*place).is_some_and(|part| part.ack.is_open(*place - part.first));
        (0..self.places).filter(open).map(|place| self.until(place)).min()
    }
    /// What is left of them.
    pub(super) fn into_acks(self) -> impl Iterator<Item = Ack> {
        self.parts.into_iter().map(|part| part.ack)
    }
    fn find(&self, place: u32) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.first <= place);
        self.parts.get(behind.checked_sub(1)?).filter(|_| place < self.places)
    }
    fn until(&self, place: u32) -> Instant {
        self.extended.get(&place).copied().unwrap_or(self.until)
    }
    fn state(&self, place: u32, now: Instant) -> State {
        match self.find(place) {
            Some(part) if part.ack.is_open(place - part.first) => {
                if self.until(place) <= now {
                    State::Late
                } else {
                    State::Open
                }
            }
            _ => State::Gone,
        }
    }
    /// How the first of them is, and those behind it that are so too and share its duty.
    fn run(&self, places: Range<u32>, now: Instant) -> (State, Range<u32>) {
        let state = self.state(places.start, now);
        let reach = self.find(places.start).map_or(places.end, |part| part.first + part.ack.slots());
        let end = (places.start + 1..places.end.min(reach)).find(|place| self.state(*place, now) != state);
        (state, places.start..end.unwrap_or(places.end.min(reach)))
    }
    /// Out of one duty.
    fn split(&mut self, run: &Range<u32>) -> Option<Ack> {
        let behind = self.parts.partition_point(|part| part.first <= run.start);
        let part = self.parts.get_mut(behind.checked_sub(1)?)?;
        self.left -= run.len();
        Some(part.ack.split(run.start - part.first..run.end - part.first))
    }
    fn extend(&mut self, run: &Range<u32>, outcome: &Outcome, until: Instant) {
        let behind = self.parts.partition_point(|part| part.first <= run.start);
        if let Some(part) = behind.checked_sub(1).and_then(|at| self.parts.get_mut(at)) {
            for place in run.clone() {
                // It stays here, so it is told under the lock: telling neither blocks nor comes back here.
                part.ack.settle(place - part.first, outcome.clone());
                self.extended.insert(place, until);
            }
        }
        self.due = self.due.min(until);
    }
}
