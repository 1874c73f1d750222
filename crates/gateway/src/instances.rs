//! Endpoints that are open, by what they were opened with: a reload that changes nothing opens nothing.
use crate::settings::{self, Backend};
use std::{collections::HashMap, sync::Arc};
use tidegate_core::{
    check::{Kind, Problem},
    endpoint::Endpoint,
    error::{Code, Error, Fault, Result},
    policy::Policy,
    topic::Topic,
};

use crate::target::{Target, Wanted};

/// Opens the embedded endpoint: bound to the stream of that name, or over all topics.
pub type OpenLocal = Box<dyn Fn(Option<&str>) -> Result<Arc<dyn Endpoint>> + Send + Sync>;

/// What is open now.
pub struct Instances {
    kinds: Vec<Kind>,
    local: OpenLocal,
    declared: HashMap<Arc<str>, Declared>,
    open: HashMap<(&'static str, u64), Arc<dyn Endpoint>>,
    streams: HashMap<Arc<str>, Arc<dyn Endpoint>>,
    topics: Option<Arc<dyn Endpoint>>,
    /// By the api's name.
    steps: HashMap<Arc<str>, Vec<Arc<dyn Policy>>>,
}
/// A configured endpoint, before it is opened.
#[derive(Clone)]
struct Declared {
    kind: Arc<str>,
    config: serde_json::Value,
}
impl Instances {
    /// Nothing is open yet.
    pub fn new(kinds: Vec<Kind>, local: OpenLocal) -> Self {
        Self {
            kinds,
            local,
            declared: HashMap::new(),
            open: HashMap::new(),
            streams: HashMap::new(),
            topics: None,
            steps: HashMap::new(),
        }
    }
    /// Steps that apis ask for by their configuration, from now on.
    pub fn take_steps(&mut self, steps: HashMap<Arc<str>, Vec<Arc<dyn Policy>>>) {
        self.steps = steps;
    }
    /// Those of one api.
    pub fn steps(&self, api: &str) -> &[Arc<dyn Policy>] {
        self.steps.get(api).map_or(&[], Vec::as_slice)
    }
    /// The target a checked backend names, opened at need.
    pub async fn target(&mut self, backend: &Backend) -> Result<Target> {
        match backend {
            Backend::Stream(name) => {
                let endpoint = match self.streams.get(name) {
                    Some(endpoint) => endpoint.clone(),
                    None => (self.local)(Some(name))?,
                };
                self.streams.insert(name.clone(), endpoint.clone());
                Ok(Target::new(endpoint, Wanted::Whole(Topic::from(&**name))))
            }
            Backend::Topic(template) => {
                let endpoint = match &self.topics {
                    Some(endpoint) => endpoint.clone(),
                    None => (self.local)(None)?,
                };
                self.topics = Some(endpoint.clone());
                let wanted = if template.contains("${") {
                    Wanted::Template(template.as_str().into())
                } else {
                    Wanted::One(Topic::from(template.as_str()))
                };
                Ok(Target::new(endpoint, wanted))
            }
            Backend::Mock(value) => {
                let endpoint = self.configured("mock", value).await?;
                Ok(Target::new(endpoint, Wanted::Whole(Topic::from_static("mock"))))
            }
            Backend::Endpoint { name, topic } => {
                let Declared { kind, config } = self.declared.get(name).cloned().ok_or_else(|| unknown(name))?;
                let endpoint = self.configured(&kind, &config).await?;
                let wanted = match topic {
                    None => Wanted::Whole(Topic::from(&**name)),
                    Some(template) if template.contains("${") => Wanted::Template(template.as_str().into()),
                    Some(topic) => Wanted::One(Topic::from(topic.as_str())),
                };
                Ok(Target::new(endpoint, wanted))
            }
        }
    }
    /// Endpoints that backends name, from now on these.
    pub fn declare(&mut self, endpoints: &[settings::Endpoint]) {
        let declared = |endpoint: &settings::Endpoint| {
            let declared = Declared {
                kind: endpoint.kind.clone(),
                config: endpoint.config.clone(),
            };
            (endpoint.name.clone(), declared)
        };
        self.declared = endpoints.iter().map(declared).collect();
    }
    /// What is open with that configuration, or opened with it.
    async fn configured(&mut self, kind: &str, config: &serde_json::Value) -> Result<Arc<dyn Endpoint>> {
        let kind = self.kinds.iter().find(|one| one.name == kind).ok_or_else(|| unknown(kind))?;
        let checked = (kind.check)(config).map_err(|problems| wrong(&problems))?;
        let key = (kind.name, checked.digest());
        let endpoint = match self.open.get(&key) {
            Some(endpoint) => endpoint.clone(),
            None => checked.open().await?,
        };
        self.open.insert(key, endpoint.clone());
        Ok(endpoint)
    }
    /// A stream of that name that comes later is another one.
    pub fn forget_stream(&mut self, name: &str) {
        self.streams.remove(name);
    }
    /// Closes what no route of the new world holds any more.
    pub fn forget_unused(&mut self) {
        self.open.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
        self.streams.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }
}
fn unknown(name: &str) -> Error {
    Error::new(Code::NoSuchReference, Fault::Operator, format!("there is no endpoint `{name}`"))
}
/// `config` has asked the same question before, with line and column: this answers who did not.
fn wrong(problems: &[Problem]) -> Error {
    let text: Vec<_> = problems.iter().map(|p| format!("{}: expected {}", p.at, p.expected)).collect();
    Error::new(Code::BadValue, Fault::Operator, text.join("; "))
}
