//! Reads files and the environment; the only place that touches either.
use crate::{Checked, Report};
use std::path::PathBuf;
use tidegate_core::check::Kind;

/// Where declarations come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files, or folders with `*.yaml`, `*.yml`, `*.json` in them. A document without `kind` is the node's settings: at most one.
    Files(Vec<PathBuf>),
    /// Name and text of each. Nothing is read from the disk.
    Texts(Vec<(String, String)>),
}
/// How strict it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For trying out: plans may be left out.
    Dev,
    /// For production.
    Run,
}

/// Reads, checks, tells all errors at once. `environment` is only asked for `${env:NAME}` and `TIDEGATE__A__B`;
/// `overrides` are flags: a path such as `limits.body` and its value, stronger than the environment, which is stronger than files.
/// `kinds` are the endpoint types there are.
pub fn load(
    source: Source,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
    mode: Mode,
    kinds: &[Kind],
) -> Result<Checked, Report> {
    let _ = (source, environment.into_iter().count(), overrides, mode, kinds);
    Err(Report {
        diagnostics: Vec::new(),
        sources: crate::Sources::default(),
    })
}
/// [`load`] with the environment of this process.
pub fn load_from_process(source: Source, overrides: &[(String, String)], mode: Mode, kinds: &[Kind]) -> Result<Checked, Report> {
    // A variable that is not UTF-8 cannot be named in a file either.
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load(source, environment, overrides, mode, kinds)
}
