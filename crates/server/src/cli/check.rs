//! `tidegate check FILE`: everything that is wrong with a configuration.
use super::{CONFIGURATION, OK, Output, count, misconfigured, show, tell};
use std::path::PathBuf;
use tidegate_config::{Mode, Source, load_from_process};

pub(super) fn check(files: Vec<PathBuf>, settings: &[(String, String)], output: Output) -> u8 {
    match load_from_process(Source::Files(files), settings, Mode::Run, &tidegate_endpoints::kinds()) {
        Ok(checked) => {
            if output == Output::Table {
                let (streams, apis) = (count(checked.streams.len(), "stream"), count(checked.apis.len(), "api"));
                tell(&format!("ok: {streams}, {apis}\n"));
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
