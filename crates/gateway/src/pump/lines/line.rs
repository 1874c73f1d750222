//! What must go one after the other, and what of it was given back for now.
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};
use tidegate_core::{
    clock,
    delivery::Received,
    position::Position,
    settle::{Ack, Outcome},
};
use tokio::time::Instant;

/// What waits for others is called back. It comes by itself that much later than it could, should nobody call.
pub(super) const LATER: Duration = Duration::from_mins(5);
/// So much of a line is called back at once, at most.
pub(super) const MOST_CALLED: usize = 256;
/// What is given back comes again in the order of its moments, give or take what clocks differ. What has not come when something has whose moment
/// is that much later comes no more: it expired, or another member of the group has it.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// A call that takes longer holds nobody up but its own line: what waits behind it goes back.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// What must go one after the other. Tickets say in which order its messages came for the first time.
pub(super) struct Line {
    pub(super) last_ticket: u64,
    pub(super) waiting: VecDeque<(u64, Received, Ack)>,
    /// A call is under way, since then.
    pub(super) calling: Option<Instant>,
    /// Given back, by ticket: only the first may pass.
    pub(super) away: BTreeMap<u64, Away>,
    pub(super) tickets: HashMap<Position, u64>,
    /// Those of them that were called back.
    pub(super) called: usize,
    /// So many may be here or called: one after a failure, and twice as many with each that goes well, so that few come in vain.
    pub(super) window: usize,
    /// What has no position is not known again: until then nothing passes.
    pub(super) shut_until: Option<Instant>,
}
pub(super) struct Away {
    pub(super) position: Position,
    pub(super) due: Instant,
    pub(super) tried: bool,
    pub(super) called: bool,
}
impl Line {
    pub(super) fn new() -> Self {
        Self {
            last_ticket: 0,
            waiting: VecDeque::new(),
            calling: None,
            away: BTreeMap::new(),
            tickets: HashMap::new(),
            called: 0,
            window: 1,
            shut_until: None,
        }
    }
    /// Whether the first that is away was tried, and may not be tried again yet.
    fn is_failing(&self, now: Instant) -> bool {
        self.away.first_key_value().is_some_and(|(_, first)| first.tried && first.due > now)
    }
    /// How many more may be called back; none while half of what may be is here.
    pub(super) fn lacks(&self, now: Instant) -> usize {
        let here = self.waiting.len() + self.called;
        if here > self.window / 2 || self.away.len() == self.called || self.slow(now).is_some() || self.is_failing(now) {
            return 0;
        }
        self.window.saturating_sub(here)
    }
    /// The first of those that are away come back.
    pub(super) fn call_back(&mut self, now: Instant, positions: &mut Vec<Position>) {
        let lacks = self.lacks(now);
        let mut called = 0;
        for away in self.away.values_mut() {
            if called == lacks || (away.tried && away.due > now) {
                break;
            }
            if !std::mem::replace(&mut away.called, true) {
                // What is due comes when it was: others that are due, too, may come before it.
                away.due = away.due.min(now);
                called += 1;
                positions.push(away.position);
            }
        }
        self.called += called;
    }
    /// Until when nothing with that ticket may pass.
    pub(super) fn shut(&self, ticket: u64, reached: Instant, now: Instant) -> Option<Instant> {
        let before = self.away.first_key_value().filter(|(first, _)| **first < ticket);
        let before = before.map(|(_, away)| {
            // It comes behind what is due before it, now or later; and what should have come may be a moment late.
            let until = if away.due >= reached { away.due } else { away.due + GRACE };
            // What waits for others itself says nothing.
            if away.tried { until.max(now) } else { now }
        });
        before.or(self.shut_until.filter(|until| now < *until))
    }
    /// Forgets what comes no more: how many, and how many of them were tried.
    pub(super) fn forget(&mut self, is_lost: impl Fn(&Away) -> bool) -> (usize, usize) {
        let (mut lost, mut tried) = (0, 0);
        for (_, away) in self.away.extract_if(.., |_, away| is_lost(away)) {
            self.tickets.remove(&away.position);
            self.called -= usize::from(away.called);
            lost += 1;
            tried += usize::from(away.tried);
        }
        (lost, tried)
    }
    /// Forgets what goes before that ticket and comes no more: how many, and how many of them were tried.
    pub(super) fn forget_before(&mut self, ticket: u64, reached: Instant) -> (usize, usize) {
        let (mut lost, mut tried) = (0, 0);
        while let Some(entry) = self.away.first_entry()
            && *entry.key() < ticket
            && entry.get().due + GRACE <= reached
        {
            let away = entry.remove();
            self.tickets.remove(&away.position);
            self.called -= usize::from(away.called);
            lost += 1;
            tried += usize::from(away.tried);
        }
        (lost, tried)
    }
    /// Until when what waits behind a slow call is better off elsewhere, if nobody calls it back.
    pub(super) fn slow(&self, now: Instant) -> Option<Instant> {
        let took = now.saturating_duration_since(self.calling?);
        (took >= SLOW).then_some(now)
    }
    /// Until then, or until it is called back if others go before it; what was tried comes at its own moment, too. How many more are away.
    pub(super) fn give_back(&mut self, ticket: u64, item: &Received, ack: &mut Ack, until: Instant, tried: bool) -> usize {
        let first = self.away.first_key_value().is_none_or(|(first, _)| ticket < *first);
        let alone = first && self.calling.is_none();
        let until = if alone || tried || item.position.is_none() {
            until
        } else {
            until + LATER
        };
        let until = comes_by(item, until);
        ack.settle_all(Outcome::Hold { until });
        self.remember(ticket, item, until, tried)
    }
    fn remember(&mut self, ticket: u64, item: &Received, due: Instant, tried: bool) -> usize {
        let Some(position) = item.position else {
            self.shut_until = self.shut_until.max(Some(due));
            return 0;
        };
        self.tickets.insert(position, ticket);
        let away = Away {
            position,
            due,
            tried,
            called: false,
        };
        self.away.insert(ticket, away);
        1
    }
    /// How many more are away, and how many of them were tried.
    pub(super) fn settle(&mut self, ticket: u64, item: &Received, ack: &mut Ack, outcome: Outcome, now: Instant) -> (usize, usize) {
        match outcome {
            Outcome::Requeue { after } => {
                // Not before what failed before it.
                let before = self.away.range(..ticket).next_back();
                let before = before.map(|(_, away)| away.due.saturating_duration_since(now));
                let after = after.unwrap_or_default().max(before.unwrap_or_default());
                ack.settle_all(Outcome::Requeue { after: Some(after) });
                // The source has looked at the clock by now: what is held until this moment comes behind.
                let away = self.remember(ticket, item, Instant::now() + after, true);
                self.window = 1;
                (away, away)
            }
            Outcome::Hold { until } => (self.give_back(ticket, item, ack, until, false), 0),
            outcome @ (Outcome::Ack | Outcome::Reject { .. } | Outcome::Extend(_)) => {
                if matches!(outcome, Outcome::Ack) {
                    self.window = (self.window * 2).min(MOST_CALLED);
                }
                ack.settle_all(outcome);
                (0, 0)
            }
        }
    }
}
/// When it is to come again: when its time to live is over, if that is sooner, so that it is counted, and nobody waits for it any longer. Clocks
/// may be a moment apart.
pub(super) fn comes_by(item: &Received, due: Instant) -> Instant {
    let Some(expires) = item.message.timing.as_ref().and_then(|timing| timing.expires) else {
        return due;
    };
    let left = u64::try_from(expires.saturating_sub(clock::now_us())).unwrap_or(0);
    let over = Instant::now().checked_add(Duration::from_micros(left).saturating_add(GRACE));
    over.map_or(due, |over| due.min(over))
}
