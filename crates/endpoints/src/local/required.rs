//! What streams ask of their messages. Asked before anything is taken, so whichever way a message comes it is asked; an item that one of its
//! streams refuses fails whole. Large messages are asked beside the threads of requests. Where no stream asks, the question costs one look at an empty table.
use super::{House, producer::Routes};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tidegate_core::{
    batch::Batch,
    clock,
    error::{Error, Result},
    headers::Headers,
    message::Message,
    receipt::Level,
    validator::{INLINE, OnFailure, Required, ask_aside},
};
use tidegate_log::{Append, Entry, Stream, dead_letter};

/// Of one stream or api the log tells so often.
const TELL: Duration = Duration::from_secs(1);
/// What is kept of an error in a header.
const ERROR: usize = 1 << 10;
/// Why a dead letter of ours was given up.
pub const REASON: &str = "schema";

/// What one stream asks.
#[derive(Clone)]
pub struct Need {
    /// The name of the schema.
    pub schema: Arc<str>,
    /// What it asks, and what happens otherwise.
    pub required: Required,
}
/// By number of the stream.
pub(super) type Needs = HashMap<u32, Need>;

/// How often what did not match, and what was done then.
#[derive(Debug, Default)]
pub struct Failures {
    now: Mutex<BTreeMap<Which, Counted>>,
}
/// Stream, schema, what was done.
type Which = (Arc<str>, Arc<str>, &'static str);
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    count: u64,
    told: Option<Instant>,
}
impl Failures {
    /// Stream, schema, what was done, how often.
    pub fn all(&self) -> Vec<([String; 3], u64)> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.iter()
            .map(|((of, schema, action), counted)| ([of.to_string(), schema.to_string(), (*action).to_owned()], counted.count))
            .collect()
    }
    /// One more. What is taken all the same is told in the log, not more than once in a while.
    pub fn count(&self, of: &str, schema: &str, action: OnFailure) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = now.entry((of.into(), schema.into(), action.as_str())).or_default();
        counted.count += 1;
        let at = clock::instant();
        let tell = action == OnFailure::Warn && counted.told.is_none_or(|told| at.duration_since(told) >= TELL);
        if tell {
            counted.told = Some(at);
        }
        drop(now);
        if tell {
            // Why would show what is in it.
            tracing::warn!(
                stream = of,
                schema,
                "a message does not match its schema, and is taken all the same"
            );
        }
    }
}
/// Messages of one call that are kept otherwise in one stream than in another: by place in the batch and number of the stream.
#[derive(Default)]
pub(super) struct Apart(Vec<(usize, u32, Message)>);
impl Apart {
    /// What that stream keeps of a message.
    pub(super) fn of<'m>(&'m self, at: usize, stream: &Stream, sent: &'m Message) -> &'m Message {
        let mut own = self.0.iter().filter(|(item, number, _)| *item == at && *number == stream.number());
        own.next().map_or(sent, |(_, _, message)| message)
    }
}
/// What is to become of one message.
enum Verdict {
    Good,
    Refused(Error),
    /// In these streams another payload is kept.
    Converted(Vec<(u32, Message)>, bool),
}
/// A message that a stream refuses and that is kept for somebody to look at.
pub struct Letter {
    /// The stream it was sent to.
    pub stream: Arc<Stream>,
    /// As it was sent.
    pub message: Message,
    /// Why not.
    pub error: Error,
    /// The same in a word or a sentence.
    pub reason: &'static str,
}

/// What was asked beside the thread of the request: by place in the batch and number of the stream.
#[derive(Default)]
struct Answers(HashMap<(usize, u32), Result<Option<Bytes>>>);
impl Answers {
    async fn aside(needs: &Needs, routes: &mut Routes<'_>, batch: &Batch) -> Result<Self> {
        let (mut places, mut questions) = (Vec::new(), Vec::new());
        for (at, message) in batch.iter().enumerate() {
            for stream in routes.of(&message.topic)? {
                if let Some(need) = needs.get(&stream.number()) {
                    places.push((at, stream.number()));
                    questions.push((need.required.validator.clone(), message.clone()));
                }
            }
        }
        if questions.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self(places.into_iter().zip(ask_aside(questions).await?).collect()))
    }
    /// `None`: it was not asked, or its topic goes to another stream by now.
    fn of(&mut self, at: usize, stream: u32) -> Option<Result<Option<Bytes>>> {
        if self.0.is_empty() { None } else { self.0.remove(&(at, stream)) }
    }
}

impl House {
    /// From now on, by number of the stream.
    pub fn require(&self, needs: impl IntoIterator<Item = (u32, Need)>) {
        self.needs.store(Arc::new(needs.into_iter().collect()));
    }
    /// What did not match since the start.
    pub fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }
    /// Takes out of a batch what its streams refuse. Dead letters are durable when it resolves. `buries`: there are any.
    pub(super) async fn ask(&self, routes: &mut Routes<'_>, batch: &mut Batch, scope: u64, buries: bool) -> Result<Apart> {
        let needs = self.needs.load();
        if needs.is_empty() {
            return Ok(Apart::default());
        }
        let needs = arc_swap::Guard::into_inner(needs);
        // Large: who publishes where nothing is asked does not carry it.
        Box::pin(self.asked(needs, routes, batch, scope, buries)).await
    }
    async fn asked(&self, needs: Arc<Needs>, routes: &mut Routes<'_>, batch: &mut Batch, scope: u64, buries: bool) -> Result<Apart> {
        let bytes: usize = batch.iter().map(|message| message.payload.len()).sum();
        let mut answers = match bytes {
            0..=INLINE => Answers::default(),
            _ => Answers::aside(&needs, routes, batch).await?,
        };
        let mut letters = Vec::new();
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut good = true;
        for (at, message) in batch.iter().enumerate() {
            let streams = routes.of(&message.topic)?;
            let check = |stream: u32, required: &Required| answers.of(at, stream).unwrap_or_else(|| required.validator.check(message));
            let verdict = self.verdict(&needs, streams, message, &mut letters, check);
            good &= matches!(verdict, Verdict::Good);
            verdicts.push(verdict);
        }
        if good {
            return Ok(Apart::default());
        }
        if buries && !letters.is_empty() {
            self.bury(letters, scope).await?;
        }
        let mut kept = Vec::with_capacity(verdicts.len());
        let mut verdicts = verdicts.into_iter();
        batch.check(|_| match verdicts.next() {
            Some(Verdict::Refused(error)) => Err(error),
            other => {
                kept.push(other);
                Ok(())
            }
        });
        let mut apart = Apart::default();
        for (at, verdict) in kept.into_iter().enumerate() {
            let Some(Verdict::Converted(converted, alike)) = verdict else {
                continue;
            };
            let Some((_, first)) = converted.first() else { continue };
            if alike {
                // Wherever it goes it is the same.
                batch.convert(at, first.payload.clone(), first.headers.clone());
            } else {
                batch.converted(at, first.payload.clone());
                apart.0.extend(converted.into_iter().map(|(number, message)| (at, number, message)));
            }
        }
        Ok(apart)
    }
    fn verdict(
        &self,
        needs: &Needs,
        streams: &[Arc<Stream>],
        message: &Message,
        letters: &mut Vec<Letter>,
        mut check: impl FnMut(u32, &Required) -> Result<Option<Bytes>>,
    ) -> Verdict {
        let mut refused = None;
        let mut converted: Vec<(u32, Message)> = Vec::new();
        for stream in streams {
            let Some(Need { schema, required }) = needs.get(&stream.number()) else {
                continue;
            };
            match check(stream.number(), required) {
                Ok(None) => {}
                Ok(Some(payload)) => converted.push((stream.number(), as_wire(message, payload))),
                Err(error) => {
                    self.failures.count(stream.name(), schema, required.on_failure);
                    if required.on_failure == OnFailure::DeadLetter {
                        letters.push(Letter {
                            stream: stream.clone(),
                            message: message.clone(),
                            error: error.again(),
                            reason: REASON,
                        });
                    }
                    if required.on_failure != OnFailure::Warn {
                        refused.get_or_insert(error);
                    }
                }
            }
        }
        if let Some(error) = refused {
            return Verdict::Refused(error);
        }
        let Some((_, first)) = converted.first() else {
            return Verdict::Good;
        };
        let alike = converted.len() == streams.len() && converted.iter().all(|(_, other)| other.payload == first.payload);
        Verdict::Converted(converted, alike)
    }
    /// What streams keep of a message that was asked when it came, and moves only now.
    pub(super) async fn shaped(&self, streams: &[Arc<Stream>], message: &Arc<Message>) -> Result<Vec<Option<Message>>> {
        let needs = self.needs.load_full();
        let asked = streams.iter().map(|stream| needs.get(&stream.number()).map(|need| &need.required));
        let questions: Vec<_> = asked
            .flatten()
            .map(|required| (required.validator.clone(), message.clone()))
            .collect();
        let answers: Vec<_> = if message.payload.len() > INLINE && !questions.is_empty() {
            ask_aside(questions).await?.collect()
        } else {
            questions.iter().map(|(validator, message)| validator.check(message)).collect()
        };
        let mut answers = answers.into_iter();
        let of = |stream: &Arc<Stream>| {
            needs.get(&stream.number())?;
            Some(as_wire(message, answers.next()?.ok()??))
        };
        Ok(streams.iter().map(of).collect())
    }
    /// Keeps messages that streams refused. Durable when it resolves. Where the stream of dead letters looks for duplicates, one that is sent
    /// again is kept once.
    pub async fn bury(&self, letters: Vec<Letter>, scope: u64) -> Result<()> {
        let mut graves = Vec::with_capacity(letters.len());
        let mut bytes = 0;
        for letter in &letters {
            let declared = self.rules(&letter.stream).dead_letters;
            let name = declared.unwrap_or_else(|| format!("{}.dead", letter.stream.name()));
            let told = told(letter);
            bytes += Append::size(&told);
            graves.push((self.log.dead_letters(&name).await?, told));
        }
        let mut append = self.log.append(Level::Stored, bytes).await?;
        for (item, (stream, message)) in graves.iter().enumerate() {
            append.add(Entry {
                item: item as u32,
                stream,
                partition: message.key.as_deref().map_or(0, |key| stream.partition_of(key)),
                message,
                scope,
            });
        }
        let mut kept = append.send()?.await?;
        kept.failed.pop().map_or(Ok(()), |(_, error)| Err(error))
    }
}
/// Only JSON becomes anything else, and only Protobuf.
fn as_wire(message: &Message, payload: Bytes) -> Message {
    let mut headers = message.headers.edit();
    headers.remove("content-type");
    let _fits = headers.push("content-type", b"application/x-protobuf");
    Message {
        payload,
        headers: headers.build(),
        ..message.clone()
    }
}
/// The message as it was sent, and what became of it. It lay nowhere and no group gave it up, so neither is said.
fn told(letter: &Letter) -> Message {
    let mut headers = Headers::EMPTY.edit();
    for (name, value) in letter.message.headers.iter() {
        if !dead_letter::ALL.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            // It was a header before.
            let _fits = headers.push(name, value);
        }
    }
    let error = letter.error.to_string();
    let mut end = ERROR.min(error.len());
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    for (name, value) in [
        (dead_letter::REASON, letter.reason),
        (dead_letter::ERROR, error.get(..end).unwrap_or_default()),
        (dead_letter::STREAM, letter.stream.name()),
        (dead_letter::TIME, &clock::rfc3339(clock::now_us())),
    ] {
        let _fits = headers.push(name, value.as_bytes());
    }
    Message {
        headers: headers.build(),
        timing: None,
        ..letter.message.clone()
    }
}
/// Nothing is asked.
pub(super) fn nothing() -> ArcSwap<Needs> {
    ArcSwap::from_pointee(Needs::new())
}
