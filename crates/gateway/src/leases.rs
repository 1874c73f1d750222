//! Messages that somebody outside has for a while: each one's `Ack`, parked under a token until it is settled or its time is up. The group
//! behind it knows only that it is out.
use sha2::{Digest, Sha256};
use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, and durable.
    Ok,
    /// It was one: settled before, or given back when its time was up.
    Expired,
    /// It never was one here.
    Unknown,
}
impl Verdict {
    /// The word clients see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
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
    /// A token that nobody can guess, good at this gateway until the time is up. With too many of them the duty comes back.
    pub fn park(&self, ack: Ack, lease_for: Duration, of: Owner) -> std::result::Result<String, Ack> {
        let until = Instant::now() + lease_for;
        let mut parked = self.lock();
        if parked.leases.len() >= self.most {
            return Err(ack);
        }
        parked.issued += 1;
        let number = parked.issued;
        parked.leases.insert(number, Lease { ack, until, of });
        parked.deadlines.insert((until, number));
        if parked.deadlines.first() == Some(&(until, number)) {
            self.sooner.notify_waiters();
        }
        drop(parked);
        Ok(self.token(number))
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
    /// Settles at once; the future tells when it is durable. [`Outcome::Extend`] moves the deadline, and leaves the lease.
    pub fn settle(&self, owner: &str, token: &str, outcome: Outcome) -> impl Future<Output = Result<Verdict>> + Send + use<> {
        let settled = self.take(owner, token, outcome);
        async move {
            match settled {
                Ok(durable) => match durable.await {
                    Ok(()) => Ok(Verdict::Ok),
                    // The consumer went first: it comes again.
                    Err(error) if error.code() == Code::LeaseLost => Ok(Verdict::Expired),
                    Err(error) => Err(error),
                },
                Err(verdict) => Ok(verdict),
            }
        }
    }
    fn take(
        &self,
        owner: &str,
        token: &str,
        outcome: Outcome,
    ) -> std::result::Result<impl Future<Output = Result<()>> + Send + use<>, Verdict> {
        let number = self.number(token).ok_or(Verdict::Unknown)?;
        let now = Instant::now();
        let mut parked = self.lock();
        match parked.leases.get(&number) {
            None => return Err(Verdict::Expired),
            Some(lease) if *lease.of.name != *owner => return Err(Verdict::Unknown),
            Some(_) => {}
        }
        let late = parked.leases.get(&number).is_some_and(|lease| lease.until <= now);
        if let Outcome::Extend(by) = outcome
            && !late
            && let Some(lease) = parked.leases.get_mut(&number)
        {
            let until = now + by;
            let was = std::mem::replace(&mut lease.until, until);
            // It stays here, so it is told under the lock: telling neither blocks nor comes back here.
            let told = lease.ack.confirm(outcome);
            parked.deadlines.remove(&(was, number));
            parked.deadlines.insert((until, number));
            self.sooner.notify_waiters();
            return Ok(told);
        }
        let lease = parked.remove(number);
        drop(parked);
        // From here on without the lock: it runs the consumer's code.
        match lease {
            Some(mut lease) if !late => Ok(lease.ack.confirm(outcome)),
            _ => Err(Verdict::Expired),
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
        let mut text = String::with_capacity(48);
        let proof = Sha256::new()
            .chain_update(self.secret)
            .chain_update(number.to_be_bytes())
            .finalize();
        for byte in number.to_be_bytes().iter().chain(proof.iter().take(16)) {
            // Writing to memory cannot fail.
            let _never = write!(text, "{byte:02x}");
        }
        text
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
impl Parked {
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
    const SECONDS: Duration = Duration::from_secs(30);
    const BACK: Outcome = Outcome::Requeue { after: None };

    #[tokio::test(start_paused = true)]
    async fn settled_once_and_only_by_its_owner() {
        let (leases, home) = house(10, true);
        let token = leases.park(Ack::new(home.clone(), 7, 1), SECONDS, owner("orders")).unwrap();
        assert_eq!(leases.settle("other", &token, Outcome::Ack).await.unwrap(), Verdict::Unknown);
        assert_eq!(leases.settle("orders", &token, Outcome::Ack).await.unwrap(), Verdict::Ok);
        assert_eq!(leases.settle("orders", &token, Outcome::Ack).await.unwrap(), Verdict::Expired);
        assert_eq!(*home.told.lock().unwrap(), [(7, Outcome::Ack)]);
    }
    #[tokio::test(start_paused = true)]
    async fn tokens_cannot_be_guessed_or_changed() {
        let (leases, home) = house(10, true);
        let (other, _) = house(10, true);
        let token = leases.park(Ack::new(home, 0, 1), SECONDS, owner("a")).unwrap();
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
            assert_eq!(leases.settle("a", &bad, Outcome::Ack).await.unwrap(), Verdict::Unknown, "{bad}");
        }
        assert_eq!(leases.len(), 1);
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_late_goes_back_and_its_token_is_expired() {
        let (leases, home) = house(10, true);
        let park = |seq, secs| {
            leases
                .park(Ack::new(home.clone(), seq, 1), Duration::from_secs(secs), owner("a"))
                .unwrap()
        };
        let (long, short) = (park(0, 60), park(1, 10));
        let began = Instant::now();
        assert_eq!(leases.expired().await, 1);
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(*home.told.lock().unwrap(), [(1, BACK)]);
        assert_eq!(leases.settle("a", &short, Outcome::Ack).await.unwrap(), Verdict::Expired);
        tokio::time::advance(Duration::from_secs(50)).await;
        // Late, though nobody has swept.
        assert_eq!(leases.settle("a", &long, Outcome::Ack).await.unwrap(), Verdict::Expired);
        assert_eq!(*home.told.lock().unwrap(), [(1, BACK), (0, BACK)]);
    }
    #[tokio::test(start_paused = true)]
    async fn a_sooner_deadline_is_seen_while_a_later_one_is_waited_for() {
        let (leases, home) = house(10, true);
        let park = |seq, secs| {
            leases
                .park(Ack::new(home.clone(), seq, 1), Duration::from_secs(secs), owner("a"))
                .unwrap()
        };
        let began = Instant::now();
        let _long = park(0, 600);
        let (late, _) = tokio::join!(leases.expired(), async { park(1, 5) });
        assert_eq!((late, began.elapsed().as_secs()), (1, 5));
    }
    #[tokio::test(start_paused = true)]
    async fn extending_moves_the_deadline_either_way() {
        let (leases, home) = house(10, true);
        let token = leases.park(Ack::new(home.clone(), 0, 1), SECONDS, owner("a")).unwrap();
        let by = Duration::from_mins(10);
        assert_eq!(leases.settle("a", &token, Outcome::Extend(by)).await.unwrap(), Verdict::Ok);
        let began = Instant::now();
        assert_eq!(leases.expired().await, 1);
        assert_eq!(began.elapsed(), by);
        assert_eq!(*home.told.lock().unwrap(), [(0, Outcome::Extend(by)), (0, BACK)]);
    }
    #[tokio::test(start_paused = true)]
    async fn their_number_is_bounded_and_undone_ones_count_no_attempt() {
        let (leases, home) = house(2, true);
        let park = |seq| leases.park(Ack::new(home.clone(), seq, 1), SECONDS, owner("a"));
        let tokens = vec![park(0).unwrap(), park(1).unwrap()];
        assert_eq!(leases.room(), 0);
        assert!(park(2).is_err());
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
        let _mine = leases.park(Ack::new(home.clone(), 0, 1), SECONDS, owner("a")).unwrap();
        let other = leases.park(Ack::new(home.clone(), 1, 1), SECONDS, owner("b")).unwrap();
        leases.give_back("a");
        assert_eq!(*home.told.lock().unwrap(), [(0, BACK)]);
        assert_eq!(leases.settle("b", &other, Outcome::Ack).await.unwrap(), Verdict::Ok);
    }
    #[tokio::test(start_paused = true)]
    async fn a_settlement_that_was_lost_is_expired_not_ok() {
        let (leases, home) = house(10, false);
        let token = leases.park(Ack::new(home, 0, 1), SECONDS, owner("a")).unwrap();
        assert_eq!(leases.settle("a", &token, Outcome::Ack).await.unwrap(), Verdict::Expired);
    }
}
