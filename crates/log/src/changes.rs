//! Changes of what there is: streams and groups. One at a time: looked at, written, and durable when the call resolves.
use crate::{
    Group, GroupSpec, Log, Manner, Member,
    error::Error,
    intake::Change,
    reader::Reader,
    shared::Shared,
    stream::{Stream, StreamSpec},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tidegate_core::{
    endpoint::{Limit, Start},
    error::Result,
    receipt::Receipt,
    settle::Done,
};

/// Of one stream: each is remembered in memory and on disk.
const GROUPS: usize = 1_000;

impl Log {
    /// Makes a stream; durable when this resolves. Dropped before, the stream may or may not come to be.
    pub async fn create_stream(&self, name: &str, spec: StreamSpec) -> Result<Arc<Stream>> {
        self.shared.create_stream(name, spec).await
    }
    /// New settings; durable when this resolves. The number of partitions is fixed.
    pub async fn change_stream(&self, name: &str, spec: StreamSpec) -> Result<Arc<Stream>> {
        let _one_at_a_time = self.shared.catalog.changing.lock().await;
        let stream = self.existing(name)?;
        if spec.partitions != stream.partitions() {
            return Err(Error::PartitionsFixed.into());
        }
        let mut row = stream.row();
        row.spec = spec;
        self.shared.change(Change::Alter(stream.clone(), row)).await?;
        Ok(stream)
    }
    /// Forgets a stream, all its records and groups; durable when this resolves. Its readers end.
    pub async fn delete_stream(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.shared.catalog.changing.lock().await;
        let stream = self.existing(name)?;
        self.shared.change(Change::Delete(stream)).await
    }
    /// Forgets all records a stream has, keeps the stream; durable when this resolves. How many offsets that were. What was appended
    /// before the call is gone, what is appended after it stays.
    pub async fn purge_stream(&self, name: &str) -> Result<u64> {
        let _one_at_a_time = self.shared.catalog.changing.lock().await;
        let stream = self.existing(name)?;
        let purged = Arc::new(AtomicU64::new(0));
        // The rows of one change lie in one frame.
        let at_once = (self.shared.limits.frame / 256).clamp(1, 1_024);
        for first in (0..stream.partitions()).step_by(at_once) {
            let range = first..(first + at_once as u32).min(stream.partitions());
            self.shared.change(Change::Purge(stream.clone(), range, purged.clone())).await?;
        }
        Ok(purged.load(Relaxed))
    }
    /// The group of that name, made if there is none: it begins at `start`, which is not looked at otherwise, nor is what lies before it.
    /// `spec` holds from now on. Durable when this resolves. `Since` may begin a little earlier: at the run of records the time lies in.
    pub async fn group(&self, stream: &Arc<Stream>, name: &str, start: Start, spec: GroupSpec) -> Result<Arc<Group>> {
        self.shared.group(stream, name, start, spec).await
    }
    /// The group is done with that message, whoever has it. Acts at once; the future only tells when it is durable.
    pub fn finish(&self, group: &Arc<Group>, partition: u32, offset: u64) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, wait) = Done::new();
        group.finish(partition, offset, done);
        let told = self.shared.intake.settle(group.clone(), true);
        async move {
            told?;
            wait.await
        }
    }
    /// Forgets a group; durable when this resolves. Its members end. Nothing happens when there is none.
    pub async fn delete_group(&self, stream: &Arc<Stream>, name: &str) -> Result<()> {
        let _one_at_a_time = self.shared.catalog.changing.lock().await;
        match self.shared.catalog.group(stream, name) {
            Some(group) => self.shared.change(Change::DeleteGroup(group)).await,
            None => Ok(()),
        }
    }
    /// By name.
    pub fn find_group(&self, stream: &Stream, name: &str) -> Option<Arc<Group>> {
        self.shared.catalog.group(stream, name)
    }
    /// All of a stream, by name.
    pub fn groups(&self, stream: &Stream) -> Vec<Arc<Group>> {
        self.shared.catalog.groups(stream)
    }
    /// Takes part in a group: no more than `window` is out at a time.
    pub fn member(&self, group: &Arc<Group>, window: Limit, manner: Manner) -> Member {
        Member::new(self.shared.clone(), group.clone(), window, manner)
    }
    fn existing(&self, name: &str) -> Result<Arc<Stream>, Error> {
        self.stream(name).ok_or_else(|| Error::NoSuchStream(name.to_owned()))
    }
}
impl Shared {
    pub(crate) async fn group(self: &Arc<Self>, stream: &Arc<Stream>, name: &str, start: Start, spec: GroupSpec) -> Result<Arc<Group>> {
        let catalog = &self.catalog;
        let _one_at_a_time = catalog.changing.lock().await;
        if stream.is_deleted() {
            return Err(Error::NoSuchStream(stream.name().to_owned()).into());
        }
        let (row, starts) = match catalog.group(stream, name) {
            Some(group) if group.spec() == spec => return Ok(group),
            Some(group) => (crate::group::Row { spec, ..group.row() }, Vec::new()),
            None if catalog.groups(stream).len() >= GROUPS => return Err(Error::Groups(stream.name().to_owned()).into()),
            None => {
                let row = catalog.plan_group(stream, name, spec, self.limits.now())?;
                (row, Reader::new(self.clone(), stream.clone(), start).places())
            }
        };
        self.change(Change::Group(row, starts)).await?;
        let made = catalog.group(stream, name);
        made.ok_or_else(|| Error::NoSuchStream(stream.name().to_owned()).into())
    }
    pub(crate) async fn create_stream(&self, name: &str, spec: StreamSpec) -> Result<Arc<Stream>> {
        let _one_at_a_time = self.catalog.changing.lock().await;
        let row = self.catalog.plan(name, spec, self.limits.now())?;
        self.change(Change::Create(row)).await?;
        let made = self.catalog.by_name(name);
        made.ok_or_else(|| Error::NoSuchStream(name.to_owned()).into())
    }
    async fn change(&self, change: Change) -> Result<()> {
        if self.health.is_read_only() {
            return Err(Error::ReadOnly.into());
        }
        let (receipt, keep) = Receipt::later();
        self.intake.change(change, keep)?;
        receipt.await.map(drop)
    }
}
