//! The COS and S3 dialects over HTTP, and Tencent Cloud API 3.0 beside them: requests
//! in, answers out.
//!
//! Everything that the two dialects share is written once; what differs is data
//! of [`dialect::Dialect`] or a row of [`ops`]. This crate knows no engine.

pub mod acl;
pub mod address;
mod attributes;
mod auth;
mod aws;
mod body;
pub mod cloud;
pub mod date;
pub mod dialect;
mod error;
pub mod form;
pub mod framing;
mod gateway;
mod handlers;
mod ids;
mod logline;
mod observe;
mod oidc;
pub mod ops;
mod permission;
pub mod query;
mod reply;
mod request;
mod traffic;
pub mod wire;
pub mod xml;

pub use body::{BodyLimits, ResponseBody};
pub use costrel_core::percent;
pub use gateway::{Gateway, GatewayOptions};
pub use observe::{Audit, NoObserver, Observer, RefusedKeys, RequestRecord};
pub use oidc::{Documents, FetchError};
pub use permission::{
    Asker, Basis, Explained, Part, PolicyName, Question, Supposed, SupposedFault,
};
pub use request::{ConnectionInfo, TlsVersion};
