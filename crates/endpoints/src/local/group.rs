//! Reads a stream as one of a group: every message is somebody's duty until it is settled. What was given up and is sent again comes in turns
//! with the stream's own.
use super::again::Second;
use futures::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use std::pin::pin;
use tidegate_core::{
    clock,
    delivery::Delivery,
    endpoint::{Consumer, Limit},
    error::Result,
    filter::Filter,
    position::Position,
};
use tidegate_log::Member;
use tokio::time::{Duration, sleep};

/// How often a message is delivered if whoever made the group did not say.
pub(super) const DELIVERIES: u32 = 10;

pub(super) struct FromGroup {
    member: Member,
    again: Second,
    /// What is sent again was last.
    own_next: bool,
    /// What else the stream holds is settled as done; empty: all is wanted.
    filters: Vec<Filter>,
    draining: bool,
}
impl FromGroup {
    pub(super) fn new(member: Member, again: Second, filters: Vec<Filter>) -> Self {
        Self {
            member,
            again,
            own_next: false,
            filters,
            draining: false,
        }
    }
    async fn wanted(&mut self, limit: Limit) -> Result<Option<Delivery>> {
        let own_first = std::mem::take(&mut self.own_next);
        if own_first && let Some(delivery) = self.own(limit).await? {
            return Ok(Some(self.told(delivery)));
        }
        if let Some(delivery) = self.again.ready(limit).await? {
            self.own_next = true;
            return Ok(Some(self.told(delivery)));
        }
        if own_first {
            return Ok(None);
        }
        let own = self.own(limit).await?;
        Ok(own.map(|delivery| self.told(delivery)))
    }
    async fn own(&mut self, limit: Limit) -> Result<Option<Delivery>> {
        while let Some(mut delivery) = self.member.ready(limit).await? {
            if !self.filters.is_empty() {
                delivery.retain(|received| self.filters.iter().any(|filter| filter.matches(&received.message.topic)));
            }
            if !delivery.items().is_empty() || delivery.gap().is_some() {
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }
    fn told(&self, delivery: Delivery) -> Delivery {
        let all_back = self.has_all_back();
        delivery.with_all_back(all_back)
    }
}
impl Consumer for FromGroup {
    fn next(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move {
            let group = self.member.group().clone();
            let house = self.again.house().clone();
            loop {
                if self.draining {
                    return Ok(None);
                }
                // Before looking: what becomes ready in between must wake us.
                let changed = group.changed();
                let mut made = pin!(house.again.made());
                made.as_mut().enable();
                let again = self.again.group();
                let more = again.as_ref().map(|again| again.changed());
                if let Some(delivery) = self.wanted(limit).await? {
                    return Ok(Some(delivery));
                }
                if self.member.is_over() {
                    return Ok(None);
                }
                // With a full window only a settlement helps.
                let own = group.next_due().filter(|_| self.member.has_room());
                let due = own.into_iter().chain(self.again.next_due()).min();
                let wait = due.map(|due| Duration::from_micros(due.saturating_sub(clock::now_us()).max(0) as u64));
                tokio::select! {
                    () = changed => {}
                    () = made => {}
                    () = OptionFuture::from(more).map(drop), if again.is_some() => {}
                    // A clock that was set back must not make it wait for ever.
                    () = sleep(wait.unwrap_or(LONGEST).min(LONGEST)) => {}
                }
            }
        })
    }
    fn ready(&mut self, limit: Limit) -> BoxFuture<'_, Result<Option<Delivery>>> {
        Box::pin(async move { if self.draining { Ok(None) } else { self.wanted(limit).await } })
    }
    fn drain(&mut self) {
        self.draining = true;
    }
    fn recall(&mut self, positions: &[Position]) {
        let others = self.member.recall(positions);
        self.again.recall(&others);
    }
    fn has_all_back(&self) -> bool {
        let now = clock::now_us();
        !self.member.group().has_due(now) && !self.again.has_due(now)
    }
}
/// How long it waits without looking.
const LONGEST: Duration = Duration::from_mins(1);
