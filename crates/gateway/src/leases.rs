//! Messages that somebody outside has for a while: each one's `Ack`, parked under a token until it is settled or its time is up. The group
//! behind it knows only that it is out.
use sha2::{Digest, Sha256};
use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
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

/// So many of them are given back without looking up.
const AT_ONCE: usize = 1_024;

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
    issued: u64,
    leases: HashMap<u64, Lease>,
    deadlines: BTreeSet<(Instant, u64)>,
}
struct Lease {
    ack: Ack,
    until: Instant,
    of: Owner,
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
    /// Tokens that nobody can guess, good at this gateway until the time is up. With too many of them the last duties come back: they stay
    /// in the list.
    pub fn park(&self, acks: &mut Vec<Ack>, lease_for: Duration, of: &Owner) -> Vec<String> {
        let until = Instant::now() + lease_for;
        let mut parked = self.lock();
        let room = self.most.saturating_sub(parked.leases.len()).min(acks.len());
        let first = parked.issued + 1;
        parked.issued += room as u64;
        for (number, ack) in (first..).zip(acks.drain(..room)) {
            let of = of.clone();
            parked.leases.insert(number, Lease { ack, until, of });
            parked.deadlines.insert((until, number));
        }
        if room > 0 && parked.deadlines.first() == Some(&(until, first)) {
            self.sooner.notify_waiters();
        }
        drop(parked);
        (first..first + room as u64).map(|number| self.token(number)).collect()
    }
    /// How many more there may be.
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.lock().leases.len())
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().leases.len()
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
        let wishes: Vec<_> = wishes.iter().map(|(token, outcome)| (self.number(token), outcome)).collect();
        let mut late = Vec::new();
        let mut parked = self.lock();
        for (number, outcome) in wishes {
            let at = verdicts.len();
            verdicts.push(match number {
                None => Verdict::Unknown,
                Some(number) => match parked.take(number, owner, now, outcome) {
                    Ok(Taken::Extended) => {
                        self.sooner.notify_waiters();
                        Verdict::Ok
                    }
                    Ok(Taken::Late(lease)) => {
                        late.push(lease);
                        Verdict::Expired
                    }
                    Ok(Taken::Whole(lease)) => {
                        match alike.last_mut() {
                            Some(last) if last.outcome == *outcome => last.push(at, lease),
                            _ => {
                                let mut one = Alike::new(outcome.clone());
                                one.push(at, lease);
                                alike.push(one);
                            }
                        }
                        Verdict::Ok
                    }
                    Err(verdict) => verdict,
                },
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
    pub fn undo(&self, tokens: &[String]) {
        let numbers = tokens.iter().filter_map(|token| self.number(token));
        let undone: Vec<_> = {
            let mut parked = self.lock();
            numbers.filter_map(|number| parked.remove(number)).collect()
        };
        let until = Instant::now();
        for mut lease in undone {
            lease.ack.settle_all(Outcome::Hold { until });
        }
    }
    /// Gives back all of that owner.
    pub fn give_back(&self, owner: &str) {
        let given_back: Vec<_> = {
            let mut parked = self.lock();
            let of = |(number, lease): (&u64, &Lease)| (*lease.of.name == *owner).then_some(*number);
            let numbers: Vec<_> = parked.leases.iter().filter_map(of).collect();
            numbers.into_iter().filter_map(|number| parked.remove(number)).collect()
        };
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
    fn late(&self) -> (Vec<Lease>, Option<Instant>) {
        let now = Instant::now();
        let mut parked = self.lock();
        let mut late = Vec::new();
        while late.len() < AT_ONCE
            && let Some((_, number)) = parked.deadlines.first().copied().filter(|(until, _)| *until <= now)
        {
            late.extend(parked.remove(number));
        }
        (late, parked.deadlines.first().map(|(until, _)| *until))
    }
    /// 64 bits of number and 128 of proof, in hexadecimal.
    fn token(&self, number: u64) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let proof = Sha256::new()
            .chain_update(self.secret)
            .chain_update(number.to_be_bytes())
            .finalize();
        let bytes = number.to_be_bytes();
        let digits = |byte: &u8| [*byte >> 4, *byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
        bytes.iter().chain(proof.iter().take(16)).flat_map(digits).collect()
    }
    fn number(&self, token: &str) -> Option<u64> {
        let number = u64::from_str_radix(token.get(..16)?, 16).ok()?;
        let own = self.token(number);
        // All of it, however early it differs.
        let differs = own.bytes().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        (differs == 0 && own.len() == token.len()).then_some(number)
    }
    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// What a wish to settle found.
enum Taken {
    Whole(Lease),
    Late(Lease),
    Extended,
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
    fn push(&mut self, at: usize, lease: Lease) {
        self.places.push(at);
        self.acks.push(lease.ack);
        if self.keeps.last().is_none_or(|last| !Arc::ptr_eq(last, &lease.of.keeps)) {
            self.keeps.push(lease.of.keeps);
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
impl Parked {
    /// It is no lease any more, unless it is extended.
    fn take(&mut self, number: u64, owner: &str, now: Instant, outcome: &Outcome) -> std::result::Result<Taken, Verdict> {
        let lease = self.leases.get_mut(&number).ok_or(Verdict::Expired)?;
        if *lease.of.name != *owner {
            return Err(Verdict::Unknown);
        }
        let late = lease.until <= now;
        if let (Outcome::Extend(by), false) = (outcome, late) {
            let until = now + *by;
            let was = std::mem::replace(&mut lease.until, until);
            // It stays here, so it is told under the lock: telling neither blocks nor comes back here.
            lease.ack.settle_all(outcome.clone());
            self.deadlines.remove(&(was, number));
            self.deadlines.insert((until, number));
            return Ok(Taken::Extended);
        }
        let lease = self.remove(number).ok_or(Verdict::Expired)?;
        Ok(if late { Taken::Late(lease) } else { Taken::Whole(lease) })
    }
    fn remove(&mut self, number: u64) -> Option<Lease> {
        let lease = self.leases.remove(&number)?;
        self.deadlines.remove(&(lease.until, number));
        Some(lease)
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
        leases.park(&mut vec![ack], lease_for, &of).pop()
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
        bad.push(other.token(1));
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
        let park = |seq| super::tests::park(&leases, Ack::new(home.clone(), seq, 1), SECONDS, owner("a"));
        let tokens = vec![park(0).unwrap(), park(1).unwrap()];
        assert_eq!(leases.room(), 0);
        assert!(park(2).is_none());
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
