//! An endpoint in memory.
