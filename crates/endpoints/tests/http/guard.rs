//! No outgoing call reaches what the guard protects: however the address is spelled, whatever a resolver answers, and through a proxy too.
use super::{server::*, *};
use tidegate_endpoints::http::{AttemptOutcome, Auth, ClientCredentials, Credential, Step};
use tokio::net::TcpListener;

/// Listens on loopback, and tells whether anybody came.
struct Canary {
    v4: TcpListener,
    v6: TcpListener,
    port: u16,
}
impl Canary {
    async fn new() -> Self {
        // The same port on both.
        loop {
            let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = v4.local_addr().unwrap().port();
            if let Ok(v6) = TcpListener::bind(("::1", port)).await {
                return Self { v4, v6, port };
            }
        }
    }
    /// A connection that was made lies in one of the queues: on loopback it is there before `connect` returns.
    async fn is_untouched(&self) -> bool {
        use futures::FutureExt;
        settled().await;
        self.v4.accept().now_or_never().is_none() && self.v6.accept().now_or_never().is_none()
    }
}
/// Spellings of this machine and of what else nobody may reach; `PORT` is the canary's. None of them needs a resolver.
const ADDRESSES: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.000.000.001:PORT/",
    "http://2130706433:PORT/",
    "http://017700000001:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7F.1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0x7f.0x0.0x0.0x1:PORT/",
    "http://0177.0x0.0.01:PORT/",
    "http://127.0.0.2:PORT/",
    "http://127.255.255.255:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0x0:PORT/",
    "http://00000:PORT/",
    "http://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}:PORT/",
    "http://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}:PORT/",
    "http://127\u{3002}0\u{ff0e}0\u{ff61}1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127.0.0.1%2e:PORT/",
    "HTTP://127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "http:127.0.0.1:PORT/",
    "http:////127.0.0.1:PORT/",
    "http://127.0.0.1:PORT#@crm.example/",
    "http://127.0.0.1:PORT\\@crm.example/",
    "https://127.0.0.1:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000::0001]:PORT/",
    "http://[::]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:7f00:0001]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::7f00:1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:7f00:0001::1]:PORT/",
    "http://[2001:0:7f00:1::80ff:fffe]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fc00::1]:PORT/",
    "http://[fd00:ec2::254]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[100::1]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[2001:2::1]:PORT/",
    "http://10.0.0.1:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.254:PORT/",
    "http://192.168.1.1:PORT/",
    "http://100.64.0.1:PORT/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://224.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
    "http://240.0.0.1:PORT/",
    "http://198.18.0.1:PORT/",
    "http://192.0.2.1:PORT/",
    "http://203.0.113.1:PORT/",
    "http://192.88.99.1:PORT/",
];
/// Not even a URL.
const NO_URLS: &[&str] = &[
    "http://[::1%25lo]:PORT/",
    "http://[::1%lo]:PORT/",
    "http://127.0.0.1:PORT@/",
    "http://127.0.0.256:PORT/",
    "http://0x100000000:PORT/",
    "http://127.0.0.0x:PORT:1/",
    "http://:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
];
/// Not for HTTP.
const NO_TARGETS: &[&str] = &[
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/",
    "ftp://127.0.0.1:PORT/",
    "data:,x",
    "unix:/run/x",
];
/// Names, and what the resolver says of them.
const NAMES: &[(&str, &[&str])] = &[
    ("localhost", &["127.0.0.1"]),
    ("LOCALHOST", &["127.0.0.1"]),
    ("localhost.", &["127.0.0.1"]),
    ("a.localhost", &["::1"]),
    ("localtest.example", &["127.0.0.1"]),
    ("127.0.0.1.nip.example", &["127.0.0.1"]),
    ("ip6.example", &["::1"]),
    ("mapped.example", &["::ffff:127.0.0.1"]),
    ("nat64.example", &["64:ff9b::7f00:1"]),
    ("metadata.example", &["169.254.169.254"]),
    ("any.example", &["0.0.0.0"]),
    ("private.example", &["10.0.0.1"]),
    ("last.example", &["1.1.1.1", "2606:4700::1", "127.0.0.1"]),
    ("first.example", &["127.0.0.1", "1.1.1.1"]),
    ("xn--lcalhost-x3a.example", &["127.0.0.1"]),
    ("l\u{f6}calhost.example", &["127.0.0.1"]),
];

#[tokio::test]
async fn no_spelling_of_a_protected_address_is_called() {
    assert!(ADDRESSES.len() + NAMES.len() >= 60);
    let canary = Canary::new().await;
    let here = |text: &str| text.replace("PORT", &canary.port.to_string());
    let names = NAMES.iter().map(|(name, addresses)| (format!("http://{name}:PORT/"), *addresses));
    // The resolver would say loopback, should it be asked about an address.
    let addresses = ADDRESSES.iter().map(|text| ((*text).to_owned(), &["127.0.0.1"][..]));
    for (text, resolved) in addresses.chain(names) {
        let text = here(&text);
        let node = node(&[], Stub::new(&[resolved]));
        let target = Target::new(spec(&text), node.shared.clone()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(told(&target, "x").await, Err((Code::AddressForbidden, Retry::Now)), "{text}");
        assert!(
            matches!(node.log.last().outcome, AttemptOutcome::Failed { step: Step::Guard, .. }),
            "{text}"
        );
        assert_eq!((node.shared.opened(), node.shared.refused()), (0, 1), "{text}");
    }
    for text in NO_URLS {
        assert!(here(text).parse::<tidegate_endpoints::http::Url>().is_err(), "{text}");
    }
    for text in NO_TARGETS {
        let spec = spec(&here(text));
        assert!(Target::new(spec, local().shared).is_err(), "{text}");
    }
    assert!(canary.is_untouched().await);
    // The canary sings.
    let node = node(&["127.0.0.1/32"], Stub::new(&[]));
    let mut one = spec(&here("http://0x7f.1:PORT/"));
    one.timeout = Duration::from_millis(100);
    let target = Target::new(one, node.shared.clone()).unwrap();
    assert_eq!(told(&target, "x").await, Err((Code::TargetTimeout, Retry::Now)));
    assert!(!canary.is_untouched().await);
}
/// The second look-up answers something else: each connection asks once, and goes to what was judged.
#[tokio::test]
async fn a_name_that_changes_is_judged_each_time() {
    let canary = Canary::new().await;
    // On the canary's port, so that only the address differs.
    let listener = TcpListener::bind(("127.0.0.2", canary.port)).await.unwrap();
    let resolver = Stub::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let node = node(&["127.0.0.2/32"], resolver.clone());
    let target = Target::new(spec(&format!("http://crm.example:{}/", canary.port)), node.shared.clone()).unwrap();
    let serving = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(tcp.read(&mut request).await.unwrap() > 0);
        tcp.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
    };
    let (first, ()) = futures::join!(told(&target, "x"), serving);
    assert_eq!(first, Ok(()));
    assert_eq!(resolver.asked(), 1, "what is judged is what is connected to");
    assert_eq!(told(&target, "y").await, Err((Code::AddressForbidden, Retry::Now)));
    assert_eq!(resolver.asked(), 2);
    assert!(canary.is_untouched().await);
}
#[tokio::test]
async fn what_was_looked_up_serves_a_moment_and_is_judged_again() {
    let server = Server::new(|_, _| Say::Close(plain("200 OK", "connection: close\r\n"))).await;
    let resolver = Stub::new(&[&["127.0.0.1"]]);
    let guard = Guard {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        remember: LONG,
    };
    let shared = Shared::new(guard, Arc::new(Log::default())).with_resolver(resolver.clone());
    let target = Target::new(spec(&format!("http://crm.example:{}/", server.address.port())), Arc::new(shared)).unwrap();
    for _ in 0..5 {
        assert_eq!(told(&target, "x").await, Ok(()));
    }
    assert_eq!((resolver.asked(), server.accepted()), (1, 5));
}
#[tokio::test]
async fn redirects_are_not_followed() {
    let canary = Canary::new().await;
    for status in ["301 A", "302 B", "303 C", "307 D", "308 E", "300 F"] {
        let location = format!(
            "location: http://127.0.0.1:{}/x\r\nrefresh: 0; url=http://127.0.0.1:{}/\r\n",
            canary.port, canary.port
        );
        let server = Server::new(move |_, _| Say::Answer(plain(status, &location))).await;
        // Loopback is allowed here: it is not the guard that keeps it away.
        let target = Target::new(spec(&server.url()), local().shared).unwrap();
        assert_eq!(told(&target, "x").await, Err((Code::TargetRefused, Retry::Now)), "{status}");
        assert_eq!(server.seen().len(), 1);
    }
    assert!(canary.is_untouched().await);
}
/// A proxy is told an address that was judged, not a name to look up by itself.
#[tokio::test]
async fn a_proxy_is_asked_for_what_was_judged() {
    let server = Server::new(|_, _| answer("200 OK")).await;
    let proxy = Server::at("127.0.0.2", None, |_, _| Say::Tunnel).await;
    let resolver = Stub::new(&[&["127.0.0.1"]]);
    let node = node(&["127.0.0.1/32", "127.0.0.2/32"], resolver.clone());
    let mut spec = spec(&format!("http://crm.example:{}/hook", server.address.port()));
    spec.proxy = Some(format!("http://me:p%40ss@{}", proxy.address).parse().unwrap());
    let target = Target::new(spec, node.shared.clone()).unwrap();
    for _ in 0..3 {
        assert_eq!(told(&target, "x").await, Ok(()));
    }
    let [asked] = proxy.seen().try_into().unwrap();
    assert_eq!(asked.line, format!("CONNECT {} HTTP/1.1", server.address));
    assert_eq!(asked.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(asked.header("proxy-authorization"), Some("Basic bWU6cEBzcw=="));
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    // The target hears its own name, and nothing of the proxy.
    assert_eq!(
        seen[0].header("host"),
        Some(format!("crm.example:{}", server.address.port()).as_str())
    );
    assert_eq!(seen[0].header("proxy-authorization"), None);
    assert_eq!(resolver.asked(), 1);
}
#[tokio::test]
async fn a_proxy_opens_no_door() {
    let canary = Canary::new().await;
    let proxy = Server::at("127.0.0.2", None, |_, _| Say::Tunnel).await;
    let via = |address: SocketAddr| Some(format!("http://{address}").parse().unwrap());
    let forbidden = Err((Code::AddressForbidden, Retry::Now));
    // The proxy is allowed, the target is not: the proxy hears nothing.
    for url in [
        "http://crm.example:PORT/",
        "http://127.0.0.1:PORT/",
        "http://0x7f.1:PORT/",
        "https://[::1]:PORT/",
    ] {
        let node = node(&["127.0.0.2/32"], Stub::new(&[&["127.0.0.1"]]));
        let mut spec = spec(&url.replace("PORT", &canary.port.to_string()));
        spec.proxy = via(proxy.address);
        let target = Target::new(spec, node.shared).unwrap();
        assert_eq!(told(&target, "x").await, forbidden, "{url}");
    }
    assert_eq!(proxy.accepted(), 0);
    // The target is allowed, the proxy is not.
    let here: SocketAddr = ([127, 0, 0, 1], canary.port).into();
    for proxy in [format!("http://{here}"), format!("http://localhost:{}", canary.port)] {
        let node = node(&["127.0.0.3/32"], Stub::new(&[&["127.0.0.1"]]));
        let mut spec = spec("http://127.0.0.3/");
        spec.proxy = Some(proxy.parse().unwrap());
        let target = Target::new(spec, node.shared).unwrap();
        assert_eq!(told(&target, "x").await, forbidden, "{proxy}");
    }
    assert!(canary.is_untouched().await);
}
#[tokio::test]
async fn what_a_proxy_refuses_is_down() {
    let cases: [(Way, &str, Code); 6] = [
        // On the way to an answer that does not come.
        (Say::Close, "HTTP/1.1 100 Continue\r\n\r\n", Code::TargetDown),
        (Say::Answer, "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", Code::TargetDown),
        (Say::Answer, "HTTP/1.1 407 Who\r\n\r\n", Code::TargetDown),
        (Say::Close, "", Code::TargetDown),
        (Say::Flood, "HTTP/1.1 200 OK\r\nx: ", Code::TargetDown),
        (Say::Hang, "HTTP/1.1 200 OK\r\n", Code::TargetTimeout),
    ];
    for (number, (say, text, code)) in cases.into_iter().enumerate() {
        let proxy = Server::new(move |_, _| say(text.to_owned())).await;
        let node = local();
        let mut spec = spec("http://crm.example/");
        spec.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
        spec.steps.connect = if code == Code::TargetTimeout {
            Duration::from_millis(150)
        } else {
            LONG
        };
        let target = Target::new(spec, node.shared.clone()).unwrap();
        assert_eq!(told(&target, "x").await, Err((code, Retry::Now)), "{number}");
        assert!(matches!(
            node.log.last().outcome,
            AttemptOutcome::Failed { step: Step::Connect, .. }
        ));
    }
}
/// Who gives out tokens is guarded as the target is.
#[tokio::test]
async fn tokens_are_not_fetched_from_there_either() {
    let canary = Canary::new().await;
    let server = Server::at("127.0.0.2", None, |_, _| answer("200 OK")).await;
    let node = node(&["127.0.0.2/32"], Stub::new(&[&["127.0.0.1"]]));
    for host in ["127.0.0.1", "id.example", "[::1]"] {
        let mut spec = spec(&server.url());
        spec.auth = Auth::OAuth2(ClientCredentials {
            token_url: format!("http://{host}:{}/token", canary.port).parse().unwrap(),
            id: "me".to_owned(),
            secret: Credential::new("s"),
            scopes: Vec::new(),
            in_body: false,
        });
        let target = Target::new(spec, node.shared.clone()).unwrap();
        assert_eq!(told(&target, "x").await, Err((Code::AddressForbidden, Retry::Now)), "{host}");
    }
    assert!(canary.is_untouched().await);
    assert_eq!(server.accepted(), 0);
}
#[tokio::test]
async fn the_next_address_is_tried() {
    let server = Server::at("127.0.0.2", None, |_, _| answer("200 OK")).await;
    let resolver = Stub::new(&[&["127.0.0.9", "127.0.0.2"]]);
    let node = node(&["127.0.0.0/8"], resolver);
    let target = Target::new(spec(&format!("http://crm.example:{}/", server.address.port())), node.shared).unwrap();
    assert_eq!(told(&target, "x").await, Ok(()));
}
