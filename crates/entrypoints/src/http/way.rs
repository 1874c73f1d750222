//! Where a request goes, and what its head asks for there: worked out once for all requests of a connection that begin with the same head, as long as
//! the world is the same.
use super::{verb::Verb, wish::Wish};
use crate::listener::Head;
use arc_swap::ArcSwapOption;
use http::request::Parts;
use std::{
    ops::Range,
    sync::{Arc, OnceLock, Weak},
};
use tidegate_core::error::Result;
use tidegate_gateway::{
    route::Route,
    world::{Snapshot, World},
};

/// What the gateway remembers of a head.
#[derive(Default)]
pub struct Memo(ArcSwapOption<Way>);

/// Where one head leads.
pub(super) struct Way {
    /// Not held on to, so that a connection that waits keeps no old world.
    world: Weak<Snapshot>,
    route: Weak<Route>,
    /// The name of its API, in memory of this connection's own: every request takes it along, and a count that all threads keep would cost each.
    name: Arc<str>,
    host: Box<str>,
    /// What of the path belongs to the route.
    path: Range<usize>,
    /// What its `/*` stands for.
    rest: Range<usize>,
    pub(super) verb: Option<Verb>,
    /// Of a POST.
    wish: OnceLock<Wish>,
}
impl Way {
    /// What is known of this head in the world of this moment. Such a head is one that [`super::head::check`] let pass.
    pub(super) fn known(head: &Head<Memo>, world: &World) -> Option<(Arc<Self>, Arc<Route>)> {
        let way = head.memo().0.load_full()?;
        let same = Weak::as_ptr(&way.world) == Arc::as_ptr(&world.now());
        let route = way.route.upgrade().filter(|_| same)?;
        Some((way, route))
    }
    /// Looks for it; `None`: no route has that path. A verb below a path is no part of it.
    pub(super) fn find(head: &Head<Memo>, host: &str, world: &World) -> Option<(Arc<Self>, Arc<Route>)> {
        let now = world.now();
        let path = head.uri.path();
        let below = Verb::of(path).and_then(|(above, verb)| Some((now.paths.find(host, above)?, above, Some(verb))));
        let ((route, rest), path, verb) = match below {
            Some(below) => below,
            None => (now.paths.find(host, path)?, path, None),
        };
        let way = Arc::new(Self {
            world: Arc::downgrade(&now),
            route: Arc::downgrade(route),
            name: (&*route.name).into(),
            host: host.into(),
            path: 0..path.len(),
            rest: path.len() - rest.len()..path.len(),
            verb,
            wish: OnceLock::new(),
        });
        head.memo().0.store(Some(way.clone()));
        Some((way, route.clone()))
    }
    /// What a POST asks for, read if it was not yet.
    pub(super) fn wish(&self, read: impl FnOnce() -> Result<Wish>) -> Result<&Wish> {
        if let Some(wish) = self.wish.get() {
            return Ok(wish);
        }
        let wish = read()?;
        Ok(self.wish.get_or_init(|| wish))
    }
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }
    pub(super) fn host(&self) -> &str {
        &self.host
    }
    /// The path of the route.
    pub(super) fn path<'p>(&self, parts: &'p Parts) -> &'p str {
        parts.uri.path().get(self.path.clone()).unwrap_or_default()
    }
    /// What the path's `/*` stands for.
    pub(super) fn rest<'p>(&self, parts: &'p Parts) -> &'p str {
        parts.uri.path().get(self.rest.clone()).unwrap_or_default()
    }
}
