//! `GET path`: a page of messages, and where to go on.
use super::{
    accept::Format,
    body::Body,
    call::Call,
    flight::Berth,
    gravitee,
    items::{Page, Parts as Shown},
    problem::with_type,
    query::Query,
};
use http::{HeaderName, HeaderValue, Response, header, request::Parts};
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    delivery::Received,
    drain::Watch,
    endpoint::{Consumer, Limit, Start},
    error::{Code, Error, Result},
    position::{Cursor, Gap},
};
use tidegate_gateway::{
    flow,
    route::Route,
    settings::{Answer, Backend, Compatibility, HttpGet, Include},
};
use tokio::time::{Instant, sleep_until};

const NEXT: HeaderName = HeaderName::from_static("tidegate-next-cursor");
/// `FROM;TO;REASON`: for formats without a place for it, told in all.
const GAP: HeaderName = HeaderName::from_static("tidegate-gap");
/// A page is not larger than this, whatever its messages are; the cursor says where to go on.
const MOST_BYTES: u32 = 8 << 20;
/// A client may wait longer than the API's own `wait`, but not for ever: proxies give up.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What was collected.
struct Collected {
    items: Vec<Received>,
    /// So many of them are in memory of their own.
    detached: usize,
    bytes: usize,
    gap: Option<Box<Gap>>,
    next: Option<Cursor>,
    offered: tidegate_gateway::metrics::Offered,
}

/// The page stays in its `berth` until the client has it.
pub(super) async fn get(
    call: &Call<'_>,
    parts: &Parts,
    get: &HttpGet,
    format: Format,
    drain: Watch,
    berth: Berth<'_>,
) -> Result<Response<Body>> {
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let shown = shown(&query, call.route)?;
    let limit = query.limit.unwrap_or(get.limit).min(get.limit);
    let wait = query.wait.unwrap_or(get.wait).min(LONGEST_WAIT.max(get.wait));
    // The window begins before the consumer, so that it wins a tie with a mock's clock.
    let deadline = Instant::now() + wait;
    let start = query.start().unwrap_or(Start::Earliest);

    let mut x = call.exchange();
    flow::admit(call.route, &mut x).await?;
    let mut consumer = flow::consume(call.route, call.rest, start.clone()).await?;
    let class = call.route.metrics.class("http_get");
    let _present = class.enter();
    let mut page = Collected {
        items: Vec::new(),
        detached: 0,
        bytes: 0,
        gap: None,
        next: consumer
            .cursor()
            .or(if let Start::After(cursor) = start { Some(cursor) } else { None }),
        offered: class.offer(0),
    };
    let window = window(call.route, get);
    collect(&mut page, &mut *consumer, limit, window, deadline, drain).await?;
    drop(consumer);
    // Whoever waited may have lost the right meanwhile.
    flow::admit(call.route, &mut x).await?;

    let written = Page {
        items: &page.items,
        gap: page.gap.as_deref(),
        // Empty is the beginning, which is where a page of a stream without messages ends.
        next: page.next.as_ref(),
        parts: shown,
    };
    let bytes = berth.carry(written.likely(), |out| match (format, call.route.api.compatibility) {
        (Format::Json, Compatibility::Gravitee) => gravitee::write(&written, limit, out),
        _ => written.write(format, out),
    })?;
    if let Some(gap) = &page.gap {
        class.skip(gap.count());
    }
    let next = page.next.map(|next| next.to_string()).filter(|next| !next.is_empty());
    let mut response = with_type(Body::offered(bytes, page.offered), HeaderValue::from_static(format.content_type()));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(gap) = page
        .gap
        .as_deref()
        .and_then(|gap| HeaderValue::try_from(format!("{};{};{}", gap.from, gap.to, gap.reason.as_str())).ok())
    {
        headers.insert(GAP, gap);
    }
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        headers.insert(NEXT, next);
    }
    Ok(response)
}
/// A mock is there to be watched; everything else to be read.
fn window(route: &Route, get: &HttpGet) -> bool {
    let mock = matches!(route.api.subscribe, Some(Backend::Mock(_)));
    match get.answer {
        Some(answer) => answer == Answer::Window,
        None => mock,
    }
}
/// `?include=` may ask for what the API lets out; Gravitee's form shows what the API names without being asked.
pub(super) fn shown(query: &Query, route: &Route) -> Result<Shown> {
    let may = |part: Include| route.api.include.contains(&part);
    for (asked, part, word) in [
        (query.headers, Include::Headers, "headers"),
        (query.metadata, Include::Metadata, "metadata"),
    ] {
        if asked && !may(part) {
            return Err(Error::client(Code::BadQuery, format!("this api does not show `{word}`"))
                .with_hint(format!("the api's `include: [{word}]` lets it out")));
        }
    }
    let always = route.api.compatibility == Compatibility::Gravitee;
    Ok(Shown {
        headers: query.headers || always && may(Include::Headers),
        metadata: query.metadata || always && may(Include::Metadata),
    })
}
/// A window gathers until its end. Else what there is now, and only if that is nothing the first that comes in time.
async fn collect(
    page: &mut Collected,
    consumer: &mut dyn Consumer,
    limit: u32,
    window: bool,
    deadline: Instant,
    mut drain: Watch,
) -> Result<()> {
    let mut late = std::pin::pin!(sleep_until(deadline));
    while let Some(room) = page.room(limit) {
        let now = if window { None } else { consumer.ready(room).await? };
        let next = match now {
            Some(delivery) => Some(delivery),
            None if window || page.is_empty() => tokio::select! {
                biased;
                () = &mut late => None,
                () = drain.started() => None,
                next = consumer.next(room) => next?,
            },
            None => None,
        };
        let Some(delivery) = next else { break };
        // A gap stands before the items: one that comes later begins the next page, which the cursor asks for.
        if delivery.gap().is_some() && !page.is_empty() {
            return Ok(());
        }
        page.take(delivery, consumer.cursor());
        if window {
            // What waits for the end of the window must not keep in memory what it was cut from.
            page.detach();
        }
    }
    // Also what was passed over on the way.
    page.next = consumer.cursor().or(page.next.take());
    Ok(())
}
impl Collected {
    /// What the page may still take; `None`: it is full.
    fn room(&self, limit: u32) -> Option<Limit> {
        let messages = limit.saturating_sub(self.items.len() as u32);
        let bytes = MOST_BYTES.saturating_sub(u32::try_from(self.bytes).unwrap_or(u32::MAX));
        (messages > 0 && bytes > 0).then_some(Limit { messages, bytes })
    }
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.gap.is_none()
    }
    fn detach(&mut self) {
        let new = self.items.get_mut(self.detached..).unwrap_or_default();
        for item in new {
            item.message = Arc::new(item.message.detached());
        }
        self.detached = self.items.len();
    }
    fn take(&mut self, delivery: tidegate_core::delivery::Delivery, cursor: Option<Cursor>) {
        self.gap = delivery.gap().cloned().map(Box::new).or(self.gap.take());
        self.offered.more(delivery.items().len() as u64);
        match cursor {
            Some(cursor) => self.next = Some(cursor),
            None => {
                for position in delivery.items().iter().filter_map(|item| item.position) {
                    self.next.get_or_insert_default().advance(position);
                }
            }
        }
        let (items, mut ack) = delivery.into_parts();
        ack.settle_all(tidegate_core::settle::Outcome::Ack);
        self.bytes += items.iter().map(|item| item.message.size()).sum::<usize>();
        if self.items.is_empty() {
            self.items = items;
        } else {
            self.items.extend(items);
        }
    }
}
