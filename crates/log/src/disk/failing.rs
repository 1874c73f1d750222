//! Another disk, with failures on demand.
use super::{Disk, DiskFile, Open, Space};
use std::{
    any::Any,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicI64, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

/// Passes everything on until told otherwise; clones share what they were told.
#[derive(Clone)]
pub struct Failing {
    inner: Arc<dyn Disk>,
    told: Arc<Told>,
}
#[derive(Default)]
struct Told {
    full: AtomicBool,
    failing_syncs: AtomicI64,
    failing_reads: AtomicI64,
    bytes_read: AtomicU64,
    /// Syncs wait as long as this holds.
    held: Mutex<bool>,
    let_go: Condvar,
}
impl Failing {
    /// Nothing fails yet.
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self {
            inner,
            told: Arc::default(),
        }
    }
    /// While full, no write succeeds, no file can be made, and no room is reported.
    pub fn set_full(&self, full: bool) {
        self.told.full.store(full, SeqCst);
    }
    /// How many of the next syncs fail with an input/output error.
    pub fn fail_syncs(&self, count: i64) {
        self.told.failing_syncs.store(count, SeqCst);
    }
    /// While held, syncs do not return: the slowest disk there is.
    pub fn hold_syncs(&self, hold: bool) {
        *self.told.held.lock().unwrap_or_else(PoisonError::into_inner) = hold;
        self.told.let_go.notify_all();
    }
    /// How many of the next reads fail with an input/output error.
    pub fn fail_reads(&self, count: i64) {
        self.told.failing_reads.store(count, SeqCst);
    }
    /// How much was read so far.
    pub fn bytes_read(&self) -> u64 {
        self.told.bytes_read.load(SeqCst)
    }
}
impl Told {
    fn room(&self) -> io::Result<()> {
        if self.full.load(SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}
fn count_down(left: &AtomicI64) -> io::Result<()> {
    if left.load(Relaxed) > 0 && left.fetch_sub(1, SeqCst) > 0 {
        return Err(io::Error::other("input/output error"));
    }
    Ok(())
}
impl Disk for Failing {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how == Open::New {
            self.told.room()?;
        }
        let inner = self.inner.open(path, how)?;
        let told = self.told.clone();
        Ok(Arc::new(File { inner, told }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn name(&self) -> String {
        self.inner.name()
    }
    fn space(&self) -> io::Result<Space> {
        let space = self.inner.space()?;
        let free = if self.told.full.load(SeqCst) { 0 } else { space.free };
        Ok(Space { free, ..space })
    }
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.inner.lock()
    }
}
struct File {
    inner: Arc<dyn DiskFile>,
    told: Arc<Told>,
}
impl DiskFile for File {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        count_down(&self.told.failing_reads)?;
        let read = self.inner.read_at(buf, at)?;
        self.told.bytes_read.fetch_add(read as u64, SeqCst);
        Ok(read)
    }
    fn read_cached(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        // What fails when it is read from the disk is not at hand.
        if self.told.failing_reads.load(Relaxed) > 0 {
            return Ok(None);
        }
        let read = self.inner.read_cached(buf, at)?;
        self.told.bytes_read.fetch_add(read.unwrap_or(0) as u64, SeqCst);
        Ok(read)
    }
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        if let Err(full) = self.told.room() {
            // Part of it gets there, as on a real disk.
            let half = buf.len() / 2;
            self.inner.write_at(buf.get(..half).unwrap_or_default(), at)?;
            return Err(full);
        }
        self.inner.write_at(buf, at)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        count_down(&self.told.failing_syncs)?;
        let held = self.told.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.let_go.wait_while(held, |held| *held));
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
