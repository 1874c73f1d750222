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
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate_core::{
    error::{Code, Error, Result},
    settle::{Ack, Outcome},
};
use token::{Known, Named, Secret};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// With so many of them the look for late ones is interrupted.
const AT_ONCE: usize = 1_024;
/// Of one page: its places have 16 bits.
const PAGE: usize = 1 << 16;
/// Leases that are settled in one call, by themselves or with their page.
const MOST_SETTLED: usize = 100_000;

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
/// One lease, or all of a page, and what is to become of its messages.
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
    /// A page was named: of each of its leases.
    Page(Box<PageVerdict>),
}
/// What became of the leases of a page, but for those that were named by themselves beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageVerdict {
    tokens: Tokens,
    /// By their places.
    told: Vec<(u32, Verdict)>,
}
impl PageVerdict {
    /// How many were settled, durably.
    pub fn settled(&self) -> usize {
        self.told.iter().filter(|(_, verdict)| *verdict == Verdict::Ok).count()
    }
    /// All others, where there is more to say of them than that their page is over.
    pub fn others(&self) -> impl Iterator<Item = (Token, &Verdict)> {
        let over = self.told.iter().all(|(_, verdict)| *verdict == Verdict::Expired);
        let others = self.told.iter().filter(move |(_, verdict)| !over && *verdict != Verdict::Ok);
        others.map(|(place, verdict)| (self.tokens.at(*place), verdict))
    }
    /// The word for all of them.
    fn as_str(&self) -> &'static str {
        let mut words = self.told.iter().map(|(_, verdict)| verdict.as_str());
        let first = words.next().unwrap_or(Verdict::Ok.as_str());
        if words.all(|word| word == first) { first } else { "partly" }
    }
}
impl Verdict {
    /// The word clients see.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Failed(_) => "failed",
            Self::Page(page) => page.as_str(),
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
        Tokens::new(number, self.secret.first(number, room, &of.name), room)
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
    /// Settles them at once, in their order. What is said of a page is said of those of its leases that are not named by themselves, wherever
    /// that is. The future tells when all is durable. [`Outcome::Extend`] moves the deadline, and leaves the lease. More than 100,000 leases
    /// are an error, and nothing is settled.
    pub fn settle(&self, owner: &str, wishes: &[Settlement<'_>]) -> impl Future<Output = Result<Vec<Verdict>>> + Send + use<> {
        let mut known = Known::by(&self.secret, owner);
        let of = |(at, wish): (usize, &Settlement<'_>)| (at, known.named(&wish.lease));
        let named: Vec<_> = wishes.iter().enumerate().map(of).collect();
        let few = named.iter().filter_map(|(_, named)| named.as_ref()).map(|named| named.places.len());
        let few = few.sum::<usize>() <= MOST_SETTLED;
        let going = few.then(|| {
            let named = without_pages(named);
            (self.settle_each(&named, wishes), named)
        });
        async move {
            let Some((going, named)) = going else {
                return Err(Error::client(
                    Code::BadRequest,
                    format!("more than {MOST_SETTLED} leases with those of the pages"),
                ));
            };
            Ok(by_wish(named, going.await?))
        }
    }
    fn settle_each(&self, named: &[Asked], wishes: &[Settlement<'_>]) -> impl Future<Output = Result<Vec<Verdict>>> + Send + use<> {
        let now = Instant::now();
        let mut settling = Settling::default();
        let mut left = named.iter().filter_map(|(at, named)| Some((named, wishes.get(*at)?)));
        let mut parked = self.lock();
        while let Some((named, wish)) = left.next() {
            let Some(Named { page, places, .. }) = named else {
                settling.say(1, &Verdict::Unknown);
                continue;
            };
            // What lies side by side and shares an outcome is one.
            let mut run = places.clone();
            let mut rest = left.clone();
            while let Some((Some(next), other)) = rest.next()
                && (next.page, next.places.start) == (*page, run.end)
                && other.outcome == wish.outcome
            {
                run.end = next.places.end;
                left = rest.clone();
            }
            if parked.settle(*page, run, now, &wish.outcome, &mut settling) {
                self.sooner.notify_waiters();
            }
        }
        drop(parked);
        // From here on without the lock: it runs the consumer's code.
        settling.go_home()
    }
    /// What was handed out together ends as one; nobody waits until that is durable.
    pub fn end(&self, tokens: &Tokens, outcome: &Outcome) {
        let ended = self.lock().remove(tokens.page);
        for mut ack in ended.into_iter().flat_map(Page::into_acks) {
            ack.settle_all(outcome.clone());
        }
    }
    /// Gives back all whose owner is there no more.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let given_back = self.lock().remove_unless(is_there);
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
    fn settle(&mut self, number: u64, places: Range<u32>, now: Instant, outcome: &Outcome, settling: &mut Settling) -> bool {
        let Some(page) = self.pages.get_mut(&number) else {
            settling.say(places.len(), &Verdict::Expired);
            return false;
        };
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
    fn remove_unless(&mut self, is_there: impl Fn(&str) -> bool) -> Vec<Page> {
        let gone = |(number, page): (&u64, &Page)| (!is_there(&page.of.name)).then_some(*number);
        let numbers: Vec<_> = self.pages.iter().filter_map(gone).collect();
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
/// The number of a wish, and what it names.
type Asked = (usize, Option<Named>);
/// In the place of each page, behind all others, what of it is not named by itself: runs of places, or one that is empty.
fn without_pages(named: Vec<Asked>) -> Vec<Asked> {
    let is_page = |asked: &Asked| asked.1.as_ref().is_some_and(|named| named.all.is_some());
    if !named.iter().any(is_page) {
        return named;
    }
    let (pages, mut asked): (Vec<_>, Vec<_>) = named.into_iter().partition(is_page);
    let alone: HashSet<(u64, u32)> = asked
        .iter()
        .filter_map(|(_, named)| named.as_ref())
        .map(|named| (named.page, named.places.start))
        .collect();
    for (at, page) in pages {
        let Some(page) = page else { continue };
        let mut runs: Vec<Range<u32>> = Vec::new();
        for place in page.places.clone().filter(|place| !alone.contains(&(page.page, *place))) {
            match runs.last_mut() {
                Some(run) if run.end == place => run.end += 1,
                _ => runs.push(place..place + 1),
            }
        }
        if runs.is_empty() {
            runs.push(0..0);
        }
        asked.extend(runs.into_iter().map(|places| (at, Some(Named { places, ..page.clone() }))));
    }
    asked
}
/// One verdict for each wish, of one for each lease as they were settled.
fn by_wish(named: Vec<Asked>, each: Vec<Verdict>) -> Vec<Verdict> {
    if named
        .iter()
        .all(|(_, named)| named.as_ref().is_none_or(|named| named.all.is_none()))
    {
        return each;
    }
    let (mut each, mut all) = (each.into_iter(), Vec::new());
    let mut named = named.into_iter().peekable();
    while let Some((at, one)) = named.next() {
        let Some(Named {
            places, all: Some(tokens), ..
        }) = one
        else {
            all.push((at, each.next().unwrap_or(Verdict::Unknown)));
            continue;
        };
        let mut told: Vec<_> = places.zip(each.by_ref()).collect();
        while let Some((_, Some(more))) = named.next_if(|(next, _)| *next == at) {
            told.extend(more.places.zip(each.by_ref()));
        }
        all.push((at, Verdict::Page(Box::new(PageVerdict { tokens, told }))));
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, verdict)| verdict).collect()
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
        let (Some(alike), Some(mut ack)) = (self.alike.last_mut(), ack) else {
            return;
        };
        if matches!(outcome, Outcome::Ack) {
            alike.verdicts.push(verdicts);
            alike.acks.push(ack);
        } else {
            // Each may fail by itself.
            alike.acks.extend((0..ack.slots()).map(|slot| ack.split(slot..slot + 1)));
            alike.verdicts.extend(verdicts.map(|at| at..at + 1));
        }
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
mod tests;
