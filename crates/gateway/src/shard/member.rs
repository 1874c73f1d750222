//! One socket of a shard: a seat, and at most the rest of a frame that was cut.
use super::{Pulse, desk::Bell, group::Runs};
use crate::{
    feed::{Seat, Taken},
    follower::Follower,
    metrics::Offered,
};
use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tidegate_core::{framing::Heard, tasks};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's socket.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {
    /// How long bytes may be under way without the client's machine taking them, before the connection counts as broken.
    fn allow(&mut self, unacknowledged: Duration);
}
/// What a socket is when a shard has no use for it.
pub trait Keeper: Send + 'static {
    /// The subscriber, whose seat the shard has.
    fn follower(&mut self) -> &mut Follower;
    /// Goes on with the connection, which then is nobody else's.
    fn take_back(self: Box<Self>, returned: Returned) -> BoxFuture<'static, ()>;
}
/// A socket on its way into a shard.
pub struct Member {
    /// Nothing else is being written.
    pub io: Box<dyn Io>,
    /// Goes before all frames.
    pub first: Bytes,
    /// Gets it back. Its follower must be seated.
    pub keeper: Box<dyn Keeper>,
    /// What is expected of the client.
    pub manners: Manners,
    /// What is known of it.
    pub pulse: Pulse,
    pub(super) seat: Seat,
    pub(super) allowed: u64,
}
/// What is expected of a client.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// A sign of life is given after this long without one.
    pub heartbeat: Duration,
    /// The client has to answer that sign, and has gone if it does not: see [`Pulse::has_stopped`].
    pub answers: bool,
    /// How long a client may take nothing while there is something.
    pub stall: Duration,
}
impl Member {
    /// `None`: the follower is not near the head of a feed, as it says of itself.
    pub fn new(io: Box<dyn Io>, first: Bytes, mut keeper: Box<dyn Keeper>, manners: Manners, pulse: Pulse) -> Option<Self> {
        let (seat, allowed) = keeper.follower().leave()?;
        Some(Self {
            io,
            first,
            keeper,
            manners,
            pulse,
            seat,
            allowed,
        })
    }
}
/// A socket on its way back.
pub struct Returned {
    /// As it is.
    pub io: Box<dyn Io>,
    /// What must be written before anything else: the rest of a frame.
    pub rest: Bytes,
    /// It counts as cut until it is written.
    pub owed: Option<Offered>,
    /// What the client has said.
    pub read: Vec<u8>,
    /// What is known of it.
    pub pulse: Pulse,
    /// The client took nothing for too long.
    pub stalled: bool,
}

/// What becomes of a socket.
pub(super) enum Fate {
    Stay,
    /// The client has gone.
    Gone,
    /// Back to its keeper, with what the client has said.
    Return(Vec<u8>),
    /// It took nothing for too long.
    Stalled,
}
pub(super) struct Resident {
    io: Box<dyn Io>,
    keeper: Box<dyn Keeper>,
    seat: Seat,
    allowed: u64,
    group: usize,
    bell: Arc<Bell>,
    waker: Waker,
    /// The rest of what was cut, and whether it is the end of a message.
    rest: Bytes,
    owed: Option<Offered>,
    /// Since when nothing more could be written.
    blocked: Option<Instant>,
    /// What its socket was told: to be patient or not. Most that come and go at once are told nothing.
    patient: Option<bool>,
    pulse: Pulse,
    /// Our last sign of life: any frame, or where it has to answer only what it has to answer.
    spoken: Instant,
    beaten: Instant,
    manners: Manners,
}
impl Resident {
    pub(super) fn new(member: Member, group: usize, bell: Arc<Bell>, now: Instant) -> Self {
        Self {
            io: member.io,
            keeper: member.keeper,
            seat: member.seat,
            allowed: member.allowed,
            group,
            waker: bell.clone().into(),
            bell,
            rest: member.first,
            owed: None,
            blocked: None,
            patient: None,
            pulse: member.pulse,
            spoken: now,
            beaten: now,
            manners: member.manners,
        }
    }
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }
    /// Before it leaves its group.
    pub(super) fn leave_alone(&mut self) {
        self.seat.leave_alone();
    }
    pub(super) fn group(&self) -> usize {
        self.group
    }
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }
    pub(super) fn is_current(&mut self) -> bool {
        self.keeper.follower().is_current()
    }
    /// What the client has said, until there is no more for now.
    pub(super) fn listen(&mut self, scratch: &mut [u8], now: Instant) -> Fate {
        self.bell.heard();
        let mut cx = Context::from_waker(&self.waker);
        loop {
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut self.io).poll_read(&mut cx, &mut buf) {
                Poll::Pending => return Fate::Stay,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.pulse.heard(now);
                    if self.seat.framing().heard(buf.filled()) == Heard::Words {
                        return Fate::Return(buf.filled().to_vec());
                    }
                }
                Poll::Ready(Ok(()) | Err(_)) => return Fate::Gone,
            }
        }
    }
    /// What is new, as far as the socket takes it.
    pub(super) fn write(&mut self, head: u64, runs: &mut Runs, now: Instant) -> Fate {
        if !self.finish_frame(now) {
            return self.fate();
        }
        loop {
            let to = head.min(self.allowed);
            let run = match runs.of(&self.seat, to) {
                Taken::Run(run) => run,
                Taken::Nothing if self.seat.feed().has_ended() && self.seat.number() >= self.seat.feed().head() => {
                    return Fate::Return(Vec::new());
                }
                Taken::Nothing => return Fate::Stay,
                // It needs words of its own, or another reader.
                Taken::Gap(..) | Taken::Behind => return Fate::Return(Vec::new()),
            };
            let (before, mut done) = (self.seat.number(), 0);
            let mut cx = Context::from_waker(&self.waker);
            while let Some(left) = run.bytes.get(done..).filter(|left| !left.is_empty()) {
                match Pin::new(&mut self.io).poll_write(&mut cx, left) {
                    Poll::Ready(Ok(written @ 1..)) => {
                        done += written;
                        self.pulse.sent(written);
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Fate::Gone,
                    Poll::Pending => {
                        let whole = run.ends.partition_point(|end| *end as usize <= done);
                        let cut = run.ends.get(whole).map_or(0, |end| *end as usize);
                        let begun = whole
                            .checked_sub(1)
                            .and_then(|last| run.ends.get(last))
                            .map_or(0, |end| *end as usize)
                            < done;
                        self.seat.class().pass(whole as u64);
                        let mut number = before + whole as u64;
                        if begun {
                            // Of memory of its own, so that nothing shared is kept for a client that may never read. Where there is
                            // none for it, it has to come back.
                            let rest = run.bytes.get(done..cut).unwrap_or_default();
                            let Ok(room) = self.seat.feed().room().take(rest.len()) else {
                                return Fate::Gone;
                            };
                            self.rest = Bytes::copy_from_slice(rest);
                            self.owed = Some(self.seat.class().offer(1).within(room));
                            number += 1;
                        }
                        self.seat.advance(number, run.cursor_at(number));
                        self.blocked = Some(now);
                        return Fate::Stay;
                    }
                }
            }
            self.seat.class().pass(run.ends.len() as u64);
            self.seat.advance(run.to, run.cursor.clone());
            self.spoken = now;
        }
    }
    /// Whether nothing of a cut frame is left.
    fn finish_frame(&mut self, now: Instant) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        while !self.rest.is_empty() {
            match Pin::new(&mut self.io).poll_write(&mut cx, &self.rest) {
                Poll::Ready(Ok(written @ 1..)) => {
                    self.rest.advance(written);
                    self.pulse.sent(written);
                    self.blocked = Some(now);
                }
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.blocked = None;
                    return false;
                }
                Poll::Pending => {
                    self.blocked.get_or_insert(now);
                    return false;
                }
            }
        }
        // Empty it would still hold what it was cut from.
        self.rest = Bytes::new();
        self.owed.take().into_iter().for_each(Offered::written);
        self.blocked = None;
        true
    }
    /// After a frame that could not be finished.
    fn fate(&self) -> Fate {
        if self.blocked.is_some() { Fate::Stay } else { Fate::Gone }
    }
    /// Once in a while: a sign of life if it is time, and whether the client still gives any.
    pub(super) fn beat(&mut self, now: Instant) -> Fate {
        // Who reads slowly may say so by a shut window, which is no broken line.
        let patient = Some(self.blocked.is_some());
        if self.patient != patient {
            self.patient = patient;
            self.io.allow(if self.blocked.is_some() {
                self.manners.stall
            } else {
                self.manners.heartbeat * 2
            });
        }
        if self
            .blocked
            .is_some_and(|since| now.saturating_duration_since(since) >= self.manners.stall)
        {
            return Fate::Stalled;
        }
        if self.blocked.is_some() {
            self.pulse.held_up(now);
            return Fate::Stay;
        }
        if self.manners.answers && self.pulse.has_stopped(now, &self.manners) {
            return Fate::Gone;
        }
        let silence = if self.manners.answers {
            self.pulse.silence(now)
        } else {
            now.saturating_duration_since(self.spoken)
        };
        if silence.min(now.saturating_duration_since(self.beaten)) < self.manners.heartbeat {
            return Fate::Stay;
        }
        self.beaten = now;
        self.pulse.asked();
        let mut out = BytesMut::new();
        self.seat.framing().beat(&mut out);
        self.rest = out.freeze();
        if self.finish_frame(now) { Fate::Stay } else { self.fate() }
    }
    /// Leaves the shard.
    pub(super) fn go(mut self, fate: Fate) {
        let (read, stalled) = match fate {
            Fate::Return(read) => (read, false),
            Fate::Stalled => (Vec::new(), true),
            Fate::Stay | Fate::Gone => return,
        };
        // A connection that is being caught up with is not judged by its heartbeats.
        self.io.allow(self.manners.stall);
        self.keeper.follower().take_back(self.seat, self.allowed);
        tasks::detach(self.keeper.take_back(Returned {
            io: self.io,
            rest: self.rest,
            owed: self.owed,
            read,
            pulse: self.pulse,
            stalled,
        }));
    }
}
