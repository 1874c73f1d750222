//! What a reference may lead to. Which subschemas have a name of their own, and under which address, depends on the dialect and on the way
//! that leads to them. Here each may have each it could have, so that what the validator finds is always among what is found here.
use crate::Invalid;
use jsonschema::{Uri, uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::HashMap;

/// So many subschemas one reference may mean at most.
const MEANT: usize = 64;
/// So many bytes the addresses of all subschemas may take.
const ADDRESSES: usize = 8 << 20;
/// What the validator brings along.
const BROUGHT: [&str; 2] = ["http://json-schema.org/", "https://json-schema.org/"];

/// All values of a schema that can be referred to.
pub(super) struct Places<'s> {
    all: HashMap<*const Value, Place<'s>>,
    /// The addresses that references may be relative to.
    bases: Vec<Vec<Uri<String>>>,
    known: HashMap<String, Vec<&'s Value>>,
    anchors: HashMap<&'s str, Vec<&'s Value>>,
    /// Those with `$recursiveAnchor`.
    recursive: Vec<&'s Value>,
    room: usize,
}
struct Place<'s> {
    /// The value around it, and what it is called there.
    within: Option<(*const Value, Step<'s>)>,
    bases: usize,
}
#[derive(Clone, Copy)]
enum Step<'s> {
    Member(&'s str),
    Item(usize),
}
/// Where a reference leads to: one of them.
#[derive(Default)]
pub(super) struct Meant<'s> {
    pub(super) schemas: Vec<&'s Value>,
    /// Or to what the validator brings along.
    pub(super) brought: bool,
}
impl<'s> Places<'s> {
    /// Of a schema that lies at `base`.
    pub(super) fn of(schema: &'s Value, base: &str) -> Result<Self, Invalid> {
        let base = uri::from_str(base).map_err(|error| Invalid::new("", error.to_string()))?;
        let mut all = Self {
            all: HashMap::new(),
            known: HashMap::from([(address(&base).to_owned(), vec![schema])]),
            bases: vec![vec![base]],
            anchors: HashMap::new(),
            recursive: Vec::new(),
            room: ADDRESSES,
        };
        all.add(schema, None, 0)?;
        Ok(all)
    }
    fn add(&mut self, value: &'s Value, within: Option<(*const Value, Step<'s>)>, bases: usize) -> Result<(), Invalid> {
        let key = std::ptr::from_ref(value);
        match value {
            Value::Object(members) => {
                self.all.insert(key, Place { within, bases });
                let bases = self.named(value, bases)?;
                self.all.entry(key).and_modify(|place| place.bases = bases);
                let mut members = members.iter();
                members.try_for_each(|(name, member)| self.add(member, Some((key, Step::Member(name))), bases))
            }
            Value::Array(items) => {
                self.all.insert(key, Place { within, bases });
                let mut items = items.iter().enumerate();
                items.try_for_each(|(index, item)| self.add(item, Some((key, Step::Item(index))), bases))
            }
            Value::Bool(_) => {
                self.all.insert(key, Place { within, bases });
                Ok(())
            }
            Value::Null | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }
    /// Whether a name counts depends on the dialect, on what stands beside it and on the way to it: it may, and it may not.
    fn named(&mut self, value: &'s Value, outer: usize) -> Result<usize, Invalid> {
        let text = |keyword: &str| value.get(keyword).and_then(Value::as_str);
        if value.get("$recursiveAnchor").is_some_and(|anchor| *anchor != Value::Bool(false)) {
            self.recursive.push(value);
        }
        for anchor in ["$anchor", "$dynamicAnchor"].into_iter().filter_map(text) {
            self.anchors.entry(anchor).or_default().push(value);
        }
        let around = self.bases.get(outer).map_or(&[][..], Vec::as_slice);
        let mut bases = around.to_vec();
        for (keyword, id) in ["$id", "id"].into_iter().filter_map(|keyword| Some((keyword, text(keyword)?))) {
            if let Some((_, anchor)) = id.split_once('#') {
                self.anchors.entry(anchor).or_default().push(value);
            }
            let id = id.trim_end_matches('#');
            for own in around.iter().filter_map(|base| uri::resolve_against(&base.borrow(), id).ok()) {
                let own_address = address(&own);
                if BROUGHT.iter().any(|brought| own_address.starts_with(brought)) {
                    let at = format!("{}/{keyword}", self.at(value));
                    return Err(Invalid::new(at, "what lies at json-schema.org is known already").hint("give it a name of your own"));
                }
                let known = self.known.entry(own_address.to_owned()).or_default();
                if !known.iter().any(|other| std::ptr::eq(*other, value)) {
                    known.push(value);
                }
                // The validator may put a name before itself once more.
                let twice = uri::resolve_against(&own.borrow(), id).ok().filter(|twice| *twice != own);
                if twice.is_some() && text("$dynamicAnchor").is_some() {
                    let at = format!("{}/{keyword}", self.at(value));
                    let why = "a relative name of several parts beside `$dynamicAnchor` is not told from others";
                    return Err(Invalid::new(at, why).hint("begin it with its scheme or with `/`"));
                }
                for base in [Some(own), twice].into_iter().flatten() {
                    if !bases.contains(&base) {
                        bases.push(base);
                    }
                }
            }
        }
        if bases.len() == around.len() {
            return Ok(outer);
        }
        let bytes = bases.iter().map(|base| size_of::<Uri<String>>() + base.as_str().len()).sum();
        match self.room.checked_sub(bytes) {
            Some(room) if bases.len() <= MEANT => self.room = room,
            _ => return Err(Invalid::new(self.at(value), "too many names inside each other").hint("give fewer subschemas an `$id`")),
        }
        self.bases.push(bases);
        Ok(self.bases.len() - 1)
    }
    /// The pointer to a value.
    pub(super) fn at(&self, value: &Value) -> String {
        let (mut steps, mut at) = (Vec::new(), std::ptr::from_ref(value));
        while let Some((around, step)) = self.all.get(&at).and_then(|place| place.within) {
            steps.push(match step {
                Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                Step::Item(index) => format!("/{index}"),
            });
            at = around;
        }
        steps.reverse();
        steps.concat()
    }
    /// What a reference in that subschema may mean.
    pub(super) fn referred(&self, from: &'s Value, keyword: &str, to: &str) -> Result<Meant<'s>, Invalid> {
        let refused = |why: &str| {
            let shown = crate::text::cut(to, 100);
            let invalid = Invalid::new(format!("{}/{keyword}", self.at(from)), format!("the reference \"{shown}\" {why}"));
            Err(invalid.hint("put what it means under `$defs` and refer to it as `#/$defs/NAME`: nothing is fetched"))
        };
        // As the validator takes it apart.
        let (document, fragment) = match to.strip_prefix('#') {
            Some(fragment) => (None, fragment),
            None => to
                .rsplit_once('#')
                .map_or((Some(to), ""), |(document, fragment)| (Some(document), fragment)),
        };
        let bases = self
            .all
            .get(&std::ptr::from_ref(from))
            .and_then(|place| self.bases.get(place.bases));
        let mut meant = Meant::default();
        let mut documents: Vec<&'s Value> = Vec::new();
        for base in bases.into_iter().flatten() {
            let whole = match document {
                None => Some(base.clone()),
                Some(document) => uri::resolve_against(&base.borrow(), document).ok(),
            };
            let Some(whole) = whole else { continue };
            let whole = address(&whole);
            meant.brought |= BROUGHT.iter().any(|brought| whole.starts_with(brought));
            documents.extend(self.known.get(whole).into_iter().flatten());
        }
        let decoded = percent_decode_str(fragment).decode_utf8();
        let named = |name: &str| self.anchors.get(name).into_iter().flatten().copied();
        match decoded.as_deref() {
            _ if fragment.is_empty() => meant.schemas = documents,
            Ok(_) if fragment.starts_with('/') => {
                meant.schemas = documents.into_iter().filter_map(|document| pointed(document, fragment)).collect();
            }
            // Which of those with that name it is may depend on how the validator came there.
            Ok(decoded) => meant.schemas = named(fragment).chain(named(decoded)).collect(),
            Err(_) => meant.schemas = named(fragment).collect(),
        }
        if keyword == "$recursiveRef" {
            if to != "#" {
                return refused("is not \"#\"");
            }
            meant.schemas.extend(&self.recursive);
        }
        meant.schemas.sort_unstable_by_key(|schema| std::ptr::from_ref(*schema));
        meant.schemas.dedup_by_key(|schema| std::ptr::from_ref(*schema));
        // What is brought along asks for the outermost of these names.
        if meant.brought && (self.anchors.contains_key("meta") || !self.recursive.is_empty()) {
            return refused("leads to a schema that would lead back");
        }
        if meant.schemas.len() > MEANT {
            return refused(&format!("could mean more than {MEANT} subschemas"));
        }
        if meant
            .schemas
            .iter()
            .any(|schema| !self.all.contains_key(&std::ptr::from_ref(*schema)))
        {
            return refused("leads to what is no schema");
        }
        if meant.schemas.is_empty() && !meant.brought {
            return refused("leads to nothing in the schema");
        }
        Ok(meant)
    }
    /// Whether a dialect is one that the validator brings along.
    pub(super) fn is_dialect(name: &str) -> bool {
        BROUGHT.iter().any(|brought| name.starts_with(brought))
    }
}
/// Without what comes behind `#`.
fn address(of: &Uri<String>) -> &str {
    let text = of.as_str();
    text.split_once('#').map_or(text, |(address, _)| address)
}
/// As the validator follows it: `%2F` parts as `/` does, and `01` is 1.
fn pointed<'s>(document: &'s Value, pointer: &str) -> Option<&'s Value> {
    let pointer = percent_decode_str(pointer.strip_prefix('/')?).decode_utf8().ok()?;
    pointer.split('/').try_fold(document, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(unescaped(step)),
    })
}
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::select};
    use serde_json::json;

    const BASE: &str = "file:///tidegate/order";
    /// Where subschemas may lie, inside each other.
    const WAYS: [&str; 9] = [
        "/$defs/a",
        "/definitions/b",
        "/properties/id",
        "/default",
        "/x/y",
        "/enum/0",
        "/items",
        "/prefixItems/0",
        "/const",
    ];
    const NAMES: [&str; 14] = [
        "a",
        "order",
        "x/",
        "x/a",
        "../a",
        "/a",
        ".",
        "http://h/",
        "http://h/%61",
        "http://h/a#",
        "#n",
        "a#n",
        "",
        "urn:a",
    ];
    const REFERENCES: [&str; 26] = [
        "#",
        "a",
        "a#",
        "order",
        "x/",
        "x/a",
        "x/../a",
        "../a",
        "/a",
        ".",
        "./",
        "http://h/",
        "http://h/a",
        "HTTP://H/%61",
        "http://h",
        "#n",
        "a#n",
        "http://h/#n",
        "#/$defs/a",
        "#/%24defs/a",
        "a#/$defs/a",
        "#/definitions/b",
        "#/x/y",
        "a#/default",
        "urn:a",
        "#/enum/00",
    ];
    const DIALECTS: [&str; 5] = [
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-04/schema#",
    ];
    /// Puts one subschema where the pointer leads.
    fn put(schema: &mut Value, pointer: &str, inner: Value) {
        let Some((step, rest)) = pointer.strip_prefix('/').map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
            *schema = inner;
            return;
        };
        let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
        if step == "0" {
            if !schema.is_array() {
                *schema = json!([{}]);
            }
            put(&mut schema[0], &rest, inner);
        } else {
            if !schema.is_object() {
                *schema = json!({});
            }
            put(&mut schema[step], &rest, inner);
        }
    }
    type Part = (
        Vec<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
        bool,
        &'static str,
    );
    fn part() -> impl Strategy<Value = Part> {
        let name = prop::option::of(select(&NAMES[..]));
        (
            prop::collection::vec(select(&WAYS[..]), 0..3),
            name.clone(),
            prop::option::weighted(0.2, select(&NAMES[..])),
            select(vec![None, None, Some("$anchor"), Some("$dynamicAnchor")]),
            any::<bool>(),
            select(&REFERENCES[..]),
        )
    }
    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
        /// The validator is asked where a reference leads to: each subschema takes a mark of its own.
        #[test]
        fn what_the_validator_finds_is_known(
            parts in prop::collection::vec(part(), 1..6), from in any::<prop::sample::Index>(), dialect in prop::option::of(select(&DIALECTS[..])),
        ) {
            let mut schema = json!({});
            // Shorter ways first, so that none is put over what lies in it.
            let mut parts: Vec<_> = parts.into_iter().map(|part| (part.0.concat(), part)).collect();
            parts.sort_by_key(|(way, _)| way.len());
            parts.dedup_by_key(|(way, _)| way.clone());
            let from = from.index(parts.len());
            for (number, (way, (_, dollar, id, anchor, dynamic, to))) in parts.iter().enumerate() {
                let refers = if *dynamic { "$dynamicRef" } else { "$ref" };
                let mut of = json!({"properties": {"mark": {"enum": [number]}}});
                if number == from {
                    of["properties"]["r"] = json!({refers: to});
                }
                for (keyword, name) in [(Some("$id"), dollar), (Some("id"), id), (*anchor, &Some("n"))] {
                    if let (Some(keyword), Some(name)) = (keyword, name) {
                        of[keyword] = json!(name);
                    }
                }
                put(&mut schema, way, of);
            }
            if let Some(dialect) = dialect {
                schema["$schema"] = json!(dialect);
            }
            let way = &parts[from].0;
            schema["patternProperties"] = json!({"^start$": {"$ref": format!("#{way}")}});
            // As a schema is made: what is refused here does not come so far.
            let Ok(places) = Places::of(&schema, BASE) else { return Ok(()) };
            let built = jsonschema::options().with_base_uri(BASE).offline().build(&schema);
            let Ok(validator) = built else { return Ok(()) };
            let takes = |mark: i64| validator.is_valid(&json!({"start": {"r": {"mark": mark}}}));
            let marks: Vec<_> = (-1..8).filter(|mark| takes(*mark)).collect();
            // The root may ask as well; where the mark is not told apart nothing is known.
            if let [mark] = *marks && let Ok(number) = usize::try_from(mark) {
                let read = schema.pointer(way).unwrap().pointer("/properties/r").unwrap();
                let (keyword, to) = read.as_object().unwrap().iter().next().unwrap();
                let Ok(meant) = places.referred(read, keyword, to.as_str().unwrap()) else { return Ok(()) };
                let target = schema.pointer(&parts[number].0).unwrap();
                prop_assert!(meant.schemas.iter().any(|schema| std::ptr::eq(*schema, target)), "{schema}: {way} {to} leads to {}", parts[number].0);
            }
        }
    }
}
