//! What a webhook did, seen and steered from outside: the delivery log, its state, a test message, sending again, the journey of a message.
use crate::{
    commands::{folder, tidegate},
    dev,
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Output,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};
use tidegate_core::clock;
use tidegate_testkit::{Client, Node, balance, client::head};

/// Longer has hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as a target got it.
#[derive(Clone, Debug)]
struct Got {
    headers: Vec<(String, String)>,
    body: String,
}
impl Got {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}
/// Answers each request with the next status of its script, and 204 when there is none left.
struct Target {
    address: SocketAddr,
    script: Arc<Mutex<VecDeque<&'static str>>>,
    got: mpsc::Receiver<Got>,
}
impl Target {
    fn new(script: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let (tell, got) = mpsc::channel();
        let shared: Arc<Mutex<VecDeque<&'static str>>> = script.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (tell, script) = (tell.clone(), shared.clone());
                std::thread::spawn(move || serve(&socket, &script, &tell));
            }
        });
        Self { address, script, got }
    }
    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
    fn next(&self) -> Got {
        self.got.recv_timeout(PATIENCE).unwrap()
    }
    fn then(&self, answers: &[&'static str]) {
        self.script.lock().unwrap().extend(answers);
    }
}
fn serve(socket: &TcpStream, script: &Mutex<VecDeque<&'static str>>, tell: &mpsc::Sender<Got>) -> Option<()> {
    let mut reader = BufReader::new(socket);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut got = Got {
            headers,
            body: String::new(),
        };
        let mut body = vec![0; got.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        got.body = String::from_utf8_lossy(&body).into_owned();
        tell.send(got).ok()?;
        let answer = script.lock().unwrap().pop_front().unwrap_or("204 No Content");
        let text = if answer.starts_with("204") { "" } else { "no, thanks" };
        let length = if text.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", text.len())
        };
        let mut socket = socket;
        write!(socket, "HTTP/1.1 {answer}\r\n{length}set-cookie: s=hidden\r\n\r\n{text}").ok()?;
    }
}
fn hook(node: &Node, name: &str, target: &Target, more: &Value) {
    let mut document = json!({
        "source": {"stream": "orders", "from": "earliest"},
        "target": {"url": target.url(), "auth": {"bearer": "a-bearer-secret"}},
        "retry": {"first": "50ms", "max": "50ms", "attempts": 3},
        "order": "all",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    let made = node.manage("PUT", &format!("/webhooks/{name}"), &document);
    assert_eq!(made.status, 201, "{}", made.text());
}
/// Asks until the delivery log holds as many.
fn log(node: &Node, query: &str, many: usize) -> Vec<Value> {
    let began = clock::instant();
    loop {
        let answer = node.manage("GET", &format!("/webhooks/crm/deliveries{query}"), &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let items = answer.json()["items"].as_array().unwrap().clone();
        if items.len() >= many {
            assert_eq!(items.len(), many, "{items:?}");
            return items;
        }
        assert!(began.elapsed() < PATIENCE, "{items:?}");
    }
}
fn run(node: &Node, arguments: &[&str]) -> (Option<i32>, String, String) {
    let place = folder();
    let address = format!("http://{}", node.admin);
    let token = node.token();
    let all: Vec<_> = arguments.iter().copied().chain(["--node", &address, "--token", &token]).collect();
    let Output { status, stdout, stderr } = tidegate(place.path(), &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

#[test]
fn every_attempt_is_in_the_delivery_log_and_is_found_there() {
    let node = dev().start();
    let target = Target::new(&["500 Oh", "200 OK", "200 OK"]);
    hook(&node, "crm", &target, &json!({}));
    assert_eq!(node.post("/orders", &[("tidegate-id", "a.1")], b"{\"n\":1}").status, 202);
    let [first, second] = [target.next(), target.next()];
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(node.post("/orders", &[("tidegate-id", "b")], b"{\"n\":2}").status, 202);
    target.next();

    let all = log(&node, "", 3);
    let told = |attempt: &Value| {
        (
            attempt["outcome"].clone(),
            attempt["status"].clone(),
            attempt["messages"][0]["attempt"].clone(),
        )
    };
    assert_eq!(
        all.iter().map(told).collect::<Vec<_>>(),
        [("delivered", 200, 1), ("delivered", 200, 2), ("answered", 500, 1)].map(|(o, s, a)| (json!(o), json!(s), json!(a)))
    );
    assert_eq!(
        (&all[2]["request"]["body"], &all[2]["response"]["body"]),
        (&json!("{\"n\":1}"), &json!("no, thanks"))
    );
    assert_eq!(all[0]["request"]["headers"]["authorization"], "***");
    assert_eq!(all[0]["response"]["headers"]["set-cookie"], "***");
    assert!(!json!(all).to_string().contains("hidden"), "{all:?}");

    // By its own id, by the one the target saw, by its position; by what came of it, by target, by time.
    assert_eq!(log(&node, "?id=a.1", 2), all[1..]);
    assert_eq!(log(&node, "?id=a%252E1", 2), all[1..]);
    let position = all[2]["messages"][0]["position"].as_str().unwrap();
    assert_eq!(log(&node, &format!("?id={position}"), 2), all[1..]);
    assert_eq!(log(&node, "?status=500", 1), all[2..]);
    assert_eq!(log(&node, "?status=5xx", 1), all[2..]);
    assert_eq!(log(&node, "?status=4xx", 0).len(), 0);
    assert_eq!(log(&node, "?outcome=delivered", 2), all[..2]);
    assert_eq!(log(&node, &format!("?target=%3A{}", target.address.port()), 3), all);
    assert_eq!(log(&node, "?target=elsewhere", 0).len(), 0);
    assert_eq!(log(&node, "?since=1h", 3), all);
    assert_eq!(log(&node, "?since=2100-01-01T00:00:00Z", 0).len(), 0);
    assert_eq!(log(&node, "?since=1h&until=2100-01-01T00:00:00Z", 3), all);
    assert_eq!(log(&node, "?until=1h", 0).len(), 0);
    // Page by page.
    let page = node.manage("GET", "/webhooks/crm/deliveries?limit=2", &Value::Null).json();
    let next = format!("/webhooks/crm/deliveries?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = node.manage("GET", &next, &Value::Null).json();
    assert_eq!(
        (&page["items"][1], &rest["items"], &rest["next_cursor"]),
        (&all[1], &json!([all[2]]), &Value::Null)
    );

    let (code, out, _) = run(
        &node,
        &["webhook", "log", "crm", "--status", "5xx", "--until", "2100-01-01T00:00:00Z"],
    );
    assert!(
        code == Some(0) && out.contains("a%2E1") && out.contains("no, thanks") && out.lines().count() == 2,
        "{out}"
    );
    for (query, status) in [
        ("?outcome=good", 400),
        ("?status=x", 400),
        ("?status=6xx", 400),
        ("?since=soon", 400),
        ("?cursor=x", 400),
    ] {
        assert_eq!(
            node.manage("GET", &format!("/webhooks/crm/deliveries{query}"), &Value::Null).status,
            status,
            "{query}"
        );
    }
    assert_eq!(node.manage("GET", "/webhooks/nobody/deliveries", &Value::Null).status, 404);
    // It outlives the process.
    let node = node.crash();
    assert_eq!(log(&node, "?id=a.1", 2), all[1..]);
    balance(&node);
}
#[test]
fn a_viewer_sees_how_webhooks_do_but_no_messages() {
    let node = dev().start();
    let target = Target::new(&[]);
    hook(&node, "crm", &target, &json!({}));
    let token = node.manage("POST", "/tokens", &json!({"name": "v", "manage": "viewer"})).json()["token"].clone();
    let as_viewer = |method: &str, path: &str| node.manage_as(token.as_str().unwrap(), method, path, &[], &Value::Null).status;
    assert_eq!(as_viewer("GET", "/status"), 200);
    assert_eq!(as_viewer("GET", "/webhooks/crm/deliveries"), 403);
    assert_eq!(as_viewer("POST", "/webhooks/crm/test"), 403);
    assert_eq!(as_viewer("POST", "/webhooks/crm/replay"), 403);
    assert_eq!(as_viewer("GET", "/trace?id=x"), 403);
}
#[test]
fn a_test_message_is_sent_at_once_and_its_answer_told() {
    let node = dev().start();
    let target = Target::new(&["202 Accepted", "503 Later"]);
    let more = json!({"enabled": false, "sign": {"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}});
    hook(&node, "crm", &target, &more);
    let told = node.manage("POST", "/webhooks/crm/test", &Value::Null).json();
    assert_eq!(
        (&told["taken"], &told["status"], &told["response"]["body"]),
        (&json!(true), &json!(202), &json!("no, thanks"))
    );
    let got = target.next();
    assert!(
        got.header("webhook-signature").starts_with("v1,") && got.header("webhook-id").starts_with("test_"),
        "{got:?}"
    );
    assert!(got.body.contains("\"test\":true"), "{got:?}");
    let (code, out, err) = run(&node, &["webhook", "test", "crm"]);
    assert!(
        code == Some(1) && out.contains("answered 503") && err.contains("not taken"),
        "{out}{err}"
    );
    // It is an attempt like any other, and somebody did it.
    assert_eq!(log(&node, "", 2)[0]["status"], 503);
    let changes = node.manage("GET", "/changes?limit=1", &Value::Null).json();
    assert_eq!(
        (&changes["items"][0]["action"], &changes["items"][0]["name"]),
        (&json!("test"), &json!("crm"))
    );
}
#[test]
fn messages_are_sent_again_once_each_and_the_place_of_the_webhook_stays() {
    let node = dev().start();
    let target = Target::new(&[]);
    hook(&node, "crm", &target, &json!({}));
    let bodies: Vec<_> = (0..5).map(|n| format!("{{\"n\":{n}}}")).collect();
    let mut sent = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let id = format!("id-{n}");
        let answer = node.post("/orders", &[("tidegate-id", &id)], body.as_bytes());
        sent.push(answer.json()["position"].as_str().unwrap().to_owned());
        assert_eq!(target.next().body, *body);
    }
    node.until("tidegate_webhook_lag_messages{webhook=\"crm\"}", |lag| lag == 0);
    let replay = |body: Value| node.manage("POST", "/webhooks/crm/replay", &body);
    let told = replay(json!({"last": 2})).json();
    assert_eq!(
        (&told["matched"], &told["sent"], &told["failed"], &told["left"]),
        (&json!(2), &json!(2), &json!(0), &json!(0))
    );
    let again = [target.next(), target.next()];
    assert_eq!(again.each_ref().map(|got| got.body.as_str()), [bodies[3].as_str(), &bodies[4]]);
    assert_eq!(again[0].header("webhook-id"), "id-3", "a replay is the same message");
    assert_eq!(replay(json!({"id": "id-1"})).json()["sent"], 1);
    assert_eq!(target.next().body, bodies[1]);
    assert_eq!(replay(json!({"id": sent[0]})).json()["sent"], 1);
    assert_eq!(target.next().body, bodies[0]);
    assert_eq!(replay(json!({"from": sent[1], "to": sent[3]})).json()["sent"], 3);
    assert_eq!(
        [target.next(), target.next(), target.next()].map(|got| got.body),
        [1, 2, 3].map(|n| bodies[n].clone())
    );
    assert_eq!(replay(json!({"from": "1h"})).json()["sent"], 5);
    (0..5).for_each(|n| assert_eq!(target.next().body, bodies[n]));
    // What is not taken is told, and not tried again: the pump has nothing to do with it.
    target.then(&["500 Oh"]);
    let told = replay(json!({"id": sent[2]})).json();
    assert_eq!(
        (&told["sent"], &told["failed"], &told["results"][0]["position"]),
        (&json!(0), &json!(1), &json!(sent[2]))
    );
    assert_eq!(target.next().body, bodies[2]);
    let (code, out, err) = run(&node, &["webhook", "replay", "crm", "--last", "1"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "sent 1 message\n", ""));
    assert_eq!(target.next().body, bodies[4]);
    assert!(target.got.try_recv().is_err(), "nothing else was sent");
    assert_eq!(
        node.metric("tidegate_webhook_attempts_total{webhook=\"crm\",outcome=\"delivered\"}"),
        5
    );
    assert_eq!(node.metric("tidegate_webhook_lag_messages{webhook=\"crm\"}"), 0);
    for (body, status) in [
        (json!({"id": "nobody"}), 404),
        (json!({"from": "9.1"}), 422),
        (json!({"from": "1h", "to": sent[1]}), 422),
        (json!({}), 422),
    ] {
        assert_eq!(replay(body.clone()).status, status, "{body}");
    }
    node.manage("POST", "/webhooks/crm/stop", &Value::Null);
    assert_eq!(replay(json!({"last": 1})).status, 412);
    balance(&node);
}
#[test]
fn a_target_that_is_down_is_seen_in_status_and_metrics() {
    let node = dev().start();
    let down = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", down.local_addr().unwrap());
    drop(down);
    let document = json!({
        "source": {"stream": "orders", "from": "earliest"}, "target": {"url": url},
        "retry": {"first": "10ms", "max": "10ms", "attempts": 1000}, "breaker": {"failures": 3, "open_for": "30s"},
    });
    assert_eq!(node.manage("PUT", "/webhooks/crm", &document).status, 201);
    node.post("/orders", &[], b"1");
    node.until("tidegate_webhook_state{webhook=\"crm\",state=\"open\"}", |open| open == 1);
    assert!(node.metric("tidegate_webhook_circuit_openings_total{webhook=\"crm\"}") >= 1);
    assert!(node.metric("tidegate_webhook_attempts_total{webhook=\"crm\",outcome=\"retried\"}") >= 1);
    assert!(node.metric("tidegate_webhook_duration_seconds_count{webhook=\"crm\"}") >= 3);
    assert_eq!(node.metric("tidegate_webhook_lag_messages{webhook=\"crm\"}"), 1);
    let status = node.manage("GET", "/status", &Value::Null).json();
    let crm = status["connections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "crm")
        .unwrap();
    assert_eq!(
        (&crm["kind"], &crm["state"], &crm["lag"]["messages"]),
        (&json!("webhook"), &json!("open"), &json!(1))
    );
    assert!(
        crm["error"].as_str().unwrap().contains("refused") && crm["since"].is_string() && crm["next_attempt"].is_string(),
        "{crm}"
    );
    let (_, out, _) = run(&node, &["status"]);
    assert!(out.contains("webhook crm") && out.contains("refused"), "{out}");
}
#[test]
fn what_has_expired_is_still_traced() {
    let node = dev().start();
    let sent = node
        .post("/orders", &[("tidegate-id", "short"), ("tidegate-ttl", "1s")], b"{}")
        .json();
    let began = tidegate_core::clock::instant();
    let expired = loop {
        let told = node.manage("GET", "/trace?id=short", &Value::Null).json();
        let place = told["places"][0].clone();
        assert_eq!(place["position"], sent["position"], "{told}");
        if place["expired"].is_string() {
            break place["expired"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{told}");
    };
    assert_eq!(node.get("/orders").json()["items"], json!([]));
    let (code, out, _) = run(&node, &["trace", "short"]);
    assert!(code == Some(0) && out.contains(&format!("expired at {expired}")), "{out}");
}
#[test]
fn a_message_is_traced_from_its_place_to_each_attempt() {
    let node = dev().start();
    let target = Target::new(&["500 Oh", "400 Never"]);
    hook(&node, "crm", &target, &json!({}));
    let position = node
        .post(
            "/orders",
            &[("tidegate-id", "one"), ("tidegate-key", "anna"), ("x-tier", "gold")],
            b"{}",
        )
        .json()["position"]
        .as_str()
        .unwrap()
        .to_owned();
    target.next();
    target.next();
    log(&node, "?id=one", 2);
    // The dead letter is there when the message is done.
    node.until("tidegate_webhook_lag_messages{webhook=\"crm\"}", |lag| lag == 0);
    for id in ["one", &position] {
        let told = node.manage("GET", &format!("/trace?id={id}"), &Value::Null).json();
        // The demo's own webhook has sent it, too.
        let attempts = told["attempts"].as_array().unwrap().iter().filter(|one| one["webhook"] == "crm");
        let attempts: Vec<_> = attempts.map(|one| one["status"].clone()).collect();
        assert_eq!(attempts, [500, 400], "{told}");
        let places = told["places"].as_array().unwrap();
        assert_eq!(
            (&places[0]["stream"], &places[0]["position"]),
            (&json!("orders"), &json!(position)),
            "{told}"
        );
        assert_eq!(
            (&places[1]["stream"], &places[1]["dead_letter"]["of"]),
            (&json!("orders.dead"), &json!(position)),
            "{told}"
        );
        assert_eq!((places.len(), &told["whole"]), (2, &json!(true)));
        // As it was sent, wherever it lies.
        for place in places {
            assert_eq!(
                (&place["key"], &place["headers"]),
                (&json!("anna"), &json!({"x-tier": "gold"})),
                "{told}"
            );
        }
    }
    let (code, out, _) = run(&node, &["trace", "one"]);
    assert!(
        code == Some(0)
            && out.contains("dead letter of")
            && out.contains("no, thanks")
            && out.contains("anna")
            && out.contains("x-tier: gold"),
        "{out}"
    );
    assert_eq!(run(&node, &["trace", "nobody"]).0, Some(1));
}
#[test]
fn a_target_that_goes_down_and_dead_letters_that_grow_are_alarms() {
    let node = dev().start();
    let authorization = format!("Bearer {}", node.token());
    let mut events = Client::new(node.admin);
    let headers = [("accept", "text/event-stream"), ("authorization", authorization.as_str())];
    events.write(&head("GET", "/api/v1/alarms", &headers, None));
    assert_eq!(events.head().unwrap().status, 200);
    let mut rest = String::new();
    let mut next = |alarm: &str| loop {
        let event = events.event(&mut rest).unwrap();
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        if let Some(told) = data.map(|data| serde_json::from_str::<Value>(data).unwrap()) {
            assert_eq!(told["alarm"], alarm, "{told}");
            return told;
        }
    };
    let target = Target::new(&["500 Oh", "500 Oh", "500 Oh", "204 No Content", "400 Never", "410 Gone"]);
    hook(
        &node,
        "crm",
        &target,
        &json!({"retry": {"first": "1ms", "max": "1ms", "attempts": 9}, "breaker": {"failures": 3, "open_for": "3s"}}),
    );
    node.post("/orders", &[], b"1");
    let down = next("target_down");
    assert_eq!((&down["webhook"], &down["state"]), (&json!("crm"), &json!("open")));
    assert!(down["error"].as_str().unwrap().contains("500"), "{down}");
    assert_eq!(next("target_up")["webhook"], "crm");
    node.post("/orders", &[], b"2");
    let grew = next("dead_letters_grew");
    assert_eq!((&grew["stream"], &grew["by"]), (&json!("orders.dead"), &json!(1)));
    // Also where a stream says that they go elsewhere.
    let elsewhere = json!({"dead_letters": {"stream": "grave"}});
    assert_eq!(node.manage("PUT", "/streams/jobs", &elsewhere).status, 201);
    let refuses = Target::new(&["400 Never"]);
    hook(&node, "jobs", &refuses, &json!({"source": {"stream": "jobs", "from": "earliest"}}));
    let told = node.manage_as(&node.token(), "POST", "/topics/jobs", &[], &json!("1"));
    assert_eq!(told.status, 202, "{}", told.text());
    assert_eq!(next("dead_letters_grew")["stream"], "grave");
    node.post("/orders", &[], b"3");
    let gone = next("target_down");
    assert_eq!((&gone["webhook"], &gone["state"]), (&json!("crm"), &json!("stopped")));
    assert!(gone["error"].as_str().unwrap().contains("410"), "{gone}");
    assert!(
        node.lines().iter().any(|line| line.contains("target_down")),
        "it is in the log, too"
    );
    // Nobody else can say such things.
    assert_eq!(node.manage("POST", "/alarms", &json!({})).status, 405);
    assert_eq!(node.post("/topics/$tidegate/alarms", &[], b"{}").status, 400);
}
#[test]
fn what_is_posted_to_the_demo_arrives_at_its_catcher() {
    let node = dev().start();
    assert_eq!(node.post("/orders", &[("tidegate-id", "one")], b"<script>1</script>").status, 202);
    node.until(
        "tidegate_webhook_attempts_total{webhook=\"orders-inbox\",outcome=\"delivered\"}",
        |delivered| delivered == 1,
    );
    let caught = Client::once(node.admin, "GET", "/_demo/inbox", &[("accept", "application/json")], b"").json();
    assert_eq!(
        (&caught["arrived"], &caught["items"][0]["body"]),
        (&json!(1), &json!("<script>1</script>"))
    );
    assert_eq!(caught["items"][0]["headers"]["webhook-id"], "one");
    let page = node.admin("/_demo/inbox");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(
        page.text().contains("&lt;script&gt;1") && !page.text().contains("<script"),
        "{}",
        page.text()
    );
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(
        Client::once(node.admin, "POST", "/_demo/inbox", &foreign, b"x").status,
        403,
        "no page of another place fills it"
    );
    // It goes on after a restart, at another port.
    let node = node.restart();
    node.post("/orders", &[], b"2");
    node.until(
        "tidegate_webhook_attempts_total{webhook=\"orders-inbox\",outcome=\"delivered\"}",
        |delivered| delivered == 1,
    );
    balance(&node);
}
#[test]
fn only_the_demo_has_a_catcher() {
    let node = dev().start_with("{}\n");
    assert_eq!(node.admin("/_demo/inbox").status, 404);
    assert_eq!(Client::once(node.admin, "POST", "/_demo/inbox", &[], b"x").status, 404);
    assert_eq!(node.manage("GET", "/webhooks", &Value::Null).json()["items"], json!([]));
}
#[test]
fn a_webhook_is_added_from_the_command_line_and_signs_with_a_secret_shown_once() {
    let node = dev().start();
    let target = Target::new(&[]);
    let (code, out, err) = run(
        &node,
        &[
            "webhook",
            "add",
            "orders",
            &target.url(),
            "--sign",
            "--order",
            "none",
            "--from",
            "earliest",
        ],
    );
    assert!(
        code == Some(0) && out.starts_with("created webhook orders-127.0.0.1\nits secret, shown once: "),
        "{out}{err}"
    );
    let secret = out.trim().rsplit(' ').next().unwrap();
    node.post("/orders", &[], b"{}");
    let got = target.next();
    let secrets = [tidegate_wire::webhook::Secret::parse(secret).unwrap()];
    let at: i64 = got.header("webhook-timestamp").parse().unwrap();
    let signed = tidegate_wire::webhook::sign(&secrets, got.header("webhook-id"), at, got.body.as_bytes());
    assert_eq!(got.header("webhook-signature"), signed);
    let (_, shown, _) = run(&node, &["webhook", "info", "orders-127.0.0.1"]);
    assert!(!shown.contains(secret) && shown.contains("state: connected"), "{shown}");
    // As of a stream: nobody can be asked here, so it must have been said.
    let (code, _, unsure) = run(&node, &["webhook", "rm", "orders-127.0.0.1"]);
    let asked = "this removes webhook orders-127.0.0.1 and its place in the stream, for good\nhint: `--yes` does it";
    assert!(code == Some(1) && unsure.contains(asked), "{unsure}");
    let removed = run(&node, &["webhook", "rm", "orders-127.0.0.1", "--yes"]);
    assert_eq!((removed.0, &*removed.1), (Some(0), "deleted webhook orders-127.0.0.1\n"));
}
