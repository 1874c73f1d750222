//! What is deployed: paths, entrypoints, a backend, plans.
pub use crate::backend::Backend;
use crate::{
    backend::{BACKEND, Reference, Side},
    diagnostic::Place,
    entrypoints::{Answer, ENTRYPOINTS, HTTP_GET, HTTP_POST, HttpGet, HttpPost, PULL, Pull, SSE, Sse, WEBSOCKET, WebSocket},
    ledger::{At, Fault, Ledger, Path},
    load::Mode,
    policy::{self, POLICY, Policy},
    read::{self, Field, Record},
    shape::{DESCRIPTION, KIND_DOC, LABELS, META, NAME, NAME_KEY, STATUS, Shape, Table, Text, key},
    suggest::suggest,
    tree::Value,
};
use std::sync::Arc;
use tidegate_core::{check::Kind, error::Code, receipt::Level};

/// One api, checked.
#[derive(Clone, Debug, PartialEq)]
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
    /// The user says which entrypoints there are; else they are those that fit the backend.
    pub listed: bool,
    /// `POST path`, if offered.
    pub http_post: Option<HttpPost>,
    /// `GET path`, if offered.
    pub http_get: Option<HttpGet>,
    /// Server-sent events, if offered.
    pub sse: Option<Sse>,
    /// WebSocket, if offered.
    pub websocket: Option<WebSocket>,
    /// Leases for workers, if offered.
    pub pull: Option<Pull>,
    /// What `?include=` may ask for.
    pub include: Vec<Include>,
    /// Origins whose pages may call it; `*` = every one.
    pub cors: Vec<String>,
    /// What happens to a subscriber that is too slow.
    pub slow: Slow,
    /// Whose member names the answers have.
    pub compatibility: Compatibility,
    /// Steps on the way, in their order.
    pub policies: Vec<Policy>,
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
/// What `?include=` may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// The message's headers.
    Headers,
    /// What the endpoint knows about it.
    Metadata,
}
/// What happens to a subscriber that is too slow for what is kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slow {
    /// It reads on from the log; where nothing is stored it is told the gap.
    #[default]
    CatchUp,
    /// It is told the gap, and goes on with what comes.
    Gap,
    /// It is closed.
    Close,
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

pub(crate) const PLANS: &str = "plans";
/// The plan of everybody.
pub(crate) const KEYLESS: &str = "keyless";
const CONTEXT_PATH: Text = Text {
    expected: "a path such as `/orders`, or `/topics/*` with `*` as its last part",
    good: is_path,
    pattern: Some("^/([A-Za-z0-9._~!$&'()+,;=:@-]+/)*([A-Za-z0-9._~!$&'()+,;=:@-]*|\\*)$"),
};
const HOST: Text = Text {
    expected: "a host name without a port, such as `api.example.com`",
    good: |text| {
        let label = |label: &str| {
            !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        text.len() <= 253 && text.split('.').all(label)
    },
    pattern: None,
};
static PATH: Table = Table {
    title: "path",
    doc: "A context-path; a bare text stands for `path`.",
    keys: &[
        key(
            "path",
            Shape::Text(&CONTEXT_PATH),
            "Matches exactly, a slash at the end allowed; `*` at the end takes the rest as `${rest}`. The longest match wins.",
        )
        .required()
        .example("/orders"),
        key(
            "host",
            Shape::Text(&HOST),
            "Only for requests to this host; such a path goes before one without a host.",
        ),
    ],
};
const ORIGIN: Text = Text {
    expected: "an origin such as `https://app.example.com` or `http://localhost:3000`, or `*`",
    good: |text| {
        let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        text == "*"
            || text.split_once("://").is_some_and(|(scheme, authority)| {
                let (host, number) = authority
                    .split_once(':')
                    .map_or((authority, None), |(host, number)| (host, Some(number)));
                ["http", "https"].contains(&scheme) && !host.is_empty() && (HOST.good)(host) && number.is_none_or(port)
            })
    },
    pattern: Some("^(\\*|https?://[A-Za-z0-9._-]+(:[0-9]+)?)$"),
};
static CORS: Table = Table {
    title: "cors",
    doc: "Which pages of other origins may call the api from a browser, by `fetch`, `EventSource` and `WebSocket`.",
    keys: &[key(
        "origins",
        Shape::List {
            of: &Shape::Text(&ORIGIN),
            min: 1,
        },
        "Scheme, host and port as the browser shows them; `*` is every page that has an origin.",
    )
    .required()
    .example("[\"https://app.example.com\"]")],
};
pub(crate) static API: Table = Table {
    title: "api",
    doc: "What is deployed: paths, entrypoints, a backend and plans.",
    keys: &[
        key("kind", Shape::Choice { now: &["api"], later: &[] }, KIND_DOC).required(),
        NAME_KEY.example("orders"),
        DESCRIPTION,
        LABELS,
        key("enabled", Shape::Bool, "Whether it is started.").default("true"),
        key(
            "paths",
            Shape::List {
                of: &Shape::TextOr {
                    text: &CONTEXT_PATH,
                    key: "path",
                    table: &PATH,
                },
                min: 1,
            },
            "Where it is reached; no two apis may have an equal path and host.",
        )
        .required()
        .example("[/orders]"),
        key(
            "backend",
            Shape::Own(Some(&BACKEND)),
            "Where messages go and come from; `publish` and `subscribe` where they differ.",
        )
        .otherwise("required without `publish` and `subscribe`")
        .example("{ stream: orders }"),
        key("publish", Shape::Own(Some(&BACKEND)), "Where published messages go."),
        key("subscribe", Shape::Own(Some(&BACKEND)), "Where messages that are read come from."),
        key("entrypoints", Shape::Record(&ENTRYPOINTS), "How clients reach it.").otherwise("all that fit the backend"),
        key(
            "slow",
            Shape::Choice {
                now: &["catch_up", "gap", "close"],
                later: &[],
            },
            "What happens to a subscriber that is too slow for what is kept in memory: it reads on from disk where there is one \
             (`catch_up`), is told the gap, or is closed. What is live only cannot be caught up with: then the gap is told.",
        )
        .default("catch_up"),
        key(
            "include",
            Shape::List {
                of: &Shape::Choice {
                    now: &["headers", "metadata"],
                    later: &[],
                },
                min: 0,
            },
            "What `?include=` may ask for.",
        )
        .default("[]"),
        key(
            PLANS,
            Shape::List {
                of: &Shape::Text(&NAME),
                min: 1,
            },
            "Who may call it; `keyless` is everybody.",
        )
        .otherwise("required by `tidegate run`; `[keyless]` in `tidegate dev`")
        .example("[keyless]"),
        key("cors", Shape::Record(&CORS), "Which pages of other origins may call it.")
            .otherwise("none in `tidegate run`; pages of this machine in `tidegate dev`")
            .example("{ origins: [\"https://app.example.com\"] }"),
        key(
            "policies",
            Shape::List {
                of: &Shape::Record(&POLICY),
                min: 0,
            },
            "Steps on the way.",
        )
        .default("[]")
        .example("[{ policy: schema, with: { schema: order } }]"),
        key(
            "compatibility",
            Shape::Choice {
                now: &["none", "gravitee"],
                later: &[],
            },
            "`gravitee`: members `content` and `pagination.nextCursor` as that product writes them.",
        )
        .default("none"),
        META,
        STATUS,
    ],
};
/// Below a path these are verbs of their own.
const VERBS: &[&str] = &["_pull", "_settle", "_ticket"];

fn is_path(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._~!$&'()+,;=:@-".contains(&b);
    let Some(rest) = text.strip_prefix('/') else { return false };
    let last = rest.split('/').count().saturating_sub(1);
    text.len() <= 1_024
        && rest.split('/').enumerate().all(|(i, part)| match part {
            "" | "*" => i == last,
            "." | ".." => false,
            part => part.bytes().all(good),
        })
}
/// The slash at the end means nothing, so two spellings are one path.
fn without_slash(text: &str) -> &str {
    text.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(text)
}

impl Api {
    /// Whether nobody who calls it can tell the two apart: all but where it was declared.
    pub fn is_like(&self, other: &Self) -> bool {
        let moved = Self {
            place: other.place.clone(),
            ..self.clone()
        };
        moved == *other
    }
    /// Reads one; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, path: &Path, mode: Mode, kinds: &[Kind], ledger: &mut Ledger) -> ReadApi {
        let api = read::table(&API, value, path, ledger);
        let paths = paths(&api, path, ledger);
        let backends = Backends::check(&api, value, &paths, kinds, ledger);
        let plans: Vec<_> = api.list("plans").iter().map(Field::text).collect();
        if mode == Mode::Run && value.get(PLANS).is_none() && !misspelt(value, &[PLANS]) {
            let fault = Fault::new(
                Code::MissingKey,
                value.at,
                path,
                "`plans` is missing: nobody said who may call this api",
            );
            ledger.tell(fault.expected("a list of plans").hint("add `plans: [keyless]` to let everybody"));
        }
        let entrypoints = api.record("entrypoints");
        let offer = |name: &str| match entrypoints {
            Some(listed) => listed.record(name).is_some(),
            None => true,
        };
        let mut promises = Vec::new();
        if let Some(listed) = entrypoints {
            backends.must_fit(listed, value, &mut promises, ledger);
        }
        check_plans(&api, ledger);
        let mut settings = |name: &str, table: &'static Table| match entrypoints.and_then(|listed| listed.record(name)) {
            Some(_) => None,
            None => Some(read::table(table, &Value::empty_map(At::BUILT_IN), path, ledger)),
        };
        let defaults = (
            settings("http_post", &HTTP_POST),
            settings("http_get", &HTTP_GET),
            settings("sse", &SSE),
            settings("websocket", &WEBSOCKET),
            settings("pull", &PULL),
        );
        let nothing = Record::nothing();
        let listed = |name: &str| entrypoints.and_then(|listed| listed.record(name)).unwrap_or(&nothing);
        let post = defaults.0.as_ref().unwrap_or_else(|| listed("http_post"));
        let get = defaults.1.as_ref().unwrap_or_else(|| listed("http_get"));
        let sse = defaults.2.as_ref().unwrap_or_else(|| listed("sse"));
        let websocket = defaults.3.as_ref().unwrap_or_else(|| listed("websocket"));
        let pull = defaults.4.as_ref().unwrap_or_else(|| listed("pull"));
        let can_publish = backends.publish.is_some();
        let can_subscribe = backends.subscribe.is_some();
        let (paths, places) = paths.into_iter().unzip();
        let mut references = backends.references;
        let policies = policy::check(&api, backends.publish.as_ref(), &mut references, ledger);
        let api = Self {
            name: api.text("name").into(),
            enabled: api.bool("enabled"),
            paths,
            listed: entrypoints.is_some(),
            http_post: (can_publish && offer("http_post")).then(|| HttpPost {
                ack: Level::parse(post.text("ack")),
                headers: post.texts("headers").iter().map(|name| name.to_ascii_lowercase()).collect(),
            }),
            http_get: (can_subscribe && offer("http_get")).then(|| HttpGet {
                limit: get.number("limit") as u32,
                wait: get.time("wait"),
                answer: match get.text("answer") {
                    "first" => Some(Answer::First),
                    "window" => Some(Answer::Window),
                    _ => None,
                },
            }),
            sse: (can_subscribe && offer("sse")).then(|| Sse {
                heartbeat: sse.time("heartbeat"),
            }),
            websocket: Some(WebSocket {
                publish: can_publish && websocket.bool("publish"),
                subscribe: can_subscribe && websocket.bool("subscribe"),
                ack: Level::parse(websocket.text("ack")),
                heartbeat: websocket.time("heartbeat"),
            })
            .filter(|sides| offer("websocket") && (sides.publish || sides.subscribe)),
            pull: (can_subscribe && offer("pull")).then(|| Pull {
                lease_for: pull.time("lease_for"),
            }),
            publish: backends.publish,
            subscribe: backends.subscribe,
            include: api
                .list("include")
                .iter()
                .map(|word| {
                    if word.text() == "metadata" {
                        Include::Metadata
                    } else {
                        Include::Headers
                    }
                })
                .collect(),
            cors: api.record("cors").map_or(Vec::new(), |cors| cors.texts("origins")),
            slow: match api.text("slow") {
                "gap" => Slow::Gap,
                "close" => Slow::Close,
                _ => Slow::CatchUp,
            },
            compatibility: match api.text("compatibility") {
                "gravitee" => Compatibility::Gravitee,
                _ => Compatibility::None,
            },
            policies,
            keyless: plans.contains(&KEYLESS) || (mode != Mode::Run && value.get(PLANS).is_none()),
            place: ledger.place(value.at),
        };
        ReadApi {
            api,
            places,
            references,
            promises,
        }
    }
}

/// An api, and what must be compared with the other resources.
#[derive(Debug)]
pub(crate) struct ReadApi {
    pub(crate) api: Api,
    /// Where each path stands.
    pub(crate) places: Vec<At>,
    pub(crate) references: Vec<Reference>,
    pub(crate) promises: Vec<Promise>,
}
/// A level for a topic: whether it can be kept depends on the streams.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) topic: String,
    pub(crate) level: Level,
    pub(crate) at: At,
    pub(crate) path: Path,
}
/// Whether an unknown key was told to mean one of `keys`: then it is not also missing.
fn misspelt(value: &Value, keys: &[&str]) -> bool {
    let known = || API.keys.iter().map(|key| key.name);
    let unknown = |name: &str| API.key(name).is_none();
    let mut names = value.entries().iter().map(|entry| entry.key.as_str());
    names.any(|name| unknown(name) && suggest(name, known()).is_some_and(|meant| keys.contains(&meant)))
}
fn check_plans(api: &Record, ledger: &mut Ledger) {
    for (i, plan) in api.list("plans").iter().enumerate() {
        if ["keyless", ""].contains(&plan.text()) {
            continue;
        }
        let path = api.path.key("plans").item(i);
        ledger.tell(match suggest(plan.text(), ["keyless"]) {
            Some(near) if !plan.hidden => {
                let fault = Fault::new(
                    Code::NoSuchReference,
                    plan.at,
                    &path,
                    format!("there is no plan `{}`", plan.shown()),
                );
                fault.expected("`keyless`").did_you_mean(Some(near))
            }
            _ => Fault::later(plan.at, &path, &format!("the plan `{}`", plan.shown())).hint("now: `keyless`"),
        });
    }
}
/// Broken paths are left out, so the list may be shorter than what was written.
fn paths(api: &Record, path: &Path, ledger: &mut Ledger) -> Vec<(ApiPath, At)> {
    let mut out = Vec::new();
    for (i, field) in api.list("paths").iter().enumerate() {
        let Some(record) = field.record() else { continue };
        let Some(text) = record.maybe_text("path") else { continue };
        let text = without_slash(text);
        if let Some(verb) = VERBS.iter().find(|verb| text.ends_with(&format!("/{verb}"))) {
            let path = path.key("paths").item(i);
            let fault = Fault::new(Code::BadValue, record.at("path"), &path, format!("`{verb}` is a verb below a path"));
            ledger.tell(fault.hint("choose another last part"));
        }
        let host = record.maybe_text("host").map(str::to_ascii_lowercase);
        let path = text.to_owned();
        out.push((ApiPath { path, host }, record.at("path")));
    }
    out
}

/// The two directions of an api.
struct Backends {
    publish: Option<Backend>,
    subscribe: Option<Backend>,
    /// No error was told about them.
    sure: bool,
    references: Vec<Reference>,
}
impl Backends {
    fn check(api: &Record, value: &Value, paths: &[(ApiPath, At)], kinds: &[Kind], ledger: &mut Ledger) -> Self {
        let told = ledger.faults();
        let mut references = Vec::new();
        let wild = paths.iter().all(|(path, _)| path.path.ends_with('*'));
        let mut side = |name: &str, side: Side| {
            let value = api.raw(name)?;
            Backend::check(value, &api.path.key(name), side, wild, kinds, &mut references, ledger)
        };
        let both = side("backend", Side::Both);
        let publish = side("publish", Side::Publish);
        let subscribe = side("subscribe", Side::Subscribe);
        let written = |name: &str| value.get(name);
        if let (Some(_), Some(entry)) = (written("backend"), written("publish").or_else(|| written("subscribe"))) {
            let path = api.path.key(&entry.key);
            let fault = Fault::new(Code::BadValue, entry.at, &path, format!("`{}` beside `backend`", entry.key));
            ledger.tell(fault.hint("keep `backend`, or `publish` and `subscribe`"));
        }
        let all = ["backend", "publish", "subscribe"];
        let whole = !value.is_null() && !value.entries().is_empty();
        if whole && all.iter().all(|name| written(name).is_none()) && !misspelt(value, &all) {
            let fault = Fault::new(Code::MissingKey, value.at, &api.path, "`backend` is missing");
            ledger.tell(
                fault
                    .expected(Shape::Record(&BACKEND).expected())
                    .hint("add `backend: { stream: orders }`"),
            );
        }
        // A mock makes messages and takes none.
        let takes = both.clone().filter(|backend| !matches!(backend, Backend::Mock(_)));
        Self {
            publish: publish.or(takes),
            subscribe: subscribe.or(both),
            sure: told == ledger.faults() && all.iter().any(|name| api.raw(name).is_some()),
            references,
        }
    }
    /// A level nobody offers there would refuse each caller.
    fn must_keep(&self, entrypoint: &Record, promises: &mut Vec<Promise>, ledger: &mut Ledger) {
        let offered: &[Level] = match &self.publish {
            Some(Backend::Stream(_)) => &[Level::Stored, Level::Accepted],
            // Which it is depends on the streams that capture the topic.
            Some(Backend::Topic(_)) => &[Level::Stored, Level::Delivered, Level::Accepted],
            Some(Backend::Mock(_) | Backend::Endpoint { .. }) | None => return,
        };
        let word = entrypoint.text("ack");
        if Level::parse(word).is_none_or(|level| offered.contains(&level)) {
            if let (Some(level), Some(Backend::Topic(topic))) = (Level::parse(word), &self.publish) {
                promises.push(Promise {
                    topic: topic.clone(),
                    level,
                    at: entrypoint.at("ack"),
                    path: entrypoint.path.key("ack"),
                });
            }
            return;
        }
        let fault = Fault::new(
            Code::Unkeepable,
            entrypoint.at("ack"),
            &entrypoint.path.key("ack"),
            format!("the backend does not offer `{word}`"),
        );
        let words: Vec<_> = offered.iter().map(|level| format!("`{}`", level.as_str())).collect();
        ledger.tell(fault.expected(words.join(", ")));
    }
    /// A listed entrypoint that its backend cannot serve would answer nothing but errors.
    fn must_fit(&self, listed: &Record, api: &Value, promises: &mut Vec<Promise>, ledger: &mut Ledger) {
        let entries = api.get("entrypoints").map(|entry| entry.value.entries()).unwrap_or_default();
        if entries.is_empty() && api.get("entrypoints").is_some_and(|entry| entry.value.is_empty()) {
            let fault = Fault::new(
                Code::BadValue,
                listed.at,
                &listed.path,
                "`entrypoints` is empty: nobody could reach this api",
            );
            ledger.tell(fault.hint("remove it to have all that fit"));
        }
        for name in ["http_post", "websocket"].into_iter().filter(|_| self.sure) {
            if let Some(entrypoint) = listed.record(name) {
                self.must_keep(entrypoint, promises, ledger);
            }
        }
        for entry in entries.iter().filter(|_| self.sure) {
            let (missing, to_do) = match entry.key.as_str() {
                "http_post" if self.publish.is_none() => ("published to", "add `publish`"),
                "http_get" | "sse" | "pull" if self.subscribe.is_none() => ("read from", "add `subscribe`"),
                _ => continue,
            };
            let message = format!("`{}` on a backend that cannot be {missing}", entry.key);
            let fault = Fault::new(Code::Unkeepable, entry.at, &listed.path.key(&entry.key), message);
            ledger.tell(fault.hint(format!("remove it, or {to_do}")));
        }
    }
}
