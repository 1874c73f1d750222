//! Errors for a terminal: the line they are on, carets below it, what to do; in the end how many there are.
use crate::diagnostic::{Diagnostic, Sources, Text};
use std::{collections::BTreeSet, fmt::Write};

/// What of a long line is shown before the carets, and in all.
const BEFORE: usize = 60;
const WINDOW: usize = 140;

/// All errors, and the line `3 errors in 2 files; nothing was changed`. `color`: ANSI codes, for a terminal that wants them.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let paint = Paint(color);
    let mut out = String::new();
    for diagnostic in diagnostics {
        one(&mut out, diagnostic, sources, paint);
        out.push('\n');
    }
    let files: BTreeSet<_> = diagnostics.iter().map(|d| &d.file).collect();
    let many = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let _never = writeln!(
        out,
        "{} in {}; nothing was changed",
        many(diagnostics.len(), "error"),
        many(files.len(), "file")
    );
    out
}

#[derive(Clone, Copy)]
struct Paint(bool);
impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
    fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }
    fn blue(self, text: &str) -> String {
        self.with("1;34", text)
    }
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}

fn one(out: &mut String, d: &Diagnostic, sources: &Sources, paint: Paint) {
    let number = d.line.to_string();
    let pad = " ".repeat(number.len() + 1);
    let head = paint.red(&format!("error[{}]", d.code));
    let message = paint.bold(&format!(": {}", d.message));
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(format!("{head}{message}"));
    line(format!("{pad}{} {}", paint.blue("-->"), d.place()));
    let bar = paint.blue("|");
    // A suggestion replaces what would have been right, for it says the same and shorter.
    let suggests = d.hint.as_ref().is_some_and(|hint| hint.starts_with("did you mean"));
    let label = match (&d.hint, &d.expected) {
        (Some(hint), _) if suggests => hint.clone(),
        (_, Some(expected)) => format!("expected {expected}"),
        _ => String::new(),
    };
    let shown = sources
        .0
        .iter()
        .find(|text| text.name == d.file)
        .and_then(|text| window(text, d.line, d.column, d.width));
    if let Some((text, before, width)) = shown {
        line(format!("{pad} {bar}"));
        line(format!(" {} {bar} {text}", paint.blue(&number)));
        line(format!(
            "{pad} {bar} {}{} {label}",
            " ".repeat(before),
            paint.red(&"^".repeat(width))
        ));
    } else if !label.is_empty() {
        line(format!("{pad} {} {label}", paint.blue("=")));
    }
    if let (Some(hint), false) = (&d.hint, suggests) {
        line(format!("{pad} {} hint: {hint}", paint.blue("=")));
    }
}

/// The line with masked secrets and without control characters, cut to a window; how many characters stand before the carets; how many carets.
fn window(source: &Text, line: u32, column: u32, width: u32) -> Option<(String, usize, usize)> {
    let text = source.content.lines().nth(line.checked_sub(1)? as usize)?;
    let start = (column as usize).saturating_sub(1);
    // Only the window is looked at: a line of JSON may have millions of characters.
    let short = text.chars().nth(WINDOW).is_none();
    let first = if short { 0 } else { start.saturating_sub(BEFORE) };
    let mut chars = text.chars().skip(first);
    let cut: Vec<char> = chars.by_ref().take(WINDOW).collect();
    let (from, to) = (first as u32 + 1, (first + cut.len()) as u32 + 1);
    let masks = source
        .masks
        .iter()
        .filter(|mask| mask.line == line && mask.from < to && from < mask.to);
    let masks: Vec<_> = masks.collect();

    let mut shown = String::new();
    let (mut before, mut carets, mut hiding) = (0, 0, false);
    if first > 0 {
        shown.push_str("… ");
        before += 2;
    }
    for (i, c) in (first..).zip(cut) {
        let here = i as u32 + 1;
        let hide = masks.iter().any(|mask| mask.from <= here && here < mask.to);
        let piece = match (hide, hiding) {
            (true, false) => "***".to_owned(),
            (true, true) => String::new(),
            // Also what would steer the terminal of whoever reads the error.
            (false, _) if c.is_control() || ('\u{200e}'..='\u{202e}').contains(&c) => " ".to_owned(),
            (false, _) => c.to_string(),
        };
        hiding = hide;
        let columns = piece.chars().count();
        if i < start {
            before += columns;
        } else if i < start + (width as usize).max(1) {
            carets += columns;
        }
        shown.push_str(&piece);
    }
    if chars.next().is_some() {
        shown.push_str(" …");
    }
    Some((shown, before, carets.max(1)))
}
