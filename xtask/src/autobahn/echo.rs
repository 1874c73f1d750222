//! The server under test: `crates/wire/examples/echo.rs`, on a free port, ended by its pid.
use crate::repository::Repository;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

pub(super) struct Echo {
    child: Child,
    /// Where it listens.
    pub(super) address: String,
}
impl Echo {
    /// Builds a release of it first.
    pub(super) fn start(repository: &Repository) -> Result<Self, String> {
        let program = build(repository)?;
        let child = Command::new(&program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let mut echo = Self {
            child,
            address: String::new(),
        };
        let mut line = String::new();
        if let Some(stdout) = echo.child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|error| format!("{program}: {error}"))?;
        }
        line.trim().clone_into(&mut echo.address);
        if echo.address.is_empty() {
            return Err(format!("{program} does not listen"));
        }
        Ok(echo)
    }
}
impl Drop for Echo {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
/// Where cargo put it.
fn build(repository: &Repository) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked", "-p", "tidegate-wire", "--example", "echo"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(&repository.root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo build: {error}"))?;
    if !output.status.success() {
        return Err("`cargo build --example echo` failed".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    program(&messages).ok_or_else(|| "cargo does not say where it put the example".to_owned())
}
/// Of the messages, one in a line, the artifact that can be run.
fn program(messages: &str) -> Option<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "echo")
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_executable_of_the_example() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"bytes"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"build-script"},"executable":"a/build"}
no message
{"reason":"compiler-artifact","target":{"name":"echo"},"executable":"a/echo"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(program(messages), Some("a/echo".to_owned()));
        assert_eq!(program(""), None);
    }
}
