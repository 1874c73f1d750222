//! What answers of a target mean, where it is not the usual.
use crate::{
    ledger::{Fault, Ledger, shown},
    read::{self, Record},
    shape::one_of,
    suggest::suggest,
};
use std::ops::RangeInclusive;
use tidegate_core::error::Code;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The messages are delivered.
    Success,
    /// They are sent again.
    Retry,
    /// They are given up.
    DeadLetter,
    /// Nothing is sent any more until somebody starts it again.
    Stop,
}
const MEANINGS: &[(&str, Meaning)] = &[
    ("success", Meaning::Success),
    ("retry", Meaning::Retry),
    ("dead_letter", Meaning::DeadLetter),
    ("stop", Meaning::Stop),
];

/// The narrowest first.
pub(super) fn answers(webhook: &Record, ledger: &mut Ledger) -> Vec<(RangeInclusive<u16>, Meaning)> {
    let mut out = Vec::new();
    let Some(map) = webhook.raw("answers") else { return out };
    for entry in map.entries() {
        let path = webhook.path.key("answers").key(&entry.key);
        let range = statuses(&entry.key);
        if range.is_none() {
            let fault = Fault::new(Code::BadValue, entry.at, &path, format!("`{}` is no status", shown(&entry.key)));
            ledger.tell(fault.expected("a status such as `409`, `5xx`, or `500-599`, from 200 to 599"));
        }
        let word = entry.value.text().unwrap_or_default();
        let meaning = MEANINGS.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
        let known = || MEANINGS.iter().map(|(known, _)| *known);
        if meaning.is_none() && entry.value.text().is_some() {
            let near = suggest(word, known()).filter(|_| !entry.value.hidden);
            let fault = Fault::new(Code::BadValue, entry.value.at, &path, read::wrong(&path, &entry.value));
            ledger.tell(fault.expected(one_of(known())).did_you_mean(near));
        }
        out.extend(range.zip(meaning));
    }
    out.sort_by_key(|(range, _)| range.end() - range.start());
    out
}
/// `409`, `5xx`, `500-599`. What comes before 200 is no answer.
fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.parse().ok().filter(|status| text.len() == 3 && (200..=599).contains(status));
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let first = status(&format!("{class}00"))?;
        return Some(first..=first + 99);
    }
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (status(first)?, status(last)?);
            (first <= last).then_some(first..=last)
        }
        None => status(text).map(|status| status..=status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_three_spellings() {
        for (text, range) in [
            ("409", Some(409..=409)),
            ("5xx", Some(500..=599)),
            ("4XX", Some(400..=499)),
            ("500-503", Some(500..=503)),
            ("199", None),
            ("600", None),
            ("1xx", None),
            ("503-500", None),
            ("+50", None),
            ("4x", None),
            ("", None),
            ("0409", None),
        ] {
            assert_eq!(statuses(text), range, "{text}");
        }
    }
}
