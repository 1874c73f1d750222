//! The connections of one target. Over HTTP/1.1 each carries one request at a time and waits for the next; over HTTP/2 many share one.
//! None is used for ever, so that a target that moved is found where it is now.
use super::{
    attempt::Progress,
    connect::Socket,
    one::{OLDEST, One},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tidegate_core::tasks::{self, Task};
use tokio::{runtime::Handle, time::Instant};

/// So often those that wait are looked at: whether their time is up, or the target has closed them.
const SWEEP: Duration = Duration::from_secs(5);
/// What is handed to a connection at once, so that it buffers no more.
const PIECE: usize = 64 << 10;
/// Of what a target sends, a connection holds as much.
const BUFFER: usize = 64 << 10;
/// Requests on one HTTP/2 connection before another is opened: each is served by one task.
const STREAMS: usize = 64;
/// HTTP/2 connections at most.
const SHARED: usize = 4;
/// A quiet HTTP/2 connection is asked whether it still lives.
const PING: Duration = Duration::from_secs(20);

/// What is asked.
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    /// As HTTP/1.1 writes it, and as HTTP/2 does.
    pub(super) path: &'a Uri,
    pub(super) whole: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    /// In place of what the headers say.
    pub(super) authorization: Option<&'a HeaderValue>,
    pub(super) body: &'a Bytes,
    /// So many bytes of the answer's body are kept.
    pub(super) keep: usize,
    /// A longer one is not read to its end.
    pub(super) most: u64,
}
/// An answer that was read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Its beginning.
    pub(super) body: Bytes,
    /// There was more than was asked for.
    pub(super) cut: bool,
}
/// Why there is no whole answer; how far it came is known already.
#[derive(Debug)]
pub(super) enum Broke {
    /// The connection had ended, and nothing of the request was sent.
    Unsent,
    /// The target said that it did not look at the request, so that it may be sent again as if it had not been (RFC 9113, sections 6.8 and 8.7):
    /// it is leaving, or has enough to do. Of a request that it may have looked at it says so in no other words.
    Unseen(String),
    /// Anything else.
    Failed(String),
}
/// A body that says when all of it was handed over.
#[derive(Debug)]
pub(super) struct Outgoing {
    rest: Bytes,
    progress: Progress,
}
impl Outgoing {
    pub(super) fn new(body: Bytes, progress: Progress) -> Self {
        progress.written(body.is_empty());
        Self { rest: body, progress }
    }
}
impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let most = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(most);
        if self.rest.is_empty() {
            self.progress.written(true);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A connection that took a request, or may take one.
#[derive(Debug)]
pub(super) enum Line {
    One(One),
    Many(Stream),
}
#[derive(Debug)]
pub(super) struct Many {
    send: http2::SendRequest<Outgoing>,
    _connection: Task,
    born: Instant,
    streams: AtomicUsize,
    /// A request on it was given up: it may be dead, and nobody is told.
    suspect: AtomicBool,
}
impl Many {
    fn is_good(&self) -> bool {
        !self.send.is_closed() && !self.suspect.load(Ordering::Relaxed) && self.born.elapsed() < OLDEST
    }
}
/// One request on a shared connection. Dropped before its end, it casts doubt on the connection.
#[derive(Debug)]
pub(super) struct Stream {
    many: Arc<Many>,
    ended: bool,
}
impl Stream {
    fn on(many: &Arc<Many>) -> Self {
        many.streams.fetch_add(1, Ordering::Relaxed);
        Self {
            many: many.clone(),
            ended: false,
        }
    }
}
impl Drop for Stream {
    fn drop(&mut self) {
        if !self.ended {
            self.many.suspect.store(true, Ordering::Relaxed);
        }
        self.many.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
impl Line {
    /// Makes a socket speak.
    pub(super) async fn on(socket: Socket, two: bool) -> hyper::Result<Self> {
        if two {
            let (send, connection) = http2::Builder::new(Tasks)
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .initial_stream_window_size(BUFFER as u32)
                .initial_connection_window_size(BUFFER as u32 * 4)
                .max_send_buf_size(PIECE * 2)
                .max_header_list_size(BUFFER as u32)
                .handshake(TokioIo::new(socket))
                .await?;
            let many = Many {
                send,
                // Whoever waits for an answer hears of its end.
                _connection: tasks::spawn(async move { drop(connection.await) }),
                born: Instant::now(),
                streams: AtomicUsize::new(0),
                suspect: AtomicBool::new(false),
            };
            return Ok(Self::Many(Stream::on(&Arc::new(many))));
        }
        Ok(Self::One(One::new(socket)))
    }
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Many(_))
    }
    /// Asks, and waits for the whole answer.
    pub(super) async fn call(&mut self, call: &Call<'_>, progress: &Progress) -> Result<Answer, Broke> {
        match self {
            Self::One(one) => one.call(call, progress).await,
            Self::Many(stream) => stream.call(call, progress).await,
        }
    }
}
impl Stream {
    async fn call(&mut self, call: &Call<'_>, progress: &Progress) -> Result<Answer, Broke> {
        let mut request = Request::new(Outgoing::new(call.body.clone(), progress.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.whole.clone();
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = call.headers.clone();
        // Its address says it.
        request.headers_mut().remove(header::HOST);
        if let Some(authorization) = call.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let answer = match self.many.send.clone().try_send_request(request).await {
            Ok(answer) => answer,
            Err(error) if error.message().is_some() => return Err(Broke::Unsent),
            Err(error) if is_unseen(error.error()) => return Err(Broke::Unseen(whole_text(&error.into_error()))),
            Err(error) => return Err(Broke::Failed(whole_text(&error.into_error()))),
        };
        let (head, mut body) = answer.into_parts();
        progress.answered(head.status);
        let (mut kept, mut seen, mut cut) = (BytesMut::new(), 0_u64, false);
        // What lies behind the most is not waited for.
        while !cut && let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Broke::Failed(whole_text(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            let room = call.keep.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(data.get(..room).unwrap_or_default());
            seen += data.len() as u64;
            cut = seen > call.most;
        }
        self.ended = !cut && progress.is_written();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: kept.freeze(),
            cut,
        })
    }
}
/// Whether the target said that it did not look at the request.
fn is_unseen(error: &hyper::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(said) = cause.downcast_ref::<h2::Error>() {
            let refused = said.is_reset() && said.reason() == Some(h2::Reason::REFUSED_STREAM);
            return said.is_remote() && (refused || said.is_go_away());
        }
        next = cause.source();
    }
    false
}

/// What a connection says that is closed in good order.
const GOODBYE: &str = "the other side ended the connection in good order (GOAWAY)";
fn is_goodbye(said: &h2::Error) -> bool {
    said.is_go_away() && said.is_remote() && said.reason() == Some(h2::Reason::NO_ERROR)
}
/// With its causes: hyper's own text only says where it was.
pub(super) fn whole_text(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        // In its own words it would be an error that is none.
        let left = cause.downcast_ref::<h2::Error>().is_some_and(is_goodbye);
        text.push_str(&if left { GOODBYE.to_owned() } else { cause.to_string() });
        next = cause.source();
    }
    text
}

/// The connections of one target that may take another request.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Mutex<Open>,
    /// Who opens a connection that many may share: the others wait and use it.
    pub(super) turn: tokio::sync::Mutex<()>,
}
#[derive(Debug, Default)]
struct Open {
    idle: Vec<One>,
    shared: Vec<Arc<Many>>,
    sweeper: Option<Task>,
    swept: bool,
}
impl Lines {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// One that is ready now: of this runtime if there is one, and the youngest first, so that the others may grow old.
    pub(super) fn idle(&self) -> Option<Line> {
        let here = Handle::current().id();
        loop {
            let mut open = self.open();
            let own = open.idle.iter().rposition(|one| one.is_from(here));
            let at = own.or(open.idle.len().checked_sub(1))?;
            let mut one = open.idle.remove(at);
            drop(open);
            if one.is_good() {
                return Some(Line::One(one));
            }
        }
    }
    /// A place on one that many share; `None`: there is none, or another should be opened.
    pub(super) fn shared(&self) -> Option<Line> {
        let mut open = self.open();
        open.shared.retain(|many| many.is_good());
        let streams = |many: &&Arc<Many>| many.streams.load(Ordering::Relaxed);
        let least = open.shared.iter().min_by_key(streams)?;
        (streams(&least) < STREAMS || open.shared.len() >= SHARED).then(|| Line::Many(Stream::on(least)))
    }
    /// A new one that others may share.
    pub(super) fn share(self: &Arc<Self>, line: &Line) {
        if let Line::Many(stream) = line {
            let mut open = self.open();
            open.shared.push(stream.many.clone());
            self.sweep_later(&mut open);
        }
    }
    /// Its answer was read.
    pub(super) fn give_back(self: &Arc<Self>, line: Line) {
        if let Line::One(mut one) = line
            && one.is_good()
        {
            let mut open = self.open();
            open.idle.push(one);
            self.sweep_later(&mut open);
        }
    }
    /// All of them end, those in use with their request.
    pub(super) fn clear(&self) {
        let mut open = self.open();
        open.idle.clear();
        open.shared.clear();
    }
    fn sweep_later(self: &Arc<Self>, open: &mut Open) {
        if !open.swept {
            open.swept = true;
            open.sweeper = Some(tasks::spawn(sweep(Arc::downgrade(self))));
        }
    }
    /// Whether nothing is left.
    fn sweep(&self) -> bool {
        let mut open = self.open();
        open.idle.retain_mut(One::is_good);
        open.shared
            .retain(|many| many.is_good() || many.streams.load(Ordering::Relaxed) > 0 && !many.send.is_closed());
        open.swept = !(open.idle.is_empty() && open.shared.is_empty());
        !open.swept
    }
}
async fn sweep(lines: Weak<Lines>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if lines.upgrade().is_none_or(|lines| lines.sweep()) {
            return;
        }
    }
}
/// What hyper starts for HTTP/2 ends with its connection.
#[derive(Clone, Copy, Debug)]
struct Tasks;
impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        tasks::detach(future);
    }
}
