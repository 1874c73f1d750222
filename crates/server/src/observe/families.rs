//! Every metric there is: name, type, labels, help. `/metrics` writes no other, and `xtask` makes the reference page of this file,
//! which it includes as it is: it uses nothing of this crate.

/// One family of `/metrics`.
pub(crate) struct Family {
    /// Counters without the `_total` that their samples end in.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [Label],
    pub(crate) help: &'static str,
}
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only ever more.
    Counter,
    /// How it is now.
    Gauge,
    /// How many took how long, in classes.
    Histogram,
}
/// What parts a family.
pub(crate) struct Label {
    pub(crate) name: &'static str,
    /// Empty: as many as there are of what it names.
    pub(crate) values: &'static [&'static str],
}

const fn open(name: &'static str) -> Label {
    Label { name, values: &[] }
}
const API: &[Label] = &[open("api")];
const READERS: &[Label] = &[open("api"), open("entrypoint")];
const LISTENER: &[Label] = &[Label {
    name: "listener",
    values: &["gateway", "admin", "memphis"],
}];
const STREAM: &[Label] = &[open("stream")];
const GROUP: &[Label] = &[open("stream"), open("group")];
const WEBHOOK: &[Label] = &[open("webhook")];
const fn outcomes(values: &'static [&'static str]) -> Label {
    Label { name: "outcome", values }
}

/// A constant and a row of [`ALL`] each, so that none is written that is not in the reference.
macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal $labels:expr, $help:literal;)+) => {
        $(pub(crate) const $constant: Family = Family { name: $name, kind: Kind::$kind, labels: $labels, help: $help };)+
        /// In the order they are written.
        #[allow(dead_code, reason = "the server takes them one by one, `xtask` all together")]
        pub(crate) const ALL: &[Family] = &[$($constant),+];
    };
}
families! {
    RECEIVED: Counter "tidegate_received_messages" API, "messages that clients published";
    PUBLISHED: Counter "tidegate_published_messages"
        &[open("api"), outcomes(&["stored", "live", "accepted", "refused", "failed"])], "what became of messages that clients published";
    PUBLISHING: Gauge "tidegate_publishing_messages" API, "messages received, of which nothing became yet";
    OFFERED: Counter "tidegate_offered_messages" READERS, "messages due to subscribers";
    DELIVERED: Counter "tidegate_delivered_messages"
        &[open("api"), open("entrypoint"), outcomes(&["written", "skipped", "cut"])], "what became of messages due to subscribers";
    DELIVERING: Gauge "tidegate_delivering_messages" READERS, "messages due to subscribers, of which nothing became yet";
    UPSTREAM_CONSUMERS: Gauge "tidegate_upstream_consumers" API, "consumers that are open at endpoints: one for all who read the same live, one for each who reads alone";
    SUBSCRIBERS: Gauge "tidegate_subscribers" READERS, "clients that read now";
    WEBHOOK_ATTEMPTS: Counter "tidegate_webhook_attempts"
        &[open("webhook"), outcomes(&["delivered", "retried", "given_up_attempts", "given_up_refused", "given_up_time", "stopped"])],
        "attempts to deliver a message, by what became of it";
    WEBHOOK_DURATION: Histogram "tidegate_webhook_duration_seconds" WEBHOOK, "how long requests to the target took";
    WEBHOOK_HELD: Counter "tidegate_webhook_held_messages" WEBHOOK, "messages given back without an attempt: they waited for others of their key";
    WEBHOOK_MISSED: Counter "tidegate_webhook_missed_messages" WEBHOOK, "messages that left the source before they were read";
    WEBHOOK_IN_FLIGHT: Gauge "tidegate_webhook_in_flight_messages" WEBHOOK, "messages that are with the target now";
    WEBHOOK_LAG: Gauge "tidegate_webhook_lag_messages" WEBHOOK, "messages of the source that are not done, also those its filter leaves out until it has passed over them";
    WEBHOOK_LAG_AGE: Gauge "tidegate_webhook_lag_milliseconds" WEBHOOK, "how long ago the oldest message came that is not done";
    WEBHOOK_STATE: Gauge "tidegate_webhook_state"
        &[open("webhook"), Label { name: "state", values: &["untried", "connected", "retrying", "failing", "open", "stopped"] }],
        "1 for the state it is in; `open`: its circuit is, and the target is left alone";
    WEBHOOK_OPENED: Counter "tidegate_webhook_circuit_openings" WEBHOOK, "times a circuit opened";
    DELIVERY_LOG_LOST: Counter "tidegate_delivery_log_lost_attempts" &[], "attempts that are not in the delivery log: they came too fast";
    SCHEMA_FAILURES: Counter "tidegate_schema_failures"
        &[open("stream"), open("schema"), Label { name: "action", values: &["reject", "dead_letter", "warn"] }],
        "messages that did not match the schema of a stream, or of an api, which is called `api/NAME`";
    CONNECTIONS: Gauge "tidegate_connections" LISTENER, "open connections";
    ACCEPTED_CONNECTIONS: Counter "tidegate_accepted_connections" LISTENER, "connections accepted";
    SHED_CONNECTIONS: Counter "tidegate_shed_connections" LISTENER, "connections refused over the cap";
    TIMED_OUT_CONNECTIONS: Counter "tidegate_timed_out_connections" LISTENER, "connections closed for want of progress";
    UNREADY_CONNECTIONS: Counter "tidegate_unready_connections" LISTENER, "connections that ended before HTTP: no TLS was spoken or agreed on, or a PROXY header was broken";
    CERTIFICATE_END: Gauge "tidegate_certificate_not_after_seconds" LISTENER, "the last second in which the listener's certificate holds, of several the first to end, since 1970";
    IN_FLIGHT_REQUESTS: Gauge "tidegate_in_flight_requests" &[], "requests being answered";
    IN_FLIGHT_BYTES: Gauge "tidegate_in_flight_bytes" &[], "bytes of the bodies of requests being answered, and of pages their clients have not taken";
    SHED_REQUESTS: Counter "tidegate_shed_requests" &[], "requests refused over a cap";
    LOG_RECORDS: Counter "tidegate_log_records" &[], "records appended to the log";
    LOG_BYTES: Counter "tidegate_log_bytes" &[], "bytes appended to the log";
    LOG_SYNCS: Counter "tidegate_log_syncs" &[], "syncs of the log's journal";
    LOG_LAST_SYNC: Gauge "tidegate_log_last_sync_microseconds" &[], "how long the last sync took";
    LOG_INTAKE_BYTES: Gauge "tidegate_log_intake_bytes" &[], "bytes that wait to be synced";
    LOG_TAIL_CACHE_BYTES: Gauge "tidegate_log_tail_cache_bytes" &[], "bytes of recent messages in memory";
    LOG_MOVED_RECORDS: Counter "tidegate_log_moved_records" &[], "records moved into segments";
    LOG_DAMAGED_RECORDS: Counter "tidegate_log_damaged_records" &[], "records that do not check";
    LOG_DEDUPE_IDS: Gauge "tidegate_log_dedupe_ids" &[], "message ids remembered";
    LOG_INDEX_ENTRIES: Gauge "tidegate_log_index_entries" &[], "entries of the journal's index in memory";
    STREAM_RECORDS: Gauge "tidegate_stream_records" STREAM, "records that can be read";
    STREAM_BYTES: Gauge "tidegate_stream_bytes" STREAM, "bytes of the records that can be read";
    STREAM_DELAYED: Gauge "tidegate_stream_delayed_messages" STREAM, "messages that wait until they are due, of streams for which any ever waited";
    GROUP_MESSAGES: Counter "tidegate_group_messages" &[open("stream"), open("group"), outcomes(&["done", "dead", "expired", "missed"])],
        "what became of the messages of a stream for a group that reads it: `expired` before they were delivered, `missed` because the stream forgot them before";
    GROUP_PENDING: Gauge "tidegate_group_pending_messages" GROUP, "messages a group is not done with";
    GROUP_OUT: Gauge "tidegate_group_out_messages" GROUP, "messages of a group that are delivered and not settled";
}
