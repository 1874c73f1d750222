//! Failed logins: guessing is slowed down, bounded in memory. What is counted is who guesses, so that guesses keep out their guesser: a name
//! from one place, and that place. Only a crowd of places that guesses one name keeps it shut, to who has not proved itself before.
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tidegate_core::clock;

const WINDOW: Duration = Duration::from_mins(1);
/// Pairs, names and places remembered, each. More guessers than that at once push each other out.
const MOST: usize = 10_000;
/// Behind one address there may be several people.
const PEOPLE: u32 = 3;
/// And one name may be guessed from several.
const PLACES: u32 = 10;

pub(super) struct Attempts {
    allowed: u32,
    seen: Mutex<Seen>,
}
#[derive(Default)]
struct Seen {
    pairs: HashMap<(Box<str>, IpAddr), Failures>,
    names: HashMap<Box<str>, Failures>,
    places: HashMap<IpAddr, Failures>,
}
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}
impl Attempts {
    /// So many a minute for one name from one place.
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            seen: Mutex::default(),
        }
    }
    /// `Err`: not before so long.
    pub(super) fn allow(&self, name: &str, from: IpAddr) -> Result<(), Duration> {
        let (name, place) = (called(name), place(from));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |failures: Option<&Failures>, times: u32| {
            let failures = failures.filter(|failures| failures.count >= self.allowed.saturating_mul(times))?;
            WINDOW.checked_sub(clock::instant().duration_since(failures.since))
        };
        let waits = [
            left(seen.names.get(&name), PLACES),
            left(seen.pairs.get(&(name, place)), 1),
            left(seen.places.get(&place), PEOPLE),
        ];
        waits.into_iter().flatten().max().map_or(Ok(()), Err)
    }
    pub(super) fn failed(&self, name: &str, from: IpAddr) {
        let (name, place) = (called(name), place(from));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut seen.pairs, (name.clone(), place));
        count(&mut seen.names, name);
        count(&mut seen.places, place);
    }
    pub(super) fn succeeded(&self, name: &str, from: IpAddr) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.pairs.remove(&(called(name), place(from)));
    }
}
/// What nobody can be called costs nothing to remember.
fn called(name: &str) -> Box<str> {
    name.chars().take(255).collect::<String>().into_boxed_str()
}
/// Who has one address of IPv6 has 2^64.
fn place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
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

    fn at(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(n))
    }
    #[test]
    fn guesses_keep_out_their_guesser() {
        let attempts = Attempts::new(2);
        for _ in 0..2 {
            assert!(attempts.allow("alice", at(1)).is_ok());
            attempts.failed("alice", at(1));
        }
        assert!(attempts.allow("alice", at(1)).is_err());
        assert!(attempts.allow("alice", at(2)).is_ok() && attempts.allow("bob", at(1)).is_ok());
        attempts.succeeded("alice", at(1));
        assert!(attempts.allow("alice", at(1)).is_ok());
        // A crowd, each below what one may.
        for n in 0..30 {
            attempts.failed("alice", at(100 + n));
        }
        assert!(attempts.allow("alice", at(2)).is_err() && attempts.allow("bob", at(2)).is_ok());
    }
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
        let [one, next, other] = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        for _ in 0..2 {
            attempts.failed("carol", one);
        }
        assert!(attempts.allow("carol", next).is_err() && attempts.allow("carol", other).is_ok());
        for i in 0..MOST + 50 {
            attempts.failed(&format!("m{i}"), at(i as u32));
        }
        let seen = attempts.seen.lock().unwrap();
        assert!(seen.pairs.len() <= MOST && seen.names.len() <= MOST && seen.places.len() <= MOST);
    }
}
