//! TLS of a listener: what it proves itself with, whom it lets in, and the handshake. What it is may change while it serves.
use super::transport::{Front, Transport};
use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc};
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
pub struct Identity {
    /// The listener's own certificate, then those between it and a root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub key: PrivateKeyDer<'static>,
    /// Who must have signed a client's certificate; empty: clients need none.
    pub clients: Vec<CertificateDer<'static>>,
    /// TLS 1.2 is too old here.
    pub newest_only: bool,
}
/// The TLS of one listener. Connections take what it is when they begin.
pub struct Tls(ArcSwap<ServerConfig>);
impl Tls {
    /// Fails when the key is another certificate's, or nothing can be made of one of them.
    pub fn new(identity: Identity) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(config(identity)?))))
    }
    /// From the next connection on. As it was, if it fails.
    pub fn replace(&self, identity: Identity) -> Result<()> {
        self.0.store(Arc::new(config(identity)?));
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
fn config(identity: Identity) -> Result<ServerConfig> {
    let Identity {
        chain,
        key,
        clients,
        newest_only,
    } = identity;
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
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::new(Code::BadCertificate, Fault::Operator, "the key is not the certificate's").because(error)
        }
        error => wrong("the certificate or its key cannot be used", error),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A client that comes back brings what is known of it along, encrypted: no memory is kept for those that do not.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| wrong("there is no randomness for session tickets", error))?;
    Ok(config)
}
fn wrong(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::BadCertificate, Fault::Operator, format!("{what}: {error}")).because(error)
}
