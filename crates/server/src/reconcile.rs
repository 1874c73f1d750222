//! Streams as declared and streams as they are: what is declared is made, and changed once that is kept; what is there and not declared stays.
use crate::cli::count;
use futures::future::try_join_all;
use std::{collections::HashSet, sync::Arc};
use tidegate_config::{Id, Keep, ResourceKind, Stream as Declared, WhenFull};
use tidegate_core::{check::Problem, error::Result, filter::Filter};
use tidegate_endpoints::local::Rules;
use tidegate_log::{AGAIN, Log, Retention, Stream, StreamSpec};

/// Each stream with the topics it captures. All at once, so that they share their commits.
pub(crate) async fn reconcile(log: &Log, declared: &[Declared]) -> Result<Vec<(Arc<Stream>, Vec<Filter>)>> {
    let mut streams = try_join_all(declared.iter().map(|want| one(log, want))).await?;
    let names: HashSet<&str> = declared.iter().map(|want| &*want.name).collect();
    // Nobody publishes to what brings messages again, or reads it.
    let ours = |name: &str| name.starts_with(AGAIN);
    let orphans = log
        .streams()
        .into_iter()
        .filter(|stream| !names.contains(stream.name()) && !ours(stream.name()));
    streams.extend(orphans.map(|stream| (stream, Vec::new())));
    Ok(streams)
}
/// What is to be changed: from then on retention may take messages, so it waits until nothing else can be refused.
pub(crate) fn changes(log: &Log, declared: &[Declared]) -> Vec<(Arc<str>, StreamSpec)> {
    let one = |want: &Declared| {
        let spec = spec(want);
        let differs = log.stream(&want.name)?.spec() != spec;
        differs.then(|| (want.name.clone(), spec))
    };
    declared.iter().filter_map(one).collect()
}
/// What holds of the groups of each stream.
pub(crate) fn rules(log: &Log, declared: &[Declared]) -> Vec<(u32, Rules)> {
    let one = |want: &Declared| {
        let dead = want.dead_letters.as_ref()?;
        let rules = Rules {
            deliveries: Some(dead.after_attempts),
            dead_letters: dead.stream.as_deref().map(str::to_owned),
        };
        Some((log.stream(&want.name)?.number(), rules))
    };
    declared.iter().filter_map(one).collect()
}
/// What is fixed on disk and is declared otherwise.
pub(crate) fn unkeepable(log: &Log, declared: &[Declared]) -> Vec<(Id, Problem)> {
    let one = |want: &Declared| {
        let is = log.stream(&want.name)?.partitions();
        let problem = Problem {
            at: "/partitions".to_owned(),
            expected: format!(
                "{is}: the stream was created with {}, and that is fixed on disk",
                count(is as usize, "partition")
            )
            .into(),
            hint: Some("set `partitions` back, or declare a stream of another name".into()),
        };
        (is != want.partitions).then(|| (Id::new(ResourceKind::Stream, want.name.clone()), problem))
    };
    declared.iter().filter_map(one).collect()
}
async fn one(log: &Log, want: &Declared) -> Result<(Arc<Stream>, Vec<Filter>)> {
    let spec = spec(want);
    let stream = match log.stream(&want.name) {
        None => log.create_stream(&want.name, spec).await?,
        Some(stream) => stream,
    };
    Ok((stream, want.topics.clone()))
}
fn spec(declared: &Declared) -> StreamSpec {
    StreamSpec {
        partitions: declared.partitions,
        retention: Retention {
            age: declared.age,
            bytes: declared.bytes,
            messages: declared.messages,
        },
        dedupe: declared.dedupe,
        when_full: match declared.when_full {
            WhenFull::DropOldest => tidegate_log::WhenFull::DropOldest,
            WhenFull::DropNewest => tidegate_log::WhenFull::DropNewest,
            WhenFull::Refuse => tidegate_log::WhenFull::Refuse,
        },
        keep: match declared.keep {
            Keep::Limits => tidegate_log::Keep::Limits,
            Keep::UntilAcked => tidegate_log::Keep::UntilAcked,
        },
    }
}
