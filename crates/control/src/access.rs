//! Who is who, and how far each may manage the node. Tokens are known by their hashes, users by theirs: neither can be read back.
mod attempts;
pub mod password;
pub mod sessions;
pub mod signing;
pub mod token;
mod verified;

use arc_swap::ArcSwap;
use attempts::Attempts;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};
use tidegate_config::{Checked, Grants, Manage, Token, User};
use tidegate_core::{
    clock,
    directory::Right,
    error::{Code, Error, Fault, Result, Retry},
    exchange::Principal,
    sessions::Admitted,
};
use tokio::sync::Semaphore;
use verified::Verified;

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
/// What a user proves itself with.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// Its password.
    Password(&'a [u8]),
    /// Its connection token.
    ConnectionToken(&'a [u8]),
}
/// Tokens and users, as of the world of this moment.
pub struct Access {
    now: ArcSwap<Table>,
    attempts: Arc<Attempts>,
    verified: Arc<Verified>,
    seed: RandomState,
    /// A password costs 19 MiB and some 20 ms: a crowd that logs in waits in line.
    hashing: Arc<Semaphore>,
    /// What public documents log in with opens nothing.
    strict: bool,
}
#[derive(Default)]
struct Table {
    tokens: HashMap<[u8; 32], Token>,
    /// Access keys, by their names.
    keys: HashMap<Arc<str>, Token>,
    users: HashMap<Arc<str>, User>,
    /// What [`Caller::id`] may be, and the user it is or stands for.
    known: HashMap<Arc<str>, Option<Arc<str>>>,
    /// As they were declared.
    declared: Vec<Token>,
    /// Rises with every table.
    revision: u64,
}
/// Another one as soon as its secret or its rights change; says nothing of the secret.
fn token_id(seed: &RandomState, token: &Token) -> Arc<str> {
    let grants = match &token.grants {
        Grants::Manage(manage) => manage.as_str(),
        Grants::User(user) => user,
    };
    let mark = seed.hash_one((token.sha256, grants, token.expires));
    format!("token {} {mark:016x}", token.name).into()
}
fn user_id(seed: &RandomState, user: &User) -> Arc<str> {
    let text = |secret: &Option<tidegate_config::Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let mark = seed.hash_one((text(&user.password), text(&user.connection_token), user.manage.map(Manage::as_str)));
    format!("user {} {mark:016x}", user.name).into()
}
/// Whether somebody may administer the node now, by a token that holds or by a password.
pub fn is_administered(checked: &Checked) -> bool {
    let holds =
        |token: &Token| token.grants == Grants::Manage(Manage::Admin) && token.expires.is_none_or(|expires| clock::now_us() < expires);
    checked.tokens.iter().any(holds) || checked.users.iter().any(|user| user.manage == Some(Manage::Admin))
}
impl Access {
    /// Nobody may anything yet. `failures` a minute are allowed for one name from one place. `strict`: what public documents log in with
    /// opens nothing.
    pub fn new(failures: u32, strict: bool) -> Self {
        Self {
            now: ArcSwap::default(),
            attempts: Arc::new(Attempts::new(failures)),
            verified: Arc::default(),
            seed: RandomState::new(),
            hashing: Arc::new(Semaphore::new(2)),
            strict,
        }
    }
    /// From now on these, and no others.
    pub(crate) fn set(&self, users: &[User], tokens: &[Token]) {
        let users: HashMap<_, _> = users.iter().map(|user| (user.name.clone(), user.clone())).collect();
        let now = self.now.load();
        if now.users == users && now.declared == tokens {
            // What was found out of tokens stays true.
            return;
        }
        let mut table = Table {
            declared: tokens.to_vec(),
            known: users
                .values()
                .map(|user| (user_id(&self.seed, user), Some(user.name.clone())))
                .collect(),
            revision: now.revision + 1,
            ..Table::default()
        };
        for token in tokens {
            match &token.grants {
                Grants::Manage(_) => {
                    table.tokens.insert(token.sha256, token.clone());
                    table.known.insert(token_id(&self.seed, token), None);
                }
                // Without its user it opens nothing.
                Grants::User(user) if users.contains_key(user) => {
                    table.keys.insert(token.name.clone(), token.clone());
                    table.known.insert(token_id(&self.seed, token), Some(user.clone()));
                }
                Grants::User(_) => {}
            }
        }
        table.users = users;
        self.now.store(Arc::new(table));
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
        let manage = match &token.grants {
            Grants::Manage(manage) => Some(*manage),
            Grants::User(_) => None,
        };
        Ok(Caller {
            who: format!("token {}", token.name),
            manage,
            expires: token.expires,
            id: token_id(&self.seed, token),
        })
    }
    /// Who shows this access key.
    pub(crate) fn access_key(&self, name: &str, secret: &str) -> Result<Admitted> {
        let table = self.now.load();
        let good = |token: &&Token| {
            // Both are hashes: how long the look takes tells nothing about the secret.
            token.sha256 == token::digest(secret) && token.expires.is_none_or(|expires| clock::now_us() < expires)
        };
        let token = table.keys.get(name).filter(good);
        let token = token.ok_or_else(|| unknown("the access key is wrong, expired or revoked"))?;
        Ok(Admitted {
            principal: Principal {
                id: token_id(&self.seed, token),
                application: None,
            },
            expires: token.expires,
        })
    }
    /// Whose name and password these are, see [`Access::prove`].
    pub async fn password(&self, name: &str, password: &[u8], from: IpAddr) -> Result<Caller> {
        let user = self.prove(name, Proof::Password(password), from).await?;
        Ok(Caller {
            who: format!("user {}", user.name),
            manage: user.manage,
            expires: None,
            id: user_id(&self.seed, &user),
        })
    }
    /// Who has that name and proves it. A name that is not there takes as long as a wrong password. Failures are limited, successes are not,
    /// and one is remembered for a moment. Cancel-safe: a failed attempt counts all the same.
    pub(crate) async fn prove(&self, name: &str, proof: Proof<'_>, from: IpAddr) -> Result<User> {
        let user = self.now.load().users.get(name).cloned();
        let (shown, kept) = match proof {
            Proof::Password(shown) => (shown, user.as_ref().and_then(|user| user.password.as_ref())),
            Proof::ConnectionToken(shown) => (shown, user.as_ref().and_then(|user| user.connection_token.as_ref())),
        };
        let known = kept.is_some();
        let hash = kept.map_or_else(password::nobodys, |hash| hash.expose().to_owned());
        let mark = self.verified.mark(&hash, shown);
        if !(known && self.verified.holds(&mark)) {
            let right = self.hash(name, (shown.to_vec(), hash), known, from).await?;
            if !right {
                return Err(unknown("the name or the password is wrong"));
            }
            self.verified.keep(mark);
        }
        if self.strict && published(shown) {
            tracing::warn!(
                user = name,
                "a login with what public documents print is refused: `tidegate user set` changes it"
            );
            return Err(unknown("the name or the password is wrong"));
        }
        user.ok_or_else(|| unknown("the name or the password is wrong"))
    }
    /// Whether what was shown has that hash: off the runtime, a few at a time.
    async fn hash(&self, name: &str, (shown, hash): (Vec<u8>, String), known: bool, from: IpAddr) -> Result<bool> {
        let allowed = || {
            self.attempts.allow(name, from).map_err(|wait| {
                let text = format!("too many failed logins for `{}`", name.escape_debug());
                Error::client(Code::TooManyAttempts, text).with_retry(Retry::After(wait))
            })
        };
        allowed()?;
        let overloaded = |_| Error::new(Code::Internal, Fault::Gateway, "logins are closed");
        let turn = self.hashing.clone().acquire_owned().await.map_err(overloaded)?;
        // Those before in the line may have used up what was allowed.
        allowed()?;
        let (attempts, called) = (self.attempts.clone(), name.to_owned());
        let hashing = tokio::task::spawn_blocking(move || {
            let right = password::is(&shown, &hash) && known;
            // Here, for whoever asked may have left: that must not make guessing free, nor let more than two hash at once.
            if right {
                attempts.succeeded(&called, from);
            } else {
                attempts.failed(&called, from);
            }
            drop(turn);
            right
        });
        hashing
            .await
            .map_err(|error| Error::new(Code::Internal, Fault::Gateway, "a login ended early").because(error))
    }
    /// Refuses the user of public documents with what they print, unless this node is for a try on one machine.
    pub async fn refuse_published(&self, users: &[User]) -> Result<()> {
        let known: Vec<_> = users.iter().filter(|user| &*user.name == PUBLISHED.0).cloned().collect();
        if !self.strict || known.is_empty() {
            return Ok(());
        }
        let ended = |error| Error::new(Code::Internal, Fault::Gateway, "a look at the users ended early").because(error);
        tokio::task::spawn_blocking(move || refuse_published(&known)).await.map_err(ended)?
    }
    /// Whether whoever was identified so is still what it was.
    pub fn knows(&self, id: &str, expires: Option<i64>) -> bool {
        let current = expires.is_none_or(|expires| clock::now_us() < expires);
        current && self.now.load().known.contains_key(id)
    }
    /// Whether whoever was identified so may do that with a topic or filter.
    pub(crate) fn permits(&self, id: &str, right: Right, name: &str) -> bool {
        let table = self.now.load();
        let user = table.known.get(id).and_then(Option::as_ref).and_then(|user| table.users.get(user));
        let covers = |permission: &tidegate_config::Permission| {
            permission.allow.contains(&right) && permission.topics.iter().any(|filter| filter.covers(name))
        };
        user.is_some_and(|user| user.permissions.iter().any(covers))
    }
    /// Changes with every change of a user or token.
    pub(crate) fn revision(&self) -> u64 {
        self.now.load().revision
    }
    /// As of now, with that revision.
    pub(crate) fn users(&self) -> (Vec<(User, Principal)>, u64) {
        let table = self.now.load();
        let principal = |user: &User| Principal {
            id: user_id(&self.seed, user),
            application: None,
        };
        let users = table.users.values().map(|user| (user.clone(), principal(user)));
        (users.collect(), table.revision)
    }
}
/// Whether the user of public documents has what they print. Takes some 40 ms where that user is. Of others it is told when they log in: a
/// look at every hash would cost each change of anything a second.
pub fn refuse_published(users: &[User]) -> Result<()> {
    let hashes = |user: &User| [user.password.clone(), user.connection_token.clone()];
    let shown = users.iter().filter(|user| &*user.name == PUBLISHED.0).flat_map(hashes);
    if shown.flatten().any(|hash| password::is(PUBLISHED.1, hash.expose())) {
        let text = format!("user `{}` has the password or connection token of public documents", PUBLISHED.0);
        return Err(Error::new(Code::PublishedCredentials, Fault::Operator, text)
            .with_hint("`tidegate user set` gives it another; `tidegate dev` on loopback is for a try"));
    }
    Ok(())
}
/// What the documents of another product log in with.
const PUBLISHED: (&str, &[u8]) = ("root", b"memphis");
/// Whether gateways and brokers print it in their documents, or a machine tries it first.
pub fn published(secret: &[u8]) -> bool {
    let words = ["memphis", "public", "guest", "admin", "changeme"];
    words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(secret))
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
        let access = Access::new(3, true);
        let (text, sha256) = token::make().unwrap();
        let alice = User {
            name: "alice".into(),
            password: Some(Secret::new(password::hash("secret").unwrap())),
            connection_token: None,
            manage: Some(Manage::Viewer),
            permissions: vec![tidegate_config::Permission {
                topics: vec![tidegate_core::filter::Filter::new("orders/#").unwrap()],
                allow: vec![Right::Publish],
            }],
        };
        let token = |name: &str, sha256, expires| Token {
            name: name.into(),
            grants: Grants::Manage(Manage::Operator),
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
        let (known, _) = access();
        let caller = known.password("alice", b"secret", HERE).await.unwrap();
        assert_eq!((&*caller.who, caller.manage), ("user alice", Some(Manage::Viewer)));
        let (access, _) = access();
        for name in ["alice", "nobody"] {
            for _ in 0..3 {
                assert_eq!(access.password(name, b"guess", HERE).await.unwrap_err().code(), Code::Unauthorized);
            }
            let told = access.password(name, b"secret", HERE).await.unwrap_err();
            assert_eq!(told.code(), Code::TooManyAttempts);
            assert!(matches!(told.retry(), Retry::After(_)));
        }
    }
    /// What others guess does not keep out who has just proved itself; a change of the password does.
    #[tokio::test]
    async fn who_proved_itself_a_moment_ago_need_not_wait() {
        let (access, _) = access();
        access.password("alice", b"secret", HERE).await.unwrap();
        for _ in 0..3 {
            access.password("alice", b"guess", HERE).await.unwrap_err();
        }
        access.password("alice", b"secret", HERE).await.unwrap();
        access.set(&[], &[]);
        assert!(access.password("alice", b"secret", HERE).await.is_err());
    }
    /// Neither does what others guess from elsewhere.
    #[tokio::test]
    async fn guesses_keep_out_nobody_but_who_guesses() {
        let (access, _) = access();
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        for _ in 0..3 {
            access.password("alice", b"guess", elsewhere).await.unwrap_err();
        }
        let told = access.password("alice", b"secret", elsewhere).await.unwrap_err();
        assert_eq!(told.code(), Code::TooManyAttempts);
        access.password("alice", b"secret", HERE).await.unwrap();
    }
    /// However it is hashed and whoever has it; where it is for a try, it works.
    #[tokio::test]
    async fn what_public_documents_print_opens_nothing() {
        for strict in [true, false] {
            let access = Access::new(3, strict);
            let bob = User {
                name: "bob".into(),
                password: None,
                connection_token: Some(Secret::new(password::hash("Memphis").unwrap())),
                manage: None,
                permissions: Vec::new(),
            };
            access.set(&[bob], &[]);
            for _ in 0..2 {
                assert_eq!(access.prove("bob", Proof::ConnectionToken(b"Memphis"), HERE).await.is_err(), strict);
            }
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
        let (users, _) = access.users();
        let alice = &*users[0].1.id;
        assert!(access.permits(alice, Right::Publish, "orders/1"));
        assert!(!access.permits(alice, Right::Subscribe, "orders/1"));
        assert!(!access.permits(alice, Right::Publish, "other") && !access.permits("alice", Right::Publish, "orders/1"));
    }
}
