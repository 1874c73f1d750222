//! What a target does, and what becomes of the messages.
use super::{server::*, *};
use tidegate_core::delivery::Received;
use tidegate_endpoints::http::{Answers, AttemptOutcome, Batching, Do, Form, Step};

fn after(seconds: u64) -> Retry {
    Retry::After(Duration::from_secs(seconds))
}
fn step(log: &Log) -> (Step, Option<u16>) {
    match log.last().outcome {
        AttemptOutcome::Failed { step, status, .. } => (step, status.map(|status| status.as_u16())),
        other => panic!("{other:?}"),
    }
}
#[tokio::test]
async fn every_answer_has_its_outcome() {
    let cases = [
        ("200 OK", "", Ok(())),
        ("204 No Content", "", Ok(())),
        ("500 Oops", "", Err((Code::TargetRefused, Retry::Now))),
        ("503 Busy", "retry-after: 120\r\n", Err((Code::TargetRefused, after(120)))),
        ("429 Slow", "retry-after: 7\r\n", Err((Code::TargetRefused, after(7)))),
        ("429 Slow", "retry-after: 999999999\r\n", Err((Code::TargetRefused, after(86_400)))),
        (
            "503 Busy",
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:50:07 GMT\r\n",
            Err((Code::TargetRefused, after(30))),
        ),
        ("401 Who", "", Err((Code::TargetRefused, Retry::Now))),
        ("404 Where", "", Err((Code::TargetRefused, Retry::Now))),
        ("408 Slow", "", Err((Code::TargetRefused, Retry::Now))),
        ("304 Same", "", Err((Code::TargetRefused, Retry::Now))),
        ("400 Bad", "retry-after: 1\r\n", Err((Code::TargetRefused, Retry::No))),
        ("413 Big", "", Err((Code::TargetRefused, Retry::No))),
        ("422 Odd", "", Err((Code::TargetRefused, Retry::No))),
        ("410 Gone", "", Err((Code::TargetGone, Retry::No))),
    ];
    let script: Vec<String> = cases
        .iter()
        .map(|(status, headers, _)| match *status {
            "204 No Content" | "304 Same" => format!("HTTP/1.1 {status}\r\n{headers}\r\n"),
            _ => plain(status, headers),
        })
        .collect();
    let server = Server::new(move |number, _| Say::Answer(script[number].clone())).await;
    let node = local();
    let target = Target::new(spec(&server.url()), node.shared.clone()).unwrap();
    for (status, headers, expected) in cases {
        assert_eq!(told(&target, "x").await, expected, "{status} {headers}");
        let AttemptOutcome::Answered { status: heard, .. } = node.log.last().outcome else {
            panic!("no answer");
        };
        assert!(status.starts_with(heard.as_str()), "{heard}");
    }
    assert_eq!(server.accepted(), 1);
}
#[tokio::test]
async fn its_own_table_goes_first() {
    let server = Server::new(|number, _| answer(["409 Had it", "404 No", "500 Oops", "302 There"][number])).await;
    let mut spec = spec(&server.url());
    spec.on = Answers::new(vec![(409..=409, Do::Success), (404..=404, Do::DeadLetter), (500..=599, Do::Stop)]);
    let target = Target::new(spec, local().shared).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    assert_eq!(told(&target, "x").await, Err((Code::TargetRefused, Retry::No)));
    assert_eq!(told(&target, "x").await, Err((Code::TargetGone, Retry::No)));
    assert_eq!(told(&target, "x").await, Err((Code::TargetRefused, Retry::Now)));
}
/// What is no whole answer is none, and says how far it came.
#[tokio::test]
async fn what_breaks_off_is_tried_again() {
    let part = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";
    let cases: [(Way, &str, Code, Step, Option<u16>); 9] = [
        (Say::Hang, "", Code::TargetTimeout, Step::Wait, None),
        (Say::Hang, "HTTP/1.1 200 OK\r\ncontent-", Code::TargetTimeout, Step::Wait, None),
        (Say::Hang, part, Code::TargetTimeout, Step::Read, Some(200)),
        (Say::Drip, part, Code::TargetTimeout, Step::Read, Some(200)),
        (Say::Close, "", Code::TargetDown, Step::Wait, None),
        (Say::Reset, "", Code::TargetDown, Step::Wait, None),
        (Say::Close, part, Code::TargetDown, Step::Read, Some(200)),
        (Say::Reset, part, Code::TargetDown, Step::Read, Some(200)),
        (Say::Close, "SSH-2.0-x\r\n", Code::TargetDown, Step::Wait, None),
    ];
    for (number, (say, text, code, far, status)) in cases.into_iter().enumerate() {
        // Longer than 100 bytes of the slow ones would take.
        let server = Server::new(move |_, _| say(text.to_owned())).await;
        let node = local();
        let mut spec = spec(&server.url());
        if code == Code::TargetTimeout {
            spec.timeout = Duration::from_millis(250);
        }
        let target = Target::new(spec, node.shared.clone()).unwrap();
        assert_eq!(told(&target, "x").await, Err((code, Retry::Now)), "{number}");
        assert_eq!(step(&node.log), (far, status), "{number}");
        assert_eq!(server.seen().len(), 1, "{number}: the pump decides when it is tried again");
    }
}
#[tokio::test]
async fn who_is_not_there_is_down() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let node = local();
    let target = Target::new(spec(&format!("http://{nobody}/")), node.shared.clone()).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetDown, Retry::Now)));
    assert_eq!(step(&node.log).0, Step::Connect);
    let node = super::node(&[], Stub::new(&[]));
    let target = Target::new(spec("http://nowhere.example/"), node.shared.clone()).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetDown, Retry::Now)));
    assert_eq!(step(&node.log).0, Step::Resolve);
}
#[tokio::test]
async fn a_huge_answer_is_cut_and_its_status_counts() {
    for head in ["content-length: 99999999999\r\n", "connection: close\r\n"] {
        let server = Server::new(move |_, _| Say::Flood(format!("HTTP/1.1 200 OK\r\n{head}\r\n"))).await;
        let node = local();
        let mut spec = spec(&server.url());
        spec.max_response = 100_000;
        let target = Target::new(spec, node.shared.clone()).unwrap();
        assert_eq!(told(&target, "x").await, Ok(()));
        let AttemptOutcome::Answered { cut, body, .. } = node.log.last().outcome else {
            panic!("no answer");
        };
        assert!(cut && body.len() == 8 << 10);
        // It is left, not read to its end.
        server.until(|server| server.ended() == 1).await;
    }
}
#[tokio::test]
async fn a_huge_head_is_no_answer() {
    let server = Server::new(|_, _| Say::Flood("HTTP/1.1 200 OK\r\nx: ".to_owned())).await;
    let node = local();
    let target = Target::new(spec(&server.url()), node.shared.clone()).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetDown, Retry::Now)));
    server.until(|server| server.ended() == 1).await;
}
#[tokio::test]
async fn who_does_not_read_is_slow() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = local();
    let mut spec = spec(&format!("http://{}/", listener.local_addr().unwrap()));
    spec.timeout = Duration::from_millis(300);
    spec.in_flight_bytes = 64 << 20;
    let target = Target::new(spec, node.shared.clone()).unwrap();
    // More than sockets hold.
    assert_eq!(told(&target, &"x".repeat(32 << 20)).await, Err((Code::TargetTimeout, Retry::Now)));
    assert_eq!(step(&node.log).0, Step::Write);
}
#[tokio::test]
async fn a_batch_is_one_request() {
    for (form, content) in [(Form::Json, "application/json"), (Form::Ndjson, "application/x-ndjson")] {
        let server = Server::new(|_, _| answer("200 OK")).await;
        let mut spec = spec(&server.url());
        spec.batch = Some(Batching {
            messages: 3,
            bytes: 1_000,
            wait: Duration::from_millis(50),
            form,
        });
        let target = Target::new(spec, local().shared).unwrap();
        assert_eq!((target.limits().batch.messages, target.limits().batch.bytes), (3, 1_000));
        assert_eq!(target.wait(), Some(Duration::from_millis(50)));
        let items = ["a", "b", "c"].map(item);
        target.perform(&items).await.unwrap();
        let [request] = server.seen().try_into().unwrap();
        assert_eq!(request.header("content-type"), Some(content));
        assert_eq!(request.header("tidegate-count"), Some("3"));
        let items: Vec<serde_json::Value> = match form {
            Form::Json => serde_json::from_slice(&request.body).unwrap(),
            Form::Ndjson => String::from_utf8(request.body.clone())
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        };
        let payloads: Vec<_> = items.iter().map(|item| item["payload"].as_str().unwrap()).collect();
        assert_eq!(payloads, ["a", "b", "c"]);
    }
}
/// Without batches several messages are several requests, each with its own outcome.
#[tokio::test]
async fn one_that_fails_fails_alone() {
    let server = Server::new(|number, _| answer(["200 OK", "500 Oops", "422 Odd", "200 OK"][number])).await;
    let target = Target::new(spec(&server.url()), local().shared).unwrap();
    let items: Vec<Received> = ["a", "b", "c", "d"].map(item).into();
    let failed = target.perform(&items).await.unwrap_err();
    let retries: Vec<_> = (0..4).map(|at| failed.of(at).map(Error::retry)).collect();
    assert_eq!(retries, [None, Some(Retry::Now), Some(Retry::No), None]);
}
/// It wants nothing more: what comes behind is not sent.
#[tokio::test]
async fn nothing_is_sent_to_who_is_gone() {
    let server = Server::new(|number, _| answer(["200 OK", "410 Gone", "200 OK"][number])).await;
    let target = Target::new(spec(&server.url()), local().shared).unwrap();
    let items: Vec<Received> = ["a", "b", "c"].map(item).into();
    let failed = target.perform(&items).await.unwrap_err();
    let codes: Vec<_> = (0..3).map(|at| failed.of(at).map(Error::code)).collect();
    assert_eq!(codes, [None, Some(Code::TargetGone), Some(Code::TargetGone)]);
    assert_eq!(server.seen().len(), 2);
}
#[tokio::test]
async fn no_more_requests_and_bytes_at_once_than_may_be() {
    for (in_flight, bytes, most) in [(3, 1 << 20, 3), (16, 2_000, 2), (16, 10, 1)] {
        let server = Server::new(|_, _| Say::Wait(plain("200 OK", ""))).await;
        let mut spec = spec(&server.url());
        (spec.in_flight, spec.in_flight_bytes) = (in_flight, bytes);
        let target = Target::new(spec, local().shared).unwrap();
        assert_eq!(target.limits().in_flight, in_flight);
        let payload = "x".repeat(450);
        let all = futures::future::join_all((0..10).map(|_| told(&target, &payload)));
        let answering = async {
            for done in 0..10 {
                let expected = (done + most).min(10);
                server.until(|server| server.seen().len() >= expected).await;
                server.go();
            }
        };
        let (results, ()) = futures::join!(all, answering);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(server.most(), most);
    }
}
