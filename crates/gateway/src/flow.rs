//! The two flows of the gateway. Everything else is decoding before or encoding after.
use crate::{metrics::ApiMetrics, route::Route, target::Target};
use futures::FutureExt;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};
use tidegate_core::{
    delivery::Delivery,
    endpoint::{Consumer, ConsumerSpec, Group, GroupName, Limit, Publish, Start},
    error::{Code, Error, Fault, Result},
    exchange::Exchange,
    policy::Scope,
    receipt::{Kept, Level, Receipt},
    tasks,
};

/// How much one delivery carries, and how much may be unsettled.
pub const WINDOW: Limit = Limit {
    messages: 256,
    bytes: 256 << 10,
};

/// Once per request or connection.
pub async fn admit(route: &Route, x: &mut Exchange) -> Result<()> {
    for policy in &route.policies {
        policy.admit(x).run().await?;
    }
    Ok(())
}

/// Policies, then the producer. What decoding and policies refused never reaches it, and comes back in the receipt under its own number.
/// Dropped before it resolves: nothing was accepted.
pub async fn publish(route: &Route, x: &Exchange, publish: Publish) -> Result<Published> {
    let items = publish.batch.items();
    route.metrics.published.received(items);
    let mut counted = Counted {
        metrics: route.metrics.clone(),
        items: Some(items),
    };
    match send(route, x, publish).await {
        Ok(receipt) => Ok(Published {
            receipt: Some(receipt),
            counted,
        }),
        Err(error) => {
            counted.resolved(Err(&error));
            Err(error)
        }
    }
}
async fn send(route: &Route, x: &Exchange, mut publish: Publish) -> Result<Receipt> {
    for policy in &route.policies {
        policy.publish(x, &mut publish).run().await?;
    }
    let target = target(route.publish.as_ref())?;
    let refused = publish.batch.take_refused();
    let receipt = if publish.batch.is_empty() {
        Receipt::now(Ok(Kept::new(publish.level.unwrap_or(Level::Accepted))))
    } else {
        target.producer.send(publish).await?
    };
    Ok(receipt.with(refused))
}
/// A receipt that is counted whether or not anybody still waits for it.
#[must_use = "an answer before it resolved is a lie"]
pub struct Published {
    receipt: Option<Receipt>,
    counted: Counted,
}
impl Future for Published {
    type Output = Result<Kept>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = || Error::new(Code::Internal, Fault::Gateway, "the receipt was asked for twice");
        let Some(receipt) = &mut self.receipt else {
            return Poll::Ready(Err(gone()));
        };
        let kept = ready!(receipt.poll_unpin(cx));
        self.receipt = None;
        self.counted.resolved(kept.as_ref());
        Poll::Ready(kept)
    }
}
impl Drop for Published {
    fn drop(&mut self) {
        // The client left; what it sent may still be kept, and the balance wants to know.
        if let Some(receipt) = self.receipt.take() {
            let mut counted = Counted {
                metrics: self.counted.metrics.clone(),
                items: self.counted.items.take(),
            };
            tasks::detach(async move { counted.resolved(receipt.await.as_ref()) });
        }
    }
}
struct Counted {
    metrics: Arc<ApiMetrics>,
    items: Option<u32>,
}
impl Counted {
    fn resolved(&mut self, result: Result<&Kept, &Error>) {
        if let Some(items) = self.items.take() {
            self.metrics.published.resolved(items, result);
        }
    }
}
impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(items) = self.items {
            self.metrics.published.abandoned(items);
        }
    }
}

/// What a subscriber reads from, counted while it is open.
pub struct Upstream {
    consumer: Box<dyn Consumer>,
    _open: Counter,
}
impl std::ops::Deref for Upstream {
    type Target = dyn Consumer;
    fn deref(&self) -> &Self::Target {
        &*self.consumer
    }
}
impl std::ops::DerefMut for Upstream {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.consumer
    }
}
struct Counter(Arc<AtomicU64>);
impl Drop for Counter {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
/// Opens what a subscriber reads from.
pub async fn consume(route: &Route, rest: &str, start: Start) -> Result<Upstream> {
    open(route, rest, start, None, WINDOW).await
}
/// The same, as a member of a group; `window` is what it may have unsettled at once.
pub async fn join(route: &Route, rest: &str, start: Start, group: Group, window: Limit) -> Result<Upstream> {
    open(route, rest, start, Some(group), window).await
}
async fn open(route: &Route, rest: &str, start: Start, group: Option<Group>, window: Limit) -> Result<Upstream> {
    let target = target(route.subscribe.as_ref())?;
    let spec = ConsumerSpec {
        topics: target.filters(rest)?,
        start,
        group,
        window,
    };
    let consumer = target.endpoint.consumer(spec).await?;
    route.metrics.upstream.fetch_add(1, Ordering::Relaxed);
    Ok(Upstream {
        consumer,
        _open: Counter(route.metrics.upstream.clone()),
    })
}
/// Policies on the way to a client, or to a feed, which shows them nobody.
pub async fn deliver(route: &Route, x: &Exchange, delivery: &mut Delivery) -> Result<()> {
    for policy in &route.policies {
        policy.deliver(x, delivery).run().await?;
    }
    Ok(())
}
/// Whether one upstream may serve all who read the same.
pub fn is_broadcast(route: &Route) -> bool {
    let shared = |target: &Target| target.endpoint.capabilities().shared;
    route.subscribe.as_ref().is_some_and(shared) && route.policies.iter().all(|policy| policy.deliver_scope() == Scope::Shared)
}
/// How a group of an api's clients is called within its endpoint: nobody can name one of another api, or of the gateway. The rest of a path
/// belongs to it where it decides what is read.
pub fn group(route: &Route, rest: &str, wish: &GroupName) -> Group {
    let api = &route.name;
    let rest = route.subscribe.as_ref().map_or(rest, |target| target.chosen_by(rest));
    let name = if rest.is_empty() {
        format!("{api}/-/{}", wish.as_str())
    } else {
        format!("{api}/-/{}/{rest}", wish.as_str())
    };
    Group::new(GroupName::internal("api", &name))
}
pub(crate) fn target(side: Option<&Target>) -> Result<&Target> {
    side.ok_or_else(|| Error::client(Code::MethodNotAllowed, "this api has no such side"))
}
