//! The file `LOG`: that this folder is a log, in which format, and the salt of its checksums.
use crate::{
    disk::{Disk, Open, read_range, read_whole},
    error::Error,
    journal, names,
    reached::Reached,
    segment, table,
};
use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
};
use tidegate_core::clock;

/// Reads the salt; makes the marker if the folder is new, or writes it again if it was damaged. Whether it was there.
pub(crate) fn open(disk: &dyn Disk, salt: Option<u64>, now: i64) -> Result<(u64, bool), Error> {
    let found = match disk.open(&names::marker(), Open::Existing) {
        Ok(file) => Some(read_whole(&*file).map_err(Error::disk("read the marker"))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::disk("open the marker")(error)),
    };
    if let Some(text) = &found
        && let Some(marker) = Marker::parse(text)
    {
        return if marker.format > u64::from(names::FORMAT) || !marker.needs.is_empty() {
            Err(Error::NewerFormat(marker.version))
        } else {
            Ok((marker.salt, true))
        };
    }
    let rescued = rescue(disk)?;
    let salt = match rescued {
        Some(salt) => salt,
        None if found
            .as_ref()
            .is_some_and(|text| !text.is_empty() && !text.starts_with(b"tidegate")) =>
        {
            return Err(Error::NotALog);
        }
        None => salt.unwrap_or_else(|| RandomState::new().hash_one(now)),
    };
    if rescued.is_none() {
        Reached::begin(disk, salt).map_err(Error::disk("begin the log"))?;
    }
    write(disk, salt, now)?;
    Ok((salt, rescued.is_some()))
}
struct Marker {
    /// All ones: a number too large for any version so far.
    format: u64,
    needs: String,
    salt: u64,
    version: String,
}
impl Marker {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (body, check) = text.trim_end().rsplit_once("\ncheck ")?;
        if u32::from_str_radix(check, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
            return None;
        }
        let line = |name: &str| body.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            format: line("format ")?.parse().unwrap_or(u64::MAX),
            needs: line("needs ")?.trim_matches(['[', ']']).to_owned(),
            salt: u64::from_str_radix(line("salt ")?, 16).ok()?,
            version: line("version ")?.to_owned(),
        })
    }
}
fn write(disk: &dyn Disk, salt: u64, now: i64) -> Result<(), Error> {
    let body = format!(
        "tidegate log\nformat {}\nneeds []\nsalt {salt:016x}\ncreated {}\nversion {}",
        names::FORMAT,
        clock::rfc3339(now),
        env!("CARGO_PKG_VERSION"),
    );
    let text = format!("{body}\ncheck {:08x}\n", crc32c::crc32c(body.as_bytes()));
    let temporary = names::root().join("LOG.tmp");
    let made = || {
        if disk.list(names::root())?.contains(&temporary) {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, Open::New)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        disk.rename(&temporary, &names::marker())?;
        disk.sync_dir(names::root())?;
        disk.sync_dir(Path::new(""))
    };
    made().map_err(Error::disk("write the marker"))
}
/// The salt from any file's header. A folder with other files only is somebody else's.
fn rescue(disk: &dyn Disk) -> Result<Option<u64>, Error> {
    let list = |dir: &Path| disk.list(dir).map_err(Error::disk("list the folder"));
    let mut files = list(&names::journals())?;
    files.extend(list(names::root())?.into_iter().filter(|path| *path == names::end()));
    files.extend(list(&names::tables())?);
    for stream in list(&names::streams())? {
        for partition in list(&stream)? {
            files.extend(list(&partition)?);
        }
    }
    for path in files {
        let head = disk
            .open(&path, Open::Existing)
            .and_then(|file| read_range(&*file, 0, journal::HEADER));
        let head = head.unwrap_or_default();
        let salt = journal::Header::read(&head).map(|header| header.salt);
        let state = || table::salt_of(&head).or_else(|| Reached::parse(&head).map(|reached| reached.salt));
        if let Some(salt) = salt.or_else(|| segment::salt_of(&head)).or_else(state) {
            return Ok(Some(salt));
        }
    }
    let ours = ["LOG", "LOG.tmp", "lock", "end", "journal", "state", "streams"];
    let foreign = |path: &Path| path.file_name().and_then(|n| n.to_str()).is_none_or(|name| !ours.contains(&name));
    if list(names::root())?.iter().any(|path| foreign(path)) {
        return Err(Error::NotALog);
    }
    Ok(None)
}
