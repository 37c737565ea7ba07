//! What the operations do, each once for both dialects.

pub mod bucket;
pub mod copy;
pub mod delete;
pub mod lifecycle;
pub mod list;
pub mod lock;
pub mod multipart;
pub mod object;
pub mod policy;
pub mod post;
pub mod service;
pub mod tags;
mod upload;
pub mod versions;
