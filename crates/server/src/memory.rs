//! How much memory there is, and how much of it what clients can use up may come to: a node that is killed answers nobody, so the caps
//! are lowered at the start until they fit.
use tidegate_config::Node;

/// The program itself, its threads and what its allocator keeps in reserve.
const OWN: u64 = 48 << 20;
/// A connection that is busy: two buffers of the parser, its task and its request.
const CONNECTION: u64 = 48 << 10;
/// What TLS adds: 8 KiB for keys and state, a record on its way in and one on its way out.
const TLS: u64 = 40 << 10;
/// A body that is gathered grows by doubling, and a page is there beside what it is made of.
const COPIES: u64 = 2;
/// With less, whoever is a moment late reads the log.
const LEAST_FAN_OUT: u64 = 1 << 20;
/// Bytes nobody limits.
const NONE: u64 = u64::MAX / 2;

/// The caps that memory decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) connections: usize,
    pub(crate) in_flight_bytes: u64,
    pub(crate) fan_out_bytes: u64,
}
/// From here on memory comes in small pages. The allocator asks for huge ones, of which the first byte makes two megabytes resident: ten of
/// thirty megabytes of a node at rest were never used. Called before any thread is there that would use one.
pub(crate) fn in_small_pages() {
    // Where the system does not know it, nothing is lost but memory.
    #[cfg(target_os = "linux")]
    let _unchanged = rustix::thread::disable_transparent_huge_pages(true);
}
/// What is configured, or as much of it as the memory of the machine and of its cgroup allows. Lowered caps are told.
pub(crate) fn caps(node: &Node, connections: usize) -> Caps {
    let wanted = Caps {
        connections,
        in_flight_bytes: node.limits.in_flight_bytes,
        fan_out_bytes: node.limits.fan_out_bytes,
    };
    let Some(there_is) = there_is() else { return wanted };
    let log = node.log.intake + node.log.tail_cache + node.log.dedupe_ids;
    let secure = node.listeners.gateway.iter().any(|listener| listener.tls.is_some());
    let connection = if secure { CONNECTION + TLS } else { CONNECTION };
    let caps = fitted(wanted, there_is, log, node.limits.body.max(node.limits.batch_body), connection);
    if caps != wanted {
        tracing::warn!(
            memory = there_is,
            log,
            connections = caps.connections,
            in_flight_bytes = caps.in_flight_bytes,
            fan_out_bytes = caps.fan_out_bytes,
            "limits lowered to what memory there is"
        );
    }
    caps
}
/// A quarter stays free: for the system's buffers of sockets and files, and for what allocators lose. Of the rest, less the log's budgets,
/// an eighth is for fan-out, and bodies and connections have a half each of what is left; one body of the largest kind and a few
/// connections always fit.
fn fitted(wanted: Caps, there_is: u64, log: u64, largest: u64, connection: u64) -> Caps {
    let all = (there_is / 4 * 3).saturating_sub(OWN + log).max(there_is / 8);
    let fan_out_bytes = wanted.fan_out_bytes.min((all / 8).max(LEAST_FAN_OUT));
    let half = all.saturating_sub(fan_out_bytes) / 2;
    let connections = usize::try_from(half / connection).unwrap_or(usize::MAX).max(64);
    Caps {
        connections: wanted.connections.min(connections),
        in_flight_bytes: wanted.in_flight_bytes.min((half / COPIES).max(largest)),
        fan_out_bytes,
    }
}
/// The least of what the machine has and what the cgroups this process is in allow; `None` where the system does not tell.
fn there_is() -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    });
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = files(&groups).into_iter().filter_map(|file| read(&file)?.trim().parse().ok());
    limits.chain(machine).filter(|limit| *limit < NONE).min()
}
/// Where the limits of these cgroups stand, and those of all they lie in: of version 2, and of the controller `memory` of version 1. Within a
/// container its own cgroup is often mounted as the root.
fn files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{file}"));
            let Some((above, _)) = path.rsplit_once('/') else { break };
            path = above;
        }
    }
    files
}
#[expect(clippy::disallowed_methods, reason = "what the system tells of its memory")]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Caps = Caps {
        connections: 20_000,
        in_flight_bytes: 256 << 20,
        fan_out_bytes: 256 << 20,
    };
    const LOG: u64 = 88 << 20;

    #[test]
    fn a_machine_with_enough_keeps_what_is_configured() {
        assert_eq!(fitted(WANTED, 4 << 30, LOG, 8 << 20, CONNECTION), WANTED);
    }
    #[test]
    fn all_caps_together_fit() {
        let connections = [CONNECTION, CONNECTION + TLS];
        for (mib, connection) in [256, 512, 1_024, 2_048]
            .into_iter()
            .flat_map(|mib| connections.map(|connection| (mib, connection)))
        {
            let there_is = mib << 20;
            let caps = fitted(WANTED, there_is, LOG, 8 << 20, connection);
            let sum = OWN + LOG + caps.connections as u64 * connection + caps.in_flight_bytes * COPIES + caps.fan_out_bytes;
            assert!(sum <= there_is / 4 * 3, "{mib} MiB: {caps:?} come to {sum}");
        }
    }
    #[test]
    fn the_least_there_is_still_serves() {
        let caps = fitted(WANTED, 32 << 20, LOG, 8 << 20, CONNECTION);
        assert!(caps.connections >= 64 && caps.in_flight_bytes >= 8 << 20, "{caps:?}");
    }
    #[test]
    fn cgroups_of_both_versions_are_found_with_all_above_them() {
        assert_eq!(files("0::/"), ["/sys/fs/cgroup/memory.max"]);
        let files = files("5:cpu,memory:/a/b\n3:cpuset:/\n0::/c\n");
        let expected = [
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/c/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected);
    }
}
