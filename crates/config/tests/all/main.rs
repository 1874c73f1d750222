//! Configuration as a user meets it: texts in, settings or errors out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod bad_inputs;
mod common;
mod errors;
mod files;
mod fuzz;
mod shown;
mod values;
mod webhooks;
