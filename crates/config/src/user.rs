//! Somebody who logs in with a password or a connection token.
use crate::{
    ledger::{Fault, Ledger, Path},
    read::{self, Field, Record},
    secret::Secret,
    shape::{DESCRIPTION, KIND_DOC, LABELS, META, NAME_KEY, STATUS, Shape, Table, Text, key},
    stream::FILTER,
    tree::Value,
};
use std::sync::Arc;
use tidegate_core::{directory::Right, error::Code, filter::Filter};

/// One user, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Unique among users.
    pub name: Arc<str>,
    /// The hash of the password, in the form that starts with `$argon2`. It has one of the two, or both.
    pub password: Option<Secret>,
    /// The same of what it shows instead where a client has connection tokens.
    pub connection_token: Option<Secret>,
    /// What may be managed; `None` = nothing.
    pub manage: Option<Manage>,
    /// What may be done with topics; empty = nothing.
    pub permissions: Vec<Permission>,
}
/// How far somebody may manage the node. Each may what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manage {
    /// Looks at everything but messages.
    Viewer,
    /// Changes what is served, reads and publishes messages.
    Operator,
    /// Also says who may.
    Admin,
}
impl Manage {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
    fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|one| one.as_str() == word)
    }
}
/// Rights on topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Which topics.
    pub topics: Vec<Filter>,
    /// What is allowed there.
    pub allow: Vec<Right>,
}

pub(crate) const MANAGE: Shape = Shape::Choice {
    now: &["viewer", "operator", "admin"],
    later: &[],
};
/// Hashes that stand in the demo: whoever copies them lets everybody in.
const PUBLISHED: &[&str] = &["$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I"];
const ARGON2: Text = Text {
    expected: "a hash that starts with `$argon2id$`, as `tidegate user add` writes it",
    good: |text| text.starts_with("$argon2") && text.len() <= 512,
    pattern: Some("^\\$argon2"),
};
static PASSWORD: Table = Table {
    title: "password",
    doc: "What a user proves itself with. Only a hash is kept.",
    keys: &[key("argon2", Shape::Text(&ARGON2), "The hash, as `tidegate user add` makes it.").required()],
};
static PERMISSION: Table = Table {
    title: "permission",
    doc: "Rights on topics.",
    keys: &[
        key(
            "topics",
            Shape::List {
                of: &Shape::Text(&FILTER),
                min: 1,
            },
            "Which topics.",
        )
        .required()
        .example("[\"orders/#\"]"),
        key("procedures", Shape::Later, "Which WAMP procedures."),
        key(
            "allow",
            Shape::List {
                of: &Shape::Choice {
                    now: &["publish", "subscribe"],
                    later: &["call", "register"],
                },
                min: 1,
            },
            "What is allowed there.",
        )
        .required()
        .example("[publish, subscribe]"),
    ],
};
pub(crate) static USER: Table = Table {
    title: "user",
    doc: "Somebody who logs in with a password or a connection token.",
    keys: &[
        key(
            "kind",
            Shape::Choice {
                now: &["user"],
                later: &[],
            },
            KIND_DOC,
        )
        .required(),
        NAME_KEY.example("alice"),
        DESCRIPTION,
        LABELS,
        key(
            "password",
            Shape::Record(&PASSWORD),
            "How the user proves who it is; with or without a connection token beside it.",
        )
        .example("{ argon2: \"$argon2id$…\" }"),
        key(
            "connection_token",
            Shape::Record(&PASSWORD),
            "What the user shows instead of a password to the Memphis dialect; as secret as one.",
        )
        .example("{ argon2: \"$argon2id$…\" }"),
        key(
            "manage",
            MANAGE,
            "How far the user may manage this node: `viewer` looks at everything but messages, `operator` also changes what is served and \
             reads and publishes messages, `admin` also says who may.",
        )
        .otherwise("nothing"),
        key(
            "permissions",
            Shape::List {
                of: &Shape::Record(&PERMISSION),
                min: 0,
            },
            "What the user may do with topics.",
        )
        .default("[]")
        .example("[{ topics: [\"orders/#\"], allow: [publish] }]"),
        META,
        STATUS,
    ],
};

impl User {
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, ledger: &mut Ledger) -> Self {
        let user = read::table(&USER, value, path, ledger);
        let proof = |name: &str| user.record(name).map(|hash| Secret::new(hash.text("argon2")));
        if user.field("password").or(user.field("connection_token")).is_none() {
            let fault = Fault::new(Code::MissingKey, value.at, path, "nothing says how the user proves who it is");
            ledger.tell(
                fault
                    .expected("`password`, `connection_token` or both")
                    .hint("`tidegate user add` makes them"),
            );
        }
        Self {
            name: user.text("name").into(),
            password: proof("password"),
            connection_token: proof("connection_token"),
            manage: manage(&user),
            permissions: user.list("permissions").iter().filter_map(Field::record).map(permission).collect(),
        }
    }
    /// What it has that public documents print.
    pub(crate) fn published(&self) -> Option<&'static str> {
        let known = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| PUBLISHED.contains(&secret.expose()));
        let all = [("password", &self.password), ("connection_token", &self.connection_token)];
        all.into_iter().find(|(_, secret)| known(secret)).map(|(key, _)| key)
    }
}
pub(crate) fn manage(of: &Record) -> Option<Manage> {
    Manage::parse(of.text("manage"))
}
fn permission(of: &Record) -> Permission {
    Permission {
        topics: of.texts("topics").iter().filter_map(|text| Filter::new(text)).collect(),
        allow: of
            .list("allow")
            .iter()
            .map(|word| match word.text() {
                "publish" => Right::Publish,
                _ => Right::Subscribe,
            })
            .collect(),
    }
}
