//! Tokens of OAuth 2.0: fetched once for many, before they end, and again when the target takes one back.
use super::{server::*, *};
use futures::future::join_all;
use tidegate_endpoints::http::{AttemptOutcome, Auth, ClientCredentials, Credential, Step};

/// Gives out `t0`, `t1`, …, each for that long.
async fn issuer(expires: &'static str) -> Server {
    Server::new(move |number, _| {
        let body = format!("{{\"access_token\":\"t{number}\",\"token_type\":\"bearer\"{expires}}}");
        Say::Close(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    })
    .await
}
/// Takes what `good` says is good.
async fn protected(good: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    Server::new(move |_, seen| {
        let known = seen.header("authorization").is_some_and(&good);
        answer(if known { "200 OK" } else { "401 Who" })
    })
    .await
}
fn with(server: &Server, issuer: &Server, in_body: bool) -> Spec {
    let mut spec = spec(&server.url());
    spec.auth = Auth::OAuth2(ClientCredentials {
        token_url: format!("http://{}/token?x=1", issuer.address).parse().unwrap(),
        id: "me:1".to_owned(),
        secret: Credential::new("p&ss"),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        in_body,
    });
    spec
}
fn tokens(server: &Server) -> Vec<String> {
    let of = |seen: &Seen| seen.header("authorization").unwrap().to_owned();
    server.seen().iter().map(of).collect()
}
#[tokio::test]
async fn one_token_serves_all_and_one_fetches_it() {
    let (server, issuer) = (protected(|_| true).await, issuer(",\"expires_in\":3600").await);
    let target = Target::new(with(&server, &issuer, false), local().shared).unwrap();
    let all = join_all((0..16).map(|_| told(&target, "x"))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    for _ in 0..5 {
        assert_eq!(told(&target, "x").await, Ok(()));
    }
    assert!(tokens(&server).iter().all(|token| token == "Bearer t0"));
    assert_eq!(tokens(&server).len(), 21);
    let [asked] = issuer.seen().try_into().unwrap();
    assert_eq!(asked.line, "POST /token?x=1 HTTP/1.1");
    // `me%3A1:p%26ss`: both coded as in a form.
    assert_eq!(asked.header("authorization"), Some("Basic bWUlM0ExOnAlMjZzcw=="));
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=a+b");
}
#[tokio::test]
async fn secrets_may_go_into_the_body() {
    let (server, issuer) = (protected(|_| true).await, issuer("").await);
    let target = Target::new(with(&server, &issuer, true), local().shared).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
    let [asked] = issuer.seen().try_into().unwrap();
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    let expected = "grant_type=client_credentials&scope=a+b&client_id=me%3A1&client_secret=p%26ss";
    assert_eq!(asked.body, expected.as_bytes());
}
#[tokio::test]
async fn the_next_one_is_fetched_before_the_end() {
    let (server, issuer) = (protected(|_| true).await, issuer(",\"expires_in\":\"3600\"").await);
    let target = Target::new(with(&server, &issuer, false), local().shared).unwrap();
    // The last of these moments is past the end of all before it.
    for (later, expected) in [(0, "t0"), (3_500, "t0"), (50, "t1"), (3_500, "t1"), (4_000, "t2")] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(later)).await;
        tokio::time::resume();
        assert_eq!(told(&target, "x").await, Ok(()));
        assert_eq!(tokens(&server).last().unwrap(), &format!("Bearer {expected}"), "{later}");
    }
}
#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_once() {
    let (server, issuer) = (protected(|token| token == "Bearer t1").await, issuer(",\"expires_in\":3600").await);
    let node = local();
    let target = Target::new(with(&server, &issuer, false), node.shared.clone()).unwrap();
    for _ in 0..3 {
        assert_eq!(told(&target, "x").await, Ok(()));
    }
    assert_eq!(tokens(&server), ["Bearer t0", "Bearer t1", "Bearer t1", "Bearer t1"]);
    assert_eq!(node.log.all().len(), 3, "it is one attempt");
    let (server, issuer) = (protected(|_| false).await, super::tokens::issuer("").await);
    let target = Target::new(with(&server, &issuer, false), node.shared).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetRefused, Retry::Now)));
    assert_eq!(tokens(&server), ["Bearer t0", "Bearer t1"]);
}
#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let cases = [
        ("400 Bad", "{\"error\":\"invalid_client\"}", "`invalid_client`", Code::TargetRefused),
        ("302 There\r\nlocation: /x", "", "302", Code::TargetRefused),
        ("200 OK", "{}", "has none", Code::TargetRefused),
        ("200 OK", "<html>", "has none", Code::TargetRefused),
        ("200 OK", "{\"access_token\":\"\"}", "header", Code::TargetRefused),
        ("200 OK", "{\"access_token\":\"a\\r\\nb:c\"}", "header", Code::TargetRefused),
        (
            "200 OK",
            "{\"access_token\":\"a\",\"token_type\":\"mac\"}",
            "`mac`",
            Code::TargetRefused,
        ),
        ("", "", "closed", Code::TargetDown),
    ];
    for (head, body, why, code) in cases {
        let server = protected(|_| true).await;
        let issuer = Server::new(move |_, _| {
            let length = body.len();
            Say::Close(if head.is_empty() {
                String::new()
            } else {
                format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}")
            })
        })
        .await;
        let node = local();
        let target = Target::new(with(&server, &issuer, false), node.shared.clone()).unwrap();
        let all = join_all((0..8).map(|_| told(&target, "x"))).await;
        assert!(all.iter().all(|result| *result == Err((code, Retry::Now))), "{why}: {all:?}");
        assert_eq!((server.accepted(), issuer.accepted()), (0, 1), "{why}: one asks for all");
        let AttemptOutcome::Failed { step, error, .. } = node.log.last().outcome else {
            panic!("an answer");
        };
        assert!(step == Step::Authorize && error.contains(why), "{error}");
        assert!(!format!("{:?}", node.log.all()).contains("p&ss"));
    }
}
#[tokio::test]
async fn who_hangs_holds_nobody_longer_than_an_attempt() {
    let server = protected(|_| true).await;
    let issuer = Server::new(|_, _| Say::Hang(String::new())).await;
    let node = local();
    let mut spec = with(&server, &issuer, false);
    spec.timeout = Duration::from_millis(200);
    let target = Target::new(spec, node.shared.clone()).unwrap();
    let all = join_all((0..4).map(|_| told(&target, "x"))).await;
    assert!(
        all.iter().all(|result| *result == Err((Code::TargetTimeout, Retry::Now))),
        "{all:?}"
    );
    assert_eq!(server.accepted(), 0);
}
