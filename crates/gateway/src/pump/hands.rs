//! Other threads that make calls for a pump that has many under way. What a call needs and makes (its connection, its request, what it met) stays
//! on one thread, and nobody waits for another to be told what is next: all look into one book.
use super::{
    book::Shared,
    call::{call, ended},
};
use futures::stream::FuturesUnordered;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tidegate_core::tasks::{self, Task};
use tokio::{runtime::Handle, sync::Notify};

/// The threads where pumps may have hands.
#[derive(Clone, Debug)]
pub struct Crew {
    threads: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
    enough: usize,
}
impl Crew {
    /// So many calls are enough for one thread: with more a pump hires hands. It counts as one of them.
    pub fn new(threads: impl IntoIterator<Item = Handle>, enough: usize) -> Self {
        Self {
            threads: threads.into_iter().collect(),
            turn: Arc::default(),
            enough: enough.max(1),
        }
    }
    /// Each pump does all by itself.
    pub fn none() -> Self {
        Self::new([], 1)
    }
    /// In turn, so that those of many pumps are on all of them.
    fn next(&self) -> Option<&Handle> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.threads.get(turn.checked_rem(self.threads.len())?)
    }
}

/// The hands of one pump. Dropped, they let go of what they carry, each on its own thread, soon.
pub(super) struct Hands<'a> {
    crew: &'a Crew,
    shared: &'a Arc<Shared>,
    /// With the pump itself.
    most: usize,
    share: usize,
    hired: Vec<(Task, Arc<Notify>)>,
}
impl<'a> Hands<'a> {
    /// None is hired yet.
    pub(super) fn new(crew: &'a Crew, shared: &'a Arc<Shared>) -> Self {
        let calls = shared.book().most();
        let most = (calls / crew.enough).min(crew.threads.len()).max(1);
        Self {
            crew,
            shared,
            most,
            share: calls.div_ceil(most),
            hired: Vec::new(),
        }
    }
    /// Calls of each at once, at most.
    pub(super) fn share(&self) -> usize {
        self.share
    }
    /// There is more to do than the pump does by itself.
    pub(super) fn help(&mut self) {
        for (_, more) in &self.hired {
            more.notify_one();
        }
        if self.hired.len() + 1 < self.most
            && let Some(thread) = self.crew.next()
        {
            let more = Arc::new(Notify::new());
            let work = work(self.shared.clone(), more.clone(), self.share);
            self.hired.push((tasks::spawn_on(thread, work), more));
        }
    }
    /// They let go of what they carry, and when this is over they have.
    pub(super) async fn leave(self) {
        for (task, _) in self.hired {
            task.end().await;
        }
    }
}
async fn work(shared: Arc<Shared>, more: Arc<Notify>, share: usize) {
    let (mut calls, mut done, mut new) = (FuturesUnordered::new(), Vec::new(), Vec::new());
    loop {
        let is_calm = {
            let mut book = shared.book();
            let _the_pump_waits = book.turn(&mut done, share.saturating_sub(calls.len()), &mut new);
            book.is_calm()
        };
        if !is_calm {
            shared.look.notify_one();
        }
        calls.extend(new.drain(..).map(|load| call(&shared, load)));
        tokio::select! {
            () = ended(&mut calls, &mut done) => {}
            () = more.notified() => {}
        }
    }
}
