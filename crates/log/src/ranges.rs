//! A set of offsets as ranges: many neighbours cost as much as one.
use std::{collections::BTreeMap, ops::Range};

/// From the first to behind the last of each range; they neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);
impl Ranges {
    pub(crate) fn add(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        if let Some((from, to)) = self.0.range(..=start).next_back().map(|(from, to)| (*from, *to))
            && to >= start
        {
            if to >= end {
                return;
            }
            start = from;
        }
        while let Some((from, to)) = self.0.range(start..=end).next().map(|(from, to)| (*from, *to)) {
            self.0.remove(&from);
            end = end.max(to);
        }
        self.0.insert(start, end);
    }
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((from, to)) = self.at(range.start).filter(|(from, _)| *from < range.start) {
            self.0.insert(from, range.start);
            if to > range.end {
                self.0.insert(range.end, to);
                return;
            }
        }
        while let Some((from, to)) = self.0.range(range.clone()).next().map(|(from, to)| (*from, *to)) {
            self.0.remove(&from);
            if to > range.end {
                self.0.insert(range.end, to);
            }
        }
    }
    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.at(offset).is_some()
    }
    /// The range with this offset in it.
    pub(crate) fn at(&self, offset: u64) -> Option<(u64, u64)> {
        let (from, to) = self.0.range(..=offset).next_back()?;
        (*to > offset).then_some((*from, *to))
    }
    /// Where the first range at or behind this offset begins.
    pub(crate) fn next(&self, offset: u64) -> Option<u64> {
        if self.contains(offset) {
            return Some(offset);
        }
        self.0.range(offset..).next().map(|(from, _)| *from)
    }
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.0.first_key_value().map(|(from, to)| (*from, *to))
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(from, to)| (*from, *to))
    }
    /// How many ranges.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many offsets, from one on.
    pub(crate) fn count_from(&self, first: u64) -> u64 {
        self.0.iter().map(|(from, to)| to.saturating_sub(*from.max(&first))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(steps in vec((any::<bool>(), 0..60_u64, 0..12_u64), 0..80)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (add, from, len) in steps {
                let range = from..from + len;
                if add {
                    ranges.add(range.clone());
                    set.extend(range);
                } else {
                    ranges.remove(range.clone());
                    set.retain(|offset| !range.contains(offset));
                }
                let found: Vec<u64> = ranges.iter().flat_map(|(from, to)| from..to).collect();
                prop_assert_eq!(&found, &set.iter().copied().collect::<Vec<_>>());
                let spans: Vec<_> = ranges.iter().collect();
                prop_assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", spans);
                for offset in 0..80 {
                    prop_assert_eq!(ranges.contains(offset), set.contains(&offset));
                    prop_assert_eq!(ranges.next(offset), set.range(offset..).next().copied());
                }
                prop_assert_eq!(ranges.count_from(30), set.range(30..).count() as u64);
                prop_assert_eq!(ranges.count_from(0), set.len() as u64);
            }
        }
    }
}
