//! What groups have to say, in the frames of everybody else; and the rows they change.
use super::Committer;
use crate::{
    append::Unit,
    draft::{Frame, Owner, Settles},
    error::Error,
    group::{self, Group},
    herald::Package,
    names::table,
    options::Sabotage,
    progress::{Needs, Progress},
    record,
};
use std::sync::Arc;

impl Committer {
    /// What a group has to say since the last frame.
    pub(super) fn settle(&mut self, frame: &mut Frame, group: &Arc<Group>, now: i64) {
        let changes = group.take_changes();
        if group.is_deleted() {
            return;
        }
        for (partition, change) in &changes.parts {
            self.tell(frame, group, *partition, &change.encode(&Needs::new()), now);
        }
        frame.settles.push(Settles {
            group: group.clone(),
            parts: changes.parts,
            confirm: changes.confirm,
            unit: false,
        });
    }
    /// The call's records and what a group says of them: it does not hold without them.
    pub(super) fn unite(&mut self, frame: &mut Frame, owner: &Owner, unit: Unit, now: i64) {
        if !owner.kept.failed.is_empty() || unit.group.is_deleted() {
            return;
        }
        let number = frame.owners.len() as u32;
        let needs: Needs = if self.shared.limits.sabotaged(Sabotage::TornUnits) {
            Needs::new()
        } else {
            let of_it = frame.placed.iter().filter(|placed| placed.owner == Some(number));
            of_it.map(|placed| (placed.home, placed.offset)).collect()
        };
        let mut change = Progress::default();
        change.done.add(unit.offset..unit.offset + 1);
        self.tell(frame, &unit.group, unit.partition, &change.encode(&needs), now);
        frame.settles.push(Settles {
            group: unit.group,
            parts: vec![(unit.partition, change)],
            confirm: Vec::new(),
            unit: true,
        });
    }
    fn tell(&mut self, frame: &mut Frame, group: &Group, partition: u32, change: &[u8], now: i64) {
        self.state_seq += 1;
        let mut record = record::encode_settle(&group::key(group.number, partition), change);
        record::stamp(&mut record, table::PROGRESS, self.state_seq, now, self.shared.salt);
        frame.push_first(&record);
    }
    /// The frame is synced: rows hold, and what groups said.
    pub(super) fn keep_rows(&self, frame: &mut Frame, package: &mut Package) {
        if !frame.rows.is_empty() || !frame.settles.is_empty() {
            let mut tables = self.shared.catalog.tables();
            frame.rows.drain(..).for_each(|(key, value)| tables.set(key, value));
            for settles in &frame.settles {
                for (partition, change) in &settles.parts {
                    if let Some(floor) = tables.settle(&group::key(settles.group.number, *partition), change) {
                        settles.group.kept(*partition, floor);
                    }
                }
            }
            tables.seq = self.state_seq;
        }
        for settles in frame.settles.drain(..) {
            let Settles {
                group,
                parts,
                confirm,
                unit,
            } = settles;
            if unit {
                let done = parts
                    .iter()
                    .flat_map(|(partition, change)| change.done.iter().map(|(offset, _)| (*partition, offset)));
                done.for_each(|(partition, offset)| group.finished(partition, offset));
            }
            package.confirmed.extend(confirm);
        }
    }
    /// Nothing of the frame is kept.
    pub(super) fn take_back(&self, frame: &mut Frame, error: &Error) {
        for settles in frame.settles.drain(..) {
            let Settles {
                group,
                parts,
                confirm,
                unit,
            } = settles;
            for confirm in confirm {
                confirm.fail(error.clone().into());
            }
            // What was settled stays settled: the next frame says it. A unit is tried again as a whole by whoever carries it.
            if !unit && group.put_back(parts) && !self.shared.health.is_read_only() {
                let _closing = self.shared.intake.settle(group, false);
            }
        }
    }
}
