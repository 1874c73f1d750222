//! What the server says: frames, and the objects of the subprotocol in them.
use crate::http::{framings::Json, items, problem::Problem, settle};
use bytes::{Bytes, BytesMut};
use tidegate_core::{
    ended::Ended,
    error::Error,
    framing::Framing,
    position::{Cursor, Gap},
    receipt::Kept,
};
use tidegate_gateway::leases::{Settlement, Verdict};
use tidegate_wire::websocket::{close::CloseCode, frame};

pub(super) fn subscribed(reference: Option<&str>, cursor: &Cursor) -> Bytes {
    let mut out = begin("subscribed", reference);
    if !cursor.is_empty() {
        items::name("cursor", &mut out);
        items::string(&cursor.to_string(), &mut out);
    }
    end(out)
}
pub(super) fn settled(reference: Option<&str>, settlements: &[Settlement<'_>], verdicts: &[Verdict]) -> Bytes {
    let mut out = begin("settled", reference);
    settle::results(settlements, verdicts, &mut out);
    end(out)
}
pub(super) fn gap(gap: &Gap, out: &mut BytesMut) {
    let _always_has_a_word = Json::with(items::Parts::default()).gap(gap, out);
}
pub(super) fn goaway(why: Ended) -> Bytes {
    let mut out = begin("goaway", None);
    items::name("reason", &mut out);
    items::string(why.as_str(), &mut out);
    end(out)
}
pub(super) fn problem(reference: Option<&str>, error: &Error, request_id: &str) -> Bytes {
    let mut out = begin("problem", reference);
    let members = serde_json::to_vec(&Problem::new(error, Some(request_id))).unwrap_or_default();
    out.push(b',');
    out.extend_from_slice(members.get(1..members.len().saturating_sub(1)).unwrap_or_default());
    end(out)
}
pub(super) fn receipt(reference: Option<&str>, id: Option<&[u8]>, kept: &Kept) -> Bytes {
    let mut out = begin("receipt", reference);
    let position = (!kept.places.is_empty()).then(|| kept.to_string());
    let id = id.map(String::from_utf8_lossy).or_else(|| position.as_deref().map(Into::into));
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
    if !kept.duplicates.is_empty() {
        items::name("duplicate", &mut out);
        out.extend_from_slice(b"true");
    }
    end(out)
}
pub(super) fn close(code: Option<CloseCode>, reason: &str) -> Bytes {
    let mut out = BytesMut::new();
    frame::close(code, reason, &mut out);
    out.freeze()
}
pub(super) fn code(why: Ended) -> CloseCode {
    match why {
        Ended::SourceEnded | Ended::ClientLeft => CloseCode::NORMAL,
        Ended::Refused => CloseCode::POLICY,
        Ended::ApiGone | Ended::Draining | Ended::TooSlow => CloseCode::TRY_LATER,
    }
}
fn begin(op: &str, reference: Option<&str>) -> Vec<u8> {
    let mut out = b"{".to_vec();
    items::name("op", &mut out);
    items::string(op, &mut out);
    if let Some(reference) = reference {
        items::name("ref", &mut out);
        out.extend_from_slice(reference.as_bytes());
    }
    out
}
fn end(mut object: Vec<u8>) -> Bytes {
    object.push(b'}');
    let mut out = BytesMut::new();
    frame::text(&String::from_utf8_lossy(&object), &mut out);
    out.freeze()
}
