//! Where things lie below the data folder, and the numbers that must never change.
use std::path::{Path, PathBuf};

/// The format this version writes, and the highest it reads.
pub(crate) const FORMAT: u16 = 1;
/// Homes below this are tables.
pub(crate) const FIRST_PARTITION: u32 = 16;

/// Homes of tables. Never reused: 5 retained values, 6 sessions.
pub(crate) mod table {
    pub(crate) const STREAMS: u32 = 1;
    pub(crate) const PARTITIONS: u32 = 2;
    pub(crate) const SEGMENTS: u32 = 3;
    pub(crate) const GROUPS: u32 = 4;
    pub(crate) const COUNTERS: u32 = 7;
    pub(crate) const FLOORS: u32 = 8;
    /// Of a group in a partition.
    pub(crate) const PROGRESS: u32 = 9;
}

pub(crate) fn root() -> &'static Path {
    Path::new("log")
}
pub(crate) fn marker() -> PathBuf {
    root().join("LOG")
}
pub(crate) fn journals() -> PathBuf {
    root().join("journal")
}
pub(crate) fn journal(number: u64) -> PathBuf {
    journals().join(format!("{number:016x}.j"))
}
/// The number in a name like `00000000000000a1.j`.
pub(crate) fn number_of(path: &Path, extension: &str) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let fits = path.extension()?.to_str()? == extension && stem.len() <= 16;
    fits.then(|| u64::from_str_radix(stem, 16).ok()).flatten()
}
/// How far the journal has come.
pub(crate) fn end() -> PathBuf {
    root().join("end")
}
pub(crate) fn tables() -> PathBuf {
    root().join("state")
}
pub(crate) fn table_file(number: u64) -> PathBuf {
    tables().join(format!("{number:08x}.t"))
}
pub(crate) fn streams() -> PathBuf {
    root().join("streams")
}
/// The number decides; the name is for people.
pub(crate) fn stream(number: u32, name: &str) -> PathBuf {
    let mut text = format!("{number:08x}-");
    for byte in name.bytes().take(80) {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
        }
    }
    streams().join(text)
}
/// The stream's number in the name of its folder.
pub(crate) fn stream_number(path: &Path) -> Option<u32> {
    let (number, _) = path.file_name()?.to_str()?.split_once('-')?;
    (number.len() == 8).then(|| u32::from_str_radix(number, 16).ok()).flatten()
}
pub(crate) fn partition(stream: &Path, partition: u32) -> PathBuf {
    stream.join(format!("p{partition}"))
}
pub(crate) fn segment(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}.s"))
}
pub(crate) fn ids(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}.i"))
}
/// The base offset in the name of a segment or its list of ids.
pub(crate) fn base_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}
