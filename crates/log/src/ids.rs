//! The list of message ids beside a segment: one entry per offset, each with its own checksum, so that it can grow and never be believed
//! where it is damaged. Who finds no sound list reads the records.
use crate::{
    le::{self, Salt},
    segment::Segment,
};

/// Bytes of one entry: the hash, or zeros for none, and the checksum.
pub(crate) const ENTRY: usize = 20;

/// The entries of offsets from `first` up to `end`; those not named have no id.
pub(crate) fn encode(first: u64, end: u64, ids: &[(u64, u128)], salt: Salt) -> Vec<u8> {
    let mut bytes = vec![0; (end - first) as usize * ENTRY];
    for (offset, hash) in ids.iter().filter(|(offset, _)| (first..end).contains(offset)) {
        le::put(&mut bytes, (offset - first) as usize * ENTRY, &hash.to_le_bytes());
    }
    for (entry, offset) in bytes.chunks_exact_mut(ENTRY).zip(first..) {
        let crc = crc(offset, entry, salt);
        le::put(entry, 16, &crc.to_le_bytes());
    }
    bytes
}
/// Offsets and hashes of a whole segment; `None`: the list is cut, or an entry does not check.
pub(crate) fn decode(bytes: &[u8], segment: &Segment, salt: Salt) -> Option<Vec<(u64, u128)>> {
    let count = usize::try_from(segment.end - segment.base).ok()?;
    let entries = bytes.get(..count.checked_mul(ENTRY)?)?.chunks_exact(ENTRY);
    let mut ids = Vec::new();
    for (entry, offset) in entries.zip(segment.base..) {
        if le::u32_at(entry, 16)? != crc(offset, entry, salt) {
            return None;
        }
        let hash = u128::from_le_bytes(*entry.first_chunk()?);
        ids.extend((hash != 0).then_some((offset, hash)));
    }
    Some(ids)
}
/// The offset belongs to it: an entry at the wrong place is no entry.
fn crc(offset: u64, entry: &[u8], salt: Salt) -> u32 {
    crc32c::crc32c_append(salt.crc(&offset.to_le_bytes()), entry.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_no_list() {
        let salt = Salt::new(5);
        let mut segment = Segment::new(100);
        segment.end = 104;
        let ids = [(100, 7), (103, u128::MAX)];
        let whole = encode(100, 104, &ids, salt);
        assert_eq!(decode(&whole, &segment, salt), Some(ids.to_vec()));
        let halves = [encode(100, 102, &ids, salt), encode(102, 104, &ids, salt)].concat();
        assert_eq!(halves, whole);
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            assert_eq!(decode(&bad, &segment, salt), None, "byte {at}");
            assert_eq!(decode(&whole[..at], &segment, salt), None, "cut at {at}");
        }
        // Zeros are no entry without an id: a disk may have lost it.
        assert_eq!(decode(&vec![0; whole.len()], &segment, salt), None);
        segment.base = 99;
        segment.end = 103;
        assert_eq!(decode(&whole, &segment, salt), None);
    }
}
