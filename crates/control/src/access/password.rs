//! Passwords, as argon2 hashes in the PHC form.
use super::token;
use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use std::sync::LazyLock;
use tidegate_core::error::{Code, Error, Fault, Result};

/// What a hash may ask of this machine: another's hash must not fill its memory.
const MOST_KIB: u32 = 256 << 10;
const MOST_ROUNDS: u32 = 64;

/// Hashes a password with a salt of its own. Takes some 20 ms.
pub fn hash(password: &str) -> Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let failed = |error| {
        Error::new(
            Code::CommandFailed,
            Fault::Operator,
            format!("the password cannot be hashed: {error}"),
        )
    };
    Ok(hash.map_err(failed)?.to_string())
}
/// Whether the password has this hash. What is no hash, or asks too much of the machine, is nobody's.
pub(super) fn is(password: &[u8], hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let at_most = |name: &str, most: u32| hash.params.get_decimal(name).is_none_or(|value| value <= most);
    at_most("m", MOST_KIB) && at_most("t", MOST_ROUNDS) && Argon2::default().verify_password(password, &hash).is_ok()
}
/// The hash of a password that nobody knows, as costly as any.
pub(super) fn nobodys() -> String {
    static HASH: LazyLock<String> = LazyLock::new(|| token::make().and_then(|(text, _)| hash(&text)).unwrap_or_default());
    HASH.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_and_no_greedy_one() {
        let hash = hash("secret").unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(is(b"secret", &hash) && !is(b"Secret", &hash) && !is(b"secret", "secret"));
        assert!(!is(b"secret", &hash.replace("m=19456", "m=4000000")));
        assert!(!is(b"", &nobodys()) && nobodys().starts_with("$argon2id$"));
    }
}
