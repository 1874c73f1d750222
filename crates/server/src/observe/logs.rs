//! Log lines on standard error, as text or JSON; their level can be changed while the node runs.
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_config::{LogFormat, Telemetry};
use tidegate_core::error::{Code, Error, Fault, Result};
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// What is logged.
pub(crate) struct Levels {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Mutex<String>,
}
impl Levels {
    /// As it was set.
    pub(crate) fn now(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// From now on.
    pub(crate) fn set(&self, level: &str) -> Result<()> {
        self.handle.reload(filter(level)?).map_err(|error| failed(&error))?;
        level.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}
/// From here on; once per process.
pub(crate) fn start(telemetry: &Telemetry, color: bool) -> Result<Arc<Levels>> {
    let (filter, handle) = reload::Layer::new(filter(&telemetry.level)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let all = tracing_subscriber::registry().with(filter);
    match telemetry.logs {
        LogFormat::Text => all.with(lines.with_ansi(color)).try_init(),
        LogFormat::Json => all.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|error| failed(&error))?;
    Ok(Arc::new(Levels {
        handle,
        text: Mutex::new(telemetry.level.clone()),
    }))
}
/// Strict: a part that is misspelt would silently log nothing.
fn filter(level: &str) -> Result<EnvFilter> {
    if let Err(expected) = tidegate_config::log_level(level) {
        let text = format!("`level` cannot be `{}`: expected {expected}", level.escape_debug());
        return Err(Error::client(Code::BadValue, text));
    }
    EnvFilter::builder().parse(level).map_err(|error| failed(&error))
}
fn failed(error: &dyn std::error::Error) -> Error {
    Error::new(Code::BadValue, Fault::Client, format!("the log level is not understood: {error}"))
        .with_hint("like `info,tidegate_log=debug`")
}
