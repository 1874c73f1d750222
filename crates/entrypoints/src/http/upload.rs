//! The body of a request, with its limits: counted as it comes, never larger in memory than it may be.
use super::{call::Pace, flight::Aboard};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tidegate_core::error::{Code, Error, Result};
use tokio::time::{Instant, timeout_at};

/// A slice this small would keep hyper's whole read buffer alive: copied.
const COPY_BELOW: usize = 4 << 10;

/// The whole body. Trailers are passed over. Dropped: what came is forgotten.
pub(super) async fn read(mut body: Incoming, most: u64, pace: Pace, aboard: &mut Aboard) -> Result<Bytes> {
    let announced = body.size_hint().lower();
    if announced > most {
        return Err(too_large(most));
    }
    // What has come is counted, not what was announced: a client that promises much and sends nothing takes nobody's place.
    let mut loaded = 0;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut waiting = Waiting { pace, since: None };
    while let Some(frame) = waiting.next(&mut body, loaded).await? {
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
    if !rest.is_empty() {
        return Ok(rest.freeze());
    }
    Ok(if first.len() < COPY_BELOW {
        Bytes::copy_from_slice(&first)
    } else {
        first
    })
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
