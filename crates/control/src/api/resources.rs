//! What each route does with the registry. No kind has code of its own, but for tokens, which are made here.
use super::{
    Api,
    call::{Answer, Call, bad_query},
    dead_letters, hooks,
    routes::Act,
    writes,
};
use crate::{
    access::{Caller, token},
    registry::{Done, Origin, Refused, Registry, Resource, State, What, When, Wish},
    schemas,
    store::Version,
};
use http::{HeaderMap, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tidegate_config::{Id, Manage, ResourceKind, suggest};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
};

const CHANGE: header::HeaderName = header::HeaderName::from_static("tidegate-change");

pub(super) async fn act(api: &Api, registry: &Arc<Registry>, act: Act, call: &Call<'_>) -> Result<Answer, Refused> {
    match act {
        Act::List(kind) => Ok(list(registry, kind, call)?),
        Act::Read(kind) => read(registry, &registry.now(), &call.id(kind)),
        Act::Create(kind) => create(registry, kind, call).await,
        Act::Replace(kind) => replace(registry, kind, call).await,
        Act::Delete(kind) => delete(registry, kind, call).await,
        Act::Run(kind, on) => {
            let wish = wish(call.id(kind), What::Run(on), condition(call.headers)?);
            let (_, state) = change(registry, vec![wish], call).await?;
            read(registry, &state, &call.id(kind))
        }
        Act::Purge => {
            let id = call.id(ResourceKind::Stream);
            shown(registry, &registry.now(), &id)?;
            let purged = registry.purge(id.name, call.author()).await?;
            Ok(Answer::json(&json!({ "purged": purged })))
        }
        Act::Groups => {
            let stream = call.id(ResourceKind::Stream);
            let groups = registry.groups(&stream.name).ok_or_else(|| registry.now().missing(&stream))?;
            Ok(Answer::json(&json!({ "items": groups })))
        }
        Act::DeleteGroup => {
            let stream = call.id(ResourceKind::Stream);
            let group = &*call.group;
            let gone = registry.delete_group(&stream.name, group, call.author()).await?;
            let text = || format!("the stream `{}` has no group `{}`", stream.name, group.escape_debug());
            let hint = format!(
                "`tidegate stream groups {}` lists them, each with its api before its name",
                stream.name
            );
            gone.then(Answer::nothing)
                .ok_or_else(|| Error::client(Code::NoSuchResource, text()).with_hint(hint).into())
        }
        Act::DeadLetters(ask) => dead_letters::act(registry, ask, call).await,
        Act::Apply => apply(registry, call).await,
        Act::Export => Ok(export(registry, call)?),
        Act::Status => Ok(Answer::json(&status(api, registry))),
        Act::Reload => {
            let reloaded = registry.reload().await?;
            let applied: Vec<_> = reloaded.applied.iter().map(|done| done.told(false)).collect();
            Ok(Answer::json(
                &json!({ "applied": applied, "restart_needed": reloaded.restart_needed }),
            ))
        }
        Act::LogLevel => Ok(Answer::json(&json!({ "level": api.node.log_level() }))),
        Act::RotateKeys => {
            let node = api.node.clone();
            let crashed = |error| Error::new(Code::Internal, Fault::Gateway, "the keys were not rotated").because(error);
            let revoke = call.is_set("revoke")?;
            let rotated = tokio::task::spawn_blocking(move || node.rotate_signing_keys(revoke))
                .await
                .map_err(crashed)??;
            let after = json!({ "keys": rotated.keys, "signs_from": rotated.signs_from.map(clock::rfc3339) });
            registry
                .note("rotate_signing_keys", Value::Null, after.clone(), call.author())
                .await?;
            Ok(Answer::json(&after))
        }
        Act::SetLogLevel => {
            let members = call.body.object()?;
            let level = members.get("level").and_then(Value::as_str);
            let level = level.ok_or_else(|| {
                Error::client(
                    Code::BadValue,
                    "`level` is missing: expected text such as `info,tidegate_log=debug`",
                )
            })?;
            let before = api.node.log_level();
            api.node.set_log_level(level)?;
            tracing::info!(who = call.author().who, level, "log level changed");
            let after = json!({ "level": api.node.log_level() });
            registry.note("log_level", json!({ "level": before }), after, call.author()).await?;
            Ok(Answer::json(&json!({ "level": api.node.log_level() })))
        }
        Act::TestSchema => {
            let kind = call.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
            schemas::test(registry.now().checked(), &call.name, kind, call.body.bytes()).await?;
            Ok(Answer::json(&json!({ "valid": true })))
        }
        Act::Versions => {
            shown(registry, &registry.now(), &call.id(ResourceKind::Schema))?;
            let versions = registry.store().versions(&call.name).await?;
            let one =
                |version: &Version| json!({"version": version.version, "since": clock::rfc3339(version.at), "content": version.content});
            Ok(Answer::json(&json!({ "items": versions.iter().map(one).collect::<Vec<_>>() })))
        }
        Act::Changes => changes(registry, call).await,
        Act::Deliveries => hooks::deliveries(registry, call).await,
        Act::TestWebhook => hooks::test(registry, call).await,
        Act::ReplayWebhook => hooks::replay(registry, call).await,
        Act::Trace => hooks::trace(registry, call).await,
        Act::WhoAmI => {
            let caller = call.caller.as_ref();
            let manage = caller.and_then(|caller| caller.manage).map(tidegate_config::Manage::as_str);
            Ok(Answer::json(&json!({ "name": caller.map(|caller| &caller.who), "manage": manage })))
        }
        Act::Health | Act::Ready | Act::Metrics | Act::Description | Act::Messages | Act::Alarms | Act::Catch | Act::Caught => {
            Err(Error::client(Code::NoSuchRoute, "this is answered elsewhere").into())
        }
    }
}
/// All resources of a kind by name, those nobody declares included.
fn of_kind(registry: &Registry, state: &State, kind: ResourceKind) -> Vec<(Id, Resource)> {
    let mut all: Vec<_> = state
        .resources
        .iter()
        .filter(|(id, _)| id.kind == kind)
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    all.extend(not_served(state).filter(|(id, _)| id.kind == kind));
    if kind == ResourceKind::Stream {
        let orphans = registry.plane().undeclared().into_iter().map(orphan);
        all.extend(orphans.filter(|(id, _)| !state.left_out.contains_key(id)));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}
/// What is stored and does not check.
fn not_served(state: &State) -> impl Iterator<Item = (Id, Resource)> {
    let one = |id: &Id| Some((id.clone(), state.not_served(id)?.0));
    state.left_out.keys().filter_map(one)
}
fn orphan(name: Arc<str>) -> (Id, Resource) {
    let resource = Resource {
        document: json!({"kind": "stream", "name": &*name}),
        digest: 0,
        origin: Origin::Nobody,
    };
    (Id::new(ResourceKind::Stream, name), resource)
}
/// The document, with where it comes from and how it does.
fn whole(registry: &Registry, state: &State, id: &Id, resource: &Resource) -> Value {
    let mut out = resource.document.as_object().cloned().unwrap_or_default();
    out.insert("meta".to_owned(), resource.meta());
    let mut status = registry.plane().status(id);
    if id.kind == ResourceKind::Schema {
        status["version"] = registry.now().version_of(&id.name).into();
    }
    let expires = out.get("expires").and_then(Value::as_str).and_then(clock::parse_rfc3339);
    if expires.is_some_and(|expires| expires <= clock::now_us()) {
        status["state"] = "expired".into();
    }
    if let Some(why) = state.left_out.get(id) {
        status["state"] = "not_served".into();
        status["reason"] = why.as_str().into();
    }
    out.insert("status".to_owned(), status);
    Value::Object(out)
}
fn shown(registry: &Registry, state: &State, id: &Id) -> Result<(Resource, Value)> {
    let known = state.resources.get(id).cloned();
    let orphaned =
        || (id.kind == ResourceKind::Stream && registry.plane().undeclared().contains(&id.name)).then(|| orphan(id.name.clone()).1);
    let kept = || state.not_served(id).map(|(resource, _)| resource);
    let resource = known.or_else(kept).or_else(orphaned).ok_or_else(|| state.missing(id))?;
    let whole = whole(registry, state, id, &resource);
    Ok((resource, whole))
}
/// Fails if there is no such stream.
pub(super) fn stream(registry: &Registry, id: &Id) -> Result<()> {
    shown(registry, &registry.now(), id).map(drop)
}
fn read(registry: &Registry, state: &State, id: &Id) -> Result<Answer, Refused> {
    let (resource, whole) = shown(registry, state, id)?;
    Ok(Answer::json(&whole).header(header::ETAG, &etag(&resource)))
}
fn etag(resource: &Resource) -> String {
    format!("\"{}\"", resource.revision())
}
fn list(registry: &Registry, kind: ResourceKind, call: &Call<'_>) -> Result<Answer> {
    let limit = call.limit()?;
    let label = match call.query.get("label") {
        None => None,
        Some(text) => Some(
            text.split_once('=')
                .ok_or_else(|| bad_query("label", text, "a name and a text: `team=sales`"))?,
        ),
    };
    let prefix = call.query.get("name").map_or("", String::as_str);
    let labelled = |resource: &Resource| {
        label.is_none_or(|(key, value)| {
            let own = resource.document.get("labels").and_then(|labels| labels.get(key));
            own.is_some_and(|own| match own {
                Value::String(own) => own == value,
                other => *other.to_string() == *value,
            })
        })
    };
    let state = registry.now();
    let behind = |id: &Id| call.query.get("cursor").is_none_or(|cursor| *id.name > **cursor);
    let all = of_kind(registry, &state, kind);
    let mut some = all
        .iter()
        .filter(|(id, resource)| behind(id) && id.name.starts_with(prefix) && labelled(resource));
    let page: Vec<_> = some.by_ref().take(limit).collect();
    let items: Vec<_> = page.iter().map(|(id, resource)| whole(registry, &state, id, resource)).collect();
    let mut answer = json!({ "items": items });
    if let (Some((last, _)), Some(_)) = (page.last(), some.next()) {
        answer["next_cursor"] = (&*last.name).into();
    }
    Ok(Answer::json(&answer))
}
/// `If-Match` and `If-None-Match` (RFC 9110, section 13).
fn condition(headers: &HeaderMap) -> Result<When> {
    let one = |name: header::HeaderName| {
        let text = headers.get(&name).map(|value| value.to_str());
        text.transpose()
            .map_err(|_| Error::client(Code::BadHeader, format!("`{name}` is not ASCII")))
    };
    match (one(header::IF_MATCH)?, one(header::IF_NONE_MATCH)?) {
        (None, None) => Ok(When::Always),
        (Some("*"), None) => Ok(When::At(None)),
        (None, Some("*")) => Ok(When::Absent),
        (Some(tags), None) => {
            let tag = |tag: &str| {
                tag.trim()
                    .strip_prefix('"')
                    .and_then(|tag| tag.strip_suffix('"'))
                    .map(str::to_owned)
            };
            let tags = tags.split(',').map(tag).collect::<Option<_>>();
            let tags =
                tags.ok_or_else(|| Error::client(Code::BadHeader, "`If-Match` is malformed: expected `\"12\"`, as `ETag` says it"))?;
            Ok(When::At(Some(tags)))
        }
        _ => Err(Error::client(
            Code::BadHeader,
            "only `If-Match`, or `If-None-Match: *`, can be kept",
        )),
    }
}
fn wish(id: Id, what: What, when: When) -> Wish {
    Wish {
        id,
        what,
        when,
        at: String::new(),
    }
}
async fn change(registry: &Arc<Registry>, wishes: Vec<Wish>, call: &Call<'_>) -> Result<(Vec<Done>, Arc<State>), Refused> {
    let dry = call.is_set("dry_run")?;
    registry.change(wishes, call.author(), dry).await
}
fn told(done: &[Done], dry: bool) -> Answer {
    let changes: Vec<_> = done.iter().map(|done| done.told(dry)).collect();
    Answer::json(&json!({ "changes": changes }))
}
/// The document's own name; a document may leave its kind out where the path says it.
fn name(kind: ResourceKind, document: &Map<String, Value>) -> Result<String> {
    if let Some(word) = document.get("kind")
        && word.as_str().and_then(ResourceKind::of_word) != Some(kind)
    {
        return Err(Error::client(Code::UnknownKind, format!("`kind` is not `{kind}`")));
    }
    match document.get("name") {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(_) => Err(Error::client(Code::BadValue, "`name` is not a text")),
        None => Err(Error::client(Code::MissingKey, "`name` is missing")),
    }
}
/// What whoever makes something that is there already may have meant.
fn instead(kind: ResourceKind, name: &str) -> String {
    match kind {
        ResourceKind::User => format!("`tidegate user set {name}` changes it; so do `tidegate apply` and PUT"),
        // It was told once, to whoever made it.
        ResourceKind::Token => format!("take another name, or remove that one: `tidegate token rm {name}`"),
        _ => "`tidegate apply` changes what is there, and so does PUT".to_owned(),
    }
}
async fn create(registry: &Arc<Registry>, kind: ResourceKind, call: &Call<'_>) -> Result<Answer, Refused> {
    let mut document = call.body.object()?;
    let id = Id::new(kind, name(kind, &document)?);
    if registry.now().resources.contains_key(&id) {
        return Err(
            Error::client(Code::ResourceExists, format!("there is {} {kind} `{}`", article(kind), id.name))
                .with_hint(instead(kind, &id.name))
                .into(),
        );
    }
    // One that has ended may lie in a store and in files; nobody means to make one.
    let expires = document.get("expires").and_then(Value::as_str).and_then(clock::parse_rfc3339);
    if kind == ResourceKind::Token && expires.is_some_and(|expires| expires <= clock::now_us()) {
        let text = "`expires` is past: expected a time to come, such as `2099-01-01T00:00:00Z`";
        return Err(Error::client(Code::BadValue, text).into());
    }
    let mut made = None;
    if kind == ResourceKind::Token && !document.contains_key("sha256") {
        let (text, digest) = token::make()?;
        document.insert("sha256".to_owned(), token::hex(&digest).into());
        // An access key is shown as its bearer will show it.
        made = Some(match document.get("user").and_then(Value::as_str) {
            Some(user) if !registry.now().resources.contains_key(&Id::new(ResourceKind::User, user)) => {
                let text = format!("there is no user `{}`", user.escape_debug());
                return Err(Error::client(Code::NoSuchReference, text).into());
            }
            Some(_) => format!("{}:{text}", id.name),
            None => text,
        });
    }
    // An orphan's name may be taken: that adopts its messages.
    let when = if condition(call.headers)? == When::Always {
        When::Absent
    } else {
        condition(call.headers)?
    };
    let (done, state) = change(registry, vec![wish(id.clone(), What::Put(Value::Object(document)), when)], call).await?;
    if call.is_set("dry_run")? {
        return Ok(told(&done, true));
    }
    let (resource, mut whole) = shown(registry, &state, &id)?;
    if let Some(text) = made {
        whole["token"] = text.into();
    }
    let place = format!("/api/v1/{}/{}", kind.plural(), utf8_percent_encode(&id.name, NON_ALPHANUMERIC));
    Ok(Answer::json(&whole)
        .status(201)
        .header(header::ETAG, &etag(&resource))
        .header(header::LOCATION, &place)
        .header(CHANGE, "created"))
}
fn article(kind: ResourceKind) -> &'static str {
    if kind.word().starts_with(['a', 'e']) { "an" } else { "a" }
}
async fn replace(registry: &Arc<Registry>, kind: ResourceKind, call: &Call<'_>) -> Result<Answer, Refused> {
    let mut document = call.body.object()?;
    document.entry("name").or_insert_with(|| call.name.as_str().into());
    let id = call.id(kind);
    if name(kind, &document)? != *id.name {
        let text = format!("the document's `name` is not `{}`, as the path says", id.name.escape_debug());
        return Err(Error::client(Code::BadValue, text)
            .with_hint("resources are not renamed: make a new one and delete the old")
            .into());
    }
    let wish = wish(id.clone(), What::Put(Value::Object(document)), condition(call.headers)?);
    let (done, state) = change(registry, vec![wish], call).await?;
    if call.is_set("dry_run")? {
        return Ok(told(&done, true));
    }
    let word = done.first().map_or("unchanged", Done::word);
    let (resource, whole) = shown(registry, &state, &id)?;
    Ok(Answer::json(&whole)
        .status(if word == "created" { 201 } else { 200 })
        .header(header::ETAG, &etag(&resource))
        .header(CHANGE, word))
}
async fn delete(registry: &Arc<Registry>, kind: ResourceKind, call: &Call<'_>) -> Result<Answer, Refused> {
    let (done, _) = change(registry, vec![wish(call.id(kind), What::Delete, condition(call.headers)?)], call).await?;
    Ok(if call.is_set("dry_run")? {
        told(&done, true)
    } else {
        Answer::nothing()
    })
}
/// As it was read: at the revision in the document's `meta`, and not there where it has none.
fn as_read(document: &Value) -> When {
    match &document["meta"]["revision"] {
        Value::String(revision) => When::At(Some(vec![revision.clone()])),
        Value::Number(revision) => When::At(Some(vec![revision.to_string()])),
        _ => When::Absent,
    }
}
async fn apply(registry: &Arc<Registry>, call: &Call<'_>) -> Result<Answer, Refused> {
    let careful = call.is_set("if_match")?;
    let mut members = call.body.object()?;
    let Some(Value::Array(documents)) = members.remove("resources") else {
        return Err(Error::client(Code::MissingKey, "`resources` is missing: expected a list of documents").into());
    };
    // What an export says beside.
    members.remove("not_served");
    if let Some(other) = members.keys().next() {
        return Err(Error::client(Code::UnknownKey, format!("unknown key `{}`", other.escape_debug())).into());
    }
    let (mut wishes, mut errors, mut meant) = (Vec::new(), Vec::new(), Vec::new());
    for (i, document) in documents.into_iter().enumerate() {
        let at = format!("/resources/{i}");
        match identified(&document) {
            Ok(id) => {
                may(call.caller.as_ref(), id.kind)?;
                wishes.push(Wish {
                    id,
                    when: if careful { as_read(&document) } else { When::Always },
                    what: What::Put(document),
                    at,
                });
            }
            Err(error) => {
                meant.push(document["name"].as_str().map(|name| format!("`{name}`")));
                errors.push(json!({
                    "pointer": if error.code() == Code::UnknownKind { format!("{at}/kind") } else { at }, "code": error.code().to_string(), "detail": error.to_string(), "hint": error.hint(),
                }));
            }
        }
    }
    if !errors.is_empty() {
        errors.extend(wrong_besides(registry, wishes, &meant, call).await);
        return Err(Refused::wrong(errors));
    }
    let (done, _) = change(registry, wishes, call).await.map_err(|mut refused| {
        if careful && refused.error.code() == Code::Changed {
            refused.error = refused
                .error
                .with_hint("it is not as it was read: read it again with its revision, and change that");
        }
        refused
    })?;
    Ok(told(&done, call.is_set("dry_run")?))
}
/// What else is wrong, beside documents that are no resources. They may be what others miss: `meant` are their names.
async fn wrong_besides(registry: &Arc<Registry>, wishes: Vec<Wish>, meant: &[Option<String>], call: &Call<'_>) -> Vec<Value> {
    let missed = |told: &Value| {
        let detail = told["detail"].as_str().unwrap_or_default();
        let one_of_them = |name: &Option<String>| name.as_ref().is_none_or(|name| detail.contains(name));
        told["code"] == Code::NoSuchReference.to_string() && meant.iter().any(one_of_them)
    };
    let mut errors = match registry.change(wishes, call.author(), true).await {
        Ok(_) => Vec::new(),
        Err(refused) if refused.error.code() == Code::WrongResources => refused.errors,
        Err(_a_change_that_is_not_made) => Vec::new(),
    };
    errors.retain(|told| !missed(told));
    errors
}
/// Among others, a resource has to say what it is.
fn identified(document: &Value) -> Result<Id> {
    let members = document
        .as_object()
        .ok_or_else(|| Error::client(Code::BadValue, "a document is a JSON object"))?;
    let word = members.get("kind").and_then(Value::as_str);
    let word = word.ok_or_else(|| Error::client(Code::MissingKey, "`kind` is missing"))?;
    let kind = ResourceKind::of_word(word).ok_or_else(|| {
        let words: Vec<_> = ResourceKind::ALL.iter().map(|kind| format!("`{kind}`")).collect();
        let near = suggest(word, ResourceKind::ALL.iter().map(|kind| kind.word()));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        Error::client(Code::UnknownKind, format!("unknown kind `{}`", word.escape_debug()))
            .with_hint(format!("{near}kinds: {}", words.join(", ")))
    })?;
    Ok(Id::new(kind, name(kind, members)?))
}
fn may(caller: Option<&Caller>, kind: ResourceKind) -> Result<()> {
    let manage = caller.and_then(|caller| caller.manage);
    if manage.is_some_and(|manage| manage >= writes(kind)) {
        return Ok(());
    }
    Err(Error::client(
        Code::Forbidden,
        format!("to write {}s this needs `{}`", kind, writes(kind).as_str()),
    ))
}
/// Streams before the APIs that use them. Who may is left out unless it is asked for: tokens and passwords belong to their node. What is built in
/// is nobody's to carry elsewhere.
fn export(registry: &Registry, call: &Call<'_>) -> Result<Answer> {
    let all = call.is_set("all")?;
    let revisions = call.is_set("revisions")?;
    let state = registry.now();
    let shown = |id: &Id| all || writes(id.kind) != Manage::Admin;
    let served = state.resources.iter().map(|(id, resource)| (id.clone(), resource.clone()));
    let mut all: Vec<_> = served
        .chain(not_served(&state))
        .filter(|(id, resource)| shown(id) && !matches!(resource.origin, Origin::BuiltIn))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let resources: Vec<Value> = all
        .iter()
        .map(|(_, resource)| {
            let mut document = resource.document.clone();
            if revisions {
                document["meta"] = json!({ "revision": resource.revision() });
            }
            document
        })
        .collect();
    Ok(Answer::json(
        &json!({ "resources": resources, "not_served": problems(&state, shown) }),
    ))
}
/// Which of them are not served, and why.
fn problems(state: &State, shown: impl Fn(&Id) -> bool) -> Value {
    let of = state.left_out.iter().filter(|(id, _)| shown(id));
    of.map(|(id, why)| json!({"kind": id.kind.word(), "name": &*id.name, "detail": why}))
        .collect()
}
fn status(api: &Api, registry: &Registry) -> Value {
    let state = registry.now();
    let mut out = api.node.status();
    let count = |kind: ResourceKind| state.resources.keys().filter(|id| id.kind == kind).count();
    out["ready"] = match api.node.ready() {
        Ok(()) => true.into(),
        Err(why) => why.into(),
    };
    for kind in ResourceKind::ALL {
        out[kind.plural()] = count(*kind).into();
    }
    let connected = |id: &&Id| matches!(id.kind, ResourceKind::Endpoint | ResourceKind::Webhook);
    let connection = |id: &Id| {
        let mut status = registry.plane().status(id);
        status["kind"] = id.kind.word().into();
        status["name"] = (&*id.name).into();
        status
    };
    out["connections"] = state.resources.keys().filter(connected).map(connection).collect();
    out["revision"] = state.revision().to_string().into();
    out["restart_needed"] = json!(state.restart_needed);
    let is_kept = |name: &Arc<str>| state.left_out.contains_key(&Id::new(ResourceKind::Stream, name.clone()));
    let orphans = registry.plane().orphans().into_iter().filter(|name| !is_kept(name));
    out["orphans"] = orphans.map(|name| Value::from(&*name)).collect();
    out["problems"] = problems(&state, |_| true);
    out["last_reload"] = match &state.last_reload {
        Some((at, error)) => json!({"at": clock::rfc3339(*at), "error": error}),
        None => Value::Null,
    };
    out
}
async fn changes(registry: &Registry, call: &Call<'_>) -> Result<Answer, Refused> {
    let limit = call.limit()?;
    let before = match call.query.get("cursor") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| bad_query("cursor", text, "the `next_cursor` of the page before"))?,
        ),
    };
    let entries = registry.store().changes(before, limit as u32 + 1).await?;
    let item = |entry: &crate::store::Entry| {
        json!({
            "revision": entry.revision.to_string(), "at": clock::rfc3339(entry.at), "who": entry.author.who, "from": entry.author.from,
            "action": entry.action, "kind": entry.kind, "name": entry.name, "before": entry.before, "after": entry.after,
        })
    };
    let items: Vec<_> = entries.iter().take(limit).map(item).collect();
    let mut answer = json!({ "items": items });
    if let (Some(last), true) = (entries.get(limit - 1), entries.len() > limit) {
        answer["next_cursor"] = last.revision.to_string().into();
    }
    Ok(Answer::json(&answer))
}
