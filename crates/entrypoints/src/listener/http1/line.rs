//! The socket of a connection of HTTP/1: what has come and was not taken, and what is on its way out.
use super::{
    answer::Outgoing,
    framing::{Due, Framed, Framing, Refusal, Step},
};
use crate::{
    http::{body::BoxError, upload::COPY_BELOW},
    listener::{connection::Connection, transport::Transport},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use std::{
    fmt, io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};

/// What is read at once. It lies on the stack: a connection that waits holds no buffer, and one that has a request only as much as came.
const SCRATCH: usize = 16 << 10;
/// Of a body whose length is known so much is read at once, without going through the scratch.
const PIECE: usize = 64 << 10;
/// What may come ahead of an answer, before the client is no longer listened to until it has it.
const AHEAD: usize = 8 << 10;
/// RFC 9110, section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Shared by the connection and the body of its request; both are polled by one task.
pub(crate) struct Line {
    socket: Transport,
    held: BytesMut,
    framing: Framing,
    /// The client sends the body once it is told to.
    expects: bool,
    /// Of that word, what is not written.
    interim: &'static [u8],
    state: Arc<Connection>,
}
/// Why no more requests come.
#[derive(Debug)]
pub(super) enum Unread {
    /// The client has gone.
    Gone,
    Refused(Refusal),
}
/// Why the rest of a body does not come.
#[derive(Debug)]
enum Broken {
    /// The client has gone.
    Cut,
    Refused(Refusal),
}
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the client has gone"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}
impl std::error::Error for Broken {}

impl Line {
    /// `early` was read to learn which protocol the client speaks.
    pub(super) fn new(socket: Transport, early: &[u8], limit: usize, state: Arc<Connection>) -> Self {
        Self {
            socket,
            held: BytesMut::from(early),
            framing: Framing::new(limit),
            expects: false,
            interim: b"",
            state,
        }
    }
    /// The socket, and what has come and was not taken.
    pub(super) fn into_parts(self) -> (Transport, Bytes) {
        (self.socket, self.held.freeze())
    }
    /// The next head, whole and good, with the empty line before it that may be there.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Framed, Unread>> {
        loop {
            if !self.held.is_empty() {
                match self.framing.head(&self.held) {
                    Ok(Some(framed)) => {
                        self.pass(framed.length);
                        return Poll::Ready(Ok(framed));
                    }
                    // From its first byte on a head has its time.
                    Ok(None) => self.state.begun(),
                    Err(refusal) => return Poll::Ready(Err(Unread::Refused(refusal))),
                }
            }
            match ready!(self.poll_more(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Unread::Gone)),
            }
        }
    }
    /// The body of the head that was taken last.
    pub(super) fn body(&mut self, expects: bool) -> Come {
        match self.framing.due() {
            Due::Nothing => Come::Whole(Bytes::new()),
            Due::Bytes(due) if due <= self.held.len() as u64 => match self.framing.body(&self.held) {
                // A slice of little would keep alive all that was read with it, and costs more than a copy.
                Ok(Step { taken, .. }) if taken < COPY_BELOW => {
                    let content = Bytes::copy_from_slice(self.held.get(..taken).unwrap_or_default());
                    self.pass(taken);
                    Come::Whole(content)
                }
                Ok(Step { taken, .. }) => Come::Whole(self.take(taken)),
                Err(_) => Come::InPart,
            },
            Due::Bytes(_) | Due::Unknown => {
                self.expects = expects;
                Come::InPart
            }
        }
    }
    /// What of the body has not come.
    pub(crate) fn due(&self) -> Due {
        self.framing.due()
    }
    /// The next content of the body; `None` at its end. Cancel-safe.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let cut = || Poll::Ready(Some(Err(Broken::Cut.into())));
        loop {
            let due = self.framing.due();
            if due == Due::Nothing {
                return Poll::Ready(None);
            }
            if !self.held.is_empty() {
                match self.step() {
                    // It may have ended with that.
                    Ok(content) if content.is_empty() => continue,
                    Ok(content) => return Poll::Ready(Some(Ok(content))),
                    Err(refusal) => return Poll::Ready(Some(Err(Broken::Refused(refusal).into()))),
                }
            }
            if std::mem::take(&mut self.expects) {
                self.interim = CONTINUE;
            }
            if self.poll_interim(cx)?.is_pending() {
                return Poll::Pending;
            }
            match due {
                Due::Bytes(due) => {
                    let most = usize::try_from(due).unwrap_or(PIECE).min(PIECE);
                    let mut piece = BytesMut::with_capacity(most);
                    let mut room = (&mut piece).limit(most);
                    let read = ready!(pin!(self.socket.read_buf(&mut room)).poll(cx));
                    return match (read, self.framing.body(&piece)) {
                        (Ok(1..), Ok(_)) => Poll::Ready(Some(Ok(piece.freeze()))),
                        _ => cut(),
                    };
                }
                Due::Unknown | Due::Nothing => match ready!(self.poll_more(cx)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return cut(),
                },
            }
        }
    }
    /// Lets go of what has come of the body and nobody wants; whether more of it is due.
    pub(super) fn pass_over(&mut self) -> bool {
        while self.framing.due() != Due::Nothing && !self.held.is_empty() {
            if self.step().is_err() {
                break;
            }
        }
        self.framing.due() != Due::Nothing
    }
    /// Ready when the client has gone. What it sends ahead is kept, up to a bound; beyond that nobody can tell.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.held.len() < AHEAD {
            match ready!(self.poll_more(cx)) {
                // Who waits for it was told a moment ago that there was nothing.
                Ok(1..) if self.framing.due() != Due::Nothing => cx.waker().wake_by_ref(),
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
    /// Ready when all of it is with the system.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        while !out.is_sent() {
            let written = out.poll_write(Pin::new(&mut self.socket), cx);
            self.state.wrote(&written);
            out.advance(ready!(written)?);
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.state.flushed(&flushed);
        flushed
    }
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.interim.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, self.interim);
            self.state.wrote(&written);
            self.interim = self.interim.get(ready!(written)?..).unwrap_or_default();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    /// Content of the body among what is held; empty if there was none before all of that was taken, or before the body's end.
    fn step(&mut self) -> Result<Bytes, Refusal> {
        let step = self.framing.body(&self.held)?;
        let mut taken = self.take(step.taken);
        Ok(taken.split_off(step.taken - step.content))
    }
    fn pass(&mut self, length: usize) {
        self.held.advance(length);
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }
    fn take(&mut self, length: usize) -> Bytes {
        let taken = self.held.split_to(length);
        if self.held.is_empty() {
            // Nothing is kept for what may come one day.
            self.held = BytesMut::new();
        }
        taken.freeze()
    }
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
        let mut read = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        let read = read.filled();
        if self.held.is_empty() {
            self.held = BytesMut::from(read);
        } else {
            self.held.extend_from_slice(read);
        }
        Poll::Ready(Ok(read.len()))
    }
}
/// A body, as its head is taken.
pub(super) enum Come {
    /// All of it, without what came beside it.
    Whole(Bytes),
    /// Some of it, or nothing.
    InPart,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join;
    use std::future::poll_fn;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = join(connecting, listener.accept()).await;
        (client.unwrap(), accepted.unwrap().0)
    }
    /// Each part is read, and its end found, before the next is sent; nothing comes behind the last.
    #[tokio::test]
    async fn a_body_ends_with_its_last_byte_wherever_it_is_cut() {
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let counted = "POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\n";
        for (head, body) in [(chunked, "4\r\nabcd\r\n2;x=y\r\nef\r\n0\r\nt: u\r\n\r\n"), (counted, "abcdef")] {
            for cut in 0..body.len() {
                let (mut client, socket) = pair().await;
                client.set_nodelay(true).unwrap();
                let state = Arc::new(Connection::new(socket.peer_addr().unwrap(), Arc::default()));
                let mut line = Line::new(Transport::plain(socket), head.as_bytes(), 64 << 10, state);
                poll_fn(|cx| line.poll_head(cx)).await.unwrap();
                let (mut content, mut ended) = (Vec::new(), false);
                let (first, last) = body.as_bytes().split_at(cut);
                for part in [first, last].into_iter().filter(|part| !part.is_empty()) {
                    assert!(!ended, "cut at {cut}");
                    client.write_all(part).await.unwrap();
                    line.socket.tcp().readable().await.unwrap();
                    poll_fn(|cx| {
                        while let (false, Poll::Ready(next)) = (ended, line.poll_body(cx)) {
                            ended = next.is_none();
                            content.extend(next.into_iter().flat_map(Result::unwrap));
                        }
                        Poll::Ready(())
                    })
                    .await;
                }
                assert!(ended && content == b"abcdef", "cut at {cut}");
            }
        }
    }
}
