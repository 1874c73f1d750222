//! Messages that were given up, wherever they lie: what is asked of them, and what is done with them. Implemented by `server`.
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use tidegate_core::{
    clock,
    error::{Code, Error, Result},
    filter::Filter,
    position::Position,
    topic::Topic,
};

/// Which ones. All that is said must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The stream it was read from.
    pub stream: Option<String>,
    /// The group that gave it up.
    pub group: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Its topic.
    pub topic: Option<Filter>,
    /// The message's id; where it had none, its first position.
    pub id: Option<String>,
    /// Given up then or later, in microseconds since the epoch.
    pub since: Option<i64>,
    /// Given up before.
    pub until: Option<i64>,
}
impl Wanted {
    /// Names it is said by.
    pub const NAMES: [&'static str; 7] = ["stream", "group", "reason", "topic", "id", "since", "until"];
    /// One more thing that must be so; `None`: there is no such name.
    pub fn put(&mut self, name: &str, text: &str) -> Option<Result<(), &'static str>> {
        match name {
            "stream" => self.stream = Some(text.to_owned()),
            "group" => self.group = Some(text.to_owned()),
            "reason" => self.reason = Some(text.to_owned()),
            "id" => self.id = Some(text.to_owned()),
            "topic" => match Filter::new(text) {
                Some(filter) => self.topic = Some(filter),
                None => return Some(Err("a topic or a filter such as `orders/#`")),
            },
            "since" | "until" => match moment(text) {
                Some(at) if name == "since" => self.since = Some(at),
                Some(at) => self.until = Some(at),
                None => return Some(Err("a time such as `2026-11-21T10:00:00Z`, or how long ago: `10m`")),
            },
            _ => return None,
        }
        Some(Ok(()))
    }
    /// Whether all are wanted.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
    /// For the audit log.
    pub fn told(&self) -> Value {
        let texts = [
            ("stream", self.stream.clone()),
            ("group", self.group.clone()),
            ("reason", self.reason.clone()),
            ("topic", self.topic.as_ref().map(|topic| topic.as_str().to_owned())),
            ("id", self.id.clone()),
            ("since", self.since.map(clock::rfc3339)),
            ("until", self.until.map(clock::rfc3339)),
        ];
        let said = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))));
        Value::Object(said.collect::<Map<_, _>>())
    }
}
fn moment(text: &str) -> Option<i64> {
    let ago = |ago: std::time::Duration| clock::now_us().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX));
    clock::parse_rfc3339(text).or_else(|| clock::parse_duration(text).map(ago))
}
/// One, or all that are wanted.
#[derive(Clone, Debug)]
pub enum Which {
    /// By its place.
    One(Position),
    /// Those there are when it is asked.
    All(Box<Wanted>),
}
/// What becomes of them.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Sent again: to the group that gave it up, or to a topic.
    Replay(Option<Topic>),
    /// Forgotten.
    Drop,
}
impl Deed {
    /// The word for it in the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Replay(_) => "replay",
            Self::Drop => "drop",
        }
    }
    /// What it was asked, for the audit log.
    pub fn told(&self, which: &Which, count: u64) -> Value {
        let mut told = json!({ "messages": count });
        if let Which::All(wanted) = which {
            told["filter"] = wanted.told();
        }
        if let Self::Replay(Some(to)) = self {
            told["to"] = (**to).into();
        }
        told
    }
}
/// Where a page begins: behind it come older ones only.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// The [`Page::next`] of the page before.
    Cursor(&'a str),
    /// This one, by its place.
    Letter(Position),
}
/// Some of them, newest first.
#[derive(Debug, Default)]
pub struct Page {
    /// As the management API shows them.
    pub items: Vec<Value>,
    /// There may be older ones behind this.
    pub next: Option<String>,
}
/// What became of several.
#[derive(Debug, Default)]
pub struct Handled {
    /// It was done with so many.
    pub done: u64,
    /// With so many it could not be done: they are still there.
    pub failed: u64,
    /// Of the first of those, why.
    pub problems: Vec<(Position, Error)>,
}

/// The dead letters of a node.
pub trait DeadLetters: Send + Sync {
    /// A page of what is wanted. Looks through so many at most, so a page may be short and not the last.
    fn list<'a>(&'a self, wanted: &'a Wanted, before: Option<Before<'a>>, limit: usize) -> BoxFuture<'a, Result<Page>>;
    /// One, whole.
    fn read(&self, at: Position) -> BoxFuture<'_, Result<Value>>;
    /// How many those are now.
    fn count<'a>(&'a self, which: &'a Which) -> BoxFuture<'a, Result<u64>>;
    /// Does it with those there are now, and answers when it is durable. To be polled to its end.
    fn handle<'a>(&'a self, which: &'a Which, deed: &'a Deed) -> BoxFuture<'a, Result<Handled>>;
}
/// Where none lies.
pub fn missing(at: Position) -> Error {
    Error::client(Code::NoSuchResource, format!("there is no dead letter `{at}`"))
        .with_hint("it was sent again or dropped, or its stream has forgotten it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_said_by_name() {
        let mut wanted = Wanted::default();
        assert!(wanted.is_all());
        for (name, text) in [
            ("stream", "s"),
            ("group", "g"),
            ("reason", "r"),
            ("topic", "a/#"),
            ("id", "1"),
            ("since", "10m"),
            ("until", "2026-11-21T10:00:00Z"),
        ] {
            assert_eq!(wanted.put(name, text), Some(Ok(())), "{name}");
        }
        assert!(
            Wanted::NAMES.iter().all(|name| wanted.told().get(name).is_some()),
            "{}",
            wanted.told()
        );
        assert_eq!(wanted.until, clock::parse_rfc3339("2026-11-21T10:00:00Z"));
        assert!(matches!(wanted.put("topic", "a/#/b"), Some(Err(_))));
        assert!(matches!(wanted.put("since", "soon"), Some(Err(_))));
        assert_eq!(wanted.put("limit", "1"), None);
    }
}
