//! Promises 5 and 6: flipped bytes and cut files, everywhere.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Driver, Served, hooks, options, payload, serve};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tidegate_log::{
    Options,
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
    slow: bool,
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
        slow: found.slow,
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
