//! HTTP/2, for clients that agreed on it under TLS or know without (RFC 9113, section 3): its bounds, all of them said here.
mod frames;
mod line;
mod pace;

use super::{Handler, Head, Limits, connection::Connection, transport::Transport};
use crate::http::body::{Body, BoxError};
use http::{Method, Request, Response, header};
use http_body::Body as HttpBody;
use hyper::{
    body::Incoming,
    rt::bounds::Http2ServerConnExec,
    server::conn::http2,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use line::{Line, Turn};
pub(crate) use pace::Lease;
pub(super) use pace::PIECE;
use pace::{Opened, Pieces, Streams};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Requests at once. One more is refused, which a client may repeat without harm.
const STREAMS: u32 = 256;
/// Bytes that the client may send ahead of what is read, over all streams and on each. What it sends is read as it comes.
const WINDOW: u32 = 1 << 20;
/// The least there is.
const FRAME: u32 = 16 << 10;
/// Streams that were reset before anybody looked at them (CVE-2023-44487).
const RESET_UNSEEN: usize = 20;
/// Streams that were reset for what the client did wrong (RUSTSEC-2024-0003).
const RESET_FOR_FAULTS: usize = 128;
/// Bytes of the table of head fields.
const TABLE: u32 = 4 << 10;

/// Serves a connection whose preface has been read.
pub(super) fn serve<H: Handler>(
    socket: Transport,
    handler: Arc<H>,
    limits: Limits,
    state: Arc<Connection>,
) -> Serving<impl Future<Output = hyper::Result<()>> + Drain + Send> {
    state.many();
    let streams = Streams::new(limits.write_stall);
    let mut http = http2::Builder::new(streams.clone());
    http.max_concurrent_streams(STREAMS)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .header_table_size(TABLE)
        .max_send_buf_size(pace::PIECE)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_FOR_FAULTS)
        .enable_connect_protocol();
    let turn = Turn::default();
    let line = Line::new(socket, turn.clone(), state.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (handler, state) = (handler.clone(), state.clone());
        let (pace, opened) = (streams.pace(), Opened::new(&state));
        let head = request.method() == Method::HEAD;
        if request.method() == Method::CONNECT {
            // What it becomes holds on to it.
            pace.becomes();
            request.extensions_mut().insert(pace.clone());
        }
        async move {
            let (parts, body) = request.into_parts();
            let mut response = handler.handle(Arc::new(Head::new(parts)), body.into(), state).await;
            if head {
                only_head(&mut response);
            }
            Ok::<_, Infallible>(response.map(|body| Pieces::new(body, pace, opened)))
        }
    });
    Serving {
        connection: Box::pin(http.serve_connection(TokioIo::new(line), service)),
        turn,
    }
}
/// Of HTTP/1.1 hyper leaves the body of an answer to HEAD out, of HTTP/2 it does not.
fn only_head(response: &mut Response<Body>) {
    let body = std::mem::replace(response.body_mut(), Body::empty());
    if let Some(length) = body.size_hint().exact() {
        response
            .headers_mut()
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
}
/// A connection that is served while it is polled.
pub(super) struct Serving<C> {
    connection: Pin<Box<C>>,
    turn: Turn,
}
impl<C: Drain> Serving<C> {
    /// Takes no more requests (GOAWAY), and ends with those it has.
    pub(super) fn drain(&mut self) {
        self.connection.as_mut().drain();
    }
}
impl<C: Future> Future for Serving<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        self.turn.begins();
        self.connection.as_mut().poll(cx)
    }
}
/// What hyper can do, without the names of its types.
pub(super) trait Drain {
    fn drain(self: Pin<&mut Self>);
}
impl<S, B> Drain for http2::Connection<TokioIo<Line>, S, Streams>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
    Streams: Http2ServerConnExec<S::Future, B>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
