//! Where this node may call, and what an address of an HTTP target looks like.
use crate::{
    load::Mode,
    query,
    read::Record,
    secret::Secret,
    shape::{Shape, Table, Text, key},
    tree::Value,
};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bounds of outgoing calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Networks that may be called although they are not public.
    pub allow: Vec<IpNet>,
    /// Every call goes there first, unless it names a proxy of its own. May hold a password.
    pub proxy: Option<Secret>,
}

/// A target of HTTP.
pub(crate) const URL: Text = Text {
    expected: "a URL such as `https://crm.example.com/hook`, without user and password",
    good: |text| {
        let open = |url: url::Url| url.username().is_empty() && url.password().is_none();
        place(text, &["http", "https"]).is_some_and(open) && !query::is_masked(text)
    },
    pattern: None,
};
/// It hears where to go without TLS; what goes through it has its own.
pub(crate) const PROXY: Text = Text {
    expected: "a URL such as `http://proxy.example.com:3128`",
    good: |text| place(text, &["http"]).is_some(),
    pattern: None,
};
fn place(text: &str, schemes: &[&str]) -> Option<url::Url> {
    // The parser would drop them without a word.
    let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let url = url::Url::parse(text).ok().filter(|_| clean)?;
    let known = schemes.contains(&url.scheme()) && url.has_host();
    (known && url.port_or_known_default().is_some_and(|port| port != 0)).then_some(url)
}
const NETWORK: Text = Text {
    expected: "a network such as `10.1.0.0/16` or `fd00::/8`, or one address",
    good: |text| network(text).is_some(),
    pattern: None,
};
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
pub(crate) static OUTGOING: Table = Table {
    title: "outgoing",
    doc: "Where webhooks may go. Addresses that are not public are refused: loopback, private and link-local networks, the metadata of a cloud.",
    keys: &[
        key(
            "allow",
            Shape::List {
                of: &Shape::Text(&NETWORK),
                min: 0,
            },
            "Networks that may be called all the same.",
        )
        .otherwise("none in `tidegate run`; this machine in `tidegate dev`")
        .example("[10.1.0.0/16]"),
        key(
            "proxy",
            Shape::Text(&PROXY),
            "Every call goes there first. Names are still looked up here, so that addresses can be judged: the proxy is asked for an address.",
        )
        .otherwise("none")
        .example("\"http://proxy.example.com:3128\""),
    ],
};
impl Outgoing {
    pub(crate) fn check(record: &Record, node: &Value, mode: Mode) -> Self {
        let written = node.get("outgoing").is_some_and(|outgoing| outgoing.value.get("allow").is_some());
        let mut allow: Vec<IpNet> = record.texts("allow").iter().filter_map(|text| network(text)).collect();
        if mode != Mode::Run && !written {
            allow.extend(IpNet::new(Ipv4Addr::LOCALHOST.into(), 8));
            allow.push(IpAddr::V6(Ipv6Addr::LOCALHOST).into());
        }
        Self {
            allow,
            proxy: record.maybe_text("proxy").map(Secret::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_targets() {
        for (text, target, proxy) in [
            ("https://crm.example.com/hook?a=b", true, false),
            ("http://127.0.0.1:3000", true, true),
            ("http://[::1]:3000/", true, true),
            ("http://me:pw@proxy:3128", false, true),
            ("https://crm.example.com/hook?a=***", false, false),
            ("ftp://crm.example.com", false, false),
            ("crm.example.com/hook", false, false),
            ("https://", false, false),
            ("https://crm.example.com:0/", false, false),
            ("https://crm.example.com:99999/", false, false),
            ("https://crm.exa\nmple.com/", false, false),
            ("", false, false),
        ] {
            assert_eq!(((URL.good)(text), (PROXY.good)(text)), (target, proxy), "{text}");
        }
    }
    #[test]
    fn networks_and_single_addresses() {
        assert_eq!(network("10.1.0.0/16"), "10.1.0.0/16".parse().ok());
        assert_eq!(network("10.1.0.1"), "10.1.0.1/32".parse().ok());
        assert_eq!(network("::1"), "::1/128".parse().ok());
        for bad in ["", "10.1", "10.1.0.0/33", "localhost"] {
            assert_eq!(network(bad), None, "{bad}");
        }
    }
}
