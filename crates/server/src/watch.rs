//! Brings up what the files say now: when one of them changes, and when SIGHUP asks. What is wrong changes nothing and is told.
use crate::{secrets::Certificates, serve::Hup};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidegate_control::registry::Registry;
use tokio::sync::Notify;

/// An editor writes, renames and removes: it is over when nothing happened for so long.
const QUIET: Duration = Duration::from_millis(50);
const RESTLESS: Duration = Duration::from_secs(1);

/// Until dropped.
pub(crate) async fn watch(registry: Arc<Registry>, certificates: Vec<Arc<Certificates>>, mut hup: Hup) {
    let mut folders = Folders::new();
    // What was brought up last, or refused: neither is told again and again.
    let mut tried = registry.now().files().clone();
    loop {
        folders.follow(tried.touched());
        tokio::select! {
            () = hup.asked() => {
                let all = certificates.clone();
                let _ended = tokio::task::spawn_blocking(move || all.iter().for_each(|one| one.look_now())).await;
                reload(&registry).await;
            }
            () = folders.changed() => {
                let files = match registry.read_again().await {
                    Ok(files) => files,
                    Err(error) => {
                        tracing::warn!(error = %error, "not reloaded, everything goes on as it was");
                        continue;
                    }
                };
                // Beside a file many other things may happen.
                if !files.is_like(&tried) {
                    tried = files;
                    reload(&registry).await;
                }
            }
        }
    }
}
async fn reload(registry: &Arc<Registry>) {
    match registry.reload().await {
        Ok(reloaded) => {
            let applied: Vec<_> = reloaded.applied.iter().map(|done| format!("{} {}", done.word(), done.id)).collect();
            tracing::info!(
                applied = applied.join(", "),
                restart_needed = reloaded.restart_needed.join(", "),
                "reloaded"
            );
        }
        Err(refused) => tracing::warn!(error = %refused, "not reloaded, everything goes on as it was"),
    }
}
/// The folders of the files: a file that is replaced is another one, its folder stays.
struct Folders {
    /// `None`: the system has no more watches to give.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    shared: Arc<Shared>,
}
#[derive(Default)]
struct Shared {
    /// Files and folders that count.
    touched: Mutex<BTreeSet<PathBuf>>,
    changed: Notify,
}
impl Folders {
    fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Events may have been lost: whoever looks sees.
            if event.is_ok_and(|event| !own.counts(&event)) {
                return;
            }
            own.changed.notify_one();
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(error = %error, "files are not watched: send SIGHUP when they change"))
            .ok();
        // What changed since the files were read, before anybody watched.
        shared.changed.notify_one();
        Self {
            watcher,
            watched: BTreeSet::new(),
            shared,
        }
    }
    fn follow(&mut self, touched: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let touched: BTreeSet<_> = touched
            .iter()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            .collect();
        let folder = |path: &PathBuf| path.parent().map(Path::to_owned);
        let wanted: BTreeSet<_> = touched
            .iter()
            .filter_map(folder)
            .chain(touched.iter().filter(|path| path.is_dir()).cloned())
            .collect();
        // Before anything is watched: what happens from then on counts.
        *self.shared.touched.lock().unwrap_or_else(PoisonError::into_inner) = touched;
        for gone in self.watched.difference(&wanted) {
            // It may be gone for good.
            let _gone = watcher.unwatch(gone);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder)),
                Err(error) => tracing::debug!(folder = %folder.display(), error = %error, "not watched"),
            }
        }
    }
    /// Something happened to one of them, and it is over. Cancel-safe.
    async fn changed(&self) {
        if self.watcher.is_none() {
            std::future::pending::<()>().await;
        }
        self.shared.changed.notified().await;
        let settle = async { while tokio::time::timeout(QUIET, self.shared.changed.notified()).await.is_ok() {} };
        // Where it never becomes quiet: as it is now.
        let _restless = tokio::time::timeout(RESTLESS, settle).await;
    }
}
impl Shared {
    fn counts(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            // Reading is no change.
            EventKind::Access(_) => return false,
            _ => {}
        }
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            let within = path.parent().is_some_and(|folder| touched.contains(folder));
            // Kubernetes swaps a link called `..data` beside the links to its files.
            touched.contains(path) || within || name.is_some_and(|name| name.starts_with(".."))
        };
        event.paths.is_empty() || event.paths.iter().any(counts)
    }
}
