//! Where an api's messages go to and come from.
use crate::{
    endpoint,
    kinds::ResourceKind,
    ledger::{At, Fault, Ledger, Path},
    read,
    shape::{NAME, Shape, Table, Text, key},
    tree::{Data, Value},
};
use std::{fmt, sync::Arc};
use tidegate_core::{check::Kind, error::Code};

/// Where messages go to or come from.
#[derive(Clone, PartialEq)]
pub enum Backend {
    /// A declared stream.
    Stream(Arc<str>),
    /// Live, by topic; `${rest}` stands for what `*` of the path took.
    Topic(String),
    /// Made-up messages: as written, checked by the kind `mock`.
    Mock(serde_json::Value),
    /// A declared endpoint.
    Endpoint {
        /// Its name.
        name: Arc<str>,
        /// The topic there, where its kind wants one.
        topic: Option<String>,
    },
}
/// Leaves what a mock says out: it may come from a secret file.
impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(name) => write!(f, "Stream({name:?})"),
            Self::Topic(topic) => write!(f, "Topic({topic:?})"),
            Self::Mock(_) => f.write_str("Mock(..)"),
            Self::Endpoint { name, topic } => write!(f, "Endpoint({name:?}, {topic:?})"),
        }
    }
}

const TOPIC: Text = Text {
    expected: "a topic such as `orders`, or with `${rest}` for what `*` of the path took",
    good: |text| {
        // What begins with `$` belongs to the gateway.
        let bare = text.replace("${rest}", "rest");
        let good = |text: &str| !text.starts_with('$') && !text.contains("${") && !text.contains(['+', '#']);
        !text.is_empty() && text.len() <= 65_535 && good(&bare) && !text.chars().any(char::is_control)
    },
    pattern: None,
};
pub(crate) static BACKEND: Table = Table {
    title: "backend",
    doc: "One of `stream`, `topic`, `endpoint` or `mock`.",
    keys: &[
        key("stream", Shape::Text(&NAME), "A declared stream.").example("orders"),
        key(
            "topic",
            Shape::Text(&TOPIC),
            "A live topic; streams that capture it store it. `${rest}` is what `*` of the path took. Beside `endpoint`: the topic there.",
        )
        .example("\"${rest}\""),
        key("endpoint", Shape::Text(&NAME), "A declared endpoint.").example("events"),
        key("mock", Shape::Own(None), "Made-up messages, to be read only.").example("{ interval: 1s, payload: mock message }"),
    ],
};
/// Which direction a backend is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Publish,
    Subscribe,
}
/// The name of another resource, to be looked up when all are known.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) path: Path,
    pub(crate) hidden: bool,
}

impl Backend {
    /// `wild`: each path of the api ends in `*`.
    pub(crate) fn check(
        value: &Value,
        path: &Path,
        side: Side,
        wild: bool,
        kinds: &[Kind],
        references: &mut Vec<Reference>,
        ledger: &mut Ledger,
    ) -> Option<Self> {
        match &value.data {
            Data::Broken => return None,
            Data::List(_) => {
                ledger.tell(Fault::later(value.at, path, "a balanced group of backends").hint("name one backend"));
                return None;
            }
            Data::Scalar { text, .. } if text.contains("://") => {
                ledger.tell(Fault::later(value.at, path, "a broker's URL as a backend").hint("now: `stream`, `topic`, `endpoint`, `mock`"));
                return None;
            }
            Data::Scalar { .. } | Data::Map(_) => {}
        }
        let told = ledger.faults();
        let record = read::table(&BACKEND, value, path, ledger);
        if told < ledger.faults() {
            return None;
        }
        let choices: Vec<_> = value
            .entries()
            .iter()
            .filter(|entry| entry.key != "topic" || value.get("endpoint").is_none())
            .collect();
        let [choice] = choices.as_slice() else {
            ledger.tell(match choices.get(1) {
                None => {
                    Fault::new(Code::MissingKey, value.at, path, "a backend says where").expected("`stream`, `topic`, `endpoint` or `mock`")
                }
                Some(second) => {
                    let message = format!("`{}` beside `{}`", second.key, choices.first().map_or("", |first| &first.key));
                    Fault::new(Code::BadValue, second.at, &path.key(&second.key), message).hint("keep one of them")
                }
            });
            return None;
        };
        let field = record.field(&choice.key)?;
        // Broken by a variable: told when it was filled in.
        let named = record.maybe_text(&choice.key);
        if let Some(topic) = value.get("topic").filter(|_| !wild && record.text("topic").contains("${rest}")) {
            let path = path.key("topic");
            let fault = Fault::new(
                Code::BadValue,
                topic.value.at,
                &path,
                "`${rest}` has nothing to stand for: a path has no `*`",
            );
            ledger.tell(fault.hint("end each path of the api in `/*`"));
            return None;
        }
        let mut refer = |kind| {
            references.push(Reference {
                kind,
                name: field.text().to_owned(),
                at: field.at,
                path: path.key(&choice.key),
                hidden: field.hidden,
            });
        };
        match choice.key.as_str() {
            "stream" => {
                let name = named?.into();
                refer(ResourceKind::Stream);
                Some(Self::Stream(name))
            }
            "endpoint" => {
                let name = named?.into();
                refer(ResourceKind::Endpoint);
                let topic = record.maybe_text("topic").map(str::to_owned);
                Some(Self::Endpoint { name, topic })
            }
            "topic" => Some(Self::Topic(named?.to_owned())),
            _ if side == Side::Publish => {
                let message = "`mock` makes messages and takes none";
                ledger
                    .tell(Fault::new(Code::Unkeepable, choice.at, &path.key("mock"), message).hint("use it with `backend` or `subscribe`"));
                None
            }
            _ => {
                let path = path.key("mock");
                let Some(kind) = kinds.iter().find(|kind| kind.name == "mock") else {
                    ledger.tell(Fault::later(choice.at, &path, "`mock`"));
                    return None;
                };
                endpoint::ask(kind, &choice.value, &path, ledger).map(Self::Mock)
            }
        }
    }
}
