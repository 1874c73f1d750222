//! One WebSocket, from its handshake to its close: what the client says, what it is told, and when it is given up.
mod resting;

use super::{
    Form,
    incoming::{End, Incoming},
    told,
    words::{self, MOST_CREDIT, Reference, Word},
    worker::{self, Join, Worker},
};
use crate::{
    http::{
        batch::Stamp,
        call::Call,
        flight::{Aboard, Flight},
        line::{Line, held_up},
        service::Gateway,
        timing::{self, Times},
    },
    listener::Client,
};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use std::{any::Any, sync::Arc, time::Duration};
use tidegate_core::{
    clock,
    drain::Watch,
    ended::Ended,
    endpoint::{Publish, Start},
    error::{Code, Error, Fault, Result},
    exchange::Exchange,
    headers::Headers,
    message::Message,
    receipt::{Kept, Level},
};
use tidegate_gateway::{
    flow,
    follower::{Follower, Step, Wish},
    handle::RouteHandle,
    leases::Settlement,
    metrics::Offered,
    route::Route,
    settings::WebSocket,
    shard::{Io, Manners, Pulse, Shards},
    world::World,
};
use tidegate_wire::websocket::{Kind, close::CloseCode, frame, reader::Event};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

/// Publishes of one client that wait for their receipts; with more it is not listened to.
const WAITING: usize = 1_024;
/// How long a client may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Session {
    form: Form,
    settings: WebSocket,
    message: usize,
    manners: Manners,
    world: Arc<World>,
    flight: Arc<Flight>,
    shards: Arc<Shards>,
    drain: Watch,
    route: RouteHandle,
    host: Box<str>,
    path: Box<str>,
    rest: Box<str>,
    request_id: String,
    x: Exchange,
    subscription: Option<Follower>,
    /// The same as a member of a group.
    worker: Option<Worker>,
    settling: FuturesOrdered<BoxFuture<'static, Settled>>,
    receipts: FuturesOrdered<BoxFuture<'static, Answer>>,
    pulse: Pulse,
    /// The connection.
    _open: Option<Box<dyn Any + Send>>,
}
/// What came of one publish.
struct Answer {
    reference: Reference,
    id: Option<Bytes>,
    kept: Result<Kept>,
    _aboard: Aboard,
}
/// What came of leases that were settled.
type Settled = (Reference, Result<worker::Settled>);
/// Why nobody listens to the client any more.
enum Over {
    /// The client has gone.
    Gone,
    Close(CloseCode, String),
    /// The client said goodbye, and has its answer.
    Answered,
    /// It only reads, as many do: a shard takes it.
    Rest,
}

impl Session {
    pub(super) fn new(call: &Call<'_>, form: Form, settings: &WebSocket, gateway: &Gateway, route: RouteHandle, x: Exchange) -> Self {
        Self {
            form,
            settings: settings.clone(),
            message: usize::try_from(gateway.settings.ws_message).unwrap_or(usize::MAX),
            manners: Manners {
                heartbeat: settings.heartbeat,
                answers: true,
                stall: gateway.settings.stall,
            },
            world: gateway.world.clone(),
            flight: gateway.flight.clone(),
            shards: gateway.shards.clone(),
            drain: gateway.drain.clone(),
            route,
            host: call.host.into(),
            path: call.path.into(),
            rest: call.rest.into(),
            request_id: call.request_id(),
            x,
            subscription: None,
            worker: None,
            settling: FuturesOrdered::new(),
            receipts: FuturesOrdered::new(),
            pulse: Pulse::new(clock::instant()),
            _open: None,
        }
    }
    /// From now on the client is given messages.
    pub(super) async fn subscribe(&mut self, start: Start, credit: Option<u32>) -> Result<()> {
        let (route, _, x) = self.may_subscribe().await?;
        let wish = Wish {
            route,
            x,
            start,
            framing: self.form.framing(),
            entrypoint: "websocket",
            drain: self.drain.clone(),
        };
        self.subscription = Some(Follower::open(wish, credit.map(u64::from)).await?);
        Ok(())
    }
    async fn may_subscribe(&mut self) -> Result<(RouteHandle, Arc<Route>, Exchange)> {
        let refused = |why: &'static str| Err(Error::client(Code::BadFrame, why));
        if !self.settings.subscribe {
            return refused("this api gives no messages over WebSocket");
        }
        if self.subscription.is_some() || self.worker.is_some() {
            return refused("there is a subscription already");
        }
        let gone = || Error::client(Code::NotFound, "the api is gone");
        let route = RouteHandle::new(&self.world, &self.host, &self.path).ok_or_else(gone)?;
        let live = route.route().cloned().ok_or_else(gone)?;
        let mut x = Exchange::new(live.name.clone());
        (x.peer, x.trace) = (self.x.peer, self.x.trace);
        flow::admit(&live, &mut x).await?;
        Ok((route, live, x))
    }
    /// From now on the client is given messages of a group, each on a lease.
    async fn join(&mut self, wish: Join) -> Result<()> {
        let Form::Json(parts) = self.form else {
            return Err(Error::client(Code::BadFrame, "a group needs the subprotocol"));
        };
        let (_, live, x) = self.may_subscribe().await?;
        self.worker = Some(Worker::open(live, &self.rest, x, parts, wish).await?);
        Ok(())
    }
    fn settle(&mut self, reference: Reference, settlements: Vec<Settlement<'static>>) -> Result<()> {
        let none = || Error::client(Code::BadFrame, "there is no subscription with `group`, so no leases");
        let settled = self.worker.as_ref().ok_or_else(none)?.settle(settlements);
        self.settling.push_back(settled.map(|settled| (reference, settled)).boxed());
        Ok(())
    }
    pub(super) async fn begin(self, client: Client) {
        let open = Some(client.open);
        let mut session = Self { _open: open, ..self };
        match session.subscription.take() {
            // All that most ever do.
            Some(follower) if client.read.is_empty() && follower.is_seated() => session.rest(follower, client.io),
            follower => {
                session.subscription = follower;
                session.run(client.io, client.read.to_vec(), Bytes::new(), None).await;
            }
        }
    }
    /// Until the client or the gateway ends it, or it needs no task of its own. `read` has come already, `rest` goes before all else.
    async fn run(mut self, io: Box<dyn Io>, read: Vec<u8>, rest: Bytes, owed: Option<Offered>) {
        let (mut reading, writing) = tokio::io::split(io);
        let (mut line, waiting) = Line::new();
        let mut written = Box::pin(waiting.write(writing, self.manners.stall));
        let mut incoming = Incoming::new(&read, self.message);
        let drain = self.drain.clone();
        let over = tokio::select! {
            biased;
            over = self.serve(&mut reading, &mut line, &mut incoming, rest, owed) => over,
            // What it does not take holds up nobody's end.
            () = held_up(drain) => Over::Gone,
            _ = &mut written => Over::Gone,
        };
        self.pulse.sent(line.taken());
        drop(line);
        match over {
            Over::Gone => {}
            Over::Rest => {
                // Nothing waits, so this is at once.
                if let (Ok(writing), Some(follower)) = (written.await, self.subscription.take()) {
                    self.rest(follower, reading.unsplit(writing));
                }
            }
            Over::Close(..) | Over::Answered => {
                // What was published goes on without anybody waiting for it; who read is no longer there.
                drop((self.subscription.take(), self.worker.take(), std::mem::take(&mut self.receipts)));
                let going = async {
                    written.await?.shutdown().await?;
                    // Closing on what the client still sends would cost it the close frame.
                    let mut thrown_away = [0; 1 << 10];
                    while reading.read(&mut thrown_away).await? > 0 {}
                    Ok::<_, std::io::Error>(())
                };
                let _late_or_gone = timeout(FAREWELL, going).await;
            }
        }
    }
    async fn serve(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        line: &mut Line,
        incoming: &mut Incoming,
        rest: Bytes,
        owed: Option<Offered>,
    ) -> Over {
        if line.send(rest, owed).await.is_err() {
            return Over::Gone;
        }
        let over = self.listen(socket, line, incoming).await;
        if let Over::Close(code, reason) = &over {
            // Nothing that was taken is left unanswered.
            while let Some(answer) = self.receipts.next().await {
                if self.answer(answer, line).await.is_err() {
                    return Over::Gone;
                }
            }
            while let Some(settled) = self.settling.next().await {
                if self.told_settled(settled, line).await.is_err() {
                    return Over::Gone;
                }
            }
            line.last(told::close(Some(*code), reason)).await;
        }
        over
    }
    async fn listen(&mut self, socket: &mut (impl AsyncRead + Unpin), line: &mut Line, incoming: &mut Incoming) -> Over {
        let every = self.manners.heartbeat;
        let mut beat = interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Who talks is listened to here until it was silent for a while.
        let mut silent = true;
        loop {
            let waits = !line.is_idle();
            if silent
                && !waits
                && incoming.is_at_rest()
                && self.receipts.is_empty()
                && self.subscription.as_ref().is_some_and(Follower::is_seated)
            {
                return Over::Rest;
            }
            let listening = self.receipts.len() + self.settling.len() < WAITING;
            let subscribed = self.subscription.is_some();
            let subscription = async {
                match &mut self.subscription {
                    // One step at a time: what a slow client has not taken waits on disk.
                    Some(follower) => {
                        line.idle().await;
                        follower.next().await
                    }
                    None => std::future::pending().await,
                }
            };
            let work = worker::step(&mut self.worker, line);
            tokio::select! {
                biased;
                // With a subscription it is that which sees these two.
                () = self.drain.started(), if !subscribed => return self.go_away(line, Ended::Draining).await,
                () = self.route.changed(), if !subscribed => {
                    if let Some(over) = self.admitted_again(line).await {
                        return over;
                    }
                }
                step = subscription => if let Err(over) = self.tell(step, line).await {
                    return over;
                },
                worked = work => if let Err(over) = self.worked(worked, line).await {
                    return over;
                },
                Some(settled) = self.settling.next(), if !self.settling.is_empty() => {
                    if let Err(over) = self.told_settled(settled, line).await {
                        return over;
                    }
                }
                Some(answer) = self.receipts.next(), if !self.receipts.is_empty() => {
                    if let Err(over) = self.answer(answer, line).await {
                        return over;
                    }
                }
                event = incoming.next(socket), if listening => {
                    self.pulse.sent(line.taken());
                    self.pulse.heard(clock::instant());
                    silent = false;
                    if let Err(error) = incoming.weigh(&self.flight) {
                        return closing(&error);
                    }
                    let event = match event {
                        Ok(Some(event)) => event,
                        Ok(None) => continue,
                        Err(End::Gone) => return Over::Gone,
                        Err(End::Broken(code, reason)) => return Over::Close(code, reason),
                    };
                    let reading = subscribed;
                    if let Err(over) = self.take(event, line).await {
                        return over;
                    }
                    // A subscription that has just begun is all that most have to say.
                    silent = !reading && self.subscription.is_some();
                }
                () = line.idle(), if silent && waits => {}
                _ = beat.tick() => {
                    self.pulse.sent(line.taken());
                    if !line.is_idle() {
                        // What is being written has its own patience.
                        self.pulse.held_up(clock::instant());
                    } else if self.pulse.has_stopped(clock::instant(), &self.manners) {
                        return Over::Gone;
                    } else if self.pulse.silence(clock::instant()) >= every / 2 {
                        silent = true;
                        self.pulse.asked();
                        let mut out = BytesMut::new();
                        frame::ping(b"", &mut out);
                        line.try_send(out.freeze());
                    }
                }
            }
        }
    }
    /// One step of the subscription.
    async fn tell(&mut self, step: Result<Step>, line: &mut Line) -> Result<(), Over> {
        let step = match step {
            Ok(step) => step,
            Err(error) => {
                self.subscription = None;
                return Err(self.fail(None, &error, line).await.unwrap_or(closing(&error)));
            }
        };
        match step {
            Step::Frames(bytes, offered) => line.send(bytes, Some(offered)).await.map_err(|_| Over::Gone),
            Step::Seated => Ok(()),
            Step::Gap(gap) => {
                // Coming back with the same place would meet the same gap: the reason says where to go on.
                let on = if gap.to.is_empty() {
                    "the beginning".to_owned()
                } else {
                    gap.to.to_string()
                };
                let reason = format!("gap ({}): messages are missing, go on after {on}", gap.reason.as_str());
                Err(Over::Close(CloseCode::TRY_LATER, reason))
            }
            Step::Ended(why) => {
                self.subscription = None;
                Err(self.go_away(line, why).await)
            }
        }
    }
    /// Messages of the group.
    async fn worked(&mut self, worked: Result<Option<(Bytes, Offered)>>, line: &mut Line) -> Result<(), Over> {
        match worked {
            Ok(Some((bytes, offered))) => line.send(bytes, Some(offered)).await.map_err(|_| Over::Gone),
            Ok(None) => {
                self.worker = None;
                Err(self.go_away(line, Ended::SourceEnded).await)
            }
            Err(error) => {
                self.worker = None;
                Err(self.fail(None, &error, line).await.unwrap_or(closing(&error)))
            }
        }
    }
    async fn told_settled(&mut self, (reference, settled): Settled, line: &Line) -> Result<(), Over> {
        match settled {
            Ok((settlements, verdicts)) => {
                let told = told::settled(reference.as_deref(), &settlements, &verdicts);
                line.send(told, None).await.map_err(|_| Over::Gone)
            }
            Err(error) => self.fail(reference.as_deref(), &error, line).await.map_or(Ok(()), Err),
        }
    }
    async fn go_away(&mut self, line: &Line, why: Ended) -> Over {
        if matches!(self.form, Form::Json(_)) {
            // A client that is not there needs no word.
            let _gone = line.send(told::goaway(why), None).await;
        }
        Over::Close(told::code(why), why.as_str().to_owned())
    }
    /// The route has changed: whether the client may stay.
    async fn admitted_again(&mut self, line: &Line) -> Option<Over> {
        let Some(route) = self.route.route().cloned() else {
            return Some(self.go_away(line, Ended::ApiGone).await);
        };
        if self.worker.as_ref().is_some_and(|worker| !worker.route.reads_like(&route)) {
            // Its group is another one now.
            return Some(self.go_away(line, Ended::ApiGone).await);
        }
        let refused = flow::admit(&route, &mut self.x).await.is_err();
        match &route.api.websocket {
            Some(settings) if !refused => {
                self.settings = settings.clone();
                None
            }
            _ => Some(Over::Close(CloseCode::POLICY, Ended::Refused.as_str().to_owned())),
        }
    }
    async fn take(&mut self, event: Event, line: &mut Line) -> Result<(), Over> {
        match event {
            Event::Message { kind, payload } => match self.form {
                Form::Plain => match self.publish(None, Message::new(self.topic()?, payload), None, None).await {
                    Ok(()) => Ok(()),
                    Err(error) => Err(closing(&error)),
                },
                Form::Json(_) if kind == Kind::Binary => {
                    let error = Error::client(Code::BadFrame, "the subprotocol is spoken in text messages");
                    self.fail(None, &error, line).await.map_or(Ok(()), Err)
                }
                Form::Json(_) => self.hear(&payload, line).await,
            },
            Event::Ping(payload) => {
                let mut out = BytesMut::new();
                frame::pong(&payload, &mut out);
                line.send(out.freeze(), None).await.map_err(|_| Over::Gone)
            }
            Event::Pong(_) => Ok(()),
            Event::Close { code, .. } => {
                line.last(told::close(code, "")).await;
                Err(Over::Answered)
            }
        }
    }
    fn topic(&self) -> Result<tidegate_core::topic::Topic, Over> {
        let target = self.route.route().and_then(|route| route.publish.as_ref());
        let target = target
            .filter(|_| self.settings.publish)
            .ok_or_else(|| closing(&Error::client(Code::MethodNotAllowed, "this api takes no messages over WebSocket")))?;
        target.topic(&self.rest).map_err(|error| closing(&error))
    }
    async fn hear(&mut self, text: &Bytes, line: &Line) -> Result<(), Over> {
        let topic = self
            .route
            .route()
            .and_then(|route| route.publish.as_ref())
            .map(|target| target.topic(&self.rest));
        let stamp = Stamp {
            // Without one nothing is published, and that is told.
            topic: topic.and_then(Result::ok).unwrap_or_else(|| "".into()),
            key: None,
            id: None,
            headers: Headers::EMPTY,
            times: Times::default(),
        };
        let (reference, word) = words::parse(text, &stamp);
        let done = match word {
            Ok(Word::Publish(message, level, partition)) => self.publish(reference.clone(), *message, level, partition).await,
            Ok(Word::Subscribe(start, credit)) => match self.subscribe(start, credit).await {
                Ok(()) => return self.begun(reference.as_deref(), line).await,
                Err(error) => Err(error),
            },
            Ok(Word::Join(wish)) => match self.join(wish).await {
                Ok(()) => return self.begun(reference.as_deref(), line).await,
                Err(error) => Err(error),
            },
            Ok(Word::Credit(n)) => self.grant(n),
            Ok(Word::Settle(settlements)) => self.settle(reference.clone(), settlements),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => self.fail(reference.as_deref(), &error, line).await.map_or(Ok(()), Err),
        }
    }
    /// Where the subscription begins: who is cut before the first message comes back with that.
    async fn begun(&mut self, reference: Option<&str>, line: &Line) -> Result<(), Over> {
        let cursor = self.subscription.as_mut().map(Follower::cursor).unwrap_or_default();
        line.send(told::subscribed(reference, &cursor), None).await.map_err(|_| Over::Gone)
    }
    fn grant(&mut self, n: u32) -> Result<()> {
        if let Some(worker) = &mut self.worker {
            return worker.grant(n);
        }
        let credit = self.subscription.as_mut().and_then(Follower::credit);
        let Some(credit) = credit else {
            return Err(Error::client(Code::BadFrame, "there is no subscription with `credit`"));
        };
        if *credit + u64::from(n) > u64::from(MOST_CREDIT) {
            return Err(Error::client(Code::BadFrame, format!("more than {MOST_CREDIT} of credit")));
        }
        *credit += u64::from(n);
        Ok(())
    }
    /// Hands it over; the receipt is waited for among those of the other publishes.
    async fn publish(&mut self, reference: Reference, message: Message, level: Option<Level>, partition: Option<u32>) -> Result<()> {
        let none = || Error::client(Code::MethodNotAllowed, "this api takes no messages over WebSocket");
        let route: Arc<Route> = self.route.route().cloned().ok_or_else(none)?;
        if !self.settings.publish {
            return Err(none());
        }
        let mut aboard = self.flight.enter()?;
        aboard.load(message.size() as u64)?;
        let id = message.id.clone();
        let target = route.publish.as_ref().ok_or_else(none)?;
        let delayed = message.timing.as_ref().is_some_and(|timing| timing.due.is_some());
        let publish = Publish {
            batch: message.into(),
            level: timing::level(delayed, level.or(self.settings.ack), target.endpoint.capabilities())?,
            partition,
            scope: route.scope,
        };
        let published = flow::publish(&route, &self.x, publish).await?;
        let answer = async move {
            Answer {
                reference,
                id,
                kept: published.await,
                _aboard: aboard,
            }
        };
        self.receipts.push_back(answer.boxed());
        Ok(())
    }
    async fn answer(&mut self, answer: Answer, line: &Line) -> Result<(), Over> {
        let kept = answer.kept.and_then(|kept| match kept.failed.first() {
            Some((_, error)) => Err(error.again()),
            None => Ok(kept),
        });
        match (kept, self.form) {
            (Ok(_), Form::Plain) => Ok(()),
            (Ok(kept), Form::Json(_)) => {
                let receipt = told::receipt(answer.reference.as_deref(), answer.id.as_deref(), &kept);
                line.send(receipt, None).await.map_err(|_| Over::Gone)
            }
            (Err(error), _) => self.fail(answer.reference.as_deref(), &error, line).await.map_or(Ok(()), Err),
        }
    }
    /// The subprotocol has words for it and goes on; plain frames have not, so the end must say it.
    async fn fail(&mut self, reference: Option<&str>, error: &Error, line: &Line) -> Option<Over> {
        if matches!(self.form, Form::Plain) {
            return Some(closing(error));
        }
        let problem = told::problem(reference, error, &self.request_id);
        line.send(problem, None).await.is_err().then_some(Over::Gone)
    }
}
fn closing(error: &Error) -> Over {
    let code = match error.fault() {
        _ if error.code() == Code::Overloaded => CloseCode::TRY_LATER,
        Fault::Client => CloseCode::POLICY,
        Fault::Broker | Fault::Operator | Fault::Gateway => CloseCode::INTERNAL,
    };
    Over::Close(code, format!("{} {error}", error.code()))
}
