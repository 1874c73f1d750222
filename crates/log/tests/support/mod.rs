//! A log on a temporary folder or any other disk, with its tasks running.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test binary uses its part"
)]
use std::sync::Arc;
use tidegate_core::{
    endpoint::Limit,
    error::Result,
    message::Message,
    receipt::{Kept, Level, Receipt},
};
use tidegate_log::{
    Append, Chunk, Error, Found, Hooks, Log, Options, Reader, Stream, StreamSpec,
    disk::{Disk, Real},
};

pub const MANY: Limit = Limit {
    messages: 10_000,
    bytes: 64 << 20,
};

/// Lets the log's tasks and threads go on.
pub async fn turn() {
    tokio::task::yield_now().await;
    std::thread::yield_now();
}
pub fn hooks() -> Hooks {
    Hooks {
        on_committed: Box::new(|_| {}),
        run_blocking: Box::new(|work| drop(tokio::task::spawn_blocking(work))),
    }
}
pub fn small() -> Options {
    Options {
        journal_file: Some(64 << 10),
        ..Options::default()
    }
}
/// A child holds copies of all files, locks included, between its fork and its exec: no log is opened meanwhile.
pub static FORKING: std::sync::RwLock<()> = std::sync::RwLock::new(());
/// Runs it to its end.
pub fn run(command: &mut std::process::Command) -> bool {
    let _nobody_opens = FORKING.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    command.status().is_ok_and(|status| status.success())
}
pub fn try_open_on(disk: Arc<dyn Disk>, options: Options) -> Result<(Arc<Log>, Found), Error> {
    let _nobody_forks = FORKING.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let opened = Log::open(disk, options, hooks())?;
    drop(tokio::task::spawn(opened.herald));
    drop(tokio::task::spawn(opened.clock));
    Ok((opened.log, opened.found))
}
pub fn try_open(folder: &std::path::Path, options: Options) -> Result<(Arc<Log>, Found), Error> {
    try_open_on(Arc::new(Real::new(folder)), options)
}
pub fn open(folder: &std::path::Path) -> Arc<Log> {
    try_open(folder, small()).unwrap().0
}
/// One record to append, as a test holds it.
#[derive(Clone)]
pub struct Entry {
    pub item: u32,
    pub stream: Arc<Stream>,
    pub partition: u32,
    pub message: Message,
    pub scope: u64,
}
pub async fn append(log: &Log, entries: Vec<Entry>, level: Level) -> Result<Receipt> {
    let bytes = entries.iter().map(|entry| Append::size(&entry.message)).sum();
    let mut append = log.append(level, bytes).await?;
    for entry in &entries {
        append.add(tidegate_log::Entry {
            item: entry.item,
            stream: &entry.stream,
            partition: entry.partition,
            message: &entry.message,
            scope: entry.scope,
        });
    }
    append.send()
}
pub fn entry(item: u32, stream: &Arc<Stream>, partition: u32, payload: impl Into<bytes::Bytes>) -> Entry {
    Entry {
        item,
        stream: stream.clone(),
        partition,
        message: Message::new(stream.name().into(), payload),
        scope: 1,
    }
}
pub fn entries(stream: &Arc<Stream>, payloads: impl IntoIterator<Item = String>) -> Vec<Entry> {
    let all = payloads.into_iter().enumerate();
    all.map(|(i, payload)| entry(i as u32, stream, 0, payload)).collect()
}
pub async fn store(log: &Log, entries: Vec<Entry>) -> Result<Kept> {
    append(log, entries, Level::Stored).await?.await
}
pub async fn one(log: &Log) -> Arc<Stream> {
    log.create_stream("orders", StreamSpec::default()).await.unwrap()
}
pub fn payloads(chunk: &Chunk) -> Vec<String> {
    let text = |m: &Arc<Message>| String::from_utf8(m.payload.to_vec()).unwrap();
    chunk.items.iter().map(|(_, m)| text(m)).collect()
}
/// All there is from the reader's place, without waiting: payloads, and gaps as text.
pub async fn drain(reader: &mut Reader) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let chunk = reader.ready(MANY).await.unwrap().unwrap();
        if chunk.is_empty() {
            return all;
        }
        if let Some(gap) = &chunk.gap {
            all.push(format!("gap {} {} {:?}", gap.from, gap.to, gap.reason));
        }
        all.extend(payloads(&chunk));
    }
}
