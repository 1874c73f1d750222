//! Numbers as they are written: whole ones are told from others by their digits, and none goes through a floating point number.
use std::borrow::Cow;

/// A JSON text with other words for some of its numbers; whatever stands in texts stays.
pub(crate) fn rewrite(json: &str, mut other: impl FnMut(&str) -> Option<String>) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut at, mut copied, mut text) = (0, 0, String::new());
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes.get(at..).map_or(0, |rest| {
                    let part = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    rest.iter().take_while(part).count()
                });
                if let Some(other) = json.get(at..at + length).and_then(&mut other) {
                    text.push_str(json.get(copied..at).unwrap_or_default());
                    text.push_str(&other);
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return json.into();
    }
    (text + json.get(copied..).unwrap_or_default()).into()
}
/// The digits of a number as JSON writes them, if it is whole and not much longer than an integer can be.
pub(crate) fn whole(token: &str) -> Option<String> {
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (front, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_point = behind.is_empty() && !mantissa.contains('.');
    let is_number = are(front) && (front == "0" || !front.starts_with('0')) && (is_point || are(behind));
    if !is_number || !are(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)) {
        return None;
    }
    let digits = format!("{front}{behind}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(format!("{sign}0"));
    }
    // How many zeros follow what is left of it.
    let zeros = i64::try_from(digits.len() - significant.len()).ok()? - i64::try_from(behind.len()).ok()?;
    let zeros = usize::try_from(exponent.parse::<i64>().ok()?.checked_add(zeros)?).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.len().checked_add(zeros)? > 20 {
        return None;
    }
    Some(format!("{sign}{significant}{}", "0".repeat(zeros)))
}
/// It fits some integer.
pub(crate) fn fits(text: &str) -> bool {
    text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
}
/// What is written as no integer and is one, as one.
pub(crate) fn integer(token: &str) -> Option<String> {
    let whole = whole(token).filter(|whole| fits(whole))?;
    let whole = if whole == "-0" { "0".to_owned() } else { whole };
    (whole != token).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_whole_is() {
        let zeros = "0".repeat(1_000);
        for (token, digits) in [
            ("0e99999999999999999999", Some("0")),
            ("-0.0", Some("-0")),
            ("1e18", Some("1000000000000000000")),
            (&format!("1{zeros}e-1000"), Some("1")),
            (&format!("0.{zeros}5e1001"), Some("5")),
            ("100e-2", Some("1")),
            ("1e-400", None),
            ("9007199254740992.5", None),
            ("1e300", None),
            ("1e99999999999999999999", None),
            ("-", None),
            ("+1", None),
            ("01", None),
            ("1.", None),
            (".5e1", None),
            ("0e", None),
            ("1.0.0", None),
            ("1e+2", Some("100")),
        ] {
            assert_eq!(whole(token).as_deref(), digits, "{token}");
        }
    }
    proptest! {
        #[test]
        fn whole_numbers_stay_what_they_are(number in any::<i64>(), zeros in 0_usize..6) {
            let text = number.to_string();
            let many = "0".repeat(zeros);
            for token in [format!("{text}.{many}0"), format!("{text}{many}e-{zeros}")] {
                let whole = whole(&token);
                prop_assert_eq!(whole.as_ref(), Some(&text));
            }
            let shifted = if number == 0 { text.clone() } else { format!("{text}{many}") };
            let same = whole(&format!("{text}e{zeros}"));
            prop_assert!(same.is_none() && shifted.len() > 20 || same == Some(shifted));
            let text = rewrite(&format!("{{\"1.0\":[{number}.0,\"2.50\\\"3.0\",0.5,1e300]}}"), integer).into_owned();
            prop_assert_eq!(text, format!("{{\"1.0\":[{number},\"2.50\\\"3.0\",0.5,1e300]}}"));
        }
    }
}
