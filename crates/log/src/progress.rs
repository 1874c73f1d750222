//! How far a group has come in one partition: what the journal carries as changes, and the table file as whole values.
use crate::{le, ranges::Ranges};
use bytes::BufMut;
use std::{collections::BTreeMap, ops::Range};

/// A whole value, or a change of one: both are merged in the same way, and merging one twice, or an older one again, changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// All below is done.
    pub(crate) floor: u64,
    /// Done above the floor.
    pub(crate) done: Ranges,
    /// Delivered without success, and not done: how often, and when it is due again.
    pub(crate) tries: BTreeMap<u64, Try>,
    /// All below was delivered once, or passed over.
    pub(crate) mark: u64,
}
/// What became of earlier deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) attempts: u32,
    /// Microseconds since the epoch; 0: at once.
    pub(crate) due: i64,
}
/// Records that must be there for a change to hold: home and offset.
pub(crate) type Needs = Vec<(u32, u64)>;

const HEAD: usize = 28;

impl Progress {
    pub(crate) fn starting(floor: u64) -> Self {
        Self {
            floor,
            mark: floor,
            ..Self::default()
        }
    }
    pub(crate) fn is_done(&self, offset: u64) -> bool {
        offset < self.floor || self.done.contains(offset)
    }
    pub(crate) fn finish(&mut self, range: Range<u64>) {
        let range = range.start.max(self.floor)..range.end;
        if range.is_empty() {
            return;
        }
        while let Some((offset, _)) = self.tries.range(range.clone()).next() {
            let offset = *offset;
            self.tries.remove(&offset);
        }
        self.done.add(range);
        self.settle();
    }
    /// Takes a newer change.
    pub(crate) fn merge(&mut self, change: &Self) {
        self.mark = self.mark.max(change.mark);
        if change.floor > self.floor {
            self.finish(self.floor..change.floor);
        }
        for (from, to) in change.done.iter() {
            self.finish(from..to);
        }
        for (offset, tried) in &change.tries {
            if !self.is_done(*offset) {
                self.tries.insert(*offset, *tried);
            }
        }
    }
    /// The floor moves over what is done.
    fn settle(&mut self) {
        while let Some((from, to)) = self.done.first().filter(|(from, _)| *from <= self.floor) {
            self.done.remove(from..to);
            self.floor = self.floor.max(to);
        }
    }
    /// Nothing would be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.floor == 0 && self.mark == 0 && self.done.is_empty() && self.tries.is_empty()
    }
    /// Bytes of [`Progress::encode`].
    pub(crate) fn size(&self) -> usize {
        HEAD + 16 * self.done.len() + 20 * self.tries.len()
    }
    pub(crate) fn encode(&self, needs: &Needs) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size() + 12 * needs.len());
        out.put_u64_le(self.floor);
        out.put_u64_le(self.mark);
        out.put_u32_le(self.done.len() as u32);
        out.put_u32_le(self.tries.len() as u32);
        out.put_u32_le(needs.len() as u32);
        for (from, to) in self.done.iter() {
            out.put_u64_le(from);
            out.put_u64_le(to);
        }
        for (offset, tried) in &self.tries {
            out.put_u64_le(*offset);
            out.put_u32_le(tried.attempts);
            out.put_i64_le(tried.due);
        }
        for (home, offset) in needs {
            out.put_u32_le(*home);
            out.put_u64_le(*offset);
        }
        out
    }
    /// `None`: the lengths do not fit into each other.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, Needs)> {
        let count = |at| le::u32_at(bytes, at).map(|count| count as usize);
        let (done, tries, needs) = (count(16)?, count(20)?, count(24)?);
        let tries_at = HEAD + done.checked_mul(16)?;
        let needs_at = tries_at.checked_add(tries.checked_mul(20)?)?;
        if bytes.len() != needs_at.checked_add(needs.checked_mul(12)?)? {
            return None;
        }
        let mut progress = Self {
            floor: le::u64_at(bytes, 0)?,
            mark: le::u64_at(bytes, 8)?,
            ..Self::default()
        };
        for i in 0..done {
            progress
                .done
                .add(le::u64_at(bytes, HEAD + 16 * i)?..le::u64_at(bytes, HEAD + 16 * i + 8)?);
        }
        for i in 0..tries {
            let at = tries_at + 20 * i;
            let tried = Try {
                attempts: le::u32_at(bytes, at + 8)?,
                due: le::i64_at(bytes, at + 12)?,
            };
            progress.tries.insert(le::u64_at(bytes, at)?, tried);
        }
        let need = |i: usize| Some((le::u32_at(bytes, needs_at + 12 * i)?, le::u64_at(bytes, needs_at + 12 * i + 4)?));
        let needs = (0..needs).map(need).collect::<Option<Needs>>()?;
        Some((progress, needs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[derive(Clone, Debug)]
    enum Step {
        Done(u64, u64),
        Tried(u64, u32),
        Mark(u64),
    }
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..40_u64, 1..6_u64).prop_map(|(from, len)| Step::Done(from, from + len)),
            (0..40_u64, 1..9_u32).prop_map(|(offset, attempts)| Step::Tried(offset, attempts)),
            (0..40_u64).prop_map(Step::Mark),
        ]
    }
    fn change(steps: &[Step], whole: &mut Progress) -> Progress {
        let mut change = Progress::default();
        for step in steps {
            match *step {
                Step::Done(from, to) => {
                    change.done.add(from..to);
                    whole.finish(from..to);
                }
                Step::Tried(offset, attempts) if !whole.is_done(offset) => {
                    let tried = Try { attempts, due: 7 };
                    change.tries.insert(offset, tried);
                    whole.tries.insert(offset, tried);
                }
                Step::Tried(..) => {}
                Step::Mark(mark) => {
                    change.mark = change.mark.max(mark);
                    whole.mark = whole.mark.max(mark);
                }
            }
        }
        change
    }
    proptest! {
        /// Changes replayed in order give the whole; replayed once more they change nothing.
        #[test]
        fn changes_add_up(calls in vec(vec(step(), 0..6), 0..12)) {
            let mut whole = Progress::default();
            let changes: Vec<_> = calls.iter().map(|steps| change(steps, &mut whole)).collect();
            let mut replayed = Progress::default();
            for change in &changes {
                let bytes = change.encode(&vec![(7, 9)]);
                let (change, needs) = Progress::decode(&bytes).unwrap();
                prop_assert_eq!(needs, vec![(7, 9)]);
                replayed.merge(&change);
            }
            prop_assert_eq!(&replayed, &whole);
            // A row may be newer than what is replayed over it: what is done stays done.
            for change in &changes {
                replayed.merge(change);
            }
            prop_assert_eq!((replayed.floor, &replayed.done, replayed.mark), (whole.floor, &whole.done, whole.mark));
            let (again, _) = Progress::decode(&whole.encode(&Needs::new())).unwrap();
            prop_assert_eq!(again, whole);
        }
    }
    #[test]
    fn what_does_not_fit_is_no_progress() {
        let bytes = Progress::starting(7).encode(&vec![(1, 2)]);
        for len in 0..bytes.len() {
            assert!(Progress::decode(bytes.get(..len).unwrap()).is_none(), "{len}");
        }
        assert!(Progress::decode(&[255; 64]).is_none());
    }
}
