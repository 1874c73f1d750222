//! `tidegate webhook`: targets that are called, what they answered, and sending to them at once.
use super::{
    FAILED, OK, Output, confirm, count,
    failure::{Failure, text},
    node::{Ask, escaped},
    resources::{Kind, Ls, Named, Of, RmForGood},
    say, show,
    table::table,
    tell,
};
use crate::deliveries::is_message;
use base64_simd::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tidegate_config::ResourceKind;

/// How long a node takes for a target that hangs, and for what it is asked to send again.
const WAIT: Duration = Duration::from_mins(2);
/// What `--sign` without a secret means.
const NEW: &str = "new";

#[derive(Subcommand)]
pub(super) enum Webhook {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Named),
    /// Send what a stream gets to an address from now on.
    Add(Add),
    /// Remove it; its place in the stream is forgotten.
    Rm(RmForGood),
    /// Let it send.
    Start(Named),
    /// Let it send no more; its place stays.
    Stop(Named),
    /// Its last attempts, newest first.
    Log(Log),
    /// Send one message to the target, and say what came back.
    Test(Named),
    /// Send again what the stream still holds; the webhook's own place stays.
    Replay(Replay),
}
#[derive(Args)]
pub(super) struct Add {
    /// A stream, or a filter of topics like orders/+ that one stream captures.
    source: String,
    /// Where messages go.
    url: String,
    /// Unique among webhooks; without it made of source and host.
    #[arg(long)]
    name: Option<String>,
    /// Where it begins: latest, earliest, last:N, a duration like 10m or a time.
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// Sign requests as Standard Webhooks says; without a secret one is made and printed once.
    #[arg(long, value_name = "SECRET", num_args = 0..=1, require_equals = true, default_missing_value = NEW)]
    sign: Option<String>,
    /// What must be sent one after the other.
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// Requests at once.
    #[arg(long, value_name = "N")]
    parallel: Option<u64>,
    /// How often a message is tried.
    #[arg(long, value_name = "N")]
    attempts: Option<u64>,
    /// How long a request may take, like 15s.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// A header of every request. May be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = super::setting)]
    headers: Vec<(String, String)>,
    /// The stream of what is given up.
    #[arg(long, value_name = "STREAM")]
    dead_letters: Option<String>,
}
#[derive(Clone, Copy, ValueEnum)]
enum Order {
    /// Nothing.
    None,
    /// Messages of one key.
    Key,
    /// All messages.
    All,
}
#[derive(Args)]
pub(super) struct Log {
    /// Which webhook.
    name: String,
    /// Only attempts of this message: its id, its webhook-id or its position.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only those that ended so: delivered, answered (it is sent again), refused (given up), stopped, failed (no answer) or abandoned.
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// Only those that were answered so: a status, or a class of them like 5xx.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only those with this text in their URL.
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,
    /// Only later ones: a time, or a duration like 10m.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only earlier ones: a time, or how long ago.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}
#[derive(Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["last", "id", "from"]))]
pub(super) struct Replay {
    /// Which webhook.
    name: String,
    /// The newest so many.
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// The one of this id, webhook-id or position.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// From there on: a position, a time, or a duration like 10m.
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// Up to there, included.
    #[arg(long, value_name = "WHERE", requires = "from")]
    to: Option<String>,
}

impl Of<Webhook> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::Webhook, &self.remote)?;
        match &self.verb {
            Webhook::Ls(ls) => kind.ls(ls).await,
            Webhook::Info(named) => kind.info(&named.name).await,
            Webhook::Add(wanted) => add(&kind, wanted).await,
            Webhook::Rm(rm) => {
                for name in &rm.names {
                    // What is not there is told before anybody is asked.
                    kind.node.get(&kind.path(name)).await?;
                    confirm(&format!("removes webhook {name} and its place in the stream"), rm.yes)?;
                    kind.rm(name).await?;
                }
                Ok(OK)
            }
            Webhook::Start(named) => kind.turn(&named.name, "start", "started").await,
            Webhook::Stop(named) => kind.turn(&named.name, "stop", "stopped").await,
            Webhook::Log(wanted) => log(&kind, wanted).await,
            Webhook::Test(named) => test(&kind, &named.name).await,
            Webhook::Replay(wanted) => replay(&kind, wanted).await,
        }
    }
}
async fn add(kind: &Kind, wanted: &Add) -> Result<u8, Failure> {
    let made = wanted.sign.as_deref() == Some(NEW);
    let secret = if made { Some(secret()?) } else { wanted.sign.clone() };
    let resource = kind.make(wanted.document(secret.as_deref())).await?;
    let secret = secret.filter(|_| made);
    if kind.output == Output::Table {
        say(&format!("created webhook {}\n", text(&resource, "name").unwrap_or_default()));
        if let Some(why) = text(&resource["status"], "reason") {
            tell(&format!("note: {why}\n"));
        }
        if let Some(secret) = &secret {
            say(&format!("its secret, shown once: {secret}\n"));
        }
    } else {
        let mut resource = resource;
        if let Some(secret) = secret {
            resource["secret"] = secret.into();
        }
        show(&resource, kind.output);
    }
    Ok(OK)
}
/// 32 random bytes as Standard Webhooks writes them.
fn secret() -> Result<String, Failure> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|error| Failure::command(format!("the system gives no randomness: {error}")))?;
    Ok(format!("whsec_{}", STANDARD.encode_to_string(bits)))
}
impl Add {
    fn document(&self, secret: Option<&str>) -> Map<String, Value> {
        let topics = self.source.contains(['/', '+', '#']);
        let mut source = if topics {
            json!({"topics": [self.source]})
        } else {
            json!({"stream": self.source})
        };
        if let Some(from) = &self.from {
            source["from"] = from.as_str().into();
        }
        let mut target = json!({"url": self.url});
        if let Some(timeout) = &self.timeout {
            target["timeout"] = timeout.as_str().into();
        }
        if !self.headers.is_empty() {
            let headers: Map<_, _> = self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            target["headers"] = headers.into();
        }
        let mut document = Map::new();
        let mut put = |key: &str, value: Option<Value>| document.extend(value.map(|value| (key.to_owned(), value)));
        put("kind", Some("webhook".into()));
        put(
            "name",
            Some(self.name.clone().unwrap_or_else(|| called(&self.source, &self.url)).into()),
        );
        put("source", Some(source));
        put("target", Some(target));
        put("sign", secret.map(|secret| json!({"secrets": [secret]})));
        let order = self.order.map(|order| match order {
            Order::None => "none",
            Order::Key => "key",
            Order::All => "all",
        });
        put("order", order.map(Into::into));
        put("parallel", self.parallel.map(Into::into));
        put("retry", self.attempts.map(|attempts| json!({"attempts": attempts})));
        put("dead_letters", self.dead_letters.as_deref().map(|stream| json!({"stream": stream})));
        document
    }
}
/// `orders` to `https://crm.example.com/hook` is `orders-crm.example.com`.
fn called(source: &str, url: &str) -> String {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("target");
    let good = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = format!("{source}-{host}").chars().map(good).collect();
    name.trim_start_matches(['.', '_', '-']).to_owned()
}
async fn log(kind: &Kind, wanted: &Log) -> Result<u8, Failure> {
    let said = [
        ("id", wanted.id.clone()),
        ("outcome", wanted.outcome.clone()),
        ("status", wanted.status.clone()),
        ("target", wanted.target.clone()),
        ("since", wanted.since.clone()),
        ("until", wanted.until.clone()),
    ];
    let mut query = String::new();
    for (name, value) in said {
        if let Some(value) = value {
            query.extend(["&", name, "=", &escaped(&value, false)]);
        }
    }
    let most = wanted.limit as usize;
    let (mut items, mut cursor) = (Vec::new(), String::new());
    // A page may be short, or empty, and not the last.
    while items.len() < most {
        let path = format!("{}/deliveries?limit={}{query}{cursor}", kind.path(&wanted.name), most - items.len());
        let mut page = kind.node.get(&path).await?;
        if let Some(more) = page["items"].as_array_mut() {
            items.append(more);
        }
        match text(&page, "next_cursor") {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    if kind.output != Output::Table {
        show(&Value::Array(items), kind.output);
    } else if items.is_empty() {
        tell("no attempts\n");
    } else {
        let rows: Vec<_> = items.iter().map(|of| attempt(of, wanted.id.as_deref())).collect();
        say(&table(HEAD, &rows));
    }
    Ok(OK)
}
/// Of attempts.
pub(super) const HEAD: &[&str] = &["AT", "ID", "ATTEMPT", "OUTCOME", "STATUS", "MS", "WHY"];
/// One line; of a batch with the message that was asked for.
pub(super) fn attempt(attempt: &Value, asked: Option<&str>) -> Vec<String> {
    let part = |member: &str| text(attempt, member).unwrap_or_default();
    let messages = attempt["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = asked.and_then(|id| messages.iter().find(|message| is_message(message, id)));
    let first = own.or(messages.first()).unwrap_or(&Value::Null);
    let more = match messages.len() {
        0 | 1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let number = |value: &Value| value.as_u64().map_or(String::new(), |number| number.to_string());
    let millis = attempt["took_ms"].as_f64().map_or(String::new(), |millis| format!("{millis:.1}"));
    // The target's own words, where it did not take it.
    let answered = || {
        matches!(&*part("outcome"), "answered" | "refused" | "stopped")
            .then(|| text(&attempt["response"], "body"))
            .flatten()
            .filter(|said| !said.trim().is_empty())
            .map(|said| format!("it said: {said}"))
    };
    let why: String = text(attempt, "error")
        .or_else(answered)
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    vec![
        part("at"),
        format!("{}{more}", text(first, "id").unwrap_or_default()),
        number(&first["attempt"]),
        part("outcome"),
        number(&attempt["status"]),
        millis,
        why,
    ]
}
async fn test(kind: &Kind, name: &str) -> Result<u8, Failure> {
    let ask = Ask {
        method: Method::POST,
        wait: WAIT,
        ..Ask::default()
    };
    let told = kind.node.ask(&format!("{}/test", kind.path(name)), ask).await?.body;
    let taken = told["taken"] == true;
    if kind.output != Output::Table {
        show(&told, kind.output);
        return Ok(if taken { OK } else { FAILED });
    }
    let took = told["took_ms"].as_f64().unwrap_or_default();
    let url = text(&told["request"], "url").unwrap_or_default();
    if let Some(status) = told["status"].as_u64() {
        say(&format!("{url} answered {status} in {took:.1} ms\n"));
    }
    if let Some(body) = text(&told["response"], "body").filter(|body| !body.is_empty()) {
        say(&format!("{}\n", super::failure::printable(&body).trim_end()));
    }
    if taken {
        return Ok(OK);
    }
    if let Some(error) = text(&told, "error") {
        // Nothing may have been sent at all: the error says so.
        tell(&format!("not taken by {url}: {error}\n"));
    }
    Ok(FAILED)
}
async fn replay(kind: &Kind, wanted: &Replay) -> Result<u8, Failure> {
    let members = [
        ("last", wanted.last.map(Value::from)),
        ("id", wanted.id.as_deref().map(Value::from)),
        ("from", wanted.from.as_deref().map(Value::from)),
        ("to", wanted.to.as_deref().map(Value::from)),
    ];
    let body: Map<_, _> = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    let ask = Ask {
        wait: WAIT,
        ..Ask::json(Method::POST, &body.into())
    };
    let waiting = super::progress::Progress::waiting(format!("sending to {}", wanted.name));
    let answer = kind.node.ask(&format!("{}/replay", kind.path(&wanted.name)), ask).await;
    drop(waiting);
    let told = answer?.body;
    let number = |member: &str| told[member].as_u64().unwrap_or_default() as usize;
    let (sent, failed, left) = (number("sent"), number("failed"), number("left"));
    let code = if failed + left > 0 { FAILED } else { OK };
    if kind.output != Output::Table {
        show(&told, kind.output);
        return Ok(code);
    }
    say(&format!("sent {}\n", count(sent, "message")));
    for result in told["results"].as_array().into_iter().flatten() {
        if let Some(error) = text(result, "error") {
            tell(&format!("{}: {error}\n", text(result, "position").unwrap_or_default()));
        }
    }
    if left > 0 {
        tell(&format!(
            "{} not sent: it took too long; go on with --from\n",
            count(left, "message")
        ));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_called_after_where_it_comes_from_and_goes() {
        assert_eq!(called("orders", "https://crm.example.com:8443/hook"), "orders-crm.example.com");
        assert_eq!(
            called("orders/+", "http://[::1]:80/"),
            "orders---[::1]".replace(['[', ']', ':'], "-")
        );
        assert_eq!(called("orders", "nonsense url"), "orders-target");
    }
    #[test]
    fn a_new_secret_is_one_that_signs() {
        let made = secret().unwrap_or_default();
        assert!(tidegate_wire::webhook::Secret::parse(&made).is_ok(), "{made}");
    }
}
