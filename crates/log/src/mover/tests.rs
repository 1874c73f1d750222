//! How long a move rests: as long as it should where nobody waits, and no longer than that where somebody does.
use super::{LAZY, Mover};
use crate::{
    Hooks, Options,
    commit::Committer,
    disk::Recorded,
    journal::{Closed, FILES, JournalFile},
    log::start,
    shared::Shared,
};
use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};
use tidegate_core::clock;

const LONG: Duration = Duration::from_hours(1);

/// In the middle of a move: so many files are closed, and nothing is copied yet.
fn moving() -> (Arc<Shared>, Committer, Mover) {
    let hooks = Hooks {
        on_committed: Box::new(|_| {}),
        run_blocking: Box::new(|work| work()),
    };
    let (shared, committer, mut mover, _) = start(Arc::new(Recorded::new()), &Options::default(), hooks).unwrap();
    (0..LAZY).for_each(|_| close_one(&shared));
    assert!(mover.begin());
    (shared, committer, mover)
}
fn close_one(shared: &Shared) {
    let mut state = shared.files.state();
    let number = state.next_number;
    state.next_number += 1;
    let file = state.open.as_ref().unwrap().0.file.clone();
    state.closed.push_back(Closed {
        file: JournalFile::new(number, file, 0),
        last_seq: 0,
        bytes: 64,
        blank: false,
    });
}
/// Rests in a thread of its own; tells how long that was.
fn rest(mover: Mover) -> mpsc::Receiver<Duration> {
    let (done, rested) = mpsc::channel();
    thread::spawn(move || {
        let began: Instant = clock::instant();
        mover.rest(LONG);
        done.send(began.elapsed())
    });
    rested
}

#[test]
fn a_rest_is_as_long_as_it_should() {
    let (_shared, _committer, mover) = moving();
    let time = Duration::from_millis(30);
    let began = clock::instant();
    mover.rest(time);
    assert!(began.elapsed() >= time);
}
#[test]
fn nobody_rests_between_moves() {
    let (_shared, _committer, mut mover) = moving();
    mover.job = None;
    let began = clock::instant();
    mover.rest(LONG);
    assert!(began.elapsed() < LONG / 60);
}
#[test]
fn a_rest_ends_when_somebody_begins_to_wait() {
    let ends: [fn(&Shared); 3] = [
        // The last file but one is being written.
        |shared| (LAZY..FILES - 1).for_each(|_| close_one(shared)),
        |shared| shared.health.set_full(true, 0),
        |shared| shared.mover.close(),
    ];
    for end in ends {
        let (shared, _committer, mover) = moving();
        let rested = rest(mover);
        assert!(rested.try_recv().is_err(), "nobody waits yet");
        end(&shared);
        assert!(rested.recv_timeout(Duration::from_secs(20)).is_ok(), "somebody waits");
    }
}
#[test]
fn a_move_of_a_full_index_does_not_rest() {
    let (_shared, _committer, mut mover) = moving();
    mover.early = true;
    let began = clock::instant();
    mover.rest(LONG);
    assert!(began.elapsed() < LONG / 60);
}
