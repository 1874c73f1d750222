//! Signatures of webhooks as Standard Webhooks 1.0.0 says: HMAC-SHA256 over `id.timestamp.body`, one for each secret, so that secrets can be
//! changed while both sides run.
use base64_simd::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{fmt, time::Duration};

/// How a secret begins, so that nobody takes it for anything else.
const PREFIX: &str = "whsec_";
/// In bytes, as the specification bounds them.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// How a symmetric signature begins.
const VERSION: &str = "v1";
/// More than that nobody signs with at once; each costs the receiver a hash.
const MOST_SIGNATURES: usize = 16;

/// What both sides know. Only what HMAC makes of it is kept.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);
impl Secret {
    /// `whsec_` and 24 to 64 bytes in base64, with or without padding.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let coded = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = STANDARD
            .decode_to_vec(coded)
            .or_else(|_| STANDARD_NO_PAD.decode_to_vec(coded))
            .map_err(|_| SecretError::Base64)?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        // HMAC takes keys of every length.
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| SecretError::Length(bytes.len()))
    }
    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        mac
    }
}
/// `***`.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
/// Why a text is no secret. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// It does not begin with `whsec_`.
    Prefix,
    /// What follows is not base64.
    Base64,
    /// It has so many bytes.
    Length(usize),
}
impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => f.write_str("it does not begin with `whsec_`"),
            Self::Base64 => f.write_str("what follows `whsec_` is not base64"),
            Self::Length(bytes) => write!(f, "it has {bytes} bytes, and 24 to 64 are asked for"),
        }
    }
}
impl std::error::Error for SecretError {}

/// The value of `webhook-signature`: `v1,… v1,…`, one for each secret in their order. `id` is to be without `.`, or what is signed could be read
/// in two ways; `timestamp` is the second of this attempt, since the epoch.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut out = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(VERSION);
        out.push(',');
        STANDARD.encode_append(secret.mac(id, timestamp, body).finalize().as_bytes(), &mut out);
    }
    out
}
/// Whether any of the signatures is of any of the secrets, and not older or newer than `tolerance`. The time it takes tells nothing about how
/// much of a signature was right. `timestamp` and `now` are seconds since the epoch.
pub fn verify(
    secrets: &[Secret],
    id: &str,
    timestamp: i64,
    body: &[u8],
    signatures: &str,
    tolerance: Duration,
    now: i64,
) -> Result<(), Refusal> {
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    if timestamp < now.saturating_sub(tolerance) {
        return Err(Refusal::TooOld);
    }
    if timestamp > now.saturating_add(tolerance) {
        return Err(Refusal::TooNew);
    }
    if id.is_empty() || id.contains('.') {
        return Err(Refusal::Id);
    }
    let known = |one: &str| {
        one.split_once(',')
            .filter(|(version, _)| *version == VERSION)
            .map(|(_, coded)| coded.to_owned())
    };
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(known)
        .take(MOST_SIGNATURES)
        .filter_map(|coded| STANDARD.decode_to_vec(coded).ok())
        .collect();
    if given.is_empty() {
        return Err(Refusal::Unsigned);
    }
    // Each secret is hashed once, and each pair compared, whichever was right.
    let mut good = false;
    for secret in secrets {
        let mac = secret.mac(id, timestamp, body);
        for signature in &given {
            good |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if good { Ok(()) } else { Err(Refusal::Mismatch) }
}
/// Why a webhook is not taken for one of the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was signed too long ago: somebody may be sending it again.
    TooOld,
    /// It was signed in the future: one of the clocks is wrong.
    TooNew,
    /// The id is empty or holds a `.`.
    Id,
    /// There is no signature of a kind that is known here.
    Unsigned,
    /// No signature is of any secret.
    Mismatch,
}
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooOld => "it was signed too long ago",
            Self::TooNew => "it was signed in the future",
            Self::Id => "the id is empty or holds a `.`",
            Self::Unsigned => "there is no signature that is known here",
            Self::Mismatch => "no signature is of a known secret",
        })
    }
}
impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTES: Duration = Duration::from_mins(5);
    /// Secret, id, timestamp, body, signature: as the public libraries of Standard Webhooks test themselves with them.
    const VECTORS: [(&str, &str, i64, &str, &str); 2] = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ];
    fn bare(signature: &str) -> &str {
        signature.strip_prefix("v1,").unwrap()
    }
    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    #[test]
    fn public_test_vectors_hold() {
        for (key, id, at, body, signature) in VECTORS {
            let secrets = [secret(key)];
            assert_eq!(sign(&secrets, id, at, body.as_bytes()), signature);
            assert_eq!(verify(&secrets, id, at, body.as_bytes(), signature, MINUTES, at), Ok(()));
        }
    }
    #[test]
    fn while_secrets_change_either_is_enough() {
        let [old, new] = VECTORS.map(|(key, ..)| secret(key));
        let (_, id, at, body, _) = VECTORS[0];
        let both = sign(&[old.clone(), new.clone()], id, at, body.as_bytes());
        assert_eq!(both.split(' ').count(), 2);
        for receiver in [vec![old.clone()], vec![new.clone()], vec![new.clone(), old.clone()]] {
            assert_eq!(verify(&receiver, id, at, body.as_bytes(), &both, MINUTES, at), Ok(()));
        }
        // The receiver changed first.
        let one = sign(std::slice::from_ref(&old), id, at, body.as_bytes());
        assert_eq!(verify(&[new.clone(), old], id, at, body.as_bytes(), &one, MINUTES, at), Ok(()));
        assert_eq!(verify(&[new], id, at, body.as_bytes(), &one, MINUTES, at), Err(Refusal::Mismatch));
    }
    #[test]
    fn other_versions_are_passed_over() {
        let (key, id, at, body, signature) = VECTORS[0];
        let check = |header: &str| verify(&[secret(key)], id, at, body.as_bytes(), header, MINUTES, at);
        assert_eq!(check(&format!("v1a,Zm9v v2,{} {signature}", bare(signature))), Ok(()));
        assert_eq!(check(&format!("v1a,{}", bare(signature))), Err(Refusal::Unsigned));
        for none in ["", " ", "v1", "v1,", "v1,!", bare(signature)] {
            assert!(matches!(check(none), Err(Refusal::Unsigned | Refusal::Mismatch)), "{none}");
        }
        let many = "v1,Zm9v ".repeat(MOST_SIGNATURES) + signature;
        assert_eq!(check(&many), Err(Refusal::Mismatch));
    }
    #[test]
    fn a_part_of_a_signature_is_none() {
        let (key, id, at, body, signature) = VECTORS[0];
        let whole = STANDARD.decode_to_vec(bare(signature)).unwrap();
        for length in 0..whole.len() {
            let part = format!("v1,{}", STANDARD.encode_to_string(&whole[..length]));
            assert_eq!(
                verify(&[secret(key)], id, at, body.as_bytes(), &part, MINUTES, at),
                Err(Refusal::Mismatch),
                "{length}"
            );
        }
    }
    #[test]
    fn old_and_future_ones_are_refused() {
        let (key, id, at, body, signature) = VECTORS[0];
        let check = |now| verify(&[secret(key)], id, at, body.as_bytes(), signature, MINUTES, now);
        assert_eq!((check(at + 300), check(at - 300)), (Ok(()), Ok(())));
        assert_eq!((check(at + 301), check(at - 301)), (Err(Refusal::TooOld), Err(Refusal::TooNew)));
        assert_eq!((check(i64::MAX), check(i64::MIN)), (Err(Refusal::TooOld), Err(Refusal::TooNew)));
    }
    #[test]
    fn an_id_with_a_dot_could_be_read_in_two_ways() {
        let (key, _, at, _, _) = VECTORS[0];
        let secrets = [secret(key)];
        // The same text is signed: `a.1614265330.b.` and so on.
        let signature = sign(&secrets, "a", at, b"b");
        let shifted = sign(&secrets, &format!("a.{at}"), at, b"b");
        assert_eq!(
            verify(&secrets, &format!("a.{at}"), at, b"b", &shifted, MINUTES, at),
            Err(Refusal::Id)
        );
        assert_eq!(verify(&secrets, "", at, b"b", &signature, MINUTES, at), Err(Refusal::Id));
    }
    #[test]
    fn secrets_are_checked_and_never_shown() {
        assert_eq!(Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap_err(), SecretError::Prefix);
        assert_eq!(Secret::parse("whsec_a b").unwrap_err(), SecretError::Base64);
        for (bytes, good) in [(0, false), (23, false), (24, true), (32, true), (64, true), (65, false)] {
            let coded = STANDARD.encode_to_string(vec![7; bytes]);
            let padded = Secret::parse(&format!("whsec_{coded}"));
            let bare = Secret::parse(&format!("whsec_{}", coded.trim_end_matches('=')));
            assert_eq!((padded.is_ok(), bare.is_ok()), (good, good), "{bytes}");
        }
        assert_eq!(format!("{:?}", secret(VECTORS[0].0)), "***");
    }
    proptest! {
        #[test]
        fn what_was_changed_is_refused(id in "[a-z_]{1,20}", body in prop::collection::vec(any::<u8>(), 1..60), at in 0..4_000_000_000_i64, place in any::<prop::sample::Index>()) {
            let secrets = [secret(VECTORS[0].0)];
            let signature = sign(&secrets, &id, at, &body);
            prop_assert_eq!(verify(&secrets, &id, at, &body, &signature, MINUTES, at), Ok(()));
            let mut other = body.clone();
            other[place.index(body.len())] ^= 1;
            prop_assert_eq!(verify(&secrets, &id, at, &other, &signature, MINUTES, at), Err(Refusal::Mismatch));
            prop_assert_eq!(verify(&secrets, &id, at + 1, &body, &signature, MINUTES, at), Err(Refusal::Mismatch));
            prop_assert_eq!(verify(&secrets, &format!("{id}x"), at, &body, &signature, MINUTES, at), Err(Refusal::Mismatch));
        }
    }
}
