//! What the repository does to itself: checks that no compiler makes, generated pages, tools for the tests.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]
#![allow(
    clippy::disallowed_methods,
    reason = "reads and writes the repository, and is not part of the product"
)]

mod autobahn;
mod bench;
mod check;
mod docs;
mod repository;
mod tools;

use repository::Repository;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check           crate edges, wrappers, file lengths, promises, error pages, test habits, doubled crates, generated pages
  docs [--check]  writes docs/reference from the code; --check only says whether it is current
  bench [NAMES]   interleaved rounds of a bare control and Tidegate; ROUNDS and SECONDS in the environment; writes docs/benchmarks.md
  autobahn        the Autobahn WebSocket suite against crates/wire; installs it first, with Python 2.7 of the path or of pyenv
  tools           installs what tests and benches need and is missing

exit codes: 0 ok, 1 something was found or failed, 2 usage";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let repository = Repository::here();
    let done = match words.as_slice() {
        ["check"] => check::run(&repository),
        ["docs"] => docs::write(&repository),
        ["docs", "--check"] => docs::check(&repository),
        ["autobahn"] => autobahn::run(&repository),
        ["tools"] => tools::install(),
        ["bench", scenarios @ ..] => bench::run(&repository, scenarios),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
