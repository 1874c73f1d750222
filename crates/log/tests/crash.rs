//! Promises 1, 2, 3, 5, 11 and 12: every state a power cut can leave behind, and mistakes that must not go unnoticed.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Driver, Random, check, options, recover};
use tidegate_log::{Sabotage, disk::Recorded};

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
    tally.recycled |= paths.iter().any(|p| p.to_string_lossy().ends_with("0000000000000008.j"));
    tally.tables |= paths.iter().any(|p| p.to_string_lossy().ends_with("00000003.t"));
    let mut problem = None;
    disk.crashes(0, seed, |calls, image| {
        if problem.is_some() {
            return;
        }
        tally.states += 1;
        let twice = random.below(400) == 0;
        match recover(&image, &options, &driver.acked, &driver.created, calls, 1_000_000) {
            Err(error) => problem = Some(format!("seed {seed}, after {calls} calls: {error}")),
            Ok((second, served, slow)) => {
                tally.slow += u64::from(slow);
                if !twice {
                    return;
                }
                // What was served once must stay, be it acknowledged or not.
                let mut acked: Vec<_> = driver.acked.iter().filter(|a| a.calls <= calls).cloned().collect();
                acked.iter_mut().for_each(|a| a.calls = 0);
                let mut created: Vec<_> = driver.created.iter().filter(|c| c.0 <= calls).copied().collect();
                created.iter_mut().for_each(|c| c.0 = 0);
                acked.extend(second.acked.iter().cloned());
                second.disk.crashes(0, seed, |calls, image| {
                    tally.states += 1;
                    tally.again += 1;
                    let third = recover(&image, &options, &acked, &created, calls, 2_000_000);
                    let third = third.and_then(|(third, again, _)| {
                        let reused = |(home, records): (&(String, u32), &Vec<(u64, u64)>)| {
                            let now = again.get(home)?;
                            records.iter().find(|r| now.iter().any(|n| n.0 == r.0 && n.1 != r.1)).copied()
                        };
                        match served.iter().find_map(reused) {
                            Some(record) => Err(format!("another record under the name of {record:?}")),
                            None => check(&third.log, &[], &[], 0).map(drop),
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

#[test]
fn p02_no_crash_loses_what_was_acknowledged() {
    let mut tally = Tally::default();
    let mut seed = 0;
    while tally.states < 50_000 {
        seed += 1;
        enumerate(seed, 400, None, &mut tally).unwrap();
    }
    println!("{tally:?}, {seed} seeds");
    assert!(
        tally.moved > 0 && tally.recycled && tally.tables,
        "the run reached every part: {tally:?}"
    );
    assert!(tally.again > 1_000, "crashes inside a recovery: {tally:?}");
    assert_eq!(tally.slow, 0, "a crash never needs the slow path");
}

fn caught(sabotage: Sabotage) {
    let mut tally = Tally::default();
    let found = (1..=20).find_map(|seed| enumerate(seed, 400, Some(sabotage), &mut tally).err());
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
