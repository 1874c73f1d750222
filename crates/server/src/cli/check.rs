//! `tidegate check FILE`: everything that is wrong with a configuration.
use super::{CONFIGURATION, OK, count, misconfigured, say, tell};
use std::path::PathBuf;
use tidegate_config::{Mode, Source, load_from_process};

pub(super) fn check(files: Vec<PathBuf>, settings: &[(String, String)], json: bool) -> u8 {
    match load_from_process(Source::Files(files), settings, Mode::Run, &tidegate_endpoints::kinds()) {
        Ok(checked) => {
            if json {
                say("[]\n");
            } else {
                let (streams, apis) = (count(checked.streams.len(), "stream"), count(checked.apis.len(), "api"));
                tell(&format!("ok: {streams}, {apis}\n"));
            }
            OK
        }
        Err(report) if json => {
            let mut text = serde_json::to_string_pretty(&report.diagnostics).unwrap_or_default();
            text.push('\n');
            say(&text);
            CONFIGURATION
        }
        Err(report) => misconfigured(&report),
    }
}
