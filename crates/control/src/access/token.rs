//! Tokens of the management API: `tgt_` and 256 random bits. Kept is only the hash.
use sha2::{Digest, Sha256};
use std::fmt::Write;
use tidegate_core::error::{Code, Error, Fault, Result};

/// A new one, and its hash.
pub fn make() -> Result<(String, [u8; 32])> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)
        .map_err(|error| Error::new(Code::Internal, Fault::Operator, format!("the system gives no randomness: {error}")))?;
    let text = format!("tgt_{}", base64_simd::URL_SAFE_NO_PAD.encode_to_string(bits));
    let digest = digest(&text);
    Ok((text, digest))
}
/// What is kept of one.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
/// As documents write it.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to memory cannot fail.
        let _never = write!(text, "{byte:02x}");
        text
    })
}
