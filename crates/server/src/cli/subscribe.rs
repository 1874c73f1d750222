//! `tidegate sub TOPIC|STREAM`: what is stored, then what comes. It goes on behind what it saw, whatever happens to the node meanwhile.
use super::{
    FAILED, OK, Output,
    events::Events,
    failure::{Failure, printable, text},
    node::{ANSWER, Ask, HttpClient, Node, Remote, escaped},
    progress::Progress,
    yaml,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{io::IsTerminal as _, io::Write, time::Duration};
use tidegate_core::{action::is_reserved_header, clock, error::Code};
use tidegate_endpoints::http::{escaped as percented, spelled};

/// How long a page waits for the next message.
const WAIT: Duration = Duration::from_secs(20);
/// Of one page.
const PAGE: u64 = 500;
/// Between two tries to reach the node again.
const AGAIN: [u64; 5] = [250, 500, 1_000, 2_000, 5_000];
/// A stream that says nothing for so long has lost its node: heartbeats come every five seconds.
const SILENCE: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(super) struct Subscribe {
    /// A stream, or a topic like orders/eu.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    topic: String,
    /// Where to begin: earliest, latest, last:N, a duration like 10m, a time, or a position.
    #[arg(long, value_name = "WHERE", default_value = "latest")]
    from: String,
    /// Post each message there, and print what it answers.
    #[arg(long, value_name = "URL", value_parser = target)]
    to: Option<String>,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    pub(super) remote: Remote,
}
/// Why it goes on no further.
enum End {
    /// As many as were asked for, or whoever reads the output has gone.
    Enough,
    /// Try again.
    Lost(String),
    Failed(Failure),
}
impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        if failure.is_passing() {
            Self::Lost(failure.text().to_owned())
        } else {
            Self::Failed(failure)
        }
    }
}

impl Subscribe {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let base = self.base(&node).await?;
        let first = node.get(&format!("{base}?{}", self.query(None, Duration::ZERO, PAGE))).await?;
        let mut out = Out::new(self)?;
        let end = if let Some(cursor) = text(&first, "next_cursor") {
            match out.page(&first).await {
                Ok(()) => self.pages(&node, &base, cursor, &mut out).await,
                Err(end) => end,
            }
        } else {
            out.progress
                .tell(&format!("no stream captures `{}`: it is live only, and begins now\n", self.topic));
            self.live(&node, &base, &mut out).await
        };
        if out.refused > 0 {
            // What failed was told as it did; this is what became of all of it.
            out.progress
                .tell(&format!("{} of {} messages were not taken\n", out.refused, out.done));
        }
        match end {
            End::Failed(failure) => Err(failure),
            End::Enough | End::Lost(_) => Ok(if out.refused > 0 { FAILED } else { OK }),
        }
    }
    /// A stream of that name goes before a topic.
    async fn base(&self, node: &Node) -> Result<String, Failure> {
        let name = escaped(&self.topic, false);
        let topic = format!("/api/v1/topics/{}", escaped(&self.topic, true));
        if self.topic.contains('/') {
            return Ok(topic);
        }
        let stream = node.find(&format!("/api/v1/streams/{name}")).await?;
        Ok(stream.map_or(topic, |_| format!("/api/v1/streams/{name}/messages")))
    }
    fn query(&self, cursor: Option<&str>, wait: Duration, most: u64) -> String {
        let place = match cursor {
            Some(cursor) => format!("cursor={}", escaped(cursor, false)),
            None => format!("from={}", escaped(&self.from, false)),
        };
        let limit = self.limit.map_or(most, |limit| limit.min(most));
        format!("{place}&wait={}s&limit={limit}&include=headers,metadata", wait.as_secs())
    }
    /// Page by page, each behind the last one.
    async fn pages(&self, node: &Node, base: &str, mut cursor: String, out: &mut Out<'_>) -> End {
        let mut lost = 0;
        loop {
            let ask = Ask {
                wait: WAIT,
                ..Ask::default()
            };
            let page = node.ask(&format!("{base}?{}", self.query(Some(&cursor), WAIT, PAGE)), ask).await;
            let end = match page {
                Ok(page) => {
                    if std::mem::take(&mut lost) > 0 {
                        out.progress.tell(&format!("back; going on {}\n", behind(&cursor)));
                    }
                    if let Some(next) = text(&page.body, "next_cursor") {
                        cursor = next;
                    }
                    match out.page(&page.body).await {
                        Ok(()) => continue,
                        Err(end) => end,
                    }
                }
                Err(failure) if failure.code() == Code::NotFound.to_string() => {
                    let gone = format!("the stream `{}` is gone", self.topic);
                    return End::Failed(Failure::new(Code::NoSuchResource, gone));
                }
                Err(failure) => failure.into(),
            };
            let End::Lost(why) = end else { return end };
            pause(&mut lost, &why, out).await;
        }
    }
    /// As events: nothing keeps what comes while nobody listens.
    async fn live(&self, node: &Node, base: &str, out: &mut Out<'_>) -> End {
        let mut lost = 0;
        loop {
            let why = match node.events(base).await {
                Ok(mut body) => {
                    if std::mem::take(&mut lost) > 0 {
                        out.progress
                            .tell("back; what was published meanwhile is not there: nothing stores it\n");
                    }
                    let mut events = Events::default();
                    loop {
                        let frame = match tokio::time::timeout(SILENCE, body.frame()).await {
                            Ok(Some(Ok(frame))) => frame,
                            Ok(Some(Err(error))) => break error.to_string(),
                            Ok(None) => break "the stream ended".to_owned(),
                            Err(_silent) => break "nothing is heard of it".to_owned(),
                        };
                        let Ok(data) = frame.into_data() else { continue };
                        for event in events.feed(&data) {
                            let taken = match event.name.as_str() {
                                "" => out.item(&json!({"payload": event.data})).await,
                                "base64" => out.item(&json!({"payload": event.data, "encoding": "base64"})).await,
                                "gap" => out.gap(&serde_json::from_str(&event.data).unwrap_or_default()),
                                "problem" => Err(Failure::problem(&serde_json::from_str(&event.data).unwrap_or_default()).into()),
                                // `goaway`: the end follows.
                                _ => Ok(()),
                            };
                            match taken {
                                Ok(()) => {}
                                Err(End::Lost(_)) => break,
                                Err(end) => return end,
                            }
                        }
                    }
                }
                Err(failure) => match failure.into() {
                    End::Lost(why) => why,
                    end => return end,
                },
            };
            pause(&mut lost, &why, out).await;
        }
    }
}
fn behind(cursor: &str) -> String {
    if cursor.is_empty() {
        "from the beginning".to_owned()
    } else {
        format!("behind {cursor}")
    }
}
async fn pause(lost: &mut usize, why: &str, out: &Out<'_>) {
    if *lost == 0 {
        out.progress.tell(&format!("lost: {why}; trying again\n"));
    }
    let millis = AGAIN.get(*lost).or(AGAIN.last()).copied().unwrap_or_default();
    *lost += 1;
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Where messages go.
struct Out<'a> {
    wish: &'a Subscribe,
    to: Option<(HttpClient, &'a str)>,
    progress: Progress,
    done: u64,
    refused: u64,
}
impl<'a> Out<'a> {
    fn new(wish: &'a Subscribe) -> Result<Self, Failure> {
        let to = wish.to.as_deref().map(|to| Ok::<_, Failure>((HttpClient::new(&wish.remote)?, to)));
        Ok(Self {
            wish,
            to: to.transpose()?,
            progress: Progress::new("messages"),
            done: 0,
            refused: 0,
        })
    }
    /// What is missing stands before what is there.
    async fn page(&mut self, page: &Value) -> Result<(), End> {
        if page["gap"].is_object() {
            self.gap(&page["gap"])?;
        }
        for item in page["items"].as_array().into_iter().flatten() {
            self.item(item).await?;
        }
        Ok(())
    }
    async fn item(&mut self, item: &Value) -> Result<(), End> {
        let payload = payload(item);
        let shown = match &self.to {
            Some((client, to)) => {
                let status = post(client, to, item, payload).await;
                if !(200..300).contains(&status.as_ref().copied().unwrap_or_default()) {
                    self.refused += 1;
                }
                let place = text(item, "position").unwrap_or_default();
                match (status, self.wish.remote.output) {
                    (Ok(status), Output::Table) => format!("{status} {place}").trim_end().to_owned(),
                    (Ok(status), _) => json!({"position": item["position"], "status": status}).to_string(),
                    (Err(why), output) => {
                        self.progress.tell(&format!("{to} cannot be reached: {why}\n"));
                        match output {
                            Output::Table => format!("failed {place}").trim_end().to_owned(),
                            Output::Json | Output::Yaml => json!({"position": item["position"], "status": null}).to_string(),
                        }
                    }
                }
                .into_bytes()
            }
            None => match self.wish.remote.output {
                // Whoever may publish must not steer the terminal of whoever reads; what goes elsewhere stays as it is.
                Output::Table if std::io::stdout().is_terminal() => printable(&String::from_utf8_lossy(&payload)).into_bytes(),
                Output::Table => payload.to_vec(),
                Output::Json => item.to_string().into_bytes(),
                Output::Yaml => format!("---\n{}", yaml::document(item).trim_end()).into_bytes(),
            },
        };
        let mut stdout = std::io::stdout().lock();
        let written = stdout
            .write_all(&shown)
            .and_then(|()| stdout.write_all(b"\n"))
            .and_then(|()| stdout.flush());
        self.done += 1;
        self.progress.at(self.done);
        if written.is_err() || self.wish.limit.is_some_and(|limit| self.done >= limit) {
            return Err(End::Enough);
        }
        Ok(())
    }
    #[expect(clippy::unnecessary_wraps, reason = "as the others that take an event")]
    fn gap(&self, gap: &Value) -> Result<(), End> {
        let part = |name: &str| text(gap, name).filter(|text| !text.is_empty());
        let reason = part("reason").unwrap_or_default();
        let which = match (part("from"), part("to"), gap["missed"].as_u64()) {
            (_, _, Some(missed)) => format!("{missed} messages are missing"),
            (Some(from), Some(to), _) => format!("messages behind {from}, up to {to}, are missing"),
            (None, Some(to), _) => format!("messages up to {to} are missing"),
            (Some(from), None, _) => format!("messages behind {from} are missing"),
            (None, None, None) => "messages are missing".to_owned(),
        };
        self.progress.tell(&format!("gap: {which} ({reason})\n"));
        Ok(())
    }
}
fn payload(item: &Value) -> Bytes {
    let payload = item["payload"].as_str().unwrap_or_default();
    if item["encoding"] == "base64"
        && let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(payload)
    {
        return bytes.into();
    }
    Bytes::copy_from_slice(payload.as_bytes())
}
/// Whatever takes a POST; `localhost:3000/hook` is meant as `http://localhost:3000/hook`.
fn target(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Option<http::Uri> = whole.parse().ok();
    let good = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    match uri.filter(good) {
        Some(_) => Ok(whole),
        None => Err("expected a URL like http://localhost:3000/hook".to_owned()),
    }
}
/// As a webhook sends it, and with all of the message's own headers beside: what is tried out here is to work there.
fn headers(item: &Value, payload: &[u8], now: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in item["headers"].as_object().into_iter().flatten() {
        let Ok(name) = name.parse::<HeaderName>() else { continue };
        if is_reserved_header(name.as_str()) {
            continue;
        }
        let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let texts = several.iter().filter_map(Value::as_str);
        for value in texts.filter_map(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            headers.append(name.clone(), value);
        }
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok();
        let kind = if json { "application/json" } else { "application/octet-stream" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let mut put = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    let position = item["position"].as_str();
    // Without an id of its own a message has that of its place.
    let own = item["id"].as_str().filter(|id| Some(*id) != position);
    if let Some(id) = own {
        put("webhook-id", &spelled(id.as_bytes()));
    } else if let Some(position) = position {
        put("webhook-id", &format!("pos_{}", position.replace('.', "_")));
    }
    if let Some(id) = item["id"].as_str() {
        put("tidegate-id", id);
    }
    if let Some(position) = position {
        put("tidegate-position", position);
    }
    if let Some(topic) = item["metadata"]["topic"].as_str() {
        put("tidegate-topic", &percented(topic.as_bytes(), b"%"));
    }
    if let Some(key) = item["key"].as_str() {
        put("tidegate-key", &percented(key.as_bytes(), b"%"));
    }
    put("webhook-timestamp", &now.div_euclid(1_000_000).to_string());
    put("tidegate-attempt", "1");
    headers
}
/// The status, or why there is none.
async fn post(client: &HttpClient, to: &str, item: &Value, payload: Bytes) -> Result<u16, String> {
    let headers = headers(item, &payload, clock::now_us());
    let ask = Ask {
        method: Method::POST,
        headers,
        body: payload,
        wait: Duration::ZERO,
    };
    match tokio::time::timeout(ANSWER, client.send(to, ask)).await {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(why)) => Err(why.text),
        Err(_late) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_posted_with_its_headers_and_those_of_a_webhook() {
        let item = json!({
            "id": "order 1.2", "position": "3.14", "key": "ä", "metadata": {"topic": "orders/eu"},
            "headers": {"x-team": "a", "x-many": ["1", "2"], "Content-Type": "text/plain", "host": "elsewhere", "webhook-id": "forged", "b\nad": "x"},
        });
        let headers = headers(&item, b"{}", 7_900_000);
        let mut told: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                "content-type: text/plain",
                "tidegate-attempt: 1",
                "tidegate-id: order 1.2",
                "tidegate-key: %C3%A4",
                "tidegate-position: 3.14",
                "tidegate-topic: orders/eu",
                "webhook-id: order%201%2E2",
                "webhook-timestamp: 7",
                "x-many: 1",
                "x-many: 2",
                "x-team: a",
            ]
        );
        let bare = super::headers(&json!({"id": "3.14", "position": "3.14"}), b"{}", 0);
        assert!(bare["webhook-id"] == "pos_3_14" && bare["content-type"] == "application/json");
    }
}
