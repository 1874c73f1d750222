//! JSON Schema: every message the old one takes is one that the new one takes. Judged keyword by keyword, at the same place of both; what this
//! cannot see, such as alternatives that were written otherwise, counts as a break.
use super::Incompatible;
use serde_json::{Map, Number, Value};
use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
};

/// Says nothing about a message.
const PROSE: &[&str] = &[
    "$schema",
    "$id",
    "id",
    "$comment",
    "$defs",
    "definitions",
    "$anchor",
    "$dynamicAnchor",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];
/// The new one may ask for less.
const AT_LEAST: &[&str] = &["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
/// The new one may allow more.
const AT_MOST: &[&str] = &["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// Read together, below.
const OF_OBJECTS: &[&str] = &["properties", "patternProperties", "additionalProperties", "required", "type"];
/// Looked at so often, then it is called a break: schemas that refer to each other in circles end here.
const STEPS: usize = 20_000;

pub(super) fn compare(old: &Value, new: &Value) -> Vec<Incompatible> {
    let mut walk = Walk {
        old,
        new,
        seen: HashSet::new(),
        told: Vec::new(),
        left: STEPS,
    };
    walk.schema(old, new, "");
    walk.told
}
struct Walk<'a> {
    old: &'a Value,
    new: &'a Value,
    /// Pairs that are looked at, or were.
    seen: HashSet<(*const Value, *const Value)>,
    told: Vec<Incompatible>,
    left: usize,
}
impl<'a> Walk<'a> {
    fn tell(&mut self, at: &str, what: impl Into<String>) {
        self.told.push(Incompatible::new(at, what));
    }
    fn schema(&mut self, old: &'a Value, new: &'a Value, at: &str) {
        let (Some(left), true) = (self.left.checked_sub(1), self.told.len() < super::MOST) else {
            return self.tell(at, "the schemas are too large to be compared");
        };
        self.left = left;
        let (old, new) = (follow(self.old, old), follow(self.new, new));
        if !self.seen.insert((old, new)) || old == new && self.same_references(old) {
            return;
        }
        match (old, new) {
            (_, Value::Bool(true)) | (Value::Bool(false), _) => {}
            (_, Value::Bool(false)) => self.tell(at, "nothing is taken any more"),
            (_, Value::Object(new)) if new.keys().all(|key| PROSE.contains(&key.as_str())) => {}
            (Value::Object(old), Value::Object(new)) => self.keywords(old, new, at),
            (_, Value::Object(new)) => {
                for key in new.keys().filter(|key| !PROSE.contains(&key.as_str())) {
                    self.tell(&format!("{at}/{}", escaped(key)), "this is asked anew");
                }
            }
            _ => self.tell(at, "this is no schema"),
        }
    }
    /// Equal texts are equal schemas, unless what they refer to is not.
    fn same_references(&self, schema: &Value) -> bool {
        self.old == self.new || !schema.to_string().contains("\"$")
    }
    fn keywords(&mut self, old: &'a Map<String, Value>, new: &'a Map<String, Value>, at: &str) {
        self.types(old, new, at);
        self.required(old, new, at);
        self.properties(old, new, at);
        for (key, value) in new {
            let key = key.as_str();
            if PROSE.contains(&key) || OF_OBJECTS.contains(&key) {
                continue;
            }
            let (was, at) = (old.get(key), format!("{at}/{}", escaped(key)));
            match (was, value) {
                (Some(Value::Number(was)), Value::Number(is)) if AT_LEAST.contains(&key) => {
                    if order(was, is) == Ordering::Less {
                        self.tell(&at, format!("it was {was}, and is {is}"));
                    }
                }
                (Some(Value::Number(was)), Value::Number(is)) if AT_MOST.contains(&key) => {
                    if order(was, is) == Ordering::Greater {
                        self.tell(&at, format!("it was {was}, and is {is}"));
                    }
                }
                (None, Value::Number(is)) if key.starts_with("min") && !key.ends_with("imum") && is.as_u64() == Some(0) => {}
                (Some(Value::Array(was)), Value::Array(is)) if key == "enum" => {
                    for gone in was.iter().filter(|one| !is.contains(one)) {
                        self.tell(&at, format!("{gone} is not taken any more"));
                    }
                }
                (None, Value::Array(is)) if key == "enum" && old.get("const").is_some_and(|one| is.contains(one)) => {}
                (_, Value::Bool(false)) if key == "uniqueItems" => {}
                (Some(was), is)
                    if matches!(
                        key,
                        "items" | "contains" | "propertyNames" | "unevaluatedProperties" | "unevaluatedItems" | "additionalItems"
                    ) && !was.is_array()
                        && !is.is_array() =>
                {
                    self.schema(was, is, &at);
                }
                (Some(Value::Array(was)), Value::Array(is)) if matches!(key, "allOf" | "anyOf" | "oneOf" | "prefixItems") => {
                    self.alternatives(key, was, is, &at);
                }
                (Some(was), is) if was == is && self.same_references(is) => {}
                (Some(_), _) => self.tell(&at, "it asks something else, and whether that is less cannot be told"),
                (None, _) => self.tell(&at, "this is asked anew"),
            }
        }
    }
    fn alternatives(&mut self, key: &str, was: &'a [Value], is: &'a [Value], at: &str) {
        let fine = match key {
            // One more condition is one more to fail.
            "allOf" => is.len() <= was.len(),
            // One more alternative takes more.
            "anyOf" => is.len() >= was.len(),
            _ => is.len() == was.len(),
        };
        if !fine {
            return self.tell(at, format!("there were {}, and are {}", was.len(), is.len()));
        }
        for (i, (was, is)) in was.iter().zip(is).enumerate() {
            let at = format!("{at}/{i}");
            if key == "oneOf" && was != is {
                // More of one may be too much of two.
                self.tell(&at, "it asks something else, and whether exactly one still matches cannot be told");
            } else {
                self.schema(was, is, &at);
            }
        }
    }
    fn types(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let Some(is) = types(new) else { return };
        let at = format!("{at}/type");
        let Some(was) = types(old) else {
            // A constant has a type of its own.
            if old.get("const").map(crate::json::kind).is_some_and(|kind| is.contains(kind)) {
                return;
            }
            return self.tell(&at, "this is asked anew");
        };
        for gone in was {
            let taken = is.contains(gone) || (gone == "integer" && is.contains("number"));
            if !taken {
                self.tell(&at, format!("{gone} is not taken any more"));
            }
        }
    }
    fn required(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let names = |of: &Map<String, Value>| -> BTreeSet<String> {
            let list = of.get("required").and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for name in names(new).difference(&names(old)) {
            self.tell(&format!("{at}/required"), format!("`{name}` must be there now"));
        }
    }
    fn properties(&mut self, old: &'a Map<String, Value>, new: &'a Map<String, Value>, at: &str) {
        static ANY: Value = Value::Bool(true);
        let of = |schema: &'a Map<String, Value>, key: &str| schema.get(key).and_then(Value::as_object);
        let rest = |schema: &'a Map<String, Value>| schema.get("additionalProperties").unwrap_or(&ANY);
        let (was, is) = (of(old, "properties"), of(new, "properties"));
        for (name, schema) in is.into_iter().flatten() {
            let at = format!("{at}/properties/{}", escaped(name));
            match was.and_then(|was| was.get(name)) {
                Some(before) => self.schema(before, schema, &at),
                // Nobody could send it.
                None if rest(old) == &Value::Bool(false) => {}
                // Whatever was sent under that name, which nobody was asked to do.
                None if rest(old) == &ANY => {}
                None => self.schema(rest(old), schema, &at),
            }
        }
        for (name, schema) in was.into_iter().flatten() {
            if !is.is_some_and(|is| is.contains_key(name)) && rest(new) != &ANY {
                let at = format!("{at}/properties/{}", escaped(name));
                if rest(new) == &Value::Bool(false) {
                    self.tell(&at, "it is not taken any more");
                } else {
                    self.schema(schema, rest(new), &at);
                }
            }
        }
        if rest(old) != rest(new) {
            self.schema(rest(old), rest(new), &format!("{at}/additionalProperties"));
        }
        if old.get("patternProperties") != new.get("patternProperties") && new.contains_key("patternProperties") {
            self.tell(
                &format!("{at}/patternProperties"),
                "it asks something else, and whether that is less cannot be told",
            );
        }
    }
}
/// What it refers to, if it does nothing else.
fn follow<'v>(root: &'v Value, mut schema: &'v Value) -> &'v Value {
    for _ in 0..100 {
        let Some(members) = schema.as_object() else { break };
        let asks = members.keys().filter(|key| !PROSE.contains(&key.as_str())).count();
        let to = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        match to.filter(|_| asks == 1).and_then(|to| root.pointer(to)) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}
fn types(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some([one.as_str()].into()),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}
/// Exact where both are integers.
fn order(a: &Number, b: &Number) -> Ordering {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
