//! Who is who, and how far each may manage the node. Tokens are known by their hashes, users by theirs: neither can be read back.
mod attempts;
pub mod password;
pub mod token;

use arc_swap::ArcSwap;
use attempts::Attempts;
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};
use tidegate_config::{Manage, Token, User};
use tidegate_core::{
    clock,
    directory::Right,
    error::{Code, Error, Fault, Result, Retry},
};
use tokio::sync::Semaphore;

/// Somebody who was identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `token ci`, `user alice`: for the audit log.
    pub who: String,
    /// How far it may go; `None` = it may not manage anything.
    pub manage: Option<Manage>,
    /// When that ends, microseconds since the epoch.
    pub expires: Option<i64>,
    /// Changes with what it showed.
    pub id: Arc<str>,
}
/// Tokens and users, as of the world of this moment.
pub struct Access {
    now: ArcSwap<Table>,
    attempts: Arc<Attempts>,
    seed: RandomState,
    /// A password costs 19 MiB and some 20 ms: a crowd that logs in waits in line.
    hashing: Arc<Semaphore>,
}
#[derive(Default)]
struct Table {
    tokens: HashMap<[u8; 32], Token>,
    users: HashMap<Arc<str>, User>,
    /// What [`Caller::id`] may be.
    known: HashSet<Arc<str>>,
}
/// Another one as soon as its secret or its rights change; says nothing of the secret.
fn token_id(seed: &RandomState, token: &Token) -> Arc<str> {
    let mark = seed.hash_one((token.sha256, token.manage.as_str(), token.expires));
    format!("token {} {mark:016x}", token.name).into()
}
fn user_id(seed: &RandomState, user: &User) -> Arc<str> {
    let mark = seed.hash_one((user.password.expose(), user.manage.map(Manage::as_str)));
    format!("user {} {mark:016x}", user.name).into()
}
impl Access {
    /// Nobody may anything yet. `failures` a minute are allowed for one name.
    pub fn new(failures: u32) -> Self {
        Self {
            now: ArcSwap::default(),
            attempts: Arc::new(Attempts::new(failures)),
            seed: RandomState::new(),
            hashing: Arc::new(Semaphore::new(2)),
        }
    }
    /// From now on these, and no others.
    pub(crate) fn set(&self, users: &[User], tokens: &[Token]) {
        self.now.store(Arc::new(Table {
            tokens: tokens.iter().map(|token| (token.sha256, token.clone())).collect(),
            users: users.iter().map(|user| (user.name.clone(), user.clone())).collect(),
            known: {
                let tokens = tokens.iter().map(|token| token_id(&self.seed, token));
                tokens.chain(users.iter().map(|user| user_id(&self.seed, user))).collect()
            },
        }));
    }
    /// Who shows this token. One that is wrong, expired or revoked is told alike.
    pub fn bearer(&self, token: &str) -> Result<Caller> {
        if token.is_empty() {
            return Err(unknown("`Authorization: Bearer` shows no token"));
        }
        // By its hash: how long the look takes tells nothing about any token.
        let table = self.now.load();
        let found = table.tokens.get(&token::digest(token));
        let good = found.filter(|token| token.expires.is_none_or(|expires| clock::now_us() < expires));
        let token = good.ok_or_else(|| unknown("the token is wrong, expired or revoked"))?;
        Ok(Caller {
            who: format!("token {}", token.name),
            manage: Some(token.manage),
            expires: token.expires,
            id: token_id(&self.seed, token),
        })
    }
    /// Whose name and password these are. A name that is not there takes as long as a wrong password. Cancel-safe.
    pub async fn password(&self, name: &str, password: &[u8], from: IpAddr) -> Result<Caller> {
        let allowed = || {
            self.attempts.allow(name, from).map_err(|wait| {
                let text = format!("too many failed logins for `{}`", name.escape_debug());
                Error::client(Code::TooManyAttempts, text).with_retry(Retry::After(wait))
            })
        };
        allowed()?;
        let user = self.now.load().users.get(name).cloned();
        let hash = user
            .as_ref()
            .map_or_else(password::nobodys, |user| user.password.expose().to_owned());
        let overloaded = |_| Error::new(Code::Internal, Fault::Gateway, "logins are closed");
        let turn = self.hashing.clone().acquire_owned().await.map_err(overloaded)?;
        // Those before in the line may have used up what was allowed.
        allowed()?;
        let (shown, known) = (password.to_vec(), user.is_some());
        let (attempts, called) = (self.attempts.clone(), name.to_owned());
        let hashing = tokio::task::spawn_blocking(move || {
            let right = password::is(&shown, &hash) && known;
            // Here, for whoever asked may have left: that must not make guessing free, nor let more than two hash at once.
            if right {
                attempts.succeeded(&called);
            } else {
                attempts.failed(&called, from);
            }
            drop(turn);
            right
        });
        let right = hashing
            .await
            .map_err(|error| Error::new(Code::Internal, Fault::Gateway, "a login ended early").because(error))?;
        let user = user.filter(|_| right).ok_or_else(|| unknown("the name or the password is wrong"))?;
        Ok(Caller {
            who: format!("user {}", user.name),
            manage: user.manage,
            expires: None,
            id: user_id(&self.seed, &user),
        })
    }
    /// Whether whoever was identified so is still what it was.
    pub fn knows(&self, id: &str, expires: Option<i64>) -> bool {
        let current = expires.is_none_or(|expires| clock::now_us() < expires);
        current && self.now.load().known.contains(id)
    }
    /// Whether a user may do that with a topic or filter.
    pub(crate) fn permits(&self, user: &str, right: Right, name: &str) -> bool {
        let table = self.now.load();
        let Some(user) = table.users.get(user) else { return false };
        let covers = |permission: &tidegate_config::Permission| {
            permission.allow.contains(&right) && permission.topics.iter().any(|filter| filter.covers(name))
        };
        user.permissions.iter().any(covers)
    }
}
fn unknown(why: &'static str) -> Error {
    Error::client(Code::Unauthorized, why)
        .with_hint("send `Authorization: Bearer tgt_…`; the first token lies in `admin-token` in the data folder")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tidegate_config::Secret;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn access() -> (Access, String) {
        let access = Access::new(3);
        let (text, sha256) = token::make().unwrap();
        let alice = User {
            name: "alice".into(),
            password: Secret::new(password::hash("secret").unwrap()),
            manage: Some(Manage::Viewer),
            permissions: vec![tidegate_config::Permission {
                topics: vec![tidegate_core::filter::Filter::new("orders/#").unwrap()],
                allow: vec![Right::Publish],
            }],
        };
        let token = |name: &str, sha256, expires| Token {
            name: name.into(),
            manage: Manage::Operator,
            sha256,
            expires,
        };
        let old = token("old", token::digest("tgt_old"), Some(clock::now_us() - 1));
        access.set(&[alice], &[token("ci", sha256, None), old]);
        (access, text)
    }
    #[test]
    fn a_token_is_known_until_it_expires_or_goes() {
        let (access, text) = access();
        assert_eq!(access.bearer(&text).unwrap().who, "token ci");
        assert_eq!(access.bearer("tgt_old").unwrap_err().code(), Code::Unauthorized);
        assert_eq!(access.bearer(&text.replace("tgt_", "")).unwrap_err().code(), Code::Unauthorized);
        access.set(&[], &[]);
        assert_eq!(access.bearer(&text).unwrap_err().code(), Code::Unauthorized);
    }
    #[tokio::test]
    async fn a_password_is_known_and_guessing_is_slowed() {
        let (access, _) = access();
        let caller = access.password("alice", b"secret", HERE).await.unwrap();
        assert_eq!((&*caller.who, caller.manage), ("user alice", Some(Manage::Viewer)));
        for name in ["alice", "nobody"] {
            for _ in 0..3 {
                assert_eq!(access.password(name, b"guess", HERE).await.unwrap_err().code(), Code::Unauthorized);
            }
            let told = access.password(name, b"secret", HERE).await.unwrap_err();
            assert_eq!(told.code(), Code::TooManyAttempts);
            assert!(matches!(told.retry(), Retry::After(_)));
        }
    }
    #[tokio::test]
    async fn guessing_all_at_once_gets_nobody_further() {
        let (access, _) = access();
        let guesses = (0..20).map(|_| access.password("alice", b"guess", HERE));
        let told = futures::future::join_all(guesses).await;
        let tried = told
            .iter()
            .filter(|told| matches!(told, Err(error) if error.code() == Code::Unauthorized));
        // One more may be in the line beside each.
        assert!(tried.count() <= 4, "{told:?}");
    }
    /// Neither is guessing free for who does not wait for the answer, nor do more than two hash at once.
    #[tokio::test]
    async fn who_leaves_has_guessed_all_the_same() {
        let (access, _) = access();
        for _ in 0..3 {
            let mut guess = Box::pin(access.password("alice", b"guess", HERE));
            assert!(futures::poll!(&mut guess).is_pending());
            assert!(access.hashing.available_permits() < 2);
            drop(guess);
            // Until it has been hashed.
            drop(access.hashing.acquire_many(2).await.unwrap());
        }
        let told = access.password("alice", b"secret", HERE).await.unwrap_err();
        assert_eq!(told.code(), Code::TooManyAttempts);
    }
    #[test]
    fn a_permission_covers_what_lies_within_it() {
        let (access, _) = access();
        assert!(access.permits("alice", Right::Publish, "orders/1"));
        assert!(!access.permits("alice", Right::Subscribe, "orders/1"));
        assert!(!access.permits("alice", Right::Publish, "other") && !access.permits("bob", Right::Publish, "orders/1"));
    }
}
