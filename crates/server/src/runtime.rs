//! The threads everything asynchronous runs on.
use std::thread;
use tidegate_core::{
    error::{Code, Error, Fault, Result},
    home::Home,
};
use tidegate_entrypoints::listener::Pinned;
use tokio::runtime::{Builder, Runtime};

/// Work-stealing, one worker per core.
pub(crate) fn start() -> Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("tidegate")
        .build()
        .map_err(failed)
}
/// One runtime per core beside it, each on a thread of its own until the process ends.
pub(crate) fn pinned() -> Result<Pinned> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let one = |_| {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("tidegate-pinned".into())
            .spawn(move || runtime.block_on(Home::keep()))
            .map_err(failed)?;
        Ok(handle)
    };
    Ok(Pinned::new((0..cores).map(one).collect::<Result<Vec<_>>>()?))
}
fn failed(error: std::io::Error) -> Error {
    Error::new(Code::CommandFailed, Fault::Operator, format!("cannot start threads: {error}")).because(error)
}
