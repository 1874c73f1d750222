//! How a stream's answer is taken: piece by piece, each made when the last one fitted the client's window, and none waiting for ever.
use crate::{
    http::body::{Body, BoxError},
    listener::connection::Connection,
};
use bytes::Bytes;
use futures::task::AtomicWaker;
use http::Extensions;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    cell::RefCell,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tidegate_core::tasks;
use tokio::time::{Instant, Sleep};

/// What the parser holds of a stream whose client takes nothing: this, and as much again that was let go into its window.
pub(in crate::listener) const PIECE: usize = 16 << 10;

/// Shared by a stream's body and its task: odd while a piece is handed out that does not fit yet.
#[derive(Debug, Default)]
pub(super) struct Pace {
    step: AtomicU32,
    /// The stream may become something else than HTTP.
    becomes: AtomicBool,
    /// The task of a stream that is no longer HTTP: what it waits for does not say that nobody writes any more.
    tunnel: AtomicWaker,
}
impl Pace {
    fn step(&self, waits: bool) {
        let step = self.step.load(Ordering::Relaxed);
        if (step % 2 == 1) != waits {
            self.step.store(step.wrapping_add(1), Ordering::Relaxed);
        }
    }
    /// It was asked for.
    pub(super) fn becomes(&self) {
        self.becomes.store(true, Ordering::Relaxed);
    }
    fn waits(&self) -> Option<u32> {
        Some(self.step.load(Ordering::Relaxed)).filter(|step| step % 2 == 1)
    }
}
thread_local! {
    /// Of the stream whose task is being polled.
    static POLLED: RefCell<Option<Arc<Pace>>> = const { RefCell::new(None) };
}
/// Whoever speaks on a stream that is no longer HTTP. Dropped, the client has a moment to take what is left; then the stream is reset.
pub(crate) struct Lease {
    pace: Option<Arc<Pace>>,
    _opened: Opened,
}
impl Lease {
    /// With the extensions of the request that asked for it.
    pub(crate) fn new(connection: &Arc<Connection>, of: &Extensions) -> Self {
        Self {
            pace: of.get::<Arc<Pace>>().cloned(),
            _opened: Opened::new(connection),
        }
    }
}
impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.step(true);
            pace.tunnel.wake();
        }
    }
}
/// Counts one open stream.
pub(super) struct Opened(Arc<Connection>);
impl Opened {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        connection.begin();
        Self(connection.clone())
    }
}
impl Drop for Opened {
    fn drop(&mut self) {
        self.0.finish();
    }
}
/// An answer in pieces.
pub(super) struct Pieces {
    body: Body,
    rest: Bytes,
    pace: Arc<Pace>,
    _opened: Opened,
}
impl Pieces {
    pub(super) fn new(body: Body, pace: Arc<Pace>, opened: Opened) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            pace,
            _opened: opened,
        }
    }
}
impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        this.pace.step(false);
        if this.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        this.pace.step(true);
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

/// Runs the streams of one connection. They end with it: the parser tells each that its connection is gone.
#[derive(Clone)]
pub(super) struct Streams {
    /// The stream that is being accepted: its future comes next.
    next: Arc<Mutex<Option<Arc<Pace>>>>,
    stall: Duration,
}
impl Streams {
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            next: Arc::default(),
            stall,
        }
    }
    /// Of the stream whose future comes next.
    pub(super) fn pace(&self) -> Arc<Pace> {
        let pace = Arc::<Pace>::default();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(pace.clone());
        pace
    }
}
impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        // What a stream's own task starts writes for it when it is no longer HTTP; all else is a stream that was accepted.
        let polled = POLLED.take();
        let tunnel = polled.is_some();
        let pace = polled.or_else(|| self.next.lock().unwrap_or_else(PoisonError::into_inner).take());
        tasks::detach(Paced {
            future: Box::pin(future),
            pace: pace.unwrap_or_default(),
            stall: self.stall,
            tunnel,
            late: None,
        });
    }
}
/// A stream's task. It ends when the client did not take a piece in time, which resets the stream and gives its memory back.
struct Paced<F> {
    future: Pin<Box<F>>,
    pace: Arc<Pace>,
    stall: Duration,
    /// It is no longer HTTP.
    tunnel: bool,
    /// The piece that waits, and until when. Only a client that is behind costs a timer.
    late: Option<(u32, Pin<Box<Sleep>>)>,
}
impl<F: Future<Output = ()>> Future for Paced<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.tunnel {
            this.pace.tunnel.register(cx.waker());
        } else if this.pace.becomes.load(Ordering::Relaxed) {
            POLLED.set(Some(this.pace.clone()));
        }
        let ended = this.future.as_mut().poll(cx).is_ready();
        POLLED.take();
        if ended {
            return Poll::Ready(());
        }
        let Some(piece) = this.pace.waits() else {
            this.late = None;
            return Poll::Pending;
        };
        let deadline = Instant::now() + this.stall;
        let (waiting, timer) = this
            .late
            .get_or_insert_with(|| (piece, Box::pin(tokio::time::sleep_until(deadline))));
        if *waiting != piece {
            *waiting = piece;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}
