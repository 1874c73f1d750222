//! Who is calling, where proxies that are believed stand between: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Each proxy appends whom it was called by, so the list is read from its end: the first address that is nobody's of ours is the caller, for
//! what stands before it the caller may have written. A proxy that appends to one of the two headers passes the other on as it came;
//! so where both are there and do not say the same, neither is believed.
use crate::listener::{Connection, Proxies};
use http::{HeaderMap, HeaderName, header};
use std::net::{IpAddr, SocketAddr};

const LIST: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the caller; of a header that tells no port, with port 0.
pub fn caller(headers: &HeaderMap, connection: &Connection) -> SocketAddr {
    let peer = connection.peer;
    let Some(proxies) = &connection.proxies else { return peer };
    let told = |name: HeaderName, read: fn(&str, &mut Vec<Hop>)| {
        let mut hops = Vec::new();
        for value in headers.get_all(&name) {
            match value.to_str() {
                Ok(text) => read(text, &mut hops),
                Err(_) => hops.push(None),
            }
        }
        (!hops.is_empty()).then(|| walk(peer, &hops, proxies))
    };
    match (told(header::FORWARDED, forwarded), told(LIST, list)) {
        (Some(one), Some(other)) if one.ip().to_canonical() != other.ip().to_canonical() => peer,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    }
}
/// `None`: it is not told, or not as an address.
type Hop = Option<SocketAddr>;

fn walk(peer: SocketAddr, hops: &[Hop], proxies: &Proxies) -> SocketAddr {
    let mut caller = peer;
    for hop in hops.iter().rev() {
        // What a proxy of ours does not tell, it tells nobody.
        let Some(address) = hop else { break };
        caller = *address;
        if !proxies.trusts(caller.ip()) {
            break;
        }
    }
    caller
}
fn list(text: &str, hops: &mut Vec<Hop>) {
    hops.extend(text.split(',').map(|hop| node(hop.trim())));
}
/// Elements apart by commas, of pairs apart by semicolons; both may stand in quotes and mean nothing there.
fn forwarded(text: &str, hops: &mut Vec<Hop>) {
    let (mut quoted, mut escaped) = (false, false);
    let elements = text.split(|c: char| {
        let ends = c == ',' && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        ends
    });
    let mut new: Vec<Hop> = elements.map(element).collect();
    // A quote without an end may have swallowed the last elements.
    if quoted {
        new = vec![None];
    }
    hops.append(&mut new);
}
fn element(text: &str) -> Hop {
    let mut all = text.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = all.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    node(inner.unwrap_or(value))
}
/// `192.0.2.7`, `192.0.2.7:80`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:80`; not `unknown`, not `_hidden`.
fn node(text: &str) -> Hop {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = |ip: IpAddr| SocketAddr::new(ip, 0);
    bare.parse().map(address).ok().or_else(|| text.parse().ok())
}

/// For fuzzing: there are as many hops as the text has elements at most, and the caller is one of them or the peer.
pub(super) fn fuzz(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Some(proxies) = Proxies::new(&[IpAddr::from([10, 0, 0, 0]).into()]) else {
        return;
    };
    let mut hops = Vec::new();
    if first % 2 == 0 {
        forwarded(text, &mut hops);
    } else {
        list(text, &mut hops);
    }
    assert!(hops.len() <= text.matches(',').count() + 1);
    let peer = SocketAddr::from(([10, 0, 0, 0], 1));
    let caller = walk(peer, &hops, &proxies);
    assert!(caller == peer || hops.contains(&Some(caller)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// The connection comes from a proxy, 10.0.0.1.
    fn called_by(headers: &[(&str, &str)]) -> String {
        let proxies = Proxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut connection = Connection::new(([10, 0, 0, 1], 9).into(), Arc::default());
        connection.proxies = proxies.map(Arc::new);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        caller(&map, &connection).to_string()
    }
    #[test]
    fn the_last_address_that_is_not_ours_is_the_caller() {
        for (name, value, is) in [
            ("forwarded", "for=192.0.2.7", "192.0.2.7:0"),
            ("forwarded", "for=192.0.2.7:81;proto=http;by=203.0.113.43", "192.0.2.7:81"),
            ("forwarded", "proto=https; For=\"[2001:db8::7]:81\"", "[2001:db8::7]:81"),
            ("forwarded", "For=\"[2001:db8::7]\"", "[2001:db8::7]:0"),
            ("forwarded", "for=6.6.6.6, for=192.0.2.7", "192.0.2.7:0"),
            ("forwarded", "for=192.0.2.7, for=10.1.1.1,for=\"[fd00::1]\"", "192.0.2.7:0"),
            ("forwarded", "for=6.6.6.6, for=unknown", "10.0.0.1:9"),
            ("forwarded", "for=6.6.6.6, for=_hidden, for=10.0.0.2", "10.0.0.2:0"),
            ("forwarded", "by=\"a,for=6.6.6.6\";for=192.0.2.7", "192.0.2.7:0"),
            ("forwarded", "for=6.6.6.6, by=\"for=6.6.6.6", "10.0.0.1:9"),
            ("forwarded", "for=6.6.6.6, by=\"\\\", for=6.6.6.6", "10.0.0.1:9"),
            ("forwarded", "", "10.0.0.1:9"),
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7", "192.0.2.7:0"),
            ("x-forwarded-for", "192.0.2.7:81,10.0.0.3", "192.0.2.7:81"),
            ("x-forwarded-for", "2001:db8::7", "[2001:db8::7]:0"),
            ("x-forwarded-for", "10.0.0.5, 10.0.0.4", "10.0.0.5:0"),
            ("x-forwarded-for", "6.6.6.6, nonsense", "10.0.0.1:9"),
        ] {
            assert_eq!(called_by(&[(name, value)]), is, "{name}: {value}");
        }
    }
    #[test]
    fn headers_that_do_not_agree_are_not_believed() {
        let both = |one, other| called_by(&[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=192.0.2.7:81", "192.0.2.7"), "192.0.2.7:81");
        assert_eq!(both("for=6.6.6.6", "192.0.2.7"), "10.0.0.1:9");
        let twice = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(called_by(&twice), "192.0.2.7:0", "lines of one name are one list");
    }
    #[test]
    fn nobody_else_is_believed() {
        let connection = Connection::new(([192, 0, 2, 1], 9).into(), Arc::default());
        let mut headers = HeaderMap::new();
        headers.insert(LIST, "6.6.6.6".parse().unwrap());
        assert_eq!(caller(&headers, &connection).to_string(), "192.0.2.1:9");
    }
}
