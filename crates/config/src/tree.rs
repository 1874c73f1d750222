//! YAML as a tree in which every key and value knows where it stands. Scalars stay text until their place says what they are.
use crate::{
    diagnostic::Mask,
    ledger::{At, Fault, Ledger, Path, shown},
    query,
};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::{Map, Number};
use std::collections::HashSet;
use tidegate_core::error::Code;

/// Bytes of one file; values in it; how deep they nest.
pub(crate) const MAX_BYTES: usize = 16 << 20;
const MAX_VALUES: usize = 400_000;
const MAX_DEPTH: usize = 64;
/// Of a value that goes on behind its first line: up to the line's end.
const TO_THE_END: u32 = u32::MAX / 2;

/// What stands below these keys is never shown.
const SECRET: &[&str] = &[
    "password",
    "passwords",
    "passphrase",
    "secret",
    "secrets",
    "client_secret",
    "token",
    "tokens",
    "access_token",
    "connection_token",
    "bearer",
    "api_key",
    "apikey",
    "private_key",
    "credential",
    "credentials",
    "authorization",
];
pub(crate) fn is_secret(key: &str) -> bool {
    // And headers such as `x-api-key` and `x-auth-token`.
    let lower = key.to_ascii_lowercase();
    let header = |end: &str| lower.starts_with("x-") && lower.ends_with(end);
    SECRET.contains(&&*lower)
        || ["-key", "-token", "-secret", "-signature"].into_iter().any(header)
        || lower == "api-key"
        || lower == "cookie"
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) at: At,
    pub(crate) data: Data,
    /// Never shown: below a secret key, or from a variable or a file.
    pub(crate) hidden: bool,
}
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// An error was told about it; whoever meets it says nothing more.
    Broken,
    /// `plain`: written without quotes, so it may be a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Value>),
    Map(Vec<Entry>),
}
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: At,
    pub(crate) value: Value,
}
impl Value {
    pub(crate) fn empty_map(at: At) -> Self {
        Self {
            at,
            data: Data::Map(Vec::new()),
            hidden: false,
        }
    }
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.data {
            Data::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
            _ => None,
        }
    }
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, plain: true } if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }
    /// `{}` or nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_null() || matches!(&self.data, Data::Map(entries) if entries.is_empty())
    }
    /// For a message: the value in backticks, or what it is.
    pub(crate) fn shown(&self) -> String {
        match &self.data {
            _ if self.hidden => "`***`".to_owned(),
            _ if self.is_null() => "empty".to_owned(),
            Data::Scalar { text, .. } => format!("`{}`", shown(&query::masked(text).unwrap_or_else(|| text.clone()))),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
            Data::Broken => "broken".to_owned(),
        }
    }
    /// For whoever checks it by himself: plain scalars become numbers, booleans and null as YAML 1.2 says.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.data {
            Data::Broken => serde_json::Value::Null,
            Data::Scalar { text, plain } => scalar(text, *plain),
            Data::List(items) => items.iter().map(Self::to_json).collect(),
            Data::Map(entries) => {
                let members = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                serde_json::Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
    /// The same for whoever may not see secrets.
    pub(crate) fn to_json_masked(&self) -> serde_json::Value {
        match &self.data {
            Data::Scalar { .. } if self.hidden => MASKED.into(),
            Data::Broken | Data::Scalar { .. } => self.to_json(),
            Data::List(items) => items.iter().map(Self::to_json_masked).collect(),
            Data::Map(entries) => {
                let masked = |entry: &Entry| {
                    let mut value = entry.value.to_json_masked();
                    query::mask(&entry.key, &mut value);
                    (entry.key.clone(), value)
                };
                let members = entries.iter().map(masked);
                serde_json::Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
    pub(crate) fn is_broken(&self) -> bool {
        match &self.data {
            Data::Broken => true,
            Data::Scalar { .. } => false,
            Data::List(items) => items.iter().any(Self::is_broken),
            Data::Map(entries) => entries.iter().any(|entry| entry.value.is_broken()),
        }
    }
    /// The value a JSON pointer names, and whether it exists; else the nearest one around it.
    pub(crate) fn point(&self, pointer: &str) -> (&Self, bool) {
        let mut here = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &here.data {
                Data::List(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => here.get(&part).map(|entry| &entry.value),
            };
            match next {
                Some(next) => here = next,
                None => return (here, false),
            }
        }
        (here, true)
    }
}
fn scalar(text: &str, plain: bool) -> serde_json::Value {
    use serde_json::Value as Json;
    if !plain {
        return Json::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    // Only what looks like a number: Rust would also read `inf` and `1_000` differs.
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = if digits.bytes().all(|b| b.is_ascii_digit()) {
        let integer = text.strip_prefix('+').unwrap_or(text);
        let unsigned = integer.parse::<u64>().ok().map(Number::from);
        unsigned.or_else(|| integer.parse::<i64>().ok().map(Number::from))
    } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.bytes().any(|b| b.is_ascii_digit()) {
        text.parse::<f64>().ok().and_then(Number::from_f64)
    } else {
        None
    };
    number.map_or_else(|| Json::from(text), Json::Number)
}

/// What stands for a secret.
pub(crate) const MASKED: &str = "***";

/// A document that came as JSON. Its values stand nowhere: errors have pointers.
pub(crate) fn of_json(json: &serde_json::Value, file: u32, ledger: &mut Ledger) -> Value {
    let mut left = MAX_VALUES;
    let value = plain(json, file, &Path::default(), false, 0, &mut left, ledger);
    if left == 0 {
        ledger.tell(Fault::new(Code::NotText, At::whole(file), &Path::default(), "too many values").expected("at most 200000"));
    }
    value
}
fn plain(json: &serde_json::Value, file: u32, path: &Path, hidden: bool, depth: usize, left: &mut usize, ledger: &mut Ledger) -> Value {
    use serde_json::Value as Json;
    let at = At::whole(file);
    *left = left.saturating_sub(1);
    if depth > MAX_DEPTH || *left == 0 {
        if depth > MAX_DEPTH {
            ledger.tell(Fault::new(Code::NotText, at, path, "values nest too deep").expected("at most 64 levels"));
        }
        return Value {
            at,
            data: Data::Broken,
            hidden,
        };
    }
    let scalar = |text: String, plain| Data::Scalar { text, plain };
    let data = match json {
        Json::Null => scalar("null".to_owned(), true),
        Json::Bool(is) => scalar(is.to_string(), true),
        Json::Number(number) => scalar(number.to_string(), true),
        Json::String(text) if ["${env:", "${file:"].iter().any(|variable| text.contains(variable)) => {
            let fault = Fault::new(Code::BadValue, at, path, "variables are filled in on the machine where the file is");
            ledger.tell(fault.expected("the value itself").hint("send the file by `tidegate apply`"));
            Data::Broken
        }
        Json::String(text) => scalar(text.clone(), false),
        Json::Array(items) => {
            let item = |(i, item)| plain(item, file, &path.item(i), hidden, depth + 1, left, ledger);
            Data::List(items.iter().enumerate().map(item).collect())
        }
        Json::Object(members) => {
            let entry = |(key, value): (&String, &Json)| Entry {
                key: key.clone(),
                at,
                value: plain(value, file, &path.key(key), hidden || is_secret(key), depth + 1, left, ledger),
            };
            Data::Map(members.iter().map(entry).collect())
        }
    };
    let hidden = hidden || matches!(&data, Data::Scalar { text, .. } if has_password(text));
    Value { at, data, hidden }
}

/// The documents of one text, empty ones left out. A text that is no YAML tells one error and gives what came before it.
pub(crate) fn parse(text: &str, file: u32, ledger: &mut Ledger) -> Vec<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_BYTES {
        let message = "the file is too long".to_owned();
        let expected = format!("at most {} MiB", MAX_BYTES >> 20);
        ledger.tell(Fault::new(Code::NotText, At::whole(file), &Path::default(), message).expected(expected));
        ledger.incomplete = true;
        return Vec::new();
    }
    let mut builder = Builder {
        file,
        reader: Reader::new(text),
        ledger,
        stack: Vec::new(),
        documents: Vec::new(),
        masks: Vec::new(),
        values: 0,
    };
    for event in Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let at = mark(text, error.marker(), file);
                let message = format!("not YAML: {}", shown(error.info()));
                Err(Fault::new(Code::NotText, at, &Path::default(), message))
            }
        };
        if let Err(fault) = done {
            builder.ledger.tell(fault);
            builder.ledger.incomplete = true;
            // What was not read cannot be known to be a secret, so it is guessed from the text.
            builder.masks.extend(guess(text));
            break;
        }
    }
    let Builder {
        documents,
        mut masks,
        ledger,
        ..
    } = builder;
    masks.sort_unstable();
    if let Some(source) = ledger.sources.0.get_mut(file as usize) {
        source.masks = masks;
    }
    documents
}

/// A parser that met the end names the line behind it; nobody can look there, so it becomes the last one's end.
fn mark(text: &str, marker: &Marker, file: u32) -> At {
    let (line, column) = (marker.line() as u32, marker.col() as u32 + 1);
    let last = text.lines().count().max(1) as u32;
    let end = text.lines().last().map_or(0, |line| line.chars().count()) as u32 + 1;
    At {
        file,
        line: line.min(last),
        column: if line > last { end } else { column },
        width: 1,
    }
}

/// Finds characters by their number. Asked in order it walks the text once: a lookup from the start each time
/// would take hours on one long line of JSON.
struct Reader<'a> {
    rest: &'a str,
    passed: usize,
}
impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, passed: 0 }
    }
    /// The text from this character on; numbers never fall.
    fn at(&mut self, number: usize) -> &'a str {
        let mut chars = self.rest.chars();
        while self.passed < number && chars.next().is_some() {
            self.passed += 1;
        }
        self.rest = chars.as_str();
        self.rest
    }
}

struct Builder<'a> {
    file: u32,
    reader: Reader<'a>,
    ledger: &'a mut Ledger,
    stack: Vec<Frame>,
    documents: Vec<Value>,
    masks: Vec<Mask>,
    values: usize,
}
struct Frame {
    at: At,
    hidden: bool,
    content: Content,
}
enum Content {
    List(Vec<Value>),
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        key: Option<(String, At)>,
    },
}
impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = self.at(span);
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.refuse(at, "the file has too many values", "at most 200000"));
        }
        match event {
            Event::Alias(_) => Err(self.refuse(at, "aliases are not supported", "the value itself")),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) if anchor > 0 => {
                Err(self.refuse(at, "anchors are not supported", "the value itself"))
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err(self.refuse(at, "tags are not supported", "the value itself"))
            }
            Event::Scalar(text, style, ..) => {
                let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
                let width = if quoted { self.closed(span, at.width) } else { at.width };
                self.scalar(text.into_owned(), style == ScalarStyle::Plain, At { width, ..at }, span);
                Ok(())
            }
            Event::SequenceStart(..) => self.open(at, Content::List(Vec::new())),
            Event::MappingStart(..) => self.open(
                at,
                Content::Map {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => {
                self.close(span);
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }
    fn refuse(&self, at: At, what: &str, expected: &str) -> Fault {
        Fault::new(Code::NotText, at, &self.path(), what).expected(expected)
    }
    /// As far as it is known while reading: the keys only.
    fn path(&self) -> Path {
        self.stack.iter().fold(Path::default(), |path, frame| match &frame.content {
            Content::Map { key: Some((key, _)), .. } => path.key(key),
            Content::Map { .. } => path,
            Content::List(items) => path.item(items.len()),
        })
    }
    fn at(&self, span: Span) -> At {
        let same = span.start.line() == span.end.line();
        At {
            file: self.file,
            line: span.start.line() as u32,
            column: span.start.col() as u32 + 1,
            width: if same {
                (span.end.index().saturating_sub(span.start.index()) as u32).max(1)
            } else {
                TO_THE_END
            },
        }
    }
    /// The parser counts blanks and a comment behind a quoted text to it; the carets should not.
    fn closed(&mut self, span: Span, width: u32) -> u32 {
        let mut chars = self.reader.at(span.start.index()).chars();
        let Some(quote) = chars.next() else { return width };
        let mut escaped = false;
        for (i, c) in (2..width).zip(chars) {
            if c == quote && !escaped {
                return i;
            }
            escaped = c == '\\' && quote == '"' && !escaped;
        }
        width
    }
    /// Whether the next value is below a secret key.
    fn hides(&self) -> bool {
        self.stack
            .last()
            .is_some_and(|frame| frame.hidden || matches!(&frame.content, Content::Map { key: Some((key, _)), .. } if is_secret(key)))
    }
    fn scalar(&mut self, text: String, plain: bool, at: At, span: Span) {
        if let Some(Frame {
            content: Content::Map { key: key @ None, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some((text, at));
            return;
        }
        let hidden = self.hides() || has_password(&text);
        if hidden || query::masked(&text).is_some() {
            self.masks.extend((span.start.line()..=span.end.line()).map(|line| Mask {
                line: line as u32,
                from: if line == span.start.line() { at.column } else { 1 },
                to: if line == span.end.line() {
                    span.end.col() as u32 + 1
                } else {
                    u32::MAX
                },
            }));
        }
        let data = Data::Scalar { text, plain };
        self.put(Value { at, data, hidden });
    }
    fn open(&mut self, at: At, content: Content) -> Result<(), Fault> {
        if let Some(Frame {
            content: Content::Map { key: None, .. },
            ..
        }) = self.stack.last()
        {
            return Err(self.refuse(at, "a key is a list or a map", "text"));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.refuse(at, "values nest too deep", "at most 64 levels"));
        }
        let hidden = self.hides();
        self.stack.push(Frame { at, hidden, content });
        Ok(())
    }
    fn close(&mut self, end: Span) {
        let Some(Frame { mut at, hidden, content }) = self.stack.pop() else {
            return;
        };
        // A flow collection on one line is marked whole, another one by its first character.
        let end = self.at(end);
        let flow = end.line == at.line && end.column >= at.column;
        at.width = if flow { end.column + end.width.min(1) - at.column } else { 1 };
        let data = match content {
            Content::List(items) => Data::List(items),
            Content::Map { entries, .. } => Data::Map(entries),
        };
        self.put(Value { at, data, hidden });
    }
    fn put(&mut self, value: Value) {
        let (key, at) = match self.stack.last_mut().map(|frame| &mut frame.content) {
            None if value.is_null() => return,
            None => return self.documents.push(value),
            Some(Content::List(items)) => return items.push(value),
            Some(Content::Map { entries, seen, key }) => {
                let Some((key, at)) = key.take() else { return };
                if seen.insert(key.clone()) {
                    return entries.push(Entry { key, at, value });
                }
                (key, at)
            }
        };
        let message = format!("the key `{}` is there twice", shown(&key));
        let fault = Fault::new(Code::Duplicate, at, &self.path().key(&key), message);
        self.ledger.tell(fault.hint("remove one of them"));
    }
}

/// `amqp://user:password@host`.
fn has_password(text: &str) -> bool {
    text.split("://")
        .skip(1)
        .any(|rest| rest.split(['/', ' ', '?']).next().is_some_and(|authority| authority.contains('@')))
}
/// By the look of the text: behind a secret key the rest of the line, and the lines that are deeper.
fn guess(text: &str) -> Vec<Mask> {
    let mut masks = Vec::new();
    let mut below: Option<usize> = None;
    for (i, line) in text.lines().enumerate() {
        let indent = line.chars().take_while(|c| *c == ' ').count();
        if below.is_some_and(|secret| indent > secret || line.trim().is_empty()) {
            masks.push(Mask {
                line: i as u32 + 1,
                from: 1,
                to: u32::MAX,
            });
            continue;
        }
        let lower = line.to_ascii_lowercase();
        let after = SECRET
            .iter()
            .filter_map(|word| lower.find(word).map(|start| start + word.len()))
            .min();
        let url = lower.find("://").map(|start| start + 3);
        let hidden = match (after, url) {
            (Some(after), Some(url)) => Some(after.min(url)),
            (after, url) => after.or(url),
        };
        if let Some(hidden) = hidden {
            let from = lower.get(..hidden).map_or(0, |head| head.chars().count()) as u32 + 1;
            masks.push(Mask {
                line: i as u32 + 1,
                from,
                to: u32::MAX,
            });
        }
        below = after.map(|_| indent);
    }
    masks
}
