//! JSON Schema: every message the old one takes is one that the new one takes. Each thing that the new one asks for must be asked for by the old
//! one at the same place; what this cannot see, such as alternatives that were written otherwise, counts as a break.
//!
//! Keywords that are read together are judged together, whichever of them is still there: to take away one of them may well ask for more.
use super::{
    Incompatible,
    references::{References, is_base, target},
};
use serde_json::{Map, Number, Value};
use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    sync::LazyLock,
};

type Members = Map<String, Value>;

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
    "$recursiveAnchor",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentSchema",
];
/// Says nothing about a message since 2019-09; before, both together do.
const CONTENT: &[&str] = &["contentEncoding", "contentMediaType"];
/// The new one may ask for less.
const AT_LEAST: &[&str] = &["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
/// The new one may allow more.
const AT_MOST: &[&str] = &["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// Judged together, each group by a function below.
const GROUPED: &[&str] = &[
    "type",
    "required",
    "properties",
    "patternProperties",
    "additionalProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "minContains",
    "maxContains",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// Other schemas that are asked about the same value.
const BESIDE: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
];
/// Looked at so often, then it is called a break: schemas that refer to each other in circles end here.
const STEPS: usize = 20_000;
const UNCLEAR: &str = "it asks something else, and whether that is less cannot be told";
static ANY: Value = Value::Bool(true);
static NOTHING: LazyLock<Members> = LazyLock::new(Members::new);

/// What the keywords mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Draft4,
    /// Drafts 6 and 7.
    Draft7,
    Draft2019,
    Draft2020,
}
impl Dialect {
    fn of(schema: &Value) -> Option<Self> {
        let Some(named) = schema.get("$schema") else {
            return Some(Self::Draft2020);
        };
        match named.as_str()?.trim_end_matches('#').split_once("://")?.1 {
            "json-schema.org/draft-04/schema" => Some(Self::Draft4),
            "json-schema.org/draft-06/schema" | "json-schema.org/draft-07/schema" => Some(Self::Draft7),
            "json-schema.org/draft/2019-09/schema" => Some(Self::Draft2019),
            "json-schema.org/draft/2020-12/schema" => Some(Self::Draft2020),
            _ => None,
        }
    }
    /// Nothing counts beside a reference.
    fn is_early(self) -> bool {
        matches!(self, Self::Draft4 | Self::Draft7)
    }
}
/// Properties that are described where anything was allowed under their name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Newcomers {
    /// Nobody was asked to send them, so they break nothing.
    Fine,
    /// Somebody may have sent them all the same.
    #[cfg(test)]
    Break,
}
pub(super) fn compare(old: &Value, new: &Value, newcomers: Newcomers) -> Vec<Incompatible> {
    if old == new {
        return Vec::new();
    }
    let told = |what: &str| vec![Incompatible::new("/$schema", what)];
    let text = |schema: &Value| schema.get("$schema").map(|text| text.to_string().replace(['#', '"'], ""));
    let (was, is) = (Dialect::of(old), Dialect::of(new));
    // Of drafts 6 and 7, which differ.
    if old.is_object() && (was != is || was.is_some_and(Dialect::is_early) && text(old) != text(new)) {
        return told("the keywords mean something else");
    }
    let Some(dialect) = is else {
        return told("what the keywords mean is not known here");
    };
    let mut walk = Walk {
        references: References::new(old, new),
        dialect,
        newcomers,
        seen: HashSet::new(),
        told: Vec::new(),
        left: STEPS,
    };
    walk.schema(old, new, "", true);
    walk.told
}
struct Walk<'a> {
    references: References<'a>,
    dialect: Dialect,
    newcomers: Newcomers,
    /// Pairs that are looked at, or were, and whether alone.
    seen: HashSet<(*const Value, *const Value, bool)>,
    told: Vec<Incompatible>,
    left: usize,
}
impl<'a> Walk<'a> {
    fn tell(&mut self, at: &str, what: impl Into<String>) {
        self.told.push(Incompatible::new(at, what));
    }
    fn is_prose(&self, key: &str) -> bool {
        PROSE.contains(&key) || (CONTENT.contains(&key) && !self.dialect.is_early())
    }
    /// `alone`: no other part of the old schema is asked about this value.
    fn schema(&mut self, old: &'a Value, new: &'a Value, at: &str, alone: bool) {
        let (Some(left), true) = (self.left.checked_sub(1), self.told.len() < super::MOST) else {
            return self.tell(at, "the schemas are too large to be compared");
        };
        self.left = left;
        if matches!(new, Value::Bool(true)) || matches!(old, Value::Bool(false)) {
            return;
        }
        if !self.seen.insert((old, new, alone)) || self.references.same(old, new) {
            return;
        }
        let is_whole = |schema: &Value, whole: &Value| std::ptr::eq(schema, whole);
        if is_base(old) && !is_whole(old, self.references.old) || is_base(new) && !is_whole(new, self.references.new) {
            return self.tell(at, "it has an `$id` or a `$schema` of its own, and is not what it was");
        }
        // What refers to something and asks for nothing else is what it refers to.
        if let Some(to) = self.refers(old)
            && let Some(old) = target(self.references.old, to)
        {
            return self.schema(old, new, at, alone);
        }
        if let Some(to) = self.refers(new) {
            return match target(self.references.new, to) {
                Some(new) => self.schema(old, new, at, alone),
                None => self.tell(&format!("{at}/$ref"), "where it leads is not judged: only `#/…` is"),
            };
        }
        match (old, new) {
            (_, Value::Bool(false)) => self.tell(at, "nothing is taken any more"),
            (Value::Object(old), Value::Object(new)) => self.keywords(old, new, at, alone),
            (Value::Bool(true), Value::Object(new)) => self.keywords(&NOTHING, new, at, alone),
            _ => self.tell(at, "this is no schema"),
        }
    }
    fn refers<'v>(&self, schema: &'v Value) -> Option<&'v str> {
        let members = schema.as_object()?;
        let to = members.get("$ref")?.as_str()?;
        let only = members.keys().all(|key| key == "$ref" || self.is_prose(key));
        (only || self.dialect.is_early()).then_some(to)
    }
    fn same(&mut self, was: Option<&'a Value>, is: Option<&'a Value>) -> bool {
        match (was, is) {
            (Some(was), Some(is)) => self.references.same(was, is),
            (was, is) => was.is_none() && is.is_none(),
        }
    }
    fn keywords(&mut self, old: &'a Members, new: &'a Members, at: &str, alone: bool) {
        let alone = alone && !old.keys().any(|key| BESIDE.contains(&key.as_str()));
        self.types(old, new, at);
        self.required(old, new, at);
        self.properties(old, new, at, alone);
        self.items(old, new, at, alone);
        self.contains(old, new, at);
        self.unevaluated(old, new, at, alone);
        for (keys, first) in [(&["if", "then", "else"][..], "if"), (CONTENT, "contentMediaType")] {
            let is_there = match first {
                "if" => new.contains_key("if"),
                _ => self.dialect.is_early() && keys.iter().any(|key| new.contains_key(*key)),
            };
            if is_there && !keys.iter().all(|key| self.same(old.get(*key), new.get(*key))) {
                self.tell(&format!("{at}/{first}"), UNCLEAR);
            }
        }
        for (key, value) in new {
            let key = key.as_str();
            if !self.is_prose(key) && !GROUPED.contains(&key) && !CONTENT.contains(&key) {
                self.keyword(key, old, value, &format!("{at}/{}", escaped(key)));
            }
        }
    }
    fn keyword(&mut self, key: &str, old: &'a Members, value: &'a Value, at: &str) {
        match (old.get(key), value) {
            (Some(Value::Number(was)), Value::Number(is)) if AT_LEAST.contains(&key) => {
                if order(was, is).is_none_or(Ordering::is_lt) {
                    self.tell(at, format!("it was {was}, and is {is}"));
                }
            }
            (Some(Value::Number(was)), Value::Number(is)) if AT_MOST.contains(&key) => {
                if order(was, is).is_none_or(Ordering::is_gt) {
                    self.tell(at, format!("it was {was}, and is {is}"));
                }
            }
            (None, Value::Number(is)) if matches!(key, "minLength" | "minItems" | "minProperties") && is.as_u64() == Some(0) => {}
            (Some(Value::Array(was)), Value::Array(is)) if key == "enum" => {
                for gone in was.iter().filter(|one| !is.contains(one)) {
                    self.tell(at, format!("{gone} is not taken any more"));
                }
            }
            (None, Value::Array(is)) if key == "enum" && self.constant(old).is_some_and(|one| is.contains(one)) => {}
            (_, Value::Bool(false)) if key == "uniqueItems" => {}
            (Some(was), is) if key == "propertyNames" => self.schema(was, is, at, false),
            (Some(Value::String(was)), Value::String(is)) if key == "$ref" => {
                match (target(self.references.old, was), target(self.references.new, is)) {
                    (Some(was), Some(is)) => self.schema(was, is, at, false),
                    _ => self.tell(at, "where it leads is not judged: only `#/…` is"),
                }
            }
            (Some(Value::Array(was)), Value::Array(is)) if matches!(key, "allOf" | "anyOf" | "oneOf") => {
                self.alternatives(key, was, is, at);
            }
            (Some(Value::Object(was)), Value::Object(is)) if matches!(key, "dependentSchemas" | "dependentRequired" | "dependencies") => {
                for (name, is) in is {
                    if !self.same(was.get(name), Some(is)) {
                        self.tell(&format!("{at}/{}", escaped(name)), UNCLEAR);
                    }
                }
            }
            (Some(was), is) if key == "const" && was == is => {}
            (Some(was), is) if self.references.same(was, is) && !matches!(key, "$dynamicRef" | "$recursiveRef" | "$ref") => {}
            (Some(_), _) => self.tell(at, UNCLEAR),
            (None, _) => self.tell(at, "this is asked anew"),
        }
    }
    /// The only value there is.
    fn constant<'v>(&self, schema: &'v Members) -> Option<&'v Value> {
        schema.get("const").filter(|_| self.dialect != Dialect::Draft4)
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
            if key != "oneOf" {
                self.schema(was, is, &at, false);
            } else if !self.references.same(was, is) {
                // More of one may be too much of two.
                self.tell(&at, "it asks something else, and whether exactly one still matches cannot be told");
            }
        }
    }
    fn types(&mut self, old: &Members, new: &Members, at: &str) {
        let Some(is) = types(new) else { return };
        let at = format!("{at}/type");
        let Some(was) = types(old) else {
            // A constant has a type of its own.
            if self.constant(old).map(crate::json::kind).is_some_and(|kind| is.contains(kind)) {
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
    fn required(&mut self, old: &Members, new: &Members, at: &str) {
        let names = |of: &Members| -> BTreeSet<String> {
            let list = of.get("required").and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for name in names(new).difference(&names(old)) {
            self.tell(&format!("{at}/required"), format!("`{name}` must be there now"));
        }
    }
    fn properties(&mut self, old: &'a Members, new: &'a Members, at: &str, alone: bool) {
        let of = |schema: &'a Members, key: &str| schema.get(key).and_then(Value::as_object).unwrap_or(&NOTHING);
        let rest = |schema: &'a Members| schema.get("additionalProperties").unwrap_or(&ANY);
        let (was, is) = (of(old, "properties"), of(new, "properties"));
        let (patterns, new_patterns) = (of(old, "patternProperties"), of(new, "patternProperties"));
        for (name, schema) in is {
            let at = format!("{at}/properties/{}", escaped(name));
            match was.get(name) {
                // A pattern may speak of it as well.
                Some(before) => self.schema(before, schema, &at, alone && patterns.is_empty()),
                None if schema == &ANY => {}
                None if !patterns.is_empty() => self.tell(&at, "whether a pattern described it otherwise cannot be told"),
                None if self.newcomer(old, name, alone) => {}
                None => self.schema(rest(old), schema, &at, alone),
            }
        }
        for (pattern, schema) in new_patterns {
            let at = format!("{at}/patternProperties/{}", escaped(pattern));
            match patterns.get(pattern) {
                Some(before) => self.schema(before, schema, &at, false),
                None => self.schema(&ANY, schema, &at, false),
            }
        }
        let rest_is = rest(new);
        if rest_is == &ANY {
            return;
        }
        // What was described and is not any more is one of the others now.
        let named = was.iter().filter_map(gone(is, "properties"));
        let gone: Vec<_> = named
            .chain(patterns.iter().filter_map(gone(new_patterns, "patternProperties")))
            .collect();
        for (key, name, schema) in gone {
            let at = format!("{at}/{key}/{}", escaped(name));
            if rest_is == &Value::Bool(false) && schema != &Value::Bool(false) {
                self.tell(&at, "it is not taken any more");
            } else {
                self.schema(schema, rest_is, &at, false);
            }
        }
        self.schema(
            rest(old),
            rest_is,
            &format!("{at}/additionalProperties"),
            alone && was.is_empty() && patterns.is_empty(),
        );
    }
    /// Nothing was said of that name, or that it must not be there.
    fn newcomer(&self, old: &Members, name: &str, alone: bool) -> bool {
        let unevaluated = old.get("unevaluatedProperties").filter(|_| !self.dialect.is_early());
        match (old.get("additionalProperties"), unevaluated) {
            (Some(Value::Bool(false)), _) => true,
            (None, Some(Value::Bool(false))) => alone,
            (None | Some(Value::Bool(true)), None | Some(Value::Bool(true))) => {
                // Where other parts are asked about the same value, one of them may have said it.
                self.newcomers == Newcomers::Fine && (alone || !mentions(self.references.old, name))
            }
            _ => false,
        }
    }
    /// The first items one by one, and all others.
    fn list<'v>(&self, of: &'v Members) -> (&'v [Value], Option<&'v Value>) {
        let items = of.get("items");
        match (items, self.dialect) {
            (_, Dialect::Draft2020) => (of.get("prefixItems").and_then(Value::as_array).map_or(&[], Vec::as_slice), items),
            (Some(Value::Array(first)), _) => (first, of.get("additionalItems")),
            (items, _) => (&[], items),
        }
    }
    fn items(&mut self, old: &'a Members, new: &'a Members, at: &str, alone: bool) {
        let ((was, was_rest), (is, is_rest)) = (self.list(old), self.list(new));
        // `contains` asks about items as well.
        let alone = alone && !old.contains_key("contains") && !old.contains_key("unevaluatedItems");
        let key = if self.dialect == Dialect::Draft2020 {
            "prefixItems"
        } else {
            "items"
        };
        for i in 0..was.len().max(is.len()) {
            let was = was.get(i).or(was_rest).unwrap_or(&ANY);
            let is = is.get(i).or(is_rest).unwrap_or(&ANY);
            self.schema(was, is, &format!("{at}/{key}/{i}"), alone);
        }
        let rest = if is.is_empty() || key == "prefixItems" {
            "items"
        } else {
            "additionalItems"
        };
        self.schema(was_rest.unwrap_or(&ANY), is_rest.unwrap_or(&ANY), &format!("{at}/{rest}"), alone);
    }
    fn contains(&mut self, old: &'a Members, new: &'a Members, at: &str) {
        let Some(is) = new.get("contains") else { return };
        let at = |key: &str| format!("{at}/{key}");
        let count = |of: &Members, key: &str| of.get(key).and_then(Value::as_f64);
        if self.dialect.is_early() {
            // They mean nothing there, or something else.
            let bounds = ["minContains", "maxContains"];
            if bounds.iter().any(|key| old.get(*key) != new.get(*key)) {
                return self.tell(&at("contains"), UNCLEAR);
            }
        }
        let (least, most) = (count(new, "minContains").unwrap_or(1.0), count(new, "maxContains"));
        if least <= 0.0 && most.is_none() && !self.dialect.is_early() {
            return;
        }
        let Some(was) = old.get("contains") else {
            return self.tell(&at("contains"), "this is asked anew");
        };
        if count(old, "minContains").unwrap_or(1.0) < least {
            self.tell(&at("minContains"), "more must be there now");
        }
        match most {
            // What matches more may match too much.
            Some(_) if !self.references.same(was, is) => self.tell(&at("contains"), UNCLEAR),
            Some(most) if count(old, "maxContains").is_none_or(|before| before > most) => {
                self.tell(&at("maxContains"), "not as many may be there any more");
            }
            Some(_) => {}
            None => self.schema(was, is, &at("contains"), false),
        }
    }
    /// What nothing else has looked at: nothing that looked before may have stopped to.
    fn unevaluated(&mut self, old: &'a Members, new: &'a Members, at: &str, alone: bool) {
        for key in ["unevaluatedProperties", "unevaluatedItems"] {
            let Some(is) = new.get(key).filter(|is| *is != &ANY) else {
                continue;
            };
            let at = format!("{at}/{key}");
            let names = |of: &'a Members, key: &str| of.get(key).and_then(Value::as_object).unwrap_or(&NOTHING);
            let looks = if key == "unevaluatedProperties" {
                let keeps = |key: &str| names(old, key).keys().all(|name| names(new, key).contains_key(name));
                keeps("properties")
                    && keeps("patternProperties")
                    && (new.contains_key("additionalProperties") || !old.contains_key("additionalProperties"))
            } else {
                let ((was, was_rest), (is, is_rest)) = (self.list(old), self.list(new));
                let counts = ["contains", "minContains", "maxContains"];
                was.len() <= is.len()
                    && (was_rest.is_none() || is_rest.is_some())
                    && counts.iter().all(|key| self.same(old.get(*key), new.get(*key)))
            };
            let leads = match [(old, self.references.old), (new, self.references.new)]
                .map(|(of, whole)| of.get("$ref").map(|to| to.as_str().and_then(|to| target(whole, to))))
            {
                [None, None] => true,
                [Some(Some(was)), Some(Some(is))] => self.references.same(was, is),
                _ => false,
            };
            if !looks || !leads || !BESIDE.iter().all(|key| self.same(old.get(*key), new.get(*key))) {
                self.tell(&at, "what it is asked about is something else now");
                continue;
            }
            let before = old.get(key).unwrap_or(&ANY);
            self.schema(before, is, &at, alone && key == "unevaluatedItems" && before == &ANY);
        }
    }
}
type Gone<'a> = (&'static str, &'a String, &'a Value);
/// Those that are not there now.
fn gone<'a>(now: &'a Members, key: &'static str) -> impl Fn((&'a String, &'a Value)) -> Option<Gone<'a>> {
    move |(name, schema)| (!now.contains_key(name)).then_some((key, name, schema))
}
/// Whether the name stands anywhere, or something that may mean it.
fn mentions(schema: &Value, name: &str) -> bool {
    let mut left = vec![schema];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) if text == name => return true,
            Value::Array(items) => left.extend(items),
            Value::Object(members) => {
                let any = ["patternProperties", "additionalProperties", "unevaluatedProperties"];
                if members.contains_key(name) || any.iter().any(|key| members.contains_key(*key)) {
                    return true;
                }
                left.extend(members.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    false
}
fn types(schema: &Members) -> Option<BTreeSet<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some([one.as_str()].into()),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}
/// Exact, or not told.
fn order(a: &Number, b: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let exact = |number: &Number| {
        number
            .as_f64()
            .filter(|float| float.abs() < (1_u64 << 53) as f64 || number.is_f64() && a == b)
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => exact(a)?.partial_cmp(&exact(b)?),
    }
}
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
