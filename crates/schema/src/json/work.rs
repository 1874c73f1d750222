//! What a schema asks of one value. Alternatives that are all asked about the same value multiply: with the alternatives inside of them, where
//! they refer to others, and on each level of the message, where they refer to themselves. Here it is counted before a message comes, at most how
//! many subschemas are asked about one value, level by level: what multiplies without end meets shallow messages only, what asks
//! for too much otherwise is refused.
use super::places::Places;
use crate::Invalid;
use serde_json::Value;
use std::collections::HashMap;

/// So many subschemas are asked about one value at most, where what is asked has an end.
const MOST: u64 = 10_000;
/// And so many where it has none: on deeper levels it would be more.
const ASKED: u64 = 400_000;
/// And so many where each step is described.
const TOLD: u64 = 6_000;
/// So many are asked about all values of a message together, where alternatives refer to themselves.
const ASKS: u64 = 50_000_000;
/// All faults of a message may take so many bytes.
const FAULTS: u64 = 64 << 20;
/// What one fault takes beside its places.
const FAULT: u64 = 512;
/// Subschemas inside each other that are asked about one value, references among them: whoever asks uses the stack.
const CHAIN: usize = 32;
/// What the validator brings along counts as so many.
const BROUGHT: u64 = 64;

/// How deep messages may nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    /// Deeper ones are not asked about.
    pub(super) asked: usize,
    /// Of deeper ones it is not said what is wrong with them.
    pub(super) told: usize,
}
/// What a message may cost.
pub(super) struct Work {
    /// `None`: as deep as any message.
    pub(super) levels: Option<Levels>,
    /// How many subschemas are asked about one value, level by level.
    asked: Vec<u64>,
    /// How many faults they may find, and how many of those the validator keeps although it looks for the first only.
    faults: Vec<u64>,
    kept: Vec<u64>,
    /// Bytes of the longest pointer to a subschema.
    longest: u64,
}
/// How faults are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    All,
    First,
    Nothing,
}
impl Work {
    pub(super) fn of(graph: &Graph<'_>) -> Result<Self, Invalid> {
        let order = graph.order()?;
        let asked = graph.counts(&order, |node| node.weight);
        let levels = Levels::of(graph, &order, &asked)?;
        let faults = graph.counts(&order, |node| node.faults);
        let kept = graph.counts(&order, |node| if node.is_kept { node.faults } else { 0 });
        let longest = graph.schemas().map(|schema| graph.at(schema).len() as u64).max();
        Ok(Self {
            levels,
            asked: shortened(asked),
            faults: shortened(faults),
            kept: shortened(kept),
            longest: longest.unwrap_or_default(),
        })
    }
    /// Whether alternatives that refer to themselves are asked about so many values that it would take long.
    pub(super) fn is_long(&self, value: &Value) -> bool {
        self.levels.is_some() && within(value, ASKS, |depth, _| at(&self.asked, depth)).is_none()
    }
    /// Each fault says where it is: its place in the message is written out, and its place in the schema.
    pub(super) fn told(&self, value: &Value) -> Told {
        let keeps = |counts: &[u64]| {
            let bytes = |depth: usize, place: u64| {
                let one = FAULT + place + self.longest.saturating_mul(depth as u64 + 1);
                one.saturating_mul(at(counts, depth))
            };
            within(value, FAULTS, bytes).is_some()
        };
        if keeps(&self.faults) {
            Told::All
        } else if keeps(&self.kept) {
            Told::First
        } else {
            Told::Nothing
        }
    }
}
fn at(counts: &[u64], depth: usize) -> u64 {
    counts.get(depth).or(counts.last()).copied().unwrap_or_default()
}
/// Levels that are as the last.
fn shortened(mut counts: Vec<u64>) -> Vec<u64> {
    while let [.., before, last] = *counts
        && before == last
    {
        counts.pop();
    }
    counts
}
/// What is left of a budget when each value took its part, by its level and the length of its place.
fn within(value: &Value, budget: u64, part: impl Fn(usize, u64) -> u64) -> Option<u64> {
    let (mut budget, mut left) = (budget, vec![(value, 0, 0)]);
    while let Some((value, depth, place)) = left.pop() {
        budget = budget.checked_sub(part(depth, place))?;
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1, place + 8))),
            Value::Object(members) => {
                let members = members.iter();
                left.extend(members.map(|(name, member)| (member, depth + 1, place + 1 + 2 * name.len() as u64)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Some(budget)
}
impl Levels {
    /// `None`: as deep as any message.
    fn of(graph: &Graph<'_>, order: &[usize], counts: &[u64]) -> Result<Option<Self>, Invalid> {
        let levels = |most: u64| counts.iter().take_while(|count| **count <= most).count();
        let endless = counts.last().is_some_and(|count| *count > 0);
        let asked = levels(if endless { ASKED } else { MOST });
        if asked > crate::text::DEPTH {
            return Ok(None);
        }
        // The first level is the value itself.
        if !endless || asked < 3 {
            let most = if endless { ASKED } else { MOST };
            return Err(graph.refused(
                graph.widest(order),
                &format!("alternatives lead to alternatives: more than {most} subschemas would be asked about one value"),
            ));
        }
        Ok(Some(Self {
            asked: asked - 1,
            told: levels(TOLD).max(3) - 1,
        }))
    }
}
/// Subschemas by number, the whole schema being 0: all that can be asked, keyword by keyword and reference by reference.
pub(super) struct Graph<'s> {
    places: Places<'s>,
    nodes: Vec<Node<'s>>,
    known: HashMap<*const Value, usize>,
    /// What the validator brings along.
    brought: Option<usize>,
}
#[derive(Default)]
struct Node<'s> {
    schema: Option<&'s Value>,
    /// Asked about the same value. Of those in one group it is one.
    same: Vec<Vec<usize>>,
    /// Asked about what is inside of it, likewise.
    inside: Vec<Vec<usize>>,
    /// What is asked about the same value is asked once more, to know which members it looked at.
    again: bool,
    /// All faults of these are kept, to say why none of them fits.
    alternatives: Vec<usize>,
    /// It is one of those, or inside of one.
    is_kept: bool,
    /// How many it counts as.
    weight: u64,
    /// So many faults it may find in one value by itself.
    faults: u64,
}
impl<'s> Graph<'s> {
    /// Of a schema that lies at `base`.
    pub(super) fn of(schema: &'s Value, base: &str) -> Result<Self, Invalid> {
        let mut graph = Self {
            places: Places::of(schema, base)?,
            nodes: Vec::new(),
            known: HashMap::new(),
            brought: None,
        };
        graph.add(schema);
        // By hand, so that no chain of references needs the stack.
        let mut number = 0;
        while let Some(node) = graph.nodes.get(number) {
            if let Some(schema) = node.schema {
                let node = graph.look(schema)?;
                if let Some(place) = graph.nodes.get_mut(number) {
                    *place = node;
                }
            }
            number += 1;
        }
        graph.keep();
        Ok(graph)
    }
    pub(super) fn schemas(&self) -> impl Iterator<Item = &'s Value> {
        self.nodes.iter().filter_map(|node| node.schema)
    }
    pub(super) fn at(&self, schema: &Value) -> String {
        self.places.at(schema)
    }
    fn add(&mut self, schema: &'s Value) -> usize {
        let nodes = &mut self.nodes;
        *self.known.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            nodes.push(Node {
                schema: Some(schema),
                ..Node::default()
            });
            nodes.len() - 1
        })
    }
    fn look(&mut self, schema: &'s Value) -> Result<Node<'s>, Invalid> {
        let mut node = Node {
            schema: Some(schema),
            weight: 1,
            faults: 1,
            ..Node::default()
        };
        for (name, value) in schema.as_object().into_iter().flatten() {
            node.faults += 1;
            match (&**name, value) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                    let meant = self.places.referred(schema, name, to)?;
                    let mut group: Vec<_> = meant.schemas.into_iter().map(|schema| self.add(schema)).collect();
                    group.extend(meant.brought.then(|| self.brought()));
                    node.same.push(group);
                }
                // The validator would ask the schema about itself.
                ("$schema", Value::String(dialect)) if !Places::is_dialect(dialect) => {
                    let at = format!("{}/$schema", self.places.at(schema));
                    let shown = crate::text::cut(dialect, 100);
                    return Err(Invalid::new(at, format!("the dialect \"{shown}\" is not known"))
                        .hint("leave it out, or name one of json-schema.org: nothing is fetched"));
                }
                ("required", Value::Array(names)) => node.faults = node.faults.saturating_add(names.len() as u64),
                ("allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies", _) => {
                    let all = self.all(value);
                    if matches!(&**name, "anyOf" | "oneOf") {
                        node.alternatives.extend(&all);
                    }
                    node.same.extend(all.into_iter().map(|one| vec![one]));
                    node.faults = node.faults.saturating_add(names_of(value));
                }
                ("dependentRequired", _) => node.faults = node.faults.saturating_add(names_of(value)),
                ("not" | "if" | "then" | "else", _) => {
                    let one = self.add(value);
                    node.same.push(vec![one]);
                }
                ("properties" | "prefixItems", _) | ("items", Value::Array(_)) => node.inside.push(self.all(value)),
                ("patternProperties", _) => node.inside.extend(self.all(value).into_iter().map(|one| vec![one])),
                (
                    "additionalProperties"
                    | "unevaluatedProperties"
                    | "unevaluatedItems"
                    | "propertyNames"
                    | "items"
                    | "additionalItems"
                    | "contains",
                    _,
                ) => {
                    let one = self.add(value);
                    node.inside.push(vec![one]);
                    node.again |= name.starts_with("unevaluated");
                }
                // Not asked, but looked at by the validator as well.
                ("$defs" | "definitions", _) => drop(self.all(value)),
                ("contentSchema", _) => drop(self.add(value)),
                _ => {}
            }
        }
        Ok(node)
    }
    fn all(&mut self, value: &'s Value) -> Vec<usize> {
        let all: Vec<_> = match value {
            Value::Object(members) => members.values().collect(),
            Value::Array(items) => items.iter().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let schemas = all.into_iter().filter(|value| value.is_object() || value.is_boolean());
        schemas.map(|schema| self.add(schema)).collect()
    }
    fn keep(&mut self) {
        let mut left: Vec<_> = self.nodes.iter().flat_map(|node| node.alternatives.iter().copied()).collect();
        left.extend(self.brought);
        while let Some(node) = left.pop().and_then(|one| self.nodes.get_mut(one)) {
            if !std::mem::replace(&mut node.is_kept, true) {
                left.extend(node.same.iter().chain(&node.inside).flatten());
            }
        }
    }
    /// It asks the same of each value inside.
    fn brought(&mut self) -> usize {
        *self.brought.get_or_insert_with(|| {
            let number = self.nodes.len();
            self.nodes.push(Node {
                inside: vec![vec![number]],
                weight: BROUGHT,
                faults: BROUGHT,
                ..Node::default()
            });
            number
        })
    }
    fn refused(&self, node: usize, why: &str) -> Invalid {
        let schema = self.nodes.get(node).and_then(|node| node.schema);
        let at = schema.map(|schema| self.places.at(schema)).unwrap_or_default();
        Invalid::new(at, why).hint("put what the alternatives share beside them, and let fewer of them lead to others")
    }
    /// All subschemas, each behind those it asks about the same value.
    fn order(&self) -> Result<Vec<usize>, Invalid> {
        let same = self.walk(|node| node.same.concat());
        if let Some(node) = same.circle {
            return Err(self.refused(node, "the schema refers to itself about the same value"));
        }
        let mut chains = vec![0; self.nodes.len()];
        for one in &same.order {
            let after = self.nodes.get(*one).into_iter().flat_map(|node| node.same.iter().flatten());
            let longest = 1 + after.filter_map(|next| chains.get(*next)).max().copied().unwrap_or(0);
            if longest > CHAIN {
                return Err(self.refused(*one, &format!("more than {CHAIN} references and alternatives lead to each other")));
            }
            if let Some(chain) = chains.get_mut(*one) {
                *chain = longest;
            }
        }
        Ok(same.order)
    }
    fn walk(&self, next: impl Fn(&Node<'_>) -> Vec<usize>) -> Walked {
        let mut walked = Walked::default();
        let mut seen = vec![Seen::Not; self.nodes.len()];
        let see = |seen: &mut Vec<Seen>, node: usize, now: Seen| seen.get_mut(node).map_or(Seen::Done, |of| std::mem::replace(of, now));
        for start in 0..self.nodes.len() {
            let mut left = vec![(start, false)];
            while let Some((node, is_done)) = left.pop() {
                if is_done {
                    see(&mut seen, node, Seen::Done);
                    walked.order.push(node);
                    continue;
                }
                match see(&mut seen, node, Seen::Open) {
                    Seen::Not => {
                        left.push((node, true));
                        let after = self.nodes.get(node).map(&next).unwrap_or_default();
                        left.extend(after.into_iter().rev().map(|next| (next, false)));
                    }
                    Seen::Open => drop(walked.circle.get_or_insert(node)),
                    Seen::Done => drop(see(&mut seen, node, Seen::Done)),
                }
            }
        }
        walked
    }
    /// How many the whole schema asks about one value, on each level of the message.
    fn counts(&self, order: &[usize], weight: impl Fn(&Node<'_>) -> u64) -> Vec<u64> {
        let mut counts = Vec::new();
        let mut before = None;
        while counts.len() <= crate::text::DEPTH {
            let now = Some(self.level(order, before.as_deref(), &weight));
            let count = now.as_ref().and_then(|now| now.first()).copied().unwrap_or_default();
            // What does not change any more stays so.
            let more = if now == before { crate::text::DEPTH + 1 } else { counts.len() + 1 };
            counts.resize(more, count);
            before = now;
        }
        counts
    }
    /// How many are asked about one value some levels down, for each that is asked about one here; `before`: a level less, `None` on the first.
    fn level(&self, order: &[usize], before: Option<&[u64]>, weight: impl Fn(&Node<'_>) -> u64) -> Vec<u64> {
        let most = |groups: &[Vec<usize>], counts: &[u64]| {
            let of = |group: &Vec<usize>| group.iter().filter_map(|one| counts.get(*one)).max().copied().unwrap_or(0);
            groups.iter().map(of).fold(0, u64::saturating_add)
        };
        let mut counts = vec![0; self.nodes.len()];
        for one in order {
            let Some(node) = self.nodes.get(*one) else { continue };
            let own = before.map_or_else(|| weight(node), |before| most(&node.inside, before));
            let same = most(&node.same, &counts).saturating_mul(if node.again { 2 } else { 1 });
            if let Some(count) = counts.get_mut(*one) {
                *count = own.saturating_add(same);
            }
        }
        counts
    }
    /// The first that asks for too much by itself, or else the whole.
    fn widest(&self, order: &[usize]) -> usize {
        let counts = self.level(order, None, |node| node.weight);
        let wide = |one: &&usize| counts.get(**one).is_some_and(|count| *count > MOST);
        order.iter().find(wide).copied().unwrap_or_default()
    }
}
#[derive(Default)]
struct Walked {
    order: Vec<usize>,
    circle: Option<usize>,
}
#[derive(Clone, Copy)]
enum Seen {
    Not,
    Open,
    Done,
}
/// How many names the members of an object list.
fn names_of(value: &Value) -> u64 {
    let lists = value
        .as_object()
        .into_iter()
        .flat_map(|members| members.values())
        .filter_map(Value::as_array);
    lists.map(|names| names.len() as u64).sum()
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

    fn work(schema: &Value) -> Result<Work, Invalid> {
        Work::of(&Graph::of(schema, "file:///tidegate/order")?)
    }
    fn levels(schema: &Value) -> Option<Levels> {
        work(schema).unwrap_or_else(|invalid| panic!("{schema}: {invalid}")).levels
    }
    fn refused(schema: &Value) -> Invalid {
        work(schema).err().unwrap_or_else(|| panic!("{schema} is taken"))
    }
    /// Each leads to the next twice.
    fn doubled(levels: usize, twice: impl Fn(Value) -> Value) -> Value {
        let mut defs = serde_json::Map::new();
        for level in 0..levels {
            defs.insert(format!("d{level}"), twice(json!({"$ref": format!("#/$defs/d{}", level + 1)})));
        }
        defs.insert(format!("d{levels}"), json!({"type": "string"}));
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    }
    #[test]
    fn only_alternatives_that_refer_to_themselves_are_bounded() {
        let arm = |kind: &str| json!({"properties": {"kind": {"const": kind}, "arg": {"$ref": "#/$defs/n"}}});
        let tree = json!({"$defs": {"n": {"oneOf": [arm("and"), arm("or"), {"type": "string"}]}}, "$ref": "#/$defs/n"});
        assert_eq!(levels(&tree), Some(Levels { asked: 16, told: 10 }));
        let named = json!({"$defs": {"a": {"properties": {"x": {"$ref": "#"}}}, "b": {"properties": {"x": {"$ref": "#"}}}},
            "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]});
        assert!(levels(&named).is_some());
        let anchors = json!({"$defs": {"a": {"$anchor": "a", "items": {"$ref": "#"}}, "b": {"$id": "b", "items": {"$ref": "#/$defs/a"}}},
            "anyOf": [{"$ref": "#a"}, {"$ref": "b"}, {"items": {"$ref": "#/%24defs/a"}}]});
        assert!(levels(&anchors).is_some());
        for free in [
            json!({"$defs": {"a": {"type": "string"}, "b": {"type": "object"}}, "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}),
            json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
            json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}]}),
            json!({"oneOf": (0..1_000).map(|n| json!({"properties": {"kind": {"const": n}, "of": {"type": "string"}}})).collect::<Vec<_>>()}),
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
            json!(true),
        ] {
            assert_eq!(levels(&free), None, "{free}");
        }
        assert_eq!(
            (depth(&json!(1)), depth(&json!([])), depth(&json!({"a": [1, {"b": 2}]}))),
            (0, 1, 3)
        );
    }
    #[test]
    fn what_multiplies_without_referring_to_itself_is_refused() {
        let any = |next: Value| json!({"anyOf": [next, next]});
        let deeper = |next: Value| json!({"oneOf": [{"items": next}, {"items": next}]});
        let keyed = |next: Value| json!({"if": next, "then": next, "dependentSchemas": {"a": next}, "unevaluatedProperties": false});
        assert_eq!(levels(&doubled(10, any)), None);
        assert_eq!(levels(&doubled(10, deeper)), None);
        for bomb in [doubled(15, any), doubled(22, deeper), doubled(10, keyed)] {
            let invalid = refused(&bomb);
            assert!(invalid.hint.is_some() && invalid.message.contains("more than 10000"), "{invalid}");
        }
        let place = refused(&doubled(15, any)).at;
        assert!(place.starts_with("/$defs/d"), "{place}");
    }
    /// Whoever compiles or asks uses the stack.
    #[test]
    fn long_chains_and_circles_are_refused() {
        let chain = |levels, inside: bool| {
            doubled(
                levels,
                |next| if inside { json!({"items": next}) } else { json!({"allOf": [next]}) },
            )
        };
        assert_eq!((levels(&chain(15, false)), levels(&chain(30_000, true))), (None, None));
        for (long, said) in [
            (doubled(22, |next| json!({"anyOf": [next, next]})), "lead to each other"),
            (chain(30_000, false), "lead to each other"),
            (json!({"$ref": "#"}), "refers to itself"),
            (json!({"allOf": [{"$ref": "#"}]}), "refers to itself"),
            (
                json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
                "refers to itself",
            ),
        ] {
            let invalid = refused(&long);
            assert!(invalid.message.contains(said), "{invalid}");
        }
    }
}
