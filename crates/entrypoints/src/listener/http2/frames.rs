//! Counts what the frames of a client cost, for what the parser answers but does not bound: floods of `PING`, `SETTINGS`, `WINDOW_UPDATE`,
//! `PRIORITY`, empty `DATA` and streams that are opened and reset (RFC 9113, section 10.5).
//!
//! One rule: a frame costs 32 bytes, and every byte of content received or of anything written pays for one. Who uses the protocol is answered
//! more than that; an answer to a `PING` is 17 bytes, to `SETTINGS` 9.
use std::time::{Duration, Instant};
use tidegate_core::clock;

const HEADER: usize = 9;
const COST: u64 = 32;
/// Frames that nobody pays for, in a second.
const FREE: u64 = 4_000;
const SECOND: Duration = Duration::from_secs(1);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The frames of one direction of a connection, behind its preface.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER],
    have: usize,
    /// Of the payload.
    left: usize,
    /// The header block of a stream has begun and is not whole.
    block: bool,
    data: bool,
    heads: bool,
    spent: u64,
    since: Instant,
}
impl Frames {
    pub(super) fn new() -> Self {
        Self {
            header: [0; HEADER],
            have: 0,
            left: 0,
            block: false,
            data: false,
            heads: false,
            spent: 0,
            since: clock::instant(),
        }
    }
    /// What was read; `false`: it is a flood.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.left > 0 {
                let part = self.left.min(bytes.len());
                bytes = bytes.get(part..).unwrap_or_default();
                self.left -= part;
                if self.data {
                    self.paid(part);
                }
                continue;
            }
            let part = (HEADER - self.have).min(bytes.len());
            let (head, rest) = bytes.split_at_checked(part).unwrap_or_default();
            if let Some(to) = self.header.get_mut(self.have..self.have + part) {
                to.copy_from_slice(head);
            }
            self.have += part;
            bytes = rest;
            if self.have == HEADER {
                self.begin();
            }
        }
        self.spent <= FREE * COST || self.is_a_new_second()
    }
    /// So many bytes were written to the client.
    pub(super) fn paid(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_sub(bytes as u64);
    }
    /// Whether heads came since this was asked.
    pub(super) fn take_heads(&mut self) -> bool {
        std::mem::take(&mut self.heads)
    }
    /// A frame, or a header block, has begun and is not whole. Of content only the header counts: how fast it must come is not told by frames.
    pub(super) fn is_partial(&self) -> bool {
        self.have > 0 || self.block || self.left > 0 && !self.data
    }
    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.have = 0;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.data = kind == DATA;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.block = flags & END_HEADERS == 0;
            self.heads = true;
        }
        self.spent += COST;
    }
    /// The clock is asked only once so much was spent.
    fn is_a_new_second(&mut self) -> bool {
        let now = clock::instant();
        let new = now.duration_since(self.since) >= SECOND;
        (self.since, self.spent) = (now, 0);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }
    /// In one go; the clock cannot pass a second twice in such a loop, so the second thousands are a flood.
    fn is_flood(frame: &[u8], paid: usize) -> bool {
        let mut frames = Frames::new();
        (0..FREE * 3).any(|_| {
            let good = frames.read(frame);
            frames.paid(paid);
            !good
        })
    }

    #[test]
    fn frames_that_nobody_pays_for_are_a_flood() {
        assert!(is_flood(&frame(6, 0, &[0; 8]), 17), "pings and their answers");
        assert!(is_flood(&frame(4, 0, &[]), 9), "settings and their answers");
        assert!(is_flood(&frame(8, 0, &[0; 4]), 0), "window updates");
        assert!(is_flood(&frame(0, 0, &[]), 0), "empty data");
        assert!(
            is_flood(&[frame(1, 5, &[0; 9]), frame(3, 0, &[0; 4])].concat(), 13),
            "open and reset"
        );
    }
    #[test]
    fn frames_of_use_are_none() {
        assert!(!is_flood(&frame(0, 0, &[0; 32]), 0), "content");
        assert!(!is_flood(&[frame(1, 5, &[0; 9]), frame(8, 0, &[0; 4])].concat(), 90), "requests");
    }
    #[test]
    fn no_cut_of_any_bytes_changes_what_is_counted() {
        // Numbers that look random and are the same every time (xorshift).
        let mut dice = 0x2545_f491_4f6c_dd1d_u64;
        let bytes: Vec<u8> = (0..100_000)
            .map(|_| {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                // Mostly small lengths, so that there are many frames.
                if dice.is_multiple_of(4) { (dice >> 8) as u8 } else { 0 }
            })
            .collect();
        let counted = |cut: usize| {
            let mut frames = Frames::new();
            for part in bytes.chunks(cut) {
                // Whether it is a flood is not asked here, for the clock has a say in it.
                frames.read(part);
                frames.take_heads();
            }
            (frames.have, frames.left, frames.block, frames.data)
        };
        let whole = counted(bytes.len());
        assert!([1, 2, 8, 9, 10, 8_192].into_iter().all(|cut| counted(cut) == whole));
    }
    #[test]
    fn no_cut_changes_what_is_partial() {
        let bytes = [frame(1, 0, b"half a head"), frame(9, 4, b"the rest"), frame(0, 1, b"content")].concat();
        let (block, content) = (9 + 11 + 9 + 8, bytes.len() - 7);
        let mut frames = Frames::new();
        for (at, byte) in bytes.iter().enumerate() {
            assert!(frames.read(&[*byte]));
            let whole = at + 1 == block || at + 1 >= content;
            assert_eq!(frames.is_partial(), !whole, "byte {at}");
        }
    }
}
