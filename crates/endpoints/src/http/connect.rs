//! From a name to a socket: looked up once, judged, connected to what was judged, through a proxy if there is one, then TLS.
use super::{
    attempt::{Progress, Step},
    guard::{Guard, Resolve},
    mistrust::Mistrust,
    spec::Steps,
};
use base64_simd::STANDARD;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tidegate_core::error::{Code, Error, Fault, Retry};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

/// Of the addresses of a name as many are tried.
const TRIED: usize = 4;
/// Of a proxy's answer as much is read.
const PROXY_HEAD: usize = 8 << 10;

/// What went wrong, and how far it had come.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) error: Error,
}
impl Failure {
    pub(super) fn new(step: Step, code: Code, text: String) -> Self {
        let fault = if code == Code::AddressForbidden {
            Fault::Operator
        } else {
            Fault::Broker
        };
        Self {
            step,
            error: Error::new(code, fault, text).with_retry(Retry::Now),
        }
    }
    fn down(step: Step, text: String) -> Self {
        Self::new(step, Code::TargetDown, text)
    }
    fn slow(step: Step, text: String) -> Self {
        Self::new(step, Code::TargetTimeout, text)
    }
}
/// Somebody to connect to: the target, its proxy, or who gives out tokens.
#[derive(Debug)]
pub(super) struct Peer {
    host: Host<String>,
    port: u16,
    /// Whom its certificate is to name; `None`: no TLS.
    name: Option<ServerName<'static>>,
    /// `Basic …`, for a proxy.
    authorization: Option<String>,
    found: Mutex<Option<Found>>,
}
#[derive(Debug)]
struct Found {
    until: Instant,
    addresses: Arc<[SocketAddr]>,
}
impl Peer {
    /// Fails for what cannot be called; the text says why.
    pub(super) fn of(url: &Url) -> Result<Self, &'static str> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("it begins with neither `http://` nor `https://`"),
        };
        let host = url.host().ok_or("it names no host")?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("it has no port")?;
        let name = match &host {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| "its host is no name")?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        Ok(Self {
            host,
            port,
            name: secure.then_some(name),
            authorization: authorization(url),
            found: Mutex::new(None),
        })
    }
    pub(super) fn is_secure(&self) -> bool {
        self.name.is_some()
    }
    /// Every address, judged. One lookup at a time: the others wait for it and use what it found.
    async fn addresses(&self, network: &Network<'_>, progress: &Progress) -> Result<Arc<[SocketAddr]>, Failure> {
        progress.reach(Step::Resolve);
        let addresses: Arc<[SocketAddr]> = match &self.host {
            Host::Ipv4(address) => [(*address, self.port).into()].into(),
            Host::Ipv6(address) => [(*address, self.port).into()].into(),
            Host::Domain(name) => {
                let mut found = self.found.lock().await;
                if found.as_ref().is_none_or(|found| found.until <= Instant::now()) {
                    *found = None;
                }
                if let Some(found) = &*found {
                    found.addresses.clone()
                } else {
                    let addresses = network.look_up(name, self.port).await?;
                    *found = Some(Found {
                        until: Instant::now() + network.guard.remember,
                        addresses: addresses.clone(),
                    });
                    addresses
                }
            }
        };
        progress.reach(Step::Guard);
        for address in &*addresses {
            // A name with one bad address among good ones is not trusted with the good ones either.
            if let Some(kind) = network.guard.refuses(address.ip()) {
                let address = address.ip();
                let what = match &self.host {
                    Host::Domain(name) => format!("`{name}` is at `{address}` ({kind})"),
                    Host::Ipv4(_) | Host::Ipv6(_) => format!("`{address}` is no public address ({kind})"),
                };
                let text = format!("{what}, where no outgoing call may go unless `outgoing.allow` has it");
                let mut refused = Failure::new(Step::Guard, Code::AddressForbidden, text);
                refused.error = refused.error.with_hint(format!(
                    "if it is yours, allow it or its network: `outgoing.allow: [{address}]`; what stands there replaces the default"
                ));
                network.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                return Err(refused);
            }
        }
        Ok(addresses)
    }
    /// The next connection asks again: it may have moved.
    async fn forget(&self) {
        *self.found.lock().await = None;
    }
}
/// What a proxy hears about who asks: `Basic …`.
pub(super) fn authorization(proxy: &Url) -> Option<String> {
    let decoded = |text: &str| -> Vec<u8> { percent_encoding::percent_decode_str(text).collect() };
    (!proxy.username().is_empty() || proxy.password().is_some()).then(|| {
        let mut plain = decoded(proxy.username());
        plain.push(b':');
        plain.extend(decoded(proxy.password().unwrap_or_default()));
        format!("Basic {}", STANDARD.encode_to_string(plain))
    })
}
/// What every connection of a target goes by.
pub(super) struct Network<'a> {
    pub(super) guard: &'a Guard,
    pub(super) resolver: &'a dyn Resolve,
    pub(super) steps: Steps,
    pub(super) proxy: Option<&'a Peer>,
    pub(super) refused: &'a std::sync::atomic::AtomicU64,
}
impl Network<'_> {
    /// A socket to a peer, and whether HTTP/2 was agreed on.
    pub(super) async fn open(&self, peer: &Peer, tls: &Arc<ClientConfig>, progress: &Progress) -> Result<(Socket, bool), Failure> {
        // Also behind a proxy it is we who say which address: its own resolver may answer something else.
        let targets = peer.addresses(self, progress).await?;
        let connected = match self.proxy {
            None => self.connect(&targets, progress).await,
            Some(proxy) => self.tunnel(proxy, &targets, progress).await,
        };
        let tcp = match connected {
            Ok(tcp) => tcp,
            Err(failure) => {
                peer.forget().await;
                return Err(failure);
            }
        };
        let Some(name) = peer.name.clone() else {
            return Ok((Socket::Plain(tcp), false));
        };
        progress.reach(Step::Tls);
        let shaking = TlsConnector::from(tls.clone()).connect(name, tcp);
        match timeout(self.steps.tls, shaking).await {
            Ok(Ok(stream)) => {
                let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok((Socket::Tls(Box::new(stream)), two))
            }
            Ok(Err(error)) => {
                let why = Mistrust::inside(&error).and_then(Mistrust::of);
                let why = why.map_or_else(|| error.to_string(), |why| why.to_string());
                Err(Failure::down(Step::Tls, format!("no TLS with `{}`: {why}", peer.host)))
            }
            Err(_) => Err(Failure::slow(
                Step::Tls,
                format!("`{}` did not finish its handshake in time", peer.host),
            )),
        }
    }
    async fn look_up(&self, name: &str, port: u16) -> Result<Arc<[SocketAddr]>, Failure> {
        match timeout(self.steps.resolve, self.resolver.resolve(name, port)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(Failure::down(Step::Resolve, format!("`{name}` has no address"))),
            Ok(Ok(addresses)) => Ok(addresses.into()),
            Ok(Err(error)) => Err(Failure::down(Step::Resolve, format!("`{name}` does not resolve: {error}"))),
            Err(_) => Err(Failure::slow(Step::Resolve, format!("`{name}` did not resolve in time"))),
        }
    }
    /// To the first address that takes it, each with its share of the time.
    async fn connect(&self, addresses: &[SocketAddr], progress: &Progress) -> Result<TcpStream, Failure> {
        progress.reach(Step::Connect);
        let tried = addresses.len().clamp(1, TRIED);
        let share: Duration = self.steps.connect / tried as u32;
        let mut last = Failure::down(Step::Connect, "there is no address".to_owned());
        for address in addresses.iter().take(tried) {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // A request is written at once; waiting for more would only delay it.
                    let _as_it_is = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = Failure::down(Step::Connect, format!("no connection to `{address}`: {error}")),
                Err(_) => last = Failure::slow(Step::Connect, format!("no connection to `{address}` in time")),
            }
        }
        Err(last)
    }
    async fn tunnel(&self, proxy: &Peer, targets: &[SocketAddr], progress: &Progress) -> Result<TcpStream, Failure> {
        let addresses = proxy.addresses(self, progress).await?;
        let mut tcp = match self.connect(&addresses, progress).await {
            Ok(tcp) => tcp,
            Err(failure) => {
                proxy.forget().await;
                return Err(failure);
            }
        };
        let Some(target) = targets.first() else {
            return Err(Failure::down(Step::Connect, "there is no address".to_owned()));
        };
        let asking = ask(&mut tcp, *target, proxy.authorization.as_deref());
        match timeout(self.steps.connect, asking).await {
            Ok(Ok(200..=299)) => Ok(tcp),
            Ok(Ok(status)) => Err(Failure::down(Step::Connect, format!("the proxy answered {status}"))),
            Ok(Err(error)) => Err(Failure::down(Step::Connect, format!("the proxy did not answer: {error}"))),
            Err(_) => Err(Failure::slow(Step::Connect, "the proxy did not answer in time".to_owned())),
        }
    }
}
/// `CONNECT` (RFC 9110, section 9.3.6). What comes behind the head belongs to the tunnel, so it is read byte by byte.
async fn ask(tcp: &mut TcpStream, target: SocketAddr, authorization: Option<&str>) -> io::Result<u16> {
    let authorization = authorization.map_or(String::new(), |value| format!("Proxy-Authorization: {value}\r\n"));
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    tcp.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(256);
    let mut left = PROXY_HEAD;
    loop {
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            left = left.checked_sub(1).ok_or_else(|| io::Error::other("its answer is too long"))?;
            answer.push(tcp.read_u8().await?);
        }
        let text = String::from_utf8_lossy(&answer);
        let mut words = text.split(' ');
        match (words.next(), words.next().and_then(|status| status.get(..3)?.parse().ok())) {
            // Only on the way to an answer (RFC 9110, section 15.2).
            (Some("HTTP/1.1"), Some(100 | 102..=199)) => {}
            (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) => return Ok(status),
            _ => return Err(io::Error::other("its answer is no HTTP")),
        }
    }
}

/// Either kind of socket.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}
impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}
impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
