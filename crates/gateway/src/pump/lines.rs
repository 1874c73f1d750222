//! What waits for its call, in the order it must go: a line per key, or one for all. Behind a message that is to be tried again everything
//! of its line goes back to where it came from, so that a failing line takes nobody's place. There it stays until the line goes on, and is
//! called back then, few at first: nobody looks at it while it can only wait.
mod line;

use super::{
    Order,
    progress::{Count, Progress},
};
use bytes::Bytes;
use line::{GRACE, Line, MOST_CALLED, SLOW, comes_by};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tidegate_core::{
    delivery::Received,
    endpoint::Limit,
    position::{Cursor, Position},
    settle::{Ack, Outcome},
};
use tokio::time::Instant;

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
    /// Lines that may go on, and of which too little is here.
    going_on: Vec<Key>,
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
            going_on: Vec::new(),
            away: 0,
            failing: 0,
            latest: None,
            reached: Instant::now(),
            tidied: Instant::now(),
        }
    }
    /// One more message: it waits for its call, or goes back because its time has not come, or because of what went back before it.
    pub(super) fn take(&mut self, item: Received, mut ack: Ack, (now, waits): (Instant, Option<Instant>)) {
        // What was not tried waited for others, or for the target.
        let waits = waits.filter(|until| *until > now && item.attempt > 1);
        let failed = waits.is_some();
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
            self.by_key.insert(own, Line::new());
        }
        let Some(line) = self.by_key.get_mut(&key) else { return };
        let known = item.position.and_then(|position| line.tickets.remove(&position));
        let ticket = known.unwrap_or_else(|| {
            line.last_ticket += 1;
            line.last_ticket
        });
        if let Some(back) = line.away.remove(&ticket) {
            self.away -= 1;
            self.failing -= usize::from(back.tried);
            line.called -= usize::from(back.called);
            self.reached = self.reached.max(back.due.min(now));
        }
        let (lost, tried) = line.forget_before(ticket, self.reached);
        self.away -= lost;
        self.failing -= tried;
        let slow = line.slow(now).filter(|_| self.order == Order::Key);
        let shut = line.shut(ticket, self.reached, now);
        if let Some(until) = shut.or(slow).max(waits) {
            let away = line.give_back(ticket, &item, &mut ack, until, failed);
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
            for (ticket, item, mut ack) in std::mem::take(&mut line.waiting) {
                match line.shut(ticket, self.reached, now) {
                    Some(until) => {
                        self.away += line.give_back(ticket, &item, &mut ack, until, false);
                        self.progress.add(Count::Held, 1);
                    }
                    None => line.waiting.push_back((ticket, item, ack)),
                }
            }
            if line.lacks(now) > 0 {
                self.going_on.push(key.clone());
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
        self.give_back_loose(until);
        for line in self.by_key.values_mut() {
            line.window = 1;
            for (ticket, item, mut ack) in std::mem::take(&mut line.waiting) {
                self.away += line.give_back(ticket, &item, &mut ack, until, false);
                self.progress.add(Count::Held, 1);
            }
        }
    }
    fn give_back_loose(&mut self, until: Instant) {
        for (_, mut ack) in self.loose.drain(..) {
            ack.settle_all(Outcome::Hold { until });
            self.progress.add(Count::Held, 1);
        }
        self.ready.clear();
        self.since = None;
    }
    /// Nothing more is sent: what waits goes back, and what waits elsewhere for others is to be called back, for whoever comes next.
    pub(super) fn let_go(&mut self) -> Vec<Position> {
        let (now, mut positions) = (Instant::now(), Vec::new());
        self.give_back_loose(now);
        // Nobody goes before anybody here any longer: of one moment, all come again in the order of their places.
        for (_, mut line) in self.by_key.drain() {
            positions.extend(line.away.values().filter(|away| !away.tried).map(|away| away.position));
            for (_, _, mut ack) in line.waiting.drain(..) {
                ack.settle_all(Outcome::Hold { until: now });
                self.progress.add(Count::Held, 1);
            }
        }
        positions.sort_unstable();
        positions
    }
    /// Whether something is to be called back.
    pub(super) fn goes_on(&self) -> bool {
        !self.going_on.is_empty()
    }
    /// What comes next in the lines that go on: the source is to call it back, in this order.
    pub(super) fn recall(&mut self, now: Instant) -> Vec<Position> {
        let mut positions = Vec::new();
        for key in self.going_on.drain(..) {
            if let Some(line) = self.by_key.get_mut(&key) {
                line.call_back(now, &mut positions);
            }
        }
        if self.order == Order::Key {
            // Side by side they are read at once; a key has one partition, and its offsets rise.
            positions.sort_unstable();
        }
        positions
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
        let (progress, reached, going_on) = (&self.progress, self.reached, &mut self.going_on);
        // Each is looked at.
        going_on.clear();
        self.by_key.retain(|key, line| {
            if let Some(until) = line.slow(now).filter(|_| keyed) {
                for (ticket, item, mut ack) in std::mem::take(&mut line.waiting) {
                    away += line.give_back(ticket, &item, &mut ack, until, false);
                    progress.add(Count::Held, 1);
                }
            }
            let (gone, tried) = line.forget(|away| away.due + GRACE <= reached);
            lost += gone;
            failing += tried;
            if gone > 0 {
                // What is lost is not lost alone, as a rule.
                line.window = MOST_CALLED;
            }
            let is_empty = line.away.is_empty() && line.waiting.is_empty() && line.calling.is_none();
            if line.lacks(now) > 0 {
                going_on.push(key.clone());
            }
            !is_empty || line.shut_until.is_some_and(|until| until > now)
        });
        self.away = (self.away + away).saturating_sub(lost);
        self.failing = self.failing.saturating_sub(failing);
    }
    /// What lay there, or before it, comes no more.
    pub(super) fn lost(&mut self, to: &Cursor) {
        for (key, line) in &mut self.by_key {
            let (lost, tried) = line.forget(|away| to.covers(away.position));
            self.away -= lost;
            self.failing -= tried;
            if lost > 0 {
                self.going_on.push(key.clone());
            }
        }
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
        self.let_go();
    }
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
    use super::{line::LATER, *};
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
    fn position(offset: u64) -> Position {
        offset.to_string().parse().unwrap()
    }
    fn item(offset: u64, key: &'static str, home: &Arc<Home>) -> (Received, Ack) {
        let message = Message {
            key: Some(key.into()),
            ..Message::new(Topic::from("t"), "x")
        };
        let received = Received {
            message: Arc::new(message),
            position: Some(position(offset)),
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
        fn new() -> Self {
            Self {
                lines: Lines::new(Order::Key, &Arc::new(Progress::new())),
                home: Arc::default(),
            }
        }
        /// The first of these fails now, and the others come behind it.
        fn failing(offsets: std::ops::Range<u64>, now: Instant) -> Self {
            let mut room = Self::new();
            room.take(offsets.start, now);
            room.fail(now);
            (offsets.start + 1..offsets.end).for_each(|offset| room.take(offset, now));
            room
        }
        fn take(&mut self, offset: u64, now: Instant) {
            let (item, ack) = item(offset, "k", &self.home);
            self.lines.take(item, ack, (now, None));
        }
        fn sent(&mut self, now: Instant) -> Vec<u64> {
            let Some(load) = self.lines.load(ALL, &|item| item.message.size(), now) else {
                return Vec::new();
            };
            let offsets = load.items.iter().map(|item| item.position.unwrap().offset as u64).collect();
            self.lines.unload(load, now, |_, _| Outcome::Ack);
            offsets
        }
        fn fail(&mut self, now: Instant) {
            let load = self.lines.load(ALL, &|item| item.message.size(), now).unwrap();
            self.lines.unload(load, now, |_, _| Outcome::Requeue { after: Some(AFTER) });
        }
        fn recalled(&mut self, now: Instant) -> Vec<u64> {
            self.lines.recall(now).iter().map(|position| position.offset as u64).collect()
        }
        /// What is called back comes at once, but for what is gone; until nothing more is. What was sent, in order, and when it was over.
        fn drain(&mut self, mut now: Instant, is_gone: impl Fn(u64) -> bool) -> (Vec<u64>, Instant) {
            let mut sent = Vec::new();
            while self.lines.away > 0 || self.lines.is_ready() {
                let recalled = self.recalled(now);
                recalled
                    .iter()
                    .filter(|offset| !is_gone(**offset))
                    .for_each(|offset| self.take(*offset, now));
                let new = self.sent(now);
                if recalled.is_empty() && new.is_empty() {
                    now += SLOW;
                    self.lines.all_back(now);
                    self.lines.tidy(now);
                }
                sent.extend(new);
            }
            (sent, now)
        }
        fn held_until(&self, offset: u64) -> Instant {
            match self.home.0.lock().unwrap().last() {
                Some((last, Outcome::Hold { until })) if *last == offset => *until,
                last => panic!("{last:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_failure_everything_waits_elsewhere_and_is_called_back_in_order() {
        let now = Instant::now();
        let mut room = Room::failing(0..4, now);
        let due = now + AFTER;
        assert_eq!(room.held_until(3), due + LATER);
        room.lines.tidy(now);
        assert!(!room.lines.goes_on() && room.recalled(now).is_empty(), "only the first can go on");
        // By itself, too early.
        room.take(2, due);
        assert_eq!(room.held_until(2), due + LATER);
        room.take(0, due);
        assert_eq!(room.sent(due), [0]);
        assert!(room.lines.goes_on());
        assert_eq!(room.recalled(due), [1, 2]);
        assert!(room.recalled(due).is_empty(), "once");
        // In whatever order they come.
        room.take(2, due);
        assert!(room.sent(due).is_empty());
        room.take(1, due);
        room.take(4, due);
        assert_eq!(room.sent(due), [1], "2 and 3 go before it");
        assert_eq!(room.drain(due, |_| false), (vec![2, 3, 4], due));
        assert!(room.lines.by_key.is_empty() && !room.lines.is_failing(due));
    }
    /// Tried together, or before anybody kept an order.
    #[tokio::test(start_paused = true)]
    async fn what_was_tried_comes_at_its_own_moment_whatever_goes_before_it() {
        let now = Instant::now();
        let mut room = Room::new();
        for (offset, due) in [(0, AFTER), (1, AFTER / 2)] {
            let (mut item, ack) = item(offset, "k", &room.home);
            item.attempt = 2;
            room.lines.take(item, ack, (now, Some(now + due)));
        }
        assert_eq!(room.held_until(1), now + AFTER, "behind the first, and not later than that");
        let due = now + AFTER;
        room.take(0, due);
        room.take(1, due);
        assert_eq!(room.sent(due), [0, 1]);
    }
    /// When it fails again, few have come in vain.
    #[tokio::test(start_paused = true)]
    async fn the_better_a_line_goes_the_more_of_it_is_called_back_at_once() {
        let now = Instant::now();
        let mut room = Room::failing(0..1_000, now);
        let due = now + AFTER;
        room.take(0, due);
        room.sent(due);
        let mut many = Vec::new();
        for _ in 0..3 {
            let recalled = room.recalled(due);
            many.push(recalled.len());
            for offset in recalled {
                room.take(offset, due);
            }
            while !room.sent(due).is_empty() {}
        }
        assert_eq!(many, [2, 8, MOST_CALLED]);
        let next = room.recalled(due);
        room.take(next[0], due);
        room.fail(due);
        for offset in &next[1..] {
            room.take(*offset, due);
        }
        assert!(room.recalled(due).is_empty());
        let due = due + AFTER;
        room.take(next[0], due);
        room.sent(due);
        assert_eq!(room.recalled(due), next[1..3]);
    }
    #[tokio::test(start_paused = true)]
    async fn what_expires_before_it_is_due_holds_its_line_no_longer_than_that() {
        let now = Instant::now();
        let mut room = Room::new();
        let (mut first, ack) = item(0, "k", &room.home);
        let mut message = (*first.message).clone();
        message.timing = Some(Box::new(tidegate_core::message::Timing {
            expires: Some(tidegate_core::clock::now_us() + 2_000_000),
            due: None,
        }));
        first.message = Arc::new(message);
        room.lines.take(first, ack, (now, None));
        room.fail(now);
        room.take(1, now);
        let until = room.held_until(1).checked_sub(LATER).unwrap();
        let over = now + Duration::from_secs(2) + GRACE;
        assert!(until <= over && over - until < Duration::from_secs(1), "{:?}", over - until);
        assert!(room.lines.is_failing(until));
        room.lines.all_back(until + GRACE);
        room.lines.tidy(until + GRACE);
        assert!(!room.lines.is_failing(until + GRACE));
        assert_eq!(room.recalled(until + GRACE), [1]);
        room.take(1, until + GRACE);
        assert_eq!(room.sent(until + GRACE), [1]);
    }
    #[tokio::test(start_paused = true)]
    async fn a_message_that_never_comes_back_holds_its_line_for_a_moment_only() {
        let now = Instant::now();
        let mut room = Room::failing(0..2, now);
        let due = now + AFTER + Duration::from_millis(1);
        room.lines.all_back(due);
        room.take(1, due);
        assert!(room.sent(due).is_empty(), "it may be a moment late");
        let late = now + AFTER + GRACE;
        room.lines.all_back(late);
        room.lines.tidy(late);
        assert_eq!(room.recalled(late), [1]);
        room.take(2, late);
        assert!(room.sent(late).is_empty(), "1 goes before it");
        room.take(1, late);
        assert_eq!(room.sent(late), [1]);
        assert_eq!(room.drain(late, |_| false).0, [2]);
        assert!(!room.lines.is_failing(late));
    }
    /// However many there are, and wherever they lie.
    #[tokio::test(start_paused = true)]
    async fn those_that_never_come_back_hold_their_line_for_a_moment_together() {
        const ALL: u64 = 1_000;
        let now = Instant::now();
        let mut room = Room::failing(0..ALL, now);
        let (sent, at) = room.drain(now, |offset| offset % 2 == 0);
        assert!(sent.iter().copied().eq((1..ALL).step_by(2)), "{sent:?}");
        let moments = ALL as u32 / MOST_CALLED as u32 + 3;
        assert!(at <= now + AFTER + GRACE * 2 * moments, "{:?}", at - now);
    }
    #[tokio::test(start_paused = true)]
    async fn what_the_source_has_lost_is_not_waited_for() {
        let now = Instant::now();
        let mut room = Room::failing(0..10, now);
        let to = [position(6)].into_iter().collect();
        room.lines.lost(&to);
        assert!(!room.lines.is_failing(now), "it was among them");
        assert_eq!((room.lines.away, room.drain(now, |_| false)), (3, (vec![7, 8, 9], now)));
    }
    /// It was late once, and that it may be late again is no reason to pass it.
    #[tokio::test(start_paused = true)]
    async fn what_was_late_and_came_is_waited_for_anew() {
        let now = Instant::now();
        let mut room = Room::failing(0..1, now);
        let late = now + AFTER + Duration::from_millis(1);
        room.lines.all_back(late);
        room.take(1, late);
        assert!(room.sent(late).is_empty());
        tokio::time::advance(late - now).await;
        room.take(0, late);
        room.fail(late);
        let again = late + AFTER + Duration::from_millis(1);
        room.lines.all_back(again);
        room.lines.tidy(again);
        room.take(1, again);
        assert!(room.sent(again).is_empty(), "0 may come the very next moment");
        room.take(0, again);
        assert_eq!(room.sent(again), [0]);
        assert_eq!(room.drain(again, |_| false).0, [1]);
    }
    #[tokio::test(start_paused = true)]
    async fn a_line_of_which_nothing_comes_is_forgotten() {
        let now = Instant::now();
        let mut room = Room::failing(0..1, now);
        let over = now + AFTER + GRACE;
        room.lines.tidy(over);
        assert_eq!((room.lines.by_key.len(), room.lines.away), (1, 1), "nobody has looked");
        room.lines.all_back(over);
        room.lines.tidy(over);
        assert_eq!((room.lines.by_key.len(), room.lines.away, room.lines.failing), (0, 0, 0));
    }
    #[tokio::test(start_paused = true)]
    async fn what_waits_behind_a_slow_call_goes_back_until_that_ends() {
        let now = Instant::now();
        let mut room = Room::new();
        room.take(0, now);
        let load = room.lines.load(ALL, &|item| item.message.size(), now).unwrap();
        room.take(1, now);
        assert!(room.home.0.lock().unwrap().is_empty());
        let late = now + SLOW;
        room.lines.tidy(late);
        assert_eq!(room.held_until(1), late + LATER);
        room.take(2, late);
        assert_eq!(room.held_until(2), late + LATER);
        assert!(room.recalled(late).is_empty());
        room.lines.unload(load, late, |_, _| Outcome::Ack);
        assert_eq!(room.drain(late, |_| false), (vec![1, 2], late));
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut room = Room::failing(0..1, now);
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
