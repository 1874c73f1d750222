//! The folders on the way to each file, links included: a file that is replaced is another one, its folder stays; a folder that is
//! replaced is another one too.
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// An editor writes, renames and removes: it is over when nothing happened for so long.
const QUIET: Duration = Duration::from_millis(50);
const RESTLESS: Duration = Duration::from_secs(1);
/// A file that is being written is not read before it is closed, or that long.
const WRITTEN: Duration = Duration::from_secs(10);
/// Links followed on the way to one file.
const LINKS: usize = 40;

pub(super) struct Folders {
    /// `None`: the system has no more watches to give.
    watcher: Option<RecommendedWatcher>,
    /// Which folder it was: device and number.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    shared: Arc<Shared>,
}
#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Notify,
}
#[derive(Default)]
struct Seen {
    /// Files and folders that count, and what lies on the way to them.
    touched: BTreeSet<PathBuf>,
    /// Those of them whose documents count, whatever they are called.
    folders: BTreeSet<PathBuf>,
    /// What is written to, and not closed yet.
    open: BTreeSet<PathBuf>,
}
impl Folders {
    pub(super) fn new() -> Self {
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
            watched: BTreeMap::new(),
            shared,
        }
    }
    /// From now on these count. What is watched anew may have changed before: it is looked at once more.
    pub(super) fn follow(&mut self, touched: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut ways: BTreeSet<PathBuf> = touched.iter().flat_map(|path| way(path)).collect();
        let mut wanted: BTreeSet<_> = ways.iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
        let folders: BTreeSet<_> = touched.iter().map(|path| absolute(path)).filter(|path| path.is_dir()).collect();
        wanted.extend(folders.iter().cloned());
        ways.extend(touched.iter().map(|path| absolute(path)));
        // Before anything is watched: what happens from then on counts.
        let mut seen = self.shared.seen();
        (seen.touched, seen.folders) = (ways, folders);
        drop(seen);
        let watched = &mut self.watched;
        watched.retain(|folder, was| {
            let stays = wanted.contains(folder) && identity(folder) == Some(*was);
            if !stays {
                // It may be gone for good.
                let _gone = watcher.unwatch(folder);
            }
            stays
        });
        for folder in wanted {
            let Some(now) = identity(&folder).filter(|_| !watched.contains_key(&folder)) else {
                continue;
            };
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder, now);
                    self.shared.changed.notify_one();
                }
                Err(error) => tracing::debug!(folder = %folder.display(), error = %error, "not watched"),
            }
        }
    }
    /// Something happened to one of them, and it is over. Cancel-safe.
    pub(super) async fn changed(&self) {
        if self.watcher.is_none() {
            std::future::pending::<()>().await;
        }
        self.shared.changed.notified().await;
        let quiet = async { while tokio::time::timeout(QUIET, self.shared.changed.notified()).await.is_ok() {} };
        // Where it never becomes quiet: as it is now.
        let _restless = tokio::time::timeout(RESTLESS, quiet).await;
        let closed = async {
            while !self.shared.seen().open.is_empty() {
                self.shared.changed.notified().await;
            }
        };
        let _still_open = tokio::time::timeout(WRITTEN, closed).await;
        self.shared.seen().open.clear();
    }
}
impl Shared {
    fn counts(&self, event: &Event) -> bool {
        let mut seen = self.seen();
        // Beside a document others may lie, such as a log that never ends.
        let counted = |path: &PathBuf| {
            let inside = || path.parent().is_some_and(|folder| seen.folders.contains(folder));
            seen.touched.contains(path) || (is_document(path) && inside())
        };
        if !event.paths.is_empty() && !event.paths.iter().any(counted) {
            return false;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                for path in &event.paths {
                    seen.open.remove(path);
                }
            }
            // Reading is no change.
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Data(_)) => seen.open.extend(event.paths.iter().cloned()),
            _ => {}
        }
        true
    }
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// As it is looked for in a folder.
fn is_document(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
fn identity(folder: &Path) -> Option<(u64, u64)> {
    folder.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
/// Every folder, link and file on the way to a path, whether or not it is there.
fn way(path: &Path) -> BTreeSet<PathBuf> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    let mut rest: VecDeque<OsString> = absolute(path).components().filter_map(part).collect();
    let (mut at, mut way, mut links) = (PathBuf::from("/"), BTreeSet::new(), 0);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(name);
        way.insert(at.clone());
        let Ok(target) = at.read_link() else { continue };
        links += 1;
        if links > LINKS {
            break;
        }
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for component in target.components().rev().filter_map(part) {
            rest.push_front(component);
        }
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A log that grows beside a file holds up nothing, beside documents of a folder neither.
    #[test]
    fn what_lies_beside_a_document_does_not_count() {
        use notify::event::DataChange;
        let shared = Shared::default();
        shared.seen().touched = ["/e", "/e/tidegate.yaml", "/e/more"].map(PathBuf::from).into();
        shared.seen().folders = ["/e/more"].map(PathBuf::from).into();
        let written = |path: &str| {
            let event = Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any))).add_path(path.into());
            let counts = shared.counts(&event);
            (counts, std::mem::take(&mut shared.seen().open).len())
        };
        for path in ["/e/tidegate.yaml", "/e/more/new.YML"] {
            assert_eq!(written(path), (true, 1), "{path}");
        }
        for path in ["/e/log", "/e/other.yaml", "/e/more/log", "/e/more/.swp"] {
            assert_eq!(written(path), (false, 0), "{path}");
        }
    }
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test makes its files")]
    fn the_way_goes_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("v1/sub")).unwrap();
        std::fs::write(root.join("v1/sub/a.yaml"), "").unwrap();
        symlink("v1", root.join("..data")).unwrap();
        symlink("..data/sub", root.join("sub")).unwrap();
        let way = way(&root.join("sub/a.yaml"));
        for part in ["sub", "..data", "v1", "v1/sub", "v1/sub/a.yaml"] {
            assert!(way.contains(&root.join(part)), "{part}: {way:?}");
        }
        symlink("loop", root.join("loop")).unwrap();
        assert!(super::way(&root.join("loop/x")).contains(&root.join("loop")));
    }
}
