//! Every number the node shows, read when it is asked for. Names end in what they count; counters in `_total`.
use super::{
    admin::Board,
    families::{self as all, Family, Kind, Label},
};
use crate::groups;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tidegate_endpoints::local::line_of;
use tidegate_gateway::pump::{BOUNDS, Count, State};
use tidegate_log::{DEAD, Log, Stream};

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
/// The values of a family's labels, in their order, and a number.
type Row = (Vec<String>, u64);

/// One family: its rows are written under one descriptor.
fn family(to: &mut DescriptorEncoder<'_>, family: &Family, rows: Vec<Row>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    debug_assert!(family.kind != Kind::Histogram, "{}", family.name);
    let counter = family.kind == Kind::Counter;
    let kind = if counter { MetricType::Counter } else { MetricType::Gauge };
    let mut metric = to.encode_descriptor(family.name, family.help, None, kind)?;
    for (values, value) in rows {
        let listed = |(label, value): (&Label, &String)| label.values.is_empty() || label.values.contains(&value.as_str());
        debug_assert!(family.labels.iter().zip(&values).all(listed), "{}: {values:?}", family.name);
        let labels: Vec<_> = family.labels.iter().map(|label| label.name).zip(values).collect();
        row(&labels, value, counter, &mut metric)?;
    }
    Ok(())
}
/// How many took how long: of each class by itself, and all together.
type Took = ([u64; BOUNDS.len() + 1], Duration);
/// One family of durations.
fn durations(to: &mut DescriptorEncoder<'_>, family: &Family, rows: Vec<(Vec<String>, Took)>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut metric = to.encode_descriptor(family.name, family.help, None, MetricType::Histogram)?;
    for (values, (classes, all)) in rows {
        let labels: Vec<_> = family.labels.iter().map(|label| label.name).zip(values).collect();
        let bounds = BOUNDS.iter().map(|millis| *millis as f64 / 1_000.0).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(classes).collect();
        let count = classes.iter().sum();
        let mut encoder = metric.encode_family(&labels)?;
        encoder.encode_histogram::<NoLabelSet>(all.as_secs_f64(), count, &buckets, None)?;
    }
    Ok(())
}
/// One without labels.
fn single(to: &mut DescriptorEncoder<'_>, of: &Family, value: u64) -> fmt::Result {
    family(to, of, vec![(Vec::new(), value)])
}
fn row(labels: &Vec<(&'static str, String)>, value: u64, counter: bool, to: &mut MetricEncoder<'_>) -> fmt::Result {
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
        self.webhooks(to)?;
        self.schemas(to)?;
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
            let label = || vec![api.to_string()];
            received.push((label(), now.received));
            flying.push((label(), now.in_flight));
            for (outcome, count) in [
                ("stored", now.stored),
                ("live", now.live),
                ("accepted", now.accepted),
                ("refused", now.refused),
                ("failed", now.failed),
            ] {
                outcomes.push(([label(), vec![outcome.to_owned()]].concat(), count));
            }
        }
        family(to, &all::RECEIVED, received)?;
        family(to, &all::PUBLISHED, outcomes)?;
        family(to, &all::PUBLISHING, flying)
    }
    fn subscribers(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut offered = Vec::new();
        let mut outcomes = Vec::new();
        let mut flying = Vec::new();
        let mut open = Vec::new();
        let mut upstream = Vec::new();
        for (api, metrics) in self.0.metrics.all() {
            upstream.push((vec![api.to_string()], metrics.upstream.load(Ordering::Relaxed)));
            for (entrypoint, class) in metrics.classes() {
                let now = class.now();
                let label = || vec![api.to_string(), entrypoint.to_owned()];
                offered.push((label(), now.offered));
                flying.push((label(), now.in_flight));
                open.push((label(), now.open));
                for (outcome, count) in [("written", now.written), ("skipped", now.skipped), ("cut", now.cut)] {
                    outcomes.push(([label(), vec![outcome.to_owned()]].concat(), count));
                }
            }
        }
        family(to, &all::OFFERED, offered)?;
        family(to, &all::DELIVERED, outcomes)?;
        family(to, &all::DELIVERING, flying)?;
        family(to, &all::UPSTREAM_CONSUMERS, upstream)?;
        family(to, &all::SUBSCRIBERS, open)
    }
    fn schemas(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(failures) = self.0.failures.get() else { return Ok(()) };
        let rows = failures.all().into_iter().map(|(values, count)| (values.into(), count));
        family(to, &all::SCHEMA_FAILURES, rows.collect())
    }
    fn webhooks(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(webhooks) = self.0.webhooks.get() else { return Ok(()) };
        let each = webhooks.pumps().each();
        let label = |name: &Arc<str>| vec![name.to_string()];
        let with = |name: &Arc<str>, word: &str| vec![name.to_string(), word.to_owned()];
        let count = |what: Count| {
            each.iter()
                .map(|(name, progress)| (label(name), progress.count(what)))
                .collect::<Vec<_>>()
        };
        let mut attempts = Vec::new();
        let mut states = Vec::new();
        let (mut lags, mut ages) = (Vec::new(), Vec::new());
        for (name, progress) in &each {
            for what in [
                Count::Delivered,
                Count::Retried,
                Count::Attempts,
                Count::Refused,
                Count::Time,
                Count::Gone,
            ] {
                attempts.push((with(name, what.as_str()), progress.count(what)));
            }
            let now = progress.state();
            states.extend(State::WORDS.map(|word| (with(name, word), u64::from(now.as_str() == word))));
            if let Some((messages, age)) = webhooks.lag(name) {
                lags.push((label(name), messages));
                ages.push((label(name), u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
            }
        }
        family(to, &all::WEBHOOK_ATTEMPTS, attempts)?;
        let took = each.iter().map(|(name, progress)| (label(name), progress.took()));
        durations(to, &all::WEBHOOK_DURATION, took.collect())?;
        family(to, &all::WEBHOOK_HELD, count(Count::Held))?;
        family(to, &all::WEBHOOK_MISSED, count(Count::Missed))?;
        let flying = each.iter().map(|(name, progress)| (label(name), progress.in_flight()));
        family(to, &all::WEBHOOK_IN_FLIGHT, flying.collect())?;
        family(to, &all::WEBHOOK_LAG, lags)?;
        family(to, &all::WEBHOOK_LAG_AGE, ages)?;
        family(to, &all::WEBHOOK_STATE, states)?;
        family(to, &all::WEBHOOK_OPENED, count(Count::Opened))?;
        single(to, &all::DELIVERY_LOG_LOST, webhooks.lost())
    }
    fn edge(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let board = &self.0;
        let seen = &board.seen;
        let listeners = [("gateway", &seen.gateway), ("admin", &seen.admin), ("memphis", &seen.memphis)];
        let label = |name: &str| vec![name.to_owned()];
        let open = listeners.map(|(name, seen)| (label(name), seen.open.load(Ordering::Relaxed) as u64));
        family(to, &all::CONNECTIONS, open.into())?;
        let accepted = listeners.map(|(name, seen)| (label(name), seen.accepted.load(Ordering::Relaxed)));
        family(to, &all::ACCEPTED_CONNECTIONS, accepted.into())?;
        let shed = listeners.map(|(name, seen)| (label(name), seen.shed.load(Ordering::Relaxed)));
        family(to, &all::SHED_CONNECTIONS, shed.into())?;
        let late = listeners.map(|(name, seen)| (label(name), seen.timed_out.load(Ordering::Relaxed)));
        family(to, &all::TIMED_OUT_CONNECTIONS, late.into())?;
        let unready = listeners.map(|(name, seen)| (label(name), seen.unready.load(Ordering::Relaxed)));
        family(to, &all::UNREADY_CONNECTIONS, unready.into())?;
        let ends = listeners.iter().filter_map(|(name, _)| {
            let setting = format!("listeners.{name}");
            let own = board
                .seen
                .certificates
                .iter()
                .filter(|certificates| certificates.setting() == setting);
            let first = own
                .flat_map(|certificates| certificates.shown())
                .map(|shown| shown.not_after)
                .min()?;
            Some((label(name), u64::try_from(first / 1_000_000).unwrap_or_default()))
        });
        family(to, &all::CERTIFICATE_END, ends.collect())?;
        let (requests, bytes, shed) = board.flight.now();
        single(to, &all::IN_FLIGHT_REQUESTS, requests)?;
        single(to, &all::IN_FLIGHT_BYTES, bytes)?;
        single(to, &all::SHED_REQUESTS, shed)
    }
    fn log(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(log) = self.0.health.log() else { return Ok(()) };
        let stats = log.stats();
        single(to, &all::LOG_RECORDS, stats.appended_records)?;
        single(to, &all::LOG_BYTES, stats.appended_bytes)?;
        single(to, &all::LOG_SYNCS, stats.syncs)?;
        single(to, &all::LOG_LAST_SYNC, stats.last_sync_us)?;
        single(to, &all::LOG_INTAKE_BYTES, stats.intake_bytes)?;
        single(to, &all::LOG_TAIL_CACHE_BYTES, stats.tail_cache_bytes)?;
        single(to, &all::LOG_MOVED_RECORDS, stats.moved_records)?;
        single(to, &all::LOG_DAMAGED_RECORDS, stats.damaged_records)?;
        single(to, &all::LOG_DEDUPE_IDS, stats.dedupe_ids)?;
        single(to, &all::LOG_INDEX_ENTRIES, stats.index_entries)?;
        let mut records = Vec::new();
        let mut bytes = Vec::new();
        for (number, stream) in stats.streams {
            let name = log
                .stream_by_number(number)
                .map_or_else(|| number.to_string(), |stream| stream.name().to_owned());
            records.push((vec![name.clone()], stream.records));
            bytes.push((vec![name], stream.bytes));
        }
        family(to, &all::STREAM_RECORDS, records)?;
        family(to, &all::STREAM_BYTES, bytes)?;
        family(to, &all::STREAM_DELAYED, delayed(log))?;
        of_groups(to, log)
    }
}
/// Of each stream for which messages wait.
fn delayed(log: &Log) -> Vec<(Vec<String>, u64)> {
    let streams = log.streams();
    let of = |line: &Arc<Stream>| {
        let pending = log.groups(line).iter().map(|group| group.stats().pending).sum();
        Some((vec![line_of(log, line)?], pending))
    };
    streams.iter().filter_map(of).collect()
}
/// Those that read streams of users, for users.
fn of_groups(to: &mut DescriptorEncoder<'_>, log: &Log) -> fmt::Result {
    let (mut messages, mut pending, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for stream in log.streams().iter().filter(|stream| !stream.name().starts_with('$')) {
        for group in log.groups(stream).iter().filter(|group| group.name() != DEAD) {
            let stats = groups::stats(log, group);
            let labels = || vec![stream.name().to_owned(), group.name().to_owned()];
            for (outcome, count) in [
                ("done", stats.done),
                ("dead", stats.dead),
                ("expired", stats.expired),
                ("missed", stats.missed),
            ] {
                messages.push(([labels(), vec![outcome.to_owned()]].concat(), count));
            }
            pending.push((labels(), stats.pending));
            out.push((labels(), stats.out));
        }
    }
    family(to, &all::GROUP_MESSAGES, messages)?;
    family(to, &all::GROUP_PENDING, pending)?;
    family(to, &all::GROUP_OUT, out)
}
