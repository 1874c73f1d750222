//! Promises by number that no other file has in its name, step by step on a recorded disk.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Driver, hooks, options, poll, serve};
use std::sync::Arc;
use support::{MANY, entries};
use tidegate_core::{endpoint::Start, error::Code, position::Reason, receipt::Level};
use tidegate_log::{
    StreamSpec,
    disk::{Failing, Recorded},
    steps::Steps,
};

fn text(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|i| format!("{i:0>100}"))
}
/// A log with one stream on a disk that can fail.
fn open(disk: &Failing) -> (tidegate_log::Log, Steps, Arc<tidegate_log::Stream>) {
    let (log, mut steps, _) = Steps::open(Arc::new(disk.clone()), &options(None), hooks()).unwrap();
    if let Some(stream) = log.stream("s") {
        return (log, steps, stream);
    }
    {
        let mut create = Box::pin(log.create_stream("s", StreamSpec::default()));
        assert!(poll(create.as_mut()).is_none());
        steps.commit();
        steps.herald();
        poll(create).unwrap().unwrap();
    }
    let stream = log.stream("s").unwrap();
    (log, steps, stream)
}

#[test]
fn p01_a_receipt_waits_for_the_sync_and_p05_so_do_readers() {
    let recorded = Recorded::new();
    let (log, mut steps, stream) = open(&Failing::new(Arc::new(recorded.clone())));
    let mut reader = log.reader(&stream, Start::Earliest).unwrap();
    let mut receipt = poll(support::append(&log, entries(&stream, text(0..2)), Level::Stored))
        .unwrap()
        .unwrap();
    assert!(poll(&mut receipt).is_none());
    assert!(poll(reader.ready(MANY)).unwrap().unwrap().unwrap().is_empty());
    steps.commit();
    steps.herald();
    assert_eq!(poll(&mut receipt).unwrap().unwrap().to_string(), "1.0+2");
    assert_eq!(poll(reader.ready(MANY)).unwrap().unwrap().unwrap().items.len(), 2);

    recorded.fail_sync(0);
    let mut receipt = poll(support::append(&log, entries(&stream, text(2..3)), Level::Stored))
        .unwrap()
        .unwrap();
    steps.commit();
    steps.herald();
    assert_eq!(poll(&mut receipt).unwrap().unwrap_err().code(), Code::StorageFailed);
    assert!(
        poll(reader.ready(MANY)).unwrap().unwrap().unwrap().is_empty(),
        "written, but not synced"
    );
}
#[test]
fn p03_names_are_never_used_twice_and_p04_what_is_missing_is_explained() {
    let disk = Failing::new(Arc::new(Recorded::new()));
    let (log, mut steps, stream) = open(&disk);
    let mut store = |log: &tidegate_log::Log, range| {
        let mut receipt = poll(support::append(log, entries(&stream, text(range)), Level::Stored)).unwrap()?;
        while steps.commit() {}
        steps.herald();
        let kept = poll(&mut receipt).unwrap();
        // Looks at the space.
        steps.tick();
        kept
    };
    assert_eq!(store(&log, 0..2).unwrap().to_string(), "1.0+2");
    disk.set_full(true);
    assert_eq!(store(&log, 2..5).unwrap_err().code(), Code::StorageFull);
    disk.set_full(false);
    assert_eq!(
        store(&log, 5..6).unwrap_err().code(),
        Code::StorageFull,
        "until the space is looked at again"
    );
    steps.tick();
    let mut receipt = poll(support::append(&log, entries(&stream, text(5..6)), Level::Stored))
        .unwrap()
        .unwrap();
    while steps.commit() {}
    steps.herald();
    let again = poll(&mut receipt).unwrap().unwrap();
    assert_eq!(again.to_string(), "1.5", "three offsets were given and failed");
    let mut reader = log.reader(&stream, Start::Earliest).unwrap();
    let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
    assert!(chunk.gap.is_none(), "a skip says why");
    assert_eq!(chunk.items.iter().map(|(p, _)| p.offset).collect::<Vec<_>>(), [0, 1, 5]);
    drop((log, steps, reader));
    let (log, _steps, stream) = open(&disk);
    assert_eq!(stream.range(0), Some((0, 6)));
    let chunk = poll(log.reader(&stream, Start::Earliest).unwrap().ready(MANY))
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(chunk.gap.is_none() && chunk.items.len() == 3);
}
#[test]
fn p12_a_start_reads_the_table_file_and_the_journal() {
    let mut driver = Driver::new(Recorded::new(), &options(None));
    driver.create();
    for _ in 0..40 {
        driver.append("a", 0, 4);
        while driver.steps.commit() {}
        driver.hear();
        while driver.steps.mover() {}
    }
    driver.steps.seal();
    let (whole, gaps) = serve(&driver.log).unwrap();
    assert!(gaps.is_empty() && whole[0].len() == 160);
    // With every segment emptied it starts all the same, and tells readers what is gone.
    let mut image = driver.disk.image();
    let segments: Vec<_> = image
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "s"))
        .collect();
    assert!(segments.len() >= 3);
    for path in &segments {
        image.replace(path, Vec::new());
    }
    let (log, _steps, found) = Steps::open(Arc::new(Recorded::from_image(&image)), &options(None), hooks()).unwrap();
    assert!(!found.slow && found.damaged == 0, "{found:?}");
    assert_eq!(log.stream("a").unwrap().stats(), driver.log.stream("a").unwrap().stats());
    let (left, gaps) = serve(&log).unwrap();
    assert!(!left[0].is_empty() && left[0].len() < 160);
    assert!(gaps.iter().all(|gap| gap.reason == Reason::Damaged) && !gaps.is_empty());
    assert_eq!(left[0].last(), whole[0].last());
}
#[test]
fn p09_the_index_of_the_journal_keeps_its_budget() {
    let mut settings = options(None);
    settings.journal_file = Some(1 << 20);
    settings.internal.runs = 400;
    let disk = Recorded::new();
    let (log, mut steps, _) = Steps::open(Arc::new(disk.clone()), &settings, hooks()).unwrap();
    let spec = StreamSpec {
        partitions: 2,
        ..StreamSpec::default()
    };
    let mut create = Box::pin(log.create_stream("s", spec));
    assert!(poll(create.as_mut()).is_none());
    steps.commit();
    steps.herald();
    let stream = poll(create).unwrap().unwrap();
    // The worst there is: frames of one record, and never two of a partition side by side.
    let mut stored = 0;
    for i in 0..2_000 {
        let one = vec![support::entry(0, &stream, i % 2, "x")];
        let mut receipt = poll(support::append(&log, one, Level::Stored)).unwrap().unwrap();
        while poll(&mut receipt).is_none() {
            steps.commit();
            steps.herald();
        }
        stored += 1;
        let entries = log.stats().index_entries;
        assert!(entries <= 400, "{entries} entries after {stored} records");
    }
    assert_eq!(log.stats().appended_records, stored);
    drop((log, steps));
    let (log, _steps, _) = Steps::open(Arc::new(disk), &settings, hooks()).unwrap();
    assert!(log.stats().index_entries <= 400, "after a start too");
    assert_eq!(log.stats().streams[0].1.records, stored);
}
