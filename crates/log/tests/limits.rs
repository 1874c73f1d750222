//! What streams forget, what they refuse, and ids that come twice.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};
use support::{Entry, MANY, drain, entries, entry, small, store, try_open};
use tidegate_core::{
    endpoint::Start,
    error::{Code, Retry},
    message::Message,
    position::Reason,
    receipt::Level,
};
use tidegate_log::{
    Internal, Log, Options, Retention, Stream, StreamSpec, WhenFull,
    disk::{Failing, Real},
};

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|i| format!("{i:0>100}"))
}
/// A log with small files and a clock of its own.
fn options(clock: &Arc<AtomicI64>) -> Options {
    let clock = clock.clone();
    Options {
        journal_file: Some(16 << 10),
        tail_cache: 0,
        internal: Internal {
            now: Arc::new(move || clock.load(SeqCst)),
            segment_least: 4 << 10,
            segment_most: 4 << 10,
            ..Internal::default()
        },
        ..small()
    }
}
fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_000_000_000))
}
async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        support::turn().await;
    }
}
async fn read(log: &Log, stream: &Arc<Stream>) -> Vec<String> {
    drain(&mut log.reader(stream, Start::Earliest).unwrap()).await
}
fn named(item: u32, stream: &Arc<Stream>, id: &str, scope: u64) -> Entry {
    let mut message = Message::new(stream.name().into(), format!("{id:0>200}"));
    message.id = Some(id.to_owned().into());
    Entry {
        message,
        scope,
        ..entry(item, stream, 0, "")
    }
}
fn segments(folder: &std::path::Path) -> usize {
    let mut count = 0;
    let mut folders = vec![folder.join("log/streams")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                count += usize::from(path.extension().is_some_and(|e| e == "s"));
            }
        }
    }
    count
}

#[tokio::test]
async fn the_newest_messages_stay() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (log, _) = try_open(folder.path(), options(&clock)).unwrap();
    let spec = StreamSpec {
        retention: Retention {
            messages: Some(25),
            ..Retention::default()
        },
        ..StreamSpec::default()
    };
    let stream = log.create_stream("orders", spec).await.unwrap();
    let mut behind = log.reader(&stream, Start::Earliest).unwrap();
    for i in 0..100 {
        store(&log, entries(&stream, numbers(i * 10..i * 10 + 10))).await.unwrap();
    }
    eventually("25 stay", || stream.stats().records == 25).await;
    let all: Vec<_> = numbers(975..1000).collect();
    assert_eq!(read(&log, &stream).await, all);
    let told = behind.ready(MANY).await.unwrap().unwrap().gap.unwrap();
    assert_eq!((told.reason, told.to.to_string()), (Reason::Retention, "1.974".to_owned()));
    eventually("segments leave the disk", || segments(folder.path()) <= 2).await;
    log.close().await;
    let (log, found) = try_open(folder.path(), options(&clock)).unwrap();
    assert!(!found.slow && found.damaged == 0);
    let stream = log.stream("orders").unwrap();
    eventually("25 stay after a start", || stream.stats().records == 25).await;
    assert_eq!(read(&log, &stream).await, all);
    log.close().await;
}
#[tokio::test]
async fn bytes_and_age_are_kept_by_whole_segments_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (log, _) = try_open(folder.path(), options(&clock)).unwrap();
    let by_bytes = StreamSpec {
        retention: Retention {
            bytes: Some(32 << 10),
            ..Retention::default()
        },
        ..StreamSpec::default()
    };
    let by_age = StreamSpec {
        retention: Retention {
            age: Some(Duration::from_mins(1)),
            ..Retention::default()
        },
        ..StreamSpec::default()
    };
    let (sized, aged) = (
        log.create_stream("sized", by_bytes).await.unwrap(),
        log.create_stream("aged", by_age).await.unwrap(),
    );
    for i in 0..60 {
        clock.fetch_add(2_000_000, SeqCst);
        store(&log, entries(&sized, numbers(i * 10..i * 10 + 10))).await.unwrap();
        store(&log, entries(&aged, numbers(i * 10..i * 10 + 10))).await.unwrap();
    }
    eventually("no more bytes than allowed", || sized.stats().bytes <= 32 << 10).await;
    assert!(sized.stats().bytes > 16 << 10, "and not much less: {}", sized.stats().bytes);
    let left = read(&log, &sized).await;
    assert_eq!(left, numbers(600 - left.len() as u32..600).collect::<Vec<_>>());
    eventually("a minute stays", || aged.stats().records <= 400).await;
    let left = read(&log, &aged).await;
    assert!(left.len() >= 300, "nothing younger than a minute is gone: {}", left.len());
    clock.fetch_add(120_000_000, SeqCst);
    eventually("then nothing", || aged.stats().records == 0).await;
    assert!(read(&log, &aged).await.is_empty());
    assert_eq!(store(&log, entries(&aged, numbers(0..1))).await.unwrap().to_string(), "2.600");
    assert_eq!(read(&log, &aged).await.len(), 1);
    log.close().await;
}
#[tokio::test]
async fn a_full_stream_refuses_or_drops_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = try_open(folder.path(), small()).unwrap();
    let spec = |when_full| StreamSpec {
        retention: Retention {
            messages: Some(5),
            ..Retention::default()
        },
        when_full,
        ..StreamSpec::default()
    };
    let strict = log.create_stream("strict", spec(WhenFull::Refuse)).await.unwrap();
    let lossy = log.create_stream("lossy", spec(WhenFull::DropNewest)).await.unwrap();
    let both = (0..8).flat_map(|i| [entry(i, &lossy, 0, i.to_string()), entry(i, &strict, 0, i.to_string())]);
    let kept = store(&log, both.collect()).await.unwrap();
    let failed: Vec<_> = kept.failed.iter().map(|(item, error)| (*item, error.code())).collect();
    assert_eq!(failed, [5, 6, 7].map(|item| (item, Code::StreamFull)), "an item fails whole");
    assert_eq!(read(&log, &strict).await.len(), 5);
    let before = lossy.stats().dropped;
    let dropped = store(&log, vec![entry(0, &lossy, 0, "late")]).await.unwrap();
    assert!(dropped.places.is_empty());
    let told: Vec<_> = dropped.failed.iter().map(|(item, e)| (*item, e.code(), e.retry())).collect();
    assert_eq!(told, [(0, Code::StreamFull, Retry::No)], "never as if it were kept");
    assert_eq!((lossy.stats().records, lossy.stats().dropped), (5, before + 1));
    let refused = store(&log, vec![entry(0, &strict, 0, "late")]).await.unwrap();
    assert!(matches!(refused.failed[0].1.retry(), Retry::After(_)), "{refused:?}");
    log.purge_stream("strict").await.unwrap();
    assert!(store(&log, vec![entry(0, &strict, 0, "again")]).await.unwrap().failed.is_empty());
    log.close().await;
}
/// Many at once: what was answered is there, whatever level was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_stream_refuses_what_is_only_accepted_too() {
    const TASKS: u32 = 16;
    const EACH: u32 = 20;
    const ROOM: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = try_open(folder.path(), small()).unwrap();
    for when_full in [WhenFull::Refuse, WhenFull::DropNewest] {
        let spec = StreamSpec {
            retention: Retention {
                messages: Some(ROOM),
                ..Retention::default()
            },
            when_full,
            ..StreamSpec::default()
        };
        let stream = log.create_stream(&format!("{when_full:?}"), spec).await.unwrap();
        let publish = |task: u32| {
            let (log, stream) = (log.clone(), stream.clone());
            tokio::spawn(async move {
                let mut answered = 0;
                for number in 0..EACH {
                    let text = format!("{task}-{number}");
                    let receipt = support::append(&log, vec![entry(0, &stream, 0, text)], Level::Accepted).await;
                    let kept = receipt.unwrap().await.unwrap();
                    assert_eq!(kept.level, Level::Stored, "the level that was reached");
                    answered += u64::from(kept.failed.is_empty());
                }
                answered
            })
        };
        let all: Vec<_> = (0..TASKS).map(publish).collect();
        let mut answered = 0;
        for task in all {
            answered += task.await.unwrap();
        }
        assert_eq!((answered, read(&log, &stream).await.len() as u64), (ROOM, ROOM));
    }
    log.close().await;
}
#[tokio::test]
async fn a_known_id_needs_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = try_open(folder.path(), small()).unwrap();
    for when_full in [WhenFull::Refuse, WhenFull::DropNewest] {
        let spec = StreamSpec {
            retention: Retention {
                messages: Some(2),
                ..Retention::default()
            },
            dedupe: Duration::from_mins(1),
            when_full,
            ..StreamSpec::default()
        };
        let stream = log.create_stream(&format!("{when_full:?}"), spec).await.unwrap();
        let all = ["a", "b", "a", "c"].into_iter().enumerate();
        let kept = store(&log, all.map(|(i, id)| named(i as u32, &stream, id, 1)).collect())
            .await
            .unwrap();
        assert_eq!(kept.duplicates, [2]);
        assert_eq!(kept.failed.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [3]);
        let again = store(&log, vec![named(0, &stream, "b", 1)]).await.unwrap();
        assert_eq!((again.duplicates.as_slice(), again.places[0].spans[0].first), ([0].as_slice(), 1));
        assert!(again.failed.is_empty());
    }
    log.close().await;
}
#[tokio::test]
async fn an_id_is_stored_once_within_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let spec = StreamSpec {
        dedupe: Duration::from_secs(100),
        ..StreamSpec::default()
    };
    let (log, _) = try_open(folder.path(), options(&clock)).unwrap();
    let stream = log.create_stream("orders", spec).await.unwrap();
    let kept = store(
        &log,
        vec![named(0, &stream, "a", 1), named(1, &stream, "b", 1), named(2, &stream, "a", 1)],
    )
    .await
    .unwrap();
    assert_eq!(kept.duplicates, [2], "even in one batch");
    assert_eq!(kept.verdicts(3)[2].result.as_ref().unwrap()[0].offset, 0);
    let other = store(&log, vec![named(0, &stream, "a", 2)]).await.unwrap();
    assert!(other.duplicates.is_empty(), "another caller's id");
    // Enough to be moved into segments.
    for i in 0..400 {
        store(&log, vec![named(0, &stream, &format!("id-{i}"), 1)]).await.unwrap();
    }
    eventually("moved", || log.stats().moved_records > 100).await;
    let records = stream.stats().records;
    assert_eq!((records, log.stats().dedupe_ids), (403, 403));
    for round in 0..2 {
        let (log, stream) = if round == 0 {
            (log.clone(), stream.clone())
        } else {
            let log = try_open(folder.path(), options(&clock)).unwrap().0;
            (log.clone(), log.stream("orders").unwrap())
        };
        for (id, offset) in [("a", 0), ("id-0", 3), ("id-200", 203), ("id-399", 402)] {
            let kept = store(&log, vec![named(7, &stream, id, 1)]).await.unwrap();
            assert_eq!(kept.duplicates, [7], "{id} in round {round}");
            assert_eq!(kept.places[0].spans[0].first, offset, "{id}");
        }
        assert_eq!(stream.stats().records, 403);
        log.close().await;
    }
    clock.fetch_add(101_000_000, SeqCst);
    let log = try_open(folder.path(), options(&clock)).unwrap().0;
    let stream = log.stream("orders").unwrap();
    assert!(store(&log, vec![named(0, &stream, "a", 1)]).await.unwrap().duplicates.is_empty());
    assert_eq!(stream.stats().records, 404);
    log.close().await;
}
#[tokio::test]
async fn a_deleted_stream_leaves_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (log, _) = try_open(folder.path(), options(&clock)).unwrap();
    let stream = log.create_stream("orders", StreamSpec::default()).await.unwrap();
    let other = log.create_stream("other", StreamSpec::default()).await.unwrap();
    for i in 0..60 {
        store(&log, entries(&stream, numbers(i * 10..i * 10 + 10))).await.unwrap();
        store(&log, entries(&other, numbers(i..i + 1))).await.unwrap();
    }
    eventually("moved", || segments(folder.path()) > 3).await;
    log.delete_stream("orders").await.unwrap();
    let gone = || {
        !std::fs::read_dir(folder.path().join("log/streams"))
            .unwrap()
            .flatten()
            .any(|e| e.file_name().to_string_lossy().contains("orders"))
    };
    eventually("its folder goes", gone).await;
    for _ in 0..40 {
        store(&log, entries(&other, numbers(0..10))).await.unwrap();
    }
    log.close().await;
    let (log, found) = try_open(folder.path(), options(&clock)).unwrap();
    assert!(!found.slow && found.damaged == 0, "{found:?}");
    assert!(gone());
    assert_eq!(read(&log, &log.stream("other").unwrap()).await.len(), 460);
    log.close().await;
}
#[tokio::test]
async fn all_streams_together_keep_the_total() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let all = Options {
        total: Some(64 << 10),
        ..options(&clock)
    };
    let (log, _) = try_open(folder.path(), all).unwrap();
    let spec = |when_full| StreamSpec {
        when_full,
        ..StreamSpec::default()
    };
    let small = log.create_stream("small", spec(WhenFull::Refuse)).await.unwrap();
    let large = log.create_stream("large", spec(WhenFull::DropOldest)).await.unwrap();
    store(&log, entries(&small, numbers(0..100))).await.unwrap();
    for i in 0..100 {
        // Never full: the largest gives way.
        store(&log, entries(&large, numbers(i * 10..i * 10 + 10))).await.unwrap();
    }
    eventually("the total is kept", || small.stats().bytes + large.stats().bytes <= 64 << 10).await;
    assert_eq!(small.stats().records, 100, "one that refuses never gives way");
    let left = read(&log, &large).await;
    assert!(
        left.len() > 180 && left.last() == numbers(999..1000).last().as_ref(),
        "{} left",
        left.len()
    );
    log.close().await;
}
#[tokio::test]
async fn who_is_over_its_own_limit_gives_way_first() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let all = Options {
        total: Some(128 << 10),
        ..options(&clock)
    };
    let (log, _) = try_open(folder.path(), all).unwrap();
    let large = log.create_stream("large", StreamSpec::default()).await.unwrap();
    let spec = StreamSpec {
        retention: Retention {
            bytes: Some(16 << 10),
            ..Retention::default()
        },
        ..StreamSpec::default()
    };
    let limited = log.create_stream("limited", spec).await.unwrap();
    for i in 0..50 {
        store(&log, entries(&large, numbers(i * 10..i * 10 + 10))).await.unwrap();
        store(&log, entries(&limited, numbers(i * 10..i * 10 + 10))).await.unwrap();
    }
    eventually("its own limit", || limited.stats().bytes <= 16 << 10).await;
    assert_eq!(large.stats().records, 500, "there was room for all of the large one");
    assert!(limited.stats().records > 20, "{:?}", limited.stats());
    log.close().await;
}
#[tokio::test]
async fn expired_segments_leave_a_disk_that_had_no_room_for_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::new(Arc::new(Real::new(folder.path())));
    let (time, looks) = (clock(), Arc::new(AtomicI64::new(0)));
    let mut settings = options(&time);
    let (now, count) = (time.clone(), looks.clone());
    settings.internal.now = Arc::new(move || {
        count.fetch_add(1, SeqCst);
        now.load(SeqCst)
    });
    let (log, _) = support::try_open_on(Arc::new(disk.clone()), settings).unwrap();
    let spec = StreamSpec {
        retention: Retention {
            age: Some(Duration::from_mins(1)),
            ..Retention::default()
        },
        ..StreamSpec::default()
    };
    let stream = log.create_stream("aged", spec).await.unwrap();
    for i in 0..60 {
        store(&log, entries(&stream, numbers(i * 10..i * 10 + 10))).await.unwrap();
    }
    eventually("moved", || segments(folder.path()) > 3).await;
    disk.set_full(true);
    time.fetch_add(61_000_000, SeqCst);
    eventually("expired", || stream.stats().records == 0).await;
    // Retention has looked twice more: it tried to write the rows.
    let before = looks.load(SeqCst);
    eventually("looked again", || looks.load(SeqCst) >= before + 4).await;
    disk.set_full(false);
    eventually("the segments go", || segments(folder.path()) == 0).await;
    log.close().await;
}
