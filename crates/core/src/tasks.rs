//! Tasks have an owner: when it goes, they go.
use std::future::Future;
use tokio::task::JoinHandle;

/// A running task; dropping it ends the task at its next await.
#[must_use = "dropping it ends the task"]
#[derive(Debug)]
pub struct Task(JoinHandle<()>);
impl Task {
    /// Waits until it ended by itself. A panic inside counts as an end; the panic hook has told it.
    pub async fn ended(mut self) {
        if let Err(error) = (&mut self.0).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    /// Ends it at its next await, and waits until all it held is dropped.
    pub async fn end(mut self) {
        self.0.abort();
        let _ended_by_this = (&mut self.0).await;
    }
    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}
impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
/// Starts a task on the current runtime.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(future))
}
/// The same on another runtime, where all that the task starts stays too.
pub fn spawn_on(runtime: &tokio::runtime::Handle, future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(runtime.spawn(future))
}
/// For one task per connection, on another runtime.
pub fn detach_on(runtime: &tokio::runtime::Handle, future: impl Future<Output = ()> + Send + 'static) {
    drop(runtime.spawn(future));
}
/// For one task per connection: it ends with its socket, counted by a [`crate::drain::Guard`] it holds.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn detach(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}
