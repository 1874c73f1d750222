//! A request head, line by line (RFC 9112, sections 2 to 6): only what decides where it and its body end.
use super::Refusal;
use std::ops::Range;

/// Bytes of a method: the longest one registered has 17.
const METHOD: usize = 32;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes; none without `Content-Length`.
    Length(u64),
    Chunked,
}
/// What is known of a head that is not whole. It can be continued with the same bytes and more.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that has not ended.
    line: usize,
    /// So far there is no further line feed.
    searched: usize,
    /// Lines with something on them.
    lines: usize,
    /// An empty line came before the first.
    skipped: bool,
    /// HTTP/1.0.
    old: bool,
    length: Option<u64>,
    /// Where the digits of that stand.
    digits: Range<u32>,
    coding: Coding,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    Chunked,
    /// Others before it.
    Unknown,
}
impl Head {
    /// `bytes` begins where the head does. Its length and its body once it is whole; what is refused is refused at the same line however the bytes came.
    pub(super) fn read(&mut self, bytes: &[u8], limit: usize) -> Result<Option<(usize, Body)>, Refusal> {
        self.method(bytes)?;
        let begun = self.searched;
        for feed in memchr::memchr_iter(b'\n', bytes.get(begun..).unwrap_or_default()) {
            let feed = begun + feed;
            if feed >= limit {
                return Err(Refusal::HeadTooLarge);
            }
            let line = bytes.get(self.line..feed).and_then(|line| line.strip_suffix(b"\r"));
            let line = line.ok_or(Refusal::BareLf)?;
            let begin = std::mem::replace(&mut self.line, feed + 1);
            match (line, self.lines) {
                ([], 0) if self.skipped => return Err(Refusal::LeadingLines),
                ([], 0) => {
                    self.skipped = true;
                    self.method(bytes)?;
                }
                ([], _) => return self.whole(bytes.get(..self.line).unwrap_or_default()).map(Some),
                (line, 0) => {
                    self.lines = 1;
                    self.request_line(line)?;
                }
                (line, _) => {
                    self.lines += 1;
                    self.field(begin, line)?;
                }
            }
        }
        self.searched = bytes.len();
        if bytes.len() > limit {
            Err(Refusal::HeadTooLarge)
        } else {
            Ok(None)
        }
    }
    /// What cannot become a method is refused before its line ends: who speaks TLS here would else wait until the time for a head is up.
    fn method(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let line = bytes.get(self.line..).filter(|_| self.lines == 0).unwrap_or_default();
        match line.iter().take(METHOD + 1).position(|byte| !is_token(*byte)) {
            None if line.len() > METHOD => Err(Refusal::RequestLine),
            None => Ok(()),
            // An empty line, or what may become one.
            Some(0) if matches!(line, [b'\r'] | [b'\r', b'\n', ..] | [b'\n', ..]) => Ok(()),
            Some(at) if at > 0 && line.get(at) == Some(&b' ') => Ok(()),
            Some(_) => Err(Refusal::RequestLine),
        }
    }
    /// Where the value of `Content-Length` stands; empty without one.
    pub(super) fn digits(&self) -> Range<usize> {
        self.digits.start as usize..self.digits.end as usize
    }
    fn whole(&self, bytes: &[u8]) -> Result<(usize, Body), Refusal> {
        // Two for each line that was taken; any more stand within one.
        let ends = 2 * (self.lines + 1 + usize::from(self.skipped));
        if controls(bytes) != ends {
            return Err(Refusal::Control);
        }
        let body = match (self.coding, self.length) {
            (Coding::None, length) => Body::Length(length.unwrap_or(0)),
            (_, Some(_)) => return Err(Refusal::LengthAndCoding),
            (Coding::Unknown, None) => return Err(Refusal::UnknownCoding),
            (Coding::Chunked, None) => Body::Chunked,
        };
        Ok((bytes.len(), body))
    }
    fn request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let rest = match (line.strip_suffix(b" HTTP/1.1"), line.strip_suffix(b" HTTP/1.0")) {
            (Some(rest), _) => rest,
            (None, Some(rest)) => {
                self.old = true;
                rest
            }
            (None, None) => return Err(Refusal::RequestLine),
        };
        match split_name(rest) {
            Some((_, b' ', target)) if !target.is_empty() && memchr::memchr2(b' ', b'\t', target).is_none() => Ok(()),
            _ => Err(Refusal::RequestLine),
        }
    }
    /// `begin` is where the line stands.
    fn field(&mut self, begin: usize, line: &[u8]) -> Result<(), Refusal> {
        match split_name(line) {
            Some((name, b':', value)) => match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let digits = trimmed(value);
                    let after = value.len() - value.trim_ascii_start().len();
                    let at = begin + line.len() - value.len() + after;
                    // No head is that long.
                    let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
                    self.digits = place(at)..place(at + digits.len());
                    self.length(digits)
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(trimmed(value)),
                _ => Ok(()),
            },
            Some((_, b' ' | b'\t', _)) => Err(Refusal::SpaceBeforeColon),
            _ if matches!(line.first(), Some(b' ' | b'\t')) => Err(Refusal::Folding),
            _ => Err(Refusal::FieldLine),
        }
    }
    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digit = |length: u64, byte: &u8| match byte {
            b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        };
        let length = value.iter().try_fold(0, digit).filter(|_| !value.is_empty());
        // Beyond that a parser that counts with a sign may go wrong.
        let length = length.filter(|length| i64::try_from(*length).is_ok());
        match self.length.replace(length.ok_or(Refusal::Length)?) {
            None => Ok(()),
            Some(_) => Err(Refusal::Lengths),
        }
    }
    fn coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.old {
            return Err(Refusal::OldCoding);
        }
        if self.coding != Coding::None {
            return Err(Refusal::Coding);
        }
        self.coding = if value.eq_ignore_ascii_case(b"chunked") {
            Coding::Chunked
        } else {
            several(value)?
        };
        Ok(())
    }
}
/// A list is understood well enough to say what is wrong with it: other codings before a last and only `chunked` are merely unknown.
fn several(value: &[u8]) -> Result<Coding, Refusal> {
    let mut ended = false;
    for element in value.split(|byte| *byte == b',').map(trimmed) {
        // Parameters may follow a name, but `chunked` has none.
        let name = element.iter().position(|byte| !is_token(*byte)).unwrap_or(element.len());
        let (name, rest) = element.split_at(name);
        let malformed = name.is_empty() || !matches!(trimmed(rest), [] | [b';', ..]);
        if ended || malformed {
            return Err(Refusal::Coding);
        }
        ended = name.eq_ignore_ascii_case(b"chunked");
        if ended && !rest.is_empty() {
            return Err(Refusal::Coding);
        }
    }
    if ended { Ok(Coding::Unknown) } else { Err(Refusal::Coding) }
}
/// The name at the beginning, the byte that ends it and what follows. `None` without a name or such a byte.
fn split_name(line: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let at = line.iter().position(|byte| !is_token(*byte)).filter(|at| *at > 0)?;
    let (name, rest) = line.split_at(at);
    rest.split_first().map(|(byte, rest)| (name, *byte, rest))
}
/// Without the optional white space round it.
fn trimmed(value: &[u8]) -> &[u8] {
    let begin = value.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(begin, |at| at + 1);
    value.get(begin..end).unwrap_or_default()
}
/// A byte of a name (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    static SET: [bool; 256] = {
        let names = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let (mut set, mut at) = ([false; 256], 0);
        while at < names.len() {
            set[names[at] as usize] = true;
            at += 1;
        }
        set
    };
    SET[usize::from(byte)]
}
/// A byte that may not stand in a value; CR and LF are among them.
pub(super) fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}
fn controls(bytes: &[u8]) -> usize {
    // Counted in bytes, so that the compiler makes wide instructions of it.
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(is_control(*byte))).sum::<u8>();
    bytes.chunks(128).map(|chunk| usize::from(count(chunk))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_rfc() {
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(byte), expected, "{byte:#x}");
        }
    }
    #[test]
    fn controls_are_counted_in_any_length() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for length in 0..bytes.len() {
            let expected = bytes[..length]
                .iter()
                .filter(|byte| byte.is_ascii_control() && **byte != b'\t')
                .count();
            assert_eq!(controls(&bytes[..length]), expected);
        }
    }
}
