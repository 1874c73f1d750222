//! Protobuf. A message is bytes on the wire that parse as the message; JSON of that type becomes them, unless the schema says no.
mod convert;
mod number;
mod source;
mod wire;

use crate::{Invalid, violation};
use bytes::Bytes;
use prost_reflect::MessageDescriptor;
use tidegate_core::{error::Result, message::Message, validator::Validator};
use wire::{Fault, Walk};

pub(crate) use source::message;

/// What it says of bytes that are something else.
const NOT_WIRE: &str = "invalid message format, expecting protobuf";

pub(crate) struct Protobuf {
    message: MessageDescriptor,
    convert: bool,
    /// Some field of some message must be there: else nobody has to remember what was.
    required: bool,
}
impl Protobuf {
    pub(crate) fn new(name: &str, text: &str, message: &str, convert: bool) -> Result<Self, Invalid> {
        let message = source::message(name, text, message)?;
        let required = message
            .parent_pool()
            .all_messages()
            .any(|message| message.fields().any(|field| field.is_required()));
        Ok(Self {
            message,
            convert,
            required,
        })
    }
    fn wire(&self, bytes: &[u8]) -> Result<()> {
        let walk = Walk { required: self.required };
        walk.message(&self.message, bytes).map_err(|fault| {
            violation(&match fault {
                Fault::Format => NOT_WIRE.to_owned(),
                Fault::Text(field) => format!("proto: field {} contains invalid UTF-8", field.full_name()),
                Fault::Missing(field) => format!("proto: required field {} not set", field.full_name()),
            })
        })
    }
}
impl Validator for Protobuf {
    fn check(&self, message: &Message) -> Result<Option<Bytes>> {
        if !self.convert || !is_json(message) {
            return self.wire(&message.payload).map(|()| None);
        }
        let bytes = convert::convert(&self.message, &message.payload).map_err(|why| violation(&why))?;
        self.wire(&bytes)?;
        Ok(Some(bytes))
    }
}
fn is_json(message: &Message) -> bool {
    let kind = message.headers.get("content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests;
