//! A pump from a source to an HTTP target.
mod answers;
mod target;

pub use answers::Meaning;
pub use target::{Auth, Http, Target};

use answers::answers;
use target::TARGET;

use crate::{
    backend::Reference,
    diagnostic::Place,
    kinds::ResourceKind,
    ledger::{At, Fault, Ledger, Path, shown},
    read::{self, Record},
    secret::Secret,
    shape::{
        DAY, DESCRIPTION, GIB, KIB, KIND_DOC, LABELS, META, MIB, NAME, NAME_KEY, STATUS, Shape, Table, Text, key, millis, one_of, seconds,
    },
    stream::FILTER,
    tree::Value,
};
use std::{ops::RangeInclusive, sync::Arc, time::Duration};
use tidegate_core::{
    clock::{parse_duration, parse_rfc3339},
    error::Code,
    filter::Filter,
};

/// One webhook, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Unique among webhooks.
    pub name: Arc<str>,
    /// Whether it is started.
    pub enabled: bool,
    /// Where its messages come from.
    pub source: WebhookSource,
    /// Where a new one begins.
    pub from: From,
    /// Where they go.
    pub target: Target,
    /// Each request is signed with each of them.
    pub sign: Vec<Secret>,
    /// What waits for what.
    pub order: Order,
    /// Requests at once.
    pub parallel: u32,
    /// When a message is sent again, and how often.
    pub retry: Retry,
    /// When a target that is ill is left alone.
    pub breaker: Breaker,
    /// The stream that takes what was given up; `None` = where the source puts it.
    pub dead_letters: Option<Arc<str>>,
    /// `None` = one message a request.
    pub batch: Option<Batch>,
    /// What answers mean, where it is not the usual; the first that holds a status decides.
    pub answers: Vec<(RangeInclusive<u16>, Meaning)>,
    /// Where it was declared.
    pub place: Place,
}
/// Where the messages of a webhook come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookSource {
    /// A declared stream.
    Stream(Arc<str>),
    /// What is published on these topics.
    Topics(Vec<Filter>),
    /// What an api is read from.
    Api(Arc<str>),
}
/// Where a new webhook begins. Later it goes on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the oldest message there is.
    Earliest,
    /// With what arrives from now on.
    Latest,
    /// With the newest so many of each partition.
    Last(u64),
    /// With what arrived so long ago or later.
    Ago(Duration),
    /// With what arrived then or later, in microseconds since the epoch.
    Since(i64),
}
/// What waits for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// A message for those before it of its key.
    #[default]
    Key,
    /// Every message for those before it.
    All,
}
/// When a message is sent again, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// About that long after the first attempt; twice as long after each.
    pub first: Duration,
    /// Never longer.
    pub max: Duration,
    /// Then it is given up.
    pub attempts: u32,
    /// Given up that long after the first attempt; `None` = only `attempts` counts.
    pub give_up_after: Option<Duration>,
    /// The longest wait that a target may ask for.
    pub retry_after: Duration,
}
/// When a target that is ill is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// So many failures one after the other.
    pub failures: u32,
    /// Until it is asked again.
    pub open_for: Duration,
}
/// How messages are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At most.
    pub messages: u32,
    /// At most; one message always fits.
    pub bytes: u64,
    /// How long the first one may wait for others.
    pub wait: Duration,
    /// One message a line, not an array.
    pub ndjson: bool,
}
const FROM: Text = Text {
    expected: "`earliest`, `latest`, `last:10`, `10m` or a time such as `2027-01-01T00:00:00Z`",
    good: |text| begin(text).is_some(),
    pattern: None,
};
fn begin(text: &str) -> Option<From> {
    match text {
        "earliest" => Some(From::Earliest),
        "latest" => Some(From::Latest),
        _ => match text.strip_prefix("last:") {
            Some(count) => count
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| count.parse().ok())
                .flatten()
                .map(From::Last),
            None => parse_duration(text).map(From::Ago).or_else(|| parse_rfc3339(text).map(From::Since)),
        },
    }
}
/// As `tidegate-wire` takes them.
const SIGNING: Text = Text {
    expected: "a secret as Standard Webhooks writes them: `whsec_` and 24 to 64 bytes in base64",
    good: |text| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        text.strip_prefix("whsec_").is_some_and(|coded| {
            let bare = coded.trim_end_matches('=');
            // Four letters are three bytes; one that is left over is none.
            let bytes = bare.len() * 3 / 4;
            let padded = coded.len() == bare.len() || coded.len().is_multiple_of(4) && coded.len() - bare.len() < 3;
            bare.bytes().all(good) && padded && bare.len() % 4 != 1 && (24..=64).contains(&bytes)
        })
    },
    pattern: Some("^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"),
};
static SOURCE: Table = Table {
    title: "source",
    doc: "One of `stream`, `topics` or `api`.",
    keys: &[
        key("stream", Shape::Text(&NAME), "A declared stream.").example("orders"),
        key(
            "topics",
            Shape::List {
                of: &Shape::Text(&FILTER),
                min: 1,
            },
            "What is published on these topics; a stream must capture them, or nothing outlives a restart.",
        )
        .example("[\"orders/#\"]"),
        key("api", Shape::Text(&NAME), "A declared api: what is read from it.").example("orders"),
        key("events", Shape::Later, "What happens to clients."),
        key(
            "from",
            Shape::Text(&FROM),
            "Where a new webhook begins; later it goes on where it was. `last:10` are the newest of each partition, `10m` is ten minutes ago.",
        )
        .default("latest"),
    ],
};
static SIGN: Table = Table {
    title: "sign",
    doc: "Signatures as Standard Webhooks 1.0.0 says.",
    keys: &[key(
        "secrets",
        Shape::List {
            of: &Shape::Text(&SIGNING),
            min: 1,
        },
        "Every request is signed with each of them: two while they change.",
    )
    .required()
    .example("[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]")],
};
static RETRY: Table = Table {
    title: "retry",
    doc: "When a message is sent again, and how often. Between two attempts lies a time of chance, at most twice as long after each.",
    keys: &[
        key("first", PAUSE, "At most that long after the first attempt.").default("1s"),
        key("max", PAUSE, "Never longer.").default("5m"),
        key(
            "retry_after",
            PAUSE,
            "What a target asks for by `Retry-After` is obeyed instead, up to this long; it also keeps an open circuit open.",
        )
        .default("1h"),
        key("attempts", Shape::Count { min: 1, max: 10_000 }, "Then it becomes a dead letter.").default("12"),
        key(
            "give_up_after",
            Shape::Time {
                min: seconds(1),
                max: seconds(365 * 86_400),
                off: true,
            },
            "It becomes a dead letter that long after the first attempt since the webhook started.",
        )
        .default("none")
        .example("1d"),
    ],
};
const PAUSE: Shape = Shape::Time {
    min: millis(1),
    max: DAY,
    off: false,
};
static BREAKER: Table = Table {
    title: "breaker",
    doc: "When a target that is ill is left alone, and asked only now and then.",
    keys: &[
        key("failures", Shape::Count { min: 1, max: 100_000 }, "So many one after the other.").default("10"),
        key(
            "open_for",
            PAUSE,
            "Until it is asked again; twice as long after each time it is still ill, up to a minute or this.",
        )
        .default("10s"),
    ],
};
static BATCH: Table = Table {
    title: "batch",
    doc: "Several messages in a request, each as a page of messages has it.",
    keys: &[
        key("messages", Shape::Count { min: 1, max: 10_000 }, "At most.").default("100"),
        key(
            "bytes",
            Shape::Size {
                min: KIB,
                max: GIB,
                off: false,
            },
            "Of the request's body, at most; one message always fits.",
        )
        .default("1MiB"),
        key(
            "wait",
            Shape::Time {
                min: millis(0),
                max: seconds(60),
                off: false,
            },
            "How long the first one may wait for others.",
        )
        .default("50ms"),
        key(
            "as",
            Shape::Choice {
                now: &["json", "ndjson"],
                later: &[],
            },
            "A JSON array, or one message a line.",
        )
        .default("json"),
    ],
};
pub(crate) static DEAD_STREAM: Table = Table {
    title: "dead_letters of a webhook",
    doc: "Where messages go that were given up.",
    keys: &[key("stream", Shape::Text(&NAME), "That stream is made if it is not declared.")
        .required()
        .example("orders.dead")],
};
pub(crate) static WEBHOOK: Table = Table {
    title: "webhook",
    doc: "Sends messages to an HTTP target, at least once each, and again until it is taken or given up.",
    keys: &[
        key(
            "kind",
            Shape::Choice {
                now: &["webhook"],
                later: &[],
            },
            KIND_DOC,
        )
        .required(),
        NAME_KEY.example("crm"),
        DESCRIPTION,
        LABELS,
        key("enabled", Shape::Bool, "Whether it is started.").default("true"),
        key("source", Shape::Record(&SOURCE), "Where messages come from.")
            .required()
            .example("{ stream: orders }"),
        key("target", Shape::Record(&TARGET), "Where they go.")
            .required()
            .example("{ url: \"https://crm.example.com/hook\" }"),
        key("sign", Shape::Record(&SIGN), "Proves to the target that it is us.")
            .otherwise("nothing is signed")
            .example("{ secrets: [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"] }"),
        key(
            "order",
            Shape::Choice {
                now: &["none", "key", "all"],
                later: &[],
            },
            "What a message waits for: nothing, those before it of its key, or all before it.",
        )
        .default("key"),
        key("parallel", Shape::Count { min: 1, max: 1_024 }, "Requests at once.").default("16"),
        key("retry", Shape::Record(&RETRY), "When a message is sent again, and how often.").default("{}"),
        key("breaker", Shape::Record(&BREAKER), "When a target that is ill is left alone.").default("{}"),
        key("dead_letters", Shape::Record(&DEAD_STREAM), "Where messages go that were given up.")
            .otherwise("where the source puts them")
            .example("{ stream: orders.dead }"),
        key("batch", Shape::Record(&BATCH), "Several messages in a request.")
            .otherwise("one message a request")
            .example("{ messages: 100, wait: 50ms, as: json }"),
        key(
            "answers",
            Shape::Labels,
            "What answers mean, where it is not the usual: a status, `5xx` or `500-599`, each `success`, `retry`, `dead_letter` or `stop`; the \
             narrowest that fits decides.",
        )
        .otherwise(
            "2xx `success`; 410 `stop`; 400, 405, 406, 411, 413, 414, 415, 422, 431 `dead_letter`; everything else `retry`",
        )
        .example("{ 409: success, 5xx: retry }"),
        META,
        STATUS,
    ],
};
/// More than that in flight is not for a webhook.
const IN_FLIGHT: u64 = 256 * MIB;

/// A webhook, and what must be compared with the other resources.
#[derive(Debug)]
pub(crate) struct ReadWebhook {
    pub(crate) webhook: Webhook,
    pub(crate) references: Vec<Reference>,
}
impl Webhook {
    /// Whether the two do the same: all but where they were declared.
    pub fn is_like(&self, other: &Self) -> bool {
        let moved = Self {
            place: other.place.clone(),
            ..self.clone()
        };
        moved == *other
    }
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, ledger: &mut Ledger) -> ReadWebhook {
        let webhook = read::table(&WEBHOOK, value, path, ledger);
        let nothing = Record::nothing();
        let part = |name: &str| webhook.record(name).unwrap_or(&nothing);
        let mut references = Vec::new();
        let source = source(part("source"), value, &mut references, ledger);
        let retry = part("retry");
        if let (Some(first), Some(max)) = (retry.maybe_time("first"), retry.maybe_time("max"))
            && first > max
        {
            let at = if retry.at("first") == At::BUILT_IN {
                retry.at("max")
            } else {
                retry.at("first")
            };
            let fault = Fault::new(Code::BadValue, at, &retry.path.key("first"), "`first` is longer than `max`");
            ledger.tell(fault.hint("raise `max` or lower `first`"));
        }
        let batch = webhook.record("batch");
        let parallel = webhook.number("parallel");
        let dead_at = part("dead_letters").at("stream");
        if let Some(batch) = batch
            && parallel.saturating_mul(batch.number("bytes")) > IN_FLIGHT
        {
            let message = "`parallel` times `batch.bytes` is more than 256MiB";
            let fault = Fault::new(Code::BadValue, batch.at, &batch.path, message);
            ledger.tell(fault.hint("lower one of them"));
        }
        let webhook = Self {
            name: webhook.text("name").into(),
            enabled: webhook.bool("enabled"),
            source,
            from: begin(part("source").text("from")).unwrap_or(From::Latest),
            target: Target::check(part("target"), value.get("target").map(|target| &target.value), ledger),
            sign: part("sign").texts("secrets").into_iter().map(Secret::new).collect(),
            order: match webhook.text("order") {
                "none" => Order::None,
                "all" => Order::All,
                _ => Order::Key,
            },
            parallel: parallel as u32,
            retry: Retry {
                first: retry.time("first"),
                max: retry.time("max"),
                retry_after: retry.time("retry_after"),
                attempts: retry.number("attempts") as u32,
                give_up_after: retry.maybe_time("give_up_after"),
            },
            breaker: Breaker {
                failures: part("breaker").number("failures") as u32,
                open_for: part("breaker").time("open_for"),
            },
            dead_letters: part("dead_letters").maybe_text("stream").map(Into::into),
            batch: batch.map(|batch| Batch {
                messages: batch.number("messages") as u32,
                bytes: batch.number("bytes"),
                wait: batch.time("wait"),
                ndjson: batch.text("as") == "ndjson",
            }),
            answers: answers(&webhook, ledger),
            place: ledger.place(value.at),
        };
        if let (WebhookSource::Stream(from), Some(dead)) = (&webhook.source, &webhook.dead_letters)
            && from == dead
            && !from.is_empty()
        {
            let path = path.key("dead_letters").key("stream");
            let message = format!("dead letters of `{}` would be sent again and again", shown(from));
            ledger.tell(Fault::new(Code::BadValue, dead_at, &path, message).hint("name another stream"));
        }
        ReadWebhook { webhook, references }
    }
}
/// Of keys that exclude each other the one that is there.
fn only<'a>(record: &Record, keys: &[&'a str], ledger: &mut Ledger) -> Option<&'a str> {
    let mut there = keys.iter().copied().filter(|key| record.field(key).is_some());
    let first = there.next()?;
    if let Some(second) = there.next() {
        let message = format!("`{second}` beside `{first}`");
        let fault = Fault::new(Code::BadValue, record.at(second), &record.path.key(second), message);
        ledger.tell(fault.hint("keep one of them"));
    }
    Some(first)
}
fn source(record: &Record, webhook: &Value, references: &mut Vec<Reference>, ledger: &mut Ledger) -> WebhookSource {
    let choices = ["stream", "topics", "api"];
    let choice = only(record, &choices, ledger);
    let name: Arc<str> = choice.map_or("", |choice| record.text(choice)).into();
    let mut refer = |kind| {
        if let Some(field) = choice
            .and_then(|choice| record.field(choice))
            .filter(|field| !field.text().is_empty())
        {
            references.push(Reference {
                kind,
                name: field.text().to_owned(),
                at: field.at,
                path: record.path.key(choice.unwrap_or_default()),
                hidden: field.hidden,
            });
        }
    };
    match choice {
        Some("stream") => {
            refer(ResourceKind::Stream);
            WebhookSource::Stream(name)
        }
        Some("api") => {
            refer(ResourceKind::Api);
            WebhookSource::Api(name)
        }
        Some(_) => WebhookSource::Topics(record.texts("topics").iter().filter_map(|text| Filter::new(text)).collect()),
        None => {
            // An unknown key was told, and is likely meant for one of them.
            let written = webhook.get("source").map(|source| source.value.entries());
            if written.is_some_and(|written| written.iter().all(|entry| entry.key == "from")) && !record.path.last().is_empty() {
                let fault = Fault::new(Code::MissingKey, record.at, &record.path, "a source says where messages come from");
                ledger.tell(fault.expected(one_of(choices)).hint("add `stream: orders`"));
            }
            WebhookSource::Topics(Vec::new())
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_the_length_the_standard_wants() {
        for (bytes, letters, good) in [(23, 31, false), (24, 32, true), (25, 34, true), (64, 86, true), (65, 87, false)] {
            let bare = format!("whsec_{}", "A".repeat(letters));
            assert_eq!((SIGNING.good)(&bare), good, "{bytes}");
        }
        for (text, good) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=", false),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS\n", false),
        ] {
            assert_eq!((SIGNING.good)(text), good, "{text}");
        }
    }
    #[test]
    fn where_it_begins() {
        assert_eq!(begin("last:10"), Some(From::Last(10)));
        assert_eq!(begin("10m"), Some(From::Ago(Duration::from_mins(10))));
        assert_eq!(begin("1970-01-01T00:00:01Z"), Some(From::Since(1_000_000)));
        for bad in ["", "last:", "last:-1", "last:+1", "now", "10"] {
            assert_eq!(begin(bad), None, "{bad}");
        }
    }
}
