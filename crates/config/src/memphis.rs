//! What the listener of the Memphis dialect has beside an address.
use crate::{
    ledger::Ledger,
    listener::{FILE, File, Listener},
    read::Record,
    shape::{Key, Shape, Text, key, seconds},
};
use std::time::Duration;

/// One address of the Memphis dialect, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memphis {
    /// Where it listens.
    pub listener: Listener,
    /// How long an access token holds.
    pub access_ttl: Duration,
    /// How long a refresh token holds.
    pub refresh_ttl: Duration,
    /// No token holds longer, whatever a login asks for.
    pub max_ttl: Duration,
    /// The file of signing keys; `None` = one of this node, in its data folder.
    pub keys: Option<File>,
    /// Answers as release 1.2.8 gave them, where they differ from the documents.
    pub old: bool,
    /// Further content types of single messages; `*` = any.
    pub types: Vec<String>,
    /// Stations come into being with their first message.
    pub create: bool,
}
/// A session longer than ten years is an access key.
const TTL: Shape = Shape::Time {
    min: seconds(1),
    max: seconds(3_650 * 86_400),
    off: false,
};
const TYPE: Text = Text {
    expected: "a media type such as `application/cloudevents+json`, or `*` for any",
    good: |text| text == "*" || (text.split('/').count() == 2 && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic())),
    pattern: None,
};
pub(crate) const ACCESS_TTL: Key = key(
    "access_ttl",
    TTL,
    "How long an access token holds, unless the login asks for another time.",
)
.default("15m");
pub(crate) const REFRESH_TTL: Key = key(
    "refresh_ttl",
    TTL,
    "How long a refresh token holds, unless the login asks for another time.",
)
.default("5h");
pub(crate) const MAX_TTL: Key = key(
    "max_ttl",
    Shape::Time {
        min: seconds(1),
        max: seconds(7_300 * 86_400),
        off: false,
    },
    "No token holds longer, whatever a login asks for; the answer says how long it does.",
)
.default("7300d");
pub(crate) const KEYS: Key = key(
    "keys",
    Shape::Text(&FILE),
    "The file of signing keys, a JWK set; made if it is not there. Nodes that share it accept each other's tokens.",
)
.otherwise("one of this node, `keys/sessions.json` in the data folder");
pub(crate) const COMPATIBILITY: Key = key(
    "compatibility",
    Shape::Choice {
        now: &["none", "1.2.8"],
        later: &[],
    },
    "`1.2.8`: answers as that release of the Memphis gateway gave them, where they differ from the documents.",
)
.default("none");
pub(crate) const TYPES: Key = key(
    "types",
    Shape::List {
        of: &Shape::Text(&TYPE),
        min: 0,
    },
    "Further content types of `produce/single`, beside text, JSON and Protobuf; `*` is any.",
)
.default("[]")
.example("[application/cloudevents+json]");
pub(crate) const CREATE: Key = key(
    "create",
    Shape::Bool,
    "A station comes into being when somebody who may write to it first does.",
)
.default("true");

impl Memphis {
    pub(crate) fn new(listener: Listener, of: &Record, ledger: &mut Ledger) -> Self {
        Self {
            listener,
            access_ttl: of.time("access_ttl"),
            refresh_ttl: of.time("refresh_ttl"),
            max_ttl: of.time("max_ttl"),
            keys: of.maybe_text("keys").map(|path| File {
                path: path.into(),
                at: ledger.place(of.at("keys")),
            }),
            old: of.text("compatibility") == "1.2.8",
            types: of.texts("types").iter().map(|text| text.to_ascii_lowercase()).collect(),
            create: of.bool("create"),
        }
    }
}
