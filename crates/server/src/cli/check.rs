//! `tidegate check FILE`: everything that is wrong with a configuration.
use super::{CONFIGURATION, OK, Output, count, failure::Failure, misconfigured, show, tell};
use crate::secrets::certificates::unusable;
use serde_json::json;
use std::path::PathBuf;
use tidegate_config::{Checked, Grants, Mode, Source, load_from_process};
use tidegate_control::access::refuse_published;
use tidegate_core::error::Error;

pub(super) fn check(files: Vec<PathBuf>, settings: &[(String, String)], output: Output) -> u8 {
    match load_from_process(Source::Files(files), settings, Mode::Run, &crate::schemas::kinds()) {
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
        Err(report) if output != Output::Table => {
            show(&serde_json::to_value(&report.diagnostics).unwrap_or_default(), output);
            CONFIGURATION
        }
        Err(report) => misconfigured(&report),
    }
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
