//! Why a subscription ends; users see the word.

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The source has no more to give.
    SourceEnded,
    /// The API was taken away.
    ApiGone,
    /// The gateway is shutting down.
    Draining,
    /// The caller may no longer read.
    Refused,
    /// The client did not keep up, and the source cannot be read again.
    TooSlow,
    /// The client went away.
    ClientLeft,
}
impl Ended {
    /// The word users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceEnded => "source_ended",
            Self::ApiGone => "api_gone",
            Self::Draining => "draining",
            Self::Refused => "refused",
            Self::TooSlow => "too_slow",
            Self::ClientLeft => "client_left",
        }
    }
}
