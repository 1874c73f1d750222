//! The whole program, with real sockets, real files and real clients. Each test has a node, a folder and ports of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod backup;
mod bad_input;
mod browsers;
mod clients;
mod command_line;
mod commands;
mod crash;
mod dead_letters;
mod documents;
mod fanout;
mod floods;
mod get;
mod http2;
mod manage;
mod memory;
mod memphis;
mod metrics;
mod not_served;
mod openapi;
mod post;
mod proxies;
mod pull;
mod reload;
mod schemas;
mod sessions;
mod shutdown;
mod slow;
mod sse;
mod strict;
mod tls;
mod unreachable;
mod vanish;
mod watched;
mod webhook_answers;
mod webhook_log;
mod webhook_places;
mod webhooks;
mod websocket;
mod websocket_http2;

use tidegate_testkit::node::How;

/// Clients that `cargo xtask tools` installs.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/bin");
/// The program under test.
const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

fn dev() -> How {
    How::dev(TIDEGATE)
}
