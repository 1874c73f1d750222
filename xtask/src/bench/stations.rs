//! Stations: what the Memphis API costs beside the native one, and what a schema costs.
use super::{
    Bench,
    load::Load,
    report::Row,
    scenarios::{compare, curl, one_stream},
    server::{Server, What},
};

/// The demo's, for this machine only.
const ROOT: &str = "---\nkind: user\nname: root\nconnection_token: { argon2: \"$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I\" }\n\
                    permissions: [{ topics: [\"#\"], allow: [publish] }]\n";
/// Ten members.
const SCHEMA: &str = "---\nkind: schema\nname: ten\njson:\n  type: object\n  required: [a, b, c, d, e, f, g, h, i, j]\n  properties:\n    \
                      { a: { type: integer }, b: { type: string, maxLength: 64 }, c: { type: number }, d: { type: boolean }, e: { type: string },\n      \
                      f: { type: integer, minimum: 0 }, g: { enum: [x, y] }, h: { type: array, items: { type: integer } }, i: { type: object }, j: { type: string } }\n\
                      ---\nkind: stream\nname: checked\nschema: ten\n---\nkind: stream\nname: free\n";

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    let bare = Server::start(
        bench,
        &What {
            control: true,
            log: true,
            ..What::default()
        },
    )?;
    let own = Server::start(
        bench,
        &What {
            resources: Some(format!("{}{ROOT}{SCHEMA}", one_stream())),
            stations: true,
            ..What::default()
        },
    )?;
    let login = curl(&[
        "-sf",
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"username":"root","connection_token":"memphis"}"#,
        &format!("http://127.0.0.1:{}/auth/authenticate", own.memphis),
    ])?;
    let login: serde_json::Value = serde_json::from_slice(&login).map_err(|error| error.to_string())?;
    let token = login["jwt"].as_str().ok_or("no token")?.to_owned();
    let bearer = || vec![format!("Authorization: Bearer {token}")];
    let single = |path: &str, headers: Vec<String>| Load {
        path: path.to_owned(),
        connections: 64,
        script: Some("single.lua"),
        headers,
        ..Load::default()
    };
    let batch = |path: &str, headers: Vec<String>| Load {
        script: Some("batch.lua"),
        variables: vec![("ARRAY", "1".into())],
        ..single(path, headers)
    };
    let (bare_at, native_at, own_at) = ((bare.port, bare.pid()), (own.port, own.pid()), (own.memphis, own.pid()));
    let row = |name: &str, control: ((u16, u32), Load), own: ((u16, u32), Load), wanted: f64| {
        let contenders = [control, own].map(|((port, pid), load)| (port, pid, load));
        compare(bench, name, &contenders, wanted)
    };
    let station = |name: &str| format!("/stations/{name}/produce/single");
    Ok(vec![
        row(
            "produce/single of 128 B, stored, against the native POST",
            (native_at, single("/topics/t", Vec::new())),
            (own_at, single(&station("t"), bearer())),
            0.9,
        )?,
        row(
            "produce/single of 128 B, stored, against bare hyper",
            (bare_at, single("/topics/t", Vec::new())),
            (own_at, single(&station("t"), bearer())),
            0.5,
        )?,
        row(
            "produce/batch of 100, against the native JSON array",
            (native_at, batch("/topics/t", Vec::new())),
            (own_at, batch("/stations/t/produce/batch", bearer())),
            0.8,
        )?,
        row(
            "produce/single with a JSON Schema of ten fields, against without",
            (own_at, single(&station("free"), bearer())),
            (own_at, single(&station("checked"), bearer())),
            0.75,
        )?,
    ])
}
