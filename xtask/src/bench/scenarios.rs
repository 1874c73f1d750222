//! What is measured, and what is wanted.
use super::{
    Bench, changes,
    load::{Load, Round, interleave, open_loop_over},
    machine, pulls,
    report::Row,
    server::{Server, What},
    stations, streams,
    turns::{median, thrown_away, turns},
    webhooks,
};
use std::{fmt::Write as _, fs, time::Duration};

pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Bench) -> Result<Vec<Row>, String>,
}
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "accepted",
        about: "POST of 128 bytes, 64 connections, in memory",
        run: accepted,
    },
    Scenario {
        name: "tls",
        about: "POST of 128 bytes by TLS 1.3 against the same without, on connections that are kept, stored and in memory",
        run: tls,
    },
    Scenario {
        name: "stored",
        about: "POST of 128 bytes, synced before the answer",
        run: stored,
    },
    Scenario {
        name: "slow-disk",
        about: "the same with every sync 2 and 10 ms longer",
        run: slow_disk,
    },
    Scenario {
        name: "many-streams",
        about: "the same over 1,024 streams in turn",
        run: many_streams,
    },
    Scenario {
        name: "batches",
        about: "100 elements of 128 bytes per POST, 64 connections",
        run: batches,
    },
    Scenario {
        name: "read",
        about: "GET of 100 messages, 64 connections",
        run: read,
    },
    Scenario {
        name: "latency",
        about: "POST of 128 bytes, stored, at half of its own maximum, open loop",
        run: latency,
    },
    Scenario {
        name: "idle",
        about: "memory, start, size",
        run: idle,
    },
    Scenario {
        name: "changes",
        about: "1,000 APIs are loaded, and one more is made while they serve",
        run: |bench| changes::rows(bench, &apis(1_000)),
    },
    Scenario {
        name: "breadth",
        about: "1 against 1,000 APIs, 1 against 10,000 streams",
        run: breadth,
    },
    Scenario {
        name: "guard",
        about: "what the strict guard adds to a POST of 128 bytes",
        run: guard,
    },
    Scenario {
        name: "fan-out",
        about: "1 publisher to 1,000 subscribers, beside nats-server and nchan",
        run: streams::fan_out,
    },
    Scenario {
        name: "topics",
        about: "100 topics with 10 subscribers each against one with 1,000",
        run: streams::topics,
    },
    Scenario {
        name: "idle-streams",
        about: "memory of 9,000 idle subscribers",
        run: streams::idle_streams,
    },
    Scenario {
        name: "upgrades",
        about: "WebSocket handshakes, 64 at a time",
        run: streams::handshakes,
    },
    Scenario {
        name: "stalled",
        about: "100 of 1,000 subscribers stop reading",
        run: streams::stalled,
    },
    Scenario {
        name: "slow-clients",
        about: "good clients beside thousands that are slow",
        run: streams::slow_clients,
    },
    Scenario {
        name: "reconnect",
        about: "9,000 clients come back at once with their cursors",
        run: streams::reconnect,
    },
    Scenario {
        name: "webhook",
        about: "messages of 128 bytes from the log to an HTTP server, 64 in flight",
        run: webhooks::push,
    },
    Scenario {
        name: "stations",
        about: "the Memphis API beside the native one, stored",
        run: stations::rows,
    },
    Scenario {
        name: "pipeline",
        about: "HTTP in, stored, HTTP out",
        run: webhooks::pipeline,
    },
    Scenario {
        name: "hanging",
        about: "1,000 webhooks, 10 of which hang",
        run: webhooks::hanging,
    },
    Scenario {
        name: "pull",
        about: "16 workers that pull 100 and settle 100, against as many that read 100",
        run: pulls::rows,
    },
];
/// The body of the control's own script, and its content type.
const POST: &str = "controls/post.lua";

fn api(name: &str, stream: &str, path: &str) -> String {
    format!("---\nkind: api\nname: {name}\npaths: [{path}]\nbackend: {{ stream: {stream} }}\n")
}
pub(super) fn one_stream() -> String {
    format!("kind: stream\nname: t\n{}", api("t", "t", "/topics/t"))
}
fn post(connections: u32) -> Load {
    Load {
        path: "/topics/t".into(),
        connections,
        script: Some(POST),
        ..Load::default()
    }
}
/// Control and Tidegate side by side under one load.
fn against(bench: &Bench, name: &str, control: &What, own: &What, loads: [Load; 2], wanted: f64) -> Result<Row, String> {
    let servers = [Server::start(bench, control)?, Server::start(bench, own)?];
    ratio(bench, name, &servers, loads, wanted)
}
fn ratio(bench: &Bench, name: &str, servers: &[Server; 2], loads: [Load; 2], wanted: f64) -> Result<Row, String> {
    let contenders: Vec<_> = servers
        .iter()
        .zip(loads)
        .map(|(server, load)| (server.port, server.pid(), load))
        .collect();
    compare(bench, name, &contenders, wanted)
}
pub(super) fn compare(bench: &Bench, name: &str, contenders: &[(u16, u32, Load)], wanted: f64) -> Result<Row, String> {
    let (rounds, thrown) = interleave(bench, contenders)?;
    let [control, own] = rounds.as_slice() else {
        return Err("two contenders".into());
    };
    let ratio = own.rate / control.rate;
    Ok(Row {
        name: name.to_owned(),
        control: told(control),
        own: told(own),
        figure: format!("{ratio:.2}{}", thrown_away(thrown)),
        wanted: format!("{wanted:.2}"),
        met: ratio >= wanted,
    })
}
fn told(round: &Round) -> String {
    format!(
        "{:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.1} us",
        round.rate, round.p50, round.p99, round.cpu
    )
}
fn accepted(bench: &Bench) -> Result<Vec<Row>, String> {
    let control = What {
        control: true,
        ..What::default()
    };
    let own = What {
        resources: Some(one_stream()),
        ..What::default()
    };
    let light = Load {
        headers: vec!["Tidegate-Ack: accepted".into()],
        ..post(64)
    };
    Ok(vec![against(
        bench,
        "POST 128 B, 64 connections, accepted",
        &control,
        &own,
        [light.clone(), light],
        0.85,
    )?])
}
/// One process with two listeners: what TLS costs of what is answered without it, the load's own share of it included.
fn tls(bench: &Bench) -> Result<Vec<Row>, String> {
    let own = What {
        resources: Some(one_stream()),
        tls: true,
        ..What::default()
    };
    let server = Server::start(bench, &own)?;
    let mut rows = Vec::new();
    // As a POST is without a wish, and the lightest there is, of which the cipher is the largest part.
    for level in ["stored", "accepted"] {
        let light = Load {
            headers: vec![format!("Tidegate-Ack: {level}")],
            ..post(64)
        };
        let secure = Load {
            tls: true,
            ..light.clone()
        };
        let contenders = [(server.port, server.pid(), light), (server.secure, server.pid(), secure)];
        let name = format!("TLS 1.3, POST 128 B, 64 kept connections, {level}, against cleartext");
        rows.push(compare(bench, &name, &contenders, 0.85)?);
    }
    Ok(rows)
}
/// The guard alone over the bytes of one request, against what the server spends on the whole request.
fn guard(bench: &Bench) -> Result<Vec<Row>, String> {
    let output = std::process::Command::new("cargo")
        .args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "tidegate-entrypoints",
            "--example",
            "framing",
        ])
        .current_dir(&bench.root)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let nanos: f64 = said.trim().parse().map_err(|_| format!("guard said `{said}`"))?;
    let own = What {
        resources: Some(one_stream()),
        ..What::default()
    };
    let server = Server::start(bench, &own)?;
    let light = Load {
        headers: vec!["Tidegate-Ack: accepted".into()],
        ..post(64)
    };
    let (rounds, _) = interleave(bench, &[(server.port, server.pid(), light)])?;
    let request = rounds.first().map_or(0.0, |round| round.cpu) * 1e3;
    let share = nanos / (request - nanos) * 100.0;
    Ok(vec![Row {
        name: "the guard, of the CPU of a POST of 128 B without it".into(),
        control: format!("{:.0} ns without", request - nanos),
        own: format!("{nanos:.0} ns more"),
        figure: format!("{share:.1} %"),
        wanted: "3 % at most".into(),
        met: share <= 3.0,
    }])
}
fn durable(slow: Option<u32>) -> [What; 2] {
    let control = What {
        control: true,
        log: true,
        slow,
        ..What::default()
    };
    let own = What {
        resources: Some(one_stream()),
        slow,
        ..What::default()
    };
    [control, own]
}
fn stored(bench: &Bench) -> Result<Vec<Row>, String> {
    let [control, own] = durable(None);
    let servers = [Server::start(bench, &control)?, Server::start(bench, &own)?];
    let row = |connections| {
        let name = format!("POST 128 B, {connections} connections, stored");
        ratio(bench, &name, &servers, [post(connections), post(connections)], 0.75)
    };
    [16, 64, 256].into_iter().map(row).collect()
}
fn slow_disk(bench: &Bench) -> Result<Vec<Row>, String> {
    let row = |(ms, connections): (u32, u32)| {
        let [control, own] = durable(Some(ms));
        let name = format!("POST 128 B, {connections} connections, stored, syncs {ms} ms longer");
        against(bench, &name, &control, &own, [post(connections), post(connections)], 1.0)
    };
    [(2, 64), (2, 256), (10, 64), (10, 256)].into_iter().map(row).collect()
}
fn many_streams(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut resources = String::from("limits: {}\n");
    for i in 0..1_024 {
        // Writing to memory cannot fail.
        let _never = write!(
            resources,
            "---\nkind: stream\nname: s{i}\n{}",
            api(&format!("s{i}"), &format!("s{i}"), &format!("/s{i}"))
        );
    }
    let [control, own] = durable(None);
    let own = What {
        resources: Some(resources),
        ..own
    };
    let load = Load {
        path: "/s0".into(),
        connections: 64,
        script: Some("streams.lua"),
        ..Load::default()
    };
    Ok(vec![against(
        bench,
        "POST 128 B, 64 connections, stored, 1,024 streams",
        &control,
        &own,
        [load.clone(), load],
        0.4,
    )?])
}
fn batches(bench: &Bench) -> Result<Vec<Row>, String> {
    let row = |(name, array): (&str, bool)| {
        let [control, own] = durable(None);
        let load = Load {
            script: Some("batch.lua"),
            variables: if array { vec![("ARRAY", "1".into())] } else { Vec::new() },
            ..post(64)
        };
        against(
            bench,
            &format!("batches of 100 x 128 B, {name}, stored, 64 connections"),
            &control,
            &own,
            [load.clone(), load],
            0.3,
        )
    };
    [("NDJSON", false), ("JSON array", true)].into_iter().map(row).collect()
}
fn read(bench: &Bench) -> Result<Vec<Row>, String> {
    let own = Server::start(
        bench,
        &What {
            resources: Some(one_stream()),
            ..What::default()
        },
    )?;
    let body: Vec<String> = (0..100)
        .map(|i| format!("{{\"n\":{i},\"text\":\"{}\"}}", "a".repeat(112)))
        .collect();
    curl(&[
        "-sf",
        "-H",
        "Content-Type: application/x-ndjson",
        "--data-binary",
        &body.join("\n"),
        &format!("http://127.0.0.1:{}/topics/t", own.port),
    ])?;
    let page = curl(&["-sf", &format!("http://127.0.0.1:{}/topics/t?limit=100", own.port)])?;
    let control = Server::start(
        bench,
        &What {
            control: true,
            answer: Some(page.len()),
            ..What::default()
        },
    )?;
    let get = |path: &str| Load {
        path: path.into(),
        connections: 64,
        ..Load::default()
    };
    Ok(vec![ratio(
        bench,
        "GET of 100 messages, 64 connections",
        &[control, own],
        [get("/topics/t"), get("/topics/t?limit=100")],
        0.4,
    )?])
}
pub(super) fn curl(arguments: &[&str]) -> Result<Vec<u8>, String> {
    let output = std::process::Command::new("curl")
        .args(arguments)
        .output()
        .map_err(|error| format!("curl: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("curl {arguments:?} failed"))
    }
}
/// The tail beside the control's at the same rate; requests are due by the clock, and their time counts from when they were due.
fn latency(bench: &Bench) -> Result<Vec<Row>, String> {
    let [control, own] = durable(None);
    let servers = [Server::start(bench, &control)?, Server::start(bench, &own)?];
    let (rounds, _) = interleave(bench, &[(servers[1].port, servers[1].pid(), post(64))])?;
    let rate = rounds.first().map_or(0.0, |round| round.rate) / 2.0;
    let paths = ["/topics/t".to_owned()];
    let mut rows = Vec::new();
    // As many connections as the maximum was measured with, too: 16 of them may not reach half of it, and then wait for each other.
    for (connections, name) in [(16, OPEN_LOOP), (64, OPEN_LOOP_64)] {
        let tail = |server: &Server| open_loop_over(connections, server.port, &paths, rate, bench.seconds);
        let [control, own] = &servers;
        let (counted, thrown) = turns(bench, &[control.pid(), own.pid()], || Ok((tail(control)?, tail(own)?)))?;
        let (controls, owns): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
        let (control, own) = (median(controls), median(owns));
        rows.push(Row {
            name: name.into(),
            control: format!("{control:.2} ms"),
            own: format!("{own:.2} ms at {rate:.0}/s"),
            figure: format!("{:+.2} ms{}", own - control, thrown_away(thrown)),
            wanted: "+2 ms at most".into(),
            met: own - control < 2.0,
        });
    }
    Ok(rows)
}
const OPEN_LOOP: &str = "stored, open loop at half of its maximum, p99";
const OPEN_LOOP_64: &str = "stored, open loop at half of its maximum, p99, over 64 connections instead of 16";
fn idle(bench: &Bench) -> Result<Vec<Row>, String> {
    let row = |name: &str, own: String, wanted: &str, met: bool| Row {
        name: name.to_owned(),
        control: "-".into(),
        own: own.clone(),
        figure: own,
        wanted: wanted.to_owned(),
        met,
    };
    let server = Server::start(bench, &What::default())?;
    std::thread::sleep(Duration::from_secs(5));
    let resident = machine::resident(server.pid());
    drop(server);
    let mut starts: Vec<Duration> = Vec::new();
    for _ in 0..bench.rounds {
        starts.push(Server::start(bench, &What::default())?.started);
    }
    starts.sort();
    let start = starts.get(starts.len() / 2).copied().unwrap_or_default();
    let size = fs::metadata(&bench.tidegate).map_err(|error| error.to_string())?.len();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    Ok(vec![
        row(
            "resident 5 s after ready, with the demo",
            format!("{:.1} MB", megabytes(resident)),
            "25 MB at most",
            megabytes(resident) <= 25.0,
        ),
        row(
            "start to first answer",
            format!("{} ms", start.as_millis()),
            "150 ms at most",
            start.as_millis() <= 150,
        ),
        row(
            "release binary, stripped",
            format!("{:.1} MB", megabytes(size)),
            "30 MB at most",
            megabytes(size) <= 30.0,
        ),
    ])
}
/// So many APIs on one stream.
fn apis(count: usize) -> String {
    let mut apis = one_stream();
    for i in 1..count {
        apis.push_str(&api(&format!("a{i}"), "t", &format!("/a{i}")));
    }
    apis
}
fn breadth(bench: &Bench) -> Result<Vec<Row>, String> {
    let apis = apis(1_000);
    let mut streams = one_stream();
    for i in 1..10_000 {
        // Writing to memory cannot fail.
        let _never = write!(streams, "---\nkind: stream\nname: s{i}\n");
    }
    let few = What {
        resources: Some(one_stream()),
        ..What::default()
    };
    let row = |(name, resources): (&str, String)| {
        let many = What {
            resources: Some(resources),
            ..What::default()
        };
        against(bench, name, &few, &many, [post(64), post(64)], 0.85)
    };
    [
        ("stored, 1,000 APIs against 1", apis),
        ("stored, 10,000 streams against 1", streams),
    ]
    .into_iter()
    .map(row)
    .collect()
}
