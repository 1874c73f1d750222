//! `tidegate pub TOPIC [PAYLOAD]`: one message, or each line of the input one.
use super::{
    FAILED, OK, Output,
    failure::{Failure, text},
    node::{Ask, Node, Remote, escaped},
    progress::Progress,
    say, show, tell,
};
use bytes::Bytes;
use clap::ValueEnum;
use http::Method;
use serde_json::{Map, Value, json};
use std::io::{BufRead, IsTerminal, Read};
use tokio::sync::mpsc;

/// What may wait to be sent, and what goes in one request.
const LINES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// No node takes longer ones.
const LONGEST: usize = 64 << 20;
const ITEMS: &str = "application/vnd.tidegate.messages+json";

#[derive(clap::Args)]
pub(super) struct Publish {
    /// Where to, like orders or orders/eu.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    topic: String,
    /// The message. Without it, what comes on standard input is one message.
    payload: Option<String>,
    /// Each line of standard input is a message.
    #[arg(long, conflicts_with_all = ["payload", "id"])]
    lines: bool,
    /// Messages of one key stay in order.
    #[arg(long)]
    key: Option<String>,
    /// Its identity: a second one of the same id is not stored.
    #[arg(long)]
    id: Option<String>,
    /// A header of the message. May be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = super::setting)]
    headers: Vec<(String, String)>,
    /// How long anybody needs it, like 10s.
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long it waits before anybody gets it, like 5m.
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
    /// When to answer. Without it, at the strongest level the topic has.
    #[arg(long, value_enum, value_name = "LEVEL")]
    ack: Option<Level>,
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(Clone, Copy, ValueEnum)]
enum Level {
    /// In memory, in order, about to be written.
    Accepted,
    /// Handed to the live readers there were.
    Delivered,
    /// On the node's disk, synced.
    Stored,
    /// At the broker, as safe as it offers.
    Replicated,
}

impl Publish {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        if self.lines {
            return self.every_line(&node).await;
        }
        let payload = match &self.payload {
            Some(text) => Bytes::from(text.clone()),
            None => input()?,
        };
        let answer = if self.headers.is_empty() {
            let mut ask = Ask {
                method: Method::POST,
                body: payload,
                ..Ask::default()
            };
            let wishes = [
                ("tidegate-key", &self.key),
                ("tidegate-id", &self.id),
                ("tidegate-ttl", &self.ttl),
                ("tidegate-delay", &self.delay),
            ];
            for (name, value) in wishes {
                if let Some(value) = value {
                    ask = ask.header(name, value)?;
                }
            }
            let answer = node.ask(&self.path(), self.level(ask)?).await?;
            if answer.headers.contains_key("tidegate-duplicate") {
                tell("a message of this id is there already; this is its place\n");
            }
            answer.body
        } else {
            let ask = self.batch(vec![self.item(&payload, self.id.as_deref())])?;
            let answer = node.ask_each(&self.path(), ask).await?;
            let mut one = answer.body["results"][0].clone();
            if one["problem"].is_object() {
                without_item(&mut one["problem"], 0);
                return Err(Failure::problem(&one["problem"]));
            }
            if one["duplicate"] == true {
                tell("a message of this id is there already; this is its place\n");
            }
            let ack = answer.headers.get("tidegate-ack").and_then(|ack| ack.to_str().ok());
            if let Some(members) = one.as_object_mut() {
                members.remove("index");
                members.insert("ack".to_owned(), ack.into());
                members.extend(answer.body["note"].as_str().map(|note| ("note".to_owned(), note.into())));
            }
            one
        };
        if self.remote.output == Output::Table {
            let words = [text(&answer, "ack"), text(&answer, "position")];
            say(&format!("{}\n", words.into_iter().flatten().collect::<Vec<_>>().join(" ")));
        } else {
            show(&answer, self.remote.output);
        }
        if let Some(note) = text(&answer, "note") {
            tell(&format!("{note}\n"));
        }
        Ok(OK)
    }
    async fn every_line(&self, node: &Node) -> Result<u8, Failure> {
        let mut lines = lines();
        let progress = Progress::new("published");
        let (mut sent, mut failed, mut number, mut noted) = (0_u64, 0_u64, 0_usize, false);
        let mut waiting: Vec<Result<Bytes, String>> = Vec::new();
        while !waiting.is_empty() || lines.recv_many(&mut waiting, LINES).await > 0 {
            let (mut items, mut bytes) = (Vec::new(), 0);
            while let Some(line) = waiting.first().filter(|_| items.is_empty() || bytes < BATCH_BYTES) {
                let line = line.as_ref().map_err(|why| Failure::command(format!("standard input: {why}")))?;
                bytes += line.len();
                items.push(self.item(line, None));
                drop(waiting.remove(0));
            }
            let many = items.len();
            let asked = node.ask_each(&self.path(), self.batch(items)?).await;
            let mut answer = match asked {
                Ok(answer) => answer.body,
                Err(failure) => {
                    // Whoever goes on must know from where.
                    let (first, last) = (number + 1, number + many);
                    if failure.is_passing() {
                        progress.tell(&format!(
                            "published {sent}, failed {failed}; of lines {first} to {last} nobody knows\n"
                        ));
                    } else if number > 0 {
                        progress.tell(&format!("published {sent}, failed {failed}; lines {first} to {last} are refused\n"));
                    }
                    return Err(failure);
                }
            };
            sent += answer["sent"].as_u64().unwrap_or_default();
            failed += answer["failed"].as_u64().unwrap_or_default();
            if let Some(note) = text(&answer, "note").filter(|_| !std::mem::replace(&mut noted, true)) {
                progress.tell(&format!("{note}\n"));
            }
            for result in answer["results"].as_array_mut().into_iter().flatten() {
                let index = result["index"].as_u64().unwrap_or_default();
                without_item(&mut result["problem"], index);
                let problem = &result["problem"];
                let (Some(code), Some(detail)) = (text(problem, "code"), text(problem, "detail")) else {
                    continue;
                };
                let line = number + index as usize + 1;
                progress.tell(&format!("error[{code}]: line {line}: {detail}\n"));
            }
            number += many;
            progress.at(sent);
        }
        drop(progress);
        if self.remote.output == Output::Table {
            let bad = if failed > 0 { format!(", failed {failed}") } else { String::new() };
            say(&format!("published {sent}{bad}\n"));
        } else {
            show(&json!({"sent": sent, "failed": failed}), self.remote.output);
        }
        Ok(if failed > 0 { FAILED } else { OK })
    }
    fn path(&self) -> String {
        format!("/api/v1/topics/{}", escaped(&self.topic, true))
    }
    fn level(&self, ask: Ask) -> Result<Ask, Failure> {
        match self.ack {
            None => Ok(ask),
            Some(level) => ask.header(
                "tidegate-ack",
                match level {
                    Level::Accepted => "accepted",
                    Level::Delivered => "delivered",
                    Level::Stored => "stored",
                    Level::Replicated => "replicated",
                },
            ),
        }
    }
    fn batch(&self, items: Vec<Value>) -> Result<Ask, Failure> {
        let ask = Ask::json(Method::POST, &json!({"items": items})).header("content-type", ITEMS)?;
        self.level(ask)
    }
    fn item(&self, payload: &[u8], id: Option<&str>) -> Value {
        let mut item = Map::new();
        match std::str::from_utf8(payload) {
            Ok(text) => item.insert("payload".to_owned(), text.into()),
            Err(_binary) => {
                item.insert("encoding".to_owned(), "base64".into());
                item.insert("payload".to_owned(), base64_simd::STANDARD.encode_to_string(payload).into())
            }
        };
        for (name, value) in [("key", &self.key), ("ttl", &self.ttl), ("delay", &self.delay)] {
            item.extend(value.as_deref().map(|value| (name.to_owned(), value.into())));
        }
        item.extend(id.map(|id| ("id".to_owned(), id.into())));
        if !self.headers.is_empty() {
            let headers: Map<_, _> = self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            item.insert("headers".to_owned(), headers.into());
        }
        item.into()
    }
}
/// What is wrong with an item of a batch, to somebody who wrote a message or a line and no items.
fn without_item(problem: &mut Value, index: u64) {
    let place = format!("item {index}: ");
    if let Some(rest) = text(problem, "detail").as_deref().and_then(|detail| detail.strip_prefix(&place)) {
        problem["detail"] = rest.into();
    }
}
/// Standard input, whole.
fn input() -> Result<Bytes, Failure> {
    if std::io::stdin().is_terminal() {
        tell("the message is what you type now; Ctrl-D ends it\n");
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST as u64).read_to_end(&mut bytes);
    read.map_err(|error| Failure::command(format!("standard input: {error}")))?;
    Ok(bytes.into())
}
/// Line by line as they come, without their ends. A thread reads, so that the connection to the node is looked after meanwhile.
fn lines() -> mpsc::Receiver<Result<Bytes, String>> {
    let (tell, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
            let line = match read {
                Ok(0) => return,
                Ok(much) if much > LONGEST => Err(format!("a line is longer than {} MiB", LONGEST >> 20)),
                Ok(_) => {
                    let end = [&b"\r\n"[..], b"\n"].into_iter().find_map(|end| line.strip_suffix(end));
                    Ok(Bytes::copy_from_slice(end.unwrap_or(&line)))
                }
                Err(error) => Err(error.to_string()),
            };
            let last = line.is_err();
            if tell.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    lines
}
