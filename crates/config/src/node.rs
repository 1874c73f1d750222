//! The settings of one process: addresses, limits, the log, telemetry.
use crate::{
    ledger::{At, Fault, Ledger, Path},
    listener::{LISTENERS, Listeners},
    load::Mode,
    outgoing::{OUTGOING, Outgoing},
    read::{self, Record},
    shape::{GIB, KIB, MIB, Shape, TIB, Table, Text, key, millis, seconds, show_size},
    tree::Value,
};
use std::{path::PathBuf, time::Duration};
use tidegate_core::error::Code;

/// `tidegate.yaml`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where everything durable lies.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listeners: Listeners,
    /// What one request and one process may use.
    pub limits: Limits,
    /// The embedded log.
    pub log: Log,
    /// Logs.
    pub telemetry: Telemetry,
    /// How it stops.
    pub shutdown: Shutdown,
    /// Where resources that the management API made are kept.
    pub store: Store,
    /// Where it may call.
    pub outgoing: Outgoing,
    /// How threads share the work.
    pub runtime: Threads,
}
/// Bounds of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body, decompressed.
    pub body: u64,
    /// Bytes of one batch.
    pub batch_body: u64,
    /// Messages in one batch.
    pub batch_items: u32,
    /// Bytes of the request line and headers.
    pub head: u32,
    /// Number of headers.
    pub headers: u32,
    /// Bytes of the request target.
    pub target: u32,
    /// Open connections.
    pub connections: u32,
    /// Requests being worked on; above it 503.
    pub in_flight: u32,
    /// Bytes of bodies being worked on.
    pub in_flight_bytes: u64,
    /// Time for the head to arrive.
    pub head_timeout: Duration,
    /// Time without a byte of the body.
    pub body_stall: Duration,
    /// Bytes a second that a body must come with on average.
    pub body_rate: u64,
    /// Time a connection may wait for its next request.
    pub idle: Duration,
    /// Time without progress on writing.
    pub write_stall: Duration,
    /// Bytes of one WebSocket message.
    pub ws_message: u64,
    /// Bytes of recent messages kept in memory for all who read live.
    pub fan_out_bytes: u64,
    /// Messages that wait until they are due, of all streams.
    pub delayed: u64,
    /// Wrong passwords a minute for one name.
    pub failed_logins: u32,
}
/// The embedded log. `None` = the log computes it from the size of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Bytes on disk; `None` = no limit.
    pub max_bytes: Option<u64>,
    /// Bytes of one journal file, a power of two.
    pub journal_file: Option<u64>,
    /// Bytes accepted and not yet synced.
    pub intake: u64,
    /// Bytes of recent frames kept in memory.
    pub tail_cache: u64,
    /// Bytes for message ids of all streams.
    pub dedupe_ids: u64,
    /// Bytes kept free for acknowledgements on a full disk.
    pub reserve: Option<u64>,
    /// How long a change of state that nobody waits for may stay unsynced.
    pub lazy: Duration,
    /// Bytes of one message.
    pub record: u64,
    /// Bytes of one segment file.
    pub segment: Option<u64>,
}
/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// How a line looks.
    pub logs: LogFormat,
    /// `info`, or a filter such as `tidegate_log=debug,info`.
    pub level: String,
}
/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
/// How threads share the connections of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// An idle thread takes work from a busy one.
    #[default]
    Steal,
    /// A connection stays on the thread it was given, in turn.
    Pinned,
}
/// Where resources that the management API made are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// A file, relative to the data folder.
    pub sqlite: PathBuf,
    /// How many changes are remembered.
    pub changes: u64,
}
/// How it stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Between "not ready" and closing the listeners.
    pub delay: Duration,
    /// What is still running then is cut.
    pub deadline: Duration,
}

const SIZE_1G: Shape = Shape::Size {
    min: KIB,
    max: GIB,
    off: false,
};
/// A timeout of nothing would refuse everybody; an hour of silence is no timeout any more.
const TIMEOUT: Shape = Shape::Time {
    min: millis(100),
    max: seconds(3_600),
    off: false,
};
static LIMITS: Table = Table {
    title: "limits",
    doc: "What one request and the whole process may use.",
    keys: &[
        key("body", SIZE_1G, "Bytes of one body.").default("4MiB"),
        key("batch_body", SIZE_1G, "Bytes of one batch.").default("8MiB"),
        key("batch_items", Shape::Count { min: 1, max: 1_000_000 }, "Messages in one batch.").default("10000"),
        key(
            "head",
            Shape::Size {
                min: 8 * KIB,
                max: MIB,
                off: false,
            },
            "Bytes of the request line and all headers.",
        )
        .default("64KiB"),
        key("headers", Shape::Count { min: 8, max: 1_024 }, "Number of headers.").default("64"),
        key(
            "target",
            Shape::Size {
                min: 64,
                max: 64 * KIB,
                off: false,
            },
            "Bytes of the path and query.",
        )
        .default("8KiB"),
        key("connections", Shape::Count { min: 1, max: 10_000_000 }, "Open connections. Lowered where there are not the descriptors or the memory for them.").default("20000"),
        key(
            "in_flight",
            Shape::Count { min: 1, max: 1_000_000 },
            "Requests being worked on; more are answered 503.",
        )
        .default("4096"),
        key(
            "in_flight_bytes",
            Shape::Size {
                min: MIB,
                max: TIB,
                off: false,
            },
            "Bytes of bodies being worked on and of pages not yet taken; more are answered 503. Lowered where there is not the memory for it.",
        )
        .default("256MiB"),
        key("head_timeout", TIMEOUT, "Time for the request head to arrive.").default("10s"),
        key("body_stall", TIMEOUT, "Time a body may stand still.").default("30s"),
        key(
            "body_rate",
            Shape::Size {
                min: 1,
                max: MIB,
                off: false,
            },
            "Bytes a second a body must bring on average, beside one `body_stall`; slower ones are answered 408.",
        )
        .default("1KiB"),
        key("idle", TIMEOUT, "Time a connection may wait for its next request.").default("75s"),
        key(
            "write_stall",
            TIMEOUT,
            "Time an answer may stand still because its reader does not read.",
        )
        .default("60s"),
        key("ws_message", SIZE_1G, "Bytes of one WebSocket message, all its fragments together.").default("1MiB"),
        key(
            "fan_out_bytes",
            Shape::Size {
                min: MIB,
                max: TIB,
                off: false,
            },
            "Bytes of recent messages, ready to be sent, that are kept in memory for all who read live; who needs older ones reads the \
             log again, or is told the gap. Lowered where there is not the memory for it.",
        )
        .default("256MiB"),
        key(
            "delayed",
            Shape::Count { min: 2, max: 10_000_000 },
            "Messages that wait until they are due (`Tidegate-Delay`), of all streams together; each takes some 100 bytes of memory. One stream \
             has half of what others leave; more are answered 503.",
        )
        .default("200000"),
        key(
            "failed_logins",
            Shape::Count { min: 1, max: 1_000_000 },
            "Wrong passwords a minute for one name from one address; more are answered 429. Three times as many are allowed from one address \
             for all names, ten times as many for one name from all addresses. Who logged in before is let in whatever others guess.",
        )
        .default("10"),
    ],
};
static LOG: Table = Table {
    title: "log",
    doc: "The embedded durable log.",
    keys: &[
        key(
            "max_bytes",
            Shape::Size {
                min: 2 * MIB,
                max: 1024 * TIB,
                off: true,
            },
            "Bytes it may take on the disk; `none` lifts the limit.",
        )
        .default("10GiB"),
        key(
            "journal_file",
            Shape::Size {
                min: 256 * KIB,
                max: 64 * MIB,
                off: false,
            },
            "Bytes of one journal file, a power of two.",
        )
        .otherwise("by the size of the disk"),
        key("intake", SIZE_1G, "Bytes accepted and not yet synced.").default("8MiB"),
        key("tail_cache", MEMORY, "Bytes of the newest frames kept in memory.").default("16MiB"),
        key(
            "dedupe_ids",
            MEMORY,
            "Bytes for message ids of all streams; when full, the oldest ids leave first.",
        )
        .default("64MiB"),
        key(
            "reserve",
            Shape::Size {
                min: MIB,
                max: TIB,
                off: false,
            },
            "Bytes kept free, so that a full disk still takes acknowledgements.",
        )
        .otherwise("one journal file and 1 MiB"),
        key(
            "lazy",
            Shape::Time {
                min: millis(1),
                max: seconds(60),
                off: false,
            },
            "How long a change of state that nobody waits for may stay unsynced.",
        )
        .default("10ms"),
        key(
            "record",
            Shape::Size {
                min: KIB,
                max: 32 * MIB,
                off: false,
            },
            "Bytes of one message; at most half a journal file.",
        )
        .default("8MiB"),
        key("segment", Shape::Later, "Bytes of one segment file."),
    ],
};
const MEMORY: Shape = Shape::Size {
    min: 64 * KIB,
    max: TIB,
    off: false,
};
static TELEMETRY: Table = Table {
    title: "telemetry",
    doc: "Logs.",
    keys: &[
        key(
            "logs",
            Shape::Choice {
                now: &["text", "json"],
                later: &[],
            },
            "How a log line looks.",
        )
        .default("text"),
        key("level", Shape::Text(&LEVEL), "The least that is written.")
            .default("info")
            .example("\"tidegate_log=debug,info\""),
        key("otlp", Shape::Later, "Where traces go."),
        key("sample", Shape::Later, "Which part of the traces is kept."),
    ],
};
static STORE: Table = Table {
    title: "store",
    doc: "Where resources that the management API made are kept, with every change there was.",
    keys: &[
        key("sqlite", PATH, "A file, relative to the data folder.").default("control.db"),
        key(
            "changes",
            Shape::Count {
                min: 1,
                max: 1_000_000_000,
            },
            "How many changes the audit log remembers.",
        )
        .default("100000"),
    ],
};
static SHUTDOWN: Table = Table {
    title: "shutdown",
    doc: "How it stops.",
    keys: &[
        key(
            "delay",
            Shape::Time {
                min: millis(0),
                max: seconds(600),
                off: false,
            },
            "Between \"not ready\" and closing the listeners, so that a load balancer can look away.",
        )
        .default("0s"),
        key(
            "deadline",
            Shape::Time {
                min: seconds(1),
                max: seconds(3_600),
                off: false,
            },
            "What is still running then is cut.",
        )
        .default("30s"),
    ],
};
const FILE: Text = Text {
    expected: "a path",
    good: |text| !text.is_empty() && !text.contains('\0'),
    pattern: None,
};
const PATH: Shape = Shape::Text(&FILE);
/// What logs: our crates, and those of others that have something to say.
const PARTS: &[&str] = &[
    "tidegate",
    "tidegate_config",
    "tidegate_control",
    "tidegate_core",
    "tidegate_endpoints",
    "tidegate_entrypoints",
    "tidegate_gateway",
    "tidegate_hub",
    "tidegate_log",
    "tidegate_schema",
    "tidegate_wire",
    "h2",
    "hyper",
    "hyper_util",
    "notify",
    "rustls",
    "sqlx",
];
const LEVEL: Text = Text {
    expected: "`error`, `warn`, `info`, `debug`, `trace`, `off`, or levels by part such as `tidegate_log=debug,info`; a part is `tidegate`, \
               which is all of it, `tidegate_` with `config`, `control`, `core`, `endpoints`, `entrypoints`, `gateway`, `hub`, `log`, `schema` or \
               `wire`, or `h2`, `hyper`, `hyper_util`, `notify`, `rustls` or `sqlx`",
    good: |text| {
        let known = |word: &str| ["error", "warn", "info", "debug", "trace", "off"].contains(&word);
        // A part that is misspelt would silently log nothing. Modules are not known here.
        let part = |part: &str| {
            let (of, module) = part.split_once("::").unwrap_or((part, ""));
            PARTS.contains(&of) && module.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
        };
        text.split(',').all(|directive| match directive.split_once('=') {
            Some((target, level)) => part(target) && known(level),
            None => known(directive),
        })
    },
    pattern: None,
};
/// A level of logging, as `telemetry.level` takes it; else what was expected.
pub fn log_level(text: &str) -> Result<(), &'static str> {
    if (LEVEL.good)(text) { Ok(()) } else { Err(LEVEL.expected) }
}
pub(crate) static NODE: Table = Table {
    title: "node",
    doc: "The settings of one process: the document without `kind`.",
    keys: &[
        key(
            "data_dir",
            PATH,
            "Where everything durable lies; relative to the folder the program is started in.",
        )
        .default("tidegate-data")
        .example("/var/lib/tidegate"),
        key(
            "resources",
            Shape::List { of: &PATH, min: 0 },
            "Files or folders with resources, relative to this file's folder; of a folder all `*.yaml`, `*.yml`, `*.json`.",
        )
        .default("[]")
        .example("[resources/]"),
        key("listeners", Shape::Record(&LISTENERS), "Where it listens.").default("{}"),
        key("limits", Shape::Record(&LIMITS), "What one request and the process may use.").default("{}"),
        key("log", Shape::Record(&LOG), "The embedded durable log.").default("{}"),
        key("telemetry", Shape::Record(&TELEMETRY), "Logs.").default("{}"),
        key("shutdown", Shape::Record(&SHUTDOWN), "How it stops.").default("{}"),
        key(
            "store",
            Shape::Record(&STORE),
            "Where resources that the management API made are kept.",
        )
        .default("{}"),
        key("outgoing", Shape::Record(&OUTGOING), "Where webhooks may go.").default("{}"),
        key("fanout", Shape::Later, "Bounds of shared reads."),
        key(
            "runtime",
            Shape::Choice {
                now: &["steal", "pinned"],
                later: &[],
            },
            "How threads share the connections. `steal`: an idle thread takes work from a busy one. `pinned`: a connection stays on the \
             thread it was given, in turn; that serves up to a third more, where nobody else competes for the cores.",
        )
        .default("steal"),
    ],
};

impl Node {
    /// Reads the settings; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(value: &Value, mode: Mode, ledger: &mut Ledger) -> Self {
        let node = read::table(&NODE, value, &Path::default(), ledger);
        let nothing = Record::nothing();
        let part = |name: &str| node.record(name).unwrap_or(&nothing);
        let (listeners, limits, log, telemetry, shutdown) =
            (part("listeners"), part("limits"), part("log"), part("telemetry"), part("shutdown"));
        let store = part("store");
        check_limits(limits, ledger);
        check_log(log, ledger);
        Self {
            data_dir: node.text("data_dir").into(),
            listeners: Listeners::check(listeners, mode, ledger),
            limits: Limits {
                body: limits.number("body"),
                batch_body: limits.number("batch_body"),
                batch_items: limits.number("batch_items") as u32,
                head: limits.number("head") as u32,
                headers: limits.number("headers") as u32,
                target: limits.number("target") as u32,
                connections: limits.number("connections") as u32,
                in_flight: limits.number("in_flight") as u32,
                in_flight_bytes: limits.number("in_flight_bytes"),
                head_timeout: limits.time("head_timeout"),
                body_stall: limits.time("body_stall"),
                body_rate: limits.number("body_rate"),
                idle: limits.time("idle"),
                write_stall: limits.time("write_stall"),
                ws_message: limits.number("ws_message"),
                fan_out_bytes: limits.number("fan_out_bytes"),
                delayed: limits.number("delayed"),
                failed_logins: limits.number("failed_logins") as u32,
            },
            log: Log {
                max_bytes: log.maybe_number("max_bytes"),
                journal_file: log.maybe_number("journal_file"),
                intake: log.number("intake"),
                tail_cache: log.number("tail_cache"),
                dedupe_ids: log.number("dedupe_ids"),
                reserve: log.maybe_number("reserve"),
                lazy: log.time("lazy"),
                record: log.number("record"),
                segment: log.maybe_number("segment"),
            },
            telemetry: Telemetry {
                logs: match telemetry.text("logs") {
                    "json" => LogFormat::Json,
                    _ => LogFormat::Text,
                },
                level: telemetry.text("level").to_owned(),
            },
            shutdown: Shutdown {
                delay: shutdown.time("delay"),
                deadline: shutdown.time("deadline"),
            },
            store: Store {
                sqlite: store.text("sqlite").into(),
                changes: store.number("changes"),
            },
            outgoing: Outgoing::check(part("outgoing"), value, mode),
            runtime: match node.text("runtime") {
                "pinned" => Threads::Pinned,
                _ => Threads::Steal,
            },
        }
    }
}
/// The settings when nobody says anything.
impl Default for Node {
    fn default() -> Self {
        Self::check(&Value::empty_map(At::BUILT_IN), Mode::Dev, &mut Ledger::default())
    }
}
fn check_log(log: &Record, ledger: &mut Ledger) {
    let Some(file) = log.maybe_number("journal_file") else { return };
    let path = log.path.key("journal_file");
    if !file.is_power_of_two() {
        let message = format!("`journal_file` cannot be `{}`", show_size(file));
        let fault = Fault::new(Code::BadValue, log.at("journal_file"), &path, message).expected("a power of two");
        ledger.tell(fault.hint(format!("write `{}`", show_size(file.next_power_of_two().min(64 * MIB)))));
    } else if log.number("record") > file / 2 {
        let at = blame(log, "record", "journal_file");
        let message = format!("`record` of {} does not fit half a `journal_file`", show_size(log.number("record")));
        let fault = Fault::new(Code::BadValue, at, &log.path.key("record"), message);
        ledger.tell(fault.hint(format!("write `record: {}` or a larger `journal_file`", show_size(file / 2))));
    }
}
/// A limit inside another one that is smaller could never be reached: whoever keeps to it would be refused.
fn check_limits(limits: &Record, ledger: &mut Ledger) {
    for (inner, outer) in [("body", "in_flight_bytes"), ("batch_body", "in_flight_bytes"), ("target", "head")] {
        let (Some(small), Some(large)) = (limits.maybe_number(inner), limits.maybe_number(outer)) else {
            continue;
        };
        if small > large {
            let message = format!("`{inner}` of {} is larger than `{outer}` of {}", show_size(small), show_size(large));
            let fault = Fault::new(Code::BadValue, blame(limits, inner, outer), &limits.path.key(inner), message);
            ledger.tell(fault.hint(format!("lower `{inner}` or raise `{outer}`")));
            // One fault: the next pair may be the same outer limit.
            return;
        }
    }
}
/// Of two values that contradict each other the one that was written: a default is nobody's fault.
fn blame(record: &Record, first: &str, second: &str) -> At {
    match record.at(first) {
        At::BUILT_IN => record.at(second),
        at => at,
    }
}
