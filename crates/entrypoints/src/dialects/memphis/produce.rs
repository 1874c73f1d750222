//! `produce/single` and `produce/batch`: a success is answered once the messages are stored.
use super::{
    Asked, Memphis, Settings,
    answer::{self, Family, Refusal, Result},
    batch,
    station::{self, Station, TRIES},
    wish::Wish,
};
use crate::{
    http::{self as ours, body::Body, flight::Aboard, upload},
    listener::Incoming,
};
use http::{HeaderMap, Response, StatusCode, header};
use tidegate_core::{
    batch::Batch,
    directory::Right,
    endpoint::Publish,
    error::{Code, Error, Fault},
    message::Message,
    receipt::{Kept, Level},
    topic::Topic,
};
use tidegate_gateway::{flow, route::Route};

/// Bytes of what is told of failures, about: behind that each has a few words.
const MOST_TOLD: usize = 1 << 20;
const DONE: &[u8] = b"{\"error\":null,\"success\":true}";

pub(super) async fn single(
    memphis: &Memphis,
    raw: &str,
    asked: &Asked<'_>,
    body: &mut Option<Incoming>,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let settings = &memphis.settings;
    let mut station = memphis.station(raw, asked, Right::Publish)?;
    if !takes(asked.headers(), settings) {
        return Err(unsupported(settings, "unsupported content type"));
    }
    let wish = Wish::read(asked.headers(), false, settings.old)?;
    let edge = &memphis.ground.edge;
    let payload = upload::read(body, edge.body, edge.body_pace, &mut aboard).await;
    let payload = payload.map_err(|error| Refusal::of_http(error, Family::Station, settings.old))?;
    let made = |topic, _| wish.message(topic, payload.clone());
    match keep(memphis, &mut station, asked, wish.partition, 1, made).await?.pop() {
        Some((_, error)) => Err(refused(error, settings)),
        None => Ok(answer::json(DONE)),
    }
}
pub(super) async fn batch(
    memphis: &Memphis,
    raw: &str,
    asked: &Asked<'_>,
    body: &mut Option<Incoming>,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let settings = &memphis.settings;
    let mut station = memphis.station(raw, asked, Right::Publish)?;
    if !takes_batch(asked.headers(), settings.old) {
        return Err(unsupported(settings, "unsupported content type"));
    }
    let wish = Wish::read(asked.headers(), true, settings.old)?;
    let edge = &memphis.ground.edge;
    let body = upload::read(body, edge.batch_body, edge.body_pace, &mut aboard).await;
    let body = body.map_err(|error| Refusal::of_http(error, Family::Station, settings.old))?;
    let most = ours::batch::most(wish.common(), edge.batch_items, edge.batch_body);
    let Some(batch::Split { messages: payloads, more }) = batch::split(&body, most) else {
        let status = if settings.old {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::BAD_REQUEST
        };
        return Err(Refusal::text(status, "unsupported request"));
    };
    if more {
        let room = if most < edge.batch_items {
            ", which is what there is room for with its headers"
        } else {
            ""
        };
        let text = format!("the batch has more than {most} messages{room}");
        return Err(refused(Error::client(Code::BatchTooLong, text), settings));
    }
    if payloads.is_empty() {
        return Ok(answer::json(DONE));
    }
    let made = |topic, number: u32| {
        let payload = payloads.get(number as usize).cloned().unwrap_or_default();
        wish.element(topic, payload, number as usize)
    };
    let items = payloads.len() as u32;
    if settings.old {
        return one_by_one(memphis, &mut station, asked, wish.partition, items, made).await;
    }
    let failed = keep(memphis, &mut station, asked, wish.partition, items, made).await?;
    if failed.is_empty() {
        return Ok(answer::json(DONE));
    }
    Err(some_failed(failed, items, settings))
}
/// As the last release did: what comes behind the first failure is not sent, and nobody is told how many came before it.
async fn one_by_one(
    memphis: &Memphis,
    station: &mut Station,
    asked: &Asked<'_>,
    partition: Option<u32>,
    items: u32,
    made: impl Fn(Topic, u32) -> Message,
) -> Result<Response<Body>> {
    let settings = &memphis.settings;
    for number in 0..items {
        let failed = keep(memphis, station, asked, partition, 1, |topic, _| made(topic, number)).await;
        let error = match failed.map(|mut failed| failed.pop()) {
            Ok(None) => continue,
            Ok(Some((_, error))) => error,
            Err(refusal) => match &refusal.error {
                Some(error) if error.fault() == Fault::Client => error.again(),
                _ => return Err(refusal),
            },
        };
        if error.fault() != Fault::Client {
            return Err(refused(error, settings));
        }
        let status = Refusal::of(error.again(), Family::Station, settings.old).status();
        let mut out = b"{\"error\":[".to_vec();
        answer::string(&error.to_string(), &mut out);
        out.extend_from_slice(b"],\"success\":false}");
        return Err(Refusal::raw(status, out));
    }
    Ok(answer::json(DONE))
}
/// Publishes so many messages, and says which were not kept, in their order. Those whose station was deleted under them go to the one that
/// comes after it. A refusal: none was kept.
async fn keep(
    memphis: &Memphis,
    station: &mut Station,
    asked: &Asked<'_>,
    partition: Option<u32>,
    items: u32,
    made: impl Fn(Topic, u32) -> Message,
) -> Result<Vec<Failed>> {
    let mut left: Vec<u32> = (0..items).collect();
    let mut failed: Vec<Failed> = Vec::new();
    let mut refusal = None;
    for _ in 0..TRIES {
        refusal = None;
        match once(memphis, station, asked, partition, &left, &made).await {
            Ok(kept) => {
                let told: Vec<Failed> = kept
                    .failed
                    .into_iter()
                    .filter_map(|(at, error)| Some((*left.get(at as usize)?, error)))
                    .collect();
                left.clear();
                for (number, error) in told {
                    if station::is_gone(&error) {
                        left.push(number);
                    } else {
                        failed.push((number, error));
                    }
                }
            }
            Err(Lost::Gone) => {}
            Err(Lost::Refused(why)) => refusal = Some(why),
        }
        if left.is_empty() || refusal.is_some() {
            break;
        }
        station.lose();
    }
    if !left.is_empty() {
        let refusal = refusal.unwrap_or_else(|| station.restless());
        match &refusal.error {
            Some(error) if left.len() < items as usize => failed.extend(left.into_iter().map(|number| (number, error.again()))),
            _ => return Err(refusal),
        }
    }
    failed.sort_by_key(|(number, _)| *number);
    Ok(failed)
}
/// An item's number, and why it was not kept.
type Failed = (u32, Error);
/// Why none of a call was kept.
enum Lost {
    /// There was a station, and it is gone.
    Gone,
    Refused(Refusal),
}
async fn once(
    memphis: &Memphis,
    station: &Station,
    asked: &Asked<'_>,
    partition: Option<u32>,
    numbers: &[u32],
    made: impl Fn(Topic, u32) -> Message,
) -> std::result::Result<Kept, Lost> {
    let lost = |error: Error| {
        if station::is_gone(&error) {
            return Lost::Gone;
        }
        Lost::Refused(refused(error, &memphis.settings))
    };
    let route = memphis.open(station).await.map_err(Lost::Refused)?;
    let topic = topic(&route).map_err(lost)?;
    let batch: Batch = numbers.iter().map(|number| made(topic.clone(), *number)).collect();
    publish(&route, asked, batch, partition).await.map_err(lost)
}
/// The documented form: each failure with its text, in the order of the batch.
fn some_failed(mut all: Vec<Failed>, items: u32, settings: &Settings) -> Refusal {
    let ours = all.iter().all(|(_, error)| error.fault() != Fault::Client);
    let failed = all.len();
    if ours && failed == items as usize {
        // None of it is the client's fault: it is told what a single one would be told.
        let (_, error) = all.swap_remove(0);
        return refused(error, settings);
    }
    let first = all.first().map(|(_, error)| error.again());
    let status = first.map(|error| refused(error, settings)).filter(|_| ours);
    let mut out = b"{\"errors\":[".to_vec();
    for (at, (_, error)) in all.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if out.len() < MOST_TOLD {
            answer::string(&error.to_string(), &mut out);
        } else {
            answer::string(error.code().title(), &mut out);
        }
    }
    let sent = items as usize - failed;
    out.extend_from_slice(format!("],\"fail\":{failed},\"sent\":{sent},\"success\":false}}").as_bytes());
    Refusal::raw(status.map_or(StatusCode::BAD_REQUEST, |refusal| refusal.status()), out)
}
fn topic(route: &Route) -> std::result::Result<Topic, Error> {
    let nothing = || Error::new(Code::Internal, Fault::Gateway, "the station takes no messages");
    route.publish.as_ref().ok_or_else(nothing)?.topic("")
}
async fn publish(route: &Route, asked: &Asked<'_>, batch: Batch, partition: Option<u32>) -> std::result::Result<Kept, Error> {
    let mut x = asked.exchange(route);
    flow::admit(route, &mut x).await?;
    let publish = Publish {
        batch,
        level: Some(Level::Stored),
        partition,
        // Of all who send to the station, as it was; an id of theirs means the same message after a restart and a new password.
        scope: route.scope,
    };
    flow::publish(route, &x, publish).await?.await
}
fn refused(error: Error, settings: &Settings) -> Refusal {
    Refusal::of(error, Family::Station, settings.old)
}
fn unsupported(settings: &Settings, text: &'static str) -> Refusal {
    let status = if settings.old {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    };
    Refusal::text(status, text)
}
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
/// Whether a single message may be of that type. What it says decides no more than that: bytes are kept.
fn takes(headers: &HeaderMap, settings: &Settings) -> bool {
    let said = content_type(headers);
    let kinds = |said: &str| said.contains("text") || said.contains("application/json");
    if kinds(said) || said == "application/x-protobuf" {
        return true;
    }
    let lower = said.to_ascii_lowercase();
    let essence = lower.split(';').next().unwrap_or_default().trim();
    let known = !settings.old && (kinds(&lower) || essence == "application/x-protobuf");
    known || settings.types.iter().any(|kind| kind == "*" || kind.eq_ignore_ascii_case(essence))
}
fn takes_batch(headers: &HeaderMap, old: bool) -> bool {
    let said = content_type(headers);
    if old {
        return said == "application/json";
    }
    let essence = said.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        headers
    }
    fn settings(old: bool, types: &[&str]) -> Settings {
        Settings {
            old,
            types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            ..Settings::default()
        }
    }
    #[test]
    fn the_content_type_decides_acceptance() {
        for (kind, today, old) in [
            ("text", true, true),
            ("text/html", true, true),
            ("application/context-foo", true, true),
            ("application/json", true, true),
            ("application/json; charset=utf-8", true, true),
            ("application/x-protobuf", true, true),
            ("application/x-protobuf; v=1", true, false),
            ("Application/JSON", true, false),
            ("TEXT/plain", true, false),
            ("", false, false),
            ("application/x-www-form-urlencoded", false, false),
            ("application/cloudevents+json", false, false),
            ("avro/bytes", false, false),
            ("application/octet-stream", false, false),
        ] {
            assert_eq!(takes(&headers(kind), &settings(false, &[])), today, "{kind}");
            assert_eq!(takes(&headers(kind), &settings(true, &[])), old, "{kind}");
            assert!(takes(&headers(kind), &settings(false, &["*"])));
        }
        let more = settings(false, &["avro/bytes"]);
        assert!(takes(&headers("Avro/Bytes; v=1"), &more) && !takes(&headers("avro/other"), &more));
        for (kind, today, old) in [
            ("application/json", true, true),
            ("application/json; charset=utf-8", true, false),
            ("text/plain", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (takes_batch(&headers(kind), false), takes_batch(&headers(kind), true)),
                (today, old),
                "{kind}"
            );
        }
    }
    #[test]
    fn failures_of_a_batch_are_told_in_the_documented_form() {
        let text = "Schema validation has failed: jsonschema: '' does not validate with file:///tidegate/123#/required: missing properties: 'field1'";
        let failed = vec![
            (0, Error::client(Code::SchemaViolation, text)),
            (2, Error::client(Code::SchemaViolation, text)),
        ];
        let (status, kind, body) = answer::tests::told(some_failed(failed, 3, &settings(false, &[])).into_response());
        assert_eq!((status, kind.as_str()), (400, "application/json"));
        assert_eq!(
            body,
            format!("{{\"errors\":[\"{text}\",\"{text}\"],\"fail\":2,\"sent\":1,\"success\":false}}")
        );
        let long = "x".repeat(10_000);
        let failed = (0..1_000).map(|number| (number, Error::client(Code::SchemaViolation, long.clone())));
        let (_, _, body) = answer::tests::told(some_failed(failed.collect(), 1_001, &settings(false, &[])).into_response());
        assert!(
            body.len() < MOST_TOLD + 100_000,
            "{} bytes are told of what needed two each",
            body.len()
        );
        let told: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((told["errors"].as_array().unwrap().len(), &told["sent"]), (1_000, &1.into()));
        assert_eq!(told["errors"][999], Code::SchemaViolation.title());
        let failed = vec![(0, Error::new(Code::StorageFull, Fault::Operator, "full"))];
        let (status, _, body) = answer::tests::told(some_failed(failed, 1, &settings(false, &[])).into_response());
        assert_eq!((status, body.as_str()), (507, "{\"error\":\"full\",\"success\":false}"));
    }
}
