//! What became of leased messages, as a worker says it: over HTTP a body, over WebSocket an op with the same members.
use super::items;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use std::{fmt, time::Duration};
use tidegate_core::{clock, settle::Outcome};
use tidegate_gateway::leases::Verdict;

/// Leases in one request.
const MOST: usize = 10_000;
/// Bytes of a reason.
const LONGEST_REASON: usize = 1_024;
/// As long as a lease may be at all.
pub(super) const LEASE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(12));

/// One lease and what became of its message.
#[derive(Debug, PartialEq)]
pub(super) struct Settlement {
    pub(super) lease: String,
    pub(super) outcome: Outcome,
}
/// The members of an object as they stand there, in their order.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);
impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
/// In the order asked; what is wrong is told with its place. `passed_over` are members that somebody else reads.
pub(super) fn parse(members: &Members<'_>, passed_over: &[&str]) -> Result<Vec<Settlement>, String> {
    let (mut all, mut any) = (Vec::new(), false);
    for (name, value) in &members.0 {
        let word: fn(Place<'_>, Item) -> Result<Settlement, String> = match name.as_str() {
            "ack" => ack,
            "nack" => nack,
            "reject" => reject,
            "extend" => extend,
            name if passed_over.contains(&name) => continue,
            other => {
                return Err(format!(
                    "unknown member `{}`: expected `ack`, `nack`, `reject` or `extend`",
                    other.escape_debug()
                ));
            }
        };
        any = true;
        let List(list) = serde_json::from_str(value.get()).or_else(|_| one_by_one(name, value))?;
        if all.len() + list.len() > MOST {
            return Err(too_many());
        }
        for (at, item) in list.into_iter().enumerate() {
            all.push(word(Place { name, at }, item)?);
        }
    }
    if !any {
        return Err("there is nothing to settle: expected `ack`, `nack`, `reject` or `extend`".to_owned());
    }
    Ok(all)
}
/// Where in the text something stands: put into words only when there is something to say.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    at: usize,
}
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.at)
    }
}
/// The same list, to say which of them is wrong.
fn one_by_one(name: &str, value: &RawValue) -> Result<List, String> {
    let list: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| format!("`{name}`: expected a list of leases"))?;
    if list.len() > MOST {
        return Err(too_many());
    }
    let parsed = list.into_iter().enumerate().map(|(at, value)| {
        let place = Place { name, at };
        Item::parse(value).map_err(|why| format!("`{place}`: {why}"))
    });
    parsed.collect::<Result<_, _>>().map(List)
}
fn too_many() -> String {
    format!("more than {MOST} leases")
}
/// No longer than may be, so that a long one takes no memory.
struct List(Vec<Item>);
impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Few;
        impl<'de> Visitor<'de> for Few {
            type Value = List;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MOST {
                        return Err(serde::de::Error::custom(too_many()));
                    }
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        deserializer.deserialize_seq(Few)
    }
}
/// A lease, and what is said beside it.
#[derive(Default)]
struct Item {
    lease: String,
    delay: Option<String>,
    reason: Option<String>,
    by: Option<String>,
}
impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Said {
            lease: String,
            delay: Option<String>,
            reason: Option<String>,
            by: Option<String>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a lease")
            }
            fn visit_str<E>(self, lease: &str) -> Result<Item, E> {
                Ok(Item {
                    lease: lease.to_owned(),
                    ..Item::default()
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
                let said = Said::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Item {
                    lease: said.lease,
                    delay: said.delay,
                    reason: said.reason,
                    by: said.by,
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
impl Item {
    fn parse(value: &RawValue) -> Result<Self, String> {
        serde_json::from_str(value.get())
            .map_err(|error| format!("expected a lease or `{{\"lease\":…}}`: {}", super::batch::without_place(&error)))
    }
    /// Only what its word knows.
    fn only(&self, place: Place<'_>, known: &str) -> Result<(), String> {
        let said = [("delay", &self.delay), ("reason", &self.reason), ("by", &self.by)];
        match said.iter().find(|(name, value)| *name != known && value.is_some()) {
            Some((name, _)) => Err(format!("`{place}` has no `{name}`")),
            None => Ok(()),
        }
    }
}
fn ack(place: Place<'_>, item: Item) -> Result<Settlement, String> {
    item.only(place, "")?;
    Ok(Settlement {
        lease: item.lease,
        outcome: Outcome::Ack,
    })
}
fn nack(place: Place<'_>, item: Item) -> Result<Settlement, String> {
    item.only(place, "delay")?;
    let after = item
        .delay
        .map(|text| time(&format!("{place}.delay"), &text, (Duration::ZERO, super::timing::LONGEST_DELAY)))
        .transpose()?;
    Ok(Settlement {
        lease: item.lease,
        outcome: Outcome::Requeue { after },
    })
}
fn reject(place: Place<'_>, item: Item) -> Result<Settlement, String> {
    item.only(place, "reason")?;
    let reason = item.reason.unwrap_or_else(|| "rejected".to_owned());
    if reason.len() > LONGEST_REASON {
        return Err(format!(
            "`{place}.reason` has {} bytes, at most {LONGEST_REASON} are allowed",
            reason.len()
        ));
    }
    Ok(Settlement {
        lease: item.lease,
        outcome: Outcome::reject(reason),
    })
}
fn extend(place: Place<'_>, item: Item) -> Result<Settlement, String> {
    item.only(place, "by")?;
    let by = item
        .by
        .as_deref()
        .ok_or_else(|| format!("`{place}.by` is missing: expected a duration such as `30s`"))?;
    Ok(Settlement {
        lease: item.lease,
        outcome: Outcome::Extend(time(&format!("{place}.by"), by, LEASE)?),
    })
}
/// A duration within bounds.
pub(super) fn time(place: &str, text: &str, (least, most): (Duration, Duration)) -> Result<Duration, String> {
    let read = clock::parse_duration(text).filter(|time| *time >= least && *time <= most);
    read.ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        format!(
            "`{place}` is `{}`: expected a duration such as `250ms`, `5s` or `2m`, from {}s to {}h",
            text.escape_debug(),
            least.as_secs(),
            most.as_secs() / 3_600
        )
    })
}
/// `"results":[…]`, in the order asked.
pub(super) fn results(verdicts: &[(String, Verdict)], out: &mut Vec<u8>) {
    items::name("results", out);
    out.push(b'[');
    for (at, (lease, verdict)) in verdicts.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        items::name("lease", out);
        items::string(lease, out);
        items::name("result", out);
        items::string(verdict.as_str(), out);
        if let Verdict::Failed(why) = verdict {
            items::name("detail", out);
            items::string(why, out);
        }
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Settlement>, String> {
        parse(&serde_json::from_str(text).unwrap(), &["op"])
    }
    #[test]
    fn every_word_in_the_order_asked() {
        let text = r#"{"op":"settle","extend":[{"lease":"e","by":"2m"}],"ack":["a","b"],"reject":[{"lease":"r","reason":"bad"},"s"],
            "nack":[{"lease":"n","delay":"5s"},{"lease":"m"},"l"]}"#;
        let after = |after| Outcome::Requeue { after };
        let wanted = [
            ("e", Outcome::Extend(Duration::from_mins(2))),
            ("a", Outcome::Ack),
            ("b", Outcome::Ack),
            ("r", Outcome::reject("bad")),
            ("s", Outcome::reject("rejected")),
            ("n", after(Some(Duration::from_secs(5)))),
            ("m", after(None)),
            ("l", after(None)),
        ];
        let found: Vec<_> = parsed(text).unwrap().into_iter().map(|one| (one.lease, one.outcome)).collect();
        assert_eq!(found, wanted.map(|(lease, outcome)| (lease.to_owned(), outcome)));
    }
    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let many = format!(r#"{{"ack":[{}"x"]}}"#, r#""x","#.repeat(MOST));
        let long = format!(r#"{{"reject":[{{"lease":"x","reason":"{}"}}]}}"#, "x".repeat(LONGEST_REASON + 1));
        for (text, told) in [
            ("{}", "there is nothing to settle"),
            (r#"{"acks":["x"]}"#, "unknown member `acks`"),
            (r#"{"ack":"x"}"#, "`ack`: expected a list of leases"),
            (r#"{"ack":["x",7]}"#, "`ack[1]`: expected a lease"),
            (r#"{"ack":[{"lease":"x","delay":"5s"}]}"#, "`ack[0]` has no `delay`"),
            (
                r#"{"nack":[{"delay":"5s"}]}"#,
                "`nack[0]`: expected a lease or `{\"lease\":…}`: `lease` is missing",
            ),
            (
                r#"{"nack":[{"lease":"x","delay":"25h"}]}"#,
                "`nack[0].delay` is `25h`: expected a duration",
            ),
            (r#"{"nack":[{"lease":"x","delay":5}]}"#, "`nack[0]`: expected a lease"),
            (r#"{"extend":["x"]}"#, "`extend[0].by` is missing"),
            (r#"{"extend":[{"lease":"x","by":"500ms"}]}"#, "`extend[0].by` is `500ms`"),
            (r#"{"extend":[{"lease":"x","by":"13h"}]}"#, "from 1s to 12h"),
            (&many, "more than 10000 leases"),
            (&long, "at most 1024 are allowed"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(told), "{text:.80}: {error}");
        }
    }
}
