use super::*;
use proptest::prelude::*;
use tidegate_core::{headers::Headers, topic::Topic};

const ORDER: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Order {
  string field1 = 1;
  int64 number = 2;
  Line line = 3;
  repeated sint32 counts = 4;
  map<string, Line> lines = 5;
  double rate = 6;
  uint64 large = 7;
  google.protobuf.Timestamp at = 8;
}
message Line { string sku = 1; Line next = 2; }
"#;
fn order(convert: bool) -> Protobuf {
    Protobuf::new("order", ORDER, "Order", convert).unwrap_or_else(|invalid| panic!("{invalid}"))
}
fn ask(schema: &Protobuf, payload: &[u8], kind: &str) -> Result<Option<Bytes>, String> {
    let mut headers = Headers::EMPTY.edit();
    headers.push("content-type", kind.as_bytes()).unwrap();
    let message = Message {
        headers: headers.build(),
        ..Message::new(Topic::from_static("t"), payload.to_vec())
    };
    schema
        .check(&message)
        .map_err(|error| error.to_string().strip_prefix("Schema validation has failed: ").unwrap().to_owned())
}
#[test]
fn wire_bytes_are_walked() {
    let order = order(true);
    let wire = |bytes: &[u8]| ask(&order, bytes, "application/x-protobuf");
    assert_eq!(wire(b""), Ok(None));
    assert_eq!(wire(b"\x0a\x01x\x10\x07\x1a\x03\x0a\x01y"), Ok(None));
    // Only fields it does not know, a group among them.
    assert_eq!(wire(b"\xa2\x06\x01x\xab\x06\x08\x01\xac\x06"), Ok(None));
    assert_eq!(
        wire(b"\x0a\x01\xff"),
        Err("proto: field shop.Order.field1 contains invalid UTF-8".to_owned())
    );
    assert_eq!(
        wire(b"\x1a\x03\x0a\x01\xff"),
        Err("proto: field shop.Line.sku contains invalid UTF-8".to_owned())
    );
    for bad in [
        &b"\x0a\x05x"[..],
        b"\x10",
        b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\x00",
        b"\x0c",
        b"\xab\x06",
        b"{\"field1\":\"x\"}",
        b"\x22\x01\xff",
    ] {
        assert_eq!(wire(bad), Err(NOT_WIRE.to_owned()), "{bad:?}");
    }
    // Another form than the field's is a field nobody knows.
    assert_eq!(wire(b"\x08\x01"), Ok(None));
    let mut deep = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x12];
        let mut length = deep.len();
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(&deep);
        deep = outer;
    }
    let line = Protobuf::new("order", ORDER, "shop.Line", true).unwrap();
    assert_eq!(ask(&line, &deep, ""), Err(NOT_WIRE.to_owned()));
}
#[test]
fn json_becomes_wire_bytes_exactly() {
    let order = order(true);
    let json = |text: &str| ask(&order, text.as_bytes(), "application/json; charset=utf-8");
    assert_eq!(
        json(r#"{"field1":"x","number":7}"#),
        Ok(Some(Bytes::from_static(b"\x0a\x01x\x10\x07")))
    );
    let exact = Bytes::from_static(b"\x10\x81\x80\x80\x80\x80\x80\x80\x10");
    for same in [
        "9007199254740993",
        "\"9007199254740993\"",
        "9007199254740993.0",
        "9007199254740993000e-3",
    ] {
        assert_eq!(json(&format!("{{\"number\":{same}}}")), Ok(Some(exact.clone())), "{same}");
    }
    for beyond in [
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "9223372036854775808.5",
        "1.5",
        "1e30",
    ] {
        assert!(json(&format!("{{\"number\":{beyond}}}")).is_err(), "{beyond}");
    }
    assert!(json(r#"{"large":18446744073709551616}"#).is_err());
    assert!(json(r#"{"rate":18446744073709551616,"large":18446744073709551615}"#).is_ok());
    assert!(json(r#"{"rate":1e300,"at":"2026-01-01T00:00:00Z","lines":{"a":{"sku":"x"}},"counts":[-1,2]}"#).is_ok());
    assert_eq!(
        json("not json"),
        Err("Bad JSON format - invalid character 'o' in literal null (expecting 'u')".to_owned())
    );
    let unknown = json(r#"{"field9":1}"#).unwrap_err();
    assert!(unknown.starts_with("proto: (line 1:") && unknown.contains("field9"), "{unknown}");
    let wrong = json(r#"{"number":"x"}"#).unwrap_err();
    assert!(wrong.starts_with("proto: (line 1:"), "{wrong}");
    let deep = format!("{}{{}}{}", "{\"next\":".repeat(5_000), "}".repeat(5_000));
    assert!(json(&deep).is_err());
    assert_eq!(
        ask(&self::order(false), br#"{"field1":"x"}"#, "application/json"),
        Err(NOT_WIRE.to_owned())
    );
}
#[test]
fn a_number_that_does_not_fit_is_told_with_its_field() {
    let text = "syntax = \"proto3\"; package p; message A { int32 small = 1; uint64 large = 2; double rate = 3; repeated A more = 4; map<string, int64> counts = 5; string secret = 6; }";
    let of = Protobuf::new("t", text, "A", true).unwrap();
    for (json, said) in [
        (r#"{"small":1.5}"#, "field p.A.small: expected int32, but got 1.5"),
        (r#"{"small":2147483648}"#, "field p.A.small: expected int32, but got 2147483648"),
        (r#"{"large":-1}"#, "field p.A.large: expected uint64, but got -1"),
        (r#"{"large":"hunter2"}"#, "field p.A.large: expected uint64, but got string"),
        (r#"{"rate":[]}"#, "field p.A.rate: expected double, but got array"),
        (
            r#"{"more":[{"small":1},{"small":true}]}"#,
            "field p.A.small: expected int32, but got boolean",
        ),
        (r#"{"counts":{"a":1,"b":"x"}}"#, "field p.A.counts: expected int64, but got string"),
    ] {
        let told = ask(&of, json.as_bytes(), "application/json").unwrap_err();
        let (place, rest) = told.split_once("): ").unwrap();
        assert!(place.starts_with("proto: (line 1:"), "{told}");
        assert_eq!(rest, said, "{json}");
    }
    assert!(ask(&of, br#"{"small":"12","large":1e3,"rate":"NaN","secret":"x"}"#, "application/json").is_ok());
}
#[test]
fn numbers_are_read_as_the_mapping_writes_them() {
    let text = "syntax = \"proto3\"; package p; import \"google/protobuf/wrappers.proto\"; message A { float f = 1; double d = 2; int32 i = 3; map<int32, float> m = 4; repeated float r = 5; google.protobuf.FloatValue w = 6; int64 l = 7; A a = 8; map<string, A> n = 9; }";
    let of = Protobuf::new("t", text, "A", true).unwrap();
    let json = |text: &str| ask(&of, text.as_bytes(), "application/json");
    let most = Bytes::from_static(b"\x0d\xff\xff\x7f\x7f");
    assert_eq!(json(r#"{"f":3.4028235e38}"#), Ok(Some(most.clone())));
    assert_eq!(json(r#"{"f":"3.4028235e38"}"#), Ok(Some(most)));
    assert_eq!(json(r#"{"i":"1e3"}"#), json(r#"{"i":1000}"#));
    assert_eq!(json(r#"{"i":"2147483647.0"}"#), json(r#"{"i":2147483647}"#));
    assert_eq!(json(r#"{"m":{"1e0":1}}"#), json(r#"{"m":{"1":1}}"#));
    for fine in [
        r#"{"f":"NaN","d":"-Infinity","r":[1,"2.5"],"w":1.5,"a":{"i":null},"n":{"a":{},"b":null}}"#,
        r#"{"f":-0.0,"i":-0.0,"d":1e300}"#,
    ] {
        assert!(json(fine).is_ok() || fine.contains("\"b\":null"), "{fine} {:?}", json(fine));
    }
    for bad in [
        r#"{"f":1e39}"#,
        r#"{"f":"1e39"}"#,
        r#"{"f":"1e300"}"#,
        r#"{"d":"1e400"}"#,
        r#"{"d":"inf"}"#,
        r#"{"f":"+1"}"#,
        r#"{"i":"+1"}"#,
        r#"{"i":" 1"}"#,
        r#"{"i":"01"}"#,
        r#"{"i":""}"#,
        r#"{"l":9007199254740992.5}"#,
        r#"{"i":1e-400}"#,
        r#"{"r":["infinity"]}"#,
        r#"{"m":{"1":"1e39"}}"#,
        r#"{"m":{"+1":1}}"#,
        r#"{"w":"1e39"}"#,
    ] {
        assert!(json(bad).is_err(), "{bad}");
    }
    for (twice, field) in [
        (r#"{"i":1,"i":2}"#, "field p.A.i is there twice"),
        (r#"{"a":{"l":1,"\u006c":2}}"#, "field p.A.l is there twice"),
        (r#"{"m":{"1":1,"1.0":2}}"#, "field p.A.m: a key is there twice"),
        (r#"{"n":{"x":{},"x":{}}}"#, "field p.A.n: a key is there twice"),
    ] {
        let said = json(twice).unwrap_err();
        assert!(said.starts_with("proto: (line 1:") && said.ends_with(field), "{said}");
    }
}
#[test]
fn what_must_be_there_is_told() {
    let old =
        "syntax = \"proto2\"; message Test { required string a = 1; optional bytes b = 2; optional group C = 3 { required int32 d = 4; } }";
    let old = Protobuf::new("t", old, "", true).unwrap();
    assert_eq!(ask(&old, b"\x12\x01x", ""), Err("proto: required field Test.a not set".to_owned()));
    // The first syntax never promised texts to be text.
    assert_eq!(ask(&old, b"\x0a\x01\xff\x1b\x20\x01\x1c", ""), Ok(None));
    assert_eq!(
        ask(&old, b"\x0a\x01x\x1b\x1c", ""),
        Err("proto: required field Test.C.d not set".to_owned())
    );
    assert_eq!(
        ask(&old, b"{\"b\":\"eA==\"}", "application/json"),
        Err("proto: required field Test.a not set".to_owned())
    );
}
#[test]
fn a_file_that_is_none_says_where() {
    let bad = |text: &str, message: &str| Protobuf::new("t", text, message, true).err().unwrap();
    let said = bad("syntax = \"proto3\";\nmessage A {\n  strin g = 1\n}\n", "A").message;
    assert!(said.starts_with("line 4, column 1:"), "{said}");
    let said = bad("syntax = \"proto3\"; message A { Missing x = 1; }", "A").message;
    assert!(said.starts_with("line 1, column 32:"), "{said}");
    let said = bad("syntax = \"proto3\"; import \"other.proto\"; message A {}", "A");
    assert!(said.message.contains("other.proto") && said.hint.is_some(), "{said}");
    let two = "syntax = \"proto3\"; message A {} message B { message C {} }";
    assert!(bad(two, "").hint.unwrap().contains("`B.C`"));
    let hint = bad(two, "").hint.unwrap();
    assert!(hint.contains("`message:`") && hint.contains("`--message`"), "{hint}");
    assert!(bad(two, "D").message.contains("`D`"));
    assert!(Protobuf::new("t", two, "C", true).is_ok());
    for deep in [
        "{",
        "message A {",
        "[",
        "(",
        "option (a) = {a:",
        "message A { option (a) = <a<",
        "message A { repeated group B = 1 {",
    ] {
        let text = format!("syntax = \"proto2\"; {}", deep.repeat(20_000));
        bad(&text, "A");
    }
    bad(&"x".repeat(2 << 20), "A");
    assert!(
        Protobuf::new(
            "t",
            "syntax = \"proto3\"; // {{{{ \"\n/* [[[ ' */ message A { string x = 1 [deprecated = true]; }",
            "A",
            true
        )
        .is_ok()
    );
}
proptest! {
    #[test]
    fn every_integer_arrives(number in any::<i64>(), large in any::<u64>()) {
        let order = order(true);
        let wire = ask(&order, format!("{{\"number\":{number},\"large\":\"{large}\"}}").as_bytes(), "application/json").unwrap().unwrap();
        let again = prost_reflect::DynamicMessage::decode(order.message, wire).unwrap();
        let is = |name: &str| again.get_field_by_name(name).unwrap().into_owned();
        prop_assert_eq!(is("number").as_i64(), Some(number));
        prop_assert_eq!(is("large").as_u64(), Some(large));
    }
    /// What another reader of Protobuf takes is taken here, but for what only one of them calls wrong.
    #[test]
    fn any_bytes_are_walked_as_another_reader_does(bytes in prop::collection::vec(prop_oneof![0_u8..0x40, any::<u8>()], 0..40)) {
        let order = order(true);
        let own = ask(&order, &bytes, "").is_ok();
        if prost_reflect::DynamicMessage::decode(order.message, &bytes[..]).is_ok() {
            prop_assert!(own, "{:?}", bytes);
        }
    }
}
