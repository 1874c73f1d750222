//! What a user sees when something is wrong.
use crate::common::{check, kinds, pairs, texts};
use tidegate_config::{Mode, load};

#[test]
fn five_faults_in_two_files_are_five_errors() {
    let node = "listeners: { gateway: \"127.0.0.1:8080\" }\nlimits: { body: 4MB, batch_items: 10 }\nlogs: {}\n";
    let resources = "kind: stream
name: orders
retension: { age: 1h }
---
kind: api
name: orders
paths: [orders]
backend: { stream: ordres }
";
    let source = texts(&[("tidegate.yaml", node), ("resources/orders.yaml", resources)]);
    let report = load(source, [], &[], Mode::Dev, &kinds()).unwrap_err();
    assert_eq!(report.diagnostics.len(), 5);
    insta::assert_snapshot!(report.render(false));
    insta::assert_json_snapshot!(report.diagnostics);
}

/// Everything that is drawn in its own way: a suggestion, what was expected, a hint below, a place in a variable, a file without a line.
#[test]
fn errors_are_drawn_with_their_line() {
    let text = "listeners:\n  gateway: \"0.0.0.0:8080\"   # public\nlog: { journal_file: 300KiB }\nfoo\u{1b}[31m: 1\n---\nkind: stream\nname: é\n---\n{ kind: api, name: a, paths: [/a], secret: { a: 1, b: 2 }, plans: [keyless], backend: { topic: \"${rest}\" } }\n";
    let environment = pairs(&[("TIDEGATE__LIMITS__IDLE", "1 year")]);
    let report = load(texts(&[("tidegate.yaml", text)]), environment, &[], Mode::Run, &kinds()).unwrap_err();
    insta::assert_snapshot!(report.render(false));
    let painted = report.render(true);
    assert!(painted.starts_with("\u{1b}[1;31merror[TG5004]"), "{painted}");
    assert!(!report.render(false).contains('\u{1b}'));
}
#[test]
fn one_error_is_counted_as_one() {
    let report = check(Mode::Dev, "limts: {}").unwrap_err();
    assert!(
        report.to_string().ends_with("\n1 error in 1 file; nothing was changed\n"),
        "{report}"
    );
}
/// A line of JSON may be long: a window of it is shown, and the carets are under the fault.
#[test]
fn a_long_line_is_cut_around_the_fault() {
    let long = "x".repeat(500);
    let text = format!("{{ data_dir: \"{long}\", limts: {{}}, telemetry: {{ level: \"{long}\" }} }}");
    let shown = check(Mode::Dev, &text).unwrap_err().to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[3].chars().count() < 160, "{shown}");
    let caret = lines[4].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[3].chars().skip(caret).take(5).collect::<String>(), "limts");
}
