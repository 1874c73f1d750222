//! Our own accept loop: caps, timeouts and a graceful end that no library hides.
mod client;
mod connection;
mod farewell;
mod head;
pub mod http1;
mod http2;
mod incoming;
mod opening;
pub(crate) mod proxies;
mod sweeper;
pub mod tls;
mod transport;

pub use client::Client;
pub(crate) use client::{Tunnel, Within};
pub(crate) use connection::Owed;
pub use connection::{Connection, Successor};
pub use head::Head;
pub(crate) use http2::Lease;
pub use incoming::Incoming;
pub use proxies::Proxies;

use client::Direct;

use crate::http::{body::Body, problem};
use bytes::Bytes;
use farewell::{LINGER, SHORT, farewell};
use http::Response;
use opening::{Opening, opening};
use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use sweeper::Sweeper;
use tidegate_core::{
    drain::Watch,
    error::{Code, Error, Fault, Result},
    tasks::{self, Task},
};
use tls::{Failed, Tls};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
};
use transport::{Front, Transport};

/// Connections the system keeps for us until they are accepted: when a thousand clients come back at once none of them should have to try again.
const BACKLOG: u32 = 4_096;

/// Answers requests. The future may be dropped at any await: the client left.
pub trait Handler: Send + Sync + 'static {
    /// What it remembers of a head, for the next request that begins with it.
    type Memo: Default + Send + Sync + 'static;
    /// One request. Never fails: an error is an answer too.
    fn handle(
        &self,
        head: Arc<Head<Self::Memo>>,
        body: Incoming,
        connection: Arc<Connection>,
    ) -> impl Future<Output = Response<Body>> + Send;
    /// The answer to a head of HTTP/1.1 that is no request, as bytes; then the connection is closed.
    fn last(&self, error: &Error) -> Vec<u8> {
        problem::last(error)
    }
}
/// What every connection of a listener keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is told 503 and closed.
    pub connections: usize,
    /// Bytes of a request head.
    pub head: usize,
    /// Header fields of a head: they unfold to several times their size in memory. A hundred are read in any case, so that one too many is told by
    /// who knows what was asked.
    pub fields: usize,
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
    /// For what may run on any of them.
    pub fn any(&self) -> Option<&Handle> {
        self.threads.first()
    }
    /// All of them.
    pub fn all(&self) -> &[Handle] {
        &self.threads
    }
    /// Whose turn it is, and its number; `None`: whoever is idle.
    fn next(&self) -> Option<(usize, &Handle)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.threads.len().max(1);
        self.threads.get(turn).map(|thread| (turn, thread))
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
    /// Connections that ended before HTTP could begin on them.
    pub unready: AtomicU64,
}

/// A listening socket.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    door: Door,
}
/// What stands between a socket and HTTP.
#[derive(Clone, Default)]
pub struct Door {
    /// TLS; `None`: none.
    pub tls: Option<Arc<Tls>>,
    /// Who may say who is calling; `None`: nobody.
    pub proxies: Option<Arc<Proxies>>,
}
impl Listener {
    /// Listens. What holds the port is named if the system tells.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let code = if error.kind() == std::io::ErrorKind::AddrInUse {
                Code::AddressInUse
            } else {
                Code::CommandFailed
            };
            Error::new(code, Fault::Operator, format!("cannot listen on {address}: {error}")).because(error)
        };
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket
            .and_then(|socket| {
                // A restart takes the port again although connections of the last process linger.
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                socket.listen(BACKLOG)
            })
            .map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            door: Door::default(),
        })
    }
    /// Behind that door.
    #[must_use]
    pub fn behind(mut self, door: Door) -> Self {
        self.door = door;
        self
    }
    /// With the port the system chose, if 0 was asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Accepts until the drain begins; connections then finish what they are at.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, limits: Limits, seen: Arc<Seen>, drain: Watch, threads: Pinned) {
        let Some((here, thread)) = threads.next() else {
            return self.accept(handler, limits, seen, drain, threads.clone(), None).await;
        };
        // On one of the threads that serve: a connection that stays there is handed to nobody.
        let Self { socket, address, door } = self;
        let socket = socket.into_std();
        let others = threads.clone();
        let accepting = async move {
            match socket.and_then(TcpListener::from_std) {
                Ok(socket) => {
                    let own = Self { socket, address, door };
                    own.accept(handler, limits, seen, drain, others, Some(here)).await;
                }
                Err(error) => tracing::error!(error = %error, %address, "nobody accepts here"),
            }
        };
        tasks::spawn_on(thread, accepting).ended().await;
    }
    async fn accept<H: Handler>(
        self,
        handler: Arc<H>,
        limits: Limits,
        seen: Arc<Seen>,
        mut drain: Watch,
        threads: Pinned,
        here: Option<usize>,
    ) {
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
                        // Nobody sweeps it: it has a moment only.
                        let state = Connection::new(peer, Arc::default());
                        let tls = self.door.tls.is_some();
                        tasks::detach(async move { farewell::shed(Transport::plain(socket), &state, tls).await });
                        continue;
                    }
                    let serving = Serving {
                        handler: handler.clone(),
                        sweeper: sweeper.clone(),
                        _sweeping: sweeping.clone(),
                        seen: seen.clone(),
                        drain: drain.clone(),
                        door: self.door.clone(),
                    };
                    match threads.next() {
                        Some((other, thread)) if Some(other) != here => serving.run_on(thread, socket, peer),
                        _ => tasks::detach(serving.run(socket, peer)),
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
    door: Door,
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
    async fn run(mut self, socket: TcpStream, peer: SocketAddr) {
        let open = (Open::new(&self.seen), self.drain.guard());
        // Before the first byte: a delayed acknowledgement would cost 40 ms. It fails only if the client has gone, and then so does the rest.
        let _gone = socket.set_nodelay(true);
        let (front, peer) = match self.believed(peer) {
            None => (Front::new(socket, Bytes::new()), peer),
            Some(_) => match Box::pin(self.told(socket, peer)).await {
                Some(told) => told,
                None => return,
            },
        };
        let connection = self.sweeper.enter(peer, self.believed(peer), self.door.tls.is_some());
        let state = &connection.state;
        let mut socket = match &self.door.tls {
            None => Transport::Plain(front),
            // Boxed, so that who needs no TLS does not pay for it.
            Some(tls) => match Box::pin(self.secured(&tls.clone(), front, state)).await {
                Some(socket) => socket,
                None => return,
            },
        };
        let opened = tokio::select! {
            biased;
            opened = opening(&mut socket, state) => opened,
            () = state.overdue() => {
                self.timed_out(peer);
                return;
            }
            // Who has said no more than this leaves nothing undone.
            () = self.drain.started() => return,
        };
        match opened {
            Ok(Opening::Http1(early)) => {
                if let Some((successor, io, read)) = self.http1(socket, early, state).await {
                    // It may live for days, and needs nothing else of this.
                    drop(connection);
                    let open = Box::new(open);
                    let mut next = successor(Client { io, read, open });
                    // Most need no task of their own.
                    if futures::poll!(&mut next).is_pending() {
                        tasks::detach(next);
                    }
                    return;
                }
            }
            // Boxed: its state is the larger one, and no HTTP/1.1 client should pay for it.
            Ok(Opening::Http2) => Box::pin(self.http2(socket, state)).await,
            Ok(Opening::Nothing) | Err(_) => {}
        }
        drop(open);
    }
    /// The proxies, if that is one of them.
    fn believed(&self, peer: SocketAddr) -> Option<Arc<Proxies>> {
        self.door.proxies.clone().filter(|proxies| proxies.trusts(peer.ip()))
    }
    /// What a proxy says before HTTP, and who is calling; nobody sweeps it yet. `None`: there will be no HTTP.
    async fn told(&mut self, mut socket: TcpStream, peer: SocketAddr) -> Option<(Front, SocketAddr)> {
        let limits = self.sweeper.limits();
        let told = tokio::select! {
            biased;
            told = proxies::told(&mut socket, limits.idle, limits.head_timeout) => told,
            () = self.drain.started() => return None,
        };
        match told {
            Ok(told) => Some((Front::new(socket, told.early), told.caller.unwrap_or(peer))),
            Err(error) => {
                match error.kind() {
                    ErrorKind::TimedOut => self.timed_out(peer),
                    ErrorKind::InvalidData => {
                        self.seen.unready.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(peer = %peer, error = %error, "no connection");
                    }
                    _ => {}
                }
                None
            }
        }
    }
    /// With TLS; the time of a head is the time of the handshake, and it runs from the beginning. `None`: there will be no HTTP.
    async fn secured(&mut self, tls: &Tls, front: Front, state: &Connection) -> Option<Transport> {
        state.begun();
        let failed = tokio::select! {
            biased;
            accepted = tls.accept(front) => match accepted {
                Ok(socket) => {
                    state.rests();
                    return Some(socket);
                }
                Err(failed) => failed,
            },
            () = state.overdue() => {
                self.timed_out(state.peer);
                return None;
            }
            () = self.drain.started() => return None,
        };
        let (front, word) = match failed {
            Failed::Gone => return None,
            Failed::Plain(front) => (front, Some(problem::plain_on_tls())),
            Failed::Handshake(error, front) => {
                tracing::debug!(peer = %state.peer, error = %error, "no handshake");
                (front, None)
            }
        };
        self.seen.unready.fetch_add(1, Ordering::Relaxed);
        farewell(Transport::Plain(front), word, SHORT).await;
        None
    }
    /// Until the client or the gateway ends it, or the connection is no longer HTTP: then what it becomes, and what has come for that.
    async fn http1(&mut self, socket: Transport, early: Bytes, connection: &Arc<Connection>) -> Option<(Successor, Box<Direct>, Bytes)> {
        let limits = self.sweeper.limits();
        match http1::serve(socket, &early, &self.handler, limits, connection, &self.drain).await {
            http1::Ended::Closed(socket, word) => farewell(socket, word, LINGER).await,
            http1::Ended::Late => self.timed_out(connection.peer),
            http1::Ended::Left(successor, socket, held) => return Some((successor, Box::new(Direct(socket)), held)),
        }
        None
    }
    async fn http2(&mut self, socket: Transport, connection: &Arc<Connection>) {
        let peer = connection.peer;
        let mut serving = http2::serve(socket, self.handler.clone(), self.sweeper.limits(), connection.clone());
        let mut draining = false;
        loop {
            tokio::select! {
                biased;
                result = &mut serving => {
                    if let Err(error) = result {
                        tracing::debug!(peer = %peer, error = %error, "connection ended");
                    }
                    break;
                }
                () = connection.overdue() => {
                    self.timed_out(peer);
                    break;
                }
                () = self.drain.started(), if !draining => {
                    draining = true;
                    serving.drain();
                }
                // It was told, and has nothing open: whether it answers that or not, it has had its time.
                () = tokio::time::sleep(LINGER), if draining => {
                    if connection.streams() == 0 {
                        break;
                    }
                }
            }
        }
    }
    fn timed_out(&self, peer: SocketAddr) {
        self.seen.timed_out.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(peer = %peer, "connection closed: no progress in time");
    }
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
