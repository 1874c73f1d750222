//! Avro: the new schema takes the JSON texts that the old one took. That is less than the specification's schema resolution promises of encoded
//! bytes: a text is read by one schema alone, which knows neither aliases nor what stands for a symbol that is gone.
use super::Incompatible;
use crate::avro::{Field, Id, Type, Types};
use serde_json::Value;
use std::{cell::Cell, collections::HashSet};

/// Looked at so often, then it is called a break: unions inside unions would take for ever.
const STEPS: usize = 50_000;

pub(super) fn compare(old: &Value, new: &Value) -> Vec<Incompatible> {
    let (Ok(old), Ok(new)) = (Types::read(old), Types::read(new)) else {
        return vec![Incompatible::new("", "it is no Avro schema")];
    };
    let mut walk = Walk {
        old: &old,
        new: &new,
        seen: HashSet::new(),
        left: &Cell::new(STEPS),
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
    left: &'a Cell<usize>,
}
impl Walk<'_> {
    fn read(&mut self, old: Id, new: Id, at: &str, told: &mut Vec<Incompatible>) {
        if told.len() >= super::MOST || !self.seen.insert((old, new)) {
            return;
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            return told.push(Incompatible::new(at, "the schemas are too large to be compared"));
        };
        self.left.set(left);
        let (was, is) = (self.old.get(old), self.new.get(new));
        let mut tell = |what: String| told.push(Incompatible::new(at, what));
        match (was, is) {
            (Type::Union(branches), Type::Union(new_branches)) => {
                for branch in branches {
                    let word = self.old.get(*branch).word();
                    // A text may say which one it is of.
                    match new_branches.iter().find(|new| self.new.get(**new).word() == word) {
                        Some(new) => self.read(*branch, *new, at, told),
                        None => told.push(Incompatible::new(at, format!("`{word}` is none of the union any more"))),
                    }
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
                        left: self.left,
                    };
                    alone.read(old, *branch, at, &mut wrong);
                    wrong.is_empty()
                });
                if !fits {
                    tell(format!("`{}` is none of the union any more", was.word()));
                }
            }
            (Type::Record(before, fields), Type::Record(now, new_fields)) => {
                if before != now {
                    return tell(format!("the record was `{}`, and is `{}`", before.full, now.full));
                }
                self.fields(fields, new_fields, at, told);
            }
            (Type::Enum(before, symbols), Type::Enum(now, new_symbols)) => {
                if before != now {
                    return tell(format!("the enum was `{}`, and is `{}`", before.full, now.full));
                }
                for gone in symbols.iter().filter(|symbol| !new_symbols.contains(symbol)) {
                    tell(format!("the symbol `{gone}` is gone"));
                }
            }
            (Type::Fixed(before, size), Type::Fixed(now, new_size)) => {
                if before != now || size != new_size {
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
            let before = was.iter().find(|before| before.name == field.name);
            let at = format!("{at}/fields/{i}");
            match before {
                Some(before) => {
                    if before.defaults && !field.defaults {
                        told.push(Incompatible::new(
                            at.as_str(),
                            format!("the field `{}` could be missing, and has no default any more", field.name),
                        ));
                    }
                    self.read(before.of, field.of, &format!("{at}/type"), told);
                }
                None if field.defaults => {}
                None => told.push(Incompatible::new(
                    at,
                    format!("the field `{}` is new and has no default", field.name),
                )),
            }
        }
    }
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
            | (Type::Bytes, Type::Bytes)
            | (Type::String | Type::Bytes, Type::String)
    )
}
