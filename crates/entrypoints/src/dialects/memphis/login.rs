//! `auth/authenticate` and `auth/refreshToken`: two tokens for who knows a password or connection token, and new ones for who has some.
use super::{
    Memphis, Settings,
    answer::{self, Family, Refusal, Result},
    form::{Fields, Kind, Wrong},
    token,
};
use crate::{
    http::{body::Body, flight::Aboard, upload},
    listener::{Connection, Incoming},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use std::{net::IpAddr, time::Duration};
use tidegate_core::{
    clock,
    error::{Code, Error},
    sessions::{Lifetimes, Login, Renewal, Session},
};

/// Bytes of a login.
const LARGEST: u64 = 64 << 10;
const COOKIE: &str = "jwt-refresh-token";
const FIELDS: &str = "Some of your fields are not valid it is usually because you are missing some fields or you are sending wrong data types, also please notice that account_id field should be sent as a number rather than a string";

pub(super) async fn authenticate(
    memphis: &Memphis,
    parts: &Parts,
    body: &mut Option<Incoming>,
    connection: &Connection,
    from: IpAddr,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let settings = &memphis.settings;
    let text = read(memphis, body, &mut aboard).await?;
    let fields = kind(&parts.headers).and_then(|kind| Fields::read(kind, &text));
    let fields = fields.ok_or_else(bad_fields)?;
    let asked = Asked::of(&fields).map_err(|Wrong| bad_fields())?;
    let login = asked.login()?;
    let session = memphis.ground.sessions.login(&login, asked.lifetimes, from).await;
    let session = session.map_err(|error| Refusal::of(error, Family::Message, settings.old))?;
    Ok(told(&session, settings, is_secure(&parts.headers, connection)))
}
pub(super) async fn refresh(
    memphis: &Memphis,
    parts: &Parts,
    body: &mut Option<Incoming>,
    connection: &Connection,
    mut aboard: Aboard,
) -> Result<Response<Body>> {
    let settings = &memphis.settings;
    let text = read(memphis, body, &mut aboard).await?;
    let cookie = cookie(&parts.headers);
    let access = token::shown(&parts.headers, None);
    let asked = match fields(&parts.headers, &text) {
        Ok(asked) => asked,
        // As it was; with the forms of its predecessors a body is not needed.
        Err(Wrong) if settings.old && (!text.is_empty() || cookie.is_none() && access.is_none()) => {
            return Err(Refusal::new(Family::Message, StatusCode::INTERNAL_SERVER_ERROR, "Server error"));
        }
        Err(Wrong) if text.is_empty() => Asked::default(),
        Err(Wrong) => return Err(bad_fields()),
    };
    let sessions = &memphis.ground.sessions;
    let renewed = if asked.refresh.is_empty() {
        // Whichever of them holds: a page's cookie may be older than its header, and the other way round.
        let shown = [access.as_deref().map(Renewal::Access), cookie.map(Renewal::Refresh)];
        let nothing = Err(Error::client(Code::Unauthorized, "no token is shown"));
        shown.into_iter().flatten().fold(nothing, |renewed, shown| match renewed {
            Err(error) if error.code() == Code::Unauthorized => sessions.renew(shown, asked.lifetimes),
            renewed => renewed,
        })
    } else {
        sessions.renew(Renewal::Refresh(&asked.refresh), asked.lifetimes)
    };
    let session = renewed.map_err(|error| Refusal::of(error, Family::Message, settings.old))?;
    Ok(told(&session, settings, is_secure(&parts.headers, connection)))
}
async fn read(memphis: &Memphis, body: &mut Option<Incoming>, aboard: &mut Aboard) -> Result<Bytes> {
    let edge = &memphis.ground.edge;
    let text = upload::read(body, edge.body.min(LARGEST), edge.body_pace, aboard).await;
    text.map_err(|error| Refusal::of_http(error, Family::Message, memphis.settings.old))
}
fn kind(headers: &HeaderMap) -> Option<Kind<'_>> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().and_then(Kind::of)
}
fn fields(headers: &HeaderMap, text: &[u8]) -> std::result::Result<Asked, Wrong> {
    let kind = kind(headers).filter(|kind| !text.is_empty() || *kind == Kind::Form).ok_or(Wrong)?;
    Asked::of(&Fields::read(kind, text).ok_or(Wrong)?)
}
fn bad_fields() -> Refusal {
    Refusal::new(Family::Message, StatusCode::BAD_REQUEST, FIELDS)
}
/// What a body asks for. No Debug: it is full of secrets.
#[derive(Default)]
struct Asked {
    user: String,
    password: String,
    connection_token: String,
    refresh: String,
    lifetimes: Lifetimes,
}
impl Asked {
    fn of(fields: &Fields<'_>) -> std::result::Result<Self, Wrong> {
        let text = |name| fields.text(name).map(std::borrow::Cow::into_owned);
        // There is one account: its number is read as it was, and means nothing.
        fields.any_number("account_id")?;
        fields.number("token_expiry")?;
        Ok(Self {
            user: text("username")?,
            password: text("password")?,
            connection_token: text("connection_token")?,
            refresh: text("jwt_refresh_token")?,
            lifetimes: Lifetimes {
                access: minutes(fields.number("token_expiry_in_minutes")?),
                refresh: minutes(fields.number("refresh_token_expiry_in_minutes")?),
            },
        })
    }
    fn login(&self) -> Result<Login> {
        if self.user.is_empty() {
            let text = b"{\"message\":[{\"field\":\"Username\",\"reason\":\"required\"}]}";
            return Err(Refusal::raw(StatusCode::BAD_REQUEST, text.to_vec()));
        }
        let one = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let (password, connection_token) = (one(&self.password), one(&self.connection_token));
        if password.is_some() == connection_token.is_some() {
            return Err(Refusal::unauthorized());
        }
        // What stands behind `$` is the account.
        let name = self.user.split_once('$').map_or(&*self.user, |(name, _)| name);
        Ok(Login {
            name: name.to_owned(),
            password,
            connection_token,
        })
    }
}
fn minutes(number: i64) -> Option<Duration> {
    let minutes = u64::try_from(number).ok().filter(|minutes| *minutes > 0)?;
    Some(Duration::from_secs(minutes.saturating_mul(60)))
}
/// Four members, in the order clients were shown.
fn told(session: &Session, settings: &Settings, secure: bool) -> Response<Body> {
    let (access, refresh) = if settings.old {
        // The release's own numbers: the second at which the access token ends, times 60000, for both.
        let ends = u128::try_from(clock::now_us() / 1_000_000).unwrap_or_default() + u128::from(session.access_ttl.as_secs());
        (ends * 60_000, ends * 60_000)
    } else {
        (session.access_ttl.as_millis(), session.refresh_ttl.as_millis())
    };
    let mut out = Vec::with_capacity(session.access.len() + session.refresh.len() + 120);
    out.extend_from_slice(format!("{{\"expires_in\":{access},\"jwt\":").as_bytes());
    answer::string(&session.access, &mut out);
    out.extend_from_slice(b",\"jwt_refresh_token\":");
    answer::string(&session.refresh, &mut out);
    out.extend_from_slice(format!(",\"refresh_token_expires_in\":{refresh}}}").as_bytes());
    let mut response = answer::json(out);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let cookie = format!(
        "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}",
        session.refresh,
        session.refresh_ttl.as_secs(),
        if secure { "; Secure" } else { "" }
    );
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
/// Whether nobody on the way can read the answer, as far as we and proxies that are believed know.
fn is_secure(headers: &HeaderMap, connection: &Connection) -> bool {
    let proto = headers.get("x-forwarded-proto");
    connection.secure || connection.proxies.is_some() && proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
    Some(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{super::answer::tests, *};

    fn asked(text: &str) -> std::result::Result<Asked, Wrong> {
        Asked::of(&Fields::read(Kind::Json, text.as_bytes()).ok_or(Wrong)?)
    }
    #[test]
    fn exactly_one_secret_is_shown() {
        let login = |text: &str| asked(text).unwrap().login().map_err(|refusal| tests::told(refusal.into_response()));
        let required = "{\"message\":[{\"field\":\"Username\",\"reason\":\"required\"}]}";
        for text in ["{}", "{\"username\":\"\",\"password\":\"x\"}", "null"] {
            assert_eq!(login(text).unwrap_err(), (400, "application/json".to_owned(), required.to_owned()));
        }
        for text in [
            "{\"username\":\"root\"}",
            "{\"username\":\"root\",\"password\":\"\"}",
            "{\"username\":\"root\",\"password\":\"a\",\"connection_token\":\"b\"}",
        ] {
            assert_eq!(login(text).unwrap_err().0, 401);
        }
        let bob = login("{\"username\":\"bob$7\",\"connection_token\":\"b\",\"password\":\"\"}").unwrap();
        assert_eq!(
            (bob.name.as_str(), bob.connection_token.as_deref(), bob.password),
            ("bob", Some("b"), None)
        );
    }
    #[test]
    fn lifetimes_are_minutes() {
        let asked_for = |text| asked(text).unwrap().lifetimes;
        assert_eq!(
            asked_for("{\"token_expiry_in_minutes\":0,\"refresh_token_expiry_in_minutes\":-1}"),
            Lifetimes::default()
        );
        let both = asked_for("{\"token_expiry_in_minutes\":1,\"refresh_token_expiry_in_minutes\":6000000}");
        assert_eq!(both.access, Some(Duration::from_mins(1)));
        assert_eq!(both.refresh, Some(Duration::from_hours(100_000)));
        for wrong in [
            "{\"account_id\":\"1\"}",
            "{\"username\":7}",
            "{\"token_expiry_in_minutes\":\"1\"}",
            "[]",
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
        assert!(asked("{\"account_id\":1.0,\"token_expiry\":5,\"more\":{}}").is_ok());
    }
    #[test]
    fn two_tokens_are_told_in_milliseconds_and_a_cookie_in_seconds() {
        let session = Session {
            access: "a.b".into(),
            access_ttl: Duration::from_mins(15),
            refresh: "c.d".into(),
            refresh_ttl: Duration::from_hours(5),
        };
        let response = told(&session, &Settings::default(), false);
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert_eq!(cookie, "jwt-refresh-token=c.d; Path=/; HttpOnly; SameSite=Strict; Max-Age=18000");
        let body = "{\"expires_in\":900000,\"jwt\":\"a.b\",\"jwt_refresh_token\":\"c.d\",\"refresh_token_expires_in\":18000000}";
        assert_eq!(tests::told(response), (200, "application/json".to_owned(), body.to_owned()));
        let secure = told(&session, &Settings::default(), true);
        assert!(secure.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
        let old = Settings {
            old: true,
            ..Settings::default()
        };
        let (_, _, body) = tests::told(told(&session, &old, false));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(body["expires_in"].as_u64().unwrap() > 100_000_000_000_000 && body["expires_in"] == body["refresh_token_expires_in"]);
    }
    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xjwt-refresh-token=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=d;jwt-refresh-token=yes; e=f"));
        assert_eq!(cookie(&headers), Some("yes"));
        assert_eq!(cookie(&HeaderMap::new()), None);
    }
}
