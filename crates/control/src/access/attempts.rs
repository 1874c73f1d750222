//! Failed logins, per name and per address: guessing is slowed down, bounded in memory.
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tidegate_core::clock;

const WINDOW: Duration = Duration::from_mins(1);
/// Names and addresses remembered, each. More guessers than that at once push each other out.
const MOST: usize = 10_000;
/// Behind one address there may be several people.
const PEOPLE: u32 = 3;

pub(super) struct Attempts {
    allowed: u32,
    seen: Mutex<Seen>,
}
#[derive(Default)]
struct Seen {
    names: HashMap<Box<str>, Failures>,
    addresses: HashMap<IpAddr, Failures>,
}
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}
impl Attempts {
    /// So many a minute for one name.
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            seen: Mutex::default(),
        }
    }
    /// `Err`: not before so long.
    pub(super) fn allow(&self, name: &str, from: IpAddr) -> Result<(), Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |failures: Option<&Failures>, allowed: u32| {
            let failures = failures.filter(|failures| failures.count >= allowed)?;
            WINDOW.checked_sub(clock::instant().duration_since(failures.since))
        };
        let waits = [
            left(seen.names.get(name), self.allowed),
            left(seen.addresses.get(&from.to_canonical()), self.allowed.saturating_mul(PEOPLE)),
        ];
        waits.into_iter().flatten().max().map_or(Ok(()), Err)
    }
    pub(super) fn failed(&self, name: &str, from: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody can be called costs nothing to remember.
        let name = name.chars().take(255).collect::<String>().into_boxed_str();
        count(&mut seen.names, name);
        count(&mut seen.addresses, from.to_canonical());
    }
    pub(super) fn succeeded(&self, name: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.names.remove(name);
    }
}
fn count<K: Eq + Hash + Clone>(seen: &mut HashMap<K, Failures>, key: K) {
    let now = clock::instant();
    let live = |failures: &Failures| now.duration_since(failures.since) < WINDOW;
    if seen.len() >= MOST && !seen.contains_key(&key) {
        seen.retain(|_, failures| live(failures));
        let oldest = seen.iter().min_by_key(|(_, failures)| failures.since).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| seen.len() >= MOST) {
            seen.remove(&oldest);
        }
    }
    let failures = seen.entry(key).or_insert(Failures { count: 0, since: now });
    if !live(failures) {
        *failures = Failures { count: 0, since: now };
    }
    failures.count = failures.count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn an_address_has_more_than_a_name_and_memory_is_bounded() {
        let attempts = Attempts::new(2);
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for i in 0..6 {
            assert!(attempts.allow(&format!("n{i}"), here).is_ok());
            attempts.failed(&format!("n{i}"), here);
        }
        assert!(attempts.allow("new", here).is_err());
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert!(attempts.allow("new", mapped).is_err(), "the same address in another dress");
        for i in 0..MOST + 50 {
            attempts.failed(&format!("m{i}"), IpAddr::V4(Ipv4Addr::from(i as u32)));
        }
        let seen = attempts.seen.lock().unwrap();
        assert!(seen.names.len() <= MOST && seen.addresses.len() <= MOST);
    }
}
