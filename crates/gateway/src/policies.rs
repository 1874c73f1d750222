//! Steps that an api's configuration asks for.
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use tidegate_core::{
    endpoint::Publish,
    error::{Error, Result},
    exchange::Exchange,
    headers::Headers,
    message::Message,
    policy::{Policy, Scope, Step},
    validator::{INLINE, OnFailure, Required, ask_aside},
};

/// What is published must match a schema, wherever it goes.
pub struct Schema {
    /// The name of the schema.
    pub schema: Arc<str>,
    /// What it asks, and what happens otherwise.
    pub required: Required,
    /// Told of what does not match.
    pub keeper: Arc<dyn Keeper>,
}
/// Counts what does not match a schema, and keeps it where that is asked.
pub trait Keeper: Send + Sync {
    /// One more.
    fn count(&self, schema: &str, action: OnFailure);
    /// Keeps them as dead letters: durable when it resolves. An error refuses whatever came with them.
    fn bury(&self, letters: Vec<(Message, Error)>, scope: u64) -> BoxFuture<'_, Result<()>>;
}
impl Policy for Schema {
    fn name(&self) -> &'static str {
        "schema"
    }
    fn publish<'a>(&'a self, _x: &'a Exchange, publish: &'a mut Publish) -> Step<'a> {
        let validator = &self.required.validator;
        let bytes: usize = publish.batch.iter().map(|message| message.payload.len()).sum();
        if bytes <= INLINE {
            return self.settle(publish, |message| validator.check(message));
        }
        Step::Wait(Box::pin(async move {
            let questions = publish.batch.iter().map(|message| (validator.clone(), message.clone()));
            let mut answers = ask_aside(questions.collect()).await?;
            let settled = self.settle(publish, |message| answers.next().unwrap_or_else(|| validator.check(message)));
            settled.run().await
        }))
    }
    fn deliver_scope(&self) -> Scope {
        // It looks at nothing that is delivered.
        Scope::Shared
    }
}
impl Schema {
    /// With what `check` says of each message, asked in their order.
    fn settle<'a>(&'a self, publish: &mut Publish, mut check: impl FnMut(&Message) -> Result<Option<Bytes>>) -> Step<'a> {
        let action = self.required.on_failure;
        let mut letters = Vec::new();
        let mut converted = Vec::new();
        let mut at = 0;
        publish.batch.check(|message| {
            match check(message) {
                Ok(payload) => converted.extend(payload.map(|payload| (at, payload))),
                Err(error) => {
                    self.keeper.count(&self.schema, action);
                    if action == OnFailure::DeadLetter {
                        letters.push((message.clone(), error.again()));
                    }
                    if action != OnFailure::Warn {
                        return Err(error);
                    }
                }
            }
            at += 1;
            Ok(())
        });
        for (at, payload) in converted {
            let headers = publish.batch.get(at).map(|message| as_wire(&message.headers));
            publish.batch.convert(at, payload, headers.unwrap_or_default());
        }
        if letters.is_empty() {
            return Step::NEXT;
        }
        Step::Wait(self.keeper.bury(letters, publish.scope))
    }
}
/// Only JSON becomes anything else, and only Protobuf.
fn as_wire(headers: &Headers) -> Headers {
    let mut headers = headers.edit();
    headers.remove("content-type");
    let _fits = headers.push("content-type", b"application/x-protobuf");
    headers.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tidegate_core::{batch::Batch, error::Code, topic::Topic, validator::Validator};

    /// Takes what begins with `g`; what is `gc` becomes `C`.
    struct Letters;
    impl Validator for Letters {
        fn check(&self, message: &Message) -> Result<Option<Bytes>> {
            match &message.payload[..] {
                b"gc" => Ok(Some(Bytes::from_static(b"C"))),
                [b'g', ..] => Ok(None),
                _ => Err(Error::client(Code::SchemaViolation, "no")),
            }
        }
    }
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);
    impl Keeper for Kept {
        fn count(&self, schema: &str, action: OnFailure) {
            self.0.lock().unwrap().push(format!("{schema} {}", action.as_str()));
        }
        fn bury(&self, letters: Vec<(Message, Error)>, _: u64) -> BoxFuture<'_, Result<()>> {
            let texts = letters
                .iter()
                .map(|(message, _)| String::from_utf8_lossy(&message.payload).into_owned());
            self.0.lock().unwrap().extend(texts);
            Box::pin(async { Ok(()) })
        }
    }
    async fn run(on_failure: OnFailure, large: usize) -> (Vec<String>, Vec<u32>, Vec<String>) {
        let kept = Arc::new(Kept::default());
        let policy = Schema {
            schema: "s".into(),
            required: Required {
                validator: Arc::new(Letters),
                on_failure,
            },
            keeper: kept.clone(),
        };
        let batch: Batch = ["g1", "x", "gc", "y", "g2"]
            .map(|payload| Message::new(Topic::from_static("t"), payload))
            .into_iter()
            .chain((large > 0).then(|| Message::new(Topic::from_static("t"), "g".repeat(large))))
            .collect();
        let mut publish = Publish::from(batch);
        let x = Exchange::new("a".into());
        policy.publish(&x, &mut publish).run().await.unwrap();
        let batch = &publish.batch;
        let payloads = batch.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned());
        let numbers = batch.numbered().map(|(number, _)| number).collect();
        let told = kept.0.lock().unwrap().clone();
        (payloads.collect(), numbers, told)
    }
    #[tokio::test]
    async fn what_does_not_match_is_refused_kept_or_taken() {
        // However large they are: what is asked aside is settled alike.
        for large in [0, INLINE] {
            let ask = async |on_failure| {
                let (mut payloads, mut numbers, told) = run(on_failure, large).await;
                if large > 0 {
                    assert_eq!((payloads.pop().map(|last| last.len()), numbers.pop()), (Some(large), Some(5)));
                }
                (payloads.join(","), numbers, told.join(","))
            };
            let good = ("g1,C,g2".to_owned(), vec![0, 2, 4]);
            let (payloads, numbers, told) = ask(OnFailure::Reject).await;
            assert_eq!(((payloads, numbers), &*told), (good.clone(), "s reject,s reject"));
            let (payloads, numbers, told) = ask(OnFailure::DeadLetter).await;
            assert_eq!(((payloads, numbers), &*told), (good, "s dead_letter,s dead_letter,x,y"));
            let (payloads, numbers, told) = ask(OnFailure::Warn).await;
            assert_eq!((&*payloads, numbers.len(), &*told), ("g1,x,C,y,g2", 5, "s warn,s warn"));
        }
    }
}
