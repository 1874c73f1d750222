//! What messages must look like, under a name: the resource, and how streams and apis ask for one.
use crate::{
    backend::Reference,
    diagnostic::Place,
    kinds::ResourceKind,
    ledger::{Fault, Ledger, Path},
    read::{self, Record},
    shape::{ANY, DESCRIPTION, KIND_DOC, LABELS, META, NAME, NAME_KEY, STATUS, Shape, Table, key},
    tree::{Data, Value},
};
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
            "A JSON Schema, draft 2020-12 unless `$schema` says otherwise. Nothing it refers to is fetched.",
        )
        .example("{ type: object, required: [id] }"),
        key("protobuf", Shape::Record(&PROTOBUF), "A Protobuf message.").example("{ file: order.proto, message: Order }"),
        key(
            "avro",
            Shape::Own(None),
            "An Avro schema. Messages are JSON text that can be encoded in it.",
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
        let json = value.to_json();
        let compiles = kinds.iter().find(|kind| kind.name == SCHEMA.title);
        if let (Some(kind), true) = (compiles, told == ledger.faults() && !value.is_broken()) {
            for problem in (kind.check)(&json).err().into_iter().flatten() {
                ledger.tell(place(problem, value, path));
            }
        }
        Self {
            name: schema.text("name").into(),
            content: Content::of(&json).unwrap_or(Content::Json(serde_json::Value::Bool(true))),
            backward: schema.text("compatibility") == "backward",
            place: ledger.place(value.at),
        }
    }
}
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
            let message = "a file is read on the machine where it is";
            let fault = Fault::new(Code::BadValue, file.at, &protobuf.path.key("file"), message);
            ledger.tell(
                fault
                    .expected("`text`: the file itself")
                    .hint("`tidegate apply` and `tidegate schema add` send it"),
            );
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
/// The text of a file, or why not.
type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;
/// A document as it was parsed: names of properties are no secrets, whatever they are called, and the `.proto` file it names is put in
/// its place. `file` reads one, or says why not; without it the name stays.
pub(crate) fn prepare(document: &mut Value, file: Option<ReadFile<'_>>, path: &Path, ledger: &mut Ledger) {
    if document.get("kind").and_then(|kind| kind.value.text()) != Some(SCHEMA.title) {
        return;
    }
    for kind in KINDS {
        if let Some(content) = document.get_mut(kind) {
            reveal(content);
        }
    }
    let (Some(file), Some(protobuf)) = (file, document.get_mut("protobuf")) else {
        return;
    };
    let Data::Map(entries) = &mut protobuf.data else { return };
    if entries.iter().any(|entry| entry.key == "text") {
        return;
    }
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == "file") else {
        return;
    };
    let Some(name) = entry.value.text().map(str::to_owned) else {
        return;
    };
    "text".clone_into(&mut entry.key);
    match file(&name) {
        Ok(text) => entry.value.data = Data::Scalar { text, plain: false },
        Err(why) => {
            let message = format!("`{}` cannot be read: {why}", crate::ledger::shown(&name));
            let fault = Fault::new(Code::Unreadable, entry.value.at, &path.key("protobuf").key("file"), message);
            ledger.tell(fault.hint("a path is relative to the folder of this file"));
            entry.value.data = Data::Broken;
        }
    }
}
fn reveal(value: &mut Value) {
    value.hidden = false;
    match &mut value.data {
        Data::List(items) => items.iter_mut().for_each(reveal),
        Data::Map(entries) => entries.iter_mut().for_each(|entry| reveal(&mut entry.value)),
        Data::Scalar { .. } | Data::Broken => {}
    }
}
