//! A route as a long-lived connection holds it: it sees a new world between two batches.
use crate::{route::Route, world::World};
use std::sync::Arc;
use tokio::sync::watch;

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
    /// Whether its route is still the one of this moment.
    pub fn is_current(&self) -> bool {
        let now = self.world.now();
        let found = now.paths.find(&self.host, &self.path).map(|(route, _)| route);
        matches!((&self.live, found), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
    }
    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
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
