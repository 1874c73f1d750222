//! Names of headers whose values are nobody's business but the sender's and the gateway's. A header that nobody asked for by name is kept out of
//! messages if it is called like one of these, and hidden where it is shown.

/// What a header is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitive {
    /// Who is calling, as HTTP itself says it: never in a message, whoever asks.
    Credential,
    /// Called like a secret: in a message only if somebody asks for exactly this header.
    Secret,
    /// Tells proxies and servers where a request came from or goes to, and would tell those of whoever reads it: the same.
    Routing,
}
/// One of these is a word of the name, or the end of one: `x-csrftoken`.
const ENDS: [&str; 7] = ["authorization", "password", "passwd", "passphrase", "secret", "token", "apikey"];
/// One of these is a word of the name.
const WORDS: [&str; 8] = [
    "auth",
    "authentication",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "pwd",
];
/// Before the word `key`; a key alone may be that of a message.
const KEYS: [&str; 8] = ["access", "admin", "api", "auth", "functions", "master", "private", "subscription"];
const ROUTING: [&str; 14] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-http-method",
    "x-method-override",
    "x-real-ip",
    "x-sendfile",
];
const ROUTING_BEGINS: [&str; 9] = [
    "x-accel-",
    "x-envoy-",
    "x-forwarded-",
    "x-http-method-",
    "x-middleware-",
    "x-original-",
    "x-proxy-",
    "x-remote-",
    "x-rewrite-",
];

impl Sensitive {
    /// `None`: nothing is known against it. Case does not matter.
    pub fn of(name: &str) -> Option<Self> {
        // Of nearly every request.
        if matches!(name, "content-type" | "user-agent") {
            return None;
        }
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        if Self::is_credential(name) {
            Some(Self::Credential)
        } else if is_secret(name) || is(&"cookie2") || is(&"www-authenticate") {
            Some(Self::Secret)
        } else if ROUTING.iter().any(is) || ROUTING_BEGINS.iter().any(|begin| begins(name, begin)) {
            Some(Self::Routing)
        } else {
            None
        }
    }
    /// Whether nobody may have it in a message.
    pub fn is_credential(name: &str) -> bool {
        ["authorization", "proxy-authorization", "cookie", "set-cookie"]
            .iter()
            .any(|never| name.eq_ignore_ascii_case(never))
    }
    /// Whether its value is hidden where it is shown to people: what is called a little like a secret is one.
    pub fn is_hidden(name: &str) -> bool {
        const PARTS: [&str; 9] = [
            "auth",
            "cookie",
            "credential",
            "key",
            "pass",
            "secret",
            "session",
            "signature",
            "token",
        ];
        // Those of nearly every request and answer: to look for nine words in each name costs more than the rest of it.
        const OPEN: [&str; 9] = [
            "connection",
            "content-length",
            "content-type",
            "date",
            "host",
            "idempotency-key",
            "server",
            "user-agent",
            "www-authenticate",
        ];
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        if begins(name, "tidegate-") || begins(name, "webhook-") || OPEN.iter().any(is) {
            return false;
        }
        let holds = |part: &&str| {
            name.as_bytes()
                .windows(part.len())
                .any(|at| at.eq_ignore_ascii_case(part.as_bytes()))
        };
        PARTS.iter().any(holds) || is_secret(name)
    }
}
fn is_secret(name: &str) -> bool {
    let mut before = "";
    name.split(['-', '_', '.']).any(|word| {
        let is = |other: &&str| word.eq_ignore_ascii_case(other);
        let key = |first: &&str| before.eq_ignore_ascii_case(first);
        let found = ENDS.iter().any(|end| ends(word, end)) || WORDS.iter().any(is) || (is(&"key") && KEYS.iter().any(key));
        before = word;
        found
    })
}
fn begins(name: &str, begin: &str) -> bool {
    name.as_bytes()
        .get(..begin.len())
        .is_some_and(|first| first.eq_ignore_ascii_case(begin.as_bytes()))
}
fn ends(word: &str, end: &str) -> bool {
    let from = word.len().checked_sub(end.len());
    from.and_then(|from| word.as_bytes().get(from..))
        .is_some_and(|last| last.eq_ignore_ascii_case(end.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_like_a_secret_is_one() {
        for name in ["authorization", "Proxy-Authorization", "cookie", "SET-COOKIE"] {
            assert_eq!(Sensitive::of(name), Some(Sensitive::Credential), "{name}");
        }
        for name in [
            "x-api-key",
            "x-auth-token",
            "api-key",
            "apikey",
            "x_apikey",
            "x-access-token",
            "x-amz-security-token",
            "X-CSRF-Token",
            "x-csrftoken",
            "x-xsrf-token",
            "x-vault-token",
            "x-gitlab-token",
            "authentication",
            "www-authenticate",
            "cookie2",
            "x-user-password",
            "client_secret",
            "x-authorization-info",
            "x-forwarded-access-token",
            "x-goog-iap-jwt-assertion",
            "x-auth-key",
        ] {
            assert_eq!(Sensitive::of(name), Some(Sensitive::Secret), "{name}");
        }
        for name in [
            "x-original-url",
            "X-Rewrite-URL",
            "x-real-ip",
            "x-forwarded-for",
            "forwarded",
            "x-http-method-override",
            "x-method-override",
            "x-accel-redirect",
            "via",
        ] {
            assert_eq!(Sensitive::of(name), Some(Sensitive::Routing), "{name}");
        }
        for name in [
            "content-type",
            "x-debezium-table",
            "x-author",
            "x-tokens-used",
            "x-key",
            "x-partition-key",
            "x-secretary",
            "x-hub-signature-256",
            "x-original",
            "x-request-id",
            "",
            "-",
            "é-ü",
        ] {
            assert_eq!(Sensitive::of(name), None, "{name}");
        }
    }
    /// Whatever is kept out of messages is hidden too, unless it is no secret but an address.
    #[test]
    fn more_is_hidden_than_is_kept_out() {
        for name in [
            "authorization",
            "x-api-key",
            "x-auth",
            "x-session",
            "x-hub-signature",
            "x-goog-iap-jwt-assertion",
        ] {
            assert!(Sensitive::is_hidden(name), "{name}");
        }
        for name in ["tidegate-key", "webhook-signature", "content-type", "x-team"] {
            assert!(!Sensitive::is_hidden(name), "{name}");
        }
    }
}
