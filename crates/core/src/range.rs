//! Byte ranges (RFC 9110 section 14), single ones as both services serve them.

use std::ops::Range;

use crate::error::{Error, Result};

/// A `Range` header's meaning before the size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=first-last`, inclusive.
    FromTo(u64, u64),
    /// `bytes=first-`.
    From(u64),
    /// `bytes=-count`: the last bytes.
    Last(u64),
}

impl ByteRange {
    /// Parses a header value. `None` means that the header is to be ignored, as
    /// RFC 9110 asks for other units, several ranges or a syntax error.
    pub fn parse(header: &str) -> Option<ByteRange> {
        let (unit, spec) = header.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = spec.trim().split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            let text = text.trim();
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            // More digits than fit lie beyond every object.
            Some(text.parse().unwrap_or(u64::MAX))
        };
        match (first.trim().is_empty(), last.trim().is_empty()) {
            (true, true) => None,
            (true, false) => Some(ByteRange::Last(number(last)?)),
            (false, true) => Some(ByteRange::From(number(first)?)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(ByteRange::FromTo(first, last))
            }
        }
    }

    /// The bytes meant of an object of `size` bytes; an error if there are none.
    pub fn resolve(self, size: u64) -> Result<Range<u64>> {
        let range = match self {
            ByteRange::FromTo(first, last) => first..size.min(last.saturating_add(1)),
            ByteRange::From(first) => first..size,
            ByteRange::Last(count) => size.saturating_sub(count)..size,
        };
        if range.start >= range.end {
            return Err(Error::InvalidRange { size });
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_resolves() {
        let check = |header: &str, size: u64, want: Option<Option<Range<u64>>>| {
            let got = ByteRange::parse(header).map(|r| r.resolve(size).ok());
            assert_eq!(got, want, "{header} of {size}");
        };
        check("bytes=0-0", 10, Some(Some(0..1)));
        check("bytes=2-5", 10, Some(Some(2..6)));
        check("bytes=2-500", 10, Some(Some(2..10)));
        check("bytes=9-", 10, Some(Some(9..10)));
        check("bytes=10-", 10, Some(None));
        check("bytes=-3", 10, Some(Some(7..10)));
        check("bytes=-30", 10, Some(Some(0..10)));
        check("bytes=-0", 10, Some(None));
        check("bytes=0-0", 0, Some(None));
        check("bytes=-5", 0, Some(None));
        check("Bytes = 1 - 2", 10, Some(Some(1..3)));
        check("bytes=5-2", 10, None);
        check("bytes=a-b", 10, None);
        check("bytes=-", 10, None);
        check("bytes=0-1,3-4", 10, None);
        check("items=0-1", 10, None);
        check("bytes=99999999999999999999999-", 10, Some(None));
        check("bytes=0-99999999999999999999999", 10, Some(Some(0..10)));
    }
}
