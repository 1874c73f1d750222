//! Where outgoing calls may go: not into this machine, its network, or the place a cloud keeps its secrets. Names are resolved once, every
//! address is judged, and what is connected to is what was judged.
use futures::future::BoxFuture;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tidegate_core::tasks;
use tokio::sync::{Semaphore, oneshot};

/// Lookups that run at once: each holds a thread for as long as the machine's resolver likes.
const LOOKUPS: usize = 64;

/// Which addresses may be called.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Networks that are allowed although they are not public.
    pub allow: Vec<IpNet>,
    /// How long what a name resolved to may be used for further connections of the same target.
    pub remember: Duration,
}
/// Nothing that is not public; an answer of the resolver serves a second.
impl Default for Guard {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            remember: Duration::from_secs(1),
        }
    }
}
impl Guard {
    /// Why an address is refused; `None`: it may be called.
    pub fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        let why = of(address)?;
        if !self.allows(address) {
            return Some(why);
        }
        // Who allows the network of a translator did not allow all that hides behind it.
        let inner = IpAddr::V4(hidden(address)?);
        of(inner).filter(|_| !self.allows(inner))
    }
    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&address))
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}
const fn v6(first: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}
/// Of the registry of special-purpose addresses (RFC 6890 and after), the ones that are not public; the first that fits names it.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(168, 63, 129, 16, 32), "metadata of a cloud"),
    (v4(169, 254, 169, 254, 32), "metadata of a cloud"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];
const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (v6([0x64, 0xff9b, 0, 0], 96), "NAT64"),
    (v6([0x64, 0xff9b, 1, 0], 48), "NAT64"),
    (v6([0xfc00, 0, 0, 0], 7), "unique-local"),
    (v6([0xfe80, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0], 8), "multicast"),
    (v6([0x2001, 0, 0, 0], 32), "Teredo"),
    (v6([0x2001, 2, 0, 0], 48), "benchmarking"),
    (v6([0x2001, 0, 0, 0], 23), "reserved"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "documentation"),
    (v6([0x2002, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0], 20), "documentation"),
];
/// All that is handed out for the public so far.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// What kind of address it is; `None`: a public one.
fn of(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => SPECIAL_V4
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map(|(_, kind)| *kind),
        IpAddr::V6(address) => match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
            [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
            // Mapped, compatible, translated, ISATAP.
            [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some("IPv4 inside IPv6"),
            _ => SPECIAL_V6
                .iter()
                .find(|(network, _)| network.contains(&address))
                .map(|(_, kind)| *kind)
                .or_else(|| (!PUBLIC_V6.contains(&address)).then_some("reserved")),
        },
    }
}
/// The IPv4 address that an IPv6 one leads to.
fn hidden(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let joined = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(joined(!high, !low)),
        _ => None,
    }
}

/// Names to addresses. Tests have one that changes its mind.
pub trait Resolve: Send + Sync {
    /// All addresses of a name, the ones to try first in front.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}
/// The machine's own resolver.
#[derive(Debug)]
pub struct System(Arc<Semaphore>);
impl Default for System {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}
impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let closed = |_| io::Error::other("the resolver ended");
            let turn = self
                .0
                .clone()
                .acquire_owned()
                .await
                .map_err(|_| io::Error::other("the resolver ended"))?;
            let (answer, wait) = oneshot::channel();
            let host = host.to_owned();
            // Nothing stops a lookup that began: its turn is over when it is, also when nobody waits any more.
            tasks::detach(async move {
                let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect);
                drop(turn);
                let _nobody_waits = answer.send(found);
            });
            wait.await.map_err(closed)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(address: &str) -> Option<&'static str> {
        Guard::default().refuses(address.parse().unwrap())
    }
    #[test]
    fn what_is_not_public_is_refused() {
        for (kind, addresses) in [
            ("unspecified", &["0.0.0.0", "0.1.2.3", "::"][..]),
            ("loopback", &["127.0.0.1", "127.255.255.254", "::1"]),
            (
                "private",
                &["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"],
            ),
            ("shared by a carrier", &["100.64.0.1", "100.127.255.255", "100.100.100.200"]),
            ("link-local", &["169.254.0.1", "169.254.170.2", "fe80::1", "febf::1"]),
            ("metadata of a cloud", &["169.254.169.254", "168.63.129.16"]),
            ("unique-local", &["fc00::1", "fd00:ec2::254", "fd20:ce::254", "fdff::1"]),
            ("site-local", &["fec0::1"]),
            ("multicast", &["224.0.0.1", "239.255.255.250", "ff02::1"]),
            (
                "reserved",
                &[
                    "240.0.0.1",
                    "255.255.255.255",
                    "192.0.0.192",
                    "4000::1",
                    "100::1",
                    "5f00::1",
                    "2001:10::1",
                ],
            ),
            (
                "documentation",
                &["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
            ),
            ("benchmarking", &["198.18.0.1", "198.19.255.255", "2001:2::1"]),
            ("6to4", &["192.88.99.1", "2002:7f00:1::", "2002:808:808::1"]),
            ("NAT64", &["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"]),
            ("Teredo", &["2001:0:4136:e378:8000:63bf:80ff:fffe"]),
            (
                "IPv4 inside IPv6",
                &[
                    "::ffff:127.0.0.1",
                    "::ffff:8.8.8.8",
                    "::127.0.0.1",
                    "::8.8.8.8",
                    "::ffff:0:127.0.0.1",
                    "2600::5efe:7f00:1",
                    "2600::200:5efe:7f00:1",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(why(address), Some(kind), "{address}");
            }
        }
    }
    #[test]
    fn what_is_public_is_not() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.1.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.1.1",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert_eq!(why(address), None, "{address}");
        }
    }
    #[test]
    fn what_is_allowed_does_not_open_what_hides_behind_it() {
        let guard = |networks: &[&str]| Guard {
            allow: networks.iter().map(|network| network.parse().unwrap()).collect(),
            ..Guard::default()
        };
        let refuses = |networks: &[&str], address: &str| guard(networks).refuses(address.parse().unwrap());
        assert_eq!(refuses(&["127.0.0.0/8"], "127.0.0.1"), None);
        assert_eq!(refuses(&["127.0.0.0/8"], "10.0.0.1"), Some("private"));
        // Another spelling of an allowed address is not allowed with it.
        assert_eq!(refuses(&["127.0.0.0/8"], "::ffff:127.0.0.1"), Some("IPv4 inside IPv6"));
        assert_eq!(refuses(&["64:ff9b::/96"], "64:ff9b::8.8.8.8"), None);
        assert_eq!(refuses(&["64:ff9b::/96"], "64:ff9b::127.0.0.1"), Some("loopback"));
        assert_eq!(refuses(&["64:ff9b::/96", "127.0.0.1/32"], "64:ff9b::127.0.0.1"), None);
        assert_eq!(refuses(&["2002::/16"], "2002:a9fe:a9fe::1"), Some("metadata of a cloud"));
        assert_eq!(refuses(&["2001::/32"], "2001:0:1::80ff:fffe"), Some("loopback"));
        assert_eq!(refuses(&["::/0", "0.0.0.0/0"], "::ffff:169.254.169.254"), None);
        assert_eq!(refuses(&["::/0"], "::1"), None);
    }
}
