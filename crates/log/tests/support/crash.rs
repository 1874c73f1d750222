//! Drives a log on a recorded disk by a seed, and checks what every power cut leaves behind.
use crate::support::{MANY, entry};
use std::{
    collections::HashMap,
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
        journal_file: Some(2 << 10),
        tail_cache: 0,
        internal: Internal {
            salt: Some(0x9e37_79b9_7f4a_7c15),
            sabotage,
            zero_ahead: 1 << 10,
            segment_least: 1 << 10,
            segment_most: 1 << 10,
            move_window: 1 << 10,
            table_waste: 1 << 10,
            ..Internal::default()
        },
        ..Options::default()
    }
}
const STREAMS: [(&str, u32); 2] = [("a", 2), ("b", 1)];

/// Says all about a record: which one it is, and bytes that follow from that.
pub fn payload(stream: &str, partition: u32, counter: u64) -> Vec<u8> {
    let mut text = format!("{stream}/{partition}/{counter}/").into_bytes();
    let mut random = Random(counter * 7 + u64::from(partition) + 1);
    let len = random.below(300);
    text.extend((0..len).map(|_| random.below(256) as u8));
    text
}
/// Which record it is; `None`: none that was ever appended.
pub fn counter(stream: &str, partition: u32, bytes: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(bytes);
    let counter = text.split('/').nth(2)?.parse().ok()?;
    (payload(stream, partition, counter) == bytes).then_some(counter)
}

/// A record whose receipt resolved, and after how many calls.
#[derive(Clone, Debug)]
pub struct Acked {
    pub calls: usize,
    pub stream: &'static str,
    pub partition: u32,
    pub offset: u64,
    pub counter: u64,
}
struct Waiting {
    receipt: Receipt,
    stream: &'static str,
    partition: u32,
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
    next: HashMap<(&'static str, u32), u64>,
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
            next: HashMap::new(),
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
        let next = self.next.entry((stream, partition)).or_default();
        let first = *next;
        *next += u64::from(count);
        let batch = (0..count).map(|i| entry(i, &held, partition, payload(stream, partition, first + u64::from(i))));
        match poll(self.log.append(batch.collect(), Level::Stored)) {
            Some(Ok(receipt)) => self.waiting.push(Waiting {
                receipt,
                stream,
                partition,
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
                    stream: waiting.stream,
                    partition: waiting.partition,
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
                0..=3 => {
                    let (stream, partitions) = STREAMS[random.below(2) as usize];
                    let partition = random.below(u64::from(partitions)) as u32;
                    self.append(stream, partition, 1 + random.below(3) as u32);
                }
                4..=6 => drop(self.steps.commit()),
                7 => drop(self.steps.mover()),
                8 if random.below(8) == 0 => self.steps.seal(),
                _ => self.hear(),
            }
        }
    }
}

/// What was served: stream, partition, offset to counter.
pub type Served = HashMap<(String, u32), Vec<(u64, u64)>>;

/// All there is, and how many gaps.
pub fn serve(log: &Log) -> Result<(Served, usize), String> {
    let (mut served, mut gaps) = (Served::new(), 0);
    for stream in log.streams() {
        let mut reader = log.reader(&stream, Start::Earliest).unwrap();
        loop {
            let chunk = poll(reader.ready(MANY)).unwrap().unwrap().unwrap();
            if chunk.is_empty() {
                break;
            }
            gaps += usize::from(chunk.gap.is_some());
            for (position, message) in &chunk.items {
                let of = served.entry((stream.name().to_owned(), position.partition)).or_default();
                let counter = counter(stream.name(), position.partition, &message.payload);
                let counter = counter.ok_or_else(|| format!("{position} was never written"))?;
                of.push((position.offset as u64, counter));
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
    for (home, records) in &served {
        if let Some(pair) = records.windows(2).find(|pair| pair[0].0 >= pair[1].0 || pair[0].1 >= pair[1].1) {
            return Err(format!("{home:?} out of order: {pair:?}"));
        }
    }
    for acked in acked.iter().filter(|acked| acked.calls <= calls) {
        let records = served.get(&(acked.stream.to_owned(), acked.partition)).map_or(&[][..], |r| r);
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
        next: HashMap::new(),
        failed: 0,
    };
    // Numbers of its own, so that an offset used twice is seen.
    for (stream, partitions) in STREAMS {
        if driver.log.stream(stream).is_some() {
            for partition in 0..partitions {
                driver.next.insert((stream, partition), base);
                driver.append(stream, partition, 2);
            }
        }
    }
    while driver.steps.commit() {}
    driver.hear();
    for new in &driver.acked {
        let before = served
            .get(&(new.stream.to_owned(), new.partition))
            .and_then(|records| records.last());
        if before.is_some_and(|(offset, _)| *offset >= new.offset) {
            return Err(format!("offset used twice: {new:?} after {before:?}"));
        }
    }
    if driver.acked.len() != driver.log.streams().iter().map(|s| s.partitions() as usize * 2).sum::<usize>() {
        return Err("it does not take records".to_owned());
    }
    Ok((driver, served, found.slow))
}
