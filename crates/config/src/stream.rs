//! A durable log that captures topics.
use crate::{
    backend::Reference,
    ledger::{Fault, Ledger, Path, shown},
    read::{self, Record},
    schema::{REQUIRED_SHAPE, Required, required},
    shape::{
        CENTURY, DAY, DESCRIPTION, KIB, KIND_DOC, LABELS, META, NAME, NAME_KEY, STATUS, Shape, TIB, Table, Text, key, millis, seconds,
    },
    tree::Value,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tidegate_core::{error::Code, filter::Filter};

/// One stream, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Unique among streams.
    pub name: Arc<str>,
    /// What it captures beside the topic of its own name: at least one filter; that name if nothing is said.
    pub topics: Vec<Filter>,
    /// At least 1, fixed after creation.
    pub partitions: u32,
    /// Older messages leave; `None` = no limit.
    pub age: Option<Duration>,
    /// The oldest messages leave above it; `None` = no limit.
    pub bytes: Option<u64>,
    /// The oldest messages leave above it; `None` = no limit.
    pub messages: Option<u64>,
    /// The window in which a message id is accepted once; zero = off.
    pub dedupe: Duration,
    /// What happens at a limit.
    pub when_full: WhenFull,
    /// How long messages stay within the limits.
    pub keep: Keep,
    /// Where messages go that nobody could process; `None` = a place of its own.
    pub dead_letters: Option<DeadLetters>,
    /// What its messages must look like; `None` = anything.
    pub schema: Option<Required>,
}
/// A stream, and what must be compared with the other resources.
#[derive(Debug)]
pub(crate) struct ReadStream {
    pub(crate) stream: Stream,
    pub(crate) references: Vec<Reference>,
}
/// How long messages stay within the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// As long as the limits let them.
    #[default]
    Limits,
    /// Until every group that reads the stream is done with them; the limits hold all the same.
    UntilAcked,
}
/// Where messages go that nobody could process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// Made if it is not declared; `None`: that of the stream's name and `.dead`.
    pub stream: Option<Arc<str>>,
    /// How often one is delivered before.
    pub after_attempts: u32,
}
/// What a stream does at one of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest messages make room.
    #[default]
    DropOldest,
    /// The new message is taken and forgotten.
    DropNewest,
    /// The publisher is refused.
    Refuse,
}

pub(crate) const FILTER: Text = Text {
    expected: "a topic or filter such as `orders`, `orders/+/paid` or `orders/#`",
    good: |text| text.len() <= 65_535 && !text.contains('\0') && Filter::new(text).is_some(),
    pattern: None,
};
/// A cursor names a place in each partition, and a request target has 8 KiB.
const PARTITIONS_MOST: u64 = 128;
static RETENTION: Table = Table {
    title: "retention",
    doc: "When messages leave. `none` lifts a limit.",
    keys: &[
        key(
            "age",
            Shape::Time {
                min: seconds(1),
                max: CENTURY,
                off: true,
            },
            "Older messages leave.",
        )
        .default("7d"),
        key(
            "bytes",
            Shape::Size {
                min: 64 * KIB,
                max: 1024 * TIB,
                off: true,
            },
            "Above it the oldest messages leave, or what `when_full` says.",
        )
        .default("1GiB"),
        key(
            "messages",
            Shape::CountOrNone { min: 1, max: u64::MAX / 2 },
            "Above it the oldest messages leave, or what `when_full` says.",
        )
        .default("none")
        .example("1000000"),
        key(
            "keep",
            Shape::Choice {
                now: &["limits", "until_acked"],
                later: &[],
            },
            "`limits`: messages stay as long as the limits let them. `until_acked`: until every group that reads the stream is done with them; the limits hold all the same.",
        )
        .default("limits"),
    ],
};
static DEAD_LETTERS: Table = Table {
    title: "dead_letters",
    doc: "Where messages go that nobody could process.",
    keys: &[
        key("stream", Shape::Text(&NAME), "That stream is made if it is not declared.")
            .otherwise("the stream's own name and `.dead`")
            .example("orders.dead"),
        key(
            "after_attempts",
            Shape::Count { min: 1, max: 10_000 },
            "How often a message is delivered to a group before it goes there.",
        )
        .default("10"),
    ],
};
pub(crate) static STREAM: Table = Table {
    title: "stream",
    doc: "A durable log that captures topics; `station` is another word for it.",
    keys: &[
        key(
            "kind",
            Shape::Choice {
                now: &["stream", "station"],
                later: &[],
            },
            KIND_DOC,
        )
        .required(),
        NAME_KEY.example("orders"),
        DESCRIPTION,
        LABELS,
        key(
            "topics",
            Shape::List {
                of: &Shape::Text(&FILTER),
                min: 1,
            },
            "The filters it captures, beside the topic of its own name; several streams may capture the same topic.",
        )
        .otherwise("only its own name")
        .example("[orders, \"orders/#\"]"),
        key(
            "partitions",
            Shape::Count {
                min: 1,
                max: PARTITIONS_MOST,
            },
            "Messages with the same key stay in order inside one partition; fixed after creation. So few that a cursor of all of them fits into a URL.",
        )
        .default("1"),
        key("retention", Shape::Record(&RETENTION), "When messages leave.")
            .default("{}")
            .example("{ age: 7d, bytes: 1GiB }"),
        key(
            "dedupe",
            Shape::Time {
                min: millis(0),
                max: DAY,
                off: false,
            },
            "The window in which the same message id is stored once; `0` is off.",
        )
        .default("2m"),
        key(
            "when_full",
            Shape::Choice {
                now: &["drop_oldest", "drop_newest", "refuse"],
                later: &[],
            },
            "What happens when `bytes` or `messages` is reached; `refuse` answers 507.",
        )
        .default("drop_oldest"),
        key("dead_letters", Shape::Record(&DEAD_LETTERS), "Where messages go that nobody could process.")
            .otherwise("kept beside the stream")
            .example("{ stream: orders.dead, after_attempts: 10 }"),
        key("schema", REQUIRED_SHAPE, "What its messages must look like, whichever way they come.")
            .otherwise("anything")
            .example("{ schema: order, on_failure: reject }"),
        META,
        STATUS,
    ],
};

impl Stream {
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, ledger: &mut Ledger) -> ReadStream {
        let stream = read::table(&STREAM, value, path, ledger);
        let nothing = Record::nothing();
        let retention = stream.record("retention").unwrap_or(&nothing);
        let name = stream.text("name");
        let mut topics: Vec<_> = stream.texts("topics").iter().filter_map(|text| Filter::new(text)).collect();
        if stream.field("topics").is_none() {
            topics.extend(Filter::new(name));
        }
        let mut seen = HashSet::new();
        for (i, field) in stream.list("topics").iter().enumerate() {
            if !field.text().is_empty() && !seen.insert(field.text()) {
                let message = format!("the filter `{}` is there twice", field.shown());
                let path = path.key("topics").item(i);
                ledger.tell(Fault::new(Code::Duplicate, field.at, &path, message).hint("remove one of them"));
            }
        }
        let dead = stream.record("dead_letters");
        if let Some(dead) = dead.filter(|dead| dead.text("stream") == name && !name.is_empty()) {
            let path = dead.path.key("stream");
            let fault = Fault::new(
                Code::BadValue,
                dead.at("stream"),
                &path,
                "a stream cannot take its own dead letters",
            );
            ledger.tell(fault.hint(format!("write `{}.dead`", shown(name))));
        }
        let mut references = Vec::new();
        let asked = stream.field("schema");
        let schema = asked.and_then(|field| required(field.record()?, field.hidden, &mut references));
        let stream = Self {
            name: name.into(),
            topics,
            partitions: stream.number("partitions") as u32,
            age: retention.maybe_time("age"),
            bytes: retention.maybe_number("bytes"),
            messages: retention.maybe_number("messages"),
            dedupe: stream.time("dedupe"),
            when_full: match stream.text("when_full") {
                "drop_newest" => WhenFull::DropNewest,
                "refuse" => WhenFull::Refuse,
                _ => WhenFull::DropOldest,
            },
            keep: match retention.text("keep") {
                "until_acked" => Keep::UntilAcked,
                _ => Keep::Limits,
            },
            dead_letters: dead.map(|dead| DeadLetters {
                stream: dead.maybe_text("stream").map(Into::into),
                after_attempts: dead.number("after_attempts") as u32,
            }),
            schema,
        };
        ReadStream { stream, references }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::position::{Cursor, Position};

    #[test]
    fn a_cursor_of_all_partitions_fits_into_a_request() {
        let place = |partition: u64| Position {
            source: u32::MAX,
            partition: partition as u32,
            offset: u64::MAX.into(),
        };
        let cursor: Cursor = (0..PARTITIONS_MOST).map(place).collect();
        // As a careful client writes it, below the longest path.
        let target = format!(
            "/{}?cursor={}&limit=10000&wait=300s",
            "x".repeat(1_024),
            cursor.to_string().replace(',', "%2C")
        );
        assert!(target.len() < 8 << 10, "{}", target.len());
    }
}
