use super::*;
use proptest::prelude::*;
use serde_json::json;
use tidegate_core::topic::Topic;

fn schema(schema: Value) -> Json {
    Json::new("order", &schema).unwrap_or_else(|invalid| panic!("{invalid}"))
}
fn ask(json: &Json, payload: &[u8]) -> Option<String> {
    let message = Message::new(Topic::from_static("t"), payload.to_vec());
    json.check(&message).err().map(|error| error.to_string())
}
fn detail(json: &Json, payload: &str) -> Option<String> {
    ask(json, payload.as_bytes()).map(|said| said.strip_prefix("Schema validation has failed: ").unwrap().to_owned())
}
fn three() -> Json {
    let of = json!({"type": "string"});
    Json::new(
        "123",
        &json!({"type": "object", "properties": {"field1": of, "field2": of, "field3": of}, "required": ["field1", "field2", "field3"]}),
    )
    .unwrap()
}
#[test]
fn the_documented_texts_are_kept() {
    let three = three();
    assert_eq!(
        ask(&three, b"{}").as_deref(),
        Some(
            "Schema validation has failed: jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: 'field1', 'field2', 'field3'"
        )
    );
    assert_eq!(
        detail(&three, r#"{"field1":"x"}"#).as_deref(),
        Some("jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: 'field2', 'field3'")
    );
    assert_eq!(
        detail(&three, r#"{"field1":1,"field2":2,"field3":"x"}"#).as_deref(),
        Some("jsonschema: '/field1' does not validate with file:///tidegate/123#/properties/field1/type: expected string, but got number")
    );
    // What is missing is told before what is wrong inside.
    assert_eq!(
        detail(&three, r#"{"field1":1}"#).as_deref(),
        Some("jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: 'field2', 'field3'")
    );
    assert_eq!(
        detail(&three, "[]").as_deref(),
        Some("jsonschema: '' does not validate with file:///tidegate/123#/type: expected object, but got array")
    );
    assert_eq!(
        detail(&three, "not json").as_deref(),
        Some("Bad JSON format - invalid character 'o' in literal null (expecting 'u')")
    );
    assert!(ask(&three, b"{\"field1\":\"\xff\"}").unwrap().contains("Bad JSON format - "));
    assert_eq!(ask(&three, br#"{"field1":"a","field2":"b","field3":"c"}"#), None);
}
#[test]
fn each_keyword_has_its_text() {
    for (of, payload, said) in [
        (json!({"const": "a"}), "1", "/const: value must be \"a\""),
        (json!({"enum": ["a", 1]}), "2", "/enum: value must be one of \"a\", 1"),
        (
            json!({"type": ["string", "null"]}),
            "1",
            "/type: expected null or string, but got number",
        ),
        (
            json!({"minProperties": 2}),
            r#"{"a":1}"#,
            "/minProperties: minimum 2 properties allowed, but found 1 properties",
        ),
        (
            json!({"maxProperties": 0}),
            r#"{"a":1}"#,
            "/maxProperties: maximum 0 properties allowed, but found 1 properties",
        ),
        (
            json!({"additionalProperties": false}),
            r#"{"a":1}"#,
            "/additionalProperties: additionalProperties 'a' not allowed",
        ),
        (
            json!({"minItems": 2}),
            "[1]",
            "/minItems: minimum 2 items required, but found 1 items",
        ),
        (
            json!({"maxItems": 0}),
            "[1]",
            "/maxItems: maximum 0 items required, but found 1 items",
        ),
        (json!({"minLength": 2}), "\"ä\"", "/minLength: length must be >= 2, but got 1"),
        (json!({"maxLength": 1}), "\"ab\"", "/maxLength: length must be <= 1, but got 2"),
        (json!({"pattern": "^a$"}), "\"b\"", "/pattern: does not match pattern '^a$'"),
        (json!({"minimum": 2}), "1", "/minimum: must be >= 2 but found 1"),
        (json!({"exclusiveMinimum": 2}), "2", "/exclusiveMinimum: must be > 2 but found 2"),
        (json!({"maximum": 2}), "3", "/maximum: must be <= 2 but found 3"),
        (json!({"exclusiveMaximum": 2}), "2", "/exclusiveMaximum: must be < 2 but found 2"),
        (json!({"multipleOf": 2}), "3", "/multipleOf: 3 not multipleOf 2"),
        (json!({"not": {}}), "3", "/not: not failed"),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            "3",
            "/anyOf/0/type: expected string, but got number",
        ),
        (
            json!({"oneOf": [{"required": ["a", "b"]}, {"type": "null"}]}),
            "{}",
            "/oneOf/0/required: missing properties: 'a', 'b'",
        ),
        (
            json!({"items": {"type": "integer"}}),
            "[1,2.5]",
            "/items/type: expected integer, but got number",
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
            "1",
            "/$defs/a/type: expected string, but got number",
        ),
    ] {
        let json = schema(of.clone());
        let told = detail(&json, payload).unwrap_or_else(|| panic!("{of} takes {payload}"));
        let rest = told
            .split_once("does not validate with file:///tidegate/order#")
            .map(|(_, rest)| rest.to_owned());
        assert_eq!(rest.as_deref(), Some(said), "{of}: {told}");
    }
}
#[test]
fn integers_of_64_bits_are_exact() {
    let exact = schema(json!({"const": 9_007_199_254_740_993_u64}));
    assert_eq!(detail(&exact, "9007199254740993"), None);
    assert!(detail(&exact, "9007199254740992").is_some());
    let most = schema(json!({"type": "integer", "maximum": 9_223_372_036_854_775_806_u64}));
    assert_eq!(detail(&most, "9223372036854775806"), None);
    assert_eq!(
        detail(&most, "9223372036854775807").as_deref(),
        Some(
            "jsonschema: '' does not validate with file:///tidegate/order#/maximum: must be <= 9223372036854775806 but found 9223372036854775807"
        )
    );
    assert_eq!(detail(&schema(json!({"type": "integer"})), "12345678901234567890123"), None);
}
#[test]
fn nothing_is_fetched_and_a_schema_that_is_none_says_where() {
    for (of, at) in [
        (json!(1), ""),
        (json!({"type": "strin"}), "/type"),
        (json!({"properties": {"a": {"minimum": "x"}}}), "/properties/a/minimum"),
        (json!({"properties": {"a": {"pattern": "("}}}), "/properties/a/pattern"),
    ] {
        let invalid = Json::new("order", &of).err().unwrap_or_else(|| panic!("{of}"));
        assert_eq!(invalid.at, at, "{of}: {invalid:?}");
    }
    for away in ["http://127.0.0.1:9/x.json", "file:///etc/passwd", "other.json", "#/$defs/none"] {
        let invalid = Json::new("order", &json!({"$ref": away})).err().unwrap_or_else(|| panic!("{away}"));
        assert!(invalid.hint.is_some(), "{invalid:?}");
    }
    // A pattern that could take for ever is none.
    for slow in ["(a)\\1", "(?=a)b"] {
        let invalid = Json::new("order", &json!({"pattern": slow}))
            .err()
            .unwrap_or_else(|| panic!("{slow}"));
        assert_eq!(invalid.at, "/pattern", "{invalid:?}");
    }
    let deep = (0..100).fold(json!({}), |of, _| json!({"items": of}));
    assert!(Json::new("order", &deep).is_err());
}
/// Who refers to others as long as he may, and who nests in a message that does: the stack of a thread is enough.
#[test]
fn the_stack_is_enough() {
    let nested = (0..crate::depth::SCHEMA / 2 - 2).fold(json!({"items": {"$ref": "#"}, "type": "array"}), |of, _| json!({"allOf": [of]}));
    let mut defs = serde_json::Map::new();
    for level in 0..14 {
        defs.insert(format!("d{level}"), json!({"allOf": [{"$ref": format!("#/$defs/d{}", level + 1)}]}));
    }
    defs.insert("d14".to_owned(), json!({"items": {"$ref": "#"}, "type": "array"}));
    let referred = json!({"$defs": defs, "$ref": "#/$defs/d0"});
    let mut defs = serde_json::Map::new();
    for level in 0..160 {
        defs.insert(
            format!("d{level}"),
            json!({"items": {"$ref": format!("#/$defs/d{}", level + 1)}, "type": "array"}),
        );
    }
    defs.insert("d160".to_owned(), json!({"type": "array"}));
    let long = json!({"$defs": defs, "$ref": "#/$defs/d0"});
    let asked = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for of in [nested, referred, long] {
            let of = schema(of);
            let deep = |bottom: &str| format!("{}{bottom}{}", "[".repeat(120), "]".repeat(120));
            assert_eq!(detail(&of, &deep("")), None);
            assert!(detail(&of, &deep("1")).is_some());
        }
    });
    asked.unwrap().join().unwrap();
}
proptest! {
    #[test]
    fn any_bytes_are_told_something(payload in prop::collection::vec(any::<u8>(), 0..80), json in "[\\[\\]{}:,\"field1-3.e]{0,40}") {
        let three = three();
        ask(&three, &payload);
        ask(&three, json.as_bytes());
    }
    #[test]
    fn what_is_wrong_is_told_shortly(name in "\\PC{0,3000}") {
        let of = schema(json!({"additionalProperties": false}));
        let told = ask(&of, json!({name: 1}).to_string().as_bytes()).unwrap();
        prop_assert!(told.len() < 2_200, "{}", told.len());
    }
}
/// Each level of such a message would double the work: it ends all the same.
#[test]
fn alternatives_that_refer_to_themselves_cost_a_bounded_time() {
    let arm =
        |kind: &str| json!({"type": "object", "properties": {"kind": {"const": kind}, "arg": {"$ref": "#/$defs/n"}}, "required": ["kind"]});
    let schema = json!({"$defs": {"n": {"oneOf": [arm("and"), arm("or"), {"type": "string"}]}}, "$ref": "#/$defs/n"});
    let json = Json::new("expr", &schema).unwrap();
    let nested =
        |levels: usize, kind: &str| (0..levels).fold("\"x\"".to_owned(), |inner, _| format!("{{\"arg\":{inner},\"kind\":\"{kind}\"}}"));
    let check = |text: String| json.check(&Message::new(Topic::from_static("t"), text));
    assert!(check(nested(16, "and")).is_ok());
    for (levels, said) in [
        (3, "oneOf"),
        (16, "too deep to say where"),
        (26, "nests deeper than 16"),
        (100, "nests deeper than 16"),
    ] {
        let error = check(nested(levels, "zz")).unwrap_err().to_string();
        assert!(error.contains(said), "{levels}: {error}");
    }
}
/// Whatever the way a reference goes: what multiplies behind it is seen, and so is what leads back to itself.
#[test]
fn no_reference_hides_what_it_leads_to() {
    let twice = |to: &str| json!({"anyOf": [{"items": {"$ref": to}}, {"items": {"$ref": to}}], "type": "array"});
    let bomb = |with: Value, to: &str| {
        let mut of = twice(to);
        of.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        of
    };
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for of in [
        twice("order"),
        twice("./order"),
        twice("../tidegate/order"),
        twice("%6frder"),
        twice("order#"),
        twice("#"),
        twice("file:///tidegate/order"),
        twice("file:///tidegate/x/../order"),
        twice("FILE:///tidegate/order#"),
        bomb(json!({"$id": "http://h/"}), "."),
        bomb(json!({"$id": "http://h/b"}), "http://h/%62"),
        bomb(json!({"$id": "http://h/%62"}), "b"),
        bomb(json!({"$id": "http://h/b"}), "http://H/b#"),
        bomb(json!({"$id": "http://h/b#"}), "http://h/b"),
        bomb(json!({"$anchor": "a"}), "#a"),
        bomb(json!({"$id": "http://h/b", "$anchor": "a"}), "b#a"),
        bomb(json!({"$dynamicAnchor": "a"}), "#a"),
        bomb(json!({"$id": "#a", "$schema": "http://json-schema.org/draft-07/schema#"}), "#a"),
        bomb(
            json!({"id": "http://h/b", "$schema": "http://json-schema.org/draft-04/schema#"}),
            "http://h/b",
        ),
        json!({"$dynamicAnchor": "a", "anyOf": [{"items": {"$dynamicRef": "#a"}}, {"items": {"$dynamicRef": "#a"}}], "type": "array"}),
        json!({"$recursiveAnchor": true, "$schema": "https://json-schema.org/draft/2019-09/schema",
            "anyOf": [{"items": {"$recursiveRef": "#"}}, {"items": {"$recursiveRef": "#"}}], "type": "array"}),
        json!({"default": twice("#/default"), "$ref": "#/default"}),
        json!({"x": [twice("#/x/0")], "$ref": "#/x/0"}),
        json!({"x": [twice("#/x/00")], "$ref": "#/x%2F0"}),
        json!({"x": {"a/b~c": twice("#/x/a~1b~0c")}, "$ref": "#/x/a~1b~0c"}),
        json!({"examples": [1, twice("#/examples/1")], "$ref": "#/examples/1"}),
        json!({"const": twice("#/const"), "items": {"$ref": "#/const"}}),
        json!({"enum": [[twice("#/enum/0/0")]], "items": {"$ref": "#/enum/0/0"}}),
        json!({"properties": {"default": twice("#/properties/default")}, "$ref": "#/properties/default"}),
        json!({"$defs": {"a": bomb(json!({"$id": "a"}), "a")}, "$ref": "a"}),
        json!({"$defs": {"a": bomb(json!({"$id": "x/a"}), "a")}, "$ref": "x/a"}),
        json!({"$defs": {"a": bomb(json!({"$id": "x/a"}), "#")}, "$ref": "#/$defs/a"}),
        json!({"$defs": {"a": {"$id": "x/", "$defs": {"b": bomb(json!({"$id": "b"}), "../x/b")}}}, "$ref": "x/b"}),
    ] {
        // Refused, or bounded.
        if let Ok(json) = Json::new("order", &of) {
            let told = detail(&json, &deep).unwrap_or_else(|| panic!("{of}"));
            assert!(told.contains("nests deeper than"), "{of}: {told}");
        }
    }
    for (of, at) in [
        (json!({"$ref": "order"}), ""),
        (json!({"$ref": "%6Frder#"}), ""),
        (json!({"allOf": [{"$ref": "."}], "$id": "http://h/"}), ""),
        (json!({"allOf": [{"$ref": "http://h/%62"}], "$id": "http://h/b"}), ""),
        (
            json!({"default": {"allOf": [{"$ref": "#/default"}]}, "$ref": "#/default"}),
            "/default",
        ),
        (json!({"x": [{"$ref": "#/x/0"}], "$ref": "#/x/0"}), "/x/0"),
    ] {
        let invalid = Json::new("order", &of).err().unwrap_or_else(|| panic!("{of}"));
        assert!(invalid.message.contains("refers to itself"), "{of}: {invalid}");
        assert_eq!(invalid.at, at, "{of}: {invalid}");
    }
    let mut doubled = serde_json::Map::new();
    for level in 0..26 {
        let next = json!({"$ref": format!("#/default/d{}", level + 1)});
        doubled.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
    }
    doubled.insert("d26".to_owned(), json!({"type": "string"}));
    let doubled = json!({"default": doubled, "$ref": "#/default/d0"});
    assert!(Json::new("order", &doubled).err().unwrap().hint.is_some());
}
#[test]
fn a_reference_that_leads_nowhere_or_back_is_refused_at_its_place() {
    let meta = "https://json-schema.org/draft/2020-12/schema";
    for (of, at) in [
        (json!({"items": {"$ref": "none"}}), "/items/$ref"),
        (json!({"items": {"$ref": "#none"}}), "/items/$ref"),
        (json!({"items": {"$ref": "#/none"}}), "/items/$ref"),
        (json!({"items": {"$ref": "#/title"}, "title": "x"}), "/items/$ref"),
        (json!({"items": {"$ref": "http://json-schema.org:81/x"}}), "/items/$ref"),
        (json!({"items": {"$dynamicRef": "#none"}}), "/items/$dynamicRef"),
        (
            json!({"items": {"$recursiveRef": "#/$defs/a"}, "$defs": {"a": {}}}),
            "/items/$recursiveRef",
        ),
        // What is brought along would ask the schema again.
        (
            json!({"$dynamicAnchor": "meta", "anyOf": [{"$ref": meta}, {"$ref": meta}]}),
            "/anyOf/0/$ref",
        ),
        (
            json!({"$recursiveAnchor": true, "items": {"$ref": "https://json-schema.org/draft/2019-09/schema"}}),
            "/items/$ref",
        ),
        (json!({"$id": meta, "items": {"$ref": "#"}}), "/$id"),
        (json!({"$id": "http://h/", "$schema": "http://h/"}), "/$schema"),
        // The validator would look for it below the name said twice.
        (
            json!({"$id": "x/a", "$dynamicAnchor": "n", "items": {"$ref": "#n"}, "$defs": {"a": {"$id": "x/a"}}}),
            "/$id",
        ),
    ] {
        let invalid = Json::new("order", &of).err().unwrap_or_else(|| panic!("{of}"));
        assert_eq!((&*invalid.at, invalid.hint.is_some()), (at, true), "{of}: {invalid:?}");
    }
    let names = (0..12).fold(json!({}), |of, level| json!({"$id": format!("a{level}/"), "items": of}));
    assert!(Json::new("order", &names).err().unwrap().message.contains("too many names"));
}
#[test]
fn ordinary_references_are_taken() {
    for (of, fits, fails) in [
        (json!({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}), "\"x\"", "1"),
        (
            json!({"definitions": {"a": {"type": "string"}}, "items": {"$ref": "#/definitions/a"}}),
            "[\"x\"]",
            "[1]",
        ),
        (
            json!({"$id": "https://example.com/order", "$defs": {"a": {"$id": "/a", "type": "string"}, "b": {"$ref": "a"}},
                "properties": {"a": {"$ref": "/a"}, "b": {"$ref": "https://example.com/order#/$defs/b"}, "c": {"$ref": "order"}}, "type": "object"}),
            r#"{"a":"x","b":"x","c":{"a":"x"}}"#,
            r#"{"c":{"c":{"b":1}}}"#,
        ),
        (
            json!({"$defs": {"a": {"$anchor": "text", "type": "string"}}, "items": {"$ref": "#text"}}),
            "[\"x\"]",
            "[1]",
        ),
        (json!({"items": {"$ref": "#"}, "type": "array"}), "[[],[[]]]", "[[1]]"),
        (
            json!({"$dynamicAnchor": "node", "items": {"$dynamicRef": "#node"}, "type": "array"}),
            "[[]]",
            "[[1]]",
        ),
        (
            json!({"components": {"schemas": {"A": {"type": "string"}}}, "items": {"$ref": "#/components/schemas/A"}}),
            "[\"x\"]",
            "[1]",
        ),
        (
            json!({"items": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}),
            "[{\"type\":\"string\"}]",
            "[{\"type\":1}]",
        ),
        // What is only said may look like anything.
        (
            json!({"examples": [{"$ref": "none", "$id": "x"}], "default": {"$ref": "#/none"}, "const": {"$ref": "none"}}),
            r#"{"$ref":"none"}"#,
            "{}",
        ),
        (
            json!({"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}}),
            r#"{"$ref":"x"}"#,
            r#"{"$id":1}"#,
        ),
    ] {
        let json = schema(of.clone());
        assert_eq!(detail(&json, fits), None, "{of}");
        assert!(detail(&json, fails).is_some(), "{of}");
    }
}
/// As large collections of definitions are: each leads to the next, and the last to the first. A small stack compiles, asks and drops them.
#[test]
fn thousands_of_definitions_in_a_circle_are_taken() {
    let circle = |count: usize, keyword: &'static str| {
        let mut defs = serde_json::Map::new();
        for number in 0..count {
            let to = format!("#/$defs/d{}", (number + 1) % count);
            let next = json!({"$ref": to});
            let of = if keyword == "properties" { json!({"next": next}) } else { next };
            defs.insert(
                format!("d{number}"),
                json!({keyword: of, "maxProperties": 3, "type": ["object", "array"]}),
            );
        }
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    };
    let asked = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for (keyword, before, after) in [("properties", "{\"next\":", "}"), ("items", "[", "]")] {
            let of = schema(circle(3_000, keyword));
            let deep = |bottom: &str| format!("{}{bottom}{}", before.repeat(100), after.repeat(100));
            assert_eq!(detail(&of, &deep("{}")), None);
            assert!(detail(&of, &deep("1")).is_some());
        }
    });
    asked.unwrap().join().unwrap();
}
/// Each of very many faults says where it is: all of them would take more than the message a thousand times.
#[test]
fn very_many_faults_are_not_all_kept() {
    let items = schema(json!({"additionalProperties": {"items": {"type": "string"}}}));
    let key = "k".repeat(500);
    let many = format!("{{\"{key}\":[{}1]}}", "1,".repeat(100_000));
    assert!(detail(&items, &many).unwrap().contains("expected string, but got number"));
    let value = serde_json::from_str(&many).unwrap();
    assert_eq!(items.work.told(&value), Told::First);
    // Why none of the alternatives fits takes all faults of each.
    let any = schema(json!({"additionalProperties": {"anyOf": [{"items": {"type": "string"}}, {"type": "null"}]}}));
    assert!(detail(&any, &many).unwrap().ends_with("it is too large to say where"));
    // As many as people send are told as they are.
    let few = format!("{{\"field1\":[{}1]}}", "1,".repeat(1_000));
    assert_eq!(three().work.told(&serde_json::from_str(&few).unwrap()), Told::All);
    assert_eq!(any.work.told(&serde_json::from_str("{\"a\":[1,2]}").unwrap()), Told::All);
    let tree =
        schema(json!({"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}, {"type": "string"}], "type": ["array", "string"]}));
    let wide = format!("{}{}1{}", "[".repeat(14), "1,".repeat(100_000), "]".repeat(14));
    assert!(detail(&tree, &wide).unwrap().contains("too large for its schema"));
}
