//! Rows on the screen and in `docs/benchmarks.md`.
use super::machine;
use crate::repository::Repository;
use std::{collections::BTreeMap, fmt, fs};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(super) name: String,
    /// Of the control.
    pub(super) control: String,
    /// Of Tidegate.
    pub(super) own: String,
    /// The figure that counts.
    pub(super) figure: String,
    /// What was wanted.
    pub(super) wanted: String,
    /// Whether it is so.
    pub(super) met: bool,
}
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            control,
            own,
            figure,
            wanted,
            met,
        } = self;
        let met = if *met { "met" } else { "open" };
        write!(f, "| {name} | {control} | {own} | {figure} | {wanted} | {met} |")
    }
}
const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench [SCENARIO]`; the machine of the last run is named below, and rows it did not
measure are as an earlier run left them, some of another machine. Absolute figures of a shared machine move by a third within an hour: only ratios within one run count. Rounds of control and Tidegate take turns, 5 of 4 seconds each by default; a turn
during which other processes, or other machines on the same cores, used more than 0.15 of a core is thrown away. Figures are medians. The load (wrk) runs beside the server.

The control is `benches/controls`: a bare hyper server that answers 30 bytes; with a log it appends the body, groups commits and syncs a
preallocated file before it answers.

";
/// Rows that were measured now replace those of the same name.
pub(super) fn write(repository: &Repository, rows: &[Row]) -> Result<(), String> {
    let path = repository.root.join("docs/benchmarks.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    for line in old
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| scenario") && !line.starts_with("| --"))
    {
        let name = line.split(" | ").next().unwrap_or_default().trim_start_matches("| ").to_owned();
        table.insert(name, line.to_owned());
    }
    for row in rows {
        table.insert(row.name.clone(), row.to_string());
    }
    let mut text = format!("{HEAD}Machine: {}.\n\n", machine::describe());
    text.push_str("| scenario | control | Tidegate | figure | wanted | |\n| --- | --- | --- | --- | --- | --- |\n");
    for line in table.values() {
        text.push_str(line);
        text.push('\n');
    }
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}
