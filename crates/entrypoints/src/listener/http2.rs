//! HTTP/2 without TLS, for clients that know (RFC 9113, section 3.3): its bounds, all of them said here.
mod frames;
mod line;
mod pace;

use super::{Handler, Limits, connection::Connection};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use line::Line;
use pace::{Opened, Pieces, Streams};
use std::{convert::Infallible, sync::Arc};
use tokio::net::TcpStream;

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
    socket: TcpStream,
    handler: Arc<H>,
    limits: Limits,
    state: Arc<Connection>,
) -> impl Future<Output = hyper::Result<()>> + Drained + Send {
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
        .max_local_error_reset_streams(RESET_FOR_FAULTS);
    let line = Line::new(socket, state.clone());
    let service = service_fn(move |request| {
        let (handler, state) = (handler.clone(), state.clone());
        let (pace, opened) = (streams.pace(), Opened::new(&state));
        async move {
            let response = handler.handle(request, state).await;
            Ok::<_, Infallible>(response.map(|body| Pieces::new(body, pace, opened)))
        }
    });
    http.serve_connection(TokioIo::new(line), service)
}
/// A connection that can be told to take no more requests and to end with those it has.
pub(super) trait Drained {
    /// GOAWAY; what is begun goes on.
    fn drain(self: std::pin::Pin<&mut Self>);
}
impl<S, B> Drained for http2::Connection<TokioIo<Line>, S, Streams>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Streams: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn drain(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
