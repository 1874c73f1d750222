//! Variables `TIDEGATE__A__B` and flags: values laid over the settings before they are checked, so that they are checked alike.
use crate::{
    diagnostic::Mask,
    ledger::{At, Fault, Ledger, Path},
    node::NODE,
    shape::{Key, Shape, Table, Text},
    tree::{self, Data, Entry, Value},
};
use std::collections::HashMap;
use tidegate_core::error::Code;

/// What variables begin with; the rest is a path, its keys divided by two underscores.
const PREFIX: &str = "TIDEGATE__";
/// What it begins with where somebody took one underscore for two. Variables of the command line begin so, too, and what an orchestrator says of
/// services.
const SLIP: &str = "TIDEGATE_";

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
    let mut slips: Vec<_> = variables.keys().filter_map(|name| Some((name, meant(name)?))).collect();
    slips.sort_unstable();
    for (name, right) in slips {
        let at = At {
            file: ledger.sources.add(name.as_str().into(), name.as_str().into()),
            line: 1,
            column: 1,
            width: width(name).clamp(1, 140),
        };
        let fault = Fault::new(Code::UnknownKey, at, &Path::default(), format!("`{name}` sets nothing"));
        let hint = format!("did you mean `{right}`? keys are divided by two underscores");
        ledger.tell(fault.hint(hint));
    }
    for (name, path, text) in ours {
        let written = Written {
            head: name.get(..PREFIX.len()).unwrap_or_default(),
            path,
            between: "__",
            text,
        };
        lay(node, &written, name, ledger);
    }
    for (path, text) in flags {
        let written = Written {
            head: "",
            path,
            between: ".",
            text,
        };
        lay(node, &written, &format!("flag {path}"), ledger);
    }
}
/// The variable somebody meant who wrote one underscore where two divide keys; `None` where it names no setting either way.
fn meant(name: &str) -> Option<String> {
    let rest = name.get(SLIP.len()..)?;
    let slipped = name.get(..SLIP.len())?.eq_ignore_ascii_case(SLIP) && !rest.starts_with('_');
    let way = slipped.then(|| way(&NODE, &rest.to_ascii_lowercase())).flatten()?;
    // `TIDEGATE_DATA_DIR` is a variable of its own.
    (way.len() > 1).then(|| format!("{PREFIX}{}", way.join("__").to_ascii_uppercase()))
}
/// The keys whose names stand in this text, however many underscores lie between them.
fn way(table: &'static Table, text: &str) -> Option<Vec<&'static str>> {
    table.keys.iter().find_map(|key| {
        let rest = text.strip_prefix(key.name)?;
        if rest.is_empty() {
            return Some(vec![key.name]);
        }
        let below = way(inside(Some(&key.shape)).0?, rest.strip_prefix('_')?.trim_start_matches('_'))?;
        Some([&[key.name][..], &below].concat())
    })
}
/// `head`, `path`, `=`, `text`: so it is shown, and so columns count.
struct Written<'a> {
    head: &'a str,
    path: &'a str,
    between: &'static str,
    text: &'a str,
}
/// A key on the way to a setting, and where it stands.
type Step<'a> = (&'a str, At);

impl<'a> Written<'a> {
    /// The way; and where the value begins.
    fn steps(&self, file: u32) -> (Vec<Step<'a>>, At) {
        let mut column = 1 + width(self.head);
        let mut here = |text: &str, behind: &str| {
            let at = At {
                file,
                line: 1,
                column,
                width: width(text).clamp(1, 140),
            };
            column += width(text) + width(behind);
            at
        };
        let mut steps: Vec<Step<'a>> = Vec::new();
        let mut keys = self.path.split(self.between).peekable();
        while let Some(key) = keys.next() {
            let behind = if keys.peek().is_some() { self.between } else { "=" };
            steps.push((key, here(key, behind)));
        }
        (steps, here(self.text, ""))
    }
}
fn width(text: &str) -> u32 {
    text.chars().count() as u32
}
fn lay(node: &mut Value, written: &Written<'_>, name: &str, ledger: &mut Ledger) {
    let Written { head, path, text, .. } = written;
    let file = ledger.sources.add(name.into(), format!("{head}{path}={text}").into());
    let (steps, at) = written.steps(file);
    // Lists and maps in the spelling of JSON or YAML, everything else is the value itself, and so is a text that only looks like a list: `[::1]:80`.
    // Where the way leads nowhere, that is what is to be said, and not that the text is no list.
    let listed = text.trim_start().starts_with(['[', '{']);
    let is_text = is_text(&Shape::Record(&NODE), &steps, text);
    let value = if listed && is_text == Some(false) {
        let told = ledger.faults();
        // Each value has the column it is shown in.
        let text = format!("{}{text}", " ".repeat(at.column as usize - 1));
        match tree::parse(&text, file, ledger).pop() {
            Some(value) if told == ledger.faults() => value,
            _ => return,
        }
    } else {
        Value {
            at,
            data: Data::Scalar {
                text: (*text).to_owned(),
                plain: true,
            },
            // A secret may lie in what nobody reads.
            hidden: steps.iter().any(|(key, _)| tree::is_secret(key)) || listed && is_text.is_none(),
        }
    };
    if value.hidden
        && let Some(source) = ledger.sources.0.get_mut(file as usize)
    {
        source.masks = (1..=text.lines().count() as u32)
            .map(|line| Mask {
                line,
                from: if line == 1 { at.column } else { 1 },
                to: u32::MAX,
            })
            .collect();
    }
    if let Err(fault) = set(node, Some(&Shape::Record(&NODE)), &steps, &Path::default(), value, ledger) {
        ledger.tell(fault);
    }
}
/// Whether what stands at the end of the way takes this as the text it is. `None`: the way leads nowhere.
fn is_text(shape: &Shape, steps: &[Step<'_>], text: &str) -> Option<bool> {
    match (steps.split_first(), shape) {
        (Some(((key, _), rest)), _) => {
            let Some(table) = inside(Some(shape)).0 else { return Some(false) };
            is_text(&known(table, key)?.shape, rest, text)
        }
        (None, Shape::Text(_)) => Some(true),
        (None, Shape::TextOr { text: bare, .. }) => Some((bare.good)(text)),
        (None, Shape::OneOrMany { of, .. }) => is_text(of, steps, text),
        (None, _) => Some(false),
    }
}
fn known(table: &'static Table, key: &str) -> Option<&'static Key> {
    table.keys.iter().find(|known| known.name.eq_ignore_ascii_case(key))
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
fn set(value: &mut Value, shape: Option<&Shape>, steps: &[Step<'_>], path: &Path, leaf: Value, ledger: &mut Ledger) -> Result<(), Fault> {
    let Some((&(key, at), rest)) = steps.split_first() else {
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
    let known = table.and_then(|table| known(table, key));
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
        Some(entry) => set(&mut entry.value, known.map(|known| &known.shape), rest, &below, leaf, ledger),
        None => Ok(()),
    }
}
