//! The journal: numbered files that are written once through and used again under a new number.
use crate::{
    disk::{DiskFile, Open},
    error::Error,
    le::{self, Salt},
    names,
    options::{Limits, Sabotage},
    shared::Shared,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Bytes before the first frame.
pub(crate) const HEADER: usize = 64;
/// Files at most, while none is empty.
pub(crate) const FILES: usize = 4;

/// The 64 bytes, checked. "Void after" is written as 0 until a failed sync is survived without a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    pub(crate) salt: u64,
}
impl Header {
    /// The salt is part of the header, so a lost marker can be rebuilt from it.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let salt = le::u64_at(bytes, 32)?;
        if bytes.get(..4)? != b"TGj1" || !Salt::new(salt).seals(bytes, 60) {
            return None;
        }
        Some(Self {
            number: le::u64_at(bytes, 8)?,
            first_seq: le::u64_at(bytes, 16)?,
            salt,
        })
    }
    pub(crate) fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        le::put(&mut bytes, 0, b"TGj1");
        le::put(&mut bytes, 4, &names::FORMAT.to_le_bytes());
        le::put(&mut bytes, 8, &self.number.to_le_bytes());
        le::put(&mut bytes, 16, &self.first_seq.to_le_bytes());
        le::put(&mut bytes, 32, &self.salt.to_le_bytes());
        let crc = Salt::new(self.salt).crc(&bytes[..60]);
        le::put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }
}

/// One file under one number. A recycled file is a new one of these.
pub(crate) struct JournalFile {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// What was read from it may be from another life.
    recycled: AtomicBool,
    /// Zeros reach up to here.
    zeroed: Mutex<Zeroed>,
    zeroing: Condvar,
}
#[derive(Clone, Copy)]
struct Zeroed {
    to: u64,
    busy: bool,
}
impl JournalFile {
    pub(crate) fn new(number: u64, file: Arc<dyn DiskFile>, zeroed: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            file,
            recycled: AtomicBool::new(false),
            zeroed: Mutex::new(Zeroed { to: zeroed, busy: false }),
            zeroing: Condvar::new(),
        })
    }
    /// A new file, zeroed as far as asked and synced, with its folder entry.
    pub(crate) fn create(shared: &Shared, number: u64) -> Result<Arc<Self>, Error> {
        let limits = &shared.limits;
        let path = names::journal(number);
        let file = shared.disk.open(&path, Open::New).map_err(Error::disk("create a journal file"))?;
        let zeroed = limits.internal.zero_ahead.min(limits.journal_file);
        let made = zero(&*file, 0, zeroed)
            .and_then(|()| shared.sync_new(&*file))
            .and_then(|()| shared.sync_dirs(&path));
        if let Err(error) = made {
            // Half a file would only take the room that is missing.
            let _gone_or_swept_later = shared.disk.remove(&path);
            return Err(Error::disk("prepare a journal file")(error));
        }
        Ok(Self::new(number, file, zeroed))
    }
    /// An emptied file under the next number; whoever still reads it finds out afterwards.
    pub(crate) fn reuse(self: &Arc<Self>, shared: &Shared, number: u64) -> Result<Arc<Self>, Error> {
        self.recycle();
        let path = names::journal(number);
        shared
            .disk
            .rename(&names::journal(self.number), &path)
            .and_then(|()| shared.sync_dirs(&path))
            .map_err(Error::disk("reuse a journal file"))?;
        let zeroed = self.zeroed().to;
        Ok(Self::new(number, self.file.clone(), zeroed))
    }
    pub(crate) fn is_recycled(&self) -> bool {
        self.recycled.load(Ordering::Acquire)
    }
    pub(crate) fn recycle(&self) {
        self.recycled.store(true, Ordering::Release);
    }
    /// The commit thread is about to write up to `to`: waits for zeros being written there, so that they never overwrite a frame.
    fn claim(&self, to: u64) {
        let mut zeroed = self.zeroed();
        while zeroed.busy && to > zeroed.to {
            zeroed = self.zeroing.wait(zeroed).unwrap_or_else(PoisonError::into_inner);
        }
        zeroed.to = zeroed.to.max(to);
    }
    /// Whether less than half of the zeros asked for are left.
    pub(crate) fn wants_zeros(&self, at: u64, limits: &Limits) -> bool {
        let to = self.zeroed().to;
        to < limits.journal_file && to < at + limits.internal.zero_ahead / 2
    }
    /// Writes the next zeros and syncs them through a handle of its own: an error there is told to both handles.
    pub(crate) fn zero_ahead(&self, shared: &Shared) -> Result<(), Error> {
        let limits = &shared.limits;
        let from = {
            let mut zeroed = self.zeroed();
            zeroed.busy = true;
            zeroed.to
        };
        let to = (from + limits.internal.zero_ahead).min(limits.journal_file);
        let done = shared
            .disk
            .open(&names::journal(self.number), Open::Existing)
            .and_then(|file| zero(&*file, from, to).and_then(|()| shared.sync_file(&*file)));
        {
            let mut zeroed = self.zeroed();
            zeroed.busy = false;
            if done.is_ok() {
                zeroed.to = zeroed.to.max(to);
            }
        }
        self.zeroing.notify_all();
        done.map_err(Error::disk("extend a journal file"))
    }
    fn zeroed(&self) -> MutexGuard<'_, Zeroed> {
        self.zeroed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
fn zero(file: &dyn DiskFile, from: u64, to: u64) -> std::io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let len = (to - at).min(ZEROS.len() as u64) as usize;
        file.write_at(ZEROS.get(..len).unwrap_or_default(), at)?;
        at += len as u64;
    }
    Ok(())
}

/// The files that are not being written: the next one, and those the mover has to empty.
#[derive(Default)]
pub(crate) struct Files {
    state: Mutex<State>,
    ready: Condvar,
}
#[derive(Default)]
pub(crate) struct State {
    pub(crate) spare: Option<Arc<JournalFile>>,
    /// Oldest first.
    pub(crate) closed: VecDeque<Closed>,
    /// Emptied by the mover, still under their old numbers.
    pub(crate) free: Vec<Arc<JournalFile>>,
    pub(crate) next_number: u64,
    /// Why there is no next file.
    pub(crate) failed: Option<Error>,
    /// Being written, for the zeros ahead: the file and its end.
    pub(crate) open: Option<(Arc<JournalFile>, u64)>,
    /// Number of the last frame that was synced.
    pub(crate) synced: u64,
}
/// A file that will not be written any more.
#[derive(Clone)]
pub(crate) struct Closed {
    pub(crate) file: Arc<JournalFile>,
    pub(crate) last_seq: u64,
    /// Its used bytes.
    pub(crate) bytes: u64,
    /// Nothing but zeros.
    pub(crate) blank: bool,
}
impl Files {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The next file, if it is ready; waits up to `patience` for the mover.
    fn spare(&self, patience: Duration) -> Result<Option<Arc<JournalFile>>, Error> {
        let state = self.state();
        let (mut state, _) = self
            .ready
            .wait_timeout_while(state, patience, |s| s.spare.is_none() && s.failed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match (state.spare.take(), state.failed.clone()) {
            (Some(file), _) => Ok(Some(file)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }
    /// The last file but one is being written: the mover must not rest.
    pub(crate) fn run_short(&self) -> bool {
        self.state().closed.len() >= FILES - 1
    }
    /// How long to wait after so many bytes, so that a slow mover slows publishers smoothly: from the last but one file on in proportion
    /// to how full that is, down to half the mover's own rate.
    pub(crate) fn brake(&self, bytes: usize, rate: u64, limits: &Limits) -> Duration {
        let (behind, at) = {
            let state = self.state();
            (state.closed.len() >= FILES - 1, state.open.as_ref().map_or(0, |(_, at)| *at))
        };
        if !behind || rate == 0 {
            return Duration::ZERO;
        }
        let us = (2_000_000.0 * bytes as f64 / rate as f64) * (at as f64 / limits.journal_file as f64);
        Duration::from_micros(us as u64).min(Duration::from_millis(50))
    }
    pub(crate) fn offer(&self, spare: Result<Arc<JournalFile>, Error>) {
        let mut state = self.state();
        match spare {
            Ok(file) => (state.spare, state.failed) = (Some(file), None),
            Err(error) => state.failed = Some(error),
        }
        drop(state);
        self.ready.notify_all();
    }
}

/// The file a start begins with: one made ahead, else a new one; `None`: there is no room for one yet. A used one is left to the mover:
/// what lies in it must not turn up behind a torn first frame.
pub(crate) fn first(shared: &Shared) -> Result<Option<Arc<JournalFile>>, Error> {
    let (number, empty, many) = {
        let mut state = shared.files.state();
        let empty = |closed: &Closed| closed.blank;
        let at = state.closed.iter().position(empty);
        let empty = at.and_then(|at| state.closed.remove(at));
        state.next_number += 1;
        (state.next_number - 1, empty, state.closed.len() >= FILES)
    };
    let short = shared.disk.space().is_ok_and(|space| space.free < shared.limits.reserve);
    let made = match empty {
        Some(closed) => closed.file.reuse(shared, number),
        // Starts that follow each other quickly must not fill the disk with files.
        None if many && short => Err(Error::Full),
        None => JournalFile::create(shared, number),
    };
    match made {
        Ok(file) => Ok(Some(file)),
        Err(Error::Full) => {
            shared.files.offer(Err(Error::Full));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
/// The frame that every later recovery must find before any other of this start.
pub(crate) struct Opening {
    pub(crate) frame: Vec<u8>,
    pub(crate) records: u32,
}

/// The commit thread's end of the journal.
pub(crate) struct Writer {
    /// `None`: there was no room for one since the start.
    pub(crate) file: Option<Arc<JournalFile>>,
    /// Where the next frame goes; 0: the header is not written yet.
    at: u64,
    /// Of the first frame in this file, even if that one could not be written.
    first_seq: u64,
    /// Only to prove that the crash model notices.
    owed: bool,
    /// Of the next frame.
    pub(crate) seq: u64,
    /// Of the last frame that was written. A file begins right behind it, so that a whole file that is lost shows.
    good: u64,
    /// What this file has added to the index in memory.
    pub(crate) runs: usize,
}
impl Writer {
    pub(crate) fn new(file: Option<Arc<JournalFile>>, seq: u64) -> Self {
        Self {
            file,
            at: 0,
            first_seq: seq,
            seq,
            good: seq.saturating_sub(1),
            runs: 0,
            owed: false,
        }
    }
    /// Whether a frame fits into the file. One whose records lie in many small pieces is full before its bytes are: all files together
    /// keep the index within its budget, and there are [`FILES`] of them.
    fn fits(&self, frame: usize, limits: &Limits) -> bool {
        self.file.is_some() && self.runs < limits.internal.runs / FILES && self.at.max(HEADER as u64) + frame as u64 <= limits.journal_file
    }
    /// Writes the first frame of a start; gives it back if that fails.
    pub(crate) fn open(&mut self, shared: &Shared, mut opening: Opening) -> Result<(), (Error, Opening)> {
        let Opening { frame, records } = &mut opening;
        let written = match self.reserve(shared, frame.len(), Duration::ZERO) {
            Ok(true) => self.write(shared, frame, *records, crate::frame::flag::RECOVERED),
            Ok(false) => Err(Error::Full),
            Err(error) => Err(error),
        };
        written.map(drop).map_err(|error| (error, opening))
    }
    /// Goes on to the next file if a frame of this size does not fit.
    pub(crate) fn reserve(&mut self, shared: &Shared, frame: usize, patience: Duration) -> Result<bool, Error> {
        if self.fits(frame, &shared.limits) {
            return Ok(true);
        }
        let Some(next) = shared.files.spare(patience)? else {
            return Ok(false);
        };
        let closed = self.file.replace(next).map(|file| Closed {
            file,
            last_seq: self.good,
            bytes: self.at,
            blank: false,
        });
        self.at = 0;
        self.first_seq = self.good + 1;
        self.runs = 0;
        shared.files.state().closed.extend(closed);
        shared.mover.wake();
        Ok(true)
    }
    /// Writes one frame (whose first 32 bytes are free) and syncs it; the place of its first record.
    pub(crate) fn write(&mut self, shared: &Shared, frame: &mut Vec<u8>, records: u32, flags: u32) -> Result<u64, Error> {
        let limits = &shared.limits;
        let Some(file) = self.file.clone() else {
            return Err(Error::Full);
        };
        if std::mem::take(&mut self.owed) {
            shared.sync_journal(&*file.file)?;
        }
        crate::frame::Header::write(frame, self.seq, records, flags, shared.salt);
        // Numbers are never used twice, not even after a failed write.
        self.seq += 1;
        let at = self.at.max(HEADER as u64);
        let end = at + frame.len() as u64;
        file.claim(end);
        let written = if self.at == 0 {
            let head = Header {
                number: file.number,
                first_seq: self.first_seq,
                salt: shared.salt.value,
            };
            frame.splice(0..0, head.bytes());
            let written = file.file.write_at(frame, 0);
            frame.drain(..HEADER);
            written
        } else {
            file.file.write_at(frame, at)
        };
        written.map_err(Error::disk("write to the journal"))?;
        if shared.limits.sabotaged(Sabotage::AnswerBeforeSync) {
            self.owed = true;
        } else {
            shared.sync_journal(&*file.file)?;
        }
        self.at = end;
        self.good = self.seq - 1;
        {
            let mut state = shared.files.state();
            state.open = Some((file.clone(), end));
            state.synced = self.good;
        }
        if file.wants_zeros(end, limits) {
            shared.mover.wake();
        }
        Ok(at + crate::frame::HEADER as u64)
    }
}
