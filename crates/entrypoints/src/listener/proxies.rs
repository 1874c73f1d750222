//! The proxies in front: whose word on who is calling is believed, and how they say it before HTTP (PROXY protocol, versions 1 and 2).
//! The parser is ours: it must tell "not yet" from "never" at every byte, for what is no header is HTTP and none of it may be lost.
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 does, and the most it may take.
const WORD: &[u8] = b"PROXY ";
const LINE: usize = 107;
/// Version 2 up to its addresses.
const FIXED: usize = 16;
/// Of what follows: addresses, and notes that nobody here reads.
const MOST: usize = 4 << 10;

/// Networks whose hosts are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);
impl Proxies {
    /// `None`: nobody is.
    pub fn new(networks: &[IpNet]) -> Option<Self> {
        (!networks.is_empty()).then(|| Self(networks.to_vec()))
    }
    /// Whether it is in one of them. An IPv4 address is one in IPv6's clothes too.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
/// What a proxy has said before HTTP.
pub(super) struct Told {
    /// Who is calling; `None`: it does not say.
    pub(super) caller: Option<SocketAddr>,
    /// What was read behind that.
    pub(super) early: Bytes,
}
/// Reads as far as a header goes: the first byte in the time of an idle connection, all of it in that of a head.
pub(super) async fn told(socket: &mut TcpStream, idle: Duration, head: Duration) -> io::Result<Told> {
    let mut have = BytesMut::with_capacity(256);
    if timeout(idle, socket.read_buf(&mut have)).await?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let rest = async {
        loop {
            match read(&have) {
                Header::Not => break Ok(None),
                Header::Whole(length, caller) => {
                    let _header = have.split_to(length.min(have.len()));
                    break Ok(caller);
                }
                Header::Broken(why) => break Err(io::Error::new(io::ErrorKind::InvalidData, why)),
                // Half a header and no more: let who speaks HTTP say what that is.
                Header::Begun if socket.read_buf(&mut have).await? == 0 => break Ok(None),
                Header::Begun => {}
            }
        }
    };
    let caller = timeout(head, rest).await??;
    Ok(Told {
        caller,
        early: have.freeze(),
    })
}
/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    /// None, and never one.
    Not,
    /// It may become one.
    Begun,
    /// One of so many bytes, and who is calling if it says so.
    Whole(usize, Option<SocketAddr>),
    /// One that is wrong.
    Broken(&'static str),
}
fn read(bytes: &[u8]) -> Header {
    if bytes.starts_with(WORD) {
        line(bytes)
    } else if bytes.starts_with(SIGNATURE) {
        binary(bytes)
    } else if WORD.starts_with(bytes) || SIGNATURE.starts_with(bytes) {
        Header::Begun
    } else {
        Header::Not
    }
}
fn line(bytes: &[u8]) -> Header {
    let Some(end) = memchr::memmem::find(bytes.get(..bytes.len().min(LINE)).unwrap_or_default(), b"\r\n") else {
        return if bytes.len() < LINE {
            Header::Begun
        } else {
            Header::Broken("a PROXY line without an end")
        };
    };
    let text = bytes.get(WORD.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    let mut words = text.unwrap_or_default().split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (family, source, target, from, to) = (next(), next(), next(), next(), next());
    if family == "UNKNOWN" {
        return Header::Whole(end + 2, None);
    }
    let addresses = || {
        let (source, target): (IpAddr, IpAddr) = (source.parse().ok()?, target.parse().ok()?);
        let fits = match family {
            "TCP4" => source.is_ipv4() && target.is_ipv4(),
            "TCP6" => source.is_ipv6() && target.is_ipv6(),
            _ => false,
        };
        let _to: u16 = to.parse().ok()?;
        fits.then_some(SocketAddr::new(source, from.parse().ok()?))
    };
    match addresses().filter(|_| words.next().is_none()) {
        Some(caller) => Header::Whole(end + 2, Some(caller)),
        None => Header::Broken("a PROXY line that is not understood"),
    }
}
fn binary(bytes: &[u8]) -> Header {
    let Some([version, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Header::Begun;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > MOST {
        return Header::Broken("a PROXY header that is too long");
    }
    // Version 2, and whether the connection is the proxy's own, to see whether we live, or somebody's.
    let own = match version {
        0x20 => true,
        0x21 => false,
        _ => return Header::Broken("a PROXY header of another version"),
    };
    let Some(body) = bytes.get(FIXED..FIXED + length) else {
        return Header::Begun;
    };
    if own {
        return Header::Whole(FIXED + length, None);
    }
    let caller = match family {
        0x11 => body.first_chunk::<12>().map(|all| {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *all;
            (IpAddr::from(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low]))
        }),
        0x21 => body.first_chunk::<36>().and_then(|all| {
            let source: [u8; 16] = *all.first_chunk()?;
            let port: [u8; 2] = *all.get(32..)?.first_chunk()?;
            Some((IpAddr::from(Ipv6Addr::from(source)), u16::from_be_bytes(port)))
        }),
        // A local socket, or none that is said.
        _ => return Header::Whole(FIXED + length, None),
    };
    match caller {
        Some(caller) => Header::Whole(FIXED + length, Some(caller.into())),
        None => Header::Broken("a PROXY header without its addresses"),
    }
}

/// For fuzzing: a header is known by its last byte, not before and not only behind it.
pub(crate) fn fuzz(bytes: &[u8]) {
    match read(bytes) {
        Header::Whole(length, caller) => {
            let Some((header, _)) = bytes.split_at_checked(length) else {
                panic!("a header ends behind what there is")
            };
            assert_eq!(read(header), Header::Whole(length, caller));
            assert_eq!(header.split_last().map(|(_, most)| read(most)), Some(Header::Begun));
        }
        Header::Not => assert_eq!(read(&[bytes, b"more"].concat()), Header::Not),
        Header::Begun | Header::Broken(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(version: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [SIGNATURE, &[version, family], &length, body].concat()
    }
    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six[32..].copy_from_slice(&[0x1f, 0x90, 0, 80]);
        vec![
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\r\n".to_vec(), Some("192.0.2.7:8080")),
            (b"PROXY TCP6 2001:db8::7 ::1 8080 80\r\n".to_vec(), Some("[2001:db8::7]:8080")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (version_2(0x21, 0x11, &four), Some("192.0.2.7:8080")),
            (version_2(0x21, 0x21, &six), Some("[2001:db8::7]:8080")),
            (version_2(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat()), Some("192.0.2.7:8080")),
            (version_2(0x20, 0x00, &[]), None),
            (version_2(0x21, 0x31, &[0; 216]), None),
        ]
    }
    #[test]
    fn both_versions_are_read_whatever_the_cut() {
        for (header, caller) in good() {
            let caller = caller.map(|caller| caller.parse().unwrap());
            let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for have in 1..=followed.len() {
                let expected = if have < header.len() {
                    Header::Begun
                } else {
                    Header::Whole(header.len(), caller)
                };
                assert_eq!(read(&followed[..have]), expected, "{have} of {}", header.escape_ascii());
            }
        }
    }
    #[test]
    fn what_is_wrong_is_refused_and_what_is_none_is_left_alone() {
        let long = [b"PROXY TCP4 ", &b"1"[..].repeat(200)[..]].concat();
        for bad in [
            &b"PROXY TCP4 192.0.2.7 10.0.0.1 8080\r\n"[..],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 80 \r\n",
            b"PROXY TCP4  192.0.2.7 10.0.0.1 8080 80\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 8080 80\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 8080 80\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 65536\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 8080 80\r\n",
            b"PROXY \r\n",
            &long,
            &version_2(0x11, 0x11, &[0; 12]),
            &version_2(0x22, 0x11, &[0; 12]),
            &version_2(0x21, 0x11, &[0; 11]),
            &version_2(0x21, 0x21, &[0; 35]),
            &version_2(0x21, 0x11, &[0; MOST + 1]),
        ] {
            assert!(matches!(read(bad), Header::Broken(_)), "{}", bad.escape_ascii());
        }
        for none in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"POST /",
            b"PRI * HTTP/2.0",
            b"\x16\x03\x01",
            b"\r\nGET",
        ] {
            assert_eq!(read(none), Header::Not, "{}", none.escape_ascii());
        }
        assert_eq!(read(b"P"), Header::Begun, "or POST");
    }
    #[test]
    fn no_byte_of_a_header_changed_leads_past_its_end() {
        for (header, _) in good() {
            for at in 0..header.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = header.clone();
                    changed[at] = byte;
                    if let Header::Whole(length, _) = read(&changed) {
                        assert!(length <= changed.len(), "{}", changed.escape_ascii());
                    }
                }
            }
        }
    }
    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let proxies = Proxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]).unwrap();
        let trusts = |text: &str| proxies.trusts(text.parse().unwrap());
        assert!(trusts("10.255.0.1") && trusts("fd12::1") && trusts("::ffff:10.0.0.1"));
        assert!(!trusts("11.0.0.1") && !trusts("fe80::1") && !trusts("::1"));
        assert_eq!(Proxies::new(&[]), None);
    }
}
