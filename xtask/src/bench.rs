//! `cargo xtask bench`: interleaved rounds of a bare control and Tidegate on this machine. Only ratios of one run count.
mod changes;
mod crowd;
mod load;
mod machine;
mod peers;
mod pulls;
mod report;
mod scenarios;
mod server;
mod sink;
mod stations;
mod streams;
mod turns;
mod webhooks;

use crate::repository::Repository;
use report::Row;
use scenarios::{SCENARIOS, Scenario};
use std::{path::PathBuf, process::Command};

/// What every scenario runs with.
pub(crate) struct Bench {
    /// The repository.
    pub(crate) root: PathBuf,
    /// The release binary.
    pub(crate) tidegate: PathBuf,
    /// The bare control.
    pub(crate) bare: PathBuf,
    /// A hyper client that only sends.
    pub(crate) hclient: PathBuf,
    /// HTTP in, a log, HTTP out.
    pub(crate) pipe: PathBuf,
    /// The library that slows `fdatasync`.
    pub(crate) slow_sync: PathBuf,
    /// Interleaved rounds.
    pub(crate) rounds: usize,
    /// Seconds of load each.
    pub(crate) seconds: u32,
}

pub(crate) fn run(repository: &Repository, words: &[&str]) -> Result<(), String> {
    let wanted: Vec<&Scenario> = match words {
        [] => SCENARIOS.iter().collect(),
        names => {
            let find = |name: &&str| SCENARIOS.iter().find(|scenario| scenario.name == *name);
            names
                .iter()
                .map(|name| find(name).ok_or_else(|| unknown(name)))
                .collect::<Result<_, _>>()?
        }
    };
    let number = |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let bench = build(repository, number("ROUNDS", 5), number("SECONDS", 4) as u32)?;
    let mut rows: Vec<Row> = Vec::new();
    for scenario in wanted {
        println!("== {}: {}", scenario.name, scenario.about);
        for row in (scenario.run)(&bench)? {
            println!("   {row}");
            rows.push(row);
        }
    }
    report::write(repository, &rows)
}
fn unknown(name: &str) -> String {
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    format!("there is no scenario `{name}`; there are {}", names.join(", "))
}
/// Release builds of both, and the preloaded library.
fn build(repository: &Repository, rounds: usize, seconds: u32) -> Result<Bench, String> {
    let root = repository.root.clone();
    let controls = root.join("benches/controls");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let made = target.join("bench");
    std::fs::create_dir_all(&made).map_err(|error| error.to_string())?;
    done(
        Command::new("cargo")
            .args(["build", "--release", "--bin", "tidegate"])
            .current_dir(&root),
    )?;
    done(
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--bin",
                "bare",
                "--bin",
                "peerfan",
                "--bin",
                "upgrade",
                "--bin",
                "hclient",
                "--bin",
                "pipe",
                "--target-dir",
            ])
            .arg(&made)
            .current_dir(&controls),
    )?;
    let slow_sync = made.join("slow_sync.so");
    done(
        Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&slow_sync)
            .arg(root.join("benches/slow_sync.c"))
            .arg("-ldl"),
    )?;
    Ok(Bench {
        tidegate: target.join("release/tidegate"),
        bare: made.join("release/bare"),
        hclient: made.join("release/hclient"),
        pipe: made.join("release/pipe"),
        slow_sync,
        root,
        rounds,
        seconds,
    })
}
fn done(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed"))
    }
}
