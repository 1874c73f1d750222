//! Whether a client that has to answer pings is still there. It cannot answer before it has read what was sent ahead of the ping, and that the
//! system took it does not mean that the client has it.
use super::Manners;
use std::time::{Duration, Instant};

/// Bytes a second that any client reads.
const SLOWEST: u64 = 1 << 10;

/// When a client was heard, and what it may have to read before it is again.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    heard: Instant,
    unread: u64,
    /// Of that, what was sent behind the oldest ping that is not answered.
    behind: Option<u64>,
}
impl Pulse {
    /// Of a client that was heard now.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            unread: 0,
            behind: None,
        }
    }
    /// It gave a sign of life: what was sent ahead of the ping it answers is read.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.unread = self.behind.take().unwrap_or(self.unread);
    }
    /// It takes nothing for now, and gets no pings: that has a patience of its own.
    pub fn held_up(&mut self, now: Instant) {
        self.heard = now;
    }
    /// It was sent something.
    pub fn sent(&mut self, bytes: usize) {
        self.unread += bytes as u64;
        self.behind = self.behind.map(|behind| behind + bytes as u64);
    }
    /// It was sent a ping.
    pub fn asked(&mut self) {
        self.behind.get_or_insert(0);
    }
    /// Since it was heard.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }
    /// It has had two heartbeats to answer, and the time to read what came before: no more than a client may stall.
    pub fn has_stopped(&self, now: Instant, manners: &Manners) -> bool {
        let beats = manners.heartbeat * 2;
        let reading = Duration::from_millis(self.unread.saturating_mul(1_000) / SLOWEST);
        self.silence(now) >= beats.saturating_add(reading).min(manners.stall.max(beats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::clock;

    const MANNERS: Manners = Manners {
        heartbeat: Duration::from_secs(5),
        answers: true,
        stall: Duration::from_mins(1),
    };
    /// How long it may be silent from now on.
    fn patience(pulse: &Pulse, now: Instant) -> u64 {
        let stopped = |seconds: &u64| pulse.has_stopped(now + Duration::from_secs(*seconds), &MANNERS);
        (0..100).find(stopped).unwrap()
    }
    #[test]
    fn who_has_much_to_read_has_longer_to_answer() {
        let now = clock::instant();
        let mut pulse = Pulse::new(now);
        assert_eq!(patience(&pulse, now), 10);
        pulse.sent(20 << 10);
        assert_eq!(patience(&pulse, now), 30);
        pulse.sent(1 << 30);
        assert_eq!(patience(&pulse, now), 60);
    }
    #[test]
    fn an_answer_says_that_what_came_before_the_ping_is_read() {
        let now = clock::instant();
        let mut pulse = Pulse::new(now);
        pulse.sent(40 << 10);
        pulse.asked();
        pulse.sent(5 << 10);
        pulse.asked();
        pulse.sent(5 << 10);
        pulse.heard(now);
        assert_eq!(patience(&pulse, now), 20);
        // Words of its own, or the second answer, say nothing of what it has read.
        pulse.heard(now);
        assert_eq!(patience(&pulse, now), 20);
        pulse.asked();
        pulse.heard(now);
        assert_eq!(patience(&pulse, now), 10);
    }
    #[test]
    fn who_was_held_up_is_judged_from_when_it_goes_on() {
        let now = clock::instant();
        let mut pulse = Pulse::new(now);
        let later = now + Duration::from_secs(50);
        pulse.held_up(later);
        assert_eq!(patience(&pulse, later), 10);
    }
}
