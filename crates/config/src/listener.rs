//! Where the process listens.
use crate::{
    diagnostic::Place,
    ledger::{Fault, Ledger},
    load::Mode,
    read::{Datum, Field, Record},
    shape::{Shape, Table, Text, key},
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tidegate_core::error::Code;

/// The listening addresses, each with its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// The apis; at least one.
    pub gateway: Vec<Listener>,
    /// Management, metrics, health; none = switched off.
    pub admin: Vec<Listener>,
}
/// One configured address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What to bind: `localhost:8080` and `:8080` are 127.0.0.1 and ::1; with port 0 it is one.
    pub address: Vec<SocketAddr>,
    /// The operator says that a public address without TLS is meant.
    pub insecure: bool,
    /// Where it was written, for an error on binding.
    pub at: Place,
}
const ADDRESS: Text = Text {
    expected: "an address such as `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` or `:8080`",
    good: |text| addresses(text).is_some(),
    pattern: None,
};
static LISTENER: Table = Table {
    title: "listener",
    doc: "One listening address; a bare text stands for `address`.",
    keys: &[
        key(
            "address",
            Shape::Text(&ADDRESS),
            "Where to listen; `localhost:8080` and `:8080` are 127.0.0.1 and ::1, `:0` is a free port of 127.0.0.1.",
        )
        .required()
        .example("127.0.0.1:8080"),
        key(
            "insecure",
            Shape::Bool,
            "Says that a public address without TLS is meant, as behind a proxy that does TLS.",
        )
        .default("false"),
        key("tls", Shape::Later, "Certificate and key."),
        key("trusted_proxies", Shape::Later, "Whose `Forwarded` headers are believed."),
    ],
};
const LISTENER_SHAPE: Shape = Shape::TextOr {
    text: &ADDRESS,
    key: "address",
    table: &LISTENER,
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
        key("memphis", Shape::Later, "The Memphis dialect."),
        key("mqtt", Shape::Later, "MQTT."),
        key("emqx", Shape::Later, "The EMQX dialect."),
    ],
};
impl Listeners {
    /// Reads them; what is wrong is told and the value returned is of no use then.
    pub(crate) fn check(listeners: &Record, mode: Mode, ledger: &mut Ledger) -> Self {
        Self {
            gateway: listen(listeners, "gateway", mode, ledger),
            admin: listen(listeners, "admin", mode, ledger),
        }
    }
}
fn listen(listeners: &Record, name: &str, mode: Mode, ledger: &mut Ledger) -> Vec<Listener> {
    let mut out = Vec::new();
    let many = listeners.list(name).len() > 1;
    for (i, field) in listeners.list(name).iter().enumerate() {
        let Some(listener) = field.record() else { continue };
        let text = listener.text("address");
        // Told already.
        let Some(address) = addresses(text) else { continue };
        let insecure = listener.bool("insecure");
        let at = listener.at("address");
        // A broken `insecure` may well have been a `true`.
        let unsure = matches!(listener.field("insecure").map(|field| &field.datum), Some(Datum::Broken));
        if !insecure && !unsure && address.iter().any(|one| !one.ip().to_canonical().is_loopback()) {
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
                Mode::Run => "",
                Mode::Dev => ", or `tidegate dev --expose`",
            };
            ledger.tell(fault.expected("a loopback address").hint(format!(
                "listen on loopback behind a proxy, or say `{{ address: \"{shown}\", insecure: true }}`{or}"
            )));
        }
        out.push(Listener {
            address,
            insecure,
            at: ledger.place(at),
        });
    }
    out
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
