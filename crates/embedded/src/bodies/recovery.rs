//! What the rows say of segments, and what is done about it at a start.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use costrel_core::engine::EngineError;

use super::place::PAGE_BYTES;
use super::{BodyLog, Extent};
use crate::options::Durability;

/// A body that a commit has put into an open segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) extent: Extent,
    /// Of the body's row.
    pub(crate) key: Bytes,
}

impl Named {
    /// Some bodies of one segment as one value.
    pub(crate) fn encode(named: &[Named]) -> Bytes {
        let mut value = BytesMut::new();
        for Named { extent, key } in named {
            value.put_u32_le(extent.page);
            value.put_u32_le(extent.pages);
            value.put_u16_le(u16::try_from(key.len()).expect("the row store takes no longer keys"));
            value.put_slice(key);
        }
        value.freeze()
    }

    /// `None` for what [`Named::encode`] does not make.
    pub(crate) fn decode(segment: u32, mut value: &[u8]) -> Option<Vec<Named>> {
        let mut named = Vec::new();
        while !value.is_empty() {
            let (page, rest) = value.split_first_chunk()?;
            let (pages, rest) = rest.split_first_chunk()?;
            let (key_len, rest) = rest.split_first_chunk()?;
            let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_len)))?;
            let (page, pages) = (u32::from_le_bytes(*page), u32::from_le_bytes(*pages));
            page.checked_add(pages)?;
            let extent = Extent { segment, page, pages };
            named.push(Named { extent, key: Bytes::copy_from_slice(key) });
            value = rest;
        }
        Some(named)
    }
}

impl BodyLog {
    /// Gives back everything in segments from `sealed_below` on that is not in
    /// `live`, removes those before that are empty, and answers the number of the
    /// first segment that does not exist. Nothing may be appended before. Blocks.
    pub(crate) fn settle(
        &self,
        sealed_below: u32,
        live: impl IntoIterator<Item = Extent>,
    ) -> Result<u32, EngineError> {
        let mut by_segment: BTreeMap<u32, Vec<Extent>> = BTreeMap::new();
        for extent in live {
            by_segment.entry(extent.segment).or_default().push(extent);
        }
        let mut next = sealed_below;
        let segments = self.segments().map_err(|e| EngineError::io("listing bodies", e))?;
        for segment in segments {
            next = next.max(segment + 1);
            let settled = if segment >= sealed_below {
                self.settle_segment(segment, by_segment.remove(&segment).unwrap_or_default())
            } else {
                // It may have been emptied before it was sealed.
                self.remove_if_empty(segment).map(drop)
            };
            settled.map_err(|e| EngineError::io(format!("settling bodies {segment:08x}"), e))?;
        }
        for (segment, live) in by_segment {
            let what = format!("bodies {segment:08x} are missing with {} bodies", live.len());
            let _ = self.status.corrupt(what);
            next = next.max(segment + 1);
        }
        Ok(next)
    }

    fn settle_segment(&self, segment: u32, mut live: Vec<Extent>) -> std::io::Result<()> {
        live.sort_unstable();
        let Some(last) = live.last() else {
            return self.remove(segment);
        };
        let file = self.file(segment)?;
        let end = last.offset() + last.len();
        if file.len()? > end {
            file.set_len(end)?;
        }
        let mut free_from = 0;
        for extent in &live {
            let free = free_from..extent.offset();
            let data = file.next_data(free.start)?;
            if self.gives_back && data.is_some_and(|data| data.start < free.end) {
                file.punch(free.start, free.end - free.start)?;
            }
            free_from = u64::from(extent.end()) * PAGE_BYTES as u64;
        }
        if self.durability == Durability::Sync {
            file.sync_data()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let named = |page, key: &'static [u8]| Named {
            extent: Extent { segment: 7, page, pages: 5 },
            key: Bytes::from_static(key),
        };
        let some = [named(0x0102, b"key"), named(9, b"")];
        let value = Named::encode(&some);
        assert_eq!(value[..], *b"\x02\x01\0\0\x05\0\0\0\x03\0key\x09\0\0\0\x05\0\0\0\0\0");
        assert_eq!(Named::decode(7, &value).as_deref(), Some(&some[..]));
        for cut in [1, 5, 9, 12, 14] {
            assert_eq!(Named::decode(7, &value[..cut]), None, "{cut} bytes");
        }
        assert_eq!(Named::decode(7, &[0xFF; 10]), None);
    }
}
