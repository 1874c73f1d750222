//! Says where a text stops being JSON, in the words that clients of the Memphis gateway have seen.

/// Deeper is refused, as the readers of JSON here do.
pub(crate) const DEPTH: usize = 128;
/// What a JSON text breaks off with.
const END: &str = "unexpected end of JSON input";

/// What is wrong with a text that is no JSON; `None`: its grammar is right.
pub(crate) fn fault(text: &[u8]) -> Option<String> {
    Scan { text, at: 0 }.document().err()
}
/// At most so many bytes of it.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
/// A byte as those words show it: a byte above 127 as the character of that number.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        0..=31 | 127 => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}
impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
    fn wrong<T>(&self, context: &str) -> Result<T, String> {
        Err(match self.peek() {
            Some(byte) => format!("invalid character {} {context}", quoted(byte)),
            None => END.to_owned(),
        })
    }
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
    fn is(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }
    fn document(&mut self) -> Result<(), String> {
        // By hand, so that nesting needs no stack.
        let mut open = Vec::new();
        'value: loop {
            self.space();
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    open.push(b'{');
                    self.space();
                    if !self.is(b'}') {
                        self.key()?;
                        continue 'value;
                    }
                    open.pop();
                }
                Some(b'[') => {
                    self.at += 1;
                    open.push(b'[');
                    if open.len() <= DEPTH {
                        self.space();
                        if !self.is(b']') {
                            continue 'value;
                        }
                        open.pop();
                    }
                }
                _ => self.scalar()?,
            }
            if open.len() > DEPTH {
                return Err("exceeded max depth".to_owned());
            }
            loop {
                self.space();
                match open.last() {
                    None if self.peek().is_none() => return Ok(()),
                    None => return self.wrong("after top-level value"),
                    Some(b'{') if self.is(b',') => {
                        self.space();
                        self.key()?;
                        continue 'value;
                    }
                    Some(b'{') if !self.is(b'}') => return self.wrong("after object key:value pair"),
                    Some(b'[') if self.is(b',') => continue 'value,
                    Some(b'[') if !self.is(b']') => return self.wrong("after array element"),
                    Some(_) => drop(open.pop()),
                }
            }
        }
    }
    fn key(&mut self) -> Result<(), String> {
        if !self.is(b'"') {
            return self.wrong("looking for beginning of object key string");
        }
        self.string()?;
        self.space();
        if self.is(b':') { Ok(()) } else { self.wrong("after object key") }
    }
    fn scalar(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string()
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.wrong("looking for beginning of value"),
        }
    }
    fn word(&mut self, word: &str) -> Result<(), String> {
        for byte in word.bytes() {
            if !self.is(byte) {
                return self.wrong(&format!("in literal {word} (expecting {})", quoted(byte)));
            }
        }
        Ok(())
    }
    fn digits(&mut self) -> bool {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > from
    }
    fn number(&mut self) -> Result<(), String> {
        self.is(b'-');
        if !self.is(b'0') && !self.digits() {
            return self.wrong("in numeric literal");
        }
        if self.is(b'.') && !self.digits() {
            return self.wrong("after decimal point in numeric literal");
        }
        if self.is(b'e') || self.is(b'E') {
            let _sign = self.is(b'+') || self.is(b'-');
            if !self.digits() {
                return self.wrong("in exponent of numeric literal");
            }
        }
        Ok(())
    }
    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return self.wrong("in \\u hexadecimal character escape");
                                }
                                self.at += 1;
                            }
                        }
                        _ => return self.wrong("in string escape code"),
                    }
                }
                Some(0x20..) => self.at += 1,
                _ => return self.wrong("in string literal"),
            }
        }
    }
}
/// A JSON text, or what to say of it behind `Bad … format - `.
pub(crate) fn parse(text: &[u8]) -> Result<serde_json::Value, String> {
    serde_json::from_slice(text).map_err(|error| fault(text).unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_where_it_stops_being_json() {
        for (text, said) in [
            ("not json", "invalid character 'o' in literal null (expecting 'u')"),
            ("", END),
            ("{\"a\":", END),
            ("{\"a\":1} x", "invalid character 'x' after top-level value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("<a/>", "invalid character '<' looking for beginning of value"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("\u{e9}", "invalid character 'Ã' looking for beginning of value"),
            ("\0", "invalid character '\\x00' looking for beginning of value"),
        ] {
            assert_eq!(fault(text.as_bytes()).as_deref(), Some(said), "{text:?}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(fault(deep.as_bytes()).as_deref(), Some("exceeded max depth"));
        assert_eq!(fault("{\"a\":".repeat(100_000).as_bytes()).as_deref(), Some(END));
    }
    proptest! {
        #[test]
        fn what_is_json_has_no_fault(text in "[\\[\\]{}:,\"\\\\a-fnu0-9.eE+ -]{0,30}") {
            let is = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // The grammar alone: a lone surrogate or a number without end is wrong in another way.
            prop_assert!(!is || fault(text.as_bytes()).is_none());
        }
        #[test]
        fn any_bytes_are_told_something(text in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(parse(&text).is_ok() || parse(&text).is_err_and(|said| !said.is_empty()));
        }
    }
}
