use super::*;
use proptest::prelude::*;
use serde_json::json;
use tidegate_core::topic::Topic;

fn ask(avro: &Avro, payload: &str) -> Option<String> {
    let message = Message::new(Topic::from_static("t"), payload.as_bytes().to_vec());
    let said = avro.check(&message).err().map(|error| error.to_string())?;
    Some(said.strip_prefix("Schema validation has failed: ").unwrap().to_owned())
}
fn order() -> Avro {
    Avro::new(&json!({"type": "record", "name": "order", "namespace": "shop", "fields": [
        {"name": "a", "type": "string"},
        {"name": "b", "type": "long"},
        {"name": "c", "type": "int", "default": 1},
        {"name": "inner", "type": ["null", {"type": "record", "name": "inner", "fields": [
            {"name": "n", "type": "long"}, {"name": "next", "type": ["null", "shop.inner"], "default": null}]}], "default": null},
        {"name": "kind", "type": {"type": "enum", "name": "kind", "symbols": ["A", "B"]}, "default": "A"},
        {"name": "raw", "type": {"type": "fixed", "name": "two", "size": 2}, "default": "\u{1}\u{2}"},
        {"name": "all", "type": {"type": "map", "values": {"type": "array", "items": "double"}}, "default": {}},
        {"name": "when", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0}
    ]}))
    .unwrap()
}
#[test]
fn integers_are_exact_and_faults_are_told_as_documented() {
    let order = order();
    for (payload, said) in [
        (r#"{"a":"x","b":1}"#, None),
        (r#"{"a":"x","b":9007199254740993}"#, None),
        (r#"{"a":"x","b":9223372036854775807,"c":-2147483648}"#, None),
        (r#"{"a":"x","b":1e3,"more":1}"#, None),
        (r#"{"a":"x","b":1e18,"c":-0.0}"#, None),
        (r#"{"a":"x","b":9223372036854775807.0}"#, None),
        (r#"{"a":"x","b":9007199254740993000e-3}"#, None),
        (
            r#"{"a":"x","b":9223372036854775808.0}"#,
            Some("b: avro: 9223372036854775808 is out of range for Avro long"),
        ),
        (r#"{"a":"x","b":1e300}"#, Some("b: avro: 1e+300 is out of range for Avro long")),
        (
            r#"{"a":"x","b":9223372036854775808}"#,
            Some("b: avro: 9223372036854775808 is out of range for Avro long"),
        ),
        (
            r#"{"a":"x","b":1,"c":2147483648}"#,
            Some("c: avro: 2147483648 is out of range for Avro int"),
        ),
        (r#"{"a":"x","b":1.5}"#, Some("b: avro: 1.5 is no whole number for Avro long")),
        (r#"{"a":"x"}"#, Some("avro: missing required field b")),
        (r#"{"a":"x","b":"1"}"#, Some("b: avro: string is unsupported for Avro long")),
        (r#"{"a":1,"b":1}"#, Some("a: avro: float64 is unsupported for Avro string")),
        ("[]", Some("avro: []interface {} is unsupported for Avro record")),
        (r#"{"a":"x","b":1,"inner":{"n":1,"next":{"shop.inner":{"n":2}}}}"#, None),
        (r#"{"a":"x","b":1,"inner":{"m":1}}"#, Some("inner: avro: missing required field n")),
        (
            r#"{"a":"x","b":1,"inner":{"n":1,"next":{"n":"x"}}}"#,
            Some("inner: next: n: avro: string is unsupported for Avro long"),
        ),
        (r#"{"a":"x","b":1,"kind":"C"}"#, Some("kind: avro: unknown enum symbol: C")),
        (r#"{"a":"x","b":1,"raw":"abc"}"#, Some("raw: avro: 3 bytes for a fixed of 2")),
        (r#"{"a":"x","b":1,"all":{"k":[1,2.5]},"when":1700000000000}"#, None),
        (
            r#"{"a":"x","b":1,"all":{"k":[true]}}"#,
            Some("all: avro: bool is unsupported for Avro double"),
        ),
        (
            "not json",
            Some("Bad Avro format - invalid character 'o' in literal null (expecting 'u')"),
        ),
        ("", Some("Bad Avro format - unexpected end of JSON input")),
    ] {
        assert_eq!(ask(&order, payload).as_deref(), said, "{payload}");
    }
}
#[test]
fn a_schema_that_is_none_says_where() {
    for (schema, at) in [
        (json!(1), ""),
        (json!({"type": "record", "name": "a"}), ""),
        (
            json!({"type": "record", "name": "a", "fields": [{"name": "x", "type": "lng"}]}),
            "/fields/0/type",
        ),
        (
            json!({"type": "record", "name": "a", "fields": [{"name": "x", "type": "int"}, {"name": "x", "type": "int"}]}),
            "/fields/1/name",
        ),
        (json!(["int", ["null"]]), "/1"),
        (json!(["int", "int"]), "/1"),
        (json!([]), ""),
        (json!({"type": "enum", "name": "e", "symbols": ["A", "A"]}), "/symbols/1"),
        (json!({"type": "enum", "name": "e", "symbols": ["A"], "default": "B"}), "/default"),
        (json!({"type": "fixed", "name": "f"}), ""),
        (json!({"type": "array", "items": {"type": "map", "values": "x"}}), "/items/values"),
        (json!({"type": "record", "name": "1a", "fields": []}), "/name"),
    ] {
        let invalid = Avro::new(&schema).err().unwrap_or_else(|| panic!("{schema}"));
        assert_eq!(invalid.at, at, "{schema}: {invalid}");
    }
    let deep = (0..100).fold(json!("int"), |of, _| json!({"type": "array", "items": of}));
    assert!(Avro::new(&deep).is_err());
}
/// Alternatives inside alternatives end all the same.
#[test]
fn alternatives_do_not_take_for_ever() {
    let record = |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "x", "type": ["null", "A", "B"]}, {"name": name, "type": "null"}]});
    let both = json!([{"type": "record", "name": "A", "fields": [
        {"name": "x", "type": ["null", "A", record("B")]}, {"name": "a", "type": "null"}]}, "B"]);
    let avro = Avro::new(&both).unwrap();
    let deep = format!("{}null{}", "{\"x\":".repeat(100), "}".repeat(100));
    assert_eq!(ask(&avro, &deep).as_deref(), Some("avro: too many alternatives to try"));
}
#[test]
fn numbers_beyond_a_floating_point_number_are_refused() {
    let of = |word: &str| Avro::new(&json!(word)).unwrap();
    for (word, number, fits) in [
        ("float", "3.4028235e38", true),
        ("float", "1e39", false),
        ("float", "-1e300", false),
        ("double", "1e300", true),
        ("double", "1e400", false),
        ("long", "1e-400", false),
        ("long", "9007199254740992.5", false),
        ("long", "01.0", false),
        ("long", "1.", false),
    ] {
        assert_eq!(ask(&of(word), number).is_none(), fits, "{number} as {word}");
    }
}
#[test]
fn a_default_of_another_type_says_where() {
    let of = |kind: Value, default: Value| {
        Avro::new(&json!({"type": "record", "name": "r", "fields": [{"name": "x", "type": kind, "default": default}]}))
            .err()
            .map(|invalid| invalid.at)
    };
    for (kind, default) in [
        (json!("int"), json!("not a number")),
        (json!("int"), json!(null)),
        (json!(["null", "int"]), json!("x")),
        (json!({"type": "array", "items": "int"}), json!(["x"])),
        (
            json!({"type": "record", "name": "s", "fields": [{"name": "y", "type": "int"}]}),
            json!({}),
        ),
    ] {
        assert_eq!(of(kind.clone(), default).as_deref(), Some("/fields/0/default"), "{kind}");
    }
    for (kind, default) in [
        (json!("long"), json!(1e3)),
        (json!(["null", "r"]), json!(null)),
        (json!("bytes"), json!("\u{ff}")),
        (json!({"type": "array", "items": "int"}), json!([])),
    ] {
        assert_eq!(of(kind.clone(), default), None, "{kind}");
    }
    let symbols = json!({"type": "enum", "name": "e", "symbols": ["A"], "default": 1});
    assert_eq!(Avro::new(&symbols).err().unwrap().at, "/default");
}
proptest! {
    #[test]
    fn every_long_is_taken_and_nothing_else(number in any::<i128>(), small in any::<i64>()) {
        let long = Avro::new(&json!("long")).unwrap();
        prop_assert_eq!(ask(&long, &number.to_string()).is_none(), i64::try_from(number).is_ok());
        prop_assert!(ask(&long, &small.to_string()).is_none());
        let int = Avro::new(&json!({"type": "int", "logicalType": "date"})).unwrap();
        prop_assert_eq!(ask(&int, &small.to_string()).is_none(), i32::try_from(small).is_ok());
    }
}
