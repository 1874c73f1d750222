//! What clients speak to Tidegate: listeners, and HTTP on them. Everything decodes to the gateway's one message and encodes from it.

pub mod dialects;
pub mod http;
pub mod listener;
pub mod outcome;
