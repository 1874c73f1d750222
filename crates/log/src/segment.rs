//! One segment: the records of one partition that were moved out of the journal, byte for byte, and where to begin reading.
use crate::{
    disk::{Disk, DiskFile, Open, read_range, read_whole},
    frame::{self, Met},
    ids,
    le::{self, Salt},
    names,
};
use bytes::BufMut;
use std::{io, path::PathBuf};

/// Bytes before the first record.
pub(crate) const HEADER: u64 = 64;
/// Bytes between two entries of the index.
const STEP: u64 = 32 << 10;
const ENTRY: usize = 12;
/// So much of a segment is read at once to find its marks.
const WINDOW: u64 = 1 << 20;
/// Count, crc and magic at the end of a sealed segment.
const END: usize = 12;

/// What is known of a segment without opening it. The row of the table file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The lowest offset it may hold; its name.
    pub(crate) base: u64,
    /// Behind the last offset it explains.
    pub(crate) end: u64,
    /// Bytes of header and records; what lies behind them does not count.
    pub(crate) len: u64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    /// Messages, skips not counted.
    pub(crate) records: u64,
    /// Takes no more records; an index follows them.
    pub(crate) sealed: bool,
    /// While it grows: the same as the index of a sealed one will be.
    pub(crate) marks: Vec<Mark>,
}
/// Reading may begin here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) at: u64,
    pub(crate) time: i64,
}

impl Segment {
    pub(crate) fn new(base: u64) -> Self {
        Self {
            base,
            end: base,
            len: HEADER,
            first_time: i64::MAX,
            last_time: i64::MIN,
            records: 0,
            sealed: false,
            marks: Vec::new(),
        }
    }
    /// Bytes that so many records take if they are like the others, with a few to spare; and what lies between a mark and the first.
    pub(crate) fn likely(&self, records: u64, known: bool) -> u64 {
        let average = self.len.saturating_sub(HEADER) / (self.end - self.base).max(1) + 1;
        let before = if known { 0 } else { STEP };
        before + average.saturating_mul(records.saturating_add(records / 8 + 1))
    }
    /// All but the marks.
    pub(crate) fn clone_head(&self) -> Self {
        Self {
            marks: Vec::new(),
            ..*self
        }
    }
    /// Where the records at or above the floor begin, as far as its marks tell.
    pub(crate) fn start(&self, floor: u64) -> u64 {
        before(&self.marks, floor)
    }
    /// Where reading for an offset begins, if that is known without its index.
    pub(crate) fn known(&self, offset: u64) -> Option<u64> {
        let has = self.marks.first().is_some_and(|mark| mark.offset <= offset);
        let is_near = offset <= self.base || self.len <= HEADER + STEP;
        (has || is_near).then(|| self.start(offset))
    }
    /// Counts one more record.
    pub(crate) fn grow(&mut self, offset: u64, end: u64, time: i64, bytes: usize, records: u64) {
        if self.marks.last().is_none_or(|mark| mark.at + STEP <= self.len) {
            self.marks.push(Mark {
                offset,
                at: self.len,
                time,
            });
        }
        self.first_time = self.first_time.min(time);
        self.last_time = self.last_time.max(time);
        self.end = end;
        self.records += records;
        self.len += bytes as u64;
    }
    /// The marks, from the records; an error leaves them as they were.
    pub(crate) fn remark(&mut self, file: &dyn DiskFile, salt: Salt) -> io::Result<()> {
        let mut marks: Vec<Mark> = Vec::new();
        let (mut at, mut window) = (HEADER, WINDOW);
        while at < self.len {
            let want = (self.len - at).min(window);
            let bytes = read_range(file, at, want as usize)?;
            // A file that was cut ends early.
            let last = at + want == self.len || (bytes.len() as u64) < want;
            let consumed = frame::walk_part(&bytes, salt, last, |met| {
                if let Met::Record(behind, header, _) = met {
                    let at = at + behind as u64;
                    if marks.last().is_none_or(|mark| mark.at + STEP <= at) {
                        marks.push(Mark {
                            offset: header.offset,
                            at,
                            time: header.time,
                        });
                    }
                }
                true
            });
            if last {
                break;
            }
            at += consumed as u64;
            // One record larger than the window.
            window = if consumed == 0 { window * 2 } else { WINDOW };
        }
        self.marks = marks;
        Ok(())
    }
    /// Header of the file.
    pub(crate) fn header(&self, home: u32, stream: u32, salt: Salt) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        le::put(&mut bytes, 0, b"TGs1");
        le::put(&mut bytes, 4, &names::FORMAT.to_le_bytes());
        le::put(&mut bytes, 8, &home.to_le_bytes());
        le::put(&mut bytes, 12, &stream.to_le_bytes());
        le::put(&mut bytes, 16, &self.base.to_le_bytes());
        le::put(&mut bytes, 32, &salt.value.to_le_bytes());
        let crc = salt.crc(&bytes[..60]);
        le::put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }
    /// The index that ends a sealed segment.
    pub(crate) fn footer(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.marks.len() * ENTRY + END);
        for mark in &self.marks {
            out.put_u32_le((mark.offset - self.base) as u32);
            out.put_u32_le(mark.at as u32);
            // In milliseconds: four bytes reach 49 days, and a later time is only a worse guess.
            let delta = mark.time.saturating_sub(self.first_time) / 1_000;
            out.put_u32_le(u32::try_from(delta).unwrap_or(u32::MAX));
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(self.marks.len() as u32);
        out.put_u32_le(crc);
        out.put_slice(b"TGx1");
        out
    }
    /// The index that ends a sealed segment, or the one that it will have. A damaged index costs time, nothing else.
    pub(crate) fn index(&self, file: &dyn DiskFile, salt: Salt) -> io::Result<Vec<Mark>> {
        if self.sealed
            && let Some(marks) = self.load(file)?
        {
            return Ok(marks);
        }
        let mut whole = self.clone_head();
        whole.remark(file, salt)?;
        Ok(whole.marks)
    }
    fn load(&self, file: &dyn DiskFile) -> io::Result<Option<Vec<Mark>>> {
        let most = (self.len / STEP + 2) as usize * ENTRY + END;
        let bytes = read_range(file, self.len, most)?;
        Ok(self.parse(&bytes))
    }
    fn parse(&self, bytes: &[u8]) -> Option<Vec<Mark>> {
        let (entries, end) = bytes.split_at_checked(bytes.len().checked_sub(END)?)?;
        let sound = le::u32_at(end, 0)? as usize * ENTRY == entries.len()
            && le::u32_at(end, 4)? == crc32c::crc32c(entries)
            && end.get(8..)? == b"TGx1";
        let mark = |entry: &[u8]| {
            Some(Mark {
                offset: self.base + u64::from(le::u32_at(entry, 0)?),
                at: u64::from(le::u32_at(entry, 4)?).clamp(HEADER, self.len),
                time: self.first_time.saturating_add(i64::from(le::u32_at(entry, 8)?) * 1_000),
            })
        };
        sound.then(|| entries.chunks_exact(ENTRY).map_while(mark).collect())
    }

    /// Offsets and hashes of its message ids: by its list, else by reading it; and whether there is a list that does not check.
    pub(crate) fn ids(&self, disk: &dyn Disk, folder: &Folder, salt: Salt) -> io::Result<(Vec<(u64, u128)>, bool)> {
        let open = |path: &PathBuf| match disk.open(path, Open::Existing) {
            Ok(file) => read_whole(&*file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let list = open(&folder.ids(self.base))?;
        if let Some(ids) = list.as_ref().and_then(|list| ids::decode(list, self, salt)) {
            return Ok((ids, false));
        }
        let mut found = Vec::new();
        let bytes = open(&folder.segment(self.base))?.unwrap_or_default();
        let data = bytes.get(HEADER as usize..(self.len as usize).min(bytes.len())).unwrap_or_default();
        frame::walk(data, salt, |met| {
            if let Met::Record(_, header, body) = met
                && let Some(hash) = header.dedupe(body)
            {
                found.push((header.offset, hash));
            }
        });
        Ok((found, list.is_some()))
    }
    pub(crate) fn key(&self, home: u32) -> Vec<u8> {
        [&home.to_le_bytes()[..], &self.base.to_le_bytes()[..]].concat()
    }
    pub(crate) fn row(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        out.put_u64_le(self.end);
        out.put_u64_le(self.len);
        out.put_i64_le(self.first_time);
        out.put_i64_le(self.last_time);
        out.put_u64_le(u64::from(self.sealed));
        out.put_u64_le(self.records);
        out
    }
    /// Home and segment.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<(u32, Self)> {
        let base = le::u64_at(key, 4)?;
        let segment = Self {
            base,
            end: le::u64_at(value, 0)?,
            len: le::u64_at(value, 8)?,
            first_time: le::i64_at(value, 16)?,
            last_time: le::i64_at(value, 24)?,
            sealed: le::u64_at(value, 32)? != 0,
            records: le::u64_at(value, 40)?,
            marks: Vec::new(),
        };
        Some((le::u32_at(key, 0)?, segment))
    }
}
/// Where reading for an offset begins, by an index.
pub(crate) fn before(marks: &[Mark], offset: u64) -> u64 {
    let i = marks.partition_point(|mark| mark.offset <= offset);
    i.checked_sub(1).and_then(|i| marks.get(i)).map_or(HEADER, |mark| mark.at)
}
/// Home, stream and base, if these bytes begin a segment.
pub(crate) fn read_header(bytes: &[u8], salt: Salt) -> Option<(u32, u32, u64)> {
    let ours = bytes.get(..4)? == b"TGs1" && salt.seals(bytes, 60);
    ours.then_some((le::u32_at(bytes, 8)?, le::u32_at(bytes, 12)?, le::u64_at(bytes, 16)?))
}
/// The salt of a segment's header, for a lost marker.
pub(crate) fn salt_of(bytes: &[u8]) -> Option<u64> {
    let salt = le::u64_at(bytes, 32)?;
    read_header(bytes, Salt::new(salt)).map(|_| salt)
}
/// The files of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);
impl Folder {
    pub(crate) fn of(stream: &crate::stream::Stream, partition: u32) -> Self {
        Self(names::partition(&names::stream(stream.number(), stream.name()), partition))
    }
    pub(crate) fn segment(&self, base: u64) -> PathBuf {
        names::segment(&self.0, base)
    }
    pub(crate) fn ids(&self, base: u64) -> PathBuf {
        names::ids(&self.0, base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_goes_there_and_back_and_a_damaged_one_is_none() {
        let mut segment = Segment::new(100);
        for i in 0..100 {
            segment.grow(100 + i, 101 + i, 1_000_000 + i as i64 * 5_000, 4_096, 1);
        }
        segment.sealed = true;
        let footer = segment.footer();
        assert_eq!(segment.parse(&footer), Some(segment.marks.clone()));
        for at in 0..footer.len() {
            let mut bad = footer.clone();
            bad[at] ^= 1;
            assert_eq!(segment.parse(&bad), None, "byte {at}");
        }
        assert_eq!(
            Segment::decode(&segment.key(7), &segment.row()).map(|(home, s)| (home, s.end)),
            Some((7, 200))
        );
    }
}
