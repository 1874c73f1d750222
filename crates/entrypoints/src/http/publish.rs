//! `POST path`: the body becomes messages, and the answer waits for the receipt.
use super::{
    batch::{self, Kind},
    body::Body,
    call::{Call, Settings},
    flight::Aboard,
    idempotent, items,
    problem::{self, Problem, with_type},
    timing, upload,
    way::Way,
    wish::Wish,
};
use crate::{listener::Incoming, outcome};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, request::Parts};
use tidegate_core::{
    endpoint::Publish,
    error::{Code, Error, Result},
    position::{Cursor, Position},
    receipt::{Kept, Level, Verdict},
};
use tidegate_gateway::flow;

const ACK: HeaderName = HeaderName::from_static("tidegate-ack");
const ID: HeaderName = HeaderName::from_static("tidegate-id");
const POSITION: HeaderName = HeaderName::from_static("tidegate-position");
const DUPLICATE: HeaderName = HeaderName::from_static("tidegate-duplicate");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) async fn post(
    call: Call<'_>,
    parts: &Parts,
    way: &Way,
    body: &mut Option<Incoming>,
    settings: &Settings,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let route = call.route;
    let (Some(post), Some(target)) = (&route.api.http_post, &route.publish) else {
        return Err(call.no_method(&parts.method));
    };
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(
            Error::client(Code::BadQuery, "a POST takes no query parameters").with_hint("what it may ask for are `Tidegate-*` headers")
        );
    }
    let wish = way.wish(|| Wish::read(&parts.headers, target.topic(call.rest)?, post))?;
    let stamp = &wish.stamp;
    let most = if wish.kind == Kind::Single {
        settings.body
    } else {
        settings.batch_body
    };
    let body = upload::read(body, most, settings.body_pace, &mut aboard).await?;
    let common = stamp.headers.as_block().len() + stamp.key.as_ref().map_or(0, Bytes::len);
    let most = batch::most(common, settings.batch_items, settings.batch_body);
    let batch = batch::split(wish.kind, body, stamp, most).map_err(|error| {
        if error.code() == Code::BatchTooLong && most < settings.batch_items {
            let hint = "each of them takes along the headers and the key of the request: send fewer headers, or it in parts";
            return error.with_hint(hint);
        }
        error
    })?;
    let items = batch.items();
    let ids: Vec<_> = batch
        .numbered()
        .filter_map(|(number, message)| Some((number, message.id.clone()?)))
        .collect();
    let mut sent = Vec::new();
    if wish.same_payload {
        sent.extend(batch.numbered().map(|(number, message)| (number, message.payload.clone())));
    }

    let mut x = call.exchange();
    flow::admit(route, &mut x).await?;
    let delayed = batch
        .iter()
        .any(|message| message.timing.as_ref().is_some_and(|timing| timing.due.is_some()));
    let publish = Publish {
        level: timing::level(delayed, wish.level.or(post.ack), target.endpoint.capabilities())?,
        batch,
        partition: wish.partition,
        scope: route.scope,
    };
    let mut kept = flow::publish(route, &x, publish).await?.await?;
    if wish.same_payload && !kept.duplicates.is_empty() {
        // Rare, and large. Asked where it was published to; an API's readers may be sent elsewhere.
        let producer = target.endpoint.producer();
        Box::pin(idempotent::compare(&*producer, &mut kept, &sent)).await?;
    }
    if wish.kind == Kind::Single {
        single(&kept, wish)
    } else {
        Ok(many(&kept, items, &ids, wish, &call))
    }
}
fn single(kept: &Kept, wish: &Wish) -> Result<Response<Body>> {
    let stamp = &wish.stamp;
    if let Some((_, error)) = kept.failed.first() {
        return Err(error.again());
    }
    // One message: what the batch's places say as text is its position in each stream.
    let position = (!kept.places.is_empty()).then(|| kept.to_string());
    let id = stamp
        .id
        .as_ref()
        .map(|id| String::from_utf8_lossy(id))
        .or_else(|| position.as_deref().map(Into::into));
    let body = if wish.minimal {
        Body::empty()
    } else {
        let mut out = Vec::with_capacity(96);
        out.push(b'{');
        for (name, value) in [
            ("id", id.as_deref()),
            ("position", position.as_deref()),
            ("ack", Some(kept.level.as_str())),
        ] {
            if let Some(value) = value {
                items::name(name, &mut out);
                items::string(value, &mut out);
            }
        }
        if kept.level == Level::Delivered {
            items::name("note", &mut out);
            items::string(&format!("live only: no stream captures `{}`", &*wish.stamp.topic), &mut out);
        }
        out.extend_from_slice(b"}\n");
        Body::full(out)
    };
    let mut response = with_type(body, JSON);
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(ACK, HeaderValue::from_static(kept.level.as_str()));
    if let Some(value) = id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(ID, value);
    }
    if let Some(value) = position.and_then(|position| HeaderValue::try_from(position).ok()) {
        headers.insert(POSITION, value);
    }
    if !kept.duplicates.is_empty() {
        headers.insert(DUPLICATE, HeaderValue::from_static("true"));
    }
    Ok(response)
}
/// A verdict per item: 202 all, 207 some, else the first problem with the same members.
fn many(kept: &Kept, items: u32, ids: &[(u32, Bytes)], wish: &Wish, call: &Call<'_>) -> Response<Body> {
    let failed = kept.failed.len() as u32;
    let first = kept.failed.first().map(|(_, error)| error).filter(|_| failed == items);
    let mut out = Vec::with_capacity(64 + items as usize * 48);
    out.push(b'{');
    if let Some(error) = first {
        let problem = serde_json::to_vec(&Problem::new(error, Some(&call.request_id()))).unwrap_or_default();
        out.extend_from_slice(problem.get(1..problem.len().saturating_sub(1)).unwrap_or_default());
    }
    items::name("sent", &mut out);
    out.extend_from_slice((items - failed).to_string().as_bytes());
    items::name("failed", &mut out);
    out.extend_from_slice(failed.to_string().as_bytes());
    if kept.level == Level::Delivered {
        items::name("note", &mut out);
        items::string(&format!("live only: no stream captures `{}`", &*wish.stamp.topic), &mut out);
    }
    items::name("results", &mut out);
    out.push(b'[');
    for verdict in kept.verdicts(items) {
        if verdict.item > 0 {
            out.push(b',');
        }
        result(&verdict, ids, &mut out);
    }
    out.extend_from_slice(b"]}\n");
    let body = if wish.minimal && failed == 0 {
        Body::empty()
    } else {
        Body::full(out)
    };
    let mut response = if let Some(error) = first {
        let mut response = with_type(body, problem::JSON);
        *response.status_mut() = outcome::status(error.code());
        problem::told(error, response.headers_mut());
        response
    } else {
        let mut response = with_type(body, JSON);
        *response.status_mut() = if failed == 0 {
            StatusCode::ACCEPTED
        } else {
            StatusCode::MULTI_STATUS
        };
        response.headers_mut().insert(ACK, HeaderValue::from_static(kept.level.as_str()));
        if let Ok(value) = HeaderValue::try_from(kept.to_string())
            && !value.is_empty()
            && value.len() <= 1024
        {
            response.headers_mut().insert(POSITION, value);
        }
        response
    };
    if !kept.duplicates.is_empty() && kept.duplicates.len() as u32 == items {
        response.headers_mut().insert(DUPLICATE, HeaderValue::from_static("true"));
    }
    response
}
fn result(verdict: &Verdict<'_>, ids: &[(u32, Bytes)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    out.extend_from_slice(itoa::Buffer::new().format(verdict.item).as_bytes());
    match &verdict.result {
        Ok(positions) => {
            let own = ids
                .binary_search_by_key(&verdict.item, |(number, _)| *number)
                .ok()
                .and_then(|at| ids.get(at));
            if let Some((_, id)) = own {
                items::name("id", out);
                items::string(&String::from_utf8_lossy(id), out);
                places("position", positions, out);
            } else if let [one] = &positions[..] {
                items::places(*one, out);
            } else {
                places("id", positions, out);
                places("position", positions, out);
            }
            if verdict.duplicate {
                items::name("duplicate", out);
                out.extend_from_slice(b"true");
            }
        }
        Err(error) => {
            items::name("problem", out);
            out.extend_from_slice(&serde_json::to_vec(&Problem::new(error, None)).unwrap_or_default());
        }
    }
    out.push(b'}');
}
/// One position per capturing stream; nothing for what nobody stores.
fn places(key: &str, positions: &[Position], out: &mut Vec<u8>) {
    match positions {
        [] => {}
        [one] => items::place(key, *one, out),
        many => {
            items::name(key, out);
            items::string(&many.iter().copied().collect::<Cursor>().to_string(), out);
        }
    }
}
