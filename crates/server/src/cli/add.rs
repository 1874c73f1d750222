//! What `add` makes of its flags: a resource as a file would declare it.
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tidegate_config::ResourceKind;
use tidegate_core::{clock, error::Code};

/// What every resource may have.
#[derive(Args)]
pub(super) struct Common {
    /// Unique among its kind.
    pub(super) name: String,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// For sorting and finding. May be given several times.
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = super::setting)]
    labels: Vec<(String, String)>,
}
#[derive(Args)]
pub(super) struct AddStream {
    #[command(flatten)]
    common: Common,
    /// A topic or filter it captures, beside its own name. May be given several times.
    #[arg(long = "topic", value_name = "FILTER")]
    topics: Vec<String>,
    /// Fixed from then on.
    #[arg(long, value_name = "N")]
    partitions: Option<u64>,
    /// Messages leave when they are older, like 7d.
    #[arg(long, value_name = "DURATION")]
    age: Option<String>,
    /// Messages leave when the stream would be larger, like 1GiB.
    #[arg(long, value_name = "SIZE")]
    bytes: Option<String>,
    /// Messages leave when there would be more.
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// How long message ids are remembered, like 2m.
    #[arg(long, value_name = "DURATION")]
    dedupe: Option<String>,
    /// What happens to a new message at a limit: drop_oldest, drop_newest or refuse.
    #[arg(long, value_name = "WHAT")]
    when_full: Option<String>,
}
#[derive(Args)]
pub(super) struct AddApi {
    #[command(flatten)]
    common: Common,
    /// Where clients find it; without it at /NAME. May be given several times.
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    backend: Backend,
    /// Who may use it, like keyless. May be given several times.
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,
}
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Backend {
    /// Before this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Before this topic; ${rest} is what follows a path that ends in /*.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Before this endpoint.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Before a broker, like kafka://host:9092/orders; a bare name is a stream.
    #[arg(long = "backend", value_name = "URL")]
    url: Option<String>,
}
#[derive(Args)]
pub(super) struct AddEndpoint {
    #[command(flatten)]
    common: Common,
    /// What it connects to.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// Where that is.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A key of its type, like interval=1s. May be given several times.
    #[arg(long = "with", value_name = "KEY=VALUE", value_parser = super::setting)]
    with: Vec<(String, String)>,
}
#[derive(Args)]
pub(super) struct AddToken {
    /// Unique among tokens; an access key without one gets one that nobody else has.
    #[arg(required_unless_present_any = ["access_key", "user"])]
    name: Option<String>,
    /// For people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// For sorting and finding. May be given several times.
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = super::setting)]
    labels: Vec<(String, String)>,
    /// How far its bearer may manage this node.
    #[arg(long, value_enum, required_unless_present_any = ["access_key", "user"], conflicts_with_all = ["access_key", "user"])]
    manage: Option<Manage>,
    /// An access key instead: its bearer may with topics what this user may.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Says that an access key is meant, which needs no login and no refresh; `--user` says so too.
    #[arg(long, requires = "user")]
    access_key: bool,
    /// When it ends: a time like 2027-01-01T00:00:00Z, or a duration from now like 90d. Without it never.
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<String>,
}
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Manage {
    /// Looks at everything but messages.
    Viewer,
    /// Also changes what is served, reads and publishes messages.
    Operator,
    /// Also says who may.
    Admin,
}
impl Manage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}
fn expiry(text: &str) -> Result<String, String> {
    if let Some(from_now) = clock::parse_duration(text) {
        let micros = i64::try_from(from_now.as_micros()).map_err(|_| "longer than time goes".to_owned())?;
        return Ok(clock::rfc3339(clock::now_us().saturating_add(micros)));
    }
    let good = clock::parse_rfc3339(text).is_some();
    good.then(|| text.to_owned())
        .ok_or_else(|| "expected a time like 2027-01-01T00:00:00Z or a duration like 90d".to_owned())
}

impl Common {
    pub(super) fn document(&self, kind: &str) -> Map<String, Value> {
        let mut document = Map::new();
        document.insert("kind".to_owned(), kind.into());
        document.insert("name".to_owned(), self.name.as_str().into());
        document.extend(self.description.as_deref().map(|text| ("description".to_owned(), text.into())));
        if !self.labels.is_empty() {
            let labels: Map<_, _> = self
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().into()))
                .collect();
            document.insert("labels".to_owned(), labels.into());
        }
        document
    }
}
impl AddStream {
    pub(super) fn document(&self) -> Map<String, Value> {
        let mut document = self.common.document("stream");
        if !self.topics.is_empty() {
            document.insert("topics".to_owned(), json!(self.topics));
        }
        document.extend(self.partitions.map(|partitions| ("partitions".to_owned(), partitions.into())));
        let mut retention = Map::new();
        retention.extend(self.age.as_deref().map(|age| ("age".to_owned(), age.into())));
        retention.extend(self.bytes.as_deref().map(|bytes| ("bytes".to_owned(), bytes.into())));
        retention.extend(self.messages.map(|messages| ("messages".to_owned(), messages.into())));
        if !retention.is_empty() {
            document.insert("retention".to_owned(), retention.into());
        }
        document.extend(self.dedupe.as_deref().map(|dedupe| ("dedupe".to_owned(), dedupe.into())));
        document.extend(self.when_full.as_deref().map(|what| ("when_full".to_owned(), what.into())));
        document
    }
}
impl AddApi {
    pub(super) fn document(&self) -> Map<String, Value> {
        let mut document = self.common.document("api");
        let own = vec![format!("/{}", self.common.name)];
        document.insert("paths".to_owned(), json!(if self.paths.is_empty() { &own } else { &self.paths }));
        let Backend {
            stream,
            topic,
            endpoint,
            url,
        } = &self.backend;
        let bare = url.clone().filter(|url| !url.contains("://"));
        let stream = &stream.clone().or(bare);
        let named = [("stream", stream), ("topic", topic), ("endpoint", endpoint)];
        let named = named.into_iter().find_map(|(key, name)| Some(json!({key: name.as_ref()?})));
        document.insert("backend".to_owned(), named.unwrap_or_else(|| json!(url)));
        if !self.plans.is_empty() {
            document.insert("plans".to_owned(), json!(self.plans));
        }
        document
    }
}
impl AddEndpoint {
    pub(super) fn document(&self) -> Map<String, Value> {
        let mut document = self.common.document("endpoint");
        document.insert("type".to_owned(), self.kind.as_str().into());
        document.extend(self.url.as_deref().map(|url| ("url".to_owned(), url.into())));
        document.extend(self.with.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
        document
    }
}
impl AddToken {
    /// `alice-20261122-143015123`: of this millisecond, so that two of one user differ.
    fn own_name(&self) -> String {
        let now = clock::rfc3339(clock::now_us());
        let digits: String = now.chars().filter(char::is_ascii_digit).take(17).collect();
        let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
        format!("{}-{day}-{time}", self.user.as_deref().unwrap_or("key"))
    }
    pub(super) fn document(&self) -> Map<String, Value> {
        let common = Common {
            name: self.name.clone().unwrap_or_else(|| self.own_name()),
            description: self.description.clone(),
            labels: self.labels.clone(),
        };
        let mut document = common.document("token");
        document.extend(self.manage.map(|manage| ("manage".to_owned(), manage.as_str().into())));
        document.extend(self.user.as_deref().map(|user| ("user".to_owned(), user.into())));
        document.extend(self.expires.as_deref().map(|expires| ("expires".to_owned(), expires.into())));
        document
    }
}

/// What a node says is to be written into a file, as a command does it.
pub(super) fn in_flags(problem: &mut Value, document: &Value) {
    for error in problem["errors"].as_array_mut().into_iter().flatten() {
        let part = |member: &str| error[member].as_str().unwrap_or_default();
        let (detail, pointer) = (part("detail"), part("pointer"));
        let hint = if detail.starts_with("`plans` is missing") {
            Some("add `--plan keyless` to let everybody".to_owned())
        } else if part("code") == Code::NoSuchReference.to_string() && !part("hint").starts_with("did you mean") {
            // A reference is spelled by its kind.
            let kind = pointer.rsplit('/').next().and_then(ResourceKind::of_word);
            let name = document.pointer(pointer).and_then(Value::as_str);
            kind.zip(name)
                .map(|(kind, name)| format!("make it first: `tidegate {} add {name}`", kind.word()))
        } else {
            None
        };
        if let Some(hint) = hint {
            error["hint"] = hint.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_in_words_of_the_command_line() {
        let document = json!({"backend": {"stream": "nope"}});
        let mut problem = json!({"errors": [
            {"code": "TG5002", "pointer": "", "detail": "`plans` is missing: nobody said it", "hint": "add `plans: [keyless]`"},
            {"code": "TG5007", "pointer": "/backend/stream", "detail": "there is no stream `nope`", "hint": "declare it: …"},
            {"code": "TG5007", "pointer": "/backend/stream", "detail": "there is no stream `nope`", "hint": "did you mean `hope`?"},
        ]});
        in_flags(&mut problem, &document);
        let hints: Vec<_> = (0..3).map(|i| problem["errors"][i]["hint"].as_str().unwrap()).collect();
        assert_eq!(
            hints,
            [
                "add `--plan keyless` to let everybody",
                "make it first: `tidegate stream add nope`",
                "did you mean `hope`?"
            ]
        );
    }

    #[test]
    fn a_token_ends_at_a_time_or_some_time_from_now() {
        assert_eq!(expiry("2027-01-01T00:00:00Z").as_deref(), Ok("2027-01-01T00:00:00Z"));
        let ends = clock::parse_rfc3339(&expiry("90d").unwrap()).unwrap();
        let day = 86_400_000_000;
        assert!((89 * day..=90 * day).contains(&(ends - clock::now_us())));
        assert!(expiry("soon").is_err() && expiry("99999999999999d").is_err());
    }
}
