//! A declared webhook as the target and the pump take it.
use crate::deliveries::Circuit;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{sync::Arc, time::Duration};
use tidegate_config::{
    Outgoing, Webhook,
    webhook::{Auth, From, Http, Meaning, Order},
};
use tidegate_core::{
    clock,
    endpoint::{ConsumerSpec, Endpoint, Group, GroupName, Limit, Start},
    error::{Code, Error, Fault, Result},
    filter::Filter,
    topic::Topic,
};
use tidegate_endpoints::http::{self, Answers, Batching, ClientCredentials, Credential, Do, Form, Identity, Spec, Target, Url, Version};
use tidegate_gateway::{
    pump::{self, Backoff, Before, Pumping},
    pumps::Job,
};
use tokio::time::Instant;

/// What decides how long its target is left alone.
pub(super) fn circuit(webhook: &Webhook, target: &Target) -> Circuit {
    Circuit {
        failures: webhook.breaker.failures,
        obey: webhook.retry.retry_after,
        url: target.url().to_owned(),
    }
}
/// What may be read and not settled: messages that wait for others of their key stay on disk.
const WINDOW: Limit = Limit {
    messages: 1_024,
    bytes: 8 << 20,
};
/// The longest time between two probes of a target that is ill.
const PROBES: Duration = Duration::from_mins(1);

/// What is wrong with it was told when it was checked, except for what only the target's own parsers know.
pub(super) fn spec(webhook: &Webhook, outgoing: &Outgoing) -> Result<Spec> {
    let target = &webhook.target;
    let mut spec = Spec::new(webhook.name.clone(), url(target.url.expose())?);
    let unusable = |what: &str| Error::new(Code::BadValue, Fault::Operator, format!("{what} cannot be used"));
    spec.method = target.method.parse().map_err(|_| unusable("the method"))?;
    for (name, value) in &target.headers {
        let name = name.parse().map_err(|_| unusable("the name of a header"))?;
        spec.headers.push((name, value.clone()));
    }
    spec.timeout = target.timeout;
    spec.auth = match &target.auth {
        Auth::None => http::Auth::None,
        Auth::Basic { username, password } => http::Auth::Basic {
            user: username.clone(),
            password: Credential::new(password.expose()),
        },
        Auth::Bearer(token) => http::Auth::Bearer(Credential::new(token.expose())),
        Auth::OAuth2 {
            token_url,
            client_id,
            client_secret,
            scopes,
            in_body,
        } => http::Auth::OAuth2(ClientCredentials {
            token_url: url(token_url.expose())?,
            id: client_id.clone(),
            secret: Credential::new(client_secret.expose()),
            scopes: scopes.clone(),
            in_body: *in_body,
        }),
    };
    for secret in &webhook.sign {
        let secret = tidegate_wire::webhook::Secret::parse(secret.expose());
        spec.sign.push(secret.map_err(|_| unusable("a signing secret"))?);
    }
    spec.http = match target.http {
        Http::One => Version::One,
        Http::Two => Version::Two,
        Http::Auto => Version::Auto,
    };
    let proxy = target.proxy.as_ref().or(outgoing.proxy.as_ref());
    spec.proxy = proxy.map(|proxy| url(proxy.expose())).transpose()?;
    spec.batch = webhook.batch.map(|batch| Batching {
        messages: batch.messages,
        bytes: u32::try_from(batch.bytes).unwrap_or(u32::MAX),
        wait: batch.wait,
        form: if batch.ndjson { Form::Ndjson } else { Form::Json },
    });
    spec.in_flight = webhook.parallel;
    let meaning = |meaning: Meaning| match meaning {
        Meaning::Success => Do::Success,
        Meaning::Retry => Do::Retry,
        Meaning::DeadLetter => Do::DeadLetter,
        Meaning::Stop => Do::Stop,
    };
    spec.on = Answers::new(
        webhook
            .answers
            .iter()
            .map(|(range, what)| (range.clone(), meaning(*what)))
            .collect(),
    );
    if let Some(ca) = &target.ca {
        spec.tls.extra = certificates(ca).ok_or_else(|| unusable("`ca`"))?;
    }
    if let Some((chain, key)) = &target.certificate {
        spec.tls.client = Some(Identity {
            chain: certificates(chain).ok_or_else(|| unusable("the certificate"))?,
            key: PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| unusable("the key"))?,
        });
    }
    Ok(spec)
}
fn url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|error| Error::new(Code::BadValue, Fault::Operator, format!("a URL cannot be used: {error}")))
}
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<std::result::Result<_, _>>()
        .ok()?;
    (!all.is_empty()).then_some(all)
}
pub(super) fn job(
    webhook: &Webhook,
    endpoint: Arc<dyn Endpoint>,
    topics: Vec<Filter>,
    target: Arc<Target>,
    (rest, before): (Option<i64>, Option<Before>),
) -> Job {
    Job {
        how: Pumping {
            order: match webhook.order {
                Order::None => pump::Order::None,
                Order::Key => pump::Order::Key,
                Order::All => pump::Order::All,
            },
            parallel: webhook.parallel,
            linger: target.wait().unwrap_or_default(),
            retry: Backoff {
                first: webhook.retry.first,
                max: webhook.retry.max,
                attempts: webhook.retry.attempts,
                obey: webhook.retry.retry_after,
                give_up_after: webhook.retry.give_up_after,
            },
            breaker: pump::Breaker {
                failures: webhook.breaker.failures,
                open_for: webhook.breaker.open_for,
                longest: PROBES.max(webhook.breaker.open_for),
            },
            rest_until: rest.map(|until| {
                let left = u64::try_from(until.saturating_sub(clock::now_us())).unwrap_or_default();
                Instant::now() + Duration::from_micros(left)
            }),
        },
        endpoint,
        spec: reads(webhook, topics),
        action: target,
        before,
    }
}
/// What it reads of its source, and from where on the first time.
pub(super) fn reads(webhook: &Webhook, topics: Vec<Filter>) -> ConsumerSpec {
    let start = match webhook.from {
        From::Earliest => Start::Earliest,
        From::Latest => Start::Latest,
        From::Last(count) => Start::Last(count),
        From::Ago(ago) => Start::Since(clock::now_us().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX))),
        From::Since(at) => Start::Since(at),
    };
    let group = Group {
        name: GroupName::internal("webhook", &webhook.name),
        deliveries: Some(webhook.retry.attempts),
        dead_letters: webhook.dead_letters.as_deref().map(Topic::from),
        ordered: webhook.order != Order::None,
        ahead: true,
    };
    ConsumerSpec {
        topics,
        start,
        group: Some(group),
        window: WINDOW,
    }
}
