//! Promise 2 with a real process on a real disk: killed at any moment, it lost nothing that it acknowledged.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, reason = "a test")]
mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};
use support::{drain, entry, small, store, try_open};
use tidegate_core::endpoint::Start;
use tidegate_log::StreamSpec;

/// Not a test of its own: the process that is killed. It publishes in its working folder and prints what was acknowledged.
#[tokio::test]
#[ignore = "started and killed by the other test"]
async fn child() {
    let folder = std::env::current_dir().unwrap();
    if !folder.join("victim").exists() {
        return;
    }
    let (log, found) = try_open(&folder, small()).unwrap();
    assert!(!found.slow && found.damaged == 0, "{found:?}");
    let stream = match log.stream("orders") {
        Some(stream) => stream,
        None => log.create_stream("orders", StreamSpec::default()).await.unwrap(),
    };
    for i in 0u64.. {
        let payload = format!("{}-{i}-{:x>2$}", std::process::id(), "", (i * 37 % 900) as usize);
        let kept = store(&log, vec![entry(0, &stream, 0, payload.clone())]).await.unwrap();
        println!("acked {} {payload}", kept.places[0].spans[0].first);
    }
}
#[tokio::test]
async fn p02_a_killed_process_lost_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("victim")).unwrap();
    let mut acked: Vec<(u128, String)> = Vec::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let before = acked.len();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some((offset, payload)) = line.find("acked ").and_then(|at| line.get(at + 6..)?.split_once(' ')) {
                acked.push((offset.parse().unwrap(), payload.to_owned()));
            }
            if acked.len() == before + 100 + 60 * round {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success(), "it was killed");
        assert!(acked.len() > before + 50, "it got going");
    }
    // The line that was being printed when the process died is not a whole payload.
    let whole = |payload: &str| {
        let (head, fill) = payload.rsplit_once('-')?;
        let number: u64 = head.split_once('-')?.1.parse().ok()?;
        (fill.len() as u64 == number * 37 % 900).then_some(())
    };
    acked.retain(|(_, payload)| whole(payload).is_some());
    let (log, found) = try_open(folder.path(), small()).unwrap();
    assert!(!found.slow && found.damaged == 0, "{found:?}");
    let stream = log.stream("orders").unwrap();
    let mut reader = log.reader(&stream, Start::Earliest).unwrap();
    let mut all = std::collections::HashMap::new();
    loop {
        let chunk = reader.ready(support::MANY).await.unwrap().unwrap();
        if chunk.is_empty() {
            break;
        }
        assert!(chunk.gap.is_none());
        all.extend(chunk.items.iter().map(|(p, m)| (p.offset, m.payload.clone())));
    }
    for (offset, payload) in &acked {
        assert_eq!(all.get(offset).map(|p| &p[..]), Some(payload.as_bytes()), "offset {offset}");
    }
    assert!(drain(&mut log.reader(&stream, Start::Latest).unwrap()).await.is_empty());
    log.close().await;
}
