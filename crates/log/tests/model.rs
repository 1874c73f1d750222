//! Random appends, purges, reads, kills and restarts against a plain vector.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]
mod support;

use proptest::prelude::*;
use std::sync::Arc;
use support::{drain, entry, store, try_open};
use tidegate_core::{endpoint::Start, position::Position};
use tidegate_log::{Internal, Log, Options, Stream, StreamSpec};

#[derive(Clone, Debug)]
enum Op {
    /// How many records, of what size, into which partition.
    Append(u8, u16, bool),
    Read(u8, u8),
    Last(u8),
    Purge,
    Restart,
}
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..20u8, 0..2_000u16, any::<bool>()).prop_map(|(n, size, second)| Op::Append(n, size, second)),
        4 => any::<(u8, u8)>().prop_map(|(at, partition)| Op::Read(at, partition % 2)),
        2 => any::<u8>().prop_map(Op::Last),
        1 => Just(Op::Purge),
        2 => Just(Op::Restart),
    ]
}
fn options() -> Options {
    Options {
        journal_file: Some(16 << 10),
        tail_cache: 8 << 10,
        internal: Internal {
            segment_least: 8 << 10,
            segment_most: 8 << 10,
            move_window: 4 << 10,
            zero_ahead: 4 << 10,
            table_waste: 512,
            ..Internal::default()
        },
        ..Options::default()
    }
}
/// Per partition: the first offset that is left, and all payloads that ever were.
type Model = [(usize, Vec<String>); 2];

async fn read(log: &Log, stream: &Arc<Stream>, start: Start) -> [Vec<String>; 2] {
    let mut reader = log.reader(stream, start).unwrap();
    let mut found = [Vec::new(), Vec::new()];
    for payload in drain(&mut reader).await {
        found[usize::from(payload.starts_with('1'))].push(payload);
    }
    found
}
async fn run(ops: Vec<Op>) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = try_open(folder.path(), options()).unwrap().0;
    let spec = StreamSpec {
        partitions: 2,
        ..StreamSpec::default()
    };
    log.create_stream("s", spec).await.unwrap();
    let mut model = Model::default();
    for op in ops {
        let stream = log.stream("s").unwrap();
        match op {
            Op::Append(count, size, second) => {
                let partition = usize::from(second);
                let all = &mut model[partition].1;
                let first = all.len();
                all.extend((0..usize::from(count)).map(|i| format!("{partition}-{}-{:x>2$}", first + i, "", usize::from(size))));
                let batch = all[first..].iter().enumerate();
                let batch = batch.map(|(i, payload)| entry(i as u32, &stream, partition as u32, payload.clone()));
                let kept = store(&log, batch.collect()).await.unwrap();
                assert_eq!(kept.places[0].spans[0].first, first as u128);
            }
            Op::Read(at, partition) => {
                let (floor, all) = &model[usize::from(partition)];
                let offset = usize::from(at) % (all.len() + 1);
                let position = Position {
                    source: stream.number(),
                    partition: u32::from(partition),
                    offset: offset as u128,
                };
                let found = read(&log, &stream, Start::At(position)).await;
                let expected = &all[offset.max(*floor)..];
                let found: Vec<_> = found
                    .into_iter()
                    .flatten()
                    .filter(|p| p.starts_with(&partition.to_string()))
                    .collect();
                assert_eq!(found, expected);
            }
            Op::Last(count) => {
                let found = read(&log, &stream, Start::Last(u64::from(count))).await;
                for (found, (floor, all)) in found.iter().zip(&model) {
                    let from = all.len().saturating_sub(usize::from(count)).max(*floor);
                    assert_eq!(found, &all[from..]);
                }
            }
            Op::Purge => {
                let held: usize = model.iter().map(|(floor, all)| all.len() - floor).sum();
                assert_eq!(log.purge_stream("s").await.unwrap(), held as u64);
                for (floor, all) in &mut model {
                    *floor = all.len();
                }
            }
            Op::Restart => {
                log.close().await;
                let (again, found) = try_open(folder.path(), options()).unwrap();
                assert!(!found.slow && found.damaged == 0 && found.lost_tail == 0, "{found:?}");
                log = again;
            }
        }
    }
    let stream = log.stream("s").unwrap();
    let found = read(&log, &stream, Start::Earliest).await;
    for (found, (floor, all)) in found.iter().zip(&model) {
        assert_eq!(found, &all[*floor..]);
    }
    assert_eq!(stream.stats().records, found.iter().map(|f| f.len() as u64).sum::<u64>());
    log.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_log_is_a_vector(ops in prop::collection::vec(op(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(ops));
    }
}
