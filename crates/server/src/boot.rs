//! From a checked configuration to a running node, in the order a newcomer reads: bind, recover, reconcile, compile, serve.
use crate::{
    alarms,
    cli::{count, report},
    inbox::{Catcher, Inbox},
    listeners::{Bound, addresses, bind},
    memory,
    memphis::Stations,
    observe::{
        Health, Seen,
        admin::{Admin, Board, Listening},
        logs::Levels,
    },
    plane::{Ground, Plane},
    rlimit, runtime, schemas,
    secrets::{self, Certificates},
    whereabouts,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tidegate_config::{Documents, Id, Mode, Report, ResourceKind, Threads};
use tidegate_control::{
    access::{Access, is_administered, sessions::Sessions, token},
    api::{Api, Door as Gate},
    directory::Directory,
    registry::{Origin, Parts, Read, Refused, Registry, What, When, Wish},
    store::{Author, Sqlite},
};
use tidegate_core::{
    clock,
    drain::Drain,
    error::{Code, Error, Fault, Result},
    tasks::{self, Task},
};
use tidegate_endpoints::local::{Captures, go_live};
use tidegate_entrypoints::{
    dialects::memphis::Ground as StationGround,
    http::{
        call::{Pace, Settings},
        flight::Flight,
        head::HeadLimits,
        service::{Gateway, Page},
    },
    listener::{Limits, Pinned},
};
use tidegate_gateway::metrics::Metrics;
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
    /// Where the Memphis dialect listens.
    pub(crate) memphis: Vec<SocketAddr>,
    /// The first of either speaks TLS.
    pub(crate) secure: [bool; 2],
    /// The demo has a catcher.
    pub(crate) inbox: bool,
    /// What recovery took and found.
    pub(crate) recovered: String,
    /// Every resource there is.
    pub(crate) registry: Arc<Registry>,
    /// The first token, if this start made it.
    pub(crate) token: Option<String>,
    health: Arc<Health>,
    drain: Drain,
    log: Arc<Log>,
    herald: Task,
    _clock: Task,
    _follow: Task,
    _alarms: Task,
    _signing: Task,
    serving: Vec<Task>,
    admin_serving: Vec<Task>,
    /// Of the listeners that speak TLS.
    pub(crate) certificates: Vec<Arc<Certificates>>,
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

/// Why it did not start, all at once where one does not follow from the other.
pub(crate) enum Failures {
    /// What failed.
    Errors(Vec<Error>),
    /// What is wrong with the resources, each fault at its place.
    Wrong(Report),
}
impl From<Error> for Failures {
    fn from(error: Error) -> Self {
        Self::Errors(vec![error])
    }
}
impl From<Refused> for Failures {
    fn from(refused: Refused) -> Self {
        if refused.errors.is_empty() {
            refused.error.into()
        } else {
            Self::Wrong(report(&refused.errors.iter().collect::<Vec<_>>()))
        }
    }
}
/// What is started: the settings, and where the resources come from.
pub(crate) struct Start {
    /// The settings, which were read with the files.
    pub(crate) node: tidegate_config::Node,
    /// The files, as they are now.
    pub(crate) files: Documents,
    /// Reads them again.
    pub(crate) read: Read,
    /// How strict it is.
    pub(crate) mode: Mode,
    /// Where the demo learns at which address its catcher is.
    pub(crate) catcher: Option<Catcher>,
    /// What is logged.
    pub(crate) levels: Arc<Levels>,
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
pub(crate) async fn start(start: Start, manners: Manners) -> std::result::Result<Node, Failures> {
    let Start {
        node,
        mut files,
        read,
        mode,
        catcher,
        levels,
    } = start;
    let drain = Drain::new();
    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::default());
    let strict = mode == Mode::Run || !node.listeners.only_this_machine();
    let access = Arc::new(Access::new(node.limits.failed_logins, strict));
    let caps = memory::caps(&node, rlimit::connections(node.limits.connections));
    let limits = Limits {
        connections: caps.connections,
        head: node.limits.head as usize,
        fields: node.limits.headers as usize,
        head_timeout: node.limits.head_timeout,
        idle: node.limits.idle,
        write_stall: node.limits.write_stall,
    };
    let flight = Flight::new(node.limits.in_flight, caps.in_flight_bytes);

    // Both are bound before anything else is done, so that a busy port costs nothing; the admin one answers from here on.
    let admin_listeners = bind(&node.listeners.admin, "listeners.admin", manners);
    let gateway_listeners = bind(&node.listeners.gateway, "listeners.gateway", manners);
    let stations = Stations::bind(&node.listeners.memphis, manners);
    let (gateway_listeners, admin_listeners, stations) = match (gateway_listeners, admin_listeners, stations) {
        (Ok(gateway), Ok(admin), Ok(stations)) => (gateway, admin, stations),
        (gateway, admin, stations) => {
            let failures = gateway.err().into_iter().chain(admin.err()).chain(stations.err());
            return Err(Failures::Errors(failures.collect()));
        }
    };
    let bound = admin_listeners.iter().chain(&gateway_listeners).chain(stations.bound());
    let seen = Arc::new(Seen {
        certificates: bound.filter_map(|(_, certificates)| certificates.clone()).collect(),
        ..Seen::default()
    });
    let secure = [&gateway_listeners, &admin_listeners].map(|bound| bound.first().is_some_and(|(_, certificates)| certificates.is_some()));
    let admin = addresses(&admin_listeners);
    let gateway = addresses(&gateway_listeners);
    let memphis: Vec<_> = stations.bound().map(|(listener, _)| listener.address()).collect();
    let listening = |name: &'static str, bound: &mut dyn Iterator<Item = &Bound>| {
        let one = |(listener, certificates): &Bound| Listening {
            name,
            address: listener.address(),
            certificates: certificates.clone(),
        };
        bound.map(one).collect::<Vec<_>>()
    };
    let board = Arc::new(Board {
        health: health.clone(),
        metrics: metrics.clone(),
        seen: seen.clone(),
        flight: flight.clone(),
        levels: levels.clone(),
        webhooks: OnceLock::new(),
        inbox: OnceLock::new(),
        failures: OnceLock::new(),
        signing: OnceLock::new(),
        listeners: [
            listening("gateway", &mut gateway_listeners.iter()),
            listening("admin", &mut admin_listeners.iter()),
            listening("memphis", &mut stations.bound()),
        ]
        .concat(),
        since: clock::now_us(),
    });
    let gate = Gate {
        loopback: admin.iter().all(|address| address.ip().to_canonical().is_loopback()),
    };
    // Only where nobody else can reach it, and where its address needs no certificate.
    let [_, secure_admin] = secure;
    if let (Some(catcher), Some(at), true, false) = (&catcher, admin.first(), gate.loopback, secure_admin) {
        // Said once, here; the files tell the address from now on.
        let _again = (board.inbox.set(Inbox::default()), catcher.set(*at));
        files = read();
    }
    let inbox = board.inbox.get().is_some();
    let api_limits = tidegate_control::api::Limits {
        body: usize::try_from(node.limits.batch_body).unwrap_or(usize::MAX),
        patience: node.limits.body_stall,
    };
    // Of its own, so that what is told of the gateway's does not change by asking for it.
    let answers = Flight::new(node.limits.in_flight, caps.in_flight_bytes / 8);
    let managing = Admin::new(Api::new(board.clone(), access.clone(), gate, api_limits), answers);
    // It goes on through the drain, so that whoever asks sees it.
    let admin_drain = Drain::new();
    let admin_serving = admin_listeners
        .into_iter()
        .map(|(listener, _)| {
            tasks::spawn(listener.serve(managing.clone(), limits, seen.admin.clone(), admin_drain.watch(), Pinned::default()))
        })
        .collect();

    let hub = Hub::new();
    let captures = Arc::new(Captures::default());
    let opened = open_log(node.data_dir.clone(), options(&node), hub.clone(), captures.clone()).await?;
    let Opened { log, herald, clock, found } = opened;
    let threads = match node.runtime {
        Threads::Steal => Pinned::default(),
        Threads::Pinned => runtime::pinned()?,
    };
    // With those it tells of what they wait for.
    let herald = match threads.any() {
        Some(thread) => tasks::spawn_on(thread, herald),
        None => tasks::spawn(herald),
    };
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

    let ground = Ground {
        log: log.clone(),
        hub: hub.clone(),
        captures,
        metrics: metrics.clone(),
        levels,
        crew: runtime::crew(&threads),
    };
    let plane = Plane::new(ground, access.clone(), caps.fan_out_bytes, drain.watch());
    plane.limit_delayed(node.limits.delayed);
    let store = Sqlite::open(&node.data_dir.join(&node.store.sqlite), node.store.changes).await?;
    let parts = Parts {
        store: Arc::new(store),
        plane: plane.clone(),
        access: access.clone(),
        read,
        mode,
        kinds: schemas::kinds(),
    };
    let registry = Registry::open(files, parts).await?;
    plane.known_to(&registry);
    // Said once, here.
    let _again = board.webhooks.set(plane.webhooks().clone());
    let _again = board.failures.set(plane.failures().clone());
    let alarms = tasks::spawn(alarms::watch(Arc::downgrade(&plane), metrics, log.clone(), plane.topics()));
    let token = first_token(&registry, &node.data_dir).await?;
    if let Err(error) = whereabouts::note(&node.data_dir, &admin, secure_admin) {
        tracing::warn!(error = %error, "`admin-address` cannot be written: the command line will not find this node by its data folder");
    }
    let follow = tasks::spawn(registry.clone().follow());

    let settings = settings(&node, &caps, manners);
    let pages = if manners.page { PAGES.to_vec() } else { Vec::new() };
    let handler = Gateway::new(plane.world().clone(), flight.clone(), settings, pages, drain.watch());
    managing.serve_messages(Gateway::new(
        plane.messages().clone(),
        flight.clone(),
        settings,
        Vec::new(),
        drain.watch(),
    ));
    managing.api().ready(registry.clone());
    let directory = Arc::new(Directory::new(access.clone(), registry.clone()));
    let ready = health.clone();
    let drain_of_stations = drain.watch();
    let ground = move |sessions: Arc<Sessions>| StationGround {
        world: plane.stations().clone(),
        sessions,
        directory: directory.clone(),
        flight: flight.clone(),
        edge: settings,
        drain: drain_of_stations.clone(),
        ready: Arc::new({
            let ready = ready.clone();
            move || ready.is_ready().is_ok()
        }),
    };
    let stations = stations
        .open(&node.data_dir)?
        .serve(ground, &access, (limits, &seen.memphis, &threads), &drain.watch());
    // Said once, here.
    let _again = board.signing.set(stations.keys);
    let mut serving: Vec<_> = gateway_listeners
        .into_iter()
        .map(|(listener, _)| tasks::spawn(listener.serve(handler.clone(), limits, seen.gateway.clone(), drain.watch(), threads.clone())))
        .collect();
    serving.extend(stations.tasks);
    health.ready();
    Ok(Node {
        gateway,
        admin,
        secure,
        inbox,
        recovered: format!(
            "{} of {} in {} ms",
            count(found.records as usize, "record"),
            count(found.streams as usize, "stream"),
            found.took.as_millis()
        ),
        registry,
        token,
        health,
        log,
        herald,
        _clock: clock,
        _follow: follow,
        _alarms: alarms,
        _signing: stations.watch,
        memphis,
        certificates: seen.certificates.clone(),
        _certificates: secrets::certificates::watch(seen.certificates.clone()),
        serving,
        admin_serving,
        delay: node.shutdown.delay,
        deadline: node.shutdown.deadline,
        drain,
    })
}
/// Where nobody may administer, or not any more, somebody must: a token, kept in a file that only this user reads.
async fn first_token(registry: &Arc<Registry>, data_dir: &Path) -> std::result::Result<Option<String>, Refused> {
    if is_administered(registry.now().checked()) {
        return Ok(None);
    }
    let (text, digest) = token::make()?;
    // The file first: a token whose text is nowhere would lock everybody out.
    secrets::token::keep(data_dir, &text)?;
    let wish = Wish {
        id: Id::new(ResourceKind::Token, "admin"),
        what: What::Put(serde_json::json!({"kind": "token", "name": "admin", "manage": "admin", "sha256": token::hex(&digest)})),
        when: When::Always,
        at: String::new(),
    };
    let author = Author {
        who: "first start".to_owned(),
        from: "this process".to_owned(),
    };
    registry.change(vec![wish], author, false).await?;
    Ok(Some(text))
}
fn settings(node: &tidegate_config::Node, caps: &memory::Caps, manners: Manners) -> Settings {
    Settings {
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
    }
}
impl Node {
    /// Whether there is nobody who could log in.
    pub(crate) fn has_no_users(&self) -> bool {
        let state = self.registry.now();
        !state.resources.keys().any(|id| id.kind == ResourceKind::User)
    }
    /// Whether a user that nobody declared is there.
    pub(crate) fn has_built_in(&self, user: &str) -> bool {
        let state = self.registry.now();
        let user = state.resources.get(&Id::new(ResourceKind::User, user));
        user.is_some_and(|user| matches!(user.origin, Origin::BuiltIn))
    }
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
fn options(node: &tidegate_config::Node) -> Options {
    let log = &node.log;
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
    opening.await.map_err(crashed)?.map_err(|error| match &error {
        tidegate_log::Error::Folder(folder, _) => unwritable(Path::new(folder)).unwrap_or_else(|| error.into()),
        _ => error.into(),
    })
}
/// Of the folder `log` and its lock, the first that this process cannot write to, though the data folder is its own: an error about that would
/// point at the wrong one.
fn unwritable(data_dir: &Path) -> Option<Error> {
    let log = data_dir.join("log");
    let lock = log.join("lock");
    if !std::fs::metadata(&log).ok()?.is_dir() {
        return None;
    }
    // Asks once more for what the log was just refused.
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
    let why = opened.err()?;
    let path = if lock.exists() { lock } else { log };
    let text = format!("`{}` cannot be written to: {why}", path.display());
    Some(Error::new(Code::CommandFailed, Fault::Operator, text).with_hint("let this user write to it, and to all that lies in it"))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_may_not_write_to_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        assert!(unwritable(folder.path()).is_none());
        // Whoever runs the tests may be allowed everything, but nobody writes to a folder.
        let lock = folder.path().join("log/lock");
        std::fs::create_dir_all(&lock).unwrap();
        let told = unwritable(folder.path()).unwrap();
        assert!(
            told.to_string()
                .starts_with(&format!("`{}` cannot be written to: ", lock.display())),
            "{told}"
        );
    }
}
