//! The words of a JSON Schema. It takes any word and asks nothing of it, so a slip of the pen would check nothing: one that is nearly a keyword is told.
use crate::{
    ledger::{Fault, Ledger, Path, shown},
    suggest::near,
    tree::{Data, Value},
};
use tidegate_core::error::Code;

/// What stands below these is one schema or a list of them.
const SCHEMAS: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// And below these schemas under names, which may be any words.
const NAMED: &[&str] = &[
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// The others of all drafts, and those of OpenAPI.
const OTHERS: &[&str] = &[
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "discriminator",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "id",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "nullable",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
    "xml",
];

/// Tells every word that is nearly a keyword, wherever a schema stands.
pub(super) fn check(schema: &Value, path: &Path, ledger: &mut Ledger) {
    let items = match &schema.data {
        Data::List(items) => items.as_slice(),
        _ => &[],
    };
    for (number, item) in items.iter().enumerate() {
        check(item, &path.item(number), ledger);
    }
    for entry in schema.entries() {
        let word = entry.key.as_str();
        let below = path.key(word);
        if SCHEMAS.contains(&word) {
            check(&entry.value, &below, ledger);
        } else if NAMED.contains(&word) {
            for named in entry.value.entries() {
                check(&named.value, &below.key(&named.key), ledger);
            }
        } else if let Some(meant) = slip(word) {
            let fault = Fault::new(
                Code::UnknownKey,
                entry.at,
                &below,
                format!("`{}` is no keyword of JSON Schema", shown(word)),
            );
            ledger.tell(fault.hint(format!("did you mean `{meant}`? A word of your own begins with `x-`")));
        }
    }
}
/// The keyword it nearly is. Words of one's own are taken, so one step in a short word and two in a long one are all that count.
fn slip(word: &str) -> Option<&'static str> {
    let all = || [SCHEMAS, NAMED, OTHERS].into_iter().flatten().copied();
    if word.starts_with("x-") || all().any(|keyword| keyword == word) {
        return None;
    }
    let long = all().filter(|keyword| keyword.len() >= 4);
    near(word, long, if word.len() < 8 { 1 } else { 2 }).or_else(|| near(word, all(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_and_words_of_ones_own_are_not() {
        for (word, meant) in [
            ("requred", Some("required")),
            ("propertys", Some("properties")),
            ("tpye", Some("type")),
            ("Type", Some("type")),
            ("item", Some("items")),
            ("enums", Some("enum")),
            ("max_length", Some("maxLength")),
            ("minLenght", Some("minLength")),
            ("additionalproperties", Some("additionalProperties")),
            ("ref", Some("$ref")),
            ("NOT", Some("not")),
        ] {
            assert_eq!(slip(word), meant, "{word}");
        }
        for own in [
            "x-requred",
            "$comment",
            "note",
            "notes",
            "name",
            "unit",
            "units",
            "order",
            "version",
            "tags",
            "label",
            "contents",
            "is",
            "code",
            "owner",
            "info",
            "hint",
            "mode",
            "markdownDescription",
            "enumNames",
            "errorMessage",
            "javaType",
            "tsType",
            "deprecationMessage",
            "id",
            "file",
            "",
        ] {
            assert_eq!(slip(own), None, "{own}");
        }
    }
}
