//! Files of signing keys: made where there are none, for this user's eyes only, and taken up again when they change.
use arc_swap::ArcSwap;
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tidegate_config::listener::File;
use tidegate_control::access::{
    signing::{Ring, Turn},
    token,
};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
    tasks::{self, Task},
};

/// How often a file is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// A new key signs so long after it was made: whoever shares the file has looked at it some times by then.
const AFTER: Duration = Duration::from_secs(10);
/// 64 keys are far below it.
const MOST: u64 = 1 << 20;

/// The keys of one file.
pub(crate) struct SigningKeys {
    path: PathBuf,
    /// `listeners.memphis.keys (tidegate.yaml:3:20)`, or where it is by itself.
    named: String,
    ring: Arc<ArcSwap<Ring>>,
    /// How long tokens of a key hold after it signed its last.
    overlap: Duration,
}
/// What a turn of keys has made.
pub(crate) struct Turned {
    /// All of them, the newest first.
    pub(crate) names: Vec<String>,
    /// When that one begins to sign, microseconds since the epoch; `None`: it does.
    pub(crate) signs_from: Option<i64>,
}
impl SigningKeys {
    /// As the listener names it, or in the data folder. A key that signs no more is kept for `overlap`.
    pub(crate) fn open(named: Option<&File>, data_dir: &Path, overlap: Duration) -> Result<Arc<Self>> {
        let path = named.map_or_else(|| data_dir.join("keys").join("sessions.json"), |file| file.path.clone());
        let named = named.map_or_else(
            || "the data folder".to_owned(),
            |file| format!("`listeners.memphis.keys` ({})", file.at),
        );
        let ring = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&path, &Ring::fresh()?).map_err(|error| unusable(&path, &named, "written", &error))?;
                // Of who was first, where several nodes start at once.
                read(&path)
            }
            other => other,
        };
        let text = ring.map_err(|error| unusable(&path, &named, "read", &error))?;
        let ring = parse(&path, &named, &text)?;
        let mode = fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o007 != 0 {
            tracing::warn!(file = %path.display(), "everybody on this machine can read the signing keys: `chmod o-rwx` keeps them private");
        }
        Ok(Arc::new(Self {
            path,
            named,
            ring: Arc::new(ArcSwap::from_pointee(ring)),
            overlap,
        }))
    }
    /// As they are, and will be.
    pub(crate) fn ring(&self) -> &Arc<ArcSwap<Ring>> {
        &self.ring
    }
    /// Puts a new key before those there are. `revoke`: in their place, so that every session ends.
    pub(crate) fn rotate(&self, revoke: bool) -> Result<Turned> {
        let unwritable = |error: io::Error| unusable(&self.path, &self.named, "written", &error);
        // Nodes that turn at once do it one after the other, and none loses the key of another.
        let _turn = locked(&self.path).map_err(unwritable)?;
        // What the file holds now, not what it held a moment ago: a key that was taken out stays out.
        self.look()?;
        let turn = Turn {
            now: clock::now_us(),
            after: AFTER,
            overlap: self.overlap,
        };
        let text = if revoke { Ring::fresh()? } else { self.ring.load().turned(turn)? };
        replace(&self.path, &text).map_err(unwritable)?;
        self.look()?;
        let ring = self.ring.load();
        Ok(Turned {
            names: ring.names(),
            signs_from: ring.signs_from(turn.now),
        })
    }
    /// Whether the file holds others now, which then hold.
    fn look(&self) -> Result<bool> {
        let text = read(&self.path).map_err(|error| unusable(&self.path, &self.named, "read", &error))?;
        let ring = parse(&self.path, &self.named, &text)?;
        let same = ring == **self.ring.load();
        if !same {
            self.ring.store(Arc::new(ring));
        }
        Ok(!same)
    }
}
/// Looks at all of them every few seconds, for as long as it is kept. What cannot be used is told once, and the old ones stay.
pub(crate) fn watch(all: Vec<Arc<SigningKeys>>) -> Task {
    tasks::spawn(async move {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told: Vec<Option<String>> = vec![None; all.len()];
        while !all.is_empty() {
            every.tick().await;
            let looked = all.clone();
            let look = move || looked.iter().map(|keys| keys.look()).collect::<Vec<_>>();
            // A disk may be far away.
            let Ok(looked) = tokio::task::spawn_blocking(look).await else {
                continue;
            };
            for ((keys, told), looked) in all.iter().zip(&mut told).zip(looked) {
                let error = looked.as_ref().err().map(ToString::to_string);
                match looked {
                    Ok(true) => tracing::info!(file = %keys.path.display(), keys = ?keys.ring.load(), "new signing keys"),
                    Err(error) if told.as_deref() != Some(&*error.to_string()) => {
                        tracing::warn!(error = %error, "the new signing keys cannot be used, the old ones stay");
                    }
                    _ => {}
                }
                *told = error;
            }
        }
    })
}
fn parse(path: &Path, named: &str, text: &str) -> Result<Ring> {
    Ring::parse(text).map_err(|error| {
        let told = format!("`{}`, named by {named}: {error}", path.display());
        let hint = error.hint().unwrap_or_default().to_owned();
        Error::new(error.code(), error.fault(), told).with_hint(hint)
    })
}
fn unusable(path: &Path, named: &str, verb: &str, error: &io::Error) -> Error {
    let text = format!("`{}`, named by {named}, cannot be {verb}: {error}", path.display());
    Error::new(Code::BadSigningKey, Fault::Operator, text)
}
fn read(path: &Path) -> io::Result<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads signing keys")]
    let file = fs::File::open(path)?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}
/// Whole or not at all, and not over what somebody else has made in the same moment.
fn make(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, text)?;
    let made = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => synced(path),
    }
}
/// Until it is dropped, by one process of all that reach the file.
fn locked(path: &Path) -> io::Result<fs::File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let beside = path.with_file_name(name);
    let lock = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside)?;
    lock.lock()?;
    Ok(lock)
}
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, text)?;
    fs::rename(&new, path)?;
    synced(path)
}
/// On disk beside it, under a name of this process.
fn beside(path: &Path, text: &str) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Processes in containers all have the same number.
    let (_, mark) = token::make().map_err(|error| io::Error::other(error.to_string()))?;
    name.push(format!(".new.{}", token::hex(&mark).get(..16).unwrap_or_default()));
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(new)
}
fn synced(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::OpenOptions::new().read(true).open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_kept_private_and_turned() {
        let folder = tempfile::tempdir().unwrap();
        let open = || SigningKeys::open(None, folder.path(), Duration::from_hours(5));
        let (first, second) = (open().unwrap(), open().unwrap());
        let ids = |keys: &SigningKeys| format!("{:?}", keys.ring().load());
        assert_eq!(ids(&first), ids(&second));
        let file = folder.path().join("keys/sessions.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let before = ids(&first);
        let turned = first.rotate(false).unwrap();
        assert!(turned.names.len() == 2 && turned.signs_from.is_some_and(|from| from > clock::now_us()));
        assert!(ids(&first) != before && ids(&second) == before);
        assert!(second.look().unwrap() && !second.look().unwrap());
        assert_eq!(ids(&first), ids(&second));
        // All at once, and no key is lost.
        std::thread::scope(|scope| {
            for keys in [&first, &second, &first, &second] {
                scope.spawn(|| keys.rotate(false).unwrap());
            }
        });
        assert_eq!(read(&file).unwrap().matches("kid").count(), 6);
        let revoked = second.rotate(true).unwrap();
        assert_eq!((revoked.names.len(), revoked.signs_from), (1, None));
        fs::OpenOptions::new().write(true).truncate(true).open(&file).unwrap();
        assert_eq!(second.look().unwrap_err().code(), Code::BadSigningKey);
        assert_eq!(open().err().unwrap().code(), Code::BadSigningKey);
    }
}
