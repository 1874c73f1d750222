//! What becomes of calls and messages when a pump is drained or stopped.
use super::*;

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_under_way_and_gives_back_the_rest() {
    let house = House::new(1, 1);
    publish(&house.memory, &["a", "b", "c"]).await;
    house.target.of("a", [Answer::Hangs(Duration::from_secs(3))]);
    house.until(&HOW, 64, |house| house.target.seen().len() == 1).await;
    assert_eq!(house.target.seen().len(), 1);
    assert_eq!((house.memory.out(GROUP), house.progress.in_flight()), (0, 0));
    let mut back = house.given_back().await;
    back.sort();
    assert_eq!(back, [("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
}
/// A target that is well gets nothing twice.
#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_what_hangs_at_once_and_counts_no_attempt() {
    for (batch, calls) in [(1, 2), (2, 1)] {
        let house = House::new(batch, calls);
        publish(&house.memory, &["a:1", "b:2", "a:3"]).await;
        let hour = Answer::Hangs(Duration::from_hours(1));
        house.target.of("a:1", [hour.clone()]);
        house.target.of("b:2", [hour]);
        let stopping = async {
            sleep(Duration::from_mins(1)).await;
            assert_eq!(house.progress.in_flight(), 2);
            let began = Instant::now();
            house.stop.start();
            began
        };
        let (ended, began) = tokio::join!(house.pump(&HOW, 64), stopping);
        assert!(matches!(ended, Ok(Ended::Draining)), "{ended:?}");
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        assert!(house.target.stopped.load(Ordering::Relaxed));
        assert_eq!((house.memory.out(GROUP), house.progress.in_flight()), (0, 0));
        let mut back = house.given_back().await;
        back.sort();
        assert_eq!(back, [("a:1".to_owned(), 1), ("a:3".to_owned(), 1), ("b:2".to_owned(), 1)]);
    }
    // What has only begun may end.
    let house = House::new(1, 1);
    publish(&house.memory, &["a", "b"]).await;
    let ((), ended) = tokio::join!(
        async {
            while house.target.seen().is_empty() {
                tokio::task::yield_now().await;
            }
            house.stop.start();
        },
        house.pump(&HOW, 64)
    );
    assert!(matches!(ended, Ok(Ended::Draining)), "{ended:?}");
    assert!(!house.target.stopped.load(Ordering::Relaxed));
    assert_eq!(house.given_back().await, [("b".to_owned(), 1)]);
}
/// However often it is stopped and begun again meanwhile.
#[tokio::test(start_paused = true)]
async fn what_failed_together_comes_when_it_is_due_and_not_later() {
    let mut house = House::new(4, 1);
    publish(&house.memory, &["k:1", "k:2", "k:3", "k:4", "k:5"]).await;
    *house.target.all.lock().unwrap() = [Answer::Failed(Retry::After(Duration::from_secs(20)))].into();
    let begun = Instant::now();
    for _ in 0..5 {
        (house.drain, house.stop) = (Drain::new(), Drain::new());
        let stopping = async {
            sleep(Duration::from_secs(1)).await;
            house.stop.start();
        };
        let (ended, ()) = tokio::join!(house.pump(&HOW, 64), stopping);
        assert!(matches!(ended, Ok(Ended::Draining)), "{ended:?}");
    }
    (house.drain, house.stop) = (Drain::new(), Drain::new());
    house.until(&HOW, 64, |house| house.memory.ended(GROUP).len() == 5).await;
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(house.target.order()[4..], ["k:1", "k:2", "k:3", "k:4", "k:5"]);
}
#[tokio::test(start_paused = true)]
async fn what_came_again_and_waits_for_its_call_comes_at_once_to_who_begins_next() {
    let mut house = House::new(8, 1);
    publish(&house.memory, &["k:1", "k:2", "k:3", "l:1", "k:4", "m"]).await;
    *house.target.all.lock().unwrap() = [Answer::Failed(Retry::After(Duration::from_secs(1)))].into();
    let how = Pumping {
        linger: Duration::from_secs(2),
        ..HOW
    };
    let stopping = async {
        // It failed once, came again a second later, and lingers.
        sleep(Duration::from_millis(3_500)).await;
        assert_eq!(house.target.seen().len(), 1);
        assert_eq!(house.memory.out(GROUP), 6);
        house.stop.start();
    };
    let (ended, ()) = tokio::join!(house.pump(&how, 64), stopping);
    assert!(matches!(ended, Ok(Ended::Draining)), "{ended:?}");
    (house.drain, house.stop) = (Drain::new(), Drain::new());
    let begun = Instant::now();
    house.until(&HOW, 64, |house| house.memory.ended(GROUP).len() == 6).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let order = house.target.order();
    let of_k: Vec<_> = order[6..].iter().filter(|name| name.starts_with('k')).collect();
    assert_eq!(of_k, [&"k:1", &"k:2", &"k:3", &"k:4"]);
}
#[tokio::test(start_paused = true)]
async fn what_follows_a_call_that_was_cut_comes_behind_it() {
    for threads in [0, 3] {
        let house = House::new(1, 3).with_hands(threads);
        publish(&house.memory, &["x:1", "y:2", "k:3", "k:4"]).await;
        for name in ["x:1", "y:2", "k:3"] {
            house.target.of(name, [Answer::Hangs(Duration::from_hours(1))]);
        }
        let stopping = async {
            // The calls are young enough to be given the time to end.
            sleep(SOON / 2).await;
            assert_eq!(house.target.seen().len(), 3);
            house.stop.start();
        };
        let (ended, ()) = tokio::join!(house.pump(&HOW, 64), stopping);
        assert!(matches!(ended, Ok(Ended::Draining)), "{ended:?}");
        let back = house.given_back().await;
        let of_k: Vec<_> = back.iter().filter(|(name, _)| name.starts_with('k')).collect();
        assert_eq!(of_k, [&("k:3".to_owned(), 1), &("k:4".to_owned(), 1)], "with {threads} threads");
    }
}
