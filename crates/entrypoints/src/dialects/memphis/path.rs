//! Paths of the Memphis HTTP API: any case, and one slash at the end is passed over.

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'p> {
    /// `/`, asked by probes.
    Root,
    Status,
    Authenticate,
    Refresh,
    /// A station, as it stands there, and what is done at it.
    Station(&'p str, Deed),
    Nowhere,
}
/// What is done at a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    ProduceOne,
    ProduceBatch,
    ConsumeBatch,
    Pull,
    Settle,
}
impl<'p> Place<'p> {
    pub(super) fn of(path: &'p str) -> Self {
        let Some(path) = path.strip_prefix('/') else { return Self::Nowhere };
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        let mut parts = [""; 4];
        let mut count = 0;
        for part in path.split('/') {
            let Some(place) = parts.get_mut(count) else { return Self::Nowhere };
            (*place, count) = (part, count + 1);
        }
        let is = |at: usize, word: &str| parts.get(at).is_some_and(|part| part.eq_ignore_ascii_case(word));
        let [_, name, ..] = parts;
        match count {
            1 if path.is_empty() => Self::Root,
            2 if is(0, "monitoring") && is(1, "status") => Self::Status,
            2 if is(0, "auth") && is(1, "authenticate") => Self::Authenticate,
            2 if is(0, "auth") && is(1, "refreshtoken") => Self::Refresh,
            3 | 4 if !is(0, "stations") || name.is_empty() => Self::Nowhere,
            3 if is(2, "_pull") => Self::Station(name, Deed::Pull),
            3 if is(2, "_settle") => Self::Station(name, Deed::Settle),
            4 if is(2, "produce") && is(3, "single") => Self::Station(name, Deed::ProduceOne),
            4 if is(2, "produce") && is(3, "batch") => Self::Station(name, Deed::ProduceBatch),
            4 if is(2, "consume") && is(3, "batch") => Self::Station(name, Deed::ConsumeBatch),
            _ => Self::Nowhere,
        }
    }
    /// The methods it takes; `None`: it is no place at all.
    pub(super) fn allowed(self) -> Option<&'static str> {
        match self {
            Self::Status => Some("GET, HEAD"),
            Self::Authenticate | Self::Refresh | Self::Station(..) => Some("POST"),
            Self::Root | Self::Nowhere => None,
        }
    }
    /// Whether nobody has to say who it is.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::Root | Self::Status | Self::Authenticate | Self::Refresh => true,
            Self::Station(..) | Self::Nowhere => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_one_slash_at_the_end() {
        for (path, place) in [
            ("/", Place::Root),
            ("/monitoring/status", Place::Status),
            ("/Auth/Authenticate/", Place::Authenticate),
            ("/auth/refreshToken", Place::Refresh),
            ("/Stations/ST1/Produce/Single/", Place::Station("ST1", Deed::ProduceOne)),
            ("/stations/a.b.c/produce/batch", Place::Station("a.b.c", Deed::ProduceBatch)),
            ("/stations/my%20st/consume/batch", Place::Station("my%20st", Deed::ConsumeBatch)),
            ("/stations/a/_pull", Place::Station("a", Deed::Pull)),
            ("/stations/a/_settle", Place::Station("a", Deed::Settle)),
            ("//stations/a/produce/single", Place::Nowhere),
            ("/stations//produce/single", Place::Nowhere),
            ("/stations/a/produce/single//", Place::Nowhere),
            ("/stations/a/produce", Place::Nowhere),
            ("/stations/a/produce/single/x", Place::Nowhere),
            ("/nope", Place::Nowhere),
            ("*", Place::Nowhere),
            ("", Place::Nowhere),
            ("//", Place::Nowhere),
        ] {
            assert_eq!(Place::of(path), place, "{path}");
        }
    }
}
