//! One WebSocket, from its handshake to its close: what the client says, what it is told, and when it is given up.
use super::{
    Form, House,
    line::{self, Line},
    out::Out,
    words::{self, MOST_CREDIT, Reference, Word},
};
use crate::{
    http::{
        batch::Stamp,
        body::Chunk,
        call::Call,
        flight::{Aboard, Flight},
        items,
        problem::Problem,
    },
    listener::Socket,
};
use bytes::{Buf, Bytes, BytesMut};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesOrdered,
};
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    clock::Rfc3339,
    drain::Watch,
    endpoint::{Publish, Start},
    error::{Code, Error, Fault, Result},
    exchange::Exchange,
    headers::Headers,
    message::Message,
    outbound::Ended,
    receipt::{Kept, Level},
};
use tidegate_gateway::{flow, handle::RouteHandle, route::Route, settings::WebSocket, world::World};
use tidegate_wire::websocket::{
    Kind,
    close::CloseCode,
    frame,
    reader::{Event, Limits, Reader},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval_at},
};

/// Publishes of one client that wait for their receipts; with more it is not listened to.
const WAITING: usize = 1_024;
/// What is read at once.
const READ: usize = 4 << 10;
/// How long a client may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Session {
    form: Form,
    settings: WebSocket,
    message: usize,
    world: Arc<World>,
    flight: Arc<Flight>,
    drain: Watch,
    route: RouteHandle,
    host: Box<str>,
    path: Box<str>,
    rest: Box<str>,
    request_id: String,
    x: Exchange,
    line: Line,
    frames: Option<mpsc::Receiver<Chunk>>,
    subscription: Option<BoxFuture<'static, Result<Ended>>>,
    credit: Option<Arc<Semaphore>>,
    receipts: FuturesOrdered<BoxFuture<'static, Answer>>,
}
/// What came of one publish.
struct Answer {
    reference: Reference,
    id: Option<Bytes>,
    kept: Result<Kept>,
    _aboard: Aboard,
}
/// Why the session is over.
enum Over {
    /// The client has gone, or has been told already.
    Gone,
    Close(CloseCode, String),
}

impl Session {
    pub(super) fn new(call: &Call<'_>, form: Form, settings: &WebSocket, house: &House<'_>, route: RouteHandle, x: Exchange) -> Self {
        let (line, frames) = Line::new();
        Self {
            form,
            settings: settings.clone(),
            message: usize::try_from(house.settings.ws_message).unwrap_or(usize::MAX),
            world: house.world.clone(),
            flight: house.flight.clone(),
            drain: house.drain.clone(),
            route,
            host: call.host.into(),
            path: call.path.into(),
            rest: call.rest.into(),
            request_id: call.request_id(),
            x,
            line,
            frames: Some(frames),
            subscription: None,
            credit: None,
            receipts: FuturesOrdered::new(),
        }
    }
    /// From now on the client is given messages.
    pub(super) async fn subscribe(&mut self, start: Start, credit: Option<u32>) -> Result<()> {
        let refused = |why: &'static str| Err(Error::client(Code::BadFrame, why));
        if !self.settings.subscribe {
            return refused("this api gives no messages over WebSocket");
        }
        if self.subscription.is_some() {
            return refused("there is a subscription already");
        }
        let gone = || Error::client(Code::NotFound, "the api is gone");
        let mut route = RouteHandle::new(&self.world, &self.host, &self.path).ok_or_else(gone)?;
        let live = route.route().cloned().ok_or_else(gone)?;
        let consumer = flow::consume(&live, &self.rest, start.clone()).await?;
        let class = live.metrics.class("websocket");
        let present = class.enter();
        self.credit = credit.map(|credit| Arc::new(Semaphore::new(credit as usize)));
        let mut out = Out {
            line: self.line.clone(),
            form: self.form,
            cursor: consumer.cursor().unwrap_or_default(),
            class,
            credit: self.credit.clone(),
            clock: Rfc3339::default(),
        };
        let mut x = Exchange::new(live.name.clone());
        (x.peer, x.trace) = (self.x.peer, self.x.trace);
        flow::admit(&live, &mut x).await?;
        let mut drain = self.drain.clone();
        self.subscription = Some(Box::pin(async move {
            let _present = present;
            flow::subscribe(&mut route, &mut x, consumer, start, &mut out, &mut drain).await
        }));
        Ok(())
    }
    /// Until the client or the gateway ends it. `read` has come already.
    pub(super) async fn run(mut self, socket: Socket, read: Bytes) {
        let Some(frames) = self.frames.take() else { return };
        let (mut reading, writing) = tokio::io::split(socket);
        let written = write(writing, frames);
        let mut written = std::pin::pin!(written);
        let mut incoming = Incoming {
            buffer: BytesMut::from(&read[..]),
            reader: Reader::new(Limits {
                message: self.message,
                ..Limits::default()
            }),
        };
        let told = {
            let serving = self.serve(&mut reading, &mut incoming);
            tokio::select! {
                biased;
                () = serving => true,
                () = &mut written => false,
            }
        };
        // What was published goes on without anybody waiting for it; who read is no longer there.
        drop(self);
        if told {
            let going = async {
                written.await;
                // Closing on what the client still sends would cost it the close frame.
                let mut thrown_away = [0; 1 << 10];
                while reading.read(&mut thrown_away).await.is_ok_and(|read| read > 0) {}
            };
            let _late = tokio::time::timeout(FAREWELL, going).await;
        }
    }
    async fn serve(&mut self, socket: &mut (impl AsyncRead + Unpin), incoming: &mut Incoming) {
        let over = self.listen(socket, incoming).await;
        let Over::Close(code, reason) = over else { return };
        // Nothing that was taken is left unanswered.
        while let Some(answer) = self.receipts.next().await {
            if self.answer(answer).await.is_err() {
                return;
            }
        }
        self.line.close(Some(code), &reason).await;
    }
    async fn listen(&mut self, socket: &mut (impl AsyncRead + Unpin), incoming: &mut Incoming) -> Over {
        let every = self.settings.heartbeat;
        let mut heard = Instant::now();
        let mut beat = interval_at(heard + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let subscribed = self.subscription.is_some();
            let subscription: OptionFuture<_> = self.subscription.as_mut().into();
            let listening = self.receipts.len() < WAITING;
            tokio::select! {
                biased;
                // With a subscription it is that which sees these two.
                () = self.drain.started(), if !subscribed => return self.go_away(Ended::Draining).await,
                () = self.route.changed(), if !subscribed => {
                    if let Some(over) = self.admitted_again().await {
                        return over;
                    }
                }
                Some(ended) = subscription => {
                    self.subscription = None;
                    match ended {
                        // The word for it is said.
                        Ok(why) => return Over::Close(code(why), why.as_str().to_owned()),
                        Err(error) => return self.fail(None, &error).await.unwrap_or(closing(&error)),
                    }
                }
                Some(answer) = self.receipts.next(), if !self.receipts.is_empty() => {
                    if let Err(over) = self.answer(answer).await {
                        return over;
                    }
                }
                event = incoming.next(socket), if listening => {
                    heard = Instant::now();
                    let event = match event {
                        Ok(Some(event)) => event,
                        Ok(None) => continue,
                        Err(over) => return over,
                    };
                    if let Err(over) = self.take(event).await {
                        return over;
                    }
                }
                _ = beat.tick() => {
                    // Two beats without a sign of life.
                    if heard.elapsed() >= every * 2 {
                        return Over::Gone;
                    }
                    if heard.elapsed() >= every / 2 {
                        self.line.ping();
                    }
                }
            }
        }
    }
    async fn go_away(&mut self, why: Ended) -> Over {
        if matches!(self.form, Form::Json(_)) {
            let goaway = format!("{{\"op\":\"goaway\",\"reason\":\"{}\"}}", why.as_str());
            // A client that is not there needs no word.
            let _gone = self.line.text(&goaway).await;
        }
        Over::Close(code(why), why.as_str().to_owned())
    }
    /// The route has changed: whether the client may stay.
    async fn admitted_again(&mut self) -> Option<Over> {
        let Some(route) = self.route.route().cloned() else {
            return Some(self.go_away(Ended::ApiGone).await);
        };
        let refused = flow::admit(&route, &mut self.x).await.is_err();
        match &route.api.websocket {
            Some(settings) if !refused => {
                self.settings = settings.clone();
                None
            }
            _ => Some(Over::Close(CloseCode::POLICY, Ended::Refused.as_str().to_owned())),
        }
    }
    async fn take(&mut self, event: Event) -> Result<(), Over> {
        match event {
            Event::Message { kind, payload } => match self.form {
                Form::Plain => match self.publish(None, Message::new(self.topic()?, payload), None, None).await {
                    Ok(()) => Ok(()),
                    Err(error) => Err(closing(&error)),
                },
                Form::Json(_) if kind == Kind::Binary => {
                    let error = Error::client(Code::BadFrame, "the subprotocol is spoken in text messages");
                    self.fail(None, &error).await.map_or(Ok(()), Err)
                }
                Form::Json(_) => self.hear(&payload).await,
            },
            Event::Ping(payload) => {
                let mut out = BytesMut::new();
                frame::pong(&payload, &mut out);
                self.line.send(out.freeze(), None).await.map_err(|_| Over::Gone)
            }
            Event::Pong(_) => Ok(()),
            Event::Close { code, .. } => {
                self.line.close(code, "").await;
                Err(Over::Gone)
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
    async fn hear(&mut self, text: &Bytes) -> Result<(), Over> {
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
        };
        let (reference, word) = words::parse(text, &stamp);
        let done = match word {
            Ok(Word::Publish(message, level, partition)) => self.publish(reference.clone(), *message, level, partition).await,
            Ok(Word::Subscribe(start, credit)) => self.subscribe(start, credit).await,
            Ok(Word::Credit(n)) => self.grant(n),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => self.fail(reference.as_deref(), &error).await.map_or(Ok(()), Err),
        }
    }
    fn grant(&self, n: u32) -> Result<()> {
        let Some(credit) = &self.credit else {
            return Err(Error::client(Code::BadFrame, "there is no subscription with `credit`"));
        };
        if credit.available_permits() + n as usize > MOST_CREDIT as usize {
            return Err(Error::client(Code::BadFrame, format!("more than {MOST_CREDIT} of credit")));
        }
        credit.add_permits(n as usize);
        Ok(())
    }
    /// Hands it over; the receipt is waited for among those of the other publishes.
    async fn publish(&mut self, reference: Reference, message: Message, level: Option<Level>, partition: Option<u32>) -> Result<()> {
        let none = || Error::client(Code::MethodNotAllowed, "this api takes no messages over WebSocket");
        let route: Arc<Route> = self.route.route().cloned().ok_or_else(none)?;
        if !self.settings.publish || route.publish.is_none() {
            return Err(none());
        }
        let mut aboard = self.flight.enter()?;
        aboard.load(message.size() as u64)?;
        let id = message.id.clone();
        let publish = Publish {
            batch: message.into(),
            level: level.or(self.settings.ack),
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
    async fn answer(&mut self, answer: Answer) -> Result<(), Over> {
        let kept = answer.kept.and_then(|kept| match kept.failed.first() {
            Some((_, error)) => Err(error.again()),
            None => Ok(kept),
        });
        match (kept, self.form) {
            (Ok(_), Form::Plain) => Ok(()),
            (Ok(kept), Form::Json(_)) => {
                let receipt = receipt(answer.reference.as_deref(), answer.id.as_deref(), &kept);
                self.line.text(&receipt).await.map_err(|_| Over::Gone)
            }
            (Err(error), _) => self.fail(answer.reference.as_deref(), &error).await.map_or(Ok(()), Err),
        }
    }
    /// The subprotocol has words for it and goes on; plain frames have not, so the end must say it.
    async fn fail(&mut self, reference: Option<&str>, error: &Error) -> Option<Over> {
        if matches!(self.form, Form::Plain) {
            return Some(closing(error));
        }
        let problem = serde_json::to_string(&Problem::new(error, Some(&self.request_id))).unwrap_or_default();
        let reference = reference.map_or(String::new(), |reference| format!("\"ref\":{reference},"));
        let text = format!("{{\"op\":\"problem\",{reference}{}", problem.get(1..).unwrap_or_default());
        self.line.text(&text).await.is_err().then_some(Over::Gone)
    }
}
async fn write(socket: impl AsyncWrite + Unpin, frames: mpsc::Receiver<Chunk>) {
    if let Err(error) = line::write(socket, frames).await {
        tracing::debug!(error = %error, "a WebSocket could not be written to");
    }
}
fn code(why: Ended) -> CloseCode {
    match why {
        Ended::SourceEnded | Ended::ClientLeft => CloseCode::NORMAL,
        Ended::Refused => CloseCode::POLICY,
        Ended::ApiGone | Ended::Draining | Ended::TooSlow => CloseCode::TRY_LATER,
    }
}
fn closing(error: &Error) -> Over {
    let code = match error.fault() {
        Fault::Client => CloseCode::POLICY,
        Fault::Broker | Fault::Operator | Fault::Gateway => CloseCode::INTERNAL,
    };
    Over::Close(code, format!("{} {error}", error.code()))
}
fn receipt(reference: Option<&str>, id: Option<&[u8]>, kept: &Kept) -> String {
    let mut out = b"{\"op\":\"receipt\"".to_vec();
    if let Some(reference) = reference {
        items::name("ref", &mut out);
        out.extend_from_slice(reference.as_bytes());
    }
    let position = (!kept.places.is_empty()).then(|| kept.to_string());
    let id = id.map(String::from_utf8_lossy).or_else(|| position.as_deref().map(Into::into));
    for (name, value) in [
        ("id", id.as_deref()),
        ("position", position.as_deref()),
        ("ack", Some(kept.level.as_str())),
    ] {
        if let Some(value) = value {
            items::name(name, &mut out);
            items::string(value, &mut out);
        }
    }
    if !kept.duplicates.is_empty() {
        items::name("duplicate", &mut out);
        out.extend_from_slice(b"true");
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// What has come and is not understood yet.
struct Incoming {
    reader: Reader,
    buffer: BytesMut,
}
impl Incoming {
    /// The next event, or `None` after a read that did not complete one. Cancel-safe.
    async fn next(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<Event>, Over> {
        if self.buffer.is_empty() {
            self.buffer.reserve(READ);
            match socket.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Over::Gone),
            }
        }
        let mut input = &self.buffer[..];
        let before = input.len();
        let event = self.reader.next(&mut input);
        let used = before - input.len();
        self.buffer.advance(used);
        if self.buffer.is_empty() {
            // An idle connection holds nothing.
            self.buffer = BytesMut::new();
        }
        event.map_err(|failure| Over::Close(failure.code(), failure.reason().to_owned()))
    }
}
