//! What a client's bytes go over: a socket, or TLS over it.
use crate::{certificates::Authority, http2::Tunnel};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

/// Both can be read, written and shut.
#[derive(Debug)]
pub enum Wire {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// A stream of HTTP/2.
    Tunnel(Box<Tunnel>),
}
/// What a client expects of a server, and says of itself.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);
impl Trust {
    /// Believes whom that authority signed, and speaks these protocols.
    pub fn new(authority: &Authority, protocols: &[&str]) -> Self {
        Self::with(authority, protocols, None)
    }
    /// And shows a certificate of its own, with its key, both in PEM.
    pub fn with(authority: &Authority, protocols: &[&str], own: Option<(String, String)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate"))
            .expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }
    /// The same where sockets do not block.
    pub async fn connect(&self, socket: tokio::net::TcpStream) -> io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        tokio_rustls::TlsConnector::from(self.0.clone()).connect(name, socket).await
    }
    /// TLS over a socket, its handshake done.
    pub fn over(&self, socket: TcpStream) -> io::Result<Wire> {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Wire::Tls(Box::new(stream)))
    }
}
impl Wire {
    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
            Self::Tunnel(_) => panic!("it has no socket of its own"),
        }
    }
    /// What was agreed on to be spoken; empty without TLS.
    pub fn protocol(&self) -> String {
        let name = match self {
            Self::Plain(_) | Self::Tunnel(_) => None,
            Self::Tls(stream) => stream.conn.alpn_protocol(),
        };
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }
}
impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
            Self::Tunnel(stream) => stream.read(bytes),
        }
    }
}
impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Tunnel(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Tunnel(stream) => stream.flush(),
        }
    }
}
