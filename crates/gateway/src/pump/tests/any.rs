//! Whatever the target answers, whatever the pump was told, whenever it is cut.
use super::*;
use proptest::prelude::*;
use std::pin::pin;

/// No backoff, no open circuit and no call takes longer.
const LONGEST: Duration = Duration::from_secs(70);

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        4 => Just(Answer::Taken),
        3 => Just(Answer::Failed(Retry::Now)),
        1 => (0..20_u64).prop_map(|s| Answer::Failed(Retry::After(Duration::from_secs(s)))),
        1 => Just(Answer::Failed(Retry::No)),
        2 => Just(Answer::Down),
        1 => (0..5_u64).prop_map(|s| Answer::Hangs(Duration::from_secs(s))),
    ];
    proptest::collection::vec(one, 0..60)
}
fn hows() -> impl Strategy<Value = Pumping> {
    let order = prop_oneof![Just(Order::None), Just(Order::Key), Just(Order::All)];
    (order, 1..5_u32, 1..5_u32, 0..4_u32, 0..2_u64).prop_map(|(order, parallel, attempts, failures, linger)| Pumping {
        order,
        parallel,
        linger: Duration::from_secs(linger),
        retry: Backoff { attempts, ..HOW.retry },
        breaker: Breaker { failures, ..HOW.breaker },
        rest_until: None,
    })
}
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}
/// What has an order is never sent before what goes before it has ended.
fn order_is_kept(order: Order, seen: &[Seen]) -> Result<(), TestCaseError> {
    let line = |payload: &str| match order {
        Order::None => None,
        Order::All => Some(String::new()),
        Order::Key => payload.split_once(':').map(|(key, _)| key.to_owned()),
    };
    let number = |payload: &str| payload.split(':').next_back().map(str::to_owned);
    let mut last: HashMap<String, Vec<Option<String>>> = HashMap::new();
    for seen in seen {
        let mut calls: HashMap<String, Vec<Option<String>>> = HashMap::new();
        for payload in &seen.payloads {
            if let Some(line) = line(payload) {
                calls.entry(line).or_default().push(number(payload));
            }
        }
        for (line, call) in calls {
            prop_assert!(call.is_sorted(), "{:?}", seen);
            let before = last.insert(line, call.clone());
            // The same ones again, or what comes behind them.
            let first_before = before.and_then(|before| before.first().cloned());
            prop_assert!(first_before.is_none_or(|before| before <= call[0]), "{:?}", seen);
        }
    }
    Ok(())
}
/// Until now: whatever waits, waits for a call, a backoff or the circuit.
fn it_never_stands_still(begun: Instant, seen: &[Seen]) -> Result<(), TestCaseError> {
    let calls = seen.iter().map(|seen| seen.at).filter(|at| *at > begun);
    let moments: Vec<_> = [begun].into_iter().chain(calls).chain([Instant::now()]).collect();
    for pause in moments.windows(2) {
        prop_assert!(
            pause[1] - pause[0] < LONGEST,
            "it stood still: {:?}: {:?}",
            pause[1] - pause[0],
            seen
        );
    }
    Ok(())
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the action answers: every message ends once, acknowledged or rejected; no message is tried more often than it may be, and what
    /// was held counts no attempt; and what has an order is never sent before what goes before it has ended.
    #[test]
    fn whatever_the_action_answers(
        answers in answers(), how in hows(), keys in proptest::collection::vec(0..4_u8, 1..20), batch in 1..4_u32, window in 1..10_u32,
        threads in 0..4_usize,
    ) {
        run(async move {
            let house = House::new(batch, 8).with_hands(threads);
            // Key 3 is none.
            let name = |(i, key): (usize, &u8)| if *key == 3 { format!("{i:02}") } else { format!("{key}:{i:02}") };
            let names: Vec<_> = keys.iter().enumerate().map(name).collect();
            publish(&house.memory, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
            *house.target.all.lock().unwrap() = answers.into();
            let begun = Instant::now();
            house.until(&how, window, |house| house.memory.ended(GROUP).len() >= names.len()).await;

            it_never_stands_still(begun, &house.target.seen())?;
            prop_assert_eq!(house.outcomes().len(), names.len());
            prop_assert_eq!((house.memory.out(GROUP), house.progress.in_flight()), (0, 0));
            prop_assert!(house.given_back().await.is_empty());
            let mut tried: HashMap<&str, u32> = HashMap::new();
            let seen = house.target.seen();
            for seen in &seen {
                for (payload, attempt) in seen.payloads.iter().zip(&seen.attempts) {
                    let count = tried.entry(payload).or_default();
                    *count += 1;
                    prop_assert_eq!(*attempt, *count, "held counts none: {:?}", seen);
                    prop_assert!(*count <= how.retry.attempts);
                }
            }
            order_is_kept(how.order, &seen)?;
            Ok(())
        })?;
    }
    /// Stopped or drained at any moments, and begun again: every message ends once, what has an order keeps it, and what the target asked to
    /// wait with waits; and no longer.
    #[test]
    fn stopped_at_any_moments_and_begun_again(
        answers in answers(), how in hows(), keys in proptest::collection::vec(0..4_u8, 1..30), batch in 1..4_u32, window in 1..10_u32,
        threads in 0..4_usize, ends in proptest::collection::vec((any::<bool>(), 0..30_000_u64), 1..6),
    ) {
        run(async move {
            let mut house = House::new(batch, 8).with_hands(threads);
            let name = |(i, key): (usize, &u8)| if *key == 3 { format!("{i:02}") } else { format!("{key}:{i:02}") };
            let names: Vec<_> = keys.iter().enumerate().map(name).collect();
            *house.target.all.lock().unwrap() = answers.into();
            let mut new = names.chunks(names.len().div_ceil(ends.len() + 1));
            for (hard, millis) in ends {
                let some: Vec<_> = new.next().into_iter().flatten().map(String::as_str).collect();
                publish(&house.memory, &some).await;
                (house.drain, house.stop) = (Drain::new(), Drain::new());
                let ending = async {
                    sleep(Duration::from_millis(millis)).await;
                    if hard { house.stop.start() } else { house.drain.start() }
                };
                let (ended, ()) = tokio::join!(house.pump(&how, window), ending);
                prop_assert!(matches!(ended, Ok(Ended::Draining)), "{:?}", ended);
                prop_assert_eq!((house.memory.out(GROUP), house.progress.in_flight()), (0, 0));
            }
            let rest: Vec<_> = new.flatten().map(String::as_str).collect();
            publish(&house.memory, &rest).await;
            (house.drain, house.stop) = (Drain::new(), Drain::new());
            let begun = Instant::now();
            house.until(&how, window, |house| house.memory.ended(GROUP).len() >= names.len()).await;

            prop_assert_eq!(house.outcomes().len(), names.len());
            let seen = house.target.seen();
            order_is_kept(how.order, &seen)?;
            it_never_stands_still(begun, &seen)?;
            for (at, failed) in seen.iter().enumerate() {
                let Answer::Failed(Retry::After(wait)) = failed.answer else { continue };
                for again in seen[at + 1..].iter().filter(|again| again.payloads.iter().any(|one| failed.payloads.contains(one))) {
                    prop_assert!(again.at >= failed.at + wait, "{:?} after {:?}", again, failed);
                }
            }
            Ok(())
        })?;
    }
    /// Cut at any moment: nothing is out, and what was neither acknowledged nor rejected comes again, once.
    #[test]
    fn cut_at_any_moment(answers in answers(), how in hows(), messages in 1..20_usize, millis in 0..20_000_u64, threads in 0..4_usize) {
        run(async move {
            let house = House::new(2, 8).with_hands(threads);
            let names: Vec<_> = (0..messages).map(|i| format!("{}:{i:02}", i % 3)).collect();
            publish(&house.memory, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
            *house.target.all.lock().unwrap() = answers.into();
            {
                let mut pumping = pin!(house.pump(&how, 8));
                let _cut = timeout(Duration::from_millis(millis), pumping.as_mut()).await;
            }
            // Its hands let go, each on its own thread.
            while Handle::current().metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
            prop_assert_eq!((house.memory.out(GROUP), house.progress.in_flight()), (0, 0));
            let ended = house.outcomes();
            sleep(Duration::from_mins(10)).await;
            let mut back = house.given_back().await;
            back.sort();
            let wanted = (0..messages).filter(|i| !ended.contains_key(&(*i as u64)));
            let mut wanted: Vec<_> = wanted.map(|i| names[i].clone()).collect();
            wanted.sort();
            prop_assert_eq!(back.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), wanted);
            let tried = |name: &String| house.target.seen().iter().filter(|seen| seen.payloads.contains(name)).count() as u32;
            for (name, attempt) in &back {
                prop_assert_eq!(*attempt, tried(name) + 1, "{} was tried that often", name);
            }
            Ok(())
        })?;
    }
}
