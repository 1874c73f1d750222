//! Log lines on standard error, as text or JSON.
use tidegate_config::{LogFormat, Telemetry};
use tidegate_core::error::{Code, Error, Fault, Result};
use tracing_subscriber::{EnvFilter, fmt};

/// From here on; once per process.
pub(crate) fn start(telemetry: &Telemetry, color: bool) -> Result<()> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::new(Code::BadValue, Fault::Operator, format!("telemetry.level: {error}"));
    let filter = EnvFilter::builder().parse(&telemetry.level).map_err(|error| failed(error.into()))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match telemetry.logs {
        LogFormat::Text => lines.with_ansi(color).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(failed)
}
