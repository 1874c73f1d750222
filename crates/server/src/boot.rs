//! From a checked configuration to a running node, in the order a newcomer reads: bind, recover, reconcile, compile, serve.
use crate::{
    cli::count,
    holder::holder,
    memory,
    observe::{Health, Seen, admin},
    reconcile::reconcile,
    rlimit, runtime,
    secrets::{self, Certificates},
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tidegate_config::{Checked, Threads};
use tidegate_core::{
    clock,
    drain::Drain,
    error::{Code, Error, Fault, Result},
    tasks::{self, Task},
};
use tidegate_endpoints::{
    kinds,
    local::{Captures, House, go_live},
};
use tidegate_entrypoints::{
    http::{
        call::{Pace, Settings},
        flight::Flight,
        head::HeadLimits,
        service::{Gateway, Page},
    },
    listener::{Door, Limits, Listener, Pinned, Proxies},
};
use tidegate_gateway::{
    compile::compile,
    instances::Instances,
    metrics::Metrics,
    world::{Snapshot, World},
};
use tidegate_hub::Hub;
use tidegate_log::{Hooks, Log, Opened, Options, disk::Real};

/// What differs between `dev` and `run`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// A busy port: take the next free one.
    pub(crate) next_port: bool,
    /// Hints may name other paths.
    pub(crate) hints: bool,
    /// There is a page at `/`, for the demo's APIs.
    pub(crate) page: bool,
}
/// A node that serves.
pub(crate) struct Node {
    /// Where the gateway listens.
    pub(crate) gateway: Vec<SocketAddr>,
    /// Where the admin listener listens.
    pub(crate) admin: Vec<SocketAddr>,
    /// The first of either speaks TLS.
    pub(crate) secure: [bool; 2],
    /// What recovery took and found.
    pub(crate) recovered: String,
    health: Arc<Health>,
    drain: Drain,
    log: Arc<Log>,
    herald: Task,
    _clock: Task,
    serving: Vec<Task>,
    admin_serving: Vec<Task>,
    _certificates: Task,
    delay: Duration,
    deadline: Duration,
}
/// The page at `/`.
const PAGES: &[Page] = &[Page {
    path: "/",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("page.html"),
}];
/// How many ports `dev` tries from a busy one on.
const TRIES: u16 = 20;

/// Why it did not start, all at once where one does not follow from the other.
pub(crate) struct Failures(pub(crate) Vec<Error>);
impl From<Error> for Failures {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}
/// How it stopped.
pub(crate) struct Stopped {
    /// From the signal on.
    pub(crate) took: Duration,
    /// Connections that were open at the deadline.
    pub(crate) cut: usize,
    /// The log came to its end; else the next start reads more.
    pub(crate) closed: bool,
}
/// For closing the log, however late it is.
const LAST_MOMENT: Duration = Duration::from_millis(500);
pub(crate) async fn start(checked: Checked, manners: Manners) -> std::result::Result<Node, Failures> {
    let node = &checked.node;
    let drain = Drain::new();
    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::default());
    let caps = memory::caps(node, rlimit::connections(node.limits.connections));
    let limits = Limits {
        connections: caps.connections,
        head: node.limits.head as usize,
        head_timeout: node.limits.head_timeout,
        idle: node.limits.idle,
        write_stall: node.limits.write_stall,
    };
    let flight = Flight::new(node.limits.in_flight, caps.in_flight_bytes);

    // Both are bound before anything else is done, so that a busy port costs nothing; the admin one answers from here on.
    let admin_listeners = bind(&node.listeners.admin, "listeners.admin", manners);
    let gateway_listeners = bind(&node.listeners.gateway, "listeners.gateway", manners);
    let (gateway_listeners, admin_listeners) = match (gateway_listeners, admin_listeners) {
        (Ok(gateway), Ok(admin)) => (gateway, admin),
        (gateway, admin) => return Err(Failures(gateway.err().into_iter().chain(admin.err()).collect())),
    };
    let bound = admin_listeners.iter().chain(&gateway_listeners);
    let seen = Arc::new(Seen {
        certificates: bound.filter_map(|(_, certificates)| certificates.clone()).collect(),
        ..Seen::default()
    });
    let secure = [&gateway_listeners, &admin_listeners].map(|bound| bound.first().is_some_and(|(_, certificates)| certificates.is_some()));
    let admin = addresses(&admin_listeners);
    let gateway = addresses(&gateway_listeners);
    let board = admin::Board::admin(health.clone(), metrics.clone(), seen.clone(), flight.clone());
    // It goes on through the drain, so that whoever asks sees it.
    let admin_drain = Drain::new();
    let admin_serving = admin_listeners
        .into_iter()
        .map(|(listener, _)| {
            tasks::spawn(listener.serve(board.clone(), limits, seen.admin.clone(), admin_drain.watch(), Pinned::default()))
        })
        .collect();

    let hub = Hub::new();
    let captures = Arc::new(Captures::default());
    let opened = open_log(node.data_dir.clone(), options(&checked), hub.clone(), captures.clone()).await?;
    let Opened { log, herald, clock, found } = opened;
    let herald = tasks::spawn(herald);
    let clock = tasks::spawn(clock);
    health.recovered(log.clone());
    if found.damaged > 0 || found.lost_tail > 0 {
        tracing::warn!(
            damaged = found.damaged,
            lost_tail = found.lost_tail,
            lost_files = found.lost_files,
            "the log has records that do not check; readers are told where"
        );
    }

    captures.set(reconcile(&log, &checked.streams).await?);
    let house = House::new(log.clone(), hub, captures);
    let local = Box::new(move |stream: Option<&str>| match stream {
        Some(name) => house.stream(name),
        None => Ok(house.topics()),
    });
    let mut instances = Instances::new(kinds(), local);
    let snapshot = deployed(compile(&checked.apis, &mut instances, &metrics, 1).await?)?;
    let world = World::new(snapshot, usize::try_from(caps.fan_out_bytes).unwrap_or(usize::MAX));

    let settings = Settings {
        head: HeadLimits {
            headers: node.limits.headers as usize,
            target: node.limits.target as usize,
        },
        body: node.limits.body,
        batch_body: node.limits.batch_body,
        batch_items: node.limits.batch_items,
        streams_within: (caps.connections / 8).max(64),
        stall: node.limits.write_stall,
        body_pace: Pace {
            stall: node.limits.body_stall,
            rate: node.limits.body_rate,
        },
        ws_message: node.limits.ws_message,
        hints: manners.hints,
    };
    let pages = if manners.page { PAGES.to_vec() } else { Vec::new() };
    let handler = Gateway::new(world, flight, settings, pages, drain.watch());
    let threads = match node.runtime {
        Threads::Steal => Pinned::default(),
        Threads::Pinned => runtime::pinned()?,
    };
    let serving = gateway_listeners
        .into_iter()
        .map(|(listener, _)| tasks::spawn(listener.serve(handler.clone(), limits, seen.gateway.clone(), drain.watch(), threads.clone())))
        .collect();
    health.ready();
    Ok(Node {
        gateway,
        admin,
        secure,
        recovered: format!(
            "{} of {} in {} ms",
            count(found.records as usize, "record"),
            count(found.streams as usize, "stream"),
            found.took.as_millis()
        ),
        health,
        log,
        herald,
        _clock: clock,
        _certificates: secrets::watch(seen.certificates.clone()),
        serving,
        admin_serving,
        delay: node.shutdown.delay,
        deadline: node.shutdown.deadline,
        drain,
    })
}
impl Node {
    /// Readiness off, wait, no new connections, goodbye to streams, finish what is begun, sync, close.
    pub(crate) async fn stop(self) -> Stopped {
        let began = clock::instant();
        self.health.draining();
        tokio::time::sleep(self.delay).await;
        self.drain.start();
        let cut = match tokio::time::timeout(self.deadline, self.drain.ended()).await {
            Ok(()) => 0,
            Err(_late) => self.drain.open(),
        };
        drop(self.serving);
        let closing = async {
            self.log.close().await;
            self.herald.ended().await;
        };
        // What was answered `stored` is on disk; a disk that does not come to an end must not keep the process.
        let left = (self.delay + self.deadline).saturating_sub(began.elapsed()).max(LAST_MOMENT);
        let closed = tokio::time::timeout(left, closing).await.is_ok();
        drop(self.admin_serving);
        Stopped {
            took: began.elapsed(),
            cut,
            closed,
        }
    }
}
/// A bound listener, and what it proves itself with.
type Bound = (Listener, Option<Arc<Certificates>>);
fn bind(listeners: &[tidegate_config::Listener], setting: &str, manners: Manners) -> Result<Vec<Bound>> {
    let mut bound: Vec<Bound> = Vec::new();
    for declared in listeners {
        let certificates = Certificates::open(setting, declared)?;
        // `localhost` is two addresses and one port: the second follows the first.
        let mut first = None;
        for address in &declared.address {
            if let Some(listener) = bind_one(*address, first, setting, manners)? {
                first.get_or_insert(listener.address());
                let door = Door {
                    tls: certificates.as_ref().map(|certificates| certificates.tls()),
                    proxies: Proxies::new(&declared.trusted_proxies).map(Arc::new),
                };
                bound.push((listener.behind(door), certificates.clone()));
            }
        }
    }
    Ok(bound)
}
/// `None`: it is not needed.
fn bind_one(address: SocketAddr, first: Option<SocketAddr>, setting: &str, manners: Manners) -> Result<Option<Listener>> {
    let tries = if manners.next_port && address.port() != 0 { TRIES } else { 1 };
    let from = first.map_or(address.port(), |first| first.port());
    let mut result = Listener::bind(SocketAddr::new(address.ip(), from));
    for port in (1..tries).map(|more| from.saturating_add(more)) {
        if result.as_ref().err().is_none_or(|error| error.code() != Code::AddressInUse) {
            break;
        }
        result = Listener::bind(SocketAddr::new(address.ip(), port));
    }
    match result {
        Ok(listener) => Ok(Some(listener)),
        // A machine without IPv6 still has its other loopback.
        Err(error) if address.is_ipv6() && first.is_some() => {
            tracing::debug!(address = %address, error = %error, "not listening");
            Ok(None)
        }
        Err(error) => {
            let holder = holder(address).unwrap_or_else(|| "what holds the port".to_owned());
            Err(error.with_hint(format!("set `{setting}.address`, or end {holder}")))
        }
    }
}
fn addresses(listeners: &[Bound]) -> Vec<SocketAddr> {
    listeners.iter().map(|(listener, _)| listener.address()).collect()
}
fn options(checked: &Checked) -> Options {
    let log = &checked.node.log;
    Options {
        record: log.record,
        intake: log.intake,
        tail_cache: log.tail_cache,
        journal_file: log.journal_file,
        lazy: log.lazy,
        dedupe: log.dedupe_ids,
        reserve: log.reserve,
        total: log.max_bytes,
        ..Options::default()
    }
}
/// Recovery blocks on the disk, so it has a thread of its own.
async fn open_log(folder: PathBuf, options: Options, hub: Arc<Hub>, captures: Arc<Captures>) -> Result<Opened> {
    let hooks = Hooks {
        on_committed: Box::new(go_live(hub, captures)),
        run_blocking: Box::new(|work| drop(tokio::task::spawn_blocking(work))),
    };
    let opening = tokio::task::spawn_blocking(move || Log::open(Arc::new(Real::new(folder)), options, hooks));
    let crashed = |error: tokio::task::JoinError| Error::new(Code::Internal, Fault::Gateway, "recovery ended early").because(error);
    Ok(opening.await.map_err(crashed)??)
}
fn deployed(compiled: std::result::Result<Snapshot, Vec<tidegate_gateway::compile::Undeployable>>) -> Result<Snapshot> {
    compiled.map_err(|refused| {
        let problems = refused.iter().flat_map(|api| {
            api.problems
                .iter()
                .map(move |problem| format!("api `{}`{}: expected {}", api.api, problem.at, problem.expected))
        });
        Error::new(Code::Unkeepable, Fault::Operator, problems.collect::<Vec<_>>().join("; "))
    })
}
