//! How many connections the process has descriptors for.
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left for files, brokers and the admin listener.
const SPARE: u64 = 1_024;

/// Raises the soft limit to the hard one, and answers the smaller of `wanted` and what there is.
pub(crate) fn connections(wanted: u32) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // It stays as it is where the system does not let us.
        let _kept = setrlimit(Resource::Nofile, raised);
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = descriptors.saturating_sub(SPARE).max(64);
    usize::try_from(u64::from(wanted).min(room)).unwrap_or(usize::MAX)
}
