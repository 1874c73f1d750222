//! Promises 1, 2, 3, 5, 11 and 12: every state a power cut can leave behind, and mistakes that must not go unnoticed.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Driver, Promised, Random, check, options, recover};
use tidegate_log::{Sabotage, disk::Recorded};

type Records = Vec<(u64, u64)>;

#[derive(Debug, Default)]
struct Tally {
    states: u64,
    again: u64,
    slow: u64,
    moved: u64,
    recycled: bool,
    tables: bool,
}
/// One run by one seed, all its crashes, and for some of them all crashes of the recovery.
fn enumerate(seed: u64, steps: usize, sabotage: Option<Sabotage>, tally: &mut Tally) -> Result<(), String> {
    let options = options(sabotage);
    let disk = Recorded::new();
    let mut random = Random(seed * 7_919 + 1);
    let mut driver = Driver::new(disk.clone(), &options);
    driver.create();
    if seed % 4 == 3 {
        disk.fail_sync(20 + random.below(60));
    }
    driver.run(&mut random, steps);
    tally.moved += driver.log.stats().moved_records;
    let paths = disk.image().paths();
    let reached = |extension: &str, least: u64| {
        let of = paths.iter().filter(|path| path.extension().is_some_and(|e| e == extension));
        let numbers = of.filter_map(|path| u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok());
        numbers.max().is_some_and(|number| number >= least)
    };
    tally.recycled |= reached("j", 8);
    tally.tables |= reached("t", 3);
    let mut problem = None;
    disk.crashes(0, seed, |calls, image| {
        if problem.is_some() {
            return;
        }
        tally.states += 1;
        let twice = random.below(400) == 0;
        match recover(&image, &options, &driver.promised, calls, 1_000_000) {
            Err(error) => problem = Some(format!("seed {seed}, after {calls} calls: {error}")),
            Ok((second, served, slow)) => {
                tally.slow += u64::from(slow);
                if !twice {
                    return;
                }
                let mut promised = driver.promised.settled(calls);
                promised.acked.extend(second.promised.acked.iter().cloned());
                promised
                    .handed
                    .push((0, promised.handed.iter().map(|h| h.1).max().unwrap_or(0) + 4));
                second.disk.crashes(0, seed, |calls, image| {
                    tally.states += 1;
                    tally.again += 1;
                    let third = recover(&image, &options, &promised, calls, 2_000_000);
                    let third = third.and_then(|(third, again, _)| {
                        let reused = |(before, now): (&Records, &Records)| {
                            before.iter().find(|r| now.iter().any(|n| n.0 == r.0 && n.1 != r.1)).copied()
                        };
                        match served.iter().zip(&again).find_map(reused) {
                            Some(record) => Err(format!("another record under the name of {record:?}")),
                            None => check(&third.log, &Promised::default(), 0).map(drop),
                        }
                    });
                    if let Err(error) = third {
                        problem.get_or_insert(format!("seed {seed}, after {calls} calls of a second start: {error}"));
                    }
                });
            }
        }
    });
    problem.map_or(Ok(()), Err)
}

fn survive(from: u64, states: u64) {
    let mut tally = Tally::default();
    let mut seed = from;
    while tally.states < states {
        seed += 1;
        enumerate(seed, 350, None, &mut tally).unwrap();
    }
    println!("{tally:?}, {} seeds", seed - from);
    assert!(
        tally.moved > 0 && tally.recycled && tally.tables,
        "the run reached every part: {tally:?}"
    );
    assert!(tally.again > 1_000, "crashes inside a recovery: {tally:?}");
    assert_eq!(tally.slow, 0, "a crash never needs the slow path");
}
#[test]
fn p02_no_crash_loses_what_was_acknowledged() {
    survive(0, 50_000);
}
#[test]
#[ignore = "takes minutes: for a change of formats, moves or recovery"]
fn p02_many_more_crashes() {
    survive(1_000, 1_000_000);
}

fn caught(sabotage: Sabotage) {
    let mut tally = Tally::default();
    let found = (1..=20).find_map(|seed| enumerate(seed, 250, Some(sabotage), &mut tally).err());
    println!("{sabotage:?} after {} states: {found:?}", tally.states);
    assert!(found.is_some(), "{sabotage:?} went unnoticed in {} states", tally.states);
}
#[test]
fn a_missing_sync_is_caught() {
    caught(Sabotage::NoSync);
}
#[test]
fn an_answer_before_the_sync_is_caught() {
    caught(Sabotage::AnswerBeforeSync);
}
#[test]
fn a_missing_checksum_is_caught() {
    caught(Sabotage::NoChecksum);
}
#[test]
fn a_missing_folder_sync_is_caught() {
    caught(Sabotage::NoFolderSync);
}
#[test]
fn a_file_used_again_too_early_is_caught() {
    caught(Sabotage::RecycleBeforePublish);
}
