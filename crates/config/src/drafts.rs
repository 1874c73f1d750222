//! Resources as they stand in files, before anybody checks them: read here, checked by a node far away, whose errors are shown at their
//! place in these files.
use crate::{
    Diagnostic, Id, Report,
    check::{self, Declares},
    ledger::{At, Fault, Ledger, Path, shown},
    load::Loader,
    read,
    tree::{Data, MASKED, Value},
};
use serde_json::{Map, Value as Json};
use std::{
    collections::{HashMap, hash_map::Entry},
    path::PathBuf,
};
use tidegate_core::error::Code;

/// Where drafts come from.
#[derive(Clone, Debug)]
pub enum Draft {
    /// A file, or a folder with `*.yaml`, `*.yml`, `*.json` in it.
    Path(PathBuf),
    /// Its name in errors, and the text. Paths in it are relative to the folder the program runs in.
    Text(String, String),
}
/// What was read.
pub struct Drafts {
    documents: Vec<Value>,
    ledger: Ledger,
}
/// What a node found wrong with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// A JSON pointer that begins with the number of the draft, like `/0/retention/age`.
    pub pointer: String,
    /// The stable code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Drafts {
    /// Reads, and fills in `${env:NAME}` and `${file:PATH}`. What cannot be sent to a node is told, all of it at once.
    pub fn read(sources: Vec<Draft>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Report> {
        let mut loader = Loader::new(environment, true);
        for source in sources {
            match source {
                Draft::Path(path) => loader.path(&path, None),
                Draft::Text(name, text) => loader.text(&name, &text, Some(std::path::Path::new("."))),
            }
        }
        let (documents, mut ledger, _) = loader.close();
        let mut first: HashMap<Id, At> = HashMap::new();
        for document in &documents {
            if let Some(fault) = unfit(document) {
                ledger.tell(fault);
            }
            let Some((id, name)) = check::id(document).zip(document.get("name")) else {
                continue;
            };
            match first.entry(id) {
                Entry::Vacant(free) => {
                    free.insert(name.value.at);
                }
                Entry::Occupied(taken) => {
                    let message = format!("there is another {} named {}", taken.key().kind, name.value.shown());
                    let path = check::label(document).key("name");
                    let fault = Fault::new(Code::Duplicate, name.value.at, &path, message);
                    let first = ledger.place(*taken.get());
                    ledger.tell(fault.hint(format!("the first one is at {first}; rename or remove one")));
                }
            }
        }
        if ledger.faults() == 0 {
            return Ok(Self { documents, ledger });
        }
        let (diagnostics, sources) = ledger.close();
        Err(Report { diagnostics, sources })
    }
    /// [`Drafts::read`] with the environment of this process.
    pub fn read_with_process(sources: Vec<Draft>) -> Result<Self, Report> {
        Self::read(sources, crate::load::variables())
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
    /// Each as a node takes it, in the order they were read.
    pub fn resources(&self) -> Vec<Json> {
        self.documents.iter().map(sent).collect()
    }
    /// The number of a resource, `None` where it is not one of these.
    pub fn number(&self, id: &Id) -> Option<usize> {
        self.documents.iter().position(|document| check::id(document).as_ref() == Some(id))
    }
    /// A node's remarks at their places, and what it says of places elsewhere. What points at nothing is shown at the document it is about.
    pub fn report(mut self, remarks: Vec<Remark>, elsewhere: Vec<Diagnostic>) -> Report {
        for remark in remarks {
            let remark = self.masked(remark);
            let (at, path) = self.find(&remark.pointer, remark.code);
            let mut fault = Fault::new(remark.code, at, &path, remark.message);
            if let Some(expected) = remark.expected {
                fault = fault.expected(expected);
            }
            if let Some(hint) = remark.hint {
                fault = fault.hint(hint);
            }
            self.ledger.tell(fault);
        }
        let (mut diagnostics, sources) = self.ledger.close();
        diagnostics.extend(elsewhere);
        Report { diagnostics, sources }
    }
    /// Without what came from a variable or a file here: the node does not know what that was, and may have quoted it.
    fn masked(&self, mut remark: Remark) -> Remark {
        let Some((document, below)) = self.about(&remark.pointer) else {
            return remark;
        };
        let (value, whole) = document.point(below);
        if value.hidden && whole && matches!(value.data, Data::Scalar { .. }) {
            let key = below.rsplit('/').next().map(unescaped).unwrap_or_default();
            remark.message = read::wrong(&Path::default().key(&key), value);
            remark.hint = None;
        }
        let mut secrets = Vec::new();
        hidden(document, &mut secrets);
        // The longest first: one may begin as another does.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for text in [Some(&mut remark.message), remark.expected.as_mut(), remark.hint.as_mut()]
            .into_iter()
            .flatten()
        {
            for secret in &secrets {
                *text = text.replace(secret.as_str(), MASKED);
            }
        }
        remark
    }
    /// Which document a pointer is about, and where in it.
    fn about<'a>(&self, pointer: &'a str) -> Option<(&Value, &'a str)> {
        let (number, below) = pointer.strip_prefix('/').map_or((pointer, ""), |rest| match rest.find('/') {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        });
        Some((number.parse::<usize>().ok().and_then(|number| self.documents.get(number))?, below))
    }
    /// An unknown key is shown where it stands, anything else where its value does.
    fn find(&self, pointer: &str, code: Code) -> (At, Path) {
        let Some((document, below)) = self.about(pointer) else {
            return (At::BUILT_IN, Path::default());
        };
        let (value, _whole) = document.point(below);
        let mut path = check::label(document);
        for part in below.split('/').skip(1) {
            path = match part.parse() {
                Ok(number) => path.item(number),
                Err(_) => path.key(&unescaped(part)),
            };
        }
        if code == Code::UnknownKey
            && let Some((above, key)) = below.rsplit_once('/')
            && let (around, true) = document.point(above)
            && let Some(entry) = around.get(&unescaped(key))
        {
            return (entry.at, path);
        }
        (value.at, path)
    }
}
/// Shorter ones are words that stand everywhere.
const SHORTEST: usize = 4;
/// What is not shown, as it is and as errors shorten it.
fn hidden(value: &Value, out: &mut Vec<String>) {
    match &value.data {
        Data::Scalar { text, .. } if value.hidden && text.len() >= SHORTEST => {
            out.push(shown(text).trim_end_matches('…').to_owned());
            out.push(text.clone());
            // As it stands in JSON.
            let quoted = Json::from(text.as_str()).to_string();
            out.extend(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::to_owned));
        }
        Data::Scalar { .. } | Data::Broken => {}
        Data::List(items) => items.iter().for_each(|item| hidden(item, out)),
        Data::Map(entries) => entries.iter().for_each(|entry| hidden(&entry.value, out)),
    }
}
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}
/// Settings of a node, and what is no map. A kind that is not known here may be known there.
fn unfit(document: &Value) -> Option<Fault> {
    match check::declares(document) {
        Declares::Node => Some(
            Fault::new(Code::MissingKey, document.at, &Path::default(), "`kind` is missing")
                .expected("a resource")
                .hint("the settings of a node stand in its own tidegate.yaml; `tidegate reload` makes it read that again"),
        ),
        Declares::Nothing(culprit) if !matches!(document.data, Data::Map(_)) || document.get("kind").is_none() => {
            Some(check::no_kind(document, culprit, &check::label(document)))
        }
        Declares::Nothing(_) | Declares::Resource(_) => None,
    }
}
/// What a schema says is JSON already: there a number is a number, however it is written.
fn sent(document: &Value) -> Json {
    let mut json = faithful(document);
    if let (Some("schema"), Json::Object(members)) = (document.get("kind").and_then(|kind| kind.value.text()), &mut json) {
        for key in ["json", "avro"] {
            members.extend(document.get(key).map(|entry| (key.to_owned(), entry.value.to_json())));
        }
    }
    json
}
/// As JSON that the other side reads as what is written here: a number that JSON would write otherwise stays text.
fn faithful(value: &Value) -> Json {
    match &value.data {
        Data::Broken => Json::Null,
        Data::Scalar { text, .. } => match value.to_json() {
            Json::Number(number) if number.to_string() != *text => Json::from(text.as_str()),
            Json::Bool(bool) if bool.to_string() != *text => Json::from(text.as_str()),
            json => json,
        },
        Data::List(items) => items.iter().map(faithful).collect(),
        Data::Map(entries) => {
            let members = entries.iter().map(|entry| (entry.key.clone(), faithful(&entry.value)));
            Json::Object(members.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Drafts, Report> {
        let variables = [("SECRET".to_owned(), "hunter2".to_owned())];
        Drafts::read(vec![Draft::Text("a.yaml".to_owned(), text.to_owned())], variables)
    }
    #[test]
    fn what_is_written_arrives() {
        let drafts = read("kind: stream\nname: 1.10\npartitions: 3\nlabels: { on: True, off: \"true\", key: \"${env:SECRET}\" }\n")
            .unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(
            drafts.resources(),
            [
                serde_json::json!({"kind": "stream", "name": "1.10", "partitions": 3, "labels": {"on": "True", "off": "true", "key": "hunter2"}})
            ]
        );
    }
    #[test]
    fn remarks_stand_where_they_belong() {
        let text = "kind: stream\nname: a\n---\nkind: stream\nname: b\nretension: { age: 1h }\nretention: { age: never }\n";
        let remark = |pointer: &str, code| Remark {
            pointer: pointer.to_owned(),
            code,
            message: "wrong".to_owned(),
            expected: None,
            hint: None,
        };
        let drafts = read(text).unwrap_or_else(|report| panic!("{report}"));
        let elsewhere = Diagnostic {
            code: Code::BadValue,
            file: "far.yaml".into(),
            line: 2,
            column: 3,
            width: 1,
            path: String::new(),
            pointer: String::new(),
            message: "wrong".to_owned(),
            expected: None,
            hint: None,
        };
        assert_eq!(drafts.number(&Id::new(crate::ResourceKind::Stream, "b")), Some(1));
        let remarks = vec![
            remark("/1/retension", Code::UnknownKey),
            remark("/1/retention/age", Code::BadValue),
            remark("/0/topics/1", Code::BadValue),
            remark("/7/x", Code::BadValue),
            remark("", Code::BadValue),
        ];
        let report = drafts.report(remarks, vec![elsewhere]);
        let places: Vec<_> = report.diagnostics.iter().map(|one| one.place().to_string()).collect();
        assert_eq!(
            places,
            [
                "a.yaml:1:1",
                "a.yaml:6:1",
                "a.yaml:7:19",
                "the defaults",
                "the defaults",
                "far.yaml:2:3"
            ]
        );
        assert_eq!(report.diagnostics[2].path, "streams \"b\" retention.age");
    }
    #[test]
    fn what_a_node_quotes_of_a_variable_is_not_shown() {
        let text = "kind: schema\nname: a\navro: [ \"${env:SECRET}\" ]\ndescription: x\n";
        let remark = |pointer: &str| Remark {
            pointer: pointer.to_owned(),
            code: Code::BadValue,
            message: "there is no type `hunter2`".to_owned(),
            expected: None,
            hint: Some("not `hunter2`".to_owned()),
        };
        let drafts = read(text).unwrap_or_else(|report| panic!("{report}"));
        let report = drafts.report(vec![remark("/0/avro/0"), remark("/0/avro"), remark("/0/avro/7")], Vec::new());
        let said = report.to_string();
        assert!(
            !said.contains("hunter2") && said.matches("there is no type `***`").count() == 2,
            "{said}"
        );
    }
    #[test]
    fn a_resource_is_there_once() {
        let said = read("kind: stream\nname: a\n---\nkind: station\nname: a\n---\nkind: api\nname: a\n")
            .err()
            .unwrap()
            .to_string();
        assert!(
            said.contains("a.yaml:5:7") && said.contains("the first one is at a.yaml:2:7") && said.contains("1 error"),
            "{said}"
        );
    }
    #[test]
    fn settings_of_a_node_are_no_resource() {
        let said = read("limits: { body: 1MiB }\n---\n- 1\n---\nname: x\n---\nkind: strem\nname: y\n")
            .err()
            .unwrap()
            .to_string();
        assert_eq!(said.matches("error[").count(), 3, "{said}");
        assert!(said.contains("tidegate reload") && said.contains("a.yaml:1:1"), "{said}");
    }
}
