//! HTTP on an API's paths: publish by POST, read by GET, stream by GET with `text/event-stream`.

pub mod body;
pub mod call;
pub mod flight;
pub mod service;

mod accept;
pub(crate) mod batch;
mod cors;
pub mod forwarded;
mod framings;
mod gravitee;
pub mod head;
mod idempotent;
pub(crate) mod items;
mod line;
pub mod problem;
mod publish;
pub(crate) mod pull;
mod query;
mod read;
pub(crate) mod settle;
mod sse;
mod ticket;
pub(crate) mod timing;
pub(crate) mod upload;
pub(crate) mod verb;
mod way;
mod websocket;
mod wish;

#[doc(hidden)]
pub mod fuzz;
