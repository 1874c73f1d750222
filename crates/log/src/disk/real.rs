//! The operating system's files.
use super::{Disk, DiskFile, Open, Space};
use std::{
    any::Any,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Files below one data folder; folders are 0700, files 0600.
#[derive(Debug)]
pub struct Real {
    root: PathBuf,
}
impl Real {
    /// Nothing is touched until the log is opened; a missing folder is then made.
    pub fn new(data_folder: impl Into<PathBuf>) -> Self {
        Self { root: data_folder.into() }
    }
    fn make_folders(&self, path: &Path) -> io::Result<()> {
        let parent = self.root.join(path.parent().unwrap_or(Path::new("")));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)
    }
}
impl Disk for Real {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how == Open::New {
            self.make_folders(path)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(how == Open::New)
            .mode(0o600)
            .open(self.root.join(path))?;
        Ok(Arc::new(RealFile(file)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = self.root.join(path);
        if path.symlink_metadata()?.is_dir() {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(self.root.join(dir)) {
            Ok(entries) => entries.map(|entry| Ok(dir.join(entry?.file_name()))).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the log's own disk")]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(self.root.join(dir))?.sync_all()
    }
    fn name(&self) -> String {
        self.root.display().to_string()
    }
    fn space(&self) -> io::Result<Space> {
        self.make_folders(Path::new("x"))?;
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
    #[expect(clippy::disallowed_methods, reason = "the log's own disk")]
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let path = Path::new("log/lock");
        self.make_folders(path)?;
        // A folder that was there already may be open to others. Where it is not ours, its owner has to see to that.
        let _not_ours = fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700));
        // The folder itself too: the file can be deleted and made again. A disk that knows no locks of folders has the file's.
        let folder = File::open(self.root.join("log"))?;
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            let holder = File::open(self.root.join(path)).and_then(holder).unwrap_or_default();
            return Err(io::Error::new(io::ErrorKind::WouldBlock, holder));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.root.join(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::Error::new(io::ErrorKind::WouldBlock, holder(file)?)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Only a help for people: a full disk has no room for it.
        let holder = std::process::id().to_string();
        let _told = file.write_all(holder.as_bytes()).and_then(|()| file.set_len(holder.len() as u64));
        Ok(Box::new((folder, file)))
    }
}
/// Who wrote itself into the file.
fn holder(file: File) -> io::Result<String> {
    let mut holder = String::new();
    file.take(64).read_to_string(&mut holder)?;
    Ok(holder)
}

struct RealFile(File);
impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buf, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
    #[cfg(target_os = "linux")]
    fn read_cached(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        match preadv2(&self.0, &mut [io::IoSliceMut::new(buf)], at, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(Some(read)),
            // Not every file system can say what it has at hand.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    fn read_cached(&self, _: &mut [u8], _: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(buf, at)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
