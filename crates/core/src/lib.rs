//! The nouns and the contracts of Tidegate: no sockets, no files, no broker.
//!
//! Lock order, wherever two locks are ever held: group, then partition, then table. Nothing else is nested.
#![deny(missing_docs)]

pub mod action;
pub mod batch;
pub mod check;
pub mod clock;
pub mod delivery;
pub mod directory;
pub mod drain;
pub mod ended;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod filter;
pub mod framing;
#[doc(hidden)]
pub mod fuzz;
pub mod headers;
pub mod home;
pub mod message;
pub mod policy;
pub mod position;
pub mod receipt;
pub mod sensitive;
pub mod sessions;
pub mod settle;
pub mod tasks;
pub mod template;
pub mod topic;
pub mod validator;
pub mod watermark;
