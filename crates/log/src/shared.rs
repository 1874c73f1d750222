//! What the threads, the callers and the readers share.
use crate::{
    Hooks, Status,
    bell::Bell,
    catalog::Catalog,
    dead::Undertaker,
    disk::{Disk, DiskFile},
    error::Error,
    herald::Herald,
    intake::Intake,
    journal,
    le::Salt,
    options::{Limits, Sabotage},
    reached::Keeper,
};
use std::{
    any::Any,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::{Notify, Semaphore};

/// Cold reads at a time.
const COLD: usize = 4;

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) limits: Limits,
    pub(crate) hooks: Hooks,
    pub(crate) salt: Salt,
    pub(crate) intake: Intake,
    pub(crate) herald: Herald,
    pub(crate) catalog: Catalog,
    pub(crate) files: journal::Files,
    pub(crate) reached: Keeper,
    pub(crate) mover: Bell,
    pub(crate) dead: Undertaker,
    pub(crate) cold: Semaphore,
    pub(crate) counters: Counters,
    pub(crate) health: Health,
    pub(crate) life: Life,
}
/// Numbers for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_us: AtomicU64,
    pub(crate) tail_bytes: AtomicU64,
    pub(crate) moved: AtomicU64,
    /// Bytes per second of the last move; 0: there was none.
    pub(crate) move_rate: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) dedupe_ids: AtomicU64,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, limits: Limits, hooks: Hooks, salt: Salt, lock: Box<dyn Any + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            intake: Intake::new(limits.intake),
            herald: Herald::default(),
            catalog: Catalog::default(),
            files: journal::Files::default(),
            reached: Keeper::default(),
            mover: Bell::default(),
            dead: Undertaker::default(),
            cold: Semaphore::new(COLD),
            counters: Counters::default(),
            health: Health::default(),
            life: Life::new(lock),
            disk,
            limits,
            hooks,
            salt,
        })
    }
    /// Of the journal, measured.
    pub(crate) fn sync_journal(&self, file: &dyn DiskFile) -> Result<(), Error> {
        let started = tidegate_core::clock::instant();
        let synced = self.sync_file(file);
        self.counters.syncs.fetch_add(1, Relaxed);
        self.counters.sync_us.store(started.elapsed().as_micros() as u64, Relaxed);
        synced.map_err(Error::disk("sync the journal"))
    }
    /// A failure ends all writing: nobody knows what the file holds, and the next sync of it would lie.
    pub(crate) fn sync_file(&self, file: &dyn DiskFile) -> io::Result<()> {
        let synced = self.sync_new(file);
        if let Err(error) = &synced {
            self.health.fail(format!("the disk refused to sync: {error}"));
        }
        synced
    }
    /// Of a file that is thrown away if this fails.
    pub(crate) fn sync_new(&self, file: &dyn DiskFile) -> io::Result<()> {
        if self.limits.sabotaged(Sabotage::NoSync) {
            return Ok(());
        }
        file.sync()
    }
    /// The folder of `path` and all above it, up to the data folder.
    pub(crate) fn sync_dirs(&self, path: &Path) -> io::Result<()> {
        if self.limits.sabotaged(Sabotage::NoFolderSync) {
            return Ok(());
        }
        path.ancestors().skip(1).try_for_each(|dir| self.disk.sync_dir(dir))
    }
}

/// Whether the log can be written to.
#[derive(Debug, Default)]
pub(crate) struct Health {
    read_only: AtomicBool,
    full: AtomicBool,
    status: Mutex<Status>,
}
impl Health {
    pub(crate) fn status(&self) -> Status {
        self.lock().clone()
    }
    /// Until the next start.
    pub(crate) fn fail(&self, reason: String) {
        *self.lock() = Status::ReadOnly { reason };
        self.read_only.store(true, Relaxed);
    }
    pub(crate) fn set_full(&self, full: bool, now: i64) {
        let mut status = self.lock();
        *status = match (&*status, full) {
            (Status::Serving, true) => Status::Full { since: now },
            (Status::Full { .. }, false) => Status::Serving,
            _ => return,
        };
        self.full.store(full, Relaxed);
    }
    /// Whether publishes may be taken.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.read_only.load(Relaxed) {
            return Err(Error::ReadOnly);
        }
        if self.full.load(Relaxed) {
            return Err(Error::Full);
        }
        Ok(())
    }
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.load(Relaxed)
    }
    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads still running; the last one gives the folder back.
pub(crate) struct Life {
    state: Mutex<Running>,
    ended: Notify,
}
struct Running {
    threads: usize,
    lock: Option<Box<dyn Any + Send + Sync>>,
}
impl Life {
    fn new(lock: Box<dyn Any + Send + Sync>) -> Self {
        Self {
            state: Mutex::new(Running {
                threads: 0,
                lock: Some(lock),
            }),
            ended: Notify::new(),
        }
    }
    pub(crate) fn start(&self) {
        self.state().threads += 1;
    }
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.threads = state.threads.saturating_sub(1);
        if state.threads == 0 {
            state.lock = None;
            self.ended.notify_waiters();
        }
    }
    /// Resolves when no thread runs any more.
    pub(crate) async fn over(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.state().threads == 0 {
                return;
            }
            ended.await;
        }
    }
    fn state(&self) -> MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
