//! Whether a JSON value can be encoded as a type, in the words of the reference where it has some.
use super::{Id, Type, Types};
use serde_json::{Number, Value};

/// Steps that a message of no bytes may take, and more for each byte: alternatives inside alternatives would take for ever.
const STEPS: (usize, usize) = (10_000, 64);

const TOO_MANY: &str = "avro: too many alternatives to try";

pub(super) fn check(types: &Types, id: Id, value: &Value, bytes: usize) -> Result<(), String> {
    let mut walk = Walk {
        types,
        left: bytes.saturating_mul(STEPS.1).saturating_add(STEPS.0),
    };
    walk.value(id, value)
}
struct Walk<'a> {
    types: &'a Types,
    left: usize,
}
impl Walk<'_> {
    fn value(&mut self, id: Id, value: &Value) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or(TOO_MANY)?;
        let is = self.types.get(id);
        let wrong = || Err(format!("avro: {} is unsupported for Avro {}", sort(value), is.sort()));
        match (is, value) {
            (Type::Null, Value::Null)
            | (Type::Boolean, Value::Bool(_))
            | (Type::Double, Value::Number(_))
            | (Type::String, Value::String(_)) => Ok(()),
            (Type::Float, Value::Number(number)) => {
                // Whatever no double holds was refused where the text was read.
                let is_finite = number.as_f64().is_some_and(|float| (float as f32).is_finite());
                is_finite
                    .then_some(())
                    .ok_or_else(|| format!("avro: {number} is out of range for Avro float"))
            }
            (Type::Int, Value::Number(number)) => within(number, i64::from(i32::MIN), i64::from(i32::MAX), "int"),
            (Type::Long, Value::Number(number)) => within(number, i64::MIN, i64::MAX, "long"),
            // One character for each byte.
            (Type::Bytes, Value::String(text)) if text.chars().all(|char| u32::from(char) < 256) => Ok(()),
            (Type::Fixed(_, size), Value::String(text)) if text.chars().all(|char| u32::from(char) < 256) => {
                let is = text.chars().count();
                (is == *size)
                    .then_some(())
                    .ok_or_else(|| format!("avro: {is} bytes for a fixed of {size}"))
            }
            (Type::Bytes | Type::Fixed(..), Value::String(_)) => Err("avro: a character above U+00FF is no byte".to_owned()),
            (Type::Enum(_, symbols), Value::String(text)) => symbols
                .contains(text)
                .then_some(())
                .ok_or_else(|| format!("avro: unknown enum symbol: {}", crate::text::cut(text, 100))),
            (Type::Array(of), Value::Array(items)) => items.iter().try_for_each(|item| self.value(*of, item)),
            (Type::Map(of), Value::Object(members)) => members.values().try_for_each(|member| self.value(*of, member)),
            (Type::Record(_, fields), Value::Object(members)) => {
                for field in fields {
                    match members.get(&field.name) {
                        Some(value) => self.value(field.of, value).map_err(|why| format!("{}: {why}", field.name))?,
                        None if field.defaults => {}
                        None => return Err(format!("avro: missing required field {}", field.name)),
                    }
                }
                Ok(())
            }
            (Type::Union(branches), value) => self.union(branches, value),
            _ => wrong(),
        }
    }
    /// A value as it is, or as Avro's own JSON writes it: `{"long": 1}`.
    fn union(&mut self, branches: &[Id], value: &Value) -> Result<(), String> {
        let mut why = None;
        if let Value::Object(members) = value
            && let (1, Some((word, inner))) = (members.len(), members.iter().next())
            && let Some(branch) = branches.iter().find(|branch| self.types.get(**branch).word() == word)
        {
            match self.value(*branch, inner) {
                Ok(()) => return Ok(()),
                Err(said) => why = Some(said),
            }
        }
        let mut others = branches.iter().filter(|branch| !matches!(self.types.get(**branch), Type::Null));
        let only = others.next().copied().filter(|_| others.next().is_none());
        for branch in branches {
            match self.value(*branch, value) {
                Ok(()) => return Ok(()),
                // Of one that may be null, what is wrong with it if it is not.
                Err(said) if only == Some(*branch) => why = why.or(Some(said)),
                Err(_) => {}
            }
        }
        if self.left == 0 {
            return Err(TOO_MANY.to_owned());
        }
        Err(why.unwrap_or_else(|| format!("avro: unknown union type {}", sort(value))))
    }
}
/// A whole number, exactly: those that were written as something else have become what they are.
fn within(number: &Number, min: i64, max: i64, word: &str) -> Result<(), String> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) if (min..=max).contains(&whole) => Ok(()),
        (None, Some(float)) if number.is_f64() && float.abs() < i64::MAX as f64 => {
            Err(format!("avro: {number} is no whole number for Avro {word}"))
        }
        _ => Err(format!("avro: {number} is out of range for Avro {word}")),
    }
}
/// What the reference calls it.
fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
