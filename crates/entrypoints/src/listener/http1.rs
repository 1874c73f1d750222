//! A connection of HTTP/1: requests one after the other, each framed, handled and answered before the next is looked at (RFC 9112).
mod answer;
pub mod framing;
mod line;
mod request;

pub(super) use framing::Due;
pub(super) use line::Line;

use super::{Handler, Head, Incoming, Limits, Successor, connection::Connection, transport::Transport};
use crate::http::body::Body;
use answer::{Made, Outgoing, To};
use bytes::Bytes;
use framing::Framed;
use http::{Response, header};
use line::{Come, Unread};
use request::Asked;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tidegate_core::{
    drain::Watch,
    error::{Error, Result},
};

/// A head of more fields is not kept beside a connection that waits: its table is several times its size.
const KEPT_FIELDS: usize = 24;

/// What becomes of the connection.
pub(super) enum Ended {
    /// It is closed, after a last word if there is one.
    Closed(Transport, Option<Vec<u8>>),
    /// Its client made no progress for longer than it may.
    Late,
    /// It is somebody else's, with what has come for him.
    Left(Successor, Transport, Bytes),
}
/// Why no further request is looked at.
enum Last {
    Closed(Option<Vec<u8>>),
    Late,
    Left(Successor),
}
/// Serves a connection until its client or the gateway ends it. `early` are its first bytes.
pub(super) async fn serve<H: Handler>(
    socket: Transport,
    early: &[u8],
    handler: &Arc<H>,
    limits: Limits,
    state: &Arc<Connection>,
    drain: &Watch,
) -> Ended {
    let line = Arc::new(Mutex::new(Line::new(socket, early, limits.head, state.clone())));
    let serving = Serving {
        line: &line,
        fields: limits.fields,
        handler,
        state,
        drain,
        handle: |head, body| handler.handle(head, body, state.clone()),
    };
    // One box for all requests: an allocation each, of some kilobytes, would be felt.
    let mut handling = Box::pin(None);
    let mut asked = None;
    let last = loop {
        if let Err(last) = serving.turn(&mut asked, handling.as_mut()).await {
            break last;
        }
    };
    drop(handling);
    // The bodies of its requests were dropped with them.
    let Some(line) = Arc::into_inner(line) else { return Ended::Late };
    let (socket, held) = line.into_inner().unwrap_or_else(PoisonError::into_inner).into_parts();
    match last {
        Last::Closed(word) => Ended::Closed(socket, word),
        Last::Late => Ended::Late,
        Last::Left(successor) => Ended::Left(successor, socket, held),
    }
}
struct Serving<'a, H, A> {
    line: &'a Arc<Mutex<Line>>,
    fields: usize,
    handler: &'a Arc<H>,
    state: &'a Arc<Connection>,
    drain: &'a Watch,
    handle: A,
}
impl<H, A, F> Serving<'_, H, A>
where
    H: Handler,
    A: Fn(Arc<Head<H::Memo>>, Incoming) -> F,
    F: Future<Output = Response<Body>>,
{
    /// One request and its answer, and what was read of the last one's head. An error: there is no further one.
    async fn turn(&self, asked: &mut Option<Asked<H::Memo>>, mut handling: Pin<&mut Option<F>>) -> Result<(), Last> {
        let framed = self.head().await?;
        let refused = |error: Error| Last::Closed(Some(self.handler.last(&error)));
        let Asked { head, again, expects } = match asked.take().filter(|_| framed.again) {
            Some(asked) => asked,
            None => Asked::read(&framed.head, self.fields).map_err(refused)?,
        };
        let body = match self.line().body(expects) {
            Come::Whole(content) => Incoming::whole(content),
            Come::InPart => Incoming::on(self.line.clone()),
        };
        let mut to = To::new(&head.method, head.version);
        self.state.busy();
        handling.set(Some((self.handle)(head.clone(), body)));
        if framed.is_kept() && head.headers.len() <= KEPT_FIELDS {
            *asked = Some(Asked { head, again, expects });
        }
        let handled = self.handled(handling.as_mut()).await;
        // Whatever it held is let go before its answer is written.
        handling.set(None);
        let response = handled?;
        // What is left of a body nobody wanted stands between this answer and the next request.
        let closes = response
            .headers()
            .get(header::CONNECTION)
            .is_some_and(|list| request::has(list, "close"));
        to.again = again && !closes && !self.line().pass_over() && !self.drain.is_draining();
        let successor = self.state.successor();
        self.answer(response, &mut to, successor.is_some()).await?;
        match successor {
            Some(successor) => Err(Last::Left(successor)),
            None if !to.again => Err(Last::Closed(None)),
            None => {
                self.state.rests();
                Ok(())
            }
        }
    }
    async fn head(&self) -> Result<Framed, Last> {
        poll_fn(|cx| match self.line().poll_head(cx) {
            Poll::Ready(Ok(framed)) => Poll::Ready(Ok(framed)),
            Poll::Ready(Err(Unread::Gone)) => Poll::Ready(Err(Last::Closed(None))),
            Poll::Ready(Err(Unread::Refused(refusal))) => {
                let error = Error::client(refusal.code(), refusal.reason());
                Poll::Ready(Err(Last::Closed(Some(self.handler.last(&error)))))
            }
            Poll::Pending => {
                let waits = self.waits(cx);
                // Whoever has not said all of a request leaves nothing undone.
                if waits.is_pending() && self.drain.is_draining() {
                    return Poll::Ready(Err(Last::Closed(None)));
                }
                waits.map(Err)
            }
        })
        .await
    }
    /// The answer to a request, unless its client leaves first: then nobody goes on with it.
    async fn handled(&self, mut handling: Pin<&mut Option<F>>) -> Result<Response<Body>, Last> {
        poll_fn(|cx| match handling.as_mut().as_pin_mut().map(|handling| handling.poll(cx)) {
            Some(Poll::Ready(response)) => Poll::Ready(Ok(response)),
            Some(Poll::Pending) => self.stays(cx).map(Err),
            None => Poll::Ready(Err(Last::Closed(None))),
        })
        .await
    }
    async fn answer(&self, response: Response<Body>, to: &mut To, leaves: bool) -> Result<(), Last> {
        let (parts, mut body) = response.into_parts();
        let mut out = if leaves {
            Outgoing::left(&parts, *to)
        } else {
            Outgoing::new(&parts, &body, to)
        };
        drop(parts);
        let mut made = if leaves { Made::All } else { Made::Some };
        poll_fn(|cx| {
            loop {
                if made != Made::All {
                    made = match out.fill(cx, &mut body) {
                        Ok(made) => made,
                        // To end it in order would tell the client that it has all of it.
                        Err(()) => return Poll::Ready(Err(Last::Closed(None))),
                    };
                }
                // Not within the `match`, which would hold the line.
                let sent = self.line().poll_send(cx, &mut out);
                match (sent, made) {
                    (Poll::Ready(Err(_gone)), _) => return Poll::Ready(Err(Last::Closed(None))),
                    (Poll::Ready(Ok(())), Made::All) => return Poll::Ready(Ok(())),
                    (Poll::Ready(Ok(())), Made::Some) => {}
                    // The rest is for a client that may have said all it had to say.
                    (Poll::Pending, Made::All) => return self.waits(cx).map(Err),
                    _ => return self.stays(cx).map(Err),
                }
            }
        })
        .await
    }
    /// Ready when a client that is waited for is late.
    fn waits(&self, cx: &Context<'_>) -> Poll<Last> {
        self.state.is_watched_by(cx);
        if self.state.is_late() {
            Poll::Ready(Last::Late)
        } else {
            Poll::Pending
        }
    }
    /// Ready when a client that waits has gone, or is late to take what is written.
    fn stays(&self, cx: &mut Context<'_>) -> Poll<Last> {
        if self.line().poll_gone(cx).is_ready() {
            return Poll::Ready(Last::Closed(None));
        }
        self.waits(cx)
    }
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
