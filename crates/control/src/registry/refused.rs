//! Why nothing was changed: one error, and each fault in each document.
use serde_json::{Map, Value, json};
use std::fmt;
use tidegate_config::{Diagnostic, Id, Report};
use tidegate_core::{
    check::Problem,
    error::{Code, Error, Fault},
};

/// Nothing was changed.
#[derive(Debug)]
pub struct Refused {
    /// What the caller is told first.
    pub error: Error,
    /// `{"pointer","detail","code","expected"?,"hint"?,"kind"?,"name"?,"file"?,"line"?,"column"?}` each.
    pub errors: Vec<Value>,
}
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, errors: Vec::new() }
    }
}
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        for told in &self.errors {
            let word = |key: &str| {
                told.get(key)
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            };
            let place: Vec<_> = ["file", "line", "column"].into_iter().filter_map(word).collect();
            let place = if place.is_empty() {
                String::new()
            } else {
                format!("{}: ", place.join(":"))
            };
            // A slip needs its word, not all there are.
            let near = word("hint").filter(|hint| hint.starts_with("did you mean"));
            let right = near.or_else(|| word("expected").map(|expected| format!("expected {expected}")));
            let right = right.map_or_else(String::new, |right| format!(": {right}"));
            write!(f, "; {place}{}{right}", word("detail").unwrap_or_default())?;
        }
        Ok(())
    }
}
impl Refused {
    /// Faults of files, where they stand.
    pub(super) fn of_files(report: &Report) -> Self {
        Self::of_report(report, |told| {
            let mut place = Map::new();
            place.insert("file".to_owned(), (&*told.file).into());
            if told.line > 0 {
                place.insert("line".to_owned(), told.line.into());
                place.insert("column".to_owned(), told.column.into());
            }
            (told.pointer.clone(), place)
        })
    }
    /// `place` says where one is: its pointer, and what else is told of it.
    pub(super) fn of_report(report: &Report, place: impl Fn(&Diagnostic) -> (String, Map<String, Value>)) -> Self {
        let told = report.diagnostics.iter().map(|told| {
            let (pointer, mut fault) = place(told);
            fault.insert("pointer".to_owned(), pointer.into());
            fault.insert("code".to_owned(), told.code.to_string().into());
            fault.insert("detail".to_owned(), told.message.as_str().into());
            let more = [("expected", &told.expected), ("hint", &told.hint)];
            fault.extend(
                more.into_iter()
                    .filter_map(|(key, text)| Some((key.to_owned(), text.as_deref()?.into()))),
            );
            Value::Object(fault)
        });
        Self::wrong(told.collect())
    }
    /// What endpoints cannot keep.
    pub(super) fn of_problems(problems: &[(Id, Problem)]) -> Self {
        let told = problems.iter().map(|(id, problem)| {
            json!({
                "kind": id.kind.word(), "name": &*id.name, "pointer": problem.at, "code": Code::Unkeepable.to_string(),
                "detail": "this cannot be kept", "expected": problem.expected, "hint": problem.hint,
            })
        });
        Self::wrong(told.collect())
    }
    /// So many faults, each in its place.
    pub(crate) fn wrong(errors: Vec<Value>) -> Self {
        let end = if errors.len() == 1 { "" } else { "s" };
        let text = format!("{} error{end}; nothing was changed", errors.len());
        Self {
            error: Error::new(Code::WrongResources, Fault::Client, text),
            errors,
        }
    }
}
