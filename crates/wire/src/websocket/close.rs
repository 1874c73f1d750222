//! Why a connection is closed (RFC 6455, section 7.4).
use std::fmt;

/// A code that may stand in a close frame. 1005, 1006 and 1015 may not: they stand for what was not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All is done.
    pub const NORMAL: Self = Self(1000);
    /// The server or the page goes away.
    pub const AWAY: Self = Self(1001);
    /// The other side broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// This type of data is not taken here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const INVALID: Self = Self(1007);
    /// Not allowed.
    pub const POLICY: Self = Self(1008);
    /// A message is larger than is taken here.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// Come back later: drain, stop or too slow.
    pub const TRY_LATER: Self = Self(1013);

    /// `None` if the number may not stand in a close frame: the registry knows 1000 to 1003 and 1007 to 1014, 3000 to 4999 are free.
    pub fn new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}
impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_codes() {
        let bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
        assert!(bad.iter().all(|code| CloseCode::new(*code).is_none()));
        let good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999];
        assert!(
            good.iter()
                .all(|code| CloseCode::new(*code).is_some_and(|found| found.get() == *code))
        );
    }
}
