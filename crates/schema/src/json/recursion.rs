//! Alternatives that refer to themselves: a message that decides none of them is asked against each on every level, so the work doubles with
//! every level of it. Such schemas are asked about shallow messages only.
use serde_json::Value;
use std::collections::HashSet;

/// Keys whose schemas are all asked about the same value.
const ALTERNATIVES: &[&str] = &["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];
const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef"];
/// The work of a question doubles so often at most: some 65,000 steps.
const ASKED: u32 = 16;
/// And so often where each step is described.
const TOLD: u32 = 10;

/// How deep messages may nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    /// Deeper ones are not asked about.
    pub(super) asked: usize,
    /// Of deeper ones it is not said what is wrong with them.
    pub(super) told: usize,
}
struct Reference {
    /// A JSON pointer to the schema it stands in.
    at: String,
    /// As far as it is a pointer.
    to: Option<String>,
    among_alternatives: bool,
}
impl Levels {
    /// `None`: as deep as any message.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let mut references = Vec::new();
        collect(schema, &mut String::new(), false, &mut references);
        let recursive = |one: &usize| returns(*one, &references);
        let among = (0..references.len()).filter(|one| references.get(*one).is_some_and(|of| of.among_alternatives));
        let alternatives = among.filter(recursive).count();
        if alternatives < 2 {
            return None;
        }
        let doublings = usize::BITS - (alternatives - 1).leading_zeros();
        let levels = |most: u32| (most / doublings).max(2) as usize;
        Some(Self {
            asked: levels(ASKED),
            told: levels(TOLD),
        })
    }
}
fn collect(schema: &Value, at: &mut String, among_alternatives: bool, out: &mut Vec<Reference>) {
    let length = at.len();
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                if REFERENCES.contains(&&**name)
                    && let Value::String(to) = value
                {
                    out.push(Reference {
                        at: at.clone(),
                        to: to
                            .strip_prefix('#')
                            .filter(|to| to.is_empty() || to.starts_with('/'))
                            .map(str::to_owned),
                        among_alternatives,
                    });
                }
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                collect(value, at, among_alternatives || ALTERNATIVES.contains(&&**name), out);
                at.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&index.to_string());
                collect(item, at, among_alternatives, out);
                at.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
/// Whether what it refers to leads back to it. What is no pointer may lead anywhere.
fn returns(one: usize, all: &[Reference]) -> bool {
    let (mut seen, mut left) = (HashSet::new(), vec![one]);
    while let Some(now) = left.pop() {
        let Some(reference) = all.get(now) else { continue };
        let Some(to) = &reference.to else { return true };
        for (next, other) in all.iter().enumerate() {
            let within = other
                .at
                .strip_prefix(&**to)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if within && next == one {
                return true;
            }
            if within && seen.insert(next) {
                left.push(next);
            }
        }
    }
    false
}
/// Levels of arrays and objects.
pub(super) fn depth(value: &Value) -> usize {
    let (mut deepest, mut left) = (0, vec![(value, 1)]);
    while let Some((value, depth)) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => left.extend(members.values().map(|member| (member, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_alternatives_that_refer_to_themselves_are_bounded() {
        let arm = |kind: &str| json!({"properties": {"kind": {"const": kind}, "arg": {"$ref": "#/$defs/n"}}});
        let tree = json!({"$defs": {"n": {"oneOf": [arm("and"), arm("or"), {"type": "string"}]}}, "$ref": "#/$defs/n"});
        assert_eq!(Levels::of(&tree), Some(Levels { asked: 16, told: 10 }));
        let named = json!({"$defs": {"a": {"properties": {"x": {"$ref": "#"}}}, "b": {"properties": {"x": {"$ref": "#"}}}},
            "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]});
        assert!(Levels::of(&named).is_some());
        let anchors = json!({"anyOf": [{"$ref": "#a"}, {"$ref": "#b"}]});
        assert!(Levels::of(&anchors).is_some());
        for free in [
            json!({"$defs": {"a": {"type": "string"}, "b": {"type": "object"}}, "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}),
            json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
            json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}]}),
            json!(true),
        ] {
            assert_eq!(Levels::of(&free), None, "{free}");
        }
        assert_eq!(
            (depth(&json!(1)), depth(&json!([])), depth(&json!({"a": [1, {"b": 2}]}))),
            (0, 1, 3)
        );
    }
}
