//! Why a command against a node failed, and how a user is told.
use super::{CONFIGURATION, FAILED, UNREACHABLE, color, tell};
use serde_json::Value;
use tidegate_config::Report;
use tidegate_core::error::{Code, Error};

/// All that is said at once.
#[derive(Debug)]
pub(super) enum Failure {
    /// One or more sentences, each with a code.
    Said(Vec<Sentence>, u8),
    /// What is wrong with files, at its places.
    Report(Box<Report>),
}
/// `error[TG5030]: …`, what belongs to it, and its hint.
#[derive(Debug)]
pub(super) struct Sentence {
    code: String,
    text: String,
    below: Vec<String>,
    hint: Option<String>,
    /// It may be otherwise in a moment.
    passing: bool,
}
impl Sentence {
    fn new(code: impl ToString, text: impl Into<String>) -> Self {
        Self {
            code: code.to_string(),
            text: text.into(),
            below: Vec::new(),
            hint: None,
            passing: false,
        }
    }
}
impl Failure {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        let exit = match code {
            Code::NodeUnreachable | Code::NotANode => UNREACHABLE,
            _ => FAILED,
        };
        let mut sentence = Sentence::new(code, text);
        sentence.passing = exit == UNREACHABLE;
        Self::Said(vec![sentence], exit)
    }
    /// The command could not do what it was asked to.
    pub(super) fn command(text: impl Into<String>) -> Self {
        Self::new(Code::CommandFailed, text)
    }
    /// What stands in files, or does not, is why.
    pub(super) fn configuration(code: Code, text: impl Into<String>) -> Self {
        Self::Said(vec![Sentence::new(code, text)], CONFIGURATION)
    }
    /// What to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Said(sentences, _) = &mut self
            && let Some(last) = sentences.last_mut()
        {
            last.hint = Some(hint.into());
        }
        self
    }
    /// A problem document of a node.
    pub(super) fn problem(problem: &Value) -> Self {
        let code = text(problem, "code").unwrap_or_default();
        let mut main = Sentence::new(
            &code,
            text(problem, "detail").or_else(|| text(problem, "title")).unwrap_or_default(),
        );
        main.hint = text(problem, "hint");
        main.passing = problem["status"] == 503;
        let errors: Vec<_> = problem["errors"].as_array().into_iter().flatten().collect();
        if problem["status"] != 422 || errors.is_empty() {
            // Who is named in the text already is not named again.
            let named = |error: &&Value| text(error, "name").is_some_and(|name| main.text.contains(&format!("`{name}`")));
            main.below = errors.iter().copied().filter(|error| !named(error)).map(used_by).collect();
            return Self::Said(vec![main], FAILED);
        }
        let each = errors.iter().map(|error| {
            let detail = text(error, "detail").unwrap_or_default();
            let expected = text(error, "expected").map_or(String::new(), |expected| format!(": expected {expected}"));
            let mut sentence = Sentence::new(text(error, "code").unwrap_or_else(|| code.clone()), format!("{detail}{expected}"));
            sentence.hint = text(error, "hint");
            sentence
        });
        let wrong = code.starts_with("TG5") && code != Code::CommandFailed.to_string();
        Self::Said(each.collect(), if wrong { CONFIGURATION } else { FAILED })
    }
    /// The code of what came first.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Said(sentences, _) => sentences.first().map_or("", |sentence| &sentence.code),
            Self::Report(_) => "",
        }
    }
    /// Whether it may be otherwise in a moment: nobody is there, or a node that recovers, drains or is at its limit.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Said(sentences, _) => sentences.iter().all(|sentence| sentence.passing),
            Self::Report(_) => false,
        }
    }
    /// What came first, in one line.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Said(sentences, _) => sentences.first().map_or("", |sentence| &sentence.text),
            Self::Report(_) => "",
        }
    }
    /// What to do about what came last.
    pub(super) fn hinted(&self) -> Option<&str> {
        match self {
            Self::Said(sentences, _) => sentences.last().and_then(|sentence| sentence.hint.as_deref()),
            Self::Report(_) => None,
        }
    }
    /// Tells it, and answers the exit code.
    pub(super) fn tell(&self) -> u8 {
        match self {
            Self::Report(report) => {
                tell(&report.render(color()));
                CONFIGURATION
            }
            Self::Said(sentences, exit) => {
                for Sentence {
                    code, text, below, hint, ..
                } in sentences
                {
                    tell(&format!("error[{code}]: {text}\n"));
                    for line in below {
                        tell(&format!("  {line}\n"));
                    }
                    if let Some(hint) = hint {
                        tell(&format!("hint: {hint}\n"));
                    }
                }
                *exit
            }
        }
    }
}
impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(error.code(), error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
/// A member that is text.
pub(super) fn text(value: &Value, member: &str) -> Option<String> {
    value[member].as_str().map(printable)
}
/// What somebody else wrote, for a terminal: nothing in it steers that.
pub(super) fn printable(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(plain).collect()
}
/// Who stands in the way.
fn used_by(error: &Value) -> String {
    let detail = text(error, "detail").unwrap_or_default();
    match (text(error, "kind"), text(error, "name")) {
        (Some(kind), Some(name)) if !detail.contains(&format!("`{name}`")) => format!("{kind} `{name}`: {detail}"),
        _ => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_one_by_one() {
        let problem = json!({"status": 422, "code": "TG5004", "detail": "2 errors", "errors": [
            {"pointer": "/a", "code": "TG5004", "detail": "`a` cannot be `b`", "expected": "c"},
            {"pointer": "/k", "code": "TG5003", "detail": "unknown key `k`", "hint": "did you mean `l`?"},
        ]});
        let Failure::Said(sentences, exit) = Failure::problem(&problem) else {
            panic!("no sentences")
        };
        assert_eq!((sentences.len(), exit), (2, CONFIGURATION));
        assert_eq!(sentences[0].text, "`a` cannot be `b`: expected c");
        assert_eq!(sentences[1].hint.as_deref(), Some("did you mean `l`?"));
    }
    #[test]
    fn who_stands_in_the_way_is_named_below() {
        let problem = json!({"status": 409, "code": "TG5006", "detail": "the stream `a` is used by the api `c`", "errors": [
            {"pointer": "/backend/stream", "kind": "api", "name": "b", "detail": "reads it"},
            {"pointer": "", "kind": "api", "name": "c", "detail": "uses it"},
        ]});
        let Failure::Said(sentences, exit) = Failure::problem(&problem) else {
            panic!("no sentences")
        };
        assert_eq!((sentences.len(), exit), (1, FAILED));
        assert_eq!(sentences[0].below, ["api `b`: reads it"]);
    }
}
