//! Messages that somebody outside has for a while: their duties, parked under tokens until they are settled or their time is up. The group
//! behind them knows only that they are out. What was handed out together lies in one page: its tokens share their proof, its deadline is
//! kept once, and what is settled together goes home together.
mod duties;
mod page;
mod token;

pub use duties::Duties;
pub use token::{Token, Tokens};

use page::Page;
use std::{
    any::Any,
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate_core::{
    error::{Code, Result},
    settle::{Ack, Outcome},
};
use token::{Known, Secret};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// With so many of them the look for late ones is interrupted.
const AT_ONCE: usize = 1_024;
/// Of one page: its places have 16 bits.
const PAGE: usize = 1 << 16;

/// All leases of one owner, who lets [`Leases::expired`] run.
pub struct Leases {
    parked: Mutex<Parked>,
    /// An earlier deadline than the one that is waited for.
    sooner: Notify,
    secret: Secret,
    most: usize,
}
#[derive(Default)]
struct Parked {
    /// Pages, ever.
    issued: u64,
    pages: HashMap<u64, Page>,
    /// Of each page, when it is looked at.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Leases in all pages.
    count: usize,
}
/// Whose leases they are.
#[derive(Clone)]
pub struct Owner {
    /// Under another name they are unknown.
    pub name: Arc<str>,
    /// What must live as long as they do: a broker forgets what a closed consumer had.
    pub keeps: Arc<dyn Any + Send + Sync>,
}
/// One lease, and what is to become of its message.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement<'a> {
    /// What names it, as it was said.
    pub lease: Cow<'a, str>,
    /// What is to become of it.
    pub outcome: Outcome,
}
impl Settlement<'_> {
    /// The same, for later.
    pub fn into_owned(self) -> Settlement<'static> {
        Settlement {
            lease: Cow::Owned(self.lease.into_owned()),
            outcome: self.outcome,
        }
    }
}
/// What became of a wish to settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, and durable.
    Ok,
    /// It was one: settled before, or given back when its time was up.
    Expired,
    /// It never was one here.
    Unknown,
    /// It is done with, but that is not durable: for this reason it may come again.
    Failed(Box<str>),
}
impl Verdict {
    /// The word clients see.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Failed(_) => "failed",
        }
    }
}

impl Leases {
    /// At most so many at once. Fails when the machine has no chance to give.
    pub fn new(most: usize) -> Result<Self> {
        Ok(Self {
            parked: Mutex::default(),
            sooner: Notify::new(),
            secret: Secret::draw()?,
            most,
        })
    }
    /// Tokens that nobody can guess who has none of them, good at this gateway until the time is up. With too many of them the last duties
    /// go back.
    pub fn park(&self, mut duties: Duties, lease_for: Duration, of: &Owner) -> Tokens {
        let until = Instant::now() + lease_for;
        let mut parked = self.lock();
        let room = self.most.saturating_sub(parked.count).min(duties.len()).min(PAGE);
        if room == 0 {
            return Tokens::default();
        }
        parked.issued += 1;
        parked.count += room;
        let number = parked.issued;
        parked.pages.insert(number, Page::new(duties.split_to(room), until, of.clone()));
        parked.deadlines.insert((until, number));
        if parked.deadlines.first() == Some(&(until, number)) {
            self.sooner.notify_waiters();
        }
        drop(parked);
        Tokens::new(number, self.secret.first(number), room)
    }
    /// How many more there may be.
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.lock().count)
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().count
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Settles them at once, in their order; the future tells when all is durable. [`Outcome::Extend`] moves the deadline, and leaves the
    /// lease.
    pub fn settle(&self, owner: &str, wishes: &[Settlement<'_>]) -> impl Future<Output = Result<Vec<Verdict>>> + Send + use<> {
        let now = Instant::now();
        let mut known = Known::by(&self.secret);
        let places: Vec<_> = wishes.iter().map(|wish| known.place(&wish.lease)).collect();
        let mut settling = Settling::default();
        let mut left = places.iter().copied().zip(wishes);
        let mut parked = self.lock();
        while let Some((place, wish)) = left.next() {
            let Some(place) = place else {
                settling.say(1, &Verdict::Unknown);
                continue;
            };
            // What lies side by side and shares an outcome is one.
            let mut end = place;
            let mut rest = left.clone();
            while let Some((Some(next), other)) = rest.next()
                && (next.0, Some(next.1)) == (end.0, end.1.checked_add(1))
                && other.outcome == wish.outcome
            {
                end = next;
                left = rest.clone();
            }
            let run = u32::from(place.1)..u32::from(end.1) + 1;
            if parked.settle(place.0, run, owner, now, &wish.outcome, &mut settling) {
                self.sooner.notify_waiters();
            }
        }
        drop(parked);
        // From here on without the lock: it runs the consumer's code.
        settling.go_home()
    }
    /// Nobody got them: they go back, and no attempt is counted.
    pub fn undo(&self, tokens: &Tokens) {
        let undone = self.lock().remove(tokens.page);
        let until = Instant::now();
        for mut ack in undone.into_iter().flat_map(Page::into_acks) {
            ack.settle_all(Outcome::Hold { until });
        }
    }
    /// Gives back all of that owner.
    pub fn give_back(&self, owner: &str) {
        let given_back = self.lock().remove_of(owner);
        drop(given_back);
    }
    /// Waits until the time of some is up, and gives them back: how many. Cancel-safe. Whoever owns the leases calls it again and again.
    pub async fn expired(&self) -> usize {
        loop {
            let mut sooner = std::pin::pin!(self.sooner.notified());
            sooner.as_mut().enable();
            let (late, next) = self.late();
            if !late.is_empty() {
                return late.iter().map(|ack| ack.open() as usize).sum();
            }
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = sooner => {}
                },
                None => sooner.await,
            }
        }
    }
    /// What is late, and the next deadline. Dropped by the caller, without the lock.
    fn late(&self) -> (Vec<Ack>, Option<Instant>) {
        let now = Instant::now();
        let mut parked = self.lock();
        let (before, mut late) = (parked.count, Vec::new());
        while before - parked.count < AT_ONCE
            && let Some((_, number)) = parked.deadlines.first().copied().filter(|(due, _)| *due <= now)
        {
            parked.sweep(number, now, &mut late);
        }
        (late, parked.deadlines.first().map(|(due, _)| *due))
    }
    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
impl Parked {
    /// Whether some of them end earlier now than any of their page did.
    fn settle(&mut self, number: u64, places: Range<u32>, owner: &str, now: Instant, outcome: &Outcome, settling: &mut Settling) -> bool {
        let Some(page) = self.pages.get_mut(&number) else {
            settling.say(places.len(), &Verdict::Expired);
            return false;
        };
        if *page.of.name != *owner {
            settling.say(places.len(), &Verdict::Unknown);
            return false;
        }
        let (due, before) = (page.due, page.len());
        page.settle(places, now, outcome, settling);
        let (sooner, left) = (page.due, page.len());
        self.count -= before - left;
        if left == 0 {
            self.deadlines.remove(&(due, number));
            self.pages.remove(&number);
        } else if sooner < due {
            self.deadlines.remove(&(due, number));
            self.deadlines.insert((sooner, number));
        }
        sooner < due
    }
    fn remove(&mut self, number: u64) -> Option<Page> {
        let page = self.pages.remove(&number)?;
        self.deadlines.remove(&(page.due, number));
        self.count -= page.len();
        Some(page)
    }
    fn remove_of(&mut self, owner: &str) -> Vec<Page> {
        let of_it = |(number, page): (&u64, &Page)| (*page.of.name == *owner).then_some(*number);
        let numbers: Vec<_> = self.pages.iter().filter_map(of_it).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }
    /// What of a page is late; the rest has another deadline.
    fn sweep(&mut self, number: u64, now: Instant, late: &mut Vec<Ack>) {
        let Some(mut page) = self.remove(number) else { return };
        page.late(now, late);
        if let Some(due) = page.next_due() {
            page.due = due;
            self.deadlines.insert((due, number));
            self.count += page.len();
            self.pages.insert(number, page);
        }
    }
}
/// What is being settled: told when its page was asked, sent home when nobody holds the lock.
#[derive(Default)]
struct Settling {
    /// In the order asked.
    verdicts: Vec<Verdict>,
    /// One after the other of the same outcome go home together.
    alike: Vec<Alike>,
    late: Vec<Ack>,
}
/// Duties that share an outcome.
struct Alike {
    outcome: Outcome,
    /// Which verdicts each of them is about.
    verdicts: Vec<Range<usize>>,
    acks: Vec<Ack>,
    keeps: Vec<Arc<dyn Any + Send + Sync>>,
}
impl Settling {
    fn say(&mut self, count: usize, verdict: &Verdict) {
        self.verdicts.extend(std::iter::repeat_n(verdict, count).cloned());
    }
    /// They are settled, and what must live until that is durable.
    fn take(&mut self, count: usize, ack: Option<Ack>, outcome: &Outcome, keeps: &Arc<dyn Any + Send + Sync>) {
        let verdicts = self.verdicts.len()..self.verdicts.len() + count;
        self.say(count, &Verdict::Ok);
        if self.alike.last().is_none_or(|last| last.outcome != *outcome) {
            self.alike.push(Alike {
                outcome: outcome.clone(),
                verdicts: Vec::new(),
                acks: Vec::new(),
                keeps: Vec::new(),
            });
        }
        let (Some(alike), Some(ack)) = (self.alike.last_mut(), ack) else {
            return;
        };
        alike.verdicts.push(verdicts);
        alike.acks.push(ack);
        if alike.keeps.last().is_none_or(|last| !Arc::ptr_eq(last, keeps)) {
            alike.keeps.push(keeps.clone());
        }
    }
    /// Acts at once.
    fn go_home(self) -> impl Future<Output = Result<Vec<Verdict>>> + Send + use<> {
        let Self { mut verdicts, alike, late } = self;
        drop(late);
        let home = |alike: Alike| (alike.verdicts, Ack::confirm_each(alike.acks, &alike.outcome), alike.keeps);
        let going: Vec<_> = alike.into_iter().map(home).collect();
        async move {
            for (of, told, _keeps) in going {
                for (of, told) in of.into_iter().zip(told.await) {
                    let verdict = match told {
                        Ok(()) => continue,
                        // The consumer went first: it comes again.
                        Err(error) if error.code() == Code::LeaseLost => Verdict::Expired,
                        Err(error) if error.code() == Code::Draining => return Err(error),
                        Err(error) => Verdict::Failed(error.to_string().into()),
                    };
                    verdicts.get_mut(of).unwrap_or_default().fill(verdict);
                }
            }
            Ok(verdicts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{
        delivery::Received,
        headers::Headers,
        message::Message,
        settle::{Returns, Settled},
        topic::Topic,
    };

    /// Drops what it is told while it looks into the leases: whoever calls it under their lock never returns.
    struct Home {
        leases: Arc<Leases>,
        told: Mutex<Vec<(u64, Outcome)>>,
        answers: bool,
    }
    impl Returns for Home {
        fn take_back(&self, settled: Settled) {
            if !matches!(settled.outcome, Outcome::Extend(_)) {
                assert!(self.leases.parked.try_lock().is_ok(), "told under the lock");
            }
            self.told.lock().unwrap().push((settled.seqs.start, settled.outcome));
            if self.answers {
                settled.done.into_iter().for_each(|done| done.resolve(Ok(())));
            }
        }
    }
    fn house(most: usize, answers: bool) -> (Arc<Leases>, Arc<Home>) {
        let leases = Arc::new(Leases::new(most).unwrap());
        let home = Home {
            leases: leases.clone(),
            told: Mutex::default(),
            answers,
        };
        (leases, Arc::new(home))
    }
    fn owner(name: &str) -> Owner {
        Owner {
            name: name.into(),
            keeps: Arc::new(()),
        }
    }
    /// Of messages with these numbers, side by side or not.
    fn duties(home: &Arc<Home>, seqs: impl IntoIterator<Item = u64>) -> Duties {
        let mut duties = Duties::default();
        for seq in seqs {
            duties.take(&mut vec![item(0)], Ack::new(home.clone(), seq, 1));
        }
        duties
    }
    fn item(slot: u32) -> Received {
        Received {
            message: Arc::new(Message::new(Topic::from("t"), Vec::new())),
            position: None,
            attempt: 1,
            slot,
            metadata: Headers::EMPTY,
        }
    }
    fn park(leases: &Leases, home: &Arc<Home>, seq: u64, lease_for: Duration, of: &Owner) -> Option<String> {
        let tokens = leases.park(duties(home, [seq]), lease_for, of);
        tokens.iter().next().map(|token| token.as_str().to_owned())
    }
    async fn settle(leases: &Leases, owner: &str, token: &str, outcome: Outcome) -> Verdict {
        let wish = Settlement {
            lease: token.into(),
            outcome,
        };
        leases.settle(owner, &[wish]).await.unwrap().remove(0)
    }
    async fn ack(leases: &Leases, tokens: &[String]) -> Vec<Verdict> {
        let wish = |token: &String| Settlement {
            lease: token.clone().into(),
            outcome: Outcome::Ack,
        };
        let wishes: Vec<_> = tokens.iter().map(wish).collect();
        leases.settle("a", &wishes).await.unwrap()
    }
    const SECONDS: Duration = Duration::from_secs(30);
    const BACK: Outcome = Outcome::Requeue { after: None };

    #[tokio::test(start_paused = true)]
    async fn settled_once_and_only_by_its_owner() {
        let (leases, home) = house(10, true);
        let token = park(&leases, &home, 7, SECONDS, &owner("orders")).unwrap();
        assert_eq!(settle(&leases, "other", &token, Outcome::Ack).await, Verdict::Unknown);
        assert_eq!(settle(&leases, "orders", &token, Outcome::Ack).await, Verdict::Ok);
        assert_eq!(settle(&leases, "orders", &token, Outcome::Ack).await, Verdict::Expired);
        assert_eq!(*home.told.lock().unwrap(), [(7, Outcome::Ack)]);
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_late_goes_back_and_its_token_is_expired() {
        let (leases, home) = house(10, true);
        let park = |seq, secs| super::tests::park(&leases, &home, seq, Duration::from_secs(secs), &owner("a")).unwrap();
        let (long, short) = (park(0, 60), park(1, 10));
        let began = Instant::now();
        assert_eq!(leases.expired().await, 1);
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(*home.told.lock().unwrap(), [(1, BACK)]);
        assert_eq!(settle(&leases, "a", &short, Outcome::Ack).await, Verdict::Expired);
        tokio::time::advance(Duration::from_secs(50)).await;
        // Late, though nobody has swept.
        assert_eq!(settle(&leases, "a", &long, Outcome::Ack).await, Verdict::Expired);
        assert_eq!(*home.told.lock().unwrap(), [(1, BACK), (0, BACK)]);
    }
    /// Each by itself: settled, extended, late.
    #[tokio::test(start_paused = true)]
    async fn leases_of_one_page_end_each_in_its_own_way() {
        let (leases, home) = house(1_000, true);
        // A delivery of which something was taken before, and one more.
        let (mut items, mut whole) = ((0..71).map(item).collect::<Vec<_>>(), Ack::new(home.clone(), 0, 71));
        whole.settle(70, Outcome::Ack);
        let mut all = Duties::default();
        all.take(&mut items, whole);
        let mut more: Vec<_> = (0..30).map(item).collect();
        all.take(&mut more, Ack::new(home.clone(), 70, 30));
        assert_eq!((items.len(), more.len(), all.len()), (70, 30, 100));
        home.told.lock().unwrap().clear();
        let tokens = leases.park(all, SECONDS, &owner("a"));
        assert_eq!((tokens.len(), leases.len()), (100, 100));
        let tokens: Vec<_> = tokens.iter().map(|token| token.as_str().to_owned()).collect();
        let (few, done) = tokens.split_at(10);
        assert!(ack(&leases, done).await.iter().all(|verdict| *verdict == Verdict::Ok));
        assert_eq!(*home.told.lock().unwrap(), [(10, Outcome::Ack)], "they went home together");
        assert!(ack(&leases, done).await.iter().all(|verdict| *verdict == Verdict::Expired));
        // Forwards, backwards, twice, and what is none: each is told in its place.
        let asked = [
            few[4].clone(),
            done[0].clone(),
            few[6].clone(),
            few[5].clone(),
            "x".to_owned(),
            few[5].clone(),
        ];
        let told = ["ok", "expired", "ok", "ok", "unknown", "expired"];
        assert_eq!(ack(&leases, &asked).await.iter().map(Verdict::as_str).collect::<Vec<_>>(), told);
        let extend = |secs| Outcome::Extend(Duration::from_secs(secs));
        assert_eq!(settle(&leases, "a", &tokens[3], extend(60)).await, Verdict::Ok);
        assert_eq!(settle(&leases, "a", &tokens[7], extend(5)).await, Verdict::Ok);
        let began = Instant::now();
        for (ends, count) in [(5, 1), (30, 5), (60, 1)] {
            assert_eq!((leases.expired().await, began.elapsed().as_secs()), (count, ends));
        }
        assert!(leases.is_empty() && leases.lock().deadlines.is_empty());
        // What nobody was given is no lease, and what was given up with its owner is none any more.
        let last = park(&leases, &home, 200, SECONDS, &owner("a")).unwrap();
        let beyond = format!("{}0001", last.split_at(24).0);
        assert_eq!(settle(&leases, "a", &beyond, Outcome::Ack).await, Verdict::Unknown);
        leases.give_back("a");
        assert_eq!(settle(&leases, "a", &last, Outcome::Ack).await, Verdict::Expired);
        assert!(leases.is_empty() && leases.lock().deadlines.is_empty());
    }
    #[tokio::test(start_paused = true)]
    async fn a_sooner_deadline_is_seen_while_a_later_one_is_waited_for() {
        let (leases, home) = house(10, true);
        let park = |seq, secs| super::tests::park(&leases, &home, seq, Duration::from_secs(secs), &owner("a")).unwrap();
        let began = Instant::now();
        let _long = park(0, 600);
        let (late, _) = tokio::join!(leases.expired(), async { park(1, 5) });
        assert_eq!((late, began.elapsed().as_secs()), (1, 5));
    }
    #[tokio::test(start_paused = true)]
    async fn extending_moves_the_deadline_either_way() {
        let (leases, home) = house(10, true);
        let token = park(&leases, &home, 0, SECONDS, &owner("a")).unwrap();
        let by = Duration::from_mins(10);
        assert_eq!(settle(&leases, "a", &token, Outcome::Extend(by)).await, Verdict::Ok);
        let began = Instant::now();
        assert_eq!(leases.expired().await, 1);
        assert_eq!(began.elapsed(), by);
        assert_eq!(*home.told.lock().unwrap(), [(0, Outcome::Extend(by)), (0, BACK)]);
    }
    #[tokio::test(start_paused = true)]
    async fn their_number_is_bounded_and_undone_ones_count_no_attempt() {
        let (leases, home) = house(2, true);
        let tokens = leases.park(duties(&home, 0..3), SECONDS, &owner("a"));
        assert_eq!((tokens.len(), leases.room()), (2, 0));
        assert!(leases.park(duties(&home, [3]), SECONDS, &owner("a")).is_empty());
        leases.undo(&tokens);
        assert!(leases.is_empty());
        let told = home.told.lock().unwrap().clone();
        let seqs: Vec<_> = told.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [2, 3, 0, 1]);
        assert!(told.iter().all(|(_, outcome)| matches!(outcome, Outcome::Hold { .. })), "{told:?}");
    }
    #[tokio::test(start_paused = true)]
    async fn an_owner_that_goes_gives_back_its_own() {
        let (leases, home) = house(10, true);
        let _mine = park(&leases, &home, 0, SECONDS, &owner("a")).unwrap();
        let other = park(&leases, &home, 1, SECONDS, &owner("b")).unwrap();
        leases.give_back("a");
        assert_eq!(*home.told.lock().unwrap(), [(0, BACK)]);
        assert_eq!(settle(&leases, "b", &other, Outcome::Ack).await, Verdict::Ok);
    }
    #[tokio::test(start_paused = true)]
    async fn a_settlement_that_was_lost_is_expired_not_ok() {
        let (leases, home) = house(10, false);
        let token = park(&leases, &home, 0, SECONDS, &owner("a")).unwrap();
        assert_eq!(settle(&leases, "a", &token, Outcome::Ack).await, Verdict::Expired);
    }
}
