//! Our own accept loop: caps, timeouts and a graceful end that no library hides.
mod client;
mod connection;
pub mod guard;
mod sweeper;

pub use client::Client;
pub(crate) use client::Within;
pub use connection::{Answered, Connection, Socket, Successor};

use client::Direct;

use crate::http::{body::Body, problem};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use sweeper::Sweeper;
use tidegate_core::{
    drain::Watch,
    error::{Code, Error, Fault, Result, Retry},
    tasks::{self, Task},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

/// How long, and for how many bytes, a client that is still sending is listened to after the last word.
const LINGER: Duration = Duration::from_secs(1);
const UNREAD: usize = 256 << 10;
/// For those over the cap of connections: many may come at once.
const SHORT: Duration = Duration::from_millis(100);

/// Answers requests. The future may be dropped at any await: the client left.
pub trait Handler: Send + Sync + 'static {
    /// One request. Never fails: an error is an answer too.
    fn handle(self: Arc<Self>, request: Request<Incoming>, connection: Arc<Connection>) -> impl Future<Output = Response<Body>> + Send;
}
/// What every connection of a listener keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is told 503 and closed.
    pub connections: usize,
    /// Bytes of a request head.
    pub head: usize,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without a byte taken by the client while there is something to write.
    pub write_stall: Duration,
}
/// Threads with a runtime each, to which connections are given in turn. Without any they run where they are accepted.
#[derive(Clone, Debug, Default)]
pub struct Pinned {
    threads: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
}
impl Pinned {
    /// On these.
    pub fn new(threads: impl IntoIterator<Item = Handle>) -> Self {
        Self {
            threads: threads.into_iter().collect(),
            turn: Arc::default(),
        }
    }
    fn next(&self) -> Option<&Handle> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.threads.get(turn % self.threads.len().max(1))
    }
}
/// What a listener has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections that are open.
    pub open: AtomicUsize,
    /// Connections there were.
    pub accepted: AtomicU64,
    /// Connections that were told 503.
    pub shed: AtomicU64,
    /// Connections closed for a timeout.
    pub timed_out: AtomicU64,
}

/// A listening socket.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}
impl Listener {
    /// Listens. What holds the port is named if the system tells.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let code = if error.kind() == std::io::ErrorKind::AddrInUse {
                Code::AddressInUse
            } else {
                Code::CommandFailed
            };
            Error::new(code, Fault::Operator, format!("cannot listen on {address}: {error}")).because(error)
        };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }
    /// With the port the system chose, if 0 was asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Accepts until the drain begins; connections then finish what they are at.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, limits: Limits, seen: Arc<Seen>, mut drain: Watch, threads: Pinned) {
        let sweeper = Sweeper::new(limits);
        // Held by every connection: a slow client has no more time during a drain than before.
        let sweeping = Arc::new(tasks::spawn(sweeper.clone().run(drain.clone())));
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.started() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    seen.accepted.fetch_add(1, Ordering::Relaxed);
                    if seen.open.load(Ordering::Relaxed) >= limits.connections {
                        seen.shed.fetch_add(1, Ordering::Relaxed);
                        tasks::detach(shed(socket));
                        continue;
                    }
                    let serving = Serving {
                        handler: handler.clone(),
                        sweeper: sweeper.clone(),
                        _sweeping: sweeping.clone(),
                        seen: seen.clone(),
                        drain: drain.clone(),
                    };
                    match threads.next() {
                        None => tasks::detach(serving.run(socket, peer)),
                        Some(thread) => serving.run_on(thread, socket, peer),
                    }
                }
                // Out of descriptors, or the client gave up: neither may end the loop, nor spin it.
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}
/// One connection, from accept to close.
struct Serving<H> {
    handler: Arc<H>,
    sweeper: Arc<Sweeper>,
    _sweeping: Arc<Task>,
    seen: Arc<Seen>,
    drain: Watch,
}
impl<H: Handler> Serving<H> {
    /// Its socket is watched by that thread's runtime, and all it starts stays there.
    fn run_on(self, thread: &Handle, socket: TcpStream, peer: SocketAddr) {
        let socket = socket.into_std();
        tasks::detach_on(thread, async move {
            match socket.and_then(TcpStream::from_std) {
                Ok(socket) => self.run(socket, peer).await,
                Err(error) => tracing::warn!(error = %error, "a connection could not be handed to its thread"),
            }
        });
    }
    async fn run(self, socket: TcpStream, peer: SocketAddr) {
        let open = (Open::new(&self.seen), self.drain.guard());
        // Before the first byte: a delayed acknowledgement would cost 40 ms. It fails only if the client has gone, and then so does the rest.
        let _gone = socket.set_nodelay(true);
        let connection = self.sweeper.enter(peer);
        let limits = self.sweeper.limits();
        let (handler, state) = (self.handler.clone(), connection.state.clone());
        // Boxed, so that the socket can be taken back from the connection.
        let service = service_fn(move |request| {
            let (handler, state) = (handler.clone(), state.clone());
            Box::pin(async move {
                state.busy();
                // Dropped with a request whose client has gone, too.
                let answered = Answered(state.clone());
                let response = handler.handle(request, state).await;
                Ok::<_, Infallible>(response.map(|body| body.until(answered)))
            })
        });
        let mut http = http1::Builder::new();
        http.pipeline_flush(false)
            .half_close(false)
            .header_read_timeout(None)
            .max_buf_size(limits.head.max(8 << 10));
        let client = Socket::new(socket, limits.head, connection.state.clone());
        let mut serving = http.serve_connection(TokioIo::new(client), service);
        let mut draining = false;
        loop {
            let turn = poll_fn(|cx| {
                connection.state.is_watched_by(cx);
                match serving.poll_without_shutdown(cx) {
                    Poll::Ready(result) => Poll::Ready(Turn::Ended(result)),
                    Poll::Pending if connection.state.has_left() => Poll::Ready(Turn::Ended(Ok(()))),
                    Poll::Pending if connection.state.is_late() => Poll::Ready(Turn::Late),
                    Poll::Pending if !draining && self.drain.is_draining() => Poll::Ready(Turn::Draining),
                    Poll::Pending => Poll::Pending,
                }
            });
            match turn.await {
                Turn::Ended(result) => {
                    let successor = connection.state.successor().filter(|_| result.is_ok());
                    if let Err(error) = result {
                        tracing::debug!(peer = %peer, error = %error, "connection ended");
                    }
                    let parts = serving.into_parts();
                    let client = parts.io.into_inner();
                    if let Some(successor) = successor {
                        let io = Box::new(Direct::new(client.into_socket()));
                        let client = Client {
                            io,
                            read: parts.read_buf,
                            open: Box::new(open),
                        };
                        // It may live for days, and needs nothing of this.
                        drop(connection);
                        tasks::detach(successor(client));
                        return;
                    }
                    let refused = client.unanswered();
                    let word = refused.map(|refusal| problem::last(&Error::client(refusal.code(), refusal.reason())));
                    farewell(client.into_socket(), word, LINGER).await;
                    break;
                }
                Turn::Late => {
                    self.seen.timed_out.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(peer = %peer, "connection closed: no progress in time");
                    break;
                }
                Turn::Draining => {
                    draining = true;
                    Pin::new(&mut serving).graceful_shutdown();
                }
            }
        }
        drop(open);
    }
}
/// Why a connection's task looks round.
enum Turn {
    /// It closes, or is somebody else's from here on.
    Ended(hyper::Result<()>),
    Late,
    Draining,
}
/// Counts one open connection.
struct Open(Arc<Seen>);
impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.open.fetch_add(1, Ordering::Relaxed);
        Self(seen.clone())
    }
}
impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
/// Over the cap: an answer rather than silence, at the price of one small write.
async fn shed(socket: TcpStream) {
    let error =
        Error::new(Code::Overloaded, Fault::Operator, "all connections are in use").with_retry(Retry::After(Duration::from_secs(1)));
    farewell(socket, Some(problem::last(&error)), SHORT).await;
}
/// Says the last word and goes. What the client still sends is read and thrown away for a moment: closing on it would cost the client
/// the answer (RFC 9112, section 9.6).
async fn farewell(mut socket: TcpStream, word: Option<Vec<u8>>, patience: Duration) {
    let going = async {
        // The client may be gone; then nobody is owed an answer.
        if let Some(word) = word {
            socket.write_all(&word).await?;
        }
        socket.shutdown().await?;
        let mut thrown_away = [0; 4 << 10];
        let mut left = UNREAD;
        while left > 0 {
            match socket.read(&mut thrown_away).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let _late_or_gone = tokio::time::timeout(patience, going).await;
}
