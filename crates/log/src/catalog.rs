//! Which streams and groups there are. Every change is written as rows before it holds.
use crate::{
    error::Error,
    group::{self, Group, GroupSpec},
    intake::Change,
    le,
    names::{FIRST_PARTITION, table},
    progress::{Needs, Progress},
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
    /// By stream and name.
    groups: BTreeMap<(u32, String), Arc<Group>>,
    next_stream: u32,
    next_home: u32,
    next_group: u32,
}
impl Streams {
    /// The row with the next free numbers.
    fn next(&self) -> Vec<u8> {
        [self.next_stream, self.next_home, self.next_group].map(u32::to_le_bytes).concat()
    }
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
    pub(crate) fn group(&self, stream: &Stream, name: &str) -> Option<Arc<Group>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.groups.get(&(stream.number(), name.to_owned())).cloned()
    }
    pub(crate) fn groups(&self, stream: &Stream) -> Vec<Arc<Group>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let of = (stream.number(), String::new())..(stream.number() + 1, String::new());
        streams.groups.range(of).map(|(_, group)| group.clone()).collect()
    }
    /// The row of a group to be made. Call it while holding `changing`.
    pub(crate) fn plan_group(&self, stream: &Stream, name: &str, spec: GroupSpec, created: i64) -> Result<group::Row, Error> {
        let long = |text: &str| text.is_empty() || text.len() > 1_024 || text.chars().any(char::is_control);
        if long(name) || spec.dead_letters.as_deref().is_some_and(long) {
            return Err(Error::Name);
        }
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        Ok(group::Row {
            number: streams.next_group.max(1),
            stream: stream.number(),
            created,
            spec,
            name: name.to_owned(),
        })
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
    pub(crate) fn rows(&self, change: &Change) -> Vec<(u32, Vec<u8>)> {
        let mut rows = Vec::new();
        let numbers = |stream: u32, home: u32, group: u32| {
            let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
            let next = Streams {
                next_stream: streams.next_stream.max(stream),
                next_home: streams.next_home.max(home),
                next_group: streams.next_group.max(group),
                ..Streams::default()
            };
            (table::COUNTERS, encode_row(NEXT, Some(&next.next())))
        };
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
                    rows.push((table::STREAMS, encode_row(&row.key(), Some(&row.encode()))));
                    rows.push(numbers(row.number + 1, row.first_home + row.spec.partitions, 0));
                }
                Change::Group(row, starts) => {
                    rows.push((table::GROUPS, encode_row(&row.key(), Some(&row.encode()))));
                    if !starts.is_empty() {
                        rows.push(numbers(0, 0, row.number + 1));
                    }
                    for (partition, start) in starts.iter().enumerate() {
                        let begun = Progress::starting(*start).encode(&Needs::new());
                        let key = group::key(row.number, partition as u32);
                        rows.push((table::PROGRESS, encode_row(&key, Some(&begun))));
                    }
                }
                Change::DeleteGroup(group) => {
                    rows.push((table::GROUPS, encode_row(&group.row().key(), None)));
                    for partition in 0..group.stream().partitions() {
                        rows.push((table::PROGRESS, encode_row(&group::key(group.number, partition), None)));
                    }
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
            Change::Group(row, _) => self.add_group(row),
            Change::DeleteGroup(group) => {
                let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
                streams.groups.remove(&(group.stream().number(), group.name().to_owned()));
                drop(streams);
                group.delete();
            }
            Change::Delete(stream) => {
                let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
                streams.names.remove(stream.name());
                streams.numbers.remove(&stream.number());
                streams.homes.retain(|_, other| !Arc::ptr_eq(other, &stream));
                let gone: Vec<_> = streams.groups.extract_if(.., |(of, _), _| *of == stream.number()).collect();
                drop(streams);
                stream.delete();
                for (_, group) in gone {
                    group.delete();
                }
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
            streams.next_group = le::u32_at(next, 8).unwrap_or(0);
        }
        let groups: Vec<_> = tables
            .of(table::GROUPS)
            .filter_map(|(key, value)| group::Row::decode(key, value))
            .collect();
        tables
            .of(table::STREAMS)
            .filter_map(|(key, value)| Row::decode(key, value))
            .for_each(|row| self.add(Arc::new(Stream::new(&row))));
        *self.tables() = tables;
        // Those whose stream is gone are swept.
        for row in groups {
            self.add_group(row);
        }
    }
    /// A new group, or new settings of one.
    fn add_group(&self, row: group::Row) {
        let Some(stream) = self.by_number(row.stream) else {
            return;
        };
        if let Some(known) = self.group(&stream, &row.name).filter(|known| known.number == row.number) {
            known.set_spec(row.spec);
            return;
        }
        let progress = {
            let tables = self.tables();
            // What is not known of a partition begins with its first record: nothing is lost.
            let of = |partition| tables.progress(&group::key(row.number, partition)).cloned().unwrap_or_default();
            (0..stream.partitions()).map(of).collect()
        };
        let group = Arc::new(Group::new(&row, stream, progress));
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.next_group = streams.next_group.max(row.number + 1);
        streams.groups.insert((row.stream, row.name), group);
    }
    /// Numbers below this are not given any more; the row that says so.
    pub(crate) fn advance(&self, least: u32) -> Vec<u8> {
        let next = {
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            streams.next_stream = streams.next_stream.max(least);
            streams.next_home = streams.next_home.max(least);
            streams.next_group = streams.next_group.max(least);
            streams.next()
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
