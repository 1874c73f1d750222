//! A document as it is kept, and as it is shown.
use crate::store::Stored;
use serde_json::Value;
use tidegate_config::{Documents, Id, Mode, imply, query};

/// What stands for a secret in what is read back, and written again means "as it is".
const MASKED: &str = "***";

/// Started or stopped.
pub(super) fn set_enabled(document: &mut Value, on: bool) {
    if let Some(members) = document.as_object_mut() {
        members.insert("enabled".to_owned(), on.into());
    }
}
/// Started, unless it says otherwise.
pub(super) fn is_on(document: Option<&Value>) -> bool {
    document
        .and_then(|document| document.get("enabled"))
        .is_none_or(|on| on != &Value::Bool(false))
}
/// As it is kept: without what the API adds, by its right name, with what is understood, secrets that are only hinted at filled in.
pub(super) fn clean(id: &Id, mut document: Value, stored: Option<&Stored>, mode: Mode) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.remove("meta");
        members.remove("status");
        members.insert("kind".to_owned(), id.kind.word().into());
        members.entry("name").or_insert_with(|| (&*id.name).into());
    }
    imply(mode, &mut document);
    if let Some(stored) = stored {
        keep_secrets(&mut document, &stored.document);
    }
    document
}
/// Whether what is stored says the same as one that is clean.
pub(super) fn says(stored: &Stored, document: &Value, mode: Mode) -> bool {
    let mut own = stored.document.clone();
    imply(mode, &mut own);
    own == *document
}
fn keep_secrets(new: &mut Value, old: &Value) {
    match (new, old) {
        (Value::String(text), Value::String(secret)) if text == MASKED => text.clone_from(secret),
        (Value::String(text), Value::String(had)) => {
            if let Some(kept) = query::kept(text, had) {
                *text = kept;
            }
        }
        (Value::Object(new), Value::Object(old)) => {
            for (key, value) in new {
                if let Some(old) = old.get(key) {
                    keep_secrets(value, old);
                }
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            // Of several secrets the first that is kept is the first there was, wherever a new one stands: `[new, "***"]` turns them.
            let mut kept = old.iter();
            for (at, new) in new.iter_mut().enumerate() {
                let old = if new == MASKED { kept.next() } else { old.get(at) };
                if let Some(old) = old {
                    keep_secrets(new, old);
                }
            }
        }
        _ => {}
    }
}
/// Without its secrets.
pub(super) fn masked(document: &Value) -> Value {
    let mut alone = Documents::default();
    alone.add("", document);
    alone.declared().next().map_or(Value::Null, |declared| declared.document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_that_is_kept_may_stand_behind_a_new_one() {
        let kept = |new: Value, old: Value| {
            let mut new = new;
            keep_secrets(&mut new, &old);
            new
        };
        let list = |secrets: &[&str]| json!({"sign": {"secrets": secrets}});
        assert_eq!(kept(list(&["c", "***"]), list(&["a", "b"])), list(&["c", "a"]));
        assert_eq!(kept(list(&["***", "c"]), list(&["a", "b"])), list(&["a", "c"]));
        assert_eq!(kept(list(&["***", "***"]), list(&["a", "b"])), list(&["a", "b"]));
        assert_eq!(kept(list(&["***", "***"]), list(&["a"])), list(&["a", "***"]));
    }
}
