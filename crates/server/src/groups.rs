//! Groups of a stream as the management API shows them.
use serde_json::{Value, json};
use tidegate_core::{
    clock,
    error::{Code, Error, Result},
};
use tidegate_endpoints::local::again;
use tidegate_log::{Group, GroupStats, Log};

/// Whose groups these are, by how their names begin, and what that is called.
const KINDS: [(&str, &str); 3] = [("$api/", "pull"), ("$memphis/", "station"), ("$webhook/", "webhook")];

/// How it is doing, with what is sent to it again.
pub(crate) fn stats(log: &Log, group: &Group) -> GroupStats {
    let again = again(log, group).map(|again| again.stats());
    group.stats().and(again.unwrap_or_default())
}
/// One, with its numbers.
pub(crate) fn shown(log: &Log, group: &Group) -> Value {
    let stats = stats(log, group);
    let kind = KINDS
        .iter()
        .find(|(begin, _)| group.name().starts_with(begin))
        .map_or("other", |(_, kind)| *kind);
    json!({
        "name": group.name(), "kind": kind, "pending": stats.pending, "out": stats.out, "waiting": stats.waiting,
        "oldest": stats.oldest.map(clock::rfc3339),
        "since_start": { "done": stats.done, "dead": stats.dead, "expired": stats.expired, "missed": stats.missed },
    })
}
/// A webhook's place goes with the webhook, and nothing else.
pub(crate) fn deletable(group: &str) -> Result<()> {
    match group.strip_prefix("$webhook/") {
        Some(webhook) => {
            let text = format!("the group `{group}` is the place of the webhook `{webhook}`");
            Err(Error::client(Code::InUse, text).with_hint(format!("it goes with it: `tidegate webhook rm {webhook}`")))
        }
        None => Ok(()),
    }
}
