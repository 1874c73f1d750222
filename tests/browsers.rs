//! Pages of other origins: who may call, what their browsers are told, what is said of those who may not.
use crate::dev;
use tidegate_testkit::{Browser, Node, balance, node::How};

const LISTED: &str = "---\nkind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\n\
    plans: [keyless]\ncors: { origins: [\"https://app.example.com\"] }\n";
const APP: (&str, &str) = ("origin", "https://app.example.com");
const OTHER: (&str, &str) = ("origin", "https://other.example");

fn run() -> Node {
    How::run(crate::TIDEGATE).start_with(LISTED)
}
#[test]
fn a_listed_origin_is_told_that_its_page_may() {
    let node = run();
    let asked = node.request(
        "OPTIONS",
        "/orders",
        &[
            APP,
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,tidegate-ack"),
        ],
        b"",
    );
    assert_eq!(asked.status, 204, "{asked:?}");
    assert_eq!(asked.header("access-control-allow-origin"), Some(APP.1));
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET, POST"));
    assert_eq!(asked.header("access-control-allow-headers"), Some("content-type,tidegate-ack"));
    assert!(asked.header("vary").is_some_and(|vary| vary.contains("Origin")));
    let posted = node.post("/orders", &[APP], b"x");
    assert_eq!((posted.status, posted.header("access-control-allow-origin")), (202, Some(APP.1)));
    let exposed = posted.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.contains("Tidegate-Position") && exposed.contains("Tidegate-Next-Cursor"),
        "{exposed}"
    );
    // A problem too: the page wants to know what was wrong.
    let wrong = node.request("GET", "/orders?limit=x", &[APP], b"");
    assert_eq!((wrong.status, wrong.header("access-control-allow-origin")), (400, Some(APP.1)));
    // And what was refused before anybody looked where it comes from: a ticket that has ended.
    let late = node.request("GET", "/orders?wait=0&access_token=tkt_x", &[APP], b"");
    assert_eq!((late.status, late.header("access-control-allow-origin")), (401, Some(APP.1)));
    let foreign = node.request("GET", "/orders?wait=0&access_token=tkt_x", &[OTHER], b"");
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (401, None));
    let read = node.request("GET", "/orders", &[APP], b"");
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some(APP.1)));
    balance(&node);
}
#[test]
fn another_origin_is_refused_with_one_line_and_a_hint() {
    let node = run();
    for origin in [OTHER, ("origin", "null"), ("origin", "http://localhost:3000")] {
        let asked = node.request("OPTIONS", "/orders", &[origin, ("access-control-request-method", "POST")], b"");
        assert_eq!((asked.status, asked.json()["code"].as_str()), (403, Some("TG2002")), "{origin:?}");
        assert_eq!(asked.header("access-control-allow-origin"), None, "{origin:?}");
        // Nor is what its browser sends without asking, if it does something.
        for path in ["/orders", "/orders/_pull"] {
            let sent = node.request("POST", path, &[origin, ("content-type", "text/plain")], b"{}");
            assert_eq!(
                (sent.status, sent.json()["code"].as_str()),
                (403, Some("TG2002")),
                "{origin:?} {path}"
            );
        }
        // What it only reads the browser does not show.
        let read = node.request("GET", "/orders?wait=0", &[origin], b"");
        assert_eq!((read.status, read.header("access-control-allow-origin")), (200, None), "{origin:?}");
    }
    let told = node
        .lines()
        .into_iter()
        .filter(|line| line.contains("https://other.example"))
        .collect::<Vec<_>>();
    assert!(
        told.len() == 3 && told.iter().all(|line| line.contains("cors: { origins: [...] }")),
        "{told:?}"
    );
    assert_eq!(node.get("/orders?wait=0").json()["items"], serde_json::json!([]));
    balance(&node);
}
#[test]
fn a_page_of_another_origin_works_with_fetch_event_source_and_websocket() {
    let node = dev().start();
    let page = dev().start();
    let browser = Browser::new();
    browser.open(&format!("http://{}/", page.gateway));
    browser.run(&format!(
        "window.told = {{ events: [], words: [] }}; const gateway = '{}';\
         const events = new EventSource(`http://${{gateway}}/orders?from=earliest`);\
         events.onmessage = event => window.told.events.push(event.data);\
         const socket = new WebSocket(`ws://${{gateway}}/orders?from=earliest`);\
         socket.onmessage = event => window.told.words.push(event.data);\
         fetch(`http://${{gateway}}/orders`, {{ method: 'POST', headers: {{ 'content-type': 'application/json', 'tidegate-ack': 'stored' }}, body: '{{\"a\":1}}' }})\
             .then(answer => {{ window.told.status = answer.status; window.told.position = answer.headers.get('tidegate-position'); }},\
                 error => {{ window.told.error = String(error); }})",
        node.gateway
    ));
    let told = browser.until("return window.told", |told| {
        told["error"].is_string() || told["status"].is_number() && told["events"][0].is_string() && told["words"][0].is_string()
    });
    assert_eq!((&told["status"], &told["position"]), (&202.into(), &"1.0".into()), "{told}");
    assert_eq!((&told["events"][0], &told["words"][0]), (&"{\"a\":1}".into(), &"{\"a\":1}".into()));
    drop(browser);
    for entrypoint in ["sse", "websocket"] {
        let open = format!("tidegate_subscribers{{api=\"orders\",entrypoint=\"{entrypoint}\"}}");
        node.until(&open, |open| open == 0);
    }
    balance(&node);
}
