//! Schemas that were compiled: each content once in a process, whoever asks for it, and as long as somebody uses it. Of those nobody uses the
//! latest are kept, for what was just checked is served next.
use crate::{Invalid, Source, made};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};
use tidegate_core::validator::Validator;

/// What is kept of those nobody uses, compiled.
const BYTES: usize = 64 << 20;
/// So many of them.
const COUNT: usize = 4_096;

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::new(BYTES));

/// A schema of that name, ready to be asked.
pub fn compile(name: &str, source: Source<'_>) -> Result<Arc<dyn Validator>, Invalid> {
    KNOWN.compile(name, source)
}
type Key = [u8; 32];

struct Known {
    most: usize,
    held: Mutex<Held>,
}
#[derive(Default)]
struct Held {
    all: HashMap<Key, Weak<dyn Validator>>,
    latest: VecDeque<(Arc<dyn Validator>, usize)>,
    bytes: usize,
    compiled: u64,
}
impl Known {
    fn new(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
        }
    }
    fn compile(&self, name: &str, source: Source<'_>) -> Result<Arc<dyn Validator>, Invalid> {
        let key = key(name, source);
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held().all.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let (validator, bytes) = made(name, source)?;
        held().keep(key, &validator, bytes, self.most);
        Ok(validator)
    }
}
impl Held {
    fn keep(&mut self, key: Key, validator: &Arc<dyn Validator>, bytes: usize, most: usize) {
        self.compiled += 1;
        if self.all.len() >= self.all.capacity() {
            // Before it grows: those are gone.
            self.all.retain(|_, known| known.strong_count() > 0);
        }
        self.all.insert(key, Arc::downgrade(validator));
        self.latest.push_back((validator.clone(), bytes));
        self.bytes += bytes;
        while self.bytes > most || self.latest.len() > COUNT {
            let Some((_, bytes)) = self.latest.pop_front() else { break };
            self.bytes -= bytes;
        }
    }
}
fn key(name: &str, source: Source<'_>) -> Key {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(name);
    match source {
        Source::Json(schema) => [part("json"), part(&schema.to_string())],
        Source::Avro(schema) => [part("avro"), part(&schema.to_string())],
        Source::Protobuf { text, message, convert } => {
            part(message);
            [part(if convert { "converted" } else { "wire" }), part(text)]
        }
    };
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_content_is_compiled_once() {
        let known = Known::new(BYTES);
        let (one, other) = (json!({"type": "string"}), json!({"type": "object"}));
        let proto = |convert| Source::Protobuf {
            text: "syntax = \"proto3\"; message A {}",
            message: "A",
            convert,
        };
        let all = [Source::Json(&one), Source::Json(&other), proto(true), proto(false)];
        for _ in 0..3 {
            for source in all {
                assert!(known.compile("a", source).is_ok());
            }
        }
        assert_eq!(known.held.lock().unwrap().compiled, 4);
        // Its name is in what it says.
        assert!(known.compile("b", Source::Json(&one)).is_ok());
        assert_eq!(known.held.lock().unwrap().compiled, 5);
        assert!(known.compile("a", Source::Json(&json!(1))).is_err());
    }
    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let known = Known::new(10_000);
        let of = |number: u32| json!({"type": "object", "properties": {"number": {"const": number}}});
        let used = known
            .compile("a", Source::Json(&of(0)))
            .unwrap_or_else(|invalid| panic!("{invalid}"));
        for number in 0..1_000 {
            assert!(known.compile("a", Source::Json(&of(number))).is_ok());
        }
        let held = known.held.lock().unwrap();
        assert_eq!(held.compiled, 1_000);
        assert!(
            held.bytes <= 10_000 && held.latest.len() < 20 && held.all.len() < 500,
            "{} {}",
            held.latest.len(),
            held.all.len()
        );
        drop(held);
        assert!(Arc::ptr_eq(
            &used,
            &known
                .compile("a", Source::Json(&of(0)))
                .unwrap_or_else(|invalid| panic!("{invalid}"))
        ));
    }
    /// What a configuration is checked with is what serves.
    #[test]
    fn what_was_checked_is_not_compiled_again() {
        let resource = json!({"kind": "schema", "name": "checked", "json": {"type": "string", "title": "checked"}});
        assert!((crate::kind().check)(&resource).is_ok());
        let schema = json!({"type": "string", "title": "checked"});
        let key = key("checked", Source::Json(&schema));
        assert!(
            KNOWN
                .held
                .lock()
                .unwrap()
                .all
                .get(&key)
                .is_some_and(|known| known.strong_count() == 1)
        );
    }
}
