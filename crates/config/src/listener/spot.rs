//! Who is where: two listeners on one address are told before anything is bound.
use super::bound;
use crate::{
    ledger::{At, Fault, Ledger, Path},
    load::Mode,
    read::{Field, Record},
};
use std::net::{IpAddr, SocketAddr};
use tidegate_core::error::Code;

/// Two cannot have one address: the second would find it taken, by this very process. What cannot be read is no spot, and told elsewhere.
pub(super) fn apart(written: &Record, mode: Mode, ledger: &mut Ledger) {
    let all: Vec<_> = ["gateway", "admin", "memphis"]
        .into_iter()
        .flat_map(|name| Spot::all(written, name, mode))
        .collect();
    for (number, second) in all.iter().enumerate() {
        let Some((first, shared)) = all.iter().take(number).find_map(|first| Some((first, first.shares(second)?))) else {
            continue;
        };
        let (culprit, other) = if second.weight() < first.weight() {
            (first, second)
        } else {
            (second, first)
        };
        let message = format!("`{}` and `{}` are both on {shared}", first.name, second.name);
        let fault = Fault::new(Code::Duplicate, culprit.at, &culprit.path, message);
        let hint = match other.at {
            At::BUILT_IN => format!("`{}` is there by default", other.name),
            at => format!("`{}` is at {}", other.name, ledger.place(at)),
        };
        ledger.tell(fault.hint(format!("{hint}; give one of them another port")));
    }
}
/// A listener and where it was written.
struct Spot {
    /// `listeners.gateway`, or `listeners.gateway[1]` where there are several.
    name: String,
    path: Path,
    at: At,
    addresses: Vec<SocketAddr>,
}
impl Spot {
    fn all(written: &Record, name: &str, mode: Mode) -> Vec<Self> {
        let path = written.path.key(name);
        let fields = written.list(name);
        let one = |(number, field): (usize, &Field)| {
            let listener = field.record()?;
            let at = listener.at("address");
            // A default may well be meant to be elsewhere.
            if at == At::BUILT_IN && written.misspelt.contains(&name) {
                return None;
            }
            let (path, name) = match fields.len() {
                1 => (path.clone(), format!("listeners.{name}")),
                _ => (path.item(number), format!("listeners.{name}[{number}]")),
            };
            Some(Self {
                name,
                path: path.key("address"),
                at,
                addresses: bound(listener, mode)?,
            })
        };
        fields.iter().enumerate().filter_map(one).collect()
    }
    /// A default is nobody's fault; what a variable or a flag lays over a file is what was changed last, and its text was read later.
    fn weight(&self) -> u32 {
        match self.at {
            At::BUILT_IN => 0,
            at => at.file + 1,
        }
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
