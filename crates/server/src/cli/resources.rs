//! `tidegate KIND ls|info|add|rm`: one resource at a time. What has no flag here is written in a file and goes by `apply`.
use super::{
    FAILED, OK, Output,
    add::{AddApi, AddEndpoint, AddStream, AddToken, in_flags},
    confirm, count,
    failure::{Failure, text},
    node::{Ask, Node, Remote, escaped},
    say, show,
    table::table,
    tell, yaml,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use tidegate_config::ResourceKind;

/// Of one list.
const PAGE: usize = 500;

/// A kind and what to do with it.
#[derive(Args)]
pub(super) struct Of<V: Subcommand> {
    #[command(subcommand)]
    pub(super) verb: V,
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(Subcommand)]
pub(super) enum Stream {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Named),
    /// Make one.
    Add(AddStream),
    /// Remove it, with its messages.
    Rm(RmForGood),
    /// Remove its messages; the stream stays.
    Purge(Purge),
    /// Who reads it together, and how far each group is.
    Groups(Named),
    /// Forget the place of a group of clients: whoever asks for it again begins anew.
    RmGroup(RmGroup),
}
#[derive(Args)]
pub(super) struct RmGroup {
    /// Which stream.
    name: String,
    /// As `groups` calls it.
    group: String,
}
#[derive(Subcommand)]
pub(super) enum Api {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Named),
    /// Make one.
    Add(AddApi),
    /// Remove it.
    Rm(Rm),
    /// Let it answer.
    Start(Named),
    /// Let it answer no more; streams that are open end.
    Stop(Named),
}
#[derive(Subcommand)]
pub(super) enum Endpoint {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Named),
    /// Make one.
    Add(AddEndpoint),
    /// Remove it.
    Rm(Rm),
}
#[derive(Subcommand)]
pub(super) enum Token {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Named),
    /// Make one and print it: it is shown only once.
    Add(AddToken),
    /// Remove it: it is worth nothing from then on.
    Rm(Rm),
    /// Sign the sessions of users with a new key, as soon as all nodes that share the file know it; those there are go on.
    RotateKeys(RotateKeys),
}
#[derive(Args)]
pub(super) struct RotateKeys {
    /// Forget the old keys, and sign at once: every session ends.
    #[arg(long)]
    revoke: bool,
}
#[derive(Args)]
pub(super) struct Ls {
    /// Only names that begin so.
    prefix: Option<String>,
    /// Only what has this label.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = super::setting)]
    label: Option<(String, String)>,
}
#[derive(Args)]
pub(super) struct Named {
    /// Which one.
    pub(super) name: String,
}
#[derive(Args)]
pub(super) struct Rm {
    /// Which ones.
    #[arg(required = true, value_name = "NAME")]
    pub(super) names: Vec<String>,
}
#[derive(Args)]
pub(super) struct RmForGood {
    /// Which ones.
    #[arg(required = true, value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub(super) yes: bool,
}
#[derive(Args)]
pub(super) struct Purge {
    /// Which one.
    name: String,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}
/// A kind at a node.
pub(super) struct Kind {
    of: ResourceKind,
    pub(super) node: Node,
    pub(super) output: Output,
}
impl Of<Stream> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::Stream, &self.remote)?;
        match &self.verb {
            Stream::Ls(ls) => kind.ls(ls).await,
            Stream::Info(named) => kind.info(&named.name).await,
            Stream::Add(add) => kind.add(add.document()).await,
            Stream::Rm(rm) => {
                for name in &rm.names {
                    let messages = kind.messages(name).await?;
                    confirm(&format!("removes stream {name} and its {messages}"), rm.yes)?;
                    kind.rm(name).await?;
                }
                Ok(OK)
            }
            Stream::Purge(purge) => kind.purge(&purge.name, purge.yes).await,
            Stream::Groups(named) => kind.groups(&named.name).await,
            Stream::RmGroup(rm) => {
                let path = format!("{}/groups/{}", kind.path(&rm.name), escaped(&rm.group, true));
                kind.node.ask(&path, Ask::bare(Method::DELETE)).await?;
                say(&format!("forgot group {} of stream {}\n", rm.group, rm.name));
                Ok(OK)
            }
        }
    }
}
impl Of<Api> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::Api, &self.remote)?;
        match &self.verb {
            Api::Ls(ls) => kind.ls(ls).await,
            Api::Info(named) => kind.info(&named.name).await,
            Api::Add(add) => kind.add(add.document()).await,
            Api::Rm(rm) => kind.rm_all(&rm.names).await,
            Api::Start(named) => kind.turn(&named.name, "start", "started").await,
            Api::Stop(named) => kind.turn(&named.name, "stop", "stopped").await,
        }
    }
}
impl Of<Endpoint> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::Endpoint, &self.remote)?;
        match &self.verb {
            Endpoint::Ls(ls) => kind.ls(ls).await,
            Endpoint::Info(named) => kind.info(&named.name).await,
            Endpoint::Add(add) => kind.add(add.document()).await,
            Endpoint::Rm(rm) => kind.rm_all(&rm.names).await,
        }
    }
}
impl Of<Token> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::Token, &self.remote)?;
        match &self.verb {
            Token::Ls(ls) => kind.ls(ls).await,
            Token::Info(named) => kind.info(&named.name).await,
            Token::Add(add) => {
                let made = kind.make(add.document()).await?;
                if kind.output == Output::Table {
                    say(&format!("{}\n", text(&made, "token").unwrap_or_default()));
                    tell("shown once: keep it now\n");
                } else {
                    show(&made, kind.output);
                }
                Ok(OK)
            }
            Token::Rm(rm) => kind.rm_all(&rm.names).await,
            Token::RotateKeys(rotate) => {
                let path = format!("/api/v1/signing-keys/rotate?revoke={}", rotate.revoke);
                let answer = kind.node.ask(&path, Ask::bare(Method::POST)).await?.body;
                if kind.output != Output::Table {
                    show(&answer, kind.output);
                    return Ok(OK);
                }
                let names = answer["keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
                say(&names.fold(String::new(), |all, name| format!("{all}{name}\n")));
                if rotate.revoke {
                    tell("every session has ended; other nodes that share the file follow within seconds\n");
                } else if let Some(from) = text(&answer, "signs_from") {
                    tell(&format!("the first signs from {from} on\n"));
                }
                Ok(OK)
            }
        }
    }
}

impl Kind {
    pub(super) fn new(kind: ResourceKind, remote: &Remote) -> Result<Self, Failure> {
        Ok(Self {
            of: kind,
            node: Node::new(remote)?,
            output: remote.output,
        })
    }
    pub(super) fn path(&self, name: &str) -> String {
        format!("/api/v1/{}/{}", self.of.plural(), escaped(name, false))
    }
    pub(super) async fn ls(&self, ls: &Ls) -> Result<u8, Failure> {
        let mut wanted = format!("limit={PAGE}");
        if let Some(prefix) = &ls.prefix {
            wanted.extend(["&name=", &escaped(prefix, false)]);
        }
        if let Some((key, value)) = &ls.label {
            wanted.extend(["&label=", &escaped(&format!("{key}={value}"), false)]);
        }
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.node.get(&format!("/api/v1/{}?{wanted}{cursor}", self.of.plural())).await?;
            if let Some(more) = page["items"].as_array_mut() {
                items.append(more);
            }
            match text(&page, "next_cursor") {
                Some(next) => cursor = format!("&cursor={}", escaped(&next, false)),
                None => break,
            }
        }
        if self.output != Output::Table {
            show(&Value::Array(items), self.output);
        } else if items.is_empty() {
            tell(&format!("{}\n", count(0, self.of.word())));
        } else {
            let (head, row) = columns(self.of);
            say(&table(head, &items.iter().map(row).collect::<Vec<_>>()));
        }
        Ok(OK)
    }
    pub(super) async fn info(&self, name: &str) -> Result<u8, Failure> {
        let resource = self.node.get(&self.path(name)).await?;
        match self.output {
            Output::Json => show(&resource, Output::Json),
            // Nothing reads better than what the user would write.
            Output::Table | Output::Yaml => say(&yaml::document(&resource)),
        }
        Ok(OK)
    }
    pub(super) async fn make(&self, document: Map<String, Value>) -> Result<Value, Failure> {
        let path = format!("/api/v1/{}", self.of.plural());
        let document = Value::from(document);
        let made = self.node.checked(&path, Ask::json(Method::POST, &document)).await?;
        made.map_err(|mut problem| {
            in_flags(&mut problem, &document);
            Failure::problem(&problem)
        })
    }
    /// What is there with something changed, unless somebody else changes it meanwhile.
    pub(super) async fn change(&self, path: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Result<Value, Failure> {
        let mut document = self.node.get(path).await?;
        let revision = text(&document["meta"], "revision").unwrap_or_default();
        if let Some(members) = document.as_object_mut() {
            members.remove("meta");
            members.remove("status");
            change(members);
        }
        let ask = Ask::json(Method::PUT, &document).header("if-match", &format!("\"{revision}\""))?;
        Ok(self.node.ask(path, ask).await?.body)
    }
    pub(super) async fn add(&self, document: Map<String, Value>) -> Result<u8, Failure> {
        let made = self.make(document).await?;
        self.done("created", &text(&made, "name").unwrap_or_default(), &made);
        Ok(OK)
    }
    pub(super) async fn rm_all(&self, names: &[String]) -> Result<u8, Failure> {
        let mut code = OK;
        for name in names {
            if let Err(failure) = self.rm(name).await {
                // The others may go.
                code = failure.tell().max(FAILED);
            }
        }
        Ok(code)
    }
    pub(super) async fn rm(&self, name: &str) -> Result<(), Failure> {
        self.node.ask(&self.path(name), Ask::bare(Method::DELETE)).await?;
        self.done("deleted", name, &json!({"kind": self.of.word(), "name": name, "change": "deleted"}));
        Ok(())
    }
    pub(super) async fn turn(&self, name: &str, verb: &str, done: &str) -> Result<u8, Failure> {
        let path = format!("{}/{verb}", self.path(name));
        let turned = self.node.ask(&path, Ask::bare(Method::POST)).await?.body;
        self.done(done, name, &turned);
        Ok(OK)
    }
    async fn messages(&self, name: &str) -> Result<String, Failure> {
        let stream = self.node.get(&self.path(name)).await?;
        Ok(count(stream["status"]["messages"].as_u64().unwrap_or_default() as usize, "message"))
    }
    async fn groups(&self, name: &str) -> Result<u8, Failure> {
        let answer = self.node.get(&format!("{}/groups", self.path(name))).await?;
        if self.output != Output::Table {
            show(&answer["items"], self.output);
            return Ok(OK);
        }
        let columns = ["name", "kind", "pending", "out", "waiting", "oldest"];
        let groups = answer["items"].as_array().into_iter().flatten();
        let rows: Vec<_> = groups
            .map(|group| columns.iter().map(|column| word(&group[*column])).collect::<Vec<_>>())
            .collect();
        say(&table(&["NAME", "KIND", "PENDING", "OUT", "WAITING", "OLDEST"], &rows));
        Ok(OK)
    }
    async fn purge(&self, name: &str, yes: bool) -> Result<u8, Failure> {
        let messages = self.messages(name).await?;
        confirm(&format!("removes {messages} of stream {name}"), yes)?;
        let waiting = super::progress::Progress::waiting(format!("purging {name}"));
        let answer = self.node.ask(&format!("{}/purge", self.path(name)), Ask::bare(Method::POST)).await;
        drop(waiting);
        let purged = answer?.body;
        if self.output == Output::Table {
            let messages = count(purged["purged"].as_u64().unwrap_or_default() as usize, "message");
            say(&format!("purged {messages} of stream {name}\n"));
        } else {
            show(&purged, self.output);
        }
        Ok(OK)
    }
    pub(super) fn done(&self, what: &str, name: &str, resource: &Value) {
        if self.output == Output::Table {
            say(&format!("{what} {} {name}\n", self.of.word()));
        } else {
            show(resource, self.output);
        }
    }
}
type Row = fn(&Value) -> Vec<String>;
fn columns(kind: ResourceKind) -> (&'static [&'static str], Row) {
    match kind {
        ResourceKind::Stream => (
            &["NAME", "TOPICS", "PARTITIONS", "MESSAGES", "BYTES", "STATE", "SOURCE"],
            |stream| {
                let topics = if stream["topics"].is_null() {
                    &stream["name"]
                } else {
                    &stream["topics"]
                };
                let status = &stream["status"];
                let partitions = if status["partitions"].is_null() {
                    &stream["partitions"]
                } else {
                    &status["partitions"]
                };
                let cells = [
                    &stream["name"],
                    topics,
                    partitions,
                    &status["messages"],
                    &status["bytes"],
                    &state(stream),
                ];
                row(&cells, stream)
            },
        ),
        ResourceKind::Api => (&["NAME", "PATHS", "BACKEND", "STATE", "SOURCE"], |api| {
            let backend = if api["backend"].is_null() {
                &api["publish"]
            } else {
                &api["backend"]
            };
            row(&[&api["name"], &api["paths"], backend, &state(api)], api)
        }),
        ResourceKind::Schema => (&["NAME", "TYPE", "VERSION", "COMPATIBILITY", "SOURCE"], |schema| {
            let kind = ["json", "protobuf", "avro"].into_iter().find(|kind| !schema[*kind].is_null());
            let kind = Value::from(kind.unwrap_or_default());
            row(
                &[&schema["name"], &kind, &schema["status"]["version"], &schema["compatibility"]],
                schema,
            )
        }),
        ResourceKind::Endpoint => (&["NAME", "TYPE", "URL", "SOURCE"], |endpoint| {
            row(&[&endpoint["name"], &endpoint["type"], &endpoint["url"]], endpoint)
        }),
        ResourceKind::Webhook => (&["NAME", "FROM", "TO", "STATE", "SOURCE"], |webhook| {
            let cells = [&webhook["name"], &webhook["source"], &webhook["target"]["url"], &state(webhook)];
            row(&cells, webhook)
        }),
        ResourceKind::User => (&["NAME", "MANAGE", "SOURCE"], |user| row(&[&user["name"], &user["manage"]], user)),
        ResourceKind::Token => (&["NAME", "MANAGE", "USER", "EXPIRES", "SOURCE"], |token| {
            let expires = match &token["status"]["state"] {
                state if state == "expired" => format!("expired {}", word(&token["expires"])).into(),
                _ => token["expires"].clone(),
            };
            row(&[&token["name"], &token["manage"], &token["user"], &expires], token)
        }),
    }
}
/// How it does; of what is not served, why.
fn state(resource: &Value) -> Value {
    match not_served(resource) {
        Some(why) => why.into(),
        None => resource["status"]["state"].clone(),
    }
}
fn not_served(resource: &Value) -> Option<String> {
    let status = &resource["status"];
    (status["state"] == "not_served").then(|| format!("not served: {}", text(status, "reason").unwrap_or_default()))
}
/// The cells, and where it comes from; where no cell tells how it does, also that it is not served.
fn row(cells: &[&Value], resource: &Value) -> Vec<String> {
    let source = word(&resource["meta"]["source"]);
    let told = |why: &String| cells.iter().any(|cell| cell.as_str() == Some(why));
    let source = match not_served(resource).filter(|why| !told(why)) {
        Some(why) => format!("{source}, {why}"),
        None => source,
    };
    cells.iter().map(|cell| word(cell)).chain([source]).collect()
}
/// A value in one word: `stream:orders`.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(","),
        // A path with a host, a backend of one key, a backend with more.
        Value::Object(map) => match (map.get("path"), map.get("host")) {
            (Some(path), Some(host)) => format!("{}{}", word(host), word(path)),
            (Some(path), None) => word(path),
            _ => map
                .iter()
                .map(|(key, value)| match value {
                    Value::Object(_) | Value::Null => key.clone(),
                    value => format!("{key}:{}", word(value)),
                })
                .collect::<Vec<_>>()
                .join(","),
        },
        other => other.to_string(),
    }
}
