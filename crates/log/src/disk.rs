//! All file access of the log: what is really done, what is recorded to enumerate crashes, what fails on purpose.
mod failing;
mod real;
mod recorded;

pub use failing::Failing;
pub use real::Real;
pub use recorded::{Image, Recorded};
use std::{
    any::Any,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Paths lie below the data folder and never leave it. Every call may block.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces what is at `to`. Durable only after [`Disk::sync_dir`] of both folders.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file or an empty folder.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// What lies in a folder, as paths below the data folder, in no order; a missing folder is empty.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// What people call the data folder.
    fn name(&self) -> String {
        "log".to_owned()
    }
    /// How much room there is.
    fn space(&self) -> io::Result<Space>;
    /// Holds the folder against other processes until dropped; `WouldBlock` if somebody has it, with who it is as the text.
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// One open file; reads and writes name their place.
pub trait DiskFile: Send + Sync {
    /// Reads what is there, up to the whole buffer; less only at the end of the file.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Reads without waiting for the disk, perhaps less than there is; `None`: it would have to wait, or cannot tell.
    fn read_cached(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>>;
    /// All or an error; after an error any part may have been written.
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()>;
    /// Cuts, or extends with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Data and length become durable. After an error the file must not be written or synced again: the next sync would lie.
    fn sync(&self) -> io::Result<()>;
    /// Bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must be there; reading and writing.
    Existing,
    /// It must not be there; missing folders are made.
    New,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Of the whole disk.
    pub total: u64,
    /// That we may still take.
    pub free: u64,
}

/// The whole file.
pub(crate) fn read_whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    read_range(file, 0, file.len()? as usize)
}
/// `len` bytes from `at`, if all of them are at hand without waiting.
pub(crate) fn read_at_hand(file: &dyn DiskFile, at: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; len];
    let read = file.read_cached(&mut bytes, at)?;
    Ok(read.filter(|read| *read == len).map(|_| bytes))
}
/// At most `len` bytes from `at`; less at the end of the file.
pub(crate) fn read_range(file: &dyn DiskFile, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(bytes.get_mut(filled..).unwrap_or_default(), at + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
