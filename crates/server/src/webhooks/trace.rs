//! The journey of a message: where it lies, where it lies as a dead letter, and every attempt to deliver it that the log still knows.
use super::GROUP;
use crate::{
    backwards::{Backwards, at},
    dead_letters::headers,
    deliveries::search,
};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};
use tidegate_control::hooks::Wanted;
use tidegate_core::{clock, error::Result, message::Message, position::Position};
use tidegate_endpoints::{
    http::spelled,
    local::{has_left, line_of},
};
use tidegate_log::{AGAIN, DEAD, Log, Stream, dead_letter};

/// Attempts that are told.
const ATTEMPTS: usize = 100;
/// Records of each partition that are looked at.
const LOOKED_AT: usize = 10_000;
/// Records that are looked at in all.
const IN_ALL: usize = 100_000;

/// By the id a sender gave it, by its `webhook-id`, or by its position.
pub(super) async fn trace(log: &Log, id: &str) -> Result<Value> {
    let wanted = Wanted {
        id: Some(id.to_owned()),
        limit: ATTEMPTS,
        ..Wanted::default()
    };
    let mut attempts = search(log, None, &wanted).await?.items;
    attempts.reverse();
    let mut places: Vec<Position> = id.parse().into_iter().collect();
    for message in attempts.iter().filter_map(|attempt| attempt["messages"].as_array()).flatten() {
        let own = message["position"].as_str().and_then(|text| text.parse().ok());
        let is = message["position"] == id || message["id"] == id || message["id"] == *spelled(id.as_bytes());
        places.extend(own.filter(|place| is && !places.contains(place)));
    }
    let took = attempts.iter().filter(|attempt| attempt["outcome"] == "delivered");
    let took: HashSet<_> = took.filter_map(|attempt| attempt["webhook"].as_str().map(str::to_owned)).collect();
    let mut found = Vec::new();
    for place in &places {
        if let Some(stream) = log.stream_by_number(place.source)
            && let Some(message) = at(log, &stream, *place).await?
        {
            found.push(shown(log, &stream, (*place, &message), &took));
        }
    }
    let mut looked_at = 0;
    let mut all = true;
    let own = |stream: &&Arc<Stream>| {
        let name = stream.name();
        !name.starts_with('$') || line_of(log, stream).is_some() || name.starts_with(AGAIN)
    };
    for stream in log.streams().iter().filter(own) {
        for partition in 0..stream.partitions() {
            let mut behind = Backwards::new(log, stream, partition, None).with_expired();
            let most = looked_at + LOOKED_AT;
            while !behind.is_over() && looked_at < most.min(IN_ALL) {
                for (position, message) in behind.step().await? {
                    looked_at += 1;
                    // What has left its line lies where it belongs.
                    let past = line_of(log, stream).is_some() && has_left(log, stream, position);
                    if !past && !places.contains(&position) && is(&message, id, &places) {
                        found.push(shown(log, stream, (position, &message), &took));
                    }
                }
            }
            all &= behind.is_over();
        }
    }
    found.sort_by(|a, b| a["time"].as_str().cmp(&b["time"].as_str()));
    // `whole`: every record of every stream was looked at.
    Ok(json!({"id": id, "places": found, "attempts": attempts, "whole": all}))
}
/// By its id, or as a dead letter by where it lay.
fn is(message: &Message, id: &str, places: &[Position]) -> bool {
    message.id.as_deref() == Some(id.as_bytes())
        || message
            .headers
            .get(dead_letter::POSITION)
            .and_then(|place| std::str::from_utf8(place).ok())
            .is_some_and(|place| place == id || place.parse().is_ok_and(|place| places.contains(&place)))
}
fn due(message: &Message) -> Option<i64> {
    message.timing.as_ref().and_then(|timing| timing.due)
}
/// `took`: the webhooks whose target took it.
fn shown(log: &Log, stream: &Arc<Stream>, (position, message): (Position, &Message), took: &HashSet<String>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut told = json!({
        "stream": stream.name(), "position": position.to_string(), "time": clock::rfc3339(message.at), "topic": &*message.topic,
        "bytes": message.payload.len(), "headers": headers(message),
    });
    if let Some(id) = &message.id {
        told["id"] = text(id).into();
    }
    if let Some(key) = &message.key {
        told["key"] = text(key).into();
    }
    let offset = u64::try_from(position.offset).unwrap_or(u64::MAX);
    let expires = message.timing.as_ref().and_then(|timing| timing.expires);
    let expired = expires.filter(|expires| *expires <= clock::now_us());
    let mut groups = serde_json::Map::new();
    for group in log.groups(stream) {
        let was_taken = || group.name().strip_prefix(GROUP).is_some_and(|webhook| took.contains(webhook));
        let word = match (group.is_done(position.partition, offset), expired) {
            (false, _) => "not done",
            (true, Some(_)) if !was_taken() => "done or expired",
            (true, _) => "done",
        };
        groups.insert(group.name().to_owned(), word.into());
    }
    // Of its own stream: sent again, or dropped.
    let handled = groups.remove(DEAD).is_some_and(|word| word != "not done");
    told["groups"] = groups.into();
    if let Some(expires) = expired {
        told["expired"] = clock::rfc3339(expires).into();
    }
    if let Some(to) = line_of(log, stream) {
        told["stream"] = to.into();
        told["due"] = due(message).map(clock::rfc3339).into();
    }
    let said = |name: &str| message.headers.get(name).map(text);
    if stream.name().starts_with(AGAIN) {
        told["again"] = json!({ "of": said(dead_letter::POSITION), "stream": said(dead_letter::STREAM) });
    } else if let Some(of) = said(dead_letter::POSITION) {
        told["dead_letter"] = json!({
            "of": of, "reason": said(dead_letter::REASON), "error": said(dead_letter::ERROR), "attempts": said(dead_letter::ATTEMPTS),
            "group": said(dead_letter::GROUP), "handled": handled,
        });
    }
    told
}
