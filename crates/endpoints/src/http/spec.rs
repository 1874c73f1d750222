//! What a target is: plain data. Who reads configuration fills it in; [`super::Target::new`] says what cannot be.
use super::answers::Answers;
use http::{HeaderName, Method};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::template::Template;
use tidegate_wire::webhook::Secret;
use url::Url;

/// One target.
#[derive(Debug)]
pub struct Spec {
    /// What the delivery log calls it.
    pub name: Arc<str>,
    /// `http` or `https`, without user and password.
    pub url: Url,
    /// `POST`, if nothing else was asked for.
    pub method: Method,
    /// Beside those every request has.
    pub headers: Vec<(HeaderName, Template)>,
    /// From the beginning of an attempt to the end of its answer.
    pub timeout: Duration,
    /// Parts of it that end earlier.
    pub steps: Steps,
    /// Who we are.
    pub auth: Auth,
    /// Every request is signed with each of them.
    pub sign: Vec<Secret>,
    /// Which HTTP is spoken.
    pub http: Version,
    /// Goes there first: `http` without TLS, with user and password if it wants them.
    pub proxy: Option<Url>,
    /// `None`: one message a request.
    pub batch: Option<Batching>,
    /// Requests at once.
    pub in_flight: u32,
    /// Bytes of messages in requests at once; one message always fits.
    pub in_flight_bytes: u32,
    /// What an answer means.
    pub on: Answers,
    /// Whom we trust, and what we prove ourselves with.
    pub tls: Tls,
    /// Bytes of an answer that are read; what is longer is cut.
    pub max_response: u64,
}
impl Spec {
    /// A target with the defaults of everything else.
    pub fn new(name: impl Into<Arc<str>>, url: Url) -> Self {
        Self {
            name: name.into(),
            url,
            method: Method::POST,
            headers: Vec::new(),
            timeout: Duration::from_secs(15),
            steps: Steps::default(),
            auth: Auth::None,
            sign: Vec::new(),
            http: Version::One,
            proxy: None,
            batch: None,
            in_flight: 16,
            in_flight_bytes: 16 << 20,
            on: Answers::default(),
            tls: Tls::default(),
            max_response: 64 << 10,
        }
    }
}
/// The longest that parts of an attempt may take.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Of the name.
    pub resolve: Duration,
    /// Of all its addresses together.
    pub connect: Duration,
    /// Of the handshake.
    pub tls: Duration,
}
impl Default for Steps {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
        }
    }
}
/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2; without TLS it is known beforehand.
    Two,
    /// What the target prefers, as TLS agrees on it; without TLS HTTP/1.1.
    Auto,
}
/// How messages are put together.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// At most.
    pub messages: u32,
    /// At most, as messages count; one always fits.
    pub bytes: u32,
    /// How long the first one may wait for others.
    pub wait: Duration,
    /// How a batch is written.
    pub form: Form,
}
/// How a batch is written: items as a page of messages has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON array.
    Json,
    /// One item a line.
    Ndjson,
}
/// Who we are to the target.
#[derive(Debug)]
pub enum Auth {
    /// It does not ask.
    None,
    /// By name and password.
    Basic {
        /// Without `:`.
        user: String,
        /// Any text.
        password: Credential,
    },
    /// By a token that does not change.
    Bearer(Credential),
    /// By tokens that another server gives out.
    OAuth2(ClientCredentials),
}
/// OAuth 2.0, client credentials (RFC 6749, section 4.4).
#[derive(Debug)]
pub struct ClientCredentials {
    /// Who gives out tokens.
    pub token_url: Url,
    /// Our name there.
    pub id: String,
    /// What proves it.
    pub secret: Credential,
    /// What the token is to be good for.
    pub scopes: Vec<String>,
    /// Name and secret go into the body, for servers that read no `Authorization`.
    pub in_body: bool,
}
/// A text that nobody is to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Box<str>);
impl Credential {
    /// Keeps it.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}
/// `***`.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
/// Whom we trust, and what we prove ourselves with.
#[derive(Debug, Default)]
pub struct Tls {
    /// Trusted beside those the machine trusts.
    pub extra: Vec<CertificateDer<'static>>,
    /// Our certificate.
    pub client: Option<Identity>,
}
/// A certificate and its key.
pub struct Identity {
    /// Our own certificate, then those between it and a root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub key: PrivateKeyDer<'static>,
}
/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}
