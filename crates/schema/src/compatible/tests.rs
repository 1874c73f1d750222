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
    assert_eq!(
        avro_breaks(
            one.clone(),
            record(json!([{"name": "x", "aliases": ["a"], "type": ["null", "int"]}]))
        ),
        [""; 0]
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
    assert_eq!(avro_breaks(json!(["null", "int"]), json!("int")), ["it was null, and is int"]);
    assert_eq!(avro_breaks(json!(["null", "int"]), json!(["int", "null", "string"])), [""; 0]);
    let symbols = |of: Value| json!({"type": "enum", "name": "e", "symbols": of});
    assert_eq!(avro_breaks(symbols(json!(["A"])), symbols(json!(["A", "B"]))), [""; 0]);
    assert_eq!(
        avro_breaks(symbols(json!(["A", "B"])), symbols(json!(["A"]))),
        ["the symbol `B` is gone, and there is no default for it"]
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
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!({"type": "integer"})),
        Just(json!({"type": ["integer", "string"]})),
        (0_i64..4).prop_map(|least| json!({"type": "integer", "minimum": least})),
        (0_i64..4).prop_map(|most| json!({"maximum": most})),
        Just(json!({"enum": [1, "a"]})),
        Just(json!({"const": 1})),
        Just(json!({"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 1}]})),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        let parts = (
            prop::collection::btree_map("[ab]", inner.clone(), 0..3),
            prop::collection::btree_set("[ab]", 0..2),
            prop::option::of(any::<bool>()),
        );
        prop_oneof![
            parts.prop_map(|(properties, required, more)| {
                let mut schema = json!({"type": "object", "properties": properties, "required": required});
                if let Some(more) = more {
                    schema["additionalProperties"] = more.into();
                }
                schema
            }),
            inner.prop_map(|items| json!({"type": "array", "items": items, "maxItems": 2})),
        ]
    })
}
fn any_message() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        (0_i64..5).prop_map(|number| json!(number)),
        "[ab]{0,2}".prop_map(|text| json!(text))
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[ab]", inner.clone(), 0..3).prop_map(|members| json!(members)),
            prop::collection::vec(inner, 0..3).prop_map(|items| json!(items)),
        ]
    })
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Whatever the old one takes, a new one that is called compatible takes too, but for names nobody was asked about.
    #[test]
    fn what_is_called_compatible_is(old in any_schema(), new in any_schema(), messages in prop::collection::vec(any_message(), 8)) {
        let (a, b) = (Source::Json(&old), Source::Json(&new));
        prop_assert!(compatible(a, a).is_empty());
        if compatible(a, b).is_empty() && names_only(&old, &new) {
            let (a, b) = (compile("a", a).unwrap(), compile("b", b).unwrap());
            for message in messages {
                let message = Message::new(Topic::from_static("t"), message.to_string());
                prop_assert!(a.check(&message).is_err() || b.check(&message).is_ok(), "{:?}", message.payload);
            }
        }
    }
}
/// No property is described anew where anything was allowed.
fn names_only(old: &Value, new: &Value) -> bool {
    let all = |of: &Value| of.to_string().matches("\"properties\"").count();
    let known = |of: &Value, name: &str| of.to_string().contains(name);
    all(old) == 0 && all(new) == 0
        || ["\"a\":", "\"b\":"].iter().all(|name| known(old, name) || !known(new, name)) && all(old) <= 1 && all(new) <= 1
}
