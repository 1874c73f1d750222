//! A headless Chromium, driven by WebDriver over its plain HTTP; dropped, it is gone with its whole process group.
use crate::client::Client;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
/// How many ports the driver may choose.
const STARTS: usize = 20;

/// One window.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}
impl Browser {
    /// An empty window.
    pub fn new() -> Self {
        Self::with(&[])
    }
    /// One that believes every certificate.
    pub fn credulous() -> Self {
        Self::with(&["--ignore-certificate-errors"])
    }
    fn with(more: &[&str]) -> Self {
        let profile = TempDir::new().expect("a folder");
        let (driver, address) = start();
        let mut flags = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        flags.extend(more.iter().map(ToString::to_string));
        let mut browser = Self {
            driver,
            address,
            session: String::new(),
            _profile: profile,
        };
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": flags } } } });
        let answer = browser.ask("/session", &wanted);
        browser
            .session
            .push_str(answer["sessionId"].as_str().unwrap_or_else(|| panic!("a session: {answer}")));
        browser
    }
    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.ask(&format!("/session/{}/url", self.session), &json!({ "url": url }));
    }
    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.ask(
            &format!("/session/{}/execute/sync", self.session),
            &json!({ "script": script, "args": [] }),
        )
    }
    /// Asks until the script returns something that is so.
    pub fn until(&self, script: &str, good: impl Fn(&Value) -> bool) -> Value {
        let began = tidegate_core::clock::instant();
        loop {
            let value = self.run(script);
            if good(&value) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "{script} stays {value}");
        }
    }
    fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = Client::once(
            self.address,
            "POST",
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        );
        answer.json()["value"].clone()
    }
}
/// The driver takes a free port of IPv6 and ends when IPv4 has that number in use, as among many tests it sometimes has: then another is asked.
fn start() -> (Child, SocketAddr) {
    let mut said = Vec::new();
    for _ in 0..STARTS {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("`chromedriver` is needed (cargo xtask tools installs it)");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let port = lines.by_ref().inspect(|line| said.push(line.clone())).find_map(|line| {
            let (_, port) = line.split_once(" started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        if let Some(port) = port {
            // The driver goes on talking; somebody has to listen.
            std::thread::spawn(move || lines.for_each(drop));
            return (driver, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        driver.wait().expect("a driver that ended");
        assert!(said.iter().any(|line| line.contains("port not available")), "{said:#?}");
    }
    panic!("{STARTS} ports of chromedriver's were taken: {said:#?}")
}
impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}
impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            Client::once(self.address, "DELETE", &format!("/session/{}", self.session), &[], b"");
        }
        let group = format!("-{}", self.driver.id());
        let _gone = Command::new("kill").args(["-9", "--", &group]).status();
        let _gone = self.driver.wait();
    }
}
