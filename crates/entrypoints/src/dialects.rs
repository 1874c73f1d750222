//! The spellings of other products, each on a port of its own.

pub mod memphis;
