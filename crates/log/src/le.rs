//! Little-endian reads and writes at a place of a slice; what lies outside is `None`, never a panic.

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}
pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|b| i64::from_le_bytes(*b))
}
/// Overwrites; a place outside is left alone.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(slot) = bytes.get_mut(at..at + value.len()) {
        slot.copy_from_slice(value);
    }
}

/// What the checksums of headers begin with: a payload cannot contain a valid header, because no client knows the salt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Salt {
    pub(crate) value: u64,
    /// Only to prove that the crash model notices: no checksum is looked at.
    pub(crate) blind: bool,
}
impl Salt {
    pub(crate) fn new(value: u64) -> Self {
        Self { value, blind: false }
    }
    /// CRC32C over the salt, then the bytes.
    pub(crate) fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.value.to_le_bytes()), bytes)
    }
    /// Whether the checksum at `at` is that of all before it.
    pub(crate) fn seals(self, bytes: &[u8], at: usize) -> bool {
        self.blind || bytes.get(..at).is_some_and(|head| u32_at(bytes, at) == Some(self.crc(head)))
    }
}
/// The next multiple of eight.
pub(crate) const fn padded(len: usize) -> usize {
    len.div_ceil(8) * 8
}
