//! `${env:NAME}` and `${file:PATH}` in values; every other `${…}` belongs to a message template and stays.
use crate::{
    ledger::{Fault, Ledger, Path, shown},
    tree::{Data, Value},
};
use std::collections::HashMap;
use tidegate_core::error::Code;

/// Where the texts come from.
pub(crate) struct Outside<'a> {
    pub(crate) variables: &'a HashMap<String, String>,
    /// The text of a file, by a path relative to the folder of the file that names it; or why not.
    pub(crate) file: &'a dyn Fn(&str) -> Result<String, String>,
}
/// What is wrong with one `${…}`.
struct Wrong {
    code: Code,
    message: String,
    hint: Option<String>,
}

/// Fills a whole document in. A value that cannot be filled in tells one error and is broken from then on.
pub(crate) fn substitute(value: &mut Value, path: &Path, outside: &Outside<'_>, ledger: &mut Ledger) {
    match &mut value.data {
        Data::Scalar { text, .. } => match fill(text, outside) {
            Ok(None) => {}
            Ok(Some(filled)) => {
                *text = filled;
                // A key or a password may have come in: it is not shown again.
                value.hidden = true;
            }
            Err(Wrong { code, message, hint }) => {
                let mut fault = Fault::new(code, value.at, path, message);
                if let Some(hint) = hint {
                    fault = fault.hint(hint);
                }
                ledger.tell(fault);
                value.data = Data::Broken;
            }
        },
        Data::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                substitute(item, &path.item(i), outside, ledger);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                substitute(&mut entry.value, &path.key(&entry.key), outside, ledger);
            }
        }
        Data::Broken => {}
    }
}
/// `None` = nothing to fill in. What comes in is not looked at again, so a variable cannot name another one.
fn fill(text: &str, outside: &Outside<'_>) -> Result<Option<String>, Wrong> {
    let next = |rest: &str| [rest.find("${env:"), rest.find("${file:")].into_iter().flatten().min();
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(start) = next(rest) {
        found = true;
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        let Some((inner, after)) = tail.strip_prefix("${").and_then(|tail| tail.split_once('}')) else {
            return Err(Wrong {
                code: Code::BadValue,
                message: "`${` has no `}`".to_owned(),
                hint: Some("write `${env:NAME}` or `${file:PATH}`".to_owned()),
            });
        };
        out.push_str(&match inner.split_once(':') {
            Some(("env", variable)) => env(variable, outside)?,
            Some((_, file)) => (outside.file)(file).map_err(|why| Wrong {
                code: Code::Unreadable,
                message: format!("`{}` cannot be read: {why}", shown(file)),
                hint: Some("a path is relative to the folder of this file".to_owned()),
            })?,
            None => String::new(),
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(found.then_some(out))
}
fn env(variable: &str, outside: &Outside<'_>) -> Result<String, Wrong> {
    let end = variable
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(variable.len());
    let (name, more) = variable.split_at(end);
    let unclear = || Wrong {
        code: Code::BadValue,
        message: format!("`${{env:{}}}` is malformed", shown(variable)),
        hint: Some("write `${env:NAME}`, `${env:NAME:-default}` or `${env:NAME:?text}`".to_owned()),
    };
    if name.is_empty() {
        return Err(unclear());
    }
    let value = outside.variables.get(name);
    // As a shell does it: with `:-` and `:?` an empty variable counts as none.
    let some = value.filter(|value| !value.is_empty()).cloned();
    let unset = |text: &str| Wrong {
        code: Code::NoSuchVariable,
        message: match text {
            "" => format!("the variable `{name}` is not set"),
            text => format!("the variable `{name}` is not set: {}", shown(text)),
        },
        hint: Some(format!("set it, or write `${{env:{name}:-default}}`")),
    };
    if more.is_empty() {
        value.cloned().ok_or_else(|| unset(""))
    } else if let Some(default) = more.strip_prefix(":-") {
        Ok(some.unwrap_or_else(|| default.to_owned()))
    } else if let Some(text) = more.strip_prefix(":?") {
        some.ok_or_else(|| unset(text))
    } else {
        Err(unclear())
    }
}
