//! The slow path: the table file is damaged, so segments are read to find out what they hold.
use crate::{
    disk::{Open, read_whole},
    error::Error,
    frame::{self, Met},
    mover::partition_row,
    names::{
        self,
        table::{PARTITIONS, SEGMENTS, STREAMS},
    },
    record::{self, kind},
    recover::{Home, Recovered},
    segment::{self, Segment},
    shared::Shared,
    stream::{Row, StreamSpec},
};
use std::path::{Path, PathBuf};

/// Joins what the segments hold with what the journal gave. All rows are offered to the next move, which begins a new table file.
pub(crate) fn rebuild(shared: &Shared, out: &mut Recovered) -> Result<(), Error> {
    let list = |dir: &Path| shared.disk.list(dir).map_err(Error::disk("list the streams"));
    for folder in list(&names::streams())? {
        let Some(number) = names::stream_number(&folder) else {
            continue;
        };
        let mut partitions = Vec::new();
        for path in list(&folder)? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_prefix('p'));
            if let Some(partition) = name.and_then(|name| name.parse::<u32>().ok()) {
                partitions.push((partition, path));
            }
        }
        let known = out
            .tables
            .get(STREAMS, &number.to_le_bytes())
            .and_then(|row| Row::decode(&number.to_le_bytes(), row));
        let Some(row) = known.or(invent(shared, number, &folder, &partitions)?) else {
            continue;
        };
        out.tables.set((STREAMS, row.key().to_vec()), Some(row.encode().into()));
        for (partition, path) in partitions.into_iter().filter(|(p, _)| *p < row.spec.partitions) {
            let number = row.first_home + partition;
            let home = out.homes.entry(number).or_default();
            join(shared, number, home, &path)?;
        }
    }
    for (number, home) in &out.homes {
        let row = partition_row(home.moved_to, home.floor, home.last_time);
        out.tables.set((PARTITIONS, number.to_le_bytes().to_vec()), Some(row.into()));
        for segment in &home.segments {
            out.tables.set((SEGMENTS, segment.key(*number)), Some(segment.row().into()));
        }
    }
    Ok(())
}
/// A stream whose row is lost: its folder and the headers of its segments say the least there is to know.
fn invent(shared: &Shared, number: u32, folder: &Path, partitions: &[(u32, PathBuf)]) -> Result<Option<Row>, Error> {
    let escaped = folder
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split_once('-'));
    let Some(name) = escaped.map(|(_, name)| unescape(name)).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    for (partition, path) in partitions {
        for path in shared.disk.list(path).map_err(Error::disk("list a partition"))? {
            let head = shared
                .disk
                .open(&path, Open::Existing)
                .and_then(|file| crate::disk::read_range(&*file, 0, segment::HEADER as usize));
            let header = segment::read_header(&head.unwrap_or_default(), shared.salt);
            let Some(first_home) = header
                .filter(|(_, of, _)| *of == number)
                .and_then(|(home, ..)| home.checked_sub(*partition))
            else {
                continue;
            };
            let count = partitions.iter().map(|(partition, _)| partition + 1).max().unwrap_or(1);
            return Ok(Some(Row {
                number,
                name: name.as_str().into(),
                created: 0,
                first_home,
                spec: StreamSpec {
                    partitions: count,
                    ..StreamSpec::default()
                },
            }));
        }
    }
    Ok(None)
}
fn unescape(name: &str) -> String {
    let mut out = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            out.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
/// Everything below the journal's first record comes from segments, as far as it is there.
fn join(shared: &Shared, number: u32, home: &mut Home, folder: &Path) -> Result<(), Error> {
    let first_run = home.runs.first().map(|run| run.first);
    let first_skip = home.skips.first().map(|skip| skip.from);
    let journal = [first_run, first_skip].into_iter().flatten().min();
    let mut bases: Vec<u64> = shared
        .disk
        .list(folder)
        .map_err(Error::disk("list a partition"))?
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "s"))
        .filter_map(|path| names::base_of(path))
        .collect();
    bases.sort_unstable();
    let mut segments = Vec::new();
    for (i, base) in bases.iter().enumerate() {
        let path = names::segment(folder, *base);
        let file = shared.disk.open(&path, Open::Existing).map_err(Error::disk("open a segment"))?;
        let bytes = read_whole(&*file).map_err(Error::disk("read a segment"))?;
        let mut segment = Segment::new(*base);
        let data = bytes.get(segment::HEADER as usize..).unwrap_or_default();
        frame::walk(data, shared.salt, |met| {
            let Met::Record(at, header, body) = met else {
                return;
            };
            let count = match header.kind {
                kind::MESSAGE => 1,
                kind::SKIP => record::Header::skip(body).map_or(1, |(count, _)| count),
                _ => return,
            };
            let end = header.offset.saturating_add(count);
            let fits = header.home == number && end > segment.end.max(*base) && journal.is_none_or(|first| header.offset < first);
            if fits {
                segment.len = segment::HEADER + at as u64;
                segment.grow(
                    header.offset,
                    end,
                    header.time,
                    header.stored(),
                    u64::from(header.kind == kind::MESSAGE),
                );
                home.last_time = home.last_time.max(header.time);
            }
        });
        if segment.len > segment::HEADER {
            segment.sealed = i + 1 < bases.len();
            segments.push(segment);
        }
    }
    let end = segments.last().map_or(home.moved_to, |segment| segment.end);
    home.moved_to = journal.unwrap_or(end).max(home.moved_to);
    home.next = home.next.max(home.moved_to).max(end);
    home.floor = home.floor.max(segments.first().map_or(0, |segment| segment.base)).min(home.next);
    // The next move appends behind the last of these.
    home.segments = segments;
    Ok(())
}
