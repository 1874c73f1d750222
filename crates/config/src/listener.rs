//! Where the process listens.
mod spot;

use crate::{
    diagnostic::Place,
    ledger::{At, Fault, Ledger},
    load::Mode,
    memphis::{self, Memphis},
    read::{self, Datum, Field, Record},
    shape::{Key, Shape, Table, Text, key},
    tree::{Data, Value},
};
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};
use tidegate_core::error::Code;

/// The listening addresses, each with its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// The apis; at least one.
    pub gateway: Vec<Listener>,
    /// Management, metrics, health; none = switched off.
    pub admin: Vec<Listener>,
    /// The Memphis dialect; none = switched off.
    pub memphis: Vec<Memphis>,
}
/// One configured address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What to bind: `localhost:8080` and `:8080` are 127.0.0.1 and ::1; with port 0 it is one.
    pub address: Vec<SocketAddr>,
    /// The operator says that a public address without TLS is meant.
    pub insecure: bool,
    /// What it proves itself with; `None`: it speaks without TLS.
    pub tls: Option<Tls>,
    /// Whose word on who is calling is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where it was written, for an error on binding.
    pub at: Place,
}
/// TLS of one listener. The files are not looked at: checking opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What it proves itself with, by the name a client asks for; the first is for any other. At least one.
    pub own: Vec<Pair>,
    /// PEM: who must have signed a client's certificate; `None`: clients need none.
    pub client_ca: Option<File>,
    /// TLS 1.2 is refused.
    pub newest_only: bool,
}
/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM: its own certificate, then those between it and a root.
    pub certificate: File,
    /// PEM: the key of the first of them.
    pub key: File,
}
/// A file that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the folder the program is started in.
    pub path: PathBuf,
    /// Where it was named.
    pub at: Place,
}
const PAIR: [&str; 2] = ["certificate", "key"];
pub(crate) const FILE: Text = Text {
    expected: "the path of a file",
    good: |text| !text.is_empty() && !text.contains('\0'),
    pattern: None,
};
const NETWORK: Text = Text {
    expected: "a network such as `10.0.0.0/8` or `fd00::/8`, or one address",
    good: |text| network(text).is_some(),
    pattern: None,
};
const CERTIFICATE_KEY: Key = key(
    "certificate",
    Shape::Text(&FILE),
    "Its certificate, then those between it and a root.",
)
.example("gateway.pem");
const KEY_KEY: Key = key("key", Shape::Text(&FILE), "The key of its certificate.").example("gateway.key");
static CERTIFICATE: Table = Table {
    title: "certificate",
    doc: "One of several certificates of a listener.",
    keys: &[CERTIFICATE_KEY.required(), KEY_KEY.required()],
};
static TLS: Table = Table {
    title: "tls",
    doc: "What a listener proves itself with, in PEM files; paths are relative to the folder of the file that names them. Changed files are \
          taken up by themselves.",
    keys: &[
        CERTIFICATE_KEY,
        KEY_KEY,
        key(
            "certificates",
            Shape::List {
                of: &Shape::Record(&CERTIFICATE),
                min: 1,
            },
            "In the place of `certificate` and `key`: several, each for the names it is made out for. The first is for all other clients.",
        )
        .example("[{ certificate: a.pem, key: a.key }, { certificate: b.pem, key: b.key }]"),
        key(
            "client_ca",
            Shape::Text(&FILE),
            "Who must have signed the certificate of a client; without it clients need none.",
        )
        .example("clients.pem"),
        key(
            "min_version",
            Shape::Choice {
                now: &["1.2", "1.3"],
                later: &[],
            },
            "The oldest version of TLS it speaks.",
        )
        .default("\"1.2\""),
    ],
};
const ADDRESS: Text = Text {
    expected: "an address such as `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` or `:8080`",
    good: |text| addresses(text).is_some(),
    pattern: None,
};
const ADDRESS_KEY: Key = key(
    "address",
    Shape::Text(&ADDRESS),
    "Where to listen; `localhost:8080` and `:8080` are 127.0.0.1 and ::1, `:0` is a free port of 127.0.0.1.",
)
.required()
.example("127.0.0.1:8080");
const INSECURE_KEY: Key = key(
    "insecure",
    Shape::Bool,
    "Says that a public address without TLS is meant, as behind a proxy that does TLS.",
)
.default("false");
const TLS_KEY: Key =
    key("tls", Shape::Record(&TLS), "Certificate and key, for HTTPS.").example("{ certificate: gateway.pem, key: gateway.key }");
const PROXIES_KEY: Key = key(
    "trusted_proxies",
    Shape::List {
        of: &Shape::Text(&NETWORK),
        min: 0,
    },
    "Networks of proxies in front, whose word on who is calling is believed: the PROXY protocol, `Forwarded`, `X-Forwarded-For`.",
)
.default("[]")
.example("[10.0.0.0/8]");
static LISTENER: Table = Table {
    title: "listener",
    doc: "One listening address; a bare text stands for `address`.",
    keys: &[ADDRESS_KEY, INSECURE_KEY, TLS_KEY, PROXIES_KEY],
};
static MEMPHIS: Table = Table {
    title: "memphis",
    doc: "One address of the Memphis dialect; a bare text stands for `address`.",
    keys: &[
        ADDRESS_KEY,
        INSECURE_KEY,
        TLS_KEY,
        PROXIES_KEY,
        memphis::ACCESS_TTL,
        memphis::REFRESH_TTL,
        memphis::MAX_TTL,
        memphis::KEYS,
        memphis::COMPATIBILITY,
        memphis::TYPES,
        memphis::CREATE,
    ],
};
const LISTENER_SHAPE: Shape = Shape::TextOr {
    text: &ADDRESS,
    key: "address",
    table: &LISTENER,
};
const MEMPHIS_SHAPE: Shape = Shape::TextOr {
    text: &ADDRESS,
    key: "address",
    table: &MEMPHIS,
};
pub(crate) static LISTENERS: Table = Table {
    title: "listeners",
    doc: "Where it listens: each an address, a map, or a list of them.",
    keys: &[
        key(
            "gateway",
            Shape::OneOrMany {
                of: &LISTENER_SHAPE,
                min: 1,
            },
            "The apis.",
        )
        .default(":8080")
        .example("{ address: \"0.0.0.0:8080\", insecure: true }"),
        key(
            "admin",
            Shape::OneOrMany {
                of: &LISTENER_SHAPE,
                min: 0,
            },
            "Management, metrics and health; `[]` switches it off.",
        )
        .default(":8084"),
        key(
            "memphis",
            Shape::OneOrMany {
                of: &MEMPHIS_SHAPE,
                min: 0,
            },
            "The Memphis dialect; `[]` switches it off.",
        )
        .default("[]")
        .example(":4444"),
        key("mqtt", Shape::Later, "MQTT."),
        key("emqx", Shape::Later, "The EMQX dialect."),
    ],
};
impl Listeners {
    /// Nobody else can reach any of them.
    pub fn only_this_machine(&self) -> bool {
        let memphis = self.memphis.iter().map(|memphis| &memphis.listener);
        let addresses = self
            .gateway
            .iter()
            .chain(&self.admin)
            .chain(memphis)
            .flat_map(|listener| &listener.address);
        addresses.into_iter().all(|address| address.ip().to_canonical().is_loopback())
    }
    /// Reads them; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(listeners: &Record, mode: Mode, ledger: &mut Ledger) -> Self {
        spot::apart(listeners, mode, ledger);
        Self {
            gateway: plain(listeners, "gateway", mode, ledger),
            admin: plain(listeners, "admin", mode, ledger),
            memphis: listen(listeners, "memphis", mode, ledger, Memphis::new),
        }
    }
}
fn plain(listeners: &Record, name: &str, mode: Mode, ledger: &mut Ledger) -> Vec<Listener> {
    listen(listeners, name, mode, ledger, |listener, _, _| listener)
}
fn listen<L>(
    listeners: &Record,
    name: &str,
    mode: Mode,
    ledger: &mut Ledger,
    build: impl Fn(Listener, &Record, &mut Ledger) -> L,
) -> Vec<L> {
    let mut out = Vec::new();
    let many = listeners.list(name).len() > 1;
    for (i, field) in listeners.list(name).iter().enumerate() {
        let Some(listener) = field.record() else { continue };
        // Told already.
        let Some(address) = bound(listener, mode) else { continue };
        let insecure = listener.bool("insecure") || (mode == Mode::Exposed && listener.at("insecure") == At::BUILT_IN);
        let trusted_proxies: Vec<_> = listener.texts("trusted_proxies").iter().filter_map(|text| network(text)).collect();
        let at = listener.at("address");
        let broken = |key: &str| matches!(listener.field(key).map(|field| &field.datum), Some(Datum::Broken));
        // A broken `insecure` may well have been a `true`.
        let unsure = broken("insecure") || broken("trusted_proxies");
        let protected = insecure || listener.field("tls").is_some() || !listener.list("trusted_proxies").is_empty();
        if !protected && !unsure && address.iter().any(|one| !one.ip().to_canonical().is_loopback()) {
            let shown = listener.field("address").map(Field::shown).unwrap_or_default();
            let path = listeners.path.key(name);
            let path = if many { path.item(i) } else { path };
            let fault = Fault::new(
                Code::UnsafeAddress,
                at,
                &path.key("address"),
                format!("`{shown}` is public and has no TLS"),
            );
            let or = match mode {
                Mode::Run | Mode::Exposed => "",
                Mode::Dev => ", or `tidegate dev --expose`",
            };
            ledger.tell(fault.expected("a loopback address").hint(format!(
                "add `tls`, listen on loopback behind a proxy, or say `{{ address: \"{shown}\", insecure: true }}`{or}"
            )));
        }
        let plain = Listener {
            address,
            insecure,
            tls: listener.record("tls").and_then(|record| tls(record, ledger)),
            trusted_proxies,
            at: ledger.place(at),
        };
        out.push(build(plain, listener, ledger));
    }
    out
}
/// What it binds; `None`: that cannot be read.
fn bound(listener: &Record, mode: Mode) -> Option<Vec<SocketAddr>> {
    let address = addresses(listener.text("address"))?;
    Some(match address.first() {
        Some(one) if mode == Mode::Exposed && listener.at("address") == At::BUILT_IN => vec![(Ipv4Addr::UNSPECIFIED, one.port()).into()],
        _ => address,
    })
}
/// `None`: nothing to prove itself with, which is told.
fn tls(record: &Record, ledger: &mut Ledger) -> Option<Tls> {
    if record.field("certificates").is_some() {
        for name in PAIR.into_iter().filter(|name| record.field(name).is_some()) {
            let message = format!("`{name}` beside `certificates`");
            let fault = Fault::new(Code::BadValue, record.at(name), &record.path.key(name), message);
            ledger.tell(fault.hint("make it the first of `certificates`"));
        }
    } else {
        for missing in [CERTIFICATE_KEY, KEY_KEY].iter().filter(|key| record.field(key.name).is_none()) {
            ledger.tell(read::missing(missing, record.at, &record.path));
        }
    }
    let file = |record: &Record, name: &str| File {
        path: record.text(name).into(),
        at: ledger.place(record.at(name)),
    };
    let pair = |record: &Record| Pair {
        certificate: file(record, "certificate"),
        key: file(record, "key"),
    };
    let several: Vec<_> = record.list("certificates").iter().filter_map(Field::record).map(pair).collect();
    let single = || record.maybe_text("certificate").map(|_| pair(record)).into_iter().collect();
    let own: Vec<_> = if several.is_empty() { single() } else { several };
    (!own.is_empty()).then(|| Tls {
        own,
        client_ca: record.maybe_text("client_ca").map(|_| file(record, "client_ca")),
        newest_only: record.text("min_version") == "1.3",
    })
}
/// In the settings of one file: paths of certificates are relative to its folder. What is no path is told when it is checked.
pub(crate) fn anchor(node: &mut Value, folder: &Path) {
    let Some(listeners) = node.get_mut("listeners") else { return };
    let Data::Map(entries) = &mut listeners.data else { return };
    for entry in entries {
        let listeners = match &mut entry.value.data {
            Data::List(items) => items.as_mut_slice(),
            _ => std::slice::from_mut(&mut entry.value),
        };
        for listener in listeners.iter_mut() {
            beside(listener, "keys", folder);
            let Some(tls) = listener.get_mut("tls") else { continue };
            beside(tls, "client_ca", folder);
            pair_beside(tls, folder);
            let several = match tls.get_mut("certificates").map(|several| &mut several.data) {
                Some(Data::List(items)) => items.as_mut_slice(),
                _ => &mut [],
            };
            for pair in several {
                pair_beside(pair, folder);
            }
        }
    }
}
fn pair_beside(of: &mut Value, folder: &Path) {
    for name in PAIR {
        beside(of, name, folder);
    }
}
/// The path under that key is relative to the folder.
fn beside(of: &mut Value, name: &str, folder: &Path) {
    let value = of.get_mut(name).filter(|value| value.text().is_some_and(FILE.good));
    if let Some(Data::Scalar { text, plain }) = value.map(|value| &mut value.data) {
        *text = folder.join(&*text).display().to_string();
        *plain = false;
    }
}
fn network(text: &str) -> Option<IpNet> {
    let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(one)
}
/// What to bind for `127.0.0.1:8080`, `localhost:8080` or `:8080`. Names are not looked up: checking asks nobody.
fn addresses(text: &str) -> Option<Vec<SocketAddr>> {
    if let Ok(address) = text.parse() {
        return Some(vec![address]);
    }
    let (host, port) = text.rsplit_once(':')?;
    if !(host.is_empty() || host.eq_ignore_ascii_case("localhost")) || !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let port: u16 = port.parse().ok()?;
    if port == 0 {
        // The system chooses one for each address, and a listener with two ports is two listeners.
        return Some(vec![(Ipv4Addr::LOCALHOST, port).into()]);
    }
    Some(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_one_port() {
        let of = |text| addresses(text).map(|all| all.len());
        assert_eq!([of(":8080"), of("localhost:8080"), of("127.0.0.1:0")], [Some(2), Some(2), Some(1)]);
        assert_eq!(
            [of(":0"), of("localhost:0"), of("LOCALHOST:00"), of("example.com:1")],
            [Some(1), Some(1), Some(1), None]
        );
    }
}
