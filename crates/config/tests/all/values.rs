//! What comes out of a configuration without errors, and which of several voices is heard.
use crate::common::{check, good, kinds, pairs, texts};
use std::{net::SocketAddr, time::Duration};
use tidegate_config::{Answer, Backend, Checked, Compatibility, Include, LogFormat, Mode, Node, WhenFull, load};
use tidegate_core::receipt::Level;

/// The settings of a file under variables and flags.
fn node(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Node {
    let source = texts(&[("tidegate.yaml", file)]);
    match load(source, pairs(environment), &pairs(flags), Mode::Dev, &kinds()) {
        Ok(Checked { node, .. }) => node,
        Err(report) => panic!("{report}"),
    }
}
fn text(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn says_the_documented_defaults_when_nobody_says_anything() {
    let node = node("", &[], &[]);
    assert_eq!(node, Node::default());
    assert_eq!(node.data_dir.to_str(), Some("tidegate-data"));
    assert_eq!(text(&node.listeners.gateway[0].address), "127.0.0.1:8080 [::1]:8080");
    assert_eq!(text(&node.listeners.admin[0].address), "127.0.0.1:8084 [::1]:8084");
    assert!(!node.listeners.gateway[0].insecure);
    let limits = &node.limits;
    assert_eq!((limits.body, limits.batch_body, limits.batch_items), (4 << 20, 8 << 20, 10_000));
    assert_eq!((limits.head, limits.headers, limits.target), (64 << 10, 64, 8 << 10));
    assert_eq!(
        (limits.connections, limits.in_flight, limits.in_flight_bytes),
        (20_000, 4_096, 256 << 20)
    );
    let seconds = [limits.head_timeout, limits.body_stall, limits.idle, limits.write_stall].map(|time| time.as_secs());
    assert_eq!(seconds, [10, 30, 75, 60]);
    assert_eq!(limits.body_rate, 1 << 10);
    let log = &node.log;
    assert_eq!(
        (log.max_bytes, log.journal_file, log.reserve, log.segment),
        (Some(10 << 30), None, None, None)
    );
    assert_eq!(
        (log.intake, log.tail_cache, log.dedupe_ids, log.record),
        (8 << 20, 16 << 20, 64 << 20, 8 << 20)
    );
    assert_eq!(log.lazy, Duration::from_millis(10));
    assert_eq!((node.telemetry.logs, node.telemetry.level.as_str()), (LogFormat::Text, "info"));
    assert_eq!(
        (node.shutdown.delay, node.shutdown.deadline),
        (Duration::ZERO, Duration::from_secs(30))
    );
}
#[test]
fn every_crate_is_a_part_that_logs() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").read_dir().unwrap();
    let named = crates.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    for name in named.filter(|name| name != "server" && name != "testkit") {
        assert_eq!(tidegate_config::log_level(&format!("tidegate_{name}=debug")), Ok(()), "{name}");
    }
    assert!(tidegate_config::log_level("tidegate=info,tidegate_log::append=trace").is_ok());
    let refused = tidegate_config::log_level("tidegate_lgo=info");
    assert!(refused.is_err_and(|expected| expected.contains("`entrypoints`")));
}
#[test]
fn exposed_is_what_nobody_named() {
    let exposed = |file: &str, flags: &[(&str, &str)]| {
        let checked = load(
            texts(&[("tidegate.yaml", file)]),
            pairs(&[]),
            &pairs(flags),
            Mode::Exposed,
            &kinds(),
        );
        let listeners = checked.unwrap_or_else(|report| panic!("{report}")).node.listeners;
        let memphis = listeners.memphis.iter().map(|memphis| &memphis.listener);
        let all = [&listeners.gateway, &listeners.admin].into_iter().flatten().chain(memphis);
        all.map(|one| text(&one.address)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(exposed("", &[]), "0.0.0.0:8080, 0.0.0.0:8084");
    assert_eq!(
        exposed("listeners: { gateway: \":9000\" }", &[]),
        "127.0.0.1:9000 [::1]:9000, 0.0.0.0:8084"
    );
    // What was said is said with leave, and what is off stays off.
    assert_eq!(
        exposed("listeners: { admin: [] }", &[("listeners.gateway", "192.168.1.4:8080")]),
        "192.168.1.4:8080"
    );
    // A part lies over the default.
    assert_eq!(
        exposed("", &[("listeners.gateway.trusted_proxies", "[10.0.0.0/8]")]),
        "0.0.0.0:8080, 0.0.0.0:8084"
    );
    assert_eq!(
        exposed("listeners: { memphis: \":4444\" }", &[("listeners.admin.address", "127.0.0.1:1")]),
        "0.0.0.0:8080, 127.0.0.1:1, 127.0.0.1:4444 [::1]:4444"
    );
    let unsafe_all_the_same = "listeners: { gateway: { address: \"0.0.0.0:8080\", insecure: false } }";
    let report = check(Mode::Exposed, unsafe_all_the_same).unwrap_err().to_string();
    assert!(report.contains("TG5009") && !report.contains("--expose"), "{report}");
}
#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "limits: { body: 2MiB }";
    let variable = ("TIDEGATE__LIMITS__BODY", "3MiB");
    let flag = ("limits.body", "5MiB");
    let body = |file, environment: &[_], flags: &[_]| node(file, environment, flags).limits.body >> 20;
    assert_eq!(body("", &[], &[]), 4);
    assert_eq!(body(file, &[], &[]), 2);
    assert_eq!(body(file, &[variable], &[]), 3);
    assert_eq!(body("", &[variable], &[]), 3);
    assert_eq!(body(file, &[variable], &[flag]), 5);
    assert_eq!(body("", &[], &[flag]), 5);
    // A broken value in the file is nobody's business once it is overridden.
    assert_eq!(body("limits: { body: nonsense }", &[variable], &[]), 3);
    assert_eq!(node(file, &[variable], &[]).limits.batch_items, 10_000);
}
#[test]
fn overrides_reach_every_spelling_of_a_listener() {
    let gateway = |file: &str, environment: &[_]| {
        let node = node(file, environment, &[]);
        let one = node.listeners.gateway.into_iter().next().unwrap();
        (text(&one.address), one.insecure, one.at.to_string())
    };
    let address = ("tidegate__listeners__gateway__address", "127.0.0.1:1");
    let insecure = ("TIDEGATE__LISTENERS__GATEWAY__INSECURE", "true");
    for file in [
        "",
        "listeners: { gateway: \":9\" }",
        "listeners: { gateway: { address: \":9\" } }",
        "listeners: {}",
    ] {
        let (address, insecure, at) = gateway(file, &[address, insecure]);
        assert_eq!(
            (address.as_str(), insecure, at.as_str()),
            ("127.0.0.1:1", true, "tidegate__listeners__gateway__address:1:39"),
            "{file}"
        );
    }
    let (address, ..) = gateway("listeners: { gateway: \":9\" }", &[insecure]);
    assert_eq!(address, "127.0.0.1:9 [::1]:9");
    let (address, insecure, _) = gateway("", &[insecure]);
    assert_eq!((address.as_str(), insecure), ("127.0.0.1:8080 [::1]:8080", true));
    let two = node("", &[("TIDEGATE__LISTENERS__GATEWAY", "[\":1\", \":2\"]")], &[]);
    assert_eq!(two.listeners.gateway.len(), 2);
    assert!(node("listeners: { admin: [] }", &[], &[]).listeners.admin.is_empty());
}
/// An address of IPv6 looks like a list of YAML.
#[test]
fn an_address_in_brackets_is_no_list() {
    let admin = |flag| {
        let admin = node("", &[], &[flag]).listeners.admin;
        admin.iter().map(|one| text(&one.address)).collect::<Vec<_>>()
    };
    assert_eq!(admin(("listeners.admin.address", "[::1]:1")), ["[::1]:1"]);
    assert_eq!(admin(("listeners.admin", "[::1]:1")), ["[::1]:1"]);
    assert_eq!(admin(("listeners.admin", "[\"[::1]:1\", :2]")), ["[::1]:1", "127.0.0.1:2 [::1]:2"]);
    assert_eq!(admin(("listeners.admin", "[]")), [""; 0]);
    assert_eq!(node("", &[], &[("data_dir", "[a]")]).data_dir.display().to_string(), "[a]");
}
#[test]
fn what_is_wrong_with_a_flag_is_marked_key_or_value() {
    let drawn = |key: &str, value: &str| {
        let report = load(texts(&[]), [], &pairs(&[(key, value)]), Mode::Dev, &kinds())
            .unwrap_err()
            .to_string();
        let lines: Vec<_> = report.lines().collect();
        let caret = lines[4].find('^').unwrap();
        let line: String = lines[3].chars().skip(caret).take(lines[4].matches('^').count()).collect();
        (line, lines[3].to_owned(), lines[1].to_owned())
    };
    let marked = |key, value| drawn(key, value).0;
    assert_eq!(
        drawn("limits.bdy", "1"),
        (
            "bdy".to_owned(),
            " 1 | limits.bdy=1".to_owned(),
            "  --> flag limits.bdy:1:8".to_owned()
        )
    );
    assert_eq!(marked("limts.body", "1"), "limts");
    let told = drawn("listeners.admn", "[::1]:1");
    assert_eq!((told.0.as_str(), told.1.as_str()), ("admn", " 1 | listeners.admn=***"));
    assert_eq!(marked("limits.body", "1MB"), "1MB");
    assert_eq!(marked("listeners.admin", "[\":1\", { adress: \":2\" }]"), "adress");
    // What is secret stays so.
    assert_eq!(drawn("store.password", "hunter2").1, " 1 | store.password=***");
    assert_eq!(drawn("store", "{ password: hunter2 }").1, " 1 | store={ password: *** }");
}
/// What is ignored in silence is found by nobody.
#[test]
fn one_underscore_for_two_is_told() {
    for (name, hint) in [
        ("TIDEGATE_LIMITS__BODY", "did you mean `TIDEGATE__LIMITS__BODY`?"),
        ("TIDEGATE_LIMITS_BODY", "did you mean `TIDEGATE__LIMITS__BODY`?"),
        ("tidegate_limits_batch_items", "did you mean `TIDEGATE__LIMITS__BATCH_ITEMS`?"),
        (
            "TIDEGATE_LISTENERS_GATEWAY__ADDRESS",
            "did you mean `TIDEGATE__LISTENERS__GATEWAY__ADDRESS`?",
        ),
    ] {
        let report = load(texts(&[]), pairs(&[(name, "hunter2")]), &[], Mode::Dev, &kinds()).unwrap_err();
        let [told] = &report.diagnostics[..] else { panic!("{report}") };
        assert_eq!(&*told.file, name, "{report}");
        assert!(told.hint.as_deref().unwrap_or_default().starts_with(hint), "{report}");
        assert!(!report.to_string().contains("hunter2"), "{report}");
    }
    // Of the command line, and of an orchestrator that has a service of this name.
    let others = [
        "TIDEGATE_DATA_DIR",
        "TIDEGATE_NODE",
        "TIDEGATE_SERVICE_HOST",
        "TIDEGATE_PORT_8080_TCP",
        "TIDEGATE_LOG_PORT",
        "TIDEGATE_",
        "TIDEGATÉ_LIMITS_BODY",
    ];
    for name in others {
        let report = load(texts(&[]), pairs(&[(name, "x")]), &[], Mode::Dev, &kinds()).err();
        assert!(report.is_none(), "{name}");
    }
}
#[test]
fn a_variable_that_overrides_nothing_is_an_error() {
    let source = || texts(&[("tidegate.yaml", "listeners: { gateway: [\":1\"] }")]);
    for (name, value, message) in [
        ("TIDEGATE__LIMITS__BODI", "1MiB", "unknown key `bodi`"),
        ("TIDEGATE__LIMITTS__BODY", "1MiB", "unknown key `limitts`"),
        ("TIDEGATE__LIMITS__BODY", "1MB", "`body` cannot be `1MB`"),
        ("TIDEGATE__", "1", "unknown key ``"),
        ("TIDEGATE__LISTENERS__GATEWAY__INSECURE", "true", "`gateway` is a list"),
    ] {
        let report = load(source(), pairs(&[(name, value)]), &[], Mode::Dev, &kinds()).unwrap_err();
        assert_eq!(report.diagnostics.len(), 1, "{report}");
        assert_eq!(
            (&*report.diagnostics[0].file, report.diagnostics[0].message.contains(message)),
            (name, true),
            "{report}"
        );
    }
    // What belongs to the command line is not a setting.
    load(
        source(),
        pairs(&[("TIDEGATE_TOKEN", "x"), ("TIDEGATE", "y")]),
        &[],
        Mode::Dev,
        &kinds(),
    )
    .unwrap();
}
#[test]
fn variables_are_filled_in_and_templates_stay() {
    let text = "
data_dir: \"${env:HOME}/data ${payload.x} ${env:A}${env:A}\"
limits: { idle: \"${env:IDLE:-9s}\", head_timeout: \"${env:EMPTY:-8s}\" }
";
    let environment = [("HOME", "/home/a"), ("EMPTY", ""), ("A", "${env:HOME}")];
    let node = node(text, &environment, &[]);
    assert_eq!((node.limits.idle.as_secs(), node.limits.head_timeout.as_secs()), (9, 8));
    // What a variable holds is not looked at again.
    assert_eq!(node.data_dir.to_str(), Some("/home/a/data ${payload.x} ${env:HOME}${env:HOME}"));
}
#[test]
fn a_stream_has_all_its_settings() {
    let all = good(
        "kind: station
name: orders
description: all orders
labels: { team: sales, 1: one }
topics: [orders, \"orders/#\"]
partitions: 4
retention: { age: none, bytes: 2GiB, messages: 1000000, keep: limits }
dedupe: 0
when_full: refuse
meta: { anything: [1] }
status: {}
",
    );
    let stream = &all.streams[0];
    assert_eq!(&*stream.name, "orders");
    let topics: Vec<_> = stream.topics.iter().map(tidegate_core::filter::Filter::as_str).collect();
    assert_eq!(topics, ["orders", "orders/#"]);
    assert_eq!(
        (stream.partitions, stream.age, stream.bytes, stream.messages),
        (4, None, Some(2 << 30), Some(1_000_000))
    );
    assert_eq!((stream.dedupe, stream.when_full), (Duration::ZERO, WhenFull::Refuse));
    let plain = &good("{\"kind\": \"stream\", \"name\": \"x\"}").streams[0];
    assert_eq!(plain.topics[0].as_str(), "x");
    assert_eq!((plain.partitions, plain.bytes, plain.messages), (1, Some(1 << 30), None));
    assert_eq!(plain.age, Some(Duration::from_hours(168)));
    assert_eq!((plain.dedupe, plain.when_full), (Duration::from_mins(2), WhenFull::DropOldest));
}
#[test]
fn an_api_offers_what_fits_its_backend() {
    let api = |rest: &str| {
        good(&format!("kind: api\nname: a\npaths: [/a/]\n{rest}"))
            .apis
            .into_iter()
            .next()
            .unwrap()
    };
    let all = api("backend: { topic: t }");
    assert_eq!(
        (all.paths[0].path.as_str(), &all.paths[0].host, all.enabled, all.keyless),
        ("/a", &None, true, true)
    );
    assert_eq!(
        (&all.publish, &all.subscribe),
        (&Some(Backend::Topic("t".into())), &Some(Backend::Topic("t".into())))
    );
    let post = all.http_post.unwrap();
    assert_eq!((post.ack, post.headers), (None, vec!["content-type".to_owned(), "x-*".to_owned()]));
    let get = all.http_get.unwrap();
    assert_eq!((get.limit, get.wait, get.answer), (500, Duration::from_secs(5), None));
    assert_eq!(all.sse.unwrap().heartbeat, Duration::from_secs(5));
    assert_eq!((all.include, all.compatibility), (vec![], Compatibility::None));

    let mock = api("backend: { mock: { interval: 1s, payload: 7 } }\ncompatibility: gravitee");
    assert_eq!(
        (mock.publish, mock.http_post, mock.compatibility),
        (None, None, Compatibility::Gravitee)
    );
    assert_eq!(
        mock.subscribe,
        Some(Backend::Mock(serde_json::json!({ "interval": "1s", "payload": 7 })))
    );

    let listed = api(
        "backend: { topic: t }\nentrypoints: { http_post: { ack: accepted, headers: [X-A] }, http_get: { answer: window, wait: 0 } }\ninclude: [metadata, headers]\nenabled: false",
    );
    let post = listed.http_post.unwrap();
    assert_eq!((post.ack, post.headers), (Some(Level::Accepted), vec!["x-a".to_owned()]));
    let get = listed.http_get.unwrap();
    assert_eq!((get.answer, get.wait, get.limit), (Some(Answer::Window), Duration::ZERO, 500));
    assert_eq!((listed.sse, listed.enabled), (None, false));
    assert_eq!(listed.include, [Include::Metadata, Include::Headers]);

    let split = good(
        "kind: api\nname: a\npaths: [{ path: \"/t/*\", host: Api.Example.com }]\npublish: { stream: s }\nsubscribe: { endpoint: e, topic: \"x/${rest}\" }\n---\nkind: stream\nname: s\n---\nkind: endpoint\nname: e\ntype: mock\ninterval: 1s\n",
    );
    let api = &split.apis[0];
    assert_eq!(api.paths[0].host.as_deref(), Some("api.example.com"));
    assert_eq!(api.publish, Some(Backend::Stream("s".into())));
    let topic = Some("x/${rest}".to_owned());
    assert_eq!(api.subscribe, Some(Backend::Endpoint { name: "e".into(), topic }));
    let endpoint = &split.endpoints[0];
    assert_eq!((&*endpoint.name, &*endpoint.kind), ("e", "mock"));
    assert_eq!(endpoint.config, serde_json::json!({ "interval": "1s" }));
    assert_eq!(endpoint.place.to_string(), "test.yaml:10:1");
}
#[test]
fn equal_paths_of_different_hosts_are_two_paths() {
    let text = "kind: api\nname: a\npaths: [/a, { path: /a, host: x }, { path: /a, host: y }, \"/a/*\"]\nbackend: { topic: t }\nplans: [keyless]\n";
    assert_eq!(check(Mode::Run, text).unwrap().apis[0].paths.len(), 4);
}

#[test]
fn addresses_are_read_without_asking_anybody() {
    for (written, bound) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("localhost:80", "127.0.0.1:80 [::1]:80"),
        ("LOCALHOST:1", "127.0.0.1:1 [::1]:1"),
        // Two free ports would be two listeners.
        (":0", "127.0.0.1:0"),
        (":65535", "127.0.0.1:65535 [::1]:65535"),
        ("0.0.0.0:80", "0.0.0.0:80"),
    ] {
        let node = node(
            &format!("listeners: {{ gateway: {{ address: \"{written}\", insecure: true }} }}"),
            &[],
            &[],
        );
        assert_eq!(text(&node.listeners.gateway[0].address), bound);
    }
    for bad in [
        "80",
        ":",
        ":65536",
        ":+80",
        "127.0.0.1",
        "[::1]",
        "example.com:80",
        "127.0.0.1:80 ",
        "::1:80:x",
    ] {
        assert!(check(Mode::Dev, &format!("listeners: {{ gateway: \"{bad}\" }}")).is_err(), "{bad}");
    }
}
#[test]
fn several_streams_may_capture_one_topic() {
    let all = good("kind: stream\nname: a\ntopics: [t]\n---\nkind: stream\nname: b\ntopics: [t, \"#\"]\n");
    assert_eq!(all.streams.len(), 2);
}
