//! A command that was mistyped: what the parser says of it, in words of what somebody wrote and can write instead.
use super::Arguments;
use clap::{
    Arg, Command, CommandFactory,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;
use tidegate_config::suggest;

/// The error of the parser for these arguments, made to help.
pub(super) fn mended(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let mut root = Arguments::command();
    root.build();
    let command = meant(&root, arguments);
    let mut error = by_variable(error, arguments);
    unasked(&mut error, command);
    match error.kind() {
        ErrorKind::UnknownArgument => instead(&mut error, command),
        ErrorKind::InvalidSubcommand => listed(&mut error, command),
        _ => {}
    }
    error
}
/// The command that they name, as far as there is one.
fn meant<'a>(root: &'a Command, arguments: &[OsString]) -> &'a Command {
    let named = arguments.iter().take_while(|argument| *argument != "--");
    named.fold(root, |command, name| command.find_subcommand(name).unwrap_or(command))
}
/// The parser takes what a variable says for what was written, and shows its flag in the usage as if it had to be.
fn unasked(error: &mut clap::Error, command: &Command) {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else {
        return;
    };
    let said = |argument: &&Arg| argument.get_env().is_some_and(|variable| std::env::var_os(variable).is_some());
    let shown = usage.to_string();
    let rest = command
        .get_arguments()
        .filter(said)
        .fold(shown.clone(), |rest, argument| rest.replace(&format!(" {argument}"), ""));
    if rest != shown {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(StyledStr::from(rest)));
    }
}
/// What others call it, or do with it, and what it is called here.
fn instead(error: &mut clap::Error, command: &Command) {
    let Some(ContextValue::String(written)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let tip = if written == "--json" && command.get_arguments().any(|argument| argument.get_long() == Some("output")) {
        "`-o json` prints JSON".to_owned()
    } else if command.get_name() == "dev" && !written.starts_with('-') {
        format!("`tidegate run {written}` serves files; `dev` takes none")
    } else if let Some(flag) = behind(command, written) {
        // It was written before the command that knows it.
        let called = command.get_bin_name().unwrap_or_default();
        format!("it stands behind the command: `{called} {flag}`")
    } else {
        return;
    };
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
}
/// A flag of this command, as it is written.
fn behind(command: &Command, written: &str) -> Option<String> {
    let known = |argument: &&Arg| argument.get_long().is_some_and(|long| written.strip_prefix("--") == Some(long));
    let argument = command.get_arguments().find(known)?;
    let value = argument.get_value_names().filter(|_| argument.get_action().takes_values());
    let value = value.and_then(<[_]>::first).map(|name| format!(" {name}")).unwrap_or_default();
    Some(format!("{written}{value}"))
}
/// Only names that the help lists, the nearest first.
fn listed(error: &mut clap::Error, command: &Command) {
    let (Some(ContextValue::String(written)), Some(similar)) = (
        error.get(ContextKind::InvalidSubcommand),
        error.get(ContextKind::SuggestedSubcommand),
    ) else {
        return;
    };
    let similar = match similar {
        ContextValue::String(one) => std::slice::from_ref(one),
        ContextValue::Strings(all) => all,
        _ => return,
    };
    let shown = |name: &str| {
        let below = command.find_subcommand(name)?;
        let alias = below.get_visible_aliases().find(|alias| *alias == name);
        Some(alias.unwrap_or(below.get_name()).to_owned())
    };
    let mut names: Vec<String> = Vec::new();
    // The parser has the most similar one at the end.
    for name in similar.iter().rev().filter_map(|name| shown(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let nearest = suggest(written, names.iter().map(String::as_str)).map(str::to_owned);
    names.sort_by_key(|name| nearest.as_ref() != Some(name));
    error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
}
/// The parser says what is wrong with a variable in words of the flag that it stands for, which nobody wrote.
fn by_variable(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    // `--data-dir <DIR>`
    let flag = flag.split(' ').next().unwrap_or_default().to_owned();
    let written = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument
            .strip_prefix(&*flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let variable = flag.strip_prefix("--").and_then(|long| variable(&Arguments::command(), long));
    if let Some(variable) = variable.filter(|variable| std::env::var_os(variable).is_some() && !arguments.iter().any(written)) {
        let told = format!("the variable {variable}");
        error.insert(ContextKind::InvalidArg, ContextValue::String(told));
    }
    error
}
/// Which one stands for a flag of a command or of one below it.
fn variable(command: &Command, long: &str) -> Option<String> {
    let own = command.get_arguments().find(|argument| argument.get_long() == Some(long));
    let own = own.and_then(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()));
    own.or_else(|| command.get_subcommands().find_map(|below| variable(below, long)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn said(line: &str) -> String {
        let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
        let whole = [OsString::from("tidegate")].into_iter().chain(arguments.iter().cloned());
        let error = Arguments::try_parse_from(whole).err().unwrap();
        mended(error, &arguments).to_string()
    }
    #[test]
    fn every_command_is_well_formed() {
        Arguments::command().debug_assert();
    }
    #[test]
    fn a_flag_before_its_command_is_told_where_it_stands() {
        for (line, tip) in [
            (
                "--token X stream ls",
                "it stands behind the command: `tidegate stream ls --token TOKEN`",
            ),
            (
                "--node localhost:1 dlq ls",
                "it stands behind the command: `tidegate dead-letters ls --node URL`",
            ),
            ("--token X export", "it stands behind the command: `tidegate export --token TOKEN`"),
        ] {
            assert!(said(line).contains(&format!("tip: {tip}\n")), "{line}: {}", said(line));
        }
    }
    #[test]
    fn what_is_mistyped_is_guessed_from_what_is_listed() {
        for (line, tip) in [
            ("chek", "some similar subcommands exist: 'check', 'schema'"),
            ("strem ls", "some similar subcommands exist: 'stream', 'trace', 'schema'"),
            ("webhok", "a similar subcommand exists: 'webhook'"),
            ("statoin", "some similar subcommands exist: 'station', 'status'"),
        ] {
            assert!(said(line).contains(&format!("tip: {tip}\n")), "{line}: {}", said(line));
        }
    }
    #[test]
    fn what_is_not_taken_is_told_with_what_is() {
        for line in ["status --json", "stream ls --json", "pub a b --json", "check --json"] {
            let said = said(line);
            assert!(said.contains("tip: `-o json` prints JSON\n") && !said.contains("to pass"), "{said}");
        }
        assert!(!said("dev --json").contains("-o json"));
        assert!(said("dev a.yaml").contains("tip: `tidegate run a.yaml` serves files; `dev` takes none\n"));
        assert!(!said("run --nothing").contains("tidegate run --nothing"));
    }
}
