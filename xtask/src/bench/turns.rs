//! Turns of control and Tidegate: one with strangers on the machine does not count.
use super::{Bench, machine::Reading};
use std::time::Duration;

/// Of one core.
const MOST_FOREIGN: f64 = 0.15;
/// After a turn that does not count: who used the machine may have done so because of it.
const REST: Duration = Duration::from_secs(5);

/// So many turns that count, and how many did not because of others; three times as many of those, and they count, too.
pub(super) fn turns<T>(bench: &Bench, servers: &[u32], mut turn: impl FnMut() -> Result<T, String>) -> Result<(Vec<T>, usize), String> {
    let (mut counted, mut thrown) = (Vec::new(), 0);
    while counted.len() < bench.rounds {
        let before = Reading::take(servers);
        let took = turn()?;
        if Reading::take(servers).since(&before) > MOST_FOREIGN && thrown < bench.rounds * 3 {
            thrown += 1;
            std::thread::sleep(REST);
        } else {
            counted.push(took);
        }
    }
    Ok((counted, thrown))
}
/// For the end of a figure.
pub(super) fn thrown_away(turns: usize) -> String {
    match turns {
        0 => String::new(),
        1 => ", 1 turn thrown away".into(),
        more => format!(", {more} turns thrown away"),
    }
}
pub(super) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
