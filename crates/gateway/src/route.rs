//! One API, compiled: immutable, shared, replaced whole.
use crate::{metrics::ApiMetrics, settings::Api, target::Target};
use std::sync::Arc;
use tidegate_core::policy::Policy;

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
impl Route {
    /// Whether nobody who uses it can tell the two apart.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let publishes_like = match (&self.publish, &other.publish) {
            (Some(a), Some(b)) => a.reads_like(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        publishes_like && self.reads_like(other) && self.api.is_like(&other.api)
    }
    /// Whether a subscriber of the other may go on here where it stands.
    pub fn reads_like(&self, other: &Self) -> bool {
        let same = match (&self.subscribe, &other.subscribe) {
            (Some(a), Some(b)) => a.reads_like(b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let policies = self.policies.iter().zip(&other.policies);
        same && self.policies.len() == other.policies.len() && policies.into_iter().all(|(a, b)| Arc::ptr_eq(a, b))
    }
}
/// The scope of a caller's message ids in an API. Stored with the ids: FNV-1a, fixed for ever.
pub fn scope(api: &str, caller: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in api.bytes().chain([0]).chain(caller.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Compatibility, Place, Slow};

    /// For tests of other rooms: a route that leads nowhere.
    impl Route {
        pub(crate) fn named(name: &str) -> Arc<Self> {
            let api = Api {
                name: name.into(),
                enabled: true,
                paths: Vec::new(),
                publish: None,
                subscribe: None,
                listed: true,
                http_post: None,
                http_get: None,
                sse: None,
                websocket: None,
                pull: None,
                cors: Vec::new(),
                include: Vec::new(),
                slow: Slow::CatchUp,
                compatibility: Compatibility::None,
                policies: Vec::new(),
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
