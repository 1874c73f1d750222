//! Bytes on the wire, walked by a descriptor without building anything: one pass, the stack as deep as messages nest.
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Syntax};

/// Messages nest no deeper, as with the readers of most languages.
const DEPTH: usize = 100;

/// What is wrong.
pub(super) enum Fault {
    /// It is not what a descriptor could mean.
    Format,
    /// A text that is none.
    Text(Box<FieldDescriptor>),
    /// It must be there.
    Missing(Box<FieldDescriptor>),
}
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// Whether any message has fields that must be there.
    pub(super) required: bool,
}
/// How a field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Group,
    Fixed32,
}
impl Walk {
    pub(super) fn message(self, message: &MessageDescriptor, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        self.fields(Some(message), &mut rest, None, 0)
    }
    /// To the end of the bytes, or of the group of that number. `None`: nobody knows what it is.
    fn fields(self, message: Option<&MessageDescriptor>, rest: &mut &[u8], group: Option<u32>, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH {
            return Err(Fault::Format);
        }
        let mut missing: Vec<FieldDescriptor> = match message.filter(|_| self.required) {
            Some(message) => message.fields().filter(FieldDescriptor::is_required).collect(),
            None => Vec::new(),
        };
        loop {
            if rest.is_empty() && group.is_none() {
                break;
            }
            let tag = varint(rest)?;
            let number = u32::try_from(tag >> 3).ok().filter(|number| (1..=(1 << 29) - 1).contains(number));
            let number = number.ok_or(Fault::Format)?;
            let wire = match tag & 7 {
                0 => Wire::Varint,
                1 => Wire::Fixed64,
                2 => Wire::Bytes,
                3 => Wire::Group,
                4 if group == Some(number) => break,
                5 => Wire::Fixed32,
                _ => return Err(Fault::Format),
            };
            let field = message.and_then(|message| message.get_field(number));
            // Of another form it is a field nobody knows.
            let field = field.filter(|field| fits(field, wire));
            if let Some(field) = &field {
                missing.retain(|other| other.number() != field.number());
            }
            self.value(field, number, wire, rest, depth)?;
        }
        match missing.into_iter().next() {
            Some(field) => Err(Fault::Missing(Box::new(field))),
            None => Ok(()),
        }
    }
    fn value(self, field: Option<FieldDescriptor>, number: u32, wire: Wire, rest: &mut &[u8], depth: usize) -> Result<(), Fault> {
        match wire {
            Wire::Varint => varint(rest).map(drop),
            Wire::Fixed32 => take(rest, 4).map(drop),
            Wire::Fixed64 => take(rest, 8).map(drop),
            Wire::Group => {
                let kind = field.map(|field| field.kind());
                let inner = kind.as_ref().and_then(Kind::as_message);
                self.fields(inner, rest, Some(number), depth + 1)
            }
            Wire::Bytes => {
                let length = usize::try_from(varint(rest)?).map_err(|_| Fault::Format)?;
                let mut bytes = take(rest, length)?;
                let Some(field) = field else { return Ok(()) };
                match field.kind() {
                    Kind::Message(inner) => self.fields(Some(&inner), &mut bytes, None, depth + 1),
                    Kind::String if checks_text(&field) && simdutf8::basic::from_utf8(bytes).is_err() => Err(Fault::Text(Box::new(field))),
                    Kind::String | Kind::Bytes => Ok(()),
                    kind => packed(&kind, bytes),
                }
            }
        }
    }
}
/// Files of the first syntax never promised it.
fn checks_text(field: &FieldDescriptor) -> bool {
    field.parent_file().syntax() != Syntax::Proto2
}
fn form(kind: &Kind) -> Wire {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::String | Kind::Bytes | Kind::Message(_) => Wire::Bytes,
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 | Kind::Bool | Kind::Enum(_) => Wire::Varint,
    }
}
fn fits(field: &FieldDescriptor, wire: Wire) -> bool {
    if field.is_group() {
        return wire == Wire::Group;
    }
    let own = form(&field.kind());
    wire == own || (wire == Wire::Bytes && field.is_list())
}
/// Several numbers in one field.
fn packed(kind: &Kind, mut bytes: &[u8]) -> Result<(), Fault> {
    let each = match form(kind) {
        Wire::Fixed32 => 4,
        Wire::Fixed64 => 8,
        Wire::Varint | Wire::Bytes | Wire::Group => {
            while !bytes.is_empty() {
                varint(&mut bytes)?;
            }
            return Ok(());
        }
    };
    bytes.len().is_multiple_of(each).then_some(()).ok_or(Fault::Format)
}
fn take<'b>(rest: &mut &'b [u8], length: usize) -> Result<&'b [u8], Fault> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Fault::Format)?;
    *rest = left;
    Ok(taken)
}
fn varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0_u64;
    for place in 0..10_u32 {
        let (byte, left) = rest.split_first().ok_or(Fault::Format)?;
        *rest = left;
        // The tenth holds one bit.
        if place == 9 && *byte > 1 {
            return Err(Fault::Format);
        }
        value |= u64::from(*byte & 0x7f) << (place * 7);
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Fault::Format)
}
