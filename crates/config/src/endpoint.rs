//! A configured connection, used by name.
use crate::{
    diagnostic::Place,
    ledger::{Fault, Ledger, Path, shown},
    read,
    schema::SCHEMA,
    shape::{DESCRIPTION, KIND_DOC, LABELS, META, NAME_KEY, STATUS, Shape, Table, Text, key, one_of},
    suggest::suggest,
    tree::{Data, Value},
};
use std::{fmt, sync::Arc};
use tidegate_core::{
    check::{Kind, Problem},
    error::Code,
};

/// Checked by its kind, which reads `config` again when it opens it.
#[derive(Clone)]
pub struct Endpoint {
    /// What apis call it.
    pub name: Arc<str>,
    /// The name of its [`tidegate_core::check::Kind`]; `type` in files.
    pub kind: Arc<str>,
    /// As written, secrets filled in: without `kind`, `name`, `type`, `description`, `labels`.
    pub config: serde_json::Value,
    /// Where it was declared.
    pub place: Place,
}
/// Leaves `config` out: it may hold secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, place, .. } = self;
        f.debug_struct("Endpoint")
            .field("name", name)
            .field("kind", kind)
            .field("place", place)
            .finish_non_exhaustive()
    }
}

const TYPE: Text = Text {
    expected: "the name of an endpoint type",
    good: |text| !text.is_empty(),
    pattern: None,
};
/// The keys that every type has; the others belong to the type.
pub(crate) static ENDPOINT: Table = Table {
    title: "endpoint",
    doc: "A configured connection, used by name. Keys that are not listed here belong to its type.",
    keys: &[
        key(
            "kind",
            Shape::Choice {
                now: &["endpoint"],
                later: &[],
            },
            KIND_DOC,
        )
        .required(),
        NAME_KEY.example("events"),
        DESCRIPTION,
        LABELS,
        key("type", Shape::Text(&TYPE), "What it connects to.").required(),
        META,
        STATUS,
    ],
};
/// Known words; nothing connects to them yet.
const LATER: &[&str] = &["kafka", "nats", "rabbitmq", "mqtt", "redis", "http"];

impl Endpoint {
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, kinds: &[Kind], ledger: &mut Ledger) -> Self {
        let (ours, theirs) = value
            .entries()
            .iter()
            .cloned()
            .partition(|entry| ENDPOINT.key(&entry.key).is_some());
        let part = |entries| Value {
            at: value.at,
            data: Data::Map(entries),
            hidden: value.hidden,
        };
        let record = read::table(&ENDPOINT, &part(ours), path, ledger);
        let kind = record.text("type");
        let known = kinds.iter().find(|one| one.name == kind && one.name != SCHEMA.title);
        let config = known.and_then(|kind| ask(kind, &part(theirs), path, ledger));
        if let (None, Some(field)) = (known, record.field("type").filter(|_| !kind.is_empty())) {
            let path = path.key("type");
            let names = || {
                kinds
                    .iter()
                    .map(|one| one.name)
                    .filter(|name| !LATER.contains(name) && *name != SCHEMA.title)
            };
            let expected = one_of(names());
            ledger.tell(if LATER.contains(&kind) && !field.hidden {
                Fault::later(field.at, &path, &format!("the endpoint type `{kind}`")).expected(expected)
            } else {
                let near = suggest(kind, names().chain(LATER.iter().copied())).filter(|_| !field.hidden);
                Fault::new(
                    Code::BadValue,
                    field.at,
                    &path,
                    format!("there is no endpoint type `{}`", field.shown()),
                )
                .expected(expected)
                .did_you_mean(near)
            });
        }
        Self {
            name: record.text("name").into(),
            kind: kind.into(),
            config: config.unwrap_or_default(),
            place: ledger.place(value.at),
        }
    }
}

/// Has a kind check what is written for it. Its problems are told where they stand; without any, the value as it was given to it.
pub(crate) fn ask(kind: &Kind, value: &Value, path: &Path, ledger: &mut Ledger) -> Option<serde_json::Value> {
    // Told when it was read; the kind would only complain about the hole.
    if value.is_broken() {
        return None;
    }
    let json = value.to_json();
    let Err(problems) = (kind.check)(&json) else {
        return Some(json);
    };
    let schema = (kind.schema)();
    for problem in problems {
        if ledger.is_full() {
            break;
        }
        ledger.tell(place(problem, value, path, &schema));
    }
    None
}
fn place(problem: Problem, value: &Value, path: &Path, schema: &serde_json::Value) -> Fault {
    let Problem { at, expected, hint } = problem;
    let (found, exists) = value.point(&at);
    let below = at.split('/').skip(1).fold(path.clone(), |path, part| match part.parse() {
        Ok(number) => path.item(number),
        Err(_) => path.key(&part.replace("~1", "/").replace("~0", "~")),
    });
    let last = shown(below.last());
    let known = schema.get("properties").and_then(serde_json::Value::as_object);
    // The schema says what a key is called: that is told apart from a bad value, and stands at the key.
    let key = at.strip_prefix('/').map(|key| key.replace("~1", "/").replace("~0", "~"));
    let unknown = key
        .and_then(|key| value.get(&key))
        .filter(|entry| known.is_some_and(|known| !known.contains_key(&entry.key)));
    let fault = if let Some(entry) = unknown {
        let near = suggest(&entry.key, known.into_iter().flatten().map(|(name, _)| name.as_str()));
        let fault = Fault::new(Code::UnknownKey, entry.at, &below, format!("unknown key `{}`", shown(&entry.key)));
        return fault.expected(expected).did_you_mean(near);
    } else if !exists {
        Fault::new(Code::MissingKey, found.at, &below, format!("`{last}` is missing"))
    } else {
        Fault::new(Code::BadValue, found.at, &below, read::wrong(&below, found))
    };
    let fault = fault.expected(expected);
    match hint {
        // A hint may quote the value.
        Some(hint) if !found.hidden => fault.hint(hint),
        _ => fault,
    }
}
