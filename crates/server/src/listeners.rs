//! The addresses a node listens on, each with what it proves itself with and whom it believes.
use crate::{boot::Manners, holder::holder, secrets::Certificates};
use std::{net::SocketAddr, sync::Arc};
use tidegate_core::error::{Code, Result};
use tidegate_entrypoints::listener::{Door, Listener, Proxies};

/// How many ports `dev` tries from a busy one on.
const TRIES: u16 = 20;
/// A bound listener, and what it proves itself with.
pub(crate) type Bound = (Listener, Option<Arc<Certificates>>);
pub(crate) fn bind(listeners: &[tidegate_config::Listener], setting: &str, manners: Manners) -> Result<Vec<Bound>> {
    let mut bound: Vec<Bound> = Vec::new();
    for declared in listeners {
        let certificates = Certificates::open(setting, declared)?;
        // `localhost` is two addresses and one port: the second follows the first.
        let mut first = None;
        for address in &declared.address {
            if let Some(listener) = bind_one(*address, first, setting, manners)? {
                first.get_or_insert(listener.address());
                let door = Door {
                    tls: certificates.as_ref().map(|certificates| certificates.tls()),
                    proxies: Proxies::new(&declared.trusted_proxies).map(Arc::new),
                };
                bound.push((listener.behind(door), certificates.clone()));
            }
        }
    }
    Ok(bound)
}
/// `None`: it is not needed.
fn bind_one(address: SocketAddr, first: Option<SocketAddr>, setting: &str, manners: Manners) -> Result<Option<Listener>> {
    let tries = if manners.next_port && address.port() != 0 { TRIES } else { 1 };
    let from = first.map_or(address.port(), |first| first.port());
    let mut result = Listener::bind(SocketAddr::new(address.ip(), from));
    for port in (1..tries).map(|more| from.saturating_add(more)) {
        if result.as_ref().err().is_none_or(|error| error.code() != Code::AddressInUse) {
            break;
        }
        result = Listener::bind(SocketAddr::new(address.ip(), port));
    }
    match result {
        Ok(listener) => Ok(Some(listener)),
        // A machine without IPv6 still has its other loopback.
        Err(error) if address.is_ipv6() && first.is_some() => {
            tracing::debug!(address = %address, error = %error, "not listening");
            Ok(None)
        }
        Err(error) => {
            let holder = holder(address).unwrap_or_else(|| "what holds the port".to_owned());
            Err(error.with_hint(format!("set `{setting}.address`, or end {holder}")))
        }
    }
}
pub(crate) fn addresses(listeners: &[Bound]) -> Vec<SocketAddr> {
    listeners.iter().map(|(listener, _)| listener.address()).collect()
}
