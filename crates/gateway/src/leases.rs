//! Messages that somebody outside has for a while: each one's `Ack`, parked under a token until it is settled or its time is up. The group
//! behind it knows only that it is out. What was handed out together lies in one page: its tokens share their proof, and its deadline is
//! kept once.
mod page;

use page::{Page, Taken};
use sha2::{Digest, Sha256};
use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate_core::{
    error::{Code, Error, Fault, Result},
    settle::{Ack, Outcome},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// With so many of them the look for late ones is interrupted.
const AT_ONCE: usize = 1_024;
/// Of a token: 64 bits of page, 16 of place in it, 112 of proof, in hexadecimal.
const TOKEN: usize = 48;
/// Where the place stands in it.
const PLACE: Range<usize> = 16..20;
/// Of one page: its places have 16 bits.
const PAGE: usize = 1 << 16;

/// All leases of one owner, who lets [`Leases::expired`] run.
pub struct Leases {
    parked: Mutex<Parked>,
    /// An earlier deadline than the one that is waited for.
    sooner: Notify,
    secret: [u8; 32],
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
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| Error::new(Code::Internal, Fault::Gateway, "no random numbers").because(error.to_string()))?;
        Ok(Self {
            parked: Mutex::default(),
            sooner: Notify::new(),
            secret,
            most,
        })
    }
    /// Tokens that nobody can guess who has none of them, good at this gateway until the time is up. With too many of them the last duties
    /// come back: they stay in the list.
    pub fn park(&self, acks: &mut Vec<Ack>, lease_for: Duration, of: &Owner) -> Tokens {
        let until = Instant::now() + lease_for;
        let mut parked = self.lock();
        let room = self.most.saturating_sub(parked.count).min(acks.len()).min(PAGE);
        if room == 0 {
            return Tokens::default();
        }
        parked.issued += 1;
        parked.count += room;
        let number = parked.issued;
        parked.pages.insert(number, Page::new(acks.drain(..room), until, of.clone()));
        parked.deadlines.insert((until, number));
        if parked.deadlines.first() == Some(&(until, number)) {
            self.sooner.notify_waiters();
        }
        drop(parked);
        Tokens {
            first: Token::first(number, &self.proof(number)),
            count: room,
        }
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
    pub fn settle(&self, owner: &str, wishes: &[(&str, Outcome)]) -> impl Future<Output = Result<Vec<Verdict>>> + Send + use<> {
        let now = Instant::now();
        let mut verdicts = Vec::new();
        // One after the other of the same outcome go home together.
        let mut alike: Vec<Alike> = Vec::new();
        let mut known = Known { leases: self, last: None };
        let wishes: Vec<_> = wishes.iter().map(|(token, outcome)| (known.place(token), outcome)).collect();
        let mut late = Vec::new();
        let mut parked = self.lock();
        for (place, outcome) in wishes {
            let at = verdicts.len();
            let taken = place.ok_or(Verdict::Unknown);
            verdicts.push(match taken.and_then(|place| parked.take(place, owner, now, outcome)) {
                Ok(Taken::Extended) => {
                    self.sooner.notify_waiters();
                    Verdict::Ok
                }
                Ok(Taken::Late(ack)) => {
                    late.push(ack);
                    Verdict::Expired
                }
                Ok(Taken::Whole(ack, keeps)) => {
                    match alike.last_mut() {
                        Some(last) if last.outcome == *outcome => last.push(at, ack, keeps),
                        _ => {
                            let mut one = Alike::new(outcome.clone());
                            one.push(at, ack, keeps);
                            alike.push(one);
                        }
                    }
                    Verdict::Ok
                }
                Err(verdict) => verdict,
            });
        }
        drop(parked);
        // From here on without the lock: it runs the consumer's code.
        drop(late);
        let settling: Vec<_> = alike.into_iter().map(Alike::settle).collect();
        async move {
            for (places, told, _keeps) in settling {
                for (at, told) in places.into_iter().zip(told.await) {
                    match (told, verdicts.get_mut(at)) {
                        // The consumer went first: it comes again.
                        (Err(error), Some(verdict)) if error.code() == Code::LeaseLost => *verdict = Verdict::Expired,
                        (Err(error), _) if error.code() == Code::Draining => return Err(error),
                        (Err(error), Some(verdict)) => *verdict = Verdict::Failed(error.to_string().into()),
                        (Err(error), None) => return Err(error),
                        (Ok(()), _) => {}
                    }
                }
            }
            Ok(verdicts)
        }
    }
    /// Nobody got them: they go back, and no attempt is counted.
    pub fn undo(&self, tokens: &Tokens) {
        let mut known = Known { leases: self, last: None };
        let places: Vec<_> = tokens.iter().filter_map(|token| known.place(token.as_str())).collect();
        let undone: Vec<_> = {
            let mut parked = self.lock();
            places.into_iter().filter_map(|place| parked.remove(place)).collect()
        };
        let until = Instant::now();
        for mut ack in undone {
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
                return late.len();
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
        let mut late = Vec::new();
        while late.len() < AT_ONCE
            && let Some((_, number)) = parked.deadlines.first().copied().filter(|(due, _)| *due <= now)
        {
            parked.sweep(number, now, &mut late);
        }
        (late, parked.deadlines.first().map(|(due, _)| *due))
    }
    fn proof(&self, number: u64) -> [u8; 14] {
        let whole = Sha256::new()
            .chain_update(self.secret)
            .chain_update(number.to_be_bytes())
            .finalize();
        let mut proof = [0; 14];
        proof.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        proof
    }
    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// What names one lease.
#[derive(Clone, Copy)]
pub struct Token([u8; TOKEN]);
impl Token {
    /// As clients see it.
    pub fn as_str(&self) -> &str {
        // Digits only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
    fn first(number: u64, proof: &[u8]) -> Self {
        let mut text = [b'0'; TOKEN];
        let bytes = number.to_be_bytes().into_iter().chain([0, 0]).chain(proof.iter().copied());
        for (two, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
            *two = hexadecimal(byte);
        }
        Self(text)
    }
    /// The same page and proof, another place in it.
    fn at(mut self, place: u16) -> Self {
        if let Some(text) = self.0.get_mut(PLACE) {
            let [high, low] = place.to_be_bytes().map(hexadecimal);
            text.copy_from_slice(&[high[0], high[1], low[0], low[1]]);
        }
        self
    }
}
fn hexadecimal(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])
}
/// What names leases that were handed out together.
#[derive(Clone)]
pub struct Tokens {
    first: Token,
    count: usize,
}
impl Default for Tokens {
    fn default() -> Self {
        let first = Token([b'0'; TOKEN]);
        Self { first, count: 0 }
    }
}
impl Tokens {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// In the order of what they name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Token> + use<> {
        let first = self.first;
        // A page has no more places.
        (0..self.count).map(move |place| first.at(place as u16))
    }
}
/// Page and place in it.
type Place = (u64, u16);
/// Tokens that were proved: those of one page differ in their place only.
struct Known<'a> {
    leases: &'a Leases,
    /// The page, and the token of its first place.
    last: Option<(u64, Token)>,
}
impl Known<'_> {
    fn place(&mut self, shown: &str) -> Option<Place> {
        let shown = shown.as_bytes();
        let (page, rest) = shown.split_at_checked(16).filter(|_| shown.len() == TOKEN)?;
        let (place, proof) = rest.split_at_checked(4)?;
        let known = self.last.as_ref().filter(|(_, first)| first.0.starts_with(page));
        if known.is_none() {
            let number = digits(page)?;
            self.last = Some((number, Token::first(number, &self.leases.proof(number))));
        }
        let (number, first) = self.last.as_ref()?;
        // All of it, however early it differs.
        let own = first.0.get(PLACE.end..)?;
        let differs = proof.iter().zip(own).fold(0, |differs, (shown, own)| differs | (shown ^ own));
        let place = u16::try_from(digits(place)?).ok()?;
        (differs == 0).then_some((*number, place))
    }
}
/// Hexadecimal as we write it, and in no other way.
fn digits(text: &[u8]) -> Option<u64> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(u64::from(digit - b'0')),
        b'a'..=b'f' => Some(u64::from(digit - b'a') + 10),
        _ => None,
    };
    text.iter().try_fold(0_u64, |number, one| Some(number << 4 | digit(*one)?))
}
impl Parked {
    /// It is no lease any more, unless it is extended.
    fn take(&mut self, (number, place): Place, owner: &str, now: Instant, outcome: &Outcome) -> std::result::Result<Taken, Verdict> {
        let page = self.pages.get_mut(&number).ok_or(Verdict::Expired)?;
        if *page.of.name != *owner {
            return Err(Verdict::Unknown);
        }
        let due = page.due;
        let taken = page.take(place, now, outcome)?;
        let sooner = page.due;
        if matches!(taken, Taken::Extended) {
            if sooner < due {
                self.deadlines.remove(&(due, number));
                self.deadlines.insert((sooner, number));
            }
        } else {
            self.gone(number, 1);
        }
        Ok(taken)
    }
    fn remove(&mut self, (number, place): Place) -> Option<Ack> {
        let ack = self.pages.get_mut(&number)?.remove(place)?;
        self.gone(number, 1);
        Some(ack)
    }
    fn remove_of(&mut self, owner: &str) -> Vec<Page> {
        let gone: Vec<_> = self.pages.extract_if(|_, page| *page.of.name == *owner).collect();
        for (number, page) in &gone {
            self.deadlines.remove(&(page.due, *number));
            self.count -= page.len();
        }
        gone.into_iter().map(|(_, page)| page).collect()
    }
    /// What of a page is late; the rest has another deadline.
    fn sweep(&mut self, number: u64, now: Instant, late: &mut Vec<Ack>) {
        let Some(page) = self.pages.get_mut(&number) else { return };
        self.deadlines.remove(&(page.due, number));
        let before = late.len();
        page.late(now, late);
        if let Some(due) = page.next_due() {
            page.due = due;
            self.deadlines.insert((due, number));
        }
        self.gone(number, late.len() - before);
    }
    /// So many leases of a page are none any more.
    fn gone(&mut self, number: u64, count: usize) {
        self.count -= count;
        if let Some(page) = self.pages.get(&number).filter(|page| page.len() == 0) {
            self.deadlines.remove(&(page.due, number));
            self.pages.remove(&number);
        }
    }
}
/// Leases that share an outcome.
struct Alike {
    outcome: Outcome,
    places: Vec<usize>,
    acks: Vec<Ack>,
    keeps: Vec<Arc<dyn Any + Send + Sync>>,
}
impl Alike {
    fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            places: Vec::new(),
            acks: Vec::new(),
            keeps: Vec::new(),
        }
    }
    fn push(&mut self, at: usize, ack: Ack, keeps: Arc<dyn Any + Send + Sync>) {
        self.places.push(at);
        self.acks.push(ack);
        if self.keeps.last().is_none_or(|last| !Arc::ptr_eq(last, &keeps)) {
            self.keeps.push(keeps);
        }
    }
    #[expect(clippy::type_complexity, reason = "named where it is taken apart")]
    fn settle(
        self,
    ) -> (
        Vec<usize>,
        impl Future<Output = Vec<Result<()>>> + Send + use<>,
        Vec<Arc<dyn Any + Send + Sync>>,
    ) {
        (self.places, Ack::confirm_each(self.acks, &self.outcome), self.keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::settle::{Returns, Settled};

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
    fn park(leases: &Leases, ack: Ack, lease_for: Duration, of: Owner) -> Option<String> {
        let tokens = leases.park(&mut vec![ack], lease_for, &of);
        tokens.iter().next().map(|token| token.as_str().to_owned())
    }
    async fn settle(leases: &Leases, owner: &str, token: &str, outcome: Outcome) -> Verdict {
        leases.settle(owner, &[(token, outcome)]).await.unwrap().remove(0)
    }
    const SECONDS: Duration = Duration::from_secs(30);
    const BACK: Outcome = Outcome::Requeue { after: None };

    #[tokio::test(start_paused = true)]
    async fn settled_once_and_only_by_its_owner() {
        let (leases, home) = house(10, true);
        let token = park(&leases, Ack::new(home.clone(), 7, 1), SECONDS, owner("orders")).unwrap();
        assert_eq!(settle(&leases, "other", &token, Outcome::Ack).await, Verdict::Unknown);
        assert_eq!(settle(&leases, "orders", &token, Outcome::Ack).await, Verdict::Ok);
        assert_eq!(settle(&leases, "orders", &token, Outcome::Ack).await, Verdict::Expired);
        assert_eq!(*home.told.lock().unwrap(), [(7, Outcome::Ack)]);
    }
    #[tokio::test(start_paused = true)]
    async fn tokens_cannot_be_guessed_or_changed() {
        let (leases, home) = house(10, true);
        let (other, _) = house(10, true);
        let token = park(&leases, Ack::new(home, 0, 1), SECONDS, owner("a")).unwrap();
        assert_eq!(token.len(), 48);
        let mut bad = vec![
            String::new(),
            "x".repeat(48),
            token.chars().take(47).collect(),
            format!("{token}0"),
            "é".repeat(24),
        ];
        for at in 0..48 {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            bad.push(String::from_utf8(changed).unwrap());
        }
        bad.push(Token::first(1, &other.proof(1)).as_str().to_owned());
        for bad in bad {
            assert_eq!(settle(&leases, "a", &bad, Outcome::Ack).await, Verdict::Unknown, "{bad}");
        }
        assert_eq!(leases.len(), 1);
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_late_goes_back_and_its_token_is_expired() {
        let (leases, home) = house(10, true);
        let park = |seq, secs| super::tests::park(&leases, Ack::new(home.clone(), seq, 1), Duration::from_secs(secs), owner("a")).unwrap();
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
        let mut acks = (0..100).map(|seq| Ack::new(home.clone(), seq, 1)).collect();
        let tokens = leases.park(&mut acks, SECONDS, &owner("a"));
        assert_eq!((tokens.len(), leases.len()), (100, 100));
        let tokens: Vec<_> = tokens.iter().map(|token| token.as_str().to_owned()).collect();
        // Far more than half of them: the rest moves together.
        let done: Vec<_> = tokens.iter().skip(10).map(|token| (&**token, Outcome::Ack)).collect();
        assert!(
            leases
                .settle("a", &done)
                .await
                .unwrap()
                .iter()
                .all(|verdict| *verdict == Verdict::Ok)
        );
        assert_eq!(*home.told.lock().unwrap(), [(10, Outcome::Ack)], "they went home together");
        for (token, _) in &done {
            assert_eq!(settle(&leases, "a", token, Outcome::Ack).await, Verdict::Expired);
        }
        let extend = |secs| Outcome::Extend(Duration::from_secs(secs));
        assert_eq!(settle(&leases, "a", &tokens[3], extend(60)).await, Verdict::Ok);
        assert_eq!(settle(&leases, "a", &tokens[7], extend(5)).await, Verdict::Ok);
        let began = Instant::now();
        for (ends, count) in [(5, 1), (30, 8), (60, 1)] {
            assert_eq!((leases.expired().await, began.elapsed().as_secs()), (count, ends));
        }
        assert!(leases.is_empty() && leases.lock().deadlines.is_empty());
        // What nobody was given is no lease, and what was given up with its owner is none any more.
        let mut acks = vec![Ack::new(home.clone(), 200, 1)];
        let last = leases
            .park(&mut acks, SECONDS, &owner("a"))
            .iter()
            .last()
            .unwrap()
            .as_str()
            .to_owned();
        let beyond = format!("{}0001{}", last.split_at(16).0, last.split_at(20).1);
        assert_eq!(settle(&leases, "a", &beyond, Outcome::Ack).await, Verdict::Unknown);
        leases.give_back("a");
        assert_eq!(settle(&leases, "a", &last, Outcome::Ack).await, Verdict::Expired);
        assert!(leases.is_empty() && leases.lock().deadlines.is_empty());
    }
    #[tokio::test(start_paused = true)]
    async fn a_sooner_deadline_is_seen_while_a_later_one_is_waited_for() {
        let (leases, home) = house(10, true);
        let park = |seq, secs| super::tests::park(&leases, Ack::new(home.clone(), seq, 1), Duration::from_secs(secs), owner("a")).unwrap();
        let began = Instant::now();
        let _long = park(0, 600);
        let (late, _) = tokio::join!(leases.expired(), async { park(1, 5) });
        assert_eq!((late, began.elapsed().as_secs()), (1, 5));
    }
    #[tokio::test(start_paused = true)]
    async fn extending_moves_the_deadline_either_way() {
        let (leases, home) = house(10, true);
        let token = park(&leases, Ack::new(home.clone(), 0, 1), SECONDS, owner("a")).unwrap();
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
        let mut acks = (0..3).map(|seq| Ack::new(home.clone(), seq, 1)).collect();
        let tokens = leases.park(&mut acks, SECONDS, &owner("a"));
        assert_eq!((tokens.len(), acks.len(), leases.room()), (2, 1, 0));
        assert!(leases.park(&mut acks, SECONDS, &owner("a")).is_empty());
        drop(acks);
        leases.undo(&tokens);
        assert!(leases.is_empty());
        let told = home.told.lock().unwrap().clone();
        assert!(
            matches!(told[1..], [(0, Outcome::Hold { .. }), (1, Outcome::Hold { .. })]),
            "{told:?}"
        );
    }
    #[tokio::test(start_paused = true)]
    async fn an_owner_that_goes_gives_back_its_own() {
        let (leases, home) = house(10, true);
        let _mine = park(&leases, Ack::new(home.clone(), 0, 1), SECONDS, owner("a")).unwrap();
        let other = park(&leases, Ack::new(home.clone(), 1, 1), SECONDS, owner("b")).unwrap();
        leases.give_back("a");
        assert_eq!(*home.told.lock().unwrap(), [(0, BACK)]);
        assert_eq!(settle(&leases, "b", &other, Outcome::Ack).await, Verdict::Ok);
    }
    #[tokio::test(start_paused = true)]
    async fn a_settlement_that_was_lost_is_expired_not_ok() {
        let (leases, home) = house(10, false);
        let token = park(&leases, Ack::new(home, 0, 1), SECONDS, owner("a")).unwrap();
        assert_eq!(settle(&leases, "a", &token, Outcome::Ack).await, Verdict::Expired);
    }
}
