//! Reads a value by its table: every error is told, every default filled in, in one walk.
use crate::{
    kept,
    ledger::{At, Fault, Ledger, Path, shown},
    query,
    shape::{Key, Shape, Table, Text, parse_size},
    suggest::suggest,
    tree::{self, Data, Value},
};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};
use tidegate_core::{clock::parse_duration, error::Code};

/// A value that has its shape.
#[derive(Debug, PartialEq)]
pub(crate) enum Datum {
    /// An error was told about it.
    Broken,
    /// `none`.
    Off,
    Bool(bool),
    Number(u64),
    Time(Duration),
    Text(String),
    List(Vec<Field>),
    Record(Record),
    Raw(Value),
}
/// A datum and where it stands.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) at: At,
    pub(crate) datum: Datum,
    /// As [`Value::hidden`].
    pub(crate) hidden: bool,
}
/// Wherever it stands.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.datum == other.datum
    }
}
impl Field {
    /// For a message.
    pub(crate) fn shown(&self) -> String {
        if self.hidden { "***".to_owned() } else { shown(self.text()) }
    }
    pub(crate) fn text(&self) -> &str {
        match &self.datum {
            Datum::Text(text) => text,
            _ => "",
        }
    }
    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.datum {
            Datum::Record(record) => Some(record),
            _ => None,
        }
    }
}
/// A map that was read by a table. A broken or absent value reads as nothing: whoever asks has been told, or must not mind.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) at: At,
    pub(crate) path: Path,
    fields: Vec<(&'static str, Field)>,
    /// Keys that took their default, and that somebody seems to have misspelt.
    pub(crate) misspelt: Vec<&'static str>,
}
/// Wherever it stands.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        let mut told = Vec::new();
        self.differences(other, &mut told);
        told.is_empty()
    }
}
impl Record {
    /// For a key whose value is broken.
    pub(crate) fn nothing() -> Self {
        Self {
            at: At::BUILT_IN,
            path: Path::default(),
            fields: Vec::new(),
            misspelt: Vec::new(),
        }
    }
    pub(crate) fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, field)| field)
    }
    /// Where a key's value stands, else where the map does.
    pub(crate) fn at(&self, key: &str) -> At {
        self.field(key).map_or(self.at, |field| field.at)
    }
    pub(crate) fn bool(&self, key: &str) -> bool {
        matches!(self.field(key).map(|field| &field.datum), Some(Datum::Bool(true)))
    }
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.maybe_number(key).unwrap_or_default()
    }
    pub(crate) fn maybe_number(&self, key: &str) -> Option<u64> {
        match self.field(key)?.datum {
            Datum::Number(number) => Some(number),
            _ => None,
        }
    }
    pub(crate) fn time(&self, key: &str) -> Duration {
        self.maybe_time(key).unwrap_or_default()
    }
    pub(crate) fn maybe_time(&self, key: &str) -> Option<Duration> {
        match self.field(key)?.datum {
            Datum::Time(time) => Some(time),
            _ => None,
        }
    }
    pub(crate) fn text(&self, key: &str) -> &str {
        self.field(key).map_or("", Field::text)
    }
    /// A word that must be there and whole; else empty.
    pub(crate) fn maybe_text(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }
    pub(crate) fn list(&self, key: &str) -> &[Field] {
        match self.field(key).map(|field| &field.datum) {
            Some(Datum::List(items)) => items,
            _ => &[],
        }
    }
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).iter().map(|item| item.text().to_owned()).collect()
    }
    pub(crate) fn record(&self, key: &str) -> Option<&Self> {
        self.field(key).and_then(Field::record)
    }
    /// The keys whose values are not the same in the other, with the way to each.
    pub(crate) fn differences(&self, other: &Self, out: &mut Vec<String>) {
        let names = self.fields.iter().chain(&other.fields).map(|(name, _)| *name);
        let names: std::collections::BTreeSet<_> = names.collect();
        for name in names {
            match (
                self.field(name).map(|field| &field.datum),
                other.field(name).map(|field| &field.datum),
            ) {
                (Some(Datum::Record(a)), Some(Datum::Record(b))) => a.differences(b, out),
                (a, b) if a == b => {}
                _ => out.push(self.path.key(name).to_string()),
            }
        }
    }
    pub(crate) fn raw(&self, key: &str) -> Option<&Value> {
        match &self.field(key)?.datum {
            Datum::Raw(value) => Some(value),
            _ => None,
        }
    }
}

/// Reads a map; what is no map tells one error and reads as an empty one.
pub(crate) fn table(table: &'static Table, value: &Value, path: &Path, ledger: &mut Ledger) -> Record {
    let mut fields: Vec<(&'static str, Field)> = Vec::new();
    let mut meant: Vec<&'static str> = Vec::new();
    let whole = matches!(value.data, Data::Map(_)) || value.is_null();
    if !whole && !matches!(value.data, Data::Broken) {
        let expected = Shape::Record(table).expected();
        ledger.tell(Fault::new(Code::BadValue, value.at, path, wrong(path, value)).expected(expected));
    }
    for entry in value.entries() {
        if ledger.is_full() {
            break;
        }
        let below = path.key(&entry.key);
        let Some(key) = table.key(&entry.key) else {
            let known = table
                .keys
                .iter()
                .filter(|key| !matches!(key.shape, Shape::Ignored))
                .map(|key| key.name);
            let near = suggest(&entry.key, known);
            meant.extend(near);
            let fault = Fault::new(Code::UnknownKey, entry.at, &below, format!("unknown key `{}`", shown(&entry.key)))
                .expected(Shape::Record(table).expected().replace("a map with ", ""))
                .did_you_mean(near);
            ledger.tell(fault);
            continue;
        };
        match key.shape {
            Shape::Later => ledger.tell(Fault::later(entry.at, &below, &format!("`{}`", key.name))),
            Shape::Ignored => {}
            _ => {
                let datum = read(&key.shape, &entry.value, &below, ledger);
                let field = Field {
                    at: entry.value.at,
                    datum,
                    hidden: entry.value.hidden,
                };
                fields.push((key.name, field));
            }
        }
    }
    for key in table.keys.iter().filter(|key| value.get(key.name).is_none()) {
        if key.required && whole && !meant.contains(&key.name) {
            ledger.tell(missing(key, value.at, path));
        } else if let Some(field) = default(key, path, ledger) {
            fields.push((key.name, field));
        }
    }
    Record {
        at: value.at,
        path: path.clone(),
        fields,
        misspelt: meant,
    }
}
/// What a table does not ask for by itself.
pub(crate) fn missing(key: &Key, at: At, path: &Path) -> Fault {
    let fault = Fault::new(Code::MissingKey, at, path, format!("`{}` is missing", key.name)).expected(key.shape.expected());
    match key.example {
        Some(example) => fault.hint(format!("add `{}: {example}`", key.name)),
        None => fault,
    }
}
/// The default as a user would have written it, read by the same code.
fn default(key: &'static Key, path: &Path, ledger: &mut Ledger) -> Option<Field> {
    let value = parsed(key.default?)?;
    let datum = read(&key.shape, &value, &path.key(key.name), ledger);
    Some(Field {
        at: At::BUILT_IN,
        datum,
        hidden: false,
    })
}
/// Each text is parsed once in a process: nodes read thousands of resources with the same defaults.
fn parsed(text: &'static str) -> Option<Arc<Value>> {
    static PARSED: LazyLock<Mutex<HashMap<&'static str, Arc<Value>>>> = LazyLock::new(Mutex::default);
    let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = parsed.get(text) {
        return Some(value.clone());
    }
    let mut value = tree::parse(text, At::BUILT_IN.file, &mut Ledger::default()).pop()?;
    forget_places(&mut value);
    let value = Arc::new(value);
    parsed.insert(text, value.clone());
    Some(value)
}
pub(crate) fn forget_places(value: &mut Value) {
    value.at = At::BUILT_IN;
    match &mut value.data {
        Data::List(items) => items.iter_mut().for_each(forget_places),
        Data::Map(entries) => entries.iter_mut().for_each(|entry| forget_places(&mut entry.value)),
        Data::Scalar { .. } | Data::Broken => {}
    }
}
/// `` `limit` cannot be `0` ``.
pub(crate) fn wrong(path: &Path, value: &Value) -> String {
    match path.last() {
        "" => format!("this cannot be {}", value.shown()),
        last => format!("`{last}` cannot be {}", value.shown()),
    }
}

/// Reads one value.
pub(crate) fn read(shape: &'static Shape, value: &Value, path: &Path, ledger: &mut Ledger) -> Datum {
    if matches!(value.data, Data::Broken) {
        return Datum::Broken;
    }
    match shape {
        Shape::Record(of) => return Datum::Record(table(of, value, path, ledger)),
        Shape::Own(_) => return Datum::Raw(value.clone()),
        Shape::TextOr { table: of, .. } if matches!(value.data, Data::Map(_)) => return Datum::Record(table(of, value, path, ledger)),
        Shape::TextOr { text, key, table: of } => {
            // The rest of the table takes its defaults.
            let datum = scalar(shape, value, path, ledger, |word| {
                (text.good)(word).then(|| Datum::Text(word.to_owned()))
            });
            return match datum {
                Datum::Text(_) => Datum::Record(around(of, key, value, path, ledger)),
                other => other,
            };
        }
        Shape::List { of, min } => return list(shape, of, *min, value, path, ledger),
        Shape::OneOrMany { of, min } => {
            if matches!(value.data, Data::List(_)) {
                return list(shape, of, *min, value, path, ledger);
            }
            // There is no word for that, and whoever looks for one finds the way here.
            if *min == 0 && off(value) {
                let fault = Fault::new(Code::BadValue, value.at, path, wrong(path, value)).expected(shape.expected());
                ledger.tell(fault.hint("`[]` switches it off"));
                return Datum::Broken;
            }
            let at = value.at;
            return match read(of, value, path, ledger) {
                Datum::Broken => Datum::Broken,
                datum => Datum::List(vec![Field {
                    at,
                    datum,
                    hidden: value.hidden,
                }]),
            };
        }
        Shape::Labels => return labels(shape, value, path, ledger),
        Shape::Choice { now, later } => return choice(shape, now, later, value, path, ledger),
        _ => {}
    }
    scalar(shape, value, path, ledger, |text| match shape {
        Shape::Bool => match text {
            "true" => Some(Datum::Bool(true)),
            "false" => Some(Datum::Bool(false)),
            _ => None,
        },
        Shape::Count { min, max } => text.parse().ok().filter(|n| (min..=max).contains(&n)).map(Datum::Number),
        Shape::CountOrNone { .. } | Shape::Size { off: true, .. } | Shape::Time { off: true, .. } if text == "none" => Some(Datum::Off),
        Shape::CountOrNone { min, max } => text.parse().ok().filter(|n| (min..=max).contains(&n)).map(Datum::Number),
        Shape::Size { min, max, .. } => parse_size(text).filter(|n| (min..=max).contains(&n)).map(Datum::Number),
        // Nothing needs no unit.
        Shape::Time { min, .. } if text == "0" && min.is_zero() => Some(Datum::Time(*min)),
        Shape::Time { min, max, .. } => parse_duration(text).filter(|n| (min..=max).contains(&n)).map(Datum::Time),
        Shape::Text(Text { good, .. }) => good(text).then(|| Datum::Text(text.to_owned())),
        _ => None,
    })
}
/// What people write for nothing.
fn off(value: &Value) -> bool {
    let words = ["off", "false", "no", "none", "disabled"];
    let said = |text: &str| text.is_empty() || words.iter().any(|word| word.eq_ignore_ascii_case(text));
    value.is_null() || value.text().is_some_and(said)
}
fn scalar(shape: &Shape, value: &Value, path: &Path, ledger: &mut Ledger, read: impl Fn(&str) -> Option<Datum>) -> Datum {
    value.text().and_then(&read).unwrap_or_else(|| {
        // What a node exported has it where a secret is; nothing else may be wrong with it.
        if let Some(text) = value.text()
            && !value.hidden
            && query::is_masked(text)
            && read(&text.replace(tree::MASKED, "kept")).is_some()
        {
            ledger.tell(kept::in_query(value.at, path));
            return Datum::Broken;
        }
        let fault = Fault::new(Code::BadValue, value.at, path, wrong(path, value)).expected(shape.expected());
        ledger.tell(match value.text() {
            Some(_) if value.hidden => fault.hint("it is not shown, for it may be a secret"),
            _ => fault,
        });
        Datum::Broken
    })
}
fn choice(shape: &Shape, now: &[&str], later: &[&str], value: &Value, path: &Path, ledger: &mut Ledger) -> Datum {
    let text = value.text().unwrap_or_default();
    if now.contains(&text) {
        return Datum::Text(text.to_owned());
    }
    let fault = if later.contains(&text) {
        Fault::later(value.at, path, &format!("`{}: {text}`", path.last())).hint(format!("now: {}", shape.expected()))
    } else {
        let near = suggest(text, now.iter().chain(later).copied());
        Fault::new(Code::BadValue, value.at, path, wrong(path, value))
            .expected(shape.expected())
            // A suggestion would tell what a hidden value nearly is.
            .did_you_mean(near.filter(|_| !value.hidden))
    };
    ledger.tell(fault);
    Datum::Broken
}
fn list(shape: &Shape, of: &'static Shape, min: usize, value: &Value, path: &Path, ledger: &mut Ledger) -> Datum {
    let Data::List(items) = &value.data else {
        let hint = value
            .text()
            .filter(|_| !value.hidden)
            .map(|text| format!("write `[{}]`", shown(text)));
        let mut fault = Fault::new(Code::BadValue, value.at, path, wrong(path, value)).expected(shape.expected());
        if let Some(hint) = hint {
            fault = fault.hint(hint);
        }
        ledger.tell(fault);
        return Datum::Broken;
    };
    if items.len() < min {
        let message = format!("`{}` is empty", path.last());
        ledger.tell(Fault::new(Code::BadValue, value.at, path, message).expected("at least one item"));
        return Datum::Broken;
    }
    let items = items.iter().enumerate().map(|(i, item)| Field {
        at: item.at,
        datum: read(of, item, &path.item(i), ledger),
        hidden: item.hidden,
    });
    Datum::List(items.collect())
}
/// Bytes of a label's name.
const LABEL: usize = 255;

fn labels(shape: &Shape, value: &Value, path: &Path, ledger: &mut Ledger) -> Datum {
    if !matches!(value.data, Data::Map(_)) && !value.is_null() {
        ledger.tell(Fault::new(Code::BadValue, value.at, path, wrong(path, value)).expected(shape.expected()));
        return Datum::Broken;
    }
    for entry in value.entries() {
        let below = path.key(&entry.key);
        if entry.key.len() > LABEL {
            let message = "the name of a label is too long".to_owned();
            ledger.tell(Fault::new(Code::BadValue, entry.at, &below, message).expected(format!("at most {LABEL} bytes")));
        }
        if entry.value.text().is_none() && !matches!(entry.value.data, Data::Broken) {
            ledger.tell(Fault::new(Code::BadValue, entry.value.at, &below, wrong(&below, &entry.value)).expected("text"));
        }
    }
    Datum::Raw(value.clone())
}
/// A bare text as the map it stands for.
fn around(of: &'static Table, key: &str, value: &Value, path: &Path, ledger: &mut Ledger) -> Record {
    let map = Value {
        at: value.at,
        hidden: value.hidden,
        data: Data::Map(vec![tree::Entry {
            key: key.to_owned(),
            at: value.at,
            value: value.clone(),
        }]),
    };
    table(of, &map, path, ledger)
}
