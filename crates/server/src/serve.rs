//! `dev` and `run`: start, say where, wait for the end, drain.
use crate::{
    boot::{self, Failures, Manners, Stopped},
    cli::{color, count, failed, misconfigured, tell, where_it_looked},
    inbox::{self, Catcher},
    memphis,
    observe::logs,
    runtime,
    screen::{Screen, screen},
    watch,
};
use tidegate_config::{Documents, Listener, Listeners, Mode, Node, Source, read_from_process};
use tidegate_core::{
    error::{Code, Error, Fault, Result},
    tasks,
};
use tokio::signal::unix::{SignalKind, signal};

/// What to serve, and how.
pub(crate) struct Plan {
    pub(crate) source: Source,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) mode: Mode,
    pub(crate) manners: Manners,
    /// The built-in demo is served.
    pub(crate) demo: bool,
}
const OK: u8 = 0;
/// The deadline came before the end.
const CUT: u8 = 1;

pub(crate) fn serve(plan: Plan) -> u8 {
    let catcher = plan.demo.then(Catcher::default);
    let read = {
        let (source, settings, catcher) = (plan.source, plan.settings, catcher.clone());
        // The demo says where it listens, and whoever moves it elsewhere is told what that means.
        // What is exposed is meant to be, and has no user that public documents log in with.
        let (mode, anywhere) = (plan.mode, plan.demo && plan.mode == Mode::Dev);
        move || {
            let source = inbox::beside(source.clone(), catcher.as_ref());
            let mut files = read_from_process(source, &settings);
            if mode != Mode::Run {
                memphis::beside(&mut files, mode, anywhere);
            }
            files
        }
    };
    let files = read();
    let mut whole = files.clone();
    whole.fill(|_| false);
    let node = match whole.check(plan.mode, &crate::schemas::kinds()) {
        Ok(checked) => checked.node,
        Err(report) => return misconfigured(&where_it_looked(report, "run")),
    };
    let idle = (plan.mode == Mode::Exposed).then(|| unexposed(&whole, &node)).flatten();
    let started = logs::start(&node.telemetry, color()).and_then(|levels| Ok((levels, runtime::start()?)));
    let (levels, runtime) = match started {
        Ok(started) => started,
        Err(error) => return failed(&error),
    };
    // Whole, so that two folders of the same name are not taken for one.
    let data = std::path::absolute(&node.data_dir)
        .unwrap_or_else(|_| node.data_dir.clone())
        .display()
        .to_string();
    let shown = node.data_dir.display().to_string();
    let start = boot::Start {
        node,
        files,
        read: Box::new(read),
        mode: plan.mode,
        catcher,
        levels,
    };
    let result = runtime.block_on(async {
        // From the first moment on: neither signal may end a node that still recovers.
        let mut stop = Stop::listen()?;
        let hup = Hup::listen()?;
        let node = tokio::select! {
            node = boot::start(start, plan.manners) => node?,
            () = stop.asked() => return Ok(OK),
        };
        let (gateway, admin, memphis) = (join(&node.gateway), join(&node.admin), join(&node.memphis));
        tracing::info!(%gateway, %admin, %memphis, data = %data, recovered = node.recovered, "ready");
        if !node.memphis.is_empty() && node.has_no_users() {
            tracing::warn!(%memphis, "nobody can log in there: `tidegate user add NAME --connection-token --allow '#'` makes a user");
        }
        if let Some(places) = idle {
            tell(&format!(
                "note: --expose had no effect, for it is said where each listener listens: {places}\n"
            ));
        }
        if plan.mode != Mode::Run {
            tell(&screen(&Screen {
                gateway: &node.gateway,
                admin: &node.admin,
                memphis: &node.memphis,
                root: node.has_built_in(memphis::ROOT),
                secure: node.secure,
                data: &shown,
                demo: plan.demo,
                inbox: node.inbox,
                token: node.token.as_deref(),
            }));
        }
        let watching = tasks::spawn(watch::watch(node.registry.clone(), node.certificates.clone(), hup));
        stop.asked().await;
        drop(watching);
        tracing::info!("draining");
        tokio::select! {
            stopped = node.stop() => Ok(said(&stopped)),
            // Asked twice: at once. What was answered `stored` is on disk all the same, but somebody may have been cut.
            () = stop.asked() => Err(Error::new(Code::Draining, Fault::Operator, "stopped in the middle of the drain").into()),
        }
    });
    runtime.shutdown_background();
    result.unwrap_or_else(|failures| match failures {
        Failures::Errors(errors) => errors.iter().map(failed).max().unwrap_or(OK),
        Failures::Wrong(report) => misconfigured(&report),
    })
}
/// The last line, and the exit code.
fn said(stopped: &Stopped) -> u8 {
    let took = format!("{} ms", stopped.took.as_millis());
    if !stopped.closed {
        tracing::warn!(
            took,
            cut = count(stopped.cut, "connection"),
            "stopped at the deadline, before the log was closed; what was answered `stored` is on disk"
        );
        return CUT;
    }
    if stopped.cut == 0 {
        tracing::info!(took, "stopped, nothing was cut");
        return OK;
    }
    tracing::warn!(took, cut = count(stopped.cut, "connection"), "stopped at the deadline");
    CUT
}
/// SIGHUP.
pub(crate) struct Hup(tokio::signal::unix::Signal);
impl Hup {
    fn listen() -> Result<Self> {
        Ok(Self(listen(SignalKind::hangup())?))
    }
    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}
fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind)
        .map_err(|error| Error::new(Code::CommandFailed, Fault::Operator, format!("cannot listen to signals: {error}")).because(error))
}
/// SIGTERM and Ctrl-C.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}
impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
/// Where it is said where each listener is, if nothing is left to be exposed.
fn unexposed(files: &Documents, node: &Node) -> Option<String> {
    let all = |listeners: &Listeners| {
        let memphis = listeners.memphis.iter().map(|memphis| ("memphis", memphis.listener.clone()));
        let kinds = [("gateway", listeners.gateway.clone()), ("admin", listeners.admin.clone())];
        let plain = kinds
            .into_iter()
            .flat_map(|(name, all)| all.into_iter().map(move |listener| (name, listener)));
        plain.chain(memphis).collect::<Vec<_>>()
    };
    // Where that alone is no right configuration it has an effect.
    let without = files.check(Mode::Dev, &crate::schemas::kinds()).ok()?.node.listeners;
    let (with, without) = (all(&node.listeners), all(&without));
    let addresses = |all: &[(&str, Listener)]| all.iter().flat_map(|(_, one)| one.address.clone()).collect::<Vec<_>>();
    let place = |(name, listener): &(&str, Listener)| format!("{name} at {}", listener.at);
    (addresses(&with) == addresses(&without)).then(|| with.iter().map(place).collect::<Vec<_>>().join(", "))
}
fn join(addresses: &[std::net::SocketAddr]) -> String {
    if addresses.is_empty() {
        return "off".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_is_off_is_said_to_be() {
        let one = |text: &str| text.parse().unwrap();
        assert_eq!(join(&[]), "off");
        assert_eq!(join(&[one("0.0.0.0:1"), one("[::1]:2")]), "0.0.0.0:1,[::1]:2");
    }
}
