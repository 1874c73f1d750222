//! Who proved itself a moment ago: a client that logs in again and again costs a hash of 19 MiB only now and then.
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tidegate_core::clock;

/// A changed password has another mark, so this is only how long a guess of the machine's memory would be of use.
const HOLDS: Duration = Duration::from_mins(1);
/// More at once forget each other.
const MOST: usize = 1_024;

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
        self.now().get(mark).is_some_and(|until| clock::instant() < *until)
    }
    pub(super) fn keep(&self, mark: Mark) {
        let now = clock::instant();
        let mut all = self.now();
        if all.len() >= MOST {
            all.retain(|_, until| now < *until);
        }
        if all.len() >= MOST {
            all.clear();
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
        for n in 0..3_000_u32 {
            verified.keep(verified.mark("h", &n.to_le_bytes()));
            assert!(verified.now().len() <= MOST);
        }
    }
}
