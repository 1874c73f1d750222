//! `cargo xtask autobahn`: the Autobahn test suite against the echo server over `crates/wire`. Every case must be kept strictly.
mod echo;
mod python;
mod verdict;

use crate::repository::Repository;
use echo::Echo;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};
use verdict::Verdict;

/// Cases 12 and 13 are about compression, which is not offered.
const EXCLUDED: &[&str] = &["12.*", "13.*"];
/// What the other groups of the suite hold, so that one left out is seen.
const CASES: usize = 301;

pub(crate) fn run(repository: &Repository) -> Result<(), String> {
    let suite = python::suite(repository)?;
    let echo = Echo::start(repository)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    println!("running {CASES} cases against {}", echo.address);
    let index = test(&suite, &echo.address, folder.path());
    drop(echo);
    let verdict = index.map(|index| Verdict::new(&index, CASES));
    match verdict {
        Ok(verdict) => {
            print!("{verdict}");
            if verdict.is_good() {
                return Ok(());
            }
            Err(format!("failed; each case is told in {}", folder.keep().display()))
        }
        Err(error) => Err(format!("{error}; what the suite said is in {}", folder.keep().display())),
    }
}
/// The index of the reports, which are written to the folder.
fn test(suite: &Path, address: &str, folder: &Path) -> Result<Value, String> {
    let text = |error: std::io::Error| error.to_string();
    let spec = json!({
        "outdir": folder,
        "servers": [{ "agent": "tidegate", "url": format!("ws://{address}") }],
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {},
    });
    fs::write(folder.join("spec.json"), spec.to_string()).map_err(text)?;
    let log = File::create(folder.join("wstest.log")).map_err(text)?;
    let status = Command::new(suite)
        .args(["-m", "fuzzingclient", "-s", "spec.json"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(log.try_clone().map_err(text)?)
        .stdout(log)
        .status()
        .map_err(|error| format!("{}: {error}", suite.display()))?;
    if !status.success() {
        return Err(format!("wstest: {status}"));
    }
    let index = fs::read(folder.join("index.json")).map_err(|error| format!("index.json: {error}"))?;
    serde_json::from_slice(&index).map_err(|error| format!("index.json: {error}"))
}
