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
use tidegate_config::{Listener, Listeners, listener};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
    tasks::{self, Task},
};
use tidegate_entrypoints::listener::tls::{Identities, Own, Tls};
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

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
    /// The names a client may ask for it by.
    pub(crate) names: Vec<String>,
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
    shown: Vec<Shown>,
}
/// What the files hold.
struct Texts {
    /// Certificate and key.
    own: Vec<[io::Result<Vec<u8>>; 2]>,
    client_ca: Option<io::Result<Vec<u8>>>,
}
impl Certificates {
    /// Of a listener that has any. What is wrong names the file and where it was named.
    pub(crate) fn open(setting: &str, of: &Listener) -> Result<Option<Arc<Self>>> {
        let Some(files) = of.tls.clone() else { return Ok(None) };
        let seed = RandomState::new();
        let read = read(&files);
        let used = read.hash(&seed);
        let (identities, shown) = identities(setting, &files, read)?;
        let tls = Tls::new(identities).map_err(|error| unfit(error, setting, &files))?;
        for shown in &shown {
            shown.warn_of_its_end(setting);
        }
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
        let replaced = identities(&self.setting, &self.files, read).and_then(|(identities, shown)| {
            let replaced = self.tls.replace(identities);
            replaced.map_err(|error| unfit(error, &self.setting, &self.files)).map(|()| shown)
        });
        match replaced {
            Ok(shown) => {
                // One that is as it was is no news; but then it is who is trusted that changed.
                let same = shown == state.shown;
                for new in shown.iter().filter(|shown| same || !state.shown.contains(shown)) {
                    tracing::info!(listener = self.setting, subject = new.subject, until = %clock::rfc3339(new.not_after), "new certificate");
                    new.warn_of_its_end(&self.setting);
                }
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
    /// What is in use, the first of them for all whose name is of no other.
    pub(crate) fn shown(&self) -> Vec<Shown> {
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
/// What a start with these listeners would say of their certificates: everything at once.
pub(crate) fn unusable(listeners: &Listeners) -> Vec<Error> {
    let all = [("listeners.gateway", &listeners.gateway), ("listeners.admin", &listeners.admin)];
    let all = all
        .into_iter()
        .flat_map(|(setting, of)| of.iter().map(move |listener| (setting, listener)));
    let memphis = listeners.memphis.iter().map(|memphis| ("listeners.memphis", &memphis.listener));
    all.chain(memphis).flat_map(|(setting, of)| wrong_with(setting, of)).collect()
}
fn wrong_with(setting: &str, of: &Listener) -> Vec<Error> {
    let Some(files) = &of.tls else { return Vec::new() };
    let texts = read(files);
    let own = files.own.iter().zip(texts.own).enumerate();
    let own = own.filter_map(|(number, (pair, read))| own_one(setting, number, pair, read).err());
    let trusted = texts.client_ca.zip(files.client_ca.as_ref());
    let trusted = trusted.and_then(|(read, file)| certificates(read, setting, "client_ca", file).err());
    let mut wrong: Vec<_> = own.chain(trusted).collect();
    if wrong.is_empty() {
        // Each is good by itself.
        wrong.extend(Certificates::open(setting, of).err());
    }
    wrong
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
        let own: Vec<_> = self.own.iter().map(|pair| pair.each_ref().map(bytes)).collect();
        seed.hash_one((own, self.client_ca.as_ref().map(bytes)))
    }
}
fn read(files: &listener::Tls) -> Texts {
    Texts {
        own: files
            .own
            .iter()
            .map(|pair| [&pair.certificate, &pair.key].map(|file| read_file(&file.path)))
            .collect(),
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
fn identities(setting: &str, files: &listener::Tls, read: Texts) -> Result<(Identities, Vec<Shown>)> {
    let own = files.own.iter().zip(read.own).enumerate();
    let own: Result<Vec<_>> = own.map(|(number, (pair, read))| own_one(setting, number, pair, read)).collect();
    let (own, shown) = own?.into_iter().unzip();
    let clients = match (read.client_ca, &files.client_ca) {
        (Some(read), Some(file)) => certificates(read, setting, "client_ca", file)?,
        _ => Vec::new(),
    };
    let identities = Identities {
        own,
        clients,
        newest_only: files.newest_only,
    };
    Ok((identities, shown))
}
fn own_one(setting: &str, number: usize, pair: &listener::Pair, [certificate, key]: [io::Result<Vec<u8>>; 2]) -> Result<(Own, Shown)> {
    let chain = certificates(certificate, setting, "certificate", &pair.certificate)?;
    let key = {
        let bytes = key.map_err(|error| unreadable(&error, setting, "key", &pair.key))?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let text = format!("`{}` holds no private key in PEM: {error}", pair.key.path.display());
            located(bad(text), setting, "key", &pair.key)
        })?
    };
    let wrong = |what: &str| {
        let text = format!("`{}` {what}", pair.certificate.path.display());
        located(bad(text), setting, "certificate", &pair.certificate)
    };
    let parsed = chain.first().map(|own| Certificate::from_der(own));
    let Some(Ok(parsed)) = parsed else {
        return Err(wrong("holds something else than a certificate"));
    };
    let parsed = parsed.tbs_certificate();
    let names = match parsed.get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0.iter().filter_map(name).collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    if number > 0 && names.is_empty() {
        return Err(wrong("is made out for no DNS name, and so would never be chosen"));
    }
    let until = parsed.validity().not_after.to_unix_duration();
    let shown = Shown {
        subject: parsed.subject().to_string(),
        names: names.clone(),
        not_after: i64::try_from(until.as_micros()).unwrap_or(i64::MAX),
    };
    let own = Own::new(chain, key, names).map_err(|error| located(error, setting, "key", &pair.key))?;
    Ok((own, shown))
}
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    }
}
/// What is left to go wrong when each certificate is good by itself: who is trusted.
fn unfit(error: Error, setting: &str, files: &listener::Tls) -> Error {
    match (&files.client_ca, files.own.first()) {
        (Some(file), _) => located(error, setting, "client_ca", file),
        (None, Some(pair)) => located(error, setting, "certificate", &pair.certificate),
        (None, None) => error,
    }
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
