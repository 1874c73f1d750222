//! The command line: reads arguments, says what went wrong, answers an exit code.
mod add;
mod apply;
mod audit;
mod check;
mod dead_letters;
mod doctor;
mod events;
mod explain;
mod failure;
mod init;
mod node;
mod password;
mod progress;
mod publish;
mod resources;
mod schema;
mod slips;
mod status;
mod subscribe;
mod table;
mod trace;
mod user;
mod webhook;
mod yaml;

use crate::{
    boot::Manners,
    serve::{self, Plan},
};
pub(crate) use apply::report;
pub(crate) use check::where_it_looked;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use failure::Failure;
use resources::Of;
use std::{future::Future, io::IsTerminal, path::PathBuf, process::ExitCode};
use tidegate_config::{Mode, Report, Source};
use tidegate_core::error::Error;

/// Done.
const OK: u8 = 0;
/// Something failed.
const FAILED: u8 = 1;
/// The configuration is wrong.
const CONFIGURATION: u8 = 3;
/// No node is there.
const UNREACHABLE: u8 = 4;

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
        /// Listen on all interfaces, where nothing else is said of a listener; `--set listeners.admin=[]` switches one off.
        #[arg(long)]
        expose: bool,
        #[command(flatten)]
        serve: Serve,
    },
    /// Serve a configuration: no demo, nothing implied.
    Run {
        /// Files or folders, as `check` takes them.
        #[arg(value_name = "FILE", default_value = "tidegate.yaml")]
        files: Vec<PathBuf>,
        /// The same, by name.
        #[arg(long, value_name = "FILE", conflicts_with = "files")]
        config: Option<PathBuf>,
        #[command(flatten)]
        serve: Serve,
    },
    /// Check a configuration and tell all that is wrong with it, without starting anything.
    Check {
        /// Files or folders, or `-` for standard input.
        #[arg(default_value = "tidegate.yaml", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The same, by name.
        #[arg(long, value_name = "FILE", conflicts_with = "files")]
        config: Option<PathBuf>,
        /// `***` stands for a secret that a node keeps, as `tidegate export` prints it.
        #[arg(long)]
        kept_secrets: bool,
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
    /// Publish a message to a topic.
    Pub(Box<publish::Publish>),
    /// Print what a stream or a topic has and gets.
    Sub(Box<subscribe::Subscribe>),
    /// Streams: durable logs.
    #[command(visible_alias = "station", alias = "streams")]
    Stream(Of<resources::Stream>),
    /// Schemas: what messages must look like.
    #[command(alias = "schemas")]
    Schema(Of<schema::Schema>),
    /// Apis: what clients find at a path.
    #[command(alias = "apis")]
    Api(Of<resources::Api>),
    /// Endpoints: configured connections.
    #[command(alias = "endpoints")]
    Endpoint(Of<resources::Endpoint>),
    /// Webhooks: messages sent to HTTP targets, until they are taken.
    #[command(alias = "webhooks")]
    Webhook(Of<webhook::Webhook>),
    /// Users: who logs in with a password.
    #[command(alias = "users")]
    User(Of<user::User>),
    /// Tokens: which programs may manage the node.
    #[command(alias = "tokens")]
    Token(Of<resources::Token>),
    /// Where a message is, and every attempt to deliver it.
    Trace(trace::Trace),
    /// Dead letters: messages that were given up.
    #[command(visible_alias = "dlq")]
    DeadLetters(dead_letters::DeadLetters),
    /// Make a node hold what stands in files.
    Apply(apply::Apply),
    /// Say what `apply` would change.
    Diff(apply::Diff),
    /// Print all resources of a node, as files that `apply` takes.
    Export(apply::Export),
    /// Let a node read its files again.
    Reload(status::Reload),
    /// How a node is.
    Status(status::Status),
    /// Who changed what, newest first.
    Changes(audit::Changes),
    /// What a node logs, or is to log from now on.
    LogLevel(audit::LogLevel),
    /// Look for what is wrong with a node, this machine, or an address.
    Doctor(doctor::Doctor),
    /// Say what an error code means.
    Explain {
        /// Like TG1001, or the `type` of a problem.
        code: String,
    },
    /// Print what a shell needs to complete commands.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// The version.
    Version,
}
#[derive(clap::Args)]
struct Serve {
    /// Where the data goes.
    #[arg(long, env = "TIDEGATE_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}
impl Serve {
    /// The later ones win: what somebody names is what he gets.
    fn settings(self) -> Vec<(String, String)> {
        let folder = self.data_dir.map(|dir| ("data_dir".to_owned(), dir.display().to_string()));
        folder.into_iter().chain(self.common.settings).collect()
    }
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
    Yaml,
}
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
/// Runs what was asked. Usage errors are clap's, with exit code 2.
pub(crate) fn run() -> ExitCode {
    let arguments =
        Arguments::try_parse().unwrap_or_else(|error| slips::mended(error, &std::env::args_os().skip(1).collect::<Vec<_>>()).exit());
    let code = match arguments.verb {
        Verb::Dev { expose, serve } => {
            let own: Vec<_> = ["tidegate.yaml", "resources"]
                .map(PathBuf::from)
                .into_iter()
                .filter(|path| path.exists())
                .collect();
            let demo = own.is_empty();
            serve::serve(Plan {
                source: if demo {
                    Source::Texts(demo_texts(expose))
                } else {
                    Source::Files(own)
                },
                settings: serve.settings(),
                mode: if expose { Mode::Exposed } else { Mode::Dev },
                manners: Manners {
                    next_port: true,
                    hints: true,
                    page: demo,
                },
                demo,
            })
        }
        Verb::Run { files, config, serve } => serve::serve(Plan {
            source: Source::Files(config.map_or(files, |config| vec![config])),
            settings: serve.settings(),
            mode: Mode::Run,
            manners: Manners::default(),
            demo: false,
        }),
        Verb::Check {
            files,
            config,
            kept_secrets,
            output,
            common,
        } => check::check(config.map_or(files, |config| vec![config]), kept_secrets, &common.settings, output),
        Verb::Init { folder } => init::init(&folder),
        Verb::Explain { code } => explain::explain(&code),
        Verb::Pub(publish) => at_node(publish.run()),
        Verb::Sub(subscribe) => at_node(subscribe.run()),
        Verb::Stream(streams) => at_node(streams.run()),
        Verb::Schema(schemas) => at_node(schemas.run()),
        Verb::Api(apis) => at_node(apis.run()),
        Verb::Endpoint(endpoints) => at_node(endpoints.run()),
        Verb::Webhook(webhooks) => at_node(webhooks.run()),
        Verb::Trace(trace) => at_node(trace.run()),
        Verb::User(users) => at_node(users.run()),
        Verb::Token(tokens) => at_node(tokens.run()),
        Verb::DeadLetters(letters) => at_node(letters.run()),
        Verb::Apply(apply) => at_node(apply.run()),
        Verb::Diff(diff) => at_node(diff.run()),
        Verb::Export(export) => at_node(export.run()),
        Verb::Reload(reload) => at_node(reload.run()),
        Verb::Status(status) => at_node(status.run()),
        Verb::Changes(changes) => at_node(changes.run()),
        Verb::LogLevel(level) => at_node(level.run()),
        Verb::Doctor(doctor) => at_node(doctor.run()),
        Verb::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tidegate", &mut script);
            say(&String::from_utf8_lossy(&script));
            OK
        }
        Verb::Version => {
            say(&format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
            OK
        }
    };
    ExitCode::from(code)
}
/// A command against a node, and its exit code.
fn at_node(command: impl Future<Output = Result<u8, Failure>>) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::command(format!("the program cannot start: {error}")).tell(),
    };
    let code = runtime.block_on(command).unwrap_or_else(|failure| failure.tell());
    // Somebody may still be typing.
    runtime.shutdown_background();
    code
}
/// The demo's resources, as a configuration in memory.
fn demo_texts(exposed: bool) -> Vec<(String, String)> {
    let stations = if exposed { "0.0.0.0:4444" } else { ":4444" };
    // Nobody balances load over a demo: Ctrl-C need not wait for one to look away.
    let node = format!("shutdown: {{ delay: 0ms }}\nlisteners: {{ memphis: \"{stations}\" }}\n");
    vec![
        ("tidegate.yaml".to_owned(), node),
        // As `init` calls it, and there is no such file.
        ("built-in demo.yaml".to_owned(), init::RESOURCES.to_owned()),
    ]
}
/// Data, on standard output. Whoever closed it does not want it.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _closed = std::io::stdout().write_all(text.as_bytes());
}
/// Data in a form for programs.
fn show(value: &serde_json::Value, output: Output) {
    match output {
        Output::Yaml => say(&yaml::document(value)),
        // A value of our own cannot fail to be written.
        Output::Json | Output::Table => say(&(serde_json::to_string_pretty(value).unwrap_or_default() + "\n")),
    }
}
/// Asks before what cannot be undone; where nobody can be asked, `--yes` must have been said.
fn confirm(this: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::command(format!("this {this}, for good")).hint("`--yes` does it; there is no terminal to ask on"));
    }
    tell(&format!("this {this}, for good. Go on? [y/N] "));
    let mut answer = String::new();
    let _none = std::io::stdin().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::command("nothing was changed"))
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
