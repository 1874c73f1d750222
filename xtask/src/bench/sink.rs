//! A target of webhooks that knows when each message was due: one thread, HTTP/1.1 only, an answer without a body.
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A path that begins so is never answered.
pub(super) const HANGS: &str = "/hang";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// Digits of a stamp.
const STAMP: usize = 20;
/// What stamps count from.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A body of 128 bytes that says when it was due.
pub(super) fn stamped(due: Instant) -> String {
    let nanos = due.saturating_duration_since(*BEGAN).as_nanos();
    format!("{nanos:020}{}", "a".repeat(128 - STAMP))
}
/// Ends with the process.
pub(super) struct Sink {
    pub(super) port: u16,
    taken: Arc<Mutex<Vec<Duration>>>,
}
impl Sink {
    pub(super) fn start() -> Result<Self, String> {
        let _first = *BEGAN;
        let text = |error: std::io::Error| error.to_string();
        let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        let poll = Poll::new().map_err(text)?;
        poll.registry()
            .register(&mut listener, Token(usize::MAX - 1), Interest::READABLE)
            .map_err(text)?;
        let taken = Arc::new(Mutex::new(Vec::new()));
        let all = taken.clone();
        std::thread::spawn(move || serve(poll, &listener, &all));
        Ok(Self { port, taken })
    }
    /// From due to arrival, of what arrived since it was asked last.
    pub(super) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn count(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
    /// Until so many more have arrived since [`take`](Self::take).
    pub(super) fn wait_for(&self, count: usize, patience: Duration) -> Result<(), String> {
        let began = Instant::now();
        while self.count() < count {
            if began.elapsed() > patience {
                return Err(format!("{} of {count} arrived within {patience:?}", self.count()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}
fn serve(mut poll: Poll, listener: &TcpListener, taken: &Mutex<Vec<Duration>>) {
    let mut events = Events::with_capacity(1_024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        // A wait that is interrupted is begun again.
        if poll.poll(&mut events, None).is_err() {
            continue;
        }
        for event in &events {
            if event.token() == Token(usize::MAX - 1) {
                while let Ok((mut socket, _)) = listener.accept() {
                    let _as_it_is = socket.set_nodelay(true);
                    let token = Token(connections.len());
                    if poll.registry().register(&mut socket, token, Interest::READABLE).is_ok() {
                        connections.push(Some(Connection {
                            socket,
                            buffer: Vec::new(),
                        }));
                    }
                }
                continue;
            }
            let Some(place) = connections.get_mut(event.token().0) else {
                continue;
            };
            if place.as_mut().is_some_and(|connection| !connection.read(&mut chunk, taken)) {
                *place = None;
            }
        }
    }
}
impl Connection {
    /// All there is; whether the connection goes on.
    fn read(&mut self, chunk: &mut [u8], taken: &Mutex<Vec<Duration>>) -> bool {
        loop {
            match self.socket.read(chunk) {
                Ok(0) => return false,
                Ok(more) => self.buffer.extend_from_slice(chunk.get(..more).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            let now = BEGAN.elapsed();
            while let Some((length, hangs, due)) = request(&self.buffer) {
                self.buffer.drain(..length);
                if hangs {
                    continue;
                }
                let late = due.map_or(Duration::ZERO, |due| now.saturating_sub(due));
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(late);
                // 27 bytes fit into the buffer of a socket whose client waits for them.
                if self.socket.write_all(ANSWER).is_err() {
                    return false;
                }
            }
        }
    }
}
/// The first request that is whole: its bytes, whether it is never answered, when its body was due.
fn request(buffer: &[u8]) -> Option<(usize, bool, Option<Duration>)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(buffer.get(..head)?).unwrap_or_default();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head + length.unwrap_or_default();
    let body = buffer.get(head..whole)?;
    let stamp = body.get(..STAMP).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let hangs = text.split(' ').nth(1).is_some_and(|path| path.starts_with(HANGS));
    Some((whole, hangs, stamp.map(Duration::from_nanos)))
}
