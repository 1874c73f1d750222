//! Every resource there is, from files and from the store, and the only way to change one: check all, open what is new, keep it, swap the
//! world. A step that fails leaves the old world running.
mod change;
mod dead;
mod document;
mod laid;
mod refused;
mod resource;

pub(crate) use change::missing;
pub use change::{Done, What, When, Wish};
pub use refused::Refused;
pub use resource::{Origin, Resource};

use crate::{
    access::Access,
    plane::{Plane, Refusal},
    store::{Author, Change, Contents, Effect, Store, Stored, Subject, versions},
};
use arc_swap::ArcSwap;
use futures::channel::oneshot;
use laid::{Laid, laid, text_of};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tidegate_config::{Checked, Documents, Id, Mode, ResourceKind};
use tidegate_core::{
    check::Kind,
    clock,
    error::{Code, Error, Fault, Result},
    tasks,
};
use tokio::sync::Mutex;

/// Reads the files of this node again.
pub type Read = Box<dyn Fn() -> Documents + Send + Sync>;

/// For reading all files.
const READING: Duration = Duration::from_secs(10);
/// Settings that take hold while the node runs; every other one needs a restart.
const LIVE: &[&str] = &["outgoing.allow", "outgoing.proxy", "resources", "telemetry.level"];

/// See the head of this file.
pub struct Registry {
    parts: Parts,
    now: ArcSwap<State>,
    /// One change at a time.
    turn: Mutex<()>,
}
/// What holds at one moment.
#[derive(Clone)]
pub struct State {
    /// The settings and resources of this process's files.
    files: Documents,
    contents: Contents,
    checked: Checked,
    /// By kind and name.
    pub resources: BTreeMap<Id, Resource>,
    /// Stored resources that do not check, with what is wrong: they are kept, and not served.
    pub left_out: BTreeMap<Id, String>,
    /// Settings that differ from those this process was started with.
    pub restart_needed: Vec<String>,
    /// When the files were read last, microseconds, and what was wrong with them.
    pub last_reload: Option<(i64, Option<String>)>,
    started_with: Arc<Documents>,
}
impl State {
    /// Of the newest change in the store.
    pub fn revision(&self) -> u64 {
        self.contents.revision
    }
    /// The checked settings and resources.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }
    /// Whether what the files said last is wrong.
    pub fn reload_failed(&self) -> bool {
        self.last_reload.as_ref().is_some_and(|(_, error)| error.is_some())
    }
    /// The files, as they were read last.
    pub fn files(&self) -> &Documents {
        &self.files
    }
    /// The newest version of a schema.
    pub fn version_of(&self, schema: &str) -> Option<u64> {
        self.contents.schemas.get(schema).map(|version| version.version)
    }
    /// A stored resource that does not check: as it was written, and what is wrong with it.
    pub fn not_served(&self, id: &Id) -> Option<(Resource, &str)> {
        let why = self.left_out.get(id)?;
        Some((Resource::of_store(self.stored(id)?), why))
    }
    /// Who uses it.
    pub fn users_of(&self, id: &Id) -> Vec<Id> {
        let mut users: Vec<_> = self
            .checked
            .uses
            .iter()
            .filter(|(_, of)| of == id)
            .map(|(user, _)| user.clone())
            .collect();
        users.dedup();
        users
    }
    fn stored(&self, id: &Id) -> Option<&Stored> {
        self.contents.resources.get(id)
    }
}
/// What a reload did.
#[derive(Debug)]
pub struct Reloaded {
    /// Resources that came, changed or went.
    pub applied: Vec<Done>,
    /// Settings that need a restart.
    pub restart_needed: Vec<String>,
}
/// What the store and the plane of a registry are, and how strict it is.
pub struct Parts {
    /// Where what the API makes is kept.
    pub store: Arc<dyn Store>,
    /// What serves.
    pub plane: Arc<dyn Plane>,
    /// Told of every user and token.
    pub access: Arc<Access>,
    /// Reads the files again.
    pub read: Read,
    /// How strict it is.
    pub mode: Mode,
    /// The endpoint types there are.
    pub kinds: Vec<Kind>,
}

impl Registry {
    /// Brings up the first world, of these files and the store. What is wrong in the files is an error; a stored resource that no longer
    /// checks beside them is left out and told, so that a node always comes up again.
    pub async fn open(files: Documents, parts: Parts) -> Result<Arc<Self>, Refused> {
        let Parts { store, plane, access, .. } = &parts;
        let mut files = files;
        files.imply(parts.mode);
        let contents = store.load().await?;
        let Laid {
            documents,
            checked,
            left_out,
        } = Laid::settle(&parts, &files, &contents, None, |_| true)?;
        for (id, why) in &left_out {
            tracing::warn!(resource = %id, error = %why, "a stored resource does not check beside the files: it is kept and not served");
        }
        let prepared = plane
            .prepare(&checked)
            .await
            .map_err(|refusal| in_files(Refused::of_plane(refusal), &documents))?;
        prepared.swap().await?;
        let is_kept = |name: &Arc<str>| left_out.contains_key(&Id::new(ResourceKind::Stream, name.clone()));
        for stream in plane.orphans().into_iter().filter(|name| !is_kept(name)) {
            tracing::warn!(stream = %stream, "stream without a declaration: kept, captures only its own topic");
        }
        access.set(&checked.users, &checked.tokens);
        let contents = versions_of_files(&**store, contents, &documents).await;
        let started_with = Arc::new(files.clone());
        let state = State {
            resources: resource::all(&documents, &contents),
            files,
            contents,
            checked,
            left_out,
            restart_needed: Vec::new(),
            last_reload: None,
            started_with,
        };
        Ok(Arc::new(Self {
            parts,
            now: ArcSwap::from_pointee(state),
            turn: Mutex::default(),
        }))
    }
    /// What holds now.
    pub fn now(&self) -> Arc<State> {
        self.now.load_full()
    }
    /// What serves.
    pub fn plane(&self) -> &Arc<dyn Plane> {
        &self.parts.plane
    }
    /// Every change there was.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }
    /// Reads the files again, and does nothing with them. A disk that does not answer is an error, not a hang.
    pub async fn read_again(self: &Arc<Self>) -> Result<Documents> {
        let registry = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut files = (registry.parts.read)();
            files.imply(registry.parts.mode);
            files
        });
        let slow = |_| {
            let text = format!("the files could not be read in {} s", READING.as_secs());
            Error::new(Code::Unreadable, Fault::Operator, text).with_hint("one of them is a pipe, or lies on a disk that does not answer")
        };
        let crashed = |error| Error::new(Code::Internal, Fault::Gateway, "reading the files ended early").because(error);
        tokio::time::timeout(READING, reading).await.map_err(slow)?.map_err(crashed)
    }
    /// Reads the files again and brings up what they say now. What is wrong leaves everything as it is.
    /// Not cancelled with the caller: it is done whole or not at all.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, Refused> {
        let registry = self.clone();
        to_the_end(async move { registry.reload_now().await }).await
    }
    async fn reload_now(self: Arc<Self>) -> Result<Reloaded, Refused> {
        let _turn = self.turn.lock().await;
        let files = self.read_again().await?;
        let contents = self.parts.store.load().await?;
        let result = self.bring_up(files, contents).await;
        if let Err(refused) = &result {
            let state = State {
                last_reload: Some((clock::now_us(), Some(refused.to_string()))),
                ..State::clone(&self.now())
            };
            self.now.store(Arc::new(state));
        }
        result
    }
    /// Takes over what somebody else wrote to the store, until dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut at = self.parts.store.watch();
        while at.changed().await.is_ok() {
            let turn = self.turn.lock().await;
            let state = self.now();
            if *at.borrow_and_update() <= state.revision() {
                continue;
            }
            let result = match self.parts.store.load().await {
                Ok(contents) => self.bring_up(state.files.clone(), contents).await,
                Err(error) => Err(error.into()),
            };
            if let Err(refused) = result {
                tracing::error!(error = %refused, "what the store holds now cannot be served; the old world goes on");
            }
            drop(turn);
        }
    }
    /// What files changed is told in the audit log too, and of what they no longer declare nothing is kept. If that cannot be written the
    /// files hold all the same.
    async fn told(&self, mut contents: Contents, now: &BTreeMap<Id, Resource>, applied: &[Done], documents: &Documents) -> Contents {
        let of_file = |done: &&Done| {
            let place = now.get(&done.id).map(|resource| &resource.origin);
            place.is_none_or(|origin| matches!(origin, Origin::File(_))) && !contents.resources.contains_key(&done.id)
        };
        let mut changes: Vec<_> = applied.iter().filter(of_file).map(Done::by_file).collect();
        let declared: BTreeSet<_> = documents.declared().map(|declared| declared.id).collect();
        for id in contents.running.keys().filter(|id| !declared.contains(id)) {
            changes.retain(|change| !change.of.is(id));
            changes.push(Change {
                of: Subject::Resource(id.clone()),
                action: "delete",
                effect: Effect::Run(None),
                before: None,
                after: None,
            });
        }
        if changes.is_empty() {
            return contents;
        }
        match self.parts.store.commit(contents.revision, &changes, &Author::files()).await {
            Ok(revision) => {
                contents.remember(&changes, clock::now_us());
                contents.running.retain(|id, _| declared.contains(id));
                contents.revision = revision;
            }
            Err(error) => tracing::warn!(error = %error, "what the files changed is not in the audit log"),
        }
        contents
    }
    /// The caller holds the turn.
    async fn bring_up(&self, files: Documents, contents: Contents) -> Result<Reloaded, Refused> {
        let old = self.now();
        let Laid {
            documents,
            checked,
            left_out,
        } = Laid::settle(&self.parts, &files, &contents, Some(&old), |id| old.left_out.contains_key(id))?;
        let mut restart_needed = files.settings_that_differ(&old.started_with);
        restart_needed.retain(|setting| !LIVE.contains(&setting.as_str()));
        // What waits for a restart must not be found wrong by it.
        if !restart_needed.is_empty() && !files.is_like(&old.files) {
            self.parts.plane.would_start(&checked).await?;
        }
        let orphans = self.parts.plane.orphans();
        let prepared = match self.parts.plane.prepare(&checked).await {
            Ok(prepared) => prepared,
            Err(refusal) => {
                self.undo(&orphans).await;
                return Err(in_files(Refused::of_plane(refusal), &documents));
            }
        };
        let swapped = prepared.swap().await;
        self.parts.access.set(&checked.users, &checked.tokens);
        let resources = resource::all(&documents, &contents);
        let applied = resource::differences(&old.resources, &resources);
        let contents = self.told(contents, &resources, &applied, &documents).await;
        if applied.iter().any(Done::is_of_access) {
            self.parts.plane.readmit().await;
        }
        self.now.store(Arc::new(State {
            resources,
            files,
            contents,
            checked,
            left_out,
            restart_needed: restart_needed.clone(),
            last_reload: Some((clock::now_us(), None)),
            started_with: old.started_with.clone(),
        }));
        swapped.map_err(late)?;
        Ok(Reloaded { applied, restart_needed })
    }
}
/// Schemas of files that changed while nobody looked have new versions, told in the audit log.
async fn versions_of_files(store: &dyn Store, mut contents: Contents, documents: &Documents) -> Contents {
    let mut changes = Vec::new();
    for declared in documents.declared().filter(|declared| declared.id.kind == ResourceKind::Schema) {
        let before = contents.schemas.get(&*declared.id.name);
        if before.map(|before| &before.content) != versions::content(&declared.document).as_ref() {
            changes.push(Change {
                action: if before.is_some() { "replace" } else { "create" },
                of: Subject::Resource(declared.id),
                effect: Effect::Nothing,
                before: before.map(|before| before.content.clone()),
                after: Some(declared.document),
            });
        }
    }
    if changes.is_empty() {
        return contents;
    }
    match store.commit(contents.revision, &changes, &Author::files()).await {
        Ok(revision) => {
            contents.remember(&changes, clock::now_us());
            contents.revision = revision;
        }
        Err(error) => tracing::warn!(error = %error, "new versions of schemas are not counted"),
    }
    contents
}
/// Runs it to its end, whether or not anybody still waits for it.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T, Refused>> + Send + 'static) -> Result<T, Refused> {
    let (tell, told) = oneshot::channel();
    tasks::detach(async move {
        // Whoever asked may have left.
        let _left = tell.send(work.await);
    });
    let crashed = |_| Error::new(Code::Internal, Fault::Gateway, "a change ended early");
    told.await.map_err(crashed)?
}
/// It is kept and served, but for this.
pub(crate) fn late(error: Error) -> Error {
    let text = format!("the change is made, but a stream does not keep to it before the next start: {error}");
    Error::new(error.code(), error.fault(), text)
        .with_retry(error.retry())
        .because(error)
}
/// With the place in a file of each fault in a resource that comes from one.
fn in_files(mut refused: Refused, documents: &Documents) -> Refused {
    for told in &mut refused.errors {
        let word = |key: &str| told.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let id = ResourceKind::of_word(&word("kind")).map(|kind| Id::new(kind, word("name")));
        let place = id.and_then(|id| documents.place(&id, &word("pointer")));
        if let Some(place) = place.filter(|place| place.line > 0) {
            told["file"] = (&*place.file).into();
            told["line"] = place.line.into();
            told["column"] = place.column.into();
        }
    }
    refused
}
/// What the plane says, as an error of the management API.
impl Refused {
    fn of_plane(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(error) => error.into(),
            Refusal::Unkeepable(problems) => Self::of_problems(&problems),
        }
    }
}
