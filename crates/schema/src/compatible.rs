//! Whether what was written under an old schema can be read under a new one.
mod avro;
mod json;
mod protobuf;
mod references;

use crate::Source;
use std::fmt;

/// One reason why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// Where in the new schema: a JSON pointer; of Protobuf the name of a field.
    pub at: String,
    /// What breaks.
    pub what: String,
}
impl Incompatible {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            what: what.into(),
        }
    }
}
impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.at, self.what)
        }
    }
}
/// So many are told.
const MOST: usize = 100;

pub(super) fn compatible(old: Source<'_>, new: Source<'_>) -> Vec<Incompatible> {
    let mut told = match (old, new) {
        (Source::Json(old), Source::Json(new)) => json::compare(old, new, json::Newcomers::Fine),
        (Source::Avro(old), Source::Avro(new)) => avro::compare(old, new),
        (
            Source::Protobuf { text, message, .. },
            Source::Protobuf {
                text: new_text,
                message: new_message,
                ..
            },
        ) => protobuf::compare((text, message), (new_text, new_message)),
        _ => vec![Incompatible::new("", "it is of another kind")],
    };
    told.truncate(MOST);
    told
}

#[cfg(test)]
mod tests;
