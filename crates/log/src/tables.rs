//! Rows in memory: a map from table and key to a value, changed by records of the journal, written out by moves.
use bytes::Bytes;
use std::collections::BTreeMap;

/// Table and key.
pub(crate) type Key = (u32, Vec<u8>);

/// Every row there is, and which ones the table file does not have yet.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    rows: BTreeMap<Key, Bytes>,
    /// Changed since the last move; `None` was deleted.
    changed: BTreeMap<Key, Option<Bytes>>,
    bytes: usize,
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
    /// What changed since the last call, for one batch.
    pub(crate) fn take_changed(&mut self) -> Vec<(Key, Option<Bytes>)> {
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
