//! One fault each: its code, where it stands, and what is said. A row that told two errors, or none, would fail.
use crate::common::{check, kinds, pairs, texts};
use tidegate_config::{Mode, load};

/// Text, code, `line:column`, a part of the message.
const ROWS: &[(&str, &str, &str, &str)] = &[
    // The text itself.
    ("limits: { body: 1MiB", "TG5001", "1:21", "not YAML"),
    ("limits: [\n", "TG5001", "1:10", "not YAML"),
    ("a: &x 1\n", "TG5001", "1:4", "anchors"),
    ("limits: *x\n", "TG5001", "1:9", "not YAML"),
    ("limits: !!map {}\n", "TG5001", "1:9", "tags"),
    ("? [a]\n: b\n", "TG5001", "1:3", "a key is a list or a map"),
    ("- a\n- b\n", "TG5004", "1:1", "a document cannot be a list"),
    ("hello\n", "TG5004", "1:1", "a document cannot be `hello`"),
    ("limits: {}\nlimits: {}\n", "TG5006", "2:1", "the key `limits` is there twice"),
    // The settings.
    ("limts: {}\n", "TG5003", "1:1", "unknown key `limts`"),
    ("limits: { bodi: 1MiB }\n", "TG5003", "1:11", "unknown key `bodi`"),
    ("limits: 5\n", "TG5004", "1:9", "`limits` cannot be `5`"),
    ("limits: { body: 0 }\n", "TG5004", "1:17", "`body` cannot be `0`"),
    ("limits: { body: 4 MiB }\n", "TG5004", "1:17", "`body` cannot be `4 MiB`"),
    ("limits: { connections: -1 }\n", "TG5004", "1:24", "`connections` cannot be `-1`"),
    ("limits: { idle: 5 }\n", "TG5004", "1:17", "`idle` cannot be `5`"),
    ("limits: { idle: 0s }\n", "TG5004", "1:17", "`idle` cannot be `0s`"),
    ("limits: { idle: }\n", "TG5004", "1:15", "`idle` cannot be empty"),
    ("limits: { ws_message: 1 }\n", "TG5004", "1:23", "`ws_message` cannot be `1`"),
    (
        "log: { journal_file: 300KiB }\n",
        "TG5004",
        "1:22",
        "`journal_file` cannot be `300KiB`",
    ),
    ("log: { journal_file: 1MiB }\n", "TG5004", "1:22", "does not fit half"),
    ("log: { journal_file: 1MiB, record: 1MiB }\n", "TG5004", "1:36", "does not fit half"),
    ("listeners: { gateway: example.com:80 }\n", "TG5004", "1:23", "`gateway` cannot be"),
    ("listeners: { gateway: [] }\n", "TG5004", "1:23", "`gateway` is empty"),
    (
        "listeners: { gateway: { insecure: true } }\n",
        "TG5002",
        "1:23",
        "`address` is missing",
    ),
    (
        "listeners: { gateway: { address: \":1\", insecure: on } }\n",
        "TG5004",
        "1:50",
        "`insecure` cannot be `on`",
    ),
    (
        "listeners: { gateway: { address: \":1\", tls: { certificate: a } } }\n",
        "TG5002",
        "1:45",
        "`key` is missing",
    ),
    (
        "listeners: { gateway: { address: \"1.2.3.4:1\", tls: { certificate: a, key: \"\" } } }\n",
        "TG5004",
        "1:75",
        "`key` cannot be",
    ),
    (
        "listeners: { gateway: { address: \"1.2.3.4:1\", tls: { certificate: a, key: b, min_version: 1.1 } } }\n",
        "TG5004",
        "1:91",
        "`min_version` cannot be `1.1`",
    ),
    (
        "listeners: { gateway: { address: \":1\", tls: { certificates: [{ certificate: a }] } } }\n",
        "TG5002",
        "1:62",
        "`key` is missing",
    ),
    (
        "listeners: { gateway: { address: \":1\", tls: { certificates: [] } } }\n",
        "TG5004",
        "1:61",
        "`certificates` is empty",
    ),
    (
        "listeners: { gateway: { address: \":1\", tls: { key: b, min_version: \"1.3\" } } }\n",
        "TG5002",
        "1:45",
        "`certificate` is missing",
    ),
    (
        "listeners: { gateway: { address: \":1\", tls: { certificate: a, certificates: [{ certificate: a, key: b }] } } }\n",
        "TG5004",
        "1:60",
        "`certificate` beside `certificates`",
    ),
    (
        "listeners: { gateway: { address: \"1.2.3.4:1\", trusted_proxies: [10.0.0.0/33] } }\n",
        "TG5004",
        "1:65",
        "`trusted_proxies[0]` cannot be `10.0.0.0/33`",
    ),
    (
        "listeners: { gateway: { address: \"1.2.3.4:1\", trusted_proxies: 10.0.0.0/8 } }\n",
        "TG5004",
        "1:64",
        "`trusted_proxies` cannot be `10.0.0.0/8`",
    ),
    (
        "listeners: { gateway: { address: \"1.2.3.4:1\", trusted_proxies: [] } }\n",
        "TG5009",
        "1:34",
        "is public and has no TLS",
    ),
    ("listeners: { mqtt: \":1883\" }\n", "TG1020", "1:14", "`mqtt` comes with"),
    ("store: { sqlit: control.db }\n", "TG5003", "1:10", "unknown key `sqlit`"),
    (
        "telemetry: { otlp: \"http://127.0.0.1:4317\" }\n",
        "TG1020",
        "1:14",
        "`otlp` comes with",
    ),
    ("telemetry: { logs: xml }\n", "TG5004", "1:20", "`logs` cannot be `xml`"),
    ("telemetry: { level: verbose }\n", "TG5004", "1:21", "`level` cannot be `verbose`"),
    ("data_dir: \"\"\n", "TG5004", "1:11", "`data_dir` cannot be ``"),
    ("resources: resources/\n", "TG5004", "1:12", "`resources` cannot be"),
    ("resources: [resources/]\n", "TG5010", "1:13", "`resources/` cannot be read"),
    ("data_dir: a\n---\ndata_dir: b\n", "TG5006", "3:1", "a second document"),
    // Substitution.
    ("data_dir: ${env:NOT_SET}\n", "TG5011", "1:11", "the variable `NOT_SET` is not set"),
    ("data_dir: \"${env:NOT_SET:?say where}\"\n", "TG5011", "1:11", "not set: say where"),
    ("limits: { idle: \"${env:NOT_SET}\" }\n", "TG5011", "1:17", "`NOT_SET`"),
    ("data_dir: ${env:}\n", "TG5004", "1:11", "malformed"),
    ("data_dir: ${env:A\n", "TG5004", "1:11", "has no `}`"),
    ("data_dir: ${file:pw}\n", "TG5010", "1:11", "`pw` cannot be read"),
    // Kinds and names.
    ("kind: straem\nname: a\n", "TG5005", "1:7", "unknown kind `straem`"),
    ("kind: [stream]\nname: a\n", "TG5005", "1:7", "unknown kind a list"),
    ("name: a\ntopics: [a]\n", "TG5002", "1:1", "`kind` is missing"),
    ("knd: stream\nname: a\n", "TG5003", "1:1", "unknown key `knd`"),
    ("kind: stream\n", "TG5002", "1:1", "`name` is missing"),
    ("kind: stream\nnmae: a\n", "TG5003", "2:1", "unknown key `nmae`"),
    ("kind: stream\nname: -a\n", "TG5004", "2:7", "`name` cannot be `-a`"),
    (
        "kind: stream\nname: a\n---\nkind: station\nname: a\n",
        "TG5006",
        "5:7",
        "another stream named `a`",
    ),
    // Streams.
    ("kind: stream\nname: a\ntopics: a\n", "TG5004", "3:9", "`topics` cannot be `a`"),
    ("kind: stream\nname: a\ntopics: []\n", "TG5004", "3:9", "`topics` is empty"),
    (
        "kind: stream\nname: a\ntopics: [\"a/#/b\"]\n",
        "TG5004",
        "3:10",
        "cannot be `a/#/b`",
    ),
    (
        "kind: stream\nname: a\ntopics: [b, b]\n",
        "TG5006",
        "3:13",
        "the filter `b` is there twice",
    ),
    (
        "kind: stream\nname: a\npartitions: 0\n",
        "TG5004",
        "3:13",
        "`partitions` cannot be `0`",
    ),
    (
        "kind: stream\nname: a\nretention: { age: forever }\n",
        "TG5004",
        "3:19",
        "`age` cannot be `forever`",
    ),
    (
        "kind: stream\nname: a\nretention: { keep: forever }\n",
        "TG5004",
        "3:20",
        "`keep` cannot be `forever`",
    ),
    (
        "kind: stream\nname: a\ndead_letters: { stream: a }\n",
        "TG5004",
        "3:25",
        "cannot take its own",
    ),
    (
        "kind: webhook\nname: a\ntarget: { url: \"https://a.example\" }\n",
        "TG5002",
        "1:1",
        "`source` is missing",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\n",
        "TG5002",
        "1:1",
        "`target` is missing",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: {}\n",
        "TG5002",
        "4:9",
        "`url` is missing",
    ),
    (
        "kind: webhook\nname: a\nsource: {}\ntarget: { url: \"https://a.example\" }\n",
        "TG5002",
        "3:9",
        "a source says where",
    ),
    (
        "kind: webhook\nname: a\nsource: { stream: s }\ntarget: { url: \"https://a.example\" }\n",
        "TG5007",
        "3:19",
        "there is no stream `s`",
    ),
    (
        "kind: webhook\nname: a\nsource: { api: s }\ntarget: { url: \"https://a.example\" }\n",
        "TG5007",
        "3:16",
        "there is no api `s`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t], api: s }\ntarget: { url: \"https://a.example\" }\n",
        "TG5004",
        "3:29",
        "`api` beside `topics`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t], from: soon }\ntarget: { url: \"https://a.example\" }\n",
        "TG5004",
        "3:30",
        "`from` cannot be `soon`",
    ),
    (
        "kind: webhook\nname: a\nsource: { events: [x], topics: [t] }\ntarget: { url: \"https://a.example\" }\n",
        "TG1020",
        "3:11",
        "`events` comes with",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"ftp://a.example\" }\n",
        "TG5004",
        "4:16",
        "`url` cannot be",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", path: /x }\n",
        "TG1020",
        "4:37",
        "`path` comes with",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { host: b } }\n",
        "TG5004",
        "4:48",
        "nobody may set `host`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { webhook-id: b } }\n",
        "TG5004",
        "4:48",
        "nobody may set `webhook-id`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { x y: b } }\n",
        "TG5004",
        "4:48",
        "no header can be called `x y`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { x: 1, X: 2 } }\n",
        "TG5004",
        "4:54",
        "there is already `X`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { x: \"${kee}\" } }\n",
        "TG5004",
        "4:51",
        "a message has no `kee`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { x: \"a\\nb\" } }\n",
        "TG5004",
        "4:51",
        "`x` cannot be",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", auth: {} }\n",
        "TG5002",
        "4:43",
        "`auth` says nothing",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", auth: { bearer: x, basic: { username: a, password: b } } }\n",
        "TG5004",
        "4:53",
        "`bearer` beside `basic`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", auth: { bearer: \"a\\nb\" } }\n",
        "TG5004",
        "4:53",
        "`bearer` cannot be `***`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", auth: { bearer: \"***\" } }\n",
        "TG5004",
        "4:53",
        "`***` stands for a secret that is kept, and here none is",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\", headers: { x-api-key: \"***\" } }\n",
        "TG5004",
        "4:59",
        "`***` stands for a secret that is kept, and here none is",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nsign: { secrets: [\"***\"] }\n",
        "TG5004",
        "5:19",
        "`***` stands for a secret that is kept, and here none is",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nsign: {}\n",
        "TG5002",
        "5:7",
        "`secrets` is missing",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nsign: { secrets: [whsec_c2hvcnQ=] }\n",
        "TG5004",
        "5:19",
        "cannot be `***`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nparallel: 0\n",
        "TG5004",
        "5:11",
        "`parallel` cannot be `0`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\norder: keys\n",
        "TG5004",
        "5:8",
        "`order` cannot be `keys`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nretry: { first: 10m }\n",
        "TG5004",
        "5:17",
        "`first` is longer than `max`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nbatch: { bytes: 64MiB }\n",
        "TG5004",
        "5:8",
        "more than 256MiB",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nanswers: { 600: retry }\n",
        "TG5004",
        "5:12",
        "`600` is no status",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\nanswers: { 5xx: retri }\n",
        "TG5004",
        "5:17",
        "`5xx` cannot be `retri`",
    ),
    (
        "kind: webhook\nname: a\nsource: { topics: [t] }\ntarget: { url: \"https://a.example\" }\non: { 500: retry }\n",
        "TG5003",
        "5:1",
        "unknown key `on`",
    ),
    (
        "kind: stream\nname: s\n---\nkind: webhook\nname: a\nsource: { stream: s }\ntarget: { url: \"https://a.example\" }\ndead_letters: { stream: s }\n",
        "TG5004",
        "8:25",
        "would be sent again and again",
    ),
    ("outgoing: { allow: [10.0.0.0/33] }\n", "TG5004", "1:21", "cannot be `10.0.0.0/33`"),
    (
        "outgoing: { proxy: \"https://p.example\" }\n",
        "TG5004",
        "1:20",
        "`proxy` cannot be",
    ),
    (
        "kind: stream\nname: a\nschema: { schema: b }\n",
        "TG5007",
        "3:19",
        "there is no schema `b`",
    ),
    (
        "kind: stream\nname: a\nwhen_full: drop\n",
        "TG5004",
        "3:12",
        "`when_full` cannot be `drop`",
    ),
    (
        "kind: stream\nname: a\npartitions: 129\n",
        "TG5004",
        "3:13",
        "`partitions` cannot be `129`",
    ),
    // Endpoints.
    ("kind: endpoint\nname: a\ntype: \"\"\n", "TG5004", "3:7", "`type` cannot be ``"),
    ("kind: endpoint\nname: a\n", "TG5002", "1:1", "`type` is missing"),
    (
        "kind: endpoint\nname: a\ntype: kafka\nurl: kafka://a\n",
        "TG1020",
        "3:7",
        "the endpoint type `kafka` comes with",
    ),
    (
        "kind: endpoint\nname: a\ntype: kafak\n",
        "TG5004",
        "3:7",
        "there is no endpoint type `kafak`",
    ),
    (
        "kind: endpoint\nname: a\ntype: mock\ninterval: 5\n",
        "TG5004",
        "4:11",
        "`interval` cannot be `5`",
    ),
    ("kind: endpoint\nname: a\ntype: mock\n", "TG5002", "1:1", "`interval` is missing"),
    // Apis: paths.
    ("kind: api\nname: a\nbackend: { topic: t }\n", "TG5002", "1:1", "`paths` is missing"),
    (
        "kind: api\nname: a\npaths: []\nbackend: { topic: t }\n",
        "TG5004",
        "3:8",
        "`paths` is empty",
    ),
    (
        "kind: api\nname: a\npaths: [a]\nbackend: { topic: t }\n",
        "TG5004",
        "3:9",
        "cannot be `a`",
    ),
    (
        "kind: api\nname: a\npaths: [/a//b]\nbackend: { topic: t }\n",
        "TG5004",
        "3:9",
        "cannot be `/a//b`",
    ),
    (
        "kind: api\nname: a\npaths: [/a/*/b]\nbackend: { topic: t }\n",
        "TG5004",
        "3:9",
        "cannot be `/a/*/b`",
    ),
    (
        "kind: api\nname: a\npaths: [/a/../b]\nbackend: { topic: t }\n",
        "TG5004",
        "3:9",
        "cannot be `/a/../b`",
    ),
    (
        "kind: api\nname: a\npaths: [\"/a?b\"]\nbackend: { topic: t }\n",
        "TG5004",
        "3:9",
        "cannot be `/a?b`",
    ),
    (
        "kind: api\nname: a\npaths: [/a/_pull]\nbackend: { topic: t }\n",
        "TG5004",
        "3:9",
        "`_pull` is a verb",
    ),
    (
        "kind: api\nname: a\npaths: [{ path: /a, host: \"a:80\" }]\nbackend: { topic: t }\n",
        "TG5004",
        "3:27",
        "`host` cannot be",
    ),
    (
        "kind: api\nname: a\npaths: [/a, /a/]\nbackend: { topic: t }\n",
        "TG5006",
        "3:13",
        "this path is taken by the api `a` at ",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\n---\nkind: api\nname: b\npaths: [/a]\nbackend: { topic: t }\n",
        "TG5006",
        "8:9",
        "this path is taken by the api `a` at ",
    ),
    // Apis: backends.
    ("kind: api\nname: a\npaths: [/a]\n", "TG5002", "1:1", "`backend` is missing"),
    (
        "kind: api\nname: a\npaths: [/a]\nbackedn: { topic: t }\n",
        "TG5003",
        "4:1",
        "unknown key `backedn`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: {}\n",
        "TG5002",
        "4:10",
        "a backend says where",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: orders\n",
        "TG5004",
        "4:10",
        "`backend` cannot be `orders`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: kafka://a/b\n",
        "TG1020",
        "4:10",
        "a broker's URL",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: [{ topic: t }]\n",
        "TG1020",
        "4:10",
        "a balanced group",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t, stream: s }\n",
        "TG5004",
        "4:22",
        "`stream` beside `topic`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\npublish: { topic: t }\n",
        "TG5004",
        "5:1",
        "`publish` beside `backend`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { stream: s }\n",
        "TG5007",
        "4:20",
        "there is no stream `s`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { endpoint: e }\n",
        "TG5007",
        "4:22",
        "there is no endpoint `e`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: \"${rest}\" }\n",
        "TG5004",
        "4:19",
        "`${rest}` has nothing to stand for",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: \"a/#\" }\n",
        "TG5004",
        "4:19",
        "`topic` cannot be `a/#`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: $internal }\n",
        "TG5004",
        "4:19",
        "`topic` cannot be `$internal`",
    ),
    (
        "kind: api\nname: a\npaths: [\"/a/*\"]\nbackend: { topic: \"${payload}\" }\n",
        "TG5004",
        "4:19",
        "`topic` cannot be `${payload}`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { mock: { interval: soon } }\n",
        "TG5004",
        "4:30",
        "`interval` cannot be `soon`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { mock: { interval: 1s, colour: red } }\n",
        "TG5003",
        "4:34",
        "unknown key `colour`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\npublish: { mock: { interval: 1s } }\n",
        "TG5008",
        "4:12",
        "`mock` makes messages",
    ),
    // What refers to a resource with a fault is not blamed as well.
    (
        "kind: stream\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { stream: s }\n",
        "TG5002",
        "1:1",
        "`name` is missing",
    ),
    (
        "kind: straem\nname: s\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { stream: s }\n",
        "TG5005",
        "1:7",
        "unknown kind `straem`",
    ),
    (
        "kind: stream\nname: s\npartitions: x\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { stream: s }\n",
        "TG5004",
        "3:13",
        "`partitions` cannot be `x`",
    ),
    // Apis: entrypoints and the rest.
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: {}\n",
        "TG5004",
        "5:14",
        "`entrypoints` is empty",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\ncors: { origins: [app.example.com] }\n",
        "TG5004",
        "5:19",
        "`origins[0]` cannot be `app.example.com`",
    ),
    (
        "kind: stream\nname: s\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { stream: s }\nentrypoints: { http_post: { ack: delivered } }\n",
        "TG5008",
        "8:34",
        "the backend does not offer `delivered`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: { http_post: { ack: stored } }\n",
        "TG5008",
        "5:34",
        "the backend does not offer `stored`: no stream captures `t`",
    ),
    (
        "kind: stream\nname: s\ntopics: [\"t/#\"]\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { topic: t/x }\nentrypoints: { websocket: { ack: delivered } }\n",
        "TG5008",
        "9:34",
        "the backend does not offer `delivered`: the stream `s` stores `t/x`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: { websocket: { ack: replicated } }\n",
        "TG5008",
        "5:34",
        "the backend does not offer `replicated`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: { pull: { lease_for: 500ms } }\n",
        "TG5004",
        "5:35",
        "`lease_for` cannot be `500ms`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: { pull: { lease_for: 13h } }\n",
        "TG5004",
        "5:35",
        "`lease_for` cannot be `13h`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\npublish: { topic: t }\nentrypoints: { http_post: {}, pull: {} }\n",
        "TG5008",
        "5:31",
        "`pull` on a backend that cannot be read from",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: { http_get: { limit: 0 } }\n",
        "TG5004",
        "5:35",
        "`limit` cannot be `0`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nentrypoints: { http_post: { ack: sure } }\n",
        "TG5004",
        "5:34",
        "`ack` cannot be `sure`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { mock: { interval: 1s } }\nentrypoints: { http_post: {} }\n",
        "TG5008",
        "5:16",
        "`http_post` on a backend that cannot be published to",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\npublish: { topic: t }\nentrypoints: { sse: {} }\n",
        "TG5008",
        "5:16",
        "`sse` on a backend that cannot be read from",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nslow: gone\n",
        "TG5004",
        "5:7",
        "`slow` cannot be `gone`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\npolicies: [{ policy: shema, with: { schema: s } }]\n---\nkind: schema\nname: s\njson: true\n",
        "TG5004",
        "5:22",
        "`policy` cannot be `shema`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\npolicies: [{ policy: schema, with: { schema: s, on_failure: dead_letter } }]\n---\nkind: schema\nname: s\njson: true\n",
        "TG5008",
        "5:61",
        "a dead letter needs a stream",
    ),
    ("kind: schema\nname: s\n", "TG5002", "1:1", "the schema itself is missing"),
    (
        "kind: schema\nname: s\njson: {}\navro: int\n",
        "TG5004",
        "4:1",
        "`avro` beside `json`",
    ),
    (
        "kind: schema\nname: s\nprotobuf: { message: A }\n",
        "TG5002",
        "3:11",
        "`file` is missing",
    ),
    (
        "kind: schema\nname: s\nprotobuf: { file: a.proto, text: b }\n",
        "TG5004",
        "3:19",
        "`file` beside `text`",
    ),
    (
        "kind: schema\nname: s\nprotobuf: { file: a.proto }\n",
        "TG5004",
        "3:19",
        "a file is read on the machine where it is",
    ),
    (
        "kind: schema\nname: s\njson: {}\ncompatibility: forward\n",
        "TG1020",
        "4:16",
        "comes with a later version",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nplans: [partner]\n",
        "TG1020",
        "5:9",
        "the plan `partner` comes with",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nplans: [keyles]\n",
        "TG5007",
        "5:9",
        "there is no plan `keyles`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\ninclude: [body]\n",
        "TG5004",
        "5:11",
        "cannot be `body`",
    ),
    (
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nlabels: { a: [] }\n",
        "TG5004",
        "5:14",
        "`a` cannot be a list",
    ),
];

#[test]
fn each_fault_is_one_error_at_its_place() {
    let mut wrong = Vec::new();
    for (text, code, place, message) in ROWS {
        let got: Vec<_> = match check(Mode::Dev, text) {
            Ok(_) => Vec::new(),
            Err(report) => report.diagnostics,
        };
        let fits = match got.as_slice() {
            [one] => one.code.to_string() == *code && format!("{}:{}", one.line, one.column) == *place && one.message.contains(message),
            _ => false,
        };
        if !fits {
            let said: Vec<_> = got
                .iter()
                .map(|d| format!("{} {}:{} {}", d.code, d.line, d.column, d.message))
                .collect();
            wrong.push(format!("{text}\n  wanted {code} {place} {message}\n  got {said:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
}

#[test]
fn all_streams_together_have_so_many_partitions() {
    let streams = |count: u32| {
        let all: Vec<_> = (0..count).map(|i| format!("kind: stream\nname: s{i}\npartitions: 128\n")).collect();
        check(Mode::Dev, &all.join("---\n"))
    };
    assert_eq!(streams(511).unwrap().streams.len(), 511);
    let report = streams(513).unwrap_err();
    let [one] = report.diagnostics.as_slice() else { panic!("{report}") };
    assert!(one.message.contains("more than 65536 partitions"), "{report}");
}

#[test]
fn two_listeners_on_one_address_are_a_fault() {
    let rows = [
        (
            "gateway: \":9000\", admin: \"127.0.0.1:9000\"",
            "`listeners.gateway` and `listeners.admin` are both on 127.0.0.1:9000",
            "1:39",
        ),
        // The default is not written anywhere.
        (
            "gateway: \"localhost:8084\"",
            "`listeners.gateway` and `listeners.admin` are both on 127.0.0.1:8084",
            "1:23",
        ),
        (
            "memphis: \":8080\"",
            "`listeners.gateway` and `listeners.memphis` are both on 127.0.0.1:8080",
            "1:23",
        ),
        (
            "gateway: [\":1\", { address: \"0.0.0.0:1\", insecure: true }]",
            "`listeners.gateway[0]` and `listeners.gateway[1]` are both on 0.0.0.0:1",
            "1:41",
        ),
        (
            "gateway: { address: \"[::]:1\", insecure: true }, admin: \"127.0.0.1:1\"",
            "`listeners.gateway` and `listeners.admin` are both on 127.0.0.1:1",
            "1:69",
        ),
    ];
    for (listeners, message, place) in rows {
        let report = check(Mode::Run, &format!("listeners: {{ {listeners} }}\n")).unwrap_err();
        let [one] = report.diagnostics.as_slice() else { panic!("{report}") };
        let told = (one.code.to_string(), one.message.clone(), format!("{}:{}", one.line, one.column));
        assert_eq!(told, ("TG5006".to_owned(), message.to_owned(), place.to_owned()), "{listeners}");
    }
    for good in [
        "gateway: \":0\", admin: \":0\"",
        "gateway: \"127.0.0.1:1\", admin: \"[::1]:1\"",
        "gateway: \"127.0.0.1:1\", admin: \"127.0.0.2:1\"",
    ] {
        let checked = check(Mode::Run, &format!("listeners: {{ {good} }}\n"));
        assert!(checked.is_ok(), "{good}: {}", checked.unwrap_err());
    }
}
/// All at once; but a default is not held against somebody who tried to say otherwise.
#[test]
fn two_listeners_on_one_address_are_told_beside_other_faults() {
    let told = |listeners: &str| {
        let report = check(Mode::Run, &format!("listeners: {{ {listeners} }}\n")).unwrap_err();
        let one = |told: &tidegate_config::Diagnostic| format!("{} {}:{}", told.code, told.line, told.column);
        report.diagnostics.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(
        told("gateway: \":1\", admin: \":1\", memphis: \"0.0.0.0:2\""),
        ["TG5006 1:36", "TG5009 1:51"]
    );
    assert_eq!(told("gateway: \":1\", admin: [\":x\", \":1\"]"), ["TG5004 1:37", "TG5006 1:43"]);
    assert_eq!(told("gateway: \":8084\", memphis: off"), ["TG5006 1:23", "TG5004 1:41"]);
    assert_eq!(told("gateway: \":8084\", amdin: \":1\""), ["TG5003 1:32"]);
}
/// What a variable or a flag says was said last, wherever it comes in the order of keys.
#[test]
fn of_two_listeners_the_one_that_was_set_is_the_culprit() {
    let file = "listeners: { gateway: \":1\", admin: \":2\" }\n";
    let flag = |key: &str, value: &str| (vec![], pairs(&[(key, value)]));
    let variable = (pairs(&[("TIDEGATE__LISTENERS__GATEWAY", ":2")]), vec![]);
    for ((variables, flags), place, other) in [
        (
            flag("listeners.gateway", ":2"),
            "flag listeners.gateway:1:19",
            "`listeners.admin` is at test.yaml:1:36",
        ),
        (
            flag("listeners.admin", ":1"),
            "flag listeners.admin:1:17",
            "`listeners.gateway` is at test.yaml:1:23",
        ),
        (
            variable.clone(),
            "TIDEGATE__LISTENERS__GATEWAY:1:30",
            "`listeners.admin` is at test.yaml:1:36",
        ),
        (
            (variable.0, pairs(&[("listeners.admin", ":2")])),
            "flag listeners.admin:1:17",
            "`listeners.gateway` is at TIDEGATE__LISTENERS__GATEWAY:1:30",
        ),
        (
            flag("listeners.memphis", ":1"),
            "flag listeners.memphis:1:19",
            "`listeners.gateway` is at test.yaml:1:23",
        ),
    ] {
        let report = load(texts(&[("test.yaml", file)]), variables, &flags, Mode::Run, &kinds()).unwrap_err();
        let [one] = report.diagnostics.as_slice() else { panic!("{report}") };
        assert_eq!(
            (one.code.to_string(), one.place().to_string()),
            ("TG5006".to_owned(), place.to_owned())
        );
        assert!(one.hint.as_ref().unwrap().starts_with(other), "{report}");
    }
}
#[test]
fn how_a_listener_is_switched_off_is_said_where_somebody_tries() {
    for word in ["off", "null", "", "none", "\"off\"", "false"] {
        let report = check(Mode::Run, &format!("listeners:\n  memphis: {word}\n"))
            .unwrap_err()
            .to_string();
        assert!(report.contains("hint: `[]` switches it off"), "{word}: {report}");
        assert!(
            !check(Mode::Run, &format!("listeners:\n  gateway: {word}\n"))
                .unwrap_err()
                .to_string()
                .contains("[]")
        );
    }
    let flag = pairs(&[("listeners.memphis", "off")]);
    let report = load(texts(&[]), [], &flag, Mode::Run, &kinds()).unwrap_err().to_string();
    assert!(report.contains("hint: `[]` switches it off"), "{report}");
}
#[test]
fn what_is_not_shown_is_said_to_be_hidden() {
    let told = |url: &str| {
        let hook = format!("kind: stream\nname: s\n---\nkind: webhook\nname: a\nsource: {{ stream: s }}\ntarget: {{ url: \"{url}\" }}\n");
        let report = check(Mode::Run, &hook).unwrap_err();
        let [one] = report.diagnostics.as_slice() else { panic!("{report}") };
        (one.message.clone(), one.expected.clone().unwrap(), one.hint.clone())
    };
    let expected = "a URL such as `https://crm.example.com/hook`, without user and password".to_owned();
    assert_eq!(told("notaurl"), ("`url` cannot be `notaurl`".to_owned(), expected.clone(), None));
    let hidden = Some("it is not shown, for it may be a secret".to_owned());
    assert_eq!(
        told("https://u:p@a.example/"),
        ("`url` cannot be `***`".to_owned(), expected, hidden)
    );
    let stands_for_nothing = told("https://a.example/?t=***").2.unwrap();
    assert!(stands_for_nothing.contains("stands only for what is there"), "{stands_for_nothing}");
    // And is all that is wrong: a check of what a node exported takes it out.
    let hook = |url: &str| {
        let auth = format!("oauth2: {{ token_url: \"{url}\", client_id: c, client_secret: s }}");
        format!(
            "kind: stream\nname: s\n---\nkind: webhook\nname: a\nsource: {{ stream: s }}\ntarget: {{ url: \"{url}\", auth: {{ {auth} }} }}\n"
        )
    };
    let mut exported = check(Mode::Run, &hook("https://a.example/?t=***")).unwrap_err();
    assert_eq!((exported.allow_kept_secrets(), exported.diagnostics.len()), (2, 0), "{exported}");
    let mut wrong = check(Mode::Run, &hook("ftp://a.example/?t=***")).unwrap_err();
    assert_eq!((wrong.allow_kept_secrets(), wrong.diagnostics.len()), (0, 2), "{wrong}");
}
#[test]
fn production_wants_plans_and_protection() {
    let api = "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\n";
    let rows = [
        (api.to_owned(), "TG5002", "1:1"),
        ("listeners: { gateway: \"0.0.0.0:8080\" }\n".to_owned(), "TG5009", "1:23"),
        ("listeners: { admin: [\":8084\", \"[::]:8085\"] }\n".to_owned(), "TG5009", "1:31"),
        (
            "listeners: { gateway: { address: \"192.0.2.1:80\", insecure: false } }\n".to_owned(),
            "TG5009",
            "1:34",
        ),
    ];
    for (text, code, place) in rows {
        // `dev` lets everybody in who is on this machine, and nobody else.
        assert_eq!(check(Mode::Dev, &text).is_ok(), code == "TG5002", "{text}");
        let report = check(Mode::Run, &text).unwrap_err();
        let [one] = report.diagnostics.as_slice() else { panic!("{report}") };
        assert_eq!(
            (one.code.to_string().as_str(), format!("{}:{}", one.line, one.column).as_str()),
            (code, place)
        );
    }
    // One fault, though the address would be public without a whole `insecure`.
    let doubtful = "listeners: { gateway: { address: \"0.0.0.0:1\", insecure: perhaps } }\n";
    let report = check(Mode::Run, doubtful).unwrap_err();
    assert_eq!(report.diagnostics.len(), 1, "{report}");
    for good in [
        format!("{api}plans: [keyless]\n"),
        "listeners: { gateway: { address: \"0.0.0.0:8080\", insecure: true } }\n".to_owned(),
        "listeners: { gateway: \"[::ffff:127.0.0.1]:8080\" }\n".to_owned(),
    ] {
        check(Mode::Run, &good).unwrap();
    }
}

/// Words of later versions are known words: told as such, whatever is written for them, and never ignored.
/// In `run`, and in `dev` as soon as somebody else can reach it.
#[test]
fn published_credentials_are_refused_where_others_come() {
    let root = "kind: user\nname: root\nconnection_token: { argon2: \"$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I\" }\n";
    assert!(check(Mode::Dev, root).is_ok());
    let public = "listeners: { memphis: { address: \"0.0.0.0:4444\", insecure: true } }\n---\n";
    for (mode, text) in [(Mode::Run, root.to_owned()), (Mode::Dev, format!("{public}{root}"))] {
        let report = check(mode, &text).unwrap_err();
        let codes: Vec<_> = report.diagnostics.iter().map(|one| one.code.to_string()).collect();
        assert_eq!(codes, ["TG5042"], "{report}");
    }
}
#[test]
fn a_user_proves_itself_and_a_token_is_for_one_thing() {
    let sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for (text, code) in [
        ("kind: user\nname: a\n".to_owned(), "TG5002"),
        (format!("kind: token\nname: a\nsha256: {sha}\n"), "TG5004"),
        (format!("kind: token\nname: a\nsha256: {sha}\nmanage: viewer\nuser: b\n"), "TG5004"),
        (
            "listeners: { memphis: { address: \":4444\", compatibility: \"1.2.7\" } }\n".to_owned(),
            "TG5004",
        ),
        (
            "listeners: { memphis: { address: \":4444\", access_ttl: 0s } }\n".to_owned(),
            "TG5004",
        ),
        ("listeners: { memphis: { address: \":4444\", keyz: x } }\n".to_owned(), "TG5003"),
    ] {
        let report = check(Mode::Dev, &text).unwrap_err();
        let codes: Vec<_> = report.diagnostics.iter().map(|one| one.code.to_string()).collect();
        assert_eq!(codes, [code], "{text}{report}");
    }
}
#[test]
fn words_of_later_versions_are_told_as_such() {
    let api = "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\n";
    let mut texts: Vec<String> = ["plan", "application", "subscription", "realm", "action", "rule", "connector"]
        .iter()
        .map(|kind| format!("kind: {kind}\nname: a\nanything: [1]\n"))
        .collect();
    texts.extend(["mqtt", "emqx"].map(|key| format!("listeners: {{ {key}: 1 }}\n")));
    texts.extend(["fanout: {}", "log: { segment: 1MiB }", "telemetry: { sample: 1 }"].map(str::to_owned));
    texts.extend(
        ["policies: [{ policy: set_headers, with: { schema: a } }]", "plans: [keyless, gold]"].map(|line| format!("{api}{line}\n")),
    );
    texts.extend(
        ["kafka", "nats", "rabbitmq", "mqtt", "redis", "http"].map(|kind| format!("kind: endpoint\nname: a\ntype: {kind}\nurl: x\n")),
    );
    for text in texts {
        let report = check(Mode::Dev, &text).unwrap_err();
        let [one] = report.diagnostics.as_slice() else {
            panic!("{text}\n{report}")
        };
        assert_eq!(one.code.to_string(), "TG1020", "{report}");
        assert!(
            one.message.ends_with("comes with a later version") && one.hint.as_ref().or(one.expected.as_ref()).is_some(),
            "{report}"
        );
    }
}
#[test]
fn depth_and_number_of_values_are_capped() {
    let nested = |levels: usize| format!("labels: {}{}\n", "[".repeat(levels), "]".repeat(levels));
    let told = |text: &str| {
        let report = check(Mode::Dev, text).unwrap_err();
        report.diagnostics.iter().map(|one| one.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&nested(63)), ["unknown key `labels`"]);
    assert_eq!(told(&nested(64)), ["values nest too deep"]);
    assert_eq!(
        told(&format!("labels: [{}]\n", "1,".repeat(400_001))),
        ["the file has too many values"]
    );
}
/// A thousand are more than anybody reads; a hostile file must not fill the memory.
#[test]
fn the_number_of_errors_is_capped() {
    let lines: Vec<_> = (0..2_000).map(|i| format!("x{i}: 1")).collect();
    assert_eq!(check(Mode::Dev, &lines.join("\n")).unwrap_err().diagnostics.len(), 1_000);
}
