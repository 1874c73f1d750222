//! The first thing a user sees: where it is, what to try.
use std::{fmt::Write as _, net::SocketAddr};

pub(crate) struct Screen<'a> {
    pub(crate) gateway: &'a [SocketAddr],
    pub(crate) admin: &'a [SocketAddr],
    /// The first of either speaks TLS.
    pub(crate) secure: [bool; 2],
    /// Of the Memphis dialect.
    pub(crate) memphis: &'a [SocketAddr],
    /// The user that its documents log in with is there.
    pub(crate) root: bool,
    pub(crate) data: &'a str,
    pub(crate) demo: bool,
    /// The demo has a catcher.
    pub(crate) inbox: bool,
    /// The first token, if this start made it.
    pub(crate) token: Option<&'a str>,
}
/// Lines that can be copied and work.
pub(crate) fn screen(screen: &Screen<'_>) -> String {
    let gateway = place(screen.gateway);
    let admin = place(screen.admin);
    let wide = |addresses: &[SocketAddr]| {
        if addresses.iter().any(|address| address.ip().is_unspecified()) {
            " and at every other address of this machine"
        } else {
            ""
        }
    };
    let all = [("gateway", screen.gateway), ("admin", screen.admin), ("memphis", screen.memphis)];
    let public = |addresses: &[SocketAddr]| addresses.iter().any(|address| !address.ip().to_canonical().is_loopback());
    let open: Vec<_> = all
        .into_iter()
        .filter(|(_, addresses)| public(addresses))
        .map(|(name, _)| name)
        .collect();
    let reach = if open.is_empty() {
        "this machine only".to_owned()
    } else {
        format!("open to others: {}", open.join(" and "))
    };
    let folder = if screen.data.starts_with('/') {
        screen.data.to_owned()
    } else {
        format!("./{}", screen.data.trim_start_matches("./"))
    };
    let demo = if screen.demo { "demo on" } else { "your configuration" };
    let mut out = format!(
        "tidegate {} dev: durable in {folder}, {reach}, {demo}\n\n",
        env!("CARGO_PKG_VERSION")
    );
    let [gateway_scheme, admin_scheme] = screen.secure.map(|secure| if secure { "https" } else { "http" });
    // Writing to memory cannot fail.
    let browser = if screen.demo {
        format!("   try it in a browser: {gateway_scheme}://{gateway}/")
    } else {
        String::new()
    };
    let _never = writeln!(out, "  gateway  {gateway_scheme}://{gateway}{}{browser}", wide(screen.gateway));
    if screen.admin.is_empty() {
        out.push_str("  admin    off\n");
    } else {
        let _never = writeln!(
            out,
            "  admin    {admin_scheme}://{admin}{}   /openapi.json, /metrics",
            wide(screen.admin)
        );
    }
    if !screen.memphis.is_empty() {
        let root = if screen.root {
            "   user root, connection token memphis"
        } else {
            ""
        };
        let _never = writeln!(out, "  memphis  http://{}{}{root}", place(screen.memphis), wide(screen.memphis));
    }
    if let Some(token) = screen.token {
        let file = format!("{}/admin-token", folder.trim_start_matches("./"));
        let _never = writeln!(out, "  token    {token}   shown once, kept in {file}");
    }
    out.push('\n');
    if screen.demo {
        let _never = writeln!(out, "  curl -d '{{\"id\":1}}' {gateway}/orders");
        let _never = writeln!(out, "  curl {gateway}/orders");
        let _never = writeln!(out, "  curl -N -H 'Accept: text/event-stream' '{gateway}/orders?from=earliest'\n");
        if screen.inbox {
            let _never = writeln!(out, "Orders are also sent by webhook to {admin_scheme}://{admin}/_demo/inbox");
        }
        out.push_str("Next: tidegate init writes this demo as files. ");
    }
    out.push_str("Ctrl-C drains.\n");
    out
}
/// `localhost` for both loopbacks: the shortest thing that works.
fn place(addresses: &[SocketAddr]) -> String {
    match addresses.first() {
        Some(first) if first.ip().is_loopback() && (addresses.len() > 1 || first.is_ipv4()) => format!("localhost:{}", first.port()),
        Some(first) if first.ip().is_unspecified() => format!("localhost:{}", first.port()),
        Some(first) => first.to_string(),
        None => "(not listening)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_documented() {
        let addresses = |port| ["127.0.0.1", "[::1]"].map(|ip| format!("{ip}:{port}").parse::<SocketAddr>().unwrap());
        let text = screen(&Screen {
            gateway: &addresses(8080),
            admin: &addresses(8084),
            secure: [false, true],
            memphis: &addresses(4444),
            root: true,
            data: "tidegate-data",
            demo: true,
            inbox: true,
            token: Some("tgt_x"),
        });
        assert!(text.starts_with(
            "tidegate 0.1.0 dev: durable in ./tidegate-data, this machine only, demo on\n\n  gateway  http://localhost:8080   try"
        ));
        assert!(text.contains("\n  admin    https://localhost:8084 "));
        assert!(text.contains("\n  curl -d '{\"id\":1}' localhost:8080/orders\n"));
        assert!(text.contains("\n  token    tgt_x   shown once, kept in tidegate-data/admin-token\n"));
        assert!(text.contains("\nOrders are also sent by webhook to https://localhost:8084/_demo/inbox\nNext: "));
        assert!(text.contains("\n  memphis  http://localhost:4444   user root, connection token memphis\n"));
        assert!(text.ends_with("Ctrl-C drains.\n"));
    }
    #[test]
    fn it_says_what_is_open() {
        let one = |text: &str| [text.parse::<SocketAddr>().unwrap()];
        let text = screen(&Screen {
            gateway: &one("0.0.0.0:8080"),
            admin: &one("127.0.0.1:8084"),
            secure: [false; 2],
            memphis: &one("192.168.1.4:4444"),
            root: false,
            data: "/data",
            demo: false,
            inbox: false,
            token: None,
        });
        let first = "tidegate 0.1.0 dev: durable in /data, open to others: gateway and memphis, your configuration\n";
        assert!(text.starts_with(first), "{text}");
        assert!(
            text.contains("\n  gateway  http://localhost:8080 and at every other address of this machine\n"),
            "{text}"
        );
        assert!(text.contains("\n  admin    http://localhost:8084   /openapi.json"), "{text}");
    }
    #[test]
    fn a_listener_that_is_off_has_no_address() {
        let text = screen(&Screen {
            gateway: &["127.0.0.1:8080".parse().unwrap()],
            admin: &[],
            memphis: &[],
            root: false,
            secure: [false; 2],
            data: "/data",
            demo: false,
            inbox: false,
            token: None,
        });
        assert!(text.contains("\n  admin    off\n") && !text.contains("memphis"), "{text}");
    }
}
