//! `tidegate doctor`: looks at a node, or at an address it is to connect to, from here, and says what to mend.
use super::{
    FAILED, OK, Output, UNREACHABLE,
    failure::{Failure, text},
    node::{ANSWER, Ask, HttpClient, Node, Remote, plain},
    say, show,
    status::{names, problems, ready},
};
use crate::{memory, rlimit};
use http::{HeaderMap, Uri, header};
use serde_json::{Value, json};
use std::{net::IpAddr, path::Path};
use tidegate_core::{clock, error::Code};

/// Of the disk, below which it is time to look, and below which publishing ends soon.
const LITTLE: u64 = 1 << 30;
const NOTHING: u64 = 128 << 20;
/// Before a certificate ends, in seconds.
const SOON: i64 = 30 * 86_400;
/// Between two clocks, in seconds; a second is lost by how dates are written.
const APART: i64 = 5;
/// What speaks something else than HTTP.
const BROKERS: &[&str] = &[
    "kafka", "nats", "amqp", "amqps", "rabbitmq", "mqtt", "mqtts", "redis", "rediss", "ws", "wss",
];

#[derive(clap::Args)]
pub(super) struct Doctor {
    /// Look at this address instead of the node, like https://crm.example.com.
    url: Option<String>,
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}
impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}
/// What was looked at, in the order it was.
#[derive(Default)]
struct Checks {
    all: Vec<Check>,
    unreachable: bool,
}
struct Check {
    state: State,
    what: &'static str,
    found: String,
    hint: Option<String>,
}
impl Checks {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(State::Ok, what, found, None);
    }
    fn add(&mut self, state: State, what: &'static str, found: impl Into<String>, hint: Option<&str>) {
        self.all.push(Check {
            state,
            what,
            found: found.into(),
            hint: hint.map(str::to_owned),
        });
    }
    fn tell(&self, output: Output) -> u8 {
        if output == Output::Table {
            for Check { state, what, found, hint } in &self.all {
                say(&format!("{:<4}  {what:<12}  {found}\n", state.as_str()));
                if let Some(hint) = hint {
                    say(&format!("      {:<12}  hint: {hint}\n", ""));
                }
            }
        } else {
            let each = self
                .all
                .iter()
                .map(|check| json!({"check": check.what, "state": check.state.as_str(), "found": check.found, "hint": check.hint}));
            show(&each.collect::<Vec<_>>().into(), output);
        }
        match self.all.iter().any(|check| check.state == State::Fail) {
            _ if self.unreachable => UNREACHABLE,
            true => FAILED,
            false => OK,
        }
    }
}
impl Doctor {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let mut checks = Checks::default();
        match &self.url {
            Some(url) => self.address(url, &mut checks).await?,
            None => self.node(&mut checks).await?,
        }
        Ok(checks.tell(self.remote.output))
    }
    async fn node(&self, checks: &mut Checks) -> Result<(), Failure> {
        let node = Node::new(&self.remote)?;
        match node.ask("/api/v1/whoami", Ask::default()).await {
            Err(failure) => {
                let nobody = [Code::NodeUnreachable, Code::NotANode]
                    .iter()
                    .any(|code| failure.code() == code.to_string());
                checks.unreachable = nobody;
                let what = if nobody { "node" } else { "token" };
                if !nobody {
                    checks.ok("node", format!("{} answers", node.address));
                }
                checks.add(State::Fail, what, failure.text(), failure.hinted());
            }
            Ok(answer) => {
                checks.ok("node", format!("{} answers", node.address));
                let [name, manage] = ["name", "manage"].map(|member| text(&answer.body, member).unwrap_or_default());
                checks.ok("token", format!("{name}, may manage as {manage}"));
                time(&answer.headers, checks);
                inside(&node.get("/api/v1/status").await?, checks);
            }
        }
        if self.remote.data_dir.is_dir() {
            disk(&self.remote.data_dir, checks);
            machine(checks);
        }
        Ok(())
    }
    async fn address(&self, url: &str, checks: &mut Checks) -> Result<(), Failure> {
        let wrong = || Failure::command(format!("`{}` is no address", url.escape_debug())).hint("like https://crm.example.com");
        let (scheme, _) = url.split_once("://").ok_or_else(wrong)?;
        if BROKERS.contains(&scheme) {
            return Err(
                Failure::new(Code::NotYet, format!("looking at `{scheme}://` comes with a later version"))
                    .hint("`http://` and `https://` can be looked at now"),
            );
        }
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().filter(|_| ["http", "https"].contains(&scheme)).ok_or_else(wrong)?;
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let host = host.trim_matches(['[', ']']);
        if host.parse::<IpAddr>().is_err() {
            match tokio::net::lookup_host((host, port)).await {
                Ok(found) => {
                    let found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
                    checks.ok("name", format!("{host} is {}", found.join(", ")));
                }
                Err(error) => {
                    checks.unreachable = true;
                    let why = plain(&error);
                    let why = why.rsplit(": ").next().unwrap_or_default();
                    let hint = Some("is it spelled right? does this machine have DNS?");
                    checks.add(State::Fail, "name", format!("{host} is not found: {why}"), hint);
                    return Ok(());
                }
            }
        }
        let client = HttpClient::new(&self.remote)?;
        let began = clock::instant();
        let sent = tokio::time::timeout(ANSWER, client.send(url, Ask::default())).await;
        let took = began.elapsed().as_millis();
        match sent {
            Ok(Ok(response)) => {
                if scheme == "https" {
                    checks.ok("tls", "the certificate is good for this name, and trusted");
                }
                checks.ok("answer", format!("{} in {took} ms", response.status()));
            }
            Ok(Err(why)) => {
                checks.unreachable = true;
                checks.add(State::Fail, "answer", why.text.clone(), why.hint());
            }
            Err(_late) => {
                checks.unreachable = true;
                checks.add(State::Fail, "answer", format!("none within {} s", ANSWER.as_secs()), None);
            }
        }
        Ok(())
    }
}
/// What the node says of itself.
fn inside(status: &Value, checks: &mut Checks) {
    match ready(status) {
        None => checks.ok("ready", "it wants traffic"),
        Some(why) => checks.add(State::Fail, "ready", format!("not: {why}"), Some("its log says more")),
    }
    for (what, why) in problems(status) {
        let hint = Some("mend it and `tidegate apply` it again, or remove it");
        checks.add(State::Fail, "resource", format!("{what} is not served: {why}"), hint);
    }
    let orphans = names(&status["orphans"]);
    if !orphans.is_empty() {
        let hint = Some("declare them again, or `tidegate stream rm` them with their messages");
        checks.add(State::Warn, "streams", format!("nobody declares {orphans}"), hint);
    }
    let restart = names(&status["restart_needed"]);
    if !restart.is_empty() {
        checks.add(
            State::Warn,
            "settings",
            format!("changed, and not in force: {restart}"),
            Some("restart the node"),
        );
    }
    if let Some(error) = text(&status["last_reload"], "error") {
        let found = format!("the last reload failed: {error}");
        checks.add(State::Warn, "files", found, Some("`tidegate reload` says what is wrong with them"));
    }
    let mut told: Vec<[&Value; 2]> = Vec::new();
    for listener in status["listeners"].as_array().into_iter().flatten() {
        // `localhost` is two addresses of one listener.
        let what = [&listener["name"], &listener["tls"]];
        if told.contains(&what) {
            continue;
        }
        told.push(what);
        let Some(until) = text(&listener["tls"], "not_after") else {
            continue;
        };
        let name = text(listener, "name").unwrap_or_default();
        if listener["tls"]["stale"] == true {
            let found = format!("of `{name}`: its files hold what cannot be used, and the old one goes on");
            checks.add(
                State::Fail,
                "certificate",
                found,
                Some("the node's log says what is wrong with them"),
            );
        }
        let several = listener["tls"]["certificates"].as_array().filter(|all| all.len() > 1);
        match several {
            None => ends(&format!("`{name}`"), &until, checks),
            Some(all) => {
                for one in all {
                    let [subject, until] = ["certificate", "not_after"].map(|member| text(one, member).unwrap_or_default());
                    ends(&format!("`{name}`, {subject},"), &until, checks);
                }
            }
        }
    }
}
/// How long a certificate holds.
fn ends(whose: &str, until: &str, checks: &mut Checks) {
    let left = clock::parse_rfc3339(until).map(|end| (end - clock::now_us()) / 1_000_000);
    let renew = Some("renew it: the node takes up the new files by itself, within two seconds");
    match left {
        Some(..=0) => checks.add(State::Fail, "certificate", format!("of {whose} ended at {until}"), renew),
        Some(..SOON) => checks.add(State::Warn, "certificate", format!("of {whose} ends at {until}"), renew),
        Some(_) => checks.ok("certificate", format!("of {whose} is good until {until}")),
        None => checks.add(
            State::Warn,
            "certificate",
            format!("of {whose} ends at `{until}`, which is no time"),
            None,
        ),
    }
}
fn time(headers: &HeaderMap, checks: &mut Checks) {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(seconds);
    let Some(there) = date else { return };
    let apart = clock::now_us() / 1_000_000 - there;
    if apart.abs() > APART {
        let which = if apart > 0 { "behind" } else { "ahead of" };
        let found = format!("the node's is {} s {which} this machine's", apart.abs());
        checks.add(
            State::Warn,
            "clock",
            found,
            Some("run a time service on both; messages are dated by the node"),
        );
    } else {
        checks.ok("clock", "as here");
    }
}
/// `Sat, 21 Nov 2026 20:25:20 GMT`, the one form servers write (RFC 9110, section 5.6.7).
fn seconds(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split(' ').skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some(clock::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))? / 1_000_000)
}
fn disk(folder: &Path, checks: &mut Checks) {
    let Ok(room) = rustix::fs::statvfs(folder) else { return };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let found = format!("{} free for {}", size(free), folder.display());
    let hint = Some("free some, or lower `log.max_bytes` and restart");
    if free < NOTHING {
        checks.add(State::Fail, "disk", found, hint);
    } else if free < LITTLE {
        checks.add(State::Warn, "disk", found, hint);
    } else {
        checks.ok("disk", found);
    }
}
/// What a node with default limits would get on this machine.
fn machine(checks: &mut Checks) {
    let node = tidegate_config::Node::default();
    let wanted = node.limits.connections as usize;
    let descriptors = rlimit::connections(node.limits.connections);
    if descriptors < wanted {
        let found = format!("enough for {descriptors} connections of {wanted}");
        checks.add(
            State::Warn,
            "descriptors",
            found,
            Some("raise `ulimit -Hn`, or LimitNOFILE of the service"),
        );
    } else {
        checks.ok("descriptors", format!("enough for {wanted} connections"));
    }
    let caps = memory::caps(&node, wanted);
    let bytes = size(caps.in_flight_bytes);
    if caps.connections < wanted || caps.in_flight_bytes < node.limits.in_flight_bytes {
        let found = format!("enough for {} connections, and {bytes} in flight", caps.connections);
        checks.add(
            State::Warn,
            "memory",
            found,
            Some("a node lowers its limits to that; give it more memory, or lower `log.tail_cache` and `log.dedupe_ids`"),
        );
    } else {
        checks.ok(
            "memory",
            format!("enough for {} connections, and {bytes} in flight", caps.connections),
        );
    }
}
/// For people: `1.5 GiB`.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, name)| format!("{:.1} {name}", bytes as f64 / unit as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_servers_are_read() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:01 GMT"), Some(1));
        assert_eq!(seconds("Sat, 21 Nov 2026 20:25:20 GMT"), Some(1_795_292_720));
        assert_eq!(seconds("now"), None);
    }
    #[test]
    fn certificates_are_told_before_they_end() {
        let in_days = |days: i64| clock::rfc3339(clock::now_us() + days * 86_400_000_000);
        let listener = |days| json!({"name": "gateway", "tls": {"not_after": in_days(days)}});
        let mut checks = Checks::default();
        let status = json!({"ready": true, "listeners": [listener(-1), listener(29), listener(31), {"name": "admin", "tls": null}]});
        inside(&status, &mut checks);
        let states: Vec<_> = checks.all.iter().map(|check| check.state.as_str()).collect();
        assert_eq!(states, ["ok", "fail", "warn", "ok"]);
        // As the guide says: no command is needed.
        assert!(checks.all[1].hint.as_ref().is_some_and(|hint| hint.contains("by itself")));
        // Two addresses of one listener.
        let mut checks = Checks::default();
        let both = listener(31);
        inside(&json!({"ready": true, "listeners": [both, both]}), &mut checks);
        assert_eq!(checks.all.len(), 2);
        // Each of several.
        let mut checks = Checks::default();
        let each = [60, 3].map(|days| json!({"certificate": format!("CN={days}"), "not_after": in_days(days)}));
        let tls = json!({"certificate": "CN=3", "not_after": in_days(3), "certificates": each});
        inside(&json!({"ready": true, "listeners": [{"name": "gateway", "tls": tls}]}), &mut checks);
        let told: Vec<_> = checks.all.iter().map(|check| (check.state.as_str(), &check.found)).collect();
        assert!(
            told[1].0 == "ok" && told[1].1.starts_with("of `gateway`, CN=60, is good until"),
            "{told:?}"
        );
        assert!(
            told[2].0 == "warn" && told[2].1.starts_with("of `gateway`, CN=3, ends at"),
            "{told:?}"
        );
    }
    #[test]
    fn what_is_wrong_inside_is_told() {
        let mut checks = Checks::default();
        let status = json!({"ready": "the disk is full", "restart_needed": ["limits.body"], "orphans": ["old"], "problems": [{"kind": "api", "name": "a", "detail": "no"}], "last_reload": {"at": "x", "error": "2 errors"}});
        inside(&status, &mut checks);
        let told: Vec<_> = checks
            .all
            .iter()
            .map(|check| (check.state.as_str(), check.found.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("fail", "not: the disk is full"),
                ("fail", "api a is not served: no"),
                ("warn", "nobody declares old"),
                ("warn", "changed, and not in force: limits.body"),
                ("warn", "the last reload failed: 2 errors"),
            ]
        );
        assert_eq!(
            (size(0), size(1 << 20), size(3 << 29)),
            ("0 B".to_owned(), "1.0 MiB".to_owned(), "1.5 GiB".to_owned())
        );
    }
}
