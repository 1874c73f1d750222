//! Avro. A message is JSON text that can be encoded in the schema; it is kept as that text. Integers are compared as integers, however they are
//! written: nothing goes through a floating point number.
mod check;
mod parse;

use crate::{Invalid, decimal, depth, text, violation};
use bytes::Bytes;
use serde_json::Value;
use std::borrow::Cow;
use tidegate_core::{error::Result, message::Message, validator::Validator};

/// Where a type lies in its schema.
pub(crate) type Id = usize;
/// One type. Those that can refer to themselves do it by place.
#[derive(Debug)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Record(Name, Vec<Field>),
    Enum(Name, Vec<String>),
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Fixed(Name, usize),
}
/// How a named type is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    /// With its namespace.
    pub(crate) full: String,
}
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) of: Id,
    /// It may be left out.
    pub(crate) defaults: bool,
}
impl Type {
    /// As a schema and an error call it; a named one by its name.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(name, _) | Self::Enum(name, _) | Self::Fixed(name, _) => &name.full,
        }
    }
    /// What sort of type a named one is.
    pub(crate) fn sort(&self) -> &str {
        match self {
            Self::Record(..) => "record",
            Self::Enum(..) => "enum",
            Self::Fixed(..) => "fixed",
            other => other.word(),
        }
    }
}
/// All types of a schema; the first one is the schema's own.
#[derive(Debug)]
pub(crate) struct Types(Vec<Type>);
impl Types {
    /// Reads one.
    pub(crate) fn read(schema: &Value) -> Result<Self, Invalid> {
        depth::bound(schema)?;
        let (types, defaults) = parse::read(schema)?;
        let types = Self(types);
        for default in defaults {
            // As a message of its own.
            let text = default.value.to_string();
            let value = text::parse(decimal::rewrite(&text, decimal::integer).as_bytes()).unwrap_or_default();
            check::check(&types, default.of, &value, text.len())
                .map_err(|why| Invalid::new(default.at, format!("the default is none of the field's type: {why}")))?;
        }
        Ok(types)
    }
    pub(crate) fn get(&self, id: Id) -> &Type {
        self.0.get(id).unwrap_or(&Type::Null)
    }
}

pub(crate) struct Avro(Types);
impl Avro {
    pub(crate) fn new(schema: &Value) -> Result<Self, Invalid> {
        Types::read(schema).map(Self)
    }
}
impl Validator for Avro {
    fn check(&self, message: &Message) -> Result<Option<Bytes>> {
        let payload = match simdutf8::basic::from_utf8(&message.payload) {
            Ok(text) => decimal::rewrite(text, decimal::integer),
            Err(_) => Cow::Borrowed(""),
        };
        // What cannot be read is told as it was sent.
        let read = serde_json::from_str(&payload).or_else(|_| text::parse(&message.payload));
        let value = read.map_err(|why| violation(&format!("Bad Avro format - {why}")))?;
        match check::check(&self.0, 0, &value, message.payload.len()) {
            Ok(()) => Ok(None),
            Err(why) => Err(violation(&why)),
        }
    }
}

#[cfg(test)]
mod tests;
