//! The real binary, started in a folder of its own, on ports the system chose.
use crate::client::{Answer, Client};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
    time::Duration,
};
use tempfile::TempDir;

/// A start that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running node; dropped, it is killed.
pub struct Node {
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where the Memphis dialect listens, if it does.
    pub memphis: Option<SocketAddr>,
    /// Where the admin listener listens.
    pub admin: SocketAddr,
    child: Child,
    folder: Arc<TempDir>,
    lines: Arc<Mutex<Vec<String>>>,
    listening: Option<JoinHandle<()>>,
    how: How,
}
/// How to start it, again and again.
#[derive(Clone, Debug)]
pub struct How {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    hung_up: bool,
}
impl How {
    /// `tidegate dev`, with its demo.
    pub fn dev(program: &str) -> Self {
        Self::verb(program, "dev")
    }
    /// `tidegate run`, with the `tidegate.yaml` of its folder.
    pub fn run(program: &str) -> Self {
        Self::verb(program, "run")
    }
    /// With the listeners of its file, which must be on ports the system chooses.
    pub fn bare(program: &str, verb: &str) -> Self {
        let mut how = Self::verb(program, verb);
        how.variables.retain(|(name, _)| !name.contains("LISTENERS"));
        how
    }
    fn verb(program: &str, verb: &str) -> Self {
        let how = Self {
            program: program.into(),
            arguments: vec![verb.to_owned()],
            hung_up: false,
            variables: [
                ("TIDEGATE__LISTENERS__GATEWAY__ADDRESS", "127.0.0.1:0"),
                ("TIDEGATE__LISTENERS__ADMIN__ADDRESS", "127.0.0.1:0"),
                ("TIDEGATE__TELEMETRY__LOGS", "json"),
                ("TIDEGATE__SHUTDOWN__DELAY", "0ms"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        };
        // The demo has it on a port of its own.
        match verb {
            "dev" => how.set("listeners.memphis.address", "127.0.0.1:0"),
            _ => how,
        }
    }
    /// One more setting, like `limits.body`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let name = format!("TIDEGATE__{}", key.replace('.', "__").to_ascii_uppercase());
        self.variables.push((name, value.to_owned()));
        self
    }
    /// One more argument of the command line.
    #[must_use]
    pub fn argument(mut self, text: &str) -> Self {
        self.arguments.push(text.to_owned());
        self
    }
    /// One more variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
    /// Behind another program, like `strace`.
    #[must_use]
    pub fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let own = std::mem::replace(&mut self.program, program.into());
        let mut all: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        all.push(own.display().to_string());
        all.append(&mut self.arguments);
        self.arguments = all;
        self
    }
    /// In a new folder.
    pub fn start(self) -> Node {
        self.start_in(Arc::new(TempDir::new().expect("a folder")))
    }
    /// In a new folder that holds these resources beside no demo.
    pub fn start_with(self, resources: &str) -> Node {
        let folder = TempDir::new().expect("a folder");
        fs::write_all(folder.path().join("tidegate.yaml"), resources);
        self.start_in(Arc::new(folder))
    }
    /// In that folder.
    pub fn start_in(self, folder: Arc<TempDir>) -> Node {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.variables.iter().cloned())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: behind another program, both must end.
            .process_group(0)
            .spawn()
            .expect("the program starts");
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (ready, listening) = listen(&mut child, lines.clone());
        if self.hung_up {
            while !hears_hangups(child.id()) {
                assert!(ready.try_recv().is_err(), "ready, and a SIGHUP would have ended it before");
            }
            let sent = Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
            assert!(sent.is_ok_and(|sent| sent.success()), "the signal was sent");
        }
        let Ok(ready) = ready.recv_timeout(PATIENCE) else {
            let _gone = child.kill();
            panic!("not ready:\n{}", lines.lock().unwrap().join("\n"));
        };
        let maybe = |name: &str| ready[name].as_str().and_then(|text| text.split(',').next()?.parse().ok());
        let address = |name: &str| maybe(name).expect("an address");
        Node {
            gateway: address("gateway"),
            memphis: maybe("memphis"),
            admin: address("admin"),
            child,
            folder,
            lines,
            listening: Some(listening),
            how: self,
        }
    }
}
/// Whether a process has a handler of its own for SIGHUP, as the system tells it.
fn hears_hangups(process: u32) -> bool {
    let status = fs::read(format!("/proc/{process}/status").into());
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
/// Keeps every line and sends the one that says it is ready.
fn listen(child: &mut Child, lines: Arc<Mutex<Vec<String>>>) -> (Receiver<Value>, JoinHandle<()>) {
    let (tell, ready) = mpsc::channel();
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    let listening = std::thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            let said = serde_json::from_str(&line).unwrap_or_else(|_no_json| of_text(&line));
            lines.lock().unwrap().push(line);
            if said["message"] == "ready" {
                let _nobody_waits = tell.send(said);
            }
        }
    });
    (ready, listening)
}
/// The line that says it is ready, where the log is text.
fn of_text(line: &str) -> Value {
    let Some((_, fields)) = line.split_once(" INFO ready ") else {
        return Value::Null;
    };
    let fields = fields.split(' ').filter_map(|field| field.split_once('='));
    let fields = fields.chain([("message", "ready")]);
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value.into())).collect())
}
mod fs {
    use std::path::PathBuf;

    #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
    pub(super) fn write_all(path: PathBuf, text: &str) {
        std::fs::write(path, text).expect("a file");
    }
    #[expect(clippy::disallowed_methods, reason = "what the system tells of a process")]
    pub(super) fn read(path: PathBuf) -> String {
        std::fs::read_to_string(path).expect("a file")
    }
}
impl Node {
    /// A request to the gateway on a connection of its own.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Client::once(self.gateway, method, target, headers, body)
    }
    /// POST to the gateway.
    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request("POST", target, headers, body)
    }
    /// GET from the gateway.
    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }
    /// A stream of events, its head read.
    pub fn stream(&self, target: &str, headers: &[(&str, &str)]) -> Client {
        let mut client = Client::new(self.gateway);
        let all: Vec<_> = [("accept", "text/event-stream")].iter().chain(headers).copied().collect();
        client.write(&crate::client::head("GET", target, &all, None));
        let head = client.head().expect("a head");
        assert_eq!(head.status, 200, "{head:?}");
        client
    }
    /// GET from the admin listener.
    pub fn admin(&self, target: &str) -> Answer {
        Client::once(self.admin, "GET", target, &[], b"")
    }
    /// The first token, as its file holds it.
    pub fn token(&self) -> String {
        fs::read(self.folder().join("tidegate-data/admin-token")).trim().to_owned()
    }
    /// A request to the management API below `/api/v1`, by the first token; the body as JSON.
    pub fn manage(&self, method: &str, target: &str, body: &Value) -> Answer {
        self.manage_as(&self.token(), method, target, &[], body)
    }
    /// The same by another token and with more headers. No body for `Null`.
    pub fn manage_as(&self, token: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let authorization = format!("Bearer {token}");
        let own = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let all: Vec<_> = own.iter().chain(headers).copied().collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Client::once(self.admin, method, &format!("/api/v1{target}"), &all, body.as_bytes())
    }
    /// One number of `/metrics`: the name with its labels as it is written there. 0 when it is not there.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.admin("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }
    /// Asks until `/metrics` says so: every question is an event of its own.
    pub fn until(&self, name: &str, good: impl Fn(u64) -> bool) -> u64 {
        let began = tidegate_core::clock::instant();
        loop {
            let value = self.metric(name);
            if good(value) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "{name} stays {value}");
            std::thread::yield_now();
        }
    }
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }
    /// The most resident memory there was since the last [`Node::forget_peak`], in bytes.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }
    /// The peak begins anew at what there is now.
    pub fn forget_peak(&self) {
        fs::write_all(format!("/proc/{}/clear_refs", self.pid()).into(), "5");
    }
    fn status(&self, name: &str) -> u64 {
        let status = fs::read(format!("/proc/{}/status", self.pid()).into());
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
    }
    /// Asks for its metrics until its resident memory is so.
    pub fn until_memory(&self, good: impl Fn(u64) -> bool) {
        let began = tidegate_core::clock::instant();
        while !good(self.memory()) {
            let [own, files] = ["RssAnon:", "RssFile:"].map(|name| self.status(name));
            assert!(
                began.elapsed() < PATIENCE,
                "memory stays at {} bytes: {own} of its own, {files} of files",
                self.memory()
            );
            self.admin("/metrics");
        }
    }
    /// What it has said so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
    /// Where it runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
    /// `kill -9`, then a new process on the same data. Answers how long it took to be ready.
    pub fn crash(self) -> Self {
        let (how, folder) = (self.how.clone(), self.folder.clone());
        drop(self);
        how.start_in(folder)
    }
    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(status.success());
    }
    /// Waits until it has ended by itself; its exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }
    /// Waits until it has ended by itself; its exit code, and all it said.
    pub fn last_words(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().expect("an end").code();
        self.listening.take().map(JoinHandle::join);
        (code, self.lines())
    }
    /// A new process on the same data, once this one has ended well by itself.
    pub fn restart_after_end(self) -> Self {
        let (how, folder) = (self.how.clone(), self.folder.clone());
        assert_eq!(self.ended(), Some(0));
        how.start_in(folder)
    }
    /// SIGTERM, and a new process on the same data.
    pub fn restart(self) -> Self {
        let how = self.how.clone();
        self.restart_with(how, |_| {})
    }
    /// The same started in another way, after something has changed in its folder.
    pub fn restart_with(self, how: How, change: impl FnOnce(&Path)) -> Self {
        let folder = self.stop();
        change(folder.path());
        how.start_in(folder)
    }
    /// Started again, with SIGHUP as soon as it listens to that, which must be before it is ready.
    pub fn restart_hung_up(self) -> Self {
        let how = self.how.clone();
        let folder = self.stop();
        How { hung_up: true, ..how }.start_in(folder)
    }
    /// SIGTERM, and its folder when it has ended well.
    pub fn stop(self) -> Arc<TempDir> {
        let folder = self.folder.clone();
        self.terminate();
        assert_eq!(self.ended(), Some(0));
        folder
    }
}
impl Drop for Node {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _gone = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
