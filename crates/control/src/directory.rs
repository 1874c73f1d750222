//! Who is who and who may what, for the protocols: see [`tidegate_core::directory`].
use crate::{
    access::Access,
    registry::{Registry, What, When, Wish},
    store::Author,
};
use futures::future::BoxFuture;
use serde_json::json;
use std::{net::IpAddr, sync::Arc};
use tidegate_config::{Id, ResourceKind};
use tidegate_core::{
    directory::{self, Right},
    error::{Code, Error, Result},
    exchange::{Credentials, Principal},
};

/// The only realm so far.
const REALM: &str = "main";

/// Users of the registry, and its streams.
pub struct Directory {
    access: Arc<Access>,
    registry: Arc<Registry>,
}
impl Directory {
    /// Over these.
    pub fn new(access: Arc<Access>, registry: Arc<Registry>) -> Self {
        Self { access, registry }
    }
}
impl directory::Directory for Directory {
    /// By `username` and `password`, and the `address` they came from, for the limit on failures.
    fn verify<'a>(&'a self, realm: &'a str, credentials: &'a Credentials) -> BoxFuture<'a, Result<Principal>> {
        Box::pin(async move {
            let text = |name: &str| credentials.get(name).and_then(|value| std::str::from_utf8(value).ok());
            let unknown = || Error::client(Code::Unauthorized, "the name or the password is wrong");
            let name = text("username").filter(|_| realm == REALM).ok_or_else(unknown)?;
            let password = credentials.get("password").ok_or_else(unknown)?;
            let from = text("address").and_then(|text| text.parse().ok());
            let nowhere = IpAddr::from([0, 0, 0, 0]);
            let caller = self.access.password(name, password, from.unwrap_or(nowhere)).await?;
            Ok(Principal {
                id: caller.id,
                application: None,
            })
        })
    }
    fn permits(&self, realm: &str, who: &Principal, right: Right, name: &str) -> bool {
        realm == REALM && self.access.permits(&who.id, right, name)
    }
    fn ensure_stream<'a>(&'a self, realm: &'a str, name: &'a str, who: &'a Principal, from: IpAddr) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if realm != REALM {
                return Err(Error::client(Code::NoSuchStream, format!("there is no realm `{realm}`")));
            }
            let id = Id::new(ResourceKind::Stream, name);
            if self.registry.now().resources.contains_key(&id) {
                return Ok(());
            }
            // It came by itself, or was declared once: its messages are kept as they were.
            let there = self.registry.plane().undeclared().iter().any(|there| **there == *name);
            if there && self.registry.plane().reach(name).await {
                return Ok(());
            }
            if self.registry.plane().takes_dead_letters(name) {
                let text = format!("the stream `{name}` is made for its first dead letter");
                return Err(Error::client(Code::NoSuchStream, text));
            }
            let document = json!({
                "kind": "stream",
                "name": name,
                "description": "made when it was first used, with the defaults of a Memphis station",
                "retention": {"age": "1h"},
                "dedupe": "2m",
            });
            let wish = Wish {
                what: What::Put(document),
                when: When::Absent,
                at: String::new(),
                id,
            };
            let author = Author {
                who: who.called().to_owned(),
                from: from.to_canonical().to_string(),
            };
            match self.registry.change(vec![wish], author, false).await {
                Ok(_) => Ok(()),
                // Somebody else was quicker.
                Err(refused) if refused.error.code() == Code::Changed => Ok(()),
                Err(refused) => Err(refused.error),
            }
        })
    }
}
