//! One call of the action, and whose its messages are meanwhile.
use super::{
    book::{self, Shared},
    breaker::Pass,
    lines::Load,
};
use futures::{StreamExt, stream::FuturesUnordered};
use std::{future::poll_fn, mem, sync::atomic::Ordering, task::Poll};
use tidegate_core::{action::BatchError, error::Result};
use tokio::time::Instant;

/// A call that has ended.
pub(super) struct Called {
    pub(super) load: Load,
    pub(super) result: Result<(), BatchError>,
    pub(super) pass: Pass,
    pub(super) began: Instant,
}
/// Dropped before its end, it gives its messages back.
pub(super) fn call(shared: &Shared, (load, pass): book::Load) -> impl Future<Output = Called> + Send {
    let mut carried = Carried {
        load,
        shared,
        begun: false,
    };
    async move {
        let _sent = shared.progress.began(carried.load.items.len());
        let began = Instant::now();
        carried.begun = true;
        let result = shared.to.perform(&carried.load.items).await;
        shared.progress.ended(began.elapsed());
        let load = mem::take(&mut carried.load);
        Called { load, result, pass, began }
    }
}
/// All calls that have ended, at least one: those that follow them then go out together, and their target has much to do at once. Pends while
/// none has. Cancel-safe.
pub(super) async fn ended(calls: &mut FuturesUnordered<impl Future<Output = Called>>, into: &mut Vec<Called>) {
    poll_fn(|cx| {
        while let Poll::Ready(Some(called)) = calls.poll_next_unpin(cx) {
            into.push(called);
        }
        if into.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}
/// The messages of a call, until it has ended.
struct Carried<'a> {
    load: Load,
    shared: &'a Shared,
    begun: bool,
}
impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if !self.begun || self.shared.stopped.load(Ordering::Relaxed) {
            self.load.hold(Instant::now());
        }
    }
}
