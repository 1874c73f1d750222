//! `***` in the place of a secret: it stands for the one that is kept. Where that is filled in before, one that is left stands for nothing.
use crate::{
    diagnostic::Report,
    ledger::{At, Fault, Ledger, Path},
    tree::{Data, MASKED, Value},
};
use std::borrow::Cow;
use tidegate_core::error::Code;

const NONE_IS: &str = "stands for a secret that is kept, and here none is";

impl Report {
    /// Of what a node exported, whose secrets it keeps: takes out that they are not here, and says how often that was.
    pub fn allow_kept_secrets(&mut self) -> usize {
        let all = self.diagnostics.len();
        self.diagnostics.retain(|diagnostic| !diagnostic.message.ends_with(NONE_IS));
        all - self.diagnostics.len()
    }
}
/// The document, without those that stand for nothing: they are told.
pub(crate) fn told<'a>(document: &'a Value, path: &Path, ledger: &mut Ledger) -> Cow<'a, Value> {
    if !is_left(document) {
        return Cow::Borrowed(document);
    }
    let mut document = document.clone();
    tell(&mut document, path, ledger);
    Cow::Owned(document)
}
/// One in the query of a URL.
pub(crate) fn in_query(at: At, path: &Path) -> Fault {
    let message = format!("`{MASKED}` in the query of `{}` {NONE_IS}", path.last());
    let fault = Fault::new(Code::BadValue, at, path, message).expected("the value itself");
    fault.hint("it stands only for what is there under the same name, where the same host is called")
}
fn stands_for_one(value: &Value) -> bool {
    value.hidden && value.text() == Some(MASKED)
}
fn is_left(value: &Value) -> bool {
    match &value.data {
        Data::Map(entries) => entries.iter().any(|entry| is_left(&entry.value)),
        Data::List(items) => items.iter().any(is_left),
        _ => stands_for_one(value),
    }
}
fn tell(value: &mut Value, path: &Path, ledger: &mut Ledger) {
    if stands_for_one(value) {
        let message = format!("`{MASKED}` {NONE_IS}");
        let fault = Fault::new(Code::BadValue, value.at, path, message).expected("the secret itself");
        ledger.tell(fault.hint("what `tidegate export` printed is whole only for the node that it came from"));
        value.data = Data::Broken;
        return;
    }
    match &mut value.data {
        Data::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| tell(&mut entry.value, &path.key(&entry.key), ledger)),
        Data::List(items) => items
            .iter_mut()
            .enumerate()
            .for_each(|(number, item)| tell(item, &path.item(number), ledger)),
        _ => {}
    }
}
