//! Every number the node shows, read when it is asked for. Names end in what they count; counters in `_total`.
use super::admin::Board;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::{fmt, sync::Arc, sync::atomic::Ordering};

/// OpenMetrics text.
pub(super) fn text(board: &Arc<Board>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Numbers(board.clone())));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
struct Numbers(Arc<Board>);
impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}
type Labels = Vec<(&'static str, String)>;

/// One family: its rows are written under one descriptor.
fn family(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, counter: bool, rows: Vec<(Labels, u64)>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let kind = if counter { MetricType::Counter } else { MetricType::Gauge };
    let mut metric = to.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in rows {
        row(&labels, value, counter, &mut metric)?;
    }
    Ok(())
}
fn row(labels: &Labels, value: u64, counter: bool, to: &mut MetricEncoder<'_>) -> fmt::Result {
    let write = |to: MetricEncoder<'_>| {
        if counter {
            ConstCounter::new(value).encode(to)
        } else {
            ConstGauge::new(value as i64).encode(to)
        }
    };
    if labels.is_empty() {
        return if counter {
            to.encode_counter::<NoLabelSet, _, u64>(&value, None)
        } else {
            to.encode_gauge(&(value as i64))
        };
    }
    write(to.encode_family(labels)?)
}
impl Collector for Numbers {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut to;
        self.published(to)?;
        self.subscribers(to)?;
        self.edge(to)?;
        self.log(to)
    }
}
impl Numbers {
    fn published(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut received = Vec::new();
        let mut outcomes = Vec::new();
        let mut flying = Vec::new();
        for (api, metrics) in self.0.metrics.all() {
            let now = metrics.published.now();
            let label = || vec![("api", api.to_string())];
            received.push((label(), now.received));
            flying.push((label(), now.in_flight));
            for (outcome, count) in [
                ("stored", now.stored),
                ("live", now.live),
                ("accepted", now.accepted),
                ("refused", now.refused),
                ("failed", now.failed),
            ] {
                outcomes.push(([label(), vec![("outcome", outcome.to_owned())]].concat(), count));
            }
        }
        family(to, "tidegate_received_messages", "messages clients published", true, received)?;
        family(to, "tidegate_published_messages", "what became of them", true, outcomes)?;
        family(
            to,
            "tidegate_publishing_messages",
            "received, and nothing became of them yet",
            false,
            flying,
        )
    }
    fn subscribers(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut offered = Vec::new();
        let mut outcomes = Vec::new();
        let mut flying = Vec::new();
        let mut open = Vec::new();
        for (api, metrics) in self.0.metrics.all() {
            for (entrypoint, class) in metrics.classes() {
                let now = class.now();
                let label = || vec![("api", api.to_string()), ("entrypoint", entrypoint.to_owned())];
                offered.push((label(), now.offered));
                flying.push((label(), now.in_flight));
                open.push((label(), now.open));
                for (outcome, count) in [("written", now.written), ("skipped", now.skipped), ("cut", now.cut)] {
                    outcomes.push(([label(), vec![("outcome", outcome.to_owned())]].concat(), count));
                }
            }
        }
        family(to, "tidegate_offered_messages", "messages due to subscribers", true, offered)?;
        family(to, "tidegate_delivered_messages", "what became of them", true, outcomes)?;
        family(
            to,
            "tidegate_delivering_messages",
            "due, and nothing became of them yet",
            false,
            flying,
        )?;
        family(to, "tidegate_subscribers", "clients that read now", false, open)
    }
    fn edge(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let board = &self.0;
        let listeners = [("gateway", &board.seen.gateway), ("admin", &board.seen.admin)];
        let label = |name: &str| vec![("listener", name.to_owned())];
        let open = listeners.map(|(name, seen)| (label(name), seen.open.load(Ordering::Relaxed) as u64));
        family(to, "tidegate_connections", "open connections", false, open.into())?;
        let accepted = listeners.map(|(name, seen)| (label(name), seen.accepted.load(Ordering::Relaxed)));
        family(to, "tidegate_accepted_connections", "connections there were", true, accepted.into())?;
        let shed = listeners.map(|(name, seen)| (label(name), seen.shed.load(Ordering::Relaxed)));
        family(to, "tidegate_shed_connections", "connections over the cap", true, shed.into())?;
        let late = listeners.map(|(name, seen)| (label(name), seen.timed_out.load(Ordering::Relaxed)));
        family(
            to,
            "tidegate_timed_out_connections",
            "connections closed for want of progress",
            true,
            late.into(),
        )?;
        let (requests, bytes, shed) = board.flight.now();
        family(
            to,
            "tidegate_in_flight_requests",
            "requests being answered",
            false,
            vec![(Vec::new(), requests)],
        )?;
        family(
            to,
            "tidegate_in_flight_bytes",
            "bytes of their bodies",
            false,
            vec![(Vec::new(), bytes)],
        )?;
        family(to, "tidegate_shed_requests", "requests over a cap", true, vec![(Vec::new(), shed)])
    }
    fn log(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(log) = self.0.health.log() else { return Ok(()) };
        let stats = log.stats();
        for (name, help, counter, value) in [
            ("tidegate_log_records", "records appended", true, stats.appended_records),
            ("tidegate_log_bytes", "bytes appended", true, stats.appended_bytes),
            ("tidegate_log_syncs", "syncs of the journal", true, stats.syncs),
            ("tidegate_log_last_sync_microseconds", "the last sync", false, stats.last_sync_us),
            (
                "tidegate_log_intake_bytes",
                "bytes that wait to be synced",
                false,
                stats.intake_bytes,
            ),
            (
                "tidegate_log_tail_cache_bytes",
                "recent messages in memory",
                false,
                stats.tail_cache_bytes,
            ),
            (
                "tidegate_log_moved_records",
                "records moved into segments",
                true,
                stats.moved_records,
            ),
            (
                "tidegate_log_damaged_records",
                "records that do not check",
                true,
                stats.damaged_records,
            ),
            ("tidegate_log_dedupe_ids", "message ids remembered", false, stats.dedupe_ids),
        ] {
            family(to, name, help, counter, vec![(Vec::new(), value)])?;
        }
        let mut records = Vec::new();
        let mut bytes = Vec::new();
        for (number, stream) in stats.streams {
            let name = log
                .stream_by_number(number)
                .map_or_else(|| number.to_string(), |stream| stream.name().to_owned());
            records.push((vec![("stream", name.clone())], stream.records));
            bytes.push((vec![("stream", name)], stream.bytes));
        }
        family(to, "tidegate_stream_records", "records that can be read", false, records)?;
        family(to, "tidegate_stream_bytes", "their bytes", false, bytes)
    }
}
