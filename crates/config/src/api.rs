//! What is deployed: paths, entrypoints, a backend, plans.
use crate::diagnostic::Place;
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::receipt::Level;

/// One api, checked.
#[derive(Clone, Debug)]
pub struct Api {
    /// Unique among apis.
    pub name: Arc<str>,
    /// Whether it is started.
    pub enabled: bool,
    /// At least one; no two apis have an equal one.
    pub paths: Vec<ApiPath>,
    /// Where what is published goes; `None` = nothing can be published.
    pub publish: Option<Backend>,
    /// Where what is read comes from; `None` = nothing can be read.
    pub subscribe: Option<Backend>,
    /// `POST path`, if offered.
    pub http_post: Option<HttpPost>,
    /// `GET path`, if offered.
    pub http_get: Option<HttpGet>,
    /// Server-sent events, if offered.
    pub sse: Option<Sse>,
    /// What `?include=` may ask for.
    pub include: Vec<Include>,
    /// Whose member names the answers have.
    pub compatibility: Compatibility,
    /// Anyone may call it.
    pub keyless: bool,
    /// Where it was declared.
    pub place: Place,
}
/// A context-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPath {
    /// `/orders`, without a slash at its end; or `/topics/*`, which takes the rest.
    pub path: String,
    /// Lower case, without a port; `None` = every host.
    pub host: Option<String>,
}
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
/// `POST path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPost {
    /// The level when the caller asks for none; `None` = the backend's default.
    pub ack: Option<Level>,
    /// Request headers that become message headers: lower case, a `*` at the end stands for any rest.
    pub headers: Vec<String>,
}
/// `GET path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGet {
    /// Messages in one answer.
    pub limit: u32,
    /// How long to wait for messages.
    pub wait: Duration,
    /// `None` = `first`, and `window` on a mock.
    pub answer: Option<Answer>,
}
/// When `GET` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With what there is; waits only when there is nothing.
    First,
    /// Collects for the whole wait.
    Window,
}
/// Server-sent events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sse {
    /// A comment after this long without a message.
    pub heartbeat: Duration,
}
/// What `?include=` may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// The message's headers.
    Headers,
    /// What the endpoint knows about it.
    Metadata,
}
/// Whose member names the answers have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compatibility {
    /// Our own.
    #[default]
    None,
    /// `content` and `pagination.nextCursor`.
    Gravitee,
}
