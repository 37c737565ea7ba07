//! The gateway as clients meet it: real requests over HTTP, signed by the
//! product's own signer, against a store in memory. Answers are read as bytes,
//! so that the spelling of header names is part of what is tested.

mod acls;
mod advisories;
mod archiving;
mod bad_input;
mod chunked;
mod client;
mod conditions;
mod configurations;
mod copies;
mod cors;
mod dialects;
mod differences;
mod forms;
mod identities;
mod inventories;
mod lifecycle;
mod listing;
mod locks;
mod logs;
mod multipart;
mod notifications;
mod objects;
mod policies;
mod policy_conditions;
mod public;
mod referers;
mod refusals;
mod restores;
mod routing;
mod services;
mod sessions;
mod signatures;
mod symlinks;
mod tags;
mod tiering;
mod users;
mod versions;
mod websites;
mod wire;
mod world;
