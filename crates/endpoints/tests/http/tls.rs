//! Whom we trust, and what we prove ourselves with.
use super::{server::*, *};
use tidegate_endpoints::http::{AttemptOutcome, Identity, Step, Version};
use tidegate_testkit::certificates::Whose;
use tokio::io::AsyncWriteExt;

/// What the attempt met at its handshake.
fn refused(log: &Log) -> String {
    match log.last().outcome {
        AttemptOutcome::Failed {
            step: Step::Tls, error, ..
        } => error,
        other => panic!("{other:?}"),
    }
}
#[tokio::test]
async fn only_good_certificates_are_taken() {
    let (trust, other) = (Trust::new("one"), Trust::new("other"));
    let good = Server::at("127.0.0.1", Some(trust.acceptor(false, false, &["http/1.1"])), |_, _| {
        answer("200 OK")
    })
    .await;
    let expired = Server::at("127.0.0.1", Some(trust.acceptor(true, false, &[])), |_, _| answer("200 OK")).await;
    let cases = [
        (good.secure("localhost"), vec![trust.root()], None),
        (good.secure("127.0.0.1"), vec![other.root(), trust.root()], None),
        // Nobody here knows the authority.
        (good.secure("localhost"), vec![], Some("nobody who is trusted here signed")),
        (
            good.secure("localhost"),
            vec![other.root()],
            Some("nobody who is trusted here signed"),
        ),
        // It is somebody else's.
        (good.secure("crm.example"), vec![trust.root()], Some("is for another name")),
        (expired.secure("localhost"), vec![trust.root()], Some("has ended")),
    ];
    for (url, roots, why) in cases {
        let node = node(&["127.0.0.0/8"], Stub::new(&[&["127.0.0.1"]]));
        let mut spec = spec(&url);
        spec.tls.extra = roots;
        let target = Target::new(spec, node.shared.clone()).unwrap();
        let result = told(&target, "x").await;
        match why {
            None => assert_eq!(result, Ok(()), "{url}"),
            Some(why) => {
                assert_eq!(result, Err((Code::TargetDown, Retry::Now)), "{url}");
                let told = refused(&node.log);
                assert!(told.contains(why), "{url}: {told}");
            }
        }
    }
    assert_eq!(
        (good.seen().len(), expired.seen().len()),
        (2, 0),
        "nothing is sent to who is not known"
    );
}
#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let trust = Trust::new("one");
    let server = Server::at("127.0.0.1", Some(trust.acceptor(false, true, &[])), |_, _| answer("200 OK")).await;
    for with in [true, false] {
        let mut spec = spec(&server.secure("localhost"));
        spec.tls.extra = vec![trust.root()];
        if with {
            let (chain, key) = trust.identity(Whose::from("me"));
            spec.tls.client = Some(Identity { chain, key });
        }
        let target = Target::new(spec, local().shared).unwrap();
        let expected = if with { Ok(()) } else { Err((Code::TargetDown, Retry::Now)) };
        assert_eq!(told(&target, "x").await, expected);
    }
    assert_eq!(server.seen().len(), 1);
}
#[tokio::test]
async fn the_key_must_be_the_certificates() {
    let (trust, other) = (Trust::new("one"), Trust::new("other"));
    let mut spec = spec("https://crm.example/");
    spec.tls.client = Some(Identity {
        chain: trust.identity(Whose::from("a")).0,
        key: other.identity(Whose::from("b")).1,
    });
    let error = Target::new(spec, local().shared).err().expect("an error");
    assert_eq!(error.code(), Code::BadCertificate);
}
#[tokio::test]
async fn who_speaks_no_tls_or_hangs_in_it_is_down() {
    let plain = Server::new(|_, _| answer("200 OK")).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let node = local();
    let mut impatient = spec(&format!("https://localhost:{port}/"));
    impatient.steps.tls = Duration::from_millis(150);
    let hung = Target::new(impatient, node.shared.clone()).unwrap();
    assert_eq!(told(&hung, "x").await, Err((Code::TargetTimeout, Retry::Now)));
    assert!(refused(&node.log).contains("in time"));
    // It waits for the end of a head that never comes.
    let mut spec = spec(&plain.secure("localhost"));
    spec.steps.tls = Duration::from_millis(150);
    let target = Target::new(spec, node.shared.clone()).unwrap();
    assert!(told(&target, "x").await.is_err());
    assert!(plain.seen().is_empty());
    // It says something, which is no TLS.
    let mail = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", mail.local_addr().unwrap().port());
    let target = Target::new(super::spec(&url), node.shared.clone()).unwrap();
    let greeting = async {
        let (mut socket, _) = mail.accept().await.unwrap();
        socket.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        socket
    };
    let (told, _open) = tokio::join!(told(&target, "x"), greeting);
    assert!(told.is_err());
    assert!(refused(&node.log).contains("does not speak TLS"));
}
#[tokio::test]
async fn through_a_proxy_it_is_the_target_that_proves_itself() {
    let trust = Trust::new("one");
    let server = Server::at("127.0.0.1", Some(trust.acceptor(false, false, &[])), |_, _| answer("200 OK")).await;
    let proxy = Server::new(|_, _| Say::Tunnel).await;
    for (host, good) in [("localhost", true), ("crm.example", false)] {
        let mut spec = spec(&server.secure(host));
        spec.tls.extra = vec![trust.root()];
        spec.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
        let target = Target::new(spec, local().shared).unwrap();
        assert_eq!(told(&target, "x").await.is_ok(), good, "{host}");
    }
}
#[tokio::test]
async fn http2_is_spoken_where_both_sides_do() {
    let trust = Trust::new("one");
    let two = Two::new(Some(trust.acceptor(false, false, &["h2"])), |_| Some(200)).await;
    let one = Server::at("127.0.0.1", Some(trust.acceptor(false, false, &["http/1.1"])), |_, _| {
        answer("200 OK")
    })
    .await;
    let target = |url: String, version| {
        let mut spec = spec(&url);
        spec.tls.extra = vec![trust.root()];
        spec.http = version;
        Target::new(spec, local().shared).unwrap()
    };
    let url = format!("https://localhost:{}/hook?a=b", two.address.port());
    for version in [Version::Two, Version::Auto] {
        assert_eq!(told(&target(url.clone(), version), "x").await, Ok(()));
    }
    for head in two.seen.lock().unwrap().iter() {
        assert_eq!(head.uri.to_string(), url);
        assert!(!head.headers.contains_key("host") && !head.headers.contains_key("connection"));
        assert_eq!(head.headers["webhook-id"], "id-x");
    }
    let down = Err((Code::TargetDown, Retry::Now));
    assert_eq!(told(&target(url, Version::One), "x").await, down);
    let auto = target(one.secure("localhost"), Version::Auto);
    for _ in 0..3 {
        assert_eq!(told(&auto, "x").await, Ok(()));
    }
    assert_eq!(one.accepted(), 1);
    assert_eq!(told(&target(one.secure("localhost"), Version::Two), "x").await, down);
    assert_eq!(one.seen().len(), 3);
}
