//! Workers that pull and settle, against readers of pages of the same size.
use super::{
    Bench,
    load::{Load, round},
    machine,
    report::Row,
    scenarios::one_stream,
    server::{Server, What},
    turns::{median, thrown_away, turns},
};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

const WORKERS: usize = 16;
const PAGE: usize = 100;
/// Looked for by the standard library, which is optimised in whatever is built beside it.
const LEASE: &str = "\"lease\":\"";

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    let server = Server::start(
        bench,
        &What {
            resources: Some(one_stream()),
            ..What::default()
        },
    )?;
    // More than a round takes.
    let fill = Load {
        path: "/topics/t".into(),
        connections: 16,
        script: Some("batch.lua"),
        ..Load::default()
    };
    let (counted, thrown) = turns(bench, &[server.pid()], || {
        round(bench, server.port, server.pid(), &fill)?;
        let read = at_once(bench, &server, read)?;
        let each = at_once(bench, &server, pull_and_settle_each)?;
        round(bench, server.port, server.pid(), &fill)?;
        Ok([read, each, at_once(bench, &server, pull_and_settle)?])
    })?;
    let of = |which: usize| {
        let rounds = counted.iter().filter_map(|round| round.get(which).copied());
        let (rates, costs) = rounds.unzip();
        (median(rates), median(costs))
    };
    let (read, of_read) = of(0);
    let row = |which, how: &str| {
        let (pull, of_pull) = of(which);
        Row {
            name: format!("{WORKERS} workers pull {PAGE} and settle {PAGE}, {how}, against GET of {PAGE}, messages a second"),
            control: format!("{read:.0}/s, {of_read:.2} us"),
            own: format!("{pull:.0}/s, {of_pull:.2} us"),
            figure: format!("{:.2}{}", pull / read, thrown_away(thrown)),
            wanted: "0.50".into(),
            met: pull / read >= 0.5,
        }
    };
    Ok(vec![row(1, "each by its lease"), row(2, "by the lease of all")])
}
/// Messages a second of so many workers, and what each message cost the server in microseconds.
fn at_once(
    bench: &Bench,
    server: &Server,
    work: impl Fn(&mut TcpStream, &mut Vec<u8>) -> Result<usize, String> + Sync,
) -> Result<(f64, f64), String> {
    let (began, cpu) = (Instant::now(), machine::cpu(server.pid()));
    let end = began + Duration::from_secs(bench.seconds.into());
    let one = || -> Result<usize, String> {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port)).map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        let (mut buffer, mut done) = (Vec::new(), 0);
        while Instant::now() < end {
            done += work(&mut socket, &mut buffer)?;
        }
        Ok(done)
    };
    let done: Result<usize, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a worker died".to_owned())?)
            .sum()
    });
    let done = done? as f64;
    Ok((
        done / began.elapsed().as_secs_f64(),
        (machine::cpu(server.pid()) - cpu) * 1e6 / done,
    ))
}
fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<usize, String> {
    let request = format!("GET /topics/t?limit={PAGE} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    answer(socket, buffer, request.as_bytes())?;
    Ok(PAGE)
}
fn pull<'a>(socket: &mut TcpStream, buffer: &'a mut Vec<u8>) -> Result<&'a str, String> {
    let body = format!("{{\"limit\":{PAGE}}}");
    let body = post(socket, buffer, "_pull", &body)?;
    std::str::from_utf8(body).map_err(|error| error.to_string())
}
/// What follows the items names all of their leases.
fn pull_and_settle(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<usize, String> {
    let text = pull(socket, buffer)?;
    let (items, behind) = text.rsplit_once(LEASE).ok_or_else(|| format!("no message was left: {text}"))?;
    let (lease, _) = behind.split_once('"').ok_or("half a lease")?;
    let (count, body) = (items.matches(LEASE).count(), format!("{{\"ack\":[\"{lease}\"]}}"));
    let body = post(socket, buffer, "_settle", &body)?;
    let wanted = format!("\"result\":\"ok\",\"settled\":{count}}}");
    match std::str::from_utf8(body) {
        Ok(text) if text.contains(&wanted) => Ok(count),
        other => Err(format!("not all of {count} were settled: {other:?}")),
    }
}
fn pull_and_settle_each(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<usize, String> {
    let text = pull(socket, buffer)?;
    let (text, _of_all) = text.rsplit_once(LEASE).ok_or_else(|| format!("no message was left: {text}"))?;
    let mut leases = String::from("{\"ack\":[");
    let mut count = 0;
    for piece in text.split(LEASE).skip(1) {
        let (lease, _) = piece.split_once('"').ok_or("half a lease")?;
        if count > 0 {
            leases.push(',');
        }
        leases.extend(["\"", lease, "\""]);
        count += 1;
    }
    leases.push_str("]}");
    let body = post(socket, buffer, "_settle", &leases)?;
    let ok = std::str::from_utf8(body).map_or(0, |text| text.matches("\"result\":\"ok\"").count());
    if ok == count {
        Ok(count)
    } else {
        Err(format!("{ok} of {count} were settled"))
    }
}
fn post<'a>(socket: &mut TcpStream, buffer: &'a mut Vec<u8>, way: &str, body: &str) -> Result<&'a [u8], String> {
    let head = format!(
        "POST /topics/t/{way} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    answer(socket, buffer, &[head.as_bytes(), body.as_bytes()].concat())
}
/// The body of the answer, which must be a 200 with its length.
fn answer<'a>(socket: &mut TcpStream, buffer: &'a mut Vec<u8>, request: &[u8]) -> Result<&'a [u8], String> {
    let text = |error: std::io::Error| error.to_string();
    socket.write_all(request).map_err(text)?;
    buffer.resize(256 << 10, 0);
    let mut filled = 0;
    loop {
        match socket.read(buffer.get_mut(filled..).unwrap_or_default()).map_err(text)? {
            0 => return Err("the server closed, or said more than 256 KiB".into()),
            more => filled += more,
        }
        let seen = buffer.get(..filled).unwrap_or_default();
        let Some(head) = seen.windows(4).position(|at| at == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(seen.get(..head).unwrap_or_default()).unwrap_or_default();
        if !text.starts_with("HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(seen).into_owned());
        }
        let length: usize = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .ok_or("an answer without length")?;
        if filled >= head + 4 + length {
            return Ok(buffer.get(head + 4..head + 4 + length).unwrap_or_default());
        }
    }
}
