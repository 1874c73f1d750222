//! parse → check (pure, all problems at once) → open (I/O). Only a `Checked` can be opened.
use crate::{
    endpoint::{AckMode, Capabilities, Endpoint},
    error::Result,
    receipt::Level,
};
use futures::future::BoxFuture;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

/// One line in a hand-written list; a closure, for `local` needs log and hub.
pub struct Kind {
    pub name: &'static str,
    pub schema: fn() -> Value,
    pub check: Check,
}
pub type Check = Box<dyn Fn(&Value) -> Result<Box<dyn Checked>, Vec<Problem>> + Send + Sync>;
pub trait Checked: Send + Sync {
    /// Equal = nothing changed: a reload keeps the running instance.
    fn digest(&self) -> u64;
    /// The endpoint owns every task it spawns, so a rolled-back reload leaks nothing.
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Endpoint>>>;
}
/// `config` adds file, line and column from `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer.
    pub at: String,
    pub expected: Cow<'static, str>,
    pub hint: Option<Cow<'static, str>>,
}

/// What an entrypoint needs from an endpoint to keep its promise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    pub publish: bool,
    pub subscribe: bool,
    pub level: Option<Level>,
    pub at_least_once: bool,
    pub resume: bool,
    pub group: bool,
}
/// Asked at deployment, never at run time. `at` = the entrypoint's pointer.
pub fn negotiate(at: &str, needs: Needs, can: Capabilities) -> Vec<Problem> {
    let level_kept = needs.level.is_none_or(|level| can.levels.contains(&level));
    let rows = [
        (
            needs.publish && !can.produce,
            "an endpoint that can be published to",
            "remove the entrypoint",
        ),
        (
            needs.subscribe && !can.consume,
            "an endpoint that can be consumed",
            "remove the entrypoint",
        ),
        (!level_kept, "a level this endpoint keeps", "leave `ack` out to take its default"),
        (
            needs.resume && !can.by_cursor,
            "an endpoint that resumes by cursor",
            "put a stream in front of it",
        ),
        (
            needs.group && !can.by_group,
            "an endpoint that knows groups",
            "put a stream in front of it",
        ),
        (
            needs.at_least_once && can.ack == AckMode::None,
            "an endpoint that acknowledges",
            "put a stream in front of it",
        ),
    ];
    let problem = |(_, expected, hint): (bool, &'static str, &'static str)| Problem {
        at: at.to_owned(),
        expected: expected.into(),
        hint: Some(hint.into()),
    };
    rows.into_iter().filter(|row| row.0).map(problem).collect()
}
