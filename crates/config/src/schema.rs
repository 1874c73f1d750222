//! What messages must look like, under a name: the resource, and how streams and apis ask for one.
mod file;
mod keywords;

use crate::{
    backend::Reference,
    diagnostic::Place,
    kinds::ResourceKind,
    ledger::{Fault, Ledger, Path},
    read::{self, Record},
    shape::{ANY, DESCRIPTION, KIND_DOC, LABELS, META, NAME, NAME_KEY, STATUS, Shape, Table, key},
    tree::{Data, Value},
};
pub(crate) use file::prepare;
use std::sync::Arc;
use tidegate_core::{
    check::{Kind, Problem},
    error::Code,
    validator::OnFailure,
};

/// One schema, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Unique among schemas.
    pub name: Arc<str>,
    /// What it says.
    pub content: Content,
    /// A new version must read what the one before let in.
    pub backward: bool,
    /// Part of what it says came from a variable or a file and may be a secret: it is not shown.
    pub hidden: bool,
    /// Where it was declared.
    pub place: Place,
}
/// What a schema says, by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// JSON Schema.
    Json(serde_json::Value),
    /// A `.proto` file.
    Protobuf {
        /// The file.
        text: String,
        /// The message; empty: the only one there is.
        message: String,
        /// JSON becomes bytes on the wire.
        convert: bool,
    },
    /// An Avro schema.
    Avro(serde_json::Value),
}
impl Content {
    /// The key it is written under.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Protobuf { .. } => "protobuf",
            Self::Avro(_) => "avro",
        }
    }
    /// Of a document that was checked.
    pub fn of(document: &serde_json::Value) -> Option<Self> {
        let of = |key: &str| document.get(key).cloned();
        if let Some(protobuf) = document.get("protobuf") {
            let text = |key: &str| protobuf.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
            return Some(Self::Protobuf {
                text: text("text")?,
                message: text("message").unwrap_or_default(),
                convert: protobuf.get("convert").is_none_or(|convert| !is_no(convert)),
            });
        }
        of("json").map(Self::Json).or_else(|| of("avro").map(Self::Avro))
    }
}
fn is_no(value: &serde_json::Value) -> bool {
    value == &serde_json::Value::Bool(false) || value.as_str() == Some("false")
}
/// What a stream, or a policy of an api, asks of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// The schema's name.
    pub schema: Arc<str>,
    /// What happens to a message that does not match.
    pub on_failure: OnFailure,
}

pub(crate) static REQUIRED: Table = Table {
    title: "required schema",
    doc: "What messages must look like; a bare text stands for `schema`.",
    keys: &[
        key("schema", Shape::Text(&NAME), "A declared schema.").required().example("order"),
        key(
            "on_failure",
            Shape::Choice {
                now: &["reject", "dead_letter", "warn"],
                later: &[],
            },
            "A message that does not match: is refused (`reject`); is refused and kept as a dead letter (`dead_letter`); is taken, counted \
             and told in the log (`warn`).",
        )
        .default("reject"),
    ],
};
/// The key `schema` of a stream.
pub(crate) const REQUIRED_SHAPE: Shape = Shape::TextOr {
    text: &NAME,
    key: "schema",
    table: &REQUIRED,
};
static PROTOBUF: Table = Table {
    title: "protobuf",
    doc: "A `.proto` file and one of its messages. It may import `google/protobuf/…` and nothing else.",
    keys: &[
        key(
            "file",
            Shape::Text(&ANY),
            "Its path, relative to the folder of the file that says it. Read where that file is.",
        )
        .example("order.proto"),
        key("text", Shape::Text(&ANY), "The same as text, in the place of `file`."),
        key(
            "message",
            Shape::Text(&ANY),
            "Which message it is about, with or without its package.",
        )
        .otherwise("the only one there is")
        .example("shop.Order"),
        key(
            "convert",
            Shape::Bool,
            "A message of the type `application/json` is read in Protobuf's JSON form and kept as bytes on the wire.",
        )
        .default("true"),
    ],
};
pub(crate) static SCHEMA: Table = Table {
    title: "schema",
    doc: "What messages must look like. Exactly one of `json`, `protobuf` and `avro`.",
    keys: &[
        key(
            "kind",
            Shape::Choice {
                now: &["schema"],
                later: &[],
            },
            KIND_DOC,
        )
        .required(),
        NAME_KEY.example("order"),
        DESCRIPTION,
        LABELS,
        key(
            "json",
            Shape::Own(None),
            "A JSON Schema, draft 2020-12 unless `$schema` says otherwise. Nothing it refers to is fetched. `{ file: order.json }` alone: the \
             JSON in that file, relative to the folder of the file that says it.",
        )
        .example("{ type: object, required: [id] }"),
        key("protobuf", Shape::Record(&PROTOBUF), "A Protobuf message.").example("{ file: order.proto, message: Order }"),
        key(
            "avro",
            Shape::Own(None),
            "An Avro schema. Messages are JSON text that can be encoded in it. `{ file: order.avsc }` alone: the JSON in that file, likewise.",
        )
        .example("{ type: map, values: long }"),
        key(
            "compatibility",
            Shape::Choice {
                now: &["none", "backward"],
                later: &["forward", "full"],
            },
            "`backward`: a new version is refused unless it reads whatever the version before let in.",
        )
        .default("none"),
        key("version", Shape::Ignored, "Written by the API when read back; ignored."),
        META,
        STATUS,
    ],
};
const KINDS: [&str; 3] = ["json", "protobuf", "avro"];

impl Schema {
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, kinds: &[Kind], ledger: &mut Ledger) -> Self {
        let told = ledger.faults();
        let schema = read::table(&SCHEMA, value, path, ledger);
        let written: Vec<_> = KINDS.iter().filter_map(|kind| value.get(kind)).collect();
        match written.as_slice() {
            [] if told == ledger.faults() => {
                let fault = Fault::new(Code::MissingKey, value.at, path, "the schema itself is missing");
                ledger.tell(fault.expected("`json`, `protobuf` or `avro`"));
            }
            [first, second, ..] => {
                let message = format!("`{}` beside `{}`", second.key, first.key);
                ledger.tell(Fault::new(Code::BadValue, second.at, &path.key(&second.key), message).hint("keep one of them"));
            }
            _ => {}
        }
        if let Some(protobuf) = schema.record("protobuf") {
            of_protobuf(protobuf, ledger);
        }
        for kind in file::KINDS {
            if let Some((content, file)) = value.get(kind).and_then(|entry| Some((entry, file::named(&entry.value)?))) {
                let fault = Fault::new(Code::BadValue, file.at, &path.key(kind).key("file"), ELSEWHERE);
                ledger.tell(fault.expected(format!("`{}`: the schema itself", content.key)).hint(SENT));
            }
        }
        if let Some(json) = value.get("json") {
            keywords::check(&json.value, &path.key("json"), ledger);
        }
        let json = value.to_json();
        let hidden = written.iter().any(|entry| is_hidden(&entry.value));
        let compiles = kinds.iter().find(|kind| kind.name == SCHEMA.title);
        if let (Some(kind), true) = (compiles, told == ledger.faults() && !value.is_broken()) {
            let problems = (kind.check)(&json).err().unwrap_or_default();
            let problems = if hidden && !problems.is_empty() {
                masked(problems, kind, value)
            } else {
                problems
            };
            for problem in problems {
                ledger.tell(place(problem, value, path));
            }
        }
        Self {
            name: schema.text("name").into(),
            content: Content::of(&json).unwrap_or(Content::Json(serde_json::Value::Bool(true))),
            backward: schema.text("compatibility") == "backward",
            hidden,
            place: ledger.place(value.at),
        }
    }
}
/// Whether something in it is never shown.
fn is_hidden(value: &Value) -> bool {
    match &value.data {
        Data::List(items) => items.iter().any(is_hidden),
        Data::Map(entries) => entries.iter().any(|entry| is_hidden(&entry.value)),
        Data::Scalar { .. } | Data::Broken => value.hidden,
    }
}
/// The same problems without what is not shown. Whoever found them may have quoted any of it, so he is asked once more about what may be seen: what
/// he says then at the same place is told.
fn masked(problems: Vec<Problem>, kind: &Kind, value: &Value) -> Vec<Problem> {
    let seen = (kind.check)(&value.to_json_masked()).err().unwrap_or_default();
    let told = |problem: Problem| {
        let same = seen.iter().find(|one| one.at == problem.at);
        same.cloned().unwrap_or_else(|| Problem {
            expected: "what is wrong is not shown, for part of it comes from a variable or a file and may be a secret".into(),
            hint: Some("write it out to see more; a schema in a file of its own is named by `file`".into()),
            ..problem
        })
    };
    problems.into_iter().map(told).collect()
}
const ELSEWHERE: &str = "a file is read on the machine where it is";
const SENT: &str = "`tidegate apply` and `tidegate schema add` send it";
fn of_protobuf(protobuf: &Record, ledger: &mut Ledger) {
    let (file, text) = (protobuf.field("file"), protobuf.field("text"));
    match (file, text) {
        (None, None) => ledger.tell(
            Fault::new(Code::MissingKey, protobuf.at, &protobuf.path, "`file` is missing")
                .expected("a path")
                .hint("add `file: order.proto`"),
        ),
        (Some(file), Some(_)) => {
            let fault = Fault::new(Code::BadValue, file.at, &protobuf.path.key("file"), "`file` beside `text`");
            ledger.tell(fault.hint("keep one of them"));
        }
        (Some(file), None) => {
            let fault = Fault::new(Code::BadValue, file.at, &protobuf.path.key("file"), ELSEWHERE);
            ledger.tell(fault.expected("`text`: the file itself").hint(SENT));
        }
        (None, Some(_)) => {}
    }
}
/// Where it stands in the resource.
fn place(problem: Problem, value: &Value, path: &Path) -> Fault {
    let Problem { at, expected, hint } = problem;
    let (found, _whole) = value.point(&at);
    let below = at.split('/').skip(1).fold(path.clone(), |path, part| match part.parse() {
        Ok(number) => path.item(number),
        Err(_) => path.key(&part.replace("~1", "/").replace("~0", "~")),
    });
    let fault = Fault::new(Code::BadValue, found.at, &below, format!("this is no schema: {expected}"));
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}
/// What `schema` of a stream, or `with` of a policy, says.
pub(crate) fn required(record: &Record, hidden: bool, references: &mut Vec<Reference>) -> Option<Required> {
    let schema = record.maybe_text("schema")?;
    references.push(Reference {
        kind: ResourceKind::Schema,
        name: schema.to_owned(),
        at: record.at("schema"),
        path: record.path.key("schema"),
        hidden,
    });
    Some(Required {
        schema: schema.into(),
        on_failure: OnFailure::parse(record.text("on_failure")).unwrap_or_default(),
    })
}
