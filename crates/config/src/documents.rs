//! Documents that were read and not yet checked: those of files, and those of a store laid beside them.
use crate::{
    Checked, Report, ResourceKind, api,
    check::{self, Declares},
    diagnostic::Place,
    kinds::Id,
    ledger::{At, Ledger, Path},
    load::Mode,
    node::NODE,
    read, schema,
    tree::{self, Data, Value},
};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};
use tidegate_core::check::Kind;

/// What was read. What was wrong in reading is told when it is checked.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    ledger: Ledger,
    values: Vec<Value>,
    touched: BTreeSet<PathBuf>,
    spares: Vec<serde_json::Value>,
}
/// What errors and lists call the place of a document that nobody wrote.
pub const BUILT_IN: &str = "built in";
/// A resource as a document declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Which one.
    pub id: Id,
    /// As it was written, variables filled in; secrets are masked.
    pub document: serde_json::Value,
    /// Of all of it, secrets included.
    pub digest: u64,
    /// Where.
    pub place: Place,
}
impl Documents {
    pub(crate) fn new(ledger: Ledger, values: Vec<Value>, touched: BTreeSet<PathBuf>) -> Self {
        Self {
            ledger,
            values,
            touched,
            spares: Vec::new(),
        }
    }
    /// Every file and folder that was looked at, whether or not it was there: what says something else when one of them changes.
    pub fn touched(&self) -> &BTreeSet<PathBuf> {
        &self.touched
    }
    /// Whether the other says the same, faults included.
    pub fn is_like(&self, other: &Self) -> bool {
        let json = |of: &Self| of.values.iter().map(Value::to_json).collect::<Vec<_>>();
        self.ledger.faults() == other.ledger.faults() && json(self) == json(other)
    }
    /// Lays one beside the others. `name` is what errors call its text; their pointers lead into it. Variables are not filled in:
    /// whoever sends a document over the network may not read this machine's files with it.
    pub fn add(&mut self, name: &str, document: &serde_json::Value) {
        let file = self.ledger.sources.add(name.into(), Arc::from(""));
        let mut value = tree::of_json(document, file, &mut self.ledger);
        schema::prepare(&mut value, None, &Path::default(), &mut self.ledger);
        self.values.push(value);
    }
    /// Who was there first is not told that others have what is his: these come before all others.
    pub fn come_first(&mut self, first: impl Fn(&Id) -> bool) {
        self.values
            .sort_by_key(|document| !check::id(document).is_some_and(|id| first(&id)));
    }
    /// One that holds as long as nobody declares one of its kind and name.
    pub fn spare(&mut self, document: serde_json::Value) {
        self.spares.push(document);
    }
    /// Lays beside the others what nobody declares; `taken`: somebody does so elsewhere.
    pub fn fill(&mut self, taken: impl Fn(&Id) -> bool) {
        for spare in std::mem::take(&mut self.spares) {
            let before = self.values.len();
            self.add(BUILT_IN, &spare);
            let (others, added) = self.values.split_at(before);
            let id = added.first().and_then(check::id);
            let there = |id: &Id| taken(id) || others.iter().any(|other| check::id(other).as_ref() == Some(id));
            if id.as_ref().is_none_or(there) {
                self.values.truncate(before);
            }
        }
    }
    /// Whether a resource of a file says the same, secrets included. `running`: whether it is started, which need not be what its file says.
    pub fn says(&self, id: &Id, document: &serde_json::Value, running: bool) -> bool {
        const ENABLED: &str = "enabled";
        let rest = |mut document: serde_json::Value| {
            document.as_object_mut().map(|members| members.remove(ENABLED));
            document
        };
        let on = document.get(ENABLED).is_none_or(|on| on != &serde_json::Value::Bool(false));
        let wanted = rest(document.clone());
        let mut own = self.values.iter().filter(|document| check::id(document).as_ref() == Some(id));
        on == running && own.any(|own| rest(own.to_json()) == wanted || rest(own.to_json_masked()) == wanted)
    }
    /// Whether a resource of a file is started, as that says.
    pub fn is_enabled(&self, id: &Id) -> bool {
        let mut own = self.values.iter().filter(|document| check::id(document).as_ref() == Some(id));
        own.all(|own| own.to_json().get("enabled") != Some(&serde_json::Value::Bool(false)))
    }
    /// Sets a key of a resource, as if it had been written so.
    pub fn set(&mut self, id: &Id, key: &str, to: bool) {
        for document in self.values.iter_mut().filter(|document| check::id(document).as_ref() == Some(id)) {
            let at = document.at;
            let Data::Map(entries) = &mut document.data else { continue };
            entries.retain(|entry| entry.key != key);
            let data = Data::Scalar {
                text: to.to_string(),
                plain: true,
            };
            entries.push(tree::Entry {
                key: key.to_owned(),
                at,
                value: Value { at, data, hidden: false },
            });
        }
    }
    /// Says what is understood where somebody did not say it, as if it had been written.
    pub fn imply(&mut self, mode: Mode) {
        for document in &mut self.values {
            let at = document.at;
            let implied = matches!(check::declares(document), Declares::Resource(ResourceKind::Api)) && document.get(api::PLANS).is_none();
            let Data::Map(entries) = &mut document.data else { continue };
            if implied && mode != Mode::Run {
                let keyless = Value {
                    at,
                    data: Data::Scalar {
                        text: api::KEYLESS.to_owned(),
                        plain: true,
                    },
                    hidden: false,
                };
                entries.push(tree::Entry {
                    key: api::PLANS.to_owned(),
                    at,
                    value: Value {
                        at,
                        data: Data::List(vec![keyless]),
                        hidden: false,
                    },
                });
            }
        }
    }
    /// Every resource whose kind and name can be read, in the order they were declared.
    pub fn declared(&self) -> impl Iterator<Item = Declared> + '_ {
        self.values.iter().filter_map(|document| {
            Some(Declared {
                id: check::id(document)?,
                document: document.to_json_masked(),
                digest: digest(&document.to_json()),
                place: self.ledger.place(document.at),
            })
        })
    }
    /// Where what a JSON pointer into a resource names stands; where nothing stands there, what is around it.
    pub fn place(&self, id: &Id, pointer: &str) -> Option<Place> {
        let document = self.values.iter().find(|document| check::id(document).as_ref() == Some(id))?;
        Some(self.ledger.place(document.point(pointer).0.at))
    }
    /// All of it, all errors at once. `kinds` are the endpoint types there are.
    pub fn check(&self, mode: Mode, kinds: &[Kind]) -> Result<Checked, Report> {
        let mut ledger = self.ledger.clone();
        let checked = check::check(&self.values, mode, kinds, &mut ledger);
        if ledger.faults() == 0 {
            return Ok(checked);
        }
        let (diagnostics, sources) = ledger.close();
        Err(Report { diagnostics, sources })
    }
    /// The settings of the process that are not as in `other`, as `limits.body`, sorted. Defaults count as written.
    pub fn settings_that_differ(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        self.settings().differences(&other.settings(), &mut out);
        out.sort();
        out
    }
    fn settings(&self) -> read::Record {
        let nobody = Value::empty_map(At::BUILT_IN);
        let own = self
            .values
            .iter()
            .find(|document| matches!(check::declares(document), Declares::Node));
        read::table(&NODE, own.unwrap_or(&nobody), &Path::default(), &mut Ledger::default())
    }
}

/// The same for a document that is on its way.
pub fn imply(mode: Mode, document: &mut serde_json::Value) {
    let kind = document.get("kind").and_then(serde_json::Value::as_str);
    let api = kind.and_then(ResourceKind::of_word) == Some(ResourceKind::Api);
    if let Some(members) = document.as_object_mut().filter(|_| api && mode != Mode::Run) {
        members.entry(api::PLANS).or_insert_with(|| serde_json::json!([api::KEYLESS]));
    }
}
fn digest(document: &serde_json::Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    document.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResourceKind;
    use crate::load::{Source, read as load};

    fn documents(text: &str) -> Documents {
        load(Source::Texts(vec![("a.yaml".to_owned(), text.to_owned())]), Vec::new(), &[])
    }
    #[test]
    fn says_which_settings_differ() {
        let old = documents("limits: { body: 4MiB, idle: 75s }\nresources: [x]");
        let new = documents("limits: { body: 5MiB }\ntelemetry: { level: debug }\nresources: [x, y]");
        assert_eq!(new.settings_that_differ(&old), ["limits.body", "resources", "telemetry.level"]);
        assert!(old.settings_that_differ(&old).is_empty());
    }
    #[test]
    fn what_is_laid_beside_is_checked_with_pointers_and_reads_no_file() {
        let mut all = documents("kind: stream\nname: orders");
        all.add(
            "one",
            &serde_json::json!({"kind": "stream", "name": "b", "retention": {"age": "x"}, "topics": ["a", 7, "$x/${file:/etc/passwd}"]}),
        );
        let report = all.check(Mode::Run, &[]).unwrap_err();
        let told: Vec<_> = report.diagnostics.iter().map(|told| (told.pointer.as_str(), &*told.file)).collect();
        assert_eq!(told, [("/topics/2", "one"), ("/retention/age", "one")], "{report}");
        assert!(report.to_string().contains("tidegate apply"), "{report}");
    }
    #[test]
    fn a_spare_holds_where_nobody_declares_the_same() {
        let names = |files: &str, taken: bool| {
            let mut all = documents(files);
            all.spare(serde_json::json!({"kind": "stream", "name": "s", "retention": {"age": "1h"}}));
            all.fill(|_| taken);
            all.check(Mode::Run, &[]).unwrap();
            all.declared().map(|one| format!("{} {}", one.id, one.place)).collect::<Vec<_>>()
        };
        assert_eq!(names("limits: {}", false), ["stream s built in"]);
        assert_eq!(names("limits: {}", true), [""; 0]);
        assert_eq!(names("kind: stream\nname: s", false), ["stream s a.yaml:1:1"]);
        assert_eq!(names("kind: stream\nname: t", false).len(), 2);
    }
    #[test]
    fn a_place_is_that_of_the_value() {
        let all = documents("kind: stream\nname: a\n---\nkind: stream\nname: b\nretention: { age: 1h }\npartitions: 4\n");
        let place = |name: &str, pointer: &str| {
            all.place(&Id::new(ResourceKind::Stream, name), pointer)
                .map(|place| place.to_string())
        };
        for (name, pointer, expected) in [
            ("b", "/partitions", Some("a.yaml:7:13")),
            ("b", "/retention/age", Some("a.yaml:6:19")),
            ("b", "/retention/bytes", Some("a.yaml:6:12")),
            ("b", "", Some("a.yaml:4:1")),
            ("a", "/partitions", Some("a.yaml:1:1")),
            ("c", "", None),
        ] {
            assert_eq!(place(name, pointer).as_deref(), expected, "{name} {pointer}");
        }
    }
    #[test]
    fn a_key_is_set_as_if_written() {
        let mut all = documents("kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\nplans: [keyless]");
        let id = all.declared().next().unwrap().id;
        all.set(&id, "enabled", false);
        assert!(!all.check(Mode::Run, &[]).unwrap().apis[0].enabled);
    }
}
