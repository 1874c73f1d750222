//! Who uses the machine, and how much of it.
use std::{fs, time::Instant};

/// A reading of the clocks, in ticks of a hundredth of a second.
pub(super) struct Reading {
    busy: f64,
    own: f64,
    at: Instant,
}
impl Reading {
    pub(super) fn take(servers: &[u32]) -> Self {
        let numbers = |text: &str, skip: usize| {
            text.split_whitespace()
                .skip(skip)
                .filter_map(|word| word.parse::<f64>().ok())
                .collect::<Vec<_>>()
        };
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let cpu = numbers(stat.lines().next().unwrap_or_default(), 1);
        // user, nice, system, irq, softirq, and what other machines on the same cores took from this one.
        let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| cpu.get(*at)).sum();
        let process = |pid: &str, fields: &[usize]| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name in brackets may hold spaces.
            let rest = numbers(stat.rsplit_once(')').map_or("", |(_, rest)| rest), 1);
            fields.iter().filter_map(|at| rest.get(*at)).sum::<f64>()
        };
        // utime, stime; of ourselves also those of children that have ended: the load.
        let own = servers.iter().map(|pid| process(&pid.to_string(), &[10, 11])).sum::<f64>() + process("self", &[10, 11, 12, 13]);
        Self {
            busy,
            own,
            at: Instant::now(),
        }
    }
    /// Cores that others used since.
    pub(super) fn since(&self, before: &Self) -> f64 {
        let ticks = self.at.duration_since(before.at).as_secs_f64() * 100.0;
        ((self.busy - before.busy) - (self.own - before.own)) / ticks
    }
}
/// CPU seconds a process has used.
pub(super) fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<f64> = rest.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    [10, 11].iter().filter_map(|at| fields.get(*at)).sum::<f64>() / 100.0
}
/// Resident bytes of a process.
pub(super) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or_default() << 10
}
/// `2 cores of Intel(R) Xeon(R) …, Linux 6.18`.
pub(super) fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |line| line.trim_start_matches([' ', '\t', ':']));
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}
