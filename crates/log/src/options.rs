//! What can be set, checked and scaled to the disk.
use crate::disk::Space;
use std::{fmt, sync::Arc, time::Duration};
use tidegate_core::clock;

/// Settings of the whole log. Bytes unless said otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest body of a record: topic, key, id, headers and payload. Never more than half a journal file. 8 MiB.
    pub record: u64,
    /// What may wait to be written and synced before publishers wait: 8 MiB.
    pub intake: u64,
    /// Recent messages kept in memory for readers that keep up: 16 MiB.
    pub tail_cache: u64,
    /// One journal file; `None`: a power of two, at most a sixteenth of the disk, within 256 KiB and 64 MiB.
    pub journal_file: Option<u64>,
    /// How long records nobody waits for may stay in memory: 10 ms.
    pub lazy: Duration,
    /// Memory for ids of all streams with a dedupe window: 64 MiB. When it is full the oldest ids leave first.
    pub dedupe: u64,
    /// Room on the disk that publishes may not take; `None`: one journal file and 1 MiB.
    pub reserve: Option<u64>,
    /// What all streams together may take on the disk; `None`: what there is.
    pub total: Option<u64>,
    #[doc(hidden)]
    pub internal: Internal,
}
impl Default for Options {
    fn default() -> Self {
        Self {
            record: 8 << 20,
            intake: 8 << 20,
            tail_cache: 16 << 20,
            journal_file: None,
            lazy: Duration::from_millis(10),
            dedupe: 64 << 20,
            reserve: None,
            total: None,
            internal: Internal::default(),
        }
    }
}

/// For tests only; no configuration reaches it.
#[doc(hidden)]
#[derive(Clone)]
pub struct Internal {
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub salt: Option<u64>,
    pub sabotage: Option<Sabotage>,
    pub frame_bytes: usize,
    pub frame_records: usize,
    /// Zeros written ahead of the journal's end.
    pub zero_ahead: u64,
    pub seal_after: Duration,
    pub segment_least: u64,
    pub segment_most: u64,
    /// What a move reads at once.
    pub move_window: usize,
    /// When the table file is worth being written anew.
    pub table_waste: u64,
    /// Entries of the index of the journal in memory: half of 32 MiB, for a list that grows takes twice its entries.
    pub runs: usize,
}
impl Default for Internal {
    fn default() -> Self {
        Self {
            now: Arc::new(clock::now_us),
            salt: None,
            sabotage: None,
            frame_bytes: 4 << 20,
            frame_records: 8_192,
            zero_ahead: 1 << 20,
            seal_after: Duration::from_secs(1),
            segment_least: 64 << 10,
            segment_most: 64 << 20,
            move_window: 8 << 20,
            table_waste: 1 << 20,
            runs: (16 << 20) / size_of::<crate::partition::Run>(),
        }
    }
}
impl fmt::Debug for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Internal").field("sabotage", &self.sabotage).finish_non_exhaustive()
    }
}
/// Mistakes the crash model must catch.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    NoSync,
    AnswerBeforeSync,
    NoChecksum,
    NoFolderSync,
    RecycleBeforePublish,
    TornUnits,
}

/// Options that fit this disk.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) record: usize,
    pub(crate) intake: usize,
    pub(crate) tail_cache: usize,
    pub(crate) journal_file: u64,
    pub(crate) frame: usize,
    pub(crate) frame_records: usize,
    pub(crate) lazy: Duration,
    pub(crate) dedupe: u64,
    pub(crate) reserve: u64,
    pub(crate) total: Option<u64>,
    pub(crate) internal: Internal,
}
impl Limits {
    pub(crate) fn of(options: &Options, space: Space) -> Self {
        let scaled = || {
            let most = (space.total / 16).clamp(256 << 10, 64 << 20);
            1 << most.ilog2()
        };
        let journal_file = options.journal_file.map_or_else(scaled, |bytes| bytes.clamp(1 << 10, 1 << 30)) / 512 * 512;
        // A frame of one record must fit behind the file's header.
        let room = journal_file as usize - crate::journal::HEADER - crate::frame::HEADER;
        let mut internal = options.internal.clone();
        // A small disk is freed in small pieces.
        internal.segment_most = internal.segment_most.min(journal_file);
        // What must be forgotten for the total is forgotten by whole segments.
        if let Some(total) = options.total {
            internal.segment_most = internal.segment_most.min((total / 8).max(internal.segment_least));
        }
        Self {
            record: (options.record.min(journal_file / 2) as usize).min(room - 64),
            intake: (options.intake as usize).clamp(4 << 10, 1 << 30),
            tail_cache: options.tail_cache as usize,
            journal_file,
            frame: options.internal.frame_bytes.min(room),
            frame_records: options.internal.frame_records.max(1),
            lazy: options.lazy,
            dedupe: options.dedupe,
            reserve: options.reserve.unwrap_or(journal_file + (1 << 20)),
            total: options.total,
            internal,
        }
    }
    pub(crate) fn now(&self) -> i64 {
        (self.internal.now)()
    }
    pub(crate) fn sabotaged(&self, how: Sabotage) -> bool {
        self.internal.sabotage == Some(how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_disks_get_small_files() {
        let of = |total| Limits::of(&Options::default(), Space { total, free: total });
        assert_eq!(of(8 << 20).journal_file, 512 << 10);
        assert_eq!(of(8 << 20).record, 256 << 10);
        assert_eq!(of(1 << 20).journal_file, 256 << 10);
        assert_eq!(of(1 << 40).journal_file, 64 << 20);
        assert_eq!(of(1 << 40).record, 8 << 20);
        assert_eq!(of((8 << 20) - 1).journal_file, 256 << 10);
    }
}
