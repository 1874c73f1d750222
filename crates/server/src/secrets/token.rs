//! The first token, in a file that only this user reads.
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tidegate_core::error::{Code, Error, Fault, Result};

/// Where the first token lies.
pub(crate) fn admin_token(data_dir: &Path) -> PathBuf {
    data_dir.join("admin-token")
}
/// Writes it whole or not at all, for this user's eyes only, and durably: it is shown nowhere again.
pub(crate) fn keep(data_dir: &Path, token: &str) -> Result<()> {
    let path = admin_token(data_dir);
    let failed = |error: io::Error| {
        let text = format!("`{}` cannot be written: {error}", path.display());
        Error::new(Code::CommandFailed, Fault::Operator, text).because(error)
    };
    let new = data_dir.join("admin-token.new");
    let write = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        fs::OpenOptions::new().read(true).open(data_dir)?.sync_all()
    };
    write().map_err(failed)
}
