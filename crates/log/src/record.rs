//! One record: 48 bytes that say what it is, and the body. The same bytes lie in the journal, in segments and in the table file.
use crate::le::{self, Salt, padded};
use bytes::{BufMut, Bytes};
use std::num::NonZeroU128;
use tidegate_core::{
    headers::Headers,
    message::{Message, Timing},
    topic::Topic,
};

/// Bytes before the body.
pub(crate) const HEADER: usize = 48;
/// What a message's record may hold beside its own parts: the hash of its id, two times.
pub(crate) const MOST_EXTRA: usize = 32;

/// What a record is. Numbers are never reused.
pub(crate) mod kind {
    pub(crate) const MESSAGE: u8 = 1;
    /// Explains missing offsets: count u64, reason u8.
    pub(crate) const SKIP: u8 = 2;
    pub(crate) const PUT: u8 = 3;
    pub(crate) const DELETE: u8 = 4;
    /// A change of a group's progress: a row's key, and what is merged into its value. 6 was never used.
    pub(crate) const SETTLE: u8 = 5;
    pub(crate) const LAST: u8 = 6;
}
/// Bits of a record. Numbers are never reused: 1 and 2 frame a unit, 4 is a retained value.
pub(crate) mod flag {
    /// The headers block begins with the 16-byte hash of the caller's scope and the id.
    pub(crate) const DEDUPE: u8 = 8;
    /// Then follow expires i64 and due i64, 0 for none.
    pub(crate) const TIMED: u8 = 16;
}
/// Why offsets are missing. Numbers are never reused: 1 is settled by every group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Missing {
    Expired = 2,
    Purged = 3,
    TailLost = 4,
    /// The frame could not be written; its receipts failed.
    Failed = 5,
    /// Readers are told.
    Damaged = 6,
}
impl Missing {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 | 2 => Self::Expired,
            3 => Self::Purged,
            4 => Self::TailLost,
            5 => Self::Failed,
            6 => Self::Damaged,
            _ => return None,
        })
    }
}

/// The 48 bytes, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) home: u32,
    pub(crate) offset: u64,
    /// Append time in microseconds since the epoch.
    pub(crate) time: i64,
    /// Bytes of the body, without padding.
    pub(crate) body: usize,
    crc: u32,
    topic: usize,
    key: usize,
    id: usize,
    headers: usize,
}
impl Header {
    fn of(kind: u8, flags: u8, key: usize) -> Self {
        Self {
            kind,
            flags,
            key,
            home: 0,
            offset: 0,
            time: 0,
            body: 0,
            crc: 0,
            topic: 0,
            id: 0,
            headers: 0,
        }
    }
    /// `None` unless the checksum matches and the lengths fit into each other. Whether the body is there is not known yet.
    pub(crate) fn read(bytes: &[u8], salt: Salt) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        if bytes.get(..3)? != b"TGr" || !salt.seals(bytes, 44) {
            return None;
        }
        let header = Self {
            kind: *bytes.get(3)?,
            flags: *bytes.get(37)?,
            home: le::u32_at(bytes, 8)?,
            offset: le::u64_at(bytes, 16)?,
            time: le::i64_at(bytes, 24)?,
            body: le::u32_at(bytes, 4)? as usize,
            crc: le::u32_at(bytes, 12)?,
            topic: usize::from(le::u16_at(bytes, 32)?),
            key: usize::from(le::u16_at(bytes, 34)?),
            id: usize::from(*bytes.get(36)?),
            headers: le::u32_at(bytes, 40)? as usize,
        };
        let parts = header.topic + header.key + header.id + header.headers;
        (parts <= header.body && (1..=kind::LAST).contains(&header.kind)).then_some(header)
    }
    /// Bytes of the whole record, padding included.
    pub(crate) fn stored(&self) -> usize {
        HEADER + padded(self.body)
    }
    /// The body behind this header, if it is all there and its checksum matches.
    pub(crate) fn body<'a>(&self, record: &'a [u8], salt: Salt) -> Option<&'a [u8]> {
        let body = record.get(HEADER..HEADER + self.body)?;
        (salt.blind || crc32c::crc32c(body) == self.crc).then_some(body)
    }
    /// Key and value of a table's row.
    pub(crate) fn row<'a>(&self, body: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        body.get(self.topic..)?.split_at_checked(self.key)
    }
    /// How many offsets a skip explains, and why.
    pub(crate) fn skip(body: &[u8]) -> Option<(u64, Missing)> {
        let count = le::u64_at(body, 0).filter(|count| *count > 0)?;
        Some((count, Missing::from_number(*body.get(8)?)?))
    }
    /// The hash a message was deduplicated by.
    pub(crate) fn dedupe(&self, body: &[u8]) -> Option<u128> {
        let at = self.topic + self.key + self.id;
        (self.flags & flag::DEDUPE != 0)
            .then(|| body.get(at..)?.first_chunk().map(|hash| u128::from_le_bytes(*hash)))
            .flatten()
    }
    /// Slices the message out of its record without copying. `record` was checked by [`Header::body`]; `None` if it still makes no sense.
    pub(crate) fn message(&self, record: &Bytes, own: &Topic) -> Option<Message> {
        let mut at = HEADER;
        let mut take = |len: usize| {
            let part = (at + len <= record.len()).then(|| record.slice(at..at + len));
            at += len;
            part
        };
        let (topic, key, id) = (take(self.topic)?, take(self.key)?, take(self.id)?);
        let hash = if self.flags & flag::DEDUPE == 0 { 0 } else { 16 };
        let timed = if self.flags & flag::TIMED == 0 { 0 } else { 16 };
        take(hash)?;
        let times = take(timed)?;
        let headers = take(self.headers.checked_sub(hash + timed)?)?;
        let payload = take(self.body.checked_sub(self.topic + self.key + self.id + self.headers)?)?;
        let some = |at| le::i64_at(&times, at).filter(|t| *t != 0);
        Some(Message {
            topic: if topic.is_empty() { own.clone() } else { Topic::new(topic)? },
            key: (!key.is_empty()).then_some(key),
            id: (!id.is_empty()).then_some(id),
            headers: Headers::from_block(headers)?,
            payload,
            at: self.time,
            timing: (timed > 0).then(|| {
                Box::new(Timing {
                    expires: some(0),
                    due: some(8),
                })
            }),
        })
    }
}

/// Why a message cannot be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Encodes a message for a stream whose own name is `own`, behind what `out` holds; home, offset and time are stamped later. Runs on the
/// caller's thread. `Err`: nothing was added.
pub(crate) fn encode(message: &Message, own: &Topic, hash: Option<NonZeroU128>, most: usize, out: &mut Vec<u8>) -> Result<(), TooLarge> {
    let topic = if message.topic == *own { &[][..] } else { message.topic.as_bytes() };
    let key = message.key.as_deref().unwrap_or_default();
    let id = message.id.as_deref().unwrap_or_default();
    let block = message.headers.as_block();
    let headers = block.len() + hash.map_or(0, |_| 16) + message.timing.as_ref().map_or(0, |_| 16);
    let body = topic.len() + key.len() + id.len() + headers + message.payload.len();
    if body > most || u32::try_from(body).is_err() || u16::try_from(key.len()).is_err() {
        return Err(TooLarge);
    }
    if u16::try_from(topic.len()).is_err() || u8::try_from(id.len()).is_err() {
        return Err(TooLarge);
    }
    let mut flags = 0;
    let from = out.len();
    out.reserve(HEADER + padded(body));
    out.put_bytes(0, HEADER);
    out.put_slice(topic);
    out.put_slice(key);
    out.put_slice(id);
    if let Some(hash) = hash {
        flags |= flag::DEDUPE;
        out.put_u128_le(hash.get());
    }
    if let Some(timing) = &message.timing {
        flags |= flag::TIMED;
        out.put_i64_le(timing.expires.unwrap_or(0));
        out.put_i64_le(timing.due.unwrap_or(0));
    }
    out.put_slice(block);
    out.put_slice(&message.payload);
    let mut header = Header::of(kind::MESSAGE, flags, key.len());
    (header.topic, header.id, header.headers) = (topic.len(), id.len(), headers);
    finish(out, from, &mut header);
    Ok(())
}
/// A row of a table; `None` deletes it.
pub(crate) fn encode_row(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let kind = if value.is_some() { kind::PUT } else { kind::DELETE };
    encode_keyed(kind, key, value.unwrap_or_default())
}
/// A change of a row's value.
pub(crate) fn encode_settle(key: &[u8], change: &[u8]) -> Vec<u8> {
    encode_keyed(kind::SETTLE, key, change)
}
fn encode_keyed(kind: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out.put_slice(key);
    out.put_slice(value);
    finish(&mut out, 0, &mut Header::of(kind, 0, key.len()));
    out
}
/// Explains `count` missing offsets from the one it is stamped with.
pub(crate) fn encode_skip(count: u64, why: Missing) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out.put_u64_le(count);
    out.put_u8(why as u8);
    finish(&mut out, 0, &mut Header::of(kind::SKIP, 0, 0));
    out
}
/// Fills in the header of the record that begins at `from`, and pads it.
fn finish(out: &mut Vec<u8>, from: usize, header: &mut Header) {
    header.body = out.len() - from - HEADER;
    let Some(record) = out.get_mut(from..) else {
        return;
    };
    header.crc = crc32c::crc32c(record.get(HEADER..).unwrap_or_default());
    le::put(record, 0, &[b'T', b'G', b'r', header.kind]);
    le::put(record, 4, &(header.body as u32).to_le_bytes());
    le::put(record, 12, &header.crc.to_le_bytes());
    le::put(record, 32, &(header.topic as u16).to_le_bytes());
    le::put(record, 34, &(header.key as u16).to_le_bytes());
    le::put(record, 36, &[header.id as u8, header.flags]);
    le::put(record, 40, &(header.headers as u32).to_le_bytes());
    out.put_bytes(0, padded(header.body) - header.body);
}
/// Names the record and seals its header. `record` begins with one that [`encode`] or its kin made.
pub(crate) fn stamp(record: &mut [u8], home: u32, offset: u64, time: i64, salt: Salt) {
    le::put(record, 8, &home.to_le_bytes());
    le::put(record, 16, &offset.to_le_bytes());
    le::put(record, 24, &time.to_le_bytes());
    let crc = salt.crc(record.get(..44).unwrap_or_default());
    le::put(record, 44, &crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt { value: 99, blind: false };
    const OWN: Topic = Topic::from_static("orders");

    fn message() -> Message {
        let mut headers = Headers::EMPTY.edit();
        headers.push("a", b"1").unwrap();
        Message {
            key: Some(Bytes::from_static(b"k")),
            id: Some(Bytes::from_static(b"id-1")),
            headers: headers.build(),
            timing: Some(Box::new(Timing {
                expires: Some(5),
                due: None,
            })),
            ..Message::new("orders/new".into(), "payload")
        }
    }
    fn stamped(message: &Message, hash: Option<u128>) -> Bytes {
        let mut record = Vec::new();
        encode(message, &OWN, hash.and_then(NonZeroU128::new), 1 << 20, &mut record).unwrap();
        stamp(&mut record, 7, 42, 1_000, SALT);
        record.into()
    }

    #[test]
    fn a_message_goes_there_and_back() {
        for hash in [None, Some(77)] {
            let sent = message();
            let record = stamped(&sent, hash);
            assert_eq!(record.len() % 8, 0);
            let header = Header::read(&record, SALT).unwrap();
            assert_eq!((header.home, header.offset, header.stored()), (7, 42, record.len()));
            let body = header.body(&record, SALT).unwrap();
            assert_eq!(header.dedupe(body), hash);
            let got = header.message(&record, &OWN).unwrap();
            assert_eq!((got.key, got.id, got.at), (sent.key, sent.id, 1_000));
            assert_eq!((got.headers, got.payload, got.timing), (sent.headers, sent.payload, sent.timing));
            assert_eq!(&*got.topic, "orders/new");
        }
    }
    #[test]
    fn the_streams_own_name_is_not_written() {
        let record = stamped(&Message::new(OWN, "x"), None);
        assert_eq!(record.len(), HEADER + 8);
        let got = Header::read(&record, SALT).unwrap().message(&record, &OWN).unwrap();
        assert_eq!(&*got.topic, "orders");
    }
    #[test]
    fn every_flipped_bit_is_seen() {
        let record = stamped(&message(), Some(1));
        let body = Header::read(&record, SALT).unwrap().body;
        for at in 0..HEADER + body {
            for bit in 0..8 {
                let mut bad = record.to_vec();
                bad[at] ^= 1 << bit;
                assert!(
                    Header::read(&bad, SALT).is_none_or(|h| h.body(&bad, SALT).is_none()),
                    "byte {at} bit {bit}"
                );
            }
        }
        assert!(Header::read(&record, Salt::new(98)).is_none(), "another log's salt");
    }
    #[test]
    fn what_does_not_fit_is_refused() {
        let long = Message::new(OWN, vec![0; 100]);
        assert!(encode(&long, &OWN, None, 99, &mut Vec::new()).is_err());
        let mut key = Message::new(OWN, "");
        key.key = Some(vec![0; 70_000].into());
        assert!(encode(&key, &OWN, None, 1 << 20, &mut Vec::new()).is_err());
    }
    #[test]
    fn a_skip_says_how_many_and_why() {
        let mut skip = encode_skip(9, Missing::TailLost);
        stamp(&mut skip, 7, 1, 0, SALT);
        let header = Header::read(&skip, SALT).unwrap();
        assert_eq!(Header::skip(header.body(&skip, SALT).unwrap()), Some((9, Missing::TailLost)));
    }
}
