//! What parts of two JSON Schemas refer to, each within its own document.
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::HashSet;

/// So many values are looked at to see whether parts are the same; then they are not.
const LOOKS: usize = 10_000_000;

/// The two documents.
pub(super) struct References<'a> {
    pub(super) old: &'a Value,
    pub(super) new: &'a Value,
    left: usize,
}
impl<'a> References<'a> {
    pub(super) fn new(old: &'a Value, new: &'a Value) -> Self {
        Self { old, new, left: LOOKS }
    }
    /// Whether two parts ask the same: equal texts whose references lead to equal texts.
    pub(super) fn same(&mut self, old: &Value, new: &Value) -> bool {
        let (mut left, mut known) = (vec![(old, new)], HashSet::new());
        let (mut refers, mut is_renamed) = (false, false);
        while let Some((old, new)) = left.pop() {
            let Some(rest) = self.left.checked_sub(1) else { return false };
            self.left = rest;
            match (old, new) {
                (Value::Array(was), Value::Array(is)) if was.len() == is.len() => left.extend(was.iter().zip(is)),
                (Value::Object(was), Value::Object(is)) if was.len() == is.len() => {
                    for (key, value) in was {
                        let Some(other) = is.get(key) else { return false };
                        left.push((value, other));
                    }
                    is_renamed |= is_base(old);
                    if was.contains_key("$dynamicRef") || was.contains_key("$recursiveRef") {
                        return false;
                    }
                    if let Some(to) = was.get("$ref").and_then(Value::as_str) {
                        refers = true;
                        if known.insert(to) {
                            let (Some(was), Some(is)) = (target(self.old, to), target(self.new, to)) else {
                                return false;
                            };
                            left.push((was, is));
                        }
                    }
                }
                (Value::Array(_) | Value::Object(_), _) => return false,
                (was, is) if was == is => {}
                _ => return false,
            }
        }
        // Below a name of its own, a reference leads elsewhere; the names of the documents themselves do not matter.
        !(refers && is_renamed && !(std::ptr::eq(old, self.old) && std::ptr::eq(new, self.new)))
    }
}
/// It begins a document of its own.
pub(super) fn is_base(schema: &Value) -> bool {
    ["$id", "id", "$schema"]
        .iter()
        .any(|key| schema.get(key).is_some_and(Value::is_string))
}
/// Where a reference leads; `None`: somewhere that is not judged.
pub(super) fn target<'v>(whole: &'v Value, to: &str) -> Option<&'v Value> {
    let pointer = percent_decode_str(to.strip_prefix('#')?).decode_utf8().ok()?;
    if pointer.is_empty() {
        return Some(whole);
    }
    let mut ends: Vec<_> = pointer
        .char_indices()
        .filter(|(_, char)| *char == '/')
        .map(|(at, _)| at)
        .skip(1)
        .collect();
    ends.push(pointer.len());
    let mut found = None;
    for end in ends {
        let next = whole.pointer(pointer.get(..end)?)?;
        // What lies below another name is not what this one means to everybody.
        if is_base(next) {
            return None;
        }
        found = Some(next);
    }
    found
}
