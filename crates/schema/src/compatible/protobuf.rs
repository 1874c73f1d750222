//! Protobuf: under each number the new message reads what the old one wrote there.
use super::Incompatible;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::collections::HashSet;

pub(super) fn compare(old: (&str, &str), new: (&str, &str)) -> Vec<Incompatible> {
    let read = |(text, message): (&str, &str)| crate::protobuf::message("schema", text, message);
    let (Ok(old), Ok(new)) = (read(old), read(new)) else {
        return vec![Incompatible::new("", "it does not compile")];
    };
    let mut told = Vec::new();
    messages(&old, &new, &mut HashSet::new(), &mut told);
    told
}
fn messages(old: &MessageDescriptor, new: &MessageDescriptor, seen: &mut HashSet<(String, String)>, told: &mut Vec<Incompatible>) {
    if told.len() >= super::MOST || !seen.insert((old.full_name().to_owned(), new.full_name().to_owned())) {
        return;
    }
    for field in new.fields() {
        let mut tell = |what: String| told.push(Incompatible::new(field.full_name(), what));
        let Some(before) = old.get_field(field.number()) else {
            if field.is_required() {
                tell("it is new and must be there".to_owned());
            }
            continue;
        };
        if field.is_required() && !before.is_required() {
            tell("it must be there now".to_owned());
        }
        match (before.kind(), field.kind()) {
            (Kind::Message(was), Kind::Message(is)) if before.is_group() == field.is_group() => messages(&was, &is, seen, told),
            (was, is) if sort(&was) == sort(&is) && before.is_group() == field.is_group() => {}
            _ => tell(format!("number {} was {}, and is {}", field.number(), word(&before), word(&field))),
        }
    }
}
fn word(field: &FieldDescriptor) -> String {
    format!("{:?}", field.kind()).to_lowercase()
}
/// Those of one sort are written alike.
fn sort(kind: &Kind) -> u8 {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => 0,
        Kind::Sint32 | Kind::Sint64 => 1,
        Kind::Fixed32 | Kind::Sfixed32 => 2,
        Kind::Fixed64 | Kind::Sfixed64 => 3,
        // Any text is bytes; not the other way round.
        Kind::String => 4,
        Kind::Bytes => 5,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::Message(_) => 8,
    }
}
