//! Where an API's messages go or come from: an endpoint, and which of its topics.
use std::{borrow::Cow, sync::Arc};
use tidegate_core::{
    endpoint::{Endpoint, Producer},
    error::{Code, Error, Result},
    filter::Filter,
    topic::Topic,
};

/// One side of a route.
#[derive(Clone)]
pub struct Target {
    /// What is connected to.
    pub endpoint: Arc<dyn Endpoint>,
    /// Its producer, made once.
    pub producer: Arc<dyn Producer>,
    /// Which topic.
    pub topic: Wanted,
}
/// How the topic follows from the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Always this one, and a consumer reads all the endpoint has (a stream, a mock).
    Whole(Topic),
    /// Always this one.
    One(Topic),
    /// A text with `${rest}` in it.
    Template(Arc<str>),
}
/// MQTT and the log store a topic's length in 16 bits.
const LONGEST: usize = u16::MAX as usize;

impl Target {
    /// An endpoint with its producer.
    pub fn new(endpoint: Arc<dyn Endpoint>, topic: Wanted) -> Self {
        let producer = endpoint.producer();
        Self { endpoint, producer, topic }
    }
    /// The same endpoint, the same topics.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoint, &other.endpoint) && self.topic == other.topic
    }
    /// What of the rest of a path decides what is read: all of it or nothing.
    pub(crate) fn chosen_by<'r>(&self, rest: &'r str) -> &'r str {
        match &self.topic {
            Wanted::Template(_) => rest,
            Wanted::Whole(_) | Wanted::One(_) => "",
        }
    }
    /// The topic to publish to; `rest` is what the path's `/*` stood for, as the client sent it.
    pub fn topic(&self, rest: &str) -> Result<Topic> {
        match &self.topic {
            Wanted::Whole(topic) | Wanted::One(topic) => Ok(topic.clone()),
            Wanted::Template(template) => {
                let topic = template.replace("${rest}", &decoded(rest)?);
                check(&topic)?;
                Ok(Topic::from(topic.as_str()))
            }
        }
    }
    /// What to consume; empty = all the endpoint has.
    pub fn filters(&self, rest: &str) -> Result<Vec<Filter>> {
        if matches!(self.topic, Wanted::Whole(_)) {
            return Ok(Vec::new());
        }
        let topic = self.topic(rest)?;
        Filter::new(&topic)
            .map(|filter| vec![filter])
            .ok_or_else(|| Error::client(Code::BadTopic, format!("`{}` is no topic", &*topic)))
    }
}
fn check(topic: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::client(
            Code::BadTopic,
            format!("`{}` is no topic: {why}", topic.escape_debug()),
        ))
    };
    if topic.is_empty() {
        return wrong("it is empty");
    }
    if topic.len() > LONGEST {
        return Err(Error::client(
            Code::BadTopic,
            format!("a topic of {} bytes is too long: at most {LONGEST} are allowed", topic.len()),
        ));
    }
    if topic.contains(['#', '+']) {
        return wrong("`#` and `+` are wildcards");
    }
    if topic.chars().any(char::is_control) {
        return wrong("control characters are not allowed");
    }
    if topic.starts_with('$') {
        return wrong("topics that begin with `$` belong to the gateway").map_err(|error| {
            error.with_hint("alarms are read at `/api/v1/alarms` of the admin listener, or from a stream that captures `$tidegate/alarms`")
        });
    }
    Ok(())
}
/// Percent-decoding (RFC 3986, section 2.1).
fn decoded(text: &str) -> Result<Cow<'_, str>> {
    if !text.contains('%') {
        return Ok(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, after) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low].map(|digit| char::from(digit).to_digit(16));
                let [Some(high), Some(low)] = digits else {
                    return Err(Error::client(Code::BadTarget, "the path has a `%` without two hexadecimal digits"));
                };
                ((high * 16 + low) as u8, after)
            }
            (b'%', _) => return Err(Error::client(Code::BadTarget, "the path ends in the middle of a percent-encoding")),
            (first, after) => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes)
        .map(Cow::from)
        .map_err(|_| Error::client(Code::BadTarget, "the path is not UTF-8 after percent-decoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_once() {
        assert_eq!(decoded("a%20b%2525").unwrap(), "a b%25");
        for bad in ["%", "%2", "%zz", "a%+1", "%ff"] {
            assert_eq!(decoded(bad).unwrap_err().code(), Code::BadTarget, "{bad}");
        }
    }
    #[test]
    fn refuses_what_is_no_topic() {
        for bad in ["", "a/#", "+", "a\0b", "a\nb", "$sys", &"x".repeat(70_000)] {
            assert_eq!(check(bad).unwrap_err().code(), Code::BadTopic, "{bad}");
        }
        assert!(check("a b/ü/").is_ok());
    }
}
