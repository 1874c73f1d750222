//! A step in a route. Synchronous ones answer `Done` and allocate nothing; only those that do I/O box a future.
use crate::{delivery::Delivery, endpoint::Publish, error::Result, exchange::Exchange};
use futures::future::BoxFuture;

pub enum Step<'a> {
    Done(Result<()>),
    Wait(BoxFuture<'a, Result<()>>),
}
impl Step<'_> {
    pub const NEXT: Self = Self::Done(Ok(()));

    /// Runs whichever it is.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Done(result) => result,
            Self::Wait(future) => future.await,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `deliver` looks at route and message only: run once for everybody.
    Shared,
    PerClient,
}
pub trait Policy: Send + Sync {
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
    fn deliver_scope(&self) -> Scope {
        Scope::PerClient
    }
}
