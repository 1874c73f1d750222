//! `GET path` with `Accept: text/event-stream`.
use super::{
    body::{Body, Chunk, Stream},
    call::Call,
    head::one,
    items,
    problem::{Problem, with_type},
    query::{self, Query},
};
use base64_simd::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, header, request::Parts};
use std::sync::Arc;
use tidegate_core::{
    delivery::{Delivery, Received},
    drain::Watch,
    endpoint::Start,
    error::{Code, Error, Fault, Result},
    framing::{Framing, Incoming},
    outbound::{Ended, Outbound},
    position::{Cursor, Gap},
    settle::Outcome,
};
use tidegate_gateway::{flow, handle::RouteHandle, metrics::Class, world::World};
use tidegate_wire::sse;
use tokio::sync::mpsc;

/// Clients that are sent away come back spread over this, in milliseconds.
const RETRY: std::ops::Range<u64> = 1_000..4_000;
/// One written chunk; a delivery with more becomes several.
const CHUNK: usize = 64 << 10;

pub(super) async fn stream(call: &Call<'_>, parts: &Parts, world: &Arc<World>, drain: Watch) -> Result<Response<Body>> {
    let Some(settings) = &call.route.api.sse else {
        return Err(call.no_method());
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    if query.limit.is_some() || query.wait.is_some() || query.headers || query.metadata {
        return Err(Error::client(Code::BadQuery, "a stream takes only `from` or `cursor`"));
    }
    let last = one(&parts.headers, "last-event-id")?.filter(|id| !id.is_empty());
    let start = match last {
        Some(id) => Start::After(query::cursor(id, "Last-Event-ID")?),
        None => query.start().unwrap_or(Start::Latest),
    };
    let mut x = call.exchange();
    flow::admit(call.route, &mut x).await?;
    let gone = || Error::client(Code::NotFound, "the api is gone");
    let mut route = RouteHandle::new(world, call.host, call.path).ok_or_else(gone)?;
    let consumer = flow::consume(call.route, call.rest, start.clone()).await?;

    let (sender, made) = mpsc::channel(1);
    let class = call.route.metrics.class("sse");
    let present = class.enter();
    let mut out = Out {
        sender,
        // Where it resumes if nothing was sent yet: behind what the client has seen, or where the consumer stands.
        cursor: consumer.cursor().unwrap_or_default(),
        class,
        retry: RETRY.start + u64::from(call.trace[7]) * (RETRY.end - RETRY.start) / 256,
        request_id: call.request_id(),
    };
    let mut drain = drain;
    let maker = async move {
        let _present = present;
        out.greet().await;
        let ended = flow::subscribe(&mut route, &mut x, consumer, start, &mut out, &mut drain).await;
        if let Err(error) = ended {
            out.fail(&error).await;
        }
    };
    let body = Stream::new(Box::pin(maker), made, b":\n\n", settings.heartbeat);
    let mut response = with_type(Body::stream(body), "text/event-stream");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would keep events back until its buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Frames of a stream, without chunk headers: hyper adds them.
pub(super) struct Sse;
impl Framing for Sse {
    fn name(&self) -> &'static str {
        "sse/raw"
    }
    fn frame(&self, r: &Received, at: &Cursor, out: &mut BytesMut) {
        let id = (!at.is_empty()).then(|| at.to_string());
        // A stream of events is UTF-8; what is not travels in base64, and its event says so.
        if simdutf8::basic::from_utf8(&r.message.payload).is_ok() {
            sse::event(id.as_deref(), None, &r.message.payload, out);
        } else {
            sse::event(
                id.as_deref(),
                Some("base64"),
                STANDARD.encode_to_string(&r.message.payload).as_bytes(),
                out,
            );
        }
    }
    fn gap(&self, gap: &Gap, out: &mut BytesMut) {
        let mut data = Vec::new();
        items::gap(gap, &mut data);
        let id = (!gap.to.is_empty()).then(|| gap.to.to_string());
        sse::event(id.as_deref(), Some("gap"), &data, out);
    }
    fn beat(&self, out: &mut BytesMut) {
        sse::comment(out);
    }
    fn end(&self, why: Ended, out: &mut BytesMut) {
        sse::event(None, Some("goaway"), format!("{{\"reason\":\"{}\"}}", why.as_str()).as_bytes(), out);
    }
    fn input(&self, _partial: &mut Vec<u8>, read: &[u8], _reply: &mut BytesMut) -> Incoming {
        if read.is_empty() {
            Incoming::Leave(Ended::ClientLeft)
        } else {
            Incoming::Nothing
        }
    }
}
/// The maker's side of the stream.
struct Out {
    sender: mpsc::Sender<Chunk>,
    cursor: Cursor,
    class: Arc<Class>,
    retry: u64,
    request_id: String,
}
impl Out {
    async fn greet(&mut self) {
        let mut out = BytesMut::new();
        sse::retry(self.retry, &mut out);
        // Nobody is there to be told if the client has gone.
        let _gone = self.write(out.freeze(), 0).await;
    }
    async fn fail(&mut self, error: &Error) {
        let problem = serde_json::to_vec(&Problem::new(error, Some(&self.request_id))).unwrap_or_default();
        let mut out = BytesMut::new();
        sse::event(None, Some("problem"), &problem, &mut out);
        let _gone = self.write(out.freeze(), 0).await;
    }
    async fn write(&mut self, bytes: Bytes, messages: u64) -> Result<()> {
        let offered = (messages > 0).then(|| self.class.offer(messages));
        let left = |_| Error::new(Code::BadRequest, Fault::Client, "the client left");
        self.sender.send(Chunk { bytes, offered }).await.map_err(left)
    }
}
impl Outbound for Out {
    async fn send(&mut self, delivery: Delivery) -> Result<()> {
        let mut out = BytesMut::new();
        if let Some(gap) = delivery.gap() {
            self.cursor.pass(gap);
            self.class.skip(gap.count());
            Sse.gap(gap, &mut out);
        }
        let (items, mut ack) = delivery.into_parts();
        // All of it before anything waits: a message may be a slice of much more, which a slow client must not keep in memory.
        let mut chunks = Vec::new();
        let mut messages = 0;
        for item in items {
            if let Some(position) = item.position {
                self.cursor.advance(position);
            }
            let at = if item.position.is_some() {
                &self.cursor
            } else {
                &Cursor::default()
            };
            Sse.frame(&item, at, &mut out);
            messages += 1;
            if out.len() >= CHUNK {
                chunks.push((out.split().freeze(), std::mem::take(&mut messages)));
            }
        }
        if !out.is_empty() {
            chunks.push((out.freeze(), messages));
        }
        for (bytes, messages) in chunks {
            self.write(bytes, messages).await?;
        }
        ack.settle_all(Outcome::Ack);
        Ok(())
    }
    async fn close(&mut self, why: Ended) {
        let mut out = BytesMut::new();
        Sse.end(why, &mut out);
        let _gone = self.write(out.freeze(), 0).await;
    }
    fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }
}
