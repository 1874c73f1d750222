// Bare hyper upgrade: answers 101 to whatever asks, then waits until the client goes. upgrade PORT
use hyper::{body::Incoming, service::service_fn, Request, Response, StatusCode};
use http_body_util::Empty;
use bytes::Bytes;
use tokio::{io::AsyncReadExt, net::TcpListener};
fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async move {
        let l = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            let (s, _) = l.accept().await.unwrap();
            s.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let answer = |mut r: Request<Incoming>| async move {
                    tokio::spawn(async move {
                        if let Ok(up) = hyper::upgrade::on(&mut r).await { let mut io = hyper_util::rt::TokioIo::new(up); let mut b = [0; 64]; while matches!(io.read(&mut b).await, Ok(1..)) {} }
                    });
                    let mut a = Response::new(Empty::<Bytes>::new());
                    *a.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                    for (n, v) in [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")] { a.headers_mut().insert(n, v.parse().unwrap()); }
                    Ok::<_, std::convert::Infallible>(a)
                };
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(s), service_fn(answer)).with_upgrades().await;
            });
        }
    });
}
