//! Workers over real sockets, on an endpoint in memory: `_pull`, `_settle`, groups over WebSocket, and what they are told when they ask wrongly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tidegate_core::{drain::Drain, endpoint::Endpoint, settle::Outcome, tasks, topic::Topic};
use tidegate_entrypoints::{
    http::{
        call::{Pace, Settings},
        flight::Flight,
        head::HeadLimits,
        service::Gateway,
    },
    listener::{Limits, Listener, Pinned, Seen},
};
use tidegate_gateway::{
    metrics::Metrics,
    paths::Paths,
    route::{Route, scope},
    settings::{Api, Compatibility, HttpGet, HttpPost, Place, Pull, Slow, WebSocket},
    target::{Target, Wanted},
    world::{Snapshot, World},
};
use tidegate_testkit::{
    client::{Answer, Client},
    memory::Memory,
    websocket,
};
use tokio::runtime::Runtime;

const GROUP: &str = "$api/orders/-/default";
const SECONDS: Duration = Duration::from_secs(30);

struct House {
    memory: Memory,
    address: SocketAddr,
    drain: Drain,
    _runtime: Runtime,
}
fn route(memory: &Memory, metrics: &Metrics) -> Arc<Route> {
    let endpoint: Arc<dyn Endpoint> = Arc::new(memory.clone());
    let target = Target::new(endpoint, Wanted::Whole(Topic::from_static("orders")));
    let api = Api {
        name: "orders".into(),
        enabled: true,
        paths: Vec::new(),
        publish: None,
        subscribe: None,
        listed: true,
        http_post: Some(HttpPost {
            ack: None,
            headers: Vec::new(),
        }),
        http_get: Some(HttpGet {
            limit: 500,
            wait: Duration::ZERO,
            answer: None,
        }),
        sse: None,
        websocket: Some(WebSocket {
            publish: true,
            subscribe: true,
            ack: None,
            heartbeat: SECONDS,
        }),
        pull: Some(Pull { lease_for: SECONDS }),
        cors: Vec::new(),
        include: Vec::new(),
        slow: Slow::CatchUp,
        compatibility: Compatibility::None,
        policies: Vec::new(),
        keyless: true,
        place: Place::built_in(),
    };
    Arc::new(Route {
        name: api.name.clone(),
        publish: Some(target.clone()),
        subscribe: Some(target),
        policies: Box::default(),
        metrics: metrics.api(&api.name),
        scope: scope(&api.name, ""),
        api,
    })
}
impl House {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (memory, drain) = (Memory::default(), Drain::new());
        let route = route(&memory, &Metrics::default());
        let mut bare = Arc::try_unwrap(self::route(&memory, &Metrics::default())).unwrap_or_else(|_| panic!("it is new"));
        (bare.name, bare.api.name, bare.api.pull) = ("bare".into(), "bare".into(), None);
        let bare = Arc::new(bare);
        let mut paths = Paths::default();
        paths.insert(None, "/orders", route.clone());
        paths.insert(None, "/bare", bare.clone());
        let snapshot = Snapshot {
            paths,
            routes: [route, bare].map(|route| (route.name.clone(), route)).into(),
            revision: 1,
        };
        let settings = Settings {
            head: HeadLimits {
                headers: 64,
                target: 8_192,
            },
            body: 1 << 20,
            batch_body: 1 << 20,
            batch_items: 1_000,
            body_pace: Pace { stall: SECONDS, rate: 1 },
            streams_within: 64,
            stall: SECONDS,
            ws_message: 1 << 20,
            hints: false,
        };
        let limits = Limits {
            connections: 100,
            head: 64 << 10,
            fields: 64,
            head_timeout: SECONDS,
            idle: SECONDS,
            write_stall: SECONDS,
        };
        let within = runtime.enter();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.address();
        let gateway = Gateway::new(
            World::new(snapshot, 1 << 20),
            Flight::new(100, 1 << 24),
            settings,
            Vec::new(),
            drain.watch(),
        );
        let serving = listener.serve(gateway, limits, Arc::new(Seen::default()), drain.watch(), Pinned::default());
        tasks::detach_on(runtime.handle(), serving);
        drop(within);
        Self {
            memory,
            address,
            drain,
            _runtime: runtime,
        }
    }
    fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        Client::once(self.address, "POST", target, headers, body.as_bytes())
    }
    fn publish(&self, payloads: &[&str]) {
        for payload in payloads {
            assert_eq!(self.post("/orders", &[], payload).status, 202);
        }
    }
    fn pull(&self, body: &Value) -> Vec<Value> {
        let answer = self.post("/orders/_pull", &[], &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json()["items"].as_array().unwrap().clone()
    }
    fn settle(&self, body: &Value) -> Value {
        let answer = self.post("/orders/_settle", &[], &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["results"].clone()
    }
    /// Waits for what another thread does.
    fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..10_000_000 {
            if what(self) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("it did not come");
    }
}

#[test]
fn a_worker_pulls_and_settles_each_message_by_itself() {
    let house = House::new();
    house.publish(&["a", "b", "c", "d"]);
    let items = house.pull(&json!({}));
    let payloads: Vec<_> = items.iter().map(|item| item["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, ["a", "b", "c", "d"]);
    assert!(
        items
            .iter()
            .all(|item| item["attempt"] == 1 && item["position"].is_string() && item["time"].is_string())
    );
    let lease = |at: usize| items[at]["lease"].as_str().unwrap();
    let results = house.settle(&json!({
        "reject": [{ "lease": lease(2), "reason": "no such customer" }],
        "ack": [lease(0), lease(0), "nonsense"],
        "nack": [{ "lease": lease(1), "delay": "0s" }],
        "extend": [{ "lease": lease(3), "by": "1h" }],
    }));
    // serde_json sorts the members of what it writes: ack, extend, nack, reject.
    let result = |at: usize, word: &str| json!({ "lease": lease(at), "result": word });
    assert_eq!(
        results,
        json!([
            result(0, "ok"), result(0, "expired"), { "lease": "nonsense", "result": "unknown" },
            result(3, "ok"), result(1, "ok"), result(2, "ok"),
        ])
    );
    assert_eq!(
        house.memory.ended(GROUP),
        [(0, Outcome::Ack), (2, Outcome::reject("no such customer"))]
    );
    let again = house.pull(&json!({ "wait": "0s" }));
    assert_eq!(
        (again.len(), &again[0]["payload"], &again[0]["attempt"]),
        (1, &json!("b"), &json!(2))
    );
}
#[test]
fn a_long_poll_answers_with_the_first_that_comes() {
    let house = House::new();
    assert!(house.pull(&json!({ "wait": "0s" })).is_empty());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| house.pull(&json!({ "wait": "30s" })));
        house.publish(&["late"]);
        assert_eq!(waiting.join().unwrap()[0]["payload"], "late");
    });
}
#[test]
fn a_client_that_leaves_in_the_middle_costs_nothing() {
    let house = House::new();
    house.publish(&["first"]);
    let first = house.pull(&json!({}));
    let mut leaving = Client::new(house.address);
    leaving.write(b"POST /orders/_pull HTTP/1.1\r\nhost: x\r\ncontent-length: 14\r\n\r\n{\"wait\":\"30s\"}");
    house.until(|house| house.memory.waiting() == 1);
    leaving.socket().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(leaving.is_closed(), "nobody waits for an answer");
    house.publish(&["a"]);
    let mut items = house.pull(&json!({ "wait": "20s" }));
    let item = items.remove(0);
    assert_eq!((&item["payload"], &item["attempt"]), (&json!("a"), &json!(1)));
    let results = house.settle(&json!({ "ack": [item["lease"], first[0]["lease"]] }));
    assert!(
        results.as_array().unwrap().iter().all(|result| result["result"] == "ok"),
        "{results}"
    );
}
#[test]
fn groups_have_places_of_their_own() {
    let house = House::new();
    house.publish(&["a"]);
    for group in ["default", "audit"] {
        assert_eq!(house.pull(&json!({ "group": group, "wait": "0s" })).len(), 1, "{group}");
        assert!(house.pull(&json!({ "group": group, "wait": "0s" })).is_empty());
    }
    assert!(house.pull(&json!({ "group": "new", "from": "latest", "wait": "0s" })).is_empty());
    assert_eq!(house.memory.out("$api/orders/-/audit"), 1);
}
#[test]
fn what_is_asked_wrongly_is_told() {
    let house = House::new();
    for (method, target, headers, body, status, code, told) in [
        ("POST", "/orders/_pull", &[][..], "[]", 400, "TG1031", "expected a JSON object"),
        ("POST", "/orders/_pull", &[], "{", 400, "TG1031", "it ends too early"),
        ("POST", "/orders/_pull", &[], r#"{"limit":0}"#, 400, "TG1002", "`limit` is `0`"),
        (
            "POST",
            "/orders/_pull",
            &[],
            r#"{"grop":"a"}"#,
            400,
            "TG1002",
            "unknown member `grop`",
        ),
        ("POST", "/orders/_pull?limit=5", &[], "{}", 400, "TG1009", "takes only `include`"),
        ("POST", "/orders/_pull?include=headers", &[], "{}", 400, "TG1009", "does not show"),
        (
            "POST",
            "/orders/_pull",
            &[("tidegate-key", "k")],
            "{}",
            400,
            "TG1007",
            "is for publishing",
        ),
        ("POST", "/orders/_settle", &[], "{}", 400, "TG1002", "there is nothing to settle"),
        (
            "POST",
            "/orders/_settle",
            &[],
            r#"{"ack":7}"#,
            400,
            "TG1002",
            "`ack`: expected a list",
        ),
        ("POST", "/orders/_settle?x=1", &[], "{}", 400, "TG1009", "no query parameters"),
        ("GET", "/orders/_pull", &[], "", 405, "TG1004", "asked by POST"),
        ("POST", "/bare/_pull", &[], "{}", 404, "TG1001", "no entrypoint `pull`"),
        ("POST", "/bare/_settle", &[], "{}", 404, "TG1001", "no entrypoint `pull`"),
        ("POST", "/nowhere/_pull", &[], "{}", 404, "TG1001", "no api has this path"),
    ] {
        let answer = Client::once(house.address, method, target, headers, body.as_bytes());
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"]),
            (status, &json!(code)),
            "{method} {target} {body}: {problem}"
        );
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    assert_eq!(
        Client::once(house.address, "GET", "/orders/_pull", &[], b"").header("allow"),
        Some("POST")
    );
    // Nothing at all is the same as nothing special.
    assert_eq!(house.post("/orders/_pull?include=", &[], "").status, 400);
    house.publish(&["a"]);
    assert_eq!(house.post("/orders/_pull", &[], "").json()["items"][0]["payload"], "a");
}
#[test]
fn times_are_wishes_with_bounds() {
    let house = House::new();
    let timed = |headers: &[(&str, &str)]| house.post("/orders", headers, "x");
    assert_eq!(timed(&[("tidegate-ttl", "10s"), ("tidegate-delay", "5s")]).status, 202);
    assert_eq!(timed(&[("tidegate-delay", "5s"), ("tidegate-ack", "stored")]).status, 202);
    for (headers, status, code) in [
        (&[("tidegate-ttl", "366d")][..], 400, "TG1007"),
        (&[("tidegate-ttl", "10")], 400, "TG1007"),
        (&[("tidegate-ttl", "0s")], 400, "TG1007"),
        (&[("tidegate-ttl", "1s"), ("tidegate-ttl", "2s")], 400, "TG1007"),
        (&[("tidegate-delay", "25h")], 400, "TG1007"),
        (&[("tidegate-ttl", "5s"), ("tidegate-delay", "5s")], 400, "TG1007"),
        (&[("tidegate-delay", "5s"), ("tidegate-ack", "accepted")], 422, "TG1022"),
    ] {
        let answer = timed(headers);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{headers:?}");
    }
    let items = r#"{"items":[{"payload":1,"ttl":"5s"},{"payload":2,"delay":"1m"},{"payload":3,"delay":"2d"}]}"#;
    let answer = house.post("/orders", &[("content-type", "application/vnd.tidegate.messages+json")], items);
    assert_eq!((answer.status, &answer.json()["sent"]), (207, &json!(2)), "{}", answer.text());
    let timing = house.memory.timing();
    let set: Vec<_> = timing
        .iter()
        .map(|timing| timing.map(|timing| (timing.expires.is_some(), timing.due.is_some())))
        .collect();
    assert_eq!(
        set,
        [Some((true, true)), Some((false, true)), Some((true, false)), Some((false, true))]
    );
    let both = timing[0].unwrap();
    assert_eq!(both.expires.unwrap() - both.due.unwrap(), 5_000_000);
}
fn socket(house: &House) -> websocket::WebSocket {
    websocket::WebSocket::open(house.address, "/orders", Some("tidegate.v1.json"))
}
#[test]
fn a_member_of_a_group_settles_over_websocket() {
    let house = House::new();
    house.publish(&["a", "b", "c"]);
    let mut one = socket(&house);
    assert_eq!(
        one.subscribe(&json!({ "op": "subscribe", "group": "default", "credit": 2 }))["op"],
        "subscribed"
    );
    let (a, b) = (one.json(), one.json());
    assert_eq!((&a["payload"], &a["attempt"], &b["payload"]), (&json!("a"), &json!(1), &json!("b")));
    // Its credit is its window: `c` comes when there is room.
    one.say(&json!({ "op": "settle", "ref": 1, "ack": [a["lease"]], "nack": [{ "lease": b["lease"], "delay": "1h" }] }));
    let mut told = [one.json(), one.json()];
    told.sort_by_key(|told| told["op"].to_string());
    assert_eq!((&told[0]["op"], &told[0]["payload"]), (&json!("message"), &json!("c")));
    assert_eq!((&told[1]["op"], &told[1]["ref"]), (&json!("settled"), &json!(1)));
    assert_eq!(
        told[1]["results"],
        json!([{ "lease": a["lease"], "result": "ok" }, { "lease": b["lease"], "result": "ok" }])
    );
    assert_eq!(house.memory.ended(GROUP), [(0, Outcome::Ack)]);
    one.say(&json!({ "op": "settle", "ack": [a["lease"], "x"] }));
    let told = one.json();
    assert_eq!(
        told["results"],
        json!([{ "lease": a["lease"], "result": "expired" }, { "lease": "x", "result": "unknown" }])
    );
    // Whoever goes gives back what it had; a lease of that session is nothing in another.
    drop(one);
    let mut other = socket(&house);
    other.subscribe(&json!({ "op": "subscribe", "group": "default" }));
    let again = other.json();
    assert_eq!((&again["payload"], &again["attempt"]), (&json!("c"), &json!(2)));
    other.say(&json!({ "op": "settle", "ack": [told["results"][0]["lease"]] }));
    assert_eq!(other.json()["results"][0]["result"], "unknown");
}
#[test]
fn a_group_over_websocket_is_asked_rightly_or_told() {
    let house = House::new();
    let mut one = socket(&house);
    one.say(&json!({ "op": "settle", "ref": "s", "ack": ["x"] }));
    let told = one.json();
    assert_eq!(
        (&told["op"], &told["ref"], &told["code"]),
        (&json!("problem"), &json!("s"), &json!("TG1016"))
    );
    one.subscribe(&json!({ "op": "subscribe", "group": "default", "credit": 0 }));
    one.say(&json!({ "op": "subscribe", "ref": 2, "group": "other" }));
    assert_eq!(one.json()["detail"], "there is a subscription already");
    house.publish(&["a"]);
    one.say(&json!({ "op": "credit", "n": 20_001 }));
    assert_eq!(one.json()["op"], "problem", "and no message without credit");
    one.say(&json!({ "op": "credit", "n": 1 }));
    assert_eq!(one.json()["payload"], "a");
    house.drain.start();
    assert_eq!(one.json()["op"], "goaway");
    house.until(|house| house.memory.out(GROUP) == 0);
}
