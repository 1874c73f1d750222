//! Streams as declared and streams as they are: what is declared is made or changed, what is there and not declared is kept.
use crate::cli::count;
use futures::future::try_join_all;
use std::{collections::HashSet, sync::Arc};
use tidegate_config::{Stream as Declared, WhenFull};
use tidegate_core::{
    error::{Code, Error, Fault, Result},
    filter::Filter,
};
use tidegate_log::{Log, Retention, Stream, StreamSpec};

/// Each stream with the topics it captures. All at once, so that they share their commits.
pub(crate) async fn reconcile(log: &Log, declared: &[Declared]) -> Result<Vec<(Arc<Stream>, Vec<Filter>)>> {
    let mut streams = try_join_all(declared.iter().map(|want| one(log, want))).await?;
    let names: HashSet<&str> = declared.iter().map(|want| &*want.name).collect();
    for orphan in log.streams().iter().filter(|stream| !names.contains(stream.name())) {
        let stream = orphan.name();
        tracing::warn!(stream, "stream without a declaration: kept, captures only its own topic");
        streams.push((orphan.clone(), Vec::new()));
    }
    Ok(streams)
}
async fn one(log: &Log, want: &Declared) -> Result<(Arc<Stream>, Vec<Filter>)> {
    let spec = spec(want);
    let stream = match log.stream(&want.name) {
        None => log.create_stream(&want.name, spec).await?,
        Some(stream) if stream.partitions() != spec.partitions => {
            let text = format!(
                "stream `{}` was created with {}, and the configuration wants {}: that is fixed on disk",
                want.name,
                count(stream.partitions() as usize, "partition"),
                spec.partitions
            );
            return Err(
                Error::new(Code::BadValue, Fault::Operator, text).with_hint("set `partitions` back, or declare a stream of another name")
            );
        }
        Some(stream) if stream.spec() != spec => log.change_stream(&want.name, spec).await?,
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
    }
}
