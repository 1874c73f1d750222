//! How one protocol spells what subscribers are told. Stateless, no I/O, one static value per variant; implemented in `entrypoints`.
use crate::{
    delivery::Received,
    position::{Cursor, Gap},
};
use bytes::BytesMut;

/// The spelling of messages on one kind of connection. What writes appends to `out` and leaves what is in it alone.
pub trait Framing: Send + Sync + 'static {
    /// Unique: subscribers whose framing has the same name share one encoding, their lane.
    fn name(&self) -> &'static str;
    /// One self-delimiting frame, shared by everybody on the lane. `at` includes it, and is empty where nothing can be resumed.
    fn frame(&self, r: &Received, at: &Cursor, out: &mut BytesMut);
    /// What is missing before the next frame. `false`: it has no word for it, and the connection must end to say so.
    fn gap(&self, gap: &Gap, out: &mut BytesMut) -> bool;
    /// A sign of life that carries nothing.
    fn beat(&self, out: &mut BytesMut);
    /// What a client sent that is given messages.
    fn heard(&self, bytes: &[u8]) -> Heard;
}
/// What it takes to understand a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A sign of life, and no more.
    Life,
    /// Somebody must look at it.
    Words,
}
