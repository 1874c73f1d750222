use super::*;
use crate::compile;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::{message::Message, topic::Topic};

fn json_breaks(old: Value, new: Value) -> Vec<String> {
    compatible(Source::Json(&old), Source::Json(&new))
        .iter()
        .map(ToString::to_string)
        .collect()
}
#[test]
fn a_json_schema_may_ask_for_less_and_not_for_more() {
    let old = json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"type": "string"}}, "required": ["a"]});
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new);
        json_breaks(old.clone(), new)
    };
    for (edit, told) in [
        (&(|_: &mut Value| {}) as &dyn Fn(&mut Value), ""),
        (&|new: &mut Value| new["required"] = json!([]), ""),
        (&|new: &mut Value| new["properties"]["c"] = json!({"type": "string"}), ""),
        (&|new: &mut Value| new["properties"]["a"]["type"] = json!("number"), ""),
        (&|new: &mut Value| new["properties"]["a"]["minimum"] = json!(0), ""),
        (&|new: &mut Value| new["title"] = json!("x"), ""),
        (&|new: &mut Value| drop(new["properties"].as_object_mut().unwrap().remove("b")), ""),
        (
            &|new: &mut Value| new["required"] = json!(["a", "b"]),
            "/required: `b` must be there now",
        ),
        (
            &|new: &mut Value| new["properties"]["b"]["type"] = json!("number"),
            "/properties/b/type: string is not taken any more",
        ),
        (
            &|new: &mut Value| new["properties"]["a"]["minimum"] = json!(2),
            "/properties/a/minimum: it was 1, and is 2",
        ),
        (
            &|new: &mut Value| new["properties"]["b"]["pattern"] = json!("x"),
            "/properties/b/pattern: this is asked anew",
        ),
        (
            &|new: &mut Value| new["additionalProperties"] = json!(false),
            "/additionalProperties: nothing is taken any more",
        ),
        (
            &|new: &mut Value| new["not"] = json!({"required": ["z"]}),
            "/not: this is asked anew",
        ),
    ] {
        assert_eq!(with(edit).join("; "), told);
    }
    let reference = |kind: &str| json!({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": kind}}});
    assert_eq!(json_breaks(reference("string"), reference("string")), [""; 0]);
    assert_eq!(
        json_breaks(reference("string"), reference("null")),
        ["/properties/a/type: string is not taken any more"]
    );
    let circle = |kind: &str| json!({"type": ["object", kind], "properties": {"next": {"$ref": "#"}}});
    assert_eq!(json_breaks(circle("null"), circle("null")), [""; 0]);
    assert_eq!(json_breaks(circle("null"), circle("string")), ["/type: null is not taken any more"]);
    assert_eq!(json_breaks(json!({"enum": [1, 2]}), json!({"enum": [1, 2, 3]})), [""; 0]);
    assert_eq!(
        json_breaks(json!({"enum": [1, 2]}), json!({"enum": [1]})),
        ["/enum: 2 is not taken any more"]
    );
    assert_eq!(
        json_breaks(json!({"anyOf": [{"type": "null"}]}), json!({"anyOf": [{"type": "null"}, {}]})),
        [""; 0]
    );
    assert_eq!(json_breaks(json!(true), json!({"type": "null"})), ["/type: this is asked anew"]);
}
fn avro_breaks(old: Value, new: Value) -> Vec<String> {
    compatible(Source::Avro(&old), Source::Avro(&new))
        .iter()
        .map(ToString::to_string)
        .collect()
}
#[test]
fn avro_resolves_as_specified() {
    let record = |fields: Value| json!({"type": "record", "name": "r", "fields": fields});
    let one = record(json!([{"name": "a", "type": "int"}]));
    assert_eq!(
        avro_breaks(
            one.clone(),
            record(json!([{"name": "a", "type": "long"}, {"name": "b", "type": "int", "default": 0}]))
        ),
        [""; 0]
    );
    assert_eq!(avro_breaks(one.clone(), record(json!([]))), [""; 0]);
    // Whoever reads a text knows nothing of what was.
    assert_eq!(
        avro_breaks(
            one.clone(),
            record(json!([{"name": "x", "aliases": ["a"], "type": ["null", "int"]}]))
        ),
        ["/fields/0: the field `x` is new and has no default"]
    );
    let renamed = json!({"type": "record", "name": "s", "aliases": ["r"], "fields": [{"name": "a", "type": "int"}]});
    assert_eq!(avro_breaks(one.clone(), renamed), ["the record was `r`, and is `s`"]);
    assert_eq!(
        avro_breaks(record(json!([{"name": "a", "type": "int", "default": 1}])), one.clone()),
        ["/fields/0: the field `a` could be missing, and has no default any more"]
    );
    assert_eq!(avro_breaks(json!("bytes"), json!("string")), [""; 0]);
    assert_eq!(avro_breaks(json!("string"), json!("bytes")), ["it was string, and is bytes"]);
    assert_eq!(
        avro_breaks(json!(["null", "int"]), json!(["null", "long"])),
        ["`int` is none of the union any more"]
    );
    assert_eq!(
        avro_breaks(
            one.clone(),
            record(json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]))
        ),
        ["/fields/1: the field `b` is new and has no default"]
    );
    assert_eq!(
        avro_breaks(one.clone(), record(json!([{"name": "a", "type": "string"}]))),
        ["/fields/0/type: it was int, and is string"]
    );
    assert_eq!(avro_breaks(json!("long"), json!("int")), ["it was long, and is int"]);
    assert_eq!(avro_breaks(json!(["null", "int"]), json!("int")), ["it was union, and is int"]);
    assert_eq!(avro_breaks(json!(["null", "int"]), json!(["int", "null", "string"])), [""; 0]);
    let symbols = |of: Value| json!({"type": "enum", "name": "e", "symbols": of});
    assert_eq!(avro_breaks(symbols(json!(["A"])), symbols(json!(["A", "B"]))), [""; 0]);
    assert_eq!(
        avro_breaks(symbols(json!(["A", "B"])), symbols(json!(["A"]))),
        ["the symbol `B` is gone"]
    );
    let mut one_stands_for_it = symbols(json!(["A"]));
    one_stands_for_it["default"] = json!("A");
    assert_eq!(
        avro_breaks(symbols(json!(["A", "B"])), one_stands_for_it),
        ["the symbol `B` is gone"]
    );
    let list =
        |of: &str| json!({"type": "record", "name": "n", "fields": [{"name": "v", "type": of}, {"name": "next", "type": ["null", "n"]}]});
    assert_eq!(avro_breaks(list("int"), list("long")), [""; 0]);
    assert_eq!(avro_breaks(list("long"), list("int")).len(), 1);
    assert_eq!(
        compatible(Source::Avro(&one), Source::Json(&one))[0].to_string(),
        "it is of another kind"
    );
}
#[test]
fn protobuf_keeps_its_numbers() {
    let breaks = |old: &str, new: &str| -> Vec<String> {
        let of = |fields: &str| format!("syntax = \"proto3\"; message A {{ {fields} }} message B {{ string x = 1; }}");
        let (old, new) = (of(old), of(new));
        let source = |text| Source::Protobuf {
            text,
            message: "A",
            convert: true,
        };
        compatible(source(&old), source(&new)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(breaks("int32 a = 1;", "int64 renamed = 1; B b = 2;"), [""; 0]);
    assert_eq!(breaks("int32 a = 1; B b = 2;", ""), [""; 0]);
    assert_eq!(breaks("int32 a = 1;", "string a = 1;"), ["A.a: number 1 was int32, and is string"]);
    assert_eq!(breaks("int32 a = 1;", "sint32 a = 1;").len(), 1);
}
const NAMES: &str = "[abc]";
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(false)),
        Just(json!({"type": "integer"})),
        Just(json!({"type": ["integer", "string"]})),
        (0_i64..4).prop_map(|least| json!({"type": "integer", "minimum": least})),
        (0_i64..4).prop_map(|most| json!({"maximum": most})),
        Just(json!({"enum": [1, "a"]})),
        Just(json!({"const": 1})),
        Just(json!({"format": "ipv4"})),
        Just(json!({"required": ["a"]})),
        prop_oneof![Just("#/$defs/a"), Just("#/$defs/b"), Just("#x")].prop_map(|to| json!({"$ref": to})),
        Just(json!({"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 1}]})),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let named = || prop::collection::btree_map(NAMES, inner.clone(), 0..3).prop_map(|all| json!(all));
        let few = || prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!(all));
        let keyword = prop_oneof![
            4 => named().prop_map(|of| ("properties", of)),
            2 => prop::collection::btree_map("[a][bc]?|[bc]", inner.clone(), 0..2).prop_map(|of| ("patternProperties", json!(of))),
            2 => inner.clone().prop_map(|of| ("additionalProperties", of)),
            2 => inner.clone().prop_map(|of| ("unevaluatedProperties", of)),
            2 => inner.clone().prop_map(|of| ("unevaluatedItems", of)),
            2 => inner.clone().prop_map(|of| ("items", of)),
            2 => few().prop_map(|of| ("prefixItems", of)),
            2 => inner.clone().prop_map(|of| ("contains", of)),
            2 => (0..3).prop_map(|of| ("minContains", json!(of))),
            1 => (0..3).prop_map(|of| ("maxContains", json!(of))),
            1 => Just(("uniqueItems", json!(true))),
            1 => few().prop_map(|of| ("allOf", of)),
            1 => few().prop_map(|of| ("anyOf", of)),
            1 => few().prop_map(|of| ("oneOf", of)),
            1 => inner.clone().prop_map(|of| ("not", of)),
            1 => inner.clone().prop_map(|of| ("if", of)),
            1 => inner.clone().prop_map(|of| ("then", of)),
            1 => named().prop_map(|of| ("dependentSchemas", of)),
            1 => Just(("$ref", json!("#/$defs/a"))),
            1 => Just(("$ref", json!("#/$defs/b"))),
            1 => (0..3).prop_map(|of| ("minLength", json!(of))),
            1 => prop_oneof![Just("object"), Just("array"), Just("integer")].prop_map(|of| ("type", json!(of))),
            1 => prop::collection::btree_set(NAMES, 0..2).prop_map(|of| ("required", json!(of))),
        ];
        let closed = prop_oneof![
            Just(json!({"properties": {"a": {}}, "additionalProperties": false})),
            Just(json!({"patternProperties": {"a": {}}, "additionalProperties": {"type": "null"}})),
            Just(json!({"patternProperties": {"b": {}}, "unevaluatedProperties": false})),
            Just(json!({"prefixItems": [{}], "items": false})),
            Just(json!({"prefixItems": [{}], "unevaluatedItems": false})),
            Just(json!({"contains": {"type": "integer"}, "minContains": 0, "maxContains": 1})),
            Just(json!({"$ref": "#/$defs/a", "minLength": 0})),
        ];
        let open = prop::collection::vec(keyword, 1..4)
            .prop_map(|all| Value::Object(all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
        prop_oneof![3 => open, 2 => closed]
    })
}
/// With something to refer to.
fn any_document() -> impl Strategy<Value = Value> {
    let dialect = prop_oneof![
        6 => Just(None),
        1 => Just(Some("http://json-schema.org/draft-07/schema#")),
        1 => Just(Some("https://json-schema.org/draft/2020-12/schema")),
        1 => Just(Some("https://json-schema.org/draft/2019-09/schema")),
    ];
    let small = || prop_oneof![Just("string"), Just("integer"), Just("object")].prop_map(|of| json!({"type": of}));
    (any_schema(), small(), small(), dialect).prop_map(|(schema, a, mut b, dialect)| {
        b["$anchor"] = json!("x");
        let mut schema = if schema.is_object() { schema } else { json!({"allOf": [schema]}) };
        schema["$defs"] = json!({"a": a, "b": b});
        if let Some(dialect) = dialect {
            schema["$schema"] = json!(dialect);
        }
        schema
    })
}
fn pointers(of: &Value, at: &str, into: &mut Vec<String>) {
    let mut each = |key: &str, value: &Value| {
        let at = format!("{at}/{key}");
        pointers(value, &at, into);
        into.push(at);
    };
    match of {
        Value::Object(members) => members.iter().for_each(|(key, value)| each(&super::json::escaped(key), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| each(&i.to_string(), value)),
        _ => {}
    }
}
/// Another version: some parts are gone, others are there.
fn changed(mut schema: Value, edits: &[(prop::sample::Index, Option<Value>)]) -> Value {
    for (place, put) in edits {
        let mut all = Vec::new();
        pointers(&schema, "", &mut all);
        let Some(at) = (!all.is_empty()).then(|| place.get(&all).clone()) else {
            continue;
        };
        let (parent, key) = at.rsplit_once('/').unwrap();
        match (put, schema.pointer_mut(parent)) {
            (None, Some(Value::Object(members))) => drop(members.remove(&key.replace("~1", "/"))),
            (None, Some(Value::Array(items))) if items.len() > 1 => drop(items.remove(key.parse().unwrap())),
            (Some(put), _) => *schema.pointer_mut(&at).unwrap() = put.clone(),
            _ => {}
        }
    }
    schema
}
fn any_edits() -> impl Strategy<Value = Vec<(prop::sample::Index, Option<Value>)>> {
    prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any_schema())), 1..3)
}
fn any_message() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        (0_i64..5).prop_map(|number| json!(number)),
        "[ab]{0,2}".prop_map(|text| json!(text))
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map(NAMES, inner.clone(), 0..3).prop_map(|members| json!(members)),
            prop::collection::vec(inner, 0..3).prop_map(|items| json!(items)),
        ]
    })
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    /// Whatever the old one takes, a new one that is called compatible takes too; here names nobody was asked about count as well.
    #[test]
    fn what_is_called_compatible_is(old in any_document(), edits in any_edits(), messages in prop::collection::vec(any_message(), 24)) {
        let new = changed(old.clone(), &edits);
        prop_assert!(json::compare(&old, &old, json::Newcomers::Break).is_empty());
        if json::compare(&old, &new, json::Newcomers::Break).is_empty() {
            // Some of what is made up refers to itself, or to nothing.
            let (Ok(a), Ok(b)) = (compile("a", Source::Json(&old)), compile("b", Source::Json(&new))) else { return Ok(()) };
            for message in messages {
                let message = Message::new(Topic::from_static("t"), message.to_string());
                prop_assert!(a.check(&message).is_err() || b.check(&message).is_ok(), "{} {} {:?}", old, new, message.payload);
            }
        }
    }
}
#[test]
fn what_asks_for_more_by_saying_less_is_told() {
    let d = |kind: &str| json!({"type": kind});
    let draft = |of: &str| json!({"$schema": of, "properties": {"a": {"format": "ipv4"}}});
    for (old, new, at) in [
        (
            json!({"$ref": "#/$defs/a", "minLength": 0, "$defs": {"a": d("string")}}),
            json!({"$ref": "#/$defs/a", "minLength": 0, "$defs": {"a": d("null")}}),
            "/$ref/type",
        ),
        (
            json!({"allOf": [{"$ref": "#/$defs/a", "title": "x", "minItems": 0}], "$defs": {"a": d("string")}}),
            json!({"allOf": [{"$ref": "#/$defs/a", "title": "x", "minItems": 0}], "$defs": {"a": d("null")}}),
            "/allOf/0/$ref/type",
        ),
        (
            json!({"items": {"$ref": "#x"}, "$defs": {"a": {"$anchor": "x", "type": "string"}}}),
            json!({"items": {"$ref": "#x"}, "$defs": {"a": {"$anchor": "x", "type": "null"}}}),
            "/items/$ref",
        ),
        (
            json!({"$id": "http://x/y", "items": {"$ref": "http://x/y#/$defs/a"}, "$defs": {"a": d("string")}}),
            json!({"$id": "http://x/y", "items": {"$ref": "http://x/y#/$defs/a"}, "$defs": {"a": d("null")}}),
            "/items/$ref",
        ),
        (
            json!({"patternProperties": {"^a": {}}, "additionalProperties": false}),
            json!({"additionalProperties": false}),
            "/patternProperties/^a",
        ),
        (
            json!({"properties": {"a": {}}, "unevaluatedProperties": false}),
            json!({"unevaluatedProperties": false}),
            "/unevaluatedProperties",
        ),
        (
            json!({"patternProperties": {"^a": {}}, "unevaluatedProperties": false}),
            json!({"unevaluatedProperties": false}),
            "/unevaluatedProperties",
        ),
        (
            json!({"prefixItems": [{}], "items": false}),
            json!({"items": false}),
            "/prefixItems/0",
        ),
        (
            json!({"prefixItems": [{}], "unevaluatedItems": false}),
            json!({"unevaluatedItems": false}),
            "/unevaluatedItems",
        ),
        (
            json!({"contains": {"type": "null"}, "minContains": 0}),
            json!({"contains": {"type": "null"}}),
            "/minContains",
        ),
        (
            json!({"contains": {"type": "null"}, "minContains": 1}),
            json!({"contains": {"type": "null"}, "minContains": 2}),
            "/minContains",
        ),
        (
            json!({"contains": {"type": "null"}, "maxContains": 2}),
            json!({"contains": {}, "maxContains": 2}),
            "/contains",
        ),
        (
            json!({"contains": {"type": "null"}, "maxContains": 2}),
            json!({"contains": {"type": "null"}, "maxContains": 1}),
            "/maxContains",
        ),
        (
            draft("https://json-schema.org/draft/2020-12/schema"),
            draft("http://json-schema.org/draft-07/schema#"),
            "/$schema",
        ),
        (
            json!({"if": {"type": "null"}, "then": false, "else": true}),
            json!({"if": {"type": "null"}, "then": false, "else": false}),
            "/if",
        ),
    ] {
        let told: Vec<_> = json::compare(&old, &new, json::Newcomers::Fine)
            .into_iter()
            .map(|one| one.at)
            .collect();
        assert!(told.iter().any(|one| one == at), "{old} {new} {told:?}");
    }
    // A name that another part of the old schema speaks of is no newcomer.
    let both = |of: Value| json!({"allOf": [{"properties": {"a": {"type": "integer"}}}, of]});
    assert_eq!(
        json_breaks(both(json!({})), both(json!({"properties": {"a": {"type": "string"}}}))).len(),
        1
    );
    assert_eq!(
        json_breaks(both(json!({})), both(json!({"properties": {"z": {"type": "string"}}}))),
        [""; 0]
    );
    let closed = |of: Value| json!({"properties": of, "unevaluatedProperties": false});
    assert_eq!(
        json_breaks(closed(json!({"a": {}})), closed(json!({"a": {}, "b": d("string")}))),
        [""; 0]
    );
}
/// Named types get their names by `numbered`.
fn any_avro() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop_oneof![
            Just("null"),
            Just("boolean"),
            Just("int"),
            Just("long"),
            Just("float"),
            Just("double"),
            Just("string"),
            Just("bytes")
        ]
        .prop_map(|word| json!(word)),
        prop::collection::btree_set("[AB]", 1..3).prop_map(|of| json!({"type": "enum", "symbols": of, "default": of.first()})),
        (0..2).prop_map(|size| json!({"type": "fixed", "size": size})),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let field = (inner.clone(), any::<bool>()).prop_map(|(of, aliased)| {
            // Whatever comes first stands for what is not there.
            let mut field = json!({"type": of});
            if aliased {
                field["aliases"] = json!(["a", "b"]);
            }
            if field["type"][0] == "null" || field["type"] == "null" {
                field["default"] = Value::Null;
            }
            field
        });
        prop_oneof![
            inner.clone().prop_map(|of| json!({"type": "array", "items": of})),
            inner.clone().prop_map(|of| json!({"type": "map", "values": of})),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|of| json!(of)),
            inner.prop_map(|of| json!(["null", of])),
            prop::collection::btree_map("[ab]", field, 0..3).prop_map(|fields| {
                let fields: Vec<_> = fields
                    .into_iter()
                    .map(|(name, mut field)| {
                        field["name"] = json!(name);
                        field
                    })
                    .collect();
                json!({"type": "record", "fields": fields})
            }),
        ]
    })
}
/// Gives those a name that need one.
fn numbered(schema: &mut Value, next: &mut u32) {
    match schema {
        Value::Object(members) => {
            if members
                .get("type")
                .is_some_and(|of| of == "record" || of == "enum" || of == "fixed")
            {
                members.entry("name").or_insert(json!(format!("n{next}")));
                *next += 1;
            }
            members.values_mut().for_each(|value| numbered(value, next));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| numbered(item, next)),
        _ => {}
    }
}
/// What the schema takes: `dice` says which of it.
fn sample(schema: &Value, dice: &mut impl FnMut(usize) -> usize) -> Value {
    match schema {
        Value::Array(branches) if branches.is_empty() => Value::Null,
        Value::Array(branches) => {
            let branch = &branches[dice(branches.len())];
            let value = sample(branch, dice);
            let word = branch.get("name").or(branch.get("type")).unwrap_or(branch);
            match word.as_str().filter(|_| dice(2) == 0) {
                Some(word) => json!({word: value}),
                None => value,
            }
        }
        Value::Object(members) => match members.get("type").and_then(Value::as_str) {
            Some("record") => {
                let mut made = serde_json::Map::new();
                for field in members["fields"].as_array().into_iter().flatten() {
                    if field.get("default").is_none() || dice(2) == 0 {
                        made.insert(field["name"].as_str().unwrap_or("z").to_owned(), sample(&field["type"], dice));
                    }
                }
                Value::Object(made)
            }
            Some("array") => (0..dice(3)).map(|_| sample(&members["items"], dice)).collect(),
            Some("map") => ["a", "int"][..dice(3)]
                .iter()
                .map(|key| ((*key).to_owned(), sample(&members["values"], dice)))
                .collect(),
            Some("enum") => {
                let symbols = members["symbols"].as_array().map_or(&[][..], Vec::as_slice);
                symbols.get(dice(symbols.len().max(1))).cloned().unwrap_or_default()
            }
            Some("fixed") => json!("x".repeat(members["size"].as_u64().unwrap_or(0) as usize)),
            _ => sample(&members["type"], dice),
        },
        Value::String(word) => match word.as_str() {
            "boolean" => json!(true),
            "int" => [json!(1), json!(-1), json!(i32::MAX)][dice(3)].clone(),
            "long" => [json!(1), json!(i64::MAX)][dice(2)].clone(),
            "float" => [json!(1), json!(1.5), json!(f32::MAX)][dice(3)].clone(),
            "double" => [json!(1), json!(-0.5), json!(1e300)][dice(3)].clone(),
            "string" => ["", "A", "x", "\u{100}"][dice(4)].into(),
            "bytes" => ["", "A", "\u{ff}"][dice(3)].into(),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]
    /// Whatever the old one takes, a new one that is called compatible takes too, but for members nobody was asked about.
    #[test]
    fn what_is_called_compatible_of_avro_is(
        old in any_avro(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any_avro())), 1..3),
        dice in prop::collection::vec(0_usize..60, 64),
    ) {
        let mut old = old;
        numbered(&mut old, &mut 0);
        let mut new = changed(old.clone(), &edits);
        numbered(&mut new, &mut 1_000);
        let (a, b) = (Source::Avro(&old), Source::Avro(&new));
        let (Ok(one), Ok(other)) = (compile("a", a), compile("b", b)) else { return Ok(()) };
        prop_assert!(compatible(a, a).is_empty());
        if compatible(a, b).is_empty() {
            for start in 0..24 {
                let mut at = start;
                let value = sample(&old, &mut |most| {
                    at += 1;
                    dice[at % dice.len()] % most.max(1)
                });
                let message = Message::new(Topic::from_static("t"), value.to_string());
                prop_assert!(one.check(&message).is_err() || other.check(&message).is_ok(), "{} {} {}", old, new, value);
            }
        }
    }
}
