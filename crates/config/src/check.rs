//! Documents → checked resources, and what holds between them: names, references, paths. Pure: everything was read before.
use crate::{
    Checked,
    api::{Api, Promise, ReadApi},
    backend::Reference,
    diagnostic::Place,
    endpoint::Endpoint,
    kept,
    kinds::{Id, ResourceKind},
    ledger::{At, Fault, Ledger, Path, shown},
    load::Mode,
    node::Node,
    schema::Schema,
    shape::one_of,
    stream::{ReadStream, Stream},
    suggest::suggest,
    token::{Grants, Token},
    tree::{Data, Value},
    user::User,
    webhook::{ReadWebhook, Webhook},
};
use std::{collections::HashMap, fmt};
use tidegate_core::{check::Kind, error::Code, receipt::Level};

/// What a document may say its kind is.
fn words() -> impl Iterator<Item = &'static str> + Clone {
    let all = || ResourceKind::ALL.iter();
    all().map(|kind| kind.word()).chain(all().filter_map(|kind| kind.alias()))
}
/// Known words; nothing reads them yet.
const LATER: &[&str] = &[
    "plan",
    "application",
    "subscription",
    "realm",
    "action",
    "rule",
    "credential",
    "connector",
];
/// Of all streams together: what the log keeps open.
const MOST_PARTITIONS: u64 = 65_536;

/// What a document declares.
pub(crate) enum Declares<'a> {
    /// The settings of the process.
    Node,
    /// A resource.
    Resource(ResourceKind),
    /// Nothing that can be read: an error was or will be told about its kind.
    Nothing(&'a Value),
}
/// Without telling anything; [`check`] does that.
pub(crate) fn declares(document: &Value) -> Declares<'_> {
    let Data::Map(_) = document.data else {
        return Declares::Nothing(document);
    };
    let Some(kind) = document.get("kind") else {
        // Only resources have names, so a document with one forgot its kind.
        let resource = document.get("name").is_some() && document.get("listeners").is_none();
        return if resource { Declares::Nothing(document) } else { Declares::Node };
    };
    match kind.value.text().and_then(ResourceKind::of_word) {
        Some(kind) => Declares::Resource(kind),
        None => Declares::Nothing(&kind.value),
    }
}
/// Which resource it declares, if that can be read.
pub(crate) fn id(document: &Value) -> Option<Id> {
    match declares(document) {
        Declares::Resource(kind) => Some(Id::new(kind, document.get("name")?.value.text()?)),
        Declares::Node | Declares::Nothing(_) => None,
    }
}
/// How a document is called in errors: `apis "orders"`; nothing for the settings.
pub(crate) fn label(document: &Value) -> Path {
    let plural = match declares(document) {
        Declares::Node => return Path::default(),
        Declares::Resource(kind) => kind.plural().to_owned(),
        Declares::Nothing(_) => match document
            .get("kind")
            .and_then(|kind| kind.value.text().filter(|_| !kind.value.hidden))
        {
            Some(kind) => shown(kind),
            None => "resources".to_owned(),
        },
    };
    let name = match document.get("name") {
        Some(name) if name.value.hidden => "***".to_owned(),
        Some(name) => shown(name.value.text().unwrap_or("?")),
        None => "?".to_owned(),
    };
    Path::of(format!("{plural} \"{name}\""))
}

/// All documents at once. Of use only when the ledger stayed empty.
pub(crate) fn check(documents: &[Value], mode: Mode, kinds: &[Kind], ledger: &mut Ledger) -> Checked {
    let mut names = Names::default();
    let (mut schemas, mut streams): (Vec<Schema>, Vec<ReadStream>) = (Vec::new(), Vec::new());
    let (mut apis, mut endpoints) = (Vec::new(), Vec::new());
    let mut known: HashMap<[u8; 32], (At, String)> = HashMap::new();
    let (mut webhooks, mut users, mut tokens): (Vec<ReadWebhook>, _, _) = (Vec::new(), Vec::new(), Vec::new());
    let mut node: Option<(Node, At)> = None;
    let mut published = Vec::new();
    let mut partitions = 0_u64;
    // A stream that was not read whole might capture anything.
    let mut all_streams = true;
    for document in documents {
        let path = label(document);
        let document = &*kept::told(document, &path, ledger);
        if let Declares::Resource(kind) = declares(document) {
            names.add(kind, document, &path, ledger);
        }
        match declares(document) {
            Declares::Node => match &node {
                None => node = Some((Node::check(document, mode, ledger), document.at)),
                Some((_, first)) => {
                    let message = "a second document without `kind`";
                    let fault = Fault::new(Code::Duplicate, document.at, &path, message);
                    let first = ledger.place(*first);
                    ledger.tell(fault.hint(format!("the settings of this process are at {first}; a resource needs a `kind`")));
                }
            },
            Declares::Resource(ResourceKind::Schema) => schemas.push(Schema::check(document, &path, kinds, ledger)),
            Declares::Resource(ResourceKind::Stream) => {
                let told = ledger.faults();
                let stream = Stream::check(document, &path, ledger);
                all_streams &= told == ledger.faults();
                let before = partitions;
                partitions += u64::from(stream.stream.partitions);
                if let (true, Some(entry)) = ((before..partitions).contains(&MOST_PARTITIONS), document.get("partitions")) {
                    let message = format!("all streams together have more than {MOST_PARTITIONS} partitions");
                    let fault = Fault::new(Code::BadValue, entry.value.at, &path.key("partitions"), message);
                    ledger.tell(fault.expected("fewer partitions"));
                }
                streams.push(stream);
            }
            Declares::Resource(ResourceKind::Api) => apis.push(Api::check(document, &path, mode, kinds, ledger)),
            Declares::Resource(ResourceKind::Webhook) => webhooks.push(Webhook::check(document, &path, ledger)),
            Declares::Resource(ResourceKind::Endpoint) => endpoints.push(Endpoint::check(document, &path, kinds, ledger)),
            Declares::Resource(ResourceKind::User) => {
                let user = User::check(document, &path, ledger);
                if let Some(entry) = user.published().and_then(|key| document.get(key)) {
                    published.push((entry.value.at, path.key(&entry.key), user.name.clone()));
                }
                users.push(user);
            }
            Declares::Resource(ResourceKind::Token) => {
                let token = Token::check(document, &path, ledger);
                // Else whoever removes one of them has revoked nothing.
                let first = known.insert(token.sha256, (document.at, shown(&token.name)));
                if let (Some((first, by)), Some(entry)) = (first, document.get("sha256")) {
                    let by = Holder::new(ResourceKind::Token, &by, first, ledger);
                    let message = format!("this hash is taken by the {by}");
                    let fault = Fault::new(Code::Duplicate, entry.value.at, &path.key("sha256"), message);
                    ledger.tell(fault.hint(format!("{}each token needs a secret of its own", by.shown())));
                }
                tokens.push(token);
            }
            Declares::Nothing(culprit) => {
                names.unread(document);
                ledger.tell(no_kind(document, culprit, &path));
            }
        }
    }
    if mode == Mode::Run || node.as_ref().is_some_and(|(node, _)| !node.listeners.only_this_machine()) {
        for (at, path, name) in published {
            let message = format!("user `{}` has what public documents print", shown(&name));
            let fault = Fault::new(Code::PublishedCredentials, at, &path, message);
            ledger.tell(fault.expected("a secret of your own").hint("`tidegate user add` makes one"));
        }
    }
    let of_apis = apis.iter().flat_map(|read| &read.references);
    let of_streams = streams.iter().flat_map(|read| &read.references);
    for reference in of_streams.chain(of_apis).chain(webhooks.iter().flat_map(|read| &read.references)) {
        names.look_up(reference, ledger);
    }
    paths(&apis, ledger);
    if all_streams && names.unread.is_empty() && !names.unsure && !ledger.incomplete {
        promises(&apis, &streams, ledger);
    }
    let of_apis = apis.iter().map(|read| (ResourceKind::Api, &read.api.name, &read.references));
    let of_webhooks = webhooks
        .iter()
        .map(|read| (ResourceKind::Webhook, &read.webhook.name, &read.references));
    let of_streams = streams
        .iter()
        .map(|read| (ResourceKind::Stream, &read.stream.name, &read.references));
    let uses = of_streams.chain(of_apis).chain(of_webhooks).flat_map(|(kind, name, references)| {
        let user = Id::new(kind, name.clone());
        references.iter().map(move |of| (user.clone(), Id::new(of.kind, of.name.as_str())))
    });
    // Made if they are not declared, but nobody deletes them while somebody puts dead letters there.
    let of_streams = streams.iter().map(|stream| {
        (
            ResourceKind::Stream,
            &stream.stream.name,
            stream.stream.dead_letters.as_ref().and_then(|dead| dead.stream.as_ref()),
        )
    });
    let of_pumps = webhooks
        .iter()
        .map(|read| (ResourceKind::Webhook, &read.webhook.name, read.webhook.dead_letters.as_ref()));
    let graves = of_streams
        .chain(of_pumps)
        .filter_map(|(kind, name, dead)| Some((Id::new(kind, name.clone()), Id::new(ResourceKind::Stream, dead?.clone()))));
    // Else they would open to whoever takes the user's name some day.
    let keys: Vec<_> = tokens
        .iter()
        .filter_map(|token| match &token.grants {
            Grants::User(user) => Some((
                Id::new(ResourceKind::Token, token.name.clone()),
                Id::new(ResourceKind::User, user.clone()),
            )),
            Grants::Manage(_) => None,
        })
        .collect();
    Checked {
        node: node.map(|(node, _)| node).unwrap_or_default(),
        uses: uses.chain(graves).chain(keys).collect(),
        schemas,
        streams: streams.into_iter().map(|read| read.stream).collect(),
        apis: apis.into_iter().map(|read| read.api).collect(),
        endpoints,
        webhooks: webhooks.into_iter().map(|read| read.webhook).collect(),
        users,
        tokens,
    }
}
/// What is wrong with a document that declares nothing.
pub(crate) fn no_kind(document: &Value, culprit: &Value, path: &Path) -> Fault {
    let expected = one_of(words());
    if !matches!(document.data, Data::Map(_)) {
        let message = format!("a document cannot be {}", document.shown());
        return Fault::new(Code::BadValue, document.at, &Path::default(), message).expected("a map");
    }
    let near = |word: &str| suggest(word, words().chain(LATER.iter().copied()));
    match (document.get("kind"), culprit.text()) {
        (None, _) => {
            // `knd: stream` is one fault, not two.
            let typed = document.entries().iter().find(|entry| suggest(&entry.key, ["kind"]).is_some());
            match typed {
                Some(entry) => Fault::new(
                    Code::UnknownKey,
                    entry.at,
                    &path.key(&entry.key),
                    format!("unknown key `{}`", shown(&entry.key)),
                )
                .did_you_mean(Some("kind")),
                None => Fault::new(Code::MissingKey, document.at, path, "`kind` is missing")
                    .expected(expected)
                    .hint("add `kind: stream`, or what it is"),
            }
        }
        (Some(_), Some(word)) if LATER.contains(&word) && !culprit.hidden => {
            Fault::later(culprit.at, &path.key("kind"), &format!("the kind `{word}`")).expected(expected)
        }
        (Some(_), word) => Fault::new(
            Code::UnknownKind,
            culprit.at,
            &path.key("kind"),
            format!("unknown kind {}", culprit.shown()),
        )
        .expected(expected)
        .did_you_mean(word.and_then(near).filter(|_| !culprit.hidden)),
    }
}

/// Who is called what, also of resources with errors, so that nobody who refers to them is blamed.
#[derive(Default)]
struct Names {
    taken: HashMap<(ResourceKind, String), (At, bool)>,
    /// Of documents whose kind is not known: they might be anything.
    unread: Vec<String>,
    /// A resource has no readable name: it might be the one somebody refers to.
    unsure: bool,
}
impl Names {
    fn add(&mut self, kind: ResourceKind, document: &Value, path: &Path, ledger: &mut Ledger) {
        let Some((name, value)) = document.get("name").and_then(|entry| Some((entry.value.text()?, &entry.value))) else {
            self.unsure = true;
            return;
        };
        match self.taken.get(&(kind, name.to_owned())) {
            None => {
                self.taken.insert((kind, name.to_owned()), (value.at, value.hidden));
            }
            Some((first, _)) => {
                let message = format!("there is another {kind} named {}", value.shown());
                let fault = Fault::new(Code::Duplicate, value.at, &path.key("name"), message);
                let first = ledger.place(*first);
                ledger.tell(fault.hint(format!("the first one is at {first}; rename or remove one")));
            }
        }
    }
    fn unread(&mut self, document: &Value) {
        match document.get("name").and_then(|entry| entry.value.text()) {
            Some(name) => self.unread.push(name.to_owned()),
            None => self.unsure = true,
        }
    }
    fn look_up(&self, reference: &Reference, ledger: &mut Ledger) {
        let Reference {
            kind,
            name,
            at,
            path,
            hidden,
        } = reference;
        let known = self.taken.contains_key(&(*kind, name.clone())) || self.unread.contains(name);
        if known || self.unsure || ledger.incomplete || ledger.is_full() {
            return;
        }
        let there = self.taken.iter().filter(|((one, _), (_, hidden))| one == kind && !hidden);
        // Of more names than that none is found by guessing.
        let mut there: Vec<_> = there.map(|((_, name), _)| name.as_str()).take(1_000).collect();
        there.sort_unstable();
        let near = suggest(name, there.iter().copied()).filter(|_| !hidden);
        let called = if *hidden { "***".to_owned() } else { shown(name) };
        let mut fault = Fault::new(Code::NoSuchReference, *at, path, format!("there is no {kind} `{called}`")).did_you_mean(near);
        if near.is_none() {
            fault = match kind {
                ResourceKind::Stream if !hidden => fault.hint(format!("declare it: `{{ kind: stream, name: {called} }}`")),
                _ => fault.hint(format!("declare it, or name one of the {kind}s there are")),
            };
        }
        ledger.tell(fault);
    }
}
/// A level for a topic that has a name: each publish would be refused where no stream captures it, or one does.
fn promises(apis: &[ReadApi], streams: &[ReadStream], ledger: &mut Ledger) {
    for promise in apis.iter().flat_map(|read| &read.promises) {
        let Promise { topic, level, at, path } = promise;
        if topic.contains("${rest}") {
            continue;
        }
        let captures = |stream: &&Stream| *stream.name == **topic || stream.topics.iter().any(|filter| filter.matches(topic));
        let (why, expected, hint) = match (level, streams.iter().map(|read| &read.stream).find(captures)) {
            (Level::Stored, None) => {
                let hint = format!("declare one: `{{ kind: stream, name: NAME, topics: [\"{}\"] }}`", shown(topic));
                (format!("no stream captures `{}`", shown(topic)), "`delivered` or `accepted`", hint)
            }
            (Level::Delivered, Some(stream)) => {
                let why = format!("the stream `{}` stores `{}`", shown(&stream.name), shown(topic));
                (why, "`stored` or `accepted`", "remove it: `stored` is the default there".to_owned())
            }
            _ => continue,
        };
        let message = format!("the backend does not offer `{}`: {why}", level.as_str());
        ledger.tell(Fault::new(Code::Unkeepable, *at, path, message).expected(expected).hint(hint));
    }
}
/// Who was there first, so that whoever comes second need not search: ``api `orders` at a.yaml:3:9``.
struct Holder<'a> {
    kind: ResourceKind,
    name: &'a str,
    place: Place,
}
impl<'a> Holder<'a> {
    fn new(kind: ResourceKind, name: &'a str, at: At, ledger: &Ledger) -> Self {
        let place = ledger.place(at);
        Self { kind, name, place }
    }
    /// For a hint: how to look at what stands in no line of any file.
    fn shown(&self) -> String {
        match self.place.line {
            0 => format!("`tidegate {} info {}` shows it; ", self.kind, self.name),
            _ => String::new(),
        }
    }
}
impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)?;
        match self.place.line {
            0 => Ok(()),
            _ => write!(f, " at {}", self.place),
        }
    }
}
/// One place for requests to go: equal path and host in two places is an error, also while one of them is switched off.
fn paths(apis: &[ReadApi], ledger: &mut Ledger) {
    let mut taken: HashMap<(String, Option<String>), (At, String)> = HashMap::new();
    for read in apis {
        for (path, at) in read.api.paths.iter().zip(&read.places) {
            let name = shown(&read.api.name);
            let key = (path.path.clone(), path.host.clone());
            let Some((first, by)) = taken.get(&key) else {
                taken.insert(key, (*at, name));
                continue;
            };
            let by = Holder::new(ResourceKind::Api, by, *first, ledger);
            let path = Path::of(format!("apis \"{name}\"")).key("paths");
            let fault = Fault::new(Code::Duplicate, *at, &path, format!("this path is taken by the {by}"));
            ledger.tell(fault.hint(format!("{}choose another path, or give one a `host`", by.shown())));
        }
    }
}
