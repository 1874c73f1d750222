//! The API over TLS and HTTP/2, and many clients that use a station for the first time at once.
use super::{DONE, JSON, Memphis, payloads};
use serde_json::json;
use std::process::Command;
use tempfile::TempDir;
use tidegate_testkit::{Authority, balance, certificates::replace, client::Client, node::How};

/// `bob` with connection token `memphis`.
const BOB: &str = "kind: user\nname: bob\nconnection_token: { argon2: \"$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I\" }\n\
    permissions: [{ topics: [\"#\"], allow: [publish, subscribe] }]\n";

#[test]
fn over_tls_the_cookie_is_for_tls_only() {
    let authority = Authority::new("test");
    let folder = TempDir::new().unwrap();
    authority.write(folder.path(), "gateway".into());
    let tls = "{ certificate: gateway.pem, key: gateway.key }";
    let plain = "{ address: 127.0.0.1:0 }";
    let settings =
        format!("listeners:\n  gateway: {plain}\n  admin: {plain}\n  memphis: {{ address: 127.0.0.1:0, tls: {tls} }}\n---\n{BOB}");
    replace(&folder.path().join("tidegate.yaml"), &settings);
    let node = How::bare(crate::TIDEGATE, "dev").start_in(folder.into());
    let url = format!("https://localhost:{}/auth/authenticate", node.memphis.unwrap().port());
    let ca = node.folder().join("ca.pem").display().to_string();
    let login = "{\"username\":\"bob\",\"connection_token\":\"memphis\"}";
    for version in ["--http1.1", "--http2"] {
        let output = Command::new("curl")
            .args([
                "-sS",
                "-D",
                "-",
                "--cacert",
                &ca,
                version,
                "-H",
                "Content-Type: application/json",
                "-d",
                login,
                &url,
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let cookie = text.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        assert!(
            cookie.is_some_and(|cookie| cookie.trim().ends_with("; Max-Age=18000; Secure")),
            "{text}"
        );
    }
}
#[test]
fn http_2_is_spoken_too() {
    let memphis = Memphis::new();
    let curl = |path: &str, body: &str| {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--http2-prior-knowledge",
                "-w",
                " %{http_version} %{http_code}",
                "-H",
                "Content-Type: application/json",
            ])
            .args(["-H", &format!("Authorization: {}", memphis.bearer), "-d", body])
            .arg(format!("http://{}{path}", memphis.address()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for number in 0..3 {
        assert_eq!(curl("/stations/two/produce/single", &number.to_string()), format!("{DONE} 2 200"));
    }
    assert_eq!(curl("/stations/two/produce/batch", "[{}]"), format!("{DONE} 2 200"));
    let consumed = curl("/stations/two/consume/batch", "{\"consumer_name\":\"c\",\"batch_size\":3}");
    assert!(
        consumed.starts_with("[{\"message\":\"0\",") && consumed.ends_with("] 2 200"),
        "{consumed}"
    );
    let rest = memphis.consume("two", &json!({ "consumer_name": "c" })).json();
    assert_eq!(payloads(rest.as_array().unwrap()), ["{}"]);
    balance(&memphis.node);
}
#[test]
fn a_station_that_many_use_first_comes_into_being_once() {
    let memphis = Memphis::new();
    std::thread::scope(|scope| {
        for sender in 0..16 {
            let memphis = &memphis;
            scope.spawn(move || {
                let mut client = Client::new(memphis.address());
                let headers = [("Authorization", &*memphis.bearer), JSON];
                for station in ["shared", "Shared", &format!("own-{sender}")] {
                    let target = format!("/stations/{station}/produce/single");
                    let answer = client.request("POST", &target, &headers, sender.to_string().as_bytes());
                    assert_eq!((answer.status, answer.text().as_str()), (200, DONE));
                }
            });
        }
    });
    assert_eq!(memphis.stored("shared", "all").len(), 32);
    balance(&memphis.node);
}
