//! What an answer carries: bytes that are there, a stream of them, or another service's body.
use crate::listener::Answered;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tidegate_gateway::metrics::Offered;
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time::{Instant, Sleep},
};

/// Anything that can fail while a body is made.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub struct Body {
    kind: Kind,
    /// Dropped when all of it was taken, or nobody takes it any more.
    answered: Option<Answered>,
}
enum Kind {
    Full(Option<Bytes>, Option<Offered>),
    Stream(Box<Stream>),
    Other(UnsyncBoxBody<Bytes, BoxError>),
}
impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Kind::Full(None, None).into()
    }
    /// All at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Kind::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty()), None).into()
    }
    /// All at once; what it carries counts as written when hyper takes it.
    pub(super) fn offered(bytes: Bytes, offered: Offered) -> Self {
        Kind::Full(Some(bytes), Some(offered)).into()
    }
    pub(super) fn stream(stream: Stream) -> Self {
        Kind::Stream(Box::new(stream)).into()
    }
    /// What another service made.
    pub fn other<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Kind::Other(body.map_err(Into::into).boxed_unsync()).into()
    }
    /// Holds it until the body ends; one that is there whole has ended.
    pub(crate) fn until(mut self, answered: Answered) -> Self {
        self.answered = Some(answered).filter(|_| !matches!(self.kind, Kind::Full(..)));
        self
    }
}
impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, answered: None }
    }
}
impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Full(bytes, offered) => {
                offered.take().into_iter().for_each(Offered::written);
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Stream(stream) => stream.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes, offered) => bytes.is_none() && offered.is_none(),
            Kind::Stream(_) => false,
            Kind::Other(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes, _) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}

/// Some frames of a stream, and what is owed for them.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) offered: Option<Offered>,
}
/// A stream that makes its chunks while it is polled: no task of its own, nothing left behind when the client goes.
pub(super) struct Stream {
    /// Puts chunks into `made`; dropped when it is done.
    maker: Option<BoxFuture<'static, ()>>,
    made: mpsc::Receiver<Chunk>,
    /// Handed to hyper; written once hyper asks for more.
    handed: Option<Offered>,
    beat: &'static [u8],
    every: Duration,
    quiet: Pin<Box<Sleep>>,
}
impl Stream {
    /// `maker` holds the only sender of `made`. Says `beat` when it was silent for `every`.
    pub(super) fn new(maker: BoxFuture<'static, ()>, made: mpsc::Receiver<Chunk>, beat: &'static [u8], every: Duration) -> Self {
        Self {
            maker: Some(maker),
            made,
            handed: None,
            beat,
            every,
            quiet: Box::pin(tokio::time::sleep(every)),
        }
    }
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.handed.take().into_iter().for_each(Offered::written);
        let made = loop {
            // Not `poll_recv`: it would say that nothing is there once this task had its share of the runtime. The maker alone puts
            // something in, while it is polled here, so nobody else needs to wake us.
            match self.made.try_recv() {
                Ok(chunk) => break Some(chunk),
                Err(TryRecvError::Disconnected) => break None,
                Err(TryRecvError::Empty) => {}
            }
            if let Some(maker) = &mut self.maker {
                if maker.as_mut().poll(cx).is_ready() {
                    self.maker = None;
                    continue;
                }
                // It may have put something in before it had to wait.
                if !self.made.is_empty() {
                    continue;
                }
            }
            if self.quiet.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.listen_again();
            return Poll::Ready(Some(Bytes::from_static(self.beat)));
        };
        self.listen_again();
        Poll::Ready(made.map(|chunk| {
            self.handed = chunk.offered;
            chunk.bytes
        }))
    }
    fn listen_again(&mut self) {
        self.quiet.as_mut().reset(Instant::now() + self.every);
    }
}
