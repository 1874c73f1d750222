//! A disk in memory that keeps every call, so that every state a power cut can leave behind can be built from it.
//!
//! What a completed sync covered is safe. Of the rest, each unsynced write is cut at 512-byte borders, and every piece, and every entry
//! of a folder that was not synced, is there or not.
use super::{Disk, DiskFile, Open, Space};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a disk never writes in part.
const SECTOR: u64 = 512;

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    state: Arc<Mutex<State>>,
}
#[derive(Debug, Default)]
struct State {
    start: Image,
    now: Image,
    calls: Vec<Call>,
    next: u64,
    fail_sync: Option<u64>,
}
/// Files and folders as they could be found after a power cut.
#[derive(Clone, Debug, Default)]
pub struct Image {
    files: HashMap<u64, Arc<Vec<u8>>>,
    names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
}
#[derive(Clone, Debug)]
enum Call {
    Write(u64, u64, Arc<Vec<u8>>),
    SetLen(u64, u64),
    Sync(u64),
    /// The pages of the file are clean now, but nobody knows what the disk has.
    FailedSync(u64),
    Entry(Entry),
    SyncDir(PathBuf),
}
#[derive(Clone, Debug)]
enum Entry {
    Create(PathBuf, u64),
    Folder(PathBuf),
    Rename(PathBuf, PathBuf, u64),
    Remove(PathBuf),
}

impl Recorded {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }
    /// What a power cut left behind; the calls are counted from here.
    pub fn from_image(image: &Image) -> Self {
        let next = image.files.keys().max().map_or(0, |id| id + 1);
        Self {
            state: Arc::new(Mutex::new(State {
                start: image.clone(),
                now: image.clone(),
                next,
                ..State::default()
            })),
        }
    }
    /// How many calls changed something so far.
    pub fn calls(&self) -> usize {
        self.state().calls.len()
    }
    /// The sync after the next `after` ones fails.
    pub fn fail_sync(&self, after: u64) {
        self.state().fail_sync = Some(after);
    }
    /// As it is, without a power cut.
    pub fn image(&self) -> Image {
        self.state().now.clone()
    }
    /// All states a power cut can leave behind after each call from `from` on: `each` gets how many calls were made before it.
    pub fn crashes(&self, from: usize, seed: u64, mut each: impl FnMut(usize, Image)) {
        let (start, calls) = {
            let state = self.state();
            (state.start.clone(), state.calls.clone())
        };
        let mut model = Model {
            safe: start,
            open: Vec::new(),
        };
        let mut random = seed | 1;
        if from == 0 {
            each(0, model.safe.clone());
        }
        for (i, call) in calls.iter().enumerate() {
            model.apply(call);
            if i + 1 >= from {
                model.states(&mut random, |image| each(i + 1, image));
            }
        }
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is safe, and what may or may not be there.
struct Model {
    safe: Image,
    open: Vec<Piece>,
}
#[derive(Clone)]
struct Piece {
    what: What,
    /// A sync failed since: no later one makes it safe.
    void: bool,
}
#[derive(Clone)]
enum What {
    Sector(u64, u64, Arc<Vec<u8>>, std::ops::Range<usize>),
    Len(u64, u64),
    Entry(Entry),
}
impl Model {
    fn apply(&mut self, call: &Call) {
        let mut push = |what| self.open.push(Piece { what, void: false });
        match call {
            Call::Write(file, at, bytes) => {
                let mut from = 0;
                while from < bytes.len() {
                    let place = at + from as u64;
                    let to = (from + (SECTOR - place % SECTOR) as usize).min(bytes.len());
                    push(What::Sector(*file, place, bytes.clone(), from..to));
                    from = to;
                }
            }
            Call::SetLen(file, len) => push(What::Len(*file, *len)),
            Call::Entry(entry) => push(What::Entry(entry.clone())),
            Call::Sync(file) => self.settle(|piece| !piece.void && piece.file() == Some(*file)),
            Call::FailedSync(file) => {
                let hit = self.open.iter_mut().filter(|piece| piece.file() == Some(*file));
                hit.for_each(|piece| piece.void = true);
            }
            Call::SyncDir(dir) => self.settle(|piece| piece.folder() == Some(dir)),
        }
    }
    fn settle(&mut self, safe: impl Fn(&Piece) -> bool) {
        let (done, open) = std::mem::take(&mut self.open).into_iter().partition(|piece| safe(piece));
        self.open = open;
        let done: Vec<Piece> = done;
        for piece in &done {
            piece.put(&mut self.safe);
        }
    }
    fn states(&self, random: &mut u64, mut each: impl FnMut(Image)) {
        let n = self.open.len();
        let mut state = |there: &dyn Fn(usize) -> bool| {
            let mut image = self.safe.clone();
            let kept = self.open.iter().enumerate().filter(|(i, _)| there(*i));
            kept.for_each(|(_, piece)| piece.put(&mut image));
            image.prune();
            each(image);
        };
        state(&|_| false);
        if n == 0 {
            return;
        }
        state(&|_| true);
        // Many pieces are zeros written ahead: a few of them stand for all.
        let step = n.div_ceil(16);
        for i in (0..n).step_by(step).filter(|_| n > 1) {
            state(&|k| k != i);
            state(&|k| k == i);
            if i > 1 {
                state(&|k| k < i);
            }
        }
        for _ in 0..4 {
            let mut bits = Vec::with_capacity(n);
            for _ in 0..n {
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                bits.push(*random & 1 == 0);
            }
            state(&|k| bits.get(k).copied().unwrap_or(false));
        }
    }
}
impl Piece {
    fn file(&self) -> Option<u64> {
        match &self.what {
            What::Sector(file, ..) | What::Len(file, _) => Some(*file),
            What::Entry(_) => None,
        }
    }
    fn folder(&self) -> Option<&Path> {
        match &self.what {
            What::Entry(Entry::Create(path, _) | Entry::Folder(path) | Entry::Rename(_, path, _) | Entry::Remove(path)) => path.parent(),
            What::Sector(..) | What::Len(..) => None,
        }
    }
    fn put(&self, image: &mut Image) {
        match &self.what {
            What::Sector(file, at, bytes, range) => image.write(*file, *at, bytes.get(range.clone()).unwrap_or_default()),
            What::Len(file, len) => image.set_len(*file, *len),
            What::Entry(entry) => image.enter(entry),
        }
    }
}
impl Image {
    /// The files there are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.names.keys().cloned().collect()
    }
    /// What a file holds.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.files.get(self.names.get(path)?).map(|bytes| bytes.to_vec())
    }
    /// Somebody takes a file away.
    pub fn remove(&mut self, path: &Path) {
        self.names.remove(path);
    }
    /// Other bytes for a file that is there.
    pub fn replace(&mut self, path: &Path, bytes: Vec<u8>) {
        if let Some(id) = self.names.get(path) {
            self.files.insert(*id, Arc::new(bytes));
        }
    }
    fn write(&mut self, file: u64, at: u64, bytes: &[u8]) {
        let held = Arc::make_mut(self.files.entry(file).or_default());
        let (at, end) = (at as usize, at as usize + bytes.len());
        if held.len() < end {
            held.resize(end, 0);
        }
        if let Some(place) = held.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
    }
    fn set_len(&mut self, file: u64, len: u64) {
        Arc::make_mut(self.files.entry(file).or_default()).resize(len as usize, 0);
    }
    fn enter(&mut self, entry: &Entry) {
        match entry {
            Entry::Create(path, file) => {
                self.names.insert(path.clone(), *file);
                self.files.entry(*file).or_default();
            }
            Entry::Folder(path) => {
                self.folders.insert(path.clone());
            }
            Entry::Rename(from, to, file) => {
                self.names.remove(from);
                self.names.insert(to.clone(), *file);
            }
            Entry::Remove(path) => {
                self.names.remove(path);
                self.folders.remove(path);
            }
        }
    }
    /// A file is only there with all folders above it.
    fn prune(&mut self) {
        let folders = &self.folders;
        let there = |path: &Path| path.ancestors().skip(1).all(|dir| dir == Path::new("") || folders.contains(dir));
        self.names.retain(|path, _| there(path));
        let lost: Vec<_> = self.folders.iter().filter(|path| !there(path)).cloned().collect();
        self.folders.retain(|path| !lost.contains(path));
        let held: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|id, _| held.contains(id));
    }
}

impl Disk for Recorded {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let found = state.now.names.get(path).copied();
        let id = match (how, found) {
            (Open::Existing, Some(id)) => id,
            (Open::Existing, None) => return Err(io::ErrorKind::NotFound.into()),
            (Open::New, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Open::New, None) => {
                let mut folders: Vec<_> = path.ancestors().skip(1).filter(|dir| *dir != Path::new("")).collect();
                folders.reverse();
                for folder in folders {
                    if !state.now.folders.contains(folder) {
                        state.entry(Entry::Folder(folder.to_owned()));
                    }
                }
                state.next += 1;
                let id = state.next;
                state.entry(Entry::Create(path.to_owned(), id));
                id
            }
        };
        Ok(Arc::new(File { disk: self.clone(), id }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let id = state.now.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.entry(Entry::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inside = |other: &Path| other != path && other.starts_with(path);
        if state.now.names.keys().any(|name| inside(name)) || state.now.folders.iter().any(|name| inside(name)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if !state.now.names.contains_key(path) && !state.now.folders.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.entry(Entry::Remove(path.to_owned()));
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state();
        let all = state.now.names.keys().chain(&state.now.folders);
        Ok(all.filter(|path| path.parent() == Some(dir)).cloned().collect())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().calls.push(Call::SyncDir(dir.to_owned()));
        Ok(())
    }
    fn space(&self) -> io::Result<Space> {
        Ok(Space {
            total: 1 << 40,
            free: 1 << 40,
        })
    }
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}
impl State {
    fn entry(&mut self, entry: Entry) {
        self.now.enter(&entry);
        self.calls.push(Call::Entry(entry));
    }
}
/// Told apart in the recording.
struct File {
    disk: Recorded,
    id: u64,
}
impl DiskFile for File {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let held = state
            .now
            .files
            .get(&self.id)
            .and_then(|held| held.get(at as usize..))
            .unwrap_or_default();
        let count = held.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), held.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
    fn read_cached(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        self.read_at(buf, at).map(Some)
    }
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.now.write(self.id, at, buf);
        state.calls.push(Call::Write(self.id, at, Arc::new(buf.to_vec())));
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.now.set_len(self.id, len);
        state.calls.push(Call::SetLen(self.id, len));
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Some(after) = &mut state.fail_sync {
            if *after == 0 {
                state.fail_sync = None;
                state.calls.push(Call::FailedSync(self.id));
                return Err(io::Error::other("the disk lost what was written"));
            }
            *after -= 1;
        }
        state.calls.push(Call::Sync(self.id));
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        Ok(state.now.files.get(&self.id).map_or(0, |held| held.len() as u64))
    }
}
