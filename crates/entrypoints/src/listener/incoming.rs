//! The body of a request, of whichever version of HTTP.
use super::http1::{Due, Line};
use crate::http::body::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// The content of a request as it comes. It ends with an error when the client leaves or frames it badly.
pub struct Incoming(Kind);
enum Kind {
    /// It came with its head.
    Whole(Bytes),
    /// It is on its way.
    Line(Arc<Mutex<Line>>),
    Stream(hyper::body::Incoming),
}
impl Incoming {
    pub(super) fn whole(content: Bytes) -> Self {
        Self(Kind::Whole(content))
    }
    /// All of it, if it came with its head.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Kind::Whole(content) => Some(std::mem::take(content)),
            Kind::Line(_) | Kind::Stream(_) => None,
        }
    }
    pub(super) fn on(line: Arc<Mutex<Line>>) -> Self {
        Self(Kind::Line(line))
    }
}
impl From<hyper::body::Incoming> for Incoming {
    fn from(stream: hyper::body::Incoming) -> Self {
        Self(Kind::Stream(stream))
    }
}
fn due(line: &Mutex<Line>) -> Due {
    line.lock().unwrap_or_else(PoisonError::into_inner).due()
}
impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Whole(content) if content.is_empty() => Poll::Ready(None),
            Kind::Whole(content) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(content))))),
            Kind::Line(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                Poll::Ready(ready!(line.poll_body(cx)).map(|content| content.map(Frame::data)))
            }
            Kind::Stream(stream) => Pin::new(stream).poll_frame(cx).map_err(Into::into),
        }
    }
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(content) => content.is_empty(),
            Kind::Line(line) => due(line) == Due::Nothing,
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(content) => SizeHint::with_exact(content.len() as u64),
            Kind::Line(line) => match due(line) {
                Due::Nothing => SizeHint::with_exact(0),
                Due::Bytes(due) => SizeHint::with_exact(due),
                Due::Unknown => SizeHint::default(),
            },
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}
