//! What a row of the source is on the target.
//!
//! Every row is carried as it is, but for this: an engine keeps bodies up to some
//! size beside the row that names them and others as blobs, and engines differ in
//! that size. What is in frames, or in a place of its own, stays so, and the target
//! needs a place of the same name. Both kinds have random ids of 16 bytes, so a body that moves from one
//! to the other keeps its id, and the row on the target follows from the row of the
//! source alone: a row that has been carried is known without a look at its body.

use bytes::Bytes;

use crate::engine::Table;
use crate::error::Result;
use crate::naming::{Named, NamingRecord, Place};
use crate::tier::Coding;

/// A body that a row needs beside it.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub from: Named,
    pub to: Named,
    /// How the bytes of a blob are written: the same on both.
    pub coding: Coding,
    pub size: u64,
    pub crc64: u64,
    /// Whether the object's row, which goes first, may have brought it.
    pub is_shared: bool,
}

pub(super) struct Plan {
    /// The row's value on the target.
    pub value: Bytes,
    pub body: Option<Body>,
}

/// Plans for a row of the source, where the target keeps bodies of up to
/// `inline_max` bytes in rows.
pub(super) fn plan(table: Table, suffix: &[u8], value: &Bytes, inline_max: u64) -> Result<Plan> {
    let as_it_is = Plan { value: value.clone(), body: None };
    let Some(mut record) = NamingRecord::decode(table, suffix, value)? else { return Ok(as_it_is) };
    let (size, crc64) = record.size_and_crc64();
    let Some(from) = record.named(suffix)? else { return Ok(as_it_is) };
    let coding = record.address()?.map_or(Coding::Plain, |address| address.coding);
    let place = match &from.place {
        // Whoever gives a class a place or a codec wants its bytes there, and so.
        Place::Blob(Some(_)) => from.place.clone(),
        _ if coding == Coding::Framed => from.place.clone(),
        _ if size <= inline_max => Place::Row(record.body_suffix(suffix)),
        _ => Place::Blob(None),
    };
    let to = Named { id: from.id.clone(), place };
    let value = match from == to {
        true => value.clone(),
        false => record.rename(&to)?,
    };
    // Carried with the row of the version itself.
    let is_shared = table == Table::Version && record.is_without_version();
    let body = (!record.is_repeated()).then_some(Body { from, to, coding, size, crc64, is_shared });
    Ok(Plan { value, body })
}
