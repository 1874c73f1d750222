//! The Memphis HTTP API over real sockets, on an endpoint in memory, with sessions and rights that are scripted: vectors of its last release, and
//! what is told when something is wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    directory::{Directory, Right},
    drain::Drain,
    endpoint::{Endpoint, Publish},
    error::{Code, Error, Result},
    exchange::{Credentials, Exchange, Principal},
    policy::{Policy, Step},
    sessions::{Admitted, Lifetimes, Login, Renewal, Session, Sessions},
    settle::Outcome,
    tasks,
    topic::Topic,
};
use tidegate_entrypoints::{
    dialects::memphis::{Ground, Memphis, Settings},
    http::{
        call::{Pace, Settings as Edge},
        flight::Flight,
        head::HeadLimits,
    },
    listener::{Limits, Listener, Pinned, Seen},
};
use tidegate_gateway::{
    metrics::Metrics,
    paths::Paths,
    route::{Route, scope},
    settings::{Api, Compatibility, Include, Place, Pull, Slow},
    target::{Target, Wanted},
    world::{Snapshot, World},
};
use tidegate_testkit::{
    client::{Answer, Client},
    memory::Memory,
};
use tokio::runtime::Runtime;

const SECONDS: Duration = Duration::from_secs(30);
const DONE: &str = "{\"error\":null,\"success\":true}";
const BEARER: (&str, &str) = ("Authorization", "Bearer access");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// `root` with connection token or password `memphis`; `reader` may only read. A new session has the next number.
#[derive(Default)]
struct Script {
    given: AtomicU64,
    asked: Mutex<Vec<Lifetimes>>,
    world: OnceLock<Arc<World>>,
    streams: Mutex<HashMap<String, Memory>>,
}
impl Script {
    fn session(&self, lifetimes: Lifetimes) -> Session {
        self.asked.lock().unwrap().push(lifetimes);
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        Session {
            access: format!("access{number}"),
            access_ttl: lifetimes.access.unwrap_or(Duration::from_mins(15)),
            refresh: format!("refresh{number}"),
            refresh_ttl: lifetimes.refresh.unwrap_or(Duration::from_hours(5)),
        }
    }
    /// A stream of that name, and its route.
    fn stream(&self, name: &str) {
        let mut streams = self.streams.lock().unwrap();
        streams.entry(name.to_owned()).or_default();
        let snapshot = snapshot(&streams);
        self.world.get().unwrap().swap(snapshot);
    }
}
fn unauthorized() -> Error {
    Error::client(Code::Unauthorized, "no")
}
impl Sessions for Script {
    fn login<'a>(&'a self, login: &'a Login, lifetimes: Lifetimes, _from: IpAddr) -> BoxFuture<'a, Result<Session>> {
        let shown = login.password.as_deref().or(login.connection_token.as_deref());
        let session = match (login.name.as_str(), shown) {
            ("slow", _) => Err(Error::client(Code::TooManyAttempts, "slow down")),
            ("root" | "bob", Some("memphis")) => Ok(self.session(lifetimes)),
            _ => Err(unauthorized()),
        };
        async move { session }.boxed()
    }
    fn renew(&self, shown: Renewal<'_>, lifetimes: Lifetimes) -> Result<Session> {
        match shown {
            Renewal::Access(token) if token.starts_with("access") => Ok(self.session(lifetimes)),
            Renewal::Refresh(token) if token.starts_with("refresh") => Ok(self.session(lifetimes)),
            _ => Err(unauthorized()),
        }
    }
    fn admit(&self, token: &str) -> Result<Admitted> {
        let id = match token {
            "reader" => "user reader 0123456789abcdef",
            "id:secret" => "token id 0123456789abcdef",
            _ if token.starts_with("access") => "user root 0123456789abcdef",
            _ => return Err(unauthorized()),
        };
        Ok(Admitted {
            principal: Principal {
                id: id.into(),
                application: None,
            },
            expires: None,
        })
    }
}
impl Directory for Script {
    fn verify<'a>(&'a self, _realm: &'a str, _credentials: &'a Credentials) -> BoxFuture<'a, Result<Principal>> {
        async { Err(unauthorized()) }.boxed()
    }
    fn permits(&self, realm: &str, who: &Principal, right: Right, _name: &str) -> bool {
        realm == "main" && (!who.id.starts_with("user reader") || right == Right::Subscribe)
    }
    fn ensure_stream<'a>(&'a self, _realm: &'a str, name: &'a str, _who: &'a Principal, _from: IpAddr) -> BoxFuture<'a, Result<()>> {
        async move {
            self.stream(name);
            Ok(())
        }
        .boxed()
    }
}
fn snapshot(streams: &HashMap<String, Memory>) -> Snapshot {
    let mut snapshot = Snapshot {
        revision: streams.len() as u64,
        ..Snapshot::default()
    };
    let mut paths = Paths::default();
    for (name, memory) in streams {
        let route = route(name, memory);
        paths.insert(None, &format!("/stations/{name}"), route.clone());
        snapshot.routes.insert(route.name.clone(), route);
    }
    snapshot.paths = paths;
    snapshot
}
fn route(name: &str, memory: &Memory) -> Arc<Route> {
    let endpoint: Arc<dyn Endpoint> = Arc::new(memory.clone());
    let target = Target::new(endpoint, Wanted::Whole(Topic::from(name)));
    let api = Api {
        name: name.into(),
        enabled: true,
        paths: Vec::new(),
        publish: None,
        subscribe: None,
        listed: false,
        http_post: None,
        http_get: None,
        sse: None,
        websocket: None,
        pull: Some(Pull { lease_for: SECONDS }),
        cors: Vec::new(),
        include: vec![Include::Headers, Include::Metadata],
        slow: Slow::CatchUp,
        compatibility: Compatibility::None,
        policies: Vec::new(),
        keyless: false,
        place: Place::built_in(),
    };
    Arc::new(Route {
        name: api.name.clone(),
        publish: Some(target.clone()),
        subscribe: Some(target),
        policies: match name {
            "123" => Box::new([Arc::new(Schema) as Arc<dyn Policy>]),
            "gone-once" => Box::new([Arc::new(Gone(AtomicU64::new(1))) as Arc<dyn Policy>]),
            "gone" => Box::new([Arc::new(Gone(AtomicU64::new(u64::MAX))) as Arc<dyn Policy>]),
            _ => Box::default(),
        },
        metrics: Metrics::default().api(&api.name),
        scope: scope(&api.name, ""),
        api,
    })
}
/// So often whoever publishes or reads is told that its stream was deleted under it.
struct Gone(AtomicU64);
impl Policy for Gone {
    fn name(&self) -> &'static str {
        "gone"
    }
    fn admit<'a>(&'a self, _x: &'a mut Exchange) -> Step<'a> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        Step::Done(match left {
            Ok(_) => Err(Error::client(Code::NoSuchStream, "there is no stream any more")),
            Err(_) => Ok(()),
        })
    }
}
/// In the words of a JSON Schema that wants these members, on the station `123`.
struct Schema;
impl Policy for Schema {
    fn name(&self) -> &'static str {
        "schema"
    }
    fn publish<'a>(&'a self, _x: &'a Exchange, publish: &'a mut Publish) -> Step<'a> {
        publish.batch.check(|message| {
            let value: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let missing = ["field1", "field2", "field3"]
                .into_iter()
                .filter(|field| value.get(field).is_none());
            let missing: Vec<_> = missing.map(|field| format!("'{field}'")).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let text = format!("{VIOLATED}{}", missing.join(", "));
            Err(Error::client(Code::SchemaViolation, text))
        });
        Step::Done(Ok(()))
    }
}
const VIOLATED: &str =
    "Schema validation has failed: jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: ";
struct House {
    script: Arc<Script>,
    ready: Arc<AtomicBool>,
    address: SocketAddr,
    _drain: Drain,
    _runtime: Runtime,
}
impl House {
    fn new() -> Self {
        Self::with(Settings {
            create: true,
            ..Settings::default()
        })
    }
    fn old() -> Self {
        Self::with(Settings {
            old: true,
            create: true,
            ..Settings::default()
        })
    }
    fn with(settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (drain, script) = (Drain::new(), Arc::new(Script::default()));
        let world = World::new(Snapshot::default(), 1 << 20);
        assert!(script.world.set(world.clone()).is_ok());
        let ready = Arc::new(AtomicBool::new(true));
        let is_ready = ready.clone();
        let ground = Ground {
            world,
            sessions: script.clone(),
            directory: script.clone(),
            flight: Flight::new(100, 1 << 26),
            edge: Edge {
                head: HeadLimits {
                    headers: 64,
                    target: 8_192,
                },
                body: 4 << 20,
                batch_body: 4 << 20,
                batch_items: 1_000,
                body_pace: Pace { stall: SECONDS, rate: 1 },
                streams_within: 64,
                stall: SECONDS,
                ws_message: 1 << 20,
                hints: false,
            },
            drain: drain.watch(),
            ready: Arc::new(move || is_ready.load(Ordering::Relaxed)),
        };
        let limits = Limits {
            connections: 100,
            head: 16 << 10,
            fields: 64,
            head_timeout: SECONDS,
            idle: SECONDS,
            write_stall: SECONDS,
        };
        let within = runtime.enter();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.address();
        let serving = listener.serve(
            Memphis::new(ground, settings),
            limits,
            Arc::new(Seen::default()),
            drain.watch(),
            Pinned::default(),
        );
        tasks::detach_on(runtime.handle(), serving);
        drop(within);
        Self {
            script,
            ready,
            address,
            _drain: drain,
            _runtime: runtime,
        }
    }
    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = Client::once(self.address, method, target, headers, body.as_bytes());
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {target}");
        assert!(answer.header("vary").unwrap().starts_with("Origin"), "{method} {target}");
        answer
    }
    fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask("POST", target, headers, body)
    }
    fn single(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.post("/stations/st1/produce/single", &[&[BEARER], headers].concat(), body)
    }
    fn batch(&self, body: &str) -> Answer {
        self.post("/stations/st1/produce/batch", &[BEARER, JSON], body)
    }
    fn consume(&self, body: &Value) -> Answer {
        self.post("/stations/st1/consume/batch", &[BEARER, JSON], &body.to_string())
    }
    fn memory(&self, stream: &str) -> Memory {
        self.script.streams.lock().unwrap()[stream].clone()
    }
    /// What a new group reads.
    fn stored(&self, group: &str) -> Vec<Value> {
        let answer =
            self.consume(&json!({ "consumer_name": "c", "consumer_group": group, "batch_max_wait_time_ms": 1, "batch_size": 5_000 }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
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
/// Status, content type, body.
fn told(answer: &Answer) -> (u16, &str, String) {
    (answer.status, answer.header("content-type").unwrap_or_default(), answer.text())
}
fn json_of(status: u16, body: &str) -> (u16, &'static str, String) {
    (status, "application/json", body.to_owned())
}
fn text_of(status: u16, body: &str) -> (u16, &'static str, String) {
    (status, "text/plain; charset=utf-8", body.to_owned())
}
fn payloads(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["message"].as_str().unwrap()).collect()
}

/// Vector 1.
#[test]
fn v01_paths_and_methods() {
    let house = House::new();
    let unauthorized = json_of(401, "{\"message\":\"Unauthorized\"}");
    let status = house.ask("GET", "/monitoring/status", &[], "");
    assert_eq!(told(&status), json_of(200, "{\"status\":\"ok\"}"));
    let mut probe = Client::new(house.address);
    probe.write(b"HEAD /monitoring/status HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(probe.head().unwrap().status, 200);
    assert_eq!(told(&house.ask("GET", "/", &[], "")), text_of(404, "Cannot GET /"));
    assert_eq!(told(&house.ask("GET", "/nope", &[], "")), unauthorized);
    assert_eq!(told(&house.ask("GET", "/nope", &[BEARER], "")), text_of(404, "Cannot GET /nope"));
    assert_eq!(told(&house.post("/a'b", &[BEARER], "")), text_of(404, "Cannot POST /a&#39;b"));
    for (method, target, headers, allow) in [
        ("GET", "/auth/authenticate", &[][..], "POST"),
        ("PUT", "/auth/refreshToken", &[], "POST"),
        ("POST", "/monitoring/status", &[], "GET, HEAD"),
        ("GET", "/stations/a/produce/single", &[BEARER], "POST"),
    ] {
        let answer = house.ask(method, target, headers, "");
        assert_eq!(told(&answer), text_of(405, "Method Not Allowed"), "{target}");
        assert_eq!(answer.header("allow"), Some(allow));
    }
    assert_eq!(told(&house.ask("GET", "/stations/a/produce/single", &[], "")), unauthorized);
    house.ready.store(false, Ordering::Relaxed);
    let status = house.ask("GET", "/Monitoring/Status/", &[], "");
    assert_eq!(told(&status), json_of(503, "{\"status\":\"unavailable\"}"));
}
/// Vectors 2 and 3.
#[test]
fn v02_v03_logins() {
    let house = House::new();
    let fields = "{\"message\":\"Some of your fields are not valid it is usually because you are missing some fields or you are sending wrong data types, also please notice that account_id field should be sent as a number rather than a string\"}";
    let unauthorized = "{\"message\":\"Unauthorized\"}";
    for (headers, body, status, text) in [
        (&[JSON][..], "", 400, fields),
        (&[], "", 400, fields),
        (&[], "{\"username\":\"root\",\"password\":\"memphis\"}", 400, fields),
        (
            &[JSON],
            "{}",
            400,
            "{\"message\":[{\"field\":\"Username\",\"reason\":\"required\"}]}",
        ),
        (
            &[JSON],
            "{\"username\":\"root\",\"password\":\"memphis\",\"account_id\":\"1\"}",
            400,
            fields,
        ),
        (&[JSON], "{\"username\":\"root\",\"password\":\"wrong\"}", 401, unauthorized),
        (&[JSON], "{\"username\":\"root\"}", 401, unauthorized),
        (
            &[JSON],
            "{\"username\":\"slow\",\"password\":\"x\"}",
            429,
            "{\"message\":\"Too many failed attempts, try again later\"}",
        ),
    ] {
        assert_eq!(
            told(&house.post("/auth/authenticate", headers, body)),
            json_of(status, text),
            "{body}"
        );
    }
    let documented = "{\n    \"username\": \"root\",\n\t\"connection_token\": \"memphis\"\n}";
    let answer = house.post("/auth/authenticate", &[JSON], documented);
    assert_eq!(
        told(&answer),
        json_of(
            200,
            "{\"expires_in\":900000,\"jwt\":\"access0\",\"jwt_refresh_token\":\"refresh0\",\"refresh_token_expires_in\":18000000}"
        )
    );
    assert_eq!(
        answer.header("set-cookie"),
        Some("jwt-refresh-token=refresh0; Path=/; HttpOnly; SameSite=Strict; Max-Age=18000")
    );
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(
        house
            .post("/auth/authenticate?accountId=7", &form, "username=root&password=memphis")
            .status,
        200
    );
    let minutes = "{\"username\":\"bob$7\",\"password\":\"memphis\",\"token_expiry_in_minutes\":1,\"refresh_token_expiry_in_minutes\":2}";
    let answer = house.post("/Auth/Authenticate/", &[JSON], minutes);
    assert_eq!(
        (&answer.json()["expires_in"], &answer.json()["refresh_token_expires_in"]),
        (&json!(60_000), &json!(120_000))
    );
}
/// Vector 4.
#[test]
fn v04_tokens_are_read_laxly() {
    let house = House::new();
    let path = "/stations/st1/produce/single";
    for header in [
        "Bearer access",
        "Bearer: access",
        "Foo access",
        "Bearer id:secret",
        "Basic aWQ6c2VjcmV0",
    ] {
        assert_eq!(
            told(&house.post(path, &[("Authorization", header), JSON], "1")),
            json_of(200, DONE),
            "{header}"
        );
    }
    assert_eq!(house.post(&format!("{path}?authorization=access"), &[JSON], "1").status, 200);
    let twice = &[BEARER, BEARER, JSON][..];
    for (target, headers) in [
        (path.to_owned(), &[JSON][..]),
        (path.to_owned(), &[("Authorization", "Bearer"), JSON]),
        (path.to_owned(), &[("Authorization", "access"), JSON]),
        (path.to_owned(), &[("Authorization", "Bearer expired"), JSON]),
        (format!("{path}?Authorization=access"), &[JSON]),
        (format!("{path}?authorization=access"), &[("Authorization", "Bearer"), JSON]),
        (path.to_owned(), twice),
    ] {
        assert_eq!(
            told(&house.post(&target, headers, "1")),
            json_of(401, "{\"message\":\"Unauthorized\"}"),
            "{target} {headers:?}"
        );
    }
}
/// Vectors 5 and 6.
#[test]
fn v05_v06_bytes_and_headers_of_one_message() {
    let house = House::new();
    let charset = ("Content-Type", "application/json; charset=utf-8");
    assert_eq!(
        told(&house.single(&[charset, ("x-dup", "1"), ("x-dup", "2")], "{\"a\":  1, }bad json")),
        json_of(200, DONE)
    );
    assert_eq!(told(&house.single(&[("Content-Type", "text")], "")), json_of(200, DONE));
    assert_eq!(house.single(&[("Content-Type", "Application/JSON")], "2").status, 200);
    let stored = house.stored("all");
    assert_eq!(payloads(&stored), ["{\"a\":  1, }bad json", "", "2"]);
    assert_eq!(
        stored[0]["headers"],
        json!({ "content-type": "application/json; charset=utf-8", "x-dup": "1" })
    );
    for (headers, status, text) in [
        (&[("Content-Type", "application/octet-stream")][..], 415, "unsupported content type"),
        (&[], 415, "unsupported content type"),
        (&[JSON, ("Content-Encoding", "gzip")], 415, "unsupported content encoding"),
    ] {
        assert_eq!(told(&house.single(headers, "x")), text_of(status, text));
    }
    let reserved = house.single(&[JSON, ("$memphis_x", "1")], "x");
    assert_eq!(reserved.status, 400, "{}", reserved.text());
    assert_eq!(house.stored("all").len(), 0);
    let old = House::old();
    assert_eq!(
        told(&old.single(&[JSON, ("$memphis_x", "1")], "x")),
        json_of(500, "{\"error\":\"Server error\",\"success\":false}")
    );
    assert_eq!(
        told(&old.single(&[("Content-Type", "Application/JSON")], "x")),
        text_of(500, "unsupported content type")
    );
}
/// Vector 7.
#[test]
fn v07_names_of_stations() {
    let house = House::new();
    assert_eq!(house.post("/Stations/ST1/Produce/Single", &[BEARER, JSON], "1").status, 200);
    assert_eq!(house.post("/stations/st1/produce/single/", &[BEARER, JSON], "2").status, 200);
    assert_eq!(payloads(&house.stored("all")), ["1", "2"]);
    assert_eq!(house.post("/stations/a.b.c/produce/single", &[BEARER, JSON], "1").status, 200);
    let charset = "{\"error\":\"Only alphanumeric and the '_', '-', '.' characters are allowed in Station\",\"success\":false}";
    assert_eq!(
        told(&house.post("/stations/my%20st/produce/single", &[BEARER, JSON], "1")),
        json_of(400, charset)
    );
    assert_eq!(
        told(&House::old().post("/stations/my%20st/produce/single", &[BEARER, JSON], "1")),
        json_of(500, charset)
    );
    // A stream whose name has capitals goes before the lower-cased one.
    house.script.stream("Orders");
    assert_eq!(house.post("/stations/Orders/produce/single", &[BEARER, JSON], "1").status, 200);
    assert!(!house.script.streams.lock().unwrap().contains_key("orders"));
    assert_eq!(house.memory("Orders").timing().len(), 1);
}
/// Vector 8.
#[test]
fn v08_batches() {
    let (house, old) = (House::new(), House::old());
    for body in ["{}", "[1]", "[\"a\"]", "[[1]]", "[{\"a\":1},\"x\"]", ""] {
        assert_eq!(told(&house.batch(body)), text_of(400, "unsupported request"), "{body}");
        assert_eq!(told(&old.batch(body)), text_of(500, "unsupported request"), "{body}");
    }
    for body in ["[]", "null"] {
        assert_eq!(told(&house.batch(body)), json_of(200, DONE), "{body}");
    }
    assert!(
        house.script.streams.lock().unwrap().is_empty(),
        "nothing was sent, so nothing came into being"
    );
    assert_eq!(told(&house.batch("[null]")), json_of(200, DONE));
    let numbers = "[ {\"n\":12345678901234567890,\"f\":1.10} , {\"b\" : 1, \"a\" : \"<\"} ]";
    assert_eq!(told(&house.batch(numbers)), json_of(200, DONE));
    let wanted = ["null", "{\"n\":12345678901234567890,\"f\":1.10}", "{\"b\":1,\"a\":\"<\"}"];
    assert_eq!(payloads(&house.stored("all")), wanted);
    let charset = [BEARER, ("Content-Type", "application/json; charset=utf-8")];
    let target = "/stations/st1/produce/batch";
    assert_eq!(house.post(target, &charset, "[]").status, 200);
    assert_eq!(told(&old.post(target, &charset, "[]")), text_of(500, "unsupported content type"));
    assert_eq!(
        told(&house.post(target, &[BEARER, ("Content-Type", "text/plain")], "[]")),
        text_of(415, "unsupported content type")
    );
}
/// Two bytes of a body are not to become a page of headers each.
#[test]
fn a_batch_has_no_more_messages_than_there_is_room_for() {
    let house = House::new();
    let of = |count: usize| format!("[{}]", ["{}"].repeat(count).join(","));
    let refused = |room: &str| json_of(413, &format!("{{\"error\":\"the batch has more than {room}\",\"success\":false}}"));
    assert_eq!(told(&house.batch(&of(1_001))), refused("1000 messages"));
    let long = "x".repeat(10 << 10);
    let headers = [BEARER, JSON, ("x-long", &*long)];
    let send = |count| house.post("/stations/st2/produce/batch", &headers, &of(count));
    assert_eq!(
        told(&send(500)),
        refused("407 messages, which is what there is room for with its headers")
    );
    assert!(!house.script.streams.lock().unwrap().contains_key("st2"));
    assert_eq!(told(&send(407)), json_of(200, DONE));
}
/// The endpoint in memory refuses what is larger than a kibibyte.
#[test]
fn a_batch_goes_on_after_a_failure_and_the_old_release_stops() {
    let (large, text) = ("x".repeat(2_000), |answer: &Answer| answer.json());
    let batch = format!("[{{\"a\":1}},{{\"b\":\"{large}\"}},{{\"c\":3}}]");
    let house = House::new();
    let answer = house.batch(&batch);
    let found = text(&answer);
    assert_eq!(
        (answer.status, &found["fail"], &found["sent"], &found["success"]),
        (400, &json!(1), &json!(2), &json!(false))
    );
    assert_eq!(found["errors"].as_array().unwrap().len(), 1);
    assert!(answer.text().starts_with("{\"errors\":[\""), "{}", answer.text());
    assert_eq!(payloads(&house.stored("all")), ["{\"a\":1}", "{\"c\":3}"]);
    let old = House::old();
    let answer = old.batch(&batch);
    assert!(
        answer.text().starts_with("{\"error\":[\"") && answer.text().ends_with("\"],\"success\":false}"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.status, 500);
    assert_eq!(payloads(&old.stored("all")), ["{\"a\":1}"]);
    let single = house.single(&[JSON], &large);
    assert_eq!(single.status, 413, "{}", single.text());
}
/// Vector 9, and the examples of errors in the documents.
#[test]
fn v09_what_does_not_match_is_told_as_documented() {
    let (house, old) = (House::new(), House::old());
    let one = format!("{{\"error\":\"{VIOLATED}'field1', 'field2', 'field3'\",\"success\":false}}");
    let single = |house: &House| house.post("/stations/123/produce/single", &[BEARER, JSON], "{\"message\": \"New Message\"}");
    assert_eq!(told(&single(&house)), json_of(400, &one));
    assert_eq!(told(&single(&old)), json_of(400, &one));
    let elements = [
        "{\"field2\":1,\"field3\":2}",
        "{\"field1\":0,\"field2\":1,\"field3\":2}",
        "{\"field2\":3,\"field3\":4}",
    ];
    let batch = |house: &House| house.post("/stations/123/produce/batch", &[BEARER, JSON], &format!("[{}]", elements.join(",")));
    let two = format!("{{\"errors\":[\"{VIOLATED}'field1'\",\"{VIOLATED}'field1'\"],\"fail\":2,\"sent\":1,\"success\":false}}");
    assert_eq!(told(&batch(&house)), json_of(400, &two));
    assert_eq!(house.memory("123").timing().len(), 1, "what matches is stored");
    let first = format!("{{\"error\":[\"{VIOLATED}'field1'\"],\"success\":false}}");
    assert_eq!(told(&batch(&old)), json_of(400, &first));
    assert_eq!(old.memory("123").timing().len(), 0, "nothing behind the first failure");
}
/// Vector 10.
#[test]
fn v10_consume() {
    let house = House::new();
    for number in 0..12 {
        assert_eq!(house.single(&[JSON], &number.to_string()).status, 200);
    }
    let named = json!({ "consumer_name": "c" });
    let first = house.consume(&named);
    assert_eq!(first.json().as_array().unwrap().len(), 10);
    assert!(
        first
            .text()
            .starts_with("[{\"message\":\"0\",\"headers\":{\"content-type\":\"application/json\"}},"),
        "{}",
        first.text()
    );
    assert_eq!(payloads(house.consume(&named).json().as_array().unwrap()), ["10", "11"]);
    assert_eq!(
        told(&house.consume(&json!({ "consumer_name": "c", "batch_max_wait_time_ms": 1 }))),
        json_of(200, "[]")
    );
    for (body, text) in [
        (
            json!({ "consumer_name": "c", "batch_size": 5_001 }),
            "Batch size can not be greater than 5000 or less than 1",
        ),
        (
            json!({ "consumer_name": "c", "batch_size": -1 }),
            "Batch size can not be greater than 5000 or less than 1",
        ),
        (json!({ "consumer_name": "c", "batch_size": "3" }), "Invalid request body"),
        (json!({}), "Consumer name is required"),
    ] {
        assert_eq!(
            told(&house.consume(&body)),
            json_of(400, &format!("{{\"error\":\"{text}\",\"success\":false}}"))
        );
    }
    // All of it is done, and it was done when the answers were out.
    let memory = house.memory("st1");
    house.until(|_| memory.ended("$api/st1/-/rest-gateway").len() == 12);
    assert!(
        memory
            .ended("$api/st1/-/rest-gateway")
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Ack)
    );
}
#[test]
fn who_leaves_before_the_answer_gives_its_messages_back() {
    let house = House::new();
    house.script.stream("st1");
    let memory = house.memory("st1");
    let body = "{\"consumer_name\":\"c\",\"batch_max_wait_time_ms\":30000}";
    let mut leaving = Client::new(house.address);
    let head = format!(
        "POST /stations/st1/consume/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer access\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    leaving.write(head.as_bytes());
    house.until(|_| memory.waiting() == 1);
    leaving.socket().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(leaving.is_closed(), "nobody waits for an answer");
    assert_eq!(house.single(&[JSON], "a").status, 200);
    let again = house.consume(&json!({ "consumer_name": "d", "include": ["metadata"] }));
    let items = again.json();
    assert_eq!(
        (&items[0]["message"], &items[0]["attempt"]),
        (&json!("a"), &json!(1)),
        "{}",
        again.text()
    );
    assert_eq!(items.as_array().unwrap().len(), 1);
}
/// Ten megabytes, of which the client takes a few: they are not out, so none of them is done.
#[test]
fn messages_are_done_once_the_answer_is_out_and_not_before() {
    const GROUP: &str = "$api/st1/-/rest-gateway";
    let house = House::new();
    let element = format!("{{\"a\":\"{}\"}}", "<".repeat(900));
    for _ in 0..2 {
        assert_eq!(house.batch(&format!("[{}]", [&*element; 1_000].join(","))).status, 200);
    }
    let memory = house.memory("st1");
    let body = "{\"consumer_name\":\"c\",\"batch_size\":2000}";
    let mut slow = Client::new(house.address);
    let head = format!(
        "POST /stations/st1/consume/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer access\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    slow.write(head.as_bytes());
    assert_eq!(slow.head().unwrap().status, 200);
    assert_eq!((memory.out(GROUP), memory.ended(GROUP).len()), (2_000, 0));
    drop(slow);
    house.until(|_| memory.out(GROUP) == 0);
    assert!(memory.ended(GROUP).is_empty());
    let again = house.consume(&json!({ "consumer_name": "c", "batch_size": 2_000, "include": ["metadata"] }));
    let items = again.json();
    assert_eq!((items.as_array().unwrap().len(), &items[0]["attempt"]), (2_000, &json!(1)));
    house.until(|_| memory.ended(GROUP).len() == 2_000);
}
#[test]
fn bytes_that_are_no_text_arrive_whole() {
    let house = House::new();
    let proto = [BEARER, ("Content-Type", "application/x-protobuf")];
    let answer = Client::once(house.address, "POST", "/stations/st1/produce/single", &proto, &[0xff, 0, 1]);
    assert_eq!(answer.status, 200);
    assert_eq!(house.single(&[JSON], "text").status, 200);
    let stored = house.stored("all");
    assert_eq!((&stored[0]["message"], &stored[0]["encoding"]), (&json!("/wAB"), &json!("base64")));
    assert_eq!((&stored[1]["message"], &stored[1]["encoding"]), (&json!("text"), &Value::Null));
}
/// Vector 11.
#[test]
fn v11_limits_and_preflights() {
    let house = House::new();
    let token = ("Content-Type", "text/plain");
    // The endpoint in memory keeps no more than a kibibyte of a message, the HTTP limit is another.
    let most = house.single(&[token], &"x".repeat(4 << 20));
    assert_eq!((most.status, most.header("content-type")), (413, Some("application/json")));
    let over = house.single(&[token], &"x".repeat((4 << 20) + 1));
    assert_eq!(told(&over), text_of(413, "Request Entity Too Large"));
    assert_eq!(over.header("connection"), Some("close"));
    let long = "x".repeat(20_000);
    let head = house.ask("GET", "/monitoring/status", &[("x-long", &long)], "");
    assert_eq!(told(&head), text_of(431, "Request Header Fields Too Large"));
    assert_eq!(head.header("connection"), Some("close"));
    let five = "x".repeat(5_000);
    assert_eq!(house.ask("GET", "/monitoring/status", &[("x-long", &five)], "").status, 200);
    let old = House::old();
    assert_eq!(
        told(&old.ask("GET", "/monitoring/status", &[("x-long", &five)], "")),
        text_of(431, "Request Header Fields Too Large")
    );
    let asked = [
        ("Origin", "https://a"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let answer = house.ask("OPTIONS", "/any/where", &asked, "");
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET,POST,HEAD,PUT,DELETE,PATCH")
    );
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,content-type"));
    assert_eq!(answer.header("access-control-max-age"), None);
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}
/// Vector 12, and the forms of the documents before it.
#[test]
fn v12_refresh_in_three_forms() {
    let house = House::new();
    let path = "/auth/refreshToken";
    let unauthorized = json_of(401, "{\"message\":\"Unauthorized\"}");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for (headers, body) in [
        // The seed form, as curl sends it.
        (&[BEARER, form][..], ""),
        (&[BEARER], ""),
        (&[("Cookie", "a=b; jwt-refresh-token=refresh1")], ""),
        (&[("Cookie", "jwt-refresh-token=refresh1"), ("Authorization", "Bearer bad")], ""),
        (&[JSON], "{\"jwt_refresh_token\":\"refresh1\"}"),
        (&[JSON, ("Authorization", "Bearer bad")], "{\"jwt_refresh_token\":\"refresh1\"}"),
        (&[form], "jwt_refresh_token=refresh1"),
    ] {
        let answer = house.post(path, headers, body);
        assert_eq!(answer.status, 200, "{headers:?} {body}: {}", answer.text());
        assert!(
            answer.text().starts_with("{\"expires_in\":900000,\"jwt\":\"access"),
            "{}",
            answer.text()
        );
        assert!(answer.header("set-cookie").unwrap().contains("HttpOnly"));
    }
    let answer = house.post(
        path,
        &[JSON, BEARER],
        "{\"token_expiry_in_minutes\":2,\"refresh_token_expiry_in_minutes\":3}",
    );
    assert_eq!(
        (&answer.json()["expires_in"], &answer.json()["refresh_token_expires_in"]),
        (&json!(120_000), &json!(180_000))
    );
    for (headers, body) in [
        (&[JSON][..], "{}"),
        (&[JSON], "{\"jwt_refresh_token\":\"bad\"}"),
        (&[JSON], "{\"jwt_refresh_token\":\"access\"}"),
        (&[JSON], ""),
        (&[BEARER, JSON], "{\"jwt_refresh_token\":\"bad\"}"),
        (&[("Cookie", "jwt-refresh-token=access")], ""),
    ] {
        assert_eq!(told(&house.post(path, headers, body)), unauthorized, "{headers:?} {body}");
    }
    assert_eq!(house.post(path, &[JSON], "{").status, 400);
    let old = House::old();
    let server = json_of(500, "{\"message\":\"Server error\"}");
    assert_eq!(told(&old.post(path, &[JSON], "")), server);
    assert_eq!(told(&old.post(path, &[], "")), server);
    assert_eq!(told(&old.post(path, &[JSON], "{}")), unauthorized);
    assert_eq!(old.post(path, &[BEARER], "").status, 200);
}
#[test]
fn who_may_only_read_writes_and_makes_nothing() {
    let house = House::new();
    let reader = [("Authorization", "Bearer reader"), JSON];
    let forbidden = json_of(
        403,
        "{\"error\":\"user reader is not allowed to access station st1\",\"success\":false}",
    );
    assert_eq!(told(&house.post("/stations/st1/produce/single", &reader, "1")), forbidden);
    assert_eq!(told(&house.post("/stations/st1/produce/batch", &reader, "[{}]")), forbidden);
    let named = "{\"consumer_name\":\"c\",\"batch_max_wait_time_ms\":1}";
    assert_eq!(
        told(&house.post("/stations/st1/consume/batch", &reader, named)),
        json_of(
            403,
            "{\"error\":\"user reader is not allowed to create station st1\",\"success\":false}"
        )
    );
    assert!(house.script.streams.lock().unwrap().is_empty());
    house.script.stream("st1");
    assert_eq!(told(&house.post("/stations/st1/consume/batch", &reader, named)), json_of(200, "[]"));
    let strict = House::with(Settings::default());
    assert_eq!(
        told(&strict.single(&[JSON], "1")),
        json_of(404, "{\"error\":\"Station st1 does not exist\",\"success\":false}")
    );
}
#[test]
fn a_station_that_goes_under_a_request_is_looked_for_anew_and_no_message_is_blamed() {
    for house in [House::new(), House::old()] {
        for (station, status) in [("gone-once", 200), ("gone", 503)] {
            for (deed, body) in [
                ("produce/single", "{}"),
                ("produce/batch", "[{},{}]"),
                ("consume/batch", "{\"consumer_name\":\"c\",\"batch_max_wait_time_ms\":1}"),
            ] {
                house.script.streams.lock().unwrap().clear();
                house.script.stream(station);
                let answer = house.post(&format!("/stations/{station}/{deed}"), &[BEARER, JSON], body);
                assert_eq!(answer.status, status, "{station} {deed} {}", answer.text());
                assert_eq!(answer.header("retry-after"), (status == 503).then_some("1"));
                let told = "{\"error\":\"Station gone is being deleted, try again\",\"success\":false}";
                assert!(status == 200 || answer.text() == told, "{}", answer.text());
            }
            let stored = house.memory(station).timing().len();
            assert_eq!(stored, 0, "the last one only read");
        }
    }
}
/// As there; what was never handed out needs no station.
#[test]
fn the_first_produce_or_consume_makes_a_station_and_a_settle_makes_none() {
    let house = House::new();
    let is_there = |name: &str| house.script.streams.lock().unwrap().contains_key(name);
    let settled = house.post("/stations/st1/_settle", &[BEARER], "{\"ack\":[\"x\"]}");
    let missing = json_of(404, "{\"error\":\"Station st1 does not exist\",\"success\":false}");
    assert_eq!((told(&settled), is_there("st1")), (missing, false));
    let wish = "{\"consumer_name\":\"c\",\"batch_max_wait_time_ms\":1}";
    for (name, deed, body) in [
        ("produced", "produce/single", "1"),
        ("consumed", "consume/batch", wish),
        ("pulled", "_pull", "{\"wait\":\"0s\"}"),
    ] {
        let answer = house.post(&format!("/stations/{name}/{deed}"), &[BEARER, JSON], body);
        assert!(answer.status == 200 && is_there(name), "{name}: {}", answer.text());
    }
}
#[test]
fn workers_pull_and_settle_at_a_station() {
    let house = House::new();
    assert_eq!(house.single(&[JSON], "a").status, 200);
    let pulled = house.post("/stations/ST1/_pull?authorization=access&include=headers", &[], "{\"wait\":\"1s\"}");
    let items = pulled.json()["items"].clone();
    assert_eq!(
        (&items[0]["payload"], &items[0]["attempt"]),
        (&json!("a"), &json!(1)),
        "{}",
        pulled.text()
    );
    assert_eq!(items[0]["headers"]["content-type"], json!("application/json"));
    let settled = house.post(
        "/stations/st1/_settle",
        &[BEARER],
        &json!({ "ack": [items[0]["lease"]] }).to_string(),
    );
    assert_eq!(settled.json()["results"][0]["result"], json!("ok"), "{}", settled.text());
    let wrong = house.post("/stations/st1/_pull", &[BEARER], "{\"grup\":1}");
    assert_eq!(
        (wrong.status, wrong.header("content-type")),
        (400, Some("application/problem+json"))
    );
    assert_eq!(house.post("/stations/st1/_pull", &[], "{}").status, 401);
}
#[test]
fn the_same_id_twice_is_stored_once() {
    let house = House::new();
    for header in ["Tidegate-Id", "msg-id", "Msg-Id"] {
        assert_eq!(told(&house.single(&[JSON, (header, "one")], "a")), json_of(200, DONE));
    }
    assert_eq!(payloads(&house.stored("all")), ["a"]);
    let both = house.single(&[JSON, ("Tidegate-Key", "k"), ("Tidegate-Partition", "0")], "b");
    assert_eq!(
        told(&both),
        json_of(
            400,
            "{\"error\":\"Can not use both partition number and partition key\",\"success\":false}"
        )
    );
}
