//! Who proved itself before: a client that logs in again and again costs a hash of 19 MiB only now and then, and what others guess does not
//! keep it out.
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tidegate_core::clock;

/// Since it was last shown. A changed password has another mark, so this is only how long a picture of the machine's memory would help to
/// guess; and as long as a client that comes once a day is let in whatever others do.
const HOLDS: Duration = Duration::from_hours(25);
/// More push out the oldest.
const MOST: usize = 10_000;

/// Of what was shown and what it was compared with; keyed, so that it says nothing of either.
pub(super) type Mark = [u8; 32];

#[derive(Default)]
pub(super) struct Verified {
    until: Mutex<HashMap<Mark, Instant>>,
}
impl Verified {
    fn now(&self) -> MutexGuard<'_, HashMap<Mark, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The hash is of a fixed alphabet and ends where a zero byte begins.
    #[expect(clippy::unused_self, reason = "marks are of use only to who keeps them")]
    pub(super) fn mark(&self, hash: &str, shown: &[u8]) -> Mark {
        // What cannot be drawn leaves a hash without a key, which is good enough inside one process.
        static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
            let mut key = [0; 32];
            let _without = getrandom::fill(&mut key);
            key
        });
        let mut digest = Sha256::new();
        digest.update(*KEY);
        digest.update(hash);
        digest.update([0]);
        digest.update(shown);
        digest.finalize().into()
    }
    pub(super) fn holds(&self, mark: &Mark) -> bool {
        let now = clock::instant();
        let mut all = self.now();
        let until = all.get_mut(mark).filter(|until| now < **until);
        until.map(|until| *until = now + HOLDS).is_some()
    }
    pub(super) fn keep(&self, mark: Mark) {
        let now = clock::instant();
        let mut all = self.now();
        if all.len() >= MOST {
            all.retain(|_, until| now < *until);
        }
        let oldest = all.iter().min_by_key(|(_, until)| **until).map(|(mark, _)| *mark);
        if let Some(oldest) = oldest.filter(|_| all.len() >= MOST) {
            all.remove(&oldest);
        }
        all.insert(mark, now + HOLDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_one_secret_and_one_hash_and_never_too_many() {
        let verified = Verified::default();
        let mark = verified.mark("$argon2id$a", b"secret");
        assert!(!verified.holds(&mark));
        verified.keep(mark);
        assert!(verified.holds(&verified.mark("$argon2id$a", b"secret")));
        assert!(!verified.holds(&verified.mark("$argon2id$b", b"secret")) && !verified.holds(&verified.mark("$argon2id$a", b"Secret")));
        for n in 0..MOST as u32 + 2 {
            let mark = verified.mark("h", &n.to_le_bytes());
            verified.keep(mark);
            assert!(verified.now().len() <= MOST && verified.holds(&mark));
        }
        assert!(!verified.holds(&mark));
    }
}
