//! What a request says, and what the journal is told of it.
use super::{server::*, *};
use futures::FutureExt;
use http::HeaderName;
use tidegate_core::template::Template;
use tidegate_endpoints::http::{AttemptOutcome, Auth, Credential, Deaf, Step};
use tidegate_wire::webhook;

const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

#[tokio::test]
async fn every_attempt_is_signed_anew_under_the_same_id() {
    let server = Server::new(|number, _| answer(["500 Oops", "503 Busy", "200 OK"][number])).await;
    let node = local();
    let mut spec = spec(&server.url());
    spec.sign = SECRETS.map(|secret| webhook::Secret::parse(secret).unwrap()).into();
    let target = Target::new(spec, node.shared.clone()).unwrap();
    for attempt in 1..=3 {
        let mut again = item("x");
        again.attempt = attempt;
        assert_eq!(target.perform(&[again]).await.is_ok(), attempt == 3);
    }
    let seen = server.seen();
    for (number, request) in (1..).zip(&seen) {
        assert_eq!(request.line, "POST /hook HTTP/1.1");
        assert_eq!(request.header("host"), Some(server.address.to_string().as_str()));
        assert_eq!(request.header("webhook-id"), Some("id-x"));
        assert_eq!(request.header("tidegate-attempt"), Some(format!("{number}").as_str()));
        assert_eq!(request.header("tidegate-topic"), Some("orders"));
        assert_eq!(request.header("tidegate-position"), Some("7.100"));
        assert_eq!(request.header("content-length"), Some("1"));
        let at: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
        let now = tidegate_core::clock::now_us() / 1_000_000;
        let signature = request.header("webhook-signature").unwrap();
        for secret in SECRETS {
            let known = [webhook::Secret::parse(secret).unwrap()];
            let verified = webhook::verify(&known, "id-x", at, &request.body, signature, Duration::from_mins(1), now);
            assert_eq!(verified, Ok(()));
        }
    }
    let attempts = node.log.all();
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.items[0].attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(
        attempts
            .iter()
            .all(|attempt| &*attempt.items[0].id == "id-x" && &*attempt.webhook == "crm")
    );
}
#[tokio::test]
async fn the_journal_shows_everything_but_secrets() {
    let server = Server::new(|_, _| Say::Answer(plain("200 OK", "set-cookie: s3cret\r\nx-trace: 7\r\n"))).await;
    let node = local();
    let mut spec = spec(&format!("{}?token=s3cret", server.url()));
    spec.auth = Auth::Basic {
        user: "me".to_owned(),
        password: Credential::new("s3cret"),
    };
    let template = |text| Template::parse(text).unwrap();
    spec.headers.push((HeaderName::from_static("x-api-key"), template("s3cret")));
    spec.headers.push((HeaderName::from_static("x-team"), template("t-${topic}")));
    let target = Target::new(spec, node.shared.clone()).unwrap();
    let long = "y".repeat(20_000);
    assert_eq!(told(&target, &long).await, Ok(()));
    let [request] = server.seen().try_into().unwrap();
    assert_eq!(request.line, "POST /hook?token=s3cret HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Basic bWU6czNjcmV0"));
    assert_eq!(request.header("x-api-key"), Some("s3cret"));
    assert_eq!(request.header("x-team"), Some("t-orders"));
    let attempt = node.log.last();
    assert!(attempt.request.url.ends_with("/hook?token=***"));
    assert_eq!(attempt.request.headers["x-team"], "t-orders");
    assert_eq!((attempt.request.length, attempt.request.body.len()), (20_000, 8 << 10));
    let AttemptOutcome::Answered { headers, body, cut, .. } = &attempt.outcome else {
        panic!("no answer");
    };
    assert_eq!(
        (&headers["x-trace"], &body[..], *cut),
        (&http::HeaderValue::from_static("7"), &b"ok"[..], false)
    );
    let mut shown = format!("{attempt:?}");
    shown.retain(|c| !c.is_whitespace());
    assert!(!shown.contains("s3cret") && !shown.contains("bWU6czNjcmV0"), "{shown}");
    assert!(!format!("{:?}", Auth::Bearer(Credential::new("s3cret"))).contains("s3cret"));
}
#[tokio::test]
async fn secrets_that_a_target_says_back_are_not_shown() {
    let server = Server::new(|_, seen| {
        let said = format!("{} {:?}", seen.line, seen.header("authorization"));
        let head = format!("HTTP/1.1 503 Oops\r\ncontent-length: {}\r\nx-echo: {said}\r\n\r\n", said.len());
        Say::Answer(head + &said)
    })
    .await;
    let node = local();
    let mut spec = spec(&format!("{}?sig=very-s3cret", server.url()));
    spec.auth = Auth::Bearer(Credential::new("tok-s3cret-en"));
    let target = Target::new(spec, node.shared.clone()).unwrap();
    assert!(told(&target, "x").await.is_err());
    let AttemptOutcome::Answered { headers, body, .. } = node.log.last().outcome else {
        panic!("no answer");
    };
    assert_eq!(body, "POST /hook?sig=*** HTTP/1.1 Some(\"***\")");
    assert_eq!(headers["x-echo"], str::from_utf8(&body).unwrap());
}
/// Whoever ends the tunnel may say back what its proxy heard; and what is only on the way to its answer is no answer.
#[tokio::test]
async fn what_a_proxy_hears_is_not_shown_where_it_comes_back() {
    let heard = "Basic bWU6cEBzc3dvcmQtMQ==";
    let proxy = Server::new(move |_, seen| {
        if seen.header("proxy-authorization").is_some() {
            return Say::Answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned());
        }
        let said = format!("{heard}, p@ssword-1");
        let head = format!("HTTP/1.1 503 Oops\r\ncontent-length: {}\r\nx-echo: {heard}\r\n\r\n", said.len());
        Say::Answer(head + &said)
    })
    .await;
    let node = local();
    let mut spec = spec("http://127.0.0.1:9/hook");
    spec.proxy = Some(format!("http://me:p%40ssword-1@{}", proxy.address).parse().unwrap());
    let target = Target::new(spec, node.shared.clone()).unwrap();
    assert!(told(&target, "x").await.is_err());
    assert_eq!(proxy.seen()[0].header("proxy-authorization"), Some(heard));
    let AttemptOutcome::Answered { headers, body, .. } = node.log.last().outcome else {
        panic!("no answer: {:?}", node.log.last());
    };
    assert_eq!(body, "Basic ***, ***");
    assert_eq!(headers["x-echo"], "Basic ***");
}
#[tokio::test]
async fn who_is_stopped_on_the_way_is_noted_too() {
    let server = Server::new(|_, _| Say::Hang(String::new())).await;
    let node = local();
    let target = Target::new(spec(&server.url()), node.shared.clone()).unwrap();
    let items = [item("x")];
    let mut performing = target.perform(&items);
    futures::select_biased! {
        _ = (&mut performing).fuse() => panic!("nobody answered"),
        () = server.until(|server| server.seen().len() == 1).fuse() => {}
    }
    assert!(node.log.all().is_empty());
    drop(performing);
    assert!(matches!(node.log.last().outcome, AttemptOutcome::Abandoned { step: Step::Wait }));
    // Because it was stopped, or for something else.
    let mut performing = target.perform(&items);
    futures::select_biased! {
        _ = (&mut performing).fuse() => panic!("nobody answered"),
        () = server.until(|server| server.seen().len() == 2).fuse() => {}
    }
    target.stopped();
    drop(performing);
    assert!(matches!(node.log.last().outcome, AttemptOutcome::Stopped { step: Step::Wait }));
    // And the target is not kept busy with it.
    server.until(|server| server.ended() == 2).await;
}
#[tokio::test]
async fn nothing_is_made_for_a_deaf_journal() {
    let server = Server::new(|_, _| answer("200 OK")).await;
    let guard = Guard {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..Guard::default()
    };
    let target = Target::new(spec(&server.url()), Arc::new(Shared::new(guard, Arc::new(Deaf)))).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
}
#[test]
fn what_no_request_can_be_made_of_is_refused() {
    let wrong = |change: fn(&mut Spec)| {
        let mut spec = spec("https://crm.example/hook");
        change(&mut spec);
        let error = Target::new(spec, local().shared).err().expect("an error");
        assert_eq!(error.code(), Code::BadValue);
        error.to_string()
    };
    assert!(wrong(|spec| spec.url = "ftp://crm.example".parse().unwrap()).contains("http://"));
    assert!(wrong(|spec| spec.url = "https://me:pw@crm.example".parse().unwrap()).contains("auth"));
    assert!(wrong(|spec| spec.url = "http://crm.example:0".parse().unwrap()).contains("port"));
    assert!(wrong(|spec| spec.proxy = Some("socks5://p.example:1".parse().unwrap())).contains("proxy"));
    assert!(wrong(|spec| spec.proxy = Some("https://p.example".parse().unwrap())).contains("proxy"));
    assert!(wrong(|spec| spec.auth = Auth::Bearer(Credential::new("a\r\nb"))).contains("header"));
    assert!(
        wrong(|spec| spec.auth = Auth::Basic {
            user: "a:b".to_owned(),
            password: Credential::new("x")
        })
        .contains("user")
    );
    for name in [
        "host",
        "content-length",
        "transfer-encoding",
        "webhook-id",
        "tidegate-key",
        "proxy-authorization",
    ] {
        let mut spec = spec("https://crm.example/hook");
        spec.headers.push((HeaderName::from_static(name), Template::parse("x").unwrap()));
        let error = Target::new(spec, local().shared).err().expect("an error");
        assert!(error.to_string().contains(name), "{error}");
    }
}
