//! `tidegate check FILE`: everything that is wrong with a configuration.
use super::{CONFIGURATION, OK, Output, apply, count, failure::Failure, misconfigured, show, tell};
use crate::secrets::certificates::unusable;
use serde_json::json;
use std::path::{Path, PathBuf};
use tidegate_config::{Checked, Grants, Mode, Report, Source, load_from_process};
use tidegate_control::access::refuse_published;
use tidegate_core::error::{Code, Error};

/// What is read where nobody names another.
const HERE: &str = "tidegate.yaml";

/// `kept`: what a node exported, whose secrets it keeps.
pub(super) fn check(files: Vec<PathBuf>, kept: bool, settings: &[(String, String)], output: Output) -> u8 {
    let source = match source(files) {
        Ok(source) => source,
        Err(failure) => return failure.tell(),
    };
    let checked = load_from_process(source, settings, Mode::Run, &crate::schemas::kinds());
    let mut secrets = 0;
    let checked = checked.map_err(|mut report| {
        secrets = if kept { report.allow_kept_secrets() } else { 0 };
        where_it_looked(report, "check")
    });
    match checked {
        Ok(checked) => {
            let mut wrong = unusable(&checked.node.listeners);
            wrong.extend(refuse_published(&checked.users).err());
            if !wrong.is_empty() && output != Output::Table {
                let told = |error: &Error| json!({"code": error.code().to_string(), "message": error.to_string(), "hint": error.hint()});
                show(&wrong.iter().map(told).collect(), output);
                return CONFIGURATION;
            }
            if !wrong.is_empty() {
                for error in wrong {
                    let _exit = Failure::from(error).tell();
                }
                return CONFIGURATION;
            }
            if output == Output::Table {
                tell(&format!("ok: {}\n", counted(&checked)));
                for (token, user) in homeless(&checked) {
                    tell(&format!(
                        "note: token {token} opens nothing: user {user} is not declared here; it does where a node has the user\n"
                    ));
                }
            } else {
                show(&serde_json::json!([]), output);
            }
            OK
        }
        Err(report) if secrets > 0 && report.diagnostics.is_empty() => {
            if output == Output::Table {
                tell(&format!("ok: with {} that the node keeps\n", count(secrets, "secret")));
            } else {
                show(&json!([]), output);
            }
            OK
        }
        Err(report) if output != Output::Table => {
            show(&serde_json::to_value(&report.diagnostics).unwrap_or_default(), output);
            CONFIGURATION
        }
        Err(report) => misconfigured(&report),
    }
}
/// Files and folders, or what comes on standard input.
fn source(files: Vec<PathBuf>) -> Result<Source, Failure> {
    let input = files.iter().filter(|path| path.as_os_str() == "-").count();
    match (input, files.len()) {
        (0, _) => Ok(Source::Files(files)),
        (1, 1) => Ok(Source::Texts(vec![("stdin".to_owned(), apply::input()?)])),
        _ => Err(Failure::command("standard input is checked alone").hint("name files or `-`, not both")),
    }
}
/// Whoever begins in another folder, or before there is anything, is told so.
pub(crate) fn where_it_looked(mut report: Report, verb: &str) -> Report {
    let nothing = |file: &str| file == HERE && !Path::new(file).exists();
    let folder = std::env::current_dir().map_or_else(|_| "this folder".to_owned(), |folder| format!("`{}`", folder.display()));
    for diagnostic in &mut report.diagnostics {
        if diagnostic.code == Code::Unreadable && diagnostic.hint.is_none() && nothing(&diagnostic.file) {
            let hint = format!("it was looked for in {folder}: `tidegate init` writes one, `tidegate {verb} FILE` takes another");
            diagnostic.hint = Some(hint);
        }
    }
    report
}
/// Streams and apis in any case, of everything else what is there.
fn counted(checked: &Checked) -> String {
    let more = [
        (checked.endpoints.len(), "endpoint"),
        (checked.webhooks.len(), "webhook"),
        (checked.schemas.len(), "schema"),
        (checked.users.len(), "user"),
        (checked.tokens.len(), "token"),
    ];
    let all = [(checked.streams.len(), "stream"), (checked.apis.len(), "api")].into_iter();
    let all = all.chain(more.into_iter().filter(|(number, _)| *number > 0));
    all.map(|(number, what)| count(number, what)).collect::<Vec<_>>().join(", ")
}
/// Access keys whose user these files do not declare.
fn homeless(checked: &Checked) -> Vec<(&str, &str)> {
    let known = |user: &str| checked.users.iter().any(|known| *known.name == *user);
    let named = checked.tokens.iter().filter_map(|token| match &token.grants {
        Grants::User(user) if !known(user) => Some((&*token.name, &**user)),
        _ => None,
    });
    named.collect()
}
