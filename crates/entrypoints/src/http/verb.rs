//! What stands below a path and is no path: `_pull`, `_settle`, `_ticket`.
use http::Method;
use tidegate_core::error::{Code, Error};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Pull,
    Settle,
    Ticket,
}
impl Verb {
    /// The path it stands below.
    pub(super) fn of(path: &str) -> Option<(&str, Self)> {
        let (path, verb) = path.rsplit_once('/')?;
        let verb = [Self::Pull, Self::Settle, Self::Ticket]
            .into_iter()
            .find(|known| known.as_str() == verb)?;
        Some((path, verb))
    }
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "_pull",
            Self::Settle => "_settle",
            Self::Ticket => "_ticket",
        }
    }
    /// An api without that entrypoint.
    pub(super) fn absent(self) -> Error {
        Error::client(
            Code::NotFound,
            format!("this api has no entrypoint `pull`, so no `{}`", self.as_str()),
        )
        .with_hint("the api's `entrypoints: { pull: {} }` turns it on, where its backend knows groups")
    }
    pub(super) fn no_method(self, method: &Method) -> Error {
        let text = format!("`{}` is asked by POST, not by `{method}`", self.as_str());
        Error::client(Code::MethodNotAllowed, text).with_hint("allowed: POST")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_the_last_part_of_a_path() {
        assert_eq!(Verb::of("/orders/_pull"), Some(("/orders", Verb::Pull)));
        assert_eq!(Verb::of("/_settle"), Some(("", Verb::Settle)));
        assert_eq!(Verb::of("/a/b/_ticket"), Some(("/a/b", Verb::Ticket)));
        assert_eq!(Verb::of("/orders/pull"), None);
        assert_eq!(Verb::of("/orders/_pull/x"), None);
    }
}
