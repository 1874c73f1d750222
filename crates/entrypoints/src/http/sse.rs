//! `GET path` with `Accept: text/event-stream`.
use super::{
    body::Body,
    call::Call,
    framings::{CHUNKED, RAW, Sse},
    head::one,
    line::{Line, held_up},
    problem::{Problem, with_type},
    query::{self, Query},
    service::Gateway,
};
use crate::listener::{Client, Connection, Within};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderName, HeaderValue, Response, Version, header, request::Parts};
use std::{any::Any, sync::Arc, time::Duration};
use tidegate_core::{
    clock,
    drain::Watch,
    ended::Ended,
    endpoint::Start,
    error::{Code, Error, Result},
    tasks,
};
use tidegate_gateway::{
    flow,
    follower::{Follower, Step, Wish},
    handle::RouteHandle,
    metrics::Offered,
    shard::{Io, Keeper, Manners, Member, Pulse, Returned, Shards},
};
use tidegate_wire::sse;
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep_until, timeout},
};

/// Clients that are sent away come back spread over this, in milliseconds.
const RETRY: std::ops::Range<u64> = 1_000..4_000;
/// What a stream that something else frames may have waiting there.
const WITHIN: usize = 16 << 10;
/// How long a client may take to hear the last word.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) async fn stream(call: &Call<'_>, parts: &Parts, gateway: &Gateway, connection: &Arc<Connection>) -> Result<Response<Body>> {
    let Some(settings) = &call.route.api.sse else {
        return Err(call.no_method(&parts.method));
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    if query.limit.is_some() || query.wait.is_some() || query.headers || query.metadata {
        return Err(Error::client(Code::BadQuery, "a stream takes only `from` or `cursor`"));
    }
    let last = one(&parts.headers, "last-event-id")?.filter(|id| !id.is_empty());
    let start = match last {
        Some(id) => Start::After(query::cursor(id, "Last-Event-ID")?),
        None => query.start().unwrap_or(Start::Latest),
    };
    let mut x = call.exchange();
    flow::admit(call.route, &mut x).await?;
    let gone = || Error::client(Code::NotFound, "the api is gone");
    // Only where the socket is the stream's alone.
    let leaves = parts.version == Version::HTTP_11;
    let framing = if leaves { &CHUNKED } else { &RAW };
    let open: Option<Box<dyn Any + Send>> = if leaves { None } else { Some(Box::new(gateway.stream_within()?)) };
    let wish = Wish {
        route: RouteHandle::new(&gateway.world, call.host, call.path).ok_or_else(gone)?,
        x,
        start,
        framing,
        entrypoint: "sse",
        drain: gateway.drain.clone(),
    };
    let mut follower = Follower::open(wish, None).await?;
    let cursor = follower.cursor();
    let events = Events {
        follower,
        framing,
        heartbeat: settings.heartbeat,
        stall: gateway.settings.stall,
        shards: gateway.shards.clone(),
        request_id: call.request_id(),
        drain: gateway.drain.clone(),
        _open: open,
    };
    let retry = RETRY.start + u64::from(call.trace[7]) * (RETRY.end - RETRY.start) / 256;
    let mut greeting = BytesMut::new();
    // Without data it is no event, but a client that is cut before the first one knows where it stood.
    let id = (!cursor.is_empty()).then(|| cursor.to_string());
    framing.wrap(0, &mut greeting, |out| sse::greeting(retry, id.as_deref(), out));
    let greeting = greeting.freeze();
    let body = if leaves {
        connection.hand_over(Box::new(move |client| {
            let Client { io, open, .. } = client;
            let events = Events {
                _open: Some(open),
                ..events
            };
            events.begin(io, greeting).boxed()
        }));
        Body::empty()
    } else {
        let (ours, theirs) = tokio::io::duplex(WITHIN);
        tasks::detach(events.begin(Box::new(Within(ours)), greeting));
        Body::pipe(theirs)
    };
    let mut response = with_type(body, HeaderValue::from_static("text/event-stream"));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would keep events back until its buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// One client's stream of events, while it has a task of its own: until it has caught up, and when it ends.
struct Events {
    follower: Follower,
    framing: &'static Sse,
    heartbeat: Duration,
    stall: Duration,
    shards: Arc<Shards>,
    request_id: String,
    drain: Watch,
    /// The connection, where it is the stream's alone.
    _open: Option<Box<dyn Any + Send>>,
}
/// What ends the task.
enum Next {
    /// The client has gone.
    Gone,
    /// It is one of many now.
    Rest,
    /// There is a last word.
    Say(Bytes),
}
impl Events {
    async fn begin(self, io: Box<dyn Io>, greeting: Bytes) {
        if self.follower.is_seated() {
            self.rest(io, greeting);
        } else {
            self.run(io, greeting, None).await;
        }
    }
    /// It is one of many from now on.
    fn rest(self, io: Box<dyn Io>, first: Bytes) {
        let shards = self.shards.clone();
        let manners = Manners {
            heartbeat: self.heartbeat,
            answers: false,
            stall: self.stall,
        };
        let pulse = Pulse::new(clock::instant());
        if let Some(member) = Member::new(io, first, Box::new(self), manners, pulse) {
            shards.attach(member);
        }
    }
    /// `first` goes before all else.
    async fn run(mut self, io: Box<dyn Io>, first: Bytes, owed: Option<Offered>) {
        let (mut reading, writing) = tokio::io::split(io);
        let (mut line, waiting) = Line::new();
        let mut written = Box::pin(waiting.write(writing, self.stall));
        let drain = self.drain.clone();
        let next = tokio::select! {
            biased;
            next = self.talk(&line, first, owed) => next,
            // What it does not take holds up nobody's end.
            () = held_up(drain) => Next::Gone,
            () = listen(&mut reading) => Next::Gone,
            _ = &mut written => Next::Gone,
        };
        match next {
            Next::Gone => {}
            Next::Rest => {
                drop(line);
                // Nothing waits, so this is at once.
                if let Ok(writing) = written.await {
                    self.rest(reading.unsplit(writing), Bytes::new());
                }
            }
            Next::Say(word) => {
                line.last(word).await;
                drop(line);
                let going = async {
                    let mut writing = written.await?;
                    tokio::io::AsyncWriteExt::shutdown(&mut writing).await?;
                    // Closing on what the client still sends would cost it the last word.
                    listen(&mut reading).await;
                    Ok::<_, std::io::Error>(())
                };
                let _late_or_gone = timeout(FAREWELL, going).await;
            }
        }
    }
    async fn talk(&mut self, line: &Line, first: Bytes, owed: Option<Offered>) -> Next {
        if line.send(first, owed).await.is_err() {
            return Next::Gone;
        }
        let mut quiet = Instant::now() + self.heartbeat;
        loop {
            let seated = self.follower.is_seated();
            if seated && line.is_idle() {
                return Next::Rest;
            }
            let next = async {
                // One step at a time: what a slow client has not taken waits on disk.
                line.idle().await;
                self.follower.next().await
            };
            let step = tokio::select! {
                biased;
                () = line.idle(), if seated => continue,
                step = next => step,
                () = sleep_until(quiet) => {
                    let mut out = BytesMut::new();
                    tidegate_core::framing::Framing::beat(self.framing, &mut out);
                    line.try_send(out.freeze());
                    quiet = Instant::now() + self.heartbeat;
                    continue;
                }
            };
            quiet = Instant::now() + self.heartbeat;
            match step {
                Ok(Step::Frames(bytes, offered)) => {
                    if line.send(bytes, Some(offered)).await.is_err() {
                        return Next::Gone;
                    }
                }
                // There is an event for gaps.
                Ok(Step::Seated | Step::Gap(_)) => {}
                Ok(Step::Ended(why)) => return Next::Say(self.goaway(why)),
                Err(error) => return Next::Say(self.problem(&error)),
            }
        }
    }
    fn goaway(&self, why: Ended) -> Bytes {
        self.last("goaway", format!("{{\"reason\":\"{}\"}}", why.as_str()).as_bytes())
    }
    fn problem(&self, error: &Error) -> Bytes {
        let problem = serde_json::to_vec(&Problem::new(error, Some(&self.request_id))).unwrap_or_default();
        self.last("problem", &problem)
    }
    fn last(&self, event: &str, data: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        self.framing
            .wrap(data.len(), &mut out, |out| sse::event(None, Some(event), data, out));
        self.framing.end(&mut out);
        out.freeze()
    }
}
/// Until the client has gone: nobody heeds what it says.
async fn listen(reading: &mut (impl AsyncReadExt + Unpin)) {
    let mut unheeded = [0; 512];
    while reading.read(&mut unheeded).await.is_ok_and(|read| read > 0) {}
}
impl Keeper for Events {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }
    fn take_back(self: Box<Self>, returned: Returned) -> BoxFuture<'static, ()> {
        async move {
            let Returned {
                io, rest, owed, stalled, ..
            } = returned;
            // What it did not take for so long it will not take now.
            if !stalled {
                self.run(io, rest, owed).await;
            }
        }
        .boxed()
    }
}
