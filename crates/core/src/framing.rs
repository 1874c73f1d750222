//! What a protocol does to a broadcast. Stateless, no I/O, one static value per variant; implemented in `entrypoints`.
use crate::{
    delivery::Received,
    outbound::Ended,
    position::{Cursor, Gap},
};
use bytes::BytesMut;

pub trait Framing: Send + Sync + 'static {
    /// The lane: `sse/h1`, `sse/raw`, `ws/text`, `ws/tidegate.v1.json`.
    fn name(&self) -> &'static str;
    /// One self-delimiting frame, shared by everybody on the lane. `at` includes it.
    fn frame(&self, r: &Received, at: &Cursor, out: &mut BytesMut);
    fn gap(&self, gap: &Gap, out: &mut BytesMut);
    fn beat(&self, out: &mut BytesMut);
    fn end(&self, why: Ended, out: &mut BytesMut);
    /// Pong, close echo; `partial` keeps a frame that is cut.
    fn input(&self, partial: &mut Vec<u8>, read: &[u8], reply: &mut BytesMut) -> Incoming;
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    Nothing,
    Leave(Ended),
    /// The client sends data or credit: the socket gets a task of its own.
    Promote,
}
