//! Promises 3 and 6: files of the journal that somebody took away or emptied.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Driver, hooks, options, poll, serve};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use support::MANY;
use tidegate_core::{
    endpoint::Start,
    position::{Position, Reason},
    receipt::Level,
};
use tidegate_log::{
    Found, Log, Options, StreamSpec,
    disk::{Image, Recorded},
    steps::Steps,
};

fn settings() -> Options {
    let mut options = options(None);
    options.journal_file = Some(4 << 10);
    options
}
/// Journal files that hold frames, oldest first.
fn journal(image: &Image) -> Vec<PathBuf> {
    let used = |path: &PathBuf| {
        let head = image.read(path).unwrap();
        path.extension().is_some_and(|e| e == "j") && head.starts_with(b"TGj1")
    };
    image.paths().into_iter().filter(used).collect()
}
/// What can happen to a file: it is removed, emptied, or only its header is left.
fn losses(image: &Image, path: &Path) -> Vec<Image> {
    let bytes = image.read(path).unwrap();
    let changed = [None, Some(Vec::new()), Some(bytes[..64].to_vec())];
    let lose = |bytes: Option<Vec<u8>>| {
        let mut image = image.clone();
        match bytes {
            Some(bytes) => image.replace(path, bytes),
            None => image.remove(path),
        }
        image
    };
    changed.into_iter().map(lose).collect()
}
fn start(image: &Image) -> (Log, Steps, Found, Recorded) {
    let disk = Recorded::from_image(image);
    let (log, steps, found) = Steps::open(Arc::new(disk.clone()), &settings(), hooks()).unwrap();
    (log, steps, found, disk)
}
fn create(log: &Log, steps: &mut Steps, name: &str) -> u32 {
    let mut create = Box::pin(log.create_stream(name, StreamSpec::default()));
    assert!(poll(create.as_mut()).is_none());
    steps.commit();
    steps.herald();
    poll(create).unwrap().unwrap().number()
}

#[test]
fn p03_numbers_of_streams_in_a_lost_journal_are_not_used_again() {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    driver.append("a", 0, 4);
    while driver.steps.commit() {}
    driver.hear();
    let old = driver.log.stream("b").unwrap().number();
    let image = driver.disk.image();
    let files = journal(&image);
    assert_eq!(files.len(), 1);
    for (how, mut image) in losses(&image, &files[0]).into_iter().enumerate() {
        // As with all damage, each start tells it until a move has left it behind.
        for round in 0..3 {
            let (log, steps, found, disk) = start(&image);
            assert_eq!((found.lost_files, found.damaged), (true, 1), "{how} {round}");
            assert_eq!(log.stats().damaged_records, found.damaged);
            assert!(log.streams().is_empty());
            drop((log, steps));
            image = disk.image();
        }
        let (log, mut steps, ..) = start(&image);
        assert!(create(&log, &mut steps, "a") > old, "{how}");
        let stream = log.stream("a").unwrap();
        let at = Position {
            source: old - 1,
            partition: 0,
            offset: 3,
        };
        let mut reader = log.reader(&stream, Start::After([at].into_iter().collect())).unwrap();
        let gap = poll(reader.ready(MANY)).unwrap().unwrap().unwrap().gap.unwrap();
        assert_eq!(gap.reason, Reason::Recreated);
    }
}
#[test]
fn p06_a_lost_file_of_the_journal_is_counted_and_told_and_its_offsets_are_not_used_again() {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    for round in 0..1_000 {
        // The second partition has records in the first files only.
        driver.append("a", u32::from(round % 3 == 0 && journal(&driver.disk.image()).len() < 3), 3);
        while driver.steps.commit() {}
        driver.hear();
        driver.steps.tick();
        if journal(&driver.disk.image()).len() == 4 {
            break;
        }
    }
    let image = driver.disk.image();
    let files = journal(&image);
    assert_eq!(files.len(), 4);
    let acked = &driver.promised.acked;
    for (number, path) in files.iter().enumerate() {
        for (how, image) in losses(&image, path).iter().enumerate() {
            let what = format!("file {number}, way {how}");
            let (log, mut steps, found, disk) = start(image);
            assert!(found.lost_files && found.damaged > 0, "{what}: {found:?}");
            assert_eq!(log.stats().damaged_records, found.damaged);
            if number == 0 {
                // Nothing else knows of the streams.
                assert!(log.streams().is_empty(), "{what}");
                assert!(create(&log, &mut steps, "a") > 2);
                continue;
            }
            let (served, gaps) = serve(&log).unwrap();
            let kept: usize = served.iter().map(Vec::len).sum();
            let lost = acked.len() - kept;
            assert!(lost > 0, "{what}");
            assert!(gaps.iter().any(|gap| gap.reason == Reason::Damaged), "{what}: {gaps:?}");
            let (first, second) = (&served[0], &served[1]);
            if number < 3 {
                // What is missing before a later record is known by number.
                let last = first.last().unwrap().0 + 1;
                assert_eq!(found.damaged, last - first.len() as u64, "{what}");
            }
            // Nobody is given a number that was given before.
            let stream = log.stream("a").unwrap();
            for (slot, held) in [(0, first), (1, second)] {
                let given = acked
                    .iter()
                    .filter(|acked| acked.slot == slot)
                    .map(|acked| acked.offset)
                    .max()
                    .unwrap();
                let end = stream.range(slot as u32).unwrap().1;
                assert!(end > given, "{what}: partition {slot} goes on at {end}, {given} was given");
                // Whoever stands behind the last record that is left is told.
                let seen = held.last().map_or(0, |(offset, _)| *offset).max(given);
                let at = Position {
                    source: stream.number(),
                    partition: slot as u32,
                    offset: seen.into(),
                };
                let missing = held.last().is_none_or(|(offset, _)| *offset < given);
                let mut reader = log.reader(&stream, Start::After([at].into_iter().collect())).unwrap();
                let gap = poll(reader.ready(MANY)).unwrap().unwrap().unwrap().gap;
                assert!(!missing || gap.is_some_and(|gap| gap.reason == Reason::Damaged), "{what} {slot}");
            }
            // The same at each later start, and no leap twice.
            let ends: Vec<_> = [0, 1].map(|partition| stream.range(partition).unwrap().1).into();
            drop((log, steps));
            let (log, _steps, found, _) = start(&disk.image());
            assert!(found.lost_files, "{what}: {found:?}");
            let stream = log.stream("a").unwrap();
            assert_eq!(ends, [0, 1].map(|partition| stream.range(partition).unwrap().1), "{what}");
        }
    }
}
#[test]
fn a_start_uses_files_again_that_are_in_segments() {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    while journal(&driver.disk.image()).len() < 4 {
        driver.append("a", 0, 3);
        while driver.steps.commit() {}
        driver.hear();
    }
    while driver.steps.mover() {}
    let image = driver.disk.image();
    assert_eq!(journal(&image).len(), 4, "two in segments, one not, one open");
    let (_log, mut steps, found, disk) = start(&image);
    assert_eq!(found.damaged, 0);
    steps.tick();
    assert_eq!(
        journal(&disk.image()).len(),
        4,
        "two not in segments, one open, one kept to be used again"
    );
}
#[test]
fn p06_a_lost_file_is_told_beside_segments_too() {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    for round in 0..200 {
        driver.append(if round % 5 == 0 { "b" } else { "a" }, 0, 3);
        while driver.steps.commit() {}
        driver.hear();
        while driver.steps.mover() {}
        driver.steps.tick();
    }
    // Forgetting is no loss.
    let (before, _) = serve(&driver.log).unwrap();
    let image = driver.disk.image();
    let mut told = 0;
    for path in journal(&image) {
        for (how, image) in losses(&image, &path).iter().enumerate() {
            let what = format!("{}, way {how}", path.display());
            let (log, _steps, found, _) = start(image);
            let (served, gaps) = serve(&log).unwrap();
            let lost = |slot: usize| before[slot].iter().filter(|record| !served[slot].contains(record)).count();
            let lost = lost(0) + lost(2);
            assert_eq!(lost > 0, found.lost_files, "{what}: {lost} lost, {found:?}");
            assert!(lost == 0 || found.damaged > 0 && !gaps.is_empty(), "{what}: {gaps:?}");
            for (slot, name) in [(0, "a"), (2, "b")] {
                let given = before[slot].last().unwrap().0;
                assert!(log.stream(name).unwrap().range(0).unwrap().1 > given, "{what}: {name}");
            }
            told += u32::from(lost > 0);
        }
    }
    assert!(told >= 3, "{told}");
}
#[test]
fn a_wide_hole_does_not_keep_more_than_the_limit() {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    while journal(&driver.disk.image()).len() < 2 {
        driver.append("b", 0, 3);
        while driver.steps.commit() {}
        driver.hear();
        driver.steps.tick();
    }
    let image = driver.disk.image();
    let newest = journal(&image).pop().unwrap();
    let (log, mut steps, found, _) = start(&losses(&image, &newest)[0]);
    assert!(found.lost_files);
    let stream = log.stream("b").unwrap();
    let mut stored = 0_u32;
    // First the hole lies in the journal, later in segments.
    for round in 0..100 {
        let more = (0..5).map(|i| support::entry(i, &stream, 0, format!("{round}.{i}"))).collect();
        let mut receipt = poll(support::append(&log, more, Level::Stored)).unwrap().unwrap();
        while steps.commit() {}
        steps.herald();
        assert!(poll(&mut receipt).unwrap().is_ok());
        stored += 5;
        (0..round % 4).take_while(|_| steps.mover()).for_each(drop);
        // The records that are left of before, the hole, and what came since: up to each of them in one look.
        for _ in 0..3 {
            steps.tick();
        }
        let records = stream.stats().records;
        assert!(records <= 30, "{records} after {stored}");
        assert!(stored < 30 || records == 30, "{records} after {stored}");
    }
    assert!(log.stats().moved_records > 0);
}
