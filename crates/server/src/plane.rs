//! The data plane of this node as control drives it: streams, captures, endpoints, routes, and the log level.
use crate::{
    dead_letters::DeadLetters,
    deliveries::Deliveries,
    groups,
    observe::logs::Levels,
    reconcile::{changes, reconcile, rules, unkeepable},
    schemas::Schemas,
    secrets::certificates::unusable,
    ways::{self, Ways},
    webhooks::{self, Webhooks},
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex as Lock, OnceLock, PoisonError, Weak},
};
use tidegate_config::{Checked, Id, ResourceKind};
use tidegate_control::{
    access::Access,
    hooks::Hooks,
    plane::{self, Prepared, Refusal},
    registry::{Registry, What, When, Wish},
    store::Author,
};
use tidegate_core::{
    drain::Watch,
    error::{Error, Fault, Result},
    filter::Filter,
    tasks::{self, Task},
};
use tidegate_endpoints::{
    kinds,
    local::{Captures, Failures, House, Need},
};
use tidegate_gateway::{
    compile::{Making, Undeployable, compile},
    instances::Instances,
    metrics::Metrics,
    pump::Crew,
    pumps::{OnGone, Pumps},
    world::{Snapshot, World},
};
use tidegate_hub::Hub;
use tidegate_log::{Log, Stream};
use tokio::sync::{Mutex, MutexGuard};

/// How the stream of dead letters of another is called, unless somebody says otherwise.
const DEAD: &str = ".dead";

/// Whether a stream of this name takes the dead letters of another, unless somebody says otherwise.
pub(crate) fn is_dead(name: &str) -> bool {
    name.ends_with(DEAD)
}
/// Streams with the topics they capture.
type Captured = Vec<(Arc<Stream>, Vec<Filter>)>;

/// See the head of this file.
pub(crate) struct Plane {
    log: Arc<Log>,
    captures: Arc<Captures>,
    metrics: Arc<Metrics>,
    levels: Arc<Levels>,
    world: Arc<World>,
    ways: Ways,
    access: Arc<Access>,
    house: Arc<House>,
    /// Moves delayed messages when they are due: once it is known who captures them.
    later: OnceLock<Task>,
    webhooks: Arc<Webhooks>,
    dead_letters: DeadLetters,
    _deliveries: Task,
    /// Stops a webhook for good: its target wants no more.
    registry: Arc<OnceLock<Weak<Registry>>>,
    declared: Lock<HashSet<Arc<str>>>,
    /// Streams that somebody named for dead letters.
    dead: Lock<HashSet<Arc<str>>>,
    turn: Mutex<Turn>,
}
/// What one change at a time works on.
struct Turn {
    instances: Instances,
    schemas: Schemas,
    captured: Captured,
    revision: u64,
    /// As the configuration says it; the API may have set another one since.
    level: Option<String>,
}
/// A target that wants no more has its webhook stopped, as if somebody had done it by hand.
fn stops(registry: Arc<OnceLock<Weak<Registry>>>) -> OnGone {
    Box::new(move |name, error| {
        let Some(registry) = registry.get().and_then(Weak::upgrade) else {
            return;
        };
        let wish = Wish {
            id: Id::new(ResourceKind::Webhook, name),
            what: What::Run(false),
            when: When::Always,
            at: String::new(),
        };
        let author = Author {
            who: format!("webhook {name}"),
            from: error.to_string(),
        };
        tasks::detach(async move {
            if let Err(refused) = registry.change(vec![wish], author, false).await {
                tracing::warn!(error = %refused, "a webhook whose target wants no more starts again with the node");
            }
        });
    })
}
/// What it stands on.
pub(crate) struct Ground {
    pub(crate) log: Arc<Log>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) captures: Arc<Captures>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) levels: Arc<Levels>,
    pub(crate) crew: Crew,
}
impl Plane {
    /// Over an open log; nothing is served yet. Readers share so many bytes of recent messages.
    pub(crate) fn new(ground: Ground, access: Arc<Access>, fan_out_bytes: u64, drain: Watch) -> Arc<Self> {
        let Ground {
            log,
            hub,
            captures,
            metrics,
            levels,
            crew,
        } = ground;
        let house = House::new(log.clone(), hub, captures.clone());
        let own = house.clone();
        let dead_letters = DeadLetters::new(log.clone(), house.clone());
        let local = Box::new(move |stream: Option<&str>| match stream {
            Some(name) => house.stream(name),
            None => Ok(house.topics()),
        });
        let world = World::new(Snapshot::default(), usize::try_from(fan_out_bytes).unwrap_or(usize::MAX));
        let (deliveries, writing) = Deliveries::new(log.clone());
        let registry = Arc::<OnceLock<Weak<Registry>>>::default();
        let pumps = Arc::new(Pumps::new(crew, drain, stops(registry.clone())));
        Arc::new(Self {
            webhooks: Arc::new(Webhooks::new(pumps, log.clone(), deliveries)),
            dead_letters,
            _deliveries: tasks::spawn(writing),
            registry,
            log,
            captures,
            levels,
            ways: Ways::new(&world, metrics.clone(), access.clone()),
            access,
            metrics,
            world,
            house: own,
            later: OnceLock::new(),
            declared: Lock::default(),
            dead: Lock::default(),
            turn: Mutex::new(Turn {
                instances: Instances::new(kinds(), local),
                schemas: Schemas::default(),
                captured: Vec::new(),
                revision: 0,
                level: None,
            }),
        })
    }
    /// Who keeps what is declared.
    pub(crate) fn known_to(&self, registry: &Arc<Registry>) {
        // Said once, by `boot`.
        let _again = self.registry.set(Arc::downgrade(registry));
    }
    /// The APIs.
    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }
    /// So many messages may wait until they are due.
    pub(crate) fn limit_delayed(&self, most: u64) {
        self.house.limit_delayed(most);
    }
    /// Publishes to any topic.
    pub(crate) fn topics(&self) -> Arc<dyn tidegate_core::endpoint::Producer> {
        self.house.topics().producer()
    }
    /// How each webhook does.
    pub(crate) fn webhooks(&self) -> &Arc<Webhooks> {
        &self.webhooks
    }
    /// What did not match its schema.
    pub(crate) fn failures(&self) -> &Arc<Failures> {
        self.house.failures()
    }
    /// `/streams/NAME` and `/topics/*`.
    pub(crate) fn messages(&self) -> &Arc<World> {
        self.ways.messages()
    }
    /// Every stream by its name, for whoever has a session.
    pub(crate) fn stations(&self) -> &Arc<World> {
        self.ways.stations()
    }
    /// Streams of dead letters that nobody declared take no messages but those: nobody else publishes to them.
    fn capturing(&self, captured: &Captured) -> Vec<(Arc<Stream>, Option<Vec<Filter>>)> {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let grave = |stream: &Stream, filters: &[Filter]| filters.is_empty() && (is_dead(stream.name()) || dead.contains(stream.name()));
        let taking = |(stream, filters): &(Arc<Stream>, Vec<Filter>)| (stream.clone(), (!grave(stream, filters)).then(|| filters.clone()));
        captured.iter().map(taking).collect()
    }
    async fn ways(&self, turn: &mut Turn, captured: &Captured, anew: bool) -> Result<ways::Next, Refusal> {
        let Turn { instances, revision, .. } = turn;
        let names = captured.iter().map(|(stream, _)| stream.name());
        let next = self.ways.prepare(names, instances, *revision, anew).await?;
        next.map_err(|refused| Refusal::Unkeepable(problems(refused)))
    }
}
fn problems(refused: Vec<Undeployable>) -> Vec<(Id, tidegate_core::check::Problem)> {
    let of = |api: Undeployable| {
        let id = Id::new(ResourceKind::Api, api.api);
        api.problems.into_iter().map(move |problem| (id.clone(), problem))
    };
    refused.into_iter().flat_map(of).collect()
}
impl plane::Plane for Plane {
    fn check(&self, checked: &Checked) -> Result<(), Refusal> {
        let problems = unkeepable(&self.log, &checked.streams);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Unkeepable(problems))
        }
    }
    fn would_start<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<()>> {
        let listeners = checked.node.listeners.clone();
        Box::pin(async move {
            // A disk may be far away.
            let wrong = tokio::task::spawn_blocking(move || unusable(&listeners)).await.unwrap_or_default();
            match wrong.into_iter().next() {
                // It is told where nobody shows hints.
                Some(error) => {
                    let named = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                    Err(Error::new(error.code(), Fault::Operator, format!("{error}{named}")))
                }
                None => Ok(()),
            }
        })
    }
    fn prepare<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, Refusal>> {
        Box::pin(async move {
            self.access.refuse_published(&checked.users).await?;
            let mut turn = self.turn.lock().await;
            turn.revision += 1;
            let captured = reconcile(&self.log, &checked.streams).await?;
            let revision = turn.revision;
            turn.schemas.compile(&checked.schemas)?;
            let needs = turn.schemas.needs(&self.log, &checked.streams);
            let steps = turn.schemas.steps(&checked.apis, &self.house, &self.log);
            turn.instances.take_steps(steps);
            turn.instances.declare(&checked.endpoints);
            let was = self.world.now();
            let compiled = compile(
                &checked.apis,
                &mut turn.instances,
                Making {
                    was: &was,
                    metrics: &|name| self.metrics.api(name),
                    policies: &[],
                    revision,
                },
            )
            .await?;
            let world = compiled.map_err(|refused| Refusal::Unkeepable(problems(refused)))?;
            let ways = self.ways(&mut turn, &captured, false).await?;
            let webhooks = self.webhooks.prepare(checked, &mut turn.instances, &world, &captured).await?;
            let webhooks = webhooks.map_err(Refusal::Unkeepable)?;
            let next: Box<dyn Prepared + 'a> = Box::new(Next {
                plane: self,
                turn,
                checked,
                captured,
                needs,
                world,
                ways,
                webhooks,
            });
            Ok(next)
        })
    }
    fn status(&self, id: &Id) -> Value {
        match id.kind {
            ResourceKind::Stream => match self.log.stream(&id.name) {
                None => json!({"state": "gone"}),
                Some(stream) => {
                    let known = |names: &Lock<HashSet<Arc<str>>>| names.lock().unwrap_or_else(PoisonError::into_inner).contains(&id.name);
                    let stats = stream.stats();
                    json!({
                        "state": if known(&self.declared) || known(&self.dead) || id.name.ends_with(DEAD) { "ready" } else { "orphan" },
                        "partitions": stream.partitions(), "messages": stats.records, "bytes": stats.bytes,
                        "delayed": self.house.delayed(&stream),
                    })
                }
            },
            ResourceKind::Api => {
                let running = self.world.now().routes.contains_key(&id.name);
                json!({"state": if running { "running" } else { "stopped" }})
            }
            ResourceKind::Schema | ResourceKind::Endpoint => json!({"state": "ready"}),
            ResourceKind::Webhook => self.webhooks.status(&id.name),
            ResourceKind::User | ResourceKind::Token => json!({"state": "active"}),
        }
    }
    fn undeclared(&self) -> Vec<Arc<str>> {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = self.log.streams();
        let undeclared = streams.iter().map(|stream| stream.name()).filter(|name| !declared.contains(*name));
        undeclared.filter(|name| !name.starts_with('$')).map(Into::into).collect()
    }
    fn takes_dead_letters(&self, name: &str) -> bool {
        is_dead(name) || self.dead.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
    fn orphans(&self) -> Vec<Arc<str>> {
        let mut orphans = self.undeclared();
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.retain(|name| !dead.contains(name) && !name.strip_suffix(DEAD).is_some_and(|of| declared.contains(of)));
        orphans
    }
    fn reach<'a>(&'a self, name: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if self.log.stream(name).is_none() || self.ways.leads_to(name) {
                return self.ways.leads_to(name);
            }
            let mut turn = self.turn.lock().await;
            // Who deletes one has the turn as well.
            let Some(stream) = self.log.stream(name) else { return false };
            turn.revision += 1;
            let mut captured = std::mem::take(&mut turn.captured);
            captured.retain(|(other, _)| other.name() != name);
            captured.push((stream, Vec::new()));
            self.captures.set(self.capturing(&captured));
            let ways = self.ways(&mut turn, &captured, false).await;
            turn.captured = captured;
            match ways {
                Ok(ways) => self.ways.open(ways),
                Err(refusal) => {
                    tracing::error!(error = ?refusal, "there is no way to a stream that came by itself");
                    return false;
                }
            }
            true
        })
    }
    fn delete_stream<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut turn = self.turn.lock().await;
            // Nobody finds it any more, and what is published to its topics goes elsewhere, before it goes. In this order: who is told that it
            // is gone finds no way to it any more.
            turn.captured.retain(|(stream, _)| stream.name() != name);
            turn.instances.forget_stream(name);
            turn.revision += 1;
            let captured = std::mem::take(&mut turn.captured);
            match self.ways(&mut turn, &captured, false).await {
                Ok(ways) => self.ways.open(ways),
                Err(refusal) => tracing::error!(error = ?refusal, "the way to a deleted stream stays open"),
            }
            self.captures.set(self.capturing(&captured));
            turn.captured = captured;
            self.log.delete_stream(name).await?;
            self.house.forget_gone().await;
            Ok(())
        })
    }
    fn readmit(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut turn = self.turn.lock().await;
            turn.revision += 1;
            let captured = std::mem::take(&mut turn.captured);
            match self.ways(&mut turn, &captured, true).await {
                Ok(ways) => self.ways.open(ways),
                Err(refusal) => tracing::error!(error = ?refusal, "whoever reads messages here is not looked at again"),
            }
            turn.captured = captured;
        })
    }
    fn purge_stream<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.house.purge(name))
    }
    fn groups(&self, stream: &str) -> Option<Vec<Value>> {
        let stream = self.log.stream(stream).filter(|stream| !stream.name().starts_with('$'))?;
        let groups = self
            .log
            .groups(&stream)
            .into_iter()
            .filter(|group| group.name() != tidegate_log::DEAD);
        Some(groups.map(|group| groups::shown(&self.log, &group)).collect())
    }
    fn delete_group<'a>(&'a self, stream: &'a str, group: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let Some(stream) = self.log.stream(stream) else { return Ok(false) };
            groups::deletable(group)?;
            let known = self.log.find_group(&stream, group).is_some();
            self.log.delete_group(&stream, group).await?;
            self.house.forget_gone().await;
            Ok(known)
        })
    }
    fn hooks(&self) -> &dyn Hooks {
        &*self.webhooks
    }
    fn dead_letters(&self) -> &dyn tidegate_control::dead_letters::DeadLetters {
        &self.dead_letters
    }
}
/// The next world, ready to be swapped in.
struct Next<'a> {
    plane: &'a Plane,
    turn: MutexGuard<'a, Turn>,
    checked: &'a Checked,
    captured: Captured,
    needs: Vec<(u32, Need)>,
    world: Snapshot,
    ways: ways::Next,
    webhooks: webhooks::Next,
}
impl Prepared for Next<'_> {
    fn swap<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let Self {
                plane,
                mut turn,
                checked,
                captured,
                needs,
                world,
                ways,
                webhooks,
            } = *self;
            *plane.declared.lock().unwrap_or_else(PoisonError::into_inner) =
                checked.streams.iter().map(|stream| stream.name.clone()).collect();
            let dead = checked
                .streams
                .iter()
                .filter_map(|stream| stream.dead_letters.as_ref()?.stream.clone());
            let dead = dead.chain(checked.webhooks.iter().filter_map(|webhook| webhook.dead_letters.clone()));
            *plane.dead.lock().unwrap_or_else(PoisonError::into_inner) = dead.collect();
            // Before anything is captured by who asks for something.
            plane.house.require(needs);
            plane.captures.set(plane.capturing(&captured));
            plane.house.rule(rules(&plane.log, &checked.streams));
            plane.later.get_or_init(|| tasks::spawn(plane.house.clone().run()));
            turn.captured = captured;
            plane.world.swap(world);
            plane.ways.open(ways);
            plane.webhooks.begin(webhooks).await;
            plane.house.forget_gone().await;
            turn.instances.forget_unused();
            let level = &checked.node.telemetry.level;
            if turn.level.as_ref() != Some(level) {
                if let Err(error) = plane.levels.set(level) {
                    tracing::error!(error = %error, "the log level stays as it was");
                }
                turn.level = Some(level.clone());
            }
            for (name, spec) in changes(&plane.log, &checked.streams) {
                plane.log.change_stream(&name, spec).await?;
            }
            Ok(())
        })
    }
}
