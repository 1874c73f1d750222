//! Files and folders, and what must never be shown of them.
use crate::common::{kinds, pairs};
use std::{fs, path::Path};
use tempfile::TempDir;
use tidegate_config::{Checked, Mode, Report, Source, load};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(folder.path(), name, text.as_bytes());
    }
    folder
}
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test makes the files it reads")]
    fs::write(path, bytes).unwrap();
}
fn read(folder: &TempDir, names: &[&str], environment: &[(&str, &str)]) -> Result<Checked, Report> {
    let paths = names.iter().map(|name| folder.path().join(name)).collect();
    load(Source::Files(paths), pairs(environment), &[], Mode::Dev, &kinds())
}

#[test]
fn resources_come_from_files_folders_and_documents_in_order() {
    let folder = folder(&[
        ("tidegate.yaml", "resources: [more, one.json]\n---\nkind: stream\nname: s0\n"),
        ("more/b.yml", "kind: stream\nname: s2\n"),
        ("more/a.yaml", "kind: stream\nname: s1\n"),
        ("more/.hidden.yaml", "not: [a\n"),
        ("more/notes.txt", "not: [a\n"),
        ("one.json", "{\"kind\":\"stream\",\"name\":\"s3\"}"),
    ]);
    // Named twice, read once.
    let checked = read(&folder, &["tidegate.yaml", "more"], &[]).unwrap();
    let mut names: Vec<_> = checked.streams.iter().map(|stream| &*stream.name).collect();
    assert_eq!(names, ["s0", "s1", "s2", "s3"]);
    names.clear();
    // Without settings, as `apply -f` reads them; an override may name folders too.
    assert_eq!(read(&folder, &["more"], &[]).unwrap().streams.len(), 2);
    let more = format!("[\"{}\"]", folder.path().join("more").display());
    assert_eq!(
        read(&folder, &["one.json"], &[("TIDEGATE__RESOURCES", &more)])
            .unwrap()
            .streams
            .len(),
        3
    );
}
#[test]
fn certificates_lie_beside_the_file_that_names_them() {
    let tls = "tls: { certificate: own.pem, key: /keys/own.key, client_ca: sub/ca.pem }";
    let text = format!("listeners: {{ gateway: [\":1\", {{ address: \"1.2.3.4:2\", {tls} }}], admin: {{ address: \":3\", {tls} }} }}\n");
    let folder = folder(&[("tidegate.yaml", &text)]);
    let checked = read(&folder, &["tidegate.yaml"], &[]).unwrap();
    let listeners = &checked.node.listeners;
    assert_eq!(listeners.gateway[0].tls, None);
    for tls in [&listeners.gateway[1].tls, &listeners.admin[0].tls] {
        let tls = tls.as_ref().unwrap();
        assert_eq!(tls.own.len(), 1);
        assert_eq!(tls.own[0].certificate.path, folder.path().join("own.pem"));
        assert_eq!(tls.own[0].key.path, Path::new("/keys/own.key"));
        assert_eq!(tls.client_ca.as_ref().unwrap().path, folder.path().join("sub/ca.pem"));
        assert_eq!((tls.own[0].key.at.line, tls.newest_only), (1, false));
    }
    // What no file names is relative to where the program is started.
    let variables = [("TIDEGATE__LISTENERS__ADMIN__TLS__CERTIFICATE", "other.pem")];
    let checked = read(&folder, &["tidegate.yaml"], &variables).unwrap();
    let tls = checked.node.listeners.admin[0].tls.as_ref().unwrap();
    assert_eq!(tls.own[0].certificate.path, Path::new("other.pem"));
}
#[test]
fn several_certificates_lie_beside_the_file_that_names_them() {
    let tls = "tls: { certificates: [{ certificate: a.pem, key: a.key }, { certificate: /keys/b.pem, key: b.key }] }";
    let text = format!("listeners: {{ gateway: {{ address: \":1\", {tls} }} }}\n");
    let folder = folder(&[("tidegate.yaml", &text)]);
    let checked = read(&folder, &["tidegate.yaml"], &[]).unwrap();
    let own = &checked.node.listeners.gateway[0].tls.as_ref().unwrap().own;
    let paths: Vec<_> = own.iter().flat_map(|pair| [&*pair.certificate.path, &*pair.key.path]).collect();
    let beside = |name: &str| folder.path().join(name);
    assert_eq!(
        paths,
        [&*beside("a.pem"), &*beside("a.key"), Path::new("/keys/b.pem"), &*beside("b.key")]
    );
    assert_eq!(own[1].key.at.to_string().rsplit_once(':').map(|(_, column)| column), Some("131"));
}
#[test]
fn a_secret_file_is_read_beside_the_file_that_names_it() {
    let folder = folder(&[
        ("tidegate.yaml", "resources: [more]\n"),
        (
            "more/e.yaml",
            "kind: endpoint\nname: e\ntype: mock\ninterval: \"${file:pw}\"\npayload: \"${file:sub/pw2}\"\n",
        ),
        ("more/pw", "5s\n"),
        ("more/sub/pw2", "hunter2\r\n"),
    ]);
    let checked = read(&folder, &["tidegate.yaml"], &[]).unwrap();
    assert_eq!(
        checked.endpoints[0].config,
        serde_json::json!({ "interval": "5s", "payload": "hunter2" })
    );
    assert!(!format!("{checked:?}").contains("hunter2"));
}
#[test]
fn what_cannot_be_read_is_an_error_with_its_place() {
    let folder = folder(&[("tidegate.yaml", "resources: [nothing.yaml]\n")]);
    put(folder.path(), "latin.yaml", b"kind: stream\nname: caf\xe9\n");
    put(folder.path(), "huge.yaml", &vec![b'#'; (16 << 20) + 1]);
    let tell = |names: &[&str]| {
        let report = read(&folder, names, &[]).unwrap_err();
        let root = format!("{}/", folder.path().display());
        let tell = |d: &tidegate_config::Diagnostic| format!("{} {} {}", d.code, d.place(), d.message).replace(&root, "");
        report.diagnostics.iter().map(tell).collect::<Vec<_>>()
    };
    assert_eq!(
        tell(&["tidegate.yaml"]),
        ["TG5010 tidegate.yaml:1:13 `nothing.yaml` cannot be read: there is no such file"]
    );
    assert_eq!(
        tell(&["gone.yaml"]),
        ["TG5010 gone.yaml `gone.yaml` cannot be read: there is no such file"]
    );
    assert_eq!(tell(&["latin.yaml"]), ["TG5001 latin.yaml:2:10 not UTF-8 text"]);
    assert_eq!(tell(&["huge.yaml"]), ["TG5001 huge.yaml the file is too long"]);
}
#[test]
fn a_reference_into_a_file_that_cannot_be_read_is_not_blamed() {
    let folder = folder(&[
        ("a.yaml", "kind: api\nname: a\npaths: [/a]\nbackend: { stream: s }\n"),
        ("b.yaml", "kind: stream\nname: [s\n"),
    ]);
    let report = read(&folder, &["a.yaml", "b.yaml"], &[]).unwrap_err();
    let codes: Vec<_> = report.diagnostics.iter().map(|d| d.code.to_string()).collect();
    assert_eq!(codes, ["TG5001"], "{report}");
}

/// Every way a secret might get into an error: written, from a variable, from a file, in a broken file, in a URL.
#[test]
fn no_error_shows_a_secret() {
    let files = [
        ("{ kind: nonsense, name: a, password: \"hunter2\", x: 1 }\n", 1),
        (
            "kind: endpoint\nname: a\ntype: nonsense\nauth: { scram: { password: hunter2 }, mechanism: [\n",
            1,
        ),
        ("kind: endpoint\nname: a\ntype: mock\ninterval: ${env:PW}\n", 1),
        ("kind: endpoint\nname: a\ntype: mock\ninterval: ${file:pw}\n", 1),
        (
            "kind: endpoint\nname: a\ntype: mock\ninterval: 5s\npassword: { argon2: hunter2\n",
            1,
        ),
        ("{ kind: endpoint, name: a, type: nonsense, url: \"amqp://me:hunter2@host\" }\n", 1),
        ("kind: ${env:PW}\nname: a\n", 1),
        ("kind: stream\nname: ${env:PW}\ntopics: []\n", 1),
        ("kind: stream\nname: ${env:PW}\n---\nkind: stream\nname: ${env:PW}\n", 1),
        (
            "kind: stream\nname: ${env:PW}\n---\nkind: api\nname: a\npaths: [/a]\nbackend: { stream: hunter1 }\n",
            1,
        ),
        ("kind: api\nname: a\npaths: [/a]\nbackend: { stream: \"${env:PW}\" }\n", 1),
        (
            "kind: api\nname: a\npaths: [/a]\nplans: [\"${env:PW}\"]\nbackend: { topic: t }\n",
            1,
        ),
        ("kind: stream\nname: a\ntopics: \"${env:PW}\"\n", 1),
        ("{ kind: user, name: a, connection_token: \"hunter2\" }\n", 1),
        ("{ kind: user, name: a, connection_token: { argon2: hunter2 } }\n", 1),
        ("{ kind: user, name: a, password: { argon2: hunter2 } }\n", 1),
        ("secrets:\n  - hunter2\n  - [\nlimits: {}\n", 1),
        ("password: >\n  hunter2\n  more\nlimits: {}\n", 1),
        ("listeners: { gateway: \"${env:PW}\" }\n", 1),
    ];
    let behind_the_fault = [
        ("x: [1, 2}, password: hunter2\n", 1),
        ("password: \"a\" hunter2\n", 1),
        ("x: [1, 2}, url: b://c:hunter2@d\n", 1),
    ];
    for (text, errors) in files.into_iter().chain(behind_the_fault) {
        let folder = folder(&[("a.yaml", text), ("pw", "hunter2\n")]);
        let report = read(&folder, &["a.yaml"], &[("PW", "hunter2")]).unwrap_err();
        assert_eq!(report.diagnostics.len(), errors, "{text}\n{report}");
        let json = serde_json::to_string(&report.diagnostics).unwrap();
        let all = format!("{report}\n{report:?}\n{json}");
        assert!(!all.contains("hunter2"), "{text}\n{all}");
    }
}

/// Neither does a suggestion tell what a variable nearly holds.
#[test]
fn no_suggestion_is_made_from_a_hidden_value() {
    let folder = folder(&[(
        "a.yaml",
        "kind: api\nname: a\npaths: [/a]\nbackend: { topic: t }\ncompatibility: \"${env:PW}\"\n",
    )]);
    let report = read(&folder, &["a.yaml"], &[("PW", "gravite")]).unwrap_err();
    assert_eq!(
        (report.diagnostics.len(), report.diagnostics[0].hint.as_deref()),
        (1, None),
        "{report}"
    );
}
