//! Secrets on the disk: the certificates of the listeners, the keys that sign sessions, and the first token. Nothing else of the program reads or writes them.
pub(crate) mod certificates;
pub(crate) mod signing;
pub(crate) mod token;

pub(crate) use certificates::{Certificates, Shown};
pub(crate) use signing::SigningKeys;
