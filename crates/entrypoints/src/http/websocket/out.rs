//! What a subscriber is given: frames, as many as it has credit for.
use super::{Form, line::Line};
use crate::http::items;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tidegate_core::{
    clock::Rfc3339,
    delivery::{Delivery, Received},
    error::{Code, Error, Result},
    outbound::{Ended, Outbound},
    position::{Cursor, Gap},
    settle::Outcome,
};
use tidegate_gateway::metrics::Class;
use tidegate_wire::websocket::{close::CloseCode, frame};
use tokio::sync::Semaphore;

/// One write; a delivery with more becomes several.
const WRITE: usize = 64 << 10;

pub(super) struct Out {
    pub(super) line: Line,
    pub(super) form: Form,
    /// Behind what was sent, or where the consumer stands.
    pub(super) cursor: Cursor,
    pub(super) class: Arc<Class>,
    /// Messages that may still be sent; `None`: as many as the client reads.
    pub(super) credit: Option<Arc<Semaphore>>,
    pub(super) clock: Rfc3339,
}
impl Out {
    fn frame(&mut self, item: &Received, out: &mut BytesMut) {
        match self.form {
            Form::Plain => drop(frame::plain(&item.message.payload, out)),
            Form::Json(parts) => {
                let mut text = b"{\"op\":\"message\"".to_vec();
                items::members(item, parts, &mut self.clock, &mut text);
                // With several partitions one message's place is not all that was seen.
                if item.position.is_some() && self.cursor.iter().count() > 1 {
                    items::name("cursor", &mut text);
                    items::string(&self.cursor.to_string(), &mut text);
                }
                text.push(b'}');
                frame::head(tidegate_wire::websocket::Kind::Text, text.len(), out);
                out.extend_from_slice(&text);
            }
        }
    }
    async fn gap(&mut self, gap: &Gap) -> Result<()> {
        self.cursor.pass(gap);
        self.class.skip(gap.count());
        match self.form {
            Form::Json(_) => {
                let mut text = b"{\"op\":\"gap\",".to_vec();
                let mut members = Vec::new();
                items::gap(gap, &mut members);
                text.extend_from_slice(members.get(1..).unwrap_or_default());
                self.line.text(&String::from_utf8_lossy(&text)).await
            }
            // A payload is all that a plain frame can say: a client that must not miss anything has to be told by the end.
            Form::Plain => {
                let reason = format!("gap after {} up to {}: {}", gap.from, gap.to, gap.reason.as_str());
                self.line.close(Some(CloseCode::TRY_LATER), &reason).await;
                Err(Error::client(Code::BadCursor, reason))
            }
        }
    }
    /// How many of so many messages there is credit for, which is then used up.
    fn credited(&self, wanted: usize) -> usize {
        let Some(credit) = &self.credit else { return wanted };
        let granted = credit.available_permits().min(wanted);
        // Only here it is taken, and grants only add.
        if let Ok(taken) = credit.try_acquire_many(granted as u32) {
            taken.forget();
        }
        granted
    }
    /// As bytes, a few writes.
    fn frames(&mut self, items: Vec<Received>) -> Vec<(Bytes, u64)> {
        let mut out = BytesMut::new();
        let mut writes = Vec::new();
        let mut messages = 0;
        for item in items {
            if let Some(position) = item.position {
                self.cursor.advance(position);
            }
            self.frame(&item, &mut out);
            messages += 1;
            if out.len() >= WRITE {
                writes.push((out.split().freeze(), std::mem::take(&mut messages)));
            }
        }
        if !out.is_empty() {
            writes.push((out.freeze(), messages));
        }
        writes
    }
}
/// In memory of its own, for it may wait long.
fn detached(mut item: Received) -> Received {
    item.message = Arc::new(item.message.detached());
    item
}
impl Outbound for Out {
    async fn send(&mut self, delivery: Delivery) -> Result<()> {
        let gap = delivery.gap().cloned();
        let (mut items, mut ack) = delivery.into_parts();
        if let Some(gap) = gap {
            items = items.into_iter().map(detached).collect();
            self.gap(&gap).await?;
        }
        while !items.is_empty() {
            let rest = items.split_off(self.credited(items.len()));
            // All there is credit for before anything waits: a message may be a slice of much more, which a slow client must not keep
            // in memory.
            let writes = self.frames(items);
            items = rest.into_iter().map(detached).collect();
            for (bytes, messages) in writes {
                let offered = self.class.offer(messages);
                self.line.send(bytes, Some(offered)).await?;
            }
            if let (Some(credit), false) = (&self.credit, items.is_empty()) {
                // Given back at once: it is taken with the next look.
                let granted = credit.acquire().await;
                drop(granted.map_err(|_| Error::client(Code::BadRequest, "the client left"))?);
            }
        }
        ack.settle_all(Outcome::Ack);
        Ok(())
    }
    async fn close(&mut self, why: Ended) {
        if matches!(self.form, Form::Json(_)) {
            let _gone = self
                .line
                .text(&format!("{{\"op\":\"goaway\",\"reason\":\"{}\"}}", why.as_str()))
                .await;
        }
    }
    fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }
}
