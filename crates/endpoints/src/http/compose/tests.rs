use super::*;
use crate::http::spec::Batching;
use proptest::{collection::vec, option, prelude::*};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tidegate_core::{headers::Headers, position::Position, topic::Topic};

fn spec() -> Spec {
    Spec::new("crm", "https://crm.example/hook".parse().unwrap())
}
fn received(message: Message, offset: u128) -> Received {
    Received {
        message: Arc::new(message),
        position: Some(Position {
            source: 7,
            partition: 0,
            offset,
        }),
        attempt: 2,
        slot: 0,
        metadata: Headers::EMPTY,
    }
}
fn message(payload: &str) -> Message {
    Message::new(Topic::from_static("orders/1"), payload.to_owned())
}
fn one(spec: &Spec, message: Message) -> Composed {
    compose(spec, &HeaderMap::new(), &[received(message, 100)], 1_614_265_330_999_999).unwrap()
}
fn id(text: &str) -> String {
    let mut message = message("x");
    message.id = Some(text.to_owned().into());
    one(&spec(), message).headers[ID].to_str().unwrap().to_owned()
}

#[test]
fn a_request_says_what_it_carries() {
    let mut order = message(r#"{"a":1}"#);
    order.key = Some("k1".into());
    let composed = one(&spec(), order);
    let expected = [
        ("content-type", "application/json"),
        ("tidegate-attempt", "2"),
        ("tidegate-topic", "orders/1"),
        ("tidegate-key", "k1"),
        ("tidegate-position", "7.100"),
        ("webhook-id", "pos_7_100"),
        ("webhook-timestamp", "1614265330"),
    ];
    for (name, value) in expected {
        assert_eq!(composed.headers[name], value, "{name}");
    }
    assert_eq!(composed.headers.len(), expected.len());
    assert_eq!(composed.body, r#"{"a":1}"#);
}
#[test]
fn content_type_is_the_senders_else_json_if_it_is() {
    let of = |payload: &str, told: Option<&[u8]>| {
        let mut message = message(payload);
        let mut headers = Headers::EMPTY.edit();
        if let Some(told) = told {
            headers.push("Content-Type", told).unwrap();
        }
        message.headers = headers.build();
        one(&spec(), message).headers[header::CONTENT_TYPE].clone()
    };
    assert_eq!(of("{}", Some(b"text/plain")), "text/plain");
    assert_eq!(of("{}", Some(b"text/plain\r\nx-evil: 1")), "application/json");
    assert_eq!(of("{}", Some(b" ")), "application/json");
    assert_eq!(of(r#"[1,"a"]"#, None), "application/json");
    assert_eq!(of("{", None), "application/octet-stream");
    assert_eq!(of("", None), "application/octet-stream");
}
#[test]
fn headers_are_filled_and_cannot_end_a_line() {
    let mut spec = spec();
    for (name, text) in [
        ("x-who", "${header:who}"),
        ("x-all", "t=${topic} k=${key} i=${id}"),
        ("x-none", "${header:missing}"),
        ("x-long", "${header:long}"),
        ("content-type", "text/x"),
    ] {
        let template = Template::parse(text).unwrap();
        spec.headers.push((HeaderName::from_static(name), template));
    }
    let mut order = message("{}");
    let mut headers = Headers::EMPTY.edit();
    headers.push("who", "a\r\nx-evil: 1\0\u{e9}%\t".as_bytes()).unwrap();
    headers.push("long", &[b'a'; LONGEST_VALUE + 1]).unwrap();
    order.headers = headers.build();
    order.key = Some("k\n".into());
    let sent = one(&spec, order).headers;
    assert_eq!(sent["x-who"], "a%0D%0Ax-evil: 1%00%C3%A9%%09");
    assert_eq!(sent["x-all"], "t=orders/1 k=k%0A i=pos_7_100");
    assert_eq!(sent["content-type"], "text/x");
    assert_eq!(sent["tidegate-key"], "k%0A");
    for none in ["x-none", "x-long", "x-evil"] {
        assert!(!sent.contains_key(none), "{none}");
    }
}
#[test]
fn ids_are_the_senders_and_fit_what_is_signed() {
    for (text, expected) in [
        ("order-7", "order-7"),
        ("a.b", "a%2Eb"),
        ("a%2Eb", "a%252Eb"),
        ("a b~c,\r\n", "a%20b%7Ec%2C%0D%0A"),
        ("pos_7_100", "%70os_7_100"),
        ("live_1", "%6Cive_1"),
    ] {
        assert_eq!(id(text), expected);
    }
    let mut live = received(message("x"), 1);
    live.position = None;
    assert!(identity(&live).starts_with("live_0_"));
    assert_eq!(identity(&live), identity(&live));
}
#[test]
fn every_secret_signs_what_is_sent() {
    let mut spec = spec();
    let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
    spec.sign = secrets.map(|text| webhook::Secret::parse(text).unwrap()).into();
    let composed = one(&spec, message("x"));
    let [id, signature] = [ID, SIGNATURE].map(|name| composed.headers[name].to_str().unwrap().to_owned());
    for secret in spec.sign {
        let minutes = Duration::from_mins(5);
        let verified = webhook::verify(&[secret], &id, 1_614_265_330, &composed.body, &signature, minutes, 1_614_265_330);
        assert_eq!(verified, Ok(()));
    }
}
#[test]
fn batches_have_their_items_as_pages_do() {
    let mut spec = spec();
    let mut first = message("a\"b");
    first.id = Some("one".into());
    first.key = Some("k".into());
    let mut headers = Headers::EMPTY.edit();
    headers.push("h", b"1").unwrap().push("h", b"2").unwrap().push("g", b"3").unwrap();
    first.headers = headers.build();
    let second = Message::new(Topic::from_static("t"), vec![0xff, 0]);
    let items = [received(first, 100), received(second, 101)];
    let mut bodies = Vec::new();
    for form in [Form::Json, Form::Ndjson] {
        spec.batch = Some(Batching {
            messages: 10,
            bytes: 1_000,
            wait: Duration::ZERO,
            form,
        });
        let composed = compose(&spec, &HeaderMap::new(), &items, 0).unwrap();
        assert_eq!(composed.headers[COUNT], "2");
        let id = composed.headers[ID].to_str().unwrap();
        assert!(id.starts_with("one~2~") && !id.contains('.'), "{id}");
        assert!(!composed.headers.contains_key(KEY) && !composed.headers.contains_key(POSITION));
        bodies.push(composed.body);
    }
    let array: Value = serde_json::from_slice(&bodies[0]).unwrap();
    let lines: Vec<Value> = bodies[1]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(array, Value::Array(lines));
    let expected = json!([
        { "id": "one", "position": "7.100", "topic": "orders/1", "payload": "a\"b", "key": "k", "time": "1970-01-01T00:00:00.000000Z",
          "attempt": 2, "headers": { "h": ["1", "2"], "g": "3" } },
        { "id": "pos_7_101", "position": "7.101", "topic": "t", "payload": "/wA=", "encoding": "base64",
          "time": "1970-01-01T00:00:00.000000Z", "attempt": 2 },
    ]);
    assert_eq!(array, expected);
}
#[test]
fn a_batch_of_others_has_another_id() {
    let sent = |ids: &[&str]| {
        let item = |id: &&str| Sent {
            id: (*id).into(),
            position: None,
            attempt: 1,
        };
        together(&ids.iter().map(item).collect::<Vec<_>>())
    };
    assert_eq!(sent(&["a", "b"]), sent(&["a", "b"]));
    let all = [
        sent(&["a"]),
        sent(&["a", "b"]),
        sent(&["a", "c"]),
        sent(&["a", "b", "c"]),
        sent(&["ab", "c"]),
        sent(&["a", "bc"]),
    ];
    let different: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}
proptest! {
    /// Whatever a sender calls its messages: an id fits into a header and into the signed text, and two messages never have the same.
    #[test]
    fn ids_are_never_the_same_for_two(ids in vec(option::of(vec(prop_oneof![Just(b'.'), Just(b'_'), Just(b'%'), Just(b'~'), any::<u8>()], 1..6)), 1..30)) {
        let mut seen: HashMap<Box<str>, (Option<Vec<u8>>, u128)> = HashMap::new();
        for (offset, id) in (0..).zip(ids) {
            let mut message = message("x");
            message.id = id.clone().map(Into::into);
            let item = received(message, offset);
            let text = identity(&item);
            prop_assert!(HeaderValue::from_str(&text).is_ok() && !text.contains(['.', ' ']) && !text.is_empty());
            let own = (id.clone(), if id.is_some() { 0 } else { offset });
            if let Some(other) = seen.insert(text, own.clone()) {
                prop_assert_eq!(other, own);
            }
        }
    }
    #[test]
    fn no_body_is_longer_than_its_messages_weigh(payloads in vec(prop_oneof!["[a-z\"\\x01]{0,30}", ".{0,30}"], 1..9), binary in vec(any::<u8>(), 0..30)) {
        let mut messages: Vec<_> = payloads.iter().map(|text| message(text)).collect();
        messages.push(Message::new(Topic::from_static("t"), binary));
        let items: Vec<_> = (0..).zip(messages).map(|(offset, message)| received(message, offset)).collect();
        let weight: usize = items.iter().map(weight).sum();
        for form in [Form::Json, Form::Ndjson] {
            let mut spec = spec();
            spec.batch = Some(Batching { messages: 10, bytes: 1_000, wait: Duration::ZERO, form });
            let body = compose(&spec, &HeaderMap::new(), &items, 0).unwrap().body.len();
            prop_assert!(body <= weight && weight <= body + 2 * items.len(), "{} of {}", body, weight);
        }
    }
    #[test]
    fn no_value_ends_a_line(key in vec(any::<u8>(), 0..40)) {
        let mut keyed = message("x");
        keyed.key = Some(key.clone().into());
        let composed = one(&spec(), keyed);
        let sent = composed.headers[KEY].as_bytes();
        prop_assert!(sent.iter().all(|byte| (0x20..=0x7e).contains(byte)));
        let back: Vec<u8> = percent_encoding::percent_decode(sent).collect();
        prop_assert_eq!(back, key);
    }
}
