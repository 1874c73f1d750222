//! Context paths to routes.
use crate::route::Route;
use std::{collections::HashMap, sync::Arc};

/// A path with a host goes before one without; then exact before `/*`, longest prefix first, always on whole segments.
#[derive(Default)]
pub struct Paths {
    exact: HashMap<Box<str>, Arc<Route>>,
    below: HashMap<Box<str>, Arc<Route>>,
    hosts: HashMap<Box<str>, Paths>,
}
impl Paths {
    /// `pattern` is `/orders` or `/topics/*`; the route of an equal one is handed back (the configuration's check has refused it before).
    pub fn insert(&mut self, host: Option<&str>, pattern: &str, route: Arc<Route>) -> Option<Arc<Route>> {
        if let Some(host) = host {
            let host = host.to_ascii_lowercase().into_boxed_str();
            return self.hosts.entry(host).or_default().insert(None, pattern, route);
        }
        match pattern.strip_suffix("/*") {
            Some(prefix) => self.below.insert(prefix.into(), route),
            None => self.exact.insert(pattern.trim_end_matches('/').into(), route),
        }
    }
    /// The route, and what of the path a `/*` stands for (`${rest}`; empty for an exact path). `host` without its port, any case.
    pub fn find<'p>(&self, host: &str, path: &'p str) -> Option<(&Arc<Route>, &'p str)> {
        if !self.hosts.is_empty() {
            let host = host.to_ascii_lowercase();
            if let Some(found) = self.hosts.get(host.as_str()).and_then(|paths| paths.find("", path)) {
                return Some(found);
            }
        }
        if let Some(route) = self.exact.get(path.strip_suffix('/').unwrap_or(path)) {
            return Some((route, ""));
        }
        let mut slashes = memchr::memrchr_iter(b'/', path.as_bytes());
        slashes.find_map(|at| {
            let (prefix, rest) = path.split_at_checked(at)?;
            let rest = rest.strip_prefix('/').filter(|rest| !rest.is_empty())?;
            Some((self.below.get(prefix)?, rest))
        })
    }
    /// Every pattern without a host, for hints.
    pub fn patterns(&self) -> Vec<String> {
        let below = self.below.keys().map(|prefix| format!("{prefix}/*"));
        let mut all: Vec<_> = self
            .exact
            .keys()
            .map(|path| if path.is_empty() { "/".to_owned() } else { path.to_string() })
            .chain(below)
            .collect();
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(patterns: &[(Option<&str>, &str)]) -> Paths {
        let mut paths = Paths::default();
        for (host, pattern) in patterns {
            let name = format!("{}{pattern}", host.unwrap_or_default());
            assert!(paths.insert(*host, pattern, Route::named(&name)).is_none());
        }
        paths
    }
    fn found<'p>(paths: &Paths, host: &str, path: &'p str) -> Option<(String, &'p str)> {
        paths.find(host, path).map(|(route, rest)| (route.name.to_string(), rest))
    }

    #[test]
    fn host_then_exact_then_longest() {
        let paths = paths(&[(None, "/a"), (None, "/a/*"), (None, "/a/b/*"), (None, "/*"), (Some("x.org"), "/a")]);
        let rows = [
            ("", "/a", "/a", ""),
            ("", "/a/", "/a", ""),
            ("", "/a/c", "/a/*", "c"),
            ("", "/a/b/c/d", "/a/b/*", "c/d"),
            ("", "/ab", "/*", "ab"),
            ("X.ORG", "/a", "x.org/a", ""),
            ("x.org", "/a/c", "/a/*", "c"),
            ("", "/a/b/", "/a/*", "b/"),
        ];
        for (host, path, name, rest) in rows {
            assert_eq!(found(&paths, host, path), Some((name.to_owned(), rest)), "{host}{path}");
        }
    }
    #[test]
    fn nothing_matches_half_a_segment() {
        let paths = paths(&[(None, "/topics/*"), (None, "/orders")]);
        for path in ["/topics", "/topics/", "/topicsx/y", "/order", "/orders2", "/", ""] {
            assert_eq!(found(&paths, "", path), None, "{path}");
        }
    }
}
