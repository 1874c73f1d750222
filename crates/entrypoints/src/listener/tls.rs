//! TLS of a listener: what it proves itself with, by the name that is asked for, whom it lets in, and the handshake. What it is may change
//! while it serves.
use super::transport::{Front, Transport};
use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{collections::HashMap, io, sync::Arc};
use tidegate_core::error::{Code, Error, Fault, Result};
use tokio_rustls::TlsAcceptor;

/// What waits encrypted for a socket that takes no more: one record, so that a slow client costs little.
const UNSENT: usize = 16 << 10;
/// How the first record of a client begins.
const HANDSHAKE: u8 = 22;
/// What a client is told that may not even begin: a fatal alert, "internal error".
pub(super) const REFUSED: &[u8] = &[21, 3, 3, 0, 2, 2, 80];
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

/// What a listener proves itself with, and whom it lets in.
pub struct Identities {
    /// The first is for whoever asks for a name that none is made out for, or for none. At least one.
    pub own: Vec<Own>,
    /// Who must have signed a client's certificate; empty: clients need none.
    pub clients: Vec<CertificateDer<'static>>,
    /// TLS 1.2 is too old here.
    pub newest_only: bool,
}
/// A certificate with its key, and the names it is made out for.
#[derive(Debug)]
pub struct Own {
    names: Vec<String>,
    certified: Arc<CertifiedKey>,
}
impl Own {
    /// `chain`: the listener's own certificate, then those between it and a root. `names`: `a.example.org`, `*.example.org`. Fails when the
    /// key is another certificate's, or nothing can be made of one of them.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>, names: Vec<String>) -> Result<Self> {
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                Error::new(Code::BadCertificate, Fault::Operator, "the key is not the certificate's").because(error)
            }
            error => wrong("the certificate or its key cannot be used", error),
        })?;
        Ok(Self {
            names,
            certified: Arc::new(certified),
        })
    }
}
/// Which certificate a client is shown: that of its name, else that of `*.` and the rest of it, else the first.
#[derive(Debug)]
struct Choice {
    first: Arc<CertifiedKey>,
    named: HashMap<String, Arc<CertifiedKey>>,
}
impl Choice {
    /// Where two are made out for one name it is the earlier one's.
    fn new(own: Vec<Own>) -> Option<Self> {
        let first = own.first()?.certified.clone();
        let mut named = HashMap::new();
        for Own { names, certified } in own {
            for name in names {
                named.entry(name.to_ascii_lowercase()).or_insert_with(|| certified.clone());
            }
        }
        Some(Self { first, named })
    }
    fn of(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let known = name.and_then(|name| {
            // A client may write it as it likes.
            let name = name.to_ascii_lowercase();
            let wild = || self.named.get(&format!("*.{}", name.split_once('.')?.1));
            self.named.get(&name).or_else(wild)
        });
        known.unwrap_or(&self.first)
    }
}
impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.of(hello.server_name()).clone())
    }
}
/// The TLS of one listener. Connections take what it is when they begin.
pub struct Tls(ArcSwap<ServerConfig>);
impl Tls {
    /// Fails when nothing can be made of one of them.
    pub fn new(identities: Identities) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(config(identities)?))))
    }
    /// From the next connection on. As it was, if it fails.
    pub fn replace(&self, identities: Identities) -> Result<()> {
        self.0.store(Arc::new(config(identities)?));
        Ok(())
    }
    /// Shakes hands. It has no end of its own: who waits for it bounds it.
    pub(super) async fn accept(&self, front: Front) -> std::result::Result<Transport, Failed> {
        match front.first().await {
            Ok(Some(byte)) if byte != HANDSHAKE && byte.is_ascii_alphabetic() => return Err(Failed::Plain(front)),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(Failed::Gone),
        }
        let acceptor = TlsAcceptor::from(self.0.load_full());
        let accepting = acceptor.accept_with(front, |connection| connection.set_buffer_limit(Some(UNSENT)));
        match accepting.into_fallible().await {
            Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
            Err((error, front)) => Err(Failed::Handshake(error, front)),
        }
    }
}
/// Why there is no TLS on a connection.
pub(super) enum Failed {
    /// It left before it said anything.
    Gone,
    /// It speaks something else, likely HTTP.
    Plain(Front),
    /// It was told why by an alert.
    Handshake(io::Error, Front),
}
fn config(identities: Identities) -> Result<ServerConfig> {
    let Identities { own, clients, newest_only } = identities;
    let none = || Error::new(Code::BadCertificate, Fault::Operator, "there is no certificate");
    let choice = Choice::new(own).ok_or_else(none)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(if newest_only { NEWEST } else { BOTH })
        .map_err(|error| wrong("this version of TLS cannot be used", error))?;
    let builder = if clients.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for root in clients {
            roots
                .add(root)
                .map_err(|error| wrong("a certificate of `client_ca` cannot be used", error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.map_err(|error| wrong("`client_ca` cannot be used", error))?)
    };
    let mut config = builder.with_cert_resolver(Arc::new(choice));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A client that comes back brings what is known of it along, encrypted: no memory is kept for those that do not.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| wrong("there is no randomness for session tickets", error))?;
    Ok(config)
}
fn wrong(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::BadCertificate, Fault::Operator, format!("{what}: {error}")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use tidegate_testkit::Authority;

    #[test]
    fn a_name_beats_a_wildcard_and_the_first_is_for_all_others() {
        let authority = Authority::new("test");
        let own = |names: &[&str]| {
            let (certificate, key) = authority.sign("own".into());
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            Own::new(chain, key, names.iter().map(|name| (*name).to_owned()).collect()).unwrap()
        };
        let all = [&["a.org"][..], &["*.a.org", "c.org"], &["x.a.org", "C.org", "B.org"]].map(own);
        let certified = all.each_ref().map(|own| own.certified.clone());
        let choice = Choice::new(all.into()).unwrap();
        let number = |name| certified.iter().position(|one| Arc::ptr_eq(one, choice.of(name)));
        for (name, expected) in [
            ("a.org", 0),
            ("x.a.org", 2),
            ("X.A.ORG", 2),
            ("y.a.org", 1),
            ("y.x.a.org", 0),
            ("c.org", 1),
            ("b.org", 2),
            ("org", 0),
            (".a.org", 1),
        ] {
            assert_eq!(number(Some(name)), Some(expected), "{name}");
        }
        assert_eq!(number(None), Some(0));
    }
}
