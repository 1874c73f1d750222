//! `POST path/_ticket`: for pages, whose `EventSource` and `WebSocket` send no headers; shown as `?access_token=`.
use super::{body::Body, call::Call, problem::with_type, verb::Verb, wish};
use http::{HeaderValue, Method, header, request::Parts};
use hyper::Response;
use tidegate_core::{clock, error::Result};
use tidegate_gateway::{
    flow,
    tickets::{Holder, Tickets},
};

/// The parameter it is shown in.
pub(super) const PARAMETER: &str = "access_token";

/// Gives one to whoever the API admits.
pub(super) async fn answer(call: &Call<'_>, parts: &Parts, tickets: &Tickets) -> Result<Response<Body>> {
    if parts.method != Method::POST {
        return Err(Verb::Ticket.no_method(&parts.method));
    }
    wish::none_of_ours(&parts.headers)?;
    let mut x = call.exchange();
    flow::admit(call.route, &mut x).await?;
    let (ticket, ends) = tickets.issue(&x)?;
    let text = format!("{{\"ticket\":\"{ticket}\",\"expires\":\"{}\"}}", clock::rfc3339(ends));
    let mut response = with_type(Body::full(text), HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
/// Who shows one in the URL; `None`: nobody does.
pub(super) fn shown(parts: &Parts, api: &str, tickets: &Tickets) -> Result<Option<Holder>> {
    let Some(query) = parts.uri.query() else { return Ok(None) };
    let shown = query.split('&').find_map(|pair| pair.strip_prefix(PARAMETER)?.strip_prefix('='));
    shown.map(|text| tickets.redeem(api, text)).transpose()
}
