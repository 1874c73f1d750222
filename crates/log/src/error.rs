//! What can go wrong in the log, as sentences with hints.
use crate::stream::{Stream, WhenFull};
use std::{fmt, io, sync::Arc, time::Duration};
use tidegate_core::error::{Code, Error as Told, Fault, Retry};

/// One cause; converts into the error of `core` for callers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the folder; the text names it.
    Locked(String),
    /// Written by a newer version, named here, in a format this one does not know.
    NewerFormat(String),
    /// The folder holds files, but no log.
    NotALog,
    /// No room on the disk. Publishing recovers by itself when there is room.
    Full,
    /// The operating system refused what the first part names.
    Disk(&'static str, Arc<io::Error>),
    /// A sync failed earlier: what the disk holds is not known, so nothing is written until the next start.
    ReadOnly,
    /// A stream of that name exists.
    StreamExists(String),
    /// No stream of that name exists (any more).
    NoSuchStream(String),
    /// The number of partitions of a stream is fixed when it is created.
    PartitionsFixed,
    /// A stream has 1 to 65,536 partitions.
    Partitions,
    /// A name has 1 to 255 bytes and no control characters.
    Name,
    /// There is no partition of that number.
    PartitionOutOfRange(u32),
    /// The record's body is larger than this many bytes.
    RecordTooLarge(usize),
    /// The stream is at its limit and refuses new messages.
    StreamFull(String),
    /// The stream is at its limit and drops new messages.
    StreamDrops(String),
    /// The data folder, named here, cannot be used.
    Folder(String, Arc<io::Error>),
    /// A stream has as many groups as it may have.
    Groups(String),
    /// The log keeps `accepted` and `stored` only.
    Level,
    /// The log is closing.
    Closing,
}
impl Error {
    /// What a stream says that takes no more.
    pub(crate) fn full(stream: &Stream) -> Self {
        let name = stream.name().to_owned();
        match stream.spec().when_full {
            WhenFull::DropNewest => Self::StreamDrops(name),
            WhenFull::Refuse | WhenFull::DropOldest => Self::StreamFull(name),
        }
    }
    /// Names what was being done when the disk answered.
    pub(crate) fn disk(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                Self::Full
            } else {
                Self::Disk(doing, Arc::new(error))
            }
        }
    }
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(holder) if holder.is_empty() => f.write_str("the data folder is held by another process"),
            Self::Locked(holder) => write!(f, "the data folder is held by process `{holder}`"),
            Self::NewerFormat(version) => write!(f, "the log was written by version `{version}` in a newer format"),
            Self::NotALog => f.write_str("the folder `log` holds something that is no log"),
            Self::Full => f.write_str("the disk is full"),
            Self::Disk(doing, error) => write!(f, "the disk refused to {doing}: {error}"),
            Self::ReadOnly => f.write_str("the disk failed to keep what was written, so the log is read-only"),
            Self::StreamExists(name) => write!(f, "the stream `{name}` exists already"),
            Self::NoSuchStream(name) => write!(f, "there is no stream `{name}`"),
            Self::PartitionsFixed => f.write_str("the number of partitions of a stream cannot change"),
            Self::Partitions => f.write_str("a stream has 1 to 65536 partitions"),
            Self::Name => f.write_str("the name of a stream has 1 to 255 bytes and no control characters"),
            Self::PartitionOutOfRange(number) => write!(f, "there is no partition `{number}`"),
            Self::RecordTooLarge(most) => write!(f, "the message is larger than `{most}` bytes"),
            Self::StreamDrops(name) => write!(f, "the stream `{name}` is full and drops new messages"),
            Self::Folder(path, error) => match error.kind() {
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => write!(f, "the data folder `{path}` is no folder"),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    write!(f, "the data folder `{path}` cannot be written to: {error}")
                }
                _ => write!(f, "the data folder `{path}` cannot be used: {error}"),
            },
            Self::StreamFull(name) => write!(f, "the stream `{name}` is full"),
            Self::Groups(name) => write!(f, "the stream `{name}` has 1000 groups, and takes no more"),
            Self::Level => f.write_str("a stream keeps `accepted` and `stored` only"),
            Self::Closing => f.write_str("the log is closing"),
        }
    }
}
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(_, error) | Self::Folder(_, error) => Some(&**error),
            _ => None,
        }
    }
}
impl From<Error> for Told {
    fn from(error: Error) -> Self {
        let soon = Retry::After(Duration::from_secs(1));
        let (code, fault, retry, hint) = match &error {
            Error::Locked(_) => (
                Code::FolderLocked,
                Fault::Operator,
                Retry::No,
                "stop that process or choose another data folder",
            ),
            Error::NewerFormat(_) => (Code::NewerFormat, Fault::Operator, Retry::No, "start that version or a later one"),
            Error::NotALog => (Code::NotALog, Fault::Operator, Retry::No, "choose an empty data folder"),
            Error::Full => (
                Code::StorageFull,
                Fault::Operator,
                soon,
                "free space on the disk of the data folder",
            ),
            Error::Disk(..) => (
                Code::StorageFailed,
                Fault::Operator,
                soon,
                "look at the health and the permissions of the disk",
            ),
            Error::ReadOnly => (
                Code::StorageFailed,
                Fault::Operator,
                Retry::No,
                "look at the health of the disk, then restart",
            ),
            Error::StreamExists(_) => (
                Code::StreamExists,
                Fault::Client,
                Retry::No,
                "choose another name or change that stream",
            ),
            Error::Groups(_) => (
                Code::Overloaded,
                Fault::Client,
                Retry::No,
                "use one that is there: a group is for workers that share their work",
            ),
            Error::NoSuchStream(_) => (Code::NoSuchStream, Fault::Client, Retry::No, "create the stream first"),
            Error::PartitionsFixed => (Code::BadValue, Fault::Client, Retry::No, "create another stream and copy"),
            Error::Partitions | Error::Name => (Code::BadValue, Fault::Client, Retry::No, ""),
            Error::PartitionOutOfRange(_) => (Code::PartitionOutOfRange, Fault::Client, Retry::No, "partitions count from 0"),
            Error::RecordTooLarge(_) => (
                Code::RecordTooLarge,
                Fault::Client,
                Retry::No,
                "store the payload elsewhere and send its address",
            ),
            Error::StreamFull(_) => (
                Code::StreamFull,
                Fault::Operator,
                soon,
                "wait until its oldest messages leave by age, raise its limit, or let it drop the oldest",
            ),
            Error::StreamDrops(_) => (
                Code::StreamFull,
                Fault::Operator,
                Retry::No,
                "raise the stream's limit, or let it drop the oldest",
            ),
            Error::Folder(..) => (
                Code::CommandFailed,
                Fault::Operator,
                Retry::No,
                "choose a folder this user may write to",
            ),
            Error::Level => (Code::LevelNotOffered, Fault::Client, Retry::No, "ask for `stored`"),
            Error::Closing => (Code::Draining, Fault::Gateway, soon, ""),
        };
        let told = Self::new(code, fault, error.to_string()).with_retry(retry);
        let told = if hint.is_empty() { told } else { told.with_hint(hint) };
        told.because(error)
    }
}
