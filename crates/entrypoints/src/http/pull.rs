//! `POST path/_pull` and `POST path/_settle`: workers take messages on a lease, and say what became of them.
use super::{
    batch,
    body::Body,
    call::{Call, Pace},
    flight::{Aboard, Flight},
    items,
    problem::with_type,
    query, read,
    settle::{self, LEASE, Members},
    upload,
    verb::Verb,
    wish,
};
use crate::listener::{Connection, Incoming};
use http::{HeaderValue, Method, Response, header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    clock::Rfc3339,
    drain::Watch,
    endpoint::{GroupName, Start},
    error::{Code, Error, Result},
};
use tidegate_gateway::{
    flow,
    handle::RouteHandle,
    pulls::{Pulled, Pulls, Wish},
    settings::Pull,
    world::World,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a worker gets when it names no number, and at most.
const LIMIT: u32 = 100;
const MOST: u32 = 1_000;
/// How long it waits when it names no time, and at most: proxies give up.
const WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
const GROUP: &str = "default";
/// Bytes that stand around a message's own.
const AROUND: usize = 240;
/// 10,000 leases with their delays and reasons.
const LARGEST: u64 = 2 << 20;

/// Where workers are served: a gateway's APIs, or a dialect's streams.
pub(crate) struct Desk<'a> {
    pub(crate) world: &'a Arc<World>,
    pub(crate) pulls: &'a Arc<Pulls>,
    pub(crate) flight: &'a Arc<Flight>,
    pub(crate) drain: &'a Watch,
    pub(crate) pace: Pace,
}
/// Answers a request to a verb.
pub(crate) async fn answer(
    verb: Verb,
    call: Call<'_>,
    parts: &Parts,
    body: &mut Option<Incoming>,
    desk: &Desk<'_>,
    connection: &Arc<Connection>,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let Some(settings) = &call.route.api.pull else {
        return Err(verb.absent());
    };
    if parts.method != Method::POST {
        return Err(verb.no_method(&parts.method));
    }
    wish::none_of_ours(&parts.headers)?;
    let pace = desk.pace;
    let text = upload::read(body, LARGEST, pace, &mut aboard).await?;
    let members: Members<'_> = match &text[..] {
        [] => Members(Vec::new()),
        text => serde_json::from_slice(text)
            .map_err(|error| Error::client(Code::NotJson, format!("expected a JSON object: {}", batch::without_place(&error))))?,
    };
    match verb {
        Verb::Pull => {
            let query = query::Query::parse(parts.uri.query().unwrap_or_default())?;
            if (&query.from, &query.cursor, query.limit, query.wait) != (&None, &None, None, None) {
                return Err(
                    Error::client(Code::BadQuery, "`_pull` takes only `include` in the URL").with_hint("the rest stands in the body")
                );
            }
            let shown = read::shown(&query, call.route)?;
            let wish = wish(&members, settings)?;
            pull(&call, &wish, shown, desk, connection).await
        }
        Verb::Settle | Verb::Ticket => {
            if parts.uri.query().is_some_and(|query| !query.is_empty()) {
                return Err(Error::client(Code::BadQuery, "`_settle` takes no query parameters"));
            }
            let settlements = settle::parse(&members, &[]).map_err(|why| {
                Error::client(Code::BadRequest, why).with_hint("such as `{\"ack\":[LEASE],\"nack\":[{\"lease\":LEASE,\"delay\":\"5s\"}]}`")
            })?;
            let mut x = call.exchange();
            flow::admit(call.route, &mut x).await?;
            let leases = desk.pulls.leases()?;
            // All at once: they share the log's next frame.
            let verdicts = leases.settle(&call.route.name, &settlements).await?;
            let mut out = b"{".to_vec();
            settle::results(&settlements, &verdicts, &mut out);
            out.extend_from_slice(b"}\n");
            Ok(with_type(Body::full(out), JSON))
        }
    }
}
async fn pull(call: &Call<'_>, wish: &Wish, shown: items::Parts, desk: &Desk<'_>, connection: &Arc<Connection>) -> Result<Response<Body>> {
    let gone = || Error::client(Code::NotFound, "the api is gone");
    let mut x = call.exchange();
    flow::admit(call.route, &mut x).await?;
    let mut handle = RouteHandle::new(desk.world, call.host, call.path).ok_or_else(gone)?;
    let mut drain = desk.drain.clone();
    let pulled = desk.pulls.pull(&mut handle, &x, wish, &mut drain).await?;
    let likely = items::likely(pulled.items.iter(), AROUND);
    let bytes = desk.flight.berth(connection).carry(likely, |out| page(&pulled, shown, out))?;
    let mut response = with_type(Body::leased(bytes, pulled.offered, pulled.parcel), JSON);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
/// The items GET would answer, each with its lease and its attempt, and what names all of the leases.
fn page(pulled: &Pulled, shown: items::Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"items\":[");
    let mut clock = Rfc3339::default();
    for (at, (item, lease)) in pulled.items.iter().zip(pulled.tokens.iter()).enumerate() {
        out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        items::members(item, shown, &mut clock, out);
        items::leased(&lease, item.attempt, out);
        out.push(b'}');
    }
    out.push(b']');
    if !pulled.tokens.is_empty() {
        items::name("lease", out);
        items::string(pulled.tokens.page(), out);
    }
    if let Some(gap) = &pulled.gap {
        out.extend_from_slice(b",\"gap\":");
        items::gap(gap, out);
    }
    out.extend_from_slice(b"}\n");
}
fn wish(members: &Members<'_>, settings: &Pull) -> Result<Wish> {
    let mut wish = Wish {
        group: group(GROUP)?,
        limit: LIMIT,
        wait: WAIT,
        lease_for: settings.lease_for,
        start: Start::Earliest,
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &members.0 {
        if seen.contains(&name.as_str()) {
            return Err(wrong(format!("`{name}` is there twice")));
        }
        match name.as_str() {
            "group" => wish.group = group(&text(name, value, "a name of letters, digits, `.`, `_` and `-`")?)?,
            "limit" => {
                let expected = format!("a whole number from 1 to {MOST}");
                let limit: u64 = value_of(name, value, &expected)?;
                if limit == 0 {
                    return Err(told(name, value, &expected));
                }
                wish.limit = u32::try_from(limit).unwrap_or(MOST).min(MOST);
            }
            "wait" => {
                let text = text(name, value, "a duration such as `0`, `500ms` or `5s`")?;
                let any = (Duration::ZERO, Duration::from_hours(24));
                wish.wait = settle::time(name, &text, any).map_err(wrong)?.min(LONGEST_WAIT);
            }
            "lease_for" => {
                let text = text(name, value, "a duration such as `30s`")?;
                wish.lease_for = settle::time(name, &text, LEASE).map_err(wrong)?;
            }
            "from" => wish.start = query::from(&text(name, value, "a place such as `earliest` or `latest`")?)?,
            other => {
                return Err(wrong(format!(
                    "unknown member `{}`: expected `group`, `limit`, `wait`, `lease_for` or `from`",
                    other.escape_debug()
                )));
            }
        }
        seen.push(name);
    }
    Ok(wish)
}
/// A group that clients may name.
pub(super) fn group(name: &str) -> Result<GroupName> {
    GroupName::new(name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        wrong(format!(
            "`group` is `{}`: expected a letter or digit, then letters, digits, `.`, `_`, `-`, at most 255",
            name.escape_debug()
        ))
    })
}
fn text(name: &str, value: &RawValue, expected: &str) -> Result<String> {
    value_of(name, value, expected)
}
fn value_of<T: DeserializeOwned>(name: &str, value: &RawValue, expected: &str) -> Result<T> {
    serde_json::from_str(value.get()).map_err(|_| told(name, value, expected))
}
fn told(name: &str, value: &RawValue, expected: &str) -> Error {
    let shown = value.get().chars().map(|c| if c.is_control() { ' ' } else { c });
    let value: String = shown.take(64).collect();
    wrong(format!("`{name}` is `{value}`: expected {expected}"))
}
fn wrong(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::client(Code::BadRequest, text).with_hint("`{}` pulls what there is for the group `default`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(text: &str) -> Result<Wish> {
        let settings = Pull {
            lease_for: Duration::from_secs(30),
        };
        wish(&serde_json::from_str(text).unwrap(), &settings)
    }
    #[test]
    fn nothing_asked_is_a_wish_too() {
        let wish = wished("{}").unwrap();
        assert_eq!((wish.group.as_str(), wish.limit, wish.wait), ("default", LIMIT, WAIT));
        assert_eq!((wish.lease_for, wish.start), (Duration::from_secs(30), Start::Earliest));
        let wish = wished(r#"{"group":"w","limit":5000,"wait":"2h","lease_for":"1m","from":"latest"}"#).unwrap();
        assert_eq!((wish.group.as_str(), wish.limit, wish.wait), ("w", MOST, LONGEST_WAIT));
        assert_eq!((wish.lease_for, wish.start), (Duration::from_mins(1), Start::Latest));
        for none in ["0", "0s", "0ms"] {
            let wish = wished(&format!(r#"{{"wait":"{none}"}}"#)).unwrap();
            assert_eq!(wish.wait, Duration::ZERO, "as `?wait=0` of GET");
        }
    }
    #[test]
    fn what_is_wrong_is_told_by_its_name() {
        for (text, told) in [
            (r#"{"group":"$api/other/-/x"}"#, "`group` is `$api/other/-/x`: expected a letter"),
            (r#"{"group":"a/b"}"#, "`group` is `a/b`"),
            (r#"{"group":7}"#, "`group` is `7`: expected a name"),
            (r#"{"limit":0}"#, "`limit` is `0`: expected a whole number from 1 to 1000"),
            (r#"{"limit":"5"}"#, "`limit` is"),
            (r#"{"limit":-1}"#, "`limit` is `-1`"),
            (r#"{"limit":1.5}"#, "`limit` is `1.5`"),
            (r#"{"wait":5}"#, "`wait` is `5`: expected a duration"),
            (r#"{"wait":"long"}"#, "`wait` is `long`"),
            (r#"{"lease_for":"100ms"}"#, "`lease_for` is `100ms`"),
            (r#"{"lease_for":"13h"}"#, "from 1s to 12h"),
            (r#"{"grup":"a"}"#, "unknown member `grup`: expected `group`"),
            (r#"{"limit":1,"limit":2}"#, "`limit` is there twice"),
        ] {
            let error = wished(text).unwrap_err();
            assert!(error.to_string().contains(told), "{text}: {error}");
            assert!(error.code() == Code::BadRequest && error.hint().is_some());
        }
        assert_eq!(wished(r#"{"from":"soon"}"#).unwrap_err().code(), Code::BadQuery);
    }
}
