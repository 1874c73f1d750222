//! Promises 9, 10 and 11: disks that fail, disks that fill up, and what callers are told.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};
use support::{drain, entries, one, small, store, try_open, try_open_on};
use tidegate_core::{
    endpoint::Start,
    error::{Code, Retry},
    settle::Outcome,
};
use tidegate_log::{
    Error, GroupSpec, Internal, Log, Manner, Options, Retention, Status, Stream, StreamSpec,
    disk::{Disk, Failing, Open, Real},
    steps::Steps,
};

async fn payloads(log: &Log) -> Vec<String> {
    let stream = log.stream("orders").unwrap();
    drain(&mut log.reader(&stream, Start::Earliest).unwrap()).await
}
fn batch(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|i| format!("{i:0>1000}"))
}
/// Tries until the log takes records again; how long it took.
async fn until_served(log: &Log) -> Duration {
    let stream = log.stream("orders").unwrap();
    let started = std::time::Instant::now();
    while let Err(error) = store(log, entries(&stream, batch(1))).await {
        assert_eq!(error.code(), Code::StorageFull);
        assert!(started.elapsed() < Duration::from_secs(20), "it never recovered");
        support::turn().await;
    }
    started.elapsed()
}

#[tokio::test]
async fn p11_after_a_failed_sync_nothing_is_acknowledged_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::new(Arc::new(Real::new(folder.path())));
    let (log, _) = try_open_on(Arc::new(disk.clone()), small()).unwrap();
    let stream = one(&log).await;
    store(&log, entries(&stream, ["kept".to_owned()])).await.unwrap();
    disk.fail_syncs(1);
    let failed = store(&log, entries(&stream, ["lost".to_owned()])).await.unwrap_err();
    assert_eq!((failed.code(), failed.hint().is_some()), (Code::StorageFailed, true));
    assert!(matches!(log.status(), Status::ReadOnly { .. }), "{:?}", log.status());
    for _ in 0..3 {
        let refused = store(&log, entries(&stream, ["more".to_owned()])).await.unwrap_err();
        assert_eq!(refused.code(), Code::StorageFailed);
    }
    assert!(log.create_stream("other", stream.spec()).await.is_err());
    assert_eq!(payloads(&log).await, ["kept"]);
    log.close().await;
    let (log, _) = try_open(folder.path(), small()).unwrap();
    let found = payloads(&log).await;
    // What was written but not acknowledged may survive.
    assert!(found == ["kept"] || found == ["kept", "lost"], "{found:?}");
    store(&log, entries(&log.stream("orders").unwrap(), ["again".to_owned()]))
        .await
        .unwrap();
    log.close().await;
}
#[tokio::test]
async fn p10_a_full_disk_refuses_publishes_serves_readers_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::new(Arc::new(Real::new(folder.path())));
    let (log, _) = try_open_on(Arc::new(disk.clone()), small()).unwrap();
    let stream = one(&log).await;
    store(&log, entries(&stream, batch(3))).await.unwrap();
    disk.set_full(true);
    let refused = store(&log, entries(&stream, batch(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::StorageFull);
    assert!(matches!(refused.retry(), Retry::After(_)));
    assert!(matches!(log.status(), Status::Full { .. }));
    assert_eq!(payloads(&log).await.len(), 3);
    disk.set_full(false);
    assert!(until_served(&log).await < Duration::from_secs(1));
    assert_eq!(log.status(), Status::Serving);
    let before = payloads(&log).await;
    assert_eq!(before.len(), 4, "nothing of the failed frame, no gap");
    log.close().await;
    let (log, found) = try_open(folder.path(), small()).unwrap();
    assert_eq!(payloads(&log).await, before);
    assert_eq!(found.damaged, 0);
    log.close().await;
}
#[tokio::test]
async fn p10_a_log_starts_on_a_full_disk_and_serves_readers() {
    for crash in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Failing::new(Arc::new(Real::new(folder.path())));
        let (log, _) = try_open_on(Arc::new(disk.clone()), small()).unwrap();
        let stream = one(&log).await;
        store(&log, entries(&stream, batch(3))).await.unwrap();
        if crash {
            // The folder as a killed process leaves it.
            disk.set_full(true);
        }
        log.close().await;
        disk.set_full(true);
        for _ in 0..3 {
            let (log, found) = try_open_on(Arc::new(disk.clone()), small()).unwrap();
            assert_eq!((found.damaged, found.lost_tail), (0, 0));
            assert!(matches!(log.status(), Status::Full { .. }), "before the first publish");
            let stream = log.stream("orders").unwrap();
            let refused = store(&log, entries(&stream, batch(1))).await.unwrap_err();
            assert_eq!(refused.code(), Code::StorageFull);
            assert_eq!(payloads(&log).await.len(), 3);
            log.close().await;
        }
        let (log, _) = try_open_on(Arc::new(disk.clone()), small()).unwrap();
        disk.set_full(false);
        assert!(until_served(&log).await < Duration::from_secs(2));
        assert_eq!(payloads(&log).await.len(), 4);
        log.close().await;
        let (log, found) = try_open(folder.path(), small()).unwrap();
        assert_eq!((found.damaged, found.lost_tail), (0, 0));
        assert_eq!(payloads(&log).await.len(), 4);
        log.close().await;
    }
}
/// A disk of 8 MB, if there is a right to mount one.
fn small_disk() -> Option<(tempfile::TempDir, Unmount)> {
    let folder = tempfile::tempdir().unwrap();
    let mut mount = std::process::Command::new("mount");
    if !support::run(mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path())) {
        println!("SKIPPED, LOUDLY: no right to mount a tmpfs here, so no full disk was tried");
        return None;
    }
    let unmount = Unmount(folder.path().to_owned());
    Some((folder, unmount))
}
/// Publishes until the disk is full; how many records it took.
async fn fill(log: &Log, stream: &Arc<Stream>) -> usize {
    let mut stored = 0;
    let refused = loop {
        match store(log, entries(stream, batch(50))).await {
            Ok(_) => stored += 50,
            Err(error) => break error,
        }
        assert!(stored < 20_000, "8 MB hold no 20 MB");
    };
    assert_eq!(refused.code(), Code::StorageFull);
    stored
}
#[tokio::test]
async fn p10_a_real_full_disk_lets_a_log_start_again_and_again() {
    let Some((folder, unmount)) = small_disk() else {
        return;
    };
    let (log, _) = try_open(folder.path(), Options::default()).unwrap();
    let stream = one(&log).await;
    let stored = fill(&log, &stream).await;
    log.close().await;
    drop(log);
    // Somebody else takes the rest.
    let mut rest = std::fs::File::create(folder.path().join("rest")).unwrap();
    let zeros = [0; 4_096];
    while std::io::Write::write_all(&mut rest, &zeros).is_ok() {}
    drop(rest);
    for _ in 0..6 {
        let (log, found) = try_open(folder.path(), Options::default()).unwrap();
        assert_eq!((found.damaged, found.lost_tail), (0, 0));
        assert!(matches!(log.status(), Status::Full { .. }));
        assert_eq!(payloads(&log).await.len(), stored);
        log.close().await;
    }
    let (log, _) = try_open(folder.path(), Options::default()).unwrap();
    std::fs::remove_file(folder.path().join("rest")).unwrap();
    let started = std::time::Instant::now();
    // The next look at the space makes its file.
    while log.purge_stream("orders").await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(5), "it does not begin to write");
        support::turn().await;
    }
    assert!(until_served(&log).await < Duration::from_secs(2));
    log.close().await;
    drop(log);
    drop(unmount);
}
#[tokio::test]
async fn p10_a_real_disk_of_8_mb_is_filled_and_freed() {
    let Some((folder, unmount)) = small_disk() else {
        return;
    };
    let (log, _) = try_open(folder.path(), Options::default()).unwrap();
    one(&log).await;
    let stream = log.stream("orders").unwrap();
    let stored = fill(&log, &stream).await;
    assert!(stored >= 2_000, "{stored} records of 1 KB were taken");
    // Readers have all of it; then it is forgotten, and there is room again.
    assert_eq!(payloads(&log).await.len(), stored);
    log.purge_stream("orders").await.unwrap();
    let took = until_served(&log).await;
    println!("stored {stored}, served again after {took:?}");
    assert!(took < Duration::from_secs(2));
    log.close().await;
    drop(log);
    drop(unmount);
}
#[tokio::test]
async fn p10_what_expires_gives_a_full_disk_back() {
    expires_on_a_full_disk(64 << 10).await;
}
#[tokio::test]
async fn p10_what_expires_gives_a_disk_back_on_which_nothing_is_left() {
    expires_on_a_full_disk(0).await;
}
async fn expires_on_a_full_disk(left: u64) {
    let Some((folder, unmount)) = small_disk() else {
        return;
    };
    let clock = Arc::new(AtomicI64::new(1_000_000_000));
    let now = clock.clone();
    let options = Options {
        internal: Internal {
            now: Arc::new(move || now.load(SeqCst)),
            ..Internal::default()
        },
        ..Options::default()
    };
    let (log, _) = try_open(folder.path(), options).unwrap();
    let spec = StreamSpec {
        retention: Retention {
            age: Some(Duration::from_mins(1)),
            ..Retention::default()
        },
        ..StreamSpec::default()
    };
    let stream = log.create_stream("orders", spec).await.unwrap();
    let stored = fill(&log, &stream).await;
    assert_eq!(payloads(&log).await.len(), stored);
    // Somebody else takes what we left free, all but little, and what a move still under way gives back.
    let mut rest = std::fs::File::create(folder.path().join("rest")).unwrap();
    let mut full_since = None;
    while full_since.is_none_or(|since: std::time::Instant| since.elapsed() < Duration::from_secs(1)) {
        if full_since.is_none() || store(&log, entries(&stream, batch(1))).await.is_ok() {
            std::io::Seek::seek(&mut rest, std::io::SeekFrom::End(0)).unwrap();
            while std::io::Write::write_all(&mut rest, &[0; 4_096]).is_ok() {}
            let len = rest.metadata().unwrap().len();
            rest.set_len(len.saturating_sub(left)).unwrap();
            full_since = Some(std::time::Instant::now());
        }
        support::turn().await;
    }
    drop(rest);
    clock.fetch_add(61_000_000, SeqCst);
    assert!(until_served(&log).await < Duration::from_secs(2));
    assert_eq!(payloads(&log).await.len(), 1);
    log.close().await;
    drop(log);
    drop(unmount);
}
struct Unmount(std::path::PathBuf);
impl Drop for Unmount {
    fn drop(&mut self) {
        let _best_effort = support::run(std::process::Command::new("umount").arg("-l").arg(&self.0));
    }
}
#[tokio::test]
async fn a_read_error_is_told_and_the_next_read_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::new(Arc::new(Real::new(folder.path())));
    let options = Options { tail_cache: 0, ..small() };
    let (log, _) = try_open_on(Arc::new(disk.clone()), options).unwrap();
    let stream = one(&log).await;
    store(&log, entries(&stream, batch(3))).await.unwrap();
    let mut reader = log.reader(&stream, Start::Earliest).unwrap();
    disk.fail_reads(3);
    let failed = reader.ready(support::MANY).await.unwrap_err();
    assert_eq!(failed.code(), Code::StorageFailed);
    assert_eq!(drain(&mut reader).await.len(), 3);
    log.close().await;
}
/// After a start nothing in memory says where in a segment a message lies, be it one that grows or one that is full.
#[tokio::test]
async fn what_waits_in_a_segment_is_found_without_reading_what_lies_before_it() {
    const MESSAGES: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::new(Arc::new(Real::new(folder.path())));
    let options = || Options {
        journal_file: Some(1 << 20),
        tail_cache: 0,
        ..Options::default()
    };
    let (log, _) = try_open_on(Arc::new(disk.clone()), options()).unwrap();
    let stream = one(&log).await;
    // Takes two thirds of each journal file, so that segments end elsewhere.
    let other = log.create_stream("other", StreamSpec::default()).await.unwrap();
    for from in (0..MESSAGES).step_by(1_000) {
        let texts = || (from..from + 1_000).map(|i| format!("{i} {}", "x".repeat(150)));
        for stream in [&stream, &other, &other] {
            store(&log, entries(stream, texts())).await.unwrap();
        }
    }
    while log.stats().moved_records < MESSAGES as u64 * 2 {
        support::turn().await;
    }
    log.group(&stream, "g", Start::Earliest, GroupSpec::default()).await.unwrap();
    log.close().await;
    drop((log, stream, other));

    // Nobody moves anything any more: who does has to look where the segment ends.
    let (log, _steps, _) = Steps::open(Arc::new(disk.clone()), &options(), support::hooks()).unwrap();
    let stream = log.stream("orders").unwrap();
    let group = log.find_group(&stream, "g").unwrap();
    let mut member = log.member(&group, support::MANY, Manner::default());
    let mut held = Vec::new();
    let until = tokio::time::Instant::now() + Duration::from_hours(1);
    while let Some(delivery) = member.ready(support::MANY).await.unwrap() {
        let (items, mut ack) = delivery.into_parts();
        held.extend(items.iter().filter_map(|item| item.position));
        ack.settle_all(Outcome::Hold { until });
    }
    assert_eq!(held.len(), MESSAGES);
    let mut costs = Vec::new();
    for at in (0..MESSAGES).rev().step_by(197) {
        let before = disk.bytes_read();
        member.recall(&[held[at]]);
        let delivery = member.ready(support::MANY).await.unwrap().unwrap();
        assert_eq!(delivery.items().len(), 1);
        assert!(delivery.items()[0].message.payload.starts_with(format!("{at} ").as_bytes()));
        delivery.accept();
        costs.push(disk.bytes_read() - before);
    }
    // What lies between two marks, and, of the one that grows, once all of it.
    costs.sort_unstable();
    let (most, all) = (costs[costs.len() - 2], costs.iter().sum::<u64>());
    assert!(most <= 96 << 10 && all <= 64 * costs.len() as u64 * 1_024, "{costs:?}");
}
#[tokio::test]
async fn p09_the_intake_holds_no_more_than_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        intake: 16 << 10,
        ..small()
    };
    let (log, _) = try_open(folder.path(), options).unwrap();
    let stream = one(&log).await;
    let producers = (0..50).map(|_| {
        let (log, stream) = (log.clone(), stream.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                let receipt = support::append(&log, entries(&stream, batch(3)), tidegate_core::receipt::Level::Stored)
                    .await
                    .unwrap();
                assert!(log.stats().intake_bytes <= 16 << 10);
                receipt.await.unwrap();
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    assert_eq!(log.stats().intake_bytes, 0);
    assert!(log.stats().tail_cache_bytes <= 16 << 20);
    log.close().await;
}
#[tokio::test]
async fn p09_what_was_accepted_and_is_not_written_keeps_the_budget_of_the_intake() {
    const BUDGET: u64 = 16 << 10;
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::new(Arc::new(Real::new(folder.path())));
    let options = Options { intake: BUDGET, ..small() };
    let (log, _) = try_open_on(Arc::new(disk.clone()), options).unwrap();
    let stream = one(&log).await;
    disk.hold_syncs(true);
    // Nobody waits for a receipt, so only the intake can slow them down.
    let (done, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let publisher = tokio::spawn({
        let (log, stream) = (log.clone(), stream.clone());
        async move {
            for _ in 0..50 {
                let receipt = support::append(&log, entries(&stream, batch(1)), tidegate_core::receipt::Level::Accepted);
                receipt.await.unwrap().await.unwrap();
                done.send(()).unwrap();
            }
        }
    });
    let mut count = 0_u64;
    while log.stats().intake_bytes + 2_000 < BUDGET {
        accepted.recv().await.unwrap();
        count += 1;
    }
    for _ in 0..1_000 {
        support::turn().await;
        assert!(log.stats().intake_bytes <= BUDGET);
    }
    count += std::iter::from_fn(|| accepted.try_recv().ok()).count() as u64;
    assert!(count * 1_000 <= BUDGET, "{count} messages of 1000 bytes were accepted");
    assert!(!publisher.is_finished());
    disk.hold_syncs(false);
    publisher.await.unwrap();
    log.close().await;
    assert_eq!(log.stats().appended_records, 50);
}
#[tokio::test]
async fn other_peoples_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Real::new(folder.path());
    let file = disk.open("log/diary.txt".as_ref(), Open::New).unwrap();
    file.write_at(b"dear diary", 0).unwrap();
    assert!(matches!(try_open(folder.path(), small()), Err(Error::NotALog)));

    let folder = tempfile::tempdir().unwrap();
    let (log, _) = try_open(folder.path(), small()).unwrap();
    log.close().await;
    for format in ["9", "70000", "99999999999", "99999999999999999999999"] {
        let body = format!("tidegate log\nformat {format}\nneeds []\nsalt 0000000000000001\ncreated x\nversion 7.0.0");
        let text = format!("{body}\ncheck {:08x}\n", crc32c::crc32c(body.as_bytes()));
        let marker = Real::new(folder.path()).open("log/LOG".as_ref(), Open::Existing).unwrap();
        marker.set_len(0).unwrap();
        marker.write_at(text.as_bytes(), 0).unwrap();
        let newer = try_open(folder.path(), small()).map(drop).unwrap_err();
        assert!(matches!(&newer, Error::NewerFormat(version) if version == "7.0.0"), "{format}");
        let told = tidegate_core::error::Error::from(newer);
        assert_eq!((told.code(), told.hint().is_some()), (Code::NewerFormat, true));
    }
}
#[tokio::test]
async fn a_data_folder_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    std::fs::write(&file, "no folder").unwrap();
    let refused = try_open(&file, small()).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), format!("the data folder `{}` is no folder", file.display()));
    let told = tidegate_core::error::Error::from(refused);
    assert_eq!(
        (told.code(), told.retry(), told.hint().is_some()),
        (Code::CommandFailed, Retry::No, true),
        "the disk is as it should be"
    );
    let denied = Error::Folder("x".to_owned(), Arc::new(std::io::ErrorKind::PermissionDenied.into()));
    assert!(denied.to_string().starts_with("the data folder `x` cannot be written to"));
}
