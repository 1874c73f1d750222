//! Connections are used again, shared where HTTP/2 allows it, and left when they are old.
use super::{server::*, *};
use futures::future::join_all;
use tidegate_endpoints::http::Version;

#[tokio::test]
async fn one_after_the_other_uses_one_connection() {
    let server = Server::new(|_, _| answer("200 OK")).await;
    let node = local();
    let target = Target::new(spec(&server.url()), node.shared.clone()).unwrap();
    for _ in 0..20 {
        assert_eq!(told(&target, "x").await, Ok(()));
    }
    assert_eq!((server.accepted(), node.shared.opened()), (1, 1));
}
#[tokio::test]
async fn at_once_there_are_as_many_as_requests() {
    let server = Server::new(|_, _| Say::Wait(plain("200 OK", ""))).await;
    let node = local();
    let target = Target::new(spec(&server.url()), node.shared.clone()).unwrap();
    for round in 1..=3 {
        let answering = async {
            server.until(|server| server.seen().len() == round * 8).await;
            (0..8).for_each(|_| server.go());
            // A permit is kept for one only: the others are told as they come to wait.
            while server.state_waits() {
                server.go();
                tokio::task::yield_now().await;
            }
        };
        let all = join_all((0..8).map(|_| told(&target, "x")));
        let (all, ()) = futures::join!(all, answering);
        assert!(all.iter().all(Result::is_ok), "{all:?}");
    }
    assert_eq!(server.accepted(), 8);
    assert_eq!(server.most(), 8);
}
/// A connection that ended while it waited costs no attempt.
#[tokio::test]
async fn what_ended_meanwhile_is_replaced() {
    for end in ["", "connection: close\r\n"] {
        let server = Server::new(move |_, _| Say::Close(plain("200 OK", end))).await;
        let node = local();
        let target = Target::new(spec(&server.url()), node.shared.clone()).unwrap();
        for round in 1..=5 {
            assert_eq!(told(&target, "x").await, Ok(()), "{round}");
            server.until(|server| server.ended() == round).await;
            settled().await;
        }
        assert_eq!(server.accepted(), 5);
    }
}
#[tokio::test]
async fn a_connection_that_failed_is_not_used_again() {
    let server = Server::new(|number, _| match number {
        0 | 2 => answer("200 OK"),
        _ => Say::Hang("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_owned()),
    })
    .await;
    let node = local();
    let mut spec = spec(&server.url());
    spec.timeout = Duration::from_millis(300);
    let target = Target::new(spec, node.shared.clone()).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!(told(&target, "x").await, Err((Code::TargetTimeout, Retry::Now)));
    assert_eq!(told(&target, "x").await, Ok(()));
    let used: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(used, [0, 0, 1]);
    server.until(|server| server.ended() == 1).await;
}
/// A target that answers without reading everything is left: it may never read the rest.
#[tokio::test]
async fn who_answers_early_gets_another_connection() {
    let server = Server::new(|number, _| match number {
        0 => Say::Early(plain("200 OK", "")),
        _ => answer("200 OK"),
    })
    .await;
    let mut spec = spec(&server.url());
    spec.in_flight_bytes = 64 << 20;
    let target = Target::new(spec, local().shared).unwrap();
    let mut long = item(&"x".repeat(32 << 20));
    let message = Arc::make_mut(&mut long.message);
    message.key = Some("early".into());
    message.id = None;
    target.perform(&[long]).await.unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!(server.accepted(), 2);
}
#[tokio::test]
async fn what_nobody_uses_is_closed() {
    let server = Server::new(|_, _| answer("200 OK")).await;
    let target = Target::new(spec(&server.url()), local().shared).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!(server.ended(), 0);
    // Who sweeps begins to wait.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(2)).await;
    tokio::time::resume();
    server.until(|server| server.ended() == 1).await;
    // And with the target go its connections.
    assert_eq!(told(&target, "x").await, Ok(()));
    drop(target);
    server.until(|server| server.ended() == 2).await;
}
#[tokio::test]
async fn what_is_old_is_replaced() {
    let server = Server::new(|_, _| answer("200 OK")).await;
    let target = Target::new(spec(&server.url()), local().shared).unwrap();
    for _ in 0..12 {
        assert_eq!(told(&target, "x").await, Ok(()));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(30)).await;
        tokio::time::resume();
    }
    assert_eq!(server.accepted(), 2, "used all the time, it is left after five minutes");
}
#[tokio::test]
async fn http2_shares_one_connection() {
    let two = Two::new(None, |_| Some(200)).await;
    let mut spec = spec(&format!("http://{}/hook", two.address));
    spec.http = Version::Two;
    spec.in_flight = 32;
    let node = local();
    let target = Target::new(spec, node.shared.clone()).unwrap();
    let long = "y".repeat(300_000);
    let all = join_all((0..32).map(|number| told(&target, if number % 2 == 0 { "x" } else { &long }))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!((two.accepted(), node.shared.opened()), (1, 1));
    let mut lengths: Vec<_> = two.bodies.lock().unwrap().iter().map(bytes::Bytes::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [vec![1; 16], vec![300_000; 16]].concat());
}
/// A request that hangs on a shared connection casts doubt on it: the next goes elsewhere, and those under way are not cut.
#[tokio::test]
async fn a_doubtful_shared_connection_is_left() {
    let two = Two::new(None, |number| (number != 1).then_some(200)).await;
    let mut spec = spec(&format!("http://{}/hook", two.address));
    spec.http = Version::Two;
    spec.timeout = Duration::from_millis(300);
    let target = Target::new(spec, local().shared).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!(told(&target, "x").await, Err((Code::TargetTimeout, Retry::Now)));
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!(two.accepted(), 2);
}
/// Which is told by no error: the caller counts no attempt.
#[tokio::test]
async fn what_an_http2_target_did_not_look_at_is_sent_again_at_once() {
    let settings = |two: &Two| {
        let mut spec = spec(&format!("http://{}/hook", two.address));
        spec.http = Version::Two;
        spec
    };
    for leaving in 1..=3 {
        let two = Two::leaving(leaving, None, |_| Some(200)).await;
        let node = local();
        let target = Target::new(settings(&two), node.shared.clone()).unwrap();
        assert_eq!(told(&target, &"x".repeat(100_000)).await, Ok(()));
        assert_eq!(two.accepted(), leaving + 1, "each on a new connection");
        assert_eq!(two.bodies.lock().unwrap()[0].len(), 100_000);
        assert_eq!(node.log.all().len(), 1, "and all of it is one attempt");
    }
    let two = Two::new(None, |number| Some(if number < 2 { REFUSED } else { 200 })).await;
    let target = Target::new(settings(&two), local().shared).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!((two.accepted(), two.seen.lock().unwrap().len()), (3, 3));
    // Who always leaves in good order is ill as well, and is told so without calling it an error.
    let two = Two::leaving(usize::MAX, None, |_| None).await;
    let node = local();
    let target = Target::new(settings(&two), node.shared.clone()).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetDown, Retry::Now)));
    let said = format!("{:?}", node.log.last().outcome);
    assert!(
        said.contains("in good order (GOAWAY)") && !said.contains("not a result of an error"),
        "{said}"
    );
    // Who never looks at anything is ill.
    let two = Two::new(None, |_| Some(REFUSED)).await;
    let target = Target::new(settings(&two), local().shared).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetDown, Retry::Now)));
    assert_eq!(two.seen.lock().unwrap().len(), 4);
}
