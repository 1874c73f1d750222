//! What a node shows of itself: health, metrics, logs.
pub(crate) mod admin;
pub(crate) mod families;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod metrics;

pub(crate) use health::Health;

use crate::secrets::Certificates;
use std::sync::Arc;
use tidegate_entrypoints::listener;

/// What each listener has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) gateway: Arc<listener::Seen>,
    pub(crate) admin: Arc<listener::Seen>,
    pub(crate) memphis: Arc<listener::Seen>,
    /// Of those that speak TLS: what they prove themselves with.
    pub(crate) certificates: Vec<Arc<Certificates>>,
}
