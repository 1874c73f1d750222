//! What the management API does with dead letters.
use super::call::{Answer, Call, bad_query, nobody};
use crate::{
    dead_letters::{Before, Deed, Handled, Wanted, Which, missing},
    registry::{Refused, Registry},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tidegate_config::{Id, Manage, ResourceKind};
use tidegate_core::{
    error::{Code, Error, Result},
    position::Position,
    topic::Topic,
};

/// What is asked about dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Read,
    Replay,
    ReplayAll,
    Drop,
    DropAll,
}

pub(super) async fn act(registry: &Arc<Registry>, ask: Ask, call: &Call<'_>) -> Result<Answer, Refused> {
    let letters = registry.plane().dead_letters();
    match ask {
        Ask::List => {
            let (wanted, before) = (wanted(call)?, before(call)?);
            let page = letters.list(&wanted, before, call.limit()?).await?;
            if page.items.is_empty() && before.is_none() {
                is_there(registry, &wanted)?;
            }
            let mut answer = json!({ "items": page.items });
            if let Some(next) = page.next {
                answer["next_cursor"] = next.into();
            }
            Ok(Answer::json(&answer))
        }
        Ask::Read => Ok(Answer::json(&letters.read(place(call)?).await?)),
        Ask::Replay => {
            let mut members = if call.body.is_empty() { Map::new() } else { call.body.object()? };
            let to = to(members.remove("to"))?;
            none_left(&members)?;
            one(registry, place(call)?, Deed::Replay(to), call).await
        }
        Ask::ReplayAll => {
            let mut members = call.body.object()?;
            let Some(Value::Object(filter)) = members.remove("filter") else {
                let error = Error::client(
                    Code::MissingKey,
                    "`filter` is missing: expected an object, empty for all dead letters",
                );
                return Err(error.into());
            };
            let to = to(members.remove("to"))?;
            let count_only = match members.remove("count_only") {
                None => false,
                Some(Value::Bool(only)) => only,
                Some(_) => return Err(Error::client(Code::BadValue, "`count_only` is neither `true` nor `false`").into()),
            };
            none_left(&members)?;
            let wanted = in_body(&filter)?;
            let which = Which::All(Box::new(wanted.clone()));
            if count_only {
                let count = letters.count(&which).await?;
                if count == 0 {
                    is_there(registry, &wanted)?;
                }
                return Ok(Answer::json(&json!({ "count": count })));
            }
            let caller = call.caller.as_ref().ok_or_else(|| nobody("this needs a token"))?;
            if caller.manage.is_none_or(|manage| manage < Manage::Operator) {
                let text = format!("this needs `{}`; without it they can only be counted", Manage::Operator.as_str());
                return Err(Error::client(Code::Forbidden, text)
                    .with_hint("`\"count_only\": true` counts")
                    .into());
            }
            many(registry, wanted, Deed::Replay(to), call).await
        }
        Ask::Drop => {
            let at = place(call)?;
            one(registry, at, Deed::Drop, call).await
        }
        Ask::DropAll => {
            let wanted = wanted(call)?;
            if wanted.is_all() != call.is_set("all")? {
                let text = if wanted.is_all() {
                    "this says not which ones: expected a filter, or `all=true` for all of them"
                } else {
                    "say which ones, or `all=true`, not both"
                };
                let error = Error::client(Code::BadQuery, text);
                return Err(error
                    .with_hint(format!("by {}", Wanted::NAMES.map(|name| format!("`{name}`")).join(", ")))
                    .into());
            }
            many(registry, wanted, Deed::Drop, call).await
        }
    }
}
/// Where nothing is found: a stream of that name might be a slip. What was given up of one that is gone is found, and then nobody asks.
fn is_there(registry: &Registry, wanted: &Wanted) -> Result<()> {
    let Some(name) = wanted.stream.as_deref().filter(|name| !name.starts_with('$')) else {
        return Ok(());
    };
    let (now, id) = (registry.now(), Id::new(ResourceKind::Stream, name));
    let known = now.resources.contains_key(&id) || now.left_out.contains_key(&id);
    if known || registry.plane().undeclared().iter().any(|there| **there == *name) {
        return Ok(());
    }
    Err(now.missing(&id))
}
async fn one(registry: &Arc<Registry>, at: Position, deed: Deed, call: &Call<'_>) -> Result<Answer, Refused> {
    let word = done(&deed);
    let handled = registry.dead_letters(Which::One(at), deed, call.author()).await?;
    if let Some((_, error)) = handled.problems.into_iter().next() {
        return Err(error.into());
    }
    // Somebody else was quicker.
    if handled.done == 0 {
        return Err(missing(at).into());
    }
    Ok(Answer::json(&json!({ word: 1, "id": at.to_string() })))
}
async fn many(registry: &Arc<Registry>, wanted: Wanted, deed: Deed, call: &Call<'_>) -> Result<Answer, Refused> {
    let word = done(&deed);
    let which = Which::All(Box::new(wanted.clone()));
    let Handled { done, failed, problems } = registry.dead_letters(which, deed, call.author()).await?;
    if done == 0 && failed == 0 {
        is_there(registry, &wanted)?;
    }
    let problems: Vec<_> = problems
        .iter()
        .map(|(at, error)| json!({ "id": at.to_string(), "code": error.code().to_string(), "detail": error.to_string(), "hint": error.hint() }))
        .collect();
    Ok(Answer::json(&json!({ word: done, "failed": failed, "problems": problems })))
}
fn done(deed: &Deed) -> &'static str {
    match deed {
        Deed::Replay(_) => "replayed",
        Deed::Drop => "dropped",
    }
}
fn before<'c>(call: &'c Call<'_>) -> Result<Option<Before<'c>>> {
    let said = |name: &str| call.query.get(name).map(String::as_str).filter(|text| !text.is_empty());
    match (said("cursor"), said("before")) {
        (Some(_), Some(_)) => {
            Err(Error::client(Code::BadQuery, "`cursor` and `before` both say where to begin").with_hint("keep one of them"))
        }
        (Some(cursor), None) => Ok(Some(Before::Cursor(cursor))),
        (None, Some(id)) => id_of(id).map(|at| Some(Before::Letter(at))),
        (None, None) => Ok(None),
    }
}
fn place(call: &Call<'_>) -> Result<Position> {
    id_of(&call.name)
}
fn id_of(text: &str) -> Result<Position> {
    let at: Option<Position> = text.parse().ok();
    at.filter(|at| at.source != 0).ok_or_else(|| {
        let short: String = text.chars().take(60).collect();
        Error::client(Code::BadCursor, format!("`{}` is no dead letter", short.escape_debug()))
            .with_hint("its `id` in the list has the form `7.100`")
    })
}
fn wanted(call: &Call<'_>) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    for (name, text) in &call.query {
        if let Some(Err(expected)) = wanted.put(name, text) {
            return Err(bad_query(name, text, expected));
        }
    }
    Ok(wanted)
}
fn in_body(filter: &Map<String, Value>) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    for (name, value) in filter {
        if !Wanted::NAMES.contains(&name.as_str()) {
            let names = Wanted::NAMES.map(|name| format!("`{name}`")).join(", ");
            return Err(unknown(name).with_hint(format!("known here: {names}")));
        }
        let wrong = |expected: &str| Error::client(Code::BadValue, format!("`{}` is not {expected}", name.escape_debug()));
        let text = value.as_str().ok_or_else(|| wrong("a text"))?;
        if let Some(Err(expected)) = wanted.put(name, text) {
            return Err(wrong(expected));
        }
    }
    Ok(wanted)
}
/// A topic a client could publish to.
fn to(value: Option<Value>) -> Result<Option<Topic>> {
    let Some(value) = value else { return Ok(None) };
    let bad = |why: &'static str| Error::client(Code::BadTopic, format!("`to` is {why}"));
    let Value::String(text) = value else {
        return Err(bad("no text"));
    };
    if text.len() > 1_024 || text.contains(['#', '+']) || text.chars().any(char::is_control) {
        return Err(bad("no topic: no wildcards, no control characters, at most 1024 bytes"));
    }
    if text.starts_with('$') {
        return Err(bad("a name of our own"));
    }
    Topic::new(Bytes::from(text)).map(Some).ok_or_else(|| bad("empty"))
}
fn none_left(members: &Map<String, Value>) -> Result<()> {
    members.keys().next().map_or(Ok(()), |name| Err(unknown(name)))
}
fn unknown(name: &str) -> Error {
    Error::client(Code::UnknownKey, format!("unknown key `{}`", name.escape_debug()))
}
