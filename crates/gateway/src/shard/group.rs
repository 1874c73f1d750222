//! The sockets of a shard that are written the same: one feed, one framing.
use super::desk::Desk;
use crate::feed::{Bell, Feed, Seat, Taken};
use slab::Slab;
use std::{collections::HashMap, sync::Arc};

/// What one write carries, at most, if several frames wait.
const COALESCE: usize = 48 << 10;
/// Runs that are remembered within a pass.
const REMEMBERED: usize = 16;

pub(super) struct Groups {
    desk: Arc<Desk>,
    all: Slab<Group>,
    found: HashMap<Key, usize>,
}
struct Group {
    key: Key,
    feed: Arc<Feed>,
    bell: Arc<Bell>,
    members: Vec<usize>,
}
/// A feed by where it is in memory, and the name of a framing.
type Key = (usize, &'static str);

impl Groups {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            all: Slab::new(),
            found: HashMap::new(),
        }
    }
    /// From now on the shard says for that seat where it stands.
    pub(super) fn join(&mut self, number: usize, seat: &mut Seat) -> usize {
        let key = (Arc::as_ptr(seat.feed()) as usize, seat.framing().name());
        let group = *self.found.entry(key).or_insert_with(|| {
            let entry = self.all.vacant_entry();
            let group = entry.key();
            let bell = Bell::new(self.desk.news(group));
            seat.feed().add(bell.clone());
            entry.insert(Group {
                key,
                feed: seat.feed().clone(),
                bell,
                members: Vec::new(),
            });
            group
        });
        if let Some(found) = self.all.get_mut(group) {
            found.members.push(number);
            seat.look_after(&found.bell);
        }
        group
    }
    pub(super) fn leave(&mut self, number: usize, group: usize) {
        let Some(found) = self.all.get_mut(group) else { return };
        found.members.retain(|member| *member != number);
        if found.members.is_empty() {
            let gone = self.all.remove(group);
            gone.feed.remove(&gone.bell);
            self.found.remove(&gone.key);
        }
    }
    /// The feeds there are.
    pub(super) fn feeds(&self) -> impl Iterator<Item = &Arc<Feed>> {
        self.all.iter().map(|(_, group)| &group.feed)
    }
    /// All of its members have taken what lies before that number.
    pub(super) fn stand_at(&self, group: usize, number: u64) {
        if let Some(found) = self.all.get(group) {
            found.bell.stand_at(number);
        }
    }
    /// Its feed, and its members as they are now. News from here on ring again.
    pub(super) fn begin(&self, group: usize, members: &mut Vec<usize>) -> Option<Arc<Feed>> {
        let found = self.all.get(group)?;
        found.bell.heard();
        members.clone_from(&found.members);
        Some(found.feed.clone())
    }
}
/// What a pass has put together already: nearly all members stand at the same place.
#[derive(Default)]
pub(super) struct Runs(Vec<(u64, u64, Taken)>);
impl Runs {
    pub(super) fn of(&mut self, seat: &Seat, to: u64) -> &Taken {
        let from = seat.number();
        let found = self.0.iter().position(|(begin, end, _)| (*begin, *end) == (from, to));
        let i = found.unwrap_or_else(|| {
            if self.0.len() >= REMEMBERED {
                self.0.clear();
            }
            self.0.push((from, to, seat.feed().take(seat.framing().name(), from, to, COALESCE)));
            self.0.len() - 1
        });
        self.0.get(i).map_or(&Taken::Nothing, |(_, _, taken)| taken)
    }
}
