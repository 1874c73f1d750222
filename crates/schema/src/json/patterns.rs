//! What a pattern may cost. The engine reads a text once, but where its table of states grows too large it keeps every place of the pattern that
//! might still match and moves each of them for each byte: `(\w{1,100}){9}y` keeps some 2,000. So it is walked through here, before it is
//! used, how many places there can be at once; a pattern is taken where they are few, or where all the states there are fit the table.
use super::work::Graph;
use crate::Invalid;
use regex_automata::{
    nfa::thompson::{Compiler, Config, NFA, State, WhichCaptures},
    util::{look::Look, primitives::StateID},
};
use regex_syntax::hir::{self, Class, Hir, HirKind};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// One compiled pattern may take so many bytes.
pub(super) const SIZE: usize = 4 << 20;
/// So many bytes of states are kept while a text is read, of one pattern.
pub(super) const TABLE: usize = 2 << 20;
/// What all the states of a pattern with many places may take by our reckoning, which leaves the engine's room for what it adds.
const STATES: usize = TABLE / 2;
/// Places at once that cost little enough whatever the table holds.
const PLACES: usize = 32;
/// All patterns of a schema may take so many bytes.
const SIZES: usize = 16 << 20;
/// So many steps are gone to look at all patterns of a schema.
const STEPS: usize = 1_000_000;
/// So many kinds of characters are told apart; the rest count as one.
const LETTERS: usize = 250;
/// What the engine keeps with each state.
const STATE: usize = 48;

const HINT: &str = "begin it with `^`, count less (`{1,100}`), or bound the length with `maxLength`";

/// What is left of what the patterns of one schema may take together.
pub(super) struct Patterns {
    bytes: usize,
    steps: usize,
    seen: HashSet<String>,
}
impl Patterns {
    /// Refuses a schema whose patterns could take long; how many bytes they take otherwise. Of all subschemas that can be asked.
    pub(super) fn bound(graph: &Graph<'_>) -> Result<usize, Invalid> {
        let mut all = Self {
            bytes: SIZES,
            steps: STEPS,
            seen: HashSet::new(),
        };
        for schema in graph.schemas() {
            if let Some(Value::String(pattern)) = schema.get("pattern") {
                all.pattern(pattern, || format!("{}/pattern", graph.at(schema)))?;
            }
            if let Some(Value::Object(patterns)) = schema.get("patternProperties") {
                let mut patterns = patterns.keys();
                patterns.try_for_each(|pattern| all.pattern(pattern, || format!("{}/patternProperties", graph.at(schema))))?;
            }
        }
        Ok(SIZES - all.bytes)
    }
    fn pattern(&mut self, pattern: &str, at: impl Fn() -> String) -> Result<(), Invalid> {
        if !self.seen.insert(pattern.to_owned()) {
            return Ok(());
        }
        // As the validator reads it; what is no pattern it says itself.
        let Some(read) = jsonschema_regex::to_rust_regex(pattern)
            .ok()
            .and_then(|text| regex_syntax::parse(&text).ok())
        else {
            return Ok(());
        };
        let refused = |why: &str| {
            let shown = crate::text::cut(pattern, 100);
            Err(Invalid::new(at(), format!("the pattern \"{shown}\" {why}")).hint(HINT))
        };
        let anchored = read.properties().look_set_prefix().contains(hir::Look::Start);
        let letters = Letters::of(&read);
        let narrow = letters.narrow(&read);
        for reverse in [false, true] {
            let Ok(wide) = automaton(&read, reverse, true) else {
                return refused(&format!("compiles to more than {} MiB", SIZE >> 20));
            };
            let Some(bytes) = self.bytes.checked_sub(wide.memory_usage()) else {
                return refused(&format!("and those before it compile to more than {} MiB together", SIZES >> 20));
            };
            self.bytes = bytes;
            // Only a pattern that does not begin with `^` is read from its end.
            if reverse && anchored {
                continue;
            }
            let Ok(narrow) = automaton(&narrow, reverse, false) else {
                return refused("cannot be looked at");
            };
            // A character of several bytes is several states of the engine.
            let times = wide.states().len().div_ceil(narrow.states().len());
            let row = (4 << wide.byte_classes().stride2()) + STATE;
            let mut walk = Walk::new(&narrow, letters.count(), [row, STATES / times]);
            if walk.places <= PLACES || walk.all(reverse, &mut self.steps).is_some() {
                continue;
            }
            return refused(&format!(
                "keeps more than {PLACES} of its places open at once, so a long text would take long"
            ));
        }
        Ok(())
    }
}
fn automaton(of: &Hir, reverse: bool, is_text: bool) -> Result<NFA, Box<regex_automata::nfa::thompson::BuildError>> {
    let config = Config::new()
        .utf8(is_text)
        .reverse(reverse)
        .nfa_size_limit(Some(SIZE))
        .which_captures(WhichCaptures::None);
    Compiler::new().configure(config).build_from_hir(of).map_err(Box::new)
}

/// Characters that a pattern treats alike are one letter, so that each character is one step.
struct Letters {
    /// From that character on, that letter.
    from: Vec<(u32, u8)>,
}
impl Letters {
    fn of(read: &Hir) -> Self {
        let mut classes: HashSet<Vec<(u32, u32)>> = HashSet::new();
        collect(read, &mut classes);
        let mut ends = Vec::new();
        for (class, ranges) in classes.iter().enumerate() {
            for (start, end) in ranges {
                ends.extend([(*start, class, true), (end + 1, class, false)]);
            }
        }
        ends.sort_unstable();
        let mut known: HashMap<Vec<usize>, u8> = HashMap::from([(Vec::new(), 0)]);
        let mut from = vec![(0, 0)];
        let mut now: Vec<usize> = Vec::new();
        let mut ends = ends.into_iter().peekable();
        while let Some((at, class, begins)) = ends.next() {
            match now.binary_search(&class) {
                Err(place) if begins => now.insert(place, class),
                // Ranges of a class that touch each other end and begin at one place, in that order.
                Ok(place) if !begins => drop(now.remove(place)),
                _ => {}
            }
            if ends.peek().is_none_or(|(next, ..)| *next > at) {
                let next = known.len().min(LETTERS) as u8;
                from.push((at, *known.entry(now.clone()).or_insert(next)));
            }
        }
        Self { from }
    }
    fn count(&self) -> u8 {
        self.from.iter().map(|(_, letter)| *letter).max().unwrap_or_default()
    }
    fn class(&self, ranges: &[(u32, u32)]) -> Hir {
        let mut letters = Vec::new();
        for (start, end) in ranges {
            let first = self.from.partition_point(|(from, _)| from <= start).saturating_sub(1);
            let within = self.from.iter().skip(first).take_while(|(from, _)| from <= end);
            letters.extend(within.map(|(_, letter)| hir::ClassBytesRange::new(*letter, *letter)));
        }
        Hir::class(Class::Bytes(hir::ClassBytes::new(letters)))
    }
    /// The pattern over letters.
    fn narrow(&self, read: &Hir) -> Hir {
        match read.kind() {
            HirKind::Empty | HirKind::Look(_) => read.clone(),
            HirKind::Literal(literal) => Hir::concat(singles(&literal.0).map(|range| self.class(&[range])).collect()),
            HirKind::Class(class) => self.class(&ranges(class)),
            HirKind::Repetition(repetition) => Hir::repetition(hir::Repetition {
                sub: Box::new(self.narrow(&repetition.sub)),
                ..repetition.clone()
            }),
            HirKind::Capture(capture) => self.narrow(&capture.sub),
            HirKind::Concat(parts) => Hir::concat(parts.iter().map(|part| self.narrow(part)).collect()),
            HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(|part| self.narrow(part)).collect()),
        }
    }
}
fn collect(read: &Hir, classes: &mut HashSet<Vec<(u32, u32)>>) {
    match read.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => classes.extend(singles(&literal.0).map(|range| vec![range])),
        HirKind::Class(class) => drop(classes.insert(ranges(class))),
        HirKind::Repetition(repetition) => collect(&repetition.sub, classes),
        HirKind::Capture(capture) => collect(&capture.sub, classes),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().for_each(|part| collect(part, classes)),
    }
}
fn ranges(class: &Class) -> Vec<(u32, u32)> {
    match class {
        Class::Unicode(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
        Class::Bytes(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
    }
}
fn singles(literal: &[u8]) -> impl Iterator<Item = (u32, u32)> + use<> {
    let text = String::from_utf8_lossy(literal).into_owned();
    let characters: Vec<u32> = text.chars().map(u32::from).collect();
    characters.into_iter().map(|character| (character, character))
}

/// Every set of places that some text leads to.
struct Walk<'a> {
    automaton: &'a NFA,
    letters: u8,
    /// All there are.
    places: usize,
    /// Of one set.
    most: usize,
    known: HashSet<Vec<StateID>>,
    /// What a set takes beside its places, and what is left for all of them.
    row: usize,
    room: Option<usize>,
    /// In which round a state was seen.
    seen: Vec<usize>,
    round: usize,
}
impl<'a> Walk<'a> {
    fn new(automaton: &'a NFA, letters: u8, [row, room]: [usize; 2]) -> Self {
        Self {
            automaton,
            letters,
            places: automaton.states().iter().filter(|state| is_place(state)).count(),
            most: 0,
            known: HashSet::new(),
            row,
            room: Some(room),
            seen: vec![0; automaton.states().len()],
            round: 0,
        }
    }
    /// `None`: they are too large and too many, or there are more than the steps that are left can tell.
    fn all(&mut self, reverse: bool, steps: &mut usize) -> Option<()> {
        let start = if reverse {
            self.automaton.start_anchored()
        } else {
            self.automaton.start_unanchored()
        };
        let mut left = Vec::new();
        self.set(&[start], true, steps, &mut left)?;
        while let Some(set) = left.pop() {
            for letter in 0..=self.letters {
                *steps = steps.checked_sub(set.len())?;
                let next: Vec<_> = set.iter().filter_map(|place| self.after(*place, letter)).collect();
                self.set(&next, false, steps, &mut left)?;
            }
        }
        Some(())
    }
    fn set(&mut self, from: &[StateID], is_first: bool, steps: &mut usize, left: &mut Vec<Vec<StateID>>) -> Option<()> {
        let set = self.closed(from, is_first, true, steps)?;
        if set.is_empty() || self.known.contains(&set) {
            return Some(());
        }
        self.most = self.most.max(set.len());
        self.room = self.room.and_then(|room| room.checked_sub(self.row + 2 * set.len()));
        if self.most > PLACES {
            self.room?;
        }
        // A text that matches is not read on.
        let matched = |of: &Self, set: &[StateID]| set.iter().any(|id| matches!(of.automaton.state(*id), State::Match { .. }));
        let ends = matched(self, &set) && {
            let sure = self.closed(from, is_first, false, steps)?;
            matched(self, &sure)
        };
        if !ends {
            left.push(set.clone());
        }
        self.known.insert(set);
        Some(())
    }
    /// The places that are reached without a letter, in the order in which the engine prefers them: it tells sets apart by it. Whether the text
    /// or a word ends there is not known here: `supposed` says whether to take it so.
    fn closed(&mut self, from: &[StateID], is_first: bool, supposed: bool, steps: &mut usize) -> Option<Vec<StateID>> {
        self.round += 1;
        let (mut places, mut left) = (Vec::new(), from.to_vec());
        left.reverse();
        while let Some(id) = left.pop() {
            *steps = steps.checked_sub(1)?;
            let seen = self.seen.get_mut(id.as_usize())?;
            if std::mem::replace(seen, self.round) == self.round {
                continue;
            }
            match self.automaton.state(id) {
                State::Look { look, next } => {
                    let passes = match look {
                        Look::Start => is_first,
                        Look::End => is_first && supposed,
                        _ => supposed,
                    };
                    left.extend(passes.then_some(*next));
                }
                State::Union { alternates } => left.extend(alternates.iter().rev()),
                State::BinaryUnion { alt1, alt2 } => left.extend([alt2, alt1]),
                State::Capture { next, .. } => left.push(*next),
                State::Fail => {}
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => places.push(id),
            }
        }
        Some(places)
    }
    fn after(&self, place: StateID, letter: u8) -> Option<StateID> {
        match self.automaton.state(place) {
            State::ByteRange { trans } => trans.matches_byte(letter).then_some(trans.next),
            State::Sparse(next) => next.matches_byte(letter),
            State::Dense(next) => next.matches_byte(letter),
            State::Look { .. }
            | State::Union { .. }
            | State::BinaryUnion { .. }
            | State::Capture { .. }
            | State::Fail
            | State::Match { .. } => None,
        }
    }
}
fn is_place(state: &State) -> bool {
    matches!(
        state,
        State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bound(schema: &Value) -> Result<usize, Invalid> {
        Patterns::bound(&Graph::of(schema, "file:///tidegate/order")?)
    }
    fn refused(pattern: &str) -> Option<Invalid> {
        bound(&json!({"properties": {"a": {"pattern": pattern}}})).err()
    }
    #[test]
    fn patterns_that_people_write_are_taken() {
        for pattern in [
            "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
            r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
            r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
            r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$",
            r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
            r"^\p{L}{1,64}$",
            r"^[\w.-]{1,255}$",
            r"[\w.-]{1,255}",
            r"[A-Z]{3}-[0-9]{4,6}",
            r"\w{1,100}$",
            r"^.{1,1000}$",
            r"^\S{1,255}$",
            r"^[^\s]{1,255}$",
            r"^(\p{Lu}\p{L}*\s?){1,8}$",
            r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
            r"^https?://[^\s/$.?#].[^\s]*$",
            r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$",
            r"^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4})$",
            r"^data:[\w/+.-]{1,100};base64,[A-Za-z0-9+/=]{0,4000}$",
            r"\bword\b",
            r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+)?$",
            "^(a|b|c)$",
            "",
        ] {
            assert_eq!(refused(pattern), None, "{pattern}");
        }
    }
    /// Each of them keeps many places open: seconds for a megabyte.
    #[test]
    fn patterns_that_could_take_long_are_refused() {
        for pattern in [
            r"(\w{1,100}){9}y",
            r"\b(\w{1,100}){9}y",
            r"([^y]{1,100}){9}z",
            r"^[ab]*a[ab]{1000}z",
            // It matches at once, if the text ends at once.
            r"^(\S{1,100}a{3})*[^y]{0,9}$",
            r"[ab]*a[ab]{100}z",
            // From its end.
            r"z[ab]{1000}a[ab]*$",
            r"(.{0,50}a){20}b",
            r"\p{L}{1,1000}",
        ] {
            let invalid = refused(pattern).unwrap_or_else(|| panic!("{pattern}"));
            assert_eq!((&*invalid.at, invalid.hint.is_some()), ("/properties/a/pattern", true), "{invalid}");
        }
        let named = json!({"patternProperties": {"[ab]*a[ab]{100}z": {}}});
        assert_eq!(bound(&named).unwrap_err().at, "/patternProperties");
        let many: Vec<_> = (0..100).map(|n| json!({"pattern": format!("^[^{n}]{{1,2000}}$")})).collect();
        assert!(bound(&json!({"anyOf": many})).unwrap_err().to_string().contains("together"));
        // What is only said is no pattern.
        let slow = json!({"pattern": r"[ab]\w[^y]{400,800}y"});
        for said in ["const", "enum", "default", "examples", "x-said"] {
            assert_eq!(bound(&json!({said: [slow]})), Ok(0));
            // But it is one where it is referred to, and where only a property is called so.
            let referred = json!({said: [slow], "items": {"$ref": format!("#/{said}/0")}});
            assert_eq!(bound(&referred).unwrap_err().at, format!("/{said}/0/pattern"));
            for names in [
                "properties",
                "patternProperties",
                "$defs",
                "definitions",
                "dependentSchemas",
                "dependencies",
            ] {
                let called = json!({names: {said: slow}});
                assert_eq!(bound(&called).unwrap_err().at, format!("/{names}/{said}/pattern"));
            }
        }
    }
}
