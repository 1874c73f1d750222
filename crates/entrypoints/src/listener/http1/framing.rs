//! Where a request of HTTP/1 begins and ends (RFC 9112): what two readers could frame differently is refused. Without I/O: who reads the socket
//! shows what it holds and lets go of what is said to be taken. No byte behind a wrong one is ever taken.
mod chunked;
pub mod fuzz;
mod head;
mod known;
mod refusal;

pub use refusal::Refusal;

use bytes::Bytes;
use chunked::Chunked;
use head::Head;
use known::Known;

/// The framing of what one client sends.
#[derive(Debug)]
pub struct Framing {
    state: State,
    limit: u32,
    /// Of a head that is not whole yet.
    head: Head,
    /// The last one that was.
    known: Option<Box<Known>>,
}
/// A head that is whole and good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// So many bytes are to be let go of.
    pub length: usize,
    /// As it was sent, or as the last one was sent, from which it differs in nothing but the value of `Content-Length`.
    pub head: Bytes,
    /// It is like the last one.
    pub again: bool,
}
impl Framed {
    /// Whether the next one may be like it.
    pub(super) fn is_kept(&self) -> bool {
        Known::keeps(&self.head)
    }
}
#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// So many bytes of a body are due.
    Length(u64),
    Chunked(Chunked),
    Refused(Refusal),
}
/// What of a request's body has not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing: the next head may come.
    Nothing,
    /// So many bytes, never 0.
    Bytes(u64),
    /// Nobody knows: it comes in chunks, or it is refused and never will.
    Unknown,
}
/// What the first of the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many are to be let go of.
    pub taken: usize,
    /// So many of them, the last ones, are content.
    pub content: usize,
}
impl Framing {
    /// Of a new connection. A head of more than `limit` bytes is refused.
    pub fn new(limit: usize) -> Self {
        Self {
            state: State::Head,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            head: Head::default(),
            known: None,
        }
    }
    /// What is to come before the next head.
    pub fn due(&self) -> Due {
        match self.state {
            State::Head => Due::Nothing,
            State::Length(due) => Due::Bytes(due),
            State::Chunked(_) | State::Refused(_) => Due::Unknown,
        }
    }
    /// The head that `held` begins with; `None`: it is not whole, to be asked again with the same bytes and more. A refusal is final.
    pub fn head(&mut self, held: &[u8]) -> Result<Option<Framed>, Refusal> {
        match self.state {
            State::Head => {}
            State::Refused(refusal) => return Err(refusal),
            State::Length(_) | State::Chunked(_) => return Ok(None),
        }
        let limit = self.limit as usize;
        if let Some(known) = &self.known
            && let Some((length, body)) = known.again(held, limit)
        {
            let head = known.head().clone();
            self.is_whole(body);
            return Ok(Some(Framed { length, head, again: true }));
        }
        match self.head.read(held, limit) {
            Ok(None) => Ok(None),
            Ok(Some((length, body))) => {
                let head = Bytes::copy_from_slice(held.get(..length).unwrap_or_default());
                self.known = Known::new(&head, self.head.digits(), body).map(Box::new);
                self.is_whole(body);
                let again = false;
                Ok(Some(Framed { length, head, again }))
            }
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }
    fn is_whole(&mut self, body: head::Body) {
        self.head = Head::default();
        self.state = match body {
            head::Body::Length(0) => State::Head,
            head::Body::Length(due) => State::Length(due),
            head::Body::Chunked => State::Chunked(Chunked::default()),
        };
    }
    /// Takes what `held` begins with, up to the end of a run of content. Nothing taken: more must come. What came before a refusal is taken first.
    pub fn body(&mut self, held: &[u8]) -> Result<Step, Refusal> {
        match &mut self.state {
            State::Head => Ok(Step { taken: 0, content: 0 }),
            State::Length(due) => {
                let taken = usize::try_from(*due).unwrap_or(usize::MAX).min(held.len());
                *due -= taken as u64;
                if *due == 0 {
                    self.state = State::Head;
                }
                Ok(Step { taken, content: taken })
            }
            State::Chunked(chunked) => {
                let (step, then) = chunked.read(held);
                match then {
                    chunked::Then::More => {}
                    chunked::Then::Ended => self.state = State::Head,
                    chunked::Then::Refused(refusal) => {
                        self.state = State::Refused(refusal);
                        if step.taken == 0 {
                            return Err(refusal);
                        }
                    }
                }
                Ok(step)
            }
            State::Refused(refusal) => Err(*refusal),
        }
    }
    fn refuse(&mut self, refusal: Refusal) -> Refusal {
        self.state = State::Refused(refusal);
        refusal
    }
}
