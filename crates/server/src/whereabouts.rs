//! Where a node is managed, in a file of its data folder: who stands beside that folder need not say it.
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin-address")
}
/// The first of these is where it is. What an earlier start has left is replaced, whole or not at all.
#[expect(clippy::disallowed_methods, reason = "for people and the command line, no part of the log")]
pub(crate) fn note(data_dir: &Path, admin: &[SocketAddr], secure: bool) -> io::Result<()> {
    let Some(address) = admin.first() else { return Ok(()) };
    let new = data_dir.join("admin-address.new");
    fs::write(&new, format!("{}\n", url(*address, secure)))?;
    fs::rename(new, file(data_dir))
}
/// As the node said when it began; it may have ended since.
#[expect(clippy::disallowed_methods, reason = "the command line looks for its node")]
pub(crate) fn noted(data_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(file(data_dir)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
/// For who is on the same machine.
fn url(address: SocketAddr, secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    let ip = address.ip().to_canonical();
    if ip.is_loopback() || ip.is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_called() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(noted(folder.path()), None);
        for (address, secure, wanted) in [
            ("127.0.0.1:8084", false, "http://localhost:8084"),
            ("[::1]:1", true, "https://localhost:1"),
            ("0.0.0.0:2", false, "http://localhost:2"),
            ("[2001:db8::1]:3", false, "http://[2001:db8::1]:3"),
            ("10.0.0.1:4", true, "https://10.0.0.1:4"),
        ] {
            note(folder.path(), &[address.parse().unwrap()], secure).unwrap();
            assert_eq!(noted(folder.path()).as_deref(), Some(wanted));
        }
    }
}
