//! Checked resources to the world's next snapshot. What an API needs is compared with what its backend can keep here, not at run time.
use crate::{
    instances::Instances,
    metrics::ApiMetrics,
    paths::Paths,
    route::{Route, scope},
    settings::Api,
    target::Target,
    world::Snapshot,
};
use std::{collections::HashMap, sync::Arc};
use tidegate_core::{
    check::{Needs, Problem, negotiate},
    error::{Code, Error, Fault, Result},
    policy::Policy,
};

/// An API that cannot be deployed, and why.
#[derive(Debug)]
pub struct Undeployable {
    /// Its name.
    pub api: Arc<str>,
    /// What its entrypoints ask and the backend cannot keep.
    pub problems: Vec<Problem>,
}
/// What routes are built with.
pub struct Making<'a> {
    /// What was before.
    pub was: &'a Snapshot,
    /// Knows the counters of an API by its name.
    pub metrics: &'a (dyn Fn(&Arc<str>) -> Arc<ApiMetrics> + Sync),
    /// Steps of every route.
    pub policies: &'a [Arc<dyn Policy>],
    /// Of the snapshot.
    pub revision: u64,
}
/// Opens what is new, keeps what is equal to what was, and builds every other route: whoever uses an API that stays as it was sees nothing
/// of it. On an error nothing was swapped.
pub async fn compile(apis: &[Api], instances: &mut Instances, making: Making<'_>) -> Result<Result<Snapshot, Vec<Undeployable>>> {
    let Making {
        was,
        metrics,
        policies,
        revision,
    } = making;
    let mut paths = Paths::default();
    let mut routes = HashMap::new();
    let mut refused = Vec::new();
    for given in apis.iter().filter(|api| api.enabled) {
        let mut publish = None;
        let mut subscribe = None;
        for (backend, side) in [(&given.publish, &mut publish), (&given.subscribe, &mut subscribe)] {
            if let Some(backend) = backend {
                *side = Some(instances.target(backend).await?);
            }
        }
        let mut api = given.clone();
        if !api.listed {
            fit(&mut api, &mut publish, &mut subscribe);
        }
        let problems = problems(&api, publish.as_ref(), subscribe.as_ref());
        if !problems.is_empty() {
            refused.push(Undeployable {
                api: api.name.clone(),
                problems,
            });
            continue;
        }
        let route = Arc::new(Route {
            name: given.name.clone(),
            api,
            publish,
            subscribe,
            policies: policies.iter().chain(instances.steps(&given.name)).cloned().collect(),
            metrics: metrics(&given.name),
            scope: scope(&given.name, ""),
        });
        let same = was.routes.get(&given.name).filter(|old| old.is_like(&route)).cloned();
        let route = same.unwrap_or(route);
        routes.insert(given.name.clone(), route.clone());
        for path in &given.paths {
            if paths.insert(path.host.as_deref(), &path.path, route.clone()).is_some() {
                return Err(Error::new(
                    Code::Duplicate,
                    Fault::Operator,
                    format!("two apis have the path `{}`", path.path),
                ));
            }
        }
    }
    Ok(if refused.is_empty() {
        Ok(Snapshot { paths, routes, revision })
    } else {
        Err(refused)
    })
}
/// A worker has each message for itself, and settles it by itself.
const PULL: Needs = Needs {
    publish: false,
    subscribe: true,
    level: None,
    at_least_once: true,
    individual: true,
    resume: false,
    group: true,
};
/// Of entrypoints nobody listed, those stay that the endpoint can serve.
fn fit(api: &mut Api, publish: &mut Option<Target>, subscribe: &mut Option<Target>) {
    let can = |target: &Target| target.endpoint.capabilities();
    if subscribe.is_some() && publish.as_ref().is_some_and(|target| !can(target).produce) {
        *publish = None;
        api.http_post = None;
    }
    if publish.is_some() && subscribe.as_ref().is_some_and(|target| !can(target).consume) {
        *subscribe = None;
        (api.http_get, api.sse) = (None, None);
    }
    if subscribe.as_ref().is_none_or(|target| !negotiate("", PULL, can(target)).is_empty()) {
        api.pull = None;
    }
    if let Some(websocket) = &mut api.websocket {
        websocket.publish &= publish.is_some();
        websocket.subscribe &= subscribe.is_some();
    }
}
fn problems(api: &Api, publish: Option<&Target>, subscribe: Option<&Target>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let (Some(post), Some(target)) = (&api.http_post, publish) {
        let needs = Needs {
            publish: true,
            level: post.ack,
            ..Needs::default()
        };
        problems.extend(negotiate("/entrypoints/http_post", needs, target.endpoint.capabilities()));
    }
    if let (Some(websocket), Some(target)) = (api.websocket.as_ref().filter(|websocket| websocket.publish), publish) {
        let needs = Needs {
            publish: true,
            level: websocket.ack,
            ..Needs::default()
        };
        problems.extend(negotiate("/entrypoints/websocket", needs, target.endpoint.capabilities()));
    }
    let reads = [
        ("/entrypoints/http_get", api.http_get.is_some()),
        ("/entrypoints/sse", api.sse.is_some()),
        (
            "/entrypoints/websocket",
            api.websocket.as_ref().is_some_and(|websocket| websocket.subscribe),
        ),
    ];
    if let Some(target) = subscribe {
        let needs = Needs {
            subscribe: true,
            ..Needs::default()
        };
        for (at, _) in reads.into_iter().filter(|(_, on)| *on) {
            problems.extend(negotiate(at, needs, target.endpoint.capabilities()));
        }
        if api.pull.is_some() {
            problems.extend(negotiate("/entrypoints/pull", PULL, target.endpoint.capabilities()));
        }
    }
    problems
}
