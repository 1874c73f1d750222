//! What tests of several crates share: the real binary as a node, a client that can misbehave, the contract of an endpoint.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

pub mod balance;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod contract;
pub mod http2;
pub mod memory;
pub mod node;
pub mod receiver;
pub mod websocket;
pub mod wire;

pub use balance::balance;
pub use browser::Browser;
pub use certificates::Authority;
pub use client::{Answer, Client};
pub use http2::Http2;
pub use node::Node;
pub use receiver::{Receiver, Reply};
pub use websocket::WebSocket;
pub use wire::{Trust, Wire};
