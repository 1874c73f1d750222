//! Bytes to packets and back, without I/O: what foreign protocols look like.

pub mod sse;
pub mod webhook;
pub mod websocket;
