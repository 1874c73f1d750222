//! The circuit breaker of one target: after some failures in a row it is left alone, then asked with one call at a time.
use std::time::Duration;
use tokio::time::Instant;

/// When a target is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// So many calls in a row that failed through the target's fault open the circuit; 0: nothing does.
    pub failures: u32,
    /// How long it is open before the first probe; it doubles with each probe that fails. At least a second.
    pub open_for: Duration,
    /// The longest time between two probes. What the target asks for may be longer.
    pub longest: Duration,
}
/// No target is probed more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// What a call said of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It works, whatever it thinks of the messages.
    Well,
    /// It is ill, and does not want to be asked again this soon.
    Ill(Option<Duration>),
    /// Nothing: the call did not get there.
    Nothing,
}
#[derive(Debug)]
pub(super) struct Circuit {
    how: Breaker,
    state: State,
    /// Calls begun before the last opening say nothing about the time after it.
    epoch: u64,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failed: u32 },
    Open { probe_at: Instant, probes: u32 },
    Probing { probes: u32 },
}
/// What a call is let pass as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    epoch: u64,
    pub(super) probe: bool,
}
impl Circuit {
    /// `open_until`: it is open from the beginning.
    pub(super) fn new(how: Breaker, open_until: Option<Instant>) -> Self {
        let open = |probe_at| State::Open { probe_at, probes: 0 };
        Self {
            how,
            state: open_until.map_or(State::Closed { failed: 0 }, open),
            epoch: 0,
        }
    }
    /// Whether a call may begin, and as what. Asking changes nothing; beginning does.
    pub(super) fn pass(&self, now: Instant) -> Option<Pass> {
        let probe = match self.state {
            State::Closed { .. } => false,
            State::Open { probe_at, .. } if probe_at <= now => true,
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Pass { epoch: self.epoch, probe })
    }
    pub(super) fn begin(&mut self, pass: Pass) {
        if let State::Open { probes, .. } = self.state
            && pass.probe
        {
            self.state = State::Probing { probes };
        }
    }
    /// When the next probe may go, while the circuit is open.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { probe_at, .. } => Some(probe_at),
            State::Closed { .. } | State::Probing { .. } => None,
        }
    }
    /// Whether messages have no business waiting here.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
    /// What came of a call.
    pub(super) fn hear(&mut self, pass: Pass, said: Said, now: Instant) {
        if pass.epoch != self.epoch {
            return;
        }
        match (self.state, said) {
            (State::Closed { failed }, Said::Ill(asked)) => {
                let failed = failed.saturating_add(1);
                self.state = State::Closed { failed };
                if self.how.failures > 0 && failed >= self.how.failures {
                    self.open(0, asked, now);
                }
            }
            (State::Closed { .. } | State::Probing { .. }, Said::Well) => self.state = State::Closed { failed: 0 },
            (State::Probing { probes }, Said::Ill(asked)) => self.open(probes.saturating_add(1), asked, now),
            // It is as unknown as before.
            (State::Probing { probes }, Said::Nothing) => self.open(probes, None, now),
            (State::Closed { .. }, Said::Nothing) | (State::Open { .. }, _) => {}
        }
    }
    fn open(&mut self, probes: u32, asked: Option<Duration>, now: Instant) {
        let wait = self.how.open_for.saturating_mul(1 << probes.min(20)).min(self.how.longest);
        let wait = wait.max(SHORTEST).max(asked.unwrap_or_default());
        self.state = State::Open {
            probe_at: now + wait,
            probes,
        };
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: Breaker = Breaker {
        failures: 3,
        open_for: Duration::from_secs(5),
        longest: Duration::from_secs(30),
    };
    fn call(circuit: &mut Circuit, said: Said, now: Instant) -> Option<Pass> {
        let pass = circuit.pass(now)?;
        circuit.begin(pass);
        circuit.hear(pass, said, now);
        Some(pass)
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_probes_ever_later() {
        let mut circuit = Circuit::new(HOW, None);
        let mut now = Instant::now();
        for said in [Said::Ill(None), Said::Ill(None), Said::Well, Said::Ill(None), Said::Ill(None)] {
            assert!(!call(&mut circuit, said, now).unwrap().probe);
        }
        assert!(!circuit.is_open());
        call(&mut circuit, Said::Nothing, now);
        call(&mut circuit, Said::Ill(None), now);
        for seconds in [5, 10, 20, 30, 30] {
            let probe_at = circuit.probe_at().unwrap();
            assert_eq!(probe_at, now + Duration::from_secs(seconds));
            assert!(circuit.pass(probe_at - Duration::from_millis(1)).is_none());
            now = probe_at;
            assert!(call(&mut circuit, Said::Ill(None), now).unwrap().probe);
        }
        now = circuit.probe_at().unwrap();
        assert!(call(&mut circuit, Said::Well, now).unwrap().probe);
        assert!(!circuit.is_open());
    }
    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_and_none_within_a_second() {
        let how = Breaker {
            failures: 1,
            open_for: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let mut circuit = Circuit::new(how, None);
        let now = Instant::now();
        call(&mut circuit, Said::Ill(None), now);
        let probe_at = now + SHORTEST;
        assert_eq!(circuit.probe_at(), Some(probe_at));
        let probe = circuit.pass(probe_at).unwrap();
        circuit.begin(probe);
        assert!(circuit.pass(probe_at + SHORTEST).is_none());
        circuit.hear(probe, Said::Nothing, probe_at);
        assert_eq!(circuit.probe_at(), Some(probe_at + SHORTEST));
    }
    #[tokio::test(start_paused = true)]
    async fn calls_from_before_the_opening_say_nothing_and_the_target_may_ask_for_longer() {
        let mut circuit = Circuit::new(Breaker { failures: 1, ..HOW }, None);
        let now = Instant::now();
        let (old, older) = (circuit.pass(now).unwrap(), circuit.pass(now).unwrap());
        call(&mut circuit, Said::Ill(Some(Duration::from_secs(90))), now);
        circuit.hear(old, Said::Well, now);
        circuit.hear(older, Said::Ill(None), now);
        assert_eq!(circuit.probe_at(), Some(now + Duration::from_secs(90)));
    }
    #[tokio::test(start_paused = true)]
    async fn without_a_number_nothing_opens() {
        let mut circuit = Circuit::new(Breaker { failures: 0, ..HOW }, None);
        for _ in 0..1_000 {
            assert!(call(&mut circuit, Said::Ill(None), Instant::now()).is_some());
        }
    }
}
