//! Messages to an HTTP target: an action that answers when the target did. At least once: what is not known to have arrived is an error, and
//! whoever tries again sends the same `webhook-id`.
//!
//! Each target has bounds and connections of its own, so that one that hangs costs no other. Addresses are judged before they are connected to
//! ([`guard`]), redirects are never followed, and answers are read within a bound.
mod answers;
mod attempt;
mod compose;
mod connect;
mod echo;
pub mod guard;
mod lines;
mod mistrust;
mod one;
mod spec;
mod tokens;
mod trust;

pub use answers::{Answers, Do, wish};
pub use attempt::{Attempt, AttemptOutcome, Deaf, Excerpt, Journal, Sent, Step};
pub use compose::{escaped, spelled, spelled_place};
pub use guard::{Guard, Resolve};
pub use mistrust::Mistrust;
#[doc(hidden)]
pub use one::framing::fuzz;
pub use spec::{Auth, Batching, ClientCredentials, Credential, Form, Identity, Spec, Steps, Tls, Version};
pub use url::Url;

use attempt::{EXCERPT, Progress};
use base64_simd::STANDARD;
use compose::{Composed, compose};
use connect::{Failure, Network, Peer};
use echo::Echo;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use lines::{Answer, Broke, Call, Line, Lines};
use rustls::{ClientConfig, RootCertStore};
use std::{
    slice,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tidegate_core::{
    action::{Action, BatchError, Limits, is_reserved_header},
    clock,
    delivery::Received,
    endpoint::Limit,
    error::{Code, Error, Fault, Result, Retry},
};
use tokens::{Token, Tokens};
use tokio::{sync::Semaphore, time::timeout};
use url::Position;

/// So often an attempt is sent once more because the target said that it did not look at it.
const UNSEEN: u32 = 3;
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));

/// What the targets of a node have in common.
pub struct Shared {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    journal: Arc<dyn Journal>,
    roots: OnceLock<Arc<RootCertStore>>,
    opened: AtomicU64,
    refused: AtomicU64,
}
impl Shared {
    /// Names are resolved by the machine.
    pub fn new(guard: Guard, journal: Arc<dyn Journal>) -> Self {
        Self {
            guard,
            resolver: Arc::new(guard::System::default()),
            journal,
            roots: OnceLock::new(),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
    /// Names are resolved by somebody else.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }
    /// How many connections were made so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
    /// How many connections the guard refused so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
    fn roots(&self) -> &Arc<RootCertStore> {
        self.roots.get_or_init(trust::native)
    }
}
/// One target.
pub struct Target {
    spec: Spec,
    shared: Arc<Shared>,
    peer: Peer,
    proxy: Option<Peer>,
    tls: Arc<ClientConfig>,
    tokens: Option<Tokens>,
    /// As HTTP/1.1 writes it, and as HTTP/2 does.
    path: Uri,
    whole: Uri,
    shown: Arc<str>,
    echo: Echo,
    base: HeaderMap,
    lines: Arc<Lines>,
    slots: Semaphore,
    bytes: Semaphore,
    /// It was asked for HTTP/2 and prefers 1.1.
    old: AtomicBool,
    /// Whoever owns it wants no more of it.
    stopped: AtomicBool,
}
impl Target {
    /// Fails for what no request can be made of.
    pub fn new(spec: Spec, shared: Arc<Shared>) -> Result<Self> {
        let wrong = |what: &str, why: &str| Error::new(Code::BadValue, Fault::Operator, format!("{what} cannot be used: {why}"));
        let peer = Peer::of(&spec.url).map_err(|why| wrong("the URL of the target", why))?;
        if !spec.url.username().is_empty() || spec.url.password().is_some() {
            return Err(wrong("the URL of the target", "user and password belong into `auth`"));
        }
        let proxy = spec
            .proxy
            .as_ref()
            .map(Peer::of)
            .transpose()
            .map_err(|why| wrong("the proxy", why))?;
        if proxy.as_ref().is_some_and(Peer::is_secure) {
            return Err(wrong("the proxy", "it is to begin with `http://`"));
        }
        if let Some((name, _)) = spec.headers.iter().find(|(name, _)| is_reserved_header(name.as_str())) {
            return Err(wrong("a header", &format!("`{name}` is not yours to set")));
        }
        let native = if peer.is_secure() || matches!(spec.auth, Auth::OAuth2(_)) {
            shared.roots().clone()
        } else {
            Arc::new(RootCertStore::empty())
        };
        let protocols: &[&[u8]] = match spec.http {
            Version::One => &[b"http/1.1"],
            Version::Two => &[b"h2"],
            Version::Auto => &[b"h2", b"http/1.1"],
        };
        let tls = trust::config(&spec.tls, &native, protocols)?;
        let unwritable = || wrong("the URL of the target", "it cannot be written into a request");
        let (path, host) = place(&spec.url).ok_or_else(unwritable)?;
        let whole = Uri::try_from(&spec.url[..Position::AfterQuery]).map_err(|_| unwritable())?;
        let mut base = HeaderMap::with_capacity(16);
        base.insert(header::HOST, host);
        base.insert(header::USER_AGENT, USER_AGENT);
        let mut tokens = None;
        let authorization = match &spec.auth {
            Auth::None => None,
            Auth::Basic { user, .. } if user.contains(':') => return Err(wrong("the user", "it holds a `:`")),
            Auth::Basic { user, password } => {
                let plain = format!("{user}:{}", password.expose());
                Some(format!("Basic {}", STANDARD.encode_to_string(plain)))
            }
            Auth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
            Auth::OAuth2(what) => {
                let tls = trust::config(&spec.tls, &native, &[b"http/1.1"])?;
                tokens = Some(Tokens::new(what, tls).map_err(|why| wrong("the URL for tokens", why))?);
                None
            }
        };
        if let Some(text) = authorization {
            let value = secret(&text).ok_or_else(|| wrong("what proves who we are", "it cannot stand in a header"))?;
            base.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            shown: attempt::shown(&spec.url),
            echo: Echo::new(&spec.url, spec.proxy.as_ref()),
            slots: Semaphore::new(spec.in_flight.max(1) as usize),
            bytes: Semaphore::new(spec.in_flight_bytes.max(1) as usize),
            lines: Arc::default(),
            old: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            spec,
            shared,
            peer,
            proxy,
            tls,
            tokens,
            path,
            whole,
            base,
        })
    }
    /// How long the first message of a batch may wait for others; `None`: it is sent at once.
    pub fn wait(&self) -> Option<Duration> {
        self.spec.batch.map(|batch| batch.wait)
    }
    /// Where it sends, as it may be shown: with `***` for the values of a query.
    pub fn url(&self) -> &str {
        &self.shown
    }
    /// Closes the connections that wait for a request.
    pub fn close(&self) {
        self.lines.clear();
    }

    /// One request, or two if the target does not take our token.
    async fn attempt(&self, items: &[Received]) -> Result<()> {
        let bytes: usize = items.iter().map(|item| item.message.size()).sum();
        let most = self.spec.in_flight_bytes.max(1);
        let permits = u32::try_from(bytes).unwrap_or(most).clamp(1, most);
        let closed = |_| Error::new(Code::Draining, Fault::Gateway, "the target is closed").with_retry(Retry::Now);
        let _slot = self.slots.acquire().await.map_err(closed)?;
        let _room = self.bytes.acquire_many(permits).await.map_err(closed)?;
        let at = clock::now_us();
        let Some(composed) = compose(&self.spec, &self.base, items, at) else {
            return Ok(());
        };
        let mut note = Note {
            target: self,
            composed,
            at,
            began: clock::instant(),
            progress: Progress::default(),
            outcome: None,
        };
        let exchanged = timeout(self.spec.timeout, self.exchange(&note.composed, &note.progress)).await;
        let (outcome, result) = match exchanged {
            Ok(Ok(answer)) => {
                let means = self.spec.on.of(answer.status);
                let result = self.spec.on.judge(answer.status, &answer.headers);
                (answer.told(means, self.shared.journal.is_deaf()), result)
            }
            Ok(Err(Failure { step, error })) => (note.failed(step, &error), Err(error)),
            Err(_) => {
                let step = note.progress.step();
                let text = format!("no answer within {} ms ({step})", self.spec.timeout.as_millis());
                let error = Failure::new(step, Code::TargetTimeout, text).error;
                (note.failed(step, &error), Err(error))
            }
        };
        note.outcome = Some(outcome);
        result
    }
    async fn exchange(&self, composed: &Composed, progress: &Progress) -> Result<Answer, Failure> {
        let Some(tokens) = &self.tokens else {
            return self.send(composed, None, progress).await;
        };
        let network = self.network();
        let token = Box::pin(tokens.get(&network, progress)).await?;
        let answer = self.send(composed, Some(&token), progress).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // It may have been taken back before its end: once with another.
        tokens.refuse(&token);
        let token = Box::pin(tokens.get(&network, progress)).await?;
        self.send(composed, Some(&token), progress).await
    }
    async fn send(&self, composed: &Composed, token: Option<&Arc<Token>>, progress: &Progress) -> Result<Answer, Failure> {
        let mut unseen = 0;
        loop {
            let (mut line, used) = self.line(progress).await?;
            let call = Call {
                method: &self.spec.method,
                path: &self.path,
                whole: &self.whole,
                headers: &composed.headers,
                authorization: token.map(|token| &token.header),
                body: &composed.body,
                keep: EXCERPT,
                most: self.spec.max_response,
            };
            let text = match line.call(&call, progress).await {
                Ok(mut answer) => {
                    self.lines.give_back(line);
                    let sent = composed.headers.iter().map(|(name, value)| (name.as_str(), value));
                    let token = token.map(|token| (header::AUTHORIZATION.as_str(), &token.header));
                    self.echo.hide(sent.chain(token), &mut answer);
                    return Ok(answer);
                }
                // It ended while it waited, and nothing was sent on it.
                Err(Broke::Unsent) if used => continue,
                Err(Broke::Unseen(_)) if unseen < UNSEEN => {
                    unseen += 1;
                    continue;
                }
                Err(Broke::Unsent) => "closed at once".to_owned(),
                Err(Broke::Unseen(text) | Broke::Failed(text)) => text,
            };
            let text = match progress.status() {
                Some(status) => format!("the target answered {status}, and broke off: {text}"),
                None => format!("the connection broke: {text}"),
            };
            return Err(Failure::new(progress.step(), Code::TargetDown, text));
        }
    }
    /// One that waits, else a new one; and whether it was used before.
    async fn line(&self, progress: &Progress) -> Result<(Line, bool), Failure> {
        let sharing = match self.spec.http {
            Version::One => false,
            Version::Two => true,
            Version::Auto => self.peer.is_secure() && !self.old.load(Ordering::Relaxed),
        };
        if !sharing {
            return match self.lines.idle() {
                Some(line) => Ok((line, true)),
                // Rare, and larger than all the rest of an attempt.
                None => Ok((Box::pin(self.open(progress)).await?, false)),
            };
        }
        if let Some(line) = self.lines.shared() {
            return Ok((line, true));
        }
        progress.reach(Step::Connect);
        let _turn = self.lines.turn.lock().await;
        if let Some(line) = self.lines.shared() {
            return Ok((line, true));
        }
        let line = Box::pin(self.open(progress)).await?;
        self.lines.share(&line);
        self.old.store(!line.is_shared(), Ordering::Relaxed);
        Ok((line, false))
    }
    async fn open(&self, progress: &Progress) -> Result<Line, Failure> {
        let (socket, agreed) = self.network().open(&self.peer, &self.tls, progress).await?;
        self.shared.opened.fetch_add(1, Ordering::Relaxed);
        let two = agreed || (self.spec.http == Version::Two && !self.peer.is_secure());
        if self.spec.http == Version::Two && !two {
            let text = "the target does not speak HTTP/2".to_owned();
            return Err(Failure::new(Step::Tls, Code::TargetDown, text));
        }
        let opened = Line::on(socket, two).await;
        opened.map_err(|error| Failure::new(Step::Connect, Code::TargetDown, lines::whole_text(&error)))
    }
    fn network(&self) -> Network<'_> {
        Network {
            guard: &self.shared.guard,
            resolver: &*self.shared.resolver,
            steps: self.spec.steps,
            proxy: self.proxy.as_ref(),
            refused: &self.shared.refused,
        }
    }
}
impl Action for Target {
    fn limits(&self) -> Limits {
        let most = self.spec.in_flight_bytes.max(1);
        let batch = match self.spec.batch {
            None => Limit { messages: 1, bytes: most },
            Some(batch) => Limit {
                messages: batch.messages.max(1),
                bytes: batch.bytes.clamp(1, most),
            },
        };
        Limits {
            batch,
            in_flight: self.spec.in_flight.max(1),
        }
    }
    fn stopped(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
    fn weight(&self, item: &Received) -> usize {
        if self.spec.batch.is_some() {
            compose::weight(item)
        } else {
            item.message.size()
        }
    }
    fn perform<'a>(&'a self, items: &'a [Received]) -> BoxFuture<'a, Result<(), BatchError>> {
        Box::pin(async move {
            if self.spec.batch.is_some() || items.len() == 1 {
                return self.attempt(items).await.map_err(BatchError::All);
            }
            let mut failed = Vec::new();
            for (number, item) in (0..).zip(items) {
                if let Err(error) = self.attempt(slice::from_ref(item)).await {
                    let gone = (error.code() == Code::TargetGone).then(|| error.again());
                    failed.push((number, error));
                    if let Some(gone) = gone {
                        let rest = number + 1..items.len() as u32;
                        failed.extend(rest.map(|later| (later, gone.again())));
                        break;
                    }
                }
            }
            BatchError::some(failed)
        })
    }
}
impl Answer {
    fn told(self, means: Do, nobody: bool) -> AttemptOutcome {
        AttemptOutcome::Answered {
            status: self.status,
            means,
            headers: if nobody {
                HeaderMap::new()
            } else {
                attempt::redacted(self.headers)
            },
            body: self.body,
            cut: self.cut,
        }
    }
}
/// Tells the journal when it goes, however that comes.
struct Note<'a> {
    target: &'a Target,
    composed: Composed,
    at: i64,
    began: Instant,
    progress: Progress,
    outcome: Option<AttemptOutcome>,
}
impl Note<'_> {
    fn failed(&self, step: Step, error: &Error) -> AttemptOutcome {
        AttemptOutcome::Failed {
            step,
            status: self.progress.status(),
            error: error.to_string(),
        }
    }
}
impl Drop for Note<'_> {
    fn drop(&mut self) {
        let Self { target, composed, .. } = self;
        if target.shared.journal.is_deaf() {
            return;
        }
        let step = self.progress.step();
        let Composed { headers, body, items } = composed;
        target.shared.journal.note(Attempt {
            webhook: target.spec.name.clone(),
            at: self.at,
            took: self.began.elapsed(),
            items: std::mem::take(items),
            request: Excerpt {
                method: target.spec.method.clone(),
                url: target.shown.clone(),
                headers: attempt::redacted(std::mem::take(headers)),
                body: body.slice(..body.len().min(EXCERPT)),
                length: body.len() as u64,
            },
            outcome: self.outcome.take().unwrap_or(if target.stopped.load(Ordering::Relaxed) {
                AttemptOutcome::Stopped { step }
            } else {
                AttemptOutcome::Abandoned { step }
            }),
        });
    }
}
/// A URL as HTTP/1.1 writes it: path and query, and the host beside them.
fn place(url: &Url) -> Option<(Uri, HeaderValue)> {
    let path = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).ok()?;
    let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()?;
    Some((path, host))
}
/// A header that nobody is to see.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
