//! Brings up what the files say now: when one of them changes, and when SIGHUP asks. What is wrong changes nothing and is told.
mod folders;

use crate::{secrets::Certificates, serve::Hup};
use folders::Folders;
use std::{sync::Arc, time::Duration};
use tidegate_control::registry::Registry;
use tidegate_core::error::Code;

/// What could not be kept, as on a full disk, is tried again so often.
const AGAIN: Duration = Duration::from_secs(5);

/// Until dropped.
pub(crate) async fn watch(registry: Arc<Registry>, certificates: Vec<Arc<Certificates>>, mut hup: Hup) {
    let mut folders = Folders::new();
    // Refused for what they say: not told again and again.
    let mut refused = None;
    let mut pending = false;
    loop {
        let touched = refused.as_ref().map_or_else(
            || registry.now().files().touched().clone(),
            |refused: &tidegate_config::Documents| refused.touched().clone(),
        );
        folders.follow(&touched);
        let asked = tokio::select! {
            () = hup.asked() => {
                let all = certificates.clone();
                let _ended = tokio::task::spawn_blocking(move || all.iter().for_each(|one| one.look_now())).await;
                true
            }
            () = folders.changed() => false,
            () = tokio::time::sleep(AGAIN), if pending => false,
        };
        // What was replaced is another folder now; whatever happens in it from here on is seen.
        folders.follow(&touched);
        let files = match registry.read_again().await {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(error = %error, "not reloaded, everything goes on as it was");
                continue;
            }
        };
        // Beside a file many other things may happen.
        let now = registry.now();
        let serves = files.is_like(now.files());
        // Taken back to what is served, it is told once more: the last word must not be that something is wrong.
        let known = refused.as_ref().is_some_and(|refused| files.is_like(refused)) || (serves && !now.reload_failed());
        if asked || !known {
            let result = reload(&registry).await;
            pending = result == Some(Code::StoreFailed) || result == Some(Code::StorageFull);
            refused = result.filter(|_| !pending).map(|_| files);
        } else if serves {
            (refused, pending) = (None, false);
        }
    }
}
/// Why not, if not.
async fn reload(registry: &Arc<Registry>) -> Option<Code> {
    match registry.reload().await {
        Ok(reloaded) => {
            let applied: Vec<_> = reloaded.applied.iter().map(|done| format!("{} {}", done.word(), done.id)).collect();
            tracing::info!(
                applied = applied.join(", "),
                restart_needed = reloaded.restart_needed.join(", "),
                "reloaded"
            );
            None
        }
        Err(refused) => {
            tracing::warn!(error = %refused, "not reloaded, everything goes on as it was");
            Some(refused.error.code())
        }
    }
}
