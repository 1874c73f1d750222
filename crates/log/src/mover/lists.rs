//! The lists of message ids that grow beside segments while records move.
use super::{Home, Job, Mover, open};
use crate::{disk::Open, error::Error, ids};

/// The widest hole that is worth a list.
const LISTED: u64 = 1 << 20;

impl Mover {
    /// The list grows with the segment, without holes; where it cannot, there is none.
    pub(super) fn write_ids(&self, job: &mut Job, home: &mut Home) -> Result<(), Error> {
        let ids = std::mem::take(&mut home.ids);
        let Some(segment) = home.segments.last().filter(|_| home.dedupes) else {
            return Ok(());
        };
        let (base, first, end) = (segment.base, home.listed.max(segment.base), segment.end);
        home.listed = end;
        let path = home.folder.ids(base);
        let at = (first - base) * ids::ENTRY as u64;
        // Of a stream that did not look for duplicates before, or with a hole not worth a list: the segment is read instead.
        let there = || self.shared.disk.open(&path, Open::Existing).and_then(|file| file.len());
        if end.saturating_sub(first) > LISTED || (at > 0 && !there().is_ok_and(|len| len >= at)) {
            job.dirty.remove(&path);
            job.made.retain(|made| *made != path);
            let _not_there = self.shared.disk.remove(&path);
            return Ok(());
        }
        let file = open(&self.shared, job, &path)?;
        if at == 0 {
            job.made.push(path);
        }
        let bytes = ids::encode(first, end, &ids, self.shared.salt);
        file.write_at(&bytes, at).map_err(Error::disk("write message ids"))
    }
}
