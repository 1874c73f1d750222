//! How many requests and how many of their bytes are in memory at once: over it, 503 rather than death.
use crate::listener::{Connection, Owed};
use bytes::Bytes;
use http::request::Parts;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;
use tidegate_core::error::{Code, Error, Fault, Result, Retry};

/// Answers below it are not worth counting.
const SMALL: usize = 4 << 10;
/// What one connection may be owed in answers beside the one it is taking: with HTTP/2 it can ask for many pages and take none.
const MOST_OWED: usize = 8 << 20;
/// And what the heads of its requests may come to, which are kept until they are answered; in memory they take up to twice as much.
const MOST_HEADS: usize = 2 << 20;

/// Shared by every listener of the gateway.
#[derive(Debug)]
pub struct Flight {
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Those of them that are pages.
    pages: AtomicU64,
    shed: AtomicU64,
    most_requests: u64,
    most_bytes: u64,
}
impl Flight {
    /// With its caps.
    pub fn new(requests: u32, bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            most_requests: u64::from(requests),
            most_bytes: bytes,
        })
    }
    /// One more request, until the guard is dropped: the head of its answer is out.
    pub fn enter(self: &Arc<Self>) -> Result<Aboard> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.most_requests {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(self.full(format!("{} requests are being answered", self.most_requests)));
        }
        Ok(Aboard {
            flight: self.clone(),
            bytes: 0,
        })
    }
    /// Requests now, bytes now, requests that were turned away.
    pub fn now(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.requests), read(&self.bytes), read(&self.shed))
    }
    fn full(&self, text: String) -> Error {
        self.shed.fetch_add(1, Ordering::Relaxed);
        Error::new(Code::Overloaded, Fault::Operator, text).with_retry(Retry::After(Duration::from_secs(1)))
    }
}
/// One request in flight.
#[derive(Debug)]
pub struct Aboard {
    flight: Arc<Flight>,
    bytes: u64,
}
impl Aboard {
    /// That many more bytes of it are in memory.
    pub fn load(&mut self, bytes: u64) -> Result<()> {
        self.flight.load(bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}
/// An answer that is made and not taken: counted like a body until the last byte of it is let go.
pub(crate) struct Carried {
    bytes: Vec<u8>,
    _load: Load,
    _owed: Owed,
}
impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
/// Bytes in memory that no request stands for any more.
#[derive(Debug)]
struct Load {
    flight: Arc<Flight>,
    bytes: u64,
}
impl Load {
    /// It turned out larger, or smaller.
    fn becomes(&mut self, bytes: u64) {
        for counter in [&self.flight.pages, &self.flight.bytes] {
            counter.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}
impl Drop for Load {
    fn drop(&mut self) {
        self.flight.pages.fetch_sub(self.bytes, Ordering::Relaxed);
        self.flight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
/// Where the answers of one connection wait until it takes them.
#[derive(Clone, Copy)]
pub struct Berth<'a> {
    flight: &'a Arc<Flight>,
    connection: &'a Arc<Connection>,
}
impl Berth<'_> {
    /// Room for an answer of about so many bytes, whose client takes it in its own time. Refused when all of them hold half of what there is, so
    /// that who reads slowly keeps nobody from publishing, or when this client's connection is owed too much. One at a time always passes,
    /// however large it is.
    pub fn room(self, likely: usize) -> Result<Room> {
        let Self { flight, connection } = self;
        if likely < SMALL {
            return Ok(Room(None));
        }
        let Some(owed) = connection.owe(likely, MOST_OWED) else {
            return Err(flight.full(format!("this connection has not taken {MOST_OWED} bytes of its answers yet")));
        };
        let bytes = likely as u64;
        let before = flight.pages.fetch_add(bytes, Ordering::Relaxed);
        flight.bytes.fetch_add(bytes, Ordering::Relaxed);
        let load = Load {
            flight: flight.clone(),
            bytes,
        };
        if before > 0 && before.saturating_add(bytes) > flight.most_bytes / 2 {
            return Err(flight.full(format!(
                "pages that are not taken yet hold {before} of {} bytes",
                flight.most_bytes / 2
            )));
        }
        Ok(Room(Some((load, owed))))
    }
    /// An answer that is written only if there is [room](Self::room) for it: one of megabytes keeps a thread busy for milliseconds.
    pub(crate) fn carry(self, likely: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<Bytes> {
        let room = self.room(likely)?;
        let mut answer = Vec::with_capacity(likely);
        write(&mut answer);
        Ok(room.hold(answer))
    }
}
/// Where one answer is to wait.
pub struct Room(Option<(Load, Owed)>);
impl Room {
    /// Until the last byte of it is let go.
    pub fn hold(self, answer: Vec<u8>) -> Bytes {
        let Some((mut load, owed)) = self.0 else {
            return answer.into();
        };
        load.becomes(answer.capacity() as u64);
        Bytes::from_owner(Carried {
            bytes: answer,
            _load: load,
            _owed: owed,
        })
    }
}
impl Flight {
    /// For the answers of one connection.
    pub fn berth<'a>(self: &'a Arc<Self>, connection: &'a Arc<Connection>) -> Berth<'a> {
        Berth { flight: self, connection }
    }
    /// A head of HTTP/2, which may be one of many on its connection. Small ones are not worth counting.
    pub(crate) fn keep(&self, parts: &Parts, connection: &Arc<Connection>) -> Result<Option<Owed>> {
        let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let length = fields.sum::<usize>() + parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
        if length < SMALL {
            return Ok(None);
        }
        let owed = connection.owe(length, MOST_HEADS);
        owed.map(Some)
            .ok_or_else(|| self.full(format!("the requests of this connection hold {MOST_HEADS} bytes of heads")))
    }
    fn load(&self, bytes: u64) -> Result<()> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.most_bytes {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(self.full(format!("requests hold {before} of {} bytes", self.most_bytes)));
        }
        Ok(())
    }
}
impl Drop for Aboard {
    fn drop(&mut self) {
        self.flight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.flight.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_cap_is_shed_and_given_back() {
        let flight = Flight::new(2, 100);
        let mut one = flight.enter().unwrap();
        let two = flight.enter().unwrap();
        assert_eq!(flight.enter().unwrap_err().code(), Code::Overloaded);
        one.load(100).unwrap();
        assert_eq!(one.load(1).unwrap_err().code(), Code::Overloaded);
        drop((one, two));
        assert_eq!(flight.now(), (0, 0, 2));
    }
    #[test]
    fn pages_count_until_they_are_let_go_and_leave_half_to_others() {
        let flight = Flight::new(2, 100_000);
        let connection = || Arc::new(Connection::new(([127, 0, 0, 1], 1).into(), Arc::default()));
        let carry = |bytes: usize| flight.berth(&connection()).carry(bytes, |out| out.resize(bytes, b'x'));
        let small = carry(SMALL - 1).unwrap();
        assert_eq!(flight.now().1, 0);
        let large = carry(200_000).unwrap();
        assert_eq!(
            carry(SMALL).unwrap_err().code(),
            Code::Overloaded,
            "one at a time is always let pass"
        );
        let part = large.slice(..10);
        drop(large);
        assert_eq!(flight.now().1, 200_000, "a part of it keeps all of it");
        drop(part);
        let one = carry(40_000).unwrap();
        assert_eq!(carry(20_000).unwrap_err().code(), Code::Overloaded);
        assert_eq!(flight.now().1, 40_000);
        flight.enter().unwrap().load(60_000).unwrap();
        drop((one, small));
        assert_eq!(flight.now(), (0, 0, 2));
    }
    #[test]
    fn what_is_refused_was_not_written_and_what_grew_counts_as_it_is() {
        let flight = Flight::new(2, 100_000);
        let connection = Arc::new(Connection::new(([127, 0, 0, 1], 1).into(), Arc::default()));
        let grown = flight.berth(&connection).carry(40_000, |out| out.resize(60_000, b'x')).unwrap();
        assert!((60_000..=80_000).contains(&flight.now().1), "{}", flight.now().1);
        let refused = flight.berth(&connection).carry(40_000, |_| panic!("it has no room")).unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        drop(grown);
        assert_eq!(flight.now(), (0, 0, 1));
    }
}
