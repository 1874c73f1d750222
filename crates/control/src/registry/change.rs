//! A change from the management API: all of its wishes or none.
use super::{
    Laid, Origin, Refused, Registry, State,
    document::{clean, is_on, masked, says, set_enabled},
    laid, late, resource, text_of, to_the_end,
};
use crate::{
    access::is_administered,
    plane::Refusal,
    schemas,
    store::{Author, Change, Contents, Effect, Stored, Subject},
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};
use tidegate_config::{Id, Report, ResourceKind, suggest};
use tidegate_core::{
    clock,
    error::{Code, Error},
};

/// One wish.
#[derive(Clone, Debug)]
pub struct Wish {
    /// About which resource.
    pub id: Id,
    /// What is wished.
    pub what: What,
    /// Only then.
    pub when: When,
    /// Where its document stands in the request: a JSON pointer, for errors.
    pub at: String,
}
/// What is wished of a resource.
#[derive(Clone, Debug)]
pub enum What {
    /// It is to say this.
    Put(Value),
    /// It is to go.
    Delete,
    /// It is to be started or stopped.
    Run(bool),
}
/// What must hold for a wish to be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing.
    Always,
    /// It is not there.
    Absent,
    /// It is there, at one of these revisions, or whichever it is at.
    At(Option<Vec<String>>),
}
/// What became of one wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Which resource.
    pub id: Id,
    /// As it was; without secrets.
    pub before: Option<Value>,
    /// As it is; without secrets.
    pub after: Option<Value>,
    /// Nothing had to be done.
    pub same: bool,
}
impl Done {
    pub(super) fn new(id: &Id, before: Option<Value>, after: Option<Value>) -> Self {
        Self {
            id: id.clone(),
            before,
            after,
            same: false,
        }
    }
    /// For the audit log: a file did it.
    pub(super) fn by_file(&self) -> Change {
        Change {
            of: Subject::Resource(self.id.clone()),
            action: match (&self.before, &self.after) {
                (None, _) => "create",
                (Some(_), None) => "delete",
                (Some(_), Some(_)) => "replace",
            },
            effect: Effect::Nothing,
            before: self.before.clone(),
            after: self.after.clone(),
        }
    }
    /// Whether it is about who may what.
    pub(super) fn is_of_access(&self) -> bool {
        !self.same && matches!(self.id.kind, ResourceKind::User | ResourceKind::Token)
    }
    /// `created`, `changed`, `deleted`, `unchanged`.
    pub fn word(&self) -> &'static str {
        match (&self.before, &self.after) {
            _ if self.same => "unchanged",
            (None, _) => "created",
            (Some(_), None) => "deleted",
            (Some(_), Some(_)) => "changed",
        }
    }
    /// As the management API tells it; the documents only where they are asked for.
    pub fn told(&self, whole: bool) -> Value {
        let mut told = Map::new();
        told.insert("kind".into(), self.id.kind.word().into());
        told.insert("name".into(), (&*self.id.name).into());
        told.insert("change".into(), self.word().into());
        if whole {
            let documents = [("before", &self.before), ("after", &self.after)];
            told.extend(
                documents
                    .into_iter()
                    .filter_map(|(key, document)| Some((key.to_owned(), document.clone()?))),
            );
        }
        Value::Object(told)
    }
}
/// A change on its way.
struct Draft<'s> {
    state: &'s State,
    contents: Contents,
    changes: Vec<Change>,
    done: Vec<Done>,
    /// Where the text of each resource of this request stands in it.
    places: HashMap<String, String>,
    /// Streams whose messages go, too.
    streams: Vec<Arc<str>>,
}

impl Registry {
    /// Grants all wishes or none, and says what became of each, in their order, and what held right after. `dry`: only says so.
    /// When it resolves, the change is durable and live. Not cancelled with the caller: it is done whole or not at all.
    pub async fn change(self: &Arc<Self>, wishes: Vec<Wish>, author: Author, dry: bool) -> Result<(Vec<Done>, Arc<State>), Refused> {
        let registry = self.clone();
        to_the_end(async move { registry.change_now(&wishes, &author, dry).await }).await
    }
    /// Forgets all messages of a stream, and says how many.
    pub async fn purge(self: &Arc<Self>, name: Arc<str>, author: Author) -> Result<u64, Refused> {
        let registry = self.clone();
        let purging = async move {
            let _turn = registry.turn.lock().await;
            // Told before it is done: what cannot be told is not done.
            let told = Change {
                of: Subject::Resource(Id::new(ResourceKind::Stream, name.clone())),
                action: "purge",
                effect: Effect::Nothing,
                before: None,
                after: None,
            };
            registry.keep(&[told], &author).await?;
            let purged = registry.parts.plane.purge_stream(&name).await?;
            Ok(purged)
        };
        to_the_end(purging).await
    }
    /// See [`crate::plane::Plane::groups`].
    pub fn groups(&self, stream: &str) -> Option<Vec<Value>> {
        self.parts.plane.groups(stream)
    }
    /// See [`crate::plane::Plane::delete_group`].
    pub async fn delete_group(self: &Arc<Self>, stream: &str, group: &str, author: Author) -> Result<bool, Refused> {
        let id = Id::new(ResourceKind::Stream, stream);
        let known = self
            .groups(stream)
            .is_some_and(|groups| groups.iter().any(|known| known["name"] == group));
        if !known {
            return Ok(false);
        }
        self.tell(id, "delete_group", author).await?;
        Ok(self.parts.plane.delete_group(stream, group).await?)
    }
    /// Tells that something was done with a resource that does not change it; before it is done.
    pub async fn tell(self: &Arc<Self>, id: Id, action: &'static str, author: Author) -> Result<(), Refused> {
        let registry = self.clone();
        let telling = async move {
            let _turn = registry.turn.lock().await;
            let told = Change {
                of: Subject::Resource(id),
                action,
                effect: Effect::Nothing,
                before: None,
                after: None,
            };
            registry.keep(&[told], &author).await
        };
        to_the_end(telling).await
    }
    /// Tells that a setting of the node, which is not kept, was set.
    pub async fn note(self: &Arc<Self>, setting: &'static str, before: Value, after: Value, author: Author) -> Result<(), Refused> {
        let registry = self.clone();
        let noting = async move {
            let _turn = registry.turn.lock().await;
            let told = Change {
                of: Subject::Setting(setting),
                action: "set",
                effect: Effect::Nothing,
                before: Some(before),
                after: Some(after),
            };
            registry.keep(&[told], &author).await
        };
        to_the_end(noting).await
    }
    async fn change_now(&self, wishes: &[Wish], author: &Author, dry: bool) -> Result<(Vec<Done>, Arc<State>), Refused> {
        let _turn = self.turn.lock().await;
        let old = self.now();
        let mut draft = Draft {
            state: &old,
            contents: old.contents.clone(),
            changes: Vec::new(),
            done: Vec::new(),
            places: HashMap::new(),
            streams: Vec::new(),
        };
        let mut seen = HashSet::new();
        for wish in wishes {
            if !seen.insert(&wish.id) {
                return Err(Error::client(Code::Duplicate, format!("the {} is there twice", named(&wish.id))).into());
            }
            self.draft(&mut draft, wish)?;
        }
        unused(&draft)?;
        let left_out = old.left_out_but(&draft.places);
        let documents = laid(&old.files, &draft.contents, &left_out, Some(&old), self.parts.mode);
        let checked = documents
            .check(self.parts.mode, &self.parts.kinds)
            .map_err(|report| of_request(&report, &draft.places, &old))?;
        self.parts
            .plane
            .check(&checked)
            .map_err(|refusal| of_plane(refusal, &draft.places))?;
        schemas::kept(&checked, &old.contents).map_err(|refused| in_request(refused, &draft.places))?;
        if is_administered(&old.checked) && !is_administered(&checked) {
            let error = Error::client(Code::LastAdmin, "nobody could administer this node after that");
            return Err(error
                .with_hint("make another token first, and use that: `tidegate token add NAME --manage admin`")
                .into());
        }
        if dry || draft.changes.is_empty() {
            return Ok((draft.done, old.clone()));
        }
        let mut all = Laid {
            documents,
            checked,
            left_out,
        };
        if !all.left_out.is_empty() {
            // The change may have made room for some of them; it holds whether or not it did.
            let may = |id: &Id| all.left_out.contains_key(id);
            if let Ok(more) = Laid::settle(&self.parts, &old.files, &draft.contents, Some(&old), may) {
                all = more;
            }
        }
        let Laid {
            documents,
            checked,
            left_out,
        } = all;
        let orphans = self.parts.plane.orphans();
        let prepared = match self.parts.plane.prepare(&checked).await {
            Ok(prepared) => prepared,
            Err(refusal) => {
                self.undo(&orphans).await;
                return Err(of_plane(refusal, &draft.places));
            }
        };
        let revision = match self.parts.store.commit(old.revision(), &draft.changes, author).await {
            Ok(revision) => revision,
            Err(error) => {
                drop(prepared);
                self.undo(&orphans).await;
                return Err(error.into());
            }
        };
        let swapped = prepared.swap().await;
        self.parts.access.set(&checked.users, &checked.tokens);
        let Draft {
            mut contents,
            done,
            changes,
            streams,
            ..
        } = draft;
        number(&mut contents, &changes, old.revision(), author);
        contents.revision = revision;
        for id in old
            .left_out
            .keys()
            .filter(|id| !left_out.contains_key(id) && contents.resources.contains_key(id))
        {
            tracing::info!(resource = %id, "a stored resource checks beside the others again, and is served");
        }
        let new = Arc::new(State {
            resources: resource::all(&documents, &contents),
            contents,
            checked,
            left_out,
            ..State::clone(&old)
        });
        self.now.store(new.clone());
        for done in done.iter().filter(|done| !done.same) {
            tracing::info!(who = author.who, from = author.from, resource = %done.id, change = done.word(), "changed");
        }
        if done.iter().any(Done::is_of_access) {
            self.parts.plane.readmit().await;
        }
        swapped.map_err(late)?;
        for name in streams {
            self.parts.plane.delete_stream(&name).await.map_err(|error| {
                let text = format!("the declaration of the stream `{name}` is gone, its messages are not: {error}");
                Error::new(error.code(), error.fault(), text)
                    .with_retry(error.retry())
                    .because(error)
            })?;
        }
        Ok((done, new))
    }
    /// Streams that a change made which was not kept: they hold nothing yet, and go. The caller holds the turn.
    pub(super) async fn undo(&self, orphans: &[Arc<str>]) {
        let plane = &self.parts.plane;
        for made in plane.orphans().iter().filter(|name| !orphans.contains(name)) {
            if let Err(error) = plane.delete_stream(made).await {
                tracing::error!(stream = %made, error = %error, "a stream of a change that was not kept is left");
            }
        }
    }
    /// The caller holds the turn.
    pub(super) async fn keep(&self, changes: &[Change], author: &Author) -> Result<(), Refused> {
        let old = self.now();
        let revision = self.parts.store.commit(old.revision(), changes, author).await?;
        let mut state = State::clone(&old);
        state.contents.revision = revision;
        self.now.store(Arc::new(state));
        Ok(())
    }
    fn draft(&self, draft: &mut Draft<'_>, wish: &Wish) -> Result<(), Refused> {
        let Wish { id, what, when, at } = wish;
        let there = draft.state.resources.get(id);
        let orphan = there.is_none() && id.kind == ResourceKind::Stream && self.parts.plane.undeclared().contains(&id.name);
        let stored = draft.state.stored(id);
        // What nobody declares is there all the same.
        let is = there
            .map(super::Resource::revision)
            .or_else(|| stored.map(|stored| stored.revision.to_string()))
            .or_else(|| orphan.then(|| resource::NOBODYS.to_owned()));
        // What is built in stands in nobody's way.
        let built_in = there.is_some_and(|resource| matches!(resource.origin, Origin::BuiltIn));
        let may = match when {
            When::Always => true,
            When::Absent => (there.is_none() || built_in) && stored.is_none(),
            When::At(wanted) => is
                .as_ref()
                .is_some_and(|is| wanted.as_ref().is_none_or(|wanted| wanted.contains(is))),
        };
        if !may {
            let text = match (is, draft.state.left_out.get(id)) {
                (Some(is), None) => format!("the {} is at revision {is}", named(id)),
                (Some(is), Some(why)) => format!("the {} is at revision {is}, and is not served: {why}", named(id)),
                (None, _) => format!("there is no {}", named(id)),
            };
            return Err(Error::client(Code::Changed, text).into());
        }
        let file = there.and_then(|resource| match &resource.origin {
            Origin::File(place) => Some(place),
            Origin::Store { .. } | Origin::Nobody | Origin::BuiltIn => None,
        });
        let kept = || stored.map(|stored| masked(&stored.document));
        let before = there.filter(|_| !built_in).map(|resource| resource.document.clone()).or_else(kept);
        match what {
            What::Put(document) => {
                let document = clean(id, document.clone(), stored, self.parts.mode);
                let same = match file {
                    Some(_) => draft.state.files.says(id, &document, is_on(before.as_ref())),
                    None => stored.is_some_and(|stored| says(stored, &document, self.parts.mode)) && there.is_some(),
                };
                let mut done = Done::new(id, before, Some(masked(&document)));
                if same {
                    done.same = true;
                    draft.done.push(done);
                    return Ok(());
                }
                if let Some(place) = file {
                    return Err(read_only(id, place, &draft.state.files).into());
                }
                let action = if done.before.is_some() { "replace" } else { "create" };
                draft.put(id, action, document, &done);
                draft.places.insert(text_of(id), at.clone());
                draft.done.push(done);
            }
            What::Run(on) => {
                if let Some(why) = draft.state.left_out.get(id) {
                    let text = format!("the {} is not served: {why}", named(id));
                    return Err(Error::client(Code::WrongResources, text)
                        .with_hint("mend it and apply it again, or remove it")
                        .into());
                }
                let Some(before) = before else {
                    return Err(draft.state.missing(id).into());
                };
                let mut after = before.clone();
                set_enabled(&mut after, *on);
                let mut done = Done::new(id, Some(before), Some(after));
                done.same = is_on(done.before.as_ref()) == *on;
                let action = if *on { "start" } else { "stop" };
                match stored.filter(|_| file.is_none()) {
                    _ if done.same => {}
                    Some(stored) => {
                        let mut document = stored.document.clone();
                        set_enabled(&mut document, *on);
                        draft.put(id, action, document, &done);
                    }
                    None => {
                        // What the file says needs no word of ours, and is obeyed when it changes.
                        let apart = (draft.state.files.is_enabled(id) != *on).then_some(*on);
                        match apart {
                            Some(on) => drop(draft.contents.running.insert(id.clone(), on)),
                            None => drop(draft.contents.running.remove(id)),
                        }
                        draft.change(id, action, Effect::Run(apart), &done);
                    }
                }
                draft.done.push(done);
            }
            What::Delete => {
                if let Some(place) = file {
                    return Err(read_only(id, place, &draft.state.files).into());
                }
                if built_in {
                    let text = format!("the {} is built in", named(id));
                    let hint = "one of that name of your own takes its place";
                    return Err(Error::client(Code::ReadOnly, text).with_hint(hint).into());
                }
                if there.is_none() && stored.is_none() && !orphan {
                    return Err(draft.state.missing(id).into());
                }
                let done = Done::new(
                    id,
                    before.or_else(|| Some(json!({"kind": id.kind.word(), "name": &*id.name}))),
                    None,
                );
                draft.contents.resources.remove(id);
                draft.change(id, "delete", Effect::Delete, &done);
                draft.done.push(done);
                if id.kind == ResourceKind::Stream {
                    draft.streams.push(id.name.clone());
                }
            }
        }
        Ok(())
    }
}
impl Draft<'_> {
    fn put(&mut self, id: &Id, action: &'static str, document: Value, done: &Done) {
        let now = clock::now_us();
        let created = self.state.stored(id).map_or(now, |stored| stored.created);
        let stored = Stored {
            document: document.clone(),
            // Given when it is kept.
            revision: 0,
            created,
            changed: now,
            by: String::new(),
        };
        self.contents.resources.insert(id.clone(), stored);
        self.change(id, action, Effect::Put(document), done);
    }
    fn change(&mut self, id: &Id, action: &'static str, effect: Effect, done: &Done) {
        self.changes.push(Change {
            of: Subject::Resource(id.clone()),
            action,
            effect,
            before: done.before.clone(),
            after: done.after.clone(),
        });
    }
}
impl State {
    /// Without those that this request sends anew.
    fn left_out_but(&self, places: &HashMap<String, String>) -> BTreeMap<Id, String> {
        let sent = |id: &Id| places.contains_key(&text_of(id));
        self.left_out
            .iter()
            .filter(|(id, _)| !sent(id))
            .map(|(id, why)| (id.clone(), why.clone()))
            .collect()
    }
}
/// The revisions that the store gave: one for each change, in their order.
fn number(contents: &mut Contents, changes: &[Change], before: u64, author: &Author) {
    contents.remember(changes, clock::now_us());
    for (change, revision) in changes.iter().zip(before + 1..) {
        let puts = matches!(change.effect, Effect::Put(_));
        let Subject::Resource(id) = &change.of else { continue };
        if let Some(stored) = contents.resources.get_mut(id).filter(|_| puts) {
            stored.revision = revision;
            stored.by.clone_from(&author.who);
        }
    }
}
/// What others point at does not go.
fn unused(draft: &Draft<'_>) -> Result<(), Refused> {
    let gone = |id: &Id| draft.done.iter().any(|done| done.id == *id && done.after.is_none());
    let rewritten = |id: &Id| draft.places.contains_key(&text_of(id));
    for done in draft.done.iter().filter(|done| done.after.is_none()) {
        let users: Vec<_> = draft
            .state
            .users_of(&done.id)
            .into_iter()
            .filter(|user| !gone(user) && !rewritten(user))
            .collect();
        if users.is_empty() {
            continue;
        }
        let names: Vec<_> = users.iter().map(named).collect();
        let text = format!("the {} is used by the {}", named(&done.id), names.join(", the "));
        let told = |user: &Id| json!({"kind": user.kind.word(), "name": &*user.name, "code": Code::InUse.to_string(), "pointer": "", "detail": format!("uses the {}", named(&done.id))});
        return Err(Refused {
            error: Error::client(Code::InUse, text).with_hint("change or delete those that use it first"),
            errors: users.iter().map(told).collect(),
        });
    }
    Ok(())
}
/// What the plane says, with pointers into this request where it is about that.
fn of_plane(refusal: Refusal, places: &HashMap<String, String>) -> Refused {
    in_request(Refused::of_plane(refusal), places)
}
/// With pointers into this request where it is about that.
fn in_request(mut refused: Refused, places: &HashMap<String, String>) -> Refused {
    for told in &mut refused.errors {
        let word = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = ResourceKind::of_word(&word("kind")).map(|kind| Id::new(kind, word("name")));
        if let Some(at) = id.and_then(|id| places.get(&text_of(&id))) {
            told["pointer"] = format!("{at}{}", word("pointer")).into();
        }
    }
    refused
}
/// Faults in this request have pointers into it; others name the resource, or the place in a file.
fn of_request(report: &Report, places: &HashMap<String, String>, state: &State) -> Refused {
    let ids: HashMap<String, &Id> = state.contents.resources.keys().map(|id| (text_of(id), id)).collect();
    Refused::of_report(report, |told| {
        let mut place = Map::new();
        if let Some(at) = places.get(&*told.file) {
            return (format!("{at}{}", told.pointer), place);
        }
        if let Some(id) = ids.get(&*told.file) {
            place.insert("kind".to_owned(), id.kind.word().into());
            place.insert("name".to_owned(), (&*id.name).into());
        } else {
            place.insert("file".to_owned(), (&*told.file).into());
            place.insert("line".to_owned(), told.line.into());
            place.insert("column".to_owned(), told.column.into());
        }
        (told.pointer.clone(), place)
    })
}
/// ``api `orders` ``.
fn named(id: &Id) -> String {
    format!("{} `{}`", id.kind, id.name)
}
/// It is not there; `known` are those that are.
pub(crate) fn missing<'a>(id: &Id, known: impl IntoIterator<Item = &'a str>) -> Error {
    let error = Error::client(Code::NoSuchResource, format!("there is no {}", named(id)));
    match suggest(&id.name, known) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    }
}
impl State {
    /// It is neither served nor kept.
    pub(crate) fn missing(&self, id: &Id) -> Error {
        let all = self.resources.keys().chain(self.left_out.keys());
        missing(id, all.filter(|known| known.kind == id.kind).map(|known| &*known.name))
    }
}
fn read_only(id: &Id, place: &tidegate_config::Place, files: &tidegate_config::Documents) -> Error {
    if files.touched().is_empty() {
        let text = format!("the {} belongs to the demo, which is built in", named(id));
        return Error::client(Code::ReadOnly, text).with_hint("`tidegate init` writes the demo as files, to be changed there");
    }
    Error::client(Code::ReadOnly, format!("the {} comes from {place}", named(id)))
        .with_hint("change it there: the node reads the file again by itself")
}
