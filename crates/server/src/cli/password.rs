//! A password is asked for without showing it, and only its hash goes on.
use super::{failure::Failure, tell};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Read, Stdin};

/// Nobody types more; a file that was taken for a password is.
const LONGEST: u64 = 4_096;

/// Twice on a terminal, or one line of standard input.
pub(super) fn ask(from_input: bool) -> Result<String, Failure> {
    let password = if from_input {
        line()?
    } else if std::io::stdin().is_terminal() {
        let first = hidden("password: ")?;
        if hidden("again: ")? != first {
            return Err(Failure::command("the passwords differ; nothing was changed"));
        }
        first
    } else {
        let hint = "`--password-stdin` takes it from standard input";
        return Err(Failure::command("there is no terminal to ask for the password").hint(hint));
    };
    if password.is_empty() {
        return Err(Failure::command("the password is empty; nothing was changed"));
    }
    Ok(password)
}
fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LONGEST).read_line(&mut line);
    read.map_err(|error| Failure::command(format!("the password cannot be read: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
fn hidden(prompt: &str) -> Result<String, Failure> {
    tell(prompt);
    let silent = Silent::start(std::io::stdin());
    let line = line();
    drop(silent);
    tell("\n");
    line
}
/// No echo while it lives.
struct Silent(Stdin, Option<Termios>);
impl Silent {
    fn start(input: Stdin) -> Self {
        let before = tcgetattr(&input).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            // A terminal that echoes all the same is what its user sees.
            let _kept = tcsetattr(&input, OptionalActions::Flush, &modes);
        }
        Self(input, before)
    }
}
impl Drop for Silent {
    fn drop(&mut self) {
        if let Some(before) = &self.1 {
            let _kept = tcsetattr(&self.0, OptionalActions::Now, before);
        }
    }
}
