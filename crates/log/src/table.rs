//! The table file: rows in batches, each whole or nothing. A move appends one; when too much of it is dead it is written anew.
use crate::{
    catalog::Catalog,
    disk::{DiskFile, Open, read_whole},
    error::Error,
    frame::{self, Met},
    le::{self, Salt},
    names,
    record::{self, kind},
    shared::Shared,
    tables::{Key, Tables},
};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes before the first batch.
const HEADER: usize = 64;
/// The line that ends a batch.
const COMMIT: usize = 24;

type Rows = Vec<(Key, Option<Bytes>)>;

/// What the table files say.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) tables: Tables,
    /// The journal up to here is covered.
    pub(crate) seq: u64,
    /// A batch with a later one behind it does not check.
    pub(crate) damaged: bool,
    /// Something follows the last whole batch, or there is no whole one: what a crash left of a move, or damage.
    pub(crate) ragged: bool,
    pub(crate) writer: Writer,
}
/// Where the next batch goes.
#[derive(Default)]
pub(crate) struct Writer {
    /// `None`: the next batch begins a new file.
    file: Option<Arc<dyn DiskFile>>,
    number: u64,
    len: u64,
}
struct Parsed {
    number: u64,
    header: bool,
    batches: Vec<(Rows, u64)>,
    /// Rows that check, whole batch or not, in order.
    loose: Rows,
    damaged: bool,
    /// Behind the last whole batch.
    end: usize,
    len: usize,
}

/// Reads the newest file and, where it says nothing, the one before. `rescue`: every row that checks counts, for the slow path.
pub(crate) fn load(shared: &Shared, rescue: bool) -> Result<Loaded, Error> {
    let doing = || Error::disk("read the table file");
    let mut files = Vec::new();
    for path in shared.disk.list(&names::tables()).map_err(doing())? {
        if let Some(number) = names::number_of(&path, "t") {
            let file = shared.disk.open(&path, Open::Existing).map_err(doing())?;
            let bytes = read_whole(&*file).map_err(doing())?;
            let mut parsed = parse_bytes(&bytes, shared.salt);
            parsed.number = number;
            files.push((parsed, file));
        }
    }
    files.sort_by_key(|(file, _)| file.number);
    let mut loaded = Loaded::default();
    loaded.writer.number = files.last().map_or(0, |(file, _)| file.number);
    if rescue {
        for (file, _) in files {
            let rows = file.loose.into_iter();
            rows.for_each(|(key, value)| loaded.tables.load(key, value));
            loaded.seq = loaded.seq.max(file.batches.last().map_or(0, |(_, seq)| *seq));
        }
        return Ok(loaded);
    }
    let newest = files.last().map(|(file, _)| file.number);
    let Some((file, handle)) = files.into_iter().rev().find(|(file, _)| !file.batches.is_empty()) else {
        loaded.ragged = newest.is_some();
        return Ok(loaded);
    };
    loaded.ragged = file.end != file.len || Some(file.number) != newest;
    loaded.damaged = file.damaged || !file.header;
    for (rows, seq) in file.batches {
        for (key, value) in rows {
            loaded.tables.load(key, value);
        }
        loaded.seq = seq;
    }
    // What a crash left behind the last batch is not written over: a new file is begun.
    if Some(file.number) == newest && file.end == file.len && !loaded.damaged {
        loaded.writer.file = Some(handle);
        loaded.writer.len = file.len as u64;
    }
    Ok(loaded)
}
fn parse_bytes(bytes: &[u8], salt: Salt) -> Parsed {
    let mut parsed = Parsed {
        number: 0,
        header: bytes.get(..4) == Some(b"TGt1") && salt.seals(bytes, 60),
        batches: Vec::new(),
        loose: Vec::new(),
        damaged: false,
        end: HEADER,
        len: bytes.len(),
    };
    let mut at = HEADER;
    let mut from = HEADER;
    // Commit lines are 8-aligned as everything is; what lies between two of them is one batch.
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= COMMIT) {
        if let Some((rows, seq)) = commit_line(rest, salt) {
            let (batch, noise) = rows_of(bytes.get(from..at).unwrap_or_default(), salt);
            parsed.loose.extend(batch.iter().cloned());
            let start = from;
            at += COMMIT;
            from = at;
            if noise || batch.len() != rows as usize {
                // A later whole batch makes this damage; else it is a batch cut by a crash.
                continue;
            }
            parsed.damaged |= parsed.end != start;
            parsed.batches.push((batch, seq));
            parsed.end = at;
        } else if let Some(header) = record::Header::read(rest, salt) {
            at += header.stored();
        } else {
            at += 8;
        }
    }
    parsed.loose.extend(rows_of(bytes.get(from..).unwrap_or_default(), salt).0);
    parsed
}
fn commit_line(bytes: &[u8], salt: Salt) -> Option<(u32, u64)> {
    if bytes.get(..4)? != b"TGc1" || !salt.seals(bytes, 20) {
        return None;
    }
    Some((le::u32_at(bytes, 4)?, le::u64_at(bytes, 8)?))
}
fn rows_of(bytes: &[u8], salt: Salt) -> (Rows, bool) {
    let (mut rows, mut noise) = (Rows::new(), false);
    frame::walk(bytes, salt, |met| match met {
        Met::Record(_, header, body) if matches!(header.kind, kind::PUT | kind::DELETE) => {
            if let Some((key, value)) = header.row(body) {
                let value = (header.kind == kind::PUT).then_some(value);
                rows.push(Catalog::row_of(header.home, key, value));
            }
        }
        Met::Record(..) => {}
        Met::Damaged(_) | Met::Noise => noise = true,
    });
    (rows, noise)
}

impl Writer {
    /// Writes what changed and the sequence that is now covered, and syncs. After an error the file is given up: the next call begins
    /// a new one. The changes must then be offered again.
    pub(crate) fn append(&mut self, shared: &Shared, changed: &Rows, seq: u64) -> Result<(), Error> {
        let live = shared.catalog.tables().bytes() as u64;
        let dead = self.len.saturating_sub(live);
        let wasted = dead > live && dead > shared.limits.internal.table_waste;
        let written = match self.file.clone().filter(|_| !wasted) {
            Some(file) => {
                let batch = batch(changed.iter().map(|(key, value)| (key, value.as_ref())), seq, shared.salt);
                let written = file.write_at(&batch, self.len).and_then(|()| shared.sync_file(&*file));
                self.len += batch.len() as u64;
                written
            }
            None => self.renew(shared, seq),
        };
        written.map_err(|error| {
            self.file = None;
            Error::disk("write the table file")(error)
        })
    }
    /// Whether what was found in the file is on the disk; if not, or if nothing more is written to it, the next batch begins a new one.
    pub(crate) fn sync(&mut self, shared: &Shared) -> bool {
        self.file = self.file.take().filter(|file| shared.sync_new(&**file).is_ok());
        self.file.is_some()
    }
    /// Everything into a new file; the one before stays as a fallback.
    fn renew(&mut self, shared: &Shared, seq: u64) -> std::io::Result<()> {
        self.number += 1;
        let path = names::table_file(self.number);
        let mut bytes = vec![0; HEADER];
        le::put(&mut bytes, 0, b"TGt1");
        le::put(&mut bytes, 4, &names::FORMAT.to_le_bytes());
        le::put(&mut bytes, 32, &shared.salt.value.to_le_bytes());
        let crc = shared.salt.crc(bytes.get(..60).unwrap_or_default());
        le::put(&mut bytes, 60, &crc.to_le_bytes());
        bytes.extend(shared.catalog.tables().snapshot(|rows| batch(rows, seq, shared.salt)));
        let file = shared.disk.open(&path, Open::New)?;
        if let Err(error) = file.write_at(&bytes, 0) {
            // Half of it would only take room.
            drop(file);
            shared.disk.remove(&path)?;
            return Err(error);
        }
        shared.sync_file(&*file)?;
        shared.sync_dirs(&path)?;
        (self.file, self.len) = (Some(file), bytes.len() as u64);
        for old in shared.disk.list(&names::tables())? {
            if names::number_of(&old, "t").is_some_and(|number| number + 1 < self.number) {
                shared.disk.remove(&old)?;
            }
        }
        shared.disk.sync_dir(&names::tables())?;
        Ok(())
    }
}
fn batch<'a>(rows: impl Iterator<Item = (&'a Key, Option<&'a Bytes>)>, seq: u64, salt: Salt) -> Vec<u8> {
    let mut out = Vec::new();
    let mut count: u32 = 0;
    for ((table, key), value) in rows {
        // Rows of streams are written twice here too: nothing else says what a stream was asked to be.
        let times = if matches!(*table, names::table::STREAMS | names::table::COUNTERS | names::table::GROUPS) {
            2
        } else {
            1
        };
        let mut row = record::encode_row(key, value.map(|value| &**value));
        record::stamp(&mut row, *table, 0, 0, salt);
        for _ in 0..times {
            out.extend_from_slice(&row);
            count += 1;
        }
    }
    let at = out.len();
    out.extend_from_slice(&[0; COMMIT]);
    let Some(line) = out.get_mut(at..) else {
        return out;
    };
    le::put(line, 0, b"TGc1");
    le::put(line, 4, &count.to_le_bytes());
    le::put(line, 8, &seq.to_le_bytes());
    let crc = salt.crc(line.get(..20).unwrap_or_default());
    le::put(line, 20, &crc.to_le_bytes());
    out
}
/// The salt of a table file's header, for a lost marker.
pub(crate) fn salt_of(bytes: &[u8]) -> Option<u64> {
    let salt = le::u64_at(bytes, 32)?;
    (bytes.get(..4)? == b"TGt1" && Salt::new(salt).seals(bytes, 60)).then_some(salt)
}
/// Any bytes as a table file.
pub(crate) fn fuzz(bytes: &[u8], salt: Salt) {
    let parsed = parse_bytes(bytes, salt);
    assert!(parsed.end <= bytes.len().max(HEADER));
}
