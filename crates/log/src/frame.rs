//! One frame: what the commit thread writes and syncs at once. Finds frames and single records again behind damage.
use crate::{
    le::{self, Salt},
    record,
};

/// Bytes before the records.
pub(crate) const HEADER: usize = 32;

/// Bits of a frame.
pub(crate) mod flag {
    /// Written after a silence: what lies before it is whole, so later damage there is no torn end.
    pub(crate) const SEAL: u32 = 1;
    /// The first frame after a recovery: what did not check before it was a torn end.
    pub(crate) const RECOVERED: u32 = 2;
}

/// The 32 bytes, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Bytes of the records behind it.
    pub(crate) bytes: usize,
    pub(crate) seq: u64,
    pub(crate) records: u32,
    pub(crate) flags: u32,
}
impl Header {
    pub(crate) fn read(bytes: &[u8], salt: Salt) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        if bytes.get(..4)? != b"TGf1" || !salt.seals(bytes, 28) {
            return None;
        }
        Some(Self {
            bytes: le::u32_at(bytes, 4)? as usize,
            seq: le::u64_at(bytes, 8)?,
            records: le::u32_at(bytes, 16)?,
            flags: le::u32_at(bytes, 20)?,
        })
    }
    /// Whether the header of this frame was here and does not check any more: one flipped byte leaves the magic or the number as it was.
    pub(crate) fn was(bytes: &[u8], seq: u64, salt: Salt) -> bool {
        let named = bytes.get(..4) == Some(b"TGf1") || le::u64_at(bytes, 8) == Some(seq);
        named && Self::read(bytes, salt).is_none()
    }
    /// Fills in the first 32 bytes of `frame`, which ends with its last record.
    pub(crate) fn write(frame: &mut [u8], seq: u64, records: u32, flags: u32, salt: Salt) {
        let bytes = frame.len().saturating_sub(HEADER) as u32;
        le::put(frame, 0, b"TGf1");
        le::put(frame, 4, &bytes.to_le_bytes());
        le::put(frame, 8, &seq.to_le_bytes());
        le::put(frame, 16, &records.to_le_bytes());
        le::put(frame, 20, &flags.to_le_bytes());
        le::put(frame, 24, &[0; 4]);
        let crc = salt.crc(frame.get(..28).unwrap_or_default());
        le::put(frame, 28, &crc.to_le_bytes());
    }
}

/// What a walk over records met.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Met<'a> {
    /// Both checksums match; the place is counted from the start of the slice.
    Record(usize, record::Header, &'a [u8]),
    /// The header is sound, the body is not.
    Damaged(record::Header),
    /// Nothing begins here; the walk went on eight bytes further. Told once per stretch.
    Noise,
}

/// Walks over `bytes`, 8 bytes at least per step: records in order, resynchronised behind damage. Frame headers are passed over.
pub(crate) fn walk<'a>(bytes: &'a [u8], salt: Salt, mut met: impl FnMut(Met<'a>)) {
    walk_part(bytes, salt, true, |one| {
        met(one);
        true
    });
}
/// The same until `met` has enough or, if more bytes follow these (not `last`), up to the first record that is not all there. Where it
/// stopped: behind the last record met.
pub(crate) fn walk_part<'a>(bytes: &'a [u8], salt: Salt, last: bool, mut met: impl FnMut(Met<'a>) -> bool) -> usize {
    let mut at = 0;
    let mut noise = false;
    let mut more = true;
    while more && let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        if !last && rest.len() < record::HEADER {
            return at;
        }
        if let Some(header) = record::Header::read(rest, salt) {
            noise = false;
            if !last && header.stored() > rest.len() {
                return at;
            }
            if let Some(body) = header.body(rest, salt) {
                more = met(Met::Record(at, header, body));
                at += header.stored();
            } else {
                more = met(Met::Damaged(header));
                // The length is sound, but the body may have been cut: what follows it here may be inside it.
                at += if header.stored() <= rest.len() { header.stored() } else { 8 };
            }
        } else if Header::read(rest, salt).is_some() {
            noise = false;
            at += HEADER;
        } else {
            if !noise {
                more = met(Met::Noise);
            }
            noise = true;
            at += 8;
        }
    }
    if last && more && !noise && bytes.get(at..).is_some_and(|rest| !rest.is_empty()) {
        met(Met::Noise);
    }
    at
}

/// The first frame at or behind `from` whose sequence is in the range.
pub(crate) fn find(bytes: &[u8], from: usize, seqs: std::ops::Range<u64>, salt: Salt) -> Option<(usize, Header)> {
    let mut at = from;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        if rest.starts_with(b"TGf1")
            && let Some(header) = Header::read(rest, salt)
            && seqs.contains(&header.seq)
        {
            return Some((at, header));
        }
        at += 8;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{encode_row, stamp};

    const SALT: Salt = Salt { value: 5, blind: false };

    fn frame(seq: u64, rows: u32) -> Vec<u8> {
        let mut frame = vec![0; HEADER];
        for i in 0..rows {
            let mut row = encode_row(b"key", Some(&[i as u8; 20]));
            stamp(&mut row, 1, u64::from(i), 0, SALT);
            frame.extend_from_slice(&row);
        }
        Header::write(&mut frame, seq, rows, 0, SALT);
        frame
    }
    fn offsets(bytes: &[u8]) -> (Vec<u64>, usize) {
        let (mut found, mut bad) = (Vec::new(), 0);
        walk(bytes, SALT, |met| match met {
            Met::Record(_, header, _) => found.push(header.offset),
            Met::Damaged(_) | Met::Noise => bad += 1,
        });
        (found, bad)
    }

    #[test]
    fn a_walk_meets_every_record_once() {
        assert_eq!(offsets(&frame(1, 4)), (vec![0, 1, 2, 3], 0));
    }
    #[test]
    fn one_flipped_byte_costs_one_record() {
        let whole = frame(1, 4);
        for at in HEADER..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            assert!(offsets(&bad).0.len() >= 3, "byte {at}");
        }
    }
    #[test]
    fn a_later_frame_is_found_behind_noise() {
        let mut bytes = frame(1, 2);
        let first = bytes.len();
        bytes.extend(frame(9, 1));
        bytes[3] = 0;
        assert_eq!(find(&bytes, 0, 1..100, SALT).map(|(at, h)| (at, h.seq)), Some((first, 9)));
        assert!(find(&bytes, 0, 1..9, SALT).is_none());
    }
}
