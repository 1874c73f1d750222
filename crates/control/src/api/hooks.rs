//! What webhooks did, and what they are to do at once.
use super::call::{Answer, Call, bad_query};
use crate::{
    hooks::{Place, Wanted, Which},
    registry::{Refused, Registry},
};
use serde_json::{Map, Value, json};
use std::{ops::RangeInclusive, sync::Arc};
use tidegate_config::{Id, ResourceKind};
use tidegate_core::{
    clock,
    error::{Code, Error, Result},
};

/// How an attempt can end.
pub(super) const OUTCOMES: &[&str] = &["delivered", "answered", "refused", "stopped", "failed", "abandoned"];
/// Of one replay.
const MOST: u64 = 1_000;

pub(super) async fn deliveries(registry: &Registry, call: &Call<'_>) -> Result<Answer, Refused> {
    let webhook = there(registry, call)?;
    let text = |name: &str| call.query.get(name).cloned();
    let number = |name: &'static str, expected: &str| {
        let parsed = text(name).map(|text| text.parse::<u64>().map_err(|_| bad_query(name, &text, expected)));
        parsed.transpose()
    };
    if let Some(other) = text("outcome").filter(|outcome| !OUTCOMES.contains(&outcome.as_str())) {
        return Err(bad_query("outcome", &other, &format!("one of {}", OUTCOMES.join(", "))).into());
    }
    let status = text("status").map(|text| {
        let expected = "a status from 100 to 599, or a class of them such as `5xx`";
        statuses(&text).ok_or_else(|| bad_query("status", &text, expected))
    });
    let time = |name: &'static str| {
        let parsed = text(name).map(|text| moment(&text).ok_or_else(|| bad_query(name, &text, "a time, or a duration such as `10m`")));
        parsed.transpose()
    };
    let wanted = Wanted {
        id: text("id"),
        outcome: text("outcome"),
        status: status.transpose()?,
        target: text("target"),
        since: time("since")?,
        until: time("until")?,
        before: number("cursor", "the `next_cursor` of the page before")?,
        limit: call.limit()?,
    };
    let found = registry.plane().hooks().deliveries(&webhook.name, &wanted).await?;
    let mut answer = json!({ "items": found.items });
    if let Some(next) = found.next {
        answer["next_cursor"] = next.to_string().into();
    }
    Ok(Answer::json(&answer))
}
pub(super) async fn test(registry: &Arc<Registry>, call: &Call<'_>) -> Result<Answer, Refused> {
    let webhook = there(registry, call)?;
    registry.tell(webhook.clone(), "test", call.author()).await?;
    Ok(Answer::json(&registry.plane().hooks().test(&webhook.name).await?))
}
pub(super) async fn replay(registry: &Arc<Registry>, call: &Call<'_>) -> Result<Answer, Refused> {
    let webhook = there(registry, call)?;
    let which = which(&call.body.object()?)?;
    registry.tell(webhook.clone(), "replay", call.author()).await?;
    Ok(Answer::json(&registry.plane().hooks().replay(&webhook.name, which).await?))
}
pub(super) async fn trace(registry: &Registry, call: &Call<'_>) -> Result<Answer, Refused> {
    let missing = || Error::client(Code::BadQuery, "`id` is missing: expected the id or the position of a message");
    let id = call.query.get("id").filter(|id| !id.is_empty()).ok_or_else(missing)?;
    Ok(Answer::json(&registry.plane().hooks().trace(id).await?))
}
/// Fails if nobody declares it.
fn there(registry: &Registry, call: &Call<'_>) -> Result<Id> {
    let id = call.id(ResourceKind::Webhook);
    let state = registry.now();
    if state.resources.contains_key(&id) {
        return Ok(id);
    }
    Err(state.missing(&id))
}
/// `503`, or all that begin like `5xx`.
fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let statuses = match text.strip_suffix("xx") {
        Some(class) => class
            .parse::<u16>()
            .ok()
            .filter(|class| *class < 10)
            .map(|class| class * 100..=class * 100 + 99)?,
        None => text.parse().map(|status| status..=status).ok()?,
    };
    (100..600).contains(statuses.start()).then_some(statuses)
}
/// A time, or how long ago.
fn moment(text: &str) -> Option<i64> {
    if let Some(ago) = clock::parse_duration(text) {
        return Some(clock::now_us().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)));
    }
    clock::parse_rfc3339(text)
}
/// `{"last": 10}`, `{"id": "…"}`, `{"from": "…", "to": "…"}`.
fn which(members: &Map<String, Value>) -> Result<Which> {
    let wrong = |text: String| Error::client(Code::BadValue, text);
    let place = |name: &str| {
        let Some(value) = members.get(name) else { return Ok(None) };
        let text = value.as_str().unwrap_or_default();
        let place = text.parse().map(Place::At).ok().or_else(|| moment(text).map(Place::Time));
        let place = place.ok_or_else(|| wrong(format!("`{name}` is neither a position nor a time nor a duration such as `10m`")))?;
        Ok(Some(place))
    };
    if let Some(other) = members.keys().find(|key| !["last", "id", "from", "to"].contains(&key.as_str())) {
        return Err(Error::client(Code::UnknownKey, format!("unknown key `{}`", other.escape_debug())));
    }
    let keys: Vec<_> = members.keys().map(String::as_str).collect();
    match keys.as_slice() {
        ["last"] => {
            let last = members.get("last").and_then(Value::as_u64).filter(|last| (1..=MOST).contains(last));
            let last = last.ok_or_else(|| wrong(format!("`last` is not a number from 1 to {MOST}")))?;
            Ok(Which::Last(last as usize))
        }
        ["id"] => {
            let id = members.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
            Ok(Which::Id(id.ok_or_else(|| wrong("`id` is not a text".to_owned()))?.to_owned()))
        }
        ["from"] | ["from", "to"] | ["to", "from"] => {
            let missing = || wrong("`from` is missing".to_owned());
            let (from, to) = (place("from")?.ok_or_else(missing)?, place("to")?);
            let backwards = match (&from, &to) {
                (Place::At(from), Some(Place::At(to))) => {
                    (from.source, from.partition) == (to.source, to.partition) && to.offset < from.offset
                }
                (Place::Time(from), Some(Place::Time(to))) => to < from,
                _ => false,
            };
            if backwards {
                return Err(wrong("`to` lies before `from`".to_owned()));
            }
            Ok(Which::Range(from, to))
        }
        _ => Err(wrong("expected `last`, `id`, or `from` and maybe `to`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_sent_again_is_said_in_one_of_three_ways() {
        let read = |text: &str| match serde_json::from_str(text) {
            Ok(Value::Object(members)) => which(&members).map_err(|error| error.code()),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(r#"{"last":10}"#), Ok(Which::Last(10)));
        assert_eq!(read(r#"{"id":"a"}"#), Ok(Which::Id("a".to_owned())));
        let at = |text: &str| Place::At(text.parse().unwrap());
        assert_eq!(read(r#"{"from":"1.5","to":"1.9"}"#), Ok(Which::Range(at("1.5"), Some(at("1.9")))));
        assert_eq!(
            read(r#"{"from":"1970-01-01T00:00:01Z"}"#),
            Ok(Which::Range(Place::Time(1_000_000), None))
        );
        for bad in [
            "{}",
            r#"{"last":0}"#,
            r#"{"last":1001}"#,
            r#"{"last":"1"}"#,
            r#"{"id":7}"#,
            r#"{"id":""}"#,
            r#"{"to":"1.1"}"#,
            r#"{"from":"soon"}"#,
            r#"{"from":"1.5","to":"1.3"}"#,
            r#"{"from":"5m","to":"10m"}"#,
            r#"{"last":1,"id":"a"}"#,
        ] {
            assert_eq!(read(bad), Err(Code::BadValue), "{bad}");
        }
        assert_eq!(read(r#"{"first":1}"#), Err(Code::UnknownKey));
    }
}
