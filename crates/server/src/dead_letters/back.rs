//! Dead letters from the newest to the oldest, over every stream they lie in: for whoever looks at what happened just now.
use super::{Head, Letter, Place};
use crate::backwards::{Backwards, Record};
use std::{
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};
use tidegate_core::{error::Result, message::Message};
use tidegate_log::{Group, Log, Stream};

/// Several partitions at once, the newest first.
pub(super) struct Back<'a> {
    parts: Vec<Part<'a>>,
    heads: BinaryHeap<Head>,
    /// Only older ones.
    before: Option<Place>,
    since: i64,
}
struct Part<'a> {
    group: &'a Arc<Group>,
    back: Backwards<'a>,
    /// The oldest that is there.
    first: u64,
    found: VecDeque<Record>,
    over: bool,
}
impl<'a> Back<'a> {
    /// Those before a place, and not before a time.
    pub(super) async fn new(log: &'a Log, groups: &'a [Arc<Group>], before: Option<Place>, since: i64) -> Result<Self> {
        let mut back = Self {
            parts: Vec::new(),
            heads: BinaryHeap::new(),
            before,
            since,
        };
        for group in groups {
            let stream = group.stream();
            for partition in 0..stream.partitions() {
                // Everything before it was sent again or dropped.
                let Some((first, _)) = log.scan(group, partition, i64::MIN).next().await? else {
                    continue;
                };
                let end = match before {
                    Some((time, _)) => Some(behind(log, stream, partition, time).await?),
                    None => None,
                };
                back.parts.push(Part {
                    group,
                    back: Backwards::new(log, stream, partition, end),
                    first: first.offset as u64,
                    found: VecDeque::new(),
                    over: false,
                });
                back.fill(back.parts.len() - 1).await?;
            }
        }
        Ok(back)
    }
    /// Those that were sent again or dropped too: who looks through them has to stop somewhere.
    pub(super) async fn next(&mut self) -> Result<Option<Letter>> {
        let Some(Head { scan, letter }) = self.heads.pop() else {
            return Ok(None);
        };
        self.fill(scan).await?;
        Ok(Some(letter))
    }
    async fn fill(&mut self, number: usize) -> Result<()> {
        let Some(part) = self.parts.get_mut(number) else { return Ok(()) };
        while !part.over {
            let Some((at, message)) = part.found.pop_front() else {
                if part.back.is_over() || part.back.end() <= part.first {
                    return Ok(());
                }
                part.found.extend(part.back.step().await?);
                continue;
            };
            if message.at < self.since {
                part.over = true;
            } else if self.before.is_none_or(|before| (message.at, at) < before) {
                let group = part.group.clone();
                let letter = Letter { group, at, message };
                self.heads.push(Head { scan: number, letter });
                return Ok(());
            }
        }
        Ok(())
    }
}
/// The first offset of a partition that may be later than that time.
async fn behind(log: &Log, stream: &Arc<Stream>, partition: u32, time: i64) -> Result<u64> {
    let (mut from, mut to) = stream.range(partition).unwrap_or_default();
    while from < to {
        let middle = from + (to - from) / 2;
        let later = |message: &Arc<Message>| message.at > time;
        // What cannot be read says nothing: then it begins too late rather than too early.
        match log.read(stream, partition, middle).await? {
            Some(message) if later(&message) => to = middle,
            Some(_) | None => from = middle + 1,
        }
    }
    Ok(from)
}
