//! What a fuzzer calls: every reader of schemas and messages with any bytes.
use crate::{Source, compatible, compile};
use tidegate_core::{headers::Headers, message::Message, topic::Topic};

fn message(payload: &[u8]) -> Option<Message> {
    let mut headers = Headers::EMPTY.edit();
    headers.push("content-type", b"application/json").ok()?;
    Some(Message {
        headers: headers.build(),
        ..Message::new(Topic::from_static("t"), payload.to_vec())
    })
}
/// One schema of each kind, asked about any message, as JSON and as it is.
pub fn messages(bytes: &[u8]) {
    const PROTO: &str =
        "syntax = \"proto3\"; message A { string a = 1; int64 b = 2; A c = 3; map<int32, A> d = 4; repeated double e = 5; }";
    let json = serde_json::json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "integer"}}, "required": ["b"]});
    let avro = serde_json::json!({"type": "record", "name": "A", "fields": [
        {"name": "b", "type": "long"}, {"name": "a", "type": ["null", "A", {"type": "map", "values": "A"}], "default": null}]});
    let proto = Source::Protobuf {
        text: PROTO,
        message: "A",
        convert: true,
    };
    for source in [Source::Json(&json), Source::Avro(&avro), proto] {
        let (Ok(schema), Some(asked)) = (compile("fuzz", source), message(bytes)) else {
            continue;
        };
        let _any = (
            schema.check(&asked),
            schema.check(&Message::new(Topic::from_static("t"), bytes.to_vec())),
        );
    }
}
/// Any bytes as a `.proto` file, and asked about a message.
pub fn descriptors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source::Protobuf {
        text,
        message: "",
        convert: true,
    };
    if let (Ok(schema), Some(asked)) = (compile("fuzz", source), message(b"{}")) {
        let _any = (schema.check(&asked), compatible(source, source));
    }
}
/// Any JSON as a schema of both kinds that are JSON, and asked about itself.
pub fn schemas(bytes: &[u8]) {
    let Ok(schema) = serde_json::from_slice(bytes) else { return };
    for source in [Source::Json(&schema), Source::Avro(&schema)] {
        if let (Ok(compiled), Some(asked)) = (compile("fuzz", source), message(bytes)) {
            let _any = compiled.check(&asked);
            assert!(compatible(source, source).is_empty(), "{schema}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEEDS: &[&str] = &[
        r#"{"a":{"b":1,"c":[{"d":9007199254740993}]},"b":-1.5e3,"x":"\u00e9"}"#,
        "\n\u{3}abc\u{10}\u{7}\u{1a}\u{2}\u{10}\u{1}",
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"anyOf":[{"type":"null"},{"pattern":"^a+$"}]}},"required":["a"]}"##,
        r#"{"type":"record","name":"a.b","fields":[{"name":"c","type":["null","b",{"type":"array","items":"long"}],"default":null}]}"#,
        "syntax = \"proto3\"; package p; message A { map<string, A> a = 1; oneof b { int64 c = 2; E d = 3; } enum E { Z = 0; } reserved 5 to 9; option (x) = { y: [1, 2] }; }",
        "syntax = \"proto2\"; message A { required group B = 1 { extensions 4 to max; } optional string c = 2 [default = \"\\x41\"]; } extend A.B { optional A d = 4; }",
    ];
    fn all(bytes: &[u8]) {
        messages(bytes);
        descriptors(bytes);
        schemas(bytes);
    }
    #[test]
    fn fuzz_cut_and_nested() {
        for seed in SEEDS {
            for end in 0..=seed.len() {
                all(seed.as_bytes().get(..end).unwrap_or_default());
            }
        }
        for piece in [
            "[",
            "{\"a\":",
            "{\"allOf\":[",
            "{\"type\":",
            "message A {",
            "[\"null\",",
            "/*",
            "\"",
        ] {
            all(piece.repeat(30_000).as_bytes());
        }
    }
    proptest! {
        #[test]
        fn fuzz_changed(seed in 0..SEEDS.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..3), 1..8)) {
            let mut bytes = SEEDS[seed].as_bytes().to_vec();
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            all(&bytes);
        }
    }
}
