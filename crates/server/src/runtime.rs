//! The threads everything asynchronous runs on.
use tidegate_core::error::{Code, Error, Fault, Result};
use tokio::runtime::{Builder, Runtime};

/// Work-stealing, one worker per core.
pub(crate) fn start() -> Result<Runtime> {
    let failed =
        |error: std::io::Error| Error::new(Code::CommandFailed, Fault::Operator, format!("cannot start threads: {error}")).because(error);
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("tidegate")
        .build()
        .map_err(failed)
}
