//! Many subscribers of one server, read by one thread: what they get, how fast, and who reads at all.
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    time::{Duration, Instant},
};

/// In every payload, and nowhere else.
const MARK: &[u8] = b"@@PAYLD@";
/// Connections that publish, each with requests one after another.
const PUBLISHERS: usize = 8;

/// How a subscriber asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    WebSocket,
    Events,
}
impl Form {
    fn request(self, path: &str, more: &str) -> String {
        match self {
            Self::WebSocket => format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
            Self::Events => format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{more}\r\n"),
        }
    }
}
fn text(error: std::io::Error) -> String {
    error.to_string()
}
/// A subscriber whose head is read.
pub(super) fn subscribe(port: u16, form: Form, path: &str, more: &str) -> Result<std::net::TcpStream, String> {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
    socket.set_read_timeout(Some(Duration::from_secs(30))).map_err(text)?;
    socket.write_all(form.request(path, more).as_bytes()).map_err(text)?;
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).map_err(text)? == 0 {
            break;
        }
        seen.extend(byte);
    }
    if seen.starts_with(b"HTTP/1.1 101") || seen.starts_with(b"HTTP/1.1 200") {
        Ok(socket)
    } else {
        Err(format!("{path}: {}", String::from_utf8_lossy(&seen)))
    }
}

struct Subscriber {
    socket: TcpStream,
    group: usize,
    /// The end of what came: a mark may be cut.
    tail: Vec<u8>,
}
/// One path, and who reads it.
struct Group {
    request: Vec<u8>,
    readers: u64,
    sent: u64,
    got: u64,
    /// When the messages that are not everywhere yet were sent.
    under_way: VecDeque<Instant>,
}
struct Publisher {
    socket: TcpStream,
    waiting: VecDeque<usize>,
    busy: bool,
}
/// Subscribers in groups, and the means to publish to each group.
pub(super) struct Crowd {
    poll: Poll,
    subscribers: Vec<Subscriber>,
    groups: Vec<Group>,
    publishers: Vec<Publisher>,
    buffer: Vec<u8>,
    latencies: Vec<Duration>,
}
impl Crowd {
    pub(super) fn new(port: u16) -> Result<Self, String> {
        let poll = Poll::new().map_err(text)?;
        let publisher = |number: usize| -> Result<Publisher, String> {
            let socket = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
            socket.set_nodelay(true).map_err(text)?;
            socket.set_nonblocking(true).map_err(text)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry()
                .register(&mut socket, Token(usize::MAX / 2 + number), Interest::READABLE)
                .map_err(text)?;
            Ok(Publisher {
                socket,
                waiting: VecDeque::new(),
                busy: false,
            })
        };
        let publishers = (0..PUBLISHERS).map(publisher).collect::<Result<_, _>>()?;
        Ok(Self {
            poll,
            subscribers: Vec::new(),
            groups: Vec::new(),
            publishers,
            buffer: vec![0; 256 << 10],
            latencies: Vec::new(),
        })
    }
    /// So many subscribers of one path more; those of `stopped` never read.
    pub(super) fn group(&mut self, port: u16, form: Form, path: &str, readers: usize, stopped: usize) -> Result<(), String> {
        let group = self.groups.len();
        for number in 0..readers + stopped {
            let socket = subscribe(port, form, path, "")?;
            socket.set_nonblocking(true).map_err(text)?;
            let mut socket = TcpStream::from_std(socket);
            let reads = number < readers;
            if reads {
                let token = Token(self.subscribers.len());
                self.poll
                    .registry()
                    .register(&mut socket, token, Interest::READABLE)
                    .map_err(text)?;
            }
            self.subscribers.push(Subscriber {
                socket,
                group,
                tail: Vec::new(),
            });
        }
        let payload = [MARK, &[b'x'; 120]].concat();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            payload.len()
        );
        self.groups.push(Group {
            request: [head.as_bytes(), &payload].concat(),
            readers: readers as u64,
            sent: 0,
            got: 0,
            under_way: VecDeque::new(),
        });
        Ok(())
    }
    /// Publishes for so long with at most `window` messages of a group under way: deliveries a second. With a rate, no more than so many a second.
    pub(super) fn run(&mut self, window: u64, time: Duration, rate: Option<f64>) -> Result<f64, String> {
        let (began, before) = (Instant::now(), self.delivered());
        let mut events = Events::with_capacity(1_024);
        let mut published = 0.0;
        self.latencies.clear();
        while began.elapsed() < time {
            // Beginning with the next one: where nobody reads, too, they are published to one after the other. To publish to one alone is
            // cheaper, for its requests are all alike.
            let (count, first) = (self.groups.len(), published as usize);
            for group in (0..count).map(|at| (first + at) % count) {
                while self.groups.get(group).is_some_and(|found| self.may_publish(found, window))
                    && rate.is_none_or(|rate| published < began.elapsed().as_secs_f64() * rate)
                {
                    self.publish(group, published as usize)?;
                    published += 1.0;
                    if self.groups.get(group).is_some_and(|found| found.readers == 0) {
                        break;
                    }
                }
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(1))).map_err(text)?;
            for event in &events {
                match event.token().0.checked_sub(usize::MAX / 2) {
                    Some(number) => self.answered(number)?,
                    None => self.read(event.token().0)?,
                }
            }
        }
        Ok((self.delivered() - before) as f64 / began.elapsed().as_secs_f64())
    }
    /// Where nobody reads, as fast as it is answered.
    fn may_publish(&self, group: &Group, window: u64) -> bool {
        if group.readers == 0 {
            return self
                .publishers
                .iter()
                .any(|publisher| !publisher.busy && publisher.waiting.is_empty());
        }
        group.sent * group.readers < group.got + window * group.readers
    }
    /// Messages there were.
    pub(super) fn published(&self) -> u64 {
        self.groups.iter().map(|group| group.sent).sum()
    }
    fn delivered(&self) -> u64 {
        self.groups.iter().map(|group| group.got).sum()
    }
    fn publish(&mut self, group: usize, turn: usize) -> Result<(), String> {
        if let Some(found) = self.groups.get_mut(group) {
            found.sent += 1;
            found.under_way.push_back(Instant::now());
        }
        let idle = self
            .publishers
            .iter()
            .position(|publisher| !publisher.busy && publisher.waiting.is_empty());
        let number = idle.unwrap_or(turn % PUBLISHERS);
        if let Some(publisher) = self.publishers.get_mut(number) {
            publisher.waiting.push_back(group);
        }
        self.send(number)
    }
    /// One request at a time on each connection.
    fn send(&mut self, number: usize) -> Result<(), String> {
        let Some(publisher) = self.publishers.get_mut(number).filter(|publisher| !publisher.busy) else {
            return Ok(());
        };
        let Some(group) = publisher.waiting.pop_front().and_then(|group| self.groups.get(group)) else {
            return Ok(());
        };
        publisher.busy = true;
        publisher.socket.write_all(&group.request).map_err(text)
    }
    fn answered(&mut self, number: usize) -> Result<(), String> {
        let Some(publisher) = self.publishers.get_mut(number) else {
            return Ok(());
        };
        loop {
            match publisher.socket.read(&mut self.buffer) {
                Ok(0) => return Err("the server closed the publisher".into()),
                Ok(length) if !self.buffer.get(..length).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 202")) => {
                    return Err(String::from_utf8_lossy(self.buffer.get(..length).unwrap_or_default()).into_owned());
                }
                Ok(_) => publisher.busy = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(text(error)),
            }
        }
        self.send(number)
    }
    fn read(&mut self, number: usize) -> Result<(), String> {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return Ok(());
        };
        loop {
            let kept = subscriber.tail.len();
            let (front, free) = self.buffer.split_at_mut(kept);
            front.copy_from_slice(&subscriber.tail);
            match subscriber.socket.read(free) {
                Ok(0) => return Err("the server closed a subscriber".into()),
                Ok(length) => {
                    let bytes = self.buffer.get(..kept + length).unwrap_or_default();
                    let (mut found, mut from) = (0, 0);
                    while let Some(at) = memchr::memmem::find(bytes.get(from..).unwrap_or_default(), MARK) {
                        found += 1;
                        from += at + MARK.len();
                    }
                    let rest = bytes.len().saturating_sub(MARK.len() - 1).max(from);
                    subscriber.tail = bytes.get(rest..).unwrap_or_default().to_vec();
                    if let Some(group) = self.groups.get_mut(subscriber.group) {
                        group.got += found;
                        while group
                            .under_way
                            .front()
                            .is_some_and(|_| group.got >= (group.sent + 1 - group.under_way.len() as u64) * group.readers)
                        {
                            self.latencies.extend(group.under_way.pop_front().map(|sent| sent.elapsed()));
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(text(error)),
            }
        }
    }
    /// From published to with the last reader, of 99 in 100 messages of the last run, in milliseconds.
    pub(super) fn p99(&mut self) -> f64 {
        self.latencies.sort();
        let at = self.latencies.len() * 99 / 100;
        self.latencies.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
    }
}
/// Handshakes a second, so many at a time, each on a connection of its own.
pub(super) fn upgrades(port: u16, path: &str, at_once: usize, time: Duration) -> Result<f64, String> {
    let began = Instant::now();
    let counts: Result<Vec<u64>, String> = std::thread::scope(|scope| {
        let one = || -> Result<u64, String> {
            let mut count = 0;
            while began.elapsed() < time {
                let socket = subscribe(port, Form::WebSocket, path, "")?;
                // Reset, so that no port is left waiting.
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).map_err(text)?;
                count += 1;
            }
            Ok(count)
        };
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a client died".to_owned())?)
            .collect()
    });
    Ok(counts?.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
}
