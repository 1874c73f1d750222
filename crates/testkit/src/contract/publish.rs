//! What a producer promises.
use super::{Subject, payloads, take, waits};
use tidegate_core::{
    endpoint::{Publish, Start},
    error::Code,
    receipt::Level,
};

pub(super) async fn every_level_it_names_is_kept_and_no_other(subject: Subject) {
    let levels = subject.levels.unwrap_or(subject.endpoint.capabilities().levels);
    for level in [Level::Accepted, Level::Delivered, Level::Stored, Level::Replicated] {
        let kept = subject.send(&["x"], Some(level)).await;
        match (levels.contains(&level), kept) {
            (true, Ok(kept)) => assert_eq!((kept.level, kept.failed.len()), (level, 0)),
            (false, Err(error)) => assert_eq!(error.code(), Code::LevelNotOffered, "{level:?}"),
            (named, kept) => panic!("{level:?} is {}named, and the answer is {kept:?}", if named { "" } else { "not " }),
        }
    }
    let default = subject.send(&["x"], None).await.expect("the default level");
    assert_eq!(Some(&default.level), levels.first());
}
/// Asked to send and dropped before it was looked at, or while it waits: nothing comes out.
pub(super) async fn a_dropped_send_accepted_nothing(subject: Subject) {
    let producer = subject.endpoint.producer();
    drop(producer.send(Publish::from(subject.message("dropped"))));
    subject.send(&["kept"], None).await.expect("kept");
    if subject.endpoint.capabilities().by_cursor && subject.endpoint.capabilities().consume {
        let mut consumer = subject.consumer(Start::Earliest).await;
        assert_eq!(payloads(&take(&mut *consumer, 1).await), ["kept"]);
        assert!(waits(consumer.next(super::ALL)).await, "more came out than was kept");
    }
}
