//! Sessions of users: see [`tidegate_core::sessions`]. A token names nobody and holds no secret: its subject is known to who has key and user.
use super::{
    Access, Proof,
    signing::{Key, Ring},
    unknown,
};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
    exchange::Principal,
    sessions::{self, Admitted, Lifetimes, Login, Renewal, Session},
};

/// Tokens that were seen and hold: asked again, they cost a look.
const SEEN: usize = 10_000;
const SECOND: i64 = 1_000_000;
/// No token of ours is longer.
const LONGEST: usize = 2_048;

/// RFC 7515, section 4. A member that is not known here may ask for something nobody does (`crit`), so there must be none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "alg")]
    _algorithm: Algorithm,
    #[serde(rename = "typ")]
    _kind: Option<String>,
    kid: String,
}
/// RFC 7519, section 4.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// Of the user, opaque.
    sub: String,
    /// What it opens.
    scope: String,
    /// `access` or `refresh`.
    #[serde(rename = "use")]
    for_what: String,
    iat: i64,
    /// In whole seconds, for others to read.
    exp: i64,
    /// When it ends, to the microsecond; so no two tokens are the same.
    until: i64,
    /// Until when it can be renewed, to the microsecond.
    renew: i64,
}
/// How long tokens hold.
#[derive(Clone, Copy, Debug)]
pub struct Ttl {
    /// Access tokens, unless the login asks for another time.
    pub access: Duration,
    /// Refresh tokens, unless the login asks for another time.
    pub refresh: Duration,
    /// Whatever a login asks for.
    pub most: Duration,
}
const SCOPE: &str = "stations";
const ACCESS: &str = "access";
const REFRESH: &str = "refresh";

/// Sessions of the users of an [`Access`], signed by the keys of one file.
pub struct Sessions {
    access: Arc<Access>,
    ring: Arc<ArcSwap<Ring>>,
    ttl: Ttl,
    known: ArcSwap<Known>,
    seen: RwLock<Seen>,
}
/// Who the subjects of tokens are, as of a table of users and a ring of keys.
struct Known {
    ring: Arc<Ring>,
    revision: u64,
    subjects: HashMap<(Arc<str>, [u8; 16]), Principal>,
}
impl Known {
    fn new(ring: Arc<Ring>, access: &Access) -> Self {
        let (users, revision) = access.users();
        let mut subjects = HashMap::new();
        for key in ring.keys() {
            for (user, principal) in &users {
                // A key without bytes is in no ring.
                if let Ok(subject) = key.subject(parts(user)) {
                    subjects.insert((key.id.clone(), subject), principal.clone());
                }
            }
        }
        Self { ring, revision, subjects }
    }
}
fn parts(user: &tidegate_config::User) -> [&str; 3] {
    [&user.name, text(user.password.as_ref()), text(user.connection_token.as_ref())]
}
fn text(secret: Option<&tidegate_config::Secret>) -> &str {
    secret.map_or("", tidegate_config::Secret::expose)
}
/// What was found of tokens, as of one [`Known`].
#[derive(Default)]
struct Seen {
    of: Option<Arc<Known>>,
    tokens: HashMap<Box<str>, Admitted>,
}
impl Sessions {
    /// Over these users and keys, which may both change.
    pub fn new(access: Arc<Access>, ring: Arc<ArcSwap<Ring>>, ttl: Ttl) -> Self {
        let known = Known::new(ring.load_full(), &access);
        Self {
            access,
            ring,
            ttl,
            known: ArcSwap::from_pointee(known),
            seen: RwLock::default(),
        }
    }
    /// As of now.
    fn known(&self) -> Arc<Known> {
        let known = self.known.load_full();
        let ring = self.ring.load();
        if Arc::ptr_eq(&known.ring, &ring) && known.revision == self.access.revision() {
            return known;
        }
        let known = Arc::new(Known::new(ring.clone(), &self.access));
        self.known.store(known.clone());
        known
    }
    /// A signed text, if the key signed it; expiry is the caller's.
    fn read(known: &Known, token: &str) -> Result<(Claims, Principal)> {
        let wrong = || unauthorized();
        if token.len() > LONGEST {
            return Err(wrong());
        }
        let head = token.split('.').next().unwrap_or_default();
        let head = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(head).map_err(|_| wrong())?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| wrong())?;
        let key = known.ring.find(&head.kid).ok_or_else(wrong)?;
        let mut rules = Validation::new(Algorithm::HS256);
        rules.required_spec_claims.clear();
        // Looked at below, with no second of leeway.
        rules.validate_exp = false;
        rules.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.verifies, &rules)
            .map_err(|_| wrong())?
            .claims;
        let mut subject = [0; 16];
        let text = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&claims.sub).map_err(|_| wrong())?;
        if text.len() != subject.len() || claims.scope != SCOPE {
            return Err(wrong());
        }
        subject.copy_from_slice(&text);
        // Not there: the user is gone, or its password is another one.
        let principal = known.subjects.get(&(key.id.clone(), subject)).cloned().ok_or_else(wrong)?;
        Ok((claims, principal))
    }
    fn session(&self, key: &Key, subject: &str, lifetimes: Lifetimes) -> Result<Session> {
        let access_ttl = lifetimes.access.unwrap_or(self.ttl.access).min(self.ttl.most);
        let refresh_ttl = lifetimes.refresh.unwrap_or(self.ttl.refresh).min(self.ttl.most);
        let now = clock::now_us();
        let ends = |ttl: Duration| now.saturating_add(ttl.as_micros() as i64);
        let token = |for_what: &str, ttl: Duration| {
            let claims = Claims {
                sub: subject.to_owned(),
                scope: SCOPE.to_owned(),
                for_what: for_what.to_owned(),
                iat: now / SECOND,
                // Never shorter than what is told.
                exp: (ends(ttl) + SECOND - 1) / SECOND,
                until: ends(ttl),
                renew: ends(refresh_ttl),
            };
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(key.id.to_string());
            let failed = |error| Error::new(Code::Internal, Fault::Gateway, "a token cannot be signed").because(error);
            jsonwebtoken::encode(&header, &claims, &key.signs).map_err(failed)
        };
        Ok(Session {
            access: token(ACCESS, access_ttl)?,
            access_ttl,
            refresh: token(REFRESH, refresh_ttl)?,
            refresh_ttl,
        })
    }
    /// For a user of this moment.
    fn begin(&self, user: &tidegate_config::User, lifetimes: Lifetimes) -> Result<Session> {
        let ring = self.ring.load();
        let key = ring.signing(clock::now_us()).ok_or_else(unauthorized)?;
        let subject = base64_simd::URL_SAFE_NO_PAD.encode_to_string(key.subject(parts(user))?);
        self.session(key, &subject, lifetimes)
    }
    fn seen(&self, known: &Arc<Known>, token: &str) -> Option<Admitted> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let current = seen.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, known));
        seen.tokens.get(token).filter(|_| current).cloned()
    }
    fn keep(&self, known: Arc<Known>, token: &str, admitted: Admitted) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let current = seen.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &known));
        if !current || seen.tokens.len() >= SEEN {
            seen.tokens.clear();
            seen.of = Some(known);
        }
        seen.tokens.insert(token.into(), admitted);
    }
}
impl sessions::Sessions for Sessions {
    fn login<'a>(&'a self, login: &'a Login, lifetimes: Lifetimes, from: IpAddr) -> BoxFuture<'a, Result<Session>> {
        Box::pin(async move {
            let proof = match (&login.password, &login.connection_token) {
                (Some(password), None) => Proof::Password(password.as_bytes()),
                (None, Some(token)) => Proof::ConnectionToken(token.as_bytes()),
                // Neither, or a guess at both at once.
                (None, None) | (Some(_), Some(_)) => return Err(unauthorized()),
            };
            let user = self.access.prove(&login.name, proof, from).await?;
            self.begin(&user, lifetimes)
        })
    }
    fn renew(&self, shown: Renewal<'_>, lifetimes: Lifetimes) -> Result<Session> {
        let (token, wanted) = match shown {
            Renewal::Access(token) => (token, ACCESS),
            Renewal::Refresh(token) => (token, REFRESH),
        };
        let known = self.known();
        let (claims, principal) = Self::read(&known, token)?;
        let until = if wanted == ACCESS { claims.renew } else { claims.until };
        if claims.for_what != wanted || clock::now_us() >= until {
            return Err(unauthorized());
        }
        // Signed by the newest key from now on, so that an old one can be taken out some day.
        let (users, _) = self.access.users();
        let user = users.into_iter().find(|(_, of)| *of == principal).ok_or_else(unauthorized)?.0;
        self.begin(&user, lifetimes)
    }
    fn admit(&self, token: &str) -> Result<Admitted> {
        let known = self.known();
        if let Some(admitted) = self.seen(&known, token) {
            let holds = admitted.expires.is_none_or(|expires| clock::now_us() < expires);
            return if holds { Ok(admitted) } else { Err(unauthorized()) };
        }
        if let Some((name, secret)) = token.split_once(':') {
            return self.access.access_key(name, secret);
        }
        let (claims, principal) = Self::read(&known, token)?;
        let expires = claims.until;
        if claims.for_what != ACCESS || clock::now_us() >= expires {
            return Err(unauthorized());
        }
        let admitted = Admitted {
            principal,
            expires: Some(expires),
        };
        self.keep(known, token, admitted.clone());
        Ok(admitted)
    }
}
fn unauthorized() -> Error {
    unknown("the token is wrong, expired or revoked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{password, signing::Turn, token};
    use std::net::Ipv4Addr;
    use tidegate_config::{Grants, Secret, Token, User};
    use tidegate_core::sessions::Sessions as _;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn user(name: &str, connection_token: &str) -> User {
        User {
            name: name.into(),
            password: None,
            connection_token: Some(Secret::new(connection_token)),
            manage: None,
            permissions: Vec::new(),
        }
    }
    fn ring() -> Ring {
        Ring::parse(&Ring::fresh().unwrap()).unwrap()
    }
    fn turned(old: &Ring) -> Ring {
        let turn = Turn {
            now: clock::now_us() - 2 * SECOND,
            after: Duration::ZERO,
            overlap: Duration::from_hours(5),
        };
        Ring::parse(&old.turned(turn).unwrap()).unwrap()
    }
    fn over(access: &Arc<Access>, ring: &Arc<ArcSwap<Ring>>) -> Sessions {
        let ttl = Ttl {
            access: Duration::from_mins(15),
            refresh: Duration::from_hours(5),
            most: Duration::from_hours(24),
        };
        Sessions::new(access.clone(), ring.clone(), ttl)
    }
    fn login(token: &str) -> Login {
        Login {
            name: "root".to_owned(),
            connection_token: Some(token.to_owned()),
            ..Login::default()
        }
    }
    fn some(hours: u64) -> Lifetimes {
        Lifetimes {
            access: Some(Duration::ZERO),
            refresh: Some(Duration::from_hours(hours)),
        }
    }
    #[tokio::test]
    async fn a_session_holds_until_it_expires_or_the_user_changes() {
        let access = Arc::new(Access::new(3, true));
        let hash = password::hash("secret").unwrap();
        access.set(&[user("root", &hash), user("other", "x")], &[]);
        let keys = Arc::new(ArcSwap::from_pointee(ring()));
        let sessions = over(&access, &keys);

        let session = sessions.login(&login("secret"), Lifetimes::default(), HERE).await.unwrap();
        assert_eq!(
            (session.access_ttl, session.refresh_ttl),
            (Duration::from_mins(15), Duration::from_hours(5))
        );
        let admitted = sessions.admit(&session.access).unwrap();
        // From what was kept.
        assert_eq!(sessions.admit(&session.access).unwrap(), admitted);
        assert!(access.knows(&admitted.principal.id, admitted.expires));
        for claims in session.access.split('.').take(2) {
            let text = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(
                !text.contains("root") && !text.contains("secret") && !text.contains("argon"),
                "{text}"
            );
        }
        // Each for its own use.
        assert!(sessions.admit(&session.refresh).is_err());
        assert!(sessions.renew(Renewal::Refresh(&session.access), Lifetimes::default()).is_err());
        assert!(sessions.renew(Renewal::Access(&session.refresh), Lifetimes::default()).is_err());
        for shown in [Renewal::Refresh(&session.refresh), Renewal::Access(&session.access)] {
            let next = sessions.renew(shown, Lifetimes::default()).unwrap();
            assert_eq!(sessions.admit(&next.access).unwrap().principal, admitted.principal);
        }
        // Any gateway with the same keys and users.
        let elsewhere = Arc::new(Access::new(3, true));
        elsewhere.set(&[user("root", &hash)], &[]);
        assert!(over(&elsewhere, &keys).admit(&session.access).is_ok());
        assert!(
            over(&elsewhere, &Arc::new(ArcSwap::from_pointee(ring())))
                .admit(&session.access)
                .is_err()
        );
        // Another password, or none.
        access.set(&[user("root", &password::hash("secret").unwrap())], &[]);
        assert!(sessions.admit(&session.access).is_err());
        assert!(sessions.renew(Renewal::Refresh(&session.refresh), Lifetimes::default()).is_err());
        assert!(!access.knows(&admitted.principal.id, admitted.expires));
    }
    #[tokio::test]
    async fn an_expired_access_token_is_renewed_as_long_as_its_refresh_token() {
        let access = Arc::new(Access::new(3, true));
        access.set(&[user("root", &password::hash("secret").unwrap())], &[]);
        let keys = Arc::new(ArcSwap::from_pointee(ring()));
        let sessions = over(&access, &keys);
        let session = sessions.login(&login("secret"), some(1), HERE).await.unwrap();
        // Not a moment of leeway.
        let old = Sessions::read(&sessions.known(), &session.access).unwrap().0;
        assert!(old.until <= clock::now_us() && sessions.admit(&session.access).is_err());
        assert_eq!(old.exp, (old.until + SECOND - 1) / SECOND);
        let aged = |until: i64, renew: i64| {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = keys.load().signing(0).map(|key| key.id.to_string());
            let claims = Claims {
                exp: old.exp + 60,
                until,
                renew,
                sub: old.sub.clone(),
                scope: old.scope.clone(),
                for_what: old.for_what.clone(),
                iat: old.iat,
            };
            jsonwebtoken::encode(&header, &claims, &keys.load().signing(0).unwrap().signs).unwrap()
        };
        let now = clock::now_us();
        assert!(sessions.admit(&aged(now, now + 60 * SECOND)).is_err() && sessions.admit(&aged(now + 60 * SECOND, 0)).is_ok());
        let renewed = |until: i64, renew: i64| sessions.renew(Renewal::Access(&aged(until, renew)), Lifetimes::default());
        assert!(renewed(now, now + 60 * SECOND).is_ok() && renewed(now - 9, now).is_err());
        // Whatever is asked for, up to what is set.
        let long = sessions.login(&login("secret"), some(1_000), HERE).await.unwrap();
        assert_eq!(long.refresh_ttl, Duration::from_hours(24));
        assert!(long.access != session.access, "no two are the same");
        // A new key before the old one: both hold. Without the old one: no more.
        let next = turned(&keys.load());
        keys.store(Arc::new(next));
        let renewed = sessions.renew(Renewal::Refresh(&session.refresh), Lifetimes::default()).unwrap();
        assert!(sessions.admit(&renewed.access).is_ok());
        keys.store(Arc::new(ring()));
        assert!(sessions.admit(&renewed.access).is_err());
    }
    #[tokio::test]
    async fn what_is_no_token_of_ours_opens_nothing() {
        let access = Arc::new(Access::new(100, true));
        access.set(&[user("root", &password::hash("secret").unwrap())], &[]);
        let keys = Arc::new(ArcSwap::from_pointee(ring()));
        let sessions = over(&access, &keys);
        let good = sessions.login(&login("secret"), Lifetimes::default(), HERE).await.unwrap().access;
        let parts: Vec<_> = good.split('.').collect();
        let text = |json: &str| base64_simd::URL_SAFE_NO_PAD.encode_to_string(json);
        let none = format!("{}.{}.", text(r#"{"alg":"none","typ":"JWT"}"#), parts[1]);
        let signed_by_nothing = format!("{}.{}.", parts[0], parts[1]);
        let changed = format!("{}.{}.{}", parts[0], text(r#"{"username":"root"}"#), parts[2]);
        let documents = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.4KOGRhUaqvm-qSHnmMwX5VrLKsvHo33u3UdJ0qYP0kI";
        let long = format!("{good}{}", "x".repeat(3_000));
        // Rightly signed, but it asks for what nobody here does.
        let asks = |member: &str| {
            let key = keys.load();
            let key = key.signing(0).unwrap();
            let head = text(&format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{}"{member}}}"#, key.id));
            let signed = format!("{head}.{}", parts[1]);
            let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key.signs, Algorithm::HS256).unwrap();
            format!("{signed}.{signature}")
        };
        assert!(sessions.admit(&asks("")).is_ok());
        let critical = asks(r#","crit":["b64"],"b64":false"#);
        let elsewhere = asks(r#","jku":"https://example.com""#);
        for bad in [
            "",
            ".",
            "..",
            ":",
            "a:b",
            &none,
            &signed_by_nothing,
            &changed,
            documents,
            &long,
            &critical,
            &elsewhere,
            "\u{0}",
            good.trim_end_matches(|last: char| last == good.chars().last().unwrap_or_default()),
        ] {
            assert_eq!(sessions.admit(bad).unwrap_err().code(), Code::Unauthorized, "{bad}");
        }
        for wrong in [
            login("Secret"),
            login(""),
            Login {
                name: "nobody".to_owned(),
                ..login("secret")
            },
            Login {
                password: Some("secret".to_owned()),
                connection_token: None,
                ..login("")
            },
            Login {
                password: Some("secret".to_owned()),
                ..login("secret")
            },
            Login {
                connection_token: None,
                ..login("")
            },
        ] {
            let refused = sessions.login(&wrong, Lifetimes::default(), HERE).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthorized, "{wrong:?}");
        }
    }
    #[test]
    fn an_access_key_stands_for_its_user() {
        let access = Arc::new(Access::new(3, true));
        let key = |user: &str, expires| Token {
            name: "ci".into(),
            grants: Grants::User(user.into()),
            sha256: token::digest("tgt_secret"),
            expires,
        };
        let keys = Arc::new(ArcSwap::from_pointee(ring()));
        let sessions = over(&access, &keys);
        access.set(&[user("root", "x")], &[key("root", None)]);
        let admitted = sessions.admit("ci:tgt_secret").unwrap();
        assert!(access.knows(&admitted.principal.id, None));
        // Not for the management API.
        assert!(access.bearer("tgt_secret").is_err());
        assert!(sessions.admit("ci:tgt_Secret").is_err() && sessions.admit("di:tgt_secret").is_err());
        for (users, tokens) in [
            (vec![user("root", "x")], vec![]),
            (vec![], vec![key("root", None)]),
            (vec![user("root", "x")], vec![key("root", Some(1))]),
        ] {
            access.set(&users, &tokens);
            assert!(sessions.admit("ci:tgt_secret").is_err());
        }
    }
}
