//! What became of leased messages, as a worker says it: over HTTP a body, over WebSocket an op with the same members.
use super::items;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, time::Duration};
use tidegate_core::{clock, settle::Outcome};
use tidegate_gateway::leases::{PageVerdict, Settlement, Verdict};

/// Leases in one request.
const MOST: usize = 10_000;
/// Bytes of a reason.
const LONGEST_REASON: usize = 1_024;
/// Bytes of a result beside its lease.
const AROUND: usize = 40;
/// As long as a lease may be at all.
pub(super) const LEASE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(12));

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
pub(super) fn parse<'a>(members: &Members<'a>, passed_over: &[&str]) -> Result<Vec<Settlement<'a>>, String> {
    let (mut all, mut any) = (Vec::new(), false);
    for (name, value) in &members.0 {
        let word: for<'b> fn(Place<'_>, Item<'b>) -> Result<Settlement<'b>, String> = match name.as_str() {
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
        all.reserve_exact(list.len());
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
fn one_by_one<'a>(name: &str, value: &'a RawValue) -> Result<List<'a>, String> {
    let list: Vec<&'a RawValue> = serde_json::from_str(value.get()).map_err(|_| format!("`{name}`: expected a list of leases"))?;
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
struct List<'a>(Vec<Item<'a>>);
impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Few;
        impl<'de> Visitor<'de> for Few {
            type Value = List<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<'de>, A::Error> {
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
struct Item<'a> {
    lease: Cow<'a, str>,
    /// Mostly nothing is.
    beside: Option<Box<Beside>>,
}
#[derive(Default)]
struct Beside {
    delay: Option<String>,
    reason: Option<String>,
    by: Option<String>,
}
impl<'de> Deserialize<'de> for Item<'de> {
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
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a lease")
            }
            fn visit_borrowed_str<E>(self, lease: &'de str) -> Result<Item<'de>, E> {
                Ok(Item {
                    lease: Cow::Borrowed(lease),
                    beside: None,
                })
            }
            fn visit_str<E>(self, lease: &str) -> Result<Item<'de>, E> {
                Ok(Item {
                    lease: Cow::Owned(lease.to_owned()),
                    beside: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<'de>, A::Error> {
                let Said { lease, delay, reason, by } = Said::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Item {
                    lease: Cow::Owned(lease),
                    beside: Some(Box::new(Beside { delay, reason, by })),
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
impl<'a> Item<'a> {
    fn parse(value: &'a RawValue) -> Result<Self, String> {
        serde_json::from_str(value.get())
            .map_err(|error| format!("expected a lease or `{{\"lease\":…}}`: {}", super::batch::without_place(&error)))
    }
    /// What stands beside the lease, which is only what its word knows.
    fn only(self, place: Place<'_>, known: &str) -> Result<(Cow<'a, str>, Beside), String> {
        let beside = self.beside.map(|beside| *beside).unwrap_or_default();
        let said = [("delay", &beside.delay), ("reason", &beside.reason), ("by", &beside.by)];
        match said.iter().find(|(name, value)| *name != known && value.is_some()) {
            Some((name, _)) => Err(format!("`{place}` has no `{name}`")),
            None => Ok((self.lease, beside)),
        }
    }
}
fn ack<'a>(place: Place<'_>, item: Item<'a>) -> Result<Settlement<'a>, String> {
    let (lease, _) = item.only(place, "")?;
    Ok(Settlement {
        lease,
        outcome: Outcome::Ack,
    })
}
fn nack<'a>(place: Place<'_>, item: Item<'a>) -> Result<Settlement<'a>, String> {
    let (lease, Beside { delay, .. }) = item.only(place, "delay")?;
    let after = delay
        .map(|text| time(&format!("{place}.delay"), &text, (Duration::ZERO, super::timing::LONGEST_DELAY)))
        .transpose()?;
    Ok(Settlement {
        lease,
        outcome: Outcome::Requeue { after },
    })
}
fn reject<'a>(place: Place<'_>, item: Item<'a>) -> Result<Settlement<'a>, String> {
    let (lease, Beside { reason, .. }) = item.only(place, "reason")?;
    let reason = reason.unwrap_or_else(|| "rejected".to_owned());
    if reason.len() > LONGEST_REASON {
        return Err(format!(
            "`{place}.reason` has {} bytes, at most {LONGEST_REASON} are allowed",
            reason.len()
        ));
    }
    Ok(Settlement {
        lease,
        outcome: Outcome::reject(reason),
    })
}
fn extend<'a>(place: Place<'_>, item: Item<'a>) -> Result<Settlement<'a>, String> {
    let (lease, Beside { by, .. }) = item.only(place, "by")?;
    let by = by.ok_or_else(|| format!("`{place}.by` is missing: expected a duration such as `30s`"))?;
    Ok(Settlement {
        lease,
        outcome: Outcome::Extend(time(&format!("{place}.by"), &by, LEASE)?),
    })
}
/// A duration within bounds.
pub(super) fn time(place: &str, text: &str, (least, most): (Duration, Duration)) -> Result<Duration, String> {
    // Of nothing the unit does not matter.
    let read = if text == "0" {
        Some(Duration::ZERO)
    } else {
        clock::parse_duration(text)
    };
    let read = read.filter(|time| *time >= least && *time <= most);
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
pub(super) fn results(settlements: &[Settlement<'_>], verdicts: &[Verdict], out: &mut Vec<u8>) {
    out.reserve(settlements.iter().map(|one| one.lease.len() + AROUND).sum());
    items::name("results", out);
    out.push(b'[');
    for (at, (Settlement { lease, .. }, verdict)) in settlements.iter().zip(verdicts).enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"lease\":" } else { b"{\"lease\":" });
        items::string(lease, out);
        out.extend_from_slice(b",\"result\":\"");
        out.extend_from_slice(verdict.as_str().as_bytes());
        out.push(b'"');
        match verdict {
            Verdict::Failed(why) => detail(why, out),
            Verdict::Page(page) => of_page(page, out),
            Verdict::Ok | Verdict::Expired | Verdict::Unknown => {}
        }
        out.push(b'}');
    }
    out.push(b']');
}
fn detail(why: &str, out: &mut Vec<u8>) {
    items::name("detail", out);
    items::string(why, out);
}
/// How many of its leases were settled, and what became of each of the others.
fn of_page(page: &PageVerdict, out: &mut Vec<u8>) {
    items::name("settled", out);
    out.extend_from_slice(itoa::Buffer::new().format(page.settled()).as_bytes());
    let mut others = page.others().peekable();
    if others.peek().is_none() {
        return;
    }
    items::name("leases", out);
    out.push(b'[');
    for (at, (token, verdict)) in others.enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"lease\":\"" } else { b"{\"lease\":\"" });
        out.extend_from_slice(token.as_str().as_bytes());
        out.extend_from_slice(b"\",\"result\":\"");
        out.extend_from_slice(verdict.as_str().as_bytes());
        out.push(b'"');
        if let Verdict::Failed(why) = verdict {
            detail(why, out);
        }
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Settlement<'_>>, String> {
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
        assert_eq!(found, wanted.map(|(lease, outcome)| (lease.into(), outcome)));
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
