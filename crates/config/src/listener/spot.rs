//! Who is where: two listeners on one address are told before anything is bound.
use super::{Listener, Listeners};
use crate::{
    ledger::{At, Fault, Ledger, Path},
    read::{Field, Record},
};
use std::net::{IpAddr, SocketAddr};
use tidegate_core::error::Code;

/// Two cannot have one address: the second would find it taken, by this very process.
pub(super) fn apart(declared: &Listeners, written: &Record, ledger: &mut Ledger) {
    let kinds: [(_, Vec<_>); 3] = [
        ("gateway", declared.gateway.iter().collect()),
        ("admin", declared.admin.iter().collect()),
        ("memphis", declared.memphis.iter().map(|memphis| &memphis.listener).collect()),
    ];
    let all: Vec<_> = kinds.iter().flat_map(|(name, all)| Spot::all(written, name, all)).collect();
    for (number, second) in all.iter().enumerate() {
        let Some((first, shared)) = all.iter().take(number).find_map(|first| Some((first, first.shares(second)?))) else {
            continue;
        };
        // A default is nobody's fault.
        let at = if second.at == At::BUILT_IN { first } else { second };
        let message = format!("`{}` and `{}` are both on {shared}", first.name, second.name);
        let fault = Fault::new(Code::Duplicate, at.at, &at.path, message);
        ledger.tell(fault.hint("give one of them another port"));
    }
}
/// A listener and where it was written.
struct Spot<'a> {
    /// `listeners.gateway`, or `listeners.gateway[1]` where there are several.
    name: String,
    path: Path,
    at: At,
    addresses: &'a [SocketAddr],
}
impl<'a> Spot<'a> {
    fn all(written: &Record, name: &str, listeners: &[&'a Listener]) -> Vec<Self> {
        let path = written.path.key(name);
        let one = |(number, (field, listener)): (usize, (&Field, &&'a Listener))| {
            let (path, name) = match listeners.len() {
                1 => (path.clone(), format!("listeners.{name}")),
                _ => (path.item(number), format!("listeners.{name}[{number}]")),
            };
            Some(Self {
                name,
                path: path.key("address"),
                at: field.record()?.at("address"),
                addresses: &listener.address,
            })
        };
        written.list(name).iter().zip(listeners).enumerate().filter_map(one).collect()
    }
    /// The address that only one of them can have.
    fn shares(&self, other: &Self) -> Option<SocketAddr> {
        let mut own = self.addresses.iter();
        own.find_map(|own| other.addresses.iter().find(|other| clash(*own, **other)).copied())
    }
}
/// Whether whoever has the one cannot have the other: all of IPv6 is all of IPv4, too. A free port is one of its own.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, two) = (a.ip().to_canonical(), b.ip().to_canonical());
    let covers = |all: IpAddr, other: IpAddr| all.is_unspecified() && (all.is_ipv6() || other.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (one == two || covers(one, two) || covers(two, one))
}
