//! JSON in Protobuf's own mapping to bytes on the wire. No number is bent: a whole number that is written with a point or an exponent is read
//! as the whole number it is, and one that fits no integer never ends up as the nearest that does.
use super::number;
use crate::text;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};

pub(super) fn convert(message: &MessageDescriptor, payload: &[u8]) -> Result<Bytes, String> {
    let json = simdutf8::basic::from_utf8(payload).map_err(|_| "Bad JSON format - it is not UTF-8".to_owned())?;
    if let Some(why) = text::fault(payload) {
        return Err(format!("Bad JSON format - {why}"));
    }
    let normal = number::normal(message, json).map_err(|error| said(&error))?;
    let mut reader = serde_json::Deserializer::from_str(&normal);
    let read = DynamicMessage::deserialize(message.clone(), &mut reader).and_then(|made| reader.end().map(|()| made));
    Ok(read.map_err(|error| said(&error))?.encode_to_vec().into())
}
fn said(error: &serde_json::Error) -> String {
    let (line, column, text) = (error.line(), error.column(), error.to_string());
    let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    format!("proto: (line {line}:{column}): {said}")
}
