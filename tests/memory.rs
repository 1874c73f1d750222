//! More load than there is memory for: the node sheds, and is never killed. In a memory cgroup of its own, where the system lets us make one.
use crate::dev;
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};
use tidegate_testkit::{
    Client, Http2, Node, balance,
    client::head,
    http2::{Raw, frame, kind, request},
};

const LIMIT: u64 = 256 << 20;

/// A cgroup that is removed when its processes have ended.
struct Group {
    folder: PathBuf,
}
#[expect(clippy::disallowed_methods, reason = "a cgroup is made of files")]
impl Group {
    /// `None`: the system has no such controller, or does not let us.
    fn new(name: &str) -> Option<Self> {
        let name = format!("tidegate-{name}-{}", std::process::id());
        let one = PathBuf::from("/sys/fs/cgroup/memory");
        let (root, limit) = if one.is_dir() {
            (one, "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup"), "memory.max")
        };
        let folder = root.join(name);
        std::fs::create_dir(&folder).ok()?;
        let group = Self { folder };
        std::fs::write(group.folder.join(limit), LIMIT.to_string()).ok()?;
        Some(group)
    }
    fn start(&self, how: tidegate_testkit::node::How) -> Node {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.folder.display());
        how.under("sh", &["-c", &enter]).start()
    }
    /// What the kernel killed for want of memory.
    fn killed(&self) -> u64 {
        let told = ["memory.oom_control", "memory.events"]
            .iter()
            .find_map(|file| std::fs::read_to_string(self.folder.join(file)).ok())
            .unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.map_or(0, |count| count.parse().unwrap())
    }
}
impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended; what is left is the system's own work.
        while self.folder.is_dir() && std::fs::remove_dir(&self.folder).is_err() {
            std::thread::yield_now();
        }
    }
}
/// What became of the requests.
#[derive(Default)]
struct Told {
    good: AtomicU32,
    shed: AtomicU32,
    closed: AtomicU32,
}
impl Told {
    fn count(&self, status: u16) {
        let counter = match status {
            200 | 202 => &self.good,
            503 => &self.shed,
            // Whoever goes on sending behind a 503 may lose it with the connection.
            0 => &self.closed,
            other => panic!("answered {other}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
/// Of a huge page the first byte makes all of it resident.
#[test]
#[expect(clippy::disallowed_methods, reason = "what the kernel says of the process")]
fn memory_comes_in_small_pages() {
    let node = dev().start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    // Older systems do not say.
    let said = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
    assert_eq!(said.map_or("0", str::trim), "0");
}
struct Ends<'a>(&'a AtomicBool);
impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
#[test]
fn in_a_small_cgroup_ten_times_the_load_is_shed_and_nobody_is_killed() {
    let Some(group) = Group::new("shed") else {
        println!("skipped: this needs to make a memory cgroup (root)");
        return;
    };
    let node = group.start(dev().set("limits.write_stall", "1s"));
    assert!(
        node.lines()
            .iter()
            .any(|line| line.contains("limits lowered to what memory there is")),
        "{:?}",
        node.lines()
    );
    let (told, over) = (Told::default(), AtomicBool::new(false));
    let large = vec![b'x'; 4 << 20];
    for _ in 0..2 {
        assert_eq!(node.post("/orders", &[], &large).status, 202);
    }
    let asked = std::thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(node.admin("/healthz").status, 200);
                asked += 1;
            }
            asked
        });
        // However this ends: the other thread must not ask for ever.
        let ends = Ends(&over);
        std::thread::scope(|scope| {
            // Bodies: 120 MiB at once where half of it fits, again and again. Not more: what the node does not read lies in the system's own buffers,
            // which are those of every other test, too.
            for _ in 0..30 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let mut client = Client::new(node.gateway);
                        client.write(&head("POST", "/orders", &[], Some(large.len())));
                        client.write(&large);
                        told.count(client.answer().status);
                    }
                });
            }
            // Pages: 8 MiB each, to be read by nobody; those over HTTP/2 have no window, so that the node has to keep what it made.
            scope.spawn(|| {
                let mut readers: Vec<_> = (0..30).map(|_| Client::new(node.gateway)).collect();
                for client in &mut readers {
                    client.write(&head("GET", "/orders?limit=2", &[], None));
                }
                let mut streams: Vec<_> = (0..10).map(|_| Raw::new(node.gateway, &[(4, 0)])).collect();
                for number in 0..100 {
                    let ask = frame(kind::HEADERS, 5, 2 * number + 1, &request("GET", "/orders?limit=2", &[]));
                    for client in &mut streams {
                        client.write(&ask);
                    }
                }
                node.until("tidegate_in_flight_requests", |requests| requests < 200);
            });
            // Connections: many times the cap.
            scope.spawn(|| {
                let mut idle: Vec<_> = (0..3_000).map(|_| Client::new(node.gateway)).collect();
                for client in &mut idle {
                    client.write(b"GET /orders HTTP/1.1\r\nhost:");
                }
                node.until("tidegate_shed_connections_total{listener=\"gateway\"}", |shed| shed > 0);
            });
            // Streams of HTTP/2, of a megabyte each.
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = Http2::new(node.gateway);
                    let body = large.get(..1 << 20).unwrap_or_default();
                    let sent: Vec<_> = (0..64).map(|_| client.send("POST", "/orders", &[], Some(body))).collect();
                    for sent in sent {
                        told.count(client.answer(sent).status);
                    }
                });
            }
        });
        drop(ends);
        healthy.join().unwrap()
    });
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    let counts = (count(&told.good), count(&told.shed), count(&told.closed));
    println!(
        "{counts:?} stored, shed, closed; healthy {asked} times; {} of {LIMIT} bytes at most",
        node.peak()
    );
    assert!(counts.0 > 0 && counts.1 > 0, "{counts:?}");
    node.until("tidegate_in_flight_bytes", |bytes| bytes == 0);
    assert_eq!(group.killed(), 0);
    assert_eq!(node.post("/orders", &[], b"good").status, 202);
    balance(&node);
    drop(node);
    drop(group);
}
