//! What comes out of a webhook, and that it goes through the API and back without a change.
use crate::common::{check, good, kinds, texts};
use serde_json::json;
use std::time::Duration;
use tidegate_config::{
    DeadLetters, Documents, Id, Keep, Mode, ResourceKind, Source, load,
    webhook::{Auth, Batch, Breaker, From, Http, Meaning, Order, Retry, WebhookSource},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_documented_example_is_taken() {
    let text = "kind: stream\nname: orders\n---\nkind: webhook                      # a pump\nname: crm\n\
        source: { stream: orders, from: latest }\n\
        target: { url: \"https://crm.example.com/hook\", method: POST, headers: { x-team: a }, timeout: 15s, auth: { bearer: \"x\" } }\n\
        sign: { secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw] }\norder: key\nparallel: 16\n\
        retry: { first: 1s, max: 5m, attempts: 12 }\ndead_letters: { stream: orders.dead }\n";
    let checked = good(text);
    let [crm] = checked.webhooks.as_slice() else {
        panic!("one webhook")
    };
    assert_eq!((&*crm.name, crm.enabled, crm.parallel, crm.order), ("crm", true, 16, Order::Key));
    assert_eq!((&crm.source, crm.from), (&WebhookSource::Stream("orders".into()), From::Latest));
    assert_eq!(crm.target.url.expose(), "https://crm.example.com/hook");
    assert_eq!(
        (&*crm.target.method, crm.target.timeout, crm.target.http),
        ("POST", Duration::from_secs(15), Http::One)
    );
    assert_eq!(crm.target.headers[0].0, "x-team");
    assert!(matches!(&crm.target.auth, Auth::Bearer(token) if token.expose() == "x"));
    assert_eq!(crm.sign[0].expose(), SECRET);
    let retry = Retry {
        first: Duration::from_secs(1),
        max: Duration::from_mins(5),
        attempts: 12,
        give_up_after: None,
        retry_after: Duration::from_hours(1),
    };
    assert_eq!(crm.retry, retry);
    assert_eq!(crm.dead_letters.as_deref(), Some("orders.dead"));
    let uses = |stream: &str| (Id::new(ResourceKind::Webhook, "crm"), Id::new(ResourceKind::Stream, stream));
    assert_eq!(checked.uses, [uses("orders"), uses("orders.dead")]);
    // What is not said is as the example says it.
    let bare = good(
        "kind: stream\nname: orders\n---\nkind: webhook\nname: crm\nsource: { stream: orders }\n\
        target: { url: \"https://crm.example.com/hook\", headers: { x-team: a }, auth: { bearer: x } }\n\
        sign: { secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw] }\ndead_letters: { stream: orders.dead }\n",
    );
    assert!(bare.webhooks[0].is_like(crm));
    assert!(!format!("{crm:?}").contains(SECRET) && !format!("{crm:?}").contains("crm.example.com"));
}
#[test]
fn everything_else_a_webhook_may_say() {
    let text = "kind: webhook\nname: a\nenabled: false\nsource: { topics: [\"t/#\", u], from: last:5 }\n\
        target:\n  url: \"http://10.0.0.1:8080/in?x=1\"\n  method: PUT\n  http: auto\n  proxy: \"http://me:pw@p.example:3128\"\n\
        \x20 headers: { X-Tenant: \"${header:tenant}-${topic}\" }\n\
        \x20 auth: { oauth2: { token_url: \"https://id.example/t\", client_id: me, client_secret: s, scopes: [a, b], in: body } }\n\
        order: none\nparallel: 4\nbatch: { messages: 7, bytes: 2MiB, wait: 1s, as: ndjson }\n\
        retry: { give_up_after: 1d }\nbreaker: { failures: 3, open_for: 1m }\n\
        answers: { 4xx: dead_letter, 409: success, 500-599: stop }\n";
    let checked = good(text);
    let one = &checked.webhooks[0];
    let WebhookSource::Topics(topics) = &one.source else {
        panic!("topics")
    };
    assert_eq!((topics.len(), one.from, one.enabled), (2, From::Last(5), false));
    assert_eq!(one.target.http, Http::Auto);
    assert_eq!(
        one.target.proxy.as_ref().map(tidegate_config::Secret::expose),
        Some("http://me:pw@p.example:3128")
    );
    assert_eq!(one.target.headers[0].0, "x-tenant");
    let Auth::OAuth2 {
        scopes,
        in_body,
        client_secret,
        ..
    } = &one.target.auth
    else {
        panic!("oauth2")
    };
    assert_eq!((scopes.len(), *in_body, client_secret.expose()), (2, true, "s"));
    let batch = Batch {
        messages: 7,
        bytes: 2 << 20,
        wait: Duration::from_secs(1),
        ndjson: true,
    };
    assert_eq!((one.order, one.batch), (Order::None, Some(batch)));
    assert_eq!(one.retry.give_up_after, Some(Duration::from_hours(24)));
    assert_eq!(
        one.breaker,
        Breaker {
            failures: 3,
            open_for: Duration::from_mins(1)
        }
    );
    // The narrowest first, however it was written.
    let ranges: Vec<_> = one
        .answers
        .iter()
        .map(|(range, meaning)| (*range.start(), *range.end(), *meaning))
        .collect();
    assert_eq!(
        ranges,
        [
            (409, 409, Meaning::Success),
            (400, 499, Meaning::DeadLetter),
            (500, 599, Meaning::Stop)
        ]
    );
}
#[test]
fn all_faults_are_told_at_once() {
    let text = "kind: webhook\nname: a\nsource: { stream: nowhere, from: soon }\n\
        target: { url: x, method: GET, headers: { host: a, x: \"${y}\" }, timeout: 0s, tls: { ca: none, private_key: none } }\n\
        sign: { secrets: [] }\norder: no\nparallel: 0\nretry: { attempts: 0 }\nanswers: { 9: x }\nbatch: { as: xml }\nbraker: {}\n";
    let report = check(Mode::Run, text).unwrap_err();
    let mut told: Vec<_> = report.diagnostics.iter().map(|one| one.pointer.as_str()).collect();
    told.sort_unstable();
    told.dedup();
    let expected = [
        "/answers/9",
        "/batch/as",
        "/braker",
        "/order",
        "/parallel",
        "/retry/attempts",
        "/sign/secrets",
        "/source/from",
        "/source/stream",
        "/target/headers/host",
        "/target/headers/x",
        "/target/method",
        "/target/timeout",
        "/target/tls",
        "/target/tls/ca",
        "/target/tls/private_key",
        "/target/url",
    ];
    assert_eq!(told, expected, "{report}");
}
/// What is read back is written again without a change, its secrets aside, which the store keeps.
#[test]
fn it_goes_out_and_comes_back() {
    let stream = json!({ "kind": "stream", "name": "orders", "retention": { "keep": "until_acked" },
        "dead_letters": { "stream": "orders.dead", "after_attempts": 3 } });
    let webhook = json!({
        "kind": "webhook", "name": "crm", "source": { "stream": "orders" },
        "target": {
            "url": "https://crm.example.com/hook", "headers": { "x-tenant": "${header:tenant}" },
            "auth": { "basic": { "username": "me", "password": "pw" } }, "proxy": "http://me:pw@p.example",
        },
        "sign": { "secrets": [SECRET] }, "answers": { "409": "success" },
    });
    let documents = |webhook: &serde_json::Value| {
        let mut all = Documents::default();
        all.add("one", &stream);
        all.add("two", webhook);
        all
    };
    let first = documents(&webhook);
    let declared = first.declared().find(|declared| declared.id.kind == ResourceKind::Webhook).unwrap();
    let mut masked = webhook.clone();
    masked["target"]["auth"]["basic"]["password"] = json!("***");
    masked["target"]["proxy"] = json!("***");
    masked["sign"]["secrets"][0] = json!("***");
    assert_eq!(declared.document, masked);
    assert!(first.says(&declared.id, &declared.document, true));
    let checked = first.check(Mode::Run, &kinds()).unwrap();
    let again = documents(&webhook).check(Mode::Run, &kinds()).unwrap();
    assert!(checked.webhooks[0].is_like(&again.webhooks[0]));
    let dead = DeadLetters {
        stream: Some("orders.dead".into()),
        after_attempts: 3,
    };
    assert_eq!(
        (checked.streams[0].keep, &checked.streams[0].dead_letters),
        (Keep::UntilAcked, &Some(dead))
    );
    // Whoever turns it off changes only that.
    let mut stopped = documents(&webhook);
    stopped.set(&declared.id, "enabled", false);
    assert!(!stopped.check(Mode::Run, &kinds()).unwrap().webhooks[0].enabled);
}
#[test]
fn where_a_node_may_call() {
    let node = |mode, text: &str| {
        let source: Source = texts(&[("tidegate.yaml", text)]);
        load(source, [], &[], mode, &kinds())
            .unwrap_or_else(|report| panic!("{report}"))
            .node
            .outgoing
    };
    let shown = |mode, text: &str| node(mode, text).allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(shown(Mode::Run, ""), "");
    assert_eq!(shown(Mode::Dev, ""), "127.0.0.1/8 ::1/128");
    assert_eq!(
        shown(Mode::Dev, "outgoing: { allow: [10.1.0.0/16, \"fd00::/8\", 10.2.0.1] }"),
        "10.1.0.0/16 fd00::/8 10.2.0.1/32"
    );
    assert_eq!(shown(Mode::Dev, "outgoing: { allow: [] }"), "");
    let with = node(Mode::Run, "outgoing: { proxy: \"http://me:pw@proxy.example:3128\" }");
    assert_eq!(with.proxy.as_ref().unwrap().expose(), "http://me:pw@proxy.example:3128");
    assert!(!format!("{with:?}").contains("pw"));
}
