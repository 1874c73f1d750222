//! Everything Tidegate connects out to, and the embedded default. One folder or file per kind; the list is written by hand.

pub mod http;
pub mod local;
pub mod mock;

use tidegate_core::check::Kind;

/// The kinds a user may configure. `local` is not among them: it is the log and the hub of this node, always there.
pub fn kinds() -> Vec<Kind> {
    vec![mock::kind()]
}
