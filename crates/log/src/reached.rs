//! The file `end`: up to which frame the journal has been seen whole. What a later start does not find any more was lost, however little
//! of it is left.
use crate::{
    disk::{Disk, DiskFile, Open, read_range},
    le::{self, Salt},
    names,
    shared::Shared,
};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes of the file: less than a sector, so that it is never half old and half new.
const LEN: usize = 64;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// A frame with this number was synced; 0: the log was only begun.
    pub(crate) seq: u64,
    pub(crate) salt: u64,
}
impl Reached {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let salt = le::u64_at(bytes, 32)?;
        let sound = bytes.get(..4)? == b"TGe1" && Salt::new(salt).seals(bytes, 60);
        Some(Self {
            seq: le::u64_at(bytes, 8)?,
            salt,
        })
        .filter(|_| sound)
    }
    fn bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        le::put(&mut bytes, 0, b"TGe1");
        le::put(&mut bytes, 4, &names::FORMAT.to_le_bytes());
        le::put(&mut bytes, 8, &self.seq.to_le_bytes());
        le::put(&mut bytes, 32, &self.salt.to_le_bytes());
        let crc = Salt::new(self.salt).crc(&bytes[..60]);
        le::put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }
    /// `None`: it is not there, or does not check.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        match disk.open(&names::end(), Open::Existing) {
            Ok(file) => read_range(&*file, 0, LEN).map(|bytes| Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
    /// Before there is a marker: who finds one and no such file knows that something was taken away.
    pub(crate) fn begin(disk: &dyn Disk, salt: u64) -> io::Result<()> {
        let file = open(disk)?;
        file.write_at(&Self { seq: 0, salt }.bytes(), 0)?;
        file.sync()?;
        disk.sync_dir(names::root())
    }
}
fn open(disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
    match disk.open(&names::end(), Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.open(&names::end(), Open::New),
        file => file,
    }
}

/// Keeps the file up with the journal: at a start, with every new journal file, and at the end.
#[derive(Default)]
pub(crate) struct Keeper(Mutex<Noted>);
#[derive(Default)]
struct Noted {
    /// The journal file that was open then.
    journal: Option<u64>,
    seq: u64,
    /// A sync of it failed: the next one would lie.
    given_up: bool,
}
impl Keeper {
    /// Writes how far the journal has come, if it went on to another file since, or if this is the `last` time. An error is none of the
    /// journal's: what is stored is stored, only the loss of it might go unnoticed.
    pub(crate) fn note(&self, shared: &Shared, last: bool) {
        let (open, seq) = {
            let state = shared.files.state();
            (state.open.as_ref().map(|(file, _)| file.number), state.synced)
        };
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() || noted.given_up || noted.seq == seq || (noted.journal == open && !last) {
            return;
        }
        let salt = shared.salt.value;
        let written = open_and_write(shared, Reached { seq, salt });
        noted.given_up = written.is_err();
        (noted.journal, noted.seq) = (open, seq);
    }
}
fn open_and_write(shared: &Shared, reached: Reached) -> io::Result<()> {
    let file = open(&*shared.disk)?;
    file.write_at(&reached.bytes(), 0)?;
    shared.sync_new(&*file)
}
