//! The embedded log: durable, partitioned streams for one node.
//!
//! One journal makes every receipt, one thread writes it, one recovery reads it. It knows no protocol, no topic filter and no runtime.
#![doc = include_str!("../FORMAT.md")]
mod append;
mod bell;
mod catalog;
mod changes;
mod commit;
mod dead;
mod dedupe;
pub mod disk;
mod draft;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod hash;
mod herald;
mod ids;
mod intake;
mod journal;
mod le;
mod log;
mod marker;
mod mover;
mod names;
mod options;
mod partition;
mod progress;
mod ranges;
mod reached;
mod reader;
mod record;
mod recover;
mod retention;
mod scan;
mod segment;
mod shared;
mod slow;
#[doc(hidden)]
pub mod steps;
mod stream;
mod table;
mod tables;
mod tail;

pub use append::{Append, Entry};
pub use dead::{AGAIN, DEAD, header as dead_letter};
pub use error::Error;
pub use group::{Changed, Group, GroupSpec, GroupStats, Manner, Member, Stuck};
pub use log::{Committed, Found, Hooks, Log, OnCommitted, Opened, RunBlocking, Stats, Status};
pub use options::Options;
#[doc(hidden)]
pub use options::{Internal, Sabotage};
pub use reader::{Chunk, Reader};
pub use scan::Scan;
pub use stream::{Keep, Retention, Stream, StreamSpec, StreamStats, WhenFull};
