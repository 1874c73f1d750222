//! What an answer carries: bytes that are there, a stream of them, or another service's body.
use crate::listener::Connection;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tidegate_gateway::{metrics::Offered, pulls::Parcel};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf};

/// What is taken from a pipe at once.
const TAKEN: usize = 16 << 10;

/// Anything that can fail while a body is made.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub struct Body {
    kind: Kind,
}
enum Kind {
    /// What it carries is large, and mostly nothing: every answer is moved a few times.
    Full(Option<Bytes>, Option<Box<Cargo>>),
    Pipe(DuplexStream),
    Other(UnsyncBoxBody<Bytes, BoxError>),
}
/// What an answer carries for somebody.
struct Cargo {
    offered: Offered,
    parcel: Option<Parcel>,
    /// Not only handed over when it is taken, but settled when it is out.
    settled: Option<Arc<Connection>>,
}
impl Cargo {
    fn handed_over(self) {
        self.offered.written();
        match (self.parcel, self.settled) {
            (Some(parcel), Some(connection)) => connection.when_out(Box::new(move || parcel.done())),
            (parcel, _) => parcel.into_iter().for_each(Parcel::handed_over),
        }
    }
}
impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Kind::Full(None, None).into()
    }
    /// All at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Kind::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty()), None).into()
    }
    /// All at once; what it carries counts as written when the connection takes it.
    pub(super) fn offered(bytes: Bytes, offered: Offered) -> Self {
        Self::carrying(
            bytes,
            Cargo {
                offered,
                parcel: None,
                settled: None,
            },
        )
    }
    /// The same with leases: they go back if it is never taken.
    pub(super) fn leased(bytes: Bytes, offered: Offered, parcel: Parcel) -> Self {
        Self::carrying(
            bytes,
            Cargo {
                offered,
                parcel: Some(parcel),
                settled: None,
            },
        )
    }
    /// The same for a client that settles nothing: its messages are done once the answer is out, and go back if that never is.
    pub(crate) fn settled(bytes: Bytes, offered: Offered, parcel: Parcel, connection: &Arc<Connection>) -> Self {
        let (parcel, settled) = (Some(parcel), Some(connection.clone()));
        Self::carrying(bytes, Cargo { offered, parcel, settled })
    }
    fn carrying(bytes: Bytes, cargo: Cargo) -> Self {
        Kind::Full(Some(bytes), Some(Box::new(cargo))).into()
    }
    /// What somebody else writes; its end is the end.
    pub(super) fn pipe(pipe: DuplexStream) -> Self {
        Kind::Pipe(pipe).into()
    }
    /// What another service made.
    pub fn other<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Kind::Other(body.map_err(Into::into).boxed_unsync()).into()
    }
}
impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind }
    }
}
impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Full(bytes, cargo) => {
                cargo.take().into_iter().for_each(|cargo| cargo.handed_over());
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Pipe(pipe) => {
                let mut taken = BytesMut::zeroed(TAKEN);
                let mut buf = ReadBuf::new(&mut taken);
                ready!(Pin::new(pipe).poll_read(cx, &mut buf))?;
                let length = buf.filled().len();
                taken.truncate(length);
                Poll::Ready((length > 0).then(|| Ok(Frame::data(taken.freeze()))))
            }
            Kind::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes, cargo) => bytes.is_none() && cargo.is_none(),
            Kind::Pipe(_) => false,
            Kind::Other(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes, _) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Pipe(_) => SizeHint::default(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}
