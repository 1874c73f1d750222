//! The listeners of the Memphis dialect: their addresses, their keys, their sessions.
use crate::{
    boot::Manners,
    listeners::{Bound, bind},
    secrets::{SigningKeys, signing},
};
use std::{path::Path, sync::Arc};
use tidegate_config::{Memphis, Source};
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
/// The demo's user, as its documents call it.
const ROOT: &str = "# Who logs in as the documents of Memphis do: on this machine only.\nkind: user\nname: root\n\
    password: { argon2: \"$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I\" }\n\
    connection_token: { argon2: \"$argon2id$v=19$m=19456,t=2,p=1$Swp3yIJ/kJS24mpM+mAp/Q$2r5yn5TZWDeFHxqnXBD+hS9/HnhJgqkcLI+XfETYY1I\" }\n\
    permissions: [{ topics: [\"#\"], allow: [publish, subscribe] }]\n";

/// The demo's texts, and beside them the user, for where nobody else can reach it.
pub(crate) fn beside(source: Source) -> Source {
    match source {
        Source::Texts(mut texts) => {
            texts.push(("root.yaml".to_owned(), ROOT.to_owned()));
            Source::Texts(texts)
        }
        source @ Source::Files(_) => source,
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
