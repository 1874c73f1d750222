//! What waits for its call, in the order it must go: a line per key, or one for all. Behind a message that is to be tried again everything
//! of its line goes back to where it came from, so that a failing line takes nobody's place.
use super::{
    Order,
    progress::{Count, Progress},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tidegate_core::{
    clock,
    delivery::Received,
    endpoint::Limit,
    position::Position,
    settle::{Ack, Outcome},
};
use tokio::time::Instant;

/// What is given back comes again in the order of its moments, give or take what clocks differ. What has not come when something has whose moment
/// is that much later comes no more: it expired, or another member of the group has it.
const GRACE: Duration = Duration::from_secs(1);
/// A line of which nothing came for this long behind its last moment is forgotten.
const FORGET: Duration = Duration::from_mins(1);
/// A call that takes longer holds nobody up but its own line: what waits behind it goes back for a while.
const SLOW: Duration = Duration::from_secs(1);
/// The longest such while.
const WHILE: Duration = Duration::from_secs(5);
/// The farthest that the moments of those that wait for each other are apart.
const APART: Duration = Duration::from_millis(10);
/// How far before anything is known.
const APART_AT_FIRST: Duration = Duration::from_millis(1);
/// The last of them is that far behind the first, at most: what is calculated from slow calls must not hold up what has become fast.
const SPREAD: Duration = Duration::from_secs(30);
/// Of what waits for failures so much is looked at in a second, more or less: the more failures there are, the farther apart it comes.
const LOOKS: usize = 5_000;
/// So many given back are remembered, at some 100 bytes each. With more, nothing new is read until one of them is due.
pub(super) const MOST_AWAY: usize = 100_000;

pub(super) struct Lines {
    order: Order,
    progress: Arc<Progress>,
    by_key: HashMap<Key, Line>,
    /// Lines with something to send and no call under way.
    ready: VecDeque<Key>,
    /// What has no order.
    loose: VecDeque<(Received, Ack)>,
    loose_goes_first: bool,
    /// Since when something is ready.
    since: Option<Instant>,
    tickets: u64,
    /// How far the moments of those that wait for each other are apart: half as long as a call took lately for each of its messages. When they
    /// may go they come as fast as they can be sent, and when the first of them fails again few have come in vain.
    apart: Duration,
    away: usize,
    /// Those of them that were tried.
    failing: usize,
    /// When the last of the loose ones that failed is due.
    latest: Option<Instant>,
    /// Whatever was due before that has come.
    reached: Instant,
    tidied: Instant,
}
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    All,
    Of(Bytes),
}
/// What must go one after the other. Tickets say in which order its messages came for the first time.
#[derive(Default)]
struct Line {
    waiting: VecDeque<(u64, Received, Ack)>,
    /// A call is under way, since then.
    calling: Option<Instant>,
    /// Given back, by ticket: only the first may pass.
    away: BTreeMap<u64, Away>,
    tickets: HashMap<Position, u64>,
    /// What has no position is not known again: until then nothing passes.
    shut_until: Option<Instant>,
}
struct Away {
    position: Position,
    due: Instant,
    tried: bool,
}
/// One call's worth.
#[derive(Default)]
pub(super) struct Load {
    pub(super) items: Vec<Received>,
    duties: Vec<Duty>,
}
impl Load {
    /// All of it goes back, as if it had not been tried.
    pub(super) fn hold(&mut self, until: Instant) {
        for duty in &mut self.duties {
            duty.ack.settle_all(Outcome::Hold { until });
        }
    }
}
struct Duty {
    ack: Ack,
    line: Option<(Key, u64)>,
}

impl Lines {
    pub(super) fn new(order: Order, progress: &Arc<Progress>) -> Self {
        Self {
            order,
            progress: progress.clone(),
            by_key: HashMap::new(),
            ready: VecDeque::new(),
            loose: VecDeque::new(),
            loose_goes_first: false,
            since: None,
            tickets: 0,
            apart: APART_AT_FIRST,
            away: 0,
            failing: 0,
            latest: None,
            reached: Instant::now(),
            tidied: Instant::now(),
        }
    }
    /// One more message: it waits for its call, or goes back because its time has not come, or because of what went back before it.
    pub(super) fn take(&mut self, item: Received, mut ack: Ack, (now, waits): (Instant, Option<Instant>)) {
        let waits = waits.filter(|until| *until > now);
        let failed = waits.is_some() && item.attempt > 1;
        let key = match (self.order, &item.message.key) {
            (Order::All, _) => Key::All,
            (Order::Key, Some(key)) => Key::Of(key.clone()),
            (Order::Key | Order::None, _) => {
                if let Some(until) = waits {
                    let until = comes_by(&item, until);
                    self.latest = self.latest.max(Some(until).filter(|_| failed));
                    return ack.settle_all(Outcome::Hold { until });
                }
                self.since.get_or_insert(now);
                return self.loose.push_back((item, ack));
            }
        };
        if !self.by_key.contains_key(&key) {
            // It may stay longer than the chunk it was cut from.
            let own = match &key {
                Key::Of(bytes) => Key::Of(Bytes::copy_from_slice(bytes)),
                Key::All => Key::All,
            };
            if self.by_key.is_empty() {
                self.tidied = now;
            }
            self.by_key.insert(own, Line::default());
        }
        let Some(line) = self.by_key.get_mut(&key) else { return };
        let known = item.position.and_then(|position| line.tickets.remove(&position));
        let ticket = known.unwrap_or_else(|| {
            self.tickets += 1;
            self.tickets
        });
        if let Some(back) = line.away.remove(&ticket) {
            self.away -= 1;
            self.failing -= usize::from(back.tried);
            self.reached = self.reached.max(back.due);
        }
        let (lost, tried) = line.forget_before(ticket, self.reached);
        self.away -= lost;
        self.failing -= tried;
        let apart = apart(self.apart, self.failing);
        let slow = line.slow(now).filter(|_| self.order == Order::Key);
        let shut = line.shut(ticket, self.reached, now);
        if let Some(until) = shut.or(slow).max(waits) {
            let away = line.give_back(ticket, &item, &mut ack, (until, apart), failed);
            self.away += away;
            self.failing += if failed { away } else { 0 };
            self.progress.add(Count::Held, 1);
            return;
        }
        line.waiting.push_back((ticket, item, ack));
        if line.calling.is_none() && line.waiting.len() == 1 {
            self.since.get_or_insert(now);
            self.ready.push_back(key);
        }
    }
    /// Whether something could be sent.
    pub(super) fn is_ready(&self) -> bool {
        !self.loose.is_empty() || !self.ready.is_empty()
    }
    /// When what is ready has waited long enough for more; `None`: nothing is ready.
    pub(super) fn ripe_at(&self, (limit, weight): (Limit, &dyn Fn(&Received) -> usize), linger: Duration, now: Instant) -> Option<Instant> {
        if !self.is_ready() {
            return None;
        }
        let full = || {
            let of_lines = self.ready.iter().filter_map(|key| self.by_key.get(key));
            let in_lines = of_lines.flat_map(|line| line.waiting.iter().map(|(_, item, _)| item));
            let mut waiting = self.loose.iter().map(|(item, _)| item).chain(in_lines);
            let (mut messages, mut bytes) = (0, 0);
            while messages < limit.messages && bytes < limit.bytes as usize {
                let Some(item) = waiting.next() else { return false };
                messages += 1;
                bytes += weight(item);
            }
            true
        };
        if linger.is_zero() || full() {
            return Some(now);
        }
        self.since.map(|since| since + linger)
    }
    /// As much of what is ready as one call takes. Lines take turns, and so do those with an order and those without.
    pub(super) fn load(&mut self, limit: Limit, weight: &dyn Fn(&Received) -> usize, now: Instant) -> Option<Load> {
        let mut load = Load {
            items: Vec::new(),
            duties: Vec::new(),
        };
        let mut room = Room {
            messages: limit.messages.max(1),
            bytes: limit.bytes as usize,
            any: false,
            weight,
        };
        self.loose_goes_first = !self.loose_goes_first;
        if self.loose_goes_first {
            self.load_loose(&mut load, &mut room);
            self.load_lines(&mut load, &mut room, now);
        } else {
            self.load_lines(&mut load, &mut room, now);
            self.load_loose(&mut load, &mut room);
        }
        self.since = self.is_ready().then_some(now);
        (!load.items.is_empty()).then_some(load)
    }
    fn load_loose(&mut self, load: &mut Load, room: &mut Room<'_>) {
        while self.loose.front().is_some_and(|(item, _)| room.takes(item))
            && let Some((item, ack)) = self.loose.pop_front()
        {
            load.items.push(item);
            load.duties.push(Duty { ack, line: None });
        }
    }
    fn load_lines(&mut self, load: &mut Load, room: &mut Room<'_>, now: Instant) {
        while let Some(key) = self.ready.front()
            && let Some(line) = self.by_key.get_mut(key)
        {
            while line.waiting.front().is_some_and(|(_, item, _)| room.takes(item))
                && let Some((ticket, item, ack)) = line.waiting.pop_front()
            {
                line.calling = Some(now);
                load.items.push(item);
                load.duties.push(Duty {
                    ack,
                    line: Some((key.clone(), ticket)),
                });
            }
            if line.calling.is_none() {
                return;
            }
            self.ready.pop_front();
        }
    }
    /// A call has ended: `decide` says what becomes of each item.
    pub(super) fn unload(&mut self, load: Load, now: Instant, mut decide: impl FnMut(usize, &Received) -> Outcome) {
        let mut touched: Vec<Key> = Vec::new();
        for (at, (item, mut duty)) in load.items.iter().zip(load.duties).enumerate() {
            let mut outcome = decide(at, item);
            if let Outcome::Requeue { after } = &mut outcome {
                let due = comes_by(item, now + after.unwrap_or_default());
                *after = Some(due.saturating_duration_since(now));
            }
            let Some((key, ticket)) = duty.line else {
                if let Outcome::Requeue { after } = outcome {
                    self.latest = self.latest.max(Some(now + after.unwrap_or_default()));
                }
                duty.ack.settle_all(outcome);
                continue;
            };
            if let Some(line) = self.by_key.get_mut(&key) {
                let (away, failing) = line.settle(ticket, item, &mut duty.ack, outcome, now);
                self.away += away;
                self.failing += failing;
            }
            if touched.last() != Some(&key) {
                touched.push(key);
            }
        }
        for key in touched {
            let Some(line) = self.by_key.get_mut(&key) else { continue };
            line.calling = None;
            let apart = apart(self.apart, self.failing);
            for (ticket, item, mut ack) in std::mem::take(&mut line.waiting) {
                match line.shut(ticket, self.reached, now) {
                    Some(until) => {
                        self.away += line.give_back(ticket, &item, &mut ack, (until, apart), false);
                        self.progress.add(Count::Held, 1);
                    }
                    None => line.waiting.push_back((ticket, item, ack)),
                }
            }
            if !line.waiting.is_empty() {
                self.since.get_or_insert(now);
                self.ready.push_back(key);
            } else if line.away.is_empty() && line.shut_until.is_none_or(|until| until <= now) {
                self.by_key.remove(&key);
            }
        }
    }
    /// Nothing of what waits is to be sent before that.
    pub(super) fn give_back(&mut self, until: Instant) {
        for (_, mut ack) in self.loose.drain(..) {
            ack.settle_all(Outcome::Hold { until });
            self.progress.add(Count::Held, 1);
        }
        let apart = apart(self.apart, self.failing);
        for line in self.by_key.values_mut() {
            for (ticket, item, mut ack) in std::mem::take(&mut line.waiting) {
                self.away += line.give_back(ticket, &item, &mut ack, (until, apart), false);
                self.progress.add(Count::Held, 1);
            }
        }
        self.ready.clear();
        self.since = None;
    }
    /// All that was due by then has come.
    pub(super) fn all_back(&mut self, then: Instant) {
        self.reached = self.reached.max(then);
    }
    /// When [`Lines::tidy`] has something to do.
    pub(super) fn tidy_at(&self) -> Option<Instant> {
        let lines = (!self.by_key.is_empty()).then(|| self.tidied + SLOW);
        lines.into_iter().chain(self.latest.map(|latest| latest + GRACE)).min()
    }
    /// What waits behind a slow call goes back for a while; lines of which nothing will come are forgotten.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.tidied = now;
        self.latest = self.latest.filter(|latest| *latest + GRACE > now);
        let keyed = self.order == Order::Key;
        let (mut away, mut lost, mut failing) = (0, 0, 0);
        let (progress, reached, apart) = (&self.progress, self.reached, apart(self.apart, self.failing));
        self.by_key.retain(|_, line| {
            if let Some(until) = line.slow(now).filter(|_| keyed) {
                for (ticket, item, mut ack) in std::mem::take(&mut line.waiting) {
                    away += line.give_back(ticket, &item, &mut ack, (until, apart), false);
                    progress.add(Count::Held, 1);
                }
            }
            for back in line.away.values_mut().filter(|back| back.tried && back.due + GRACE <= reached) {
                // It is not tried again, or not by us; its followers know it for some time.
                back.tried = false;
                failing += 1;
            }
            let over = |due: Instant| due + FORGET <= reached;
            let stale = line.calling.is_none()
                && line.waiting.is_empty()
                && line.away.values().all(|away| over(away.due))
                && line.shut_until.is_none_or(over);
            if stale {
                lost += line.away.len();
            }
            !stale
        });
        self.away = (self.away + away).saturating_sub(lost);
        self.failing = self.failing.saturating_sub(failing);
    }
    /// A call that was taken: how long, and for how many messages.
    pub(super) fn took(&mut self, time: Duration, messages: usize) {
        let each = time / u32::try_from(messages.max(1)).unwrap_or(u32::MAX);
        self.apart = (self.apart * 7 + each / 2) / 8;
        self.apart = self.apart.min(APART);
    }
    /// When more may be read: what was given back is remembered, and memory is bounded. In one line nothing goes before what is away.
    pub(super) fn room_at(&self, now: Instant) -> Instant {
        if self.away < MOST_AWAY && (self.order != Order::All || self.away == 0) {
            return now;
        }
        let firsts = self.by_key.values().filter_map(|line| line.away.first_key_value());
        firsts.map(|(_, away)| away.due).min().unwrap_or(now)
    }
    /// Whether so many messages could be sent, at least.
    pub(super) fn has(&self, messages: usize) -> bool {
        self.loose.len() + self.ready.len() >= messages
    }
    /// Whether more than a message or two may be read.
    pub(super) fn is_full(&self) -> bool {
        self.away >= MOST_AWAY
    }
    /// Whether messages that failed wait for their next attempt.
    pub(super) fn is_failing(&self, now: Instant) -> bool {
        self.failing > 0 || self.latest.is_some_and(|latest| now < latest)
    }
}
/// What was not tried counts no attempt, whatever ended the pump.
impl Drop for Lines {
    fn drop(&mut self) {
        self.give_back(Instant::now());
    }
}
impl Line {
    /// Until when nothing with that ticket may pass.
    fn shut(&self, ticket: u64, reached: Instant, now: Instant) -> Option<Instant> {
        let before = self.away.first_key_value().filter(|(first, _)| **first < ticket);
        let before = before.map(|(_, away)| {
            // It comes behind what is due before it, now or later; and what should have come may be a moment late.
            let until = if away.due >= reached { away.due } else { away.due + GRACE };
            until.max(now)
        });
        before.or(self.shut_until.filter(|until| now < *until))
    }
    /// Forgets what goes before that ticket and comes no more: how many, and how many of them were tried.
    fn forget_before(&mut self, ticket: u64, reached: Instant) -> (usize, usize) {
        let (mut lost, mut tried) = (0, 0);
        while let Some(entry) = self.away.first_entry()
            && *entry.key() < ticket
            && entry.get().due + GRACE <= reached
        {
            let away = entry.remove();
            self.tickets.remove(&away.position);
            lost += 1;
            tried += usize::from(away.tried);
        }
        (lost, tried)
    }
    /// Until when what waits behind a slow call is better off elsewhere.
    fn slow(&self, now: Instant) -> Option<Instant> {
        let took = now.saturating_duration_since(self.calling?);
        (took >= SLOW).then(|| now + (took / 2).clamp(SLOW, WHILE))
    }
    /// Until then, and behind those that go before it, so far apart. How many more are away.
    fn give_back(&mut self, ticket: u64, item: &Received, ack: &mut Ack, (until, apart): (Instant, Duration), tried: bool) -> usize {
        let before = self.away.range(..ticket).next_back().map(|(_, away)| away.due);
        let until = before.map_or(until, |before| until.max(before).max((before + apart).min(until + SPREAD)));
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
        self.away.insert(ticket, Away { position, due, tried });
        1
    }
    /// How many more are away, and how many of them were tried.
    fn settle(&mut self, ticket: u64, item: &Received, ack: &mut Ack, outcome: Outcome, now: Instant) -> (usize, usize) {
        match outcome {
            Outcome::Requeue { after } => {
                // Not before what failed before it.
                let before = self.away.range(..ticket).next_back();
                let before = before.map(|(_, away)| away.due.saturating_duration_since(now));
                let after = after.unwrap_or_default().max(before.unwrap_or_default());
                ack.settle_all(Outcome::Requeue { after: Some(after) });
                // The source has looked at the clock by now: what is held until this moment comes behind.
                let away = self.remember(ticket, item, Instant::now() + after, true);
                (away, away)
            }
            Outcome::Hold { until } => (self.give_back(ticket, item, ack, (until, Duration::ZERO), false), 0),
            outcome @ (Outcome::Ack | Outcome::Reject { .. } | Outcome::Extend(_)) => {
                ack.settle_all(outcome);
                (0, 0)
            }
        }
    }
}
/// How far apart what waits for others comes, if so many have failed.
fn apart(apart: Duration, failing: usize) -> Duration {
    apart.max(Duration::from_millis((failing * 1_000 / LOOKS) as u64))
}
/// When it is to come again: when its time to live is over, if that is sooner, so that it is counted, and nobody waits for it any longer. Clocks
/// may be a moment apart.
fn comes_by(item: &Received, due: Instant) -> Instant {
    let Some(expires) = item.message.timing.as_ref().and_then(|timing| timing.expires) else {
        return due;
    };
    let left = u64::try_from(expires.saturating_sub(clock::now_us())).unwrap_or(0);
    let over = Instant::now().checked_add(Duration::from_micros(left).saturating_add(GRACE));
    over.map_or(due, |over| due.min(over))
}
/// What a call may still take. One message always fits.
struct Room<'a> {
    messages: u32,
    bytes: usize,
    any: bool,
    weight: &'a dyn Fn(&Received) -> usize,
}
impl Room<'_> {
    fn takes(&mut self, item: &Received) -> bool {
        if self.messages == 0 {
            return false;
        }
        let size = (self.weight)(item);
        if self.any && size > self.bytes {
            return false;
        }
        self.any = true;
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(size);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tidegate_core::{
        headers::Headers,
        message::Message,
        settle::{Returns, Settled},
        topic::Topic,
    };

    #[derive(Default)]
    struct Home(Mutex<Vec<(u64, Outcome)>>);
    impl Returns for Home {
        fn take_back(&self, settled: Settled) {
            self.0
                .lock()
                .unwrap()
                .extend(settled.seqs.map(|seq| (seq, settled.outcome.clone())));
        }
    }
    fn item(offset: u64, key: &'static str, home: &Arc<Home>) -> (Received, Ack) {
        let message = Message {
            key: Some(key.into()),
            ..Message::new(Topic::from("t"), "x")
        };
        let received = Received {
            message: Arc::new(message),
            position: Some(offset.to_string().parse().unwrap()),
            attempt: 1,
            slot: 0,
            metadata: Headers::EMPTY,
        };
        (received, Ack::new(home.clone(), offset, 1))
    }
    const ALL: Limit = Limit {
        messages: 100,
        bytes: 1 << 20,
    };
    const AFTER: Duration = Duration::from_secs(10);
    struct Room {
        lines: Lines,
        home: Arc<Home>,
    }
    impl Room {
        fn new(progress: &Arc<Progress>) -> Self {
            let mut lines = Lines::new(Order::Key, progress);
            lines.apart = Duration::ZERO;
            Self {
                lines,
                home: Arc::default(),
            }
        }
        fn take(&mut self, offset: u64, now: Instant) {
            let (item, ack) = item(offset, "k", &self.home);
            self.lines.take(item, ack, (now, None));
        }
        fn sent(&mut self, now: Instant) -> Vec<u128> {
            let Some(load) = self.lines.load(ALL, &|item| item.message.size(), now) else {
                return Vec::new();
            };
            let offsets = load.items.iter().map(|item| item.position.unwrap().offset).collect();
            self.lines.unload(load, now, |_, _| Outcome::Ack);
            offsets
        }
        fn fail(&mut self, now: Instant) {
            let load = self.lines.load(ALL, &|item| item.message.size(), now).unwrap();
            self.lines.unload(load, now, |_, _| Outcome::Requeue { after: Some(AFTER) });
        }
        fn last(&self) -> (u64, Outcome) {
            self.home.0.lock().unwrap().last().cloned().unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_failure_everything_waits_elsewhere_and_comes_back_in_order() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        room.fail(now);
        for offset in 1..4 {
            room.take(offset, now);
            assert_eq!(room.last(), (offset, Outcome::Hold { until: now + AFTER }));
        }
        let due = now + AFTER;
        // Not the first: it goes behind it.
        room.take(2, due);
        assert_eq!(room.last(), (2, Outcome::Hold { until: due }));
        let due = due + Duration::from_millis(1);
        room.lines.all_back(due);
        room.take(2, due);
        assert_eq!(
            room.last(),
            (
                2,
                Outcome::Hold {
                    until: now + AFTER + GRACE
                }
            )
        );
        room.take(0, due);
        room.take(1, due);
        assert_eq!(room.sent(due), [0, 1]);
        room.take(4, due);
        assert!(room.sent(due).is_empty(), "2 and 3 go before it");
        let later = due + GRACE;
        room.take(2, later);
        room.take(3, later);
        assert_eq!(room.sent(later), [2, 3]);
        room.take(4, later);
        assert_eq!(room.sent(later), [4]);
        assert!(room.lines.by_key.is_empty() && !room.lines.is_failing(later));
    }
    #[tokio::test(start_paused = true)]
    async fn what_expires_before_it_is_due_holds_its_line_no_longer_than_that() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        let (mut first, ack) = item(0, "k", &room.home);
        let mut message = (*first.message).clone();
        message.timing = Some(Box::new(tidegate_core::message::Timing {
            expires: Some(clock::now_us() + 2_000_000),
            due: None,
        }));
        first.message = Arc::new(message);
        room.lines.take(first, ack, (now, None));
        room.fail(now);
        room.take(1, now);
        let (_, Outcome::Hold { until }) = room.last() else {
            panic!("{:?}", room.last())
        };
        let over = now + Duration::from_secs(2) + GRACE;
        assert!(until <= over && over - until < Duration::from_secs(1), "{:?}", over - until);
        assert!(room.lines.is_failing(until));
        room.lines.all_back(until + GRACE);
        room.lines.tidy(until + GRACE);
        assert!(!room.lines.is_failing(until + GRACE));
        room.take(1, until + GRACE);
        assert_eq!(room.sent(until + GRACE), [1]);
    }
    #[tokio::test(start_paused = true)]
    async fn the_more_fails_the_farther_apart_comes_what_waits_for_it() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        room.fail(now);
        room.take(1, now);
        assert_eq!(room.last(), (1, Outcome::Hold { until: now + AFTER }));
        // In other lines.
        room.lines.failing = LOOKS;
        for offset in 2..4 {
            room.take(offset, now);
            let behind = Duration::from_secs(offset - 1);
            assert_eq!(
                room.last(),
                (
                    offset,
                    Outcome::Hold {
                        until: now + AFTER + behind
                    }
                )
            );
        }
        let due = now + AFTER;
        room.take(0, due);
        room.take(1, due);
        assert_eq!(room.sent(due), [0, 1]);
    }
    #[tokio::test(start_paused = true)]
    async fn a_message_that_never_comes_back_holds_its_line_for_a_moment_only() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        room.fail(now);
        room.take(1, now);
        let due = now + AFTER + Duration::from_millis(1);
        room.lines.all_back(due);
        room.take(1, due);
        let late = now + AFTER + GRACE;
        assert_eq!(room.last(), (1, Outcome::Hold { until: late }), "it may be a moment late");
        room.take(2, late);
        assert!(room.sent(late).is_empty(), "1 goes before it");
        room.take(1, late);
        room.take(2, late);
        assert_eq!(room.sent(late), [1, 2]);
        assert!(!room.lines.is_failing(late));
    }
    /// However many there are, and wherever they lie.
    #[tokio::test(start_paused = true)]
    async fn those_that_never_come_back_hold_their_line_for_one_moment_together() {
        const ALL: u64 = 1_000;
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.lines.apart = Duration::from_millis(2);
        room.take(0, now);
        room.fail(now);
        (1..=ALL).for_each(|offset| room.take(offset, now));
        // As the source does, but that every second one is gone.
        let given_back = |room: &Room| std::mem::take(&mut *room.home.0.lock().unwrap());
        let mut waiting = std::collections::BTreeSet::new();
        let mut sent = Vec::new();
        let mut at = now;
        loop {
            for (offset, outcome) in given_back(&room) {
                if let Outcome::Hold { until } = outcome {
                    waiting.extend((offset % 2 == 1).then_some((until, offset)));
                }
            }
            let Some((due, offset)) = waiting.pop_first() else { break };
            at = at.max(due);
            room.take(offset, at);
            sent.extend(room.sent(at));
        }
        assert!(sent.iter().copied().eq((1..=u128::from(ALL)).step_by(2)), "{sent:?}");
        let spread = room.lines.apart * ALL as u32;
        assert!(at <= now + AFTER + spread + GRACE * 2, "{:?}", at - now);
    }
    /// It was late once, and that it may be late again is no reason to pass it.
    #[tokio::test(start_paused = true)]
    async fn what_was_late_and_came_is_waited_for_anew() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        room.fail(now);
        let late = now + AFTER + Duration::from_millis(1);
        room.lines.all_back(late);
        room.take(1, late);
        assert_eq!(
            room.last(),
            (
                1,
                Outcome::Hold {
                    until: now + AFTER + GRACE
                }
            )
        );
        tokio::time::advance(late - now).await;
        room.take(0, late);
        room.fail(late);
        let again = late + AFTER + Duration::from_millis(1);
        room.lines.all_back(again);
        room.take(1, again);
        assert!(room.sent(again).is_empty(), "0 may come the very next moment");
        room.take(0, again);
        room.take(1, again);
        assert_eq!(room.sent(again), [0, 1]);
    }
    /// When the first fails again, few have come in vain.
    #[tokio::test(start_paused = true)]
    async fn those_that_wait_for_each_other_come_one_after_the_other() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        let apart = Duration::from_millis(2);
        (0..100).for_each(|_| room.lines.took(apart * 8, 4));
        assert!(room.lines.apart > apart * 9 / 10 && room.lines.apart <= apart / 2 * 2);
        room.lines.apart = apart;
        room.take(0, now);
        room.fail(now);
        for offset in 1..20_000 {
            room.take(offset, now);
        }
        let due = |offset: usize| match room.home.0.lock().unwrap()[offset].1 {
            Outcome::Hold { until } => until - now,
            _ => Duration::ZERO,
        };
        assert_eq!((due(1), due(2), due(100)), (AFTER + apart, AFTER + apart * 2, AFTER + apart * 100));
        assert_eq!(due(19_999), AFTER + SPREAD, "but not for ever");
    }
    #[tokio::test(start_paused = true)]
    async fn a_line_of_which_nothing_comes_is_forgotten() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        room.fail(now);
        let over = now + AFTER + FORGET;
        room.lines.tidy(over);
        assert_eq!((room.lines.by_key.len(), room.lines.away), (1, 1), "nobody has looked");
        room.lines.all_back(over);
        room.lines.tidy(over);
        assert_eq!((room.lines.by_key.len(), room.lines.away, room.lines.failing), (0, 0, 0));
    }
    #[tokio::test(start_paused = true)]
    async fn what_waits_behind_a_slow_call_goes_back_for_a_while() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        let load = room.lines.load(ALL, &|item| item.message.size(), now).unwrap();
        room.take(1, now);
        assert!(room.home.0.lock().unwrap().is_empty());
        let late = now + SLOW;
        room.lines.tidy(late);
        assert_eq!(room.last(), (1, Outcome::Hold { until: late + SLOW }));
        room.take(2, late);
        assert_eq!(room.last().0, 2);
        room.lines.unload(load, late, |_, _| Outcome::Ack);
        room.take(1, late + SLOW);
        room.take(2, late + SLOW);
        assert_eq!(room.sent(late + SLOW), [1, 2]);
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let (progress, now) = (Arc::new(Progress::new()), Instant::now());
        let mut room = Room::new(&progress);
        room.take(0, now);
        room.fail(now);
        assert_eq!(room.lines.room_at(now), now);
        for offset in 1..MOST_AWAY as u64 {
            room.take(offset, now);
        }
        assert!(room.lines.is_full());
        assert_eq!(room.lines.room_at(now), now + AFTER, "the first is due then");
        room.take(0, now + AFTER);
        assert!(!room.lines.is_full());
    }
}
