//! The settings of one process: addresses, limits, the log, telemetry.
use crate::diagnostic::Place;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
}
/// The listening addresses, each with its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// The apis; at least one.
    pub gateway: Vec<Listener>,
    /// Management, metrics, health; none = switched off.
    pub admin: Vec<Listener>,
}
/// One configured address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What to bind: `localhost:8080` and `:8080` are 127.0.0.1 and ::1.
    pub address: Vec<SocketAddr>,
    /// The operator says that a public address without TLS is meant.
    pub insecure: bool,
    /// Where it was written, for an error on binding.
    pub at: Place,
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
    /// Time a connection may wait for its next request.
    pub idle: Duration,
    /// Time without progress on writing.
    pub write_stall: Duration,
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
/// How it stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Between "not ready" and closing the listeners.
    pub delay: Duration,
    /// What is still running then is cut.
    pub deadline: Duration,
}
