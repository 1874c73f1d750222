//! One subscriber's way through what it reads, on a task of its own: from its cursor to the head of a feed, where it takes a seat; or
//! alone, where the endpoint or a policy wants that.
use crate::{
    feed::{self, Permit, Seat, Taken},
    feeds::Feeds,
    flow::{self, Upstream},
    handle::RouteHandle,
    metrics::{Class, Offered, Present},
    route::Route,
    settings::Slow,
};
use bytes::{Bytes, BytesMut};
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    clock,
    delivery::Delivery,
    drain::Watch,
    ended::Ended,
    endpoint::{Limit, Start},
    error::{Code, Error, Fault, Result},
    exchange::Exchange,
    framing::Framing,
    position::{Cursor, Gap, Reason},
    settle::Ack,
};

/// What one step reads and writes at once.
pub const STEP: Limit = Limit {
    messages: 256,
    bytes: 64 << 10,
};

/// What a subscriber is to be told next.
pub enum Step {
    /// Frames of so many messages. They count as cut until [`Offered::written`].
    Frames(Bytes, Offered),
    /// Messages are missing, and its framing has no word for that.
    Gap(Gap),
    /// Nothing to tell: it stands at the head of a feed now, where others can do the rest.
    Seated,
    /// There is no more.
    Ended(Ended),
}
/// What a subscriber asks for.
pub struct Wish {
    /// The path it came by.
    pub route: RouteHandle,
    /// Who it is; admitted already.
    pub x: Exchange,
    /// Where it begins.
    pub start: Start,
    /// How it is spoken to.
    pub framing: &'static dyn Framing,
    /// By which entrypoint it came.
    pub entrypoint: &'static str,
    /// Ends it.
    pub drain: Watch,
}
/// A subscriber.
pub struct Follower {
    gate: Gate,
    way: Way,
    _present: Present,
}
/// What may end or change the way.
struct Gate {
    route: RouteHandle,
    drain: Watch,
}
struct Way {
    feeds: Arc<Feeds>,
    live: Arc<Route>,
    rest: Box<str>,
    x: Exchange,
    framing: &'static dyn Framing,
    class: Arc<Class>,
    source: Source,
    /// Behind what was handed out.
    cursor: Cursor,
    start: Start,
    /// Messages that may still be handed out; `None`: all.
    credit: Option<u64>,
    /// Read, and not handed out yet.
    pulled: Option<Pulled>,
    /// Memory for it, where it is much.
    room: Option<Permit>,
    /// There was none for so many bytes, so they were let go: they are to be read again.
    short_of: usize,
    /// The drain has begun: it ends at that number of its feed.
    until: Option<u64>,
}
struct Pulled {
    delivery: Delivery,
    /// Where the reader stands behind it, if that is further than its last message.
    cursor: Option<Cursor>,
    /// So many of the policies have seen it.
    policies: usize,
}
impl Pulled {
    fn new(delivery: Delivery, cursor: Option<Cursor>) -> Self {
        Self {
            delivery,
            cursor,
            policies: 0,
        }
    }
}
enum Source {
    /// For this subscriber only.
    Alone(Upstream),
    /// Reads what the feed no longer has, or never had.
    Behind(Upstream),
    /// The same, up to the place where a seat waits.
    Joining(Upstream, Seat),
    Seated(Seat),
    /// A shard has the seat.
    Away,
}
enum Interrupt {
    Drain,
    Changed,
    Expired,
}
impl Gate {
    async fn interrupted(&mut self, draining: bool, expires: Option<i64>) -> Interrupt {
        tokio::select! {
            biased;
            () = self.drain.started(), if !draining => Interrupt::Drain,
            () = self.route.changed() => Interrupt::Changed,
            () = until(expires) => Interrupt::Expired,
        }
    }
}
/// Until that moment, in microseconds since the epoch; `None`: for ever.
async fn until(at: Option<i64>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    let left = Duration::from_micros(at.saturating_sub(clock::now_us()).max(0) as u64);
    tokio::time::sleep(left).await;
}
impl Follower {
    /// What is wrong with the wish is told here, before anything is answered.
    pub async fn open(wish: Wish, credit: Option<u64>) -> Result<Self> {
        let gone = || Error::new(Code::NotFound, Fault::Client, "the api is gone");
        let live = wish.route.route().cloned().ok_or_else(gone)?;
        let class = live.metrics.class(wish.entrypoint);
        let present = class.enter();
        let mut way = Way {
            feeds: wish.route.world().feeds().clone(),
            rest: wish.route.rest().into(),
            x: wish.x,
            framing: wish.framing,
            class,
            source: Source::Away,
            cursor: Cursor::default(),
            start: wish.start.clone(),
            credit,
            pulled: None,
            room: None,
            short_of: 0,
            until: None,
            live,
        };
        way.begin(wish.start).await?;
        Ok(Self {
            gate: Gate {
                route: wish.route,
                drain: wish.drain,
            },
            way,
            _present: present,
        })
    }
    /// Waits until there is something to tell. An error ends the subscription. Cancel-safe.
    pub async fn next(&mut self) -> Result<Step> {
        loop {
            tokio::select! {
                biased;
                interrupt = self.gate.interrupted(self.way.until.is_some(), self.way.x.expires) => match interrupt {
                    Interrupt::Expired => return Ok(Step::Ended(Ended::Refused)),
                    Interrupt::Drain => self.way.until = Some(self.way.last().await),
                    Interrupt::Changed => if let Some(why) = self.rerouted().await? {
                        return Ok(Step::Ended(why));
                    },
                },
                step = self.way.next() => if let Some(step) = step? {
                    return Ok(step);
                }
            }
        }
    }
    /// Another route has taken the place of the one it came by.
    async fn rerouted(&mut self) -> Result<Option<Ended>> {
        let Some(new) = self.gate.route.route().cloned() else {
            return Ok(Some(Ended::ApiGone));
        };
        if flow::admit(&new, &mut self.way.x).await.is_err() {
            return Ok(Some(Ended::Refused));
        }
        let old = std::mem::replace(&mut self.way.live, new);
        if !old.reads_like(&self.way.live) {
            self.way.rest = self.gate.route.rest().into();
            self.way.leave_seat();
            // What was read and not handed out is read again.
            (self.way.pulled, self.way.short_of) = (None, 0);
            let seen = self.way.seen();
            let again = if seen.is_empty() {
                self.way.start.clone()
            } else {
                Start::After(seen)
            };
            self.way.begin(again).await?;
        }
        Ok(None)
    }
    /// Where it resumes.
    pub fn cursor(&mut self) -> Cursor {
        self.way.seen()
    }
    /// How many more messages may be handed out; `None`: their number is not limited.
    pub fn credit(&mut self) -> Option<&mut u64> {
        self.way.credit.as_mut()
    }
    /// Whether it stands near the head of a feed and nothing else is to be done, so that others can do the rest.
    pub fn is_seated(&self) -> bool {
        let way = &self.way;
        let near = matches!(&way.source, Source::Seated(seat) if seat.is_near_head());
        // A right that ends by itself is watched here.
        near && way.pulled.is_none() && way.x.expires.is_none() && !self.gate.drain.is_draining() && self.is_current()
    }
    /// Its seat, and up to which number messages may be taken. Until it is given back there is nothing to follow.
    pub(crate) fn leave(&mut self) -> Option<(Seat, u64)> {
        match std::mem::replace(&mut self.way.source, Source::Away) {
            Source::Seated(seat) => {
                let allowed = self.way.credit.map_or(u64::MAX, |credit| seat.number().saturating_add(credit));
                Some((seat, allowed))
            }
            source => {
                self.way.source = source;
                None
            }
        }
    }
    pub(crate) fn take_back(&mut self, seat: Seat, allowed: u64) {
        if let Some(credit) = &mut self.way.credit {
            *credit = allowed.saturating_sub(seat.number());
        }
        self.way.source = Source::Seated(seat);
    }
    /// Whether nothing has happened to its route.
    pub fn is_current(&self) -> bool {
        self.gate.route.is_current()
    }
    /// By which it counts.
    pub fn class(&self) -> &Arc<Class> {
        &self.way.class
    }
}
impl Way {
    async fn begin(&mut self, start: Start) -> Result<()> {
        if !flow::is_broadcast(&self.live) {
            let from = flow::consume(&self.live, &self.rest, start).await?;
            self.cursor = from.cursor().unwrap_or_default();
            self.source = Source::Alone(from);
            return Ok(());
        }
        if start != Start::Latest {
            let mut from = flow::consume(&self.live, &self.rest, start).await?;
            if let Some(cursor) = from.cursor() {
                self.cursor = cursor;
                self.source = Source::Behind(from);
                return Ok(());
            }
            // Nothing can be read again here. Who asked for that is told so, and hears what comes.
            let told = from.ready(STEP).await?.and_then(|delivery| delivery.gap().cloned());
            self.pulled = told.map(|gap| Pulled::new(Delivery::new(Vec::new(), Ack::none()).with_gap(gap), None));
        }
        self.sit(self.feeds.seat(&self.live, &self.rest, self.framing, &self.class).await?);
        self.cursor = self.seen();
        Ok(())
    }
    /// Where it ends now that the gateway does: what is only live is handed out, for nobody can come back for it.
    async fn last(&mut self) -> u64 {
        match &mut self.source {
            Source::Seated(seat) if !seat.feed().resumes() => seat.feed().look().await.map_or(0, |(number, _)| number),
            _ => 0,
        }
    }
    fn is_over(&self) -> bool {
        match (&self.source, self.until) {
            (Source::Seated(seat), Some(until)) => seat.number() >= until || self.credit == Some(0),
            (_, until) => until.is_some(),
        }
    }
    fn sit(&mut self, mut seat: Seat) {
        seat.occupy();
        self.source = Source::Seated(seat);
    }
    fn seen(&mut self) -> Cursor {
        if let Source::Seated(seat) = &self.source {
            self.cursor = Cursor::clone(seat.cursor());
        }
        self.cursor.clone()
    }
    /// `None`: look again. Cancel-safe: what was read waits until it is handed out.
    async fn next(&mut self) -> Result<Option<Step>> {
        if self.is_over() {
            return Ok(Some(Step::Ended(Ended::Draining)));
        }
        if self.pulled.is_some() {
            return self.hand_out().await;
        }
        if self.credit == Some(0) {
            std::future::pending::<()>().await;
        }
        if self.short_of > 0 {
            if self.room.is_none() {
                self.room = self.feeds.room().wait(self.short_of).await;
            }
            let again = Start::After(self.cursor.clone());
            self.source = Source::Behind(flow::consume(&self.live, &self.rest, again).await?);
            self.short_of = 0;
            return Ok(None);
        }
        let credit = self.credit.map_or(u32::MAX, |credit| u32::try_from(credit).unwrap_or(u32::MAX));
        let limit = Limit {
            messages: STEP.messages.min(credit),
            bytes: STEP.bytes,
        };
        match &mut self.source {
            Source::Alone(from) => {
                let Some(delivery) = from.next(limit).await? else {
                    return Ok(Some(Step::Ended(Ended::SourceEnded)));
                };
                self.pulled = Some(Pulled::new(delivery, from.cursor()));
                self.hand_out().await
            }
            Source::Behind(from) => {
                let before = from.cursor();
                let ready = {
                    let _turn = self.feeds.catching_up().acquire().await;
                    from.ready(limit).await?
                };
                let now = from.cursor();
                if let Some(delivery) = ready {
                    let bytes = delivery.items().iter().map(|item| item.message.payload.len()).sum();
                    if self.room.is_none() {
                        match self.feeds.room().take(bytes) {
                            Ok(room) => self.room = room,
                            // Read again when there is room: what waits for a client that does not read would fill all there is.
                            Err(_full) => {
                                self.short_of = bytes;
                                return Ok(None);
                            }
                        }
                    }
                    self.pulled = Some(Pulled::new(delivery, now));
                    return self.hand_out().await;
                }
                if let Some(now) = now.filter(|now| Some(now) != before.as_ref()) {
                    // It has passed over much that is not wanted, and there may be more behind.
                    self.cursor = now;
                    return Ok(None);
                }
                // All there was is handed out.
                let seat = self.feeds.seat(&self.live, &self.rest, self.framing, &self.class).await?;
                let seen = from.cursor().unwrap_or_default();
                // A feed that could not come so far, for its publishers are faster, would tell again what was told.
                if seen.iter().all(|place| seat.cursor().covers(place))
                    && let Source::Behind(from) = std::mem::replace(&mut self.source, Source::Away)
                {
                    self.source = Source::Joining(from, seat);
                }
                Ok(None)
            }
            Source::Joining(from, seat) => {
                let goal = seat.cursor().clone();
                let before = from.cursor();
                let seen = before.clone().unwrap_or_default();
                // What lies behind the goal comes by the seat.
                let reached = goal.iter().all(|place| seen.covers(place));
                let ready = if reached {
                    None
                } else {
                    let _turn = self.feeds.catching_up().acquire().await;
                    from.ready(limit).await?
                };
                if let Some(mut delivery) = ready {
                    delivery.retain(|item| item.position.is_none_or(|place| goal.covers(place)));
                    self.pulled = Some(Pulled::new(delivery, None));
                    return self.hand_out().await;
                }
                if !reached && from.cursor() != before {
                    return Ok(None);
                }
                self.cursor = Cursor::clone(&goal);
                if let Source::Joining(_, seat) = std::mem::replace(&mut self.source, Source::Away) {
                    self.sit(seat);
                }
                Ok(Some(Step::Seated))
            }
            Source::Seated(seat) => match seat.take(u64::from(limit.messages), limit.bytes as usize) {
                Taken::Run(run) => {
                    let messages = run.ends.len() as u64;
                    self.spend(messages);
                    Ok(Some(Step::Frames(run.bytes, self.class.offer(messages))))
                }
                Taken::Gap(gap, ..) => Ok(Some(self.missing(gap))),
                Taken::Nothing => Ok((!seat.more().await?).then_some(Step::Ended(Ended::SourceEnded))),
                Taken::Behind => self.fell_behind().await,
            },
            Source::Away => std::future::pending().await,
        }
    }
    fn spend(&mut self, messages: u64) {
        if let Some(credit) = &mut self.credit {
            *credit = credit.saturating_sub(messages);
        }
    }
    /// The ring has forgotten what comes next.
    async fn fell_behind(&mut self) -> Result<Option<Step>> {
        let Source::Seated(seat) = &mut self.source else { return Ok(None) };
        match self.live.api.slow {
            Slow::Close => return Ok(Some(Step::Ended(Ended::TooSlow))),
            Slow::CatchUp if seat.feed().resumes() => {
                let cursor = Cursor::clone(seat.cursor());
                let from = flow::consume(&self.live, &self.rest, Start::After(cursor)).await?;
                self.leave_seat();
                self.source = Source::Behind(from);
                return Ok(None);
            }
            Slow::CatchUp | Slow::Gap => {}
        }
        let (missed, from, to) = seat.skip();
        let gap = Gap {
            from,
            to,
            reason: Reason::TooSlow,
            missed: Some(missed),
        };
        Ok(Some(self.missing(gap)))
    }
    /// What it has not taken yet is read elsewhere.
    fn leave_seat(&mut self) {
        self.cursor = self.seen();
        if let Source::Seated(seat) = &mut self.source {
            seat.vacate();
        }
    }
    fn missing(&mut self, gap: Gap) -> Step {
        self.cursor.pass(&gap);
        self.class.skip(gap.count());
        let mut out = BytesMut::new();
        if self.framing.gap(&gap, &mut out) {
            Step::Frames(out.freeze(), self.class.offer(0))
        } else {
            Step::Gap(gap)
        }
    }
    /// What was read, past the policies, as frames.
    async fn hand_out(&mut self) -> Result<Option<Step>> {
        let Some(pulled) = &mut self.pulled else { return Ok(None) };
        while let Some(policy) = self.live.policies.get(pulled.policies) {
            policy.deliver(&self.x, &mut pulled.delivery).run().await?;
            pulled.policies += 1;
        }
        let Some(Pulled { delivery, cursor, .. }) = self.pulled.take() else {
            return Ok(None);
        };
        let mut out = BytesMut::new();
        if let Some(gap) = delivery.gap() {
            self.cursor.pass(gap);
            self.class.skip(gap.count());
            if !self.framing.gap(gap, &mut out) {
                return Ok(Some(Step::Gap(gap.clone())));
            }
        }
        let messages = delivery.items().len() as u64;
        for item in delivery.items() {
            feed::write(self.framing, item, &mut self.cursor, &mut out);
        }
        delivery.accept();
        if let Some(cursor) = cursor {
            self.cursor = cursor;
        }
        self.spend(messages);
        let room = self.room.take();
        Ok((!out.is_empty()).then(|| Step::Frames(out.freeze(), self.class.offer(messages).within(room))))
    }
}
