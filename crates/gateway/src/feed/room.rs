//! What may be in memory for all who read live: the rings, and the large frames that wait for one client alone.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A frame of no more is everybody's own.
const SMALL: usize = 64 << 10;
/// However little there is, so many of [`SMALL`] fit: one message of the largest kind, now and then.
const LEAST: usize = 16;

/// Shared by all feeds.
pub(crate) struct Room {
    rings: AtomicUsize,
    most: usize,
    large: Arc<Semaphore>,
    all: usize,
}
/// Memory for a large frame, until it is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;
/// There is none now.
pub(crate) struct Full;

impl Room {
    pub(crate) fn new(most: usize) -> Self {
        let all = (most / SMALL).max(LEAST);
        Self {
            rings: AtomicUsize::new(0),
            most,
            large: Arc::new(Semaphore::new(all)),
            all,
        }
    }
    /// A ring has another size now.
    pub(super) fn resize(&self, before: usize, after: usize) {
        self.rings.fetch_add(after, Ordering::Relaxed);
        self.rings.fetch_sub(before, Ordering::Relaxed);
    }
    /// What a ring of that size may grow to.
    pub(super) fn left_beside(&self, ring: usize) -> usize {
        let others = self.rings.load(Ordering::Relaxed).saturating_sub(ring);
        self.most.saturating_sub(others)
    }
    /// The rings hold more than they may.
    pub(super) fn is_over(&self) -> bool {
        self.rings.load(Ordering::Relaxed) > self.most
    }
    fn parts(&self, bytes: usize) -> u32 {
        u32::try_from((bytes / SMALL).min(self.all)).unwrap_or(u32::MAX)
    }
    /// Memory for a frame that one client may keep waiting; small ones need none of it.
    pub(crate) fn take(&self, bytes: usize) -> Result<Option<Permit>, Full> {
        match self.parts(bytes) {
            0 => Ok(None),
            parts => self.large.clone().try_acquire_many_owned(parts).map(Some).map_err(|_| Full),
        }
    }
    /// The same, once there is. Cancel-safe.
    pub(crate) async fn wait(&self, bytes: usize) -> Option<Permit> {
        self.large.clone().acquire_many_owned(self.parts(bytes)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_free_and_large_ones_are_not() {
        let room = Room::new(4 << 20);
        assert!(matches!(room.take(SMALL - 1), Ok(None)));
        let Ok(Some(all)) = room.take(64 << 20) else {
            panic!("one of any size fits")
        };
        assert!(room.take(SMALL).is_err());
        drop(all);
        assert!(matches!(room.take(SMALL), Ok(Some(_))));
    }
    #[test]
    fn rings_share_what_there_is() {
        let room = Room::new(100);
        room.resize(0, 60);
        assert_eq!(room.left_beside(60), 100);
        assert_eq!(room.left_beside(0), 40);
        room.resize(0, 60);
        assert!(room.is_over());
    }
}
