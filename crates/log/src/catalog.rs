//! Which streams there are. Every change is written as rows before it holds.
use crate::{
    error::Error,
    intake::Change,
    le,
    names::{FIRST_PARTITION, table},
    record::encode_row,
    stream::{PARTITIONS_MOST, Row, Stream, StreamSpec},
    tables::Tables,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Key of the row with the next free numbers.
const NEXT: &[u8] = b"next";
/// Key of the row with the sequence of state records.
pub(crate) const STATE: &[u8] = b"state";

/// The streams by name and number, and all rows.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    streams: RwLock<Streams>,
    tables: Mutex<Tables>,
    /// Streams were deleted, or a start may have left something: folders without a row may be there.
    unswept: AtomicBool,
    /// One change at a time: looked at, written, applied.
    pub(crate) changing: tokio::sync::Mutex<()>,
}
#[derive(Debug, Default)]
struct Streams {
    names: BTreeMap<String, Arc<Stream>>,
    numbers: HashMap<u32, Arc<Stream>>,
    /// By first home.
    homes: BTreeMap<u32, Arc<Stream>>,
    next_stream: u32,
    next_home: u32,
}
impl Catalog {
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).names.get(name).cloned()
    }
    pub(crate) fn by_number(&self, number: u32) -> Option<Arc<Stream>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .numbers
            .get(&number)
            .cloned()
    }
    /// The stream of a home, and which of its partitions that is.
    pub(crate) fn by_home(&self, home: u32) -> Option<(Arc<Stream>, u32)> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let (first, stream) = streams.homes.range(..=home).next_back()?;
        let partition = home - first;
        (partition < stream.partitions()).then(|| (stream.clone(), partition))
    }
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .names
            .values()
            .cloned()
            .collect()
    }
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The row of a stream to be created. Call it while holding `changing`.
    pub(crate) fn plan(&self, name: &str, spec: StreamSpec, created: i64) -> Result<Row, Error> {
        check(name, &spec)?;
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        if streams.names.contains_key(name) {
            return Err(Error::StreamExists(name.to_owned()));
        }
        let first_home = streams.next_home.max(FIRST_PARTITION);
        first_home.checked_add(spec.partitions).ok_or(Error::Partitions)?;
        Ok(Row {
            number: streams.next_stream.max(1),
            name: name.into(),
            created,
            first_home,
            spec,
        })
    }
    /// The rows a change consists of. Written twice: one flipped byte must not cost a stream.
    pub(crate) fn rows(change: &Change) -> Vec<(u32, Vec<u8>)> {
        let mut rows = Vec::new();
        if let Change::Purge(stream, range, _) = change {
            for partition in range.clone().filter_map(|number| stream.partition(number)) {
                let floor = partition.next.load(Relaxed).to_le_bytes();
                rows.push((table::FLOORS, encode_row(&partition.home.to_le_bytes(), Some(&floor))));
            }
            return rows;
        }
        for _ in 0..2 {
            match change {
                Change::Create(row) => {
                    let mut next = (row.number + 1).to_le_bytes().to_vec();
                    next.extend_from_slice(&(row.first_home + row.spec.partitions).to_le_bytes());
                    rows.push((table::STREAMS, encode_row(&row.key(), Some(&row.encode()))));
                    rows.push((table::COUNTERS, encode_row(NEXT, Some(&next))));
                }
                Change::Alter(_, row) => rows.push((table::STREAMS, encode_row(&row.key(), Some(&row.encode())))),
                Change::Delete(stream) => rows.push((table::STREAMS, encode_row(&stream.row().key(), None))),
                Change::Purge(..) => {}
            }
        }
        rows
    }
    /// After the rows were synced: the change holds.
    pub(crate) fn apply(&self, change: Change) {
        match change {
            Change::Create(row) => self.add(Arc::new(Stream::new(&row))),
            Change::Alter(stream, row) => stream.set_spec(row.spec),
            Change::Delete(stream) => {
                let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
                streams.names.remove(stream.name());
                streams.numbers.remove(&stream.number());
                streams.homes.retain(|_, other| !Arc::ptr_eq(other, &stream));
                drop(streams);
                stream.delete();
                self.unsweep();
            }
            Change::Purge(stream, range, purged) => {
                for partition in range.filter_map(|number| stream.partition(number)) {
                    if let Some(floor) = self.floor(partition.home) {
                        purged.fetch_add(partition.places().raise(floor), Relaxed);
                    }
                }
            }
        }
    }
    /// Whether there may be something to sweep; asked once.
    pub(crate) fn swept(&self) -> bool {
        self.unswept.swap(false, Relaxed)
    }
    pub(crate) fn unsweep(&self) {
        self.unswept.store(true, Relaxed);
    }
    /// What the next batch of the table file has to say.
    pub(crate) fn changed_rows(&self) -> Vec<(crate::tables::Key, Option<Bytes>)> {
        let mut tables = self.tables();
        let seq = tables.seq.to_le_bytes().to_vec();
        tables.set((table::COUNTERS, STATE.to_vec()), Some(seq.into()));
        tables.take_changed()
    }
    /// Below which all was purged.
    pub(crate) fn floor(&self, home: u32) -> Option<u64> {
        le::u64_at(self.tables().get(table::FLOORS, &home.to_le_bytes())?, 0)
    }
    fn add(&self, stream: Arc<Stream>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let last = stream.homes.last().map_or(0, |p| p.home);
        streams.next_stream = streams.next_stream.max(stream.number() + 1);
        streams.next_home = streams.next_home.max(last + 1);
        streams.numbers.insert(stream.number(), stream.clone());
        if let Some(first) = stream.homes.first() {
            streams.homes.insert(first.home, stream.clone());
        }
        streams.names.insert(stream.name().to_owned(), stream);
    }
    /// After recovery: the rows become streams.
    pub(crate) fn load(&self, tables: Tables) {
        if let Some(next) = tables.get(table::COUNTERS, NEXT) {
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            streams.next_stream = le::u32_at(next, 0).unwrap_or(0);
            streams.next_home = le::u32_at(next, 4).unwrap_or(0);
        }
        tables
            .of(table::STREAMS)
            .filter_map(|(key, value)| Row::decode(key, value))
            .for_each(|row| self.add(Arc::new(Stream::new(&row))));
        *self.tables() = tables;
    }
    /// Numbers below this are not given any more; the row that says so.
    pub(crate) fn advance(&self, least: u32) -> Vec<u8> {
        let next = {
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            streams.next_stream = streams.next_stream.max(least);
            streams.next_home = streams.next_home.max(least);
            [streams.next_stream.to_le_bytes(), streams.next_home.to_le_bytes()].concat()
        };
        let row = encode_row(NEXT, Some(&next));
        self.tables().set((table::COUNTERS, NEXT.to_vec()), Some(next.into()));
        row
    }
    /// A row read back from its record.
    pub(crate) fn row_of(home: u32, key: &[u8], value: Option<&[u8]>) -> ((u32, Vec<u8>), Option<Bytes>) {
        ((home, key.to_vec()), value.map(Bytes::copy_from_slice))
    }
}
fn check(name: &str, spec: &StreamSpec) -> Result<(), Error> {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::Name);
    }
    if !(1..=PARTITIONS_MOST).contains(&spec.partitions) {
        return Err(Error::Partitions);
    }
    Ok(())
}
