//! Keys that sign the tokens of sessions: a JWK set (RFC 7517) of symmetric keys, the newest first. All verify; the first whose time has come
//! signs, so a new one is known to every node that shares the file before anybody shows a token of it.
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::error::{Code, Error, Fault, Result};

/// RFC 7518, section 3.2: a key as long as the hash at least.
const LEAST: usize = 32;
/// In one file.
const MOST: usize = 64;
const SECOND: i64 = 1_000_000;
/// What others print in their documents, in any case.
const PUBLISHED: &[&str] = &[
    "jwt_test_purpose",
    "refresh_jwt_test_purpose",
    "a-string-secret-at-least-256-bits-long",
    "qwertyuiopasdfghjklzxcvbnm123456",
    "your-256-bit-secret",
    "your-384-bit-secret",
    "your-512-bit-secret",
];
/// The one of RFC 7515, appendix A.1, and of all who took theirs from there.
const OF_RFC_7515: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

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
    /// Seconds since the epoch. Ours: RFC 7517 has no word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signs_from: Option<i64>,
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
    /// Microseconds since the epoch; `None`: at once.
    signs_from: Option<i64>,
}
impl Key {
    fn new(id: &str, bytes: Vec<u8>, signs_from: Option<i64>) -> Result<Self> {
        let refused = |why: String| Err(bad(&format!("key `{}` {why}", id.escape_debug())));
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let published = PUBLISHED.iter().any(|known| text.trim_end_matches('\0').trim() == *known);
        if published || base64_simd::URL_SAFE_NO_PAD.encode_to_string(&bytes) == OF_RFC_7515 {
            return refused("is one that public documents print".to_owned());
        }
        if bytes.len() < LEAST {
            return refused(format!("has {} bytes, at least {LEAST} are needed", bytes.len()));
        }
        if guessable(&bytes) {
            return refused("repeats or counts, so it can be guessed".to_owned());
        }
        Ok(Self {
            id: id.into(),
            signs: EncodingKey::from_secret(&bytes),
            verifies: DecodingKey::from_secret(&bytes),
            bytes,
            signs_from: signs_from.map(|seconds| seconds.saturating_mul(SECOND)),
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
    fn written(&self) -> Jwk {
        Jwk {
            kty: "oct".to_owned(),
            alg: hs256(),
            kid: self.id.to_string(),
            k: base64_simd::URL_SAFE_NO_PAD.encode_to_string(&self.bytes),
            signs_from: self.signs_from.map(|micros| micros / SECOND),
        }
    }
}
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.bytes, self.signs_from) == (&other.id, &other.bytes, other.signs_from)
    }
}
/// Few bytes, a short text over and over, or steps of one size: what people type where a key is asked for.
fn guessable(bytes: &[u8]) -> bool {
    let mut seen = bytes.to_vec();
    seen.sort_unstable();
    seen.dedup();
    let repeats = (1..=bytes.len() / 2).any(|period| bytes.iter().zip(bytes.iter().skip(period)).all(|(one, next)| one == next));
    let steps = bytes.windows(2).filter_map(|pair| Some(pair.last()?.wrapping_sub(*pair.first()?)));
    let mut sizes = [0_usize; 256];
    for step in steps {
        if let Some(size) = sizes.get_mut(usize::from(step)) {
            *size += 1;
        }
    }
    seen.len() < 8 || repeats || sizes.iter().any(|times| times * 2 > bytes.len())
}
/// When a new key signs, and how long those before it stay.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Microseconds since the epoch.
    pub now: i64,
    /// Until every node that shares the file has read it.
    pub after: Duration,
    /// As long as a token of an old key may hold.
    pub overlap: Duration,
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
            keys.push(Key::new(&jwk.kid, bytes, jwk.signs_from)?);
        }
        if keys.is_empty() || keys.len() > MOST {
            return Err(bad(&format!("{} keys, from 1 to {MOST} are needed", keys.len())));
        }
        Ok(Self { keys })
    }
    /// The text of a set of one new key that signs at once. Tokens of any other hold no more.
    pub fn fresh() -> Result<String> {
        written(vec![drawn(None)?])
    }
    /// The text of this set with a new key before the others. Those whose tokens may still hold stay, and those of which nobody knows.
    pub fn turned(&self, turn: Turn) -> Result<String> {
        // Whole seconds are written: never earlier than asked.
        let from = turn.now.saturating_add(turn.after.as_micros() as i64) / SECOND + 1;
        let mut keys = vec![drawn(Some(from))?];
        // Each key signed until the one before it in the list did.
        let mut until = Some(from.saturating_mul(SECOND));
        for key in &self.keys {
            let holds = |until: i64| turn.now < until.saturating_add(turn.overlap.as_micros() as i64);
            if until.is_none_or(holds) {
                keys.push(key.written());
            }
            until = key.signs_from;
        }
        if keys.len() > MOST {
            return Err(bad(&format!("{MOST} keys are all the file may hold, and tokens of each still do"))
                .with_hint("wait until old tokens have expired, or start anew: `tidegate token rotate-keys --revoke`"));
        }
        written(keys)
    }
    /// What the keys are called, the newest first.
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.id.to_string()).collect()
    }
    /// When the newest one begins to sign, microseconds since the epoch, unless it does.
    pub fn signs_from(&self, now: i64) -> Option<i64> {
        self.keys.first()?.signs_from.filter(|from| now < *from)
    }
    /// The one that signs. There is always one.
    pub(crate) fn signing(&self, now: i64) -> Option<&Key> {
        let mut ready = self.keys.iter().filter(|key| key.signs_from.is_none_or(|from| from <= now));
        // Somebody took out all the others: it cannot wait.
        ready.next().or(self.keys.first())
    }
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
    /// By the name a token gives.
    pub(crate) fn find(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| *key.id == *id)
    }
}
fn drawn(signs_from: Option<i64>) -> Result<Jwk> {
    let fill = |bytes: &mut [u8]| {
        getrandom::fill(bytes)
            .map_err(|error| Error::new(Code::Internal, Fault::Operator, format!("the system gives no randomness: {error}")))
    };
    let (mut id, mut bytes) = ([0; 9], [0; 32]);
    fill(&mut id)?;
    fill(&mut bytes)?;
    Ok(Jwk {
        kty: "oct".to_owned(),
        alg: hs256(),
        kid: base64_simd::URL_SAFE_NO_PAD.encode_to_string(id),
        k: base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes),
        signs_from,
    })
}
fn written(keys: Vec<Jwk>) -> Result<String> {
    let written = serde_json::to_string_pretty(&Set { keys });
    let mut text = written.map_err(|error| Error::new(Code::Internal, Fault::Gateway, "keys cannot be written").because(error))?;
    text.push('\n');
    Ok(text)
}
fn bad(why: &str) -> Error {
    Error::new(Code::BadSigningKey, Fault::Operator, why.to_owned())
        .with_hint("name a file that is not there, and Tidegate makes a good one; nodes may share it")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * SECOND;

    fn set(k: &[u8]) -> String {
        format!(
            r#"{{"keys":[{{"kty":"oct","kid":"a","k":"{}","use":"sig"}}]}}"#,
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(k)
        )
    }
    fn at(hours: i64) -> Turn {
        Turn {
            now: hours * HOUR,
            after: Duration::from_secs(10),
            overlap: Duration::from_hours(5),
        }
    }
    #[test]
    fn a_new_key_comes_first_and_signs_when_all_have_read_it() {
        let first = Ring::parse(&Ring::fresh().unwrap()).unwrap();
        let second = Ring::parse(&first.turned(at(100)).unwrap()).unwrap();
        assert_eq!((first.keys.len(), second.keys.len()), (1, 2));
        assert_eq!(second.keys[1].id, first.keys[0].id);
        assert!(second.find(&first.keys[0].id).is_some() && first.find(&second.keys[0].id).is_none());
        let signs = |now| second.signing(now).unwrap().id.clone();
        let from = second.signs_from(100 * HOUR).unwrap();
        assert!((100 * HOUR + 10 * SECOND..=100 * HOUR + 11 * SECOND).contains(&from));
        assert_eq!(
            (signs(from - 1), signs(from)),
            (first.keys[0].id.clone(), second.keys[0].id.clone())
        );
        assert!(second.signs_from(from).is_none());
        // Turned again at once: the one before waits its time all the same.
        let third = Ring::parse(&second.turned(at(100)).unwrap()).unwrap();
        assert_eq!((third.keys.len(), &third.signing(100 * HOUR).unwrap().id), (3, &first.keys[0].id));
        // Whoever took the others out wants this one.
        let alone = Ring::parse(&written(vec![second.keys[0].written()]).unwrap()).unwrap();
        assert_eq!(alone.signing(0).unwrap().id, second.keys[0].id);
        let parts = ["root", "", "$argon2id$x"];
        assert_eq!(first.keys[0].subject(parts).unwrap(), second.keys[1].subject(parts).unwrap());
        assert_ne!(first.keys[0].subject(parts).unwrap(), second.keys[0].subject(parts).unwrap());
        assert_ne!(
            first.keys[0].subject(["a", "bc", ""]).unwrap(),
            first.keys[0].subject(["ab", "c", ""]).unwrap()
        );
    }
    #[test]
    fn an_old_key_stays_as_long_as_its_tokens_may_hold() {
        let mut ring = Ring::parse(&Ring::fresh().unwrap()).unwrap();
        let mut names = ring.names();
        for hour in 100..112 {
            ring = Ring::parse(&ring.turned(at(hour)).unwrap()).unwrap();
            names.insert(0, ring.names().remove(0));
            // The key of `n` hours ago was followed one hour later, and its tokens held five more.
            let kept = names.len().min(7);
            assert_eq!(ring.names(), names[..kept], "at {hour}");
        }
        while ring.names().len() < MOST {
            ring = Ring::parse(&ring.turned(at(112)).unwrap()).unwrap();
        }
        assert_eq!(ring.turned(at(112)).map_err(|error| error.code()), Err(Code::BadSigningKey));
        // What nobody dated stays until somebody takes it out.
        let undated: Vec<_> = (0..3).map(|_| drawn(None).unwrap()).collect();
        let ring = Ring::parse(&written(undated).unwrap()).unwrap();
        let later = Ring::parse(&ring.turned(at(100)).unwrap()).unwrap();
        assert_eq!(
            Ring::parse(&later.turned(at(1_000)).unwrap()).unwrap().names()[1..],
            [&later.names()[..1], &later.names()[2..]].concat()
        );
    }
    #[test]
    fn weak_and_published_keys_are_refused_without_showing_them() {
        let counting: Vec<u8> = (1..65).collect();
        let rfc = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(OF_RFC_7515).unwrap();
        for weak in [
            &b"JWT_TEST_PURPOSE"[..],
            b"secret",
            b"short",
            &[7; 64],
            b"your-256-bit-secret",
            b"A-string-secret-at-least-256-bits-long",
            b"JWT_TEST_PURPOSEJWT_TEST_PURPOSE",
            b"memphismemphismemphismemphismemph",
            b"0123456789abcdefghijklmnopqrstuv",
            &counting,
            &rfc,
        ] {
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
        assert!(Ring::parse(&set(b"wq8Zt1xLr0uVb5nKd7yGc3mPj9sHf2ae")).is_ok());
    }
}
