//! Byte ranges.

use costrel_core::range::ByteRange;

/// Sizes up to this are compared with a walk over the bytes.
const WALK_MAX: u64 = 64;

/// The value of a `Range` header.
pub fn range(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else { return };
    let Some(range) = ByteRange::parse(header) else { return };
    let text = match range {
        ByteRange::FromTo(first, last) => format!("bytes={first}-{last}"),
        ByteRange::From(first) => format!("bytes={first}-"),
        ByteRange::Last(count) => format!("bytes=-{count}"),
    };
    assert_eq!(ByteRange::parse(&text), Some(range), "{text}");

    let (low, high) = match range {
        ByteRange::FromTo(first, last) => (first, last),
        ByteRange::From(number) | ByteRange::Last(number) => (number, number),
    };
    let near = [low, high].into_iter().flat_map(|n| [n.saturating_sub(1), n, n.saturating_add(1)]);
    for size in (0..=WALK_MAX).chain(near).chain([u64::MAX]) {
        let resolved = range.resolve(size);
        if let Ok(bytes) = &resolved {
            assert!(bytes.start < bytes.end && bytes.end <= size);
            for edge in [bytes.start, bytes.end - 1] {
                assert!(is_meant(range, size, edge));
            }
            assert!(bytes.start == 0 || !is_meant(range, size, bytes.start - 1));
            assert!(bytes.end == size || !is_meant(range, size, bytes.end));
        }
        if size <= WALK_MAX {
            let walked: Vec<u64> = (0..size).filter(|at| is_meant(range, size, *at)).collect();
            assert_eq!(resolved.map_or(vec![], |bytes| bytes.collect()), walked, "of {size}");
        }
    }
}

/// Whether a byte of an object of `size` bytes belongs to a range, as RFC 9110
/// section 14.1.2 puts it.
fn is_meant(range: ByteRange, size: u64, at: u64) -> bool {
    match range {
        ByteRange::FromTo(first, last) => (first..=last).contains(&at),
        ByteRange::From(first) => at >= first,
        ByteRange::Last(count) => size - at <= count,
    }
}
