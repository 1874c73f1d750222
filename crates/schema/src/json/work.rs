//! What a schema asks of one value. Alternatives that are all asked about the same value multiply: with the alternatives inside of them, where
//! they refer to others, and on each level of the message, where they refer to themselves. Here it is counted before a message comes, at most how
//! many subschemas are asked about one value, level by level: what multiplies without end meets shallow messages only, what asks
//! for too much otherwise is refused.
use crate::Invalid;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::HashMap;

/// So many subschemas are asked about one value at most, where what is asked has an end.
const MOST: u64 = 10_000;
/// And so many where it has none: on deeper levels it would be more.
const ASKED: u64 = 400_000;
/// And so many where each step is described.
const TOLD: u64 = 6_000;
/// Subschemas inside each other that are asked about one value, references among them: whoever asks uses the stack.
const CHAIN: usize = 32;
/// Subschemas that lead to each other in whichever way: whoever compiles uses the stack as well.
const LONGEST: usize = 500;

/// How deep messages may nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    /// Deeper ones are not asked about.
    pub(super) asked: usize,
    /// Of deeper ones it is not said what is wrong with them.
    pub(super) told: usize,
}
impl Levels {
    /// `None`: as deep as any message.
    pub(super) fn of(schema: &Value) -> Result<Option<Self>, Invalid> {
        let graph = Graph::of(schema);
        let order = graph.order()?;
        let mut counts = Vec::new();
        let mut before = vec![0; graph.nodes.len()];
        for _ in 0..=crate::text::DEPTH {
            let now = graph.level(&order, (!counts.is_empty()).then_some(&before));
            counts.push(now.first().copied().unwrap_or_default());
            before = now;
        }
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
                graph.widest(&order),
                &format!("alternatives lead to alternatives: more than {most} subschemas would be asked about one value"),
            ));
        }
        Ok(Some(Self {
            asked: asked - 1,
            told: levels(TOLD).max(3) - 1,
        }))
    }
}
/// Subschemas by number, the whole schema being 0.
struct Graph<'s> {
    nodes: Vec<Node<'s>>,
    known: HashMap<*const Value, usize>,
}
#[derive(Default)]
struct Node<'s> {
    at: String,
    /// Asked about the same value. Of those in one group it is one.
    same: Vec<Vec<usize>>,
    /// Asked about what is inside of it, likewise.
    inside: Vec<Vec<usize>>,
    /// What is asked about the same value is asked once more, to know which members it looked at.
    again: bool,
    refers: Vec<&'s str>,
}
impl<'s> Graph<'s> {
    fn of(schema: &'s Value) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            known: HashMap::new(),
        };
        let mut named = Vec::new();
        graph.add(schema, &mut String::new(), &mut named);
        for node in 0..graph.nodes.len() {
            let refers = graph.nodes.get_mut(node).map(|node| std::mem::take(&mut node.refers));
            for to in refers.into_iter().flatten() {
                let to = graph.referred(to, schema, &named);
                if let Some(node) = graph.nodes.get_mut(node) {
                    node.same.push(to);
                }
            }
        }
        graph
    }
    fn add(&mut self, schema: &'s Value, at: &mut String, named: &mut Vec<(&'s str, &'s Value)>) -> usize {
        let number = self.nodes.len();
        self.nodes.push(Node {
            at: at.clone(),
            ..Node::default()
        });
        self.known.insert(std::ptr::from_ref(schema), number);
        let mut node = Node::default();
        let length = at.len();
        for (name, value) in schema.as_object().into_iter().flatten() {
            at.push('/');
            at.push_str(&name.replace('~', "~0").replace('/', "~1"));
            let mut all = |of: &mut Self| of.all(value, at, named);
            match (&**name, value) {
                ("$ref" | "$dynamicRef", Value::String(to)) => node.refers.push(to),
                ("$recursiveRef", _) => node.refers.push("#"),
                ("$id" | "id" | "$anchor" | "$dynamicAnchor", Value::String(name)) => named.push((name, schema)),
                ("allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies", _) => {
                    node.same.extend(all(self).into_iter().map(|one| vec![one]));
                }
                ("not" | "if" | "then" | "else", _) => {
                    let one = self.add(value, at, named);
                    node.same.push(vec![one]);
                }
                ("properties" | "prefixItems", _) | ("items", Value::Array(_)) => node.inside.push(all(self)),
                ("patternProperties", _) => node.inside.extend(all(self).into_iter().map(|one| vec![one])),
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
                    let one = self.add(value, at, named);
                    node.inside.push(vec![one]);
                    node.again |= name.starts_with("unevaluated");
                }
                ("$defs" | "definitions", _) => drop(all(self)),
                // No keyword, but it may be referred to.
                (_, Value::Object(_)) if !matches!(&**name, "const" | "default") => drop(self.add(value, at, named)),
                _ => {}
            }
            at.truncate(length);
        }
        node.at.clone_from(at);
        if let Some(place) = self.nodes.get_mut(number) {
            *place = node;
        }
        number
    }
    fn all(&mut self, value: &'s Value, at: &mut String, named: &mut Vec<(&'s str, &'s Value)>) -> Vec<usize> {
        let length = at.len();
        let mut one = |name: &str, value: &'s Value| {
            at.push('/');
            at.push_str(&name.replace('~', "~0").replace('/', "~1"));
            let number = self.add(value, at, named);
            at.truncate(length);
            number
        };
        match value {
            Value::Object(members) => members.iter().map(|(name, value)| one(name, value)).collect(),
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| one(&index.to_string(), item)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }
    /// What a reference may mean; nothing, if it leads to what the validator brings along.
    fn referred(&self, to: &str, whole: &'s Value, named: &[(&str, &'s Value)]) -> Vec<usize> {
        let (document, fragment) = to.split_once('#').unwrap_or((to, ""));
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        let last = |text: &str| text.trim_end_matches('#').rsplit('/').next().map(str::to_owned);
        let documents = named
            .iter()
            .filter(|(name, _)| document.is_empty() || last(name) == last(document))
            .map(|(_, schema)| *schema);
        let bases = documents.chain(document.is_empty().then_some(whole));
        let meant: Vec<_> = match &*fragment {
            "" => bases.collect(),
            pointer if pointer.starts_with('/') => bases.filter_map(|base| base.pointer(pointer)).collect(),
            anchor => named
                .iter()
                .filter(|(name, _)| name.trim_start_matches('#') == anchor)
                .map(|(_, schema)| *schema)
                .collect(),
        };
        let known = meant.into_iter().filter_map(|schema| self.known.get(&std::ptr::from_ref(schema)));
        known.copied().collect()
    }
    fn refused(&self, node: usize, why: &str) -> Invalid {
        let at = self.nodes.get(node).map(|node| node.at.clone()).unwrap_or_default();
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
        let any = self.walk(|node| [node.same.concat(), node.inside.concat()].concat());
        if any.longest > LONGEST {
            return Err(self.refused(0, &format!("more than {LONGEST} subschemas lead to each other")));
        }
        Ok(same.order)
    }
    fn walk(&self, next: impl Fn(&Node<'_>) -> Vec<usize>) -> Walked {
        let mut walked = Walked::default();
        let mut seen = vec![Seen::Not; self.nodes.len()];
        let see = |seen: &mut Vec<Seen>, node: usize, now: Seen| seen.get_mut(node).map_or(Seen::Done, |of| std::mem::replace(of, now));
        for start in 0..self.nodes.len() {
            let mut left = vec![(start, false)];
            let mut depth = 0;
            while let Some((node, is_done)) = left.pop() {
                if is_done {
                    see(&mut seen, node, Seen::Done);
                    walked.order.push(node);
                    depth -= 1;
                    continue;
                }
                match see(&mut seen, node, Seen::Open) {
                    Seen::Not => {
                        depth += 1;
                        walked.longest = walked.longest.max(depth);
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
    /// How many are asked about one value some levels down, for each that is asked about one here; `before`: a level less, `None` on the first.
    fn level(&self, order: &[usize], before: Option<&[u64]>) -> Vec<u64> {
        let most = |groups: &[Vec<usize>], counts: &[u64]| {
            let of = |group: &Vec<usize>| group.iter().filter_map(|one| counts.get(*one)).max().copied().unwrap_or(0);
            groups.iter().map(of).fold(0, u64::saturating_add)
        };
        let mut counts = vec![0; self.nodes.len()];
        for one in order {
            let Some(node) = self.nodes.get(*one) else { continue };
            let own = before.map_or(1, |before| most(&node.inside, before));
            let same = most(&node.same, &counts).saturating_mul(if node.again { 2 } else { 1 });
            if let Some(count) = counts.get_mut(*one) {
                *count = own.saturating_add(same);
            }
        }
        counts
    }
    /// The first that asks for too much by itself, or else the whole.
    fn widest(&self, order: &[usize]) -> usize {
        let counts = self.level(order, None);
        let wide = |one: &&usize| counts.get(**one).is_some_and(|count| *count > MOST);
        order.iter().find(wide).copied().unwrap_or_default()
    }
}
#[derive(Default)]
struct Walked {
    order: Vec<usize>,
    circle: Option<usize>,
    longest: usize,
}
#[derive(Clone, Copy)]
enum Seen {
    Not,
    Open,
    Done,
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

    fn levels(schema: &Value) -> Option<Levels> {
        Levels::of(schema).unwrap_or_else(|invalid| panic!("{schema}: {invalid}"))
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
            let invalid = Levels::of(&bomb).unwrap_err();
            assert!(invalid.hint.is_some() && invalid.message.contains("more than 10000"), "{invalid}");
        }
        let place = Levels::of(&doubled(15, any)).unwrap_err().at;
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
        assert_eq!((levels(&chain(15, false)), levels(&chain(150, true))), (None, None));
        for (long, said) in [
            (doubled(22, |next| json!({"anyOf": [next, next]})), "lead to each other"),
            (chain(30_000, false), "lead to each other"),
            (chain(30_000, true), "subschemas lead to each other"),
            (json!({"$ref": "#"}), "refers to itself"),
            (json!({"allOf": [{"$ref": "#"}]}), "refers to itself"),
            (
                json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
                "refers to itself",
            ),
        ] {
            let invalid = Levels::of(&long).unwrap_err();
            assert!(invalid.message.contains(said), "{invalid}");
        }
    }
}
