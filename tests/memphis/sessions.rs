//! Sessions as clients live with them: refreshed in every form, at every gateway, for longer than a token holds.
use super::{DONE, JSON, Memphis, ROOT, json_of, payloads, told};
use crate::dev;
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_core::clock;
use tidegate_testkit::{
    Node, balance,
    client::{Answer, Client},
};

#[test]
fn v12_a_session_is_refreshed_in_three_forms() {
    let memphis = Memphis::new();
    let path = "/auth/refreshToken";
    let session = memphis.post("/auth/authenticate", &[JSON], ROOT).json();
    let (access, refresh) = (session["jwt"].as_str().unwrap(), session["jwt_refresh_token"].as_str().unwrap());
    let bearer = format!("Bearer {access}");
    let cookie = format!("jwt-refresh-token={refresh}");
    let body = json!({ "jwt_refresh_token": refresh }).to_string();
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for (headers, body) in [
        (&[("Authorization", &*bearer), form][..], ""),
        (&[("Cookie", &*cookie)], ""),
        (&[JSON], &*body),
    ] {
        let answer = memphis.post(path, headers, body);
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
        let next = format!("Bearer {}", answer.json()["jwt"].as_str().unwrap());
        let produced = memphis.post("/stations/st1/produce/single", &[("Authorization", &next), JSON], "1");
        assert_eq!(told(&produced), json_of(200, DONE));
        assert!(answer.header("set-cookie").unwrap().starts_with("jwt-refresh-token="));
    }
    let wrong = json!({ "jwt_refresh_token": access }).to_string();
    for body in ["{}", "{\"jwt_refresh_token\":\"bad\"}", &wrong] {
        assert_eq!(
            told(&memphis.post(path, &[JSON], body)),
            json_of(401, "{\"message\":\"Unauthorized\"}"),
            "{body}"
        );
    }
}
/// Two nodes with the same file of keys and the same users.
#[test]
fn a_token_of_one_node_opens_another_with_the_same_keys() {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys.json").display().to_string();
    let start = || Memphis::of(dev().set("listeners.memphis.keys", &keys).start());
    let (one, other) = (start(), start());
    let stranger = Memphis::new();
    let headers = [("Authorization", &*one.bearer), JSON];
    assert_eq!(told(&other.post("/stations/st1/produce/single", &headers, "1")), json_of(200, DONE));
    assert_eq!(stranger.post("/stations/st1/produce/single", &headers, "1").status, 401);
}
/// In the shape of Debezium's: `Bearer:` with a colon, a refresh at 0.9 of `expires_in` read as milliseconds, and on any failure the same event
/// again.
struct Debezium {
    client: Client,
    token: String,
    refresh: String,
    refresh_at: std::time::Instant,
    refreshes: usize,
}
impl Debezium {
    fn new(node: &Node) -> Self {
        let mut client = Client::new(node.memphis.unwrap());
        let login =
            json!({ "username": "root", "password": "memphis", "token_expiry_in_minutes": 0, "refresh_token_expiry_in_minutes": 1 });
        let answer = client.request("POST", "/auth/authenticate", &[JSON], login.to_string().as_bytes());
        let mut this = Self {
            client,
            token: String::new(),
            refresh: String::new(),
            refresh_at: clock::instant(),
            refreshes: 0,
        };
        this.take(&answer.json());
        this
    }
    fn take(&mut self, session: &serde_json::Value) {
        session["jwt"].as_str().unwrap().clone_into(&mut self.token);
        session["jwt_refresh_token"].as_str().unwrap().clone_into(&mut self.refresh);
        let millis = session["expires_in"].as_u64().unwrap();
        self.refresh_at = clock::instant() + Duration::from_millis(millis * 9 / 10);
    }
    fn send(&mut self, number: u64) {
        if clock::instant() >= self.refresh_at {
            self.renew();
        }
        let mut answer = self.attempt(number);
        if answer.status == 401 {
            // This machine stood still for as long as the token had left: the same event again.
            self.renew();
            answer = self.attempt(number);
        }
        assert_eq!(told(&answer), json_of(200, DONE));
    }
    fn renew(&mut self) {
        let body = json!({ "jwt_refresh_token": self.refresh, "token_expiry_in_minutes": 0, "refresh_token_expiry_in_minutes": 1 });
        let answer = self
            .client
            .request("POST", "/auth/refreshToken", &[JSON], body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.take(&answer.json());
        self.refreshes += 1;
    }
    fn attempt(&mut self, number: u64) -> Answer {
        let header = format!("Bearer: {}", self.token);
        let id = format!("event-{number}");
        let headers = [
            ("Authorization", &*header),
            JSON,
            ("X-DEBEZIUM-destination", "orders"),
            ("Tidegate-Id", &id),
        ];
        let payload = number.to_string();
        self.client
            .request("POST", "/stations/debezium/produce/single", &headers, payload.as_bytes())
    }
}
#[test]
fn a_client_like_debezium_works_through_two_expiries() {
    let memphis = Memphis::of(dev().set("listeners.memphis.access_ttl", "1s").start());
    let mut client = Debezium::new(&memphis.node);
    let mut number = 0;
    while client.refreshes < 3 {
        client.send(number);
        if number % 7 == 0 {
            // An answer that was lost on its way: the event comes again.
            client.send(number);
        }
        number += 1;
    }
    // The first token of all has expired meanwhile.
    let late = memphis.single("debezium", &[JSON], "late");
    assert_eq!(told(&late), json_of(401, "{\"message\":\"Unauthorized\"}"));
    // Yet it is good for a new one.
    let renewed = memphis.send("/auth/refreshToken", &[], "");
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let bearer = format!("Bearer {}", renewed.json()["jwt"].as_str().unwrap());
    let memphis = Memphis { bearer, ..memphis };
    let headers = [("Authorization", &*memphis.bearer)];
    let pulled = memphis
        .ask("POST", "/stations/debezium/_pull?include=headers", &headers, b"{\"limit\":1}")
        .json();
    assert_eq!(pulled["items"][0]["headers"]["x-debezium-destination"], "orders");
    // What is stored is each event once, in order.
    let mut all = Vec::new();
    while all.len() < number as usize {
        let fresh = Memphis::of_same(&memphis);
        let answer = fresh(&json!({ "consumer_name": "c", "batch_size": 5_000, "batch_max_wait_time_ms": 200 }));
        let items = answer.as_array().unwrap().clone();
        assert!(!items.is_empty(), "{} of {number}", all.len());
        all.extend(items);
    }
    let wanted: Vec<_> = (0..number).map(|number| number.to_string()).collect();
    assert_eq!(payloads(&all), wanted);
    balance(&memphis.node);
}
impl Memphis {
    /// Consumes from Debezium's station, with a new session each time: those here hold for a second.
    fn of_same(memphis: &Self) -> impl Fn(&serde_json::Value) -> serde_json::Value {
        |wish| {
            let session = memphis.post("/auth/authenticate", &[JSON], ROOT).json();
            let bearer = format!("Bearer {}", session["jwt"].as_str().unwrap());
            let headers = [("Authorization", &*bearer), JSON];
            let answer = memphis.post("/stations/debezium/consume/batch", &headers, &wish.to_string());
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()
        }
    }
}
#[test]
fn an_access_key_needs_no_login_and_no_refresh() {
    let memphis = Memphis::new();
    let folder = memphis.node.folder().to_owned();
    let made = std::process::Command::new(crate::TIDEGATE)
        .args(["token", "add", "--user", "root", "--access-key"])
        .current_dir(&folder)
        .env("TIDEGATE_NODE", format!("http://{}", memphis.node.admin))
        .env("TIDEGATE_TOKEN", memphis.node.token())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&made.stdout).into_owned() + &String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{printed}");
    let key = printed
        .split_whitespace()
        .find(|word| word.split_once(':').is_some_and(|(_, secret)| secret.starts_with("tgt_")))
        .unwrap_or_else(|| panic!("{printed}"))
        .to_owned();
    let path = "/stations/hooks/produce/single";
    let bearer = format!("Bearer {key}");
    assert_eq!(
        told(&memphis.post(path, &[("Authorization", &bearer), JSON], "1")),
        json_of(200, DONE)
    );
    let output = std::process::Command::new("curl")
        .args(["-sS", "-u", &key, "-H", "Content-Type: application/json", "-d", "2"])
        .arg(format!("http://{}{path}", memphis.address()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), DONE);
    assert_eq!(payloads(&memphis.stored("hooks", "all")), ["1", "2"]);
}
#[test]
fn a_wait_ends_with_the_session() {
    let memphis = Memphis::of(dev().set("listeners.memphis.access_ttl", "2s").start());
    let began = clock::instant();
    let answer = memphis.consume("quiet", &json!({ "consumer_name": "c", "batch_max_wait_time_ms": 60_000 }));
    assert_eq!(told(&answer), json_of(200, "[]"));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Whatever came meanwhile is still there.
    let answer = memphis.consume("quiet", &json!({ "consumer_name": "c" }));
    assert_eq!(answer.status, 401, "{}", answer.text());
}
