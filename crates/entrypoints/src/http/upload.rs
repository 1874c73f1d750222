//! The body of a request, with its limits: counted as it comes, never larger in memory than it may be.
use super::{call::Pace, flight::Aboard};
use crate::listener::Incoming;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::time::Duration;
use tidegate_core::{
    error::{Code, Error, Result},
    tasks,
};
use tokio::time::{Instant, timeout_at};

/// A slice this small would keep alive all that was read with it: copied.
pub(crate) const COPY_BELOW: usize = 4 << 10;
/// How much, and for how long, of a body that nobody wants.
const PASSED_OVER: usize = 8 << 20;
const MOMENT: Duration = Duration::from_secs(1);

/// The whole body. Trailers are passed over. Dropped: what came is forgotten.
pub(crate) async fn read(body: &mut Option<Incoming>, most: u64, pace: Pace, aboard: &mut Aboard) -> Result<Bytes> {
    let Some(incoming) = body.as_mut() else {
        return Ok(Bytes::new());
    };
    let Some(whole) = incoming.take_whole() else {
        // What has to be waited for is not what nearly every request carries.
        let came = Box::pin(wait(incoming, most, pace, aboard)).await?;
        // All of it came: nothing is held of it while its message is stored.
        *body = None;
        return Ok(came);
    };
    let length = whole.len() as u64;
    if length > most {
        return Err(too_large(most));
    }
    aboard.load(length)?;
    *body = None;
    Ok(whole)
}
/// Without what came beside it.
fn apart(content: Bytes) -> Bytes {
    if content.len() < COPY_BELOW {
        Bytes::copy_from_slice(&content)
    } else {
        content
    }
}
async fn wait(incoming: &mut Incoming, most: u64, pace: Pace, aboard: &mut Aboard) -> Result<Bytes> {
    let announced = incoming.size_hint().lower();
    if announced > most {
        return Err(too_large(most));
    }
    // What has come is counted, not what was announced: a client that promises much and sends nothing takes nobody's place.
    let mut loaded = 0;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut waiting = Waiting { pace, since: None };
    while let Some(frame) = waiting.next(incoming, loaded).await? {
        let Ok(data) = frame.into_data() else { continue };
        let length = (first.len() + rest.len() + data.len()) as u64;
        if length > most {
            return Err(too_large(most));
        }
        if length > loaded {
            aboard.load(length - loaded)?;
            loaded = length;
        }
        if first.is_empty() && rest.is_empty() {
            // Nearly always all of it.
            first = data;
        } else {
            if rest.is_empty() {
                // What was announced is not believed beyond a start: memory follows what came.
                rest.reserve((announced as usize).clamp(length as usize, 256 << 10));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { apart(first) } else { rest.freeze() })
}
/// What the client of HTTP/2 still sends behind its answer is thrown away for a moment. To drop it would reset the stream, on which some clients
/// forget the answer, though they must not (RFC 9113, section 8.1).
pub(crate) fn pass_over(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tasks::detach(async move {
        let passing = async {
            let mut left = PASSED_OVER;
            // Each piece has a moment: a machine that is busy is no client that stands still.
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(MOMENT, body.frame()).await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    // Its window is full, so it can only read now: the answer first, and then that nobody wants the rest.
                    return tokio::time::sleep(MOMENT).await;
                }
            }
        };
        let _late = tokio::time::timeout(MOMENT * 5, passing).await;
    });
}
/// How long a body is waited for.
struct Waiting {
    pace: Pace,
    /// The first time it had not come yet.
    since: Option<Instant>,
}
impl Waiting {
    /// A timer is made, and the clock asked, only for a body that has not come yet.
    async fn next(&mut self, body: &mut Incoming, loaded: u64) -> Result<Option<http_body::Frame<Bytes>>> {
        let mut frame = body.frame();
        let come = match futures::poll!(&mut frame) {
            std::task::Poll::Ready(come) => come,
            std::task::Poll::Pending => {
                let now = Instant::now();
                let since = *self.since.get_or_insert(now);
                let (stalled, slow) = (now + self.pace.stall, since + self.pace.allowed(loaded));
                let come = timeout_at(stalled.min(slow), frame).await;
                come.map_err(|_late| self.late(slow < stalled))?
            }
        };
        come.transpose()
            .map_err(|error| Error::client(Code::BadRequest, "the body is cut or badly framed").because(error))
    }
    fn late(&self, slow: bool) -> Error {
        let Pace { stall, rate } = self.pace;
        if slow {
            let text = format!("the body comes slower than {rate} bytes a second");
            return Error::client(Code::BodyTimeout, text).with_hint("`limits.body_rate` says how fast it must come");
        }
        Error::client(Code::BodyTimeout, format!("no byte of the body came for {} ms", stall.as_millis()))
    }
}
fn too_large(most: u64) -> Error {
    Error::client(Code::TooLarge, format!("the body is larger than {most} bytes"))
        .with_hint("send it in parts, or raise `limits.body` or `limits.batch_body`")
}
