//! What the tests share: a mock kind like the real one, and loading of texts.
use serde_json::{Value, json};
use tidegate_config::{Checked, Mode, Report, Source, load};
use tidegate_core::{
    check::{Kind, Problem},
    clock::parse_duration,
};

/// Takes `interval` (required, a duration) and `payload`.
pub(crate) fn kinds() -> Vec<Kind> {
    vec![Kind {
        name: "mock",
        schema: || json!({ "type": "object", "properties": { "interval": {}, "payload": {} } }),
        check: Box::new(|config| {
            let problem = |at: &str, expected: &'static str| Problem {
                at: at.to_owned(),
                expected: expected.into(),
                hint: None,
            };
            let mut problems = Vec::new();
            match config.get("interval").map(Value::as_str) {
                Some(Some(text)) if parse_duration(text).is_some() => {}
                Some(Some(text)) => problems.push(Problem {
                    hint: Some(format!("`{text}` has no unit").into()),
                    ..problem("/interval", "a duration")
                }),
                _ => problems.push(problem("/interval", "a duration")),
            }
            for key in config.as_object().into_iter().flatten().map(|(key, _)| key) {
                if !["interval", "payload"].contains(&key.as_str()) {
                    problems.push(problem(&format!("/{key}"), "`interval` or `payload`"));
                }
            }
            if problems.is_empty() { Ok(Box::new(Never)) } else { Err(problems) }
        }),
    }]
}
struct Never;
impl tidegate_core::check::Checked for Never {
    fn digest(&self) -> u64 {
        0
    }
    fn open(
        self: Box<Self>,
    ) -> futures::future::BoxFuture<'static, tidegate_core::error::Result<std::sync::Arc<dyn tidegate_core::endpoint::Endpoint>>> {
        unreachable!("configuration never opens anything")
    }
}
pub(crate) fn texts(files: &[(&str, &str)]) -> Source {
    Source::Texts(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}
pub(crate) fn check(mode: Mode, text: &str) -> Result<Checked, Report> {
    load(texts(&[("test.yaml", text)]), [], &[], mode, &kinds())
}
pub(crate) fn good(text: &str) -> Checked {
    check(Mode::Dev, text).unwrap_or_else(|report| panic!("{report}"))
}
