//! The HTTP target against servers that do as a script says, over real sockets of this machine.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
mod answers;
mod connections;
mod guard;
mod journal;
mod server;
mod tls;
mod tokens;

use futures::future::BoxFuture;
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    action::{Action, BatchError},
    delivery::Received,
    error::{Code, Error, Retry},
    headers::Headers,
    message::Message,
    position::Position,
    topic::Topic,
};
use tidegate_endpoints::http::{Attempt, Guard, Journal, Resolve, Shared, Spec, Target};

/// Longer than anything here takes, so that what hangs fails.
const LONG: Duration = Duration::from_secs(20);

/// Keeps all attempts.
#[derive(Default)]
struct Log(Mutex<Vec<Attempt>>);
impl Journal for Log {
    fn note(&self, attempt: Attempt) {
        self.0.lock().unwrap().push(attempt);
    }
}
impl Log {
    fn all(&self) -> Vec<Attempt> {
        self.0.lock().unwrap().clone()
    }
    fn last(&self) -> Attempt {
        self.all().pop().expect("an attempt")
    }
}
/// Says what it was told to, then the last of it again; how often it was asked is counted.
struct Stub {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}
impl Stub {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = answers
            .iter()
            .map(|one| one.iter().map(|address| address.parse().unwrap()).collect());
        Arc::new(Self {
            answers: Mutex::new(parsed.collect()),
            asked: AtomicUsize::new(0),
        })
    }
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
impl Resolve for Stub {
    fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        let found = answer
            .unwrap_or_default()
            .into_iter()
            .map(|address| (address, port).into())
            .collect();
        Box::pin(async move { Ok(found) })
    }
}
/// What a node would have: with a log to look at, and names that are at 127.0.0.1.
struct Node {
    shared: Arc<Shared>,
    log: Arc<Log>,
}
fn node(allow: &[&str], resolver: Arc<Stub>) -> Node {
    let log = Arc::new(Log::default());
    let guard = Guard {
        allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
        remember: Duration::ZERO,
    };
    Node {
        shared: Arc::new(Shared::new(guard, log.clone()).with_resolver(resolver)),
        log,
    }
}
/// Loopback is allowed.
fn local() -> Node {
    node(&["127.0.0.0/8"], Stub::new(&[&["127.0.0.1"]]))
}
fn spec(url: &str) -> Spec {
    let mut spec = Spec::new("crm", url.parse().unwrap());
    spec.timeout = LONG;
    spec
}
fn item(payload: &str) -> Received {
    let mut message = Message::new(Topic::from_static("orders"), payload.to_owned());
    message.id = Some(format!("id-{payload}").into());
    Received {
        message: Arc::new(message),
        position: Some(Position {
            source: 7,
            partition: 0,
            offset: 100,
        }),
        attempt: 1,
        slot: 0,
        metadata: Headers::EMPTY,
    }
}
async fn send(target: &Target, payload: &str) -> Result<(), Error> {
    let items = [item(payload)];
    let done = tokio::time::timeout(LONG, target.perform(&items)).await.expect("an end");
    done.map_err(|error| match error {
        BatchError::All(error) => error,
        BatchError::Some(_) => panic!("one request has one answer"),
    })
}
/// Whatever had happened to any socket before is known to its task afterwards: a byte goes to another one and back.
async fn settled() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    for _ in 0..2 {
        near.write_all(b"x").await.unwrap();
        far.read_u8().await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}
/// How the pump understands it.
async fn told(target: &Target, payload: &str) -> Result<(), (Code, Retry)> {
    send(target, payload).await.map_err(|error| (error.code(), error.retry()))
}
