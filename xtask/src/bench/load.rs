//! One round of load with wrk, and whether it counts.
use super::{
    Bench, machine,
    sink::stamped,
    turns::{median, turns},
};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

/// What a round asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    pub(super) path: String,
    pub(super) connections: u32,
    /// By TLS; wrk takes any certificate.
    pub(super) tls: bool,
    /// Below `benches/`.
    pub(super) script: Option<&'static str>,
    pub(super) headers: Vec<String>,
    pub(super) variables: Vec<(&'static str, String)>,
}
/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Answers a second.
    pub(super) rate: f64,
    /// Milliseconds.
    pub(super) p50: f64,
    /// Milliseconds.
    pub(super) p99: f64,
    /// CPU of the server per answer, microseconds.
    pub(super) cpu: f64,
}
pub(super) fn round(bench: &Bench, port: u16, pid: u32, load: &Load) -> Result<Round, String> {
    let threads = if load.connections > 64 { 2 } else { 1 };
    let mut command = Command::new("wrk");
    command.args([
        format!("-t{threads}"),
        format!("-c{}", load.connections),
        format!("-d{}s", bench.seconds),
        "--latency".into(),
    ]);
    if let Some(script) = load.script {
        command.arg("-s").arg(bench.root.join("benches").join(script));
    }
    for header in &load.headers {
        command.args(["-H", header]);
    }
    command.envs(load.variables.iter().cloned());
    let scheme = if load.tls { "https" } else { "http" };
    command.arg(format!("{scheme}://127.0.0.1:{port}{}", load.path));
    let before = machine::cpu(pid);
    let output = command
        .output()
        .map_err(|error| format!("wrk: {error} (cargo xtask tools installs it)"))?;
    let after = machine::cpu(pid);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if let Some(errors) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        return Err(format!("{}: {}", load.path, errors.trim()));
    }
    let word = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(|rest| rest.trim().to_owned())
    };
    let rate: f64 = word("Requests/sec:")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("wrk said:\n{text}"))?;
    Ok(Round {
        rate,
        p50: word("50%").map_or(0.0, |text| millis(&text)),
        p99: word("99%").map_or(0.0, |text| millis(&text)),
        cpu: (after - before) * 1e6 / (rate * f64::from(bench.seconds)),
    })
}
/// `1.25ms`, `87.00us`, `1.01s`.
fn millis(text: &str) -> f64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let factor = match text.get(digits.len()..) {
        Some("us") => 1e-3,
        Some("s") => 1e3,
        _ => 1.0,
    };
    digits.parse::<f64>().unwrap_or_default() * factor
}
/// Medians of interleaved rounds: of each contender its rounds that count, and how many did not.
pub(super) fn interleave(bench: &Bench, contenders: &[(u16, u32, Load)]) -> Result<(Vec<Round>, usize), String> {
    let pids: Vec<u32> = contenders.iter().map(|(_, pid, _)| *pid).collect();
    // All or none of a turn: it is the ratio within that counts.
    let (counted, thrown) = turns(bench, &pids, || -> Result<Vec<Round>, String> {
        contenders.iter().map(|(port, pid, load)| round(bench, *port, *pid, load)).collect()
    })?;
    let medians = |at: usize| {
        let of = |pick: fn(&Round) -> f64| median(counted.iter().filter_map(|turn| turn.get(at)).map(pick).collect());
        Round {
            rate: of(|round| round.rate),
            p50: of(|round| round.p50),
            p99: of(|round| round.p99),
            cpu: of(|round| round.cpu),
        }
    };
    Ok(((0..contenders.len()).map(medians).collect(), thrown))
}

/// Whether these are a head and as many bytes of body as it names.
fn is_whole(answer: &[u8]) -> bool {
    let find = |part: &[u8]| answer.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part));
    let Some((head, length)) = find(b"\r\n\r\n").zip(find(b"\r\ncontent-length:")) else {
        return false;
    };
    let digits = answer.get(length + 17..head).unwrap_or_default();
    let number = digits
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    answer.len() >= head + 4 + number
}

/// So many requests a second, each due by the clock whatever became of those before it: the 99th percentile from due to answered, in
/// milliseconds. 16 connections with a thread each; the paths in turn; each body says when it was due.
pub(super) fn open_loop(port: u16, paths: &[String], rate: f64, seconds: u32) -> Result<f64, String> {
    open_loop_over(16, port, paths, rate, seconds)
}
/// The same over so many connections.
pub(super) fn open_loop_over(connections: u32, port: u16, paths: &[String], rate: f64, seconds: u32) -> Result<f64, String> {
    let every = Duration::from_secs_f64(f64::from(connections) / rate.max(1.0));
    let began = Instant::now();
    let one = |number: u32| -> Result<Vec<Duration>, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut socket = TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
        socket.set_nodelay(true).map_err(text)?;
        let mut answer = vec![0; 4 << 10];
        let mut taken = Vec::new();
        let mut paths = paths.iter().cycle().skip(number as usize).step_by(connections as usize);
        let mut due = began + every * number / connections;
        let end = began + Duration::from_secs(u64::from(seconds));
        while due < end {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = format!(
                "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 128\r\n\r\n{}",
                paths.next().map_or("/", String::as_str),
                stamped(due)
            );
            socket.write_all(request.as_bytes()).map_err(text)?;
            let mut filled = 0;
            while !is_whole(answer.get(..filled).unwrap_or_default()) {
                match socket.read(answer.get_mut(filled..).unwrap_or_default()).map_err(text)? {
                    0 => return Err("the server closed, or said more than 4 KiB".into()),
                    more => filled += more,
                }
            }
            if !answer.starts_with(b"HTTP/1.1 20") {
                return Err(String::from_utf8_lossy(&answer).into_owned());
            }
            taken.push(due.elapsed());
            due += every;
        }
        Ok(taken)
    };
    let taken: Result<Vec<_>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|number| scope.spawn(move || one(number))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a client died".to_owned())?)
            .collect()
    });
    let mut taken: Vec<Duration> = taken?.into_iter().flatten().collect();
    taken.sort();
    Ok(taken.get(taken.len() * 99 / 100).copied().unwrap_or_default().as_secs_f64() * 1e3)
}
