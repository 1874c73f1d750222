//! Ordered, duplicate-preserving, case-preserving headers held in one immutable block, the same bytes the log stores.
//! An entry: `name_len u16 | value_len u32 | name | value`, little endian.
use crate::error::{Code, Error, Result};
use bytes::{BufMut, Bytes, BytesMut};

/// The headers of a message. Cloning is one reference count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    block: Bytes,
}
impl Headers {
    /// No headers.
    pub const EMPTY: Self = Self { block: Bytes::new() };

    /// Adopts a block from disk or a peer. Checks every length and every name once, here.
    pub fn from_block(block: Bytes) -> Option<Self> {
        let mut rest = &block[..];
        while !rest.is_empty() {
            let (name, _, tail) = entry(rest)?;
            std::str::from_utf8(name).ok()?;
            rest = tail;
        }
        Some(Self { block })
    }
    /// The block as the log stores it; [`Headers::from_block`] takes it back.
    pub fn as_block(&self) -> &Bytes {
        &self.block
    }
    /// The same in memory of its own.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            block: Bytes::copy_from_slice(&self.block),
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }
    /// Name and value of each, in order, repeated names included. A value is bytes, not text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.block[..];
        std::iter::from_fn(move || {
            let (name, value, tail) = entry(rest)?;
            rest = tail;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }
    /// The first of that name, compared without case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut rest = &self.block[..];
        loop {
            let (found, value, tail) = entry(rest)?;
            if found.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(value);
            }
            rest = tail;
        }
    }
    /// Zero-copy: the value keeps the block alive.
    pub fn get_bytes(&self, name: &str) -> Option<Bytes> {
        self.get(name).map(|value| self.block.slice_ref(value))
    }
    /// Copies; then push, remove, build.
    pub fn edit(&self) -> Builder {
        Builder {
            block: BytesMut::from(&self.block[..]),
        }
    }
}

/// Writes a block.
#[derive(Debug, Default)]
pub struct Builder {
    block: BytesMut,
}
impl Builder {
    /// Refuses what the block cannot say, rather than cutting it: a name over 64 KiB, a value over 4 GiB.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<&mut Self> {
        let too_long = || Error::client(Code::TooLarge, "a header is too long");
        let name_len = u16::try_from(name.len()).map_err(|_| too_long())?;
        let value_len = u32::try_from(value.len()).map_err(|_| too_long())?;
        self.block.reserve(6 + name.len() + value.len());
        self.block.put_u16_le(name_len);
        self.block.put_u32_le(value_len);
        self.block.put_slice(name.as_bytes());
        self.block.put_slice(value);
        Ok(self)
    }
    /// Takes out every entry of that name, compared without case.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        let old = std::mem::take(&mut self.block).freeze();
        let mut rest = &old[..];
        while let Some((found, _, tail)) = entry(rest) {
            if !found.eq_ignore_ascii_case(name.as_bytes()) {
                self.block.put_slice(&rest[..rest.len() - tail.len()]);
            }
            rest = tail;
        }
        self
    }
    /// The headers, in the order they were pushed.
    pub fn build(self) -> Headers {
        Headers {
            block: self.block.freeze(),
        }
    }
}

fn entry(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*name)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value) as usize)?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn a_block_goes_there_and_back(all in vec(("[ -~]{0,12}", vec(any::<u8>(), 0..12)), 0..8)) {
            let mut builder = Builder::default();
            for (name, value) in &all {
                builder.push(name, value).unwrap();
            }
            let headers = builder.build();
            let back = Headers::from_block(headers.as_block().clone()).unwrap();
            let read: Vec<_> = back.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
            prop_assert_eq!(read, all);
        }
        #[test]
        fn any_block_is_read_whole_or_refused(block in vec(any::<u8>(), 0..64)) {
            let length = block.len();
            if let Some(headers) = Headers::from_block(Bytes::from(block)) {
                let read: usize = headers.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
                prop_assert_eq!(read, length);
            }
        }
    }
    #[test]
    fn names_are_compared_without_case_and_kept_with_it() {
        let mut builder = Builder::default();
        builder.push("X-One", b"1").unwrap().push("x-one", b"2").unwrap();
        builder.push("Two", b"\xff").unwrap();
        let headers = builder.build();
        assert_eq!(headers.get("x-ONE"), Some(&b"1"[..]));
        assert_eq!(headers.get_bytes("two").as_deref(), Some(&b"\xff"[..]));
        assert!(headers.get("three").is_none());
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["X-One", "x-one", "Two"]);
        let mut edit = headers.edit();
        edit.remove("x-ONE");
        assert_eq!(edit.build().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["Two"]);
    }
    #[test]
    fn a_name_the_block_cannot_say_is_refused() {
        assert!(Builder::default().push(&"n".repeat(65_535), b"").is_ok());
        assert_eq!(
            Builder::default().push(&"n".repeat(65_536), b"").unwrap_err().code(),
            Code::TooLarge
        );
    }
}
