//! Our framing against hyper's: whatever is accepted here, hyper must frame in the same way, or refuse it. A difference is a smuggled request.
use super::{Due, Framing, Refusal};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

const HEAD: usize = 64 << 10;

/// One request as somebody framed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Framed {
    /// As it was sent.
    pub method: Vec<u8>,
    /// As it was sent; what hyper shows of it, if hyper framed it.
    pub target: Vec<u8>,
    /// Without chunks.
    pub body: Vec<u8>,
    /// Its end was seen.
    pub whole: bool,
}
/// What the framing made of the bytes of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What was taken.
    pub passed: Vec<u8>,
    /// The requests it saw in that.
    pub requests: Vec<Framed>,
    /// If it refused the rest.
    pub refused: Option<Refusal>,
}
/// The first byte chooses where the others are cut. No cut changes the verdict, and hyper agrees with it.
pub fn framing(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let step = 1 + usize::from(*cut);
    let judged = judge(bytes, bytes.len().max(1));
    assert_eq!(judged, judge(bytes, 1), "byte by byte");
    assert_eq!(judged, judge(bytes, step), "by {step}");
    compare(&judged, step);
}
/// What is made of bytes that come `step` at a time.
pub fn judge(bytes: &[u8], step: usize) -> Judged {
    judge_pieces(bytes.chunks(step))
}
/// What is made of these pieces, one after the other.
pub fn judge_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Judged {
    let mut framing = Framing::new(HEAD);
    let mut judged = Judged::default();
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        while judged.refused.is_none() {
            let taken = match framing.due() {
                Due::Nothing => head(&mut framing, &held, &mut judged),
                Due::Bytes(_) | Due::Unknown => body(&mut framing, &held, &mut judged),
            };
            match taken {
                Ok(0) => break,
                Ok(taken) => judged.passed.extend(held.drain(..taken)),
                Err(refusal) => judged.refused = Some(refusal),
            }
        }
    }
    judged
}
fn head(framing: &mut Framing, held: &[u8], judged: &mut Judged) -> Result<usize, Refusal> {
    let Some(framed) = framing.head(held)? else { return Ok(0) };
    let length = framed.length;
    let head = held.get(..length).unwrap_or_default();
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.into_iter().find(|line| !line.is_empty()).unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').map(<[u8]>::to_vec);
    judged.requests.push(Framed {
        method: parts.next().unwrap_or_default(),
        target: parts.next().unwrap_or_default(),
        body: Vec::new(),
        whole: framing.due() == Due::Nothing,
    });
    Ok(length)
}
fn body(framing: &mut Framing, held: &[u8], judged: &mut Judged) -> Result<usize, Refusal> {
    let step = framing.body(held)?;
    if let Some(request) = judged.requests.last_mut() {
        let content = held.get(step.taken - step.content..step.taken);
        request.body.extend_from_slice(content.unwrap_or_default());
        request.whole = framing.due() == Due::Nothing;
    }
    Ok(step.taken)
}
/// Panics if hyper frames otherwise what was handed on. It may refuse more, or close earlier.
pub fn compare(judged: &Judged, step: usize) {
    let (open, seen) = hyper(&judged.passed, step);
    let expected = &judged.requests;
    let shown = || {
        format!(
            "{:?}\nours: {expected:?}\nhyper: {seen:?}, open: {open}",
            judged.passed.escape_ascii().to_string()
        )
    };
    assert!(seen.len() <= expected.len(), "a request nobody sent: {}", shown());
    assert!(!open || seen.len() == expected.len(), "a request hyper waits for: {}", shown());
    for (seen, expected) in seen.iter().zip(expected) {
        assert_eq!(seen.method, expected.method, "{}", shown());
        let target = Uri::try_from(expected.target.as_slice()).map(|target| target.to_string());
        assert_eq!(target.ok().as_deref().map(str::as_bytes), Some(&seen.target[..]), "{}", shown());
        if open || seen.whole {
            assert!(
                seen.body == expected.body && seen.whole == expected.whole,
                "another body: {}",
                shown()
            );
        } else {
            assert!(expected.body.starts_with(&seen.body), "another body: {}", shown());
        }
    }
}

/// What a hyper connection sees, and whether it still waits for more. The input does not end, so it never gives up for that.
fn hyper(bytes: &[u8], step: usize) -> (bool, Vec<Framed>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let input = bytes.chunks(step).map(<[u8]>::to_vec).collect();
    let service = service_fn(|request| answer(request, seen.clone()));
    let mut http = http1::Builder::new();
    http.pipeline_flush(false)
        .half_close(false)
        .header_read_timeout(None)
        .max_buf_size(HEAD);
    let mut connection = pin!(http.serve_connection(Input(input), service));
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut open = true;
    while open && woken.0.swap(false, Ordering::Relaxed) {
        open = connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
    }
    let seen = lock(&seen).clone();
    (open, seen)
}
async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Vec<Framed>>>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    let number = {
        let mut seen = lock(&seen);
        seen.push(Framed {
            method: head.method.as_str().as_bytes().to_vec(),
            target: head.uri.to_string().into_bytes(),
            ..Framed::default()
        });
        seen.len() - 1
    };
    let change = |change: &dyn Fn(&mut Framed)| {
        if let Some(request) = lock(&seen).get_mut(number) {
            change(request);
        }
    };
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    change(&|request| request.body.extend_from_slice(data));
                }
            }
            Err(_) => whole = false,
        }
    }
    change(&|request| request.whole = whole);
    let mut response = Response::new(Empty::new());
    if head.method == Method::CONNECT {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    Ok(response)
}
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
/// A client that sends its pieces and then neither more nor an end. What it is answered is dropped.
struct Input(VecDeque<Vec<u8>>);
impl Read for Input {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.0.pop_front() else {
            return Poll::Pending;
        };
        if piece.len() > buf.remaining() {
            let rest = piece.split_off(buf.remaining());
            self.0.push_front(rest);
        }
        buf.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}
impl Write for Input {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
/// Says whether there is reason to poll again.
struct Woken(AtomicBool);
impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
