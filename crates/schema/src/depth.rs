//! How deep documents nest: whoever walks one uses the stack.
use crate::Invalid;
use serde_json::Value;

/// Of a schema. Deeper than anybody writes, and shallow enough for the stack of a thread.
pub(crate) const SCHEMA: usize = 48;

/// Refuses a schema that nests deeper.
pub(crate) fn bound(schema: &Value) -> Result<(), Invalid> {
    // By hand, so that the question needs no stack itself.
    let mut left = vec![(schema, 0)];
    while let Some((value, depth)) = left.pop() {
        if depth > SCHEMA {
            return Err(Invalid::new("", format!("the schema nests deeper than {SCHEMA} levels")));
        }
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => left.extend(members.values().map(|member| (member, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}
