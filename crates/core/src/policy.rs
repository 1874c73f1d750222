//! A step in a route. Synchronous ones answer `Done` and allocate nothing; only those that do I/O box a future.
use crate::{delivery::Delivery, endpoint::Publish, error::Result, exchange::Exchange};
use futures::future::BoxFuture;

/// The answer of a policy: there already, or still to come.
pub enum Step<'a> {
    /// There: `Ok` goes on, `Err` refuses.
    Done(Result<()>),
    /// Still to come, because it needs I/O. Dropped with the request that waits for it, so it must be cancel-safe.
    Wait(BoxFuture<'a, Result<()>>),
}
impl Step<'_> {
    /// Goes on.
    pub const NEXT: Self = Self::Done(Ok(()));

    /// Runs whichever it is. Cancel-safe as far as the policy is.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Done(result) => result,
            Self::Wait(future) => future.await,
        }
    }
}
/// Whom a delivery policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `deliver` looks at route and message only: run once for everybody.
    Shared,
    /// `deliver` looks at the caller too: run for each, which rules out a shared feed.
    PerClient,
}
/// One step of a route. Shared by all its requests at once.
pub trait Policy: Send + Sync {
    /// The word a configuration writes.
    fn name(&self) -> &'static str;
    /// Once per request or connection: identify, authorise, count.
    fn admit<'a>(&'a self, _x: &'a mut Exchange) -> Step<'a> {
        Step::NEXT
    }
    /// Client to broker. `Err` refuses all; `Batch::check` refuses items, the others go on.
    fn publish<'a>(&'a self, _x: &'a Exchange, _publish: &'a mut Publish) -> Step<'a> {
        Step::NEXT
    }
    /// Broker to client. `Delivery::retain` filters.
    fn deliver<'a>(&'a self, _x: &'a Exchange, _delivery: &'a mut Delivery) -> Step<'a> {
        Step::NEXT
    }
    /// Whether `deliver` may run once for everybody. The careful answer is the default.
    fn deliver_scope(&self) -> Scope {
        Scope::PerClient
    }
}
