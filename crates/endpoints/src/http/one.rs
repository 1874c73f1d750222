//! A connection of HTTP/1.1: one request at a time. It has no task of its own. Whoever waits for an answer reads it, so that nobody has to be
//! woken in between.
pub(super) mod framing;

use super::{
    attempt::Progress,
    connect::Socket,
    lines::{Answer, Broke, Call},
};
use bytes::{Buf, Bytes, BytesMut};
use framing::{Head, Rest};
use http::{Method, header};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    runtime::{self, Handle},
    time::Instant,
};

/// A connection nobody used for that long is closed.
const IDLE: Duration = Duration::from_secs(50);
/// No new request goes out on an older one.
pub(super) const OLDEST: Duration = Duration::from_mins(5);
/// Room for what comes at once: first, and when much comes. No more than the first is kept while nothing is under way.
const ROOM: (usize, usize) = (2 << 10, 32 << 10);

#[derive(Debug)]
pub(super) struct One {
    socket: Socket,
    /// Whose threads are woken when something comes.
    runtime: runtime::Id,
    /// What came and is not read yet.
    came: BytesMut,
    room: usize,
    /// The head of a request is written here.
    head: Vec<u8>,
    born: Instant,
    used: Instant,
    /// Nothing is under way, and the last answer left it fit for another.
    fit: bool,
}
/// A request on its way.
struct Outgoing {
    head: Vec<u8>,
    body: Bytes,
    /// Bytes that went out.
    sent: usize,
    /// Nothing more goes out: all did, or nothing can.
    over: bool,
}
impl Outgoing {
    fn parts(&self) -> [&[u8]; 2] {
        let behind = self.sent.saturating_sub(self.head.len());
        let rest = [self.head.get(self.sent..), self.body.get(behind..)];
        rest.map(Option::unwrap_or_default)
    }
}
impl One {
    pub(super) fn new(socket: Socket) -> Self {
        let now = Instant::now();
        Self {
            socket,
            runtime: Handle::current().id(),
            came: BytesMut::new(),
            room: ROOM.0,
            head: Vec::new(),
            born: now,
            used: now,
            fit: true,
        }
    }
    /// Whether it was opened on this runtime, so that its answers wake nobody from another.
    pub(super) fn is_from(&self, runtime: runtime::Id) -> bool {
        self.runtime == runtime
    }
    /// Whether it may take a request: an end that has come is seen, and so is what nobody asked for.
    pub(super) fn is_good(&mut self) -> bool {
        let good = self.fit && self.came.is_empty() && self.used.elapsed() < IDLE && self.born.elapsed() < OLDEST;
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        good && Pin::new(&mut self.socket)
            .poll_read(&mut cx, &mut ReadBuf::new(&mut byte))
            .is_pending()
    }
    /// Asks, and waits for the whole answer. Dropped before, the connection is of no use any more.
    pub(super) async fn call(&mut self, call: &Call<'_>, progress: &Progress) -> Result<Answer, Broke> {
        self.fit = false;
        let mut out = Outgoing {
            head: self.written(call),
            body: call.body.clone(),
            sent: 0,
            over: false,
        };
        progress.written(false);
        let head = match poll_fn(|cx| self.poll_head(&mut out, call.method, progress, cx)).await {
            Ok(head) => head,
            Err(_) if out.sent == 0 => return Err(Broke::Unsent),
            Err(text) => return Err(Broke::Failed(text)),
        };
        progress.answered(head.status);
        let Head {
            status,
            headers,
            mut rest,
            keeps,
        } = head;
        let (mut kept, mut seen) = (Vec::new(), 0_u64);
        let (over, cut) = loop {
            let taken = rest.take(&self.came, |data| {
                let room = call.keep.saturating_sub(kept.len()).min(data.len());
                kept.extend_from_slice(data.get(..room).unwrap_or_default());
                seen += data.len() as u64;
            });
            let taken = taken.map_err(|wrong| Broke::Failed(wrong.to_owned()))?;
            self.came.advance(taken.bytes);
            let cut = seen > call.most;
            if taken.over || cut {
                break (taken.over, cut);
            }
            let more = poll_fn(|cx| self.poll_more(&mut out, progress, cx)).await;
            if more.map_err(Broke::Failed)? == 0 {
                if rest == Rest::Open {
                    break (true, false);
                }
                return Err(Broke::Failed("closed in the middle of its answer".to_owned()));
            }
        };
        // Who answered without reading everything may never read the rest.
        self.fit = keeps && over && !cut && progress.is_written() && self.came.is_empty();
        if self.room > ROOM.0 {
            (self.came, self.room) = (BytesMut::new(), ROOM.0);
        }
        self.used = Instant::now();
        self.head = out.head;
        Ok(Answer {
            status,
            headers,
            body: kept.into(),
            cut,
        })
    }
    /// The head of a request, as it goes out.
    fn written(&mut self, call: &Call<'_>) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.head);
        out.clear();
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        let place = call.path.path_and_query().map_or("/", |place| place.as_str());
        put(&[call.method.as_str().as_bytes(), b" ", place.as_bytes(), b" HTTP/1.1\r\n"]);
        for (name, value) in call.headers {
            if call.authorization.is_none() || name != header::AUTHORIZATION {
                put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
            }
        }
        if let Some(value) = call.authorization {
            put(&[b"authorization: ", value.as_bytes(), b"\r\n"]);
        }
        if !call.body.is_empty() {
            put(&[b"content-length: ", itoa::Buffer::new().format(call.body.len()).as_bytes(), b"\r\n"]);
        }
        put(&[b"\r\n"]);
        out
    }
    fn poll_head(&mut self, out: &mut Outgoing, method: &Method, progress: &Progress, cx: &mut Context<'_>) -> Poll<Result<Head, String>> {
        loop {
            // The target may answer before it has taken everything, or instead.
            let broken = self.poll_write(out, progress, cx);
            match self.poll_read(cx) {
                Poll::Pending => return broken.map(|error| Err(error.to_string())),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err("closed before its answer".to_owned())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.to_string())),
            }
            match framing::head(&self.came, method) {
                Ok(None) => {}
                Ok(Some((head, length))) => {
                    self.came.advance(length);
                    return Poll::Ready(Ok(head));
                }
                Err(wrong) => return Poll::Ready(Err(wrong.to_owned())),
            }
        }
    }
    /// More of an answer has come: how much; 0: the connection has ended.
    fn poll_more(&mut self, out: &mut Outgoing, progress: &Progress, cx: &mut Context<'_>) -> Poll<Result<usize, String>> {
        let _its_answer_says_more = self.poll_write(out, progress, cx);
        self.poll_read(cx).map_err(|error| error.to_string())
    }
    /// Ready when nothing more can be written.
    fn poll_write(&mut self, out: &mut Outgoing, progress: &Progress, cx: &mut Context<'_>) -> Poll<io::Error> {
        if out.over {
            return Poll::Pending;
        }
        while let parts = out.parts()
            && parts.iter().any(|part| !part.is_empty())
        {
            let wrote = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &parts.map(IoSlice::new)));
            match wrote.and_then(|bytes| {
                if bytes == 0 {
                    Err(io::ErrorKind::WriteZero.into())
                } else {
                    Ok(bytes)
                }
            }) {
                Ok(bytes) => out.sent += bytes,
                Err(error) => {
                    out.over = true;
                    return Poll::Ready(error);
                }
            }
        }
        match ready!(Pin::new(&mut self.socket).poll_flush(cx)) {
            Ok(()) => {
                out.over = true;
                progress.written(true);
                Poll::Pending
            }
            Err(error) => {
                out.over = true;
                Poll::Ready(error)
            }
        }
    }
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.came.reserve(self.room);
        let read = ready!(pin!(self.socket.read_buf(&mut self.came)).poll(cx))?;
        if read >= self.room {
            self.room = (self.room * 2).min(ROOM.1);
        }
        Poll::Ready(Ok(read))
    }
}
