//! A server that does as its script says, in plain TCP or TLS.
use bytes::Bytes;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use testkit::certificates::{Authority, Whose};
use tidegate_core::tasks::{self, Task};
use tidegate_testkit as testkit;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// On which connection, from 0.
    pub(crate) connection: usize,
}
impl Seen {
    /// The value of a header, which is there once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(known, _)| known == name);
        let first = all.next();
        assert!(all.next().is_none(), "`{name}` is there twice");
        first.map(|(_, value)| value.as_str())
    }
}
/// How bytes end.
pub(crate) type Way = fn(String) -> Say;
/// What is done with a request.
pub(crate) enum Say {
    /// These bytes, and on to the next request.
    Answer(String),
    /// These bytes, then the end of the connection.
    Close(String),
    /// These bytes, then a reset.
    Reset(String),
    /// These bytes, and nothing more.
    Hang(String),
    /// These bytes, then one more every 20 ms.
    Drip(String),
    /// These bytes, then more for ever.
    Flood(String),
    /// What was asked for by `CONNECT`: bytes there and back.
    Tunnel,
    /// These bytes before the body was read, which it never is.
    Early(String),
    /// These bytes once the server is told to go on.
    Wait(String),
}
pub(crate) fn answer(status: &str) -> Say {
    Say::Answer(plain(status, ""))
}
pub(crate) fn plain(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n{headers}\r\nok")
}
#[derive(Default)]
pub(crate) struct State {
    seen: Mutex<Vec<Seen>>,
    accepted: AtomicUsize,
    ended: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    changed: Notify,
    go: Notify,
}
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    _task: Task,
}
type Script = dyn Fn(usize, &Seen) -> Say + Send + Sync;
impl Server {
    pub(crate) async fn new(script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", None, script).await
    }
    pub(crate) async fn at(host: &str, tls: Option<TlsAcceptor>, script: impl Fn(usize, &Seen) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (own, script): (_, Arc<Script>) = (state.clone(), Arc::new(script));
        let task = tasks::spawn(async move {
            let mut tasks = Vec::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let connection = own.accepted.fetch_add(1, Ordering::SeqCst);
                own.changed.notify_waiters();
                let (own, script, tls) = (own.clone(), script.clone(), tls.clone());
                tasks.push(tasks::spawn(async move {
                    match tls {
                        None => serve(tcp, connection, &own, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, connection, &own, &*script).await;
                            }
                        }
                    }
                    own.ended.fetch_add(1, Ordering::SeqCst);
                    own.changed.notify_waiters();
                }));
            }
        });
        Self {
            address,
            state,
            _task: task,
        }
    }
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
    pub(crate) fn secure(&self, host: &str) -> String {
        format!("https://{host}:{}/hook", self.address.port())
    }
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
    /// Most requests at once.
    pub(crate) fn most(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
    /// One request that waits is answered.
    pub(crate) fn go(&self) {
        self.state.go.notify_one();
    }
    /// Waits until it holds.
    pub(crate) async fn until(&self, what: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.state.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if what(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(super::LONG, waiting).await.expect("it happens");
    }
    /// Whether a request waits for an answer.
    pub(crate) fn state_waits(&self) -> bool {
        self.state.now.load(Ordering::SeqCst) > 0
    }
    pub(crate) fn ended(&self) -> usize {
        self.state.ended.load(Ordering::SeqCst)
    }
}
/// Linger of zero makes a close a reset; only a bare socket has it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    fn reset(self);
}
impl Wire for TcpStream {
    fn reset(self) {
        self.set_zero_linger().unwrap();
    }
}
impl Wire for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}
async fn serve(mut io: impl Wire, connection: usize, state: &State, script: &Script) {
    let mut read = Vec::new();
    loop {
        let Some(seen) = request(&mut io, &mut read, connection).await else {
            return;
        };
        let now = state.now.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(now, Ordering::SeqCst);
        let number = {
            let mut all = state.seen.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        state.changed.notify_waiters();
        let say = script(number, &seen);
        let (Say::Answer(first)
        | Say::Close(first)
        | Say::Reset(first)
        | Say::Hang(first)
        | Say::Drip(first)
        | Say::Flood(first)
        | Say::Early(first)
        | Say::Wait(first)) = &say
        else {
            let target = seen.line.split(' ').nth(1).unwrap().to_owned();
            let mut other = TcpStream::connect(&target).await.unwrap();
            let _gone = io.write_all(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n").await;
            let _gone = tokio::io::copy_bidirectional(&mut io, &mut other).await;
            return;
        };
        if matches!(say, Say::Wait(_)) {
            state.go.notified().await;
        }
        state.now.fetch_sub(1, Ordering::SeqCst);
        if io.write_all(first.as_bytes()).await.is_err() || io.flush().await.is_err() {
            return;
        }
        match say {
            Say::Answer(_) | Say::Wait(_) | Say::Tunnel => {}
            Say::Close(_) => return,
            Say::Reset(_) => return io.reset(),
            Say::Hang(_) => return gone(&mut io).await,
            // It lets nothing in, and stays.
            Say::Early(_) => return std::future::pending().await,
            Say::Drip(_) => {
                let mut beat = tokio::time::interval(Duration::from_millis(20));
                loop {
                    beat.tick().await;
                    if io.write_all(b".").await.is_err() || io.flush().await.is_err() {
                        return;
                    }
                }
            }
            Say::Flood(_) => while io.write_all(&[b'.'; 4096]).await.is_ok() {},
        }
    }
}
/// Until the other side leaves.
async fn gone(io: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 1024];
    while io.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}
async fn request(io: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let mut piece = vec![0; 16 << 10];
    let head = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let count = io.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&piece[..count]);
    };
    let text = String::from_utf8(read[..head].to_vec()).expect("a head in ASCII");
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut seen = Seen {
        line,
        headers,
        body: Vec::new(),
        connection,
    };
    let length: usize = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    // The rest of a body that says so stays where it is.
    if seen.header("tidegate-key") == Some("early") {
        return Some(seen);
    }
    while read.len() < head + length {
        let count = io.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&piece[..count]);
    }
    seen.body = read[head..head + length].to_vec();
    read.drain(..head + length);
    Some(seen)
}

/// Certificates of an authority that only a test trusts.
pub(crate) struct Trust(Authority);
impl Trust {
    pub(crate) fn new(name: &str) -> Self {
        Self(Authority::new(name))
    }
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.0.pem().as_bytes()).unwrap()
    }
    pub(crate) fn identity(&self, whose: Whose<'_>) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (chain, key) = self.0.sign(whose);
        (
            vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
    }
    /// Of a server for this machine; `clients`: it asks for a certificate of this authority.
    pub(crate) fn acceptor(&self, expired: bool, clients: bool, protocols: &[&str]) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.root()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = self.identity(Whose { name: "server", expired });
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An HTTP/2 server: each request is answered by what the script makes of its number; `None`: never.
pub(crate) struct Two {
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Arc<AtomicUsize>,
    pub(crate) seen: Arc<Mutex<Vec<http::request::Parts>>>,
    pub(crate) bodies: Arc<Mutex<Vec<Bytes>>>,
    _task: Task,
}
/// No status: what is told of a stream that nobody looked at.
pub(crate) const REFUSED: u16 = 0;
impl Two {
    pub(crate) async fn new(tls: Option<TlsAcceptor>, script: impl Fn(usize) -> Option<u16> + Send + Sync + 'static) -> Self {
        Self::leaving(0, tls, script).await
    }
    /// The first so many connections are left (GOAWAY) as soon as a request comes, and before it is looked at.
    pub(crate) async fn leaving(
        first: usize,
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize) -> Option<u16> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let seen: Arc<Mutex<Vec<http::request::Parts>>> = Arc::default();
        let bodies: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let (count, requests, received, script) = (accepted.clone(), seen.clone(), bodies.clone(), Arc::new(script));
        let task = tasks::spawn(async move {
            let mut tasks = Vec::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if count.fetch_add(1, Ordering::SeqCst) < first {
                    tasks.push(tasks::spawn(leave(tcp)));
                    continue;
                }
                let (tls, requests, received, script) = (tls.clone(), requests.clone(), received.clone(), script.clone());
                tasks.push(tasks::spawn(async move {
                    match tls {
                        None => two(tcp, requests, received, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                two(stream, requests, received, &*script).await;
                            }
                        }
                    }
                }));
            }
        });
        Self {
            address,
            accepted,
            seen,
            bodies,
            _task: task,
        }
    }
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}
/// A preface and frames until one begins a request; then that nothing was looked at, and silence until the other side goes.
async fn leave(mut tcp: TcpStream) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let mut preface = [0; 24];
    tcp.read_exact(&mut preface).await.unwrap();
    tcp.write_all(&SETTINGS).await.unwrap();
    let mut head = [0; 9];
    while head[3] != HEADERS {
        tcp.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        tcp.read_exact(&mut payload).await.unwrap();
    }
    tcp.write_all(&GOAWAY).await.unwrap();
    let mut rest = Vec::new();
    let _gone = tcp.read_to_end(&mut rest).await;
}
async fn two(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    seen: Arc<Mutex<Vec<http::request::Parts>>>,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    script: &(dyn Fn(usize) -> Option<u16> + Send + Sync),
) {
    let Ok(mut connection) = h2::server::handshake(io).await else {
        return;
    };
    let mut kept = Vec::new();
    let mut tasks = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        let number = {
            let mut all = seen.lock().unwrap();
            all.push(head);
            all.len() - 1
        };
        let Some(status) = script(number) else {
            kept.push((respond, body));
            continue;
        };
        if status == REFUSED {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            continue;
        }
        let bodies = bodies.clone();
        tasks.push(tasks::spawn(async move {
            let mut whole = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                let _ended = body.flow_control().release_capacity(data.len());
                whole.extend_from_slice(&data);
            }
            bodies.lock().unwrap().push(whole.into());
            let head = http::Response::builder().status(status).body(()).unwrap();
            if let Ok(mut stream) = respond.send_response(head, false) {
                let _gone = stream.send_data(Bytes::from_static(b"ok"), true);
            }
        }));
    }
}
