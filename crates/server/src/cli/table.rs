//! Columns that stand below each other.

/// Rows of cells below a head; the last column is as wide as it is. What would steer a terminal is left out.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let all: Vec<Vec<String>> = std::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| clean(cell)).collect())
        .collect();
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
/// What is called how, without a head.
pub(super) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| format!("{name:width$}  {}", clean(value)));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
/// An empty cell would shift what stands behind it for whoever cuts lines by blanks.
fn clean(cell: &str) -> String {
    let cell: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if cell.is_empty() { "-".to_owned() } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [
            vec!["a".to_owned(), String::new(), "x\u{1b}[31m y".to_owned()],
            vec!["größer".to_owned(), "1".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["NAME", "N", "REST"], &rows),
            "NAME    N  REST\na       -  x [31m y\ngrößer  1  -\n"
        );
    }
}
