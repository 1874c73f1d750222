//! A node as the command line sees it: an address, a token, and calls whose every failure says what to do.
use super::{
    Output,
    failure::{Failure, text},
};
use crate::whereabouts;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use std::{
    error::Error as _,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tidegate_core::error::Code;
use tidegate_endpoints::http::Mistrust;

/// Longer is nobody there.
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer to begin; whoever asks the node to wait adds that.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// For what is done to many messages.
const LONG: Duration = Duration::from_mins(10);
/// The largest answer that is read whole.
const MOST: usize = 256 << 20;
/// How a gateway says that it has no such path.
const NO_PATH: &str = "no api has this path";

/// How a listener says that it speaks TLS, to whoever does not.
const TLS_SPOKEN: &[u8] = b"TG1040 ";

/// Which node, and who asks.
#[derive(clap::Args)]
#[command(next_help_heading = "Node")]
pub(super) struct Remote {
    /// The node's admin address; else that of the node of DIR, else http://localhost:8084.
    #[arg(long, env = "TIDEGATE_NODE", hide_env_values = true, value_name = "URL", value_parser = address, global = true)]
    node: Option<String>,
    /// Who asks: a token. Without it, what stands in DIR/admin-token.
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true)]
    token: Option<String>,
    /// The node's data folder, for its admin-token.
    #[arg(
        long,
        env = "TIDEGATE_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR",
        default_value = "./tidegate-data",
        global = true
    )]
    pub(super) data_dir: PathBuf,
    /// Trust these certificates (PEM) instead of the system's.
    #[arg(long, env = "TIDEGATE_CA", hide_env_values = true, value_name = "FILE", global = true)]
    pub(super) ca: Option<PathBuf>,
    /// A certificate of one's own (PEM), for a node that asks for one.
    #[arg(
        long,
        env = "TIDEGATE_CLIENT_CERT",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_key",
        global = true
    )]
    client_cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[arg(
        long,
        env = "TIDEGATE_CLIENT_KEY",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_cert",
        global = true
    )]
    client_key: Option<PathBuf>,
    /// How to print what comes back.
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub(super) output: Output,
}
impl Remote {
    /// `None`: nobody said it, and the node of the folder did not either.
    fn address(&self) -> Option<String> {
        let noted = || whereabouts::noted(&self.data_dir).and_then(|noted| address(&noted).ok());
        self.node.clone().or_else(noted)
    }
}
/// `localhost:8084` is meant as `http://localhost:8084`.
pub(super) fn address(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let wrong = || "expected an address like http://localhost:8084".to_owned();
    let uri: http::Uri = whole.parse().map_err(|_| wrong())?;
    let good =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none();
    if good {
        Ok(whole.trim_end_matches('/').to_owned())
    } else {
        Err(wrong())
    }
}

/// Speaks to one node.
pub(super) struct Node {
    pub(super) address: String,
    client: HttpClient,
    token: Option<HeaderValue>,
    /// Why there is no token, or where one was found that nobody named; and what to do.
    about_token: Option<String>,
    /// Why it is looked for where nodes are unless set.
    guessed: Option<String>,
}
/// Whatever it is sent to.
#[derive(Clone)]
pub(super) struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);
/// A request that is not a bare GET.
#[derive(Default)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How long the node was asked to wait.
    pub(super) wait: Duration,
}
impl Ask {
    /// A method with a body of JSON.
    pub(super) fn json(method: Method, body: &Value) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Self {
            method,
            headers,
            body: body.to_string().into(),
            wait: Duration::ZERO,
        }
    }
    /// What takes as long as there is much of it.
    pub(super) fn long(self) -> Self {
        Self { wait: LONG, ..self }
    }
    pub(super) fn bare(method: Method) -> Self {
        Self { method, ..Self::default() }
    }
    /// One more header.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Result<Self, Failure> {
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| Failure::command(format!("`{}` cannot be sent in a header", value.escape_debug())))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }
}
/// What came back, in JSON.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Node {
    pub(super) fn new(remote: &Remote) -> Result<Self, Failure> {
        let (token, about_token) = match &remote.token {
            Some(token) => (Some(token.clone()), None),
            None => read_token(&remote.data_dir),
        };
        let token = token.map(|token| bearer(token.trim())).transpose()?;
        let address = remote.address();
        let guessed = address.is_none().then(|| match &about_token {
            Some(why) if token.is_none() => why.split("; use").next().unwrap_or(why).to_owned(),
            _ => format!("no node has said its address in {}", remote.data_dir.display()),
        });
        Ok(Self {
            guessed,
            address: address.unwrap_or_else(|| "http://localhost:8084".to_owned()),
            client: HttpClient::new(remote)?,
            token,
            about_token,
        })
    }
    /// GET.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.ask(path, Ask::default()).await?.body)
    }
    /// GET of what may not be there.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        let (status, answer) = self.read(self.send(path, Ask::default()).await?).await?;
        match status {
            _ if status.is_success() => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND if answer.body["detail"] != NO_PATH => Ok(None),
            _ => Err(self.refused(path, status, &answer.body)),
        }
    }
    /// A request, and its answer as JSON; no body is null.
    pub(super) async fn ask(&self, path: &str, ask: Ask) -> Result<Answer, Failure> {
        let (status, answer) = self.read(self.send(path, ask).await?).await?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(self.refused(path, status, &answer.body))
        }
    }
    /// The same for what a node checks: what it has against it comes back as it is.
    pub(super) async fn checked(&self, path: &str, ask: Ask) -> Result<Result<Value, Value>, Failure> {
        let (status, answer) = self.read(self.send(path, ask).await?).await?;
        match status {
            _ if status.is_success() => Ok(Ok(answer.body)),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Err(answer.body)),
            _ => Err(self.refused(path, status, &answer.body)),
        }
    }
    /// The same for what has a verdict for each of its parts, also where none of them was good.
    pub(super) async fn ask_each(&self, path: &str, ask: Ask) -> Result<Answer, Failure> {
        let (status, answer) = self.read(self.send(path, ask).await?).await?;
        if status.is_success() || answer.body["results"].is_array() {
            Ok(answer)
        } else {
            Err(self.refused(path, status, &answer.body))
        }
    }
    /// A request, and its answer as a stream of events.
    pub(super) async fn events(&self, path: &str) -> Result<Incoming, Failure> {
        let response = self.send(path, Ask::default().header("accept", "text/event-stream")?).await?;
        if response.status().is_success() && media(response.headers()) == "text/event-stream" {
            return Ok(response.into_body());
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let (_, answer) = self.read(response).await?;
        Err(if status.is_success() {
            self.foreign(status, &headers)
        } else {
            self.refused(path, status, &answer.body)
        })
    }
    async fn send(&self, path: &str, mut ask: Ask) -> Result<Response<Incoming>, Failure> {
        if let Some(token) = &self.token {
            ask.headers.insert(header::AUTHORIZATION, token.clone());
        }
        if !ask.headers.contains_key(header::ACCEPT) {
            ask.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        }
        let limit = ANSWER + ask.wait;
        let url = format!("{}{path}", self.address);
        let sending = self.client.send(&url, ask);
        match tokio::time::timeout(limit, sending).await {
            Ok(sent) => sent.map_err(|why| self.unreachable(&why)),
            Err(_late) => {
                let why = format!("{} does not answer within {} s", self.address, limit.as_secs());
                Err(Failure::new(Code::NodeUnreachable, why).hint("is it overloaded, or is something else listening there?"))
            }
        }
    }
    /// The whole answer, if a node gave it.
    async fn read(&self, response: Response<Incoming>) -> Result<(StatusCode, Answer), Failure> {
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        let whole = Limited::new(body, MOST).collect();
        let cut =
            |why: String| Failure::new(Code::NodeUnreachable, format!("{} broke off its answer: {why}", self.address)).hint("try again");
        let bytes = match tokio::time::timeout(ANSWER, whole).await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(error)) => return Err(cut(error.to_string())),
            Err(_late) => return Err(cut("it does not end".to_owned())),
        };
        if status == StatusCode::NO_CONTENT {
            return Ok((
                status,
                Answer {
                    headers,
                    body: Value::Null,
                },
            ));
        }
        let body: Option<Value> = Some(&bytes)
            .filter(|_| media(&headers).ends_with("json"))
            .and_then(|bytes| serde_json::from_slice(bytes).ok());
        let good = |body: &Value| status.is_success() || text(body, "code").is_some_and(|code| code.starts_with("TG"));
        match body.filter(good) {
            Some(body) => Ok((status, Answer { headers, body })),
            // A node's listener, and another word than it expects.
            None if bytes.starts_with(TLS_SPOKEN) => {
                let text = format!("{} speaks TLS", self.address);
                Err(Failure::new(Code::NotANode, text).hint("name it with https://"))
            }
            None => Err(self.foreign(status, &headers)),
        }
    }
    fn refused(&self, path: &str, status: StatusCode, problem: &Value) -> Failure {
        if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            let hint = self.about_token.as_deref().unwrap_or_default();
            return Failure::new(Code::NotLoggedIn, format!("not logged in to {}", self.address)).hint(hint);
        }
        if let (StatusCode::UNAUTHORIZED, Some(hint)) = (status, &self.about_token) {
            return Failure::problem(problem).hint(hint);
        }
        let messages = path.starts_with("/api/v1/streams/") && path.contains("/messages");
        if problem["code"] == "TG1001" && problem["detail"] == NO_PATH && !messages {
            let text = format!("{} is a gateway, not a management API", self.address);
            return Failure::new(Code::NotANode, text).hint("the admin address is another one, port 8084 unless set; name it with --node");
        }
        Failure::problem(problem)
    }
    fn unreachable(&self, why: &Unsent) -> Failure {
        let failure = match why.kind {
            Why::Broken => Failure::new(
                Code::CommandFailed,
                format!("{} closed before it had all of it: {}", self.address, why.text),
            ),
            Why::Tls(Mistrust::NoTls) => Failure::new(Code::NotANode, format!("{} does not speak TLS", self.address)),
            Why::Connect | Why::Tls(_) => Failure::new(Code::NodeUnreachable, format!("cannot reach {}: {}", self.address, why.text)),
            Why::NoHttp => Failure::new(Code::NotANode, format!("{} does not answer in HTTP: {}", self.address, why.text)),
        };
        if let (Some(guessed), Why::Connect) = (&self.guessed, why.kind) {
            return failure.hint(format!(
                "{guessed}, so a node is looked for there; --data-dir names its folder, --node its address, and `tidegate dev` starts one"
            ));
        }
        failure.hint(
            why.hint()
                .unwrap_or("is a node running there? `tidegate dev` starts one, and --node names another"),
        )
    }
    fn foreign(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let what = match media(headers) {
            "" => "nothing".to_owned(),
            media => format!("`{media}`"),
        };
        let text = format!("{} answers {} with {what}, which no node does", self.address, status.as_u16());
        Failure::new(Code::NotANode, text).hint("is it the admin address of a node, port 8084 unless set? name it with --node")
    }
}
/// `<data-dir>/admin-token`, and what to do where there is none, or where it is not good.
fn read_token(folder: &Path) -> (Option<String>, Option<String>) {
    let path = folder.join("admin-token");
    #[expect(clippy::disallowed_methods, reason = "the command line reads its token")]
    let read = std::fs::read_to_string(&path);
    let shown = path.display();
    let (token, hint) = match read {
        Ok(token) => (
            Some(token),
            format!("it stands in {shown}, the first token of that folder's node: name another with --token or TIDEGATE_TOKEN"),
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (None, format!("no {shown} here; use --data-dir, --token or TIDEGATE_TOKEN"))
        }
        Err(error) => (
            None,
            format!("{shown} cannot be read: {}; use --token or TIDEGATE_TOKEN", plain(&error)),
        ),
    };
    (token, Some(hint))
}
fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let wrong = || Failure::new(Code::NotLoggedIn, "this is no token").hint("a token begins with `tgt_` and stands on one line");
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong())?;
    value.set_sensitive(true);
    if token.is_empty() { Err(wrong()) } else { Ok(value) }
}
/// Without parameters, in lower case as every server writes it.
fn media(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Nothing came back.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) text: String,
    kind: Why,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Connect,
    Tls(Mistrust),
    NoHttp,
    /// It closed before it had the whole request.
    Broken,
}
impl Unsent {
    /// What to do about it, whoever it was sent to.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self.kind {
            Why::Connect => None,
            Why::Tls(Mistrust::Untrusted) => Some("`--ca FILE` names the certificate that signed it"),
            Why::Tls(Mistrust::Expired) => Some("renew it"),
            Why::Tls(Mistrust::OtherName) => Some("use one of the names in it"),
            Why::Tls(Mistrust::NotYou) => {
                Some("it trusts others: is it signed by who stands in the node's `client_ca`, and has it not ended?")
            }
            Why::Tls(Mistrust::WhoAreYou) => Some("show it a certificate it trusts: --client-cert FILE --client-key FILE"),
            Why::Tls(Mistrust::NoTls) => Some("try it with http://"),
            Why::Broken => Some("is the body larger than the node takes? see `limits.body` in its tidegate.yaml"),
            Why::NoHttp => Some("if it speaks TLS, try it with https://"),
        }
    }
}
impl HttpClient {
    /// Trusts what the system trusts, or only what stands in that file.
    pub(super) fn new(remote: &Remote) -> Result<Self, Failure> {
        let roots = match &remote.ca {
            Some(file) => from_file(file)?,
            None => system(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let no_tls = |error: rustls::Error| Failure::command(format!("TLS does not start: {error}"));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_tls)?
            .with_root_certificates(roots);
        let config = match (&remote.client_cert, &remote.client_key) {
            (Some(cert), Some(key)) => {
                let (chain, key) = own(cert, key)?;
                config.with_client_auth_cert(chain, key).map_err(no_tls)?
            }
            _ => config.with_no_client_auth(),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
    /// One request to any address.
    pub(super) async fn send(&self, url: &str, ask: Ask) -> Result<Response<Incoming>, Unsent> {
        let wrong = |error: http::Error| Unsent {
            text: error.to_string(),
            kind: Why::Connect,
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(url)
            .body(Full::new(ask.body))
            .map_err(wrong)?;
        *request.headers_mut() = ask.headers;
        self.0.request(request).await.map_err(|error| unsent(&error))
    }
}
/// What a node that asks is shown.
fn own(cert: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    let read = |path: &Path, error: &dyn std::fmt::Display| Failure::command(format!("`{}` cannot be used: {error}", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(|error| read(cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| read(key, &error))?;
    Ok((chain, key))
}
/// What the system trusts. Where there is nothing, a certificate that is not trusted says so by its hint.
fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
fn from_file(path: &Path) -> Result<RootCertStore, Failure> {
    let unread =
        |why: String| Failure::command(format!("`{}` cannot be read: {why}", path.display())).hint("--ca wants certificates in PEM");
    #[expect(clippy::disallowed_methods, reason = "the command line reads whom to trust")]
    let text = std::fs::read(path).map_err(|error| unread(plain(&error)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unread(error.to_string()))?;
        roots.add(certificate).map_err(|error| unread(error.to_string()))?;
    }
    if roots.is_empty() {
        Err(unread("there is no certificate in it".to_owned()))
    } else {
        Ok(roots)
    }
}
/// The innermost cause says it best.
fn unsent(error: &hyper_util::client::legacy::Error) -> Unsent {
    let mut text = error.to_string();
    let mut kind = if error.is_connect() { Why::Connect } else { Why::NoHttp };
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        let io = cause.downcast_ref::<std::io::Error>();
        if cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        {
            "the connection was closed".clone_into(&mut text);
            kind = Why::Connect;
        }
        if let Some(tls) = cause.downcast_ref().or_else(|| io.and_then(Mistrust::inside)) {
            let why = Mistrust::of(tls);
            text = why.map_or_else(|| tls.to_string(), |why| why.to_string());
            kind = why.map_or(kind, Why::Tls);
            break;
        }
        if let Some(io) = io
            && io.get_ref().is_none()
        {
            text = plain(io);
            // It was there and went: whoever asks again may find another.
            kind = if io.kind() == std::io::ErrorKind::BrokenPipe {
                Why::Broken
            } else {
                Why::Connect
            };
            break;
        }
        next = cause.source();
    }
    Unsent { text, kind }
}
/// Without the number of the operating system.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars
        .next()
        .map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
/// A name in a path: what a path would read otherwise is escaped.
pub(super) fn escaped(text: &str, slashes: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if slashes => out.push('/'),
            _ => {
                // A `String` takes everything that is written to it.
                let _never = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_short() {
        assert_eq!(address("localhost:1").as_deref(), Ok("http://localhost:1"));
        assert_eq!(address("https://a.example/").as_deref(), Ok("https://a.example"));
        for bad in ["", "ftp://a", "http://", "http://a?b", "a b"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        remote: Remote,
    }
    #[test]
    fn who_looks_in_the_wrong_folder_is_told_so_beside_the_address() {
        use clap::Parser;
        let folder = tempfile::TempDir::new().unwrap();
        let hint = |folder: &Path, more: &[&str]| {
            let folder = folder.display().to_string();
            let remote = Only::parse_from([&["tidegate", "--data-dir", &folder], more].concat()).remote;
            let node = Node::new(&remote).unwrap_or_else(|_| panic!("no node"));
            let text = "connection refused".to_owned();
            let kind = Why::Connect;
            format!("{:?}", node.unreachable(&Unsent { text, kind }))
        };
        let none = hint(&folder.path().join("nowhere"), &[]);
        assert!(none.contains("nowhere/admin-token here, so a node is looked for there"), "{none}");
        // As somebody who may not read it: nobody reads a folder as a text.
        std::fs::create_dir(folder.path().join("admin-token")).unwrap();
        let unread = hint(folder.path(), &[]);
        assert!(
            unread.contains("admin-token cannot be read: ") && unread.contains("--data-dir names its folder"),
            "{unread}"
        );
        let named = hint(folder.path(), &["--node", "http://localhost:1"]);
        assert!(named.contains("is a node running there?"), "{named}");
    }
    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escaped("a/b c?", false), "a%2Fb%20c%3F");
        assert_eq!(escaped("a/b#", true), "a/b%23");
    }
}
