//! How long many APIs take to load, and how long one more takes to be live beside them.
use super::{
    Bench,
    report::Row,
    server::{Server, What},
};
use std::{fs, process::Command};

/// Changes of which the median counts.
const CHANGES: usize = 21;

pub(super) fn rows(bench: &Bench, resources: &str) -> Result<Vec<Row>, String> {
    let what = What {
        resources: Some(resources.to_owned()),
        ..What::default()
    };
    let mut starts = Vec::new();
    for _ in 1..bench.rounds {
        starts.push(Server::start(bench, &what)?.started.as_millis() as u64);
    }
    let server = Server::start(bench, &what)?;
    starts.push(server.started.as_millis() as u64);
    let token = fs::read_to_string(server.folder.path().join("tidegate-data/admin-token")).map_err(|error| error.to_string())?;
    let mut live = Vec::new();
    for i in 0..CHANGES {
        live.push(live_after(&server, token.trim(), i)?);
    }
    Ok(vec![
        row("1,000 APIs loaded: start to first answer", median(starts), 1_000),
        row("an API made beside 1,000: request to first use", median(live), 200),
    ])
}
/// Milliseconds from asking for it to an answer of its own.
fn live_after(server: &Server, token: &str, number: usize) -> Result<u64, String> {
    let body = format!("{{\"paths\":[\"/new{number}\"],\"backend\":{{\"stream\":\"t\"}},\"plans\":[\"keyless\"]}}");
    let made = format!("http://127.0.0.1:{}/api/v1/apis/new{number}", server.admin);
    let used = format!("http://127.0.0.1:{}/new{number}?wait=0s", server.port);
    let output = Command::new("curl")
        .args([
            "-sS",
            "--fail",
            "-o",
            "/dev/null",
            "-w",
            "%{time_total}\\n",
            "-X",
            "PUT",
            "-d",
            &body,
            "-H",
        ])
        .arg(format!("Authorization: Bearer {token}"))
        .args([
            made.as_str(),
            "--next",
            "-sS",
            "--fail",
            "-o",
            "/dev/null",
            "-w",
            "%{time_total}\\n",
            used.as_str(),
        ])
        .output()
        .map_err(|error| format!("curl: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let times: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    match (output.status.success(), times.as_slice()) {
        (true, [change, first]) => Ok(((change + first) * 1_000.0) as u64),
        _ => Err(format!("a change was refused: {text}{}", String::from_utf8_lossy(&output.stderr))),
    }
}
fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
fn row(name: &str, millis: u64, most: u64) -> Row {
    Row {
        name: name.to_owned(),
        control: "-".into(),
        own: format!("{millis} ms"),
        figure: format!("{millis} ms"),
        wanted: format!("{most} ms at most"),
        met: millis <= most,
    }
}
