//! Schemas in files of their own: `file` names one, and what it says stands in the place of its name.
use super::{KINDS as ALL, SCHEMA};
use crate::{
    ledger::{At, Fault, Ledger, Path, shown},
    tree::{self, Data, Entry, Value},
};
use std::sync::Arc;
use tidegate_core::error::Code;

/// What is JSON in a file.
pub(super) const KINDS: [&str; 2] = ["json", "avro"];
/// The text of a file, or why not.
type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The file this names: `file`, and nothing beside it.
pub(super) fn named(content: &Value) -> Option<&Value> {
    match content.entries() {
        [Entry { key, value, .. }] if key == "file" && value.text().is_some() => Some(value),
        _ => None,
    }
}
/// A document as it was parsed: names of properties are no secrets, whatever they are called, and the file it names is put in its place. `file`
/// reads one, or says why not; without it the name stays.
pub(crate) fn prepare(document: &mut Value, file: Option<ReadFile<'_>>, path: &Path, ledger: &mut Ledger) {
    if document.get("kind").and_then(|kind| kind.value.text()) != Some(SCHEMA.title) {
        return;
    }
    if let Some(file) = file {
        protobuf(document, file, path, ledger);
        for kind in KINDS {
            let Some(content) = document.get_mut(kind) else { continue };
            let Some((at, name)) = named(content).and_then(|file| Some((file.at, file.text()?.to_owned()))) else {
                continue;
            };
            *content = match file(&name) {
                Ok(text) => json(&name, &text, ledger),
                Err(why) => {
                    ledger.tell(unreadable(&name, &why, at, &path.key(kind).key("file")));
                    broken(at)
                }
            };
        }
    }
    for kind in ALL {
        if let Some(content) = document.get_mut(kind) {
            reveal(content);
        }
    }
}
fn protobuf(document: &mut Value, file: ReadFile<'_>, path: &Path, ledger: &mut Ledger) {
    let Some(protobuf) = document.get_mut("protobuf") else { return };
    let Data::Map(entries) = &mut protobuf.data else { return };
    if entries.iter().any(|entry| entry.key == "text") {
        return;
    }
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == "file") else {
        return;
    };
    let Some(name) = entry.value.text().map(str::to_owned) else {
        return;
    };
    "text".clone_into(&mut entry.key);
    match file(&name) {
        Ok(text) => entry.value.data = Data::Scalar { text, plain: false },
        Err(why) => {
            ledger.tell(unreadable(&name, &why, entry.value.at, &path.key("protobuf").key("file")));
            entry.value.data = Data::Broken;
        }
    }
}
fn unreadable(name: &str, why: &str, at: At, path: &Path) -> Fault {
    let message = format!("`{}` cannot be read: {why}", shown(name));
    Fault::new(Code::Unreadable, at, path, message).hint("a path is relative to the folder of this file")
}
fn broken(at: At) -> Value {
    let data = Data::Broken;
    Value { at, data, hidden: false }
}
/// What a file of JSON says, each value at its place in that file.
fn json(name: &str, text: &str, ledger: &mut Ledger) -> Value {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = serde_json::from_str::<serde_json::Value>(text);
    match read {
        Ok(json) => {
            let mut placed = ledger.clone();
            let file = placed.sources.add(name.into(), Arc::from(text));
            // JSON is YAML but for some escapes: where both say the same, the places are known.
            if let [value] = tree::parse(text, file, &mut placed).as_slice()
                && placed.faults() == ledger.faults()
                && value.to_json() == json
            {
                *ledger = placed;
                return value.clone();
            }
            let file = ledger.sources.add(name.into(), Arc::from(text));
            tree::of_json(&json, file, ledger)
        }
        Err(error) => {
            // Its text is not shown: it may be a file that was not meant.
            let at = At {
                file: ledger.sources.add(name.into(), Arc::from("")),
                line: error.line() as u32,
                column: error.column().max(1) as u32,
                width: 1,
            };
            // Its last words say where, and that is told.
            let said = error.to_string();
            let why = said.rsplit_once(" at line ").map_or(&*said, |(why, _)| why);
            let fault = Fault::new(Code::NotText, at, &Path::default(), format!("not JSON: {why}"));
            ledger.tell(fault.hint("`file` beside `json` or `avro` names a file of JSON"));
            broken(at)
        }
    }
}
fn reveal(value: &mut Value) {
    value.hidden = false;
    match &mut value.data {
        Data::List(items) => items.iter_mut().for_each(reveal),
        Data::Map(entries) => entries.iter_mut().for_each(|entry| reveal(&mut entry.value)),
        Data::Scalar { .. } | Data::Broken => {}
    }
}
