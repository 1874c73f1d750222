//! Installs what tests and benches call and no crate brings.
use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

/// Debian package, and the programs of which one must be there.
const PACKAGES: &[(&str, &[&str])] = &[
    ("curl", &["curl"]),
    ("strace", &["strace"]),
    ("python3", &["python3"]),
    ("nodejs", &["node", "nodejs"]),
    ("chromium", &["chromium", "chromium-browser", "google-chrome"]),
    ("wrk", &["wrk"]),
];
/// Checks licences, sources and bans.
const DENY: &str = "cargo-deny@0.20.2";

/// Only what is missing; nothing is upgraded.
pub(crate) fn install() -> Result<(), String> {
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(_, programs)| !programs.iter().any(|program| on_path(program)))
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        packages(&missing)?;
    }
    if !on_path("cargo-deny") {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).args(["install", "--locked", DENY]))?;
    }
    println!("all tools are there");
    Ok(())
}
fn packages(missing: &[&str]) -> Result<(), String> {
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !on_path("apt-get") {
        let names = missing.join(", ");
        return Err(format!(
            "missing: {names}; this is no Debian: install them by hand (on Debian: {by_hand})"
        ));
    }
    let apt = |arguments: &[&str]| {
        let mut command = if root() {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("apt-get");
            sudo
        };
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    if !root() && !on_path("sudo") {
        return Err(format!("missing: {}; as root: {by_hand}", missing.join(", ")));
    }
    run(&mut apt(&["update", "-q"]))?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(missing);
    run(&mut apt(&install))
}
fn root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}
fn is_program(path: &Path) -> bool {
    path.is_file()
}
fn run(command: &mut Command) -> Result<(), String> {
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
