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
const ENDS: [&str; 8] = [
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
];
/// One of these begins a word of the name: `set-cookie2`, `authorization2`, `sessionid`, `apikeyid`.
const BEGINS: [&str; 6] = ["accesskey", "apikey", "authorization", "cookie", "oauth", "session"];
/// One of these is a word of the name.
const WORDS: [&str; 17] = [
    "auth",
    "authenticated",
    "authentication",
    "bearer",
    "cert",
    "credential",
    "credentials",
    "jwt",
    "otp",
    "pass",
    "passcode",
    "pin",
    "principal",
    "psk",
    "pwd",
    "tokens",
    "wsse",
];
/// Before the word `key`, which is that of a message then; any other kind of key opens something.
const KEYS: [&str; 14] = [
    "cache",
    "dedup",
    "entity",
    "event",
    "group",
    "idempotency",
    "kafka",
    "message",
    "object",
    "order",
    "partition",
    "record",
    "routing",
    "sort",
];
const ROUTING: [&str; 15] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "remote-user",
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
        } else if is_secret(name) || is(&"www-authenticate") {
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
        let begun = BEGINS.iter().any(|begin| begins(word, begin));
        let spelt = ENDS.iter().any(|end| ends(word, end)) || WORDS.iter().any(is);
        // `x-key`, and `key`, may be anything.
        let opens = is(&"key") && !matches!(before, "" | "x" | "X") && !KEYS.iter().any(key);
        let found = begun || spelt || opens || (is(&"signature") && before.eq_ignore_ascii_case("access"));
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
            "X-RapidAPI-Key",
            "X-Account-Key",
            "X-Signing-Key",
            "AccessKeyId",
            "X-ApiKeyId",
            "X-Session-Id",
            "Sessionid",
            "X-User-Pass",
            "X-PSK",
            "X-Otp",
            "X-Tokens",
            "X-Shared-Access-Signature",
            "X-WSSE",
            "X-OAuth",
            "X-Cookies",
            "Set-Cookie2",
            "Authorization2",
            "X-Authenticated-User",
            "X-SSL-Client-Cert",
            "X-Ms-Client-Principal",
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
            "Remote-User",
        ] {
            assert_eq!(Sensitive::of(name), Some(Sensitive::Routing), "{name}");
        }
        for name in [
            "content-type",
            "x-debezium-table",
            "x-author",
            "x-key",
            "x-partition-key",
            "x-order-key",
            "key",
            "x-passenger",
            "x-obsession",
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
