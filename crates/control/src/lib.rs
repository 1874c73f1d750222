//! Who may change what is served, and how: resources, their store, tokens and users, the management API. The data plane is driven through
//! [`plane::Plane`]: this crate opens no socket and knows no log.
pub mod access;
pub mod api;
pub mod dead_letters;
pub mod directory;
pub mod hooks;
pub mod plane;
pub mod registry;
pub mod schemas;
pub mod store;
