//! The fuzz target: any bytes as a configuration.
use crate::{
    load::{Mode, Source, load},
    render::render,
};

/// Never panics and reads no file, whatever the bytes; shows its errors too, for showing is code as well.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mock = tidegate_core::check::Kind {
        name: "mock",
        schema: || serde_json::json!({}),
        check: Box::new(|_| Err(Vec::new())),
    };
    let variables = [("TIDEGATE__LIMITS__BODY".to_owned(), text.chars().take(100).collect())];
    for mode in [Mode::Dev, Mode::Run] {
        let source = Source::Texts(vec![("fuzz.yaml".to_owned(), text.clone())]);
        if let Err(report) = load(source, variables.clone(), &[], mode, std::slice::from_ref(&mock)) {
            let shown = render(&report.diagnostics, &report.sources, false);
            assert!(!report.diagnostics.is_empty() && shown.contains("nothing was changed"));
        }
    }
}
