//! Looks through what a group is not done with, up to where that ended when it began: for questions, not for following.
use crate::{Group, Log, reader::Reader, stream::Stream};
use std::{collections::VecDeque, sync::Arc};
use tidegate_core::{
    endpoint::{Limit, Start},
    error::Result,
    message::Message,
    position::Position,
};

/// Read at a time.
const PAGE: Limit = Limit {
    messages: 256,
    bytes: 256 << 10,
};

/// One partition. What comes while it looks is not seen, so that it ends.
pub struct Scan {
    reader: Reader,
    group: Arc<Group>,
    partition: u32,
    next: u64,
    end: u64,
    since: i64,
    found: VecDeque<(Position, Arc<Message>)>,
}
impl Log {
    /// What `group` is not done with in one partition, from an append time on.
    pub fn scan(&self, group: &Arc<Group>, partition: u32, since: i64) -> Scan {
        let stream = group.stream();
        let (next, end) = stream.partition(partition).map_or((0, 0), |home| {
            let places = home.places();
            (places.since(since), places.end)
        });
        Scan {
            reader: Reader::new(self.shared.clone(), stream.clone(), Start::Earliest),
            group: group.clone(),
            partition,
            next,
            end,
            since,
            found: VecDeque::new(),
        }
    }
    /// One message; `None`: it is not there, or not any more.
    pub async fn read(&self, stream: &Arc<Stream>, partition: u32, offset: u64) -> Result<Option<Arc<Message>>> {
        if stream.partition(partition).is_none_or(|home| offset >= home.range().1) {
            return Ok(None);
        }
        let mut reader = Reader::new(self.shared.clone(), stream.clone(), Start::Earliest);
        let part = reader.part(partition as usize, offset..offset + 1, PAGE).await?;
        Ok(part.items.into_iter().next().map(|(_, message)| message))
    }
}
impl Scan {
    /// The next one; `None`: that was all. Waits for the disk only. An error leaves it where it was.
    pub async fn next(&mut self) -> Result<Option<(Position, Arc<Message>)>> {
        loop {
            while let Some((position, message)) = self.found.pop_front() {
                if message.at >= self.since && !self.group.is_done(self.partition, position.offset as u64) {
                    return Ok(Some((position, message)));
                }
            }
            let from = self.group.undone(self.partition, self.next);
            if from >= self.end {
                return Ok(None);
            }
            let part = self.reader.part(self.partition as usize, from..self.end, PAGE).await?;
            if part.to <= from {
                return Ok(None);
            }
            self.next = part.to;
            self.found.extend(part.items);
        }
    }
}
