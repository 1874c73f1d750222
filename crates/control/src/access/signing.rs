//! Keys that sign the tokens of sessions: a JWK set (RFC 7517) of symmetric keys. The first signs, all verify, so a new one can be put before
//! an old one and both hold until the old one is taken out.
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::{fmt, sync::Arc};
use tidegate_core::error::{Code, Error, Fault, Result};

/// RFC 7518, section 3.2: a key as long as the hash at least.
const LEAST: usize = 32;
/// In one file.
const MOST: usize = 64;
/// What others print in their documents, in any case.
const PUBLISHED: &[&str] = &[
    "jwt_test_purpose",
    "refresh_jwt_test_purpose",
    "memphis",
    "your-256-bit-secret",
    "secret",
];

#[derive(Serialize, Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}
/// Unknown members are kept by nobody: RFC 7517 says to ignore them.
#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default = "hs256")]
    alg: String,
    kid: String,
    k: String,
}
fn hs256() -> String {
    "HS256".to_owned()
}
/// One key.
pub(crate) struct Key {
    pub(crate) id: Arc<str>,
    pub(crate) signs: EncodingKey,
    pub(crate) verifies: DecodingKey,
    bytes: Vec<u8>,
}
impl Key {
    fn new(id: &str, bytes: Vec<u8>) -> Result<Self> {
        let refused = |why: String| Err(bad(&format!("key `{}` {why}", id.escape_debug())));
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if PUBLISHED.iter().any(|known| text.trim_end_matches('\0').trim() == *known) {
            return refused("is one that public documents print".to_owned());
        }
        if bytes.len() < LEAST {
            return refused(format!("has {} bytes, at least {LEAST} are needed", bytes.len()));
        }
        let mut seen = bytes.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < 8 {
            return refused("repeats a few bytes, so it can be guessed".to_owned());
        }
        Ok(Self {
            id: id.into(),
            signs: EncodingKey::from_secret(&bytes),
            verifies: DecodingKey::from_secret(&bytes),
            bytes,
        })
    }
    /// What stands for a user in a token: says nothing of it, the same wherever key and user are the same, another one with another password.
    pub(crate) fn subject(&self, parts: [&str; 3]) -> Result<[u8; 16]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes).map_err(|_| bad("a key has no bytes"))?;
        mac.update(b"tidegate subject");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let mut short = [0; 16];
        short.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
        Ok(short)
    }
}
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.bytes) == (&other.id, &other.bytes)
    }
}
/// The keys of one file.
#[derive(PartialEq)]
pub struct Ring {
    keys: Vec<Key>,
}
impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}
impl Ring {
    /// What a file holds. What is wrong is said without a secret.
    pub fn parse(text: &str) -> Result<Self> {
        let set: Set = serde_json::from_str(text).map_err(|error| {
            bad(&format!(
                "line {}: not a JWK set such as `{{\"keys\":[{{\"kty\":\"oct\",\"kid\":…,\"k\":…}}]}}`",
                error.line()
            ))
        })?;
        let mut keys: Vec<Key> = Vec::new();
        for jwk in set.keys {
            if jwk.kty != "oct" || jwk.alg != "HS256" {
                return Err(bad(&format!(
                    "key `{}` is not of `kty` `oct` and `alg` `HS256`",
                    jwk.kid.escape_debug()
                )));
            }
            let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(jwk.k.trim_end_matches('='));
            let bytes = bytes.map_err(|_| bad(&format!("key `{}`: `k` is not base64url", jwk.kid.escape_debug())))?;
            if keys.iter().any(|known| *known.id == *jwk.kid) {
                return Err(bad(&format!("two keys are called `{}`", jwk.kid.escape_debug())));
            }
            keys.push(Key::new(&jwk.kid, bytes)?);
        }
        if keys.is_empty() || keys.len() > MOST {
            return Err(bad(&format!("{} keys, from 1 to {MOST} are needed", keys.len())));
        }
        Ok(Self { keys })
    }
    /// The text of a set with a new key before those of another, of which so many stay.
    pub fn with_new(old: Option<&Self>, stay: usize) -> Result<String> {
        let drawn = |bytes: &mut [u8]| {
            getrandom::fill(bytes)
                .map_err(|error| Error::new(Code::Internal, Fault::Operator, format!("the system gives no randomness: {error}")))
        };
        let (mut id, mut bytes) = ([0; 9], [0; 32]);
        drawn(&mut id)?;
        drawn(&mut bytes)?;
        let jwk = |id: &str, bytes: &[u8]| Jwk {
            kty: "oct".to_owned(),
            alg: hs256(),
            kid: id.to_owned(),
            k: base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes),
        };
        let mut keys = vec![jwk(&base64_simd::URL_SAFE_NO_PAD.encode_to_string(id), &bytes)];
        keys.extend(
            old.into_iter()
                .flat_map(|ring| &ring.keys)
                .take(stay)
                .map(|key| jwk(&key.id, &key.bytes)),
        );
        let written = serde_json::to_string_pretty(&Set { keys });
        let mut text = written.map_err(|error| Error::new(Code::Internal, Fault::Gateway, "keys cannot be written").because(error))?;
        text.push('\n');
        Ok(text)
    }
    /// What the keys are called, the one that signs first.
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.id.to_string()).collect()
    }
    /// The one that signs. There is always one.
    pub(crate) fn first(&self) -> Option<&Key> {
        self.keys.first()
    }
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
    /// By the name a token gives.
    pub(crate) fn find(&self, id: Option<&str>) -> Option<&Key> {
        self.keys.iter().find(|key| Some(&*key.id) == id)
    }
}
fn bad(why: &str) -> Error {
    Error::new(Code::BadSigningKey, Fault::Operator, why.to_owned())
        .with_hint("name a file that is not there, and Tidegate makes a good one; nodes may share it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(k: &[u8]) -> String {
        format!(
            r#"{{"keys":[{{"kty":"oct","kid":"a","k":"{}","use":"sig"}}]}}"#,
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(k)
        )
    }
    #[test]
    fn a_new_key_comes_first_and_the_old_ones_stay() {
        let first = Ring::parse(&Ring::with_new(None, 0).unwrap()).unwrap();
        let second = Ring::parse(&Ring::with_new(Some(&first), 3).unwrap()).unwrap();
        assert_eq!((first.keys.len(), second.keys.len()), (1, 2));
        assert_eq!(second.keys[1].id, first.keys[0].id);
        assert!(second.find(Some(&first.keys[0].id)).is_some() && first.find(Some(&second.keys[0].id)).is_none());
        let parts = ["root", "", "$argon2id$x"];
        assert_eq!(first.keys[0].subject(parts).unwrap(), second.keys[1].subject(parts).unwrap());
        assert_ne!(first.keys[0].subject(parts).unwrap(), second.keys[0].subject(parts).unwrap());
        assert_ne!(
            first.keys[0].subject(["a", "bc", ""]).unwrap(),
            first.keys[0].subject(["ab", "c", ""]).unwrap()
        );
    }
    #[test]
    fn weak_and_published_keys_are_refused_without_showing_them() {
        for weak in [&b"JWT_TEST_PURPOSE"[..], b"secret", b"short", &[7; 64], b"your-256-bit-secret"] {
            let refused = Ring::parse(&set(weak)).unwrap_err();
            assert_eq!(refused.code(), Code::BadSigningKey);
            assert!(!refused.to_string().contains(&*String::from_utf8_lossy(weak)), "{refused}");
        }
        for text in [
            "",
            "{}",
            "[]",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"RSA","kid":"a","k":"x"}]}"#,
            r#"{"keys":[{"kty":"oct","kid":"a","k":"!"}]}"#,
        ] {
            assert_eq!(Ring::parse(text).unwrap_err().code(), Code::BadSigningKey, "{text}");
        }
        assert!(Ring::parse(&set(b"0123456789abcdefghijklmnopqrstuv")).is_ok());
    }
}
