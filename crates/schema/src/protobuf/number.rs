//! Which field a number does not fit: what reads the JSON form says where in the text, and not what belongs there.
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

/// The first such field of a message, in words. Numbers are told, texts are not.
pub(super) fn fault(message: &MessageDescriptor, json: &Value) -> Option<String> {
    // Those have a form of their own.
    if message.full_name().starts_with("google.protobuf.") {
        return None;
    }
    let mut members = json.as_object()?.iter();
    members.find_map(|(name, value)| {
        let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))?;
        match value {
            Value::Object(entries) if field.is_map() => {
                let Kind::Message(entry) = field.kind() else { return None };
                let of = entry.map_entry_value_field();
                entries.values().find_map(|value| one(&field, &of.kind(), value))
            }
            Value::Array(items) if field.is_list() => items.iter().find_map(|item| one(&field, &field.kind(), item)),
            value => one(&field, &field.kind(), value),
        }
    })
}
fn one(field: &FieldDescriptor, kind: &Kind, value: &Value) -> Option<String> {
    let (fits, expected) = match kind {
        Kind::Message(message) => return fault(message, value),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (whole(value, i64::from(i32::MIN), i32::MAX as u64), "int32"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (whole(value, i64::MIN, i64::MAX as u64), "int64"),
        Kind::Uint32 | Kind::Fixed32 => (whole(value, 0, u64::from(u32::MAX)), "uint32"),
        Kind::Uint64 | Kind::Fixed64 => (whole(value, 0, u64::MAX), "uint64"),
        Kind::Double => (number(value), "double"),
        Kind::Float => (number(value), "float"),
        Kind::Bool | Kind::String | Kind::Bytes | Kind::Enum(_) => return None,
    };
    if fits || value.is_null() {
        return None;
    }
    let got = match value {
        Value::Number(number) => number.to_string(),
        other => crate::json::kind(other).to_owned(),
    };
    Some(format!("field {}: expected {expected}, but got {got}", field.full_name()))
}
fn whole(value: &Value, least: i64, most: u64) -> bool {
    let within = |text: &str| {
        let signed = text
            .parse::<i64>()
            .is_ok_and(|number| number >= least && (number < 0 || number as u64 <= most));
        signed || text.parse::<u64>().is_ok_and(|number| number <= most)
    };
    match value {
        Value::Number(number) => within(&number.to_string()),
        Value::String(text) => super::convert::whole(text).is_some_and(|whole| within(&whole)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}
fn number(value: &Value) -> bool {
    let text = value.as_str();
    value.is_number() || text.is_some_and(|text| text.parse::<f64>().is_ok())
}
