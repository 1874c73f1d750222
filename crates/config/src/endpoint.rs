//! A configured connection, used by name.
use crate::diagnostic::Place;
use std::{fmt, sync::Arc};

/// Checked by its kind, which reads `config` again when it opens it.
#[derive(Clone)]
pub struct Endpoint {
    /// What apis call it.
    pub name: Arc<str>,
    /// The name of its [`tidegate_core::check::Kind`]; `type` in files.
    pub kind: Arc<str>,
    /// As written, secrets filled in: without `kind`, `name`, `type`, `description`, `labels`.
    pub config: serde_json::Value,
    /// Where it was declared.
    pub place: Place,
}
/// Leaves `config` out: it may hold secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, place, .. } = self;
        f.debug_struct("Endpoint")
            .field("name", name)
            .field("kind", kind)
            .field("place", place)
            .finish_non_exhaustive()
    }
}
