//! Ways to every stream that no API declares: for whoever manages the node, and for who has a session as a station.
use crate::alarms;
use std::sync::Arc;
use tidegate_config::{Api, Backend, Compatibility, HttpGet, HttpPost, Include, Place, Pull, Slow, Sse};
use tidegate_control::access::Access;
use tidegate_core::{
    error::{Code, Error, Result},
    exchange::Exchange,
    policy::{Policy, Scope, Step},
};
use tidegate_gateway::{
    compile::{Making, Undeployable, compile},
    instances::Instances,
    metrics::Metrics,
    world::{Snapshot, World},
};

/// What metrics call whoever reads and publishes by the management API: no resource can be called so.
const MANAGE: &str = "$manage";
/// The same of stations.
const STATIONS: &str = "$stations";
/// How long a worker of a station may take for a message, unless it asks for more time.
const LEASE_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// See the head of this file.
pub(crate) struct Ways {
    messages: Arc<World>,
    stations: Arc<World>,
    metrics: Arc<Metrics>,
    /// Who may use them.
    admitted: Arc<dyn Policy>,
}
/// Ways that are not open yet.
pub(crate) struct Next {
    messages: Snapshot,
    stations: Snapshot,
}
/// Whoever was identified, as long as its token or user is what it was.
struct Admitted(Arc<Access>);
impl Policy for Admitted {
    fn name(&self) -> &'static str {
        "admitted"
    }
    fn admit<'a>(&'a self, x: &'a mut Exchange) -> Step<'a> {
        let known = x.principal.as_ref().is_some_and(|principal| self.0.knows(&principal.id, x.expires));
        Step::Done(
            known
                .then_some(())
                .ok_or_else(|| Error::client(Code::Unauthorized, "the token is wrong, expired or revoked")),
        )
    }
    fn deliver_scope(&self) -> Scope {
        Scope::Shared
    }
}
impl Ways {
    /// None yet. Who reads the same as an API reads it once.
    pub(crate) fn new(world: &Arc<World>, metrics: Arc<Metrics>, access: Arc<Access>) -> Self {
        Self {
            messages: world.beside(Snapshot::default()),
            stations: world.beside(Snapshot::default()),
            metrics,
            admitted: Arc::new(Admitted(access)),
        }
    }
    /// `/streams/NAME`, `/topics/*` and `/alarms`.
    pub(crate) fn messages(&self) -> &Arc<World> {
        &self.messages
    }
    /// `/stations/NAME`.
    pub(crate) fn stations(&self) -> &Arc<World> {
        &self.stations
    }
    pub(crate) fn leads_to(&self, stream: &str) -> bool {
        self.messages.now().routes.contains_key(&*format!("{MANAGE}/streams/{stream}"))
    }
    /// Routes to every stream, declared or not, and to every topic. `anew`: whoever uses one is looked at again.
    pub(crate) async fn prepare(
        &self,
        streams: impl Iterator<Item = &str> + Clone + Send,
        instances: &mut Instances,
        revision: u64,
        anew: bool,
    ) -> Result<Result<Next, Vec<Undeployable>>> {
        let to = |of: &str, folder: &str, name: &str| way(of, format!("/{folder}/{name}"), Backend::Stream(name.into()));
        let topics = way(MANAGE, "/topics/*".to_owned(), Backend::Topic("${rest}".to_owned()));
        let alarms = way(MANAGE, "/alarms".to_owned(), Backend::Topic(alarms::TOPIC.to_owned()));
        let messages: Vec<_> = streams
            .clone()
            .map(|name| to(MANAGE, "streams", name))
            .chain([topics, alarms])
            .collect();
        let stations: Vec<_> = streams
            .map(|name| Api {
                pull: Some(Pull { lease_for: LEASE_FOR }),
                ..to(STATIONS, "stations", name)
            })
            .collect();
        let mut made = Vec::with_capacity(2);
        for (of, world, apis) in [(MANAGE, &self.messages, messages), (STATIONS, &self.stations, stations)] {
            let was = world.now();
            let called: Arc<str> = of.into();
            let making = Making {
                was: if anew { &Snapshot::default() } else { &was },
                metrics: &|_| self.metrics.api(&called),
                policies: std::slice::from_ref(&self.admitted),
                revision,
            };
            match compile(&apis, instances, making).await? {
                Ok(snapshot) => made.push(snapshot),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        // In the order above.
        let (stations, messages) = (made.pop().unwrap_or_default(), made.pop().unwrap_or_default());
        Ok(Ok(Next { messages, stations }))
    }
    /// From now on these.
    pub(crate) fn open(&self, next: Next) {
        self.messages.swap(next.messages);
        self.stations.swap(next.stations);
    }
}
/// One that everybody who is let in may use to the full.
fn way(of: &str, path: String, backend: Backend) -> Api {
    Api {
        name: format!("{of}{path}").into(),
        enabled: true,
        paths: vec![tidegate_config::ApiPath { path, host: None }],
        publish: Some(backend.clone()),
        subscribe: Some(backend),
        listed: true,
        http_post: Some(HttpPost {
            ack: None,
            headers: vec!["content-type".to_owned(), "x-*".to_owned()],
        }),
        http_get: Some(HttpGet {
            limit: 500,
            wait: std::time::Duration::from_secs(5),
            answer: None,
        }),
        sse: Some(Sse {
            heartbeat: std::time::Duration::from_secs(5),
        }),
        websocket: None,
        pull: None,
        include: vec![Include::Headers, Include::Metadata],
        cors: Vec::new(),
        slow: Slow::CatchUp,
        compatibility: Compatibility::None,
        policies: Vec::new(),
        keyless: true,
        place: Place::built_in(),
    }
}
