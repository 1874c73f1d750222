//! Where receipts are waited for. A thread that runs its tasks alone is told of many receipts by one wake-up: to wake each of its tasks from
//! outside would be a system call for every message.
use crate::{
    error::Result,
    receipt::{Keep, Kept},
};
use std::{
    cell::RefCell,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, oneshot::Sender};

thread_local! {
    static HERE: RefCell<Option<Arc<Home>>> = const { RefCell::new(None) };
}

/// One thread, and what has come for its tasks.
#[derive(Debug, Default)]
pub struct Home {
    come: Mutex<Vec<Answer>>,
    wake: Notify,
}
/// Who waits, and for what.
type Answer = (Sender<Result<Kept>>, Result<Kept>);
/// Of a list of answers so much room is kept for the next ones.
const ROOM: usize = 1_024;

impl Home {
    /// Receipts made on this thread from here on are answered on it, as long as this runs on it.
    pub async fn keep() {
        let home = Arc::new(Self::default());
        HERE.set(Some(home.clone()));
        let mut come = Vec::new();
        loop {
            home.wake.notified().await;
            mem::swap(&mut come, &mut *home.come());
            for (waits, kept) in come.drain(..) {
                let _nobody_waits = waits.send(kept);
            }
            come.shrink_to(ROOM);
        }
    }
    /// Of this thread, if it is one.
    pub(crate) fn here() -> Option<Arc<Self>> {
        HERE.with_borrow(Clone::clone)
    }
    fn bring(&self, answers: &mut Vec<Answer>) {
        let mut come = self.come();
        if come.is_empty() {
            mem::swap(&mut *come, answers);
        } else {
            come.append(answers);
        }
        drop(come);
        self.wake.notify_one();
    }
    fn come(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.come.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers on their way to where they are waited for.
#[derive(Debug, Default)]
pub struct Post(Vec<(Arc<Home>, Vec<Answer>)>);
impl Post {
    /// Takes an answer along, unless it may as well be given at once: then it comes back.
    pub fn take(&mut self, keep: Keep, kept: Result<Kept>) -> Option<(Keep, Result<Kept>)> {
        let (waits, home) = match keep.at_home() {
            Ok(parts) => parts,
            Err(keep) => return Some((keep, kept)),
        };
        match self.0.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &home)) {
            Some((_, answers)) => answers.push((waits, kept)),
            None => self.0.push((home, vec![(waits, kept)])),
        }
        None
    }
    /// Each thread gets all of its own at once.
    pub fn deliver(&mut self) {
        for (home, answers) in self.0.iter_mut().filter(|(_, answers)| !answers.is_empty()) {
            home.bring(answers);
            answers.shrink_to(ROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{Level, Receipt};
    use futures::future::join_all;
    use std::thread;

    #[tokio::test]
    async fn a_thread_gets_what_its_tasks_wait_for() {
        let kept = async {
            tokio::task::yield_now().await;
            let (receipts, keeps): (Vec<_>, Vec<_>) = (0..100).map(|_| Receipt::later()).unzip();
            let telling = thread::spawn(|| {
                let mut post = Post::default();
                for keep in keeps {
                    assert!(post.take(keep, Ok(Kept::new(Level::Stored))).is_none());
                }
                post.deliver();
            });
            let kept = join_all(receipts).await;
            telling.join().unwrap();
            kept
        };
        tokio::select! {
            () = Home::keep() => unreachable!("it has no end"),
            kept = kept => assert!(kept.len() == 100 && kept.iter().all(Result::is_ok)),
        }
    }
}
