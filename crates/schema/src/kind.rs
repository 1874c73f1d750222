//! Schemas as configuration reads them: whether what a resource says compiles, and where it does not.
use crate::{Invalid, Source, compile, json};
use futures::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use tidegate_core::{
    check::{Checked, Kind, Problem},
    endpoint::Endpoint,
    error::{Code, Error, Fault, Result},
};

/// Stands in the list of kinds beside those of endpoints; nothing opens it.
pub fn kind() -> Kind {
    Kind {
        name: "schema",
        schema: || serde_json::json!({}),
        check: Box::new(|resource| {
            let name = resource.get("name").and_then(Value::as_str).unwrap_or("schema");
            match source(resource).map(|(at, source)| (at, compile(name, source))) {
                Some((at, Err(invalid))) => {
                    let all = match source(resource) {
                        Some((_, Source::Json(schema))) => json::faults(schema, invalid),
                        _ => vec![invalid],
                    };
                    Err(all.into_iter().map(|invalid| problem(at, invalid)).collect())
                }
                Some((_, Ok(_))) | None => Ok(Box::new(Compiles)),
            }
        }),
    }
}
/// What a resource of this kind holds, and where.
pub fn source(resource: &Value) -> Option<(&'static str, Source<'_>)> {
    let of = |key: &str| resource.get(key);
    if let Some(schema) = of("json") {
        return Some(("/json", Source::Json(schema)));
    }
    if let Some(schema) = of("avro") {
        return Some(("/avro", Source::Avro(schema)));
    }
    let protobuf = of("protobuf")?;
    Some((
        "/protobuf/text",
        Source::Protobuf {
            text: protobuf.get("text")?.as_str()?,
            message: protobuf.get("message").and_then(Value::as_str).unwrap_or_default(),
            convert: protobuf.get("convert").is_none_or(|convert| convert != &Value::Bool(false)),
        },
    ))
}
fn problem(at: &str, invalid: Invalid) -> Problem {
    Problem {
        at: format!("{at}{}", invalid.at),
        expected: invalid.message.into(),
        hint: invalid.hint,
    }
}
struct Compiles;
impl Checked for Compiles {
    fn digest(&self) -> u64 {
        0
    }
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Endpoint>>> {
        Box::pin(async { Err(Error::new(Code::Internal, Fault::Gateway, "a schema was opened as an endpoint")) })
    }
}
