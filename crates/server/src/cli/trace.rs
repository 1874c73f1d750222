//! `tidegate trace ID`: the journey of one message.
use super::{
    FAILED, OK, Output,
    failure::{Failure, text},
    node::{Node, Remote, escaped},
    say, show,
    table::table,
    tell,
    webhook::{HEAD, attempt},
};
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct Trace {
    /// The id, the webhook-id or the position of a message.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,
    #[command(flatten)]
    remote: Remote,
}
impl Trace {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let told = node.get(&format!("/api/v1/trace?id={}", escaped(&self.id, false))).await?;
        let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
        let (places, attempts) = (list("places"), list("attempts"));
        let code = if places.is_empty() && attempts.is_empty() { FAILED } else { OK };
        if self.remote.output != Output::Table {
            show(&told, self.remote.output);
            return Ok(code);
        }
        if code == FAILED {
            tell(&format!("nothing is known of {}\n", self.id.escape_debug()));
        }
        if !places.is_empty() {
            let rows: Vec<_> = places.iter().map(place).collect();
            say(&table(
                &["TIME", "STREAM", "POSITION", "TOPIC", "KEY", "BYTES", "HEADERS", "WHAT"],
                &rows,
            ));
        }
        if !attempts.is_empty() {
            let head: Vec<_> = ["WEBHOOK"].iter().chain(HEAD).copied().collect();
            let with = |of: &Value| {
                let mut row = vec![text(of, "webhook").unwrap_or_default()];
                row.extend(attempt(of, Some(&self.id)));
                row
            };
            let gap = if places.is_empty() { "" } else { "\n" };
            say(&format!("{gap}{}", table(&head, &attempts.iter().map(with).collect::<Vec<_>>())));
        }
        if told["whole"] == false {
            tell("there is more than was looked at: only the newest messages of each stream\n");
        }
        Ok(code)
    }
}
/// And which of the groups that read it are done with it.
fn stored(place: &Value) -> String {
    let groups = place["groups"].as_object().into_iter().flatten();
    let words: Vec<_> = groups
        .map(|(name, word)| format!("{} {name}", word.as_str().unwrap_or_default()))
        .collect();
    let what = if place["again"].is_object() { "sent again" } else { "stored" };
    if words.is_empty() {
        what.to_owned()
    } else {
        format!("{what}; {}", words.join(", "))
    }
}
fn place(place: &Value) -> Vec<String> {
    let part = |member: &str| text(place, member).unwrap_or_default();
    let dead = &place["dead_letter"];
    let what = match text(dead, "of") {
        None => match text(place, "due") {
            Some(due) => format!("waits until {due}"),
            None => match text(place, "expired") {
                Some(at) => format!("{}; expired at {at}", stored(place)),
                None => stored(place),
            },
        },
        Some(of) => {
            let told = |member: &str| text(dead, member).unwrap_or_default();
            let handled = if dead["handled"] == true {
                ", sent again or dropped since"
            } else {
                ""
            };
            format!(
                "dead letter of {of} in {}: {} {}{handled}",
                told("group"),
                told("reason"),
                told("error")
            )
        }
    };
    let headers = place["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()));
    vec![
        part("time"),
        part("stream"),
        part("position"),
        part("topic"),
        part("key"),
        place["bytes"].to_string(),
        headers.collect::<Vec<_>>().join(", "),
        what,
    ]
}
