//! Which representation a client wants (RFC 9110, section 12.5.1).
use http::{HeaderMap, header};
use tidegate_core::error::{Code, Error, Result};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Ndjson,
    Text,
    EventStream,
}
impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Text => "text/plain; charset=utf-8",
            Self::EventStream => "text/event-stream",
        }
    }
    /// What the API's own order prefers where the client does not.
    fn of(range: &str, streams: bool) -> Option<Self> {
        match range {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "application/x-ndjson" => Some(Self::Ndjson),
            "text/plain" | "text/*" => Some(Self::Text),
            "text/event-stream" if streams => Some(Self::EventStream),
            _ => None,
        }
    }
}
/// The best of what the header names; JSON without one. Browsers, which ask for HTML first and anything last, get JSON.
pub(super) fn format(headers: &HeaderMap, streams: bool) -> Result<Format> {
    let mut best: Option<(u16, Format)> = None;
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        let text = value
            .to_str()
            .map_err(|_| Error::client(Code::BadHeader, "`Accept` is not ASCII"))?;
        for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            asked = true;
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1000), thousandths);
            if let (Some(weight @ 1..), Some(format)) = (weight, Format::of(&name, streams))
                && best.is_none_or(|(most, _)| weight > most)
            {
                best = Some((weight, format));
            }
        }
    }
    match best {
        Some((_, format)) => Ok(format),
        None if !asked => Ok(Format::Json),
        None => Err(
            Error::client(Code::NotAcceptable, "none of the types in `Accept` is offered here").with_hint(format!(
                "offered: application/json, application/x-ndjson, text/plain{}",
                if streams { ", text/event-stream" } else { "" }
            )),
        ),
    }
}
/// Whether a problem should be plain text: the client names that and not JSON.
pub(super) fn wants_text(headers: &HeaderMap) -> bool {
    matches!(format(headers, true), Ok(Format::Text))
}
/// `0.5` as 500.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        format(&headers, true).ok()
    }

    #[test]
    fn the_best_weight_wins_and_the_first_of_equals() {
        let rows = [
            ("*/*", Some(Format::Json)),
            ("", Some(Format::Json)),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Some(Format::Json),
            ),
            ("text/event-stream", Some(Format::EventStream)),
            ("text/plain;q=0.5, application/x-ndjson;q=0.6", Some(Format::Ndjson)),
            ("TEXT/Plain", Some(Format::Text)),
            ("application/xml", None),
            ("application/json;q=0", None),
            ("application/json;q=x", None),
        ];
        for (accept, wanted) in rows {
            assert_eq!(of(accept), wanted, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new(), false).ok(), Some(Format::Json));
    }
}
