//! A program that shows a token: for the management API, or in the name of a user as an access key.
use crate::{
    ledger::{Fault, Ledger, Path},
    read,
    shape::{DESCRIPTION, KIND_DOC, LABELS, META, NAME, NAME_KEY, STATUS, Shape, Table, Text, key},
    tree::Value,
    user::{MANAGE, Manage, manage},
};
use std::sync::Arc;
use tidegate_core::{clock::parse_rfc3339, error::Code};

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grants {
    /// The management API, so far.
    Manage(Manage),
    /// What the user of that name may do with topics: an access key, shown as `NAME:SECRET`.
    User(Arc<str>),
}
/// One token, checked. The token itself is nowhere: only its hash is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique among tokens.
    pub name: Arc<str>,
    /// What it is good for.
    pub grants: Grants,
    /// SHA-256 of the whole text of the token, or of the secret of an access key. It holds 256 random bits, so its hash gives nothing away.
    pub sha256: [u8; 32],
    /// From then on it is worth nothing: microseconds since the epoch.
    pub expires: Option<i64>,
}
/// The hash of an empty text: what a script makes of a variable that is not set.
const NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
    0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
const SHA256: Text = Text {
    expected: "64 hexadecimal digits: the SHA-256 of the token, which is not empty",
    good: |text| digest(text).is_some_and(|digest| digest != NOTHING),
    pattern: Some("^[0-9a-fA-F]{64}$"),
};
const TIME: Text = Text {
    expected: "a time such as `2027-01-01T00:00:00Z`",
    good: |text| parse_rfc3339(text).is_some(),
    pattern: None,
};
pub(crate) static TOKEN: Table = Table {
    title: "token",
    doc: "Lets a program use the management API, or act for a user. `tidegate token add` makes one and shows it once; kept is its hash.",
    keys: &[
        key(
            "kind",
            Shape::Choice {
                now: &["token"],
                later: &[],
            },
            KIND_DOC,
        )
        .required(),
        NAME_KEY.example("ci"),
        DESCRIPTION,
        LABELS,
        key("manage", MANAGE, "How far it may manage this node, as with a user; this or `user`.").example("operator"),
        key(
            "user",
            Shape::Text(&NAME),
            "An access key: whoever shows it, as `NAME:SECRET`, may do with topics what that user may. For clients that cannot log in.",
        )
        .example("alice"),
        key(
            "sha256",
            Shape::Text(&SHA256),
            "The SHA-256 of the token, or of the secret of an access key, in hexadecimal digits. The API makes token and hash if it is left out.",
        )
        .required()
        .example("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        key("expires", Shape::Text(&TIME), "From then on it is worth nothing.")
            .otherwise("never")
            .example("2027-01-01T00:00:00Z"),
        META,
        STATUS,
    ],
};
impl Token {
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, ledger: &mut Ledger) -> Self {
        let token = read::table(&TOKEN, value, path, ledger);
        if token.field("manage").is_some() == token.field("user").is_some() {
            let fault = Fault::new(Code::BadValue, value.at, path, "a token is for the management API or for a user");
            ledger.tell(fault.expected("`manage` or `user`, one of the two"));
        }
        let user = token.maybe_text("user").map(|user| Grants::User(user.into()));
        Self {
            name: token.text("name").into(),
            grants: user.unwrap_or_else(|| Grants::Manage(manage(&token).unwrap_or(Manage::Viewer))),
            sha256: digest(token.text("sha256")).unwrap_or_default(),
            expires: parse_rfc3339(token.text("expires")),
        }
    }
}
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16)
            .ok()
            .filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
    }
    Some(out)
}
