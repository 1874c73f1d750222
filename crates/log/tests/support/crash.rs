//! Drives a log on a recorded disk by a seed, and checks what every power cut leaves behind.
#![allow(dead_code, reason = "each test binary uses its part")]
use crate::support::{MANY, entry};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{
    endpoint::Start,
    error::Result,
    receipt::{Kept, Level, Receipt},
};
use tidegate_log::{
    Hooks, Internal, Log, Options, Sabotage, StreamSpec,
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
/// A running log and what it promised.
pub struct Driver {
    pub disk: Recorded,
    pub log: Log,
    pub steps: Steps,
    waiting: Vec<Waiting>,
    pub acked: Vec<Acked>,
    /// Calls after which a stream was there.
    pub created: Vec<(usize, &'static str)>,
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
            acked: Vec::new(),
            created: Vec::new(),
            next: [0; 3],
            failed: 0,
        }
    }
    pub fn create(&mut self) {
        for (name, partitions) in STREAMS {
            let spec = StreamSpec {
                partitions,
                dedupe: Duration::ZERO,
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
            self.created.push((self.disk.calls(), name));
        }
    }
    pub fn append(&mut self, stream: &'static str, partition: u32, count: u32) {
        let held = self.log.stream(stream).unwrap();
        let slot = slot(stream, partition);
        let first = self.next[slot];
        self.next[slot] += u64::from(count);
        let batch = (0..count).map(|i| entry(i, &held, partition, payload(slot, first + u64::from(i))));
        match poll(self.log.append(batch.collect(), Level::Stored)) {
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
                let position = verdict.result.unwrap()[0];
                self.acked.push(Acked {
                    calls,
                    slot: waiting.slot,
                    offset: position.offset as u64,
                    counter: waiting.first + u64::from(verdict.item),
                });
            }
        }
        self.waiting = still;
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
                _ => self.hear(),
            }
        }
    }
}

/// What was served: per partition, offset and counter.
pub type Served = [Vec<(u64, u64)>; 3];

/// All there is, and how many gaps.
pub fn serve(log: &Log) -> Result<(Served, usize), String> {
    let (mut served, mut gaps) = (Served::default(), 0);
    for stream in log.streams() {
        let mut reader = log.reader(&stream, Start::Earliest).unwrap();
        loop {
            let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
            if chunk.is_empty() {
                break;
            }
            gaps += usize::from(chunk.gap.is_some());
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
pub fn check(log: &Log, acked: &[Acked], created: &[(usize, &'static str)], calls: usize) -> Result<Served, String> {
    for (_, name) in created.iter().filter(|(at, _)| *at <= calls) {
        if log.stream(name).is_none() {
            return Err(format!("the stream {name} is lost"));
        }
    }
    let (served, gaps) = serve(log)?;
    if gaps > 0 {
        return Err(format!("{gaps} gaps without damage"));
    }
    for (home, records) in served.iter().enumerate() {
        if let Some(pair) = records.windows(2).find(|pair| pair[0].0 >= pair[1].0 || pair[0].1 >= pair[1].1) {
            return Err(format!("{home:?} out of order: {pair:?}"));
        }
    }
    for acked in acked.iter().filter(|acked| acked.calls <= calls) {
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
pub fn recover(
    image: &Image,
    options: &Options,
    acked: &[Acked],
    created: &[(usize, &'static str)],
    calls: usize,
    base: u64,
) -> Result<(Driver, Served, bool), String> {
    let disk = Recorded::from_image(image);
    let opened = Steps::open(Arc::new(disk.clone()), options, hooks());
    let (log, steps, found) = opened.map_err(|error| format!("does not open: {error}"))?;
    let served = check(&log, acked, created, calls)?;
    let mut driver = Driver {
        disk,
        log,
        steps,
        waiting: Vec::new(),
        acked: Vec::new(),
        created: Vec::new(),
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
    for new in &driver.acked {
        let before = served[new.slot].last();
        if before.is_some_and(|(offset, _)| *offset >= new.offset) {
            return Err(format!("offset used twice: {new:?} after {before:?}"));
        }
    }
    if driver.acked.len() != driver.log.streams().iter().map(|s| s.partitions() as usize * 2).sum::<usize>() {
        return Err("it does not take records".to_owned());
    }
    Ok((driver, served, found.slow))
}
