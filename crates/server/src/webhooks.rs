//! Webhooks as this node runs them: what is declared becomes pumps from a source to an HTTP target.
mod asked;
mod job;
mod trace;

use crate::{
    deliveries::{self, Deliveries, Past},
    groups,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidegate_config::{Checked, Id, Outgoing, ResourceKind, Webhook, webhook::WebhookSource};
use tidegate_core::{
    check::Problem,
    clock,
    endpoint::{ConsumerSpec, Endpoint},
    error::{Code, Error, Result},
    filter::Filter,
};
use tidegate_endpoints::http::{Guard, Shared, Target, Url};
use tidegate_gateway::{
    instances::Instances,
    pump::{Count, State},
    pumps::{Job, Pumps},
    settings::Backend,
    world::Snapshot,
};
use tidegate_log::{AGAIN, Group, GroupStats, Log, Stream};

/// How groups of webhooks begin in the log.
const GROUP: &str = "$webhook/";

/// See the head of this file.
pub(crate) struct Webhooks {
    pumps: Arc<Pumps>,
    log: Arc<Log>,
    deliveries: Arc<Deliveries>,
    now: Mutex<Now>,
    /// Those of this process have begun: what was before it is over.
    begun: AtomicBool,
}
#[derive(Default)]
struct Now {
    running: HashMap<Arc<str>, Running>,
    /// Made anew when the bounds of outgoing calls change.
    shared: Option<(Outgoing, Arc<Shared>)>,
}
/// What a pump was made of: an equal one goes on.
#[derive(Clone)]
struct Running {
    webhook: Webhook,
    outgoing: Outgoing,
    dead_letters: Option<Arc<str>>,
    endpoint: Option<Arc<dyn Endpoint>>,
    /// Its own bounds hold for whatever is sent there beside the pump.
    target: Option<Arc<Target>>,
    /// What of its source it wants; empty: everything.
    topics: Vec<Filter>,
}
impl Running {
    fn is_like(&self, other: &Self) -> bool {
        let same = match (&self.endpoint, &other.endpoint) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        same && self.webhook.is_like(&other.webhook) && self.outgoing == other.outgoing && self.dead_letters == other.dead_letters
    }
}
/// The next ones, ready to be begun.
pub(crate) struct Next {
    each: Vec<(Arc<str>, Running, Option<Job>)>,
    /// Where each has its place, also those that stand still.
    places: Vec<Place>,
    stops: HashMap<Arc<str>, (i64, String)>,
}
/// What one webhook reads, and how far it is.
struct Place {
    webhook: Arc<str>,
    source: WebhookSource,
    endpoint: Arc<dyn Endpoint>,
    spec: ConsumerSpec,
}
impl Place {
    /// It is there from then on. Failing leaves it to the pump, which tries until it can.
    async fn make(self) {
        if let Err(error) = self.endpoint.consumer(self.spec).await {
            tracing::warn!(webhook = &*self.webhook, error = %error, "it has no place in its source yet");
        }
    }
}
/// Places that are made at a time.
const AT_ONCE: usize = 64;

impl Webhooks {
    pub(crate) fn new(pumps: Arc<Pumps>, log: Arc<Log>, deliveries: Arc<Deliveries>) -> Self {
        Self {
            pumps,
            log,
            deliveries,
            now: Mutex::default(),
            begun: AtomicBool::new(false),
        }
    }
    /// How one is doing.
    pub(crate) fn status(&self, name: &str) -> Value {
        let Some(progress) = self.pumps.progress(name) else {
            return json!({"state": "stopped"});
        };
        // First what is not done and then what is, so that what left the one is seen in the other.
        let expired = self.group(name).map_or(0, |group| group.stats().expired);
        let stats = self.stats(name);
        let state = progress.state();
        let time = |at: i64| clock::rfc3339(at);
        // What lies behind us is tried with the next message.
        let ahead = |at: i64| Some(at).filter(|at| *at > clock::now_us()).map(clock::rfc3339);
        let given_up: u64 = [Count::Attempts, Count::Refused, Count::Time]
            .map(|what| progress.count(what))
            .iter()
            .sum();
        let mut told = json!({
            "state": state.as_str(), "in_flight": progress.in_flight(), "last_success": progress.last_success().map(time),
            "delivered": progress.count(Count::Delivered), "retried": progress.count(Count::Retried),
            "given_up": given_up, "expired": expired,
        });
        match &*state {
            State::Untried { since } => {
                told["since"] = time(*since).into();
                told["reason"] = self.refused(name).into();
            }
            State::Connected { since } => told["since"] = time(*since).into(),
            State::Retrying { since, next, error } => {
                told["since"] = time(*since).into();
                told["next_attempt"] = ahead(*next).into();
                told["error"] = (&**error).into();
            }
            State::Failing { since, error } => {
                told["since"] = time(*since).into();
                told["error"] = (&**error).into();
            }
            State::Open { since, probe_at, error } => {
                told["since"] = time(*since).into();
                told["next_attempt"] = ahead(*probe_at).into();
                told["error"] = (&**error).into();
            }
            State::Stopped { since, reason } => {
                told["since"] = time(*since).into();
                told["reason"] = (&**reason).into();
            }
        }
        if let Some(stuck) = self.group(name).and_then(|group| group.stuck()) {
            let error = format!("{} given up, but no dead letters yet: {}", stuck.messages, stuck.error);
            told["error"] = error.into();
        }
        if let Some(stats) = stats {
            told["lag"] = json!({
                "messages": stats.pending, "waiting": stats.waiting,
                "age_ms": stats.oldest.map(|at| (clock::now_us() - at).max(0) / 1_000),
            });
        }
        told
    }
    /// Why what is sent will not go out as things are, where the address alone says so.
    fn refused(&self, name: &str) -> Option<String> {
        let Running { webhook, outgoing, .. } = self.running(name).ok()?;
        let url: Url = webhook.target.url.expose().parse().ok()?;
        let address: IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
        let guard = Guard {
            allow: outgoing.allow,
            ..Guard::default()
        };
        let kind = guard.refuses(address)?;
        // As the first attempt will say it.
        let what = format!("`{address}` is no public address ({kind})");
        Some(format!("{what}, where no outgoing call may go unless `outgoing.allow` has it"))
    }
    /// Of its place in the log, once it has one, with what was given up and is sent again: that waits, too.
    fn stats(&self, name: &str) -> Option<GroupStats> {
        Some(groups::stats(&self.log, &*self.group(name)?))
    }
    /// Its place in the log, once it has one.
    fn group(&self, name: &str) -> Option<Arc<Group>> {
        let called = format!("{GROUP}{name}");
        let streams = self.log.streams();
        let own = |stream: &&Arc<Stream>| !stream.name().starts_with(AGAIN);
        streams.iter().filter(own).find_map(|stream| self.log.find_group(stream, &called))
    }
    /// How many messages of its source are not done, and how long ago the oldest of them came.
    pub(crate) fn lag(&self, name: &str) -> Option<(u64, Duration)> {
        let stats = self.stats(name)?;
        let age = stats.oldest.map_or(0, |at| (clock::now_us() - at).max(0));
        Some((stats.pending, Duration::from_micros(age.unsigned_abs())))
    }
    /// Attempts that are not in the delivery log.
    pub(crate) fn lost(&self) -> u64 {
        self.deliveries.lost()
    }
    /// How each is doing.
    pub(crate) fn pumps(&self) -> &Arc<Pumps> {
        &self.pumps
    }
    /// What was made of the one of that name.
    fn running(&self, name: &str) -> Result<Running> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = || Error::client(Code::NoSuchResource, format!("there is no webhook `{name}`"));
        now.running.get(name).cloned().ok_or_else(missing)
    }
    /// Where each reads from and how it sends; nothing runs yet.
    pub(crate) async fn prepare(
        &self,
        checked: &Checked,
        instances: &mut Instances,
        world: &Snapshot,
        captured: &[(Arc<Stream>, Vec<Filter>)],
    ) -> Result<std::result::Result<Next, Vec<(Id, Problem)>>> {
        if !checked.webhooks.is_empty() {
            // Before anything is sent, so that the streams a user makes have the same numbers each time.
            deliveries::made(&self.log).await?;
        }
        let outgoing = &checked.node.outgoing;
        let shared = self.shared(outgoing);
        let (mut next, mut problems) = (Vec::new(), Vec::new());
        let (mut places, mut still) = (Vec::new(), HashSet::new());
        let mut place = |webhook: &Webhook, endpoint: &Arc<dyn Endpoint>, topics: &[Filter]| {
            places.push(Place {
                webhook: webhook.name.clone(),
                source: webhook.source.clone(),
                endpoint: endpoint.clone(),
                spec: job::reads(webhook, topics.to_vec()),
            });
        };
        let (mut ready, mut circuits) = (Vec::new(), HashMap::new());
        for webhook in &checked.webhooks {
            let id = || Id::new(ResourceKind::Webhook, webhook.name.clone());
            let mut running = Running {
                webhook: webhook.clone(),
                outgoing: outgoing.clone(),
                dead_letters: webhook.dead_letters.clone(),
                endpoint: None,
                target: None,
                topics: Vec::new(),
            };
            if !webhook.enabled {
                // It has its place from the beginning: what comes before it is started waits. Without a source it has none yet.
                if let Ok(Ok((endpoint, topics))) = source(webhook, &self.log, instances, world, captured).await {
                    place(webhook, &endpoint, &topics);
                }
                still.insert(webhook.name.clone());
                next.push((webhook.name.clone(), running, None));
                continue;
            }
            let (endpoint, topics) = match source(webhook, &self.log, instances, world, captured).await? {
                Ok(found) => found,
                Err(problem) => {
                    problems.push((id(), problem));
                    continue;
                }
            };
            running.endpoint = Some(endpoint.clone());
            let target = job::spec(webhook, outgoing).and_then(|spec| Target::new(spec, shared.clone()));
            match target {
                Ok(target) => {
                    let target = Arc::new(target);
                    running.target = Some(target.clone());
                    place(webhook, &endpoint, &topics);
                    running.topics.clone_from(&topics);
                    circuits.insert(webhook.name.clone(), job::circuit(webhook, &target));
                    ready.push((webhook, running, target));
                }
                Err(error) => problems.push((
                    id(),
                    Problem {
                        at: "/target".to_owned(),
                        expected: error.to_string().into(),
                        hint: None,
                    },
                )),
            }
        }
        let Past { rests, stops, mut ills } = if self.begun.load(Ordering::Relaxed) {
            Past::default()
        } else {
            Past::look(&self.log, &circuits, still).await?
        };
        for (webhook, running, target) in ready {
            let Some(endpoint) = running.endpoint.clone() else { continue };
            let (topics, rest) = (running.topics.clone(), rests.get(&webhook.name).copied());
            let job = job::job(webhook, endpoint, topics, target, (rest, ills.remove(&webhook.name)));
            next.push((webhook.name.clone(), running, Some(job)));
        }
        let each = next;
        Ok(if problems.is_empty() {
            Ok(Next { each, places, stops })
        } else {
            Err(problems)
        })
    }
    /// Those that changed begin anew where they were, those that are no more end, and their places are forgotten.
    pub(crate) async fn begin(&self, next: Next) {
        self.begun.store(true, Ordering::Relaxed);
        self.make(next.places).await;
        {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            now.running.retain(|name, _| {
                let stays = next.each.iter().any(|(next, ..)| next == name);
                if !stays {
                    self.pumps.remove(name);
                }
                stays
            });
            for (name, running, job) in next.each {
                // An equal one goes on with the target it has.
                if now.running.get(&name).is_none_or(|was| !was.is_like(&running)) {
                    self.pumps.set(&name, job);
                    if let Some((since, reason)) = next.stops.get(&name)
                        && let Some(progress) = self.pumps.progress(&name)
                    {
                        progress.stopped_since(*since, reason);
                    }
                    now.running.insert(name, running);
                }
            }
        }
        self.forget().await;
    }
    /// Whoever hears that a webhook is there may publish at once: what comes from then on waits in its place.
    async fn make(&self, places: Vec<Place>) {
        let is_new = |place: &Place| {
            let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let was = now.running.get(&place.webhook);
            was.is_none_or(|was| was.webhook.source != place.source)
        };
        let made: Vec<_> = places.into_iter().filter(is_new).map(Place::make).collect();
        stream::iter(made).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
    /// Of a webhook that is gone no group keeps messages, nor that of one that reads elsewhere now.
    async fn forget(&self) {
        // What brings messages again goes after the group it brings them to.
        for stream in self.log.streams().iter().filter(|stream| !stream.name().starts_with(AGAIN)) {
            for group in self.log.groups(stream) {
                let Some(name) = group.name().strip_prefix(GROUP) else { continue };
                let stays = {
                    let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
                    now.running.get(name).is_some_and(|running| match &running.webhook.source {
                        WebhookSource::Stream(of) => **of == *stream.name(),
                        WebhookSource::Topics(_) | WebhookSource::Api(_) => true,
                    })
                };
                if !stays && let Err(error) = self.log.delete_group(stream, group.name()).await {
                    tracing::warn!(webhook = name, error = %error, "the place of a webhook that is gone is left");
                }
            }
        }
    }
    fn shared(&self, outgoing: &Outgoing) -> Arc<Shared> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, shared)) = &now.shared
            && known == outgoing
        {
            return shared.clone();
        }
        let shared = Arc::new(Shared::new(guard(outgoing), self.deliveries.clone()));
        now.shared = Some((outgoing.clone(), shared.clone()));
        shared
    }
}
fn guard(outgoing: &Outgoing) -> Guard {
    Guard {
        allow: outgoing.allow.clone(),
        ..Guard::default()
    }
}
type Source = (Arc<dyn Endpoint>, Vec<Filter>);
async fn source(
    webhook: &Webhook,
    log: &Log,
    instances: &mut Instances,
    world: &Snapshot,
    captured: &[(Arc<Stream>, Vec<Filter>)],
) -> Result<std::result::Result<Source, Problem>> {
    let wrong = |at: &str, expected: &'static str, hint: &'static str| Problem {
        at: at.to_owned(),
        expected: expected.into(),
        hint: Some(hint.into()),
    };
    let group = format!("{GROUP}{}", webhook.name);
    let (endpoint, topics, at) = match &webhook.source {
        WebhookSource::Stream(name) => (
            instances.target(&Backend::Stream(name.clone())).await?.endpoint,
            Vec::new(),
            "/source/stream",
        ),
        WebhookSource::Topics(topics) => {
            let holds = |(stream, filters): &&(Arc<Stream>, Vec<Filter>)| {
                let covered =
                    |wanted: &Filter| wanted.as_str() == stream.name() || filters.iter().any(|filter| filter.covers(wanted.as_str()));
                topics.iter().all(covered)
            };
            // Where it has its place, as long as that is one of them: else what waits there would never be sent.
            let order = |stream: &Arc<Stream>| (log.find_group(stream, &group).is_none(), stream.number());
            let Some((stream, _)) = captured.iter().filter(holds).min_by_key(|(stream, _)| order(stream)) else {
                let hint = "what no stream keeps cannot be sent again: declare a stream with these topics";
                return Ok(Err(wrong("/source/topics", "topics that one stream captures", hint)));
            };
            let backend = Backend::Stream(stream.name().into());
            (instances.target(&backend).await?.endpoint, topics.clone(), "/source/topics")
        }
        WebhookSource::Api(name) => {
            let target = world.routes.get(name).and_then(|route| route.subscribe.clone());
            let Some(target) = target else {
                return Ok(Err(wrong(
                    "/source/api",
                    "an api that runs and can be read",
                    "start it, or name its stream",
                )));
            };
            match target.filters("") {
                Ok(topics) => (target.endpoint, topics, "/source/api"),
                Err(_) => return Ok(Err(wrong("/source/api", "an api with one topic", "name its stream"))),
            }
        }
    };
    if !endpoint.capabilities().by_group {
        let hint = "webhooks retry from a stream: name one";
        return Ok(Err(wrong(at, "a source that keeps a place for a group", hint)));
    }
    Ok(Ok((endpoint, topics)))
}
