//! Certificates that nobody else trusts: an authority, and what it signs, as files.
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}
/// Whose certificate it is, and how long it holds.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// Its common name.
    pub name: &'a str,
    /// It has ended.
    pub expired: bool,
}
impl Authority {
    /// A new one of that name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        Self {
            pem: own.pem(),
            issuer: Issuer::new(params, key),
        }
    }
    /// Its own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
    /// A certificate for this machine and its key, both in PEM.
    pub fn sign(&self, whose: Whose<'_>) -> (String, String) {
        self.sign_for(&["localhost", "127.0.0.1"], whose)
    }
    /// The same for other names of machines.
    pub fn sign_for(&self, names: &[&str], whose: Whose<'_>) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, whose.name);
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(tidegate_core::clock::now_us() as u64);
        let day = Duration::from_hours(24);
        params.not_before = (now - day * 2).into();
        params.not_after = if whose.expired { now - day } else { now + day * 90 }.into();
        let key = KeyPair::generate().expect("a key");
        let own = params.signed_by(&key, &self.issuer).expect("a certificate");
        (own.pem(), key.serialize_pem())
    }
    /// Writes `NAME.pem`, `NAME.key` and, of the authority, `ca.pem` into a folder; answers the path of the last.
    pub fn write(&self, folder: &Path, whose: Whose<'_>) -> PathBuf {
        let (certificate, key) = self.sign(whose);
        replace(&folder.join(format!("{}.pem", whose.name)), &certificate);
        replace(&folder.join(format!("{}.key", whose.name)), &key);
        let own = folder.join("ca.pem");
        replace(&own, &self.pem);
        own
    }
}
/// At one moment, as whoever renews certificates does it.
#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
pub fn replace(path: &Path, text: &str) {
    let other = path.with_extension("new");
    std::fs::write(&other, text).expect("a file");
    std::fs::rename(&other, path).expect("a file");
}
impl<'a> From<&'a str> for Whose<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, expired: false }
    }
}
