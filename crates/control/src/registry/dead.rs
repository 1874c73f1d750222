//! What is done with dead letters: told in the audit log, then done to its end, whoever waits for it.
use super::{Refused, Registry, to_the_end};
use crate::{
    dead_letters::{Deed, Handled, Which},
    store::{Author, Change, Effect, Subject},
};
use std::sync::Arc;

impl Registry {
    /// Sends dead letters again, or drops them. What cannot be told is not done.
    pub async fn dead_letters(self: &Arc<Self>, which: Which, deed: Deed, author: Author) -> Result<Handled, Refused> {
        let registry = self.clone();
        to_the_end(async move {
            let letters = registry.parts.plane.dead_letters();
            let count = letters.count(&which).await?;
            let told = Change {
                of: Subject::DeadLetters(match &which {
                    Which::One(at) => at.to_string(),
                    Which::All(_) => "*".to_owned(),
                }),
                action: deed.word(),
                effect: Effect::Nothing,
                before: None,
                after: Some(deed.told(&which, count)),
            };
            {
                // Only for this: many of them take long, and nobody's change has to wait.
                let _turn = registry.turn.lock().await;
                registry.keep(&[told], &author).await?;
            }
            Ok(letters.handle(&which, &deed).await?)
        })
        .await
    }
}
