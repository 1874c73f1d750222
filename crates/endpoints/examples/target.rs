//! What the HTTP target costs beside a bare hyper client: POST of 128 bytes to a server of this machine, 64 in flight, a second each, in turn.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "the figures are what it is for")]
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    action::Action, clock, delivery::Received, headers::Headers, message::Message, position::Position, tasks, topic::Topic,
};
use tidegate_endpoints::http::{Attempt, Deaf, Guard, Journal, Shared, Spec, Target};
use tidegate_wire::webhook::Secret;
use tokio::net::{TcpListener, TcpStream};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IN_FLIGHT: u32 = 64;
const ROUND: Duration = Duration::from_secs(1);

/// Takes all of an attempt, and lets it go.
struct Log(AtomicU64);
impl Journal for Log {
    fn note(&self, attempt: Attempt) {
        self.0.fetch_add(attempt.items.len() as u64, Ordering::Relaxed);
    }
}
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _read = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
}
async fn serve(listener: TcpListener) {
    while let Ok((tcp, _)) = listener.accept().await {
        let _as_it_is = tcp.set_nodelay(true);
        tasks::detach(async move {
            drop(
                server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tcp), service_fn(answer))
                    .await,
            );
        });
    }
}
/// Requests a second.
async fn rate<F: Future<Output = ()> + Send + 'static>(worker: impl Fn(Arc<AtomicU64>) -> F) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..IN_FLIGHT).map(|_| tasks::spawn(worker(done.clone()))).collect();
    // The connections are made by then.
    tokio::time::sleep(ROUND / 4).await;
    let (before, began) = (done.load(Ordering::Relaxed), clock::instant());
    tokio::time::sleep(ROUND).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    drop(workers);
    rate
}
async fn bare(address: SocketAddr) -> f64 {
    rate(move |done| async move {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        let _as_it_is = tcp.set_nodelay(true);
        let (mut send, connection) = client::conn::http1::handshake(TokioIo::new(tcp)).await.expect("a connection");
        let _connection = tasks::spawn(async move { drop(connection.await) });
        loop {
            let request = Request::post("/hook")
                .header("host", "127.0.0.1")
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from_static(&[b'1'; 128])))
                .expect("a request");
            let response = send.send_request(request).await.expect("an answer");
            let _read = response.into_body().collect().await;
            send.ready().await.expect("a connection");
            done.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
}
async fn target(address: SocketAddr, all: bool) -> f64 {
    let guard = Guard {
        allow: vec!["127.0.0.0/8".parse().expect("a network")],
        ..Guard::default()
    };
    let journal: Arc<dyn Journal> = if all { Arc::new(Log(AtomicU64::new(0))) } else { Arc::new(Deaf) };
    let mut spec = Spec::new("bench", format!("http://{address}/hook").parse().expect("a URL"));
    spec.in_flight = IN_FLIGHT;
    if all {
        spec.sign = vec![Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret")];
    }
    let target = Arc::new(Target::new(spec, Arc::new(Shared::new(guard, journal))).expect("a target"));
    rate(move |done| {
        let target = target.clone();
        async move {
            let items = [Received {
                message: Arc::new(Message::new(Topic::from_static("orders"), vec![b'1'; 128])),
                position: Some(Position {
                    source: 1,
                    partition: 0,
                    offset: 1,
                }),
                attempt: 1,
                slot: 0,
                metadata: Headers::EMPTY,
            }];
            loop {
                target.perform(&items).await.expect("an answer");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await
}
#[tokio::main]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    tasks::detach(serve(listener));
    // One of them alone, for who counts what a processor did: `perf stat target all`.
    if let Some(one) = std::env::args().nth(1) {
        let mut requests = 0.0;
        for _ in 0..3 {
            requests += match one.as_str() {
                "bare" => bare(address).await,
                other => target(address, other == "all").await,
            } * (ROUND + ROUND / 4).as_secs_f64();
        }
        return println!("about {requests:.0} requests");
    }
    let mut all = Vec::new();
    for _ in 0..5 {
        let (bare, without, with) = (bare(address).await, target(address, false).await, target(address, true).await);
        println!(
            "bare {bare:.0}/s; target {without:.0}/s ({:.2}); signed and noted {with:.0}/s ({:.2})",
            without / bare,
            with / bare
        );
        all.push((without / bare, with / bare));
    }
    let mut middle = |part: fn(&(f64, f64)) -> f64| {
        all.sort_by(|a, b| part(a).total_cmp(&part(b)));
        part(&all[all.len() / 2])
    };
    println!(
        "median: target {:.2}, signed and noted {:.2}",
        middle(|pair| pair.0),
        middle(|pair| pair.1)
    );
}
