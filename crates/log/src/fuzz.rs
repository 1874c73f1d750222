//! Entry points for a fuzzer: any bytes, no panic, nothing allocated from unchecked lengths.
use crate::{
    frame::{self, Met},
    journal,
    le::Salt,
    record::{Header, kind},
    segment, table,
};
use bytes::Bytes;
use tidegate_core::topic::Topic;

/// Bytes as one record, with and without a matching checksum.
pub fn record(bytes: &[u8]) {
    for blind in [false, true] {
        let salt = Salt { value: 0, blind };
        let Some(header) = Header::read(bytes, salt) else {
            continue;
        };
        let Some(body) = header.body(bytes, salt) else {
            continue;
        };
        let record = Bytes::copy_from_slice(bytes);
        let message = header.message(&record, &Topic::from_static("own"));
        assert!(message.is_none_or(|message| message.size() <= bytes.len() + 3));
        let _row = header.row(body);
        let _hash = header.dedupe(body);
        if header.kind == kind::SKIP {
            let _skip = Header::skip(body);
        }
    }
}
/// Bytes as a stretch of the journal, of a segment and of the table file.
pub fn frame(bytes: &[u8]) {
    for blind in [false, true] {
        let salt = Salt { value: 0, blind };
        let mut end = 0;
        frame::walk(bytes, salt, |met| {
            if let Met::Record(at, header, body) = met {
                assert!(at >= end && body.len() == header.body, "forward only");
                end = at + header.body;
            }
        });
        assert!(end <= bytes.len());
        let stopped = frame::walk_part(bytes, salt, false, |_| true);
        assert!(stopped <= bytes.len() + 8);
        let _found = frame::find(bytes, 0, 0..u64::MAX, salt);
        let _header = journal::Header::read(bytes);
        let _segment = segment::read_header(bytes, salt);
        table::fuzz(bytes, salt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{encode_row, encode_skip, stamp};

    /// Whole records and frames, and what hostile hands make of them.
    fn corpus() -> Vec<Vec<u8>> {
        let salt = Salt::new(0);
        let mut row = encode_row(b"key", Some(b"value"));
        stamp(&mut row, 1, 1, 1, salt);
        let mut skip = encode_skip(u64::MAX, crate::record::Missing::Damaged);
        stamp(&mut skip, 16, u64::MAX, i64::MIN, salt);
        let mut message = row.clone();
        message[3] = 1;
        let mut whole = vec![0; frame::HEADER];
        whole.extend_from_slice(&row);
        whole.extend_from_slice(&skip);
        frame::Header::write(&mut whole, u64::MAX, u32::MAX, u32::MAX, salt);
        let mut all = vec![
            Vec::new(),
            b"TGr".to_vec(),
            row,
            skip,
            message,
            whole,
            b"TGr\x01TGf1TGc1TGs1".repeat(40),
        ];
        for length in [u32::MAX, u32::MAX - 7, 1 << 31, 47] {
            let mut lying = all[2].clone();
            lying[4..8].copy_from_slice(&length.to_le_bytes());
            stamp(&mut lying, 1, 1, 1, salt);
            all.push(lying);
            let mut lying = all[5].clone();
            lying[4..8].copy_from_slice(&length.to_le_bytes());
            all.push(lying);
        }
        all
    }

    #[test]
    fn hostile_bytes_do_no_harm() {
        let mut random: u64 = 0x5eed;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for seed in corpus() {
            record(&seed);
            frame(&seed);
            for _ in 0..2_000 {
                let mut bytes = seed.clone();
                for _ in 0..=next() % 4 {
                    if !bytes.is_empty() {
                        let at = next() as usize % bytes.len();
                        bytes[at] = [0, 1, 0xff, 0x7f, next() as u8][next() as usize % 5];
                    }
                }
                bytes.truncate(bytes.len().saturating_sub((next() % 3) as usize * 5));
                record(&bytes);
                frame(&bytes);
            }
        }
    }
}
