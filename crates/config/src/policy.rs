//! Steps on the way of an api's messages.
use crate::{
    backend::{Backend, Reference},
    ledger::{Fault, Ledger},
    read::Record,
    schema::{REQUIRED, Required, required},
    shape::{Shape, Table, key},
};
use tidegate_core::{error::Code, validator::OnFailure};

/// One step, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// What is published must match a schema.
    Schema(Required),
}

pub(crate) static POLICY: Table = Table {
    title: "policy",
    doc: "One step. They are taken in their order.",
    keys: &[
        key(
            "policy",
            Shape::Choice {
                now: &["schema"],
                later: &["set_headers"],
            },
            "Which. `schema`: what is published must match one, whatever the backend is.",
        )
        .required()
        .example("schema"),
        key(
            "phase",
            Shape::Choice {
                now: &["publish"],
                later: &["admit", "deliver"],
            },
            "When it is taken.",
        )
        .default("publish"),
        key("when", Shape::Later, "Only then."),
        key("with", Shape::Record(&REQUIRED), "Its settings.")
            .required()
            .example("{ schema: order, on_failure: reject }"),
    ],
};
/// Those of one api.
pub(crate) fn check(api: &Record, publish: Option<&Backend>, references: &mut Vec<Reference>, ledger: &mut Ledger) -> Vec<Policy> {
    let mut policies = Vec::new();
    for field in api.list("policies") {
        let Some(policy) = field.record().filter(|policy| policy.text("policy") == "schema") else {
            continue;
        };
        let Some(with) = policy.record("with") else { continue };
        let Some(asked) = required(with, field.hidden, references) else {
            continue;
        };
        let kept = matches!(publish, Some(Backend::Stream(_)));
        if asked.on_failure == OnFailure::DeadLetter && !kept && publish.is_some() {
            let path = with.path.key("on_failure");
            let fault = Fault::new(
                Code::Unkeepable,
                with.at("on_failure"),
                &path,
                "a dead letter needs a stream: what is published here goes elsewhere",
            );
            ledger.tell(
                fault
                    .expected("`reject` or `warn`")
                    .hint("or publish to a stream, and write `schema` there"),
            );
        }
        policies.push(Policy::Schema(asked));
    }
    policies
}
