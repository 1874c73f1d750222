//! A JSON array of objects to messages, each with its own bytes: nothing is read as a number, so none is damaged. Only blanks between tokens go.
use crate::http::batch::Elements;
use bytes::Bytes;

/// The elements.
pub(super) struct Split {
    pub(super) messages: Vec<Bytes>,
    /// There are more than were asked for.
    pub(super) more: bool,
}
/// `None` when the body is anything but an array of objects. `null` is no message, and an element that is `null` is one.
pub(super) fn split(body: &Bytes, most: u32) -> Option<Split> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    let mut split = Split {
        messages: Vec::new(),
        more: false,
    };
    if text.trim_matches(|c: char| c.is_ascii() && is_blank(c as u8)) == "null" {
        return Some(split);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let elements = Elements::read(&mut reader, most).ok()?;
    reader.end().ok()?;
    split.more = elements.more;
    for element in elements.list {
        let text = element.get();
        if !text.starts_with('{') && text != "null" {
            return None;
        }
        split.messages.push(match first_blank(text) {
            None => body.slice_ref(text.as_bytes()),
            Some(at) => compact(text, at).into(),
        });
    }
    Some(split)
}
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
/// The first that stands in no string. Most elements have none at all, which wide instructions tell.
fn first_blank(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let any = memchr::memchr3(b' ', b'\n', b'\t', bytes).is_some() || memchr::memchr(b'\r', bytes).is_some();
    any.then(|| Outside::new(text).find(|(_, byte)| is_blank(*byte)).map(|(at, _)| at))
        .flatten()
}
fn compact(text: &str, from: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut kept = 0;
    for (at, _) in Outside::new(text).filter(|(at, byte)| *at >= from && is_blank(*byte)) {
        out.extend_from_slice(text.as_bytes().get(kept..at).unwrap_or_default());
        kept = at + 1;
    }
    out.extend_from_slice(text.as_bytes().get(kept..).unwrap_or_default());
    out
}
/// Bytes of JSON that stand in no string, with their places.
struct Outside<'t> {
    text: &'t [u8],
    at: usize,
}
impl<'t> Outside<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }
    /// Behind the string that begins here.
    fn pass_string(&mut self) {
        while let Some(rest) = self.text.get(self.at..) {
            let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return;
            };
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return;
            }
            self.at += 1;
        }
    }
}
impl Iterator for Outside<'_> {
    type Item = (usize, u8);
    fn next(&mut self) -> Option<(usize, u8)> {
        let at = self.at;
        let byte = *self.text.get(at)?;
        self.at += 1;
        if byte == b'"' {
            self.pass_string();
        }
        Some((at, byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &'static str) -> Option<Vec<String>> {
        let split = split(&Bytes::from_static(body.as_bytes()), 100)?;
        assert!(!split.more);
        Some(
            split
                .messages
                .iter()
                .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
                .collect(),
        )
    }
    #[test]
    fn each_keeps_its_own_bytes() {
        assert_eq!(
            texts("[{\"n\":12345678901234567890,\"f\":1.10}]").unwrap(),
            ["{\"n\":12345678901234567890,\"f\":1.10}"]
        );
        assert_eq!(
            texts("[ {\"b\" : 1e3 ,\n\t\"a\" : \" x \\\" \\\\\" , \"b\": [ 1.0 , \"<\" ] } , null ]").unwrap(),
            ["{\"b\":1e3,\"a\":\" x \\\" \\\\\",\"b\":[1.0,\"<\"]}", "null"]
        );
        assert_eq!(texts("[{\"a\":\"b c\"}]").unwrap(), ["{\"a\":\"b c\"}"]);
    }
    /// As the table of the reference has it.
    #[test]
    fn only_arrays_of_objects_are_batches() {
        for body in [
            "",
            "{}",
            "[1]",
            "[\"a\"]",
            "[[1]]",
            "[{\"a\":1},\"x\"]",
            "[{\"a\":1}",
            "[{\"a\":1}]x",
            "[true]",
            "\"x\"",
            "7",
        ] {
            assert_eq!(texts(body), None, "{body}");
        }
        assert!(split(&Bytes::from_static(b"[{\"a\":\"\xff\"}]"), 9).is_none());
        assert_eq!(texts("[]").unwrap(), Vec::<String>::new());
        assert_eq!(texts(" null ").unwrap(), Vec::<String>::new());
        assert_eq!(texts("[null]").unwrap(), ["null"]);
    }
    /// Whatever the body holds, no more of it is looked at than may be.
    #[test]
    fn no_more_elements_are_taken_than_may_be() {
        for (body, count, more) in [
            ("[{},{}]", 2, false),
            ("[{},{},{}]", 2, true),
            ("[{},{},7,[]]", 2, true),
            ("[{}]", 1, false),
        ] {
            let split = split(&Bytes::from_static(body.as_bytes()), 2).unwrap();
            assert_eq!((split.messages.len(), split.more), (count, more), "{body}");
        }
        for broken in ["[{},{},{}", "[{},{},]", "[{},{},{}]x"] {
            assert!(split(&Bytes::from_static(broken.as_bytes()), 2).is_none(), "{broken}");
        }
        let many = Bytes::from(format!("[{}{{}}]", "{},".repeat(100_000)));
        assert!(split(&many, 10).unwrap().messages.capacity() <= 16);
    }
}
