//! What has come from a client and is not understood yet.
use crate::http::flight::{Aboard, Flight};
use bytes::{Buf, BytesMut};
use std::sync::Arc;
use tidegate_core::error::Result;
use tidegate_wire::websocket::{
    close::CloseCode,
    reader::{Event, Failure, Limits, Reader},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is read at once.
const READ: usize = 4 << 10;
/// What a message may hold before it is whole, uncounted.
const UNWEIGHED: u64 = 64 << 10;

/// Nothing more can be understood.
pub(super) enum End {
    /// The client has gone.
    Gone,
    /// It broke the protocol.
    Broken(CloseCode, String),
}
/// With what has begun.
pub(super) struct Incoming {
    reader: Reader,
    buffer: BytesMut,
    /// For a large message that is not whole, and what of it was counted.
    aboard: Option<(Aboard, u64)>,
}
impl Incoming {
    /// `read` has come already; no message may be longer than that.
    pub(super) fn new(read: &[u8], message: usize) -> Self {
        Self {
            buffer: BytesMut::from(read),
            reader: Reader::new(Limits { message }),
            aboard: None,
        }
    }
    /// A large message that is not whole counts as bytes in flight, as a body does.
    pub(super) fn weigh(&mut self, flight: &Arc<Flight>) -> Result<()> {
        let held = self.reader.held() as u64;
        if held < UNWEIGHED {
            self.aboard = None;
            return Ok(());
        }
        let (aboard, weight) = match self.aboard.take() {
            Some(aboard) => aboard,
            None => (flight.enter()?, 0),
        };
        let (aboard, weight) = self.aboard.insert((aboard, weight));
        aboard.load(held.saturating_sub(*weight))?;
        *weight = held.max(*weight);
        Ok(())
    }
    /// Nothing has begun.
    pub(super) fn is_at_rest(&self) -> bool {
        self.buffer.is_empty() && self.reader.is_at_rest()
    }
    /// The next event, or `None` after a read that did not complete one. Cancel-safe.
    pub(super) async fn next(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<Event>, End> {
        if self.buffer.is_empty() {
            self.buffer.reserve(READ);
            match socket.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(End::Gone),
            }
        }
        let mut input = &self.buffer[..];
        let before = input.len();
        let event = self.reader.next(&mut input);
        let used = before - input.len();
        self.buffer.advance(used);
        if self.buffer.is_empty() {
            // An idle connection holds nothing.
            self.buffer = BytesMut::new();
        }
        event.map_err(|failure| {
            let why = match failure {
                Failure::TooBig => "the message is larger than `limits.ws_message` allows",
                failure => failure.reason(),
            };
            End::Broken(failure.code(), why.to_owned())
        })
    }
}
