//! The listeners of the Memphis dialect: their addresses, their keys, their sessions.
use crate::{
    boot::Manners,
    listeners::{Bound, bind},
    schemas,
    secrets::{SigningKeys, signing},
};
use serde_json::json;
use std::{path::Path, sync::Arc};
use tidegate_config::{Documents, Memphis, Mode};
use tidegate_control::access::{
    Access,
    sessions::{Sessions, Ttl},
};
use tidegate_core::{
    drain::Watch,
    error::Result,
    tasks::{self, Task},
};
use tidegate_entrypoints::{
    dialects::memphis::{Ground, Memphis as Dialect, Settings},
    listener::{Limits, Pinned, Seen},
};

const SETTING: &str = "listeners.memphis";
/// Who logs in as the documents of Memphis do, as those call it.
pub(crate) const ROOT: &str = "root";
/// Its password and its connection token.
const KNOWN_TO_ALL: &str = "$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I";

/// Beside what was read that user, for a try where nobody else can reach it, and only as long as nobody declares a user of that name.
/// `anywhere`: whatever the listeners say, so that what is wrong with that is told.
pub(crate) fn beside(files: &mut Documents, mode: Mode, anywhere: bool) {
    let Ok(checked) = files.check(mode, &schemas::kinds()) else {
        // Nothing is served of it.
        return;
    };
    let listeners = &checked.node.listeners;
    if !listeners.memphis.is_empty() && (anywhere || listeners.only_this_machine()) {
        files.spare(json!({
            "kind": "user",
            "name": ROOT,
            "description": "who logs in as the documents of Memphis do, in `tidegate dev` on this machine only",
            "password": {"argon2": KNOWN_TO_ALL},
            "connection_token": {"argon2": KNOWN_TO_ALL},
            "permissions": [{"topics": ["#"], "allow": ["publish", "subscribe"]}],
        }));
    }
}
/// Every declared listener, bound.
pub(crate) struct Stations(Vec<(Memphis, Vec<Bound>)>);
impl Stations {
    pub(crate) fn bind(declared: &[Memphis], manners: Manners) -> Result<Self> {
        let one = |memphis: &Memphis| Ok((memphis.clone(), bind(std::slice::from_ref(&memphis.listener), SETTING, manners)?));
        Ok(Self(declared.iter().map(one).collect::<Result<_>>()?))
    }
    pub(crate) fn bound(&self) -> impl Iterator<Item = &Bound> {
        self.0.iter().flat_map(|(_, bound)| bound)
    }
    /// With their keys, once the data folder is ours. Those that name the same file have the same.
    pub(crate) fn open(self, data_dir: &Path) -> Result<Open> {
        let mut all: Vec<One> = Vec::with_capacity(self.0.len());
        let path = |memphis: &Memphis| memphis.keys.as_ref().map(|file| file.path.clone());
        // Longer ones, which a login may ask for, end with their key.
        let holds = |memphis: &Memphis| memphis.refresh_ttl.max(memphis.access_ttl).min(memphis.max_ttl);
        let longest: Vec<_> = self.0.iter().map(|(declared, _)| (path(declared), holds(declared))).collect();
        for (declared, bound) in self.0 {
            let known = all.iter().find(|one| path(&one.declared) == path(&declared));
            let keys = if let Some(one) = known {
                one.keys.clone()
            } else {
                let own = longest.iter().filter(|(of, _)| *of == path(&declared)).map(|(_, holds)| *holds);
                SigningKeys::open(declared.keys.as_ref(), data_dir, own.max().unwrap_or_default())?
            };
            all.push(One { declared, bound, keys });
        }
        Ok(Open(all))
    }
}
struct One {
    declared: Memphis,
    bound: Vec<Bound>,
    keys: Arc<SigningKeys>,
}
/// All of them, with their keys.
pub(crate) struct Open(Vec<One>);
/// What serves them.
pub(crate) struct Serving {
    pub(crate) tasks: Vec<Task>,
    pub(crate) keys: Vec<Arc<SigningKeys>>,
    /// Takes up keys that change.
    pub(crate) watch: Task,
}
impl Open {
    /// Answers on all of them.
    pub(crate) fn serve(
        self,
        ground: impl Fn(Arc<Sessions>) -> Ground,
        access: &Arc<Access>,
        (limits, seen, threads): (Limits, &Arc<Seen>, &Pinned),
        drain: &Watch,
    ) -> Serving {
        let mut keys: Vec<Arc<SigningKeys>> = Vec::new();
        let mut tasks = Vec::new();
        for One {
            declared,
            bound,
            keys: own,
        } in self.0
        {
            let ttl = Ttl {
                access: declared.access_ttl,
                refresh: declared.refresh_ttl,
                most: declared.max_ttl,
            };
            let sessions = Sessions::new(access.clone(), own.ring().clone(), ttl);
            if !keys.iter().any(|known| Arc::ptr_eq(known, &own)) {
                keys.push(own);
            }
            let settings = Settings {
                old: declared.old,
                types: declared.types,
                create: declared.create,
                access_ttl: declared.access_ttl,
                refresh_ttl: declared.refresh_ttl,
            };
            let handler = Dialect::new(ground(Arc::new(sessions)), settings);
            for (listener, _) in bound {
                tasks.push(tasks::spawn(listener.serve(
                    handler.clone(),
                    limits,
                    seen.clone(),
                    drain.clone(),
                    threads.clone(),
                )));
            }
        }
        Serving {
            tasks,
            watch: signing::watch(keys.clone()),
            keys,
        }
    }
}
