//! What a protocol does to a broadcast. Stateless, no I/O, one static value per variant; implemented in `entrypoints`.
use crate::{
    delivery::Received,
    outbound::Ended,
    position::{Cursor, Gap},
};
use bytes::BytesMut;

/// The spelling of messages on one kind of connection. Every method appends to `out` and leaves what is in it alone.
pub trait Framing: Send + Sync + 'static {
    /// The lane: `sse/h1`, `sse/raw`, `ws/text`, `ws/tidegate.v1.json`.
    fn name(&self) -> &'static str;
    /// One self-delimiting frame, shared by everybody on the lane. `at` includes it.
    fn frame(&self, r: &Received, at: &Cursor, out: &mut BytesMut);
    /// What is missing before the next frame.
    fn gap(&self, gap: &Gap, out: &mut BytesMut);
    /// A sign of life that carries nothing.
    fn beat(&self, out: &mut BytesMut);
    /// The last frame: why the connection ends.
    fn end(&self, why: Ended, out: &mut BytesMut);
    /// Pong, close echo; `partial` keeps a frame that is cut.
    fn input(&self, partial: &mut Vec<u8>, read: &[u8], reply: &mut BytesMut) -> Incoming;
}
/// What the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing that changes the connection.
    Nothing,
    /// It goes, or must go.
    Leave(Ended),
    /// The client sends data or credit: the socket gets a task of its own.
    Promote,
}
