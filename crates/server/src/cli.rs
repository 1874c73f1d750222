//! The command line: reads arguments, says what went wrong, answers an exit code.
mod check;
mod explain;
mod init;

use crate::{
    boot::Manners,
    serve::{self, Plan},
};
use clap::{Parser, Subcommand, ValueEnum};
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};
use tidegate_config::{Mode, Report, Source};
use tidegate_core::error::Error;

/// Done.
const OK: u8 = 0;
/// Something failed.
const FAILED: u8 = 1;
/// The configuration is wrong.
const CONFIGURATION: u8 = 3;

/// One binary between everything that speaks HTTP and everything that speaks messages.
#[derive(Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}
#[derive(Subcommand)]
enum Verb {
    /// Start here: durable in ./tidegate-data, this machine only, with a demo. Reads ./tidegate.yaml and ./resources instead, if there.
    Dev {
        /// Where the data goes.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Listen on all interfaces.
        #[arg(long)]
        expose: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Serve a configuration: no demo, nothing implied.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = "tidegate.yaml")]
        config: PathBuf,
        /// Where the data goes.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Check a configuration and tell all that is wrong with it, without starting anything.
    Check {
        /// Files or folders.
        #[arg(default_value = "tidegate.yaml", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How to tell it.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
        #[command(flatten)]
        common: Common,
    },
    /// Write the demo as files, to begin with.
    Init {
        /// The folder to write to.
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
    },
    /// Say what an error code means.
    Explain {
        /// Like TG1001.
        code: String,
    },
    /// The version.
    Version,
}
#[derive(clap::Args)]
struct Common {
    /// Set one key of tidegate.yaml, like `limits.body=1MiB`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
/// Runs what was asked. Usage errors are clap's, with exit code 2.
pub(crate) fn run() -> ExitCode {
    let code = match Arguments::parse().verb {
        Verb::Dev { data_dir, expose, common } => {
            let mut settings = common.settings;
            settings.extend(data_dir.map(|dir| ("data_dir".to_owned(), dir.display().to_string())));
            if expose {
                for (listener, port) in [("gateway", 8080), ("admin", 8084)] {
                    settings.push((format!("listeners.{listener}.address"), format!("0.0.0.0:{port}")));
                    settings.push((format!("listeners.{listener}.insecure"), "true".to_owned()));
                }
            }
            let own: Vec<_> = ["tidegate.yaml", "resources"]
                .map(PathBuf::from)
                .into_iter()
                .filter(|path| path.exists())
                .collect();
            let demo = own.is_empty();
            serve::serve(Plan {
                source: if demo { Source::Texts(demo_texts()) } else { Source::Files(own) },
                settings,
                mode: Mode::Dev,
                manners: Manners {
                    next_port: true,
                    hints: true,
                    page: demo,
                },
                demo,
            })
        }
        Verb::Run { config, data_dir, common } => {
            let mut settings = common.settings;
            settings.extend(data_dir.map(|dir| ("data_dir".to_owned(), dir.display().to_string())));
            serve::serve(Plan {
                source: Source::Files(vec![config]),
                settings,
                mode: Mode::Run,
                manners: Manners::default(),
                demo: false,
            })
        }
        Verb::Check { files, output, common } => check::check(files, &common.settings, output == Output::Json),
        Verb::Init { folder } => init::init(&folder),
        Verb::Explain { code } => explain::explain(&code),
        Verb::Version => {
            say(&format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
            OK
        }
    };
    ExitCode::from(code)
}
/// The demo's resources, as a configuration in memory.
fn demo_texts() -> Vec<(String, String)> {
    // Nobody balances load over a demo: Ctrl-C need not wait for one to look away.
    let node = "shutdown: { delay: 0ms }\n";
    vec![
        ("tidegate.yaml".to_owned(), node.to_owned()),
        ("demo.yaml".to_owned(), init::RESOURCES.to_owned()),
    ]
}
/// Data, on standard output. Whoever closed it does not want it.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _closed = std::io::stdout().write_all(text.as_bytes());
}
/// Prose, on standard error.
pub(crate) fn tell(text: &str) {
    use std::io::Write as _;
    let _closed = std::io::stderr().write_all(text.as_bytes());
}
/// Colours, unless the user or the place says no.
pub(crate) fn color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal()
}
/// `1 stream`, `2 streams`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
}
/// `error[TG5012]: …` and its hint.
pub(crate) fn failed(error: &Error) -> u8 {
    tell(&format!("error[{}]: {error}\n", error.code()));
    if let Some(hint) = error.hint() {
        tell(&format!("hint: {hint}\n"));
    }
    if (error.code() as u16) / 1000 == 5 && error.code() != tidegate_core::error::Code::CommandFailed {
        CONFIGURATION
    } else {
        FAILED
    }
}
/// A configuration with everything that is wrong with it.
pub(crate) fn misconfigured(report: &Report) -> u8 {
    tell(&report.render(color()));
    CONFIGURATION
}
