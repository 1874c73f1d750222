//! A client of the subprotocol as a member of a group: each message comes with a lease, and as many may be unsettled as its credit says.
use super::told;
use crate::http::{
    items::{self, Parts},
    line::Line,
};
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt};
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    clock::Rfc3339,
    delivery::Delivery,
    endpoint::{AckMode, GroupName, Limit, Start},
    error::{Code, Error, Result},
    exchange::Exchange,
};
use tidegate_gateway::{
    flow::{self, Upstream},
    leases::{Duties, Leases, Owner, Settlement, Verdict},
    metrics::{Class, Offered, Present},
    route::Route,
};
use tidegate_wire::websocket::{Kind, frame};

/// More a client cannot have unsettled, whatever its credit.
pub(super) const MOST: u32 = 20_000;
/// Without a word about it.
const CREDIT: u32 = 100;
/// Where the api has no entrypoint `pull` that says it.
const LEASE: Duration = Duration::from_secs(30);
/// What is read and written at once.
const STEP: Limit = Limit {
    messages: 256,
    bytes: 64 << 10,
};
const WINDOW: Limit = Limit {
    messages: MOST,
    bytes: 64 << 20,
};

/// What was to be settled, and what became of it.
pub(super) type Settled = (Vec<Settlement<'static>>, Vec<Verdict>);

pub(super) struct Worker {
    pub(super) route: Arc<Route>,
    x: Exchange,
    parts: Parts,
    /// Good in this session only: with it, they go back.
    leases: Leases,
    lease_for: Duration,
    credit: u32,
    /// Read, and not handed out yet.
    pulled: Option<Delivery>,
    from: Upstream,
    class: Arc<Class>,
    _present: Present,
}
impl Worker {
    /// What is wrong with the wish is told here.
    pub(super) async fn open(route: Arc<Route>, rest: &str, x: Exchange, parts: Parts, wish: Join) -> Result<Self> {
        let can = route.subscribe.as_ref().map(|target| target.endpoint.capabilities());
        if can.is_none_or(|can| !can.by_group || can.ack != AckMode::Individual) {
            return Err(Error::client(Code::BadFrame, "the backend of this api knows no groups").with_hint("put a stream in front of it"));
        }
        let credit = wish.credit.unwrap_or(CREDIT);
        if credit > MOST {
            return Err(too_much());
        }
        let group = flow::group(&route, rest, &wish.group);
        let from = flow::join(&route, rest, wish.start, group, WINDOW).await?;
        let class = route.metrics.class("websocket");
        Ok(Self {
            x,
            parts,
            leases: Leases::new(MOST as usize)?,
            lease_for: route.api.pull.as_ref().map_or(LEASE, |pull| pull.lease_for),
            credit,
            pulled: None,
            from,
            _present: class.enter(),
            class,
            route,
        })
    }
    /// Waits for messages, as far as credit goes. `None`: the source has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, Offered)>> {
        loop {
            if let Some(delivery) = &mut self.pulled {
                flow::deliver(&self.route, &self.x, delivery).await?;
                if let Some(told) = self.pulled.take().and_then(|delivery| self.hand_out(delivery)) {
                    return Ok(Some(told));
                }
            }
            let out = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
            let limit = Limit {
                messages: self.credit.saturating_sub(out).min(STEP.messages),
                ..STEP
            };
            tokio::select! {
                _more_room = self.leases.expired() => {}
                next = self.from.next(limit), if limit.messages > 0 => match next? {
                    Some(delivery) => self.pulled = Some(delivery),
                    None => return Ok(None),
                },
            }
        }
    }
    fn hand_out(&self, delivery: Delivery) -> Option<(Bytes, Offered)> {
        let mut out = BytesMut::new();
        if let Some(gap) = delivery.gap() {
            told::gap(gap, &mut out);
            self.class.skip(gap.count());
        }
        let (mut items, ack) = delivery.into_parts();
        let mut duties = Duties::default();
        duties.take(&mut items, ack);
        let of = Owner {
            name: self.route.name.clone(),
            keeps: Arc::new(()),
        };
        let tokens = self.leases.park(duties, self.lease_for, &of);
        let mut clock = Rfc3339::default();
        for (item, lease) in items.iter().zip(tokens.iter()) {
            let mut text = b"{\"op\":\"message\"".to_vec();
            items::members(item, self.parts, &mut clock, &mut text);
            items::leased(&lease, item.attempt, &mut text);
            text.push(b'}');
            frame::head(Kind::Text, text.len(), &mut out);
            out.extend_from_slice(&text);
        }
        (!out.is_empty()).then(|| (out.freeze(), self.class.offer(tokens.len() as u64)))
    }
    /// Acts at once; tells when all is durable.
    pub(super) fn settle(&self, settlements: Vec<Settlement<'static>>) -> BoxFuture<'static, Result<Settled>> {
        let told = self.leases.settle(&self.route.name, &settlements);
        async move { Ok((settlements, told.await?)) }.boxed()
    }
    /// So many more may be unsettled.
    pub(super) fn grant(&mut self, n: u32) -> Result<()> {
        let credit = self.credit.checked_add(n).filter(|credit| *credit <= MOST);
        self.credit = credit.ok_or_else(too_much)?;
        Ok(())
    }
}
fn too_much() -> Error {
    Error::client(Code::BadFrame, format!("more than {MOST} of credit in a group"))
        .with_hint("so many may be unsettled at once: ask for less, and settle to see more")
}
/// What the member has to be told next, once the line has taken what was said before. Nothing where there is none. Cancel-safe.
pub(super) async fn step(worker: &mut Option<Worker>, line: &Line) -> Result<Option<(Bytes, Offered)>> {
    let Some(worker) = worker else {
        return std::future::pending().await;
    };
    line.idle().await;
    worker.next().await
}
/// What a member asks for.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) group: GroupName,
    /// Where the group begins, if nobody has been there before.
    pub(super) start: Start,
    pub(super) credit: Option<u32>,
}
