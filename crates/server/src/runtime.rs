//! The threads everything asynchronous runs on.
use std::thread;
use tidegate_core::{
    error::{Code, Error, Fault, Result},
    home::Home,
};
use tidegate_entrypoints::listener::Pinned;
use tidegate_gateway::pump::Crew;
use tokio::runtime::{Builder, Handle, Runtime};

/// With so many calls under way a thread has enough to do.
const ENOUGH: usize = 16;

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
    let one = |_| {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("tidegate-pinned".into())
            .spawn(move || runtime.block_on(Home::keep()))
            .map_err(failed)?;
        Ok(handle)
    };
    Ok(Pinned::new((0..cores()).map(one).collect::<Result<Vec<_>>>()?))
}
/// Where busy webhooks make their calls: on the threads of connections, or wherever a worker is idle.
pub(crate) fn crew(threads: &Pinned) -> Crew {
    match threads.all() {
        [] => Crew::new(vec![Handle::current(); cores()], ENOUGH),
        all => Crew::new(all.iter().cloned(), ENOUGH),
    }
}
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
fn failed(error: std::io::Error) -> Error {
    Error::new(Code::CommandFailed, Fault::Operator, format!("cannot start threads: {error}")).because(error)
}
