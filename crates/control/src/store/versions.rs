//! Versions of schemas: each change of what one says is a new one, whoever made it, a file or the API. A schema that goes takes them along.
use super::{Change, Subject};
use serde_json::{Map, Value};
use tidegate_config::ResourceKind;

/// One version.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// What it says: `{"json": …}`, `{"protobuf": …}` or `{"avro": …}`.
    pub content: Value,
    /// Since when, microseconds since the epoch.
    pub at: i64,
}
/// Of one schema so many are kept.
pub(crate) const KEPT: u64 = 100;

/// What a document says, without what is around it.
pub(crate) fn content(document: &Value) -> Option<Value> {
    let members = document.as_object()?;
    let own = members
        .iter()
        .filter(|(key, _)| matches!(key.as_str(), "json" | "protobuf" | "avro"));
    let content: Map<_, _> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!content.is_empty()).then(|| content.into())
}
/// Which schema a change is about, and what that says from then on; `None`: nothing any more.
pub(crate) fn of(change: &Change) -> Option<(&str, Option<Value>)> {
    let Subject::Resource(id) = &change.of else { return None };
    if id.kind != ResourceKind::Schema {
        return None;
    }
    Some((&id.name, change.after.as_ref().and_then(content)))
}
