//! Who may, while it changes: rights that end, end at once, also for whoever reads already.
use crate::{TIDEGATE, commands::tidegate, dev};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt, thread};
use tidegate_core::clock;
use tidegate_testkit::{Answer, Client, Node, node::How};

fn token(node: &Node, name: &str, expires: Option<i64>) -> String {
    let mut wanted = json!({"name": name, "manage": "operator"});
    if let Some(expires) = expires {
        wanted["expires"] = clock::rfc3339(expires).into();
    }
    let made = node.manage("POST", "/tokens", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["token"].as_str().unwrap().to_owned()
}
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
/// Reads a stream over the admin listener; up to the first message.
fn reading(node: &Node, token: &str) -> Client {
    let mut client = Client::new(node.admin);
    let bearer = format!("Bearer {token}");
    client.write(&tidegate_testkit::client::head(
        "GET",
        "/api/v1/streams/s/messages?from=earliest",
        &[("authorization", &bearer), ("accept", "text/event-stream")],
        None,
    ));
    assert_eq!(client.head().unwrap().status, 200);
    let mut rest = String::new();
    assert!(client.event(&mut rest).unwrap().contains("first"));
    client
}
/// What comes until it ends: nothing but farewells.
fn ends_without(mut client: Client, message: &str) {
    let mut rest = String::new();
    while let Some(event) = client.event(&mut rest) {
        assert!(!event.contains(message), "{event}");
    }
}
fn node() -> Node {
    let node = dev().start();
    assert_eq!(node.manage("PUT", "/streams/s", &json!({})).status, 201);
    assert_eq!(node.manage("POST", "/topics/s", &json!("first")).status, 202);
    node
}
#[test]
fn who_loses_the_right_reads_no_further() {
    let node = node();
    let revoked = reading(&node, &token(&node, "revoked", None));
    let lesser = reading(&node, &token(&node, "lesser", None));
    let mut stays = reading(&node, &token(&node, "stays", None));
    assert_eq!(node.manage("DELETE", "/tokens/revoked", &Value::Null).status, 204);
    let weaker = json!({"kind": "token", "name": "lesser", "manage": "viewer", "sha256": "ab".repeat(32)});
    assert_eq!(node.manage("PUT", "/tokens/lesser", &weaker).status, 200);
    assert_eq!(node.manage("POST", "/topics/s", &json!("second")).status, 202);
    ends_without(revoked, "second");
    ends_without(lesser, "second");
    let mut rest = String::new();
    assert!(stays.event(&mut rest).unwrap().contains("second"));
}
#[test]
fn a_right_ends_in_the_middle_of_a_stream_and_of_a_wait() {
    let node = node();
    let soon = clock::now_us() + 1_500_000;
    let expiring = token(&node, "expiring", Some(soon));
    let stream = reading(&node, &expiring);
    let waiting = token(&node, "waiting", None);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let bearer = format!("Bearer {waiting}");
            let headers = [("authorization", &*bearer)];
            Client::once(node.admin, "GET", "/api/v1/streams/s/messages?from=latest&wait=20s", &headers, b"")
        });
        node.until("tidegate_upstream_consumers{api=\"$manage\"}", |open| open >= 2);
        assert_eq!(node.manage("DELETE", "/tokens/waiting", &Value::Null).status, 204);
        assert_eq!(node.manage("POST", "/topics/s", &json!("second")).status, 202);
        assert_eq!(waits.join().unwrap().status, 401);
    });
    // What came in time may be told; it ends all the same, long before any heartbeat stops it.
    let mut client = stream;
    let mut rest = String::new();
    while client.event(&mut rest).is_some() {}
    assert!(clock::now_us() >= soon);
}
#[test]
fn the_last_admin_stays() {
    let node = dev().start();
    token(&node, "operator", None);
    let refused = |answer: Answer| {
        let told = (answer.status, answer.json()["code"].clone());
        assert_eq!(told, (409, json!("TG1056")), "{}", answer.text());
        assert!(
            answer.json()["hint"]
                .as_str()
                .unwrap()
                .contains("tidegate token add NAME --manage admin")
        );
    };
    refused(node.manage("DELETE", "/tokens/admin", &Value::Null));
    refused(node.manage("DELETE", "/tokens/admin?dry_run=true", &Value::Null));
    let weaker = json!({"manage": "viewer", "sha256": "ab".repeat(32)});
    refused(node.manage("PUT", "/tokens/admin", &weaker));
    assert_eq!(node.manage("GET", "/whoami", &Value::Null).json()["manage"], "admin");
    // With another one it may go, and then that one stays.
    let made = node.manage("POST", "/tokens", &json!({"name": "second", "manage": "admin"}));
    let second = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(node.manage("DELETE", "/tokens/admin", &Value::Null).status, 204);
    refused(node.manage_as(&second, "DELETE", "/tokens/second", &[], &Value::Null));
    // The file of the first one is still there, and no help any more.
    let at = format!("http://{}", node.admin);
    let said = tidegate(node.folder(), &["status", "--node", &at]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains("it stands in ./tidegate-data/admin-token") && said.contains("--token"),
        "{said}"
    );
    assert_eq!(
        node.manage_as(&second, "GET", "/whoami", &[], &Value::Null).json()["manage"],
        "admin"
    );
}
#[test]
fn a_token_that_has_ended_is_not_made() {
    let node = dev().start();
    for ended in ["2020-01-01T00:00:00Z".to_owned(), clock::rfc3339(clock::now_us())] {
        let wanted = json!({"name": "late", "manage": "viewer", "expires": ended});
        let answer = node.manage("POST", "/tokens", &wanted);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(
            answer.text().contains("`expires` is past: expected a time to come"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(node.manage("GET", "/tokens/late", &Value::Null).status, 404);
}
#[test]
fn a_level_of_a_part_that_is_not_there_is_refused() {
    let node = dev().start();
    let set = |level: &str| node.manage("PUT", "/log-level", &json!({"level": level}));
    for wrong in ["nope=debug", "tidegate_lgo=debug,info", "info,hyperr=trace"] {
        let answer = set(wrong);
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.text());
        assert!(answer.text().contains("a part is `tidegate`"), "{}", answer.text());
    }
    for right in [
        "tidegate_log=debug,info",
        "info,tidegate_entrypoints::http=debug,hyper=warn",
        "tidegate=info",
    ] {
        assert_eq!(set(right).status, 200, "{right}");
    }
}
#[test]
fn a_node_that_nobody_may_administer_makes_a_token_at_its_next_start() {
    let rescue = format!(
        "{{}}\n---\nkind: token\nname: rescue\nmanage: admin\nsha256: \"{}\"\n",
        "ab".repeat(32)
    );
    let node = How::run(TIDEGATE).start_with("{}\n");
    token(&node, "operator", None);
    let node = node.restart_with(How::run(TIDEGATE), |folder| write(&folder.join("tidegate.yaml"), &rescue));
    assert_eq!(node.manage("DELETE", "/tokens/admin", &Value::Null).status, 204);
    // Who writes files may do that: the one in the file was the last.
    let node = node.restart_with(How::run(TIDEGATE), |folder| write(&folder.join("tidegate.yaml"), "{}\n"));
    assert_eq!(node.manage("GET", "/whoami", &Value::Null).json()["manage"], "admin");
}
#[test]
fn no_two_tokens_share_a_secret_and_none_is_empty() {
    let node = dev().start();
    let wanted = |name: &str, hash: &str| json!({"kind": "token", "name": name, "manage": "viewer", "sha256": hash});
    let hash = "ab".repeat(32);
    assert_eq!(node.manage("PUT", "/tokens/a", &wanted("a", &hash)).status, 201);
    let second = node.manage("PUT", "/tokens/b", &wanted("b", &hash));
    assert_eq!(
        (second.status, second.json()["errors"][0]["code"].clone()),
        (422, json!("TG5006")),
        "{}",
        second.text()
    );
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(node.manage("PUT", "/tokens/c", &wanted("c", nothing)).status, 422);
    for shown in ["Bearer ", "Bearer"] {
        let answer = Client::once(node.admin, "GET", "/api/v1/streams", &[("authorization", shown)], b"");
        assert_eq!(answer.status, 401, "{shown:?}");
    }
}
#[test]
fn nobody_else_reads_the_data_folder_even_if_it_was_open() {
    let root = tempfile::TempDir::new().unwrap();
    let data = root.path().join("tidegate-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let node = How::dev(TIDEGATE).start_in(std::sync::Arc::new(root));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let data = node.folder().join("tidegate-data");
    assert_eq!(mode(&data), 0o700);
    for file in ["control.db", "admin-token"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
}
/// What a page needs that cannot send headers.
#[test]
fn a_ticket_is_shown_in_the_url_and_good_for_one_api() {
    let node = dev().start();
    let given = node.post("/orders/_ticket", &[], b"");
    assert_eq!(
        (given.status, given.header("cache-control")),
        (200, Some("no-store")),
        "{}",
        given.text()
    );
    let ticket = given.json()["ticket"].as_str().unwrap().to_owned();
    node.post("/orders", &[], b"x");
    for _ in 0..2 {
        let mut stream = node.stream(&format!("/orders?from=earliest&access_token={ticket}"), &[]);
        let mut rest = String::new();
        assert!(stream.event(&mut rest).unwrap().contains("data: x"));
    }
    assert_eq!(node.get(&format!("/orders?access_token={ticket}")).status, 200);
    for target in [
        format!("/topics/demo?access_token={ticket}"),
        "/orders?access_token=tkt_0".to_owned(),
        "/orders?access_token=".to_owned(),
    ] {
        let refused = node.get(&target);
        assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("TG2001")), "{target}");
    }
    assert_eq!(node.get("/orders/_ticket").status, 405);
    assert!(!node.lines().join("\n").contains(&ticket), "it is in no log");
}
