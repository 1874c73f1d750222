//! Leases that were handed out together.
use super::{Owner, Verdict};
use std::{any::Any, sync::Arc};
use tidegate_core::settle::{Ack, Outcome};
use tokio::time::Instant;

/// With so many or fewer, empty places cost nothing worth a word.
const SMALL: usize = 16;

pub(super) struct Page {
    /// In the order of their numbers, which are their indices as long as none was left out.
    slots: Vec<Slot>,
    /// How many there were.
    places: usize,
    /// How many are left.
    left: usize,
    pub(super) of: Owner,
    /// When it is looked at: no lease of it ends earlier.
    pub(super) due: Instant,
}
struct Slot {
    place: u16,
    until: Instant,
    /// `None`: it is no lease any more.
    ack: Option<Ack>,
}
/// What a wish to settle found.
pub(super) enum Taken {
    /// And what must live until it is settled.
    Whole(Ack, Arc<dyn Any + Send + Sync>),
    Late(Ack),
    Extended,
}
impl Page {
    /// At most 65,536 of them.
    pub(super) fn new(acks: impl ExactSizeIterator<Item = Ack>, until: Instant, of: Owner) -> Self {
        let places = acks.len();
        let slot = |(place, ack): (usize, Ack)| Slot {
            place: place as u16,
            until,
            ack: Some(ack),
        };
        Self {
            slots: acks.enumerate().map(slot).collect(),
            places,
            left: places,
            of,
            due: until,
        }
    }
    pub(super) fn len(&self) -> usize {
        self.left
    }
    fn slot(&mut self, place: u16) -> Option<&mut Slot> {
        let direct = usize::from(place);
        let at = if self.slots.get(direct).is_some_and(|slot| slot.place == place) {
            direct
        } else {
            self.slots.binary_search_by_key(&place, |slot| slot.place).ok()?
        };
        self.slots.get_mut(at)
    }
    /// It is no lease any more, unless it is extended.
    pub(super) fn take(&mut self, place: u16, now: Instant, outcome: &Outcome) -> Result<Taken, Verdict> {
        if usize::from(place) >= self.places {
            return Err(Verdict::Unknown);
        }
        let slot = self.slot(place).ok_or(Verdict::Expired)?;
        let late = slot.until <= now;
        if let (Outcome::Extend(by), false) = (outcome, late) {
            let ack = slot.ack.as_mut().ok_or(Verdict::Expired)?;
            // It stays here, so it is told under the lock: telling neither blocks nor comes back here.
            ack.settle_all(outcome.clone());
            slot.until = now + *by;
            self.due = self.due.min(now + *by);
            return Ok(Taken::Extended);
        }
        let ack = self.remove(place).ok_or(Verdict::Expired)?;
        Ok(if late {
            Taken::Late(ack)
        } else {
            Taken::Whole(ack, self.of.keeps.clone())
        })
    }
    pub(super) fn remove(&mut self, place: u16) -> Option<Ack> {
        let ack = self.slot(place)?.ack.take()?;
        self.left -= 1;
        self.tidy();
        Some(ack)
    }
    /// All whose time is up.
    pub(super) fn late(&mut self, now: Instant, late: &mut Vec<Ack>) {
        let before = late.len();
        late.extend(
            self.slots
                .iter_mut()
                .filter(|slot| slot.until <= now)
                .filter_map(|slot| slot.ack.take()),
        );
        self.left -= late.len() - before;
        self.tidy();
    }
    /// When the next of those that are left ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.slots.iter().filter(|slot| slot.ack.is_some()).map(|slot| slot.until).min()
    }
    /// One message somebody keeps for long is not to keep the room of a thousand.
    fn tidy(&mut self) {
        if self.slots.len() > SMALL && self.left * 4 < self.slots.len() {
            self.slots.retain(|slot| slot.ack.is_some());
            self.slots.shrink_to_fit();
        }
    }
}
