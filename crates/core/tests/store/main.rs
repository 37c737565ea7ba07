//! The store over the engines: every operation, what happens when requests are
//! dropped and processes end at any point, and what concurrent clients see.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod appends;
mod archiving;
mod bills;
mod buckets;
mod counts;
mod crashes;
mod damage;
mod dropped;
mod due;
mod events;
mod fates;
mod histories;
mod interleaved;
mod inventory;
mod lifecycle;
mod listings;
mod locks;
mod logs;
mod model;
mod moves;
mod objects;
mod peers;
mod races;
mod readers;
mod records;
mod scrubbing;
mod slowed;
mod symlinks;
mod tiering;
mod tiers;
mod transfer;
mod uploads;
mod usage;
mod versions;
