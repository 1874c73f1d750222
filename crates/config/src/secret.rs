//! A value that is never shown.
use serde::{Serialize, Serializer};
use std::fmt;

/// `Debug`, `Display` and `Serialize` print `***`, so it cannot reach a log or an answer by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);
impl Secret {
    /// Takes the value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The value itself: only where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()),
            "*** *** \"***\""
        );
        assert_eq!(secret.expose(), "hunter2");
    }
}
