//! From what the disk holds to what there is: reads, decides, changes nothing. What must be written afterwards is in the result.
use crate::{
    Found,
    catalog::{Catalog, STATE},
    disk::{Open, read_whole},
    error::Error,
    frame::{self, Met},
    journal::{self, Closed, JournalFile},
    le,
    names::{
        self, FIRST_PARTITION,
        table::{COUNTERS, PARTITIONS, SEGMENTS, STREAMS},
    },
    partition::{Run, Skip},
    progress::{Needs, Progress},
    reached::Reached,
    record::{self, Missing},
    segment::Segment,
    shared::Shared,
    slow,
    stream::Row,
    table,
    tables::Tables,
};
use std::{collections::HashMap, sync::Arc};

/// How many offsets each home leaves out when it is not known how many records a torn end had.
const UNKNOWN: u64 = 8_192;
/// The same when whole files are gone: more than all files of a journal can hold.
const GONE: u64 = 1 << 27;

/// What was found.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) homes: HashMap<u32, Home>,
    pub(crate) tables: Tables,
    pub(crate) found: Found,
    /// Of the first frame to be written.
    pub(crate) next_seq: u64,
    pub(crate) state_seq: u64,
    pub(crate) next_number: u64,
    pub(crate) closed: Vec<Closed>,
    /// Hashes of ids in the journal: home, offset, time, hash.
    pub(crate) ids: Vec<(u32, u64, i64, u128)>,
    pub(crate) table: table::Writer,
    /// The journal up to here is in segments and rows.
    pub(crate) covered: u64,
    /// What groups said in the frame that is being read.
    said: Vec<Said>,
}
/// A change of a group's progress, and the records it does not hold without.
struct Said {
    key: Vec<u8>,
    change: Progress,
    needs: Needs,
}
impl Recovered {
    /// All of a frame is known now: units hold whole, or their messages without their state.
    fn hear(&mut self) {
        for said in std::mem::take(&mut self.said) {
            let there = |(home, offset): &(u32, u64)| self.homes.get(home).is_some_and(|home| home.has(*offset));
            if said.needs.iter().all(there) {
                self.tables.settle(&said.key, &said.change);
            }
        }
    }
}
/// What is known of one home.
#[derive(Default)]
pub(crate) struct Home {
    pub(crate) next: u64,
    pub(crate) last_time: i64,
    pub(crate) floor: u64,
    pub(crate) moved_to: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) runs: Vec<Run>,
    pub(crate) skips: Vec<Skip>,
    /// To be written into the first frame.
    pub(crate) lost: Vec<Skip>,
    /// The journal has records of it.
    pub(crate) seen: bool,
    /// How many records behind its last one may be lost.
    suspect: u64,
    /// All offsets below were given: a header says so whose body does not check.
    given: u64,
    /// How many offsets of it may have lain in a file that is gone.
    gone: u64,
}
impl Home {
    /// Whether the record is there, or was when its file was moved.
    fn has(&self, offset: u64) -> bool {
        let i = self.runs.partition_point(|run| run.end() <= offset);
        offset < self.moved_to || self.runs.get(i).is_some_and(|run| run.first <= offset)
    }
    fn run(&mut self, file: &Arc<JournalFile>, at: u64, header: &record::Header) {
        self.last_time = self.last_time.max(header.time);
        let bytes = header.stored() as u32;
        let run = Run {
            first: header.offset,
            count: 1,
            bytes,
            data: bytes,
            at,
            time: header.time,
            file: file.clone(),
        };
        if !self.runs.last_mut().is_some_and(|last| last.join(&run)) {
            self.runs.push(run);
        }
        self.next = header.offset + 1;
    }
    /// Leaves out the offsets up to here.
    fn lose(&mut self, to: u64, why: Missing) {
        if to > self.next {
            let skip = Skip { from: self.next, to, why };
            self.skips.push(skip);
            self.lost.push(skip);
            self.next = to;
        }
    }
}

/// Bytes that did not check, until it is known whether they were a torn end or damage.
#[derive(Default)]
struct Unchecked {
    missing: u64,
    unknown: bool,
    /// Headers of frames between records that all check.
    headers: u64,
    /// Of the missing, those whose place shows by a later record in the same frame.
    placed: u64,
    /// Home and offset of records of which only the header checks; whether their frame counts them too.
    named: Vec<(u32, u64, bool)>,
    /// Offsets before records that did check.
    holes: Vec<(u32, u64, u64)>,
    /// How many frames in a row are not there at all.
    absent: u64,
    /// The first frame behind them is damaged: it may have been the first of a start.
    unsure: bool,
}

struct Scan<'a> {
    shared: &'a Shared,
    out: Recovered,
    open: Unchecked,
    slow: bool,
    /// Earlier frames are in segments and rows.
    replay_from: u64,
    /// Records of files that are gone, as far as later ones tell.
    lost: u64,
}

/// Reads the table file and the journal; segments only if those two do not fit together. `begun`: the folder was a log before this start.
pub(crate) fn run(shared: &Shared, begun: bool) -> Result<Recovered, Error> {
    let reached = Reached::read(&*shared.disk).map_err(Error::disk("read the journal"))?;
    let mut scan = Scan {
        shared,
        out: Recovered::default(),
        open: Unchecked::default(),
        slow: false,
        replay_from: 0,
        lost: 0,
    };
    let sources = scan.sources()?;
    let mut loaded = table::load(shared, false)?;
    let first = sources.first().map_or(1, |source| source.first_seq);
    // A table file that is whole to its end says how far back the journal must reach.
    let headless = first > loaded.seq + 1 && !loaded.damaged && !loaded.ragged;
    let nothing = sources.is_empty();
    if loaded.damaged || first > loaded.seq + 1 {
        loaded = table::load(shared, true)?;
        (scan.slow, scan.out.found.slow) = (true, true);
    }
    scan.out.covered = loaded.seq;
    scan.out.table = loaded.writer;
    scan.out.tables = loaded.tables;
    scan.out.state_seq = scan.out.tables.get(COUNTERS, STATE).and_then(|seq| le::u64_at(seq, 0)).unwrap_or(0);
    // On the slow path everything is looked at again: what the table has already is harmless.
    scan.replay_from = if scan.slow { 0 } else { loaded.seq + 1 };
    scan.rows();
    if headless {
        scan.gone(first - loaded.seq - 1);
    }
    scan.journal(sources);
    let whole = scan.out.next_seq.saturating_sub(1).max(scan.out.covered);
    let short = reached.map_or(nothing && begun, |reached| reached.seq > whole);
    if short {
        // How many there were behind that one nobody knows.
        scan.gone(u64::MAX);
        // Numbers of frames too are never used twice.
        scan.out.next_seq = scan.out.next_seq.max(reached.map_or(0, |reached| reached.seq) + 1);
    }
    scan.tail();
    scan.out.tables.seq = scan.out.state_seq;
    if scan.slow {
        slow::rebuild(shared, &mut scan.out)?;
    }
    if scan.out.found.lost_files {
        scan.out.found.damaged += scan.lost.max(1);
    }
    for home in scan.out.homes.values_mut().filter(|home| home.gone > 0) {
        // Readers are told once; how much it was nobody knows. A cursor that lies behind the first is told for itself.
        home.lose(home.next + 1, Missing::Damaged);
        home.lose(home.next + home.gone, Missing::TailLost);
    }
    Ok(scan.out)
}

struct Source {
    path_number: u64,
    first_seq: u64,
    file: Arc<JournalFile>,
    bytes: Vec<u8>,
}

impl Scan<'_> {
    /// What the rows say of partitions and segments.
    fn rows(&mut self) {
        let Recovered { tables, homes, .. } = &mut self.out;
        for (key, value) in tables.of(PARTITIONS) {
            let (Some(number), Some(moved_to)) = (le::u32_at(key, 0), le::u64_at(value, 0)) else {
                continue;
            };
            let home = homes.entry(number).or_default();
            (home.next, home.moved_to) = (moved_to, moved_to);
            home.floor = le::u64_at(value, 8).unwrap_or(0);
            home.last_time = le::i64_at(value, 16).unwrap_or(0);
        }
        for (key, value) in tables.of(SEGMENTS) {
            if let Some((number, segment)) = Segment::decode(key, value) {
                homes.entry(number).or_default().segments.push(segment);
            }
        }
        for home in homes.values_mut() {
            home.segments.sort_by_key(|segment| segment.base);
        }
    }
    /// The files of the journal in order.
    fn sources(&mut self) -> Result<Vec<Source>, Error> {
        let shared = self.shared;
        let doing = || Error::disk("read the journal");
        let mut sources = Vec::new();
        for path in shared.disk.list(&names::journals()).map_err(doing())? {
            let Some(number) = names::number_of(&path, "j") else {
                continue;
            };
            self.out.next_number = self.out.next_number.max(number + 1);
            let file = shared.disk.open(&path, Open::Existing).map_err(doing())?;
            let bytes = read_whole(&*file).map_err(doing())?;
            let header = journal::Header::read(&bytes).filter(|header| header.salt == shared.salt.value);
            if let Some(header) = header {
                self.out.next_number = self.out.next_number.max(header.number + 1);
            }
            // A file whose header is damaged is still found by its first frame.
            let first_seq = header
                .map(|header| header.first_seq)
                .or_else(|| frame::find(&bytes, journal::HEADER, 0..u64::MAX, shared.salt).map(|(_, frame)| frame.seq));
            let file = JournalFile::new(number, file, bytes.len() as u64);
            match first_seq {
                Some(first_seq) => sources.push(Source {
                    path_number: number,
                    first_seq,
                    file,
                    bytes,
                }),
                // Made ahead, never used.
                None => self.out.closed.push(Closed {
                    file,
                    last_seq: 0,
                    bytes: 0,
                    // Sectors of a torn first frame must not turn up behind the frames of another life.
                    blank: bytes.iter().all(|byte| *byte == 0),
                }),
            }
        }
        sources.sort_by_key(|source| (source.first_seq, source.path_number));
        Ok(sources)
    }
    fn journal(&mut self, sources: Vec<Source>) {
        let firsts: Vec<_> = sources.iter().map(|source| source.first_seq).collect();
        self.out.next_seq = u64::from(!sources.is_empty());
        for (i, source) in sources.into_iter().enumerate() {
            let limit = firsts.get(i + 1).copied().unwrap_or(u64::MAX);
            let used = self.file(&source, limit);
            self.out.closed.push(Closed {
                last_seq: limit - 1,
                file: source.file,
                bytes: used as u64,
                blank: false,
            });
        }
    }
    /// One file; where its last frame ends.
    fn file(&mut self, source: &Source, limit: u64) -> usize {
        let (bytes, salt) = (&*source.bytes, self.shared.salt);
        let mut at = journal::HEADER;
        let mut seq = source.first_seq;
        loop {
            let header = bytes.get(at..).and_then(|rest| frame::Header::read(rest, salt));
            let whole = header.filter(|h| (seq..limit).contains(&h.seq) && at + frame::HEADER + h.bytes <= bytes.len());
            if let Some(header) = whole {
                let end = at + frame::HEADER + header.bytes;
                if header.seq >= self.replay_from {
                    self.settle(&header);
                    let (sound, _) = self.records(source, at + frame::HEADER, end, true);
                    self.open.missing += u64::from(header.records).saturating_sub(sound);
                    self.out.found.frames += 1;
                }
                seq = header.seq + 1;
                at = end;
            } else if let Some((next, header)) = frame::find(bytes, at + 8, seq + 1..limit, salt) {
                // Damage: a later frame is there.
                self.open.unsure |= at == journal::HEADER;
                if header.seq > self.replay_from {
                    self.records(source, at, next, false);
                    let mut rest = next - at;
                    frame::walk(bytes.get(at..next).unwrap_or_default(), salt, |met| {
                        if let Met::Record(_, header, _) | Met::Damaged(header) = met {
                            rest = rest.saturating_sub(header.stored());
                        }
                    });
                    // Less than a frame's header and one record: no record is lost that is not known by name.
                    let unknown = rest >= frame::HEADER + record::HEADER;
                    self.open.unknown |= unknown;
                    self.open.headers += u64::from(!unknown);
                }
                seq = header.seq;
                at = next;
            } else {
                // The end, or damage before the next file. Old frames of a recycled file may follow: their records are known.
                let known = seq >= limit || limit <= self.replay_from;
                let evidence = if known { 0 } else { self.records(source, at, bytes.len(), false).1 };
                self.open.unknown |= evidence > 0;
                // A frame of which only the header is damaged is there.
                let there = evidence > 0 || bytes.get(at..).is_some_and(|rest| frame::Header::was(rest, seq, salt));
                let seq = seq + u64::from(there && seq < limit);
                self.out.next_seq = self.out.next_seq.max(seq);
                if limit < u64::MAX {
                    let absent = limit.saturating_sub(seq.max(self.out.covered + 1));
                    self.open.absent = self.open.absent.max(absent);
                }
                return if evidence > 0 { bytes.len() } else { at };
            }
            self.out.next_seq = self.out.next_seq.max(seq);
        }
    }
    /// A sound frame tells what the bytes before it were: a torn end that an earlier recovery has dealt with, or damage.
    fn settle(&mut self, header: &frame::Header) {
        let open = std::mem::take(&mut self.open);
        let recovered = header.flags & frame::flag::RECOVERED != 0;
        // A start leaves one number out; all else that is missing was there.
        let absent = open.absent.saturating_sub(u64::from(recovered || open.unsure));
        if absent > 0 {
            self.gone(absent);
        }
        if recovered {
            self.explain(open.holes);
        } else {
            let named = open.named.len() as u64;
            let counted = open.named.iter().filter(|(_, _, framed)| *framed).count() as u64;
            let lost = open.missing + named - counted;
            let hidden = |home: u32, offset: u64| {
                let mut holes = open.holes.iter();
                holes.any(|(of, from, to)| *of == home && (*from..*to).contains(&offset))
            };
            let known = open
                .named
                .iter()
                .filter(|(home, offset, framed)| *framed && !hidden(*home, *offset));
            let unnamed = open.missing.saturating_sub(open.placed + known.count() as u64);
            self.out.found.damaged += lost.max(u64::from(open.unknown || open.headers > 0));
            for (number, offset, _) in open.named {
                let home = self.out.homes.entry(number).or_default();
                home.seen = true;
                home.given = home.given.max(offset + 1);
            }
            let count = if open.unknown { UNKNOWN } else { unnamed };
            // A home whose last record was hit must not give that offset again. Which one that is shows by what follows.
            if count > 0 {
                self.out.homes.values_mut().for_each(|home| home.suspect = count);
            }
        }
    }
    /// Files of the journal are missing, or what was in them: so many frames, of which homes is not known.
    fn gone(&mut self, frames: u64) {
        let most = frames.saturating_mul(UNKNOWN).min(GONE);
        self.out.found.lost_files = true;
        let Recovered { tables, homes, .. } = &mut self.out;
        for row in tables.of(STREAMS).filter_map(|(key, value)| Row::decode(key, value)) {
            for home in row.first_home..row.first_home + row.spec.partitions {
                homes.entry(home).or_default();
            }
        }
        for home in homes.values_mut() {
            home.gone = (home.gone + most).min(GONE);
        }
    }
    /// Holes of a torn end were never acknowledged, as far as can be known.
    fn explain(&mut self, holes: Vec<(u32, u64, u64)>) {
        for (number, from, to) in holes {
            if let Some(home) = self.out.homes.get_mut(&number) {
                let i = home.skips.partition_point(|skip| skip.from < from);
                let why = Missing::TailLost;
                home.skips.insert(i, Skip { from, to, why });
            }
        }
    }
    /// Takes what checks and is new; how many checked, and how many bodies or new records speak of a frame.
    fn records(&mut self, source: &Source, from: usize, to: usize, framed: bool) -> (u64, u64) {
        let Some(bytes) = source.bytes.get(from..to) else {
            return (0, 0);
        };
        let taken = self.walk(source, from, bytes, framed);
        self.out.hear();
        taken
    }
    fn walk(&mut self, source: &Source, from: usize, bytes: &[u8], framed: bool) -> (u64, u64) {
        let (mut sound, mut evidence) = (0, 0);
        let out = &mut self.out;
        let Unchecked { holes, named, placed, .. } = &mut self.open;
        let (slow, lost) = (self.slow, &mut self.lost);
        // Without trusted rows an old record of a recycled file looks new.
        let strict = self.slow && !framed;
        frame::walk(bytes, self.shared.salt, |met| match met {
            Met::Record(at, header, body) => {
                sound += 1;
                if strict && !out.homes.get(&header.home).is_some_and(|home| home.seen) {
                    return;
                }
                let hole = out.homes.get(&header.home).map_or((0, false, false), |home| {
                    (home.next, home.seen, home.suspect > 0 || home.given > home.next)
                });
                let gone = out.homes.get(&header.home).is_some_and(|home| home.gone > 0);
                let new = take(out, &source.file, (from + at) as u64, &header, body);
                if new && gone {
                    *lost += header.offset.saturating_sub(hole.0);
                } else if new && header.home >= FIRST_PARTITION && hole.0 < header.offset && (hole.1 || !slow) {
                    holes.push((header.home, hole.0, header.offset));
                    // What an earlier frame has lost is no loss of this one.
                    *placed += if framed && !hole.2 { header.offset - hole.0 } else { 0 };
                }
                evidence += u64::from(new);
            }
            Met::Damaged(header) => {
                let (next, seen) = out.homes.get(&header.home).map_or((0, false), |home| (home.next, home.seen));
                let new = header.home >= FIRST_PARTITION && header.offset >= next;
                evidence += u64::from(new);
                if new && (seen || !strict) && header.kind == record::kind::MESSAGE {
                    named.push((header.home, header.offset, framed));
                }
            }
            Met::Noise => {}
        });
        (sound, evidence)
    }
    /// If bytes at the end did not check, every home seen leaves out what may be missing.
    fn tail(&mut self) {
        let open = std::mem::take(&mut self.open);
        let count = if open.unknown { UNKNOWN } else { open.missing };
        self.explain(open.holes);
        self.out.found.lost_tail = count;
        // One number is left out, so that the old end is looked at again by the next recovery and gives the same.
        self.out.next_seq = self.out.next_seq.max(self.out.covered) + 1;
        for closed in self.out.closed.iter_mut().filter(|closed| closed.last_seq == u64::MAX - 1) {
            closed.last_seq = self.out.next_seq - 1;
        }
        for home in self.out.homes.values_mut().filter(|home| home.seen) {
            let damaged = home.given.max(home.next + home.suspect);
            home.lose(damaged, Missing::Damaged);
            home.lose(home.next + count, Missing::TailLost);
        }
    }
}
/// Whether the record was new.
fn take(out: &mut Recovered, file: &Arc<JournalFile>, at: u64, header: &record::Header, body: &[u8]) -> bool {
    if header.home < FIRST_PARTITION {
        if header.offset <= out.state_seq || !matches!(header.kind, record::kind::PUT | record::kind::DELETE | record::kind::SETTLE) {
            return false;
        }
        out.state_seq = header.offset;
        if header.kind == record::kind::SETTLE {
            let said = header
                .row(body)
                .and_then(|(key, value)| Some((key.to_vec(), Progress::decode(value)?)));
            if let Some((key, (change, needs))) = said {
                out.said.push(Said { key, change, needs });
            }
            return true;
        }
        if let Some((key, value)) = header.row(body) {
            let value = (header.kind == record::kind::PUT).then_some(value);
            let (key, value) = Catalog::row_of(header.home, key, value);
            out.tables.set(key, value);
        }
        return true;
    }
    let home = out.homes.entry(header.home).or_default();
    if header.offset < home.next {
        return false;
    }
    home.seen = true;
    (home.suspect, home.gone) = (0, 0);
    match header.kind {
        record::kind::MESSAGE => {
            home.run(file, at, header);
            if let Some(hash) = header.dedupe(body) {
                out.ids.push((header.home, header.offset, header.time, hash));
            }
            out.found.records += 1;
        }
        record::kind::SKIP => {
            if let Some((count, why)) = record::Header::skip(body) {
                let to = header.offset.saturating_add(count);
                home.skips.push(Skip {
                    from: header.offset,
                    to,
                    why,
                });
                home.next = to;
            }
        }
        _ => {}
    }
    true
}
