//! The stream behind a station's name: who may use it, and its coming into being.
use super::{
    Memphis,
    answer::{Family, Refusal, Result},
    names,
};
use std::sync::Arc;
use tidegate_core::{
    directory::Right,
    error::{Code, Error, Fault},
    sessions::Admitted,
};
use tidegate_gateway::route::Route;

/// The realm of all stations.
const REALM: &str = "main";

/// A station somebody may use, there or not.
pub(super) struct Station {
    name: String,
    route: Option<Arc<Route>>,
    /// It may be made.
    create: bool,
    old: bool,
}
impl Memphis {
    /// The stream of exactly that name, else of the lower-cased one.
    pub(super) fn station(&self, raw: &str, who: &Admitted, right: Right) -> Result<Station> {
        let refused = |error| Refusal::of(error, Family::Station, self.settings.old);
        let (name, route) = if let Some(route) = self.route(raw) {
            (raw.to_owned(), Some(route))
        } else {
            let name = names::station(raw).map_err(refused)?;
            let route = self.route(&name);
            (name, route)
        };
        let permits = |right| self.ground.directory.permits(REALM, &who.principal, right, &name);
        let forbidden = |what: &str| {
            let text = format!("{} is not allowed to {what} station {name}", called(&who.principal.id));
            refused(Error::client(Code::Forbidden, text))
        };
        if !permits(right) {
            return Err(forbidden("access"));
        }
        if route.is_none() && self.settings.create && right != Right::Publish && !permits(Right::Publish) {
            return Err(forbidden("create"));
        }
        Ok(Station {
            name,
            route,
            create: self.settings.create,
            old: self.settings.old,
        })
    }
    fn route(&self, name: &str) -> Option<Arc<Route>> {
        let now = self.ground.world.now();
        now.paths.find("", &path(name)).map(|(route, _)| route.clone())
    }
    /// Its route; a station that is not there comes into being, where that is wanted.
    pub(super) async fn open(&self, station: &Station) -> Result<Arc<Route>> {
        if let Some(route) = &station.route {
            return Ok(route.clone());
        }
        let refused = |error| Refusal::of(error, Family::Station, station.old);
        if !station.create {
            let text = format!("Station {} does not exist", station.name);
            return Err(refused(Error::client(Code::NoSuchStream, text)));
        }
        let made = self.ground.directory.ensure_stream(REALM, &station.name).await;
        made.map_err(refused)?;
        let gone = || Error::new(Code::NoSuchStream, Fault::Operator, format!("Station {} is gone", station.name));
        self.route(&station.name).ok_or_else(|| refused(gone()))
    }
}
impl Station {
    /// In the world of stations.
    pub(super) fn path(&self) -> String {
        path(&self.name)
    }
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
/// `user root` of an id, which ends with a mark that changes with the user.
fn called(id: &str) -> &str {
    let mark = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    id.rsplit_once(' ').filter(|(_, last)| mark(last)).map_or(id, |(name, _)| name)
}
fn path(name: &str) -> String {
    ["/stations/", name].concat()
}
