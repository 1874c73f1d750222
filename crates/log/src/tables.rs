//! Rows in memory: a map from table and key to a value, changed by records of the journal, written out by moves.
use crate::{
    names::table,
    progress::{Needs, Progress},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Table and key.
pub(crate) type Key = (u32, Vec<u8>);

/// Every row there is, and which ones the table file does not have yet.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    rows: BTreeMap<Key, Bytes>,
    /// Changed since the last move; `None` was deleted.
    changed: BTreeMap<Key, Option<Bytes>>,
    bytes: usize,
    /// Rows of progress as values: their changes come often, and are written out as bytes only when a batch is.
    progress: BTreeMap<Vec<u8>, Progress>,
    touched: BTreeSet<Vec<u8>>,
    /// Of the last record of state that was applied.
    pub(crate) seq: u64,
}
impl Tables {
    /// `None` deletes.
    pub(crate) fn set(&mut self, key: Key, value: Option<Bytes>) {
        self.load(key.clone(), value.clone());
        self.changed.insert(key, value);
    }
    /// The same for a row the table file has already.
    pub(crate) fn load(&mut self, key: Key, value: Option<Bytes>) {
        if key.0 == table::PROGRESS {
            self.touched.remove(&key.1);
            match value.as_deref().and_then(Progress::decode) {
                Some((progress, _)) => drop(self.progress.insert(key.1.clone(), progress)),
                None => drop(self.progress.remove(&key.1)),
            }
        }
        self.keep(key, value);
    }
    fn keep(&mut self, key: Key, value: Option<Bytes>) {
        let size = |key: &Key, value: &Bytes| key.1.len() + value.len();
        if let Some(old) = self.rows.get(&key) {
            self.bytes -= size(&key, old);
        }
        match value {
            Some(value) => {
                self.bytes += size(&key, &value);
                self.rows.insert(key, value);
            }
            None => drop(self.rows.remove(&key)),
        }
    }
    /// Merges a change of a group's progress; its floor now. `None`: there is no such group any more.
    pub(crate) fn settle(&mut self, key: &[u8], change: &Progress) -> Option<u64> {
        let progress = self.progress.get_mut(key)?;
        progress.merge(change);
        self.touched.insert(key.to_vec());
        Some(progress.floor)
    }
    pub(crate) fn progress(&self, key: &[u8]) -> Option<&Progress> {
        self.progress.get(key)
    }
    /// What changed since the last call, for one batch.
    pub(crate) fn take_changed(&mut self) -> Vec<(Key, Option<Bytes>)> {
        for key in std::mem::take(&mut self.touched) {
            if let Some(progress) = self.progress.get(&key) {
                let value = Bytes::from(progress.encode(&Needs::new()));
                let key = (table::PROGRESS, key);
                self.keep(key.clone(), Some(value.clone()));
                self.changed.insert(key, Some(value));
            }
        }
        std::mem::take(&mut self.changed).into_iter().collect()
    }
    /// The batch could not be written: what has not changed again since is offered again.
    pub(crate) fn put_back(&mut self, changed: Vec<(Key, Option<Bytes>)>) {
        for (key, value) in changed {
            self.changed.entry(key).or_insert(value);
        }
    }
    /// All rows there are.
    pub(crate) fn snapshot<T>(&self, with: impl FnOnce(Snapshot<'_>) -> T) -> T {
        with(Snapshot(self.rows.iter()))
    }
    /// Of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.rows.len() * crate::record::HEADER
    }
    pub(crate) fn get(&self, table: u32, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(&(table, key.to_vec()))
    }
    pub(crate) fn of(&self, table: u32) -> impl Iterator<Item = (&[u8], &Bytes)> {
        let range = (table, Vec::new())..(table + 1, Vec::new());
        self.rows.range(range).map(|(key, value)| (&*key.1, value))
    }
}

/// Rows as a batch wants them.
pub(crate) struct Snapshot<'a>(std::collections::btree_map::Iter<'a, Key, Bytes>);
impl<'a> Iterator for Snapshot<'a> {
    type Item = (&'a Key, Option<&'a Bytes>);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, Some(value)))
    }
}
