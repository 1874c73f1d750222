//! JSON in Protobuf's own mapping to bytes on the wire. No number is bent: a whole number that is written with a point or an exponent is read
//! as the whole number it is, and one that fits no integer never ends up as the nearest that does.
use super::number;
use crate::text;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use std::borrow::Cow;

pub(super) fn convert(message: &MessageDescriptor, payload: &[u8]) -> Result<Bytes, String> {
    let json = simdutf8::basic::from_utf8(payload).map_err(|_| "Bad JSON format - it is not UTF-8".to_owned())?;
    if let Some(why) = text::fault(payload) {
        return Err(format!("Bad JSON format - {why}"));
    }
    let exact = exact(json);
    let read = |json: &str| read(message, json, &exact.text);
    let made = read(&exact.text)?;
    if let Some(other) = &exact.beyond {
        // Where an integer belongs, what is too large for any is refused; where a floating point number does, it is what it was.
        read(other)?;
    }
    Ok(made.encode_to_vec().into())
}
/// `told`: the text that what is wrong is told of.
fn read(message: &MessageDescriptor, json: &str, told: &str) -> Result<DynamicMessage, String> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = DynamicMessage::deserialize(message.clone(), &mut reader).and_then(|made| reader.end().map(|()| made));
    read.map_err(|error| {
        let (line, column, text) = (error.line(), error.column(), error.to_string());
        let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
        let field = serde_json::from_str(told).ok().and_then(|told| number::fault(message, &told));
        format!("proto: (line {line}:{column}): {}", field.as_deref().unwrap_or(said))
    })
}
struct Exact<'a> {
    /// Whole numbers are written as such.
    text: Cow<'a, str>,
    /// The same, where some number rounds to the end of the range of integers: another one in its place, which no integer takes.
    beyond: Option<String>,
}
/// Of a text that is JSON.
fn exact(json: &str) -> Exact<'_> {
    let bytes = json.as_bytes();
    let (mut at, mut copied) = (0, 0);
    let (mut text, mut beyond) = (String::new(), String::new());
    let mut is_beyond = false;
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
                let token = json.get(at..at + length).unwrap_or_default();
                let before = json.get(copied..at).unwrap_or_default();
                match number(token) {
                    Number::Fine => {}
                    Number::Whole(whole) => {
                        text.extend([before, &whole]);
                        beyond.extend([before, &whole]);
                        copied = at + length;
                    }
                    Number::Beyond => {
                        is_beyond = true;
                        text.extend([before, token]);
                        beyond.extend([before, if token.starts_with('-') { "-3e19" } else { "3e19" }]);
                        copied = at + length;
                    }
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    let rest = json.get(copied..).unwrap_or_default();
    if copied == 0 {
        return Exact {
            text: json.into(),
            beyond: None,
        };
    }
    beyond.push_str(rest);
    Exact {
        text: (text + rest).into(),
        beyond: is_beyond.then_some(beyond),
    }
}
enum Number {
    /// As it is written.
    Fine,
    /// A whole number that was written otherwise.
    Whole(String),
    /// It rounds to the end of a range it is outside of.
    Beyond,
}
fn number(token: &str) -> Number {
    let fits = |text: &str| text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    if fits(token) {
        return Number::Fine;
    }
    match whole(token) {
        Some(whole) if fits(&whole) => Number::Whole(whole),
        // 2^63 and 2^64, which is where the readers of integers stop.
        _ if token
            .parse::<f64>()
            .is_ok_and(|float| [9_223_372_036_854_775_808.0, 18_446_744_073_709_551_616.0].contains(&float.abs())) =>
        {
            Number::Beyond
        }
        _ => Number::Fine,
    }
}
/// Its digits, if it is whole and not much longer than an integer can be.
pub(super) fn whole(token: &str) -> Option<String> {
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (front, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{front}{behind}");
    let point = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(behind.len()).ok()?)?;
    if point > 20 || digits.len() > 400 {
        return None;
    }
    for _ in 0..point {
        digits.push('0');
    }
    for _ in point..0 {
        match digits.pop() {
            Some('0') => {}
            None => break,
            Some(_) => return None,
        }
    }
    let digits = digits.trim_start_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    Some(format!("{sign}{digits}"))
}
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_numbers_stay_what_they_are(number in any::<i64>(), zeros in 0_usize..6) {
            let text = number.to_string();
            let many = "0".repeat(zeros);
            let shifted = if number == 0 { text.clone() } else { format!("{text}{many}") };
            for (token, digits) in [
                (format!("{text}.{many}"), &text),
                (format!("{text}{many}e-{zeros}"), &text),
                (format!("{text}e{zeros}"), &shifted),
            ] {
                let whole = whole(&token);
                prop_assert_eq!(whole.as_ref(), Some(digits));
            }
            let text = exact(&format!("{{\"1.0\":[{number}.0,\"2.50\\\"3.0\",0.5,1e300]}}")).text.into_owned();
            prop_assert_eq!(text, format!("{{\"1.0\":[{number},\"2.50\\\"3.0\",0.5,1e300]}}"));
        }
    }
}
