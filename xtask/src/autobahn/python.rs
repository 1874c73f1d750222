//! The suite is a program for Python 2.7, which nothing else here needs: it is installed when it is first run.
use crate::{repository::Repository, tools};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const PYTHON: &str = "2.7.18";
const SUITE: &str = "autobahntestsuite==0.8.2";
/// The last one that makes environments for this Python.
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// The program of the suite. Its environment is made anew when the version has changed.
pub(super) fn suite(repository: &Repository) -> Result<PathBuf, String> {
    let environment = repository.root.join(tools::ENVIRONMENT).join("autobahn");
    let (program, there) = (environment.join("bin/wstest"), environment.join("installed"));
    if fs::read_to_string(&there).is_ok_and(|installed| installed == SUITE) {
        return Ok(program);
    }
    let python = python()?;
    // It makes the environment and is not needed in it.
    let maker = tempfile::tempdir().map_err(|error| error.to_string())?;
    tools::run(
        pip(&python)
            .args(["install", "--quiet", "--target"])
            .arg(maker.path())
            .arg(VIRTUALENV),
    )?;
    tools::run(
        Command::new(&python)
            .args(["-m", "virtualenv", "--quiet", "--clear"])
            .arg(&environment)
            .env("PYTHONPATH", maker.path()),
    )?;
    tools::run(pip(&environment.join("bin/python")).args(["install", "--quiet", SUITE]))?;
    fs::write(&there, SUITE).map_err(|error| format!("{}: {error}", there.display()))?;
    Ok(program)
}
/// One on the path, else pyenv's.
fn python() -> Result<PathBuf, String> {
    // A shim of pyenv is on the path even when it leads nowhere.
    let there = pip(Path::new("python2.7"))
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_ok_and(|status| status.success()) {
        return Ok("python2.7".into());
    }
    if !tools::on_path("pyenv") {
        return Err(format!(
            "{SUITE} runs on Python 2.7 only: put `python2.7` with pip on the path, or pyenv, which brings {PYTHON}"
        ));
    }
    let prefix = || Command::new("pyenv").args(["prefix", PYTHON]).output();
    let mut found = prefix().map_err(|error| format!("pyenv: {error}"))?;
    if !found.status.success() {
        tools::run(Command::new("pyenv").args(["install", PYTHON]))?;
        found = prefix().map_err(|error| format!("pyenv: {error}"))?;
    }
    let folder = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    Ok(Path::new(&folder).join("bin/python2.7"))
}
fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check"]);
    command
}
