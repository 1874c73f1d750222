//! One consumer of a group: claims offsets, reads them, hands them out with the duty to settle.
use super::{
    Group, Manner,
    live::{Claim, Fate, Live, Tally},
};
use crate::{
    reader::{Part, Reader},
    shared::Shared,
};
use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};
use tidegate_core::{
    clock,
    delivery::{Delivery, Received},
    endpoint::{Limit, Start},
    error::{Code, Error, Fault, Result},
    headers::Headers,
    position::{Gap, Position, Reason},
    settle::{Ack, Outcome, Returns, Settled},
};
use tokio::{sync::futures::Notified, time::Instant};

/// Takes part in a group. What it has out belongs to the duties it gave away, not to it: they may outlive it.
pub struct Member {
    home: Arc<Home>,
    reader: Reader,
    window: Limit,
    tally: Arc<Tally>,
}
/// Resolves when something may have become ready. Made before looking, so that nothing is missed in between.
pub struct Changed<'a> {
    grown: Pin<Box<Notified<'a>>>,
    woke: Pin<Box<Notified<'a>>>,
}
impl Future for Changed<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Both are asked, so that both know whom to wake.
        let grown = self.grown.as_mut().poll(cx);
        let woke = self.woke.as_mut().poll(cx);
        if grown.is_ready() || woke.is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
impl Group {
    /// See [`Changed`].
    pub fn changed(&self) -> Changed<'_> {
        let mut grown = Box::pin(self.stream.grown.notified());
        let mut woke = Box::pin(self.woke.notified());
        grown.as_mut().enable();
        woke.as_mut().enable();
        Changed { grown, woke }
    }
    /// When the next message that waits may go, in microseconds since the epoch.
    pub fn next_due(&self) -> Option<i64> {
        self.live().next_due()
    }
    /// Whether something that was given back may go at that time, in microseconds since the epoch.
    pub fn has_due(&self, now: i64) -> bool {
        self.live().has_due(now)
    }
}

impl Member {
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<Group>, window: Limit, manner: Manner) -> Self {
        let reader = Reader::new(shared.clone(), group.stream.clone(), Start::Earliest);
        group.live().join(manner);
        Self {
            home: Arc::new(Home { shared, group }),
            reader,
            window,
            tally: Arc::new(Tally::default()),
        }
    }
    /// The group it takes part in.
    pub fn group(&self) -> &Arc<Group> {
        &self.home.group
    }
    /// What there is now, at least one message or a gap; `Ok(None)`: nothing, or the window is full. Waits for the disk only. An error
    /// handed nothing out. Cancel-safe: a dropped call lost nothing.
    pub async fn ready(&mut self, limit: Limit) -> Result<Option<Delivery>> {
        loop {
            let Some(room) = self.room(limit) else {
                return Ok(None);
            };
            let Some(claimed) = Claimed::new(&self.home, u64::from(room.messages)) else {
                return Ok(None);
            };
            let Claim { partition, range, .. } = claimed.claim.clone();
            let part = self.reader.part(partition as usize, range, room).await?;
            if let Some(delivery) = claimed.hand_out(part, &self.tally) {
                return Ok(Some(delivery));
            }
        }
    }
    /// What was given back and waits for a later moment may go at once, in this order. Those that do not wait here.
    pub fn recall(&self, positions: &[Position]) -> Vec<Position> {
        let Home { shared, group } = &*self.home;
        let number = group.stream.number();
        let (ours, mut others) = positions.iter().partition::<Vec<_>, _>(|position| position.source == number);
        others.extend(group.live().recall(shared.limits.now(), &ours));
        group.woke.notify_waiters();
        others
    }
    /// Whether the group, its stream or the log has come to an end.
    pub fn is_over(&self) -> bool {
        self.home.group.is_deleted() || self.home.shared.herald.is_closed()
    }
    /// Whether something may be handed out; if not, only a settlement helps.
    pub fn has_room(&self) -> bool {
        self.room(self.window).is_some()
    }
    /// What may still be handed out.
    fn room(&self, limit: Limit) -> Option<Limit> {
        let messages = self.window.messages.saturating_sub(self.tally.messages.load(Relaxed));
        let out = self.tally.bytes.load(Relaxed);
        let bytes = u64::from(self.window.bytes).saturating_sub(out);
        // One message always fits, however long.
        (messages > 0 && (bytes > 0 || out == 0)).then(|| Limit {
            messages: messages.min(limit.messages).max(1),
            bytes: (bytes as u32).min(limit.bytes),
        })
    }
}

/// No moment is named that is further away.
const FAR: Duration = Duration::from_hours(24 * 365);

/// Given back when dropped: a call that was cancelled, or failed, claimed nothing.
struct Claimed<'a> {
    home: &'a Arc<Home>,
    claim: Claim,
    kept: bool,
}
impl<'a> Claimed<'a> {
    fn new(home: &'a Arc<Home>, most: u64) -> Option<Self> {
        let group = &home.group;
        if group.is_deleted() {
            return None;
        }
        let held = |i: usize| group.stream.homes.get(i).map_or((0, 0), crate::partition::Partition::range);
        let claim = group.live().claim(home.shared.limits.now(), most, held)?;
        Some(Self { home, claim, kept: false })
    }
    /// What was read goes out, what is not there is done with, and the rest of the claim is given back. `None`: there was nothing.
    fn hand_out(mut self, part: Part, tally: &Arc<Tally>) -> Option<Delivery> {
        self.kept = true;
        let group = self.home.group.clone();
        let Claim { partition, range, due } = self.claim.clone();
        let deliveries = group.spec().deliveries;
        let now = self.home.shared.limits.now();
        let mut live = group.live();
        let (base, mut dead) = (live.next_seq(), false);
        let mut items = Vec::with_capacity(part.items.len());
        let mut at = range.start;
        let mut missed = 0;
        if let Some(gap) = &part.gap {
            // It may reach further than what was asked for: what waits there finds it again.
            let behind = gap.to.iter().next().map_or(0, |place| place.offset as u64 + 1);
            at = behind.clamp(range.start, range.end);
            missed = live.open_in(partition, range.start..at);
            live.pass(partition, range.start..at);
            if gap.reason == Reason::Retention {
                missed += live.pass_waiting(partition, behind);
            }
        }
        for (position, message) in part.items {
            let offset = position.offset as u64;
            live.pass(partition, at..offset);
            at = offset + 1;
            if message
                .timing
                .as_ref()
                .and_then(|timing| timing.expires)
                .is_some_and(|expires| expires <= now)
            {
                group.counters.expired.fetch_add(1, Relaxed);
                live.pass(partition, offset..at);
                continue;
            }
            let attempt = live.attempt(partition, offset);
            if deliveries.is_some_and(|most| attempt > most) {
                live.die(partition, offset, attempt - 1, "attempts".into(), None);
                dead = true;
                continue;
            }
            let seq = live.hand_out(partition, offset, attempt, message.size() as u64, tally);
            items.push(Received {
                message,
                position: Some(position),
                attempt,
                slot: (seq - base) as u32,
                metadata: Headers::EMPTY,
            });
        }
        live.pass(partition, at..part.to.min(range.end));
        if part.to > range.end {
            missed += live.pass_fresh(partition, range.end, part.to);
        }
        if part.to < range.end {
            live.unclaim(&Claim {
                partition,
                range: part.to..range.end,
                due,
            });
        }
        group.counters.missed.fetch_add(missed, Relaxed);
        self.home.tell(live, dead, false);
        if items.is_empty() && part.gap.is_none() {
            return None;
        }
        let ack = Ack::new(self.home.clone(), base, items.len() as u32);
        let mut delivery = Delivery::new(items, ack);
        if let Some(due) = due {
            let wait = Duration::from_micros(due.saturating_sub(now).max(0) as u64).min(FAR);
            delivery = delivery.waiting_until(Instant::from_std(clock::instant()) + wait);
        }
        Some(match part.gap {
            Some(gap) => delivery.with_gap(Gap {
                missed: Some(missed),
                ..gap
            }),
            None => delivery,
        })
    }
}
impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.home.group.live().unclaim(&self.claim);
            self.home.group.woke.notify_waiters();
        }
    }
}

/// Where duties come home: on the settler's thread, whether or not anybody reads.
struct Home {
    shared: Arc<Shared>,
    group: Arc<Group>,
}
impl Home {
    /// Whoever has to know is told, after the lock was let go.
    fn tell(&self, mut live: std::sync::MutexGuard<'_, Live>, dead: bool, urgent: bool) {
        let write = live.wants_writing();
        drop(live);
        if write || urgent {
            let _closing = self.shared.intake.settle(self.group.clone(), urgent);
        }
        if dead {
            self.shared.dead.wake(&self.group);
        }
    }
}
impl Returns for Home {
    fn take_back(&self, settled: Settled) {
        let Settled { seqs, outcome, done } = settled;
        let group = &self.group;
        if matches!(outcome, Outcome::Extend(_)) {
            if let Some(done) = done {
                done.resolve(Ok(()));
            }
            return;
        }
        let over = if self.shared.herald.is_closed() {
            Some((Code::Draining, "the log is closed"))
        } else {
            group.is_deleted().then_some((Code::LeaseLost, "the group was removed"))
        };
        if let Some((code, text)) = over {
            if let Some(done) = done {
                done.resolve(Err(Error::new(code, Fault::Gateway, text)));
            }
            return;
        }
        let now = self.shared.limits.now();
        let later = |after: Duration| now.saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)).max(1);
        let deliveries = group.spec().deliveries;
        let urgent = done.is_some();
        let mut finished = false;
        let mut live = group.live();
        let before = live.rejected();
        if matches!(outcome, Outcome::Ack) {
            let count = live.done(seqs.clone());
            group.counters.done.fetch_add(count, Relaxed);
            finished = count > 0;
        }
        for seq in seqs {
            let fate = match &outcome {
                Outcome::Ack | Outcome::Extend(_) => break,
                Outcome::Requeue { after } => Fate::Again {
                    due: after.filter(|after| !after.is_zero()).map_or(0, later),
                    tried: true,
                },
                Outcome::Hold { until } => Fate::Again {
                    due: match until.into_std().saturating_duration_since(clock::instant()) {
                        Duration::ZERO => 0,
                        wait => later(wait),
                    },
                    tried: false,
                },
                Outcome::Reject { reason, error } => Fate::Dead {
                    reason: reason.clone(),
                    error: error.clone(),
                },
            };
            live.settle(seq, fate, deliveries, now);
        }
        let dead = live.rejected() - before;
        match done {
            // What comes again needs no confirmation: if the moment is lost it comes sooner.
            Some(done) if dead == 0 && matches!(outcome, Outcome::Requeue { .. } | Outcome::Hold { .. }) => done.resolve(Ok(())),
            Some(done) => live.confirm(done, dead, finished),
            None => {}
        }
        self.tell(live, dead > 0, urgent && finished);
        group.woke.notify_waiters();
    }
}
/// For tests of positions.
impl Member {
    /// Where a message of this group lies.
    pub fn position(&self, partition: u32, offset: u64) -> Position {
        Position {
            source: self.home.group.stream.number(),
            partition,
            offset: u128::from(offset),
        }
    }
}
