//! The client side of a subscription that carries a duty: groups, MQTT QoS 1, WebSocket with credit. Broadcast is `Framing`.
use crate::{delivery::Delivery, error::Result, position::Cursor};

/// Generic, not `dyn`: this is the per-message loop. Takes the duty: MQTT QoS 1 settles on PUBACK, others when flushed.
pub trait Outbound: Send {
    /// Writes the messages and settles them when the client has them as surely as its protocol can tell. Waits while the client is slow.
    /// Fails when the connection is gone. Not cancel-safe: dropped in the middle, the rest of the delivery is given back and the
    /// connection must be closed, for a frame may be cut.
    fn send(&mut self, delivery: Delivery) -> impl Future<Output = Result<()>> + Send;
    /// GOAWAY, close 1013, DISCONNECT, GOODBYE.
    fn close(&mut self, why: Ended) -> impl Future<Output = ()> + Send;
    /// Where to resume if the endpoint must be reopened.
    fn cursor(&self) -> Cursor;
}
/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The source has no more to give.
    SourceEnded,
    /// The API was taken away.
    ApiGone,
    /// The gateway is shutting down.
    Draining,
    /// The caller may no longer read.
    Refused,
    /// The client did not keep up, and the source cannot be read again.
    TooSlow,
    /// The client went away.
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
