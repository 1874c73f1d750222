//! Every pump of the node, by name. One task for each: it starts it, starts it again when its source failed, and after a change lets the
//! old one end before the new one begins, so that order holds over changes.
use crate::pump::{Before, Crew, Ended, Progress, Pumping, pump};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate_core::{
    action::Action,
    drain::{Drain, Watch},
    endpoint::{ConsumerSpec, Endpoint},
    error::{Error, Result},
    tasks::{self, Task},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The first and the longest wait before a source that failed is asked again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What one pump does.
pub struct Job {
    /// Where messages are.
    pub endpoint: Arc<dyn Endpoint>,
    /// What is read there.
    pub spec: ConsumerSpec,
    /// Where they go.
    pub action: Arc<dyn Action>,
    /// How.
    pub how: Pumping,
    /// What was met at its target before this process began.
    pub before: Option<Before>,
}
/// Hears that a target wants nothing more: by name, and why.
pub type OnGone = Box<dyn Fn(&str, &Error) + Send + Sync>;

/// See the head of this file.
pub struct Pumps {
    all: Mutex<HashMap<Arc<str>, Entry>>,
    crew: Crew,
    drain: Watch,
    gone: Arc<OnGone>,
}
struct Entry {
    job: watch::Sender<Option<Arc<Job>>>,
    progress: Arc<Progress>,
    _task: Task,
}
impl Pumps {
    /// None yet. They end with the drain.
    pub fn new(crew: Crew, drain: Watch, gone: OnGone) -> Self {
        Self {
            all: Mutex::default(),
            crew,
            drain,
            gone: Arc::new(gone),
        }
    }
    /// From now on it does that; `None`: it stands still, and its place stays.
    pub fn set(&self, name: &Arc<str>, job: Option<Job>) {
        let job = job.map(Arc::new);
        let mut all = self.all();
        if let Some(entry) = all.get(name) {
            let runs = job.is_some();
            entry.job.send_replace(job);
            entry.progress.ordered(runs);
            return;
        }
        let (job, jobs) = watch::channel(job);
        let progress = Arc::new(Progress::new());
        match &*job.borrow() {
            Some(job) => job.before.iter().cloned().for_each(|before| progress.was_ill(before)),
            None => progress.stopped("stopped"),
        }
        let keeper = Keeper {
            name: name.clone(),
            jobs,
            progress: progress.clone(),
            crew: self.crew.clone(),
            drain: self.drain.clone(),
            gone: self.gone.clone(),
        };
        let entry = Entry {
            job,
            progress,
            _task: tasks::spawn(keeper.run()),
        };
        all.insert(name.clone(), entry);
    }
    /// It ends at once; what was under way is given back.
    pub fn remove(&self, name: &str) {
        let removed = self.all().remove(name);
        if let Some(job) = removed.as_ref().and_then(|entry| entry.job.borrow().clone()) {
            job.action.stopped();
        }
    }
    /// How it is doing.
    pub fn progress(&self, name: &str) -> Option<Arc<Progress>> {
        self.all().get(name).map(|entry| entry.progress.clone())
    }
    /// All there are, sorted.
    pub fn each(&self) -> Vec<(Arc<str>, Arc<Progress>)> {
        let mut each: Vec<_> = self
            .all()
            .iter()
            .map(|(name, entry)| (name.clone(), entry.progress.clone()))
            .collect();
        each.sort_by(|(a, _), (b, _)| a.cmp(b));
        each
    }
    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
struct Keeper {
    name: Arc<str>,
    jobs: watch::Receiver<Option<Arc<Job>>>,
    progress: Arc<Progress>,
    crew: Crew,
    drain: Watch,
    gone: Arc<OnGone>,
}
impl Keeper {
    async fn run(mut self) {
        while !self.drain.is_draining() {
            let job = self.jobs.borrow_and_update().clone();
            let over = if let Some(job) = job {
                self.work(&job).await
            } else {
                self.progress.ordered(false);
                true
            };
            if over {
                let mut drain = self.drain.clone();
                tokio::select! {
                    changed = self.jobs.changed() => if changed.is_err() { return },
                    () = drain.started() => {}
                }
            }
        }
    }
    /// Until it is over, or something else is wanted. Whether it stays over until then.
    async fn work(&mut self, job: &Arc<Job>) -> bool {
        let (drain, stop) = (Drain::new(), Drain::new());
        let watches = (drain.watch(), stop.watch());
        let mut working = Box::pin(serve(job, &self.progress, &self.crew, watches, &self.name));
        let mut all = self.drain.clone();
        let _guard = all.guard();
        let ended = tokio::select! {
            ended = &mut working => ended,
            _changed = self.jobs.changed() => {
                stop.start();
                working.await;
                self.progress.begins_anew();
                return false;
            }
            () = all.started() => {
                drain.start();
                working.await;
                return true;
            }
        };
        if let Ended::TargetGone(error) = &ended {
            (self.gone)(&self.name, error);
        }
        true
    }
}
/// Again and again until it ends well.
async fn serve(job: &Job, progress: &Arc<Progress>, crew: &Crew, (mut drain, mut stop): (Watch, Watch), name: &str) -> Ended {
    let mut wait = AGAIN.0;
    loop {
        let begun = Instant::now();
        match once(job, progress, crew, (drain.clone(), stop.clone())).await {
            Ok(ended) => return ended,
            Err(error) => {
                tracing::warn!(webhook = name, error = %error, "its source failed: it is asked again");
                progress.stopped(&format!("its source failed: {error}"));
            }
        }
        wait = if begun.elapsed() > AGAIN.1 {
            AGAIN.0
        } else {
            (wait * 2).min(AGAIN.1)
        };
        tokio::select! {
            () = sleep_until(Instant::now() + wait) => {}
            () = drain.started() => return Ended::Draining,
            () = stop.started() => return Ended::Draining,
        }
    }
}
async fn once(job: &Job, progress: &Arc<Progress>, crew: &Crew, watches: (Watch, Watch)) -> Result<Ended> {
    let consumer = job.endpoint.consumer(job.spec.clone()).await?;
    pump(consumer, &job.action, &job.how, progress, crew, watches).await
}
