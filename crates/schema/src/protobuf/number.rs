//! Protobuf's JSON form, walked before it is read: each member once, and each number where one belongs that the field holds exactly. What reads
//! the form knows only some of the ways to write a number, and takes others that are none.
use crate::decimal;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{cell::RefCell, collections::HashSet, fmt};

/// The same text, its numbers as every reader takes them; or what is wrong, with its field. Numbers are told, texts are not.
pub(super) fn normal(message: &MessageDescriptor, json: &str) -> Result<String, serde_json::Error> {
    let edits = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_str(json);
    Walk {
        json,
        edits: &edits,
        what: What::Message(message.clone()),
    }
    .deserialize(&mut reader)?;
    let (mut text, mut copied) = (String::with_capacity(json.len()), 0);
    for (at, length, put) in edits.into_inner() {
        text.push_str(json.get(copied..at).unwrap_or_default());
        text.push_str(&put);
        copied = at + length;
    }
    text.push_str(json.get(copied..).unwrap_or_default());
    Ok(text)
}
#[derive(Clone)]
enum What {
    Message(MessageDescriptor),
    /// A field of it: one, a list or a map.
    Field(FieldDescriptor),
    /// One value of a field.
    One(FieldDescriptor, Kind),
    /// A form of its own, or nothing that is known: its names are there once.
    Any,
}
#[derive(Clone)]
struct Walk<'a> {
    json: &'a str,
    /// Where, how many bytes, and what is there instead.
    edits: &'a RefCell<Vec<(usize, usize, String)>>,
    what: What,
}
impl Walk<'_> {
    fn of(&self, what: What) -> Self {
        Self { what, ..self.clone() }
    }
    fn put(&self, was: &str, is: String) {
        if was != is {
            // It is a part of the text.
            let at = (was.as_ptr() as usize).saturating_sub(self.json.as_ptr() as usize);
            self.edits.borrow_mut().push((at, was.len(), is));
        }
    }
}
impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match &self.what {
            What::Field(field) if !field.is_list() && !field.is_map() => {
                let one = What::One(field.clone(), field.kind());
                self.of(one).deserialize(reader)
            }
            What::One(field, kind) => match kind {
                Kind::Message(message) => match wrapped(message) {
                    Some(kind) => self.of(What::One(field.clone(), kind)).deserialize(reader),
                    None => self.of(What::Message(message.clone())).deserialize(reader),
                },
                Kind::Bool | Kind::String | Kind::Bytes => self.of(What::Any).deserialize(reader),
                _ => {
                    let raw: &'de RawValue = serde::Deserialize::deserialize(reader)?;
                    let put = scalar(kind, raw.get()).map_err(|(expected, got)| {
                        D::Error::custom(format!("field {}: expected {expected}, but got {got}", field.full_name()))
                    })?;
                    self.put(raw.get(), put);
                    Ok(())
                }
            },
            _ => reader.deserialize_any(self),
        }
    }
}
impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    // What it may be instead is for the reader to say.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let what = match &self.what {
            What::Field(field) if field.is_list() => What::One(field.clone(), field.kind()),
            _ => What::Any,
        };
        while items.next_element_seed(self.of(what.clone()))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(raw) = members.next_key::<&'de RawValue>()? {
            let name: String = serde_json::from_str(raw.get()).map_err(A::Error::custom)?;
            let (what, told, name) = match &self.what {
                What::Message(message) if !is_special(message) => {
                    let field = message.get_field_by_json_name(&name).or_else(|| message.get_field_by_name(&name));
                    let Some(field) = field else {
                        // The reader refuses it, by its name.
                        members.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    // By either of its names.
                    (What::Field(field.clone()), field.full_name().to_owned(), field.name().to_owned())
                }

                What::Field(field) if field.is_map() => {
                    let Kind::Message(entry) = field.kind() else { continue };
                    let key = match entry.map_entry_key_field().kind() {
                        Kind::String | Kind::Bool => name,
                        kind => {
                            let key = scalar(&kind, raw.get()).map_err(|(expected, _)| {
                                A::Error::custom(format!("field {}: a key is no {expected}", field.full_name()))
                            })?;
                            self.put(raw.get(), format!("\"{key}\""));
                            key
                        }
                    };
                    (
                        What::One(field.clone(), entry.map_entry_value_field().kind()),
                        format!("{}: a key", field.full_name()),
                        key,
                    )
                }
                _ => (What::Any, "a member of a value".to_owned(), name),
            };
            if !seen.insert(name) {
                return Err(A::Error::custom(format!("field {told} is there twice")));
            }
            members.next_value_seed(self.of(what))?;
        }
        Ok(())
    }
}
/// A number on its own.
fn wrapped(message: &MessageDescriptor) -> Option<Kind> {
    Some(match message.full_name().strip_prefix("google.protobuf.")? {
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int64Value" => Kind::Int64,
        "UInt64Value" => Kind::Uint64,
        "Int32Value" => Kind::Int32,
        "UInt32Value" => Kind::Uint32,
        _ => return None,
    })
}
/// Those have a form of their own.
fn is_special(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
}
/// How it is to be written; or what belongs there, and what is there instead.
fn scalar(kind: &Kind, raw: &str) -> Result<String, (&'static str, String)> {
    let quoted = raw
        .starts_with('"')
        .then(|| serde_json::from_str::<String>(raw).unwrap_or_default());
    let text = quoted.as_deref().unwrap_or(raw);
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) && is_number(text);
    let within = |least: i64, most: u64| {
        let whole = decimal::whole(text).map(|whole| if whole == "-0" { "0".to_owned() } else { whole })?;
        let signed = whole
            .parse::<i64>()
            .is_ok_and(|number| number >= least && (number < 0 || number as u64 <= most));
        (signed || whole.parse::<u64>().is_ok_and(|number| number <= most)).then_some(whole)
    };
    let float = |is_finite: bool| {
        let word = quoted.is_some() && matches!(text, "Infinity" | "-Infinity" | "NaN");
        // As a text it is read digit by digit.
        (word || is_number && is_finite).then(|| format!("\"{text}\""))
    };
    let (put, expected) = match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (within(i64::from(i32::MIN), i32::MAX as u64), "int32"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (within(i64::MIN, i64::MAX as u64), "int64"),
        Kind::Uint32 | Kind::Fixed32 => (within(0, u64::from(u32::MAX)), "uint32"),
        Kind::Uint64 | Kind::Fixed64 => (within(0, u64::MAX), "uint64"),
        Kind::Double => (float(text.parse::<f64>().is_ok_and(f64::is_finite)), "double"),
        Kind::Float => (float(text.parse::<f32>().is_ok_and(f32::is_finite)), "float"),
        Kind::Enum(_) if quoted.is_none() && is_number => (within(i64::from(i32::MIN), i32::MAX as u64), "enum"),
        Kind::Enum(_) | Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) => (Some(raw.to_owned()), ""),
    };
    if raw == "null" {
        return Ok(raw.to_owned());
    }
    put.ok_or_else(|| {
        let got = match raw.bytes().next() {
            Some(b'"') => "string",
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b't' | b'f') => "boolean",
            _ => raw.get(..raw.len().min(100)).unwrap_or_default(),
        };
        (expected, got.to_owned())
    })
}
/// As JSON writes one, whatever its size.
fn is_number(text: &str) -> bool {
    let part = |byte: u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    text.bytes().all(part) && serde_json::from_str::<&RawValue>(text).is_ok()
}
