use super::*;
use proptest::{collection::vec, prelude::*};
use tidegate_core::{
    delivery::Received,
    error::{Code, Error, Fault},
    headers::Headers,
    message::Message,
    settle::{Returns, Settled},
    topic::Topic,
};

/// Drops what it is told while it looks into the leases: whoever calls it under their lock never returns.
struct Home {
    leases: Arc<Leases>,
    /// Where a run begins, and what became of it.
    told: Mutex<Vec<(u64, Outcome)>>,
    /// Each message that is not out any more, and what became of it.
    messages: Mutex<Vec<(u64, &'static str)>>,
    answers: bool,
}
impl Returns for Home {
    fn take_back(&self, settled: Settled) {
        if !matches!(settled.outcome, Outcome::Extend(_)) {
            assert!(self.leases.parked.try_lock().is_ok(), "told under the lock");
        }
        if !matches!(settled.outcome, Outcome::Extend(_)) {
            let word = word_of(&settled.outcome);
            self.messages.lock().unwrap().extend(settled.seqs.clone().map(|seq| (seq, word)));
        }
        self.told.lock().unwrap().push((settled.seqs.start, settled.outcome));
        if self.answers {
            settled.done.into_iter().for_each(|done| done.resolve(Ok(())));
        }
    }
}
fn word_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ack => "done",
        Outcome::Requeue { .. } => "back",
        Outcome::Reject { .. } => "dead",
        Outcome::Hold { .. } => "held",
        Outcome::Extend(_) => "on",
    }
}
fn held() -> Outcome {
    Outcome::Hold { until: Instant::now() }
}
fn house(most: usize, answers: bool) -> (Arc<Leases>, Arc<Home>) {
    let leases = Arc::new(Leases::new(most).unwrap());
    let home = Home {
        leases: leases.clone(),
        told: Mutex::default(),
        messages: Mutex::default(),
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
    leases.keep(|owner| owner != "a");
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
    leases.end(&tokens, &held());
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
    leases.keep(|owner| owner != "a");
    assert_eq!(*home.told.lock().unwrap(), [(0, BACK)]);
    assert_eq!(settle(&leases, "b", &other, Outcome::Ack).await, Verdict::Ok);
}
#[tokio::test(start_paused = true)]
async fn a_settlement_that_was_lost_is_expired_not_ok() {
    let (leases, home) = house(10, false);
    let token = park(&leases, &home, 0, SECONDS, &owner("a")).unwrap();
    assert_eq!(settle(&leases, "a", &token, Outcome::Ack).await, Verdict::Expired);
}

/// Of dead letters that lie side by side some may find room and some not.
#[tokio::test(start_paused = true)]
async fn what_is_rejected_together_is_told_each_by_itself() {
    struct Half(Mutex<Vec<std::ops::Range<u64>>>);
    impl Returns for Half {
        fn take_back(&self, settled: Settled) {
            self.0.lock().unwrap().push(settled.seqs.clone());
            let full = || Err(Error::new(Code::StorageFull, Fault::Operator, "full"));
            let told = if settled.seqs.clone().any(|seq| seq % 2 == 1) {
                full()
            } else {
                Ok(())
            };
            settled
                .done
                .into_iter()
                .for_each(|done| done.resolve(told.as_ref().copied().map_err(Error::again)));
        }
    }
    let leases = Leases::new(10).unwrap();
    let half = Arc::new(Half(Mutex::default()));
    let mut duties = Duties::default();
    duties.take(&mut (0..4).map(item).collect(), Ack::new(half.clone(), 0, 4));
    let tokens = leases.park(duties, SECONDS, &owner("a"));
    let reject = |token: Token| Settlement {
        lease: token.as_str().to_owned().into(),
        outcome: Outcome::reject("bad"),
    };
    let wishes: Vec<_> = tokens.iter().map(reject).collect();
    let told = leases.settle("a", &wishes).await.unwrap();
    assert_eq!(
        told.iter().map(Verdict::as_str).collect::<Vec<_>>(),
        ["ok", "failed", "ok", "failed"]
    );
    assert_eq!(*half.0.lock().unwrap(), [0..1, 1..2, 2..3, 3..4]);
}
#[tokio::test(start_paused = true)]
async fn a_page_is_settled_by_its_own_name() {
    let (leases, home) = house(1_000, true);
    let tokens = leases.park(duties(&home, 0..300), SECONDS, &owner("a"));
    let (page, longer) = (tokens.page(), Outcome::Extend(Duration::from_secs(40)));
    let first = tokens.iter().next().unwrap();
    let all = |verdict: &Verdict| match verdict {
        Verdict::Page(page) => (verdict.as_str(), page.settled(), page.others().count()),
        other => (other.as_str(), 0, 0),
    };
    assert_eq!(settle(&leases, "b", page, Outcome::Ack).await, Verdict::Unknown);
    assert_eq!(all(&settle(&leases, "a", page, longer.clone()).await), ("ok", 300, 0));
    // Who says that one is still being worked on, and the rest is done, keeps that one.
    let [one, page_of_it] = [first.as_str(), page].map(Cow::Borrowed);
    let wishes = [(page_of_it, Outcome::Ack), (one, longer.clone())].map(|(lease, outcome)| Settlement { lease, outcome });
    let told = leases.settle("a", &wishes).await.unwrap();
    assert_eq!((all(&told[0]), &told[1]), (("ok", 299, 0), &Verdict::Ok));
    assert_eq!(leases.len(), 1);
    assert_eq!(settle(&leases, "a", first.as_str(), Outcome::Ack).await, Verdict::Ok);
    // Settled before, and not beside it.
    let tokens = leases.park(duties(&home, 300..600), SECONDS, &owner("a"));
    let (page, first) = (tokens.page(), tokens.iter().next().unwrap());
    assert_eq!(settle(&leases, "a", first.as_str(), BACK).await, Verdict::Ok);
    let rest = settle(&leases, "a", page, Outcome::Ack).await;
    assert_eq!(all(&rest), ("partly", 299, 1));
    let Verdict::Page(rest) = rest else { panic!("{rest:?}") };
    assert_eq!(rest.others().collect::<Vec<_>>(), [(first, &Verdict::Expired)]);
    assert_eq!(all(&settle(&leases, "a", page, Outcome::Ack).await), ("expired", 0, 0));
    assert!(leases.is_empty());
    // However often it is named, no more than so many are looked at.
    let wishes = vec![
        Settlement {
            lease: page.into(),
            outcome: longer,
        };
        MOST_SETTLED / 300 + 1
    ];
    let error = leases.settle("a", &wishes).await.unwrap_err();
    assert!(error.to_string().contains("more than 100000 leases"), "{error}");
}
/// What is done to leases.
#[derive(Clone, Debug)]
enum Step {
    /// So many of a delivery, of which some were settled before.
    Park(u32, u8, u64),
    /// Leases by their numbers, and what is to become of each.
    Settle(Vec<(usize, u8)>),
    End(usize),
    Wait(u64),
    GiveBack,
}
/// No outcome: the token is not as it was given.
const CHANGED: u8 = 5;
/// All of its page, with the word that lies so far before it.
const WHOLE: u8 = 6;
/// In one of the letters that are proved.
fn changed(token: &str, at: usize) -> String {
    let one = |(place, letter): (usize, char)| match letter {
        'A' if place == at % 24 => 'B',
        _ if place == at % 24 => 'A',
        letter => letter,
    };
    token.chars().enumerate().map(one).collect()
}
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..150_u32, any::<u8>(), 1..40_u64).prop_map(|(count, holes, secs)| Step::Park(count, holes, secs)),
        6 => vec((0..400_usize, 0..=WHOLE + 4), 1..60).prop_map(Step::Settle),
        // As most are settled: side by side.
        6 => (0..400_usize, 1..130_usize, 0..5_u8, 1..200_usize).prop_map(|(from, count, word, turn)| {
            let word = |at: usize| if ((at - from) / turn).is_multiple_of(2) { word } else { 0 };
            Step::Settle((from..from + count).map(|at| (at, word(at))).collect())
        }),
        1 => (0..8_usize).prop_map(Step::End),
        2 => (1..20_u64).prop_map(Step::Wait),
        1 => Just(Step::GiveBack),
    ];
    vec(step, 1..60)
}
/// One lease, as it should be.
struct Known {
    token: String,
    seq: u64,
    page: usize,
    /// `None`: it is one no more.
    until: Option<Instant>,
}
impl Known {
    /// What comes of it, and who comes home.
    fn settle(&mut self, outcome: &Outcome, now: Instant, wanted: &mut Vec<(u64, &'static str)>) -> Verdict {
        match self.until {
            None => Verdict::Expired,
            Some(until) if until <= now => {
                self.until = None;
                wanted.push((self.seq, "back"));
                Verdict::Expired
            }
            Some(_) => {
                if let Outcome::Extend(by) = outcome {
                    self.until = Some(now + *by);
                } else {
                    self.until = None;
                    wanted.push((self.seq, word_of(outcome)));
                }
                Verdict::Ok
            }
        }
    }
}
proptest! {
    /// Against a list of leases, each by itself: every verdict, every message that comes home and when, and how many are left.
    #[test]
    fn a_page_is_a_list_of_leases(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps))?;
    }
}
async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    const MOST: usize = 300;
    let (leases, home) = house(MOST, true);
    let (mut all, mut pages): (Vec<Known>, Vec<Tokens>) = (Vec::new(), Vec::new());
    let (mut next, mut wanted) = (0, Vec::new());
    let told = |home: &Home| std::mem::take(&mut *home.messages.lock().unwrap());
    for step in steps {
        let now = Instant::now();
        match step {
            Step::Park(count, holes, secs) => {
                let mut ack = Ack::new(home.clone(), next, count);
                let open: Vec<u32> = (0..count)
                    .filter(|slot| *slot % 16 != u32::from(holes % 16) || holes % 2 == 0)
                    .collect();
                (0..count)
                    .filter(|slot| !open.contains(slot))
                    .for_each(|slot| ack.settle(slot, Outcome::Ack));
                told(&home);
                let mut items: Vec<_> = (0..count).map(item).collect();
                let mut duties = Duties::default();
                duties.take(&mut items, ack);
                prop_assert_eq!(items.iter().map(|item| item.slot).collect::<Vec<_>>(), open.clone());
                let free = MOST - all.iter().filter(|one| one.until.is_some()).count();
                let tokens = leases.park(duties, Duration::from_secs(secs), &owner("a"));
                prop_assert_eq!(tokens.len(), open.len().min(free));
                // What found no room goes back.
                wanted.extend(open.iter().skip(tokens.len()).map(|slot| (next + u64::from(*slot), "held")));
                for (slot, token) in open.iter().zip(tokens.iter()) {
                    all.push(Known {
                        token: token.as_str().to_owned(),
                        seq: next + u64::from(*slot),
                        page: pages.len(),
                        until: Some(now + Duration::from_secs(secs)),
                    });
                }
                pages.push(tokens);
                next += u64::from(count);
            }
            Step::Settle(which) => {
                let mut told = Vec::new();
                // Pages come last, wherever they are named, and without those that are named by themselves.
                let mut which: Vec<_> = which.into_iter().enumerate().collect();
                which.sort_by_key(|(_, (at, word))| *word >= WHOLE && *at < all.len());
                let alone: Vec<usize> = which
                    .iter()
                    .filter(|(_, (_, word))| *word < CHANGED)
                    .map(|(_, (at, _))| *at)
                    .collect();
                for (turn, (at, word)) in which {
                    let outcome = match word.checked_sub(WHOLE).unwrap_or(word) {
                        0 | 1 => Outcome::Ack,
                        2 => BACK,
                        3 => Outcome::reject("bad"),
                        _ => Outcome::Extend(Duration::from_secs(25)),
                    };
                    if word == CHANGED {
                        let token: String = all.get(at).map_or_else(String::new, |one| changed(&one.token, at));
                        let lease = token.into();
                        told.push((turn, Settlement { lease, outcome }, Verdict::Unknown));
                        continue;
                    }
                    if let Some(page) = all.get(at).filter(|_| word >= WHOLE).map(|one| one.page) {
                        let tokens = pages[page].clone();
                        let lease = tokens.page().to_owned().into();
                        let of_page = all.iter_mut().enumerate().filter(|(_, one)| one.page == page);
                        let rest = (0..).zip(of_page).filter(|(_, (at, _))| !alone.contains(at));
                        let of_rest = rest.map(|(place, (_, one))| (place, one.settle(&outcome, now, &mut wanted)));
                        let told_of_page = of_rest.collect();
                        let verdict = Verdict::Page(Box::new(PageVerdict {
                            tokens,
                            told: told_of_page,
                        }));
                        told.push((turn, Settlement { lease, outcome }, verdict));
                        continue;
                    }
                    let lease = all.get(at).map_or("x", |one| &one.token).to_owned().into();
                    let verdict = all.get_mut(at).map(|one| one.settle(&outcome, now, &mut wanted));
                    told.push((turn, Settlement { lease, outcome }, verdict.unwrap_or(Verdict::Unknown)));
                }
                told.sort_by_key(|(turn, ..)| *turn);
                let (wishes, verdicts): (Vec<_>, Vec<_>) = told.into_iter().map(|(_, wish, verdict)| (wish, verdict)).unzip();
                prop_assert_eq!(leases.settle("a", &wishes).await.unwrap(), verdicts);
            }
            Step::End(page) => {
                if let Some(tokens) = pages.get(page) {
                    leases.end(tokens, &held());
                    for one in all.iter_mut().filter(|one| one.page == page && one.until.is_some()) {
                        one.until = None;
                        wanted.push((one.seq, "held"));
                    }
                }
            }
            Step::Wait(secs) => {
                tokio::time::advance(Duration::from_secs(secs)).await;
                let now = Instant::now();
                let late = |one: &&mut Known| one.until.is_some_and(|until| until <= now);
                let mut count = 0;
                for one in all.iter_mut().filter(late) {
                    one.until = None;
                    wanted.push((one.seq, "back"));
                    count += 1;
                }
                if count > 0 {
                    prop_assert_eq!(leases.expired().await, count);
                }
            }
            Step::GiveBack => {
                leases.keep(|owner| owner == "a");
                leases.keep(|owner| owner == "other");
                for one in all.iter_mut().filter(|one| one.until.is_some()) {
                    one.until = None;
                    wanted.push((one.seq, "back"));
                }
            }
        }
        let mut came = told(&home);
        came.sort_unstable();
        wanted.sort_unstable();
        prop_assert_eq!(came, std::mem::take(&mut wanted));
        prop_assert_eq!(leases.len(), all.iter().filter(|one| one.until.is_some()).count());
    }
    Ok(())
}
