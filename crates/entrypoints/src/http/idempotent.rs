//! `Idempotency-Key`: who sends another payload under a key that was used is told so, whatever became of the first one.
use bytes::Bytes;
use tidegate_core::{
    endpoint::Producer,
    error::{Code, Error, Result},
    receipt::Kept,
};

/// Looks up the first message of every duplicate; those with another payload, and those that cannot be compared any more, fail.
pub(super) async fn compare(producer: &dyn Producer, kept: &mut Kept, sent: &[(u32, Bytes)]) -> Result<()> {
    let items = sent.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
    let mut refused = Vec::new();
    for verdict in kept.verdicts(items).iter().filter(|verdict| verdict.duplicate) {
        let Ok(positions) = &verdict.result else { continue };
        let Some((_, payload)) = sent.iter().find(|(number, _)| *number == verdict.item) else {
            continue;
        };
        let mut first = None;
        for position in positions.iter().copied().chain(kept.waits_at(verdict.item)) {
            first = producer.kept(position).await?;
            if first.is_some() {
                break;
            }
        }
        let why = match first {
            Some(first) if first == *payload => continue,
            // What it became when it was kept.
            Some(first) if kept.converted.iter().any(|(item, is)| *item == verdict.item && first == *is) => continue,
            Some(_) => "the first message under this key has another payload",
            None => "the first message under this key has left its stream, so this one cannot be compared with it",
        };
        let error = Error::client(Code::IdempotencyMismatch, why).with_hint("use a new `Idempotency-Key` for a new message");
        refused.push((verdict.item, error));
    }
    for (item, error) in refused {
        kept.duplicates.retain(|duplicate| *duplicate != item);
        kept.failed.push((item, error));
    }
    kept.failed.sort_by_key(|(item, _)| *item);
    Ok(())
}
