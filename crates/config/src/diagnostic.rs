//! One thing that is wrong, with the place where it is.
use crate::render::render;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::{fmt, sync::Arc};
use tidegate_core::error::Code;

/// A place in a file, for people. Lines and columns count from 1, columns in characters; 0 = what nobody wrote, a default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// As the user named it.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}
impl Place {
    /// The place of a default.
    pub fn built_in() -> Self {
        Self {
            file: "the defaults".into(),
            line: 0,
            column: 0,
        }
    }
}
/// `file:line:column`, what editors and terminals make a link of.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            _ => write!(f, "{}:{}:{}", self.file, self.line, self.column),
        }
    }
}

/// One error. Its texts never hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// As the user named it.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// How many characters of the line are meant; for the carets.
    pub width: u32,
    /// For people: `apis "orders" entrypoints.http_get.limit`.
    pub path: String,
    /// For programs: a JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// What is wrong: lower case, no full stop, backticks round values.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}
impl Diagnostic {
    /// Where it is.
    pub fn place(&self) -> Place {
        Place {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
        }
    }
}
/// The shape of `check -o json`.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut out = to.serialize_struct("Diagnostic", 8)?;
        out.serialize_field("code", &self.code.to_string())?;
        out.serialize_field("file", &*self.file)?;
        out.serialize_field("line", &self.line)?;
        out.serialize_field("column", &self.column)?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("expected", &self.expected)?;
        out.serialize_field("hint", &self.hint)?;
        out.end()
    }
}

/// The texts that were read, for showing the line an error is on. Secrets in them are known and masked when shown.
#[derive(Clone, Default)]
pub struct Sources(pub(crate) Vec<Text>);
/// One file, or the value of one variable or flag.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) name: Arc<str>,
    pub(crate) content: Arc<str>,
    /// What is never shown, sorted.
    pub(crate) masks: Vec<Mask>,
}
/// Characters of one line: from `from` (counted from 1), up to `to`, which is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mask {
    pub(crate) line: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}
impl Sources {
    /// The number values carry.
    pub(crate) fn add(&mut self, name: Arc<str>, text: Arc<str>) -> u32 {
        self.0.push(Text {
            name,
            content: text,
            masks: Vec::new(),
        });
        self.0.len() as u32 - 1
    }
    pub(crate) fn name(&self, file: u32) -> Arc<str> {
        self.0
            .get(file as usize)
            .map_or_else(|| Place::built_in().file, |text| text.name.clone())
    }
}
/// Names only: the texts may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|text| &text.name)).finish()
    }
}

/// Everything that is wrong, sorted by file and position; at least one error.
#[derive(Clone, Debug)]
pub struct Report {
    /// Sorted by file, line, column.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts they speak of.
    pub sources: Sources,
}
impl Report {
    /// For a terminal, as [`render`] does it.
    pub fn render(&self, color: bool) -> String {
        render(&self.diagnostics, &self.sources, color)
    }
}
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}
impl std::error::Error for Report {}
