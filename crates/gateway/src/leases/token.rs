//! What names a lease: nobody can guess one who has none of its page, and whoever has one of them has all. What all leases of a page begin
//! with names the page.
use sha2::{Digest, Sha256};
use std::{fmt, ops::Range};
use tidegate_core::error::{Code, Error, Fault, Result};

/// Of a token: 48 bits of page, 16 of its last place and 80 of proof in the URL's base64, then 16 of place in hexadecimal.
const TOKEN: usize = 28;
/// All but the place.
const PROVED: usize = 24;
/// Bytes of page, last place and proof.
const BITS: usize = 18;

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
    /// The token of the first place of a page with so many of them.
    pub(super) fn first(&self, page: u64, count: usize, owner: &str) -> Token {
        let [_, _, number @ ..] = page.to_be_bytes();
        let last = (count.saturating_sub(1) as u16).to_be_bytes();
        let proof = Sha256::new()
            .chain_update(self.0)
            .chain_update(number)
            .chain_update(last)
            .chain_update(owner)
            .finalize();
        let mut text = [b'0'; TOKEN];
        let bits = [&number, &last[..], proof.get(..10).unwrap_or_default()].concat();
        if let Some(text) = text.get_mut(..PROVED) {
            let _as_long = base64_simd::URL_SAFE_NO_PAD.encode(&bits, base64_simd::Out::from_slice(text));
        }
        Token(text)
    }
}
/// What names one lease.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; TOKEN]);
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
impl Token {
    /// As clients see it.
    pub fn as_str(&self) -> &str {
        // Letters and digits of base64 only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
    /// Whether that is the beginning of this. Looks at all of it, however early it differs.
    fn proves(&self, shown: &[u8]) -> bool {
        self.0.iter().zip(shown).fold(0, |differs, (own, shown)| differs | (own ^ shown)) == 0
    }
    /// The same page and proof, another place in it.
    fn at(mut self, place: u16) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if let Some(text) = self.0.get_mut(PROVED..) {
            let digit = |shift: u32| DIGITS[usize::from(place >> shift & 15)];
            text.copy_from_slice(&[digit(12), digit(8), digit(4), digit(0)]);
        }
        self
    }
}
/// What names leases that were handed out together.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What names all of them.
    pub fn page(&self) -> &str {
        let page = self.first.0.get(..PROVED).unwrap_or_default();
        std::str::from_utf8(page).unwrap_or_default()
    }
    /// Of one of its places.
    pub(super) fn at(&self, place: u32) -> Token {
        // A page has no more places.
        self.first.at(place as u16)
    }
    /// In the order of what they name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Token> + use<> {
        let first = self.first;
        // A page has no more places.
        (0..self.count).map(move |place| first.at(place as u16))
    }
}
/// What a token names, or the beginning that all tokens of a page share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) page: u64,
    pub(super) places: Range<u32>,
    /// The page as a whole was named.
    pub(super) all: Option<Tokens>,
}
/// Tokens of one owner that were proved: those of one page differ in their place only.
pub(super) struct Known<'a> {
    secret: &'a Secret,
    owner: &'a str,
    /// The page, its last place, and the token of its first one.
    last: Option<(u64, u16, Token)>,
}
impl<'a> Known<'a> {
    pub(super) fn by(secret: &'a Secret, owner: &'a str) -> Self {
        Self { secret, owner, last: None }
    }
    /// What a token names, if it is one of ours.
    pub(super) fn named(&mut self, shown: &str) -> Option<Named> {
        let (proved, place) = shown.as_bytes().split_at_checked(PROVED)?;
        if !self.last.as_ref().is_some_and(|(_, _, first)| first.proves(proved)) {
            let (page, last) = page(proved)?;
            let first = self.secret.first(page, usize::from(last) + 1, self.owner);
            if !first.proves(proved) {
                // What was known before still is.
                return None;
            }
            self.last = Some((page, last, first));
        }
        let (page, last, first) = self.last.as_ref()?;
        let (page, count) = (*page, u32::from(*last) + 1);
        if place.is_empty() {
            let all = Some(Tokens::new(page, *first, count as usize));
            return Some(Named {
                page,
                places: 0..count,
                all,
            });
        }
        let place: &[u8; TOKEN - PROVED] = place.try_into().ok()?;
        let place = u32::from(digits(place).filter(|place| place <= last)?);
        Some(Named {
            page,
            places: place..place + 1,
            all: None,
        })
    }
}
/// A page and its last place.
fn page(text: &[u8]) -> Option<(u64, u16)> {
    let mut bits = [0; BITS];
    let bits = base64_simd::URL_SAFE_NO_PAD
        .decode(text, base64_simd::Out::from_slice(&mut bits))
        .ok()?;
    let (number, bits) = bits.split_first_chunk::<6>()?;
    let (last, _proof) = bits.split_first_chunk::<2>()?;
    let mut page = [0; 8];
    page.get_mut(2..)?.copy_from_slice(number);
    Some((u64::from_be_bytes(page), u16::from_be_bytes(*last)))
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

    fn one(page: u64, place: u16) -> Named {
        let place = u32::from(place);
        Named {
            page,
            places: place..place + 1,
            all: None,
        }
    }

    #[test]
    fn a_token_names_its_page_and_place_and_nothing_else_does() {
        let (secret, other) = (Secret::draw().unwrap(), Secret::draw().unwrap());
        for (page, count, place) in [(1, 1, 0), (0x1234_5678_9abc, 65_536, 65_535), (0xffff_ffff_ffff, 100, 7)] {
            let first = secret.first(page, count, "a");
            let token = first.at(place);
            assert_eq!(Known::by(&secret, "a").named(token.as_str()), Some(one(page, place)));
            assert_eq!(Known::by(&other, "a").named(token.as_str()), None);
            assert_eq!(Known::by(&secret, "b").named(token.as_str()), None);
            // Another token of the same page was seen before.
            let mut known = Known::by(&secret, "a");
            assert_eq!(known.named(first.as_str()), Some(one(page, 0)));
            for at in 0..PROVED {
                let mut changed = token.as_str().to_owned().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(known.named(&changed), None, "{at}");
                assert_eq!(known.named(token.as_str()), Some(one(page, place)), "{at}: beside what was changed");
                assert_eq!(Known::by(&secret, "a").named(&changed), None, "{at}");
            }
        }
        let first = secret.first(5, 0xabc, "a");
        assert_eq!(Known::by(&secret, "a").named(first.at(0xabb).as_str()), Some(one(5, 0xabb)));
        // Behind its last place.
        assert_eq!(Known::by(&secret, "a").named(first.at(0xabc).as_str()), None);
        let shouted = format!("{}0ABB", first.as_str().split_at(PROVED).0);
        for bad in ["", "x", &"é".repeat(14), &"!".repeat(28), &format!("{}0", first.as_str()), &shouted] {
            assert_eq!(Known::by(&secret, "a").named(bad), None, "{bad}");
        }
        let tokens = Tokens::new(5, first, 3).iter();
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens.last().unwrap().as_str(), first.at(2).as_str());
    }
    #[test]
    fn what_all_tokens_of_a_page_begin_with_names_the_page() {
        let (secret, other) = (Secret::draw().unwrap(), Secret::draw().unwrap());
        let all = Tokens::new(9, secret.first(9, 300, "a"), 300);
        assert!(all.iter().all(|token| token.as_str().starts_with(all.page())));
        let wanted = Some(Named {
            page: 9,
            places: 0..300,
            all: Some(all.clone()),
        });
        assert_eq!(Known::by(&secret, "a").named(all.page()), wanted);
        assert_eq!(Known::by(&secret, "b").named(all.page()), None);
        assert_eq!(Known::by(&other, "a").named(all.page()), None);
        for at in 0..PROVED {
            let mut changed = all.page().to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Known::by(&secret, "a").named(std::str::from_utf8(&changed).unwrap()), None, "{at}");
        }
        for cut in (0..PROVED).chain(PROVED + 1..TOKEN) {
            let token = all.iter().next().unwrap();
            assert_eq!(Known::by(&secret, "a").named(token.as_str().split_at(cut).0), None, "{cut}");
        }
    }
}
