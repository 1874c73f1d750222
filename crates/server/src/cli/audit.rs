//! `tidegate changes` and `tidegate log-level`: who changed what, and what is logged.
use super::{
    OK, Output,
    failure::{Failure, text},
    node::{Ask, Node, Remote},
    say, show,
    table::table,
    tell,
};
use http::Method;
use serde_json::json;

#[derive(clap::Args)]
pub(super) struct Changes {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    #[command(flatten)]
    remote: Remote,
}
#[derive(clap::Args)]
pub(super) struct LogLevel {
    /// From now on until the next start, like info or tidegate_log=debug,info; without it, what it is now.
    level: Option<String>,
    #[command(flatten)]
    remote: Remote,
}
impl Changes {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let page = node.get(&format!("/api/v1/changes?limit={}", self.limit)).await?;
        if self.remote.output != Output::Table {
            show(&page["items"], self.remote.output);
            return Ok(OK);
        }
        let columns = ["revision", "at", "who", "from", "action", "kind", "name"];
        let items = page["items"].as_array().into_iter().flatten();
        let rows: Vec<_> = items
            .map(|item| {
                columns
                    .iter()
                    .map(|column| text(item, column).unwrap_or_default())
                    .collect::<Vec<_>>()
            })
            .collect();
        say(&table(&["REVISION", "AT", "WHO", "FROM", "ACTION", "KIND", "NAME"], &rows));
        if page["next_cursor"].is_string() {
            tell(&format!("the newest {} are shown; --limit shows more\n", self.limit));
        }
        Ok(OK)
    }
}
impl LogLevel {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let answer = match &self.level {
            None => node.get("/api/v1/log-level").await?,
            Some(level) => {
                let ask = Ask::json(Method::PUT, &json!({ "level": level }));
                node.ask("/api/v1/log-level", ask).await?.body
            }
        };
        match self.remote.output {
            Output::Table => say(&format!("{}\n", text(&answer, "level").unwrap_or_default())),
            output => show(&answer, output),
        }
        Ok(OK)
    }
}
