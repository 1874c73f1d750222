//! A client that is no longer spoken to in HTTP, and its socket.
use super::{http2::PIECE, transport::Transport};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use std::{
    any::Any,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tidegate_gateway::shard::Io;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What a successor of HTTP gets.
pub struct Client {
    /// The socket, or what stands for it.
    pub io: Box<dyn Io>,
    /// What came behind the last request.
    pub read: Bytes,
    /// Held as long as this counts as a connection.
    pub open: Box<dyn Any + Send>,
}
/// What the system may hold unsent: a client that does not read costs the kernel little, and we see it soon.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 16 << 10;

/// A socket of its own.
pub(super) struct Direct(pub(super) Transport);
impl Io for Direct {
    // They fail only if the client has gone, and then so does the rest.
    #[cfg(target_os = "linux")]
    fn allow(&mut self, unacknowledged: Duration) {
        let socket = SockRef::from(self.0.tcp());
        let _gone = socket.set_tcp_notsent_lowat(UNSENT);
        let _gone = socket.set_tcp_user_timeout(Some(unacknowledged));
    }
    /// Elsewhere there is no such option: the system's own patience counts.
    #[cfg(not(target_os = "linux"))]
    fn allow(&mut self, _unacknowledged: Duration) {}
}
/// A stream within a connection, which has its own ways to see that the client has gone.
pub(crate) struct Within(pub(crate) DuplexStream);
impl Io for Within {
    fn allow(&mut self, _unacknowledged: Duration) {}
}
/// A stream of HTTP/2 that is no longer HTTP.
pub(crate) struct Tunnel(TokioIo<Upgraded>);
impl Tunnel {
    pub(crate) fn new(stream: Upgraded) -> Self {
        Self(TokioIo::new(stream))
    }
}
impl Io for Tunnel {
    fn allow(&mut self, _unacknowledged: Duration) {}
}
impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}
impl AsyncWrite for Tunnel {
    /// hyper copies what it is given, and keeps a few of them for a client whose window is shut.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = bytes.get(..bytes.len().min(PIECE)).unwrap_or_default();
        Pin::new(&mut self.0).poll_write(cx, piece)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
macro_rules! pass_on {
    ($io:ty) => {
        impl AsyncRead for $io {
            fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, buf)
            }
        }
        impl AsyncWrite for $io {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, bytes)
            }
            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }
            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}
pass_on!(Direct);
pass_on!(Within);
