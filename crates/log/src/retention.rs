//! What streams may keep: floors rise in memory, then whole segments leave the disk.
use crate::{
    dedupe::start,
    disk::{Disk, Space},
    error::Error,
    mover::partition_row,
    names::{
        self,
        table::{FLOORS, GROUPS, PARTITIONS, PROGRESS, SEGMENTS},
    },
    partition::Partition,
    segment::Folder,
    shared::Shared,
    stream::{Keep, Stream, StreamSpec, WhenFull},
    table::Writer,
};
use std::{path::Path, sync::atomic::Ordering::Relaxed};

/// Raises floors to what the limits allow.
pub(crate) fn apply(shared: &Shared) {
    let now = shared.limits.now();
    for stream in shared.catalog.all() {
        let spec = stream.spec();
        if let Some(age) = spec.retention.age {
            for home in &stream.homes {
                let last = home.last_time.load(Relaxed);
                let mut places = home.places();
                let floor = places.older(start(age, now), last);
                places.raise(floor);
            }
        }
        if spec.keep == Keep::UntilAcked {
            let groups = shared.catalog.groups(&stream);
            for home in &stream.homes {
                if let Some(floor) = groups.iter().map(|group| group.floor(home.number)).min() {
                    home.places().raise(floor);
                }
            }
        }
        if spec.when_full == WhenFull::DropOldest {
            level(
                &stream,
                spec.retention.messages,
                |home| home.held().0,
                crate::partition::Places::fewer,
            );
            level(
                &stream,
                spec.retention.bytes,
                |home| home.held().1,
                crate::partition::Places::lighter,
            );
        }
    }
    if let Some(total) = shared.limits.total {
        shrink(shared, total);
    }
}
/// Takes from the fullest partitions until the stream holds no more than its limit.
fn level(stream: &Stream, limit: Option<u64>, held: impl Fn(&Partition) -> u64, floor: impl Fn(&crate::partition::Places, u64) -> u64) {
    let Some(limit) = limit else {
        return;
    };
    let mut held: Vec<(u64, &Partition)> = stream.homes.iter().map(|home| (held(home), home)).collect();
    held.sort_by_key(|(held, _)| *held);
    let mut rest = limit;
    for i in 0..held.len() {
        let Some((has, home)) = held.get(i).copied() else {
            return;
        };
        // The smaller ones keep all they have; the others share what is left.
        let share = rest / (held.len() - i) as u64;
        let keeps = has.min(share);
        rest -= keeps;
        if keeps < has {
            let mut places = home.places();
            let floor = floor(&places, has - keeps);
            places.raise(floor);
        }
    }
}
/// Who is furthest over its own limit gives way first, then the largest; only those that may forget.
fn shrink(shared: &Shared, total: u64) {
    let mut streams: Vec<_> = shared
        .catalog
        .all()
        .into_iter()
        .map(|stream| {
            let bytes = stream.stats().bytes;
            let over = stream.spec().retention.bytes.map_or(0, |limit| bytes.saturating_sub(limit));
            (over, bytes, stream)
        })
        .collect();
    streams.sort_by_key(|(over, bytes, _)| std::cmp::Reverse((*over, *bytes)));
    let mut over = streams.iter().map(|(_, bytes, _)| bytes).sum::<u64>().saturating_sub(total);
    for (_, bytes, stream) in streams {
        if over > 0 && stream.spec().when_full == WhenFull::DropOldest {
            let keep = bytes.saturating_sub(over);
            level(&stream, Some(keep), |home| home.held().1, crate::partition::Places::lighter);
            over = over.saturating_sub(bytes - stream.stats().bytes.min(bytes));
        }
    }
}

/// Removes segments that lie below the floors. First the rows say so, then the files go; what a crash leaves is removed the next time.
pub(crate) fn remove(shared: &Shared, table: &mut Writer, covered: u64) -> Result<bool, Error> {
    let mut emptied = Vec::new();
    for stream in shared.catalog.all() {
        for home in &stream.homes {
            let (gone, row) = {
                let places = home.places();
                let gone = places.below_floor();
                let last = places.segments.back().map_or(0, |segment| segment.last_time);
                (gone, partition_row(places.moved_to, places.floor, last))
            };
            if gone.is_empty() {
                continue;
            }
            let mut tables = shared.catalog.tables();
            tables.set((PARTITIONS, home.home.to_le_bytes().to_vec()), Some(row.into()));
            for segment in &gone {
                tables.set((SEGMENTS, segment.key(home.home)), None);
            }
            drop(tables);
            let end = gone.last().map_or(0, |segment| segment.end);
            emptied.push((stream.clone(), home.number, end));
        }
    }
    if emptied.is_empty() {
        return Ok(false);
    }
    // Without room for the rows all stays as it is, and the next look tries again.
    write_rows(shared, table, covered)?;
    for (stream, number, end) in emptied {
        if let Some(home) = stream.partition(number) {
            home.places().removed(end);
        }
        let folder = Folder::of(&stream, number);
        for path in list(shared, &folder.0)? {
            if names::base_of(&path).is_some_and(|base| base < end) {
                shared.disk.remove(&path).map_err(Error::disk("remove a segment"))?;
            }
        }
        shared.disk.sync_dir(&folder.0).map_err(Error::disk("sync a folder"))?;
    }
    Ok(true)
}
/// Removes the folders and rows of streams that are no more.
pub(crate) fn sweep(shared: &Shared, table: &mut Writer, covered: u64) -> Result<(), Error> {
    let alive = |home: u32| shared.catalog.by_home(home).is_some();
    let dead: Vec<_> = {
        let tables = shared.catalog.tables();
        let of = |table| {
            let keys = tables.of(table).filter(|(key, _)| !crate::le::u32_at(key, 0).is_some_and(alive));
            keys.map(|(key, _)| (table, key.to_vec())).collect::<Vec<_>>()
        };
        let mut dead: Vec<_> = [PARTITIONS, SEGMENTS, FLOORS].into_iter().flat_map(of).collect();
        let stays = |value: &[u8]| crate::le::u32_at(value, 4).is_some_and(|stream| shared.catalog.by_number(stream).is_some());
        let gone = tables.of(GROUPS).filter(|(_, value)| !stays(value));
        dead.extend(gone.map(|(key, _)| (GROUPS, key.to_vec())));
        let known = |key: &[u8]| {
            key.get(..4)
                .and_then(|group| tables.get(GROUPS, group))
                .is_some_and(|value| stays(value))
        };
        let gone = tables.of(PROGRESS).filter(|(key, _)| !known(key));
        dead.extend(gone.map(|(key, _)| (PROGRESS, key.to_vec())));
        dead
    };
    if !dead.is_empty() {
        {
            let mut tables = shared.catalog.tables();
            for key in dead {
                tables.set(key, None);
            }
        }
        write_rows(shared, table, covered)?;
    }
    for folder in list(shared, &names::streams())? {
        if names::stream_number(&folder).is_some_and(|number| shared.catalog.by_number(number).is_none()) {
            let removed = remove_all(&*shared.disk, &folder).and_then(|()| shared.disk.sync_dir(&names::streams()));
            removed.map_err(Error::disk("remove a stream"))?;
        }
    }
    Ok(())
}
fn write_rows(shared: &Shared, table: &mut Writer, covered: u64) -> Result<(), Error> {
    let changed = shared.catalog.changed_rows();
    table.append(shared, &changed, covered).inspect_err(|_| {
        shared.catalog.tables().put_back(changed.clone());
    })
}
fn list(shared: &Shared, dir: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    shared.disk.list(dir).map_err(Error::disk("list a folder"))
}
fn remove_all(disk: &dyn Disk, folder: &Path) -> std::io::Result<()> {
    for partition in disk.list(folder)? {
        for file in disk.list(&partition)? {
            disk.remove(&file)?;
        }
        disk.remove(&partition)?;
    }
    disk.remove(folder)
}

/// Whether publishes may be taken: what is in the journal must fit into segments, and the reserve stays free.
pub(crate) fn look_at_space(shared: &Shared) {
    let Ok(Space { free, .. }) = shared.disk.space() else {
        return;
    };
    let (unmoved, failed) = {
        let state = shared.files.state();
        let closed: u64 = state.closed.iter().map(|closed| closed.bytes).sum();
        let open = state.open.as_ref().map_or(0, |(_, at)| *at);
        (closed + open, state.spare.is_none() && state.failed.is_some())
    };
    // What may be forgotten gives way: only the rest can be too much.
    let kept = || {
        let all = shared.catalog.all().into_iter();
        let held = all.filter(|stream| stream.spec().when_full != WhenFull::DropOldest);
        held.map(|stream| stream.stats().bytes).sum::<u64>()
    };
    let over = shared.limits.total.is_some_and(|total| kept() > total);
    shared
        .health
        .set_full(failed || over || free < unmoved + shared.limits.reserve, shared.limits.now());
}
/// Numbers of a stream that refuses at its limits, as one frame fills it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    records: u64,
    bytes: u64,
    limits: (Option<u64>, Option<u64>),
}
impl Room {
    /// `None`: the stream takes all that comes.
    pub(crate) fn of(stream: &Stream, spec: &StreamSpec) -> Option<Self> {
        let (messages, bytes) = (spec.retention.messages, spec.retention.bytes);
        if spec.when_full == WhenFull::DropOldest || (messages.is_none() && bytes.is_none()) {
            return None;
        }
        let stats = stream.stats();
        Some(Self {
            records: stats.records,
            bytes: stats.bytes,
            limits: (messages, bytes),
        })
    }
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        let within = |limit: Option<u64>, value: u64| limit.is_none_or(|limit| value <= limit);
        within(self.limits.0, self.records + 1) && within(self.limits.1, self.bytes + bytes)
    }
    pub(crate) fn take(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }
}
