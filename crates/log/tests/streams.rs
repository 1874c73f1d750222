//! What callers see: streams, receipts, readers from every start, reopening.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests have a runtime")]
mod support;

use std::{sync::Arc, time::Duration};
use support::{MANY, drain, entries, entry, one, open, payloads, small, store, try_open};
use tidegate_core::{
    endpoint::{Limit, Start},
    error::Code,
    message::Message,
    position::{Cursor, Position, Reason},
    receipt::Level,
};
use tidegate_log::{Error, Log, Options, Status, Stream, StreamSpec};

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|i| i.to_string())
}
async fn read(log: &Log, stream: &Arc<Stream>, start: Start) -> Vec<String> {
    drain(&mut log.reader(stream, start).unwrap()).await
}
fn at(stream: &Stream, partition: u32, offset: u128) -> Position {
    Position {
        source: stream.number(),
        partition,
        offset,
    }
}

#[tokio::test]
async fn what_was_stored_is_read_from_every_start() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let log = open(folder.path());
        let stream = if round == 0 {
            let stream = one(&log).await;
            let kept = store(&log, entries(&stream, numbers(0..5))).await.unwrap();
            assert_eq!(kept.to_string(), "1.0+5");
            store(&log, entries(&stream, numbers(5..10))).await.unwrap();
            stream
        } else {
            log.stream("orders").unwrap()
        };
        let all: Vec<_> = numbers(0..10).collect();
        assert_eq!(read(&log, &stream, Start::Earliest).await, all);
        assert!(read(&log, &stream, Start::Latest).await.is_empty());
        assert_eq!(read(&log, &stream, Start::After("1.6".parse().unwrap())).await, all[7..]);
        assert_eq!(read(&log, &stream, Start::After(Cursor::default())).await, all);
        assert_eq!(read(&log, &stream, Start::At(at(&stream, 0, 6))).await, all[6..]);
        assert_eq!(read(&log, &stream, Start::Last(3)).await, all[7..]);
        assert_eq!(read(&log, &stream, Start::Last(99)).await, all);
        let chunk = log
            .reader(&stream, Start::At(at(&stream, 0, 5)))
            .unwrap()
            .ready(MANY)
            .await
            .unwrap()
            .unwrap();
        let time = chunk.items[0].1.at;
        assert!(time > 0);
        let since = read(&log, &stream, Start::Since(time)).await;
        assert!(since.ends_with(&all[5..]), "{since:?}");
        assert!(read(&log, &stream, Start::Since(time + 3_600_000_000)).await.is_empty());
        log.close().await;
    }
}
#[tokio::test]
async fn a_reader_waits_at_the_end_and_its_cursor_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = one(&log).await;
    let mut reader = log.reader(&stream, Start::Latest).unwrap();
    let waiting = tokio::spawn(async move {
        let chunk = reader.next(MANY).await.unwrap().unwrap();
        (payloads(&chunk), reader.cursor())
    });
    tokio::task::yield_now().await;
    store(&log, entries(&stream, numbers(0..2))).await.unwrap();
    let (got, cursor) = waiting.await.unwrap();
    assert_eq!(got, ["0", "1"]);
    assert_eq!(cursor.to_string(), "1.1");
    store(&log, entries(&stream, numbers(2..3))).await.unwrap();
    assert_eq!(read(&log, &stream, Start::After(cursor)).await, ["2"]);
    log.close().await;
}
#[tokio::test]
async fn partitions_keep_their_order_and_limits_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let spec = StreamSpec {
        partitions: 3,
        ..StreamSpec::default()
    };
    let stream = log.create_stream("wide", spec).await.unwrap();
    let batch = (0..30).map(|i| entry(i, &stream, i % 3, i.to_string())).collect();
    let kept = store(&log, batch).await.unwrap();
    assert!(kept.verdicts(30).iter().all(|v| v.result.as_ref().is_ok_and(|p| p.len() == 1)));
    let verdicts = kept.verdicts(30);
    assert_eq!(verdicts[4].result.as_ref().unwrap()[0], at(&stream, 1, 1));
    let mut reader = log.reader(&stream, Start::Earliest).unwrap();
    let mut seen = Vec::new();
    let few = Limit {
        messages: 4,
        bytes: 1 << 20,
    };
    while seen.len() < 30 {
        let chunk = reader.ready(few).await.unwrap().unwrap();
        assert!((1..=4).contains(&chunk.items.len()));
        seen.extend(chunk.items);
    }
    for partition in 0..3 {
        let offsets: Vec<_> = seen
            .iter()
            .filter(|(p, _)| p.partition == partition)
            .map(|(p, _)| p.offset)
            .collect();
        assert_eq!(offsets, (0..10).collect::<Vec<_>>());
    }
    let tiny = Limit { messages: 9, bytes: 1 };
    let chunk = log.reader(&stream, Start::Earliest).unwrap().ready(tiny).await.unwrap().unwrap();
    assert_eq!(chunk.items.len(), 1, "one at least, however small the limit");
    log.close().await;
}
#[tokio::test]
async fn an_item_fails_whole() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let (a, b) = (one(&log).await, log.create_stream("b", StreamSpec::default()).await.unwrap());
    let batch = vec![
        entry(0, &a, 0, "x"),
        entry(0, &b, 9, "x"),
        entry(1, &a, 0, "y"),
        entry(1, &b, 0, "y"),
        entry(2, &a, 0, vec![0; 40_000]),
    ];
    let kept = store(&log, batch).await.unwrap();
    let failed: Vec<_> = kept.failed.iter().map(|(item, e)| (*item, e.code())).collect();
    assert_eq!(failed, [(0, Code::PartitionOutOfRange), (2, Code::RecordTooLarge)]);
    assert_eq!(kept.places.len(), 2);
    assert_eq!(read(&log, &a, Start::Earliest).await, ["y"]);
    assert_eq!(read(&log, &b, Start::Earliest).await, ["y"]);
    log.close().await;
}
#[tokio::test]
async fn accepted_is_written_without_anybody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = one(&log).await;
    let mut reader = log.reader(&stream, Start::Earliest).unwrap();
    let kept = support::append(&log, entries(&stream, numbers(0..3)), Level::Accepted)
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(kept.places.is_empty());
    let chunk = tokio::time::timeout(Duration::from_secs(20), reader.next(MANY))
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(payloads(&chunk), ["0", "1", "2"]);
    let refused = support::append(&log, entries(&stream, numbers(0..1)), Level::Replicated).await;
    assert_eq!(refused.err().map(|e| e.code()), Some(Code::LevelNotOffered));
    log.close().await;
}
/// Nobody waits for an hour because nobody waits for a receipt, and nobody pays a sync for a few messages.
#[tokio::test]
async fn what_nobody_waits_for_shares_syncs_and_is_written_before_its_room_is_full() {
    const MESSAGES: u32 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        lazy: Duration::from_hours(1),
        intake: 64 << 10,
        ..small()
    };
    let (log, _) = try_open(folder.path(), options).unwrap();
    let stream = one(&log).await;
    let before = log.stats().syncs;
    for number in 0..MESSAGES {
        let receipt = support::append(&log, entries(&stream, numbers(number..number + 1)), Level::Accepted);
        receipt.await.unwrap().await.unwrap();
    }
    let syncs = log.stats().syncs - before;
    assert!(syncs < u64::from(MESSAGES) / 20, "{syncs} syncs");
    log.close().await;
    assert_eq!(log.stats().appended_records, u64::from(MESSAGES));
}
#[tokio::test]
async fn close_writes_all_ends_readers_and_refuses_more() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = one(&log).await;
    let mut reader = log.reader(&stream, Start::Latest).unwrap();
    let waiting = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(chunk) = reader.next(MANY).await.unwrap() {
            seen.extend(payloads(&chunk));
        }
        seen
    });
    support::append(&log, entries(&stream, numbers(0..3)), Level::Accepted)
        .await
        .unwrap()
        .await
        .unwrap();
    log.close().await;
    log.close().await;
    assert_eq!(waiting.await.unwrap(), ["0", "1", "2"]);
    let refused = support::append(&log, entries(&stream, numbers(0..1)), Level::Stored).await;
    assert_eq!(refused.err().map(|e| e.code()), Some(Code::Draining));
    let log = open(folder.path());
    assert_eq!(read(&log, &log.stream("orders").unwrap(), Start::Earliest).await, ["0", "1", "2"]);
    log.close().await;
}
#[tokio::test]
async fn a_stream_is_made_changed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = one(&log).await;
    let twice = log.create_stream("orders", StreamSpec::default()).await;
    assert_eq!(twice.err().map(|e| e.code()), Some(Code::StreamExists));
    let mut spec = stream.spec();
    spec.dedupe = Duration::from_secs(7);
    log.change_stream("orders", spec.clone()).await.unwrap();
    assert_eq!(stream.spec(), spec);
    spec.partitions = 2;
    assert!(log.change_stream("orders", spec).await.is_err());
    store(&log, entries(&stream, numbers(0..3))).await.unwrap();
    let mut reader = log.reader(&stream, Start::Latest).unwrap();
    let old = log.reader(&stream, Start::Last(1)).unwrap().cursor();
    let waiting = tokio::spawn(async move { reader.next(MANY).await.unwrap().is_none() });
    tokio::task::yield_now().await;
    log.delete_stream("orders").await.unwrap();
    assert!(waiting.await.unwrap(), "its readers end");
    assert!(log.stream("orders").is_none());
    let gone = store(&log, entries(&stream, numbers(0..1))).await.unwrap();
    assert_eq!(gone.failed[0].1.code(), Code::NoSuchStream);
    let again = one(&log).await;
    assert_ne!(again.number(), stream.number());
    store(&log, entries(&again, numbers(7..8))).await.unwrap();
    log.close().await;

    let log = open(folder.path());
    let again = log.stream("orders").unwrap();
    let chunk = log
        .reader(&again, Start::After(old.clone()))
        .unwrap()
        .ready(MANY)
        .await
        .unwrap()
        .unwrap();
    let gap = chunk.gap.clone().unwrap();
    assert_eq!((gap.reason, gap.from), (Reason::Recreated, old));
    assert_eq!(payloads(&chunk), ["7"]);
    log.close().await;
}
#[tokio::test]
async fn purged_records_stay_away_and_their_offsets_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = one(&log).await;
    store(&log, entries(&stream, numbers(0..5))).await.unwrap();
    let mut behind = log.reader(&stream, Start::Last(2)).unwrap();
    assert_eq!(log.purge_stream("orders").await.unwrap(), 5);
    assert_eq!(log.purge_stream("orders").await.unwrap(), 0);
    assert_eq!(drain(&mut behind).await, ["gap 1.2 1.4 Retention"]);
    for round in 0..2 {
        let log = if round == 0 { log.clone() } else { open(folder.path()) };
        let stream = log.stream("orders").unwrap();
        assert!(read(&log, &stream, Start::Earliest).await.is_empty());
        assert_eq!(stream.range(0), Some((5, 5)));
        assert_eq!(stream.stats().bytes, 0);
        if round == 1 {
            assert_eq!(store(&log, entries(&stream, numbers(5..6))).await.unwrap().to_string(), "1.5");
            assert_eq!(read(&log, &stream, Start::Earliest).await, ["5"]);
        }
        log.close().await;
    }
}
#[tokio::test]
async fn a_folder_has_one_log_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let second = try_open(folder.path(), small());
    assert!(matches!(second, Err(Error::Locked(holder)) if holder == std::process::id().to_string()));
    // Somebody thinks the file is left over from a crash.
    std::fs::remove_file(folder.path().join("log/lock")).unwrap();
    for _ in 0..2 {
        assert!(matches!(try_open(folder.path(), small()), Err(Error::Locked(_))));
    }
    log.close().await;
    open(folder.path()).close().await;
}
#[tokio::test]
async fn the_hub_hears_only_of_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (heard, mut hears) = tokio::sync::mpsc::channel(16);
    let mut hooks = support::hooks();
    hooks.on_committed = Box::new(move |all| all.iter().for_each(|c| heard.try_send(c.clone()).unwrap()));
    let opened = Log::open(Arc::new(tidegate_log::disk::Real::new(folder.path())), small(), hooks).unwrap();
    drop(tokio::spawn(opened.herald));
    let log = opened.log;
    let stream = one(&log).await;
    let mut message = Message::new("orders/new".into(), "x");
    message.key = Some("k".into());
    let mut one = entry(0, &stream, 0, "");
    one.message = message;
    let receipt = support::append(&log, vec![one], Level::Stored).await.unwrap();
    let committed = hears.recv().await.unwrap();
    assert_eq!((committed.stream, committed.partition), (stream.number(), 0));
    let chunk = log.reader(&stream, Start::Earliest).unwrap().ready(MANY).await.unwrap().unwrap();
    let read = &chunk.items[0].1;
    assert_eq!((&*read.topic, read.key.as_deref()), ("orders/new", Some(&b"k"[..])));
    assert_eq!(read.at, committed.messages()[0].at);
    receipt.await.unwrap();
    log.close().await;
}
#[tokio::test]
async fn many_producers_share_frames_and_each_gets_its_own_places() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let stream = one(&log).await;
    let producers = (0..32).map(|p| {
        let (log, stream) = (log.clone(), stream.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for i in 0..50 {
                let kept = store(&log, vec![entry(0, &stream, 0, format!("{p}-{i}"))]).await.unwrap();
                mine.push((kept.places[0].spans[0].first, format!("{p}-{i}")));
            }
            mine
        })
    });
    let mut all = Vec::new();
    for producer in producers.collect::<Vec<_>>() {
        let mine = producer.await.unwrap();
        assert!(mine.is_sorted());
        all.extend(mine);
    }
    all.sort();
    let expected: Vec<_> = all.iter().map(|(_, payload)| payload.clone()).collect();
    assert!(all.iter().enumerate().all(|(i, (offset, _))| *offset == i as u128));
    assert_eq!(read(&log, &stream, Start::Earliest).await, expected);
    assert!(log.stats().syncs < 1_600, "commits are shared");
    assert_eq!(log.status(), Status::Serving);
    assert_eq!(log.stats().intake_bytes, 0);
    log.close().await;
    let log = open(folder.path());
    assert_eq!(read(&log, &log.stream("orders").unwrap(), Start::Earliest).await, expected);
    log.close().await;
}
#[tokio::test]
async fn readers_that_lag_behind_the_memory_read_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let options = tidegate_log::Options { tail_cache: 0, ..small() };
    let (log, _) = try_open(folder.path(), options).unwrap();
    let stream = one(&log).await;
    for i in 0..40 {
        store(&log, entries(&stream, (0..10).map(|j| format!("{:0>500}", i * 10 + j))))
            .await
            .unwrap();
    }
    let expected: Vec<_> = (0..400).map(|i| format!("{i:0>500}")).collect();
    assert_eq!(log.stats().tail_cache_bytes, 0);
    assert_eq!(read(&log, &stream, Start::Earliest).await, expected);
    log.close().await;
}
#[tokio::test]
async fn readers_follow_their_records_into_segments() {
    let folder = tempfile::tempdir().unwrap();
    let options = || tidegate_log::Options {
        tail_cache: 0,
        internal: tidegate_log::Internal {
            segment_least: 16 << 10,
            segment_most: 16 << 10,
            move_window: 8 << 10,
            ..tidegate_log::Internal::default()
        },
        ..small()
    };
    let (log, _) = try_open(folder.path(), options()).unwrap();
    let spec = StreamSpec {
        partitions: 2,
        ..StreamSpec::default()
    };
    let stream = log.create_stream("orders", spec).await.unwrap();
    let mut slow = log.reader(&stream, Start::Earliest).unwrap();
    let few = Limit {
        messages: 3,
        bytes: 1 << 20,
    };
    let mut seen: Vec<Vec<String>> = vec![Vec::new(); 2];
    let mut note = |chunk: &tidegate_log::Chunk| {
        assert!(chunk.gap.is_none(), "{:?}", chunk.gap);
        for (position, message) in &chunk.items {
            seen[position.partition as usize].push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
    };
    for i in 0..600 {
        let long = i % 50 == 7;
        let payload = if long { format!("{i:0>20000}") } else { format!("{i:0>400}") };
        store(&log, vec![entry(0, &stream, i % 2, payload)]).await.unwrap();
        if i % 3 == 0 {
            note(&slow.ready(few).await.unwrap().unwrap());
        }
    }
    while log.stats().moved_records < 300 {
        tokio::task::yield_now().await;
    }
    loop {
        let chunk = slow.ready(few).await.unwrap().unwrap();
        if chunk.is_empty() {
            break;
        }
        note(&chunk);
    }
    for (partition, seen) in seen.iter().enumerate() {
        let numbers: Vec<u32> = seen.iter().map(|text| text.parse().unwrap()).collect();
        let expected: Vec<u32> = (0..600).filter(|i| *i as usize % 2 == partition).collect();
        assert_eq!(numbers, expected);
    }
    // Which partition comes first is not promised.
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    let all = sorted(read(&log, &stream, Start::Earliest).await);
    assert_eq!(all.len(), 600);
    let middle = log
        .reader(&stream, Start::At(at(&stream, 1, 50)))
        .unwrap()
        .ready(MANY)
        .await
        .unwrap()
        .unwrap();
    let time = middle.items.iter().find(|(p, _)| p.partition == 1).unwrap().1.at;
    log.close().await;

    let (log, found) = try_open(folder.path(), options()).unwrap();
    assert!(!found.slow && found.damaged == 0 && found.lost_tail == 0, "{found:?}");
    let stream = log.stream("orders").unwrap();
    assert!(sorted(read(&log, &stream, Start::Earliest).await) == all);
    let since = read(&log, &stream, Start::Since(time)).await;
    assert!((490..=510).contains(&since.len()), "{}", since.len());
    log.close().await;
}
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn producers_readers_and_moves_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = tidegate_log::Options {
        tail_cache: 32 << 10,
        internal: tidegate_log::Internal {
            segment_least: 64 << 10,
            segment_most: 64 << 10,
            zero_ahead: 16 << 10,
            ..tidegate_log::Internal::default()
        },
        ..small()
    };
    let (log, _) = try_open(folder.path(), options).unwrap();
    let spec = StreamSpec {
        partitions: 4,
        ..StreamSpec::default()
    };
    let stream = log.create_stream("orders", spec).await.unwrap();
    let producers = (0..16u32).map(|p| {
        let (log, stream) = (log.clone(), stream.clone());
        tokio::spawn(async move {
            for i in 0..100u32 {
                let batch = (0..4)
                    .map(|k| entry(k, &stream, p % 4, format!("{p}-{}-{:0>300}", i * 4 + k, "")))
                    .collect();
                assert!(store(&log, batch).await.unwrap().failed.is_empty());
            }
        })
    });
    let producers: Vec<_> = producers.collect();
    let readers = (0..3u32).map(|r| {
        let mut reader = log.reader(&stream, Start::Earliest).unwrap();
        tokio::spawn(async move {
            let limit = Limit {
                messages: 7 + r * 300,
                bytes: 1 << 20,
            };
            let (mut next, mut seen) = ([0u32; 16], 0);
            while seen < 6_400 {
                let chunk = reader.next(limit).await.unwrap().unwrap();
                assert!(chunk.gap.is_none(), "{:?}", chunk.gap);
                for (_, message) in &chunk.items {
                    let text = std::str::from_utf8(&message.payload).unwrap();
                    let mut parts = text.split('-').map(|part| part.parse::<u32>().unwrap_or(0));
                    let (producer, number) = (parts.next().unwrap() as usize, parts.next().unwrap());
                    assert_eq!(number, next[producer], "in order, none twice, none missing");
                    next[producer] += 1;
                    seen += 1;
                }
            }
            next
        })
    });
    let readers: Vec<_> = readers.collect();
    for producer in producers {
        producer.await.unwrap();
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), [400; 16]);
    }
    assert!(log.stats().moved_records > 1_000, "{:?}", log.stats());
    log.close().await;
}
#[tokio::test]
async fn many_partitions_are_moved_with_few_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = try_open(folder.path(), small()).unwrap();
    let spec = StreamSpec {
        partitions: 400,
        ..StreamSpec::default()
    };
    let stream = log.create_stream("wide", spec).await.unwrap();
    for round in 0..5 {
        let batch = (0..400)
            .map(|p| entry(p, &stream, p, format!("{p}-{round}-{:0>100}", "")))
            .collect();
        assert!(store(&log, batch).await.unwrap().failed.is_empty());
    }
    while log.stats().moved_records < 800 {
        support::turn().await;
    }
    log.close().await;
    let (log, found) = try_open(folder.path(), small()).unwrap();
    assert!(!found.slow && found.damaged == 0);
    let all = read(&log, &log.stream("wide").unwrap(), Start::Earliest).await;
    assert_eq!(all.len(), 2_000);
    assert!(
        all.chunks(5)
            .all(|five| five.iter().enumerate().all(|(i, text)| text.contains(&format!("-{i}-"))))
    );
    log.close().await;
}
