//! Many sockets in one task: all that stand at the head of their feeds are written the same bytes, one write each and pass. A pass never
//! waits for a socket. Whoever needs more than that (to catch up, to be understood, to be told why it ends) gets a task of its own and
//! comes back when it is one of many again.
mod desk;
mod group;
mod member;
mod pulse;

pub use member::{Io, Keeper, Manners, Member, Returned};
pub use pulse::Pulse;

use crate::world::World;
use desk::{Desk, Mail};
use group::{Groups, Runs};
use member::{Fate, Resident};
use slab::Slab;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tidegate_core::{
    clock,
    drain::Watch,
    tasks::{self, Task},
};
use tokio::{task, time};

/// Sockets of one shard. It fills before the next one opens: halves of a thousand drift apart, and each write carries half.
const FULL: usize = 1_024;
/// So many sockets are written to before other tasks have their turn.
const AT_ONCE: usize = 64;
/// Whoever has worked for that long and finds more to do waits for that long: what comes meanwhile goes out together. Who is not that busy
/// delays nothing.
const PACE: Duration = Duration::from_millis(1);
/// How often heartbeats and stalls are looked at: a quarter of the shortest heartbeat, within these.
const TICKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(25)..=Duration::from_secs(1);
/// What a client may have said at once.
const SCRATCH: usize = 16 << 10;

/// All shards of a gateway.
pub struct Shards {
    world: Arc<World>,
    drain: Watch,
    open: Mutex<Vec<(Arc<Desk>, Task)>>,
}
impl Shards {
    /// None is open. The drain sends everybody back to the keepers, who say goodbye.
    pub fn new(world: Arc<World>, drain: Watch) -> Arc<Self> {
        Arc::new(Self {
            world,
            drain,
            open: Mutex::default(),
        })
    }
    /// Takes over a socket, until its keeper is called or the client goes.
    pub fn attach(&self, member: Member) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let member = open.iter().try_fold(member, |member, (desk, _)| desk.seat(member, FULL));
        if let Ok(member) = member {
            let desk = Desk::new();
            let shard = Shard::new(desk.clone());
            // Its passes are bounded by `AT_ONCE`; the runtime's own measure would report sockets as full that are not.
            let run = task::unconstrained(shard.run(self.world.clone(), self.drain.clone()));
            open.push((desk.clone(), tasks::spawn(run)));
            drop(open);
            let _empty = desk.seat(member, FULL);
        }
    }
}

struct Shard {
    desk: Arc<Desk>,
    residents: Slab<Resident>,
    groups: Groups,
    /// The members a pass goes through.
    round: Vec<usize>,
    scratch: Box<[u8]>,
    /// How often somebody was written to.
    written: usize,
    tick: Duration,
    draining: bool,
}
impl Shard {
    fn new(desk: Arc<Desk>) -> Self {
        Self {
            groups: Groups::new(desk.clone()),
            desk,
            residents: Slab::new(),
            round: Vec::new(),
            scratch: vec![0; SCRATCH].into(),
            written: 0,
            tick: *TICKS.end(),
            draining: false,
        }
    }
    async fn run(mut self, world: Arc<World>, mut drain: Watch) {
        let mut changes = world.changes();
        let mut busy: Option<Instant> = None;
        let mut next_tick = time::Instant::now() + self.tick;
        loop {
            tokio::select! {
                biased;
                () = drain.started(), if !self.draining => {
                    self.draining = true;
                    self.return_all(|_| true);
                }
                Ok(()) = changes.changed() => self.return_all(|resident| !resident.is_current()),
                () = time::sleep_until(next_tick) => {
                    self.sweep();
                    next_tick = time::Instant::now() + self.tick;
                }
                mail = self.desk.mail() => {
                    let began = clock::instant();
                    let dirty = self.sort(mail, began);
                    next_tick = next_tick.min(time::Instant::now() + self.tick);
                    if dirty.is_empty() {
                        continue;
                    }
                    for group in dirty {
                        self.pass(group, began).await;
                    }
                    // Lets others work, and news gather.
                    task::yield_now().await;
                    busy = self.desk.has_mail().then(|| busy.unwrap_or(began));
                    if busy.is_some_and(|since| since.elapsed() >= PACE) {
                        time::sleep(PACE).await;
                    }
                }
            }
        }
    }
    /// What came in; answers which groups have something new.
    fn sort(&mut self, mail: Mail, now: Instant) -> Vec<usize> {
        for mut member in mail.new {
            self.tick = self.tick.min((member.manners.heartbeat / 4).clamp(*TICKS.start(), *TICKS.end()));
            let entry = self.residents.vacant_entry();
            let number = entry.key();
            let group = self.groups.join(number, &mut member.seat);
            entry.insert(Resident::new(member, group, self.desk.bell(number), now));
            // What happened while it was on its way here.
            let changed = self.draining || self.residents.get_mut(number).is_some_and(|resident| !resident.is_current());
            if changed {
                self.settle(number, Fate::Return(Vec::new()));
            } else {
                // Both arms the read side and writes what came since it left its task.
                self.look_at(number, now);
            }
        }
        for number in mail.ready {
            self.look_at(number, now);
        }
        mail.news
    }
    /// Its socket, or nobody, has called.
    fn look_at(&mut self, number: usize, now: Instant) {
        let Some(resident) = self.residents.get_mut(number) else { return };
        let fate = match resident.listen(&mut self.scratch, now) {
            Fate::Stay => resident.write(resident.seat().feed().head(), &mut Runs::default(), now),
            other => other,
        };
        self.settle(number, fate);
    }
    /// Everybody of one group gets what is new.
    async fn pass(&mut self, group: usize, now: Instant) {
        let mut members = std::mem::take(&mut self.round);
        if let Some(feed) = self.groups.begin(group, &mut members) {
            let head = feed.head();
            let (mut runs, mut slowest) = (Runs::default(), head);
            for number in &members {
                self.written += 1;
                if self.written.is_multiple_of(AT_ONCE) {
                    task::yield_now().await;
                }
                let Some(resident) = self.residents.get_mut(*number) else {
                    continue;
                };
                let fate = if resident.is_blocked() {
                    Fate::Stay
                } else {
                    resident.write(head, &mut runs, now)
                };
                slowest = slowest.min(resident.seat().number());
                self.settle(*number, fate);
            }
            self.groups.stand_at(group, slowest);
            feed.taken(head);
        }
        self.round = members;
    }
    /// Heartbeats, and who gives no sign of life.
    fn sweep(&mut self) {
        let now = clock::instant();
        self.groups.feeds().for_each(|feed| feed.taken(feed.head()));
        let numbers: Vec<usize> = self.residents.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let Some(resident) = self.residents.get_mut(number) else { continue };
            let fate = resident.beat(now);
            self.settle(number, fate);
        }
    }
    fn return_all(&mut self, which: impl Fn(&mut Resident) -> bool) {
        let chosen: Vec<usize> = self
            .residents
            .iter_mut()
            .filter_map(|(number, resident)| which(resident).then_some(number))
            .collect();
        for number in chosen {
            self.settle(number, Fate::Return(Vec::new()));
        }
    }
    fn settle(&mut self, number: usize, fate: Fate) {
        if matches!(fate, Fate::Stay) {
            return;
        }
        let mut resident = self.residents.remove(number);
        resident.leave_alone();
        self.groups.leave(number, resident.group());
        self.desk.left();
        resident.go(fate);
    }
}
