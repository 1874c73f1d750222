//! What messages must look like: JSON Schema, Protobuf and Avro, each content compiled once in a process, then asked for each message. Pure: no socket, no file, no
//! clock; whatever the bytes are, a check ends, in time and memory that its schema and the message bound.
mod avro;
mod compatible;

mod decimal;
mod depth;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod kind;
mod known;
mod protobuf;
mod text;

pub use compatible::Incompatible;
pub use kind::{kind, source};
pub use known::compile;

use serde_json::Value;
use std::{borrow::Cow, fmt, sync::Arc};
use tidegate_core::{
    error::{Code, Error},
    validator::Validator,
};

/// A schema as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source<'a> {
    /// JSON Schema; draft 2020-12 unless `$schema` says otherwise.
    Json(&'a Value),
    /// A `.proto` file and one of its messages.
    Protobuf {
        /// The file.
        text: &'a str,
        /// The message's name, with or without its package. Empty: the only one there is.
        message: &'a str,
        /// JSON becomes wire bytes.
        convert: bool,
    },
    /// An Avro schema.
    Avro(&'a Value),
}
/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where: a JSON pointer into the schema; empty for a `.proto` file, whose message says the line.
    pub at: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<Cow<'static, str>>,
}
impl Invalid {
    fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            message: message.into(),
            hint: None,
        }
    }
    fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.at, self.message)
        }
    }
}

/// Compiled anew, and what it takes in memory, roughly.
fn made(name: &str, source: Source<'_>) -> Result<(Arc<dyn Validator>, usize), Invalid> {
    // What is compiled takes some 20 times its text.
    let times = |bytes: usize| 20 * bytes + 1_000;
    Ok(match source {
        Source::Json(schema) => {
            let json = json::Json::new(name, schema)?;
            let bytes = times(schema.to_string().len()) + 3 * json.patterns();
            (Arc::new(json), bytes)
        }
        Source::Protobuf { text, message, convert } => {
            // It brings along what it may import.
            let protobuf = protobuf::Protobuf::new(name, text, message, convert)?;
            (Arc::new(protobuf), times(text.len()) + (100 << 10))
        }
        Source::Avro(schema) => (Arc::new(avro::Avro::new(schema)?), times(schema.to_string().len())),
    })
}
/// Why what was written under the old one could not be read under the new one; empty: it can. What cannot be told apart from a break counts
/// as one. Both compile.
pub fn compatible(old: Source<'_>, new: Source<'_>) -> Vec<Incompatible> {
    compatible::compatible(old, new)
}
/// What the text of every violation begins with.
const FAILED: &str = "Schema validation has failed: ";
/// A violation's text is not longer than this, whatever the message was.
const MOST: usize = 2 << 10;

/// A message does not match.
fn violation(detail: &str) -> Error {
    Error::client(Code::SchemaViolation, format!("{FAILED}{}", text::cut(detail, MOST)))
}
