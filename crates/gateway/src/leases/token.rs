//! What names a lease: nobody can guess one who has none of its page, and whoever has one of them has all.
use sha2::{Digest, Sha256};
use std::ops::Range;
use tidegate_core::error::{Code, Error, Fault, Result};

/// Of a token: 48 bits of page and 96 of proof in the URL's base64, then 16 of place in hexadecimal.
const TOKEN: usize = 28;
const PAGE: Range<usize> = 0..8;
const PROOF: Range<usize> = 8..24;
const PLACE: Range<usize> = 24..28;

/// What pages are proved by. It is drawn anew at each start.
pub(super) struct Secret([u8; 32]);
impl Secret {
    /// Fails when the machine has no chance to give.
    pub(super) fn draw() -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| Error::new(Code::Internal, Fault::Gateway, "no random numbers").because(error.to_string()))?;
        Ok(Self(secret))
    }
    /// The token of a page's first place.
    pub(super) fn first(&self, page: u64) -> Token {
        let proof = Sha256::new().chain_update(self.0).chain_update(page.to_be_bytes()).finalize();
        let [_, _, number @ ..] = page.to_be_bytes();
        let mut text = [b'0'; TOKEN];
        let bits = [&number, proof.get(..12).unwrap_or_default()].concat();
        if let Some(text) = text.get_mut(PAGE.start..PROOF.end) {
            let _as_long = base64_simd::URL_SAFE_NO_PAD.encode(&bits, base64_simd::Out::from_slice(text));
        }
        Token(text)
    }
}
/// What names one lease.
#[derive(Clone, Copy)]
pub struct Token([u8; TOKEN]);
impl Token {
    /// As clients see it.
    pub fn as_str(&self) -> &str {
        // Letters and digits of base64 only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
    /// The same page and proof, another place in it.
    fn at(mut self, place: u16) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if let Some(text) = self.0.get_mut(PLACE) {
            let digit = |shift: u32| DIGITS[usize::from(place >> shift & 15)];
            text.copy_from_slice(&[digit(12), digit(8), digit(4), digit(0)]);
        }
        self
    }
}
/// What names leases that were handed out together.
#[derive(Clone)]
pub struct Tokens {
    pub(super) page: u64,
    first: Token,
    count: usize,
}
impl Default for Tokens {
    fn default() -> Self {
        Self::new(0, Token([b'0'; TOKEN]), 0)
    }
}
impl Tokens {
    pub(super) fn new(page: u64, first: Token, count: usize) -> Self {
        Self { page, first, count }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// In the order of what they name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Token> + use<> {
        let first = self.first;
        // A page has no more places.
        (0..self.count).map(move |place| first.at(place as u16))
    }
}
/// Page and place in it.
pub(super) type Place = (u64, u16);
/// Tokens that were proved: those of one page differ in their place only.
pub(super) struct Known<'a> {
    secret: &'a Secret,
    /// The page, and the token of its first place.
    last: Option<(u64, Token)>,
}
impl<'a> Known<'a> {
    pub(super) fn by(secret: &'a Secret) -> Self {
        Self { secret, last: None }
    }
    /// What a token names, if it is one of ours.
    pub(super) fn place(&mut self, shown: &str) -> Option<Place> {
        let shown: &[u8; TOKEN] = shown.as_bytes().try_into().ok()?;
        let known = self.last.as_ref().filter(|(_, first)| first.0.get(PAGE) == shown.get(PAGE));
        if known.is_none() {
            let page = page(shown.get(PAGE)?)?;
            self.last = Some((page, self.secret.first(page)));
        }
        let (page, first) = self.last.as_ref()?;
        let (own, proof) = (first.0.get(PROOF)?, shown.get(PROOF)?);
        // All of it, however early it differs.
        let differs = proof.iter().zip(own).fold(0, |differs, (shown, own)| differs | (shown ^ own));
        let place = digits(shown.get(PLACE)?)?;
        (differs == 0).then_some((*page, place))
    }
}
fn page(text: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    let bits = number.get_mut(2..)?;
    base64_simd::URL_SAFE_NO_PAD.decode(text, base64_simd::Out::from_slice(bits)).ok()?;
    Some(u64::from_be_bytes(number))
}
/// Hexadecimal as we write it, and in no other way.
fn digits(text: &[u8]) -> Option<u16> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(u16::from(digit - b'0')),
        b'a'..=b'f' => Some(u16::from(digit - b'a') + 10),
        _ => None,
    };
    text.iter().try_fold(0, |number, one| Some(number << 4 | digit(*one)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_page_and_place_and_nothing_else_does() {
        let (secret, other) = (Secret::draw().unwrap(), Secret::draw().unwrap());
        for (page, place) in [(1, 0), (0x1234_5678_9abc, 65_535), (0xffff_ffff_ffff, 7)] {
            let token = secret.first(page).at(place);
            assert_eq!(Known::by(&secret).place(token.as_str()), Some((page, place)));
            assert_eq!(Known::by(&other).place(token.as_str()), None);
            // Another token of the same page was seen before.
            let mut known = Known::by(&secret);
            assert_eq!(known.place(secret.first(page).as_str()), Some((page, 0)));
            for at in 0..PLACE.start {
                let mut changed = token.as_str().to_owned().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                assert_eq!(known.place(std::str::from_utf8(&changed).unwrap()), None, "{at}");
            }
        }
        let token = secret.first(5).at(0xabc);
        let shouted = format!("{}0ABC", token.as_str().split_at(PLACE.start).0);
        for bad in ["", "x", &"é".repeat(14), &"!".repeat(28), &format!("{}0", token.as_str()), &shouted] {
            assert_eq!(Known::by(&secret).place(bad), None, "{bad}");
        }
        let tokens = Tokens::new(5, secret.first(5), 3).iter();
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens.last().unwrap().as_str(), secret.first(5).at(2).as_str());
    }
}
