//! An HTTP server that webhooks are sent to: it remembers every request and answers as a script says.
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidegate_core::clock;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Got {
    /// Method and target.
    pub line: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// All of it.
    pub body: Vec<u8>,
    /// Microseconds since the epoch.
    pub at: i64,
}
impl Got {
    /// Its identity over all attempts.
    pub fn id(&self) -> &str {
        self.headers.get("webhook-id").map_or("", String::as_str)
    }
    /// Which attempt it is.
    pub fn attempt(&self) -> u32 {
        self.headers.get("tidegate-attempt").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status and headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Nothing, until the receiver goes.
    Hang,
    /// The connection is cut in the middle of the answer.
    Cut,
    /// Success, with so many bytes of body.
    Huge(usize),
    /// Success after that long.
    Slow(Duration),
    /// These bytes, one piece after the other, and then the end of the connection.
    Raw(Vec<Vec<u8>>),
}
impl Reply {
    /// Only a status.
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}
type Script = Box<dyn Fn(&Got) -> Reply + Send + Sync>;
/// Ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}
struct Shared {
    got: Mutex<Vec<Got>>,
    came: Condvar,
    script: Mutex<Arc<Script>>,
    over: AtomicBool,
    /// For those that hang.
    end: (Mutex<bool>, Condvar),
}
impl Receiver {
    /// Listens on a port the system chose.
    pub fn new(script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            came: Condvar::new(),
            script: Mutex::new(Arc::new(Box::new(script))),
            over: AtomicBool::new(false),
            end: Default::default(),
        });
        let own = shared.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if own.over.load(Ordering::Relaxed) {
                    return;
                }
                let own = own.clone();
                std::thread::spawn(move || own.serve(&socket));
            }
        });
        Self { address, shared }
    }
    /// Answers success to everything.
    pub fn good() -> Self {
        Self::new(|_| Reply::status(200))
    }
    /// What a webhook is given.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
    /// From now on.
    pub fn script(&self, script: impl Fn(&Got) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(Box::new(script));
    }
    /// All that came so far.
    pub fn got(&self) -> Vec<Got> {
        lock(&self.shared.got).clone()
    }
    /// Until what came is good; panics when it does not become so.
    pub fn until(&self, what: &str, good: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let began = clock::instant();
        let mut got = lock(&self.shared.got);
        while !good(&got) {
            assert!(began.elapsed() < PATIENCE, "{what}: {} requests came", got.len());
            (got, _) = self
                .shared
                .came
                .wait_timeout(got, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner);
        }
        got.clone()
    }
}
/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);
impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        *lock(&self.shared.end.0) = true;
        self.shared.end.1.notify_all();
        let _woken = TcpStream::connect(self.address);
    }
}
impl Shared {
    fn serve(&self, socket: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(socket.try_clone().ok()?);
        let mut writer = socket.try_clone().ok()?;
        while let Some(got) = read(&mut reader) {
            let script = lock(&self.script).clone();
            let reply = script(&got);
            lock(&self.got).push(got);
            self.came.notify_all();
            match reply {
                Reply::Status(status, headers) => {
                    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n");
                    for (name, value) in headers {
                        head.extend([name, ": ", &value, "\r\n"]);
                    }
                    writer.write_all(format!("{head}\r\n").as_bytes()).ok()?;
                }
                Reply::Hang => return self.hang(),
                Reply::Cut => {
                    writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").ok()?;
                    return None;
                }
                Reply::Raw(pieces) => {
                    for piece in pieces {
                        writer.write_all(&piece).ok()?;
                    }
                    let _gone = socket.shutdown(Shutdown::Both);
                    return None;
                }
                Reply::Huge(bytes) => {
                    writer
                        .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").as_bytes())
                        .ok()?;
                    writer.write_all(&vec![b'x'; bytes]).ok()?;
                }
                Reply::Slow(wait) => {
                    let end = lock(&self.end.0);
                    let _over = self.end.1.wait_timeout_while(end, wait, |over| !*over);
                    writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
                }
            }
        }
        None
    }
    fn hang(&self) -> Option<()> {
        let end = lock(&self.end.0);
        let _over = self.end.1.wait_while(end, |over| !*over);
        None
    }
}
fn read(from: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(Got {
        line: line.trim_end().to_owned(),
        headers,
        body,
        at: clock::now_us(),
    })
}
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
