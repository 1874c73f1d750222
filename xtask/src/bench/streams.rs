//! Scenarios of many subscribers.
use super::{
    Bench,
    crowd::{Crowd, Form, subscribe, upgrades},
    load::open_loop,
    machine,
    peers::Peer,
    report::Row,
    scenarios::one_stream,
    server::{Server, What, free},
    turns::{median, thrown_away, turns},
};
use std::{
    io::Write as _,
    net::TcpStream,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

fn time(bench: &Bench) -> Duration {
    Duration::from_secs(u64::from(bench.seconds))
}
fn demo(bench: &Bench) -> Result<Server, String> {
    Server::start(bench, &What::default())
}
/// What the meter of the controls says: deliveries a second to 1,000 subscribers.
fn meter(bench: &Bench, to: (u16, &str), from: (u16, &str), window: u32) -> Result<f64, String> {
    let output = Command::new(bench.bare.with_file_name("peerfan"))
        .args([&to.0.to_string(), to.1, "1000", &bench.seconds.to_string(), from.1])
        .args([from.0.to_string(), window.to_string()])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("peerfan: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = said
        .strip_prefix("deliveries/s ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| format!("{}: {said}", to.1))
}
pub(super) fn fan_out(bench: &Bench) -> Result<Vec<Row>, String> {
    let (nats, nchan, own) = (Peer::nats(bench)?, Peer::nchan(bench)?, demo(bench)?);
    let mut rows = Vec::new();
    for window in [4, 32] {
        let ways = [
            (
                "WebSocket",
                "nats-server 2.15",
                1.5,
                (nats.ports, "wsnats", "natspub:bench"),
                ("ws:/topics/x", "post:/topics/x"),
                ("ws:/orders", "post:/orders"),
            ),
            (
                "SSE",
                "nchan",
                2.0,
                (nchan.ports, "http:/sub", "post:/pub"),
                ("http:/topics/y", "post:/topics/y"),
                ("http:/orders", "post:/orders"),
            ),
        ];
        for (form, name, wanted, (ports, to, from), live, stored) in ways {
            let (mut peer, mut lives, mut kept) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..bench.rounds {
                peer.push(meter(bench, (ports.0, to), (ports.1, from), window)?);
                lives.push(meter(bench, (own.port, live.0), (own.port, live.1), window)?);
                kept.push(meter(bench, (own.port, stored.0), (own.port, stored.1), window)?);
            }
            let (peer, live, kept) = (median(peer), median(lives), median(kept));
            rows.push(Row {
                name: format!("1 publisher to 1,000 {form} subscribers, window {window}"),
                control: format!("{name}: {peer:.0} deliveries/s"),
                own: format!("live {live:.0}/s, stored {kept:.0}/s"),
                figure: format!("{:.2}, stored {:.2}", live / peer, kept / peer),
                wanted: format!("{wanted:.2}"),
                met: live / peer >= wanted,
            });
        }
    }
    Ok(rows)
}
/// As many deliveries under way in both. What a delivery costs is what the server needs less what the same publishes cost that nobody reads.
pub(super) fn topics(bench: &Bench) -> Result<Vec<Row>, String> {
    let server = demo(bench)?;
    let run = |groups: usize, readers: usize, publish: f64| -> Result<(f64, f64), String> {
        let mut crowd = Crowd::new(server.port)?;
        for group in 0..groups {
            crowd.group(server.port, Form::WebSocket, &format!("/topics/{groups}/{group}"), readers, 0)?;
        }
        crowd.run(4, time(bench) / 4, None)?;
        let (before, published) = (machine::cpu(server.pid()), crowd.published());
        let rate = crowd.run(4, time(bench), None)?;
        let published = (crowd.published() - published) as f64;
        let used = (machine::cpu(server.pid()) - before) * 1e6;
        if readers == 0 {
            return Ok((published, used / published));
        }
        Ok((rate, (used - publish * published) / (rate * time(bench).as_secs_f64())))
    };
    let (mut alone, mut one, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let publish = run(100, 0, 0.0)?.1;
        alone.push(publish);
        one.push(run(1, 1_000, publish)?);
        many.push(run(100, 10, publish)?);
    }
    let of = |rounds: &[(f64, f64)]| {
        let (rates, costs) = rounds.iter().copied().unzip();
        (median(rates), median(costs))
    };
    let ((one, one_cost), (many, many_cost)) = (of(&one), of(&many));
    Ok(vec![Row {
        name: "100 topics with 10 WebSocket subscribers each, against one with 1,000, window 4 each: CPU per delivery".into(),
        control: format!("{one_cost:.2} us, {one:.0} deliveries/s"),
        own: format!("{many_cost:.2} us, {many:.0} deliveries/s; a publish {:.1} us", median(alone)),
        figure: format!("{:.2}", many_cost / one_cost),
        wanted: "1.30 at most".into(),
        met: many_cost <= one_cost * 1.3,
    }])
}
pub(super) fn idle_streams(bench: &Bench) -> Result<Vec<Row>, String> {
    const MANY: usize = 9_000;
    let mut rows = Vec::new();
    for (form, name) in [(Form::Events, "SSE"), (Form::WebSocket, "WebSocket")] {
        let server = demo(bench)?;
        // What the first needs and nobody after it.
        drop(subscribe(server.port, form, "/orders", "")?);
        std::thread::sleep(Duration::from_secs(1));
        let before = machine::resident(server.pid());
        let began = Instant::now();
        let clients: Vec<_> = (0..MANY)
            .map(|_| subscribe(server.port, form, "/orders", ""))
            .collect::<Result<_, _>>()?;
        let took = began.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs(6));
        let each = machine::resident(server.pid()).saturating_sub(before) as f64 / MANY as f64 / 1e3;
        drop(clients);
        rows.push(Row {
            name: format!("9,000 idle {name} clients, resident each"),
            control: "-".into(),
            own: format!("{each:.1} KB, {:.0} came a second", MANY as f64 / took),
            figure: format!("{each:.1} KB"),
            wanted: "10 KB at most".into(),
            met: each <= 10.0,
        });
    }
    Ok(rows)
}
pub(super) fn handshakes(bench: &Bench) -> Result<Vec<Row>, String> {
    let own = demo(bench)?;
    let port = free()?;
    let mut control = Command::new(bench.bare.with_file_name("upgrade"))
        .arg(port.to_string())
        .spawn()
        .map_err(|error| format!("upgrade: {error}"))?;
    let run = || -> Result<(f64, f64), String> {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..bench.rounds {
            bare.push(upgrades(port, "/", 64, time(bench))?);
            ours.push(upgrades(own.port, "/topics/x", 64, time(bench))?);
        }
        Ok((median(bare), median(ours)))
    };
    let measured = run();
    let _gone = control.kill();
    let _gone = control.wait();
    let (bare, ours) = measured?;
    Ok(vec![Row {
        name: "WebSocket upgrades, 64 at a time".into(),
        control: format!("{bare:.0}/s"),
        own: format!("{ours:.0}/s"),
        figure: format!("{:.2}", ours / bare),
        wanted: "0.80".into(),
        met: ours / bare >= 0.8,
    }])
}
/// 100 of 1,000 stop reading.
pub(super) fn stalled(bench: &Bench) -> Result<Vec<Row>, String> {
    const STOPPED: Duration = Duration::from_secs(30);
    const STOPPING: usize = 100;
    let server = Server::start(
        bench,
        &What {
            resources: Some(one_stream()),
            ..What::default()
        },
    )?;
    let run = |readers: usize, stopped: usize| -> Result<(f64, f64), String> {
        let mut crowd = Crowd::new(server.port)?;
        crowd.group(server.port, Form::Events, "/topics/t", readers, stopped)?;
        crowd.run(4, time(bench), Some(200.0))?;
        let before = machine::resident(server.pid());
        let rest = STOPPED.saturating_sub(time(bench));
        crowd.run(4, rest, Some(200.0))?;
        let grown = machine::resident(server.pid()) as f64 - before as f64;
        Ok((crowd.p99(), grown))
    };
    let (without, usual) = run(1_000, 0)?;
    let (with, grown) = run(1_000 - STOPPING, STOPPING)?;
    // What the server needs more as time goes by, it needs without them too.
    let grown = (grown - usual).max(0.0) / 1e3 / STOPPING as f64;
    Ok(vec![Row {
        name: "100 of 1,000 SSE subscribers stop reading for 30 s, 200 messages a second, stored: p99 of the last of the others".into(),
        control: format!("none stops: {without:.2} ms"),
        own: format!("{with:.2} ms, {grown:.1} KB resident more for each who stopped"),
        figure: format!("{:.2}", with / without),
        wanted: "1.50 at most, 64 KB at most".into(),
        met: with <= without * 1.5 && grown <= 64.0,
    }])
}
/// 9,000 come back at once, each ten messages behind.
pub(super) fn reconnect(bench: &Bench) -> Result<Vec<Row>, String> {
    const MANY: usize = 9_000;
    const BEHIND: usize = 10;
    let server = Server::start(
        bench,
        &What {
            resources: Some(one_stream()),
            ..What::default()
        },
    )?;
    let body: Vec<String> = (0..100).map(|i| format!("\"m{i}-\"")).collect();
    let url = format!("http://127.0.0.1:{}/topics/t", server.port);
    super::scenarios::curl(&[
        "-sf",
        "-H",
        "Content-Type: application/x-ndjson",
        "--data-binary",
        &body.join("\n"),
        &url,
    ])?;
    let last = super::scenarios::curl(&["-sf", &format!("{url}?from=last:{BEHIND}&limit=1")])?;
    let text = String::from_utf8_lossy(&last).into_owned();
    let position = text
        .split("\"position\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default()
        .to_owned();
    let (source, offset) = position.split_once('.').ok_or("a position")?;
    let before = offset.parse::<u64>().map_err(|error| error.to_string())?.saturating_sub(1);
    let header = format!("Last-Event-ID: {source}.{before}\r\n");
    let began = Instant::now();
    let come = |count: usize| -> Result<usize, String> {
        use std::io::Read as _;
        let mut clients: Vec<_> = (0..count)
            .map(|_| subscribe(server.port, Form::Events, "/topics/t", &header))
            .collect::<Result<_, _>>()?;
        let mut right = 0;
        for client in &mut clients {
            let (mut seen, mut part) = (Vec::new(), [0; 4 << 10]);
            while !seen.windows(5).any(|window| window == b"\"m99-") {
                match client.read(&mut part).map_err(|error| error.to_string())? {
                    0 => break,
                    read => seen.extend(part.get(..read).unwrap_or_default()),
                }
            }
            let got = seen.windows(7).filter(|window| window.starts_with(b"data: \"")).count();
            right += usize::from(got == BEHIND);
        }
        Ok(right)
    };
    let right: Result<Vec<usize>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(|| come(MANY / 64 + 1))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a client died".to_owned())?)
            .collect()
    });
    let (right, all) = (right?.iter().sum::<usize>(), (MANY / 64 + 1) * 64);
    let took = began.elapsed();
    Ok(vec![Row {
        name: "9,000 SSE clients come back at once, 10 messages behind".into(),
        control: "-".into(),
        own: format!(
            "{:.0} a second, all within {:.2} s",
            all as f64 / took.as_secs_f64(),
            took.as_secs_f64()
        ),
        figure: format!("{right} of {all} got each once"),
        wanted: "all".into(),
        met: right == all,
    }])
}
/// The tail of good clients beside thousands that do nothing, or do it slowly.
pub(super) fn slow_clients(bench: &Bench) -> Result<Vec<Row>, String> {
    const RATE: f64 = 5_000.0;
    let text = |error: std::io::Error| error.to_string();
    let server = Server::start(
        bench,
        &What {
            resources: Some(one_stream()),
            ..What::default()
        },
    )?;
    let body = format!("\"{}\"\n", "a".repeat(1_000)).repeat(5_000);
    let url = format!("http://127.0.0.1:{}/topics/t", server.port);
    // Too long for an argument.
    let file = tempfile::NamedTempFile::new().map_err(text)?;
    std::fs::write(file.path(), body).map_err(text)?;
    let body = format!("@{}", file.path().display());
    super::scenarios::curl(&["-sf", "-H", "Content-Type: application/x-ndjson", "--data-binary", &body, &url])?;
    let connect = |said: &str| -> Result<TcpStream, String> {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port)).map_err(text)?;
        socket.write_all(said.as_bytes()).map_err(text)?;
        Ok(socket)
    };
    let tail = || open_loop(server.port, &["/topics/t".to_owned()], RATE, bench.seconds);
    let (counted, thrown) = turns(bench, &[server.pid()], || {
        let without = tail()?;
        let idle: Vec<_> = (0..5_000).map(|_| connect("")).collect::<Result<_, _>>()?;
        let unread = "GET /topics/t?limit=5000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let readers: Vec<_> = (0..20).map(|_| connect(unread)).collect::<Result<_, _>>()?;
        let mut trickling: Vec<_> = (0..200)
            .map(|_| connect("POST /topics/t HTTP/1.1\r\nx-slow: "))
            .collect::<Result<_, _>>()?;
        let begun = "POST /topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
        trickling.extend((0..200).map(|_| connect(begun)).collect::<Result<Vec<_>, _>>()?);
        let done = AtomicBool::new(false);
        let measured = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Each ten times a second, and not all at once.
                for part in (0..trickling.len() / 4).cycle() {
                    for socket in trickling.iter_mut().skip(part * 4).take(4) {
                        // One that was closed for being slow stays so.
                        let _closed = socket.write(b"x");
                    }
                    std::thread::sleep(Duration::from_millis(1));
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
            // They are there; that they come is another matter.
            std::thread::sleep(Duration::from_secs(1));
            let measured = tail();
            done.store(true, Ordering::Relaxed);
            measured
        });
        drop((idle, readers));
        Ok((without, measured?))
    })?;
    let (without, with): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    let (without, with) = (median(without), median(with));
    Ok(vec![Row {
        name: "stored at 5,000/s beside 5,000 idle connections, 400 that trickle and 20 that do not read: p99".into(),
        control: format!("alone: {without:.2} ms"),
        own: format!("{with:.2} ms"),
        figure: format!("{:.2}{}", with / without, thrown_away(thrown)),
        wanted: "2.00 at most".into(),
        met: with <= without * 2.0,
    }])
}
