//! A fault in the words of the reference: the first leaf, all missing properties of one object in one text.
use super::kind;
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
    paths::{Location, LocationSegment},
};
use serde_json::Value;

/// In which order the keywords of one schema are asked.
const ORDER: &[&str] = &[
    "type",
    "const",
    "enum",
    "format",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "propertyNames",
    "patternProperties",
    "additionalProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "minItems",
    "maxItems",
    "uniqueItems",
    "prefixItems",
    "items",
    "additionalItems",
    "contains",
    "minLength",
    "maxLength",
    "pattern",
    "contentEncoding",
    "contentMediaType",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "$ref",
    "$recursiveRef",
    "$dynamicRef",
    "not",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
];
fn rank(keyword: &str) -> usize {
    ORDER.iter().position(|known| *known == keyword).unwrap_or(ORDER.len())
}
/// The way to a keyword: names are places, between them stand keywords.
fn before(a: &Location, b: &Location) -> std::cmp::Ordering {
    let (mut a, mut b) = (a.segments(), b.segments());
    loop {
        return match (a.next(), b.next()) {
            (Some(LocationSegment::Property(x)), Some(LocationSegment::Property(y))) if x != y => rank(&x).cmp(&rank(&y)),
            (Some(x), Some(y)) if x == y => continue,
            // Among equals those the validator found first.
            _ => std::cmp::Ordering::Equal,
        };
    }
}
pub(super) struct Fault<'e, 'i> {
    error: &'e ValidationError<'i>,
    /// Of the same object.
    missing: Vec<&'e str>,
}
/// The first leaf.
pub(super) fn first<'e, 'i>(errors: &'e [ValidationError<'i>]) -> Option<Fault<'e, 'i>> {
    let mut error = errors.first()?;
    for other in errors {
        if before(other.evaluation_path(), error.evaluation_path()).is_lt() {
            error = other;
        }
    }
    let same =
        |other: &&ValidationError<'i>| other.instance_path() == error.instance_path() && other.evaluation_path() == error.evaluation_path();
    let missing = errors.iter().filter(same).filter_map(|other| match other.kind() {
        Kind::Required {
            property: Value::String(name),
        } => Some(name.as_str()),
        _ => None,
    });
    Some(Fault {
        error,
        missing: missing.collect(),
    })
}
/// `jsonschema: '' does not validate with file:///tidegate/NAME#/required: missing properties: 'a'`.
pub(super) fn said(fault: &Fault<'_, '_>, base: &str, root: &Value) -> String {
    let error = fault.error;
    if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = error.kind()
        && let Some(leaf) = context.iter().find_map(|branch| first(branch))
    {
        return said(&leaf, base, root);
    }
    let place = match error.absolute_keyword_location() {
        Some(uri) => uri.as_str().to_owned(),
        None => format!("{base}#{}", error.schema_path().as_str()),
    };
    let (at, what) = (error.instance_path().as_str(), what(error, &fault.missing, root));
    format!("jsonschema: {} does not validate with {place}: {what}", quoted(at))
}
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
fn list<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| quoted(name.as_ref())).collect::<Vec<_>>().join(", ")
}
fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.chars().count(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
/// A scalar as it is, a text in quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}
fn what(error: &ValidationError<'_>, missing: &[&str], root: &Value) -> String {
    let instance = error.instance();
    let found = length(instance);
    match error.kind() {
        Kind::Type { kind: wanted } => {
            let wanted = match wanted {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(all) => all.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
            };
            format!("expected {wanted}, but got {}", kind(instance))
        }
        Kind::Constant { expected_value } => match &**expected_value {
            Value::Object(_) | Value::Array(_) => "const failed".to_owned(),
            value => format!("value must be {value}"),
        },
        Kind::Enum { options } => match &**options {
            Value::Array(all) if all.iter().all(|one| !one.is_object() && !one.is_array()) => {
                let all: Vec<_> = all.iter().map(ToString::to_string).collect();
                format!("value must be one of {}", all.join(", "))
            }
            _ => "enum failed".to_owned(),
        },
        Kind::Format { format } => format!("{} is not valid {}", shown(instance), quoted(format)),
        Kind::MinProperties { limit } => format!("minimum {limit} properties allowed, but found {found} properties"),
        Kind::MaxProperties { limit } => format!("maximum {limit} properties allowed, but found {found} properties"),
        Kind::Required { property } if missing.is_empty() => format!("missing properties: {}", shown(property)),
        Kind::Required { .. } => format!("missing properties: {}", list(missing)),
        Kind::AdditionalProperties { unexpected } => format!("additionalProperties {} not allowed", list(unexpected)),
        Kind::UnevaluatedProperties { unexpected } => format!("unevaluatedProperties {} not allowed", list(unexpected)),
        Kind::MinItems { limit } => format!("minimum {limit} items required, but found {found} items"),
        Kind::MaxItems { limit } => format!("maximum {limit} items required, but found {found} items"),
        Kind::AdditionalItems { limit } => format!("only {limit} items are allowed, but found {found} items"),
        Kind::MinLength { limit } => format!("length must be >= {limit}, but got {found}"),
        Kind::MaxLength { limit } => format!("length must be <= {limit}, but got {found}"),
        Kind::Pattern { pattern } => format!("does not match pattern {}", quoted(pattern)),
        Kind::Minimum { limit } => format!("must be >= {limit} but found {instance}"),
        Kind::ExclusiveMinimum { limit } => format!("must be > {limit} but found {instance}"),
        Kind::Maximum { limit } => format!("must be <= {limit} but found {instance}"),
        Kind::ExclusiveMaximum { limit } => format!("must be < {limit} but found {instance}"),
        Kind::MultipleOf { multiple_of } => format!("{instance} not multipleOf {multiple_of}"),
        Kind::Not { .. } => "not failed".to_owned(),
        Kind::AnyOf { .. } => "anyOf failed".to_owned(),
        Kind::OneOfNotValid { .. } => "oneOf failed".to_owned(),
        // `additionalProperties: false` where no property is named.
        Kind::FalseSchema if error.schema_path().as_str().ends_with("/additionalProperties") => {
            let object = root.pointer(error.instance_path().as_str()).and_then(Value::as_object);
            let names: Vec<_> = object.into_iter().flat_map(|members| members.keys()).collect();
            format!("additionalProperties {} not allowed", list(&names))
        }
        Kind::FalseSchema => "not allowed".to_owned(),
        // Those without a form of their own in the reference.
        _ => error.to_string(),
    }
}
