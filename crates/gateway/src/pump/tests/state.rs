//! What a pump's state says, while a target does this and that.
use super::*;

#[tokio::test(start_paused = true)]
async fn its_state_says_what_the_target_is_like() {
    let house = House::new(1, 1);
    publish(&house.memory, &["k:1"]).await;
    let minute = Retry::After(Duration::from_mins(1));
    house.target.of("k:1", [Answer::Failed(minute), Answer::Failed(minute)]);
    let mut how = HOW;
    how.breaker = Breaker {
        failures: 2,
        open_for: Duration::from_mins(1),
        longest: Duration::from_mins(1),
    };
    let seen = AtomicBool::new(false);
    let watching = async {
        sleep(Duration::from_secs(30)).await;
        let State::Retrying { since, next, error } = (*house.progress.state()).clone() else {
            panic!("{:?}", house.progress.state())
        };
        assert!(next - since >= 59_000_000 && &*error == "500 oops");
        sleep(Duration::from_mins(1)).await;
        let State::Open { probe_at, error, .. } = (*house.progress.state()).clone() else {
            panic!("{:?}", house.progress.state())
        };
        assert!(probe_at > clock::now_us() && &*error == "500 oops");
        sleep(Duration::from_mins(1)).await;
        assert_eq!(house.progress.state().as_str(), "connected");
        seen.store(true, Ordering::Relaxed);
    };
    tokio::join!(house.until(&how, 64, |_| seen.load(Ordering::Relaxed)), watching);
    assert_eq!(house.progress.state().as_str(), "stopped");
}
/// Nothing waits any more, and yet nobody may call that connected.
#[tokio::test(start_paused = true)]
async fn a_target_for_which_everything_is_given_up_is_failing_until_it_takes_something() {
    let house = House::new(1, 1);
    house.target.of("a", [Answer::Failed(Retry::No)]);
    house.target.of("b", [Answer::Failed(Retry::Now), Answer::Failed(Retry::Now)]);
    let mut how = HOW;
    how.retry.attempts = 2;
    let becomes = async |word: &str| {
        while house.progress.state().as_str() != word {
            sleep(Duration::from_millis(1)).await;
        }
        (*house.progress.state()).clone()
    };
    let seen = AtomicBool::new(false);
    let watching = async {
        publish(&house.memory, &["a"]).await;
        let State::Failing { since: first, error } = becomes("failing").await else {
            unreachable!()
        };
        assert_eq!(&*error, "400 no");
        publish(&house.memory, &["b"]).await;
        let State::Retrying { since, .. } = becomes("retrying").await else {
            unreachable!()
        };
        assert_eq!(since, first, "it has been ill since then");
        let State::Failing { since, error } = becomes("failing").await else {
            unreachable!()
        };
        assert_eq!((since, &*error), (first, "500 oops"));
        publish(&house.memory, &["c"]).await;
        becomes("connected").await;
        seen.store(true, Ordering::Relaxed);
    };
    tokio::join!(house.until(&how, 64, |_| seen.load(Ordering::Relaxed)), watching);
}
/// Another member of the group has it, or nobody.
#[tokio::test(start_paused = true)]
async fn when_what_failed_comes_no_more_its_target_is_what_it_was_last() {
    for (order, key) in [(Order::None, ""), (Order::Key, "k:"), (Order::All, "")] {
        let house = House::new(1, 1);
        let lost = format!("{key}lost");
        house.target.of(&lost, [Answer::Failed(Retry::Now)]);
        let mut how = HOW;
        how.order = order;
        let how_much = Limit {
            messages: 64,
            bytes: 1 << 20,
        };
        let becomes = async |word: &str| {
            let word = word.to_owned();
            while house.progress.state().as_str() != word {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let seen = AtomicBool::new(false);
        let watching = async {
            publish(&house.memory, &[&lost]).await;
            becomes("retrying").await;
            let mut other = consumer(&house.memory, 64, true).await;
            let (_, mut ack) = other.next(how_much).await.unwrap().unwrap().into_parts();
            ack.settle_all(Outcome::Ack);
            drop((ack, other));
            becomes("failing").await;
            publish(&house.memory, &["good"]).await;
            becomes("connected").await;
            seen.store(true, Ordering::Relaxed);
        };
        tokio::join!(house.until(&how, 64, |_| seen.load(Ordering::Relaxed)), watching);
    }
}
