//! A server under load: started on a free port, in a folder of its own, ended by its pid.
use super::Bench;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Server {
    child: Child,
    /// Where it listens.
    pub(super) port: u16,
    /// Where it listens by TLS 1.3, if it does.
    pub(super) secure: u16,
    /// From start to the first answer.
    pub(super) started: Duration,
    /// Where Tidegate is managed.
    pub(super) admin: u16,
    /// Where its Memphis API listens, if it does.
    pub(super) memphis: u16,
    pub(super) folder: TempDir,
}
/// What is started.
#[derive(Clone, Default)]
pub(super) struct What {
    /// `bare hyper`, else Tidegate.
    pub(super) control: bool,
    /// The control is `bare raw`, the cheapest there is.
    pub(super) raw: bool,
    /// The control logs and syncs what it is sent.
    pub(super) log: bool,
    /// Bytes of the control's answer.
    pub(super) answer: Option<usize>,
    /// Tidegate's resources; its demo without.
    pub(super) resources: Option<String>,
    /// Milliseconds added to each sync.
    pub(super) slow: Option<u32>,
    /// Tidegate listens by TLS too.
    pub(super) tls: bool,
    /// Tidegate speaks Memphis too.
    pub(super) stations: bool,
}
impl Server {
    pub(super) fn start(bench: &Bench, what: &What) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        // On the disk under test, not on a tmpfs that /tmp may be.
        let base = bench.root.join("target");
        fs::create_dir_all(&base).map_err(text)?;
        let folder = TempDir::new_in(base).map_err(text)?;
        let (port, secure, admin, memphis) = (free()?, free()?, free()?, free()?);
        let mut command = if what.control {
            let mut command = in_its_session(&bench.bare);
            command.args([if what.raw { "raw" } else { "hyper" }, &port.to_string()]);
            if what.log {
                command.arg("log.dat").env("PREALLOC", "1");
            }
            if let Some(bytes) = what.answer {
                command.env("RESPSZ", bytes.to_string());
            }
            command
        } else {
            if let Some(resources) = &what.resources {
                fs::write(folder.path().join("tidegate.yaml"), resources).map_err(text)?;
            }
            let mut command = in_its_session(&bench.tidegate);
            command.arg("dev");
            if what.tls {
                certify(folder.path())?;
                let tls = "{ certificate: own.pem, key: own.key, min_version: \"1.3\" }";
                let both = format!("[\"127.0.0.1:{port}\", {{ address: \"127.0.0.1:{secure}\", tls: {tls} }}]");
                command.env("TIDEGATE__LISTENERS__GATEWAY", both);
            } else {
                command.env("TIDEGATE__LISTENERS__GATEWAY__ADDRESS", format!("127.0.0.1:{port}"));
            }
            command.env("TIDEGATE__LISTENERS__ADMIN__ADDRESS", format!("127.0.0.1:{admin}"));
            command.env("TIDEGATE__TELEMETRY__LEVEL", "warn");
            if what.stations {
                command.env("TIDEGATE__LISTENERS__MEMPHIS__ADDRESS", format!("127.0.0.1:{memphis}"));
            }
            command
        };
        if let Some(ms) = what.slow {
            command.env("LD_PRELOAD", &bench.slow_sync).env("SYNC_MS", ms.to_string());
        }
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let mut server = Self {
            child,
            port,
            secure,
            started: Duration::ZERO,
            admin,
            memphis,
            folder,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > PATIENCE || !matches!(server.child.try_wait(), Ok(None)) {
                return Err(format!("{command:?} does not listen"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Listening is not yet answering.
        let mut socket = TcpStream::connect(address).map_err(text)?;
        socket
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .map_err(text)?;
        socket.read_exact(&mut [0; 12]).map_err(text)?;
        server.started = began.elapsed();
        Ok(server)
    }
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}
impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
/// A certificate of P-256, as most are, signed by itself.
fn certify(folder: &Path) -> Result<(), String> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-keyout", "own.key", "-out", "own.pem", "-days", "2", "-subj", "/CN=localhost"])
        .current_dir(folder)
        .output()
        .map_err(|error| format!("openssl: {error} (cargo xtask tools installs it)"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
/// With autogroup the scheduler is fair to sessions: server and load are not to compete thread by thread. The process stays the child.
pub(super) fn in_its_session(program: &Path) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program);
    command
}
pub(super) fn free() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}
