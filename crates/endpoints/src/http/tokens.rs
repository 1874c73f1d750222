//! Tokens of OAuth 2.0, client credentials: fetched by one for all, used until shortly before their end, and given up when the target refuses one.
use super::{
    attempt::{Progress, Step},
    connect::{Failure, Network, Peer},
    lines::{Broke, Call, Line},
    spec::ClientCredentials,
};
use arc_swap::ArcSwapOption;
use base64_simd::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use rustls::ClientConfig;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tidegate_core::error::{Code, Error};
use tokio::{sync::Mutex, time::Instant};

/// An answer with a token is not longer.
const LONGEST: usize = 64 << 10;
/// Who does not say how long a token is good gets it asked again after that long.
const UNTOLD: Duration = Duration::from_mins(10);
/// A token is good for no longer than we look ahead.
const MOST: Duration = Duration::from_hours(24);
/// This long nobody asks again who was refused.
const PAUSE: Duration = Duration::from_secs(1);

/// The tokens of one target.
#[derive(Debug)]
pub(super) struct Tokens {
    peer: Peer,
    uri: Uri,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    form: Bytes,
    tls: Arc<ClientConfig>,
    held: ArcSwapOption<Token>,
    /// Held by the one who asks; when asking failed last, and how.
    asking: Mutex<Option<(Instant, Error)>>,
}
#[derive(Debug)]
pub(super) struct Token {
    /// `Bearer …`.
    pub(super) header: HeaderValue,
    /// From then on the next one is fetched, while this one is used.
    renew: Instant,
    ends: Instant,
}
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}
#[derive(Deserialize)]
struct Problem {
    error: String,
}
impl Tokens {
    pub(super) fn new(what: &ClientCredentials, tls: Arc<ClientConfig>) -> Result<Self, &'static str> {
        let peer = Peer::of(&what.token_url)?;
        let (uri, host) = super::place(&what.token_url).ok_or("it cannot be written into a request")?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !what.scopes.is_empty() {
            form.append_pair("scope", &what.scopes.join(" "));
        }
        let authorization = if what.in_body {
            form.append_pair("client_id", &what.id)
                .append_pair("client_secret", what.secret.expose());
            None
        } else {
            // Both are coded as in a form first (section 2.3.1).
            let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let plain = format!("{}:{}", coded(&what.id), coded(what.secret.expose()));
            super::secret(&format!("Basic {}", STANDARD.encode_to_string(plain)))
        };
        Ok(Self {
            peer,
            uri,
            host,
            authorization,
            form: form.finish().into(),
            tls,
            held: ArcSwapOption::empty(),
            asking: Mutex::new(None),
        })
    }
    /// A token that is good now.
    pub(super) async fn get(&self, network: &Network<'_>, progress: &Progress) -> Result<Arc<Token>, Failure> {
        let good = |token: &Arc<Token>| Instant::now() < token.ends;
        let fresh = |token: &Arc<Token>| Instant::now() < token.renew;
        let held = self.held.load_full().filter(good);
        if let Some(token) = held.clone().filter(fresh) {
            return Ok(token);
        }
        progress.reach(Step::Authorize);
        let mut failed = match (&held, self.asking.try_lock()) {
            (_, Ok(turn)) => turn,
            // Somebody fetches the next one; this one is still good.
            (Some(token), Err(_)) => return Ok(token.clone()),
            (None, Err(_)) => self.asking.lock().await,
        };
        if let Some(token) = self.held.load_full().filter(fresh) {
            return Ok(token);
        }
        let again = failed
            .as_ref()
            .filter(|(when, _)| when.elapsed() < PAUSE)
            .map(|(_, error)| error.again().with_retry(error.retry()));
        let failure = match again {
            Some(error) => Failure {
                step: Step::Authorize,
                error,
            },
            None => match self.fetch(network).await {
                Ok(token) => {
                    let token = Arc::new(token);
                    self.held.store(Some(token.clone()));
                    *failed = None;
                    return Ok(token);
                }
                Err(failure) => {
                    *failed = Some((Instant::now(), failure.error.again().with_retry(failure.error.retry())));
                    failure
                }
            },
        };
        // The old one is good until its end.
        held.ok_or(failure)
    }
    /// The target does not take it; nobody uses it any more.
    pub(super) fn refuse(&self, token: &Arc<Token>) {
        let held = self.held.load_full();
        if held.is_some_and(|held| Arc::ptr_eq(&held, token)) {
            self.held.store(None);
        }
    }
    async fn fetch(&self, network: &Network<'_>) -> Result<Token, Failure> {
        let refused = |text: String| Failure::new(Step::Authorize, Code::TargetRefused, format!("no token: {text}"));
        let down = |text: String| Failure::new(Step::Authorize, Code::TargetDown, format!("no token: {text}"));
        // Its steps are all one to who waits for a token.
        let own = Progress::default();
        let opened = network.open(&self.peer, &self.tls, &own).await;
        let (socket, _) = opened.map_err(|failure| Failure {
            step: failure.step,
            error: failure.error,
        })?;
        let mut line = Line::on(socket, false).await.map_err(|error| down(error.to_string()))?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, super::USER_AGENT);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let call = Call {
            method: &Method::POST,
            path: &self.uri,
            whole: &self.uri,
            headers: &headers,
            authorization: self.authorization.as_ref(),
            body: &self.form,
            keep: LONGEST,
            most: LONGEST as u64,
        };
        let answered = line.call(&call, &own).await.map_err(|broke| match broke {
            Broke::Unsent => down("closed at once".to_owned()),
            Broke::Unseen(text) | Broke::Failed(text) => down(text),
        })?;
        if answered.cut {
            return Err(down("the token server's answer is too long".to_owned()));
        }
        let (status, body) = (answered.status, answered.body);
        if !status.is_success() {
            let why = serde_json::from_slice::<Problem>(&body).map_or(String::new(), |problem| format!(" `{}`", word(&problem.error)));
            return Err(refused(format!("the token server answered {status}{why}")));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| refused("the token server's answer has none".to_owned()))?;
        if let Some(other) = answer.token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(refused(format!(
                "the token server gives `{}`, and only `Bearer` is known here",
                word(&other)
            )));
        }
        let header = super::secret(&format!("Bearer {}", answer.access_token)).filter(|_| !answer.access_token.is_empty());
        let header = header.ok_or_else(|| refused("what the token server gives cannot stand in a header".to_owned()))?;
        // Some write the number as a text.
        let told = answer
            .expires_in
            .and_then(|told| told.as_u64().or_else(|| told.as_str()?.parse().ok()))
            .map_or(UNTOLD, Duration::from_secs)
            .min(MOST);
        let now = Instant::now();
        Ok(Token {
            header,
            renew: now + told - (told / 10).min(Duration::from_mins(1)),
            ends: now + told,
        })
    }
}
/// What another server calls an error, fit to be shown.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && *c != '`').take(64).collect()
}
