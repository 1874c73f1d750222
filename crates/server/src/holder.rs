//! Which process listens on a port, as far as the system tells.
use std::{fs, net::SocketAddr, path::PathBuf};

/// `process 4711 (nginx)`; `None` where it cannot be known.
pub(crate) fn holder(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| listening(&read(table)?, address.port()))?;
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    let processes = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in processes {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        if files
            .map(|file| fs::read_link(file.path()))
            .any(|link| link.is_ok_and(|link| link == socket))
        {
            let name = read(&format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", name.trim()));
        }
    }
    None
}
/// The inode of the socket that listens on that port: local address, state 0A and inode are fields 1, 3 and 9 of a line.
fn listening(table: &str, port: u16) -> Option<u64> {
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.split_once(':')?;
        let wanted = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == "0A";
        wanted.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}
#[expect(clippy::disallowed_methods, reason = "what the system tells of its processes")]
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_itself() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let told = holder(listener.local_addr().unwrap()).unwrap();
        assert!(told.starts_with(&format!("process {} (", std::process::id())), "{told}");
    }
}
