//! Every route there is.
use super::{dead_letters::Ask, writes};
use http::Method;
use tidegate_config::{Manage, ResourceKind};

/// One method of one path.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
    /// `None`: anybody may.
    pub(super) needs: Option<Manage>,
    pub(super) act: Act,
    /// Parameters it knows.
    pub(super) query: &'static [Query],
    /// What it answers when all is well.
    pub(super) answers: &'static [u16],
    /// One sentence.
    pub(super) says: &'static str,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Health,
    Ready,
    Metrics,
    Description,
    Catch,
    Caught,
    List(ResourceKind),
    Create(ResourceKind),
    Read(ResourceKind),
    Replace(ResourceKind),
    Delete(ResourceKind),
    Run(ResourceKind, bool),
    Purge,
    Groups,
    DeleteGroup,
    Messages,
    DeadLetters(Ask),
    Apply,
    Export,
    Status,
    Reload,
    LogLevel,
    SetLogLevel,
    RotateKeys,
    Changes,
    Deliveries,
    TestSchema,
    Versions,
    TestWebhook,
    ReplayWebhook,
    Trace,
    Alarms,
    WhoAmI,
}
/// A parameter behind the `?`.
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) schema: &'static str,
}
const fn query(name: &'static str, schema: &'static str, says: &'static str) -> Query {
    Query { name, says, schema }
}
const LIMIT: Query = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":1000}"#,
    "How many at most; 100 if nothing is said.",
);
const DRY: Query = query("dry_run", r#"{"type":"boolean"}"#, "Only says what would change.");
const LIST: &[Query] = &[
    LIMIT,
    query("cursor", r#"{"type":"string"}"#, "The `next_cursor` of the page before."),
    query("name", r#"{"type":"string"}"#, "Only names that begin so."),
    query(
        "label",
        r#"{"type":"string","pattern":"^[^=]+=.*$"}"#,
        "Only those with this label: `team=sales`.",
    ),
];
const CHANGES: &[Query] = &[
    LIMIT,
    query(
        "cursor",
        r#"{"type":"string","pattern":"^[0-9]{1,18}$"}"#,
        "The `next_cursor` of the page before.",
    ),
];
const EXPORT: &[Query] = &[
    query("all", r#"{"type":"boolean"}"#, "Also users and tokens, without their secrets."),
    query(
        "revisions",
        r#"{"type":"boolean"}"#,
        "Each with its `meta.revision`, for `if_match` when it is applied.",
    ),
];
const DELIVERIES: &[Query] = &[
    LIMIT,
    query(
        "cursor",
        r#"{"type":"string","pattern":"^[0-9]{1,18}$"}"#,
        "The `next_cursor` of the page before.",
    ),
    query(
        "id",
        r#"{"type":"string","minLength":1}"#,
        "Only attempts of the message with this id, `webhook-id` or position.",
    ),
    query(
        "outcome",
        r#"{"enum":["delivered","answered","refused","stopped","failed","abandoned"]}"#,
        "Only those that ended so.",
    ),
    query(
        "status",
        r#"{"type":"string","pattern":"^[1-5]([0-9][0-9]|xx)$"}"#,
        "Only those that the target answered so: a status, or a class of them, such as `5xx`.",
    ),
    query("target", r#"{"type":"string"}"#, "Only those with this text in their URL."),
    query(
        "since",
        r#"{"type":"string"}"#,
        "Only later ones: a time, or a duration such as `10m`.",
    ),
    query("until", r#"{"type":"string"}"#, "Only earlier ones: a time, or how long ago."),
];
const TRACE: &[Query] = &[query(
    "id",
    r#"{"type":"string","minLength":1}"#,
    "The id, the `webhook-id` or the position of a message.",
)];
/// Which dead letters; `dead_letters::Wanted` knows the same names.
const STREAM: Query = query("stream", TEXT, "Only those that were read from this stream.");
const GROUP: Query = query("group", TEXT, "Only those that this group gave up.");
const REASON: Query = query("reason", TEXT, "Only those given up for this reason.");
const TOPIC: Query = query("topic", TEXT, "Only those of this topic, or of topics that this filter matches.");
const ID: Query = query(
    "id",
    TEXT,
    "Only the message of this id; where it had none, of this first position.",
);
const SINCE: Query = query(
    "since",
    TEXT,
    "Only those given up then or later: a time, or how long ago, such as `10m`.",
);
const UNTIL: Query = query("until", TEXT, "Only those given up before: a time, or how long ago.");
const TEXT: &str = r#"{"type":"string"}"#;
const DEAD_LETTERS: &[Query] = &[
    LIMIT,
    query("cursor", TEXT, "The `next_cursor` of the page before."),
    query("before", TEXT, "Only those that are older than this one, by its id."),
    STREAM,
    GROUP,
    REASON,
    TOPIC,
    ID,
    SINCE,
    UNTIL,
];
const DROPPED: &[Query] = &[
    query("all", r#"{"type":"boolean"}"#, "All of them: said where nothing else is."),
    STREAM,
    GROUP,
    REASON,
    TOPIC,
    ID,
    SINCE,
    UNTIL,
];
const ROTATE: &[Query] = &[query(
    "revoke",
    r#"{"type":"boolean"}"#,
    "In place of all others, at once: every session ends.",
)];
const NONE: &[Query] = &[];
const DRY_RUN: &[Query] = &[DRY];
const APPLY: &[Query] = &[
    DRY,
    query(
        "if_match",
        r#"{"type":"boolean"}"#,
        "Only if each is at its `meta.revision`, and not there where it has none; else 412.",
    ),
];

fn all() -> Vec<Route> {
    let mut all = Vec::new();
    let mut add = |method, path: String, needs, act, query, answers, says| {
        all.push(Route {
            method,
            path,
            needs,
            act,
            query,
            answers,
            says,
        });
    };
    let (get, put, post, delete) = (|| Method::GET, || Method::PUT, || Method::POST, || Method::DELETE);
    let fixed = |path: &str| path.to_owned();
    add(
        get(),
        fixed("/healthz"),
        None,
        Act::Health,
        NONE,
        &[200],
        "Whether the process answers.",
    );
    add(
        get(),
        fixed("/readyz"),
        None,
        Act::Ready,
        NONE,
        &[200, 503],
        "Whether the node wants traffic.",
    );
    add(
        get(),
        fixed("/metrics"),
        None,
        Act::Metrics,
        NONE,
        &[200],
        "Every number, as OpenMetrics.",
    );
    add(
        get(),
        fixed("/openapi.json"),
        None,
        Act::Description,
        NONE,
        &[200],
        "This description.",
    );
    add(
        get(),
        fixed("/_demo/inbox"),
        None,
        Act::Caught,
        NONE,
        &[200],
        "What the catcher of the demo has caught: a page, or JSON by `Accept`.",
    );
    add(
        post(),
        fixed("/_demo/inbox"),
        None,
        Act::Catch,
        NONE,
        &[204],
        "The catcher of the demo, a target for webhooks.",
    );
    let v1 = |rest: &str| format!("/api/v1/{rest}");
    let (viewer, operator, admin) = (Some(Manage::Viewer), Some(Manage::Operator), Some(Manage::Admin));
    for kind in ResourceKind::ALL.iter().copied() {
        let (many, one) = (v1(kind.plural()), v1(&format!("{}/{{name}}", kind.plural())));
        let may = Some(writes(kind));
        add(
            get(),
            many.clone(),
            viewer,
            Act::List(kind),
            LIST,
            &[200],
            "The resources of this kind, by name.",
        );
        add(
            post(),
            many,
            may,
            Act::Create(kind),
            DRY_RUN,
            &[200, 201],
            "Makes one that is not there.",
        );
        add(get(), one.clone(), viewer, Act::Read(kind), NONE, &[200], "One resource.");
        add(
            put(),
            one.clone(),
            may,
            Act::Replace(kind),
            DRY_RUN,
            &[200, 201],
            "Makes or replaces one.",
        );
        add(
            delete(),
            one.clone(),
            may,
            Act::Delete(kind),
            DRY_RUN,
            &[200, 204],
            "Deletes one that nobody uses.",
        );
        if kind.runs() {
            add(
                post(),
                format!("{one}/start"),
                may,
                Act::Run(kind, true),
                NONE,
                &[200],
                "Starts it.",
            );
            add(post(), format!("{one}/stop"), may, Act::Run(kind, false), NONE, &[200], "Stops it.");
        }
    }
    add(
        post(),
        v1("streams/{name}/purge"),
        operator,
        Act::Purge,
        NONE,
        &[200],
        "Forgets all messages of a stream.",
    );
    add(
        get(),
        v1("streams/{name}/groups"),
        viewer,
        Act::Groups,
        NONE,
        &[200],
        "Who reads a stream together, and how far each group is.",
    );
    add(
        delete(),
        v1("streams/{name}/groups/{*group}"),
        operator,
        Act::DeleteGroup,
        NONE,
        &[204],
        "Forgets the place of a group of clients: whoever asks for it again begins anew.",
    );
    add(
        post(),
        v1("schemas/{name}/test"),
        viewer,
        Act::TestSchema,
        NONE,
        &[200],
        "Whether a schema takes the body as a message; its content type counts.",
    );
    add(
        get(),
        v1("schemas/{name}/versions"),
        viewer,
        Act::Versions,
        NONE,
        &[200],
        "What a schema said, newest first.",
    );
    for (path, says) in [("streams/{name}/messages", "a stream"), ("topics/{*name}", "a topic")] {
        let (reads, publishes) = match says {
            "a topic" => (
                "Reads a topic, as the gateway's GET does: JSON, NDJSON, text, events.",
                "Publishes to a topic.",
            ),
            _ => (
                "Reads a stream, as the gateway's GET does: JSON, NDJSON, text, events.",
                "Publishes to a stream.",
            ),
        };
        add(get(), v1(path), operator, Act::Messages, MESSAGES, &[200], reads);
        add(post(), v1(path), operator, Act::Messages, NONE, &[202, 207], publishes);
    }
    let letters = v1("dead-letters");
    let letter = format!("{letters}/{{id}}");
    for (method, path, needs, ask, query, says) in [
        (
            get(),
            letters.clone(),
            operator,
            Ask::List,
            DEAD_LETTERS,
            "Messages that were given up, newest first.",
        ),
        (
            delete(),
            letters.clone(),
            operator,
            Ask::DropAll,
            DROPPED,
            "Forgets those that are wanted, and says how many.",
        ),
        (
            post(),
            format!("{letters}/replay"),
            viewer,
            Ask::ReplayAll,
            NONE,
            "Sends those that are wanted again, to their own group or to a topic; a viewer may only count them.",
        ),
        (get(), letter.clone(), operator, Ask::Read, NONE, "One dead letter, whole."),
        (delete(), letter.clone(), operator, Ask::Drop, NONE, "Forgets one."),
        (
            post(),
            format!("{letter}/replay"),
            operator,
            Ask::Replay,
            NONE,
            "Sends one again, to its own group or to a topic.",
        ),
    ] {
        add(method, path, needs, Act::DeadLetters(ask), query, &[200], says);
    }
    add(
        post(),
        v1("apply"),
        operator,
        Act::Apply,
        APPLY,
        &[200],
        "Makes and replaces many, all or none.",
    );
    add(
        get(),
        v1("export"),
        viewer,
        Act::Export,
        EXPORT,
        &[200],
        "Every resource, in an order in which they can be applied.",
    );
    add(get(), v1("status"), viewer, Act::Status, NONE, &[200], "How the node does.");
    add(
        post(),
        v1("reload"),
        operator,
        Act::Reload,
        NONE,
        &[200],
        "Reads the files of the configuration again.",
    );
    add(get(), v1("log-level"), viewer, Act::LogLevel, NONE, &[200], "What is logged.");
    add(
        put(),
        v1("log-level"),
        admin,
        Act::SetLogLevel,
        NONE,
        &[200],
        "Logs that from now on, until the next start.",
    );
    add(
        post(),
        v1("signing-keys/rotate"),
        admin,
        Act::RotateKeys,
        ROTATE,
        &[200],
        "Signs sessions with a new key as soon as all nodes that share the file have read it; tokens of those before it hold on.",
    );
    add(
        get(),
        v1("changes"),
        viewer,
        Act::Changes,
        CHANGES,
        &[200],
        "Who changed what, newest first.",
    );
    let hook = |verb: &str| v1(&format!("webhooks/{{name}}/{verb}"));
    add(
        get(),
        hook("deliveries"),
        operator,
        Act::Deliveries,
        DELIVERIES,
        &[200],
        "The last attempts of a webhook, newest first.",
    );
    add(
        post(),
        hook("test"),
        operator,
        Act::TestWebhook,
        NONE,
        &[200],
        "Sends one message to the target of a webhook, and says what came back.",
    );
    add(
        post(),
        hook("replay"),
        operator,
        Act::ReplayWebhook,
        NONE,
        &[200],
        "Sends what its source still holds once more.",
    );
    add(
        get(),
        v1("trace"),
        operator,
        Act::Trace,
        TRACE,
        &[200],
        "Where a message is, and every attempt to deliver it.",
    );
    add(
        get(),
        v1("alarms"),
        viewer,
        Act::Alarms,
        NONE,
        &[200],
        "What somebody should look at, as it happens: server-sent events with `Accept: text/event-stream`.",
    );
    add(
        get(),
        v1("whoami"),
        viewer,
        Act::WhoAmI,
        NONE,
        &[200],
        "Who the caller is, and how far it may go.",
    );
    all
}
/// Read by the gateway, not here.
const MESSAGES: &[Query] = &[
    query(
        "from",
        r#"{"type":"string"}"#,
        "Where to begin: `earliest`, `latest`, `last:N`, `10m`, a time or a position.",
    ),
    query("cursor", r#"{"type":"string"}"#, "The `next_cursor` of the page before."),
    query("limit", r#"{"type":"integer","minimum":1}"#, "How many at most."),
    query("wait", r#"{"type":"string"}"#, "How long to wait for messages: `5s`."),
    query("include", r#"{"type":"string"}"#, "`headers`, `metadata`, or both."),
];
/// By path.
pub(super) fn paths() -> matchit::Router<Vec<Route>> {
    let mut router = matchit::Router::new();
    for (path, routes) in by_path() {
        if let Err(error) = router.insert(path.clone(), routes) {
            tracing::error!(path, error = %error, "a route that cannot be reached");
        }
    }
    router
}
/// In their order.
pub(super) fn by_path() -> Vec<(String, Vec<Route>)> {
    let mut paths: Vec<(String, Vec<Route>)> = Vec::new();
    for route in all() {
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, routes)) => routes.push(route),
            None => paths.push((route.path.clone(), vec![route])),
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_reached_and_only_six_need_nobody() {
        let router = paths();
        let open: Vec<_> = all()
            .into_iter()
            .filter(|route| route.needs.is_none())
            .map(|route| route.path)
            .collect();
        assert_eq!(
            open,
            ["/healthz", "/readyz", "/metrics", "/openapi.json", "/_demo/inbox", "/_demo/inbox"]
        );
        for route in all() {
            let path = route.path.replace("{name}", "x").replace("{*name}", "a/b").replace("{id}", "1.0");
            let found = router.at(&path).unwrap();
            assert!(found.value.iter().any(|other| other.act == route.act), "{path}");
        }
    }
}
