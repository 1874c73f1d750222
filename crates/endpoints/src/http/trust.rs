//! TLS of outgoing connections: whom the machine trusts and whom the target's own settings add, and what we prove ourselves with. Names are
//! always checked.
use super::spec::{Identity, Tls};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use std::sync::Arc;
use tidegate_core::error::{Code, Error, Fault, Result};

/// Sessions of a target that are remembered.
const SESSIONS: usize = 16;

/// What the machine trusts; what cannot be used of it is left out.
pub(super) fn native() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let _used_and_not = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}
/// `two` and `one`: which HTTP may be agreed on.
pub(super) fn config(tls: &Tls, native: &Arc<RootCertStore>, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>> {
    let roots = if tls.extra.is_empty() {
        native.clone()
    } else {
        more(native, &tls.extra)?
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| wrong("TLS cannot be used", error))?
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| wrong("the client certificate cannot be used", error))?,
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}
fn more(native: &Arc<RootCertStore>, extra: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::clone(native);
    for one in extra {
        roots
            .add(one.clone())
            .map_err(|error| wrong("a certificate of an authority cannot be used", error))?;
    }
    Ok(Arc::new(roots))
}
fn wrong(what: &str, error: rustls::Error) -> Error {
    Error::new(Code::BadCertificate, Fault::Operator, format!("{what}: {error}")).because(error)
}
