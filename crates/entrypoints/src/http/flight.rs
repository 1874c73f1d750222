//! How many requests and how many of their bytes are in memory at once: over it, 503 rather than death.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;
use tidegate_core::error::{Code, Error, Fault, Result, Retry};

/// Shared by every listener of the gateway.
#[derive(Debug)]
pub struct Flight {
    requests: AtomicU64,
    bytes: AtomicU64,
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
        let flight = &self.flight;
        let before = flight.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > flight.most_bytes {
            flight.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(flight.full(format!("requests hold {before} of {} bytes", flight.most_bytes)));
        }
        self.bytes += bytes;
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
}
