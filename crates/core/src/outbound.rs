//! The client side of a subscription that carries a duty: groups, MQTT QoS 1, WebSocket with credit. Broadcast is `Framing`.
use crate::{delivery::Delivery, error::Result, position::Cursor};

/// Generic, not `dyn`: this is the per-message loop. Takes the duty: MQTT QoS 1 settles on PUBACK, others when flushed.
pub trait Outbound: Send {
    fn send(&mut self, delivery: Delivery) -> impl Future<Output = Result<()>> + Send;
    /// GOAWAY, close 1013, DISCONNECT, GOODBYE.
    fn close(&mut self, why: Ended) -> impl Future<Output = ()> + Send;
    /// Where to resume if the endpoint must be reopened.
    fn cursor(&self) -> Cursor;
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    SourceEnded,
    ApiGone,
    Draining,
    Refused,
    TooSlow,
    ClientLeft,
}
impl Ended {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceEnded => "source_ended",
            Self::ApiGone => "api_gone",
            Self::Draining => "draining",
            Self::Refused => "refused",
            Self::TooSlow => "too_slow",
            Self::ClientLeft => "client_left",
        }
    }
}
