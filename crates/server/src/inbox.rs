//! The catcher of the demo: a target for webhooks on this machine, with a page that shows what arrived.
use http::HeaderMap;
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tidegate_config::Source;
use tidegate_core::clock;

/// What is kept of requests, and of each body.
const KEPT: usize = 100;
const EXCERPT: usize = 4 << 10;
/// Headers that are shown, by their beginnings.
const SHOWN: &[&str] = &["webhook-", "tidegate-", "content-type"];

/// Where it is, once that is known.
pub(crate) type Catcher = Arc<OnceLock<SocketAddr>>;

/// The demo's texts, and beside them the webhook that sends to the catcher, once there is one.
pub(crate) fn beside(source: Source, catcher: Option<&Catcher>) -> Source {
    match (source, catcher.and_then(|catcher| catcher.get())) {
        (Source::Texts(mut texts), Some(at)) => {
            let text = format!(
                "# What the stream gets goes to the built-in catcher, which shows it.\nkind: webhook\nname: orders-inbox\n\
                 source: {{ stream: orders }}\ntarget: {{ url: \"http://{at}/_demo/inbox\" }}\n"
            );
            texts.push(("built-in inbox.yaml".to_owned(), text));
            Source::Texts(texts)
        }
        (source, _) => source,
    }
}
/// See the head of this file. Bounded: the oldest go.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Arrived>);
#[derive(Default)]
struct Arrived {
    /// The newest first.
    last: VecDeque<Request>,
    ever: u64,
}
struct Request {
    at: i64,
    headers: Vec<(String, String)>,
    body: String,
    bytes: usize,
}
impl Inbox {
    fn now(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// One request.
    pub(crate) fn take(&self, headers: &HeaderMap, body: &[u8]) {
        let shown = headers
            .iter()
            .filter(|(name, _)| SHOWN.iter().any(|begin| name.as_str().starts_with(begin)))
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let request = Request {
            at: clock::now_us(),
            headers: shown.collect(),
            body: String::from_utf8_lossy(body.get(..EXCERPT).unwrap_or(body)).into_owned(),
            bytes: body.len(),
        };
        let mut now = self.now();
        now.ever += 1;
        now.last.truncate(KEPT - 1);
        now.last.push_front(request);
    }
    /// For programs.
    pub(crate) fn json(&self) -> String {
        let now = self.now();
        let one = |request: &Request| {
            let headers: Map<String, Value> = request
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            json!({"at": clock::rfc3339(request.at), "headers": headers, "body": request.body, "bytes": request.bytes})
        };
        format!(
            "{}\n",
            json!({"arrived": now.ever, "items": now.last.iter().map(one).collect::<Vec<_>>()})
        )
    }
    /// For people: it looks again by itself.
    pub(crate) fn page(&self) -> String {
        let now = self.now();
        let mut out = String::from(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"2\"><title>Tidegate: inbox</title>\n\
             <style>body{font:15px/1.4 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}article{border-top:1px solid #ccc;padding:.6rem 0}\
             pre{margin:.3rem 0;white-space:pre-wrap;overflow-wrap:anywhere}small{color:#666}</style>\n<h1>Inbox</h1>\n",
        );
        // Writing to memory cannot fail.
        let _never = writeln!(
            out,
            "<p>{} arrived. What is posted to <code>/orders</code> comes here by the webhook <code>orders-inbox</code>: \
             <code>tidegate webhook log orders-inbox</code></p>",
            now.ever
        );
        for request in &now.last {
            let _never = write!(out, "<article><small>{}", clock::rfc3339(request.at));
            for (name, value) in &request.headers {
                let _never = write!(out, "<br>{}: {}", escaped(name), escaped(value));
            }
            let more = if request.bytes > EXCERPT { " …" } else { "" };
            let _never = writeln!(out, "</small><pre>{}{more}</pre></article>", escaped(&request.body));
        }
        out + "</html>\n"
    }
}
/// Others wrote it: it is text, and nothing else.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_are_shown_and_nothing_in_them_is_markup() {
        let inbox = Inbox::default();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", http::HeaderValue::from_static("<b>"));
        headers.insert("authorization", http::HeaderValue::from_static("a-secret"));
        for n in 0..150 {
            inbox.take(&headers, format!("<script>{n}</script>").as_bytes());
        }
        inbox.take(&headers, &[b'x'; 10_000]);
        let page = inbox.page();
        assert!(page.contains("151 arrived") && page.contains("&lt;script&gt;149&lt;/script&gt;") && page.contains("&lt;b&gt;"));
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("a-secret") && !page.contains("&gt;50&lt;"));
        let json: Value = serde_json::from_str(&inbox.json()).unwrap();
        assert_eq!(
            (json["items"].as_array().unwrap().len(), &json["items"][0]["bytes"]),
            (KEPT, &json!(10_000))
        );
    }
}
