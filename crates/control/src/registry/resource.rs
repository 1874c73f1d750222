//! One resource as it holds: its document, and where it comes from.
use super::{change::Done, document::masked};
use crate::store::{Contents, Stored};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidegate_config::{BUILT_IN, Documents, Id, Place};
use tidegate_core::clock;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Resource {
    /// As it was written, without its secrets.
    pub document: Value,
    /// Of all of it.
    pub digest: u64,
    /// Where it comes from.
    pub origin: Origin,
}
/// Where a resource comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file, which alone says what it is.
    File(Place),
    /// The store.
    Store {
        /// Of its newest change.
        revision: u64,
        /// Microseconds since the epoch.
        created: i64,
        /// Microseconds since the epoch.
        changed: i64,
        /// Who changed it last.
        by: String,
    },
    /// Nobody declares it: it is there.
    Nobody,
    /// It holds until somebody declares one of its name.
    BuiltIn,
}
impl Origin {
    fn of_store(stored: &Stored) -> Self {
        Self::Store {
            revision: stored.revision,
            created: stored.created,
            changed: stored.changed,
            by: stored.by.clone(),
        }
    }
}
/// The revision of a stream that nobody declares.
pub(crate) const NOBODYS: &str = "f0000000000000000";

impl Resource {
    /// One that is kept and not served.
    pub(super) fn of_store(stored: &Stored) -> Self {
        Self {
            document: masked(&stored.document),
            digest: 0,
            origin: Origin::of_store(stored),
        }
    }
    /// Changes with every change of the resource.
    pub fn revision(&self) -> String {
        match &self.origin {
            Origin::Store { revision, .. } => revision.to_string(),
            Origin::File(_) | Origin::Nobody | Origin::BuiltIn => format!("f{:016x}", self.digest),
        }
    }
    /// Where it comes from and since when: the member `meta`.
    pub fn meta(&self) -> Value {
        let revision = self.revision();
        match &self.origin {
            Origin::File(place) => json!({"revision": revision, "source": place.to_string()}),
            Origin::Nobody => json!({"revision": revision, "source": "none"}),
            Origin::BuiltIn => json!({"revision": revision, "source": BUILT_IN}),
            Origin::Store { created, changed, by, .. } => json!({
                "revision": revision, "source": "api", "by": by,
                "created": clock::rfc3339(*created), "changed": clock::rfc3339(*changed),
            }),
        }
    }
}
/// Every resource of the documents.
pub(super) fn all(documents: &Documents, contents: &Contents) -> BTreeMap<Id, Resource> {
    let resource = |declared: tidegate_config::Declared| {
        // Stored documents stand in no line of any file.
        let origin = match contents.resources.get(&declared.id).filter(|_| declared.place.line == 0) {
            Some(stored) => Origin::of_store(stored),
            None if declared.place.line == 0 && *declared.place.file == *BUILT_IN => Origin::BuiltIn,
            None => Origin::File(declared.place),
        };
        let resource = Resource {
            document: declared.document,
            digest: declared.digest,
            origin,
        };
        (declared.id, resource)
    };
    documents.declared().map(resource).collect()
}
/// What came, changed and went.
pub(super) fn differences(old: &BTreeMap<Id, Resource>, new: &BTreeMap<Id, Resource>) -> Vec<Done> {
    let mut out = Vec::new();
    for (id, resource) in new {
        let before = old.get(id);
        if before.is_none_or(|before| before.digest != resource.digest) {
            out.push(Done::new(
                id,
                before.map(|before| before.document.clone()),
                Some(resource.document.clone()),
            ));
        }
    }
    let gone = old.iter().filter(|(id, _)| !new.contains_key(*id));
    out.extend(gone.map(|(id, old)| Done::new(id, Some(old.document.clone()), None)));
    out
}
