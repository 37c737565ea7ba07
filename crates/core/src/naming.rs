//! Which body a row names.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Engine, Partition, ScanRange, Table};
use crate::error::Result;
use crate::record::{
    Content, ObjectRecord, PartRecord, blob_id, decode, encode, split_part_suffix,
};
use crate::scan::{behind, rows};
use crate::tier::{BlobAddress, Coding};

/// Rows looked at, at once.
const ROWS: usize = 256;

/// Where bytes of a body are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the row of the body table with this suffix.
    Row(Bytes),
    /// A blob in the place of this name; `None` for the engine's own.
    Blob(Option<Arc<str>>),
}

/// A body as a row names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// 16 bytes.
    pub id: Bytes,
    pub place: Place,
}

impl Named {
    fn address(&self, coding: Coding, place: &Option<Arc<str>>) -> Result<BlobAddress> {
        Ok(BlobAddress { id: blob_id(&self.id)?, coding, place: place.clone() })
    }
}

/// Tables whose rows name bodies that are in use.
pub(crate) const NAMING: [Table; 3] = [Table::Object, Table::Version, Table::Part];

/// The body that a row names, if any.
pub(crate) fn named(table: Table, suffix: &[u8], value: &[u8]) -> Result<Option<Named>> {
    match NamingRecord::decode(table, suffix, value)? {
        Some(record) => record.named(suffix),
        None => Ok(None),
    }
}

/// Takes out of the set what rows of the group name.
pub(crate) async fn retain_unnamed(
    engine: &dyn Engine,
    partition: Partition,
    group: &Bytes,
    bodies: &mut BTreeSet<Named>,
) -> Result<()> {
    for table in NAMING {
        let ScanRange { end_group, .. } = ScanRange::group(group.clone());
        let mut range = ScanRange::group(group.clone());
        loop {
            let page = rows(engine, partition, table, range, ROWS).await?;
            for row in &page {
                if let Some(body) = named(table, &row.suffix, &row.value)? {
                    bodies.remove(&body);
                }
            }
            let Some(next) = behind(&page) else { break };
            range = ScanRange { end_group: end_group.clone(), ..next };
        }
    }
    Ok(())
}

/// A record that may name a body.
pub(crate) enum NamingRecord {
    Object(Table, Box<ObjectRecord>),
    Part(Box<PartRecord>),
}

impl NamingRecord {
    pub(crate) fn decode(
        table: Table,
        suffix: &[u8],
        value: &[u8],
    ) -> Result<Option<NamingRecord>> {
        Ok(match table {
            Table::Object | Table::Version => {
                Some(NamingRecord::Object(table, Box::new(decode(value, "object record")?)))
            }
            // Number 0 is a layout.
            Table::Part if split_part_suffix(suffix).is_some_and(|(_, number)| number > 0) => {
                Some(NamingRecord::Part(Box::new(decode(value, "part record")?)))
            }
            _ => None,
        })
    }

    fn content(&mut self) -> &mut Option<Content> {
        match self {
            NamingRecord::Object(_, record) => &mut record.content,
            NamingRecord::Part(record) => &mut record.content,
        }
    }

    pub(crate) fn size_and_crc64(&self) -> (u64, u64) {
        match self {
            NamingRecord::Object(_, record) => (record.size, record.crc64),
            NamingRecord::Part(record) => (record.size, record.crc64),
        }
    }

    pub(crate) fn body_suffix(&self, suffix: &[u8]) -> Bytes {
        match self {
            NamingRecord::Object(_, record) => record.body_suffix(),
            NamingRecord::Part(_) => Bytes::copy_from_slice(suffix),
        }
    }

    /// Whether it was made when its bucket kept no versions. Then the object's row
    /// does not tell whether it repeats that of a version.
    pub(crate) fn is_without_version(&self) -> bool {
        matches!(self, NamingRecord::Object(_, record) if record.version.is_empty())
    }

    /// Whether it only repeats the row of a version.
    pub(crate) fn is_repeated(&self) -> bool {
        matches!(self, NamingRecord::Object(Table::Object, record) if !record.version.is_empty())
    }

    pub(crate) fn named(&self, suffix: &[u8]) -> Result<Option<Named>> {
        Ok(match self.stored() {
            Some(Content::Inline(id)) => {
                blob_id(id)?;
                Some(Named { id: id.clone(), place: Place::Row(self.body_suffix(suffix)) })
            }
            Some(Content::Blob(address)) => {
                let BlobAddress { id, place, .. } = BlobAddress::decode(address)?;
                Some(Named { id: Bytes::copy_from_slice(&id.0), place: Place::Blob(place) })
            }
            Some(Content::Parts(_) | Content::Link(_)) | None => None,
        })
    }

    fn stored(&self) -> Option<&Content> {
        match self {
            NamingRecord::Object(_, record) => record.content.as_ref(),
            NamingRecord::Part(record) => record.content.as_ref(),
        }
    }

    /// Where the blob is that it names, and how its bytes are written.
    pub(crate) fn address(&self) -> Result<Option<BlobAddress>> {
        match self.stored() {
            Some(Content::Blob(address)) => BlobAddress::decode(address).map(Some),
            _ => Ok(None),
        }
    }

    /// Its encoding when the body, whose bytes are plain, is there.
    pub(crate) fn rename(&mut self, to: &Named) -> Result<Bytes> {
        *self.content() = Some(match &to.place {
            Place::Row(_) => Content::Inline(to.id.clone()),
            Place::Blob(place) => Content::Blob(to.address(Coding::Plain, place)?.encode()),
        });
        Ok(match self {
            NamingRecord::Object(_, record) => encode(record),
            NamingRecord::Part(record) => encode(&**record),
        })
    }
}
