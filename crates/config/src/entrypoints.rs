//! How clients reach an api: what each entrypoint can be told.
use crate::shape::{Shape, Table, Text, key, millis, seconds};
use std::time::Duration;
use tidegate_core::receipt::Level;

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
/// WebSocket. At least one of the two sides is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Messages are taken.
    pub publish: bool,
    /// Messages are given.
    pub subscribe: bool,
    /// The level when the caller asks for none; `None` = the backend's default.
    pub ack: Option<Level>,
    /// A ping after this long without a frame; without a sign of life for twice as long the connection is closed.
    pub heartbeat: Duration,
}
/// `POST path/_pull` and `POST path/_settle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// How long a worker has for a message when it asks for no other time.
    pub lease_for: Duration,
}
const HEADER: Text = Text {
    expected: "a header name such as `content-type`, or `x-*`",
    good: |text| {
        let name = text.strip_suffix('*').unwrap_or(text);
        let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b);
        !text.is_empty() && text.len() <= 256 && name.bytes().all(good)
    },
    pattern: None,
};
pub(crate) static HTTP_POST: Table = Table {
    title: "http_post",
    doc: "Publishing by `POST`.",
    keys: &[
        key(
            "ack",
            Shape::Choice {
                now: &["accepted", "delivered", "stored", "replicated"],
                later: &[],
            },
            "The level when the caller asks for none.",
        )
        .otherwise("the backend's default")
        .example("stored"),
        key(
            "headers",
            Shape::List {
                of: &Shape::Text(&HEADER),
                min: 0,
            },
            "Request headers that become headers of the message; `*` at the end stands for any rest, but not for what is called like a secret or an address.",
        )
        .default("[content-type, \"x-*\"]"),
    ],
};
pub(crate) static HTTP_GET: Table = Table {
    title: "http_get",
    doc: "Reading by `GET`.",
    keys: &[
        key("limit", Shape::Count { min: 1, max: 10_000 }, "Messages in one answer.").default("500"),
        key(
            "wait",
            Shape::Time {
                min: millis(0),
                max: seconds(300),
                off: false,
            },
            "How long to wait for messages.",
        )
        .default("5s"),
        key(
            "answer",
            Shape::Choice {
                now: &["first", "window"],
                later: &[],
            },
            "`first`: what there is, and wait only when there is nothing; `window`: collect for the whole of `wait`.",
        )
        .otherwise("`first`, on a mock `window`"),
    ],
};
pub(crate) static SSE: Table = Table {
    title: "sse",
    doc: "Server-sent events by `GET` with `Accept: text/event-stream`.",
    keys: &[key(
        "heartbeat",
        Shape::Time {
            min: millis(100),
            max: seconds(3_600),
            off: false,
        },
        "A comment is sent after this long without a message, so that proxies keep the connection.",
    )
    .default("5s")],
};
pub(crate) static WEBSOCKET: Table = Table {
    title: "websocket",
    doc: "WebSocket, plain or with the subprotocol `tidegate.v1.json`.",
    keys: &[
        key("publish", Shape::Bool, "Whether messages are taken, where the backend takes any.").default("true"),
        key("subscribe", Shape::Bool, "Whether messages are given, where the backend has any.").default("true"),
        key(
            "ack",
            Shape::Choice {
                now: &["accepted", "delivered", "stored", "replicated"],
                later: &[],
            },
            "The level when the caller asks for none.",
        )
        .otherwise("the backend's default")
        .example("stored"),
        key(
            "heartbeat",
            Shape::Time {
                min: millis(100),
                max: seconds(3_600),
                off: false,
            },
            "A ping is sent after this long without a frame; a client that gives no sign of life for twice as long is closed.",
        )
        .default("5s"),
    ],
};
pub(crate) static PULL: Table = Table {
    title: "pull",
    doc: "Workers that share a stream: `POST path/_pull` takes messages on a lease, `POST path/_settle` says what became of them.",
    keys: &[key(
        "lease_for",
        Shape::Time {
            min: seconds(1),
            max: seconds(12 * 3_600),
            off: false,
        },
        "How long a worker has for a message when it asks for no other time; then it is given to another.",
    )
    .default("30s")],
};
pub(crate) static ENTRYPOINTS: Table = Table {
    title: "entrypoints",
    doc: "How clients reach the api. Left out: all that fit the backend, with their defaults; listed: only those.",
    keys: &[
        key("http_post", Shape::Record(&HTTP_POST), "Publishing by `POST`.").example("{ ack: stored }"),
        key("http_get", Shape::Record(&HTTP_GET), "Reading by `GET`.").example("{ limit: 500, wait: 5s }"),
        key("sse", Shape::Record(&SSE), "Server-sent events.").example("{ heartbeat: 5s }"),
        key("websocket", Shape::Record(&WEBSOCKET), "WebSocket.").example("{ heartbeat: 5s }"),
        key("pull", Shape::Record(&PULL), "Leases for workers.").example("{ lease_for: 30s }"),
    ],
};
