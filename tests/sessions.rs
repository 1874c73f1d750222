//! Sessions of users on the Memphis dialect: who logs in, what a token is worth, and what ends it.
use crate::{TIDEGATE, dev};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};
use tempfile::TempDir;
use tidegate_core::clock;
use tidegate_testkit::{Client, Node, client::Answer, node::How};

const HERE: &str = "127.0.0.1:0";
const JSON: (&str, &str) = ("content-type", "application/json");

fn ask(node: &Node, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    Client::once(node.memphis.unwrap(), method, target, headers, body.as_bytes())
}
fn login(node: &Node, body: &Value) -> Answer {
    ask(node, "POST", "/auth/authenticate", &[JSON], &body.to_string())
}
/// The access token of a user with this connection token.
fn session(node: &Node, name: &str, token: &str) -> Value {
    let told = login(node, &json!({"username": name, "connection_token": token}));
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()
}
fn produce(node: &Node, token: &str, station: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let target = format!("/stations/{station}/produce/single");
    ask(node, "POST", &target, &[JSON, ("authorization", &bearer)], "{\"n\":1}")
}
fn refresh(node: &Node, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    ask(node, "POST", "/auth/refreshToken", &[("authorization", &bearer)], "")
}
fn jwt(session: &Value) -> &str {
    session["jwt"].as_str().unwrap()
}
fn hash(secret: &str) -> String {
    tidegate_control::access::password::hash(secret).unwrap()
}
/// A node of production with the user `worker`, whose connection token is `long and secret`.
fn production(keys: &str, worker: &str) -> String {
    format!(
        "listeners: {{ memphis: {{ address: \"{HERE}\"{keys} }} }}\n---\nkind: user\nname: worker\nconnection_token: {{ argon2: \"{worker}\" }}\n\
         permissions: [{{ topics: [\"jobs/#\", jobs], allow: [publish, subscribe] }}]\n"
    )
}
#[expect(clippy::disallowed_methods, reason = "a test writes what the program reads")]
fn write(path: impl AsRef<Path>, text: &str) {
    fs::write(path, text).unwrap();
}
/// Exit code and what it said.
fn ended(arguments: &[&str], configuration: Option<&str>) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    if let Some(text) = configuration {
        write(folder.path().join("tidegate.yaml"), text);
    }
    let output = Command::new(TIDEGATE)
        .args(arguments)
        .envs(["GATEWAY", "ADMIN"].map(|listener| (format!("TIDEGATE__LISTENERS__{listener}__ADDRESS"), HERE)))
        .current_dir(folder.path())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
/// What the documents log in with is for `dev` on loopback only, however it is hashed.
#[test]
fn published_credentials_start_nothing_but_a_demo_on_loopback() {
    let demo = "$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I";
    for (proof, hashed) in [("password", demo.to_owned()), ("connection_token", hash("memphis"))] {
        let root = format!("kind: user\nname: root\n{proof}: {{ argon2: \"{hashed}\" }}\n");
        let (code, said) = ended(&["run"], Some(&root));
        assert_eq!(code, Some(3), "{said}");
        assert!(
            said.contains("TG5042") && said.contains("tidegate user ") && !said.contains("argon2id"),
            "{said}"
        );
        let (code, said) = ended(&["check", "tidegate.yaml"], Some(&root));
        assert!(code == Some(3) && said.contains("TG5042"), "{said}");
    }
    let (code, said) = ended(
        &["dev", "--set", "listeners.memphis={address: \"0.0.0.0:0\", insecure: true}"],
        None,
    );
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("TG5042"), "{said}");
    // And here they work, either way.
    let node = dev().start();
    session(&node, "root", "memphis");
    assert_eq!(login(&node, &json!({"username": "root", "password": "memphis"})).status, 200);
}
/// Built in, as long as nobody declares a user of that name, and only for a try on this machine.
#[test]
fn the_documents_credentials_work_in_dev_beside_a_configuration_of_ones_own() {
    let root = |node: &Node| login(node, &json!({"username": "root", "connection_token": "memphis"})).status;
    let source = |node: &Node| node.manage("GET", "/users/root", &Value::Null).json()["meta"]["source"].clone();
    let node = dev().start_with("kind: stream\nname: s\n");
    assert_eq!(login(&node, &json!({"username": "root", "password": "memphis"})).status, 200);
    assert_eq!(produce(&node, jwt(&session(&node, "root", "memphis")), "st").status, 200);
    assert!(
        node.lines()
            .iter()
            .any(|line| line.ends_with("user root, connection token memphis")),
        "{:?}",
        node.lines()
    );
    // Nobody's own: not in an export, nor in the store, and not to be deleted.
    assert_eq!(source(&node), "built in");
    assert!(!node.manage("GET", "/export?all=true", &Value::Null).text().contains("root"));
    let refused = node.manage("DELETE", "/users/root", &Value::Null);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("TG1052")),
        "{}",
        refused.text()
    );
    // One of that name takes its place, and gives it back.
    let own = json!({"connection_token": {"argon2": hash("long and secret")}, "permissions": []});
    let made = node.manage_as(&node.token(), "PUT", "/users/root", &[("if-none-match", "*")], &own);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!((root(&node), source(&node)), (401, json!("api")));
    let node = node.restart();
    assert_eq!((root(&node), source(&node)), (401, json!("api")));
    assert_eq!(node.manage("DELETE", "/users/root", &Value::Null).status, 204);
    assert_eq!((root(&node), source(&node)), (200, json!("built in")));
    // A file's does, too.
    let file = format!(
        "kind: user\nname: root\nconnection_token: {{ argon2: \"{}\" }}\n",
        hash("long and secret")
    );
    let node = node.restart_with(dev(), |folder| write(folder.join("tidegate.yaml"), &file));
    assert_eq!((root(&node), source(&node)), (401, json!("tidegate.yaml:1:1")));
    assert!(!node.lines().iter().any(|line| line.contains("connection token memphis")));
    // Where others reach it, nobody is there.
    let plain = format!("{{ address: \"{HERE}\" }}");
    let open = format!("listeners:\n  gateway: {plain}\n  admin: {plain}\n  memphis: {{ address: \"0.0.0.0:0\", insecure: true }}\n");
    let node = node.restart_with(How::bare(TIDEGATE, "dev"), |folder| write(folder.join("tidegate.yaml"), &open));
    assert_eq!(root(&node), 401);
    let node = node.restart_with(How::run(TIDEGATE), |folder| {
        write(
            folder.join("tidegate.yaml"),
            &format!("listeners: {{ memphis: {{ address: \"{HERE}\" }} }}\n"),
        );
    });
    assert_eq!(root(&node), 401);
}
#[test]
fn weak_and_published_keys_are_refused_at_the_start() {
    for (k, why) in [
        ("SldUX1RFU1RfUFVSUE9TRQ", "public documents"),
        ("c2hvcnQ", "5 bytes"),
        ("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE", "repeats"),
    ] {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys.json");
        write(&file, &format!("{{\"keys\":[{{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"{k}\"}}]}}"));
        let text = production(&format!(", keys: {}", file.display()), &hash("long and secret"));
        let (code, said) = ended(&["run"], Some(&text));
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("TG5041") && said.contains(why) && !said.contains(k), "{said}");
    }
}
/// With the same file of keys and the same users; a key that is put before another lets both hold.
#[test]
fn any_gateway_with_the_same_keys_takes_any_token() {
    let shared = TempDir::new().unwrap();
    let keys = format!(", keys: {}", shared.path().join("keys.json").display());
    let text = production(&keys, &hash("long and secret"));
    let [one, other] = [(); 2].map(|()| How::run(TIDEGATE).start_with(&text));
    let alone = How::run(TIDEGATE).start_with(&production("", &hash("long and secret")));
    let first = session(&one, "worker", "long and secret");
    assert_eq!(produce(&other, jwt(&first), "jobs").status, 200);
    assert_eq!(produce(&alone, jwt(&first), "jobs").status, 401);
    let mode = fs::metadata(shared.path().join("keys.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Both at once: none loses the key of the other, and it signs when all have read it.
    std::thread::scope(|scope| {
        for node in [&one, &other] {
            scope.spawn(|| {
                let turned = node.manage("POST", "/signing-keys/rotate", &json!({}));
                assert_eq!(turned.status, 200, "{}", turned.text());
                let from = clock::parse_rfc3339(turned.json()["signs_from"].as_str().unwrap()).unwrap();
                assert!(from > clock::now_us());
            });
        }
    });
    #[expect(clippy::disallowed_methods, reason = "a test reads what the program writes")]
    let kept = fs::read_to_string(shared.path().join("keys.json")).unwrap();
    assert_eq!(kept.matches("kid").count(), 3);
    let second = session(&one, "worker", "long and secret");
    for token in [&first, &second] {
        assert_eq!(produce(&one, jwt(token), "jobs").status, 200);
        assert_eq!(produce(&other, jwt(token), "jobs").status, 200);
    }
    // Kept across a restart.
    let one = one.restart();
    assert_eq!(produce(&one, jwt(&first), "jobs").status, 200);
    // Revoked, they hold no more; the other one looks at the file every two seconds.
    let turned = one.manage("POST", "/signing-keys/rotate?revoke=true", &json!({}));
    assert_eq!(
        (&turned.json()["signs_from"], turned.json()["keys"].as_array().unwrap().len()),
        (&Value::Null, 1)
    );
    assert_eq!(produce(&one, jwt(&first), "jobs").status, 401);
    let third = session(&one, "worker", "long and secret");
    let began = clock::instant();
    while produce(&other, jwt(&third), "jobs").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(produce(&other, jwt(&second), "jobs").status, 401);
}
#[test]
fn a_revoked_users_tokens_stop_at_once() {
    let node = dev().start();
    let user = |secret: &str| {
        let all = json!([{"topics": ["#"], "allow": ["publish", "subscribe"]}]);
        json!({"connection_token": {"argon2": hash(secret)}, "permissions": all})
    };
    assert_eq!(node.manage("PUT", "/users/bob", &user("first")).status, 201);
    let bob = session(&node, "bob", "first");
    assert_eq!(produce(&node, jwt(&bob), "st").status, 200);
    assert_eq!(refresh(&node, jwt(&bob)).status, 200);
    // Another secret.
    assert_eq!(node.manage("PUT", "/users/bob", &user("second")).status, 200);
    assert_eq!(
        (produce(&node, jwt(&bob), "st").status, refresh(&node, jwt(&bob)).status),
        (401, 401)
    );
    assert_eq!(login(&node, &json!({"username": "bob", "connection_token": "first"})).status, 401);
    let bob = session(&node, "bob", "second");
    assert_eq!(node.manage("DELETE", "/users/bob", &Value::Null).status, 204);
    let of_refresh = json!({"jwt_refresh_token": bob["jwt_refresh_token"]}).to_string();
    let told = ask(&node, "POST", "/auth/refreshToken", &[JSON], &of_refresh);
    assert_eq!((produce(&node, jwt(&bob), "st").status, told.status), (401, 401));
}
#[test]
fn an_access_key_needs_no_login_and_stops_when_it_is_revoked() {
    let node = dev().start();
    let made = node.manage("POST", "/tokens", &json!({"name": "sender", "user": "root"}));
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["token"].as_str().unwrap().to_owned();
    assert!(key.starts_with("sender:tgt_"), "{key}");
    assert_eq!(node.manage("POST", "/tokens", &json!({"name": "x", "user": "nobody"})).status, 422);
    assert_eq!(produce(&node, &key, "st").status, 200);
    let basic = format!("Basic {}", base64_simd::STANDARD.encode_to_string(&key));
    let target = "/stations/st/produce/single";
    assert_eq!(ask(&node, "POST", target, &[JSON, ("authorization", &basic)], "1").status, 200);
    // Its user does not go before it: who takes the name would be whom it opens to.
    let bob = json!({"connection_token": {"argon2": hash("first")}});
    assert_eq!(node.manage("PUT", "/users/bob", &bob).status, 201);
    assert_eq!(
        node.manage("POST", "/tokens", &json!({"name": "of-bob", "user": "bob"})).status,
        201
    );
    assert_eq!(node.manage("DELETE", "/users/bob", &Value::Null).json()["code"], "TG1051");
    assert_eq!(node.manage("DELETE", "/tokens/of-bob", &Value::Null).status, 204);
    assert_eq!(node.manage("DELETE", "/users/bob", &Value::Null).status, 204);
    // It opens no management.
    let bearer = format!("Bearer {}", key.split_once(':').unwrap().1);
    assert_eq!(
        Client::once(node.admin, "GET", "/api/v1/streams", &[("authorization", &bearer)], b"").status,
        401
    );
    assert_eq!(node.manage("DELETE", "/tokens/sender", &Value::Null).status, 204);
    assert_eq!(produce(&node, &key, "st").status, 401);

    // The command line makes one, with a name of its own.
    let output = Command::new(TIDEGATE)
        .args([
            "token",
            "add",
            "--user",
            "root",
            "--access-key",
            "--node",
            &format!("http://{}", node.admin),
        ])
        .current_dir(node.folder())
        .output()
        .unwrap();
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(key.starts_with("root-"), "{key} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(produce(&node, &key, "st").status, 200);
}
#[test]
fn failed_logins_are_limited_and_successful_ones_are_not() {
    let node = dev().set("limits.failed_logins", "3").start();
    for _ in 0..50 {
        session(&node, "root", "memphis");
    }
    let guess = || login(&node, &json!({"username": "nobody", "connection_token": "guess"}));
    for _ in 0..3 {
        assert_eq!(guess().status, 401);
    }
    let told = guess();
    assert_eq!(told.status, 429, "{}", told.text());
    assert!(told.header("retry-after").is_some());
    session(&node, "root", "memphis");
    // Who guesses the name of somebody keeps out nobody else: who comes from elsewhere, or was there before.
    let bob = json!({"connection_token": {"argon2": hash("long and secret")}});
    assert_eq!(node.manage("PUT", "/users/bob", &bob).status, 201);
    let from = |address: &str, name: &str, token: &str| {
        let target = format!("http://{}/auth/authenticate", node.memphis.unwrap());
        let body = json!({"username": name, "connection_token": token}).to_string();
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", address, &target])
            .args(["-H", "content-type: application/json", "-d", &body])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for name in ["bob", "root"] {
        for told in ["401", "401", "401", "429"] {
            assert_eq!(from("127.0.0.2", name, "guess"), told);
        }
    }
    assert_eq!(from("127.0.0.2", "bob", "long and secret"), "429");
    assert_eq!(from("127.0.0.2", "root", "memphis"), "200");
    assert_eq!(from("127.0.0.3", "bob", "long and secret"), "200");
}
/// What was given up is read as a station, and kept as long as before: nothing makes a station of it.
#[test]
fn a_station_of_dead_letters_is_what_it_was() {
    let node = dev().start();
    let put = |path: &str, body: &Value| assert_eq!(node.manage("PUT", path, body).status, 201, "{path}");
    put("/schemas/numbers", &json!({"json": {"type": "object", "required": ["m"]}}));
    put(
        "/streams/jobs",
        &json!({"schema": {"schema": "numbers", "on_failure": "dead_letter"}}),
    );
    let root = session(&node, "root", "memphis");
    // Before there is one: nobody makes it.
    let bearer = format!("Bearer {}", jwt(&root));
    let consume = || {
        let body = json!({"consumer_name": "c", "batch_max_wait_time_ms": 100}).to_string();
        ask(
            &node,
            "POST",
            "/stations/jobs.dead/consume/batch",
            &[JSON, ("authorization", &bearer)],
            &body,
        )
    };
    assert_eq!((consume().status, produce(&node, jwt(&root), "jobs.dead").status), (404, 404));
    assert_eq!(produce(&node, jwt(&root), "jobs").status, 400);
    // Others come and go meanwhile.
    assert_eq!(produce(&node, jwt(&root), "other").status, 200);
    let letters = consume().json();
    assert_eq!(letters[0]["message"], "{\"n\":1}", "{letters}");
    let shown = node.manage("GET", "/streams/jobs.dead", &Value::Null).json();
    assert_eq!(
        (&shown["retention"]["age"], &shown["dedupe"]),
        (&Value::Null, &Value::Null),
        "{shown}"
    );
    assert_ne!(shown["meta"]["source"], "api", "{shown}");
}
/// However long a login asks for.
#[test]
fn no_token_holds_longer_than_is_set() {
    let node = How::run(TIDEGATE).start_with(&production(", max_ttl: 1h", &hash("long and secret")));
    let body = json!({"username": "worker", "connection_token": "long and secret", "token_expiry_in_minutes": 90,
        "refresh_token_expiry_in_minutes": 10_000_092});
    let told = login(&node, &body).json();
    assert_eq!(
        (&told["expires_in"], &told["refresh_token_expires_in"]),
        (&json!(3_600_000), &json!(3_600_000))
    );
    let claims = base64_simd::URL_SAFE_NO_PAD
        .decode_to_vec(jwt(&told).split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 3_601,
        "{claims}"
    );
}
/// Nor in a token, a message or an answer of the management API.
#[test]
fn no_credential_is_logged_or_stored() {
    let node = dev().set("telemetry.level", "debug").start();
    let root = session(&node, "root", "memphis");
    let bearer = format!("Bearer {}", jwt(&root));
    let secret = [
        ("authorization", bearer.as_str()),
        ("cookie", "a=hunter2"),
        ("x-api-key", "hunter2"),
        ("x-own", "kept"),
    ];
    let headers: Vec<_> = secret.iter().copied().chain([JSON]).collect();
    let target = format!("/stations/st/produce/single?authorization={}", jwt(&root));
    assert_eq!(ask(&node, "POST", &target, &headers, "1").status, 200);
    assert_eq!(
        login(&node, &json!({"username": "root", "connection_token": "hunter2"})).status,
        401
    );
    let stored = node.get("/topics/st?include=headers");
    for (text, what) in [(stored.text(), "the message"), (node.lines().join("\n"), "the log")] {
        for bad in [jwt(&root), root["jwt_refresh_token"].as_str().unwrap(), "hunter2", "argon2"] {
            assert!(!text.contains(bad), "{bad} is in {what}: {text}");
        }
    }
}
