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
    /// The word a configuration writes: `mock`.
    pub name: &'static str,
    /// The JSON Schema of its options, for the shipped schema and the reference pages.
    pub schema: fn() -> Value,
    /// Reads the options.
    pub check: Check,
}
/// Pure: no I/O, the same answer for the same value, and every problem at once rather than the first.
pub type Check = Box<dyn Fn(&Value) -> Result<Box<dyn Checked>, Vec<Problem>> + Send + Sync>;
/// Options that passed their check. The only thing that can be opened.
pub trait Checked: Send + Sync {
    /// Equal = nothing changed: a reload keeps the running instance.
    fn digest(&self) -> u64;
    /// Connects. The endpoint owns every task it spawns, so a rolled-back reload leaks nothing. Cancel-safe for the same reason.
    fn open(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn Endpoint>>>;
}
/// `config` adds file, line and column from `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer.
    pub at: String,
    /// What would be right there: lower case, no full stop.
    pub expected: Cow<'static, str>,
    /// What the operator can do about it.
    pub hint: Option<Cow<'static, str>>,
}

/// What an entrypoint needs from an endpoint to keep its promise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// It publishes.
    pub publish: bool,
    /// It subscribes.
    pub subscribe: bool,
    /// The level it answers with when the caller asks for none.
    pub level: Option<Level>,
    /// A message counts as delivered only when it was settled.
    pub at_least_once: bool,
    /// Its clients settle message by message.
    pub individual: bool,
    /// Its clients come back with a cursor.
    pub resume: bool,
    /// Its clients share one reading position.
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
            needs.individual && can.ack != AckMode::Individual,
            "an endpoint that acknowledges message by message",
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
