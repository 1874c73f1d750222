//! The data plane: routes, and the two flows through them. Names no broker and no protocol.
#![doc = include_str!("../FANOUT.md")]

pub mod compile;
pub mod feed;
pub mod feeds;
pub mod flow;
pub mod follower;
pub mod handle;
pub mod instances;
pub mod leases;
pub mod metrics;
pub mod paths;
pub mod policies;
pub mod pulls;
pub mod pump;
pub mod pumps;
pub mod route;
pub mod shard;
pub mod target;
pub mod tickets;
pub mod world;

pub use tidegate_config as settings;
