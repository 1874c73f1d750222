//! Collects everything that is wrong, so that nobody has to fix errors one at a time.
use crate::diagnostic::{Diagnostic, Place, Sources};
use tidegate_core::error::Code;

/// More than anybody reads; a bound, for one hostile file could hold a million faults.
const MOST: usize = 1_000;

/// Where a value or key stands. `file` is a number of [`Sources`], or [`At::BUILT_IN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) width: u32,
}
impl At {
    /// What nobody wrote.
    pub(crate) const BUILT_IN: Self = Self {
        file: u32::MAX,
        line: 0,
        column: 0,
        width: 0,
    };
    /// A file as a whole.
    pub(crate) fn whole(file: u32) -> Self {
        Self { file, ..Self::BUILT_IN }
    }
}

/// The way to a value, for people: `apis "orders" entrypoints.http_get.limit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    label: String,
    keys: String,
    /// The same way for programs (RFC 6901), from the document on.
    pointer: String,
}
impl Path {
    /// Of a resource; the node's settings have no label.
    pub(crate) fn of(label: String) -> Self {
        Self { label, ..Self::default() }
    }
    pub(crate) fn key(&self, key: &str) -> Self {
        let dot = if self.keys.is_empty() { "" } else { "." };
        Self {
            label: self.label.clone(),
            keys: format!("{}{dot}{}", self.keys, shown(key)),
            pointer: format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1")),
        }
    }
    pub(crate) fn item(&self, number: usize) -> Self {
        Self {
            label: self.label.clone(),
            keys: format!("{}[{number}]", self.keys),
            pointer: format!("{}/{number}", self.pointer),
        }
    }
    /// The last key, for a message.
    pub(crate) fn last(&self) -> &str {
        self.keys.rsplit('.').next().unwrap_or_default()
    }
}
impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = if self.label.is_empty() || self.keys.is_empty() { "" } else { " " };
        write!(f, "{}{space}{}", self.label, self.keys)
    }
}

/// A word of the user in a message: short, on one line, nothing that steers a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// One error on its way into the ledger.
#[derive(Debug)]
pub(crate) struct Fault {
    code: Code,
    at: At,
    path: Box<Path>,
    message: String,
    expected: Option<String>,
    hint: Option<String>,
}
impl Fault {
    pub(crate) fn new(code: Code, at: At, path: &Path, message: impl Into<String>) -> Self {
        Self {
            code,
            at,
            path: Box::new(path.clone()),
            message: message.into(),
            expected: None,
            hint: None,
        }
    }
    /// A word that is known and does nothing yet. Taking it silently would promise what nobody keeps.
    pub(crate) fn later(at: At, path: &Path, what: &str) -> Self {
        Self::new(Code::NotYet, at, path, format!("{what} comes with a later version")).hint("remove it for now")
    }
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    pub(crate) fn did_you_mean(self, word: Option<&str>) -> Self {
        match word {
            Some(word) => self.hint(format!("did you mean `{word}`?")),
            None => self,
        }
    }
}

/// All faults, and the texts they are in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    diagnostics: Vec<Diagnostic>,
    pub(crate) sources: Sources,
    /// Something could not be read at all, so that "there is no such stream" might be a lie.
    pub(crate) incomplete: bool,
}
impl Ledger {
    pub(crate) fn tell(&mut self, fault: Fault) {
        if self.is_full() {
            return;
        }
        let Fault {
            code,
            at,
            path,
            message,
            expected,
            hint,
        } = fault;
        self.diagnostics.push(Diagnostic {
            code,
            file: self.sources.name(at.file),
            line: at.line,
            column: at.column,
            width: at.width,
            path: path.to_string(),
            pointer: path.pointer,
            message,
            expected,
            hint,
        });
    }
    pub(crate) fn place(&self, at: At) -> Place {
        match at {
            At::BUILT_IN => Place::built_in(),
            At { file, line, column, .. } => Place {
                file: self.sources.name(file),
                line,
                column,
            },
        }
    }
    /// Nothing more is taken: work that would only tell faults can stop.
    pub(crate) fn is_full(&self) -> bool {
        self.diagnostics.len() >= MOST
    }
    pub(crate) fn faults(&self) -> usize {
        self.diagnostics.len()
    }
    /// Sorted by file and position.
    pub(crate) fn close(mut self) -> (Vec<Diagnostic>, Sources) {
        self.diagnostics
            .sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        (self.diagnostics, self.sources)
    }
}
