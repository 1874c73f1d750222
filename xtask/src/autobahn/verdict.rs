//! What the suite found: cases by behaviour, and each that is not as it should be.
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// Non-strict is conformant too; here it is not enough.
const GOOD: &[&str] = &["OK", "INFORMATIONAL"];

#[derive(Debug, Default)]
pub(super) struct Verdict {
    cases: usize,
    expected: usize,
    /// Behaviour, and how many cases had it.
    while_open: BTreeMap<String, usize>,
    /// The same for the closing handshake.
    at_close: BTreeMap<String, usize>,
    bad: Vec<String>,
}
impl Verdict {
    /// From the suite's `index.json`: agents, and in each the cases.
    pub(super) fn new(index: &Value, expected: usize) -> Self {
        let mut verdict = Self {
            expected,
            ..Self::default()
        };
        let agents = index.as_object().into_iter().flat_map(|agents| agents.values());
        let mut cases: Vec<_> = agents.filter_map(Value::as_object).flatten().collect();
        cases.sort_by_key(|(id, _)| place(id));
        for (id, case) in cases {
            let behaviour = |name: &str| case[name].as_str().unwrap_or("UNKNOWN").to_owned();
            let (open, close) = (behaviour("behavior"), behaviour("behaviorClose"));
            if !GOOD.contains(&open.as_str()) || !GOOD.contains(&close.as_str()) {
                verdict.bad.push(format!("{id}: {open}, close {close}"));
            }
            verdict.cases += 1;
            *verdict.while_open.entry(open).or_default() += 1;
            *verdict.at_close.entry(close).or_default() += 1;
        }
        verdict
    }
    /// All cases ran, and each was kept strictly.
    pub(super) fn is_good(&self) -> bool {
        self.bad.is_empty() && self.cases == self.expected
    }
}
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.bad {
            writeln!(f, "{case}")?;
        }
        let counts = |of: &BTreeMap<String, usize>| {
            let counts: Vec<_> = of.iter().map(|(name, count)| format!("{name} {count}")).collect();
            counts.join(", ")
        };
        writeln!(f, "cases  {} of {}", self.cases, self.expected)?;
        writeln!(f, "open   {}", counts(&self.while_open))?;
        writeln!(f, "close  {}", counts(&self.at_close))
    }
}
/// 2.10 comes behind 2.9.
fn place(id: &str) -> Vec<u32> {
    id.split('.').map(|number| number.parse().unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(cases: &[(&str, &str, &str)], expected: usize) -> Verdict {
        let cases: serde_json::Map<_, _> = cases
            .iter()
            .map(|(id, open, close)| ((*id).to_owned(), json!({ "behavior": open, "behaviorClose": close })))
            .collect();
        Verdict::new(&json!({ "tidegate": cases }), expected)
    }
    #[test]
    fn only_what_is_kept_strictly_is_good() {
        assert!(verdict(&[("1.1.1", "OK", "OK"), ("7.13.1", "INFORMATIONAL", "INFORMATIONAL")], 2).is_good());
        for (open, close) in [
            ("NON-STRICT", "OK"),
            ("FAILED", "OK"),
            ("UNIMPLEMENTED", "OK"),
            ("OK", "WRONG CODE"),
            ("OK", "UNCLEAN"),
        ] {
            let found = verdict(&[("1.1.1", open, close)], 1);
            assert!(!found.is_good(), "{open} {close}");
        }
    }
    #[test]
    fn a_case_that_did_not_run_or_says_nothing_is_not_good() {
        assert!(!verdict(&[], 1).is_good());
        assert!(!verdict(&[("1.1.1", "OK", "OK")], 2).is_good());
        assert!(!Verdict::new(&json!({ "tidegate": { "1.1.1": {} } }), 1).is_good());
        assert!(!Verdict::new(&json!("nothing"), 1).is_good());
    }
    #[test]
    fn counts_and_bad_cases_are_told_in_order() {
        let cases = [("2.10", "FAILED", "OK"), ("2.9", "NON-STRICT", "OK"), ("1.1.1", "OK", "OK")];
        assert_eq!(
            verdict(&cases, 3).to_string(),
            "2.9: NON-STRICT, close OK\n2.10: FAILED, close OK\n\
             cases  3 of 3\nopen   FAILED 1, NON-STRICT 1, OK 1\nclose  OK 3\n"
        );
    }
}
