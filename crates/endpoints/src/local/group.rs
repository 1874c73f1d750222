//! Reads a stream as one of a group: every message is somebody's duty until it is settled. What was given up and is sent again comes first.
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
};
use tidegate_log::Member;
use tokio::time::{Duration, sleep};

/// How often a message is delivered if whoever made the group did not say.
pub(super) const DELIVERIES: u32 = 10;

pub(super) struct FromGroup {
    member: Member,
    again: Second,
    /// What else the stream holds is settled as done; empty: all is wanted.
    filters: Vec<Filter>,
    draining: bool,
}
impl FromGroup {
    pub(super) fn new(member: Member, again: Second, filters: Vec<Filter>) -> Self {
        Self {
            member,
            again,
            filters,
            draining: false,
        }
    }
    async fn wanted(&mut self, limit: Limit) -> Result<Option<Delivery>> {
        if let Some(delivery) = self.again.ready(limit).await? {
            return Ok(Some(delivery));
        }
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
                let due = group
                    .next_due()
                    .into_iter()
                    .chain(again.as_ref().and_then(|again| again.next_due()))
                    .min();
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
}
/// How long it waits without looking.
const LONGEST: Duration = Duration::from_mins(1);
