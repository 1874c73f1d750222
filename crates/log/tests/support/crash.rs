//! Drives a log on a recorded disk by a seed, and checks what every power cut leaves behind.
#![allow(dead_code, reason = "each test binary uses its part")]
use crate::support::{Entry, MANY, append, entry};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{
    endpoint::Start,
    error::Result,
    message::Message,
    position::Gap,
    receipt::{Kept, Level, Receipt},
};
use tidegate_log::{
    Hooks, Internal, Log, Options, Retention, Sabotage, Stream, StreamSpec,
    disk::{Image, Recorded},
    steps::Steps,
};

pub struct Random(pub u64);
impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
pub fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
pub fn hooks() -> Hooks {
    Hooks {
        on_committed: Box::new(|_| {}),
        run_blocking: Box::new(|work| work()),
    }
}
pub fn options(sabotage: Option<Sabotage>) -> Options {
    Options {
        journal_file: Some(3 << 9),
        tail_cache: 0,
        internal: Internal {
            salt: Some(0x9e37_79b9_7f4a_7c15),
            sabotage,
            zero_ahead: 1 << 9,
            segment_least: 1 << 10,
            segment_most: 1 << 10,
            move_window: 1 << 10,
            table_waste: 128,
            ..Internal::default()
        },
        ..Options::default()
    }
}
const STREAMS: [(&str, u32); 2] = [("a", 2), ("b", 1)];

/// So that a payload is found nowhere else.
const MAGIC: u64 = 0x5a3c_96e1_0000_0000;

/// Says all about a record: which one it is, and bytes that follow from that.
pub fn payload(slot: usize, counter: u64) -> Vec<u8> {
    let mut bytes = (MAGIC ^ (counter << 8 | slot as u64)).to_le_bytes().to_vec();
    let len = (counter.wrapping_mul(0x9e37_79b9) >> 7) % 150;
    bytes.extend((0..len).map(|i| (counter * 31 + i) as u8));
    bytes
}
/// Which record it is; `None`: none that was ever appended.
fn counter(slot: usize, bytes: &[u8]) -> Option<u64> {
    let counter = (u64::from_le_bytes(*bytes.first_chunk()?) ^ MAGIC) >> 8;
    (payload(slot, counter) == bytes).then_some(counter)
}
/// How many messages the stream `b` keeps.
const KEPT: u64 = 30;

/// All partitions of all streams, counted through.
fn slot(stream: &str, partition: u32) -> usize {
    usize::from(stream == "b") * 2 + partition as usize
}

/// A record whose receipt resolved, and after how many calls.
#[derive(Clone, Debug)]
pub struct Acked {
    pub calls: usize,
    pub slot: usize,
    pub offset: u64,
    pub counter: u64,
}
struct Waiting {
    receipt: Receipt,
    slot: usize,
    first: u64,
    count: u32,
}
/// What a run promised.
#[derive(Clone, Debug, Default)]
pub struct Promised {
    pub acked: Vec<Acked>,
    /// Calls after which a stream was there.
    pub created: Vec<(usize, &'static str)>,
    /// Before which calls a partition may have been purged, after which it was, and up to where.
    pub purged: Vec<(usize, usize, usize, u64)>,
    /// After which calls how many records of `b` had been handed over.
    pub handed: Vec<(usize, u64)>,
}
impl Promised {
    /// What held after some calls, as what always held.
    pub fn settled(&self, calls: usize) -> Self {
        let mut all = self.clone();
        all.acked.retain(|acked| acked.calls <= calls);
        all.created.retain(|created| created.0 <= calls);
        all.purged.retain(|purged| purged.0 <= calls);
        all.handed.retain(|handed| handed.0 <= calls);
        for acked in &mut all.acked {
            acked.calls = 0;
        }
        for created in &mut all.created {
            created.0 = 0;
        }
        for purged in &mut all.purged {
            purged.1 = if purged.1 <= calls { 0 } else { usize::MAX };
            purged.0 = 0;
        }
        for handed in &mut all.handed {
            handed.0 = 0;
        }
        all
    }
    /// Whether the record may be missing after so many calls.
    fn forgotten(&self, acked: &Acked, calls: usize) -> bool {
        let purged = self
            .purged
            .iter()
            .any(|(before, _, slot, to)| *before <= calls && *slot == acked.slot && acked.offset < *to);
        let handed = self
            .handed
            .iter()
            .filter(|(at, _)| *at <= calls)
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0);
        purged || (acked.slot == 2 && acked.counter + KEPT < handed)
    }
}
/// A running log and what it promised.
pub struct Driver {
    pub disk: Recorded,
    pub log: Log,
    pub steps: Steps,
    waiting: Vec<Waiting>,
    pub promised: Promised,
    next: [u64; 3],
    pub failed: u64,
}
impl Driver {
    pub fn new(disk: Recorded, options: &Options) -> Self {
        let (log, steps, _) = Steps::open(Arc::new(disk.clone()), options, hooks()).unwrap();
        Self {
            disk,
            log,
            steps,
            waiting: Vec::new(),
            promised: Promised::default(),
            next: [0; 3],
            failed: 0,
        }
    }
    pub fn create(&mut self) {
        for (name, partitions) in STREAMS {
            let limited = name == "b";
            let spec = StreamSpec {
                partitions,
                dedupe: Duration::from_hours(u64::from(limited)),
                retention: Retention {
                    messages: limited.then_some(KEPT),
                    ..Retention::default()
                },
                ..StreamSpec::default()
            };
            let mut create = Box::pin(self.log.create_stream(name, spec));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(create.as_mut().poll(&mut cx).is_pending());
            self.steps.commit();
            self.steps.herald();
            let Poll::Ready(Ok(_)) = create.as_mut().poll(&mut cx) else {
                panic!("not created");
            };
            self.promised.created.push((self.disk.calls(), name));
        }
    }
    pub fn append(&mut self, stream: &'static str, partition: u32, count: u32) {
        let held = self.log.stream(stream).unwrap();
        let slot = slot(stream, partition);
        let first = self.next[slot];
        self.next[slot] += u64::from(count);
        self.promised.handed.push((self.disk.calls(), self.next[2]));
        self.hand_over(&held, partition, first, count);
    }
    /// The same record again: it is not stored again, and its place is the first one's.
    pub fn repeat(&mut self, counter: u64) {
        let held = self.log.stream("b").unwrap();
        self.hand_over(&held, 0, counter, 1);
    }
    fn hand_over(&mut self, held: &Arc<Stream>, partition: u32, first: u64, count: u32) {
        let slot = slot(held.name(), partition);
        let batch = (0..count).map(|i| {
            let counter = first + u64::from(i);
            let mut message = Message::new(held.name().into(), payload(slot, counter));
            message.id = Some(counter.to_string().into());
            Entry {
                message,
                ..entry(i, held, partition, "")
            }
        });
        match poll(append(&self.log, batch.collect(), Level::Stored)) {
            Some(Ok(receipt)) => self.waiting.push(Waiting {
                receipt,
                slot,
                first,
                count,
            }),
            Some(Err(_)) => self.failed += 1,
            None => panic!("the intake is large enough"),
        }
    }
    /// Notes which receipts have resolved.
    pub fn hear(&mut self) {
        self.steps.herald();
        let calls = self.disk.calls();
        let mut still = Vec::new();
        for mut waiting in self.waiting.drain(..) {
            let kept: Result<Kept> = match poll(&mut waiting.receipt) {
                None => {
                    still.push(waiting);
                    continue;
                }
                Some(kept) => kept,
            };
            let Ok(kept) = kept else {
                self.failed += 1;
                continue;
            };
            for verdict in kept.verdicts(waiting.count) {
                let Ok(positions) = verdict.result else {
                    // The first frame of the batch was kept, a later one failed.
                    self.failed += 1;
                    continue;
                };
                let position = positions[0];
                self.promised.acked.push(Acked {
                    calls,
                    slot: waiting.slot,
                    offset: position.offset as u64,
                    counter: waiting.first + u64::from(verdict.item),
                });
            }
        }
        self.waiting = still;
    }
    pub fn purge(&mut self) {
        let before = self.disk.calls();
        let mut purge = Box::pin(self.log.purge_stream("a"));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            if let Poll::Ready(done) = purge.as_mut().poll(&mut cx) {
                let stream = self.log.stream("a").unwrap();
                for partition in 0..2 {
                    // One that failed may have happened all the same.
                    let (after, to) = match &done {
                        Ok(_) => (self.disk.calls(), stream.range(partition).unwrap().0),
                        Err(_) => (usize::MAX, u64::MAX),
                    };
                    self.promised.purged.push((before, after, partition as usize, to));
                }
                return;
            }
            self.steps.commit();
            self.steps.herald();
        }
        panic!("the purge does not end");
    }
    /// Steps in an order that follows from the seed.
    pub fn run(&mut self, random: &mut Random, steps: usize) {
        for _ in 0..steps {
            match random.below(10) {
                0..=2 => {
                    let (stream, partitions) = STREAMS[random.below(2) as usize];
                    let partition = random.below(u64::from(partitions)) as u32;
                    self.append(stream, partition, 1 + random.below(3) as u32);
                }
                3..=5 => drop(self.steps.commit()),
                6 | 7 => {
                    (0..random.below(5)).take_while(|_| self.steps.mover()).for_each(drop);
                }
                8 if random.below(8) == 0 => self.steps.seal(),
                8 if random.below(10) == 0 => self.purge(),
                8 if random.below(2) == 0 => self.steps.tick(),
                8 if self.next[2] > 0 => {
                    let counter = random.below(self.next[2]);
                    self.repeat(counter);
                }
                _ => self.hear(),
            }
        }
    }
}

/// What was served: per partition, offset and counter.
pub type Served = [Vec<(u64, u64)>; 3];

/// All there is, and how many gaps.
pub fn serve(log: &Log) -> Result<(Served, Vec<Gap>), String> {
    let (mut served, mut gaps) = (Served::default(), Vec::new());
    for stream in log.streams() {
        let mut reader = log.reader(&stream, Start::Earliest).unwrap();
        loop {
            let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
            if chunk.is_empty() {
                break;
            }
            gaps.extend(chunk.gap.clone());
            for (position, message) in &chunk.items {
                let slot = slot(stream.name(), position.partition);
                let counter = counter(slot, &message.payload).ok_or_else(|| format!("{position} was never written"))?;
                served[slot].push((position.offset as u64, counter));
            }
        }
    }
    Ok((served, gaps))
}
/// Everything that can be wrong with a state; what is served then.
pub fn check(log: &Log, promised: &Promised, calls: usize) -> Result<Served, String> {
    for (_, name) in promised.created.iter().filter(|(at, _)| *at <= calls) {
        if log.stream(name).is_none() {
            return Err(format!("the stream {name} is lost"));
        }
    }
    let (served, gaps) = serve(log)?;
    if !gaps.is_empty() {
        return Err(format!("gaps without damage: {gaps:?}"));
    }
    for (home, records) in served.iter().enumerate() {
        if let Some(pair) = records.windows(2).find(|pair| pair[0].0 >= pair[1].0 || pair[0].1 >= pair[1].1) {
            return Err(format!("{home:?} out of order: {pair:?}"));
        }
    }
    for (_, _, slot, to) in promised.purged.iter().filter(|purged| purged.1 <= calls) {
        if served[*slot].first().is_some_and(|(offset, _)| offset < to) {
            return Err(format!("{slot}: purged records came back"));
        }
    }
    for acked in promised
        .acked
        .iter()
        .filter(|acked| acked.calls <= calls && !promised.forgotten(acked, calls))
    {
        let records = &served[acked.slot];
        let found = records.binary_search_by_key(&acked.offset, |(offset, _)| *offset);
        match found.ok().and_then(|i| records.get(i)) {
            Some((_, counter)) if *counter == acked.counter => {}
            other => return Err(format!("acknowledged {acked:?} is {other:?}")),
        }
    }
    Ok(served)
}
/// Recovers an image, checks it, appends to it, and gives what happened, to be crashed again.
pub fn recover(image: &Image, options: &Options, promised: &Promised, calls: usize, base: u64) -> Result<(Driver, Served, bool), String> {
    let disk = Recorded::from_image(image);
    let opened = Steps::open(Arc::new(disk.clone()), options, hooks());
    let (log, steps, found) = opened.map_err(|error| format!("does not open: {error}"))?;
    let served = check(&log, promised, calls)?;
    if found.lost_files {
        return Err("a crash takes no files away".to_owned());
    }
    let mut driver = Driver {
        disk,
        log,
        steps,
        waiting: Vec::new(),
        promised: Promised::default(),
        next: [0; 3],
        failed: 0,
    };
    // Numbers of its own, so that an offset used twice is seen.
    for (stream, partitions) in STREAMS {
        if driver.log.stream(stream).is_some() {
            for partition in 0..partitions {
                driver.next[slot(stream, partition)] = base;
                driver.append(stream, partition, 2);
            }
        }
    }
    while driver.steps.commit() {}
    driver.hear();
    // What was passed over for safety is no gap for who reads on, from what there was to what came.
    check(&driver.log, &Promised::default(), 0)?;
    for new in &driver.promised.acked {
        let before = served[new.slot].last();
        if before.is_some_and(|(offset, _)| *offset >= new.offset) {
            return Err(format!("offset used twice: {new:?} after {before:?}"));
        }
    }
    if driver.promised.acked.len() != driver.log.streams().iter().map(|s| s.partitions() as usize * 2).sum::<usize>() {
        return Err("it does not take records".to_owned());
    }
    if let Some(last) = served[2].last() {
        driver.repeat(last.1);
        while driver.steps.commit() {}
        driver.hear();
        let place = driver.promised.acked.pop().map(|acked| acked.offset);
        if place != Some(last.0) {
            return Err(format!("{last:?} was stored again at {place:?}"));
        }
    }
    Ok((driver, served, found.slow))
}
