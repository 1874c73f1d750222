//! Schemas as they are managed: what a new version must keep to, how one is tried.
use crate::{
    registry::{Refused, missing},
    store::Contents,
};
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;
use tidegate_config::{Checked, Content, Id, ResourceKind};
use tidegate_core::{
    error::{Code, Error, Fault, Result},
    headers::Headers,
    message::Message,
    topic::Topic,
    validator::{INLINE, ask_aside},
};
use tidegate_schema::{Source, compatible, compile};

/// A schema as it is compiled.
pub fn source(content: &Content) -> Source<'_> {
    match content {
        Content::Json(schema) => Source::Json(schema),
        Content::Protobuf { text, message, convert } => Source::Protobuf {
            text,
            message,
            convert: *convert,
        },
        Content::Avro(schema) => Source::Avro(schema),
    }
}
const NOT_SHOWN: &str = "what is not shown, for part of the schema comes from a variable or a file and may be a secret";
/// Whether every schema that promises to read what its version before let in does so.
pub(crate) fn kept(checked: &Checked, contents: &Contents) -> Result<(), Refused> {
    let mut errors = Vec::new();
    let mut broken = None;
    for schema in checked.schemas.iter().filter(|schema| schema.backward) {
        let Some(before) = contents.schemas.get(&*schema.name) else {
            continue;
        };
        let Some(old) = Content::of(&before.content).filter(|old| *old != schema.content) else {
            continue;
        };
        let breaks = compatible(source(&old), source(&schema.content));
        if breaks.is_empty() {
            continue;
        }
        broken.get_or_insert((schema, before.version));
        errors.extend(breaks.into_iter().map(|one| {
            // A place in a `.proto` file is a name.
            let (pointer, detail) = match &schema.content {
                Content::Protobuf { .. } => ("/protobuf".to_owned(), one.to_string()),
                content => (format!("/{}{}", content.word(), one.at), one.what),
            };
            let detail = if schema.hidden { NOT_SHOWN.to_owned() } else { detail };
            json!({
                "kind": "schema", "name": &*schema.name, "pointer": pointer, "code": Code::SchemaIncompatible.to_string(), "detail": detail,
            })
        }));
    }
    let Some((schema, version)) = broken else { return Ok(()) };
    let first = errors.first();
    let word = |key: &str| first.and_then(|one| one.get(key)?.as_str()).unwrap_or_default();
    let more = match errors.len() {
        0 | 1 => String::new(),
        many => format!(", and {} more", many - 1),
    };
    let text = format!(
        "schema `{}` would not read what version {version} let in; nothing was changed: {}: {}{more}",
        schema.name,
        word("pointer"),
        word("detail"),
    );
    Err(Refused {
        error: Error::client(Code::SchemaIncompatible, text)
            .with_hint("make a schema of another name, or set `compatibility: none` if nobody needs the old messages"),
        errors,
    })
}
/// Whether a schema takes a message of that content type.
pub(crate) async fn test(checked: &Checked, name: &str, kind: Option<&[u8]>, payload: Bytes) -> Result<()> {
    let schema = checked.schemas.iter().find(|schema| *schema.name == *name);
    let schema = schema.ok_or_else(|| {
        let known = checked.schemas.iter().map(|schema| &*schema.name);
        missing(&Id::new(ResourceKind::Schema, name), known)
    })?;
    let validator = compile(&schema.name, source(&schema.content)).map_err(|invalid| {
        // It was compiled when it was declared.
        Error::new(Code::Internal, Fault::Gateway, invalid.to_string())
    })?;
    let mut headers = Headers::EMPTY.edit();
    if let Some(kind) = kind {
        headers.push("content-type", kind)?;
    }
    let message = Message {
        headers: headers.build(),
        ..Message::new(Topic::from_static("test"), payload)
    };
    let said = if message.payload.len() > INLINE {
        ask_aside(vec![(validator.clone(), Arc::new(message.clone()))]).await?.next()
    } else {
        None
    };
    said.unwrap_or_else(|| validator.check(&message)).map(drop)
}
