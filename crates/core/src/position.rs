//! Where one message sits, and "everything up to and including". Opaque text to users: `[source.][partition-]offset`, decimal, zero
//! parts left out, several joined by `,`.
use crate::error::{Code, Error, Result};
use smallvec::SmallVec;
use std::{fmt, str::FromStr};

/// `source`: the stream's number in `local`; a hash of the topic's name where one consumer reads several broker topics; else 0.
/// `offset` is wide enough for a Redis `ms-seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which of several numberings it belongs to; 0 where there is only one.
    pub source: u32,
    /// The partition, from 0.
    pub partition: u32,
    /// The place in the partition, rising, with holes where the broker leaves some.
    pub offset: u128,
}
impl Position {
    /// Its text, behind what is there: every message of a page has one.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _never = self.parts(&mut |part| {
            out.extend_from_slice(part.as_bytes());
            Ok(())
        });
    }
    fn parts(&self, part: &mut impl FnMut(&str) -> fmt::Result) -> fmt::Result {
        let mut digits = itoa::Buffer::new();
        if self.source != 0 {
            part(digits.format(self.source))?;
            part(".")?;
        }
        if self.partition != 0 {
            part(digits.format(self.partition))?;
            part("-")?;
        }
        match u64::try_from(self.offset) {
            Ok(offset) => part(digits.format(offset)),
            Err(_) => part(digits.format(self.offset)),
        }
    }
}
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts(&mut |part| f.write_str(part))
    }
}
impl FromStr for Position {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        fn number<T: FromStr>(text: &str) -> Result<T> {
            // `parse` would also take `+5`.
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            digits
                .then(|| text.parse().ok())
                .flatten()
                .ok_or_else(|| Error::client(Code::BadRequest, "not a position"))
        }
        let (source, rest) = text
            .split_once('.')
            .map_or(Ok((0, text)), |(s, rest)| number(s).map(|s| (s, rest)))?;
        let (partition, offset) = rest
            .split_once('-')
            .map_or(Ok((0, rest)), |(p, rest)| number(p).map(|p| (p, rest)))?;
        Ok(Self {
            source,
            partition,
            offset: number(offset)?,
        })
    }
}

/// The last position seen per source and partition, sorted. Empty = from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(SmallVec<[Position; 1]>);
impl Cursor {
    /// Raises; never goes back.
    pub fn advance(&mut self, p: Position) {
        match self.find(p) {
            Ok(i) => self.0[i].offset = self.0[i].offset.max(p.offset),
            Err(i) => self.0.insert(i, p),
        }
    }
    /// Behind a gap: what it names in `from` is forgotten (a re-created stream has another number), `to` is seen.
    pub fn pass(&mut self, gap: &Gap) {
        self.0.retain(|p| gap.from.find(*p).is_err());
        gap.to.iter().for_each(|p| self.advance(p));
    }
    /// The last position seen of each partition, sorted.
    pub fn iter(&self) -> impl Iterator<Item = Position> {
        self.0.iter().copied()
    }
    /// Whether that position was seen.
    pub fn covers(&self, p: Position) -> bool {
        self.find(p).is_ok_and(|i| self.0[i].offset >= p.offset)
    }
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    fn find(&self, p: Position) -> Result<usize, usize> {
        self.0.binary_search_by_key(&(p.source, p.partition), |q| (q.source, q.partition))
    }
}
impl FromIterator<Position> for Cursor {
    fn from_iter<I: IntoIterator<Item = Position>>(it: I) -> Self {
        let mut cursor = Self::default();
        it.into_iter().for_each(|p| cursor.advance(p));
        cursor
    }
}
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            write!(f, "{}{p}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}
impl FromStr for Cursor {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        text.split(',').filter(|part| !part.is_empty()).map(Position::from_str).collect()
    }
}

/// A range that was asked for and cannot be had: all after `from`, up to and including `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What was seen before it.
    pub from: Cursor,
    /// What reading goes on behind.
    pub to: Cursor,
    /// Why it is missing.
    pub reason: Reason,
    /// How many messages, where positions cannot tell: a live subscriber that was too slow.
    pub missed: Option<u64>,
}
/// Why a range is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Retention removed it.
    Retention,
    /// It is there and cannot be read.
    Damaged,
    /// The stream was removed and created anew; its offsets began again.
    Recreated,
    /// It passed while the reader was behind, and nobody stored it.
    TooSlow,
    /// The endpoint cannot go back to where the reader was.
    CannotResume,
}
impl Gap {
    /// How many messages that may have been, as far as offsets tell.
    pub fn count(&self) -> u64 {
        if let Some(missed) = self.missed {
            return missed;
        }
        let lost = |to: Position| match self.from.find(to) {
            Ok(i) => to.offset.saturating_sub(self.from.0[i].offset),
            Err(_) => to.offset.saturating_add(1),
        };
        self.to
            .iter()
            .map(lost)
            .fold(0_u64, |sum, n| sum.saturating_add(u64::try_from(n).unwrap_or(u64::MAX)))
    }
}
impl Reason {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Damaged => "damaged",
            Self::Recreated => "recreated",
            Self::TooSlow => "too_slow",
            Self::CannotResume => "cannot_resume",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn positions() -> impl Strategy<Value = Position> {
        (0..4_u32, 0..4_u32, any::<u128>()).prop_map(|(source, partition, offset)| Position { source, partition, offset })
    }
    proptest! {
        #[test]
        fn a_position_goes_there_and_back(p in positions()) {
            prop_assert_eq!(p.to_string().parse::<Position>().unwrap(), p);
        }
        #[test]
        fn a_cursor_goes_there_and_back(all in proptest::collection::vec(positions(), 0..12)) {
            let cursor: Cursor = all.iter().copied().collect();
            prop_assert_eq!(&cursor.to_string().parse::<Cursor>().unwrap(), &cursor);
            for p in all {
                prop_assert!(cursor.covers(p));
            }
        }
        #[test]
        fn any_text_is_a_cursor_or_an_error(text in "[0-9.,+ -]{0,24}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
            }
        }
    }
    #[test]
    fn zero_parts_are_left_out() {
        for (source, partition, text) in [(0, 0, "15"), (0, 3, "3-15"), (42, 0, "42.15"), (42, 3, "42.3-15")] {
            let offset = 15;
            assert_eq!(Position { source, partition, offset }.to_string(), text);
        }
        for bad in ["", "-", ".", "+1", "1-", "1.2.3", "1-2-3", " 1", "4294967296.1"] {
            assert_eq!(bad.parse::<Position>().unwrap_err().code(), Code::BadRequest, "{bad}");
        }
    }
    #[test]
    fn behind_a_gap_the_old_is_forgotten_and_the_new_is_seen() {
        let mut cursor: Cursor = "7.100,9.1-5".parse().unwrap();
        let gap = Gap {
            from: "7.100".parse().unwrap(),
            to: "8.41".parse().unwrap(),
            reason: Reason::Recreated,
            missed: None,
        };
        assert_eq!(gap.count(), 42);
        cursor.pass(&gap);
        assert_eq!(cursor.to_string(), "8.41,9.1-5");
    }
    #[test]
    fn a_gap_counts_what_lies_between() {
        let gap = Gap {
            from: "7.99".parse().unwrap(),
            to: "7.149".parse().unwrap(),
            reason: Reason::Retention,
            missed: None,
        };
        assert_eq!(gap.count(), 50);
    }
}
