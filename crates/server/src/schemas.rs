//! Schemas as they are served: each compiled once, handed to the streams and apis that ask for it.
use futures::future::BoxFuture;
use std::{collections::HashMap, sync::Arc};
use tidegate_config::{Api, Backend, Content, Id, Policy as Step, Required, ResourceKind, Schema, Stream};
use tidegate_control::{plane::Refusal, schemas::source};
use tidegate_core::{
    check::{Kind, Problem},
    error::{Error, Result},
    message::Message,
    policy::Policy,
    validator::{OnFailure, Required as Asked, Validator},
};
use tidegate_endpoints::local::{House, Letter, Need, REASON};
use tidegate_gateway::policies::{self, Keeper};
use tidegate_log::Log;

/// What a configuration is checked with: the endpoint types there are, and what schemas say.
pub(crate) fn kinds() -> Vec<Kind> {
    let mut kinds = tidegate_endpoints::kinds();
    kinds.push(tidegate_schema::kind());
    kinds
}

/// See the head of this file. What stayed as it was stays compiled.
#[derive(Default)]
pub(crate) struct Schemas {
    known: HashMap<Arc<str>, Compiled>,
    steps: HashMap<Arc<str>, Steps>,
}
struct Compiled {
    content: Content,
    validator: Arc<dyn Validator>,
}
/// Of one api.
struct Steps {
    asked: Vec<Step>,
    publish: Option<Backend>,
    with: Vec<Arc<dyn Validator>>,
    made: Vec<Arc<dyn Policy>>,
}
impl Schemas {
    /// Those that are declared now.
    pub(crate) fn compile(&mut self, declared: &[Schema]) -> Result<(), Refusal> {
        let mut before = std::mem::take(&mut self.known);
        let mut wrong = Vec::new();
        for schema in declared {
            let known = before.remove(&schema.name).filter(|known| known.content == schema.content);
            let compiled = match known {
                Some(known) => Ok(known),
                None => tidegate_schema::compile(&schema.name, source(&schema.content)).map(|validator| Compiled {
                    content: schema.content.clone(),
                    validator,
                }),
            };
            match compiled {
                Ok(compiled) => drop(self.known.insert(schema.name.clone(), compiled)),
                Err(invalid) => {
                    let problem = Problem {
                        at: format!("/{}", schema.content.word()),
                        expected: invalid.to_string().into(),
                        hint: invalid.hint,
                    };
                    wrong.push((Id::new(ResourceKind::Schema, schema.name.clone()), problem));
                }
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Unkeepable(wrong))
        }
    }
    fn asked(&self, required: &Required) -> Option<Asked> {
        Some(Asked {
            validator: self.known.get(&required.schema)?.validator.clone(),
            on_failure: required.on_failure,
        })
    }
    /// What each stream asks, by its number.
    pub(crate) fn needs(&self, log: &Log, streams: &[Stream]) -> Vec<(u32, Need)> {
        let one = |stream: &Stream| {
            let required = stream.schema.as_ref()?;
            let need = Need {
                schema: required.schema.clone(),
                required: self.asked(required)?,
            };
            Some((log.stream(&stream.name)?.number(), need))
        };
        streams.iter().filter_map(one).collect()
    }
    /// The steps of each api that has some.
    pub(crate) fn steps(&mut self, apis: &[Api], house: &Arc<House>, log: &Arc<Log>) -> HashMap<Arc<str>, Vec<Arc<dyn Policy>>> {
        let mut before = std::mem::take(&mut self.steps);
        for api in apis.iter().filter(|api| !api.policies.is_empty()) {
            let asked = api
                .policies
                .iter()
                .filter_map(|Step::Schema(required)| self.asked(required).map(|asked| (required, asked)));
            let asked: Vec<_> = asked.collect();
            let same = |steps: &Steps| {
                let with = steps.with.iter().zip(&asked);
                steps.asked == api.policies
                    && steps.publish == api.publish
                    && steps.with.len() == asked.len()
                    && with.into_iter().all(|(was, (_, is))| Arc::ptr_eq(was, &is.validator))
            };
            let steps = before.remove(&api.name).filter(same).unwrap_or_else(|| {
                let keeper = Arc::new(OfApi {
                    name: format!("api/{}", api.name),
                    stream: match &api.publish {
                        Some(Backend::Stream(name)) => Some(name.clone()),
                        _ => None,
                    },
                    house: house.clone(),
                    log: log.clone(),
                });
                let step = |(required, asked): &(&Required, Asked)| -> Arc<dyn Policy> {
                    Arc::new(policies::Schema {
                        schema: required.schema.clone(),
                        required: asked.clone(),
                        keeper: keeper.clone(),
                    })
                };
                Steps {
                    asked: api.policies.clone(),
                    publish: api.publish.clone(),
                    with: asked.iter().map(|(_, asked)| asked.validator.clone()).collect(),
                    made: asked.iter().map(step).collect(),
                }
            });
            self.steps.insert(api.name.clone(), steps);
        }
        self.steps.iter().map(|(name, steps)| (name.clone(), steps.made.clone())).collect()
    }
}
/// What does not match the schema of an api.
struct OfApi {
    name: String,
    stream: Option<Arc<str>>,
    house: Arc<House>,
    log: Arc<Log>,
}
impl Keeper for OfApi {
    fn count(&self, schema: &str, action: OnFailure) {
        self.house.failures().count(&self.name, schema, action);
    }
    fn bury(&self, letters: Vec<(Message, Error)>, scope: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            // The configuration asks for one; it may have been deleted since.
            let Some(stream) = self.stream.as_ref().and_then(|name| self.log.stream(name)) else {
                return Ok(());
            };
            let letter = |(message, error)| Letter {
                stream: stream.clone(),
                message,
                error,
                reason: REASON,
            };
            self.house.bury(letters.into_iter().map(letter).collect(), scope).await
        })
    }
}
