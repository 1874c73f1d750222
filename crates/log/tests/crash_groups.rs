//! Promises 7 and 8: what a power cut leaves of groups and dead letters, and a torn unit that must not go unnoticed.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
#[path = "support/crash.rs"]
mod model;
mod support;

use model::{Random, hooks, options, payload, poll};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use support::{MANY, append, entry};
use tidegate_core::{
    delivery::Delivery,
    endpoint::{Limit, Start},
    error::Result,
    message::Message,
    receipt::{Level, Receipt},
    settle::Outcome,
};
use tidegate_log::{
    GroupSpec, Log, Manner, Member, Options, Sabotage, StreamSpec, dead_letter,
    disk::{Image, Recorded},
    steps::Steps,
};

type Place = (u32, u64);
type Wait = Pin<Box<dyn Future<Output = Result<()>>>>;
const PARTITIONS: u32 = 2;

/// What a run promised, each with the number of calls after which it did.
#[derive(Default)]
struct Promised {
    made: usize,
    stored: Vec<(usize, Place)>,
    /// From here on it may be done; the outcome.
    settled: BTreeMap<Place, (usize, bool)>,
    confirmed: Vec<(usize, Place, bool)>,
    attempts: BTreeMap<Place, u32>,
}
struct Driver {
    disk: Recorded,
    log: Log,
    steps: Steps,
    member: Member,
    next: u64,
    receipts: Vec<Receipt>,
    out: Vec<Delivery>,
    waits: Vec<(Wait, Vec<Place>, bool)>,
    promised: Promised,
}
/// Drives until the future has resolved.
fn until<T>(steps: &mut Steps, future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    for _ in 0..1_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        steps.commit();
        steps.herald();
    }
    panic!("it does not end");
}
async fn group(log: &Log) -> Result<Member> {
    let spec = GroupSpec {
        deliveries: Some(4),
        dead_letters: None,
    };
    let group = log.group(&log.stream("a").unwrap(), "g", Start::Earliest, spec).await?;
    Ok(log.member(&group, MANY, Manner::default()))
}
impl Driver {
    fn new(options: &Options) -> Self {
        let disk = Recorded::new();
        let (log, mut steps, _) = Steps::open(Arc::new(disk.clone()), options, hooks()).unwrap();
        let spec = StreamSpec {
            partitions: PARTITIONS,
            ..StreamSpec::default()
        };
        until(&mut steps, log.create_stream("a", spec)).unwrap();
        let member = until(&mut steps, group(&log)).unwrap();
        let made = disk.calls();
        Self {
            disk,
            log,
            steps,
            member,
            next: 0,
            receipts: Vec::new(),
            out: Vec::new(),
            waits: Vec::new(),
            promised: Promised {
                made,
                ..Promised::default()
            },
        }
    }
    fn publish(&mut self, partition: u32) {
        let stream = self.log.stream("a").unwrap();
        let message = Message::new("a".into(), payload(partition as usize, self.next));
        self.next += 1;
        let entry = support::Entry {
            message,
            ..entry(0, &stream, partition, "")
        };
        self.receipts
            .push(poll(append(&self.log, vec![entry], Level::Stored)).unwrap().unwrap());
    }
    fn take(&mut self, most: u32) {
        let limit = Limit { messages: most, ..MANY };
        if let Some(delivery) = poll(self.member.ready(limit)).unwrap().unwrap() {
            for item in delivery.items() {
                let position = item.position.unwrap();
                let place = (position.partition, position.offset as u64);
                self.promised.attempts.insert(place, item.attempt);
            }
            self.out.push(delivery);
        }
    }
    fn settle(&mut self, random: &mut Random) {
        if self.out.is_empty() {
            return;
        }
        let delivery = self.out.swap_remove(random.below(self.out.len() as u64) as usize);
        let places: Vec<Place> = delivery
            .items()
            .iter()
            .map(|item| item.position.unwrap())
            .map(|position| (position.partition, position.offset as u64))
            .collect();
        let calls = self.disk.calls();
        let (items, mut ack) = delivery.into_parts();
        let last = items.iter().any(|item| item.attempt >= 4);
        let mut note = |dead: bool| {
            for place in &places {
                self.promised.settled.insert(*place, (calls, dead));
            }
        };
        match random.below(8) {
            0..=2 => {
                note(false);
                let wait = ack.confirm(Outcome::Ack);
                self.waits.push((Box::pin(wait), places, false));
            }
            3 => {
                note(false);
                ack.settle_all(Outcome::Ack);
            }
            4 | 5 => {
                note(true);
                let wait = ack.confirm(Outcome::reject("poison"));
                self.waits.push((Box::pin(wait), places, true));
            }
            _ => {
                if last {
                    note(true);
                }
                ack.settle_all(Outcome::Requeue { after: None });
            }
        }
    }
    fn hear(&mut self) {
        self.steps.herald();
        let calls = self.disk.calls();
        let mut still = Vec::new();
        for mut receipt in self.receipts.drain(..) {
            match poll(&mut receipt) {
                None => still.push(receipt),
                Some(Err(_)) => {}
                Some(Ok(kept)) => {
                    for place in &kept.places {
                        for span in &place.spans {
                            self.promised.stored.push((calls, (span.partition, span.first as u64)));
                        }
                    }
                }
            }
        }
        self.receipts = still;
        let mut still = Vec::new();
        for (mut wait, places, dead) in self.waits.drain(..) {
            match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => still.push((wait, places, dead)),
                Poll::Ready(Ok(())) => self.promised.confirmed.extend(places.into_iter().map(|place| (calls, place, dead))),
                Poll::Ready(Err(_)) => {}
            }
        }
        self.waits = still;
    }
    fn run(&mut self, random: &mut Random, steps: usize) {
        for _ in 0..steps {
            match random.below(12) {
                0..=2 => self.publish(random.below(u64::from(PARTITIONS)) as u32),
                3 => self.take(1 + random.below(3) as u32),
                4 | 5 => self.settle(random),
                6 | 7 => drop(self.steps.commit()),
                8 => self.steps.bury(),
                9 => drop((0..random.below(4)).take_while(|_| self.steps.mover()).count()),
                10 if random.below(4) == 0 => self.steps.tick(),
                _ => self.hear(),
            }
        }
    }
}
/// What a start after so many calls must and must not deliver.
fn check(image: &Image, options: &Options, promised: &Promised, calls: usize) -> Result<(), String> {
    let disk = Recorded::from_image(image);
    let opened = Steps::open(Arc::new(disk), options, hooks());
    let (log, mut steps, _) = opened.map_err(|error| format!("does not open: {error}"))?;
    if log.stream("a").is_none() {
        return if calls < promised.made {
            Ok(())
        } else {
            Err("the stream is lost".to_owned())
        };
    }
    if calls >= promised.made && log.find_group(&log.stream("a").unwrap(), "g").is_none() {
        return Err("the group is lost".to_owned());
    }
    let mut member = until(&mut steps, group(&log)).map_err(|error| format!("no group: {error}"))?;
    let mut open = BTreeMap::new();
    let mut kept = Vec::new();
    // Those that have been delivered too often die at once.
    for _ in 0..3 {
        while let Some(delivery) = poll(member.ready(MANY)).unwrap().map_err(|error| error.to_string())? {
            if delivery.gap().is_some() {
                return Err(format!("a gap without damage: {:?}", delivery.gap()));
            }
            for item in delivery.items() {
                let position = item.position.unwrap();
                if open.insert((position.partition, position.offset as u64), item.attempt).is_some() {
                    return Err(format!("{position} was delivered twice at a time"));
                }
            }
            kept.push(delivery);
        }
        steps.bury();
        while steps.commit() {}
        steps.herald();
        steps.bury();
    }
    let mut dead: BTreeMap<Place, u32> = BTreeMap::new();
    if let Some(stream) = log.stream("a.dead") {
        let mut reader = log.reader(&stream, Start::Earliest).unwrap();
        loop {
            let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
            if chunk.is_empty() {
                break;
            }
            for (_, message) in &chunk.items {
                let place = message.headers.get(dead_letter::POSITION).unwrap();
                let position: tidegate_core::position::Position = std::str::from_utf8(place).unwrap().parse().unwrap();
                *dead.entry((position.partition, position.offset as u64)).or_default() += 1;
            }
        }
    }
    for (_, place, is_dead) in promised.confirmed.iter().filter(|(at, ..)| *at <= calls) {
        if open.contains_key(place) {
            return Err(format!("{place:?} was settled for good and comes again"));
        }
        if *is_dead && dead.get(place) != Some(&1) {
            return Err(format!("{place:?} is no dead letter, or more than one: {:?}", dead.get(place)));
        }
    }
    for (_, place) in promised.stored.iter().filter(|(at, _)| *at <= calls) {
        let settled = promised.settled.get(place).filter(|(at, _)| *at <= calls);
        let acked = settled.is_some_and(|(_, dead)| !dead);
        if !acked && !open.contains_key(place) && !dead.contains_key(place) {
            return Err(format!("{place:?} is lost ({settled:?})"));
        }
    }
    let unknown: BTreeSet<_> = open.keys().filter(|place| !promised.attempts.contains_key(place)).collect();
    for (place, attempt) in &open {
        let most = promised.attempts.get(place).map_or(1, |attempts| attempts + 1);
        // What was claimed but never handed out, or was the newest when the mark was written, counts one at most.
        if *attempt > most.max(2) || (unknown.contains(place) && *attempt > 2) {
            return Err(format!("{place:?} counts {attempt} attempts, there were {most} at most"));
        }
    }
    for delivery in kept {
        delivery.accept();
    }
    while steps.commit() {}
    steps.herald();
    let stats = member.group().stats();
    if stats.pending != 0 || stats.dying != 0 {
        return Err(format!("all is done, and yet {stats:?}"));
    }
    goes_on(&log, &mut steps, &mut member)
}
/// What comes next arrives once, and what was passed over for safety is no gap before it.
fn goes_on(log: &Log, steps: &mut Steps, member: &mut Member) -> Result<(), String> {
    let stream = log.stream("a").unwrap();
    for partition in 0..PARTITIONS {
        let message = Message::new("a".into(), payload(partition as usize, 1_000_000));
        let entry = support::Entry {
            message,
            ..entry(0, &stream, partition, "")
        };
        let _kept = poll(append(log, vec![entry], Level::Stored)).unwrap().unwrap();
    }
    while steps.commit() {}
    let mut partitions = BTreeSet::new();
    while let Some(delivery) = poll(member.ready(MANY)).unwrap().map_err(|error| error.to_string())? {
        for item in delivery.items() {
            let position = item.position.unwrap();
            if item.attempt != 1 || !partitions.insert(position.partition) {
                return Err(format!("{position} is the first of what came and counts {} attempts", item.attempt));
            }
        }
        if delivery.gap().is_some() {
            return Err(format!("a gap without damage before what came: {:?}", delivery.gap()));
        }
        delivery.accept();
    }
    if partitions.len() == PARTITIONS as usize {
        Ok(())
    } else {
        Err(format!("of what came only {partitions:?} arrived"))
    }
}
#[derive(Debug, Default)]
struct Tally {
    states: u64,
    confirmed: usize,
    dead: usize,
}
fn enumerate(seed: u64, steps: usize, sabotage: Option<Sabotage>, tally: &mut Tally) -> Result<(), String> {
    let options = options(sabotage);
    let mut random = Random(seed * 7_919 + 1);
    let mut driver = Driver::new(&options);
    driver.run(&mut random, steps);
    tally.confirmed += driver.promised.confirmed.len();
    tally.dead += driver.promised.confirmed.iter().filter(|(.., dead)| *dead).count();
    let mut problem = None;
    driver.disk.crashes(0, seed, |calls, image| {
        if problem.is_some() {
            return;
        }
        tally.states += 1;
        if let Err(error) = check(&image, &options, &driver.promised, calls) {
            problem = Some(format!("seed {seed}, after {calls} calls: {error}"));
        }
    });
    // What is still out would be given back into a log that is gone.
    problem.map_or(Ok(()), Err)
}

#[test]
fn p07_p08_no_crash_loses_or_brings_back_what_was_settled() {
    let mut tally = Tally::default();
    let mut seed = 0;
    while tally.states < 30_000 {
        seed += 1;
        enumerate(seed, 350, None, &mut tally).unwrap();
    }
    println!("{tally:?}, {seed} seeds");
    assert!(tally.confirmed > 100 && tally.dead > 20, "the run reached every part: {tally:?}");
}
#[test]
fn a_torn_unit_is_caught() {
    let mut tally = Tally::default();
    let found = (1..=40).find_map(|seed| enumerate(seed, 350, Some(Sabotage::TornUnits), &mut tally).err());
    println!("after {} states: {found:?}", tally.states);
    assert!(found.is_some(), "a torn unit went unnoticed in {} states", tally.states);
}
