//! The last head of a connection. Clients mostly send the same one again, with another `Content-Length`: it is framed as it was.
use super::head::Body;
use bytes::Bytes;
use std::ops::Range;

/// Bytes of the largest head that is kept beside a connection that waits.
const LARGEST: usize = 1 << 10;
/// Digits that no number of so many is too large for (RFC 9110, section 8.6, sets no bound: more of them are read in full).
const DIGITS: usize = 18;

/// A head that was whole and good.
#[derive(Debug)]
pub(super) struct Known {
    head: Bytes,
    /// Where the value of `Content-Length` stands; empty without one.
    digits: Range<usize>,
    body: Body,
}
impl Known {
    /// Whether it is not too large to be kept.
    pub(super) fn keeps(head: &Bytes) -> bool {
        head.len() <= LARGEST
    }
    /// `None`: it is.
    pub(super) fn new(head: &Bytes, digits: Range<usize>, body: Body) -> Option<Self> {
        Self::keeps(head).then(|| Self {
            head: head.clone(),
            digits,
            body,
        })
    }
    /// If `held` begins with it, whatever the length it tells: its own, and its body.
    pub(super) fn again(&self, held: &[u8], limit: usize) -> Option<(usize, Body)> {
        if self.digits.is_empty() {
            return held.starts_with(&self.head).then_some((self.head.len(), self.body));
        }
        let rest = held.strip_prefix(self.head.get(..self.digits.start)?)?;
        let digits = rest.iter().take(DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at_checked(digits).filter(|(digits, _)| !digits.is_empty())?;
        let length = self.head.len() - self.digits.len() + digits.len();
        if length > limit || !rest.starts_with(self.head.get(self.digits.end..)?) {
            return None;
        }
        let due = digits.iter().fold(0, |due, digit| due * 10 + u64::from(digit - b'0'));
        Some((length, Body::Length(due)))
    }
    /// As it was sent first.
    pub(super) fn head(&self) -> &Bytes {
        &self.head
    }
}
