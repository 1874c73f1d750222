//! What comes from files and proves who we are: the certificates of the listeners, read at the start and whenever they change. The only
//! place of the program that reads them from the disk.
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidegate_config::{Listener, listener};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
    tasks::{self, Task},
};
use tidegate_entrypoints::listener::tls::{Identity, Tls};
use x509_cert::{Certificate, der::Decode};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);
const BROKEN: &str = "the new certificate cannot be used, the old one stays";
/// No chain is that long.
const MOST: u64 = 1 << 20;

/// What a listener proves itself with, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// `CN=example.org`.
    pub(crate) subject: String,
    /// The last moment it holds: microseconds since the epoch.
    pub(crate) not_after: i64,
}
/// Whether files differ from what is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// As they were.
    No,
    /// What they hold now is in use.
    Yes,
}
/// The certificates of one listener, as they are now.
pub(crate) struct Certificates {
    /// `listeners.gateway`.
    setting: String,
    files: listener::Tls,
    tls: Arc<Tls>,
    state: Mutex<State>,
    seed: RandomState,
}
struct State {
    /// Of what is in use.
    used: u64,
    /// Of what cannot be used, and whether that was told.
    broken: Option<(u64, bool)>,
    shown: Shown,
}
/// What the files hold.
struct Texts {
    certificate: io::Result<Vec<u8>>,
    key: io::Result<Vec<u8>>,
    client_ca: Option<io::Result<Vec<u8>>>,
}
impl Certificates {
    /// Of a listener that has any. What is wrong names the file and where it was named.
    pub(crate) fn open(setting: &str, of: &Listener) -> Result<Option<Arc<Self>>> {
        let Some(files) = of.tls.clone() else { return Ok(None) };
        let seed = RandomState::new();
        let read = read(&files);
        let used = read.hash(&seed);
        let (identity, shown) = identity(setting, &files, read)?;
        let tls = Tls::new(identity).map_err(|error| located(error, setting, "certificate", &files.certificate))?;
        shown.warn_of_its_end(setting);
        Ok(Some(Arc::new(Self {
            setting: setting.to_owned(),
            files,
            tls,
            state: Mutex::new(State { used, broken: None, shown }),
            seed,
        })))
    }
    /// Takes up what the files hold now. Connections that are there keep what they began with; if it fails, so do new ones.
    pub(crate) fn reload(&self) -> Result<Changed> {
        let read = read(&self.files);
        let hash = read.hash(&self.seed);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if hash == state.used {
            state.broken = None;
            return Ok(Changed::No);
        }
        let replaced = identity(&self.setting, &self.files, read).and_then(|(identity, shown)| {
            self.tls
                .replace(identity)
                .map_err(|error| located(error, &self.setting, "certificate", &self.files.certificate))?;
            Ok(shown)
        });
        match replaced {
            Ok(shown) => {
                tracing::info!(listener = self.setting, subject = shown.subject, until = %clock::rfc3339(shown.not_after), "new certificate");
                shown.warn_of_its_end(&self.setting);
                state.used = hash;
                state.broken = None;
                state.shown = shown;
                Ok(Changed::Yes)
            }
            Err(error) => {
                if state.broken.is_none_or(|(other, _)| other != hash) {
                    state.broken = Some((hash, false));
                }
                Err(error)
            }
        }
    }
    /// What is in use.
    pub(crate) fn shown(&self) -> Shown {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shown.clone()
    }
    /// What the files hold now cannot be used: the old one is.
    pub(crate) fn is_stale(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.broken.is_some_and(|(_, told)| told)
    }
    /// For the listener.
    pub(crate) fn tls(&self) -> Arc<Tls> {
        self.tls.clone()
    }
    /// `listeners.gateway`.
    pub(crate) fn setting(&self) -> &str {
        &self.setting
    }
    /// Once in a while. Two files are never changed at one moment, so what is broken is told when it still is the next time; and once.
    fn look(&self) {
        let before = self.broken();
        let Err(error) = self.reload() else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((hash, told)) = &mut state.broken
            && !*told
            && before == Some(*hash)
        {
            *told = true;
            let hint = error.hint().unwrap_or_default();
            tracing::warn!(listener = self.setting, error = %error, hint, "{BROKEN}");
        }
    }
    /// Because somebody asked: at once, and told whatever was told before.
    pub(crate) fn look_now(&self) {
        if let Err(error) = self.reload() {
            let hint = error.hint().unwrap_or_default();
            tracing::warn!(listener = self.setting, error = %error, hint, "{BROKEN}");
        }
    }
    fn broken(&self) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.broken.map(|(hash, _)| hash)
    }
}
/// Looks at all of them every few seconds, for as long as it is kept.
pub(crate) fn watch(all: Vec<Arc<Certificates>>) -> Task {
    tasks::spawn(async move {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !all.is_empty() {
            every.tick().await;
            let all = all.clone();
            // A disk may be far away.
            let _ended = tokio::task::spawn_blocking(move || all.iter().for_each(|one| one.look())).await;
        }
    })
}
impl Shown {
    fn warn_of_its_end(&self, setting: &str) {
        let until = clock::rfc3339(self.not_after);
        if self.not_after < clock::now_us() {
            tracing::warn!(listener = setting, subject = self.subject, until, "the certificate has expired");
        }
    }
}
impl Texts {
    fn hash(&self, seed: &RandomState) -> u64 {
        fn bytes(read: &io::Result<Vec<u8>>) -> std::result::Result<&[u8], io::ErrorKind> {
            read.as_deref().map_err(io::Error::kind)
        }
        seed.hash_one((bytes(&self.certificate), bytes(&self.key), self.client_ca.as_ref().map(bytes)))
    }
}
fn read(files: &listener::Tls) -> Texts {
    Texts {
        certificate: read_file(&files.certificate.path),
        key: read_file(&files.key.path),
        client_ca: files.client_ca.as_ref().map(|file| read_file(&file.path)),
    }
}
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads certificates")]
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
fn identity(setting: &str, files: &listener::Tls, read: Texts) -> Result<(Identity, Shown)> {
    let chain = certificates(read.certificate, setting, "certificate", &files.certificate)?;
    let key = {
        let file = &files.key;
        let bytes = read.key.map_err(|error| unreadable(&error, setting, "key", file))?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let text = format!("`{}` holds no private key in PEM: {error}", file.path.display());
            located(bad(text), setting, "key", file)
        })?
    };
    let clients = match (read.client_ca, &files.client_ca) {
        (Some(read), Some(file)) => certificates(read, setting, "client_ca", file)?,
        _ => Vec::new(),
    };
    let own = chain.first().map(|own| Certificate::from_der(own));
    let Some(Ok(own)) = own else {
        let text = format!("`{}` holds something else than a certificate", files.certificate.path.display());
        return Err(located(bad(text), setting, "certificate", &files.certificate));
    };
    let own = own.tbs_certificate();
    let until = own.validity().not_after.to_unix_duration();
    let shown = Shown {
        subject: own.subject().to_string(),
        not_after: i64::try_from(until.as_micros()).unwrap_or(i64::MAX),
    };
    let identity = Identity {
        chain,
        key,
        clients,
        newest_only: files.newest_only,
    };
    Ok((identity, shown))
}
fn certificates(read: io::Result<Vec<u8>>, setting: &str, key: &str, file: &listener::File) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read.map_err(|error| unreadable(&error, setting, key, file))?;
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let why = match all {
        Ok(all) if !all.is_empty() => return Ok(all),
        Ok(_) => String::new(),
        Err(error) => format!(": {error}"),
    };
    let text = format!("`{}` holds no certificate in PEM{why}", file.path.display());
    Err(located(bad(text), setting, key, file))
}
fn bad(text: String) -> Error {
    Error::new(Code::BadCertificate, Fault::Operator, text)
}
fn unreadable(error: &io::Error, setting: &str, key: &str, file: &listener::File) -> Error {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => error.to_string(),
    };
    let text = format!("`{}` cannot be read: {why}", file.path.display());
    located(Error::new(Code::Unreadable, Fault::Operator, text), setting, key, file)
}
fn located(error: Error, setting: &str, key: &str, file: &listener::File) -> Error {
    error.with_hint(format!("it is named by `{setting}.tls.{key}` ({})", file.at))
}
