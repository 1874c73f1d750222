//! The stream behind a station's name: who may use it, and its coming into being.
use super::{
    Asked, Memphis,
    answer::{Family, Refusal, Result},
    names,
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tidegate_core::{
    directory::Right,
    error::{Code, Error, Fault, Retry},
    exchange::Principal,
};
use tidegate_gateway::route::Route;

/// The realm of all stations.
const REALM: &str = "main";
/// How often one request begins anew because its station is deleted under it.
pub(super) const TRIES: usize = 3;

/// A station somebody may use, there or not.
pub(super) struct Station {
    name: String,
    route: Option<Arc<Route>>,
    /// It may be made, by this user.
    create: bool,
    /// Whose wish that is, and from where.
    who: Principal,
    from: IpAddr,
    old: bool,
}
impl Memphis {
    /// The stream of exactly that name, else of the lower-cased one.
    pub(super) fn station(&self, raw: &str, asked: &Asked<'_>, right: Right) -> Result<Station> {
        let refused = |error| Refusal::of(error, Family::Station, self.settings.old);
        let (name, route) = if let Some(route) = self.route(raw) {
            (raw.to_owned(), Some(route))
        } else {
            let name = names::station(raw).map_err(refused)?;
            let route = self.route(&name);
            (name, route)
        };
        let permits = |right| self.ground.directory.permits(REALM, &asked.who.principal, right, &name);
        let forbidden = |what: &str| {
            let text = format!("{} is not allowed to {what} station {name}", asked.who.principal.called());
            refused(Error::client(Code::Forbidden, text))
        };
        if !permits(right) {
            return Err(forbidden("access"));
        }
        let may = right == Right::Publish || permits(Right::Publish);
        if route.is_none() && self.settings.create && !may {
            return Err(forbidden("create"));
        }
        Ok(Station {
            create: self.settings.create && may,
            who: asked.who.principal.clone(),
            from: asked.peer.ip(),
            name,
            route,
            old: self.settings.old,
        })
    }
    fn route(&self, name: &str) -> Option<Arc<Route>> {
        let now = self.ground.world.now();
        now.paths.find("", &path(name)).map(|(route, _)| route.clone())
    }
    /// Its route; a station that is not there comes into being, where that is wanted.
    pub(super) async fn open(&self, station: &Station) -> Result<Arc<Route>> {
        if let Some(route) = station.route.clone().or_else(|| self.route(&station.name)) {
            return Ok(route);
        }
        if !station.create {
            return Err(station.missing());
        }
        let made = self
            .ground
            .directory
            .ensure_stream(REALM, &station.name, &station.who, station.from)
            .await;
        made.map_err(|error| {
            if is_gone(&error) {
                station.missing()
            } else {
                station.refused(error)
            }
        })?;
        self.route(&station.name).ok_or_else(|| station.restless())
    }
}
/// Whether the station was deleted under a request that had found it.
pub(super) fn is_gone(error: &Error) -> bool {
    error.code() == Code::NoSuchStream
}
impl Station {
    /// In the world of stations.
    pub(super) fn path(&self) -> String {
        path(&self.name)
    }
    /// Its route, if it is there: what was never handed out needs no station to be settled at.
    pub(super) fn there(&self) -> Result<Arc<Route>> {
        self.route.clone().ok_or_else(|| self.missing())
    }
    /// It was deleted: what is of that name is to be looked for anew.
    pub(super) fn lose(&mut self) {
        self.route = None;
    }
    /// It is deleted as often as it comes into being. Nothing is wrong with what was sent, and it can be sent again.
    pub(super) fn restless(&self) -> Refusal {
        let text = format!("Station {} is being deleted, try again", self.name);
        self.refused(Error::new(Code::Overloaded, Fault::Operator, text).with_retry(Retry::After(Duration::from_secs(1))))
    }
    fn missing(&self) -> Refusal {
        let text = format!("Station {} does not exist", self.name);
        self.refused(Error::client(Code::NoSuchStream, text))
    }
    fn refused(&self, error: Error) -> Refusal {
        Refusal::of(error, Family::Station, self.old)
    }
}
fn path(name: &str) -> String {
    ["/stations/", name].concat()
}
