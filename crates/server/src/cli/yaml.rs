//! JSON as YAML for people, which `apply` reads back as what it was.
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// What stands first in a resource; the rest follows as it came.
const FIRST: &[&str] = &["kind", "name", "description", "labels"];
const LAST: &[&str] = &["meta", "status"];
/// A list of short words is written on one line up to here.
const WIDTH: usize = 100;

/// One document, with a line feed at its end.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => members(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}
/// Each line as a comment; no line of the text is one to YAML that is none to us.
pub(super) fn comment(text: &str) -> String {
    let plain = |c: char| if breaks(c) { ' ' } else { c };
    text.lines().fold(String::new(), |mut out, line| {
        out.push_str("# ");
        out.extend(line.chars().map(plain));
        out.push('\n');
        out
    })
}
/// What some reader of YAML takes for the end of a line, or for no text.
fn breaks(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}
fn members(map: &Map<String, Value>, indent: usize, out: &mut String) {
    let place = |key: &str| match FIRST.iter().position(|first| *first == key) {
        Some(place) => place,
        None => FIRST.len() + LAST.iter().position(|last| *last == key).map_or(0, |place| place + 1),
    };
    let mut sorted: Vec<_> = map.iter().collect();
    if indent == 0 {
        sorted.sort_by_key(|(key, _)| place(key));
    }
    for (key, value) in sorted {
        out.push_str(&" ".repeat(indent));
        member(key, value, indent, out);
    }
}
/// `key: value`, where the key's column is `indent`.
fn member(key: &str, value: &Value, indent: usize, out: &mut String) {
    out.push_str(&word(key));
    out.push(':');
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            members(map, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            if let Some(line) = short(items, WIDTH.saturating_sub(indent + key.len())) {
                out.extend([" ", &line, "\n"]);
            } else {
                out.push('\n');
                list(items, indent + 2, out);
            }
        }
        _ => out.extend([" ", &scalar(value), "\n"]),
    }
}
fn short(items: &[Value], room: usize) -> Option<String> {
    let flat = items.iter().all(|item| !item.is_object() && !item.is_array());
    let line = format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", "));
    (flat && line.len() <= room).then_some(line)
}
fn list(items: &[Value], indent: usize, out: &mut String) {
    for item in items {
        out.push_str(&" ".repeat(indent));
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => {
                for (number, (key, value)) in map.iter().enumerate() {
                    if number > 0 {
                        out.push_str(&" ".repeat(indent + 2));
                    }
                    member(key, value, indent + 2, out);
                }
            }
            Value::Array(inner) if !inner.is_empty() => {
                if let Some(line) = short(inner, WIDTH) {
                    out.extend([&line, "\n"]);
                } else {
                    out.push('\n');
                    list(inner, indent + 2, out);
                }
            }
            _ => out.extend([&scalar(item), "\n"]),
        }
    }
}
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}
/// Without quotes where every reader of YAML, old or new, takes it for this text.
fn word(text: &str) -> String {
    let mut chars = text.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_'));
    let goes_on = text.chars().all(|c| c.is_ascii_alphanumeric() || " /._+@%=-:".contains(c));
    let colon = text.contains(": ") || text.ends_with([':', ' ']);
    if begins && goes_on && !colon && !means_something(text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if breaks(c) => {
                // A `String` takes everything that is written to it.
                let _never = write!(out, "\\u{:04X}", c as u32);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
/// A boolean, nothing, a number, a date or a time of some version of YAML.
fn means_something(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    let digits = lower.chars().all(|c| c.is_ascii_digit() || "_.:+- t".contains(c));
    words.contains(&lower.as_str())
        || digits
        || lower.parse::<f64>().is_ok()
        || ["0x", "0o", "0b"].iter().any(|base| lower.starts_with(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tidegate_config::{Draft, Drafts};

    #[test]
    fn is_read_back_as_what_it_was() {
        let words = [
            "",
            " ",
            "a",
            "7d",
            "1GiB",
            "orders/#",
            "#",
            "true",
            "No",
            "1.10",
            "0x1f",
            "1e5",
            "inf",
            "12:30",
            "2026-01-01",
            "a: b",
            "a:",
            "- a",
            "a # b",
            "${rest}",
            "${env:HOME}x",
            "it's",
            "\"q\"",
            "back\\slash",
            "two\nlines\n",
            "tab\there",
            "ümläut",
            "\u{85}\u{2028}\u{7f}",
            "[a]",
            "{a}",
            "*",
            "&a",
            "!t",
            "|",
            ">",
            "%",
            "@",
            "`",
            "a,b",
            "?",
            "~",
            "null",
            "http://localhost:1/x?y=z&a=b",
            "***",
        ];
        // What a client fills in is not written by it.
        let plain: Vec<_> = words.iter().filter(|word| !word.contains("${env")).collect();
        let map: Map<_, _> = plain
            .iter()
            .enumerate()
            .map(|(i, word)| (format!("{word} {i}"), json!(word)))
            .collect();
        let resource = json!({
            "status": {}, "meta": {"revision": "1"}, "partitions": 3, "bytes": 1_073_741_824_u64, "on": true, "gone": null, "ratio": 0.5,
            "topics": plain, "labels": map, "name": "orders", "kind": "stream", "empty": [], "nested": [[1, [2]], [], {}],
            "paths": [{"path": "/a", "host": "x"}, "/b", {"deep": {"er": [{"a": 1}, {"b": ["x", "y"]}]}}],
        });
        let text = [document(&resource), document(&json!({"kind": "api", "name": "x"}))].join("---\n");
        let drafts =
            Drafts::read(vec![Draft::Text("x.yaml".to_owned(), text.clone())], []).unwrap_or_else(|report| panic!("{report}\n{text}"));
        assert_eq!(drafts.resources()[0], resource, "{text}");
        assert!(
            text.starts_with("kind: stream\nname: orders\n") && text.contains("\n---\nkind: api\n"),
            "{text}"
        );
    }
    #[test]
    fn reads_as_a_person_would_write_it() {
        let resource = json!({"kind": "stream", "name": "orders", "retention": {"age": "7d"}, "topics": ["orders", "orders/#"]});
        assert_eq!(
            document(&resource),
            "kind: stream\nname: orders\nretention:\n  age: 7d\ntopics: [orders, \"orders/#\"]\n"
        );
    }
}
