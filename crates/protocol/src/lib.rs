//! The COS and S3 dialects over HTTP: requests in, answers out.
//!
//! Everything that the two dialects share is written once; what differs is data
//! of [`dialect::Dialect`] or a row of [`ops`]. This crate knows no engine.

pub mod address;
pub mod date;
pub mod dialect;
pub mod form;
pub mod framing;
pub mod ops;
pub mod percent;
pub mod query;
pub mod xml;
