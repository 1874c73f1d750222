//! What goes out: to a target that answers at once, through the disk, and beside targets that hang.
use super::{
    Bench,
    load::{Load, open_loop, round},
    machine,
    peers::Peer,
    report::Row,
    scenarios::{curl, one_stream},
    server::{Server, What},
    sink::{HANGS, Sink},
    turns::{median, thrown_away, turns},
};
use std::{
    fmt::Write as _,
    fs,
    process::Command,
    time::{Duration, Instant},
};

const IN_FLIGHT: u32 = 64;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The control's sink takes everything at this path.
const PATH: &str = "/topics/t";
/// Streams of the row with 1,000 webhooks, and webhooks of each.
const STREAMS: usize = 100;
const EACH: usize = 10;

fn webhook(name: &str, stream: &str, port: u16, path: &str, more: &str) -> String {
    format!(
        "---\nkind: webhook\nname: {name}\nsource: {{ stream: {stream} }}\ntarget: {{ url: \"http://127.0.0.1:{port}{path}\" }}\n{more}\n"
    )
}
/// As `curl -X POST` with the node's own token.
fn manage(server: &Server, path: &str) -> Result<String, String> {
    let token = fs::read_to_string(server.folder.path().join("tidegate-data/admin-token")).map_err(|error| error.to_string())?;
    let token = format!("Authorization: Bearer {}", token.trim());
    let url = format!("http://127.0.0.1:{}{path}", server.admin);
    let method = if path.starts_with("/api") { "POST" } else { "GET" };
    let answer = curl(&["-sS", "--fail-with-body", "-X", method, "-H", &token, &url])?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
/// The sum of one metric.
fn metric(server: &Server, name: &str, label: &str) -> Result<f64, String> {
    let text = manage(server, "/metrics")?;
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
fn delivered(server: &Server) -> Result<f64, String> {
    metric(server, "tidegate_webhook_attempts_total", "outcome=\"delivered\"")
}
/// Puts more into the stream than some rounds take out.
fn fill(bench: &Bench, server: &Server) -> Result<(), String> {
    let load = Load {
        path: PATH.into(),
        connections: 16,
        script: Some("batch.lua"),
        ..Load::default()
    };
    round(bench, server.port, server.pid(), &load).map(|_| ())
}
fn p99(mut all: Vec<Duration>) -> f64 {
    all.sort_unstable();
    all.get(all.len() * 99 / 100).copied().unwrap_or_default().as_secs_f64() * 1e3
}
fn row(name: &str, control: String, own: String, (ratio, thrown): (f64, usize), wanted: f64) -> Row {
    Row {
        name: name.to_owned(),
        control,
        own,
        figure: format!("{ratio:.2}{}", thrown_away(thrown)),
        wanted: format!("{wanted:.2}"),
        met: ratio >= wanted,
    }
}
/// A hyper client against a hyper server, beside a webhook that reads what the stream holds.
pub(super) fn push(bench: &Bench) -> Result<Vec<Row>, String> {
    let (action, wanted) = ("webhook: the HTTP action alone, no signature, no delivery log", 0.75);
    let (bare, alone) = example(bench)?;
    let mut rows = vec![row(
        action,
        format!("{bare:.0}/s"),
        format!("{alone:.0}/s"),
        (alone / bare, 0),
        wanted,
    )];
    let sink = Server::start(
        bench,
        &What {
            control: true,
            ..What::default()
        },
    )?;
    let more = format!("enabled: false\nparallel: {IN_FLIGHT}\nsign: {{ secrets: [{SECRET}] }}");
    let own = Server::start(
        bench,
        &What {
            resources: Some(format!(
                "{}{}",
                one_stream(),
                webhook("w", "t, from: earliest", sink.port, PATH, &more)
            )),
            ..What::default()
        },
    )?;
    let enough = f64::from(bench.seconds) * 100_000.0;
    let (counted, thrown) = turns(bench, &[sink.pid(), own.pid()], || {
        if metric(&own, "tidegate_webhook_lag_messages", "")? < enough {
            fill(bench, &own)?;
        }
        let control = hclient(bench, sink.port)?;
        manage(&own, "/api/v1/webhooks/w/start")?;
        // The connections are made by then.
        std::thread::sleep(Duration::from_millis(300));
        let (had, cpu, began) = (delivered(&own)?, machine::cpu(own.pid()), Instant::now());
        std::thread::sleep(Duration::from_secs(bench.seconds.into()));
        let sent = delivered(&own)? - had;
        let (rate, cost) = (sent / began.elapsed().as_secs_f64(), (machine::cpu(own.pid()) - cpu) * 1e6 / sent);
        if metric(&own, "tidegate_webhook_lag_messages", "")? == 0.0 {
            return Err("the stream ran dry".into());
        }
        manage(&own, "/api/v1/webhooks/w/stop")?;
        Ok((control, (rate, cost)))
    })?;
    let (controls, owns): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    let (owns, costs) = owns.into_iter().unzip();
    let (control, rate) = (median(controls), median(owns));
    rows.push(row(
        "webhook of 128 B, 64 in flight, from the log, signed and noted",
        format!("{control:.0}/s"),
        format!("{rate:.0}/s, {:.1} us", median(costs)),
        (rate / control, thrown),
        0.60,
    ));
    Ok(rows)
}
/// `bare 80000/s; …` and the medians of the example that compares the action alone.
fn example(bench: &Bench) -> Result<(f64, f64), String> {
    let output = Command::new("cargo")
        .args([
            "run",
            "--release",
            "--quiet",
            "--package",
            "tidegate-endpoints",
            "--example",
            "target",
        ])
        .current_dir(&bench.root)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |line: &str, word: &str| -> Option<f64> {
        let rest = line.split(word).nth(1)?;
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    let rates = |word: &str| median(said.lines().filter_map(|line| after(line, word)).collect());
    match (rates("bare "), rates("; target ")) {
        (bare, alone) if bare > 0.0 && alone > 0.0 => Ok((bare, alone)),
        _ => Err(format!("target said `{said}{}`", String::from_utf8_lossy(&output.stderr))),
    }
}
fn hclient(bench: &Bench, port: u16) -> Result<f64, String> {
    let output = Command::new(&bench.hclient)
        .args([port.to_string(), IN_FLIGHT.to_string(), bench.seconds.to_string(), "hyper".into()])
        .output()
        .map_err(|error| format!("hclient: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace()
        .zip(said.split_whitespace().skip(1))
        .find_map(|(number, unit)| (unit == "req/s").then(|| number.parse().ok())?)
        .ok_or_else(|| format!("hclient said `{said}`"))
}
/// HTTP in, on disk, HTTP out; the bare one holds its senders back, ours lets them go and is waited for.
pub(super) fn pipeline(bench: &Bench) -> Result<Vec<Row>, String> {
    let sink = Server::start(
        bench,
        &What {
            control: true,
            raw: true,
            ..What::default()
        },
    )?;
    let own = |port: u16| {
        Server::start(
            bench,
            &What {
                resources: Some(format!(
                    "{}{}",
                    one_stream(),
                    webhook("w", "t", port, PATH, &format!("parallel: {IN_FLIGHT}"))
                )),
                ..What::default()
            },
        )
    };
    let load = Load {
        path: PATH.into(),
        connections: 64,
        script: Some("controls/post.lua"),
        ..Load::default()
    };
    let (pipe, server) = (Peer::pipe(bench, sink.port, IN_FLIGHT)?, own(sink.port)?);
    let (counted, thrown) = turns(bench, &[pipe.pid(), server.pid(), sink.pid()], || {
        let control = round(bench, pipe.ports.0, pipe.pid(), &load)?.rate;
        std::thread::sleep(Duration::from_secs(1));
        let (had, began) = (delivered(&server)?, Instant::now());
        round(bench, server.port, server.pid(), &load)?;
        while metric(&server, "tidegate_webhook_lag_messages", "")? > 0.0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok((control, (delivered(&server)? - had) / began.elapsed().as_secs_f64()))
    })?;
    let (controls, owns): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    drop((pipe, server, sink));
    let (control, rate) = (median(controls), median(owns));
    let mut rows = vec![row(
        "HTTP in, stored, HTTP out, 64 connections and 64 in flight",
        format!("{control:.0}/s"),
        format!("{rate:.0}/s"),
        (rate / control, thrown),
        0.50,
    )];
    let sink = Sink::start()?;
    let (pipe, server) = (Peer::pipe(bench, sink.port, IN_FLIGHT)?, own(sink.port)?);
    let tail = |port: u16| -> Result<f64, String> {
        sink.take();
        open_loop(port, &[PATH.to_owned()], rate / 2.0, bench.seconds)?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(p99(sink.take()))
    };
    let (counted, thrown) = turns(bench, &[pipe.pid(), server.pid()], || Ok((tail(pipe.ports.0)?, tail(server.port)?)))?;
    let (controls, owns): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    let (control, own) = (median(controls), median(owns));
    rows.push(Row {
        name: "HTTP in, stored, HTTP out, open loop at half of its maximum: p99 from due to arrived".into(),
        control: format!("{control:.2} ms"),
        own: format!("{own:.2} ms at {:.0}/s", rate / 2.0),
        figure: format!("{:+.2} ms{}", own - control, thrown_away(thrown)),
        wanted: "+5 ms at most".into(),
        met: own - control < 5.0,
    });
    Ok(rows)
}
/// A thousand webhooks, ten of which go where nobody answers.
pub(super) fn hanging(bench: &Bench) -> Result<Vec<Row>, String> {
    let sink = Sink::start()?;
    let start = |hang: usize| {
        let mut resources = String::from("limits: {}\n");
        for stream in 0..STREAMS {
            // Writing to memory cannot fail.
            let _never = write!(
                resources,
                "---\nkind: stream\nname: s{stream}\n---\nkind: api\nname: s{stream}\npaths: [/s{stream}]\nbackend: {{ stream: s{stream} }}\n"
            );
            for each in 0..EACH {
                let path = if each == 0 && stream < hang { HANGS } else { "/hook" };
                resources += &webhook(&format!("w{stream}-{each}"), &format!("s{stream}"), sink.port, path, "");
            }
        }
        Server::start(
            bench,
            &What {
                resources: Some(resources),
                ..What::default()
            },
        )
    };
    let servers = [start(0)?, start(10)?];
    let paths: Vec<String> = (0..STREAMS).map(|stream| format!("/s{stream}")).collect();
    // Half of what a closed loop gets through.
    let began = Instant::now();
    let burst = Load {
        path: "/s0".into(),
        connections: 16,
        script: Some("streams.lua"),
        variables: vec![("STREAMS", STREAMS.to_string())],
        ..Load::default()
    };
    let sent = round(bench, servers[0].port, servers[0].pid(), &burst)?.rate * f64::from(bench.seconds);
    sink.wait_for((sent * 0.98) as usize * EACH, Duration::from_mins(3))?;
    let rate = sent / began.elapsed().as_secs_f64() / 2.0;
    std::thread::sleep(Duration::from_secs(1));
    let tail = |server: &Server| -> Result<f64, String> {
        sink.take();
        open_loop(server.port, &paths, rate, bench.seconds)?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(p99(sink.take()))
    };
    let [control, own] = &servers;
    // The second has not sent anything so far, and both are to have their connections.
    tail(control)?;
    tail(own)?;
    let (counted, thrown) = turns(bench, &[control.pid(), own.pid()], || Ok((tail(control)?, tail(own)?)))?;
    let (controls, owns): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    let (control, own) = (median(controls), median(owns));
    Ok(vec![Row {
        name: "1,000 webhooks, 10 of which hang, open loop at half of the maximum: p99 of the others".into(),
        control: format!("none hangs: {control:.2} ms"),
        own: format!("{own:.2} ms at {:.0} deliveries/s", rate * EACH as f64),
        figure: format!("{:+.2} ms{}", own - control, thrown_away(thrown)),
        wanted: "+10 % or +2 ms at most".into(),
        met: own - control <= (control / 10.0).max(2.0),
    }])
}
