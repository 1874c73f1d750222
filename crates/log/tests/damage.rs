//! Promises 5 and 6: flipped bytes and cut files, everywhere.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Driver, Served, hooks, options, payload, poll, serve};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use support::{MANY, entry};
use tidegate_core::{
    endpoint::Start,
    position::{Gap, Position, Reason},
    receipt::Level,
};
use tidegate_log::{
    Found, Log, Options,
    disk::{Image, Recorded},
    steps::Steps,
};

const RECORDS: u64 = 200;

fn settings() -> Options {
    let mut options = options(None);
    options.journal_file = Some(4 << 10);
    options.internal.segment_most = 5 << 10;
    options.internal.segment_least = 5 << 10;
    options
}
/// 200 records of one partition, most of them in three segments, the rest in the journal.
fn build() -> Image {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    for i in 0..RECORDS / 4 {
        driver.append("a", 0, 4);
        while driver.steps.commit() {}
        driver.hear();
        while i < 40 && driver.steps.mover() {}
    }
    driver.steps.seal();
    assert_eq!(driver.promised.acked.len() as u64, RECORDS);
    let image = driver.disk.image();
    let segments = image
        .paths()
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "s"))
        .count();
    assert!(segments >= 3, "{segments} segments");
    image
}
struct Seen {
    served: Served,
    gaps: usize,
    counted: u64,
    /// As metrics see it.
    damaged: u64,
    slow: bool,
    lost_files: bool,
}
fn open(image: &Image) -> Result<Seen, String> {
    let disk = Recorded::from_image(image);
    let (log, _steps, found) = Steps::open(Arc::new(disk), &settings(), hooks()).map_err(|e| e.to_string())?;
    if log.stream("a").is_none() {
        return Err("the stream is lost".to_owned());
    }
    let (served, gaps) = serve(&log)?;
    let stats = log.stream("a").map(|stream| stream.stats()).unwrap_or_default();
    Ok(Seen {
        served,
        gaps: gaps.len(),
        counted: found.damaged + found.lost_tail + stats.damaged,
        damaged: log.stats().damaged_records,
        slow: found.slow,
        lost_files: found.lost_files,
    })
}
fn kind(path: &Path) -> String {
    let extension = path.extension().map(|e| e.to_string_lossy().into_owned());
    extension.unwrap_or_else(|| path.display().to_string())
}

#[test]
fn p06_a_flipped_byte_costs_at_most_its_record() {
    let image = build();
    let whole = open(&image).unwrap();
    assert_eq!((whole.served[0].len() as u64, whole.gaps, whole.counted), (RECORDS, 0, 0));
    let mut tally: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    for path in image.paths() {
        let bytes = image.read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << ((at * 5 + 3) % 8);
            let mut image = image.clone();
            image.replace(&path, bad);
            let what = format!("{} byte {at}", path.display());
            let seen = open(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
            let records = &seen.served[0];
            assert!(!seen.lost_files, "{what}: no file is lost");
            assert!(
                records.iter().all(|(offset, counter)| offset == counter),
                "{what}: under another name"
            );
            assert!(
                records.len() as u64 + 1 >= RECORDS,
                "{what}: {} records left, slow {}",
                records.len(),
                seen.slow
            );
            let lost = RECORDS - records.len() as u64;
            assert!(lost == 0 || seen.gaps > 0 || seen.counted > 0, "{what}: lost in silence");
            assert!(lost == 0 || seen.gaps > 0, "{what}: readers are not told");
            assert!(lost == 0 || seen.damaged > 0, "{what}: not counted");
            let tally = tally.entry(kind(&path)).or_default();
            tally.0 += 1;
            tally.1 += lost as u32;
            tally.2 += u32::from(seen.slow);
        }
    }
    println!("flips, records lost, slow path: {tally:?}");
    assert!(tally["s"].1 > 10_000 && tally["j"].1 > 1_000, "most flips hit a record: {tally:?}");
}
#[test]
fn p06_a_flipped_byte_at_the_border_of_two_starts_is_no_lost_file() {
    let (log, steps, _, disk) = start(&build());
    drop((log, steps));
    let (log, mut steps, _, disk) = start(&disk.image());
    steps.seal();
    drop((log, steps));
    let image = disk.image();
    for path in image.paths().into_iter().filter(|path| kind(path) == "j") {
        let bytes = image.read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let mut image = image.clone();
            image.replace(&path, bad);
            let what = format!("{} byte {at}", path.display());
            let seen = open(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(!seen.lost_files, "{what}");
            let lost = RECORDS - seen.served[0].len() as u64;
            assert!(lost == 0 || lost == 1 && seen.gaps > 0 && seen.damaged > 0, "{what}: {lost} lost");
        }
    }
}
/// Records of two streams, sealed; one bit of one record flips.
fn flipped(text: &[u8], back: usize) -> Image {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    driver.append("b", 0, 1);
    driver.append("a", 0, 4);
    while driver.steps.commit() {}
    driver.hear();
    driver.steps.seal();
    let mut image = driver.disk.image();
    let paths: Vec<_> = image
        .paths()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "j"))
        .collect();
    for path in paths {
        let mut bytes = image.read(&path).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
            bytes[at - back] ^= 1;
            image.replace(&path, bytes);
        }
    }
    image
}
fn start(image: &Image) -> (Log, Steps, Found, Recorded) {
    let disk = Recorded::from_image(image);
    let (log, steps, found) = Steps::open(Arc::new(disk.clone()), &settings(), hooks()).unwrap();
    (log, steps, found, disk)
}
fn read_from(log: &Log, from: Start) -> (Option<Gap>, usize) {
    let stream = log.stream("a").unwrap();
    let chunk = poll(log.reader(&stream, from).unwrap().ready(MANY)).unwrap().unwrap().unwrap();
    (chunk.gap, chunk.items.len())
}
#[test]
fn p06_the_newest_record_is_not_lost_in_silence() {
    let newest = payload(0, 3);
    // In its body, which leaves its name, and in its header.
    for back in [0, 30] {
        let mut image = flipped(&newest, back);
        for round in 0..3 {
            let (log, steps, found, disk) = start(&image);
            assert_eq!((found.damaged, found.lost_tail), (1, 0), "{round}");
            assert_eq!(log.stats().damaged_records, 1);
            let stream = log.stream("a").unwrap();
            assert_eq!(stream.range(0).unwrap(), (0, 4));
            let at = |offset| Position {
                source: stream.number(),
                partition: 0,
                offset,
            };
            let (gap, items) = read_from(&log, Start::After([at(2)].into_iter().collect()));
            let gap = gap.unwrap_or_else(|| panic!("not told: {back} {round}"));
            assert_eq!(
                (gap.reason, gap.from.to_string(), gap.to.to_string()),
                (Reason::Damaged, "1.2".into(), "1.3".into())
            );
            assert_eq!(items, 0);
            if back == 0 {
                assert_eq!(log.stream("b").unwrap().range(0).unwrap().1, 1, "the other stream lost nothing");
            }
            drop((log, steps));
            image = disk.image();
        }
    }
}
#[test]
fn p04_a_cursor_behind_the_end_is_told_at_once() {
    let (log, mut steps, ..) = start(&flipped(b"nothing like this", 0));
    let stream = log.stream("a").unwrap();
    let at = |offset| Position {
        source: stream.number(),
        partition: 0,
        offset,
    };
    assert_eq!(read_from(&log, Start::At(at(4))), (None, 0), "the end itself is no gap");
    assert_eq!(read_from(&log, Start::After([at(3)].into_iter().collect())), (None, 0));
    for from in [Start::After([at(9)].into_iter().collect()), Start::At(at(9))] {
        let end = stream.range(0).unwrap().1;
        let mut reader = log.reader(&stream, from).unwrap();
        let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
        let gap = chunk.gap.unwrap();
        // What is there may be all new to whoever has seen more than there is.
        let told = (gap.reason, gap.from.to_string(), gap.to.to_string());
        assert_eq!(told, (Reason::Recreated, "1.9".into(), String::new()));
        assert_eq!((gap.count(), chunk.items.len() as u64), (0, end));
        let receipt = poll(support::append(&log, vec![entry(0, &stream, 0, "next")], Level::Stored))
            .unwrap()
            .unwrap();
        while steps.commit() {}
        steps.herald();
        assert!(poll(receipt).unwrap().is_ok());
        let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
        assert!(chunk.gap.is_none());
        assert_eq!(chunk.items[0].0.offset, u128::from(end));
    }
}
#[test]
fn p04_a_cursor_into_a_torn_end_is_damage() {
    // Never sealed: without the cursor nobody knows that the newest record was there.
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    driver.append("a", 0, 4);
    while driver.steps.commit() {}
    driver.hear();
    let mut image = driver.disk.image();
    let newest = payload(0, 2);
    for path in image.paths() {
        let mut bytes = image.read(&path).unwrap();
        if let Some(at) = bytes.windows(newest.len()).position(|window| window == newest) {
            bytes.truncate(at);
            image.replace(&path, bytes);
        }
    }
    let (log, _steps, found, _) = start(&image);
    assert!(found.lost_tail > 0);
    let stream = log.stream("a").unwrap();
    let at = |offset| Position {
        source: stream.number(),
        partition: 0,
        offset,
    };
    assert_eq!(
        read_from(&log, Start::After([at(1)].into_iter().collect())).0,
        None,
        "nobody has seen more"
    );
    for offset in [2, 3, 1 << 40] {
        let gap = read_from(&log, Start::After([at(offset)].into_iter().collect()))
            .0
            .expect("it was there");
        assert_eq!((gap.reason, gap.from.to_string()), (Reason::Damaged, format!("1.{offset}")));
        // Either behind what was lost, or anew; never back to before where the reader stood.
        let to = gap.to.iter().next();
        assert_eq!(to.is_none(), offset == 1 << 40);
        assert!(to.is_none_or(|to| to.offset >= offset), "{to:?}");
    }
}
#[test]
fn a_list_of_ids_that_does_not_check_is_told_and_not_believed() {
    let mut driver = Driver::new(Recorded::new(), &settings());
    driver.create();
    for _ in 0..60 {
        driver.append("b", 0, 2);
        while driver.steps.commit() {}
        driver.hear();
        while driver.steps.mover() {}
    }
    let image = driver.disk.image();
    let lists: Vec<_> = image.paths().into_iter().filter(|path| kind(path) == "i").collect();
    assert!(!lists.is_empty());
    for path in lists {
        let bytes = image.read(&path).unwrap();
        let flipped = (0..bytes.len()).step_by(7).map(|at| {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            bad
        });
        for bad in flipped.chain([Vec::new(), bytes[..bytes.len() / 2].to_vec(), vec![0; bytes.len()]]) {
            let mut image = image.clone();
            image.replace(&path, bad);
            let (log, mut steps, found, disk) = start(&image);
            assert_eq!((found.damaged, log.stats().damaged_records), (1, 1));
            let stream = log.stream("b").unwrap();
            let first = stream.range(0).unwrap().0;
            let again = (first..120).map(|counter| {
                let mut again = entry((counter - first) as u32, &stream, 0, payload(2, counter));
                again.message.id = Some(counter.to_string().into());
                again
            });
            let mut receipt = poll(support::append(&log, again.collect(), Level::Stored)).unwrap().unwrap();
            while steps.commit() {}
            steps.herald();
            let kept = poll(&mut receipt).unwrap().unwrap();
            assert_eq!(kept.duplicates.len() as u64, 120 - first, "each id is known still");
            drop((log, steps));
            assert_eq!(start(&disk.image()).2.damaged, 0, "told once");
        }
    }
}
#[test]
fn p06_a_cut_costs_only_what_lay_behind_it() {
    let image = build();
    let payloads: Vec<_> = (0..RECORDS).map(|counter| payload(0, counter)).collect();
    let mut lost = 0;
    for path in image.paths() {
        let bytes = image.read(&path).unwrap();
        let ends: Vec<_> = payloads
            .iter()
            .map(|p| bytes.windows(p.len()).position(|w| w == p).map(|at| at + p.len()))
            .collect();
        for cut in 0..bytes.len() {
            let mut image = image.clone();
            image.replace(&path, bytes[..cut].to_vec());
            let what = format!("{} cut at {cut}", path.display());
            let seen = open(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
            let records = &seen.served[0];
            assert!(
                records.iter().all(|(offset, counter)| offset == counter),
                "{what}: under another name"
            );
            for counter in (0..RECORDS).filter(|c| records.binary_search(&(*c, *c)).is_err()) {
                let end = ends[counter as usize];
                assert!(end.is_some_and(|end| end > cut), "{what}: record {counter} ended at {end:?}");
                lost += 1;
            }
        }
    }
    println!("records lost over all cuts: {lost}");
    assert!(lost > 10_000, "cuts must cost something: {lost}");
}
