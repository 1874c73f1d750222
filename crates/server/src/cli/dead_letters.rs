//! `tidegate dead-letters`: what was given up, and what is to become of it.
use super::{
    OK, Output, confirm, count,
    failure::{Failure, text},
    node::{Ask, Node, Remote, escaped},
    progress::Progress,
    say, show,
    table::table,
    tell, yaml,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

/// Of one page.
const PAGE: usize = 500;
const LETTERS: &str = "/api/v1/dead-letters";

#[derive(Args)]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}
#[derive(Subcommand)]
enum Verb {
    /// The newest, or the newest that are wanted; newest first.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Info),
    /// Send one or several again: to the group that gave them up, or to a topic.
    Replay(Replay),
    /// Forget one or several.
    #[command(visible_alias = "rm")]
    Drop(Forget),
}
#[derive(Args)]
struct Ls {
    #[command(flatten)]
    wanted: Wanted,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    limit: usize,
    /// Only those that are older than this one: the last of the page before.
    #[arg(long, value_name = "ID", conflicts_with = "count")]
    before: Option<String>,
    /// Only say how many there are.
    #[arg(long)]
    count: bool,
}
#[derive(Args)]
struct Info {
    /// Which one.
    id: String,
}
#[derive(Args)]
struct Replay {
    #[command(flatten)]
    which: Which,
    /// Publish them to this topic instead.
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Only say how many that would be.
    #[arg(long)]
    count: bool,
}
#[derive(Args)]
struct Forget {
    #[command(flatten)]
    which: Which,
    /// Only say how many that would be.
    #[arg(long)]
    count: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}
/// One, some, or all: nothing of it is taken for all.
#[derive(Args)]
#[group(skip)]
struct Which {
    /// Which one.
    #[arg(conflicts_with_all = ["all", "wanted"])]
    id: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with = "wanted")]
    all: bool,
    #[command(flatten)]
    wanted: Wanted,
}
/// Which ones; all that is said must be so.
#[derive(Args)]
#[group(id = "wanted", multiple = true)]
struct Wanted {
    /// Only those that were read from this stream.
    #[arg(long)]
    stream: Option<String>,
    /// Only those that this group gave up.
    #[arg(long)]
    group: Option<String>,
    /// Only those given up for this reason.
    #[arg(long)]
    reason: Option<String>,
    /// Only those of this topic, or of topics that this filter matches.
    #[arg(long)]
    topic: Option<String>,
    /// Only the message of this id.
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// Only those given up then or later: a time, or how long ago, such as 10m.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those given up before: a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}
impl Wanted {
    fn said(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("stream", &self.stream),
            ("group", &self.group),
            ("reason", &self.reason),
            ("topic", &self.topic),
            ("id", &self.message),
            ("since", &self.since),
            ("until", &self.until),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)))
    }
    fn filter(&self) -> Value {
        let said = self.said().map(|(name, text)| (name.to_owned(), Value::from(text)));
        Value::Object(said.collect::<Map<_, _>>())
    }
    fn query(&self) -> String {
        let said = self.said().map(|(name, text)| format!("{name}={}", escaped(text, false)));
        said.collect::<Vec<_>>().join("&")
    }
}
impl DeadLetters {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let at = At {
            node: Node::new(&self.remote)?,
            output: self.remote.output,
        };
        match &self.verb {
            Verb::Ls(ls) if ls.count => Ok(at.number(at.how_many(&ls.wanted).await?)),
            Verb::Ls(ls) => at.ls(ls).await,
            Verb::Info(info) => at.info(&info.id).await,
            Verb::Replay(replay) => at.replay(replay).await,
            Verb::Drop(forget) => at.forget(forget).await,
        }
    }
}
fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "expected a number from 1 on".to_owned())
}
/// A node, and how to print.
struct At {
    node: Node,
    output: Output,
}
impl At {
    async fn ls(&self, ls: &Ls) -> Result<u8, Failure> {
        let mut items: Vec<Value> = Vec::new();
        let before = ls.before.as_ref();
        let mut cursor = before.map_or_else(String::new, |id| format!("&before={}", escaped(id, false)));
        let more = loop {
            let limit = (ls.limit - items.len()).min(PAGE);
            let mut page = self
                .node
                .get(&format!("{LETTERS}?limit={limit}&{}{cursor}", ls.wanted.query()))
                .await?;
            if let Some(more) = page["items"].as_array_mut() {
                items.append(more);
            }
            match text(&page, "next_cursor") {
                Some(_) if items.len() >= ls.limit => break true,
                Some(next) => cursor = format!("&cursor={}", escaped(&next, false)),
                None => break false,
            }
        };
        let (shown, last) = (items.len(), items.last().and_then(|last| text(last, "id")));
        if self.output != Output::Table {
            show(&Value::Array(items), self.output);
        } else if items.is_empty() {
            tell("0 dead letters\n");
        } else {
            let columns = ["id", "time", "stream", "group", "reason", "attempts", "topic", "error"];
            let row = |item: &Value| columns.map(|column| cell(&item[column])).to_vec();
            let head = ["ID", "TIME", "STREAM", "GROUP", "REASON", "ATTEMPTS", "TOPIC", "ERROR"];
            say(&table(&head, &items.iter().map(row).collect::<Vec<_>>()));
        }
        if more {
            let last = last.unwrap_or_default();
            tell(&format!("the newest {shown} are shown; --before {last} shows older ones\n"));
        }
        Ok(OK)
    }
    async fn info(&self, id: &str) -> Result<u8, Failure> {
        let letter = self.node.get(&path(id)).await?;
        match self.output {
            Output::Json => show(&letter, Output::Json),
            Output::Table | Output::Yaml => say(&yaml::document(&letter)),
        }
        Ok(OK)
    }
    async fn how_many(&self, wanted: &Wanted) -> Result<u64, Failure> {
        let ask = Ask::json(Method::POST, &json!({ "filter": wanted.filter(), "count_only": true }));
        let answer = self.node.ask(&format!("{LETTERS}/replay"), ask).await?.body;
        Ok(answer["count"].as_u64().unwrap_or_default())
    }
    /// What stands there and how many that is; `None`: nothing stands there.
    async fn meant(&self, which: &Which) -> Result<Meant, Failure> {
        if let Some(id) = &which.id {
            return Ok(Meant::One(path(id)));
        }
        if !which.all && which.wanted.said().next().is_none() {
            return Err(
                Failure::command("which dead letters?").hint("name one by its id, say which (--stream, --group, --reason, …), or --all")
            );
        }
        Ok(Meant::Many(self.how_many(&which.wanted).await?))
    }
    async fn replay(&self, replay: &Replay) -> Result<u8, Failure> {
        let meant = self.meant(&replay.which).await?;
        if replay.count {
            return Ok(self.number(meant.many()));
        }
        let (at, body, waiting) = match meant {
            Meant::One(path) => (format!("{path}/replay"), json!({}), None),
            Meant::Many(many) => {
                let waiting = Progress::waiting(format!("sending {} again", letters(many)));
                (
                    format!("{LETTERS}/replay"),
                    json!({ "filter": replay.which.wanted.filter() }),
                    Some(waiting),
                )
            }
        };
        let mut body = body;
        if let Some(to) = &replay.to {
            body["to"] = to.as_str().into();
        }
        let done = self.node.ask(&at, Ask::json(Method::POST, &body).long()).await;
        drop(waiting);
        self.done(&done?.body, "replayed")
    }
    async fn forget(&self, forget: &Forget) -> Result<u8, Failure> {
        let meant = self.meant(&forget.which).await?;
        if forget.count {
            return Ok(self.number(meant.many()));
        }
        let (at, waiting) = match meant {
            Meant::One(path) => {
                confirm("drops one dead letter", forget.yes)?;
                (path, None)
            }
            Meant::Many(many) => {
                confirm(&format!("drops {}", letters(many)), forget.yes)?;
                let waiting = Progress::waiting(format!("dropping {}", letters(many)));
                let which = if forget.which.all {
                    "all=true".to_owned()
                } else {
                    forget.which.wanted.query()
                };
                (format!("{LETTERS}?{which}"), Some(waiting))
            }
        };
        let done = self.node.ask(&at, Ask::bare(Method::DELETE).long()).await;
        drop(waiting);
        self.done(&done?.body, "dropped")
    }
    fn number(&self, many: u64) -> u8 {
        match self.output {
            Output::Table => say(&format!("{many}\n")),
            output => show(&json!({ "count": many }), output),
        }
        OK
    }
    fn done(&self, answer: &Value, word: &str) -> Result<u8, Failure> {
        let failed = answer["failed"].as_u64().unwrap_or_default();
        if self.output == Output::Table {
            say(&format!("{word} {}\n", letters(answer[word].as_u64().unwrap_or_default())));
        } else {
            show(answer, self.output);
        }
        if failed == 0 {
            return Ok(OK);
        }
        for problem in answer["problems"].as_array().into_iter().flatten() {
            let part = |name: &str| text(problem, name).unwrap_or_default();
            tell(&format!("{}: {}\n", part("id"), part("detail")));
        }
        Err(Failure::command(format!(
            "{} could not be {word}, and are still there",
            letters(failed)
        )))
    }
}
enum Meant {
    /// Its path.
    One(String),
    Many(u64),
}
impl Meant {
    fn many(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => *many,
        }
    }
}
fn path(id: &str) -> String {
    format!("{LETTERS}/{}", escaped(id, false))
}
fn letters(number: u64) -> String {
    count(number as usize, "dead letter")
}
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
