//! JSON Schema. A message is JSON text that the schema accepts; it is kept byte for byte.
//!
//! Integers up to 64 bits are compared exactly. Larger ones are compared as the nearest double, which touches nothing but `minimum`,
//! `maximum`, `multipleOf`, `const` and `enum` about such numbers.
mod patterns;
mod places;
mod texts;
mod work;

use crate::{Invalid, text, violation};
use bytes::Bytes;
use jsonschema::{JsonType, PatternOptions, ValidationError, error::ValidationErrorKind};
use patterns::{Patterns, SIZE, TABLE};
use serde_json::Value;
use tidegate_core::{error::Result, message::Message, validator::Validator};
use work::{Graph, Levels, Told, Work, depth};

/// Where schemas are said to lie.
const BASE: &str = "file:///tidegate/";
/// So many faults of one schema are told.
const TOLD: usize = 100;
/// So many faults of one message are looked at to find the first.
const FAULTS: usize = 1_000;

pub(crate) struct Json {
    base: String,
    validator: jsonschema::Validator,
    work: Work,
    patterns: usize,
}
impl Json {
    pub(crate) fn new(name: &str, schema: &Value) -> Result<Self, Invalid> {
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err(Invalid::new("", "a JSON Schema is an object, or `true` or `false`"));
        }
        crate::depth::bound(schema)?;
        let base = format!("{BASE}{name}");
        let graph = Graph::of(schema, &base)?;
        let work = Work::of(&graph)?;
        let patterns = Patterns::bound(&graph)?;
        // Patterns that cannot take longer than the text is long: whoever sends messages did not write the schema.
        let options = jsonschema::options()
            .with_base_uri(base.as_str())
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(SIZE).dfa_size_limit(TABLE));
        // There are names it supposes not to be given: whoever gives them is told so.
        let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| options.build(schema)));
        let built = built
            .map_err(|_| Invalid::new("", "the names in the schema cannot be told apart").hint("give each `$id` as a whole address"))?;
        let validator = built.map_err(|error| invalid(&error))?;
        Ok(Self {
            base,
            validator,
            work,
            patterns,
        })
    }
    /// What its patterns take in memory.
    pub(crate) fn patterns(&self) -> usize {
        self.patterns
    }
    fn fault(&self, value: &Value) -> String {
        let errors: Vec<_> = match self.work.told(value) {
            // The validator finds all of them before it tells the first.
            Told::All => self.validator.iter_errors(value).take(FAULTS).collect(),
            Told::First => self.validator.validate(value).err().into_iter().collect(),
            Told::Nothing => {
                return format!("jsonschema: '' does not validate with {}#: it is too large to say where", self.base);
            }
        };
        match texts::first(&errors) {
            Some(fault) => texts::said(&fault, &self.base, value),
            None => "jsonschema: the schema does not accept it".to_owned(),
        }
    }
}
impl Validator for Json {
    fn check(&self, message: &Message) -> Result<Option<Bytes>> {
        let value = text::parse(&message.payload).map_err(|why| violation(&format!("Bad JSON format - {why}")))?;
        let deeper = |most: fn(Levels) -> usize| self.work.levels.map(most).filter(|most| depth(&value) > *most);
        if let Some(most) = deeper(|levels| levels.asked) {
            let text = format!(
                "jsonschema: the message nests deeper than {most} levels, and its schema has alternatives that refer to themselves"
            );
            return Err(violation(&text));
        }
        if self.work.is_long(&value) {
            let text = "jsonschema: the message is too large for its schema, which has alternatives that refer to themselves";
            return Err(violation(text));
        }
        if self.validator.is_valid(&value) {
            return Ok(None);
        }
        if let Some(most) = deeper(|levels| levels.told) {
            let text = format!(
                "jsonschema: '' does not validate with {}#: it nests deeper than {most} levels, too deep to say where",
                self.base
            );
            return Err(violation(&text));
        }
        Err(violation(&self.fault(&value)))
    }
}
/// Why a schema cannot be used, beside what was found first: whatever its draft says of it.
pub(crate) fn faults(schema: &Value, first: Invalid) -> Vec<Invalid> {
    let mut all = vec![first];
    if crate::depth::bound(schema).is_ok()
        && let Ok(meta) = jsonschema::meta::validator_for(schema)
    {
        for fault in meta.iter_errors(schema).take(TOLD).map(|error| invalid(&error)) {
            if all.iter().all(|known| known.at != fault.at) {
                all.push(fault);
            }
        }
    }
    all
}
/// What `type` may be.
const TYPES: &str = "`array`, `boolean`, `integer`, `null`, `number`, `object` and `string`";
fn invalid(error: &ValidationError<'_>) -> Invalid {
    let at = error.instance_path().as_str();
    match error.kind() {
        ValidationErrorKind::AnyOf { .. } if at.ends_with("/type") => {
            Invalid::new(at, format!("{} is no type", error.instance())).hint(format!("there are {TYPES}, and lists of them"))
        }
        ValidationErrorKind::Referencing(error) => Invalid::new(at, error.to_string())
            .hint("only what the schema itself holds can be referred to, under `$defs`: nothing is fetched"),
        ValidationErrorKind::Format { format } if format == "regex" => {
            Invalid::new(at, format!("the pattern {} cannot be used", error.instance()))
                .hint("patterns know no look-around and no back-references, so that none takes long")
        }
        _ => Invalid::new(at, error.to_string()),
    }
}
/// As JSON Schema calls it.
pub(crate) fn kind(value: &Value) -> &'static str {
    JsonType::from(value).as_str()
}

#[cfg(test)]
mod tests;
