//! `tidegate schema`: what messages must look like, which streams ask for it, and whether a message does.
use super::{
    OK, Output,
    failure::Failure,
    node::{Ask, escaped, plain},
    resources::{Kind, Ls, Of, Rm},
    say, show, yaml,
};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};
use std::{io::Read, path::Path};
use tidegate_config::ResourceKind;

/// No node takes longer ones.
const LONGEST: u64 = 64 << 20;

#[derive(Subcommand)]
pub(super) enum Schema {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole; or what it said at another version.
    Info(Info),
    /// Make one of a file, or a new version of it.
    Add(Add),
    /// Let a stream take only messages that match.
    Attach(Attach),
    /// Let a stream take any message again.
    Detach(Detach),
    /// Whether a message matches.
    Test(Test),
    /// Remove it, with its versions.
    Rm(Rm),
}
#[derive(Args)]
pub(super) struct Info {
    /// Which one.
    name: String,
    /// What it said then.
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}
#[derive(Args)]
pub(super) struct Add {
    /// Unique among schemas.
    name: String,
    /// The schema: a JSON Schema, a .proto file, or an Avro schema (.avsc).
    file: String,
    /// What it is; without it the file's name says so.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    of: Option<Type>,
    /// Of a .proto file: which message. Without it the only one there is.
    #[arg(long, value_name = "NAME")]
    message: Option<String>,
    /// Of a .proto file: JSON is refused, and not made into bytes on the wire.
    #[arg(long)]
    no_convert: bool,
    /// What a new version must keep to; without it as before.
    #[arg(long, value_enum, value_name = "WHAT")]
    compatibility: Option<Compatibility>,
}
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    /// JSON Schema.
    Json,
    /// Protobuf.
    Protobuf,
    /// Avro.
    Avro,
}
#[derive(Clone, Copy, ValueEnum)]
enum Compatibility {
    /// Nothing.
    None,
    /// It reads whatever the version before let in.
    Backward,
}
#[derive(Args)]
pub(super) struct Attach {
    /// Which schema.
    name: String,
    /// Which stream.
    stream: String,
    /// What happens to a message that does not match: reject, dead_letter or warn.
    #[arg(long, value_name = "WHAT")]
    on_failure: Option<String>,
}
#[derive(Args)]
pub(super) struct Detach {
    /// Which stream.
    stream: String,
}
#[derive(Args)]
pub(super) struct Test {
    /// Which schema.
    name: String,
    /// The message; `-` is standard input.
    file: String,
    /// The type it would be sent with; without it JSON if it looks like it.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
}

impl Of<Schema> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::Schema, &self.remote)?;
        match &self.verb {
            Schema::Ls(ls) => kind.ls(ls).await,
            Schema::Info(info) => match info.version {
                Some(version) => at_version(&kind, &info.name, version).await,
                None => kind.info(&info.name).await,
            },
            Schema::Add(wanted) => add(&kind, wanted).await,
            Schema::Attach(attach) => {
                let asked = match &attach.on_failure {
                    Some(what) => json!({ "schema": attach.name, "on_failure": what }),
                    None => json!({ "schema": attach.name }),
                };
                let stream = set(&kind, &attach.stream, Some(asked)).await?;
                done(
                    &kind,
                    &format!("schema {} holds for stream {}", attach.name, attach.stream),
                    &stream,
                );
                Ok(OK)
            }
            Schema::Detach(detach) => {
                let stream = set(&kind, &detach.stream, None).await?;
                done(&kind, &format!("no schema holds for stream {}", detach.stream), &stream);
                Ok(OK)
            }
            Schema::Test(wanted) => test(&kind, wanted).await,
            Schema::Rm(rm) => kind.rm_all(&rm.names).await,
        }
    }
}
fn done(kind: &Kind, said: &str, resource: &Value) {
    if kind.output == Output::Table {
        say(&format!("{said}\n"));
    } else {
        show(resource, kind.output);
    }
}
async fn add(kind: &Kind, wanted: &Add) -> Result<u8, Failure> {
    let before = kind.node.find(&kind.path(&wanted.name)).await?;
    let document = wanted.document(before.as_ref())?;
    let answer = kind
        .node
        .ask(&kind.path(&wanted.name), Ask::json(Method::PUT, &document.into()))
        .await?;
    let word = answer
        .headers
        .get("tidegate-change")
        .and_then(|word| word.to_str().ok())
        .unwrap_or("changed");
    let version = &answer.body["status"]["version"];
    done(kind, &format!("{word} schema {}, version {version}", wanted.name), &answer.body);
    Ok(OK)
}
impl Add {
    fn document(&self, before: Option<&Value>) -> Result<Map<String, Value>, Failure> {
        let text = String::from_utf8(read(&self.file)?).map_err(|_| Failure::command(format!("`{}` is not UTF-8 text", self.file)))?;
        let of = self
            .of
            .unwrap_or_else(|| match Path::new(&self.file).extension().and_then(|end| end.to_str()) {
                Some("proto") => Type::Protobuf,
                Some("avsc") => Type::Avro,
                _ => Type::Json,
            });
        if of != Type::Protobuf && (self.message.is_some() || self.no_convert) {
            return Err(
                Failure::command("`--message` and `--no-convert` are for .proto files").hint("`--type protobuf` says that it is one")
            );
        }
        // What is around the schema stays as it was.
        let mut document = before.and_then(Value::as_object).cloned().unwrap_or_default();
        for key in ["meta", "status", "json", "protobuf", "avro"] {
            document.remove(key);
        }
        document.insert("kind".to_owned(), "schema".into());
        document.insert("name".to_owned(), self.name.as_str().into());
        let json = || {
            serde_json::from_str::<Value>(&text).map_err(|error| {
                let end = if of == Type::Avro { "Avro schema" } else { "JSON Schema" };
                let hint = match Path::new(&self.file).extension().and_then(|end| end.to_str()) {
                    Some("graphql" | "gql") => "schemas are JSON Schema, Protobuf or Avro; GraphQL is none of them",
                    _ => "`--type protobuf` for a .proto file of another name",
                };
                Failure::command(format!("`{}` is no {end}: it is not JSON: {error}", self.file)).hint(hint)
            })
        };
        match of {
            Type::Json => document.insert("json".to_owned(), json()?),
            Type::Avro => document.insert("avro".to_owned(), json()?),
            Type::Protobuf => {
                let mut protobuf = json!({ "text": text });
                if let Some(message) = &self.message {
                    protobuf["message"] = message.as_str().into();
                }
                if self.no_convert {
                    protobuf["convert"] = false.into();
                }
                document.insert("protobuf".to_owned(), protobuf)
            }
        };
        let compatibility = self.compatibility.map(|what| match what {
            Compatibility::None => "none",
            Compatibility::Backward => "backward",
        });
        document.extend(compatibility.map(|what| ("compatibility".to_owned(), what.into())));
        Ok(document)
    }
}
/// What a stream asks of its messages, and nothing else of it, changes; unless somebody else changed it meanwhile.
async fn set(kind: &Kind, stream: &str, asked: Option<Value>) -> Result<Value, Failure> {
    let path = format!("/api/v1/streams/{}", escaped(stream, false));
    let change = |members: &mut Map<String, Value>| {
        members.remove("schema");
        members.extend(asked.map(|asked| ("schema".to_owned(), asked)));
    };
    kind.change(&path, change).await
}
async fn at_version(kind: &Kind, name: &str, version: u64) -> Result<u8, Failure> {
    let versions = kind.node.get(&format!("{}/versions", kind.path(name))).await?;
    let mut all = versions["items"].as_array().into_iter().flatten();
    let Some(one) = all.find(|one| one["version"] == version) else {
        return Err(Failure::command(format!("there is no version {version} of schema {name}")).hint("the newest 100 are kept"));
    };
    match kind.output {
        Output::Json => show(one, Output::Json),
        Output::Table | Output::Yaml => say(&yaml::document(one)),
    }
    Ok(OK)
}
async fn test(kind: &Kind, wanted: &Test) -> Result<u8, Failure> {
    let payload = read(&wanted.file)?;
    let json = payload.trim_ascii_start().first().is_some_and(|first| b"{[".contains(first));
    let guessed = if json { "application/json" } else { "application/octet-stream" };
    let ask = Ask {
        method: Method::POST,
        body: payload.into(),
        ..Ask::default()
    };
    let ask = ask.header("content-type", wanted.content_type.as_deref().unwrap_or(guessed))?;
    let answer = kind.node.ask(&format!("{}/test", kind.path(&wanted.name)), ask).await?;
    done(kind, "valid", &answer.body);
    Ok(OK)
}
fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let unreadable = |error: &std::io::Error| Failure::command(format!("`{file}` cannot be read: {}", plain(error)));
    if file == "-" {
        std::io::stdin()
            .take(LONGEST)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(&error))?;
    } else {
        #[expect(clippy::disallowed_methods, reason = "the command line reads what it is given")]
        let whole = std::fs::read(file).map_err(|error| unreadable(&error))?;
        bytes = whole;
    }
    Ok(bytes)
}
