//! Ordered, duplicate-preserving, case-preserving headers held in one immutable block, the same bytes the log stores.
//! An entry: `name_len u16 | value_len u32 | name | value`, little endian.
use crate::error::{Code, Error, Result};
use bytes::{BufMut, Bytes, BytesMut};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    block: Bytes,
}
impl Headers {
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
    pub fn as_block(&self) -> &Bytes {
        &self.block
    }
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }
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
        self.block.put_u16_le(name_len);
        self.block.put_u32_le(value_len);
        self.block.put_slice(name.as_bytes());
        self.block.put_slice(value);
        Ok(self)
    }
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
