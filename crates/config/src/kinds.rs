//! The kinds of resources: each is a word in files, a plural in paths, and a table of keys.
use crate::{api::API, endpoint::ENDPOINT, schema::SCHEMA, shape::Table, stream::STREAM, token::TOKEN, user::USER, webhook::WEBHOOK};
use std::{fmt, sync::Arc};

/// What a document declares. In the order in which they are made: nobody refers to what comes behind him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// What messages must look like.
    Schema,
    /// A durable log.
    Stream,
    /// A configured connection.
    Endpoint,
    /// What is deployed.
    Api,
    /// What is sent to an HTTP target.
    Webhook,
    /// Somebody who logs in with a password.
    User,
    /// A program that shows a token.
    Token,
}
impl ResourceKind {
    /// Every kind there is.
    pub const ALL: &'static [Self] = &[
        Self::Schema,
        Self::Stream,
        Self::Endpoint,
        Self::Api,
        Self::Webhook,
        Self::User,
        Self::Token,
    ];

    /// As a document says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Stream => "stream",
            Self::Endpoint => "endpoint",
            Self::Api => "api",
            Self::Webhook => "webhook",
            Self::User => "user",
            Self::Token => "token",
        }
    }
    /// As a path says it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Schema => "schemas",
            Self::Stream => "streams",
            Self::Endpoint => "endpoints",
            Self::Api => "apis",
            Self::Webhook => "webhooks",
            Self::User => "users",
            Self::Token => "tokens",
        }
    }
    /// By its word, or another word for it.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.word() == word || kind.alias() == Some(word))
    }
    /// By its plural, or that of another word for it.
    pub fn of_plural(plural: &str) -> Option<Self> {
        let alias = |kind: Self| kind.alias().is_some_and(|word| plural.strip_suffix('s') == Some(word));
        Self::ALL.iter().copied().find(|kind| kind.plural() == plural || alias(*kind))
    }
    /// Another word for it.
    pub fn alias(self) -> Option<&'static str> {
        match self {
            Self::Stream => Some("station"),
            Self::Schema | Self::Endpoint | Self::Api | Self::Webhook | Self::User | Self::Token => None,
        }
    }
    /// Whether it runs, and can be started and stopped: it has a key `enabled`.
    pub fn runs(self) -> bool {
        self.table().key("enabled").is_some()
    }
    pub(crate) fn table(self) -> &'static Table {
        match self {
            Self::Schema => &SCHEMA,
            Self::Stream => &STREAM,
            Self::Endpoint => &ENDPOINT,
            Self::Api => &API,
            Self::Webhook => &WEBHOOK,
            Self::User => &USER,
            Self::Token => &TOKEN,
        }
    }
}
impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
/// One resource: `stream orders`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// Its kind.
    pub kind: ResourceKind,
    /// Unique among its kind.
    pub name: Arc<str>,
}
impl Id {
    /// The resource of that kind and name.
    pub fn new(kind: ResourceKind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }
}
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
