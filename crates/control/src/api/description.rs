//! `/openapi.json`: the table of routes and the tables of configuration, as OpenAPI 3.1.
use super::{
    dead_letters::Ask,
    routes::{Act, Route, by_path},
};
use crate::dead_letters::Wanted;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use tidegate_config::{ResourceKind, docs};

/// Made once: it is the same as long as the program is.
pub(super) fn text() -> Bytes {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| format!("{}\n", make()).into());
    TEXT.clone()
}
fn make() -> Value {
    let mut paths = Map::new();
    for (path, routes) in by_path() {
        let operations = routes
            .iter()
            .map(|route| (route.method.as_str().to_ascii_lowercase(), operation(route)));
        paths.insert(path.replace("{*", "{"), Value::Object(operations.collect()));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate: management",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
            },
        },
    })
}
fn operation(route: &Route) -> Value {
    let mut parameters: Vec<_> = route
        .query
        .iter()
        .map(|query| {
            let schema: Value = serde_json::from_str(query.schema).unwrap_or_default();
            json!({ "name": query.name, "in": "query", "description": query.says, "schema": schema })
        })
        .collect();
    if route.path.contains("name}") {
        parameters.push(json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }));
    }
    if route.path.contains("group}") {
        parameters.push(json!({ "name": "group", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }));
    }
    if route.path.contains("{id}") {
        let schema = json!({ "type": "string", "pattern": r"^[1-9][0-9]{0,8}\.([0-9]{1,5}-)?[0-9]{1,18}$" });
        parameters.push(json!({ "name": "id", "in": "path", "required": true, "description": "As the list shows it.", "schema": schema }));
    }
    if conditional(route.act) {
        let header = |name: &str, says: &str| json!({ "name": name, "in": "header", "description": says, "schema": { "type": "string" } });
        parameters.push(header(
            "If-Match",
            "Only if the resource is at one of these revisions: the `ETag` of an answer.",
        ));
        parameters.push(header("If-None-Match", "`*`: only if it is not there."));
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.says,
        "parameters": parameters,
        "responses": responses(route),
    });
    if route.act == Act::Messages && route.method == http::Method::POST {
        let any = json!({ "schema": {} });
        operation["requestBody"] = json!({ "required": true, "content": {
            "application/json": any, "application/x-ndjson": any, "application/vnd.tidegate.messages+json": any, "application/octet-stream": any,
        } });
    }
    if matches!(route.act, Act::Catch | Act::TestSchema) {
        operation["requestBody"] = json!({ "content": { "*/*": { "schema": {} } } });
    }
    if let Some(schema) = body(route.act) {
        let required = route.act != Act::DeadLetters(Ask::Replay);
        operation["requestBody"] = json!({ "required": required, "content": { "application/json": { "schema": schema } } });
    }
    operation["security"] = match route.needs {
        None => json!([]),
        Some(needs) => {
            operation["x-tidegate-needs"] = needs.as_str().into();
            json!([{ "token": [] }, { "password": [] }])
        }
    };
    operation
}
fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .split(['/', '{', '}', '*', '-', '.'])
        .filter(|word| !["", "api", "v1"].contains(word));
    let words: Vec<_> = std::iter::once(route.method.as_str().to_ascii_lowercase())
        .chain(words.map(str::to_owned))
        .collect();
    words.join("_")
}
fn conditional(act: Act) -> bool {
    matches!(act, Act::Create(_) | Act::Replace(_) | Act::Delete(_) | Act::Run(..))
}
/// What is sent.
fn body(act: Act) -> Option<Value> {
    let resource = |kind: ResourceKind| json!({ "$ref": format!("#/components/schemas/{kind}") });
    match act {
        Act::Create(kind) | Act::Replace(kind) => Some(resource(kind)),
        Act::Apply => {
            let any: Vec<_> = ResourceKind::ALL.iter().map(|kind| resource(*kind)).collect();
            let resources = json!({ "type": "array", "items": { "anyOf": any } });
            Some(
                json!({ "type": "object", "required": ["resources"], "properties": { "resources": resources }, "additionalProperties": false }),
            )
        }
        Act::ReplayWebhook => {
            let text = json!({ "type": "string", "minLength": 1 });
            let one = |properties: Value, required: &str| json!({ "type": "object", "properties": properties, "required": [required], "additionalProperties": false });
            Some(json!({ "anyOf": [
                one(json!({ "last": { "type": "integer", "minimum": 1, "maximum": 1_000 } }), "last"),
                one(json!({ "id": text }), "id"),
                one(json!({ "from": text, "to": text }), "from"),
            ] }))
        }
        Act::DeadLetters(Ask::Replay) => Some(json!({ "type": "object", "properties": { "to": to() }, "additionalProperties": false })),
        Act::DeadLetters(Ask::ReplayAll) => {
            let names = Wanted::NAMES.map(|name| (name.to_owned(), json!({ "type": "string" })));
            let filter = json!({ "type": "object", "properties": Map::from_iter(names), "additionalProperties": false });
            let members = json!({ "filter": filter, "to": to(), "count_only": { "type": "boolean" } });
            Some(json!({ "type": "object", "required": ["filter"], "properties": members, "additionalProperties": false }))
        }
        Act::SetLogLevel => Some(json!({ "type": "object", "required": ["level"], "properties": { "level": { "type": "string" } } })),
        _ => None,
    }
}
/// Where dead letters are sent again instead of their group.
fn to() -> Value {
    json!({ "type": "string", "minLength": 1, "pattern": r"^[^$#+\x00-\x1f\x7f-\x9f][^#+\x00-\x1f\x7f-\x9f]*$", "maxLength": 250 })
}
fn responses(route: &Route) -> Value {
    let mut out = Map::new();
    for status in route.answers {
        let dry = *status == 200 && matches!(route.act, Act::Create(_) | Act::Replace(_) | Act::Delete(_));
        let says = match *status {
            201 => "It was made.",
            204 if route.act == Act::Catch => "It was taken.",
            204 => "It is gone.",
            503 => "Not now.",
            _ => "As asked.",
        };
        let mut answer = json!({ "description": says });
        match route.act {
            _ if *status == 204 => {}
            Act::Health | Act::Ready => answer["content"] = json!({ "text/plain": { "schema": { "type": "string" } } }),
            Act::Caught => {
                answer["content"] = json!({ "text/html": { "schema": { "type": "string" } }, "application/json": { "schema": {} } });
            }
            Act::Metrics => answer["content"] = json!({ "application/openmetrics-text": { "schema": { "type": "string" } } }),
            Act::Messages | Act::Alarms => {
                let text = json!({ "schema": {} });
                answer["content"] = json!({
                    "application/json": text, "application/x-ndjson": text, "text/plain": text, "text/event-stream": text,
                });
            }
            act => {
                let schema = match act {
                    Act::Replace(_) if dry => json!({ "type": "object" }),
                    _ if dry => json!({ "$ref": "#/components/schemas/changes" }),
                    act => answered(act),
                };
                answer["content"] = json!({ "application/json": { "schema": schema } });
            }
        }
        out.insert(status.to_string(), answer);
    }
    let problem = json!({
        "description": "Why not: RFC 9457.",
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/problem" } },
            "text/plain": { "schema": { "type": "string" } },
        },
    });
    let demo = matches!(route.act, Act::Catch | Act::Caught);
    if demo || route.needs.is_some() || !route.query.is_empty() {
        out.insert("default".to_owned(), problem);
    } else {
        for status in ["400", "403", "405"] {
            out.insert(status.to_owned(), problem.clone());
        }
    }
    Value::Object(out)
}
/// What is answered.
fn answered(act: Act) -> Value {
    let list = |of: Value| json!({ "type": "object", "required": ["items"], "properties": { "items": { "type": "array", "items": of }, "next_cursor": { "type": "string" } } });
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    match act {
        Act::List(_) => list(of("resource")),
        Act::Create(_) | Act::Read(_) | Act::Replace(_) | Act::Run(..) => of("resource"),
        Act::Apply | Act::Delete(_) => of("changes"),
        Act::Changes => list(json!({ "type": "object", "required": ["revision", "at", "who", "from", "action", "kind", "name"] })),
        Act::Deliveries => list(json!({ "type": "object", "required": ["webhook", "at", "outcome", "messages", "request"] })),
        Act::TestSchema => json!({ "type": "object", "required": ["valid"], "properties": { "valid": { "const": true } } }),
        Act::Versions => list(json!({ "type": "object", "required": ["version", "since", "content"] })),
        Act::TestWebhook => json!({ "type": "object", "required": ["taken", "outcome", "request"] }),
        Act::ReplayWebhook => json!({ "type": "object", "required": ["matched", "sent", "failed", "left", "results"] }),
        Act::Trace => json!({ "type": "object", "required": ["id", "places", "attempts"] }),
        Act::Groups => list(json!({ "type": "object", "required": ["name", "pending", "out", "waiting"] })),
        Act::Purge => json!({ "type": "object", "required": ["purged"], "properties": { "purged": { "type": "integer" } } }),
        Act::DeadLetters(Ask::List) => list(of("dead_letter")),
        Act::DeadLetters(Ask::Read) => of("dead_letter"),
        Act::DeadLetters(ask) => {
            let number = json!({ "type": "integer" });
            let word = if matches!(ask, Ask::Drop | Ask::DropAll) {
                "dropped"
            } else {
                "replayed"
            };
            json!({ "type": "object", "properties": { (word): number, "count": number, "failed": number, "problems": { "type": "array" } } })
        }
        Act::Export => json!({ "type": "object", "required": ["resources", "not_served"] }),
        Act::Reload => json!({ "type": "object", "required": ["applied", "restart_needed"] }),
        Act::LogLevel | Act::SetLogLevel => {
            json!({ "type": "object", "required": ["level"], "properties": { "level": { "type": "string" } } })
        }
        Act::RotateKeys => {
            let names = json!({ "type": "array", "items": { "type": "string" } });
            json!({ "type": "object", "required": ["keys"], "properties": { "keys": names, "signs_from": { "type": ["string", "null"] } } })
        }
        Act::Status => json!({ "type": "object", "required": ["version", "ready", "revision"] }),
        Act::WhoAmI => json!({ "type": "object", "required": ["name", "manage"] }),
        Act::Description => json!({ "type": "object", "required": ["openapi"] }),
        Act::Health | Act::Ready | Act::Metrics | Act::Messages | Act::Alarms | Act::Catch | Act::Caught | Act::DeleteGroup => json!({}),
    }
}
fn schemas() -> Value {
    // What the configuration takes; only a reference to a table is spelled otherwise here.
    let text = docs::json_schema().to_string().replace("#/$defs/", "#/components/schemas/");
    let mut document: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut schemas = document["$defs"].take();
    // Nobody fills variables in for who sends a document over the network, and its hash is made for a new token.
    if let Some(required) = schemas["token"]["required"].as_array_mut() {
        required.retain(|key| key != "sha256");
    }
    for kind in ResourceKind::ALL {
        if let Some(required) = schemas[kind.word()]["required"].as_array_mut() {
            // The path says it, or the list of kinds does.
            required.retain(|key| key != "kind" && key != "name");
        }
    }
    schemas["resource"] = json!({
        "type": "object", "required": ["kind", "name", "meta", "status"],
        "properties": {
            "kind": { "enum": ResourceKind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>() },
            "name": { "type": "string" },
            "meta": { "type": "object", "required": ["revision", "source"] },
            "status": { "type": "object", "required": ["state"] },
        },
    });
    schemas["dead_letter"] = json!({
        "type": "object", "required": ["id", "stream", "group", "reason", "error", "attempts", "topic", "position", "time", "lies_in", "bytes"],
    });
    let change = json!({
        "type": "object", "required": ["kind", "name", "change"],
        "properties": { "change": { "enum": ["created", "changed", "deleted", "unchanged"] } },
    });
    schemas["changes"] = json!({
        "type": "object", "required": ["changes"], "properties": { "changes": { "type": "array", "items": change } },
    });
    schemas["problem"] = json!({
        "type": "object", "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
            "code": { "type": "string", "pattern": "^TG[0-9]{4}$" }, "detail": { "type": "string" }, "hint": { "type": "string" },
            "request_id": { "type": "string" },
            "errors": { "type": "array", "items": { "type": "object", "required": ["pointer", "detail", "code"] } },
        },
    });
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_there_and_every_operation_has_a_name_of_its_own() {
        let document = make();
        let text = document.to_string();
        for name in text
            .split("#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let ids: Vec<_> = text
            .split("\"operationId\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "{ids:?}");
    }
}
