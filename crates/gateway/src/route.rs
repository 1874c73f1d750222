//! One API, compiled: immutable, shared, replaced whole.
use crate::{metrics::ApiMetrics, settings::Api, target::Target, world::World};
use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};
use tidegate_core::policy::Policy;
use tokio::sync::watch;

/// Everything one request to an API needs.
pub struct Route {
    /// The API's name.
    pub name: Arc<str>,
    /// The API as configured: entrypoints and their settings.
    pub api: Api,
    /// Where it publishes to.
    pub publish: Option<Target>,
    /// Where it reads from.
    pub subscribe: Option<Target>,
    /// Steps, in order.
    pub policies: Box<[Arc<dyn Policy>]>,
    /// Its counters; they outlive a reload.
    pub metrics: Arc<ApiMetrics>,
    /// Within what message ids are unique, for callers without a name of their own.
    pub scope: u64,
}
/// The scope of a caller's message ids in an API. Stored with the ids: FNV-1a, fixed for ever.
pub fn scope(api: &str, caller: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in api.bytes().chain([0]).chain(caller.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// What a long-lived connection holds: it sees a new revision between two batches.
pub struct RouteHandle {
    world: Arc<World>,
    host: Box<str>,
    path: Box<str>,
    live: Option<Arc<Route>>,
    changed: watch::Receiver<u64>,
}
impl RouteHandle {
    /// `None`: no such path.
    pub fn new(world: &Arc<World>, host: &str, path: &str) -> Option<Self> {
        // Subscribed before the look, so that no swap falls between.
        let changed = world.changes();
        let live = world.now().paths.find(host, path)?.0.clone();
        Some(Self {
            world: world.clone(),
            host: host.into(),
            path: path.into(),
            live: Some(live),
            changed,
        })
    }
    /// `None`: it is gone.
    pub fn route(&self) -> Option<&Arc<Route>> {
        self.live.as_ref()
    }
    /// What the path's `/*` stands for.
    pub fn rest(&self) -> String {
        self.world
            .now()
            .paths
            .find(&self.host, &self.path)
            .map_or(String::new(), |(_, rest)| rest.to_owned())
    }
    /// Resolves when this route changed or went; other routes' changes are swallowed. Cancel-safe.
    pub async fn changed(&mut self) {
        while self.changed.changed().await.is_ok() {
            let found = self.world.now().paths.find(&self.host, &self.path).map(|(route, _)| route.clone());
            let same = matches!((&self.live, &found), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
            if !same {
                self.live = found;
                return;
            }
        }
        // The world itself went: the process is ending, and the drain says so.
        std::future::pending::<()>().await;
    }
}
/// A number nobody can guess from another, for request ids.
pub fn trace(seed: &std::hash::RandomState, number: u64) -> [u8; 16] {
    let mut hasher = seed.build_hasher();
    hasher.write_u64(number);
    (u128::from(hasher.finish()) << 64 | u128::from(number)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Compatibility, Place};

    /// For tests of other rooms: a route that leads nowhere.
    impl Route {
        pub(crate) fn named(name: &str) -> Arc<Self> {
            let api = Api {
                name: name.into(),
                enabled: true,
                paths: Vec::new(),
                publish: None,
                subscribe: None,
                http_post: None,
                http_get: None,
                sse: None,
                include: Vec::new(),
                compatibility: Compatibility::None,
                keyless: true,
                place: Place::built_in(),
            };
            Arc::new(Self {
                name: name.into(),
                api,
                publish: None,
                subscribe: None,
                policies: Box::default(),
                metrics: Arc::default(),
                scope: scope(name, ""),
            })
        }
    }
    /// Ids on disk are found again by it.
    #[test]
    fn a_scope_is_fixed_for_ever() {
        assert_eq!(scope("orders", ""), 0xddc0_4b9f_33c6_b224);
        assert_ne!(scope("a", "b"), scope("ab", ""));
    }
}
