//! Files and store, laid side by side: who comes first, and what of the store has no place beside the others.
use super::{Parts, Refused, State, in_files};
use crate::{schemas, store::Contents};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tidegate_config::{Checked, Documents, Id, Mode, Report, ResourceKind};

/// All that is declared, checked.
pub(super) struct Laid {
    pub(super) documents: Documents,
    pub(super) checked: Checked,
    /// Stored resources that do not check, with what is wrong.
    pub(super) left_out: BTreeMap<Id, String>,
}
impl Laid {
    /// What is wrong is an error, but for stored resources that do not check beside the rest and `may` be left out: at a start all of them, so
    /// that a node always comes up again; later those that were left out before. Whatever fits again is served.
    pub(super) fn settle(
        parts: &Parts,
        files: &Documents,
        contents: &Contents,
        now: Option<&State>,
        may: impl Fn(&Id) -> bool,
    ) -> Result<Self, Refused> {
        let mut left_out = BTreeMap::new();
        loop {
            let documents = laid(files, contents, &left_out, now, parts.mode);
            let (refused, blamed) = match check(parts, &documents, contents) {
                Err(why) => why,
                Ok(checked) => {
                    return Ok(Self {
                        documents,
                        checked,
                        left_out,
                    });
                }
            };
            let before = left_out.len();
            left_out.extend(blamed.into_iter().filter(|(id, _)| may(id)));
            if left_out.len() == before {
                return Err(refused);
            }
        }
    }
}
/// Or what is wrong, and what of it is about which stored resource.
fn check(parts: &Parts, documents: &Documents, contents: &Contents) -> Result<Checked, (Refused, BTreeMap<Id, String>)> {
    let checked = documents
        .check(parts.mode, &parts.kinds)
        .map_err(|report| (Refused::of_files(&report), blamed(&report, contents)))?;
    parts.plane.check(&checked).map_err(|refusal| {
        let refused = in_files(Refused::of_plane(refusal), documents);
        let blamed = unkeepable(&refused, contents);
        (refused, blamed)
    })?;
    schemas::kept(&checked, contents).map_err(|refused| (in_files(refused, documents), BTreeMap::new()))?;
    Ok(checked)
}
/// What errors call the text of a stored resource.
pub(super) fn text_of(id: &Id) -> String {
    format!("stored {id}")
}
/// Files, with what is stored beside them, and what is built in where neither says anything. A resource that a file declares is the file's,
/// whatever the store says. Of two that want one thing the later is told so: that is what is stored; but where something is served `now` and
/// did not change since, it is whoever came after it.
pub(super) fn laid(files: &Documents, contents: &Contents, left_out: &BTreeMap<Id, String>, now: Option<&State>, mode: Mode) -> Documents {
    let mut all = files.clone();
    let of_files: BTreeSet<_> = files.declared().map(|declared| declared.id).collect();
    for (id, on) in contents.running.iter().filter(|(id, _)| of_files.contains(id) && id.kind.runs()) {
        all.set(id, "enabled", *on);
    }
    for (id, stored) in &contents.resources {
        if !of_files.contains(id) && !left_out.contains_key(id) {
            all.add(&text_of(id), &stored.document);
        }
    }
    if let Some(now) = now {
        all.come_first(|id| !of_files.contains(id) && now.stands(id, contents));
    }
    all.fill(|id| contents.resources.contains_key(id));
    all.imply(mode);
    all
}
impl State {
    /// Whether it is served as it is stored there.
    fn stands(&self, id: &Id, contents: &Contents) -> bool {
        let revision = |stored: &crate::store::Stored| stored.revision;
        let own = self.stored(id).map(revision);
        own.is_some() && own == contents.resources.get(id).map(revision) && !self.left_out.contains_key(id)
    }
}
/// Which stored resources a report is about.
fn blamed(report: &Report, contents: &Contents) -> BTreeMap<Id, String> {
    let names: HashMap<String, &Id> = contents.resources.keys().map(|id| (text_of(id), id)).collect();
    let mut out = BTreeMap::new();
    for told in &report.diagnostics {
        if let Some(id) = names.get(&*told.file) {
            out.entry((*id).clone()).or_insert_with(|| told.message.clone());
        }
    }
    out
}
/// Stored resources that the plane refuses; not those of files, which have a place in one.
fn unkeepable(refused: &Refused, contents: &Contents) -> BTreeMap<Id, String> {
    let one = |told: &serde_json::Value| {
        let word = |key: &str| told.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let id = Id::new(ResourceKind::of_word(word("kind"))?, word("name"));
        let why = format!("{}: expected {}", word("detail"), word("expected"));
        contents.resources.contains_key(&id).then_some((id, why))
    };
    refused
        .errors
        .iter()
        .filter(|told| told.get("file").is_none())
        .filter_map(one)
        .collect()
}
