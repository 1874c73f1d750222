//! The contract of an endpoint.
