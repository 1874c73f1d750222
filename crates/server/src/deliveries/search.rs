//! The delivery log, newest first. However much it holds, a call looks at a bounded part of it, and says where the next one goes on.
use super::DELIVERIES;
use crate::backwards::Backwards;
use serde_json::Value;
use tidegate_control::hooks::{Attempts, Wanted};
use tidegate_core::error::Result;
use tidegate_endpoints::http::spelled;
use tidegate_log::Log;

/// Attempts a call looks at.
const LOOKED_AT: usize = 10_000;
/// Bytes it answers, a little more or less.
const ANSWERED: usize = 8 << 20;

/// Of one webhook, or of all.
pub(crate) async fn search(log: &Log, webhook: Option<&str>, wanted: &Wanted) -> Result<Attempts> {
    let mut found = Attempts::default();
    let Some(stream) = log.stream(DELIVERIES) else { return Ok(found) };
    let mut behind = Backwards::new(log, &stream, 0, wanted.before);
    let (mut looked_at, mut bytes) = (0, 0);
    while !behind.is_over() {
        for (position, message) in behind.step().await? {
            looked_at += 1;
            // What was written before it began is older still.
            if wanted.since.is_some_and(|since| message.at < since) {
                return Ok(found);
            }
            if wanted.until.is_some_and(|until| message.at >= until) {
                continue;
            }
            if webhook.is_some_and(|webhook| *message.topic != *webhook) {
                continue;
            }
            let Ok(attempt) = serde_json::from_slice::<Value>(&message.payload) else {
                continue;
            };
            if fits(&attempt, wanted) {
                bytes += message.payload.len();
                found.items.push(attempt);
                if found.items.len() >= wanted.limit || bytes >= ANSWERED {
                    found.next = u64::try_from(position.offset).ok();
                    return Ok(found);
                }
            }
        }
        if looked_at >= LOOKED_AT {
            found.next = (!behind.is_over()).then_some(behind.end());
            return Ok(found);
        }
    }
    Ok(found)
}
fn fits(attempt: &Value, wanted: &Wanted) -> bool {
    let is = |member: &str, text: &Option<String>| text.as_ref().is_none_or(|text| attempt[member] == **text);
    is("outcome", &wanted.outcome)
        && wanted.status.as_ref().is_none_or(|wanted| {
            let status = attempt["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            status.is_some_and(|status| wanted.contains(&status))
        })
        && wanted.id.as_ref().is_none_or(|id| concerns(attempt, id))
        && wanted.target.as_ref().is_none_or(|target| {
            let url = attempt["request"]["url"].as_str().unwrap_or_default();
            url.contains(&**target)
        })
}
/// Whether it sent the message of this id, as `webhook-id` says it, or of this position.
fn concerns(attempt: &Value, id: &str) -> bool {
    let mut messages = attempt["messages"].as_array().into_iter().flatten();
    // Of a batch, beside those of its messages.
    attempt["request"]["headers"]["webhook-id"] == id || messages.any(|message| is_message(message, id))
}
/// Whether it is the message of this id, as its sender or as `webhook-id` says it, or of this position.
pub(crate) fn is_message(message: &Value, id: &str) -> bool {
    message["id"] == id || message["id"] == *spelled(id.as_bytes()) || message["position"] == id
}
