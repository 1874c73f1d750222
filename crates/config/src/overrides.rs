//! Variables `TIDEGATE__A__B` and flags: values laid over the settings before they are checked, so that they are checked alike.
use crate::{
    diagnostic::Mask,
    ledger::{At, Fault, Ledger, Path},
    node::NODE,
    shape::{Shape, Table, Text},
    tree::{self, Data, Entry, Value},
};
use std::{collections::HashMap, sync::Arc};
use tidegate_core::error::Code;

/// What variables begin with; the rest is a path, its keys divided by two underscores.
const PREFIX: &str = "TIDEGATE__";

/// Lays the variables over the settings, then the flags over both.
pub(crate) fn apply(node: &mut Value, variables: &HashMap<String, String>, flags: &[(String, String)], ledger: &mut Ledger) {
    let mut ours: Vec<_> = variables
        .iter()
        .filter_map(|(name, text)| {
            let head = name.get(..PREFIX.len())?;
            let rest = name.get(PREFIX.len()..)?;
            head.eq_ignore_ascii_case(PREFIX).then_some((name, rest, text))
        })
        .collect();
    // A whole map goes before its parts, and the same environment always gives the same settings.
    ours.sort_unstable();
    for (name, path, text) in ours {
        let keys: Vec<_> = path.split("__").collect();
        lay(node, &keys, name, text, ledger);
    }
    for (path, text) in flags {
        let keys: Vec<_> = path.split('.').collect();
        lay(node, &keys, &format!("flag {path}"), text, ledger);
    }
}
fn lay(node: &mut Value, keys: &[&str], name: &str, text: &str, ledger: &mut Ledger) {
    let file = ledger.sources.add(name.into(), Arc::from(text));
    let at = At {
        file,
        line: 1,
        column: 1,
        width: text.chars().count().clamp(1, 140) as u32,
    };
    // Lists and maps in the spelling of JSON or YAML, everything else is the value itself.
    let value = if text.trim_start().starts_with(['[', '{']) {
        let told = ledger.faults();
        match tree::parse(text, file, ledger).pop() {
            Some(value) if told == ledger.faults() => value,
            _ => return,
        }
    } else {
        Value {
            at,
            data: Data::Scalar {
                text: text.to_owned(),
                plain: true,
            },
            hidden: keys.iter().any(|key| tree::is_secret(key)),
        }
    };
    if value.hidden
        && let Some(source) = ledger.sources.0.get_mut(file as usize)
    {
        source.masks = (1..=text.lines().count() as u32)
            .map(|line| Mask {
                line,
                from: 1,
                to: u32::MAX,
            })
            .collect();
    }
    let path = Path::default();
    if let Err(fault) = set(node, Some(&Shape::Record(&NODE)), keys, &path, value, at, ledger) {
        ledger.tell(fault);
    }
}
/// What of a map's shape matters here: its table, and the key a bare text stands for.
fn inside(shape: Option<&Shape>) -> (Option<&'static Table>, Option<(&'static str, &'static Text)>) {
    match shape {
        Some(Shape::Record(table)) => (Some(table), None),
        Some(Shape::TextOr { text, key, table }) => (Some(table), Some((key, text))),
        Some(Shape::OneOrMany { of, .. }) => inside(Some(of)),
        _ => (None, None),
    }
}
fn set(
    value: &mut Value,
    shape: Option<&Shape>,
    keys: &[&str],
    path: &Path,
    leaf: Value,
    at: At,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let Some((key, rest)) = keys.split_first() else {
        *value = leaf;
        return Ok(());
    };
    let (table, bare) = inside(shape);
    match &value.data {
        Data::Map(_) => {}
        // Of none the first is overridden, whatever it lacks beside.
        Data::List(items) if items.is_empty() => value.data = Data::Map(Vec::new()),
        Data::List(_) => {
            let message = format!("`{}` is a list, and one of its items cannot be overridden", path.last());
            return Err(Fault::new(Code::BadValue, at, path, message).hint("override the whole list: `[…]`"));
        }
        Data::Scalar { .. } if bare.is_some() && !value.is_null() => {
            let (key, _) = bare.unwrap_or(("", &crate::shape::ANY));
            let entry = Entry {
                key: key.to_owned(),
                at: value.at,
                value: value.clone(),
            };
            value.data = Data::Map(vec![entry]);
        }
        Data::Scalar { .. } | Data::Broken => value.data = Data::Map(Vec::new()),
    }
    let known = table.and_then(|table| table.keys.iter().find(|known| known.name.eq_ignore_ascii_case(key)));
    let name = known.map_or_else(|| key.to_ascii_lowercase(), |known| known.name.to_owned());
    let below = path.key(&name);
    let Data::Map(entries) = &mut value.data else { return Ok(()) };
    let place = entries.iter().position(|entry| entry.key == name).unwrap_or_else(|| {
        // A part of what was not written lies over its default.
        let default = known.and_then(|known| known.default).filter(|_| !rest.is_empty());
        let mut start = default.and_then(|text| tree::parse(text, At::BUILT_IN.file, ledger).pop());
        start.iter_mut().for_each(crate::read::forget_places);
        entries.push(Entry {
            key: name,
            at,
            value: start.unwrap_or_else(|| Value::empty_map(at)),
        });
        entries.len() - 1
    });
    match entries.get_mut(place) {
        Some(entry) => set(&mut entry.value, known.map(|known| &known.shape), rest, &below, leaf, at, ledger),
        None => Ok(()),
    }
}
