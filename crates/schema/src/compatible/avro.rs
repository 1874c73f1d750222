//! Avro: the new schema reads what the old one wrote, as the specification's schema resolution has it.
use super::Incompatible;
use crate::avro::{Field, Id, Name, Type, Types};
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn compare(old: &Value, new: &Value) -> Vec<Incompatible> {
    let (Ok(old), Ok(new)) = (Types::read(old), Types::read(new)) else {
        return vec![Incompatible::new("", "it is no Avro schema")];
    };
    let mut walk = Walk {
        old: &old,
        new: &new,
        seen: HashSet::new(),
    };
    let mut told = Vec::new();
    walk.read(0, 0, "", &mut told);
    told
}
struct Walk<'a> {
    old: &'a Types,
    new: &'a Types,
    /// Pairs that are looked at, or were.
    seen: HashSet<(Id, Id)>,
}
impl Walk<'_> {
    fn read(&mut self, old: Id, new: Id, at: &str, told: &mut Vec<Incompatible>) {
        if told.len() >= super::MOST || !self.seen.insert((old, new)) {
            return;
        }
        let (was, is) = (self.old.get(old), self.new.get(new));
        let mut tell = |what: String| told.push(Incompatible::new(at, what));
        match (was, is) {
            (Type::Union(branches), _) => {
                for branch in branches {
                    self.read(*branch, new, at, told);
                }
            }
            (_, Type::Union(branches)) => {
                let fits = branches.iter().any(|branch| {
                    let mut wrong = Vec::new();
                    // What is found out about one alternative holds for that one alone.
                    let mut alone = Walk {
                        old: self.old,
                        new: self.new,
                        seen: self.seen.clone(),
                    };
                    alone.read(old, *branch, at, &mut wrong);
                    wrong.is_empty()
                });
                if !fits {
                    tell(format!("`{}` is none of the union any more", was.word()));
                }
            }
            (Type::Record(before, fields), Type::Record(now, new_fields)) => {
                if !called(before, now) {
                    return tell(format!("the record was `{}`, and is `{}`", before.full, now.full));
                }
                self.fields(fields, new_fields, at, told);
            }
            (Type::Enum(before, symbols, _), Type::Enum(now, new_symbols, default)) => {
                if !called(before, now) {
                    return tell(format!("the enum was `{}`, and is `{}`", before.full, now.full));
                }
                for gone in symbols.iter().filter(|symbol| default.is_none() && !new_symbols.contains(symbol)) {
                    tell(format!("the symbol `{gone}` is gone, and there is no default for it"));
                }
            }
            (Type::Fixed(before, size), Type::Fixed(now, new_size)) => {
                if !called(before, now) || size != new_size {
                    tell(format!(
                        "the fixed `{}` of {size} bytes is not `{}` of {new_size}",
                        before.full, now.full
                    ));
                }
            }
            (Type::Array(of), Type::Array(new_of)) => self.read(*of, *new_of, &format!("{at}/items"), told),
            (Type::Map(of), Type::Map(new_of)) => self.read(*of, *new_of, &format!("{at}/values"), told),
            _ if promotes(was, is) => {}
            _ => tell(format!("it was {}, and is {}", was.sort(), is.sort())),
        }
    }
    fn fields(&mut self, was: &[Field], is: &[Field], at: &str, told: &mut Vec<Incompatible>) {
        for (i, field) in is.iter().enumerate() {
            let before = was
                .iter()
                .find(|before| before.name == field.name || field.aliases.contains(&before.name));
            let at = format!("{at}/fields/{i}");
            match before {
                Some(before) => self.read(before.of, field.of, &format!("{at}/type"), told),
                None if field.defaults => {}
                None => told.push(Incompatible::new(
                    at,
                    format!("the field `{}` is new and has no default", field.name),
                )),
            }
        }
    }
}
/// The last part of a name is enough, as with the readers there are.
fn called(before: &Name, now: &Name) -> bool {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    before.full == now.full || now.aliases.contains(&before.full) || last(&before.full) == last(&now.full)
}
fn promotes(was: &Type, is: &Type) -> bool {
    matches!(
        (was, is),
        (Type::Null, Type::Null)
            | (Type::Boolean, Type::Boolean)
            | (Type::Int, Type::Int | Type::Long | Type::Float | Type::Double)
            | (Type::Long, Type::Long | Type::Float | Type::Double)
            | (Type::Float, Type::Float | Type::Double)
            | (Type::Double, Type::Double)
            | (Type::String | Type::Bytes, Type::String | Type::Bytes)
    )
}
