//! Alarms: one message of JSON for each change somebody should look at, on a topic of our own and in the node's log.
use crate::plane::Plane;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};
use tidegate_control::plane::Plane as _;
use tidegate_core::{clock, endpoint::Producer, message::Message};
use tidegate_gateway::{
    metrics::{ApiMetrics, Metrics},
    pump::State,
};
use tidegate_log::{Log, Stream, Stuck};
use tokio::time::{MissedTickBehavior, interval};

/// No client can publish there.
pub(crate) const TOPIC: &str = "$tidegate/alarms";
/// Often enough for people.
const LOOKS: Duration = Duration::from_secs(1);
/// A target that failed for so long is down, also where too little is sent to open its circuit.
const PATIENCE_US: i64 = 60_000_000;
/// Dead letters of a stream are told so often at most, and counted meanwhile.
const QUIET_US: i64 = 60_000_000;

/// Looks again and again; to be polled as long as the node runs.
pub(crate) async fn watch(plane: Weak<Plane>, metrics: Arc<Metrics>, log: Arc<Log>, topics: Arc<dyn Producer>) {
    let mut looks = interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    loop {
        looks.tick().await;
        let Some(plane) = plane.upgrade() else { return };
        let now = Now {
            at: clock::now_us(),
            webhooks: plane
                .webhooks()
                .pumps()
                .each()
                .into_iter()
                .map(|(name, progress)| (name, progress.state()))
                .collect(),
            dead: dead(&plane, &log),
            stuck: stuck(&log),
            off: metrics
                .all()
                .into_iter()
                .filter(|(_, api)| is_off(api))
                .map(|(name, _)| name)
                .collect(),
        };
        drop(plane);
        for alarm in seen.look(&now) {
            tracing::warn!(alarm = %alarm, "alarm");
            let mut message = Message::new(TOPIC.into(), alarm.to_string());
            message.at = now.at;
            // Live, or stored where a stream captures the topic. It is in the node's log whatever becomes of it here.
            if let Err(error) = topics.send(message.into()).await {
                tracing::warn!(error = %error, "an alarm is not on its topic");
            }
        }
    }
}
/// Which groups gave something up that cannot become dead letters.
fn stuck(log: &Log) -> BTreeMap<(String, String), Stuck> {
    let mut all = BTreeMap::new();
    for stream in log.streams() {
        for group in log.groups(&stream) {
            all.extend(
                group
                    .stuck()
                    .map(|stuck| ((stream.name().to_owned(), group.name().to_owned()), stuck)),
            );
        }
    }
    all
}
/// How many dead letters each stream of them has ever had.
fn dead(plane: &Plane, log: &Log) -> BTreeMap<Arc<str>, u64> {
    let streams = log.streams().into_iter().filter(|stream| plane.takes_dead_letters(stream.name()));
    let ever = |stream: &Stream| {
        (0..stream.partitions())
            .filter_map(|partition| stream.range(partition))
            .map(|(_, end)| end)
            .sum()
    };
    streams.map(|stream| (stream.name().into(), ever(&stream))).collect()
}
/// More came out than went in: something was counted twice, or not at all.
fn is_off(api: &ApiMetrics) -> bool {
    let published = api.published.now();
    let out = published.stored + published.live + published.accepted + published.refused + published.failed;
    let readers = api.classes().into_iter().any(|(_, class)| {
        let now = class.now();
        now.written + now.skipped + now.cut > now.offered
    });
    out > published.received || readers
}
/// How it is at one moment.
struct Now {
    at: i64,
    webhooks: Vec<(Arc<str>, Arc<State>)>,
    dead: BTreeMap<Arc<str>, u64>,
    off: BTreeSet<Arc<str>>,
    /// By stream and group.
    stuck: BTreeMap<(String, String), Stuck>,
}
/// What was told.
#[derive(Default)]
struct Seen {
    /// Since when, as it was told.
    down: BTreeMap<Arc<str>, i64>,
    /// `None` before the first look: what was there at the start is no news.
    dead: Option<BTreeMap<Arc<str>, Dead>>,
    off: BTreeSet<Arc<str>>,
    stuck: BTreeSet<(String, String)>,
}
/// Of one stream: how many there had ever been when it was told last, and when that was.
#[derive(Clone, Copy, Default)]
struct Dead {
    ever: u64,
    told: Option<i64>,
}
impl Seen {
    /// What changed since the last look.
    fn look(&mut self, now: &Now) -> Vec<Value> {
        let at = clock::rfc3339(now.at);
        let mut alarms = Vec::new();
        self.down.retain(|name, _| now.webhooks.iter().any(|(there, _)| there == name));
        for (name, state) in &now.webhooks {
            if let Some((since, error)) = down(state, now.at) {
                let told = self.down.insert(name.clone(), since);
                // It was started meanwhile, and wanted nothing again.
                let again = matches!(**state, State::Stopped { .. }) && told != Some(since);
                if told.is_none() || again {
                    alarms.push(json!({
                        "alarm": "target_down", "at": at, "webhook": &**name, "state": state.as_str(),
                        "since": clock::rfc3339(since), "error": error,
                    }));
                }
            } else if matches!(**state, State::Connected { .. }) && self.down.remove(name).is_some() {
                alarms.push(json!({"alarm": "target_up", "at": at, "webhook": &**name}));
            }
        }
        let dead = match &self.dead {
            None => now
                .dead
                .iter()
                .map(|(stream, ever)| (stream.clone(), Dead { ever: *ever, told: None }))
                .collect(),
            Some(was) => {
                let was = |stream| was.get(stream).copied().unwrap_or_default();
                let mut next = BTreeMap::new();
                for (stream, ever) in &now.dead {
                    let mut dead = was(stream);
                    let by = ever.saturating_sub(dead.ever);
                    if by > 0 && dead.told.is_none_or(|told| now.at - told >= QUIET_US) {
                        alarms.push(json!({"alarm": "dead_letters_grew", "at": at, "stream": &**stream, "by": by}));
                        dead = Dead {
                            ever: *ever,
                            told: Some(now.at),
                        };
                    }
                    // One that was made anew begins anew.
                    dead.ever = dead.ever.min(*ever);
                    next.insert(stream.clone(), dead);
                }
                next
            }
        };
        self.dead = Some(dead);
        for api in now.off.difference(&self.off) {
            alarms.push(json!({"alarm": "balance_off", "at": at, "api": &**api}));
        }
        self.off.clone_from(&now.off);
        let told = |alarm: &str, (stream, group): &(String, String)| json!({"alarm": alarm, "at": at, "stream": stream, "group": group});
        for (place, stuck) in now.stuck.iter().filter(|(place, _)| !self.stuck.contains(*place)) {
            let mut alarm = told("dead_letters_stuck", place);
            alarm["messages"] = stuck.messages.into();
            alarm["error"] = (*stuck.error).into();
            alarms.push(alarm);
        }
        alarms.extend(
            self.stuck
                .iter()
                .filter(|place| !now.stuck.contains_key(*place))
                .map(|place| told("dead_letters_unstuck", place)),
        );
        self.stuck = now.stuck.keys().cloned().collect();
        alarms
    }
}
/// Since when, and what was met. Who was stopped on purpose is not down.
fn down(state: &State, now: i64) -> Option<(i64, &str)> {
    match state {
        State::Open { since, error, .. } => Some((*since, error)),
        State::Retrying { since, error, .. } if now - since >= PATIENCE_US => Some((*since, error)),
        State::Stopped { since, reason } if !State::ON_PURPOSE.contains(&&**reason) => Some((*since, reason)),
        // It answers; what it refuses are dead letters, and those are told by themselves.
        State::Untried { .. } | State::Failing { .. } | State::Retrying { .. } | State::Stopped { .. } | State::Connected { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(state: State, dead: u64, off: bool) -> Now {
        Now {
            at: 100 * PATIENCE_US,
            webhooks: vec![("crm".into(), Arc::new(state))],
            dead: [("orders.dead".into(), dead)].into(),
            off: off.then(|| "orders".into()).into_iter().collect(),
            stuck: BTreeMap::new(),
        }
    }
    fn told(seen: &mut Seen, now: &Now) -> Vec<String> {
        let words = seen.look(now).into_iter().map(|alarm| alarm["alarm"].as_str().unwrap().to_owned());
        words.collect()
    }
    fn open() -> State {
        State::Open {
            since: 1,
            probe_at: 2,
            error: "e".into(),
        }
    }
    fn stopped(reason: &str) -> State {
        State::Stopped {
            since: 1,
            reason: reason.into(),
        }
    }
    fn retrying(since: i64) -> State {
        State::Retrying {
            since,
            next: 0,
            error: "e".into(),
        }
    }
    const CONNECTED: State = State::Connected { since: 0 };

    #[test]
    fn a_change_is_told_once_and_what_was_there_at_the_start_is_none() {
        let mut seen = Seen::default();
        assert!(told(&mut seen, &now(CONNECTED, 5, false)).is_empty());
        assert_eq!(told(&mut seen, &now(open(), 5, false)), ["target_down"]);
        assert!(told(&mut seen, &now(open(), 5, false)).is_empty());
        // A probe is not yet an answer.
        assert!(told(&mut seen, &now(retrying(100 * PATIENCE_US), 5, false)).is_empty());
        assert_eq!(told(&mut seen, &now(CONNECTED, 7, false)), ["target_up", "dead_letters_grew"]);
        assert_eq!(told(&mut seen, &now(CONNECTED, 7, true)), ["balance_off"]);
        assert!(told(&mut seen, &now(CONNECTED, 7, true)).is_empty());
    }
    #[test]
    fn what_cannot_become_a_dead_letter_is_told_once_and_when_it_can() {
        let mut seen = Seen::default();
        let mut now = now(CONNECTED, 0, false);
        assert!(told(&mut seen, &now).is_empty());
        let stuck = Stuck {
            messages: 3,
            error: "full".into(),
        };
        now.stuck.insert(("orders".to_owned(), "g".to_owned()), stuck);
        assert_eq!(told(&mut seen, &now), ["dead_letters_stuck"]);
        assert!(told(&mut seen, &now).is_empty());
        now.stuck.clear();
        assert_eq!(told(&mut seen, &now), ["dead_letters_unstuck"]);
    }
    /// It wanted nothing, was started, and wanted nothing again before anybody looked.
    #[test]
    fn who_stops_once_more_is_told_once_more() {
        let mut seen = Seen::default();
        let gone = |since| State::Stopped {
            since,
            reason: "410".into(),
        };
        assert_eq!(told(&mut seen, &now(gone(1), 0, false)), ["target_down"]);
        assert!(told(&mut seen, &now(gone(1), 0, false)).is_empty());
        assert_eq!(told(&mut seen, &now(gone(2), 0, false)), ["target_down"]);
    }
    #[test]
    fn dead_letters_are_told_once_a_minute_and_all_of_them() {
        let mut seen = Seen::default();
        let mut at = |seconds: i64, dead: u64| {
            let mut now = now(CONNECTED, dead, false);
            now.at += seconds * 1_000_000;
            seen.look(&now).first().map(|alarm| alarm["by"].as_u64().unwrap())
        };
        assert_eq!(
            (at(0, 5), at(1, 6), at(2, 8), at(59, 9), at(61, 10)),
            (None, Some(1), None, None, Some(4))
        );
        assert_eq!((at(130, 10), at(131, 2), at(132, 3)), (None, None, Some(1)), "made anew");
    }
    #[test]
    fn down_is_what_fails_for_long_or_ended_by_itself() {
        let mut seen = Seen::default();
        assert!(told(&mut seen, &now(retrying(99 * PATIENCE_US + 1), 0, false)).is_empty());
        assert_eq!(told(&mut seen, &now(retrying(99 * PATIENCE_US), 0, false)), ["target_down"]);
        let mut seen = Seen::default();
        for reason in State::ON_PURPOSE {
            assert!(told(&mut seen, &now(stopped(reason), 0, false)).is_empty());
        }
        assert_eq!(told(&mut seen, &now(stopped("the target answered 410"), 0, false)), ["target_down"]);
    }
}
