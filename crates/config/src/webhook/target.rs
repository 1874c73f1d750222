//! Where a webhook sends: address, headers, who we are, whom we trust.
use super::only;
use crate::{
    ledger::{Fault, Ledger, shown},
    outgoing::{PROXY, URL},
    read::{self, Record},
    secret::Secret,
    shape::{ANY, Shape, Table, Text, key, millis, one_of, seconds},
    tree::{Data, Value},
};
use std::{sync::Arc, time::Duration};
use tidegate_core::{action::is_reserved_header, error::Code, template::Template};

/// An HTTP target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `http` or `https`, without user and password. May hold a token in its query, so it is not shown.
    pub url: Secret,
    /// `POST`, `PUT`, `PATCH`.
    pub method: Arc<str>,
    /// Names in lower case.
    pub headers: Vec<(String, Template)>,
    /// Of one attempt.
    pub timeout: Duration,
    /// Who we are.
    pub auth: Auth,
    /// Which HTTP is spoken.
    pub http: Http,
    /// Goes there first; else where the node's `outgoing.proxy` says.
    pub proxy: Option<Secret>,
    /// In PEM: who is trusted beside those the machine trusts.
    pub ca: Option<String>,
    /// In PEM: our certificate and its key.
    pub certificate: Option<(String, Secret)>,
}
/// Who we are to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// It does not ask.
    None,
    /// By name and password.
    Basic {
        /// Without `:`.
        username: String,
        /// Any text.
        password: Secret,
    },
    /// By a token that does not change.
    Bearer(Secret),
    /// By tokens of another server.
    OAuth2 {
        /// Who gives out tokens.
        token_url: Secret,
        /// Our name there.
        client_id: String,
        /// What proves it.
        client_secret: Secret,
        /// What the token is to be good for.
        scopes: Vec<String>,
        /// Name and secret go into the body.
        in_body: bool,
    },
}
/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2.
    Two,
    /// What both sides prefer.
    Auto,
}
const CERTIFICATES: Text = Text {
    expected: "certificates in PEM, mostly as `${file:PATH}`",
    good: |text| text.contains("-----BEGIN CERTIFICATE-----"),
    pattern: None,
};
const KEY: Text = Text {
    expected: "a private key in PEM, mostly as `${file:PATH}`",
    good: |text| text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"),
    pattern: None,
};
/// What may stand in a header.
const TOKEN: Text = Text {
    expected: "text without line ends and control characters",
    good: |text| !text.is_empty() && !text.chars().any(char::is_control) && text.is_ascii(),
    pattern: None,
};
const USERNAME: Text = Text {
    expected: "a name without `:`",
    good: |text| !text.contains(':') && !text.chars().any(char::is_control),
    pattern: None,
};
static BASIC: Table = Table {
    title: "basic",
    doc: "A name and a password.",
    keys: &[
        key("username", Shape::Text(&USERNAME), "The name.").required(),
        key("password", Shape::Text(&ANY), "The password.")
            .required()
            .example("\"${file:crm.pw}\""),
    ],
};
static OAUTH2: Table = Table {
    title: "oauth2",
    doc: "Tokens of another server (client credentials), kept until shortly before their end.",
    keys: &[
        key("token_url", Shape::Text(&URL), "Who gives out tokens.")
            .required()
            .example("\"https://id.example.com/token\""),
        key("client_id", Shape::Text(&ANY), "Our name there.").required(),
        key("client_secret", Shape::Text(&ANY), "What proves it.")
            .required()
            .example("\"${file:oauth}\""),
        key(
            "scopes",
            Shape::List {
                of: &Shape::Text(&TOKEN),
                min: 0,
            },
            "What the token is to be good for.",
        )
        .default("[]"),
        key(
            "in",
            Shape::Choice {
                now: &["header", "body"],
                later: &[],
            },
            "Where name and secret are sent.",
        )
        .default("header"),
    ],
};
static AUTH: Table = Table {
    title: "auth of a target",
    doc: "One of `basic`, `bearer` or `oauth2`.",
    keys: &[
        key("basic", Shape::Record(&BASIC), "A name and a password."),
        key("bearer", Shape::Text(&TOKEN), "A token that does not change.").example("\"${file:crm}\""),
        key("oauth2", Shape::Record(&OAUTH2), "Tokens of another server."),
    ],
};
static TLS: Table = Table {
    title: "tls of a target",
    doc: "Whom we trust, and what we prove ourselves with. All in PEM.",
    keys: &[
        key("ca", Shape::Text(&CERTIFICATES), "Who is trusted beside those the machine trusts.")
            .example("\"-----BEGIN CERTIFICATE-----…\""),
        key(
            "certificate",
            Shape::Text(&CERTIFICATES),
            "Our certificate, and those between it and a root.",
        ),
        key("private_key", Shape::Text(&KEY), "The key of the certificate."),
    ],
};
pub(super) static TARGET: Table = Table {
    title: "target",
    doc: "Where messages go. Addresses of private networks are refused, unless the node's `outgoing.allow` has them; redirects are not followed.",
    keys: &[
        key("url", Shape::Text(&URL), "Where they go.")
            .required()
            .example("\"https://crm.example.com/hook\""),
        key("endpoint", Shape::Later, "A declared endpoint of the type `http`."),
        key("path", Shape::Later, "Below the URL of the endpoint."),
        key(
            "method",
            Shape::Choice {
                now: &["POST", "PUT", "PATCH"],
                later: &[],
            },
            "How they are sent.",
        )
        .default("POST"),
        key(
            "headers",
            Shape::Labels,
            "Sent with each request: names and texts. `${key}`, `${topic}`, `${id}` and `${header:NAME}` stand for what the message says; in a \
             batch for what its first message says.",
        )
        .example("{ x-team: a, x-tenant: \"${header:tenant}\" }"),
        key(
            "timeout",
            Shape::Time {
                min: millis(10),
                max: seconds(600),
                off: false,
            },
            "From the beginning of an attempt to the end of its answer.",
        )
        .default("15s"),
        key("auth", Shape::Record(&AUTH), "Who we are to the target.")
            .otherwise("it does not ask")
            .example("{ bearer: \"${file:crm}\" }"),
        key(
            "http",
            Shape::Choice {
                now: &["1.1", "2", "auto"],
                later: &[],
            },
            "Which HTTP is spoken; `auto` is what TLS agrees on.",
        )
        .default("\"1.1\""),
        key("proxy", Shape::Text(&PROXY), "Goes there first.").otherwise("the node's `outgoing.proxy`"),
        key("tls", Shape::Record(&TLS), "Whom we trust, and what we prove ourselves with.").otherwise("what the machine trusts"),
    ],
};
impl Target {
    pub(super) fn check(record: &Record, target: Option<&Value>, ledger: &mut Ledger) -> Self {
        let nothing = Record::nothing();
        let tls = record.record("tls").unwrap_or(&nothing);
        for (one, other) in [("certificate", "private_key"), ("private_key", "certificate")] {
            if tls.field(one).is_some() && tls.field(other).is_none() {
                let fault = Fault::new(Code::MissingKey, tls.at, &tls.path, format!("`{other}` is missing beside `{one}`"));
                ledger.tell(fault.hint(format!("add `{other}: \"${{file:PATH}}\"`")));
            }
        }
        let auth = record.record("auth");
        Self {
            url: Secret::new(record.text("url")),
            method: record.text("method").into(),
            headers: headers(record, auth.is_some(), ledger),
            timeout: record.time("timeout"),
            auth: auth.map_or(Auth::None, |auth| {
                let empty = target
                    .and_then(|target| target.get("auth"))
                    .is_some_and(|auth| auth.value.entries().is_empty());
                Auth::check(auth, empty, ledger)
            }),
            http: match record.text("http") {
                "2" => Http::Two,
                "auto" => Http::Auto,
                _ => Http::One,
            },
            proxy: record.maybe_text("proxy").map(Secret::new),
            ca: tls.maybe_text("ca").map(str::to_owned),
            certificate: tls
                .maybe_text("certificate")
                .zip(tls.maybe_text("private_key"))
                .map(|(certificate, key)| (certificate.to_owned(), Secret::new(key))),
        }
    }
}
impl Auth {
    fn check(record: &Record, empty: bool, ledger: &mut Ledger) -> Self {
        let choices = ["basic", "bearer", "oauth2"];
        let secret = |record: &Record, key: &str| Secret::new(record.text(key));
        let nothing = Record::nothing();
        let choice = only(record, &choices, ledger);
        let inner = choice.and_then(|choice| record.record(choice)).unwrap_or(&nothing);
        match choice {
            Some("basic") => Self::Basic {
                username: inner.text("username").to_owned(),
                password: secret(inner, "password"),
            },
            Some("bearer") => Self::Bearer(secret(record, "bearer")),
            Some(_) => Self::OAuth2 {
                token_url: secret(inner, "token_url"),
                client_id: inner.text("client_id").to_owned(),
                client_secret: secret(inner, "client_secret"),
                scopes: inner.texts("scopes"),
                in_body: inner.text("in") == "body",
            },
            None => {
                if empty {
                    let fault = Fault::new(Code::MissingKey, record.at, &record.path, "`auth` says nothing");
                    ledger.tell(fault.expected(one_of(choices)).hint("remove it, or add one of them"));
                }
                Self::None
            }
        }
    }
}
/// Name, and text with places. Told are names that are none, or ours, and places nobody knows.
fn headers(target: &Record, auth: bool, ledger: &mut Ledger) -> Vec<(String, Template)> {
    let mut out: Vec<(String, Template)> = Vec::new();
    let Some(map) = target.raw("headers") else { return out };
    for entry in map.entries() {
        let path = target.path.key("headers").key(&entry.key);
        let name = entry.key.to_ascii_lowercase();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let why = if name.is_empty() || name.len() > 256 || !name.bytes().all(good) {
            Some("no header can be called")
        } else if is_reserved_header(&name) {
            Some("nobody may set")
        } else if auth && name == "authorization" {
            Some("`auth` sets")
        } else if out.iter().any(|(other, _)| *other == name) {
            Some("there is already")
        } else {
            None
        };
        if let Some(why) = why {
            let message = format!("{why} `{}`", shown(&entry.key));
            ledger.tell(Fault::new(Code::BadValue, entry.at, &path, message).hint("remove it"));
            continue;
        }
        let Data::Scalar { text, .. } = &entry.value.data else { continue };
        if text.chars().any(|c| c.is_control() && c != '\t') || text.len() > 4 << 10 {
            let message = read::wrong(&path, &entry.value);
            let fault = Fault::new(Code::BadValue, entry.value.at, &path, message);
            ledger.tell(fault.expected("text without line ends and control characters, at most 4KiB"));
            continue;
        }
        match Template::parse(text) {
            Ok(template) => out.push((name, template)),
            Err(error) => {
                let why = if entry.value.hidden {
                    "it has a place that is not known".to_owned()
                } else {
                    error.to_string()
                };
                let message = format!("{}: {why}", read::wrong(&path, &entry.value));
                ledger.tell(
                    Fault::new(Code::BadValue, entry.value.at, &path, message).expected("`${key}`, `${topic}`, `${id}`, `${header:NAME}`"),
                );
            }
        }
    }
    out
}
