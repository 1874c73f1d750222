//! The Memphis HTTP API, through the program: the commands of its documents, vectors of its last release, and its known faults, each shown absent.
//! `crates/entrypoints/tests/memphis.rs` has the rest of the vectors, where no log is needed.
mod documents;
mod faults;
mod listeners;
mod sessions;
mod vectors;

use crate::dev;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tidegate_testkit::{
    Node,
    client::{Answer, Client},
};

const DONE: &str = "{\"error\":null,\"success\":true}";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const ROOT: &str = "{\"username\":\"root\",\"connection_token\":\"memphis\"}";

/// A node with somebody logged in.
struct Memphis {
    node: Node,
    bearer: String,
}
impl Memphis {
    fn new() -> Self {
        Self::of(dev().start())
    }
    /// Logs in as the documents do.
    fn of(node: Node) -> Self {
        let mut memphis = Self {
            node,
            bearer: String::new(),
        };
        memphis.log_in();
        memphis
    }
    fn log_in(&mut self) {
        let answer = self.post("/auth/authenticate", &[JSON], ROOT);
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.bearer = format!("Bearer {}", answer.json()["jwt"].as_str().unwrap());
    }
    fn address(&self) -> SocketAddr {
        self.node.memphis.unwrap()
    }
    /// As nobody.
    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Client::once(self.address(), method, target, headers, body)
    }
    fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask("POST", target, headers, body.as_bytes())
    }
    /// As root.
    fn send(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let all = [&[("Authorization", &*self.bearer)], headers].concat();
        self.post(target, &all, body)
    }
    fn single(&self, station: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(&format!("/stations/{station}/produce/single"), headers, body)
    }
    fn batch(&self, station: &str, body: &str) -> Answer {
        self.send(&format!("/stations/{station}/produce/batch"), &[JSON], body)
    }
    fn consume(&self, station: &str, body: &Value) -> Answer {
        self.send(&format!("/stations/{station}/consume/batch"), &[JSON], &body.to_string())
    }
    /// What a group that is new here reads.
    fn stored(&self, station: &str, group: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let wish = json!({
                "consumer_name": "c", "consumer_group": group, "batch_size": 5_000, "batch_max_wait_time_ms": 200, "include": ["metadata"],
            });
            let answer = self.consume(station, &wish);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let more = answer.json().as_array().unwrap().clone();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
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
