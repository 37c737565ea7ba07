//! How often the rows in memory were written again.
//!
//! What lies in memory keeps every value that a row has had since, and a scan steps
//! over all of them: a page of a list cost twenty times as much after each of its
//! keys had been given a thousand versions. Once it is written out as a table there
//! is one value of each row. So a scan that has walked over many rows asks for that
//! if they were rewritten much; without scans nothing is written out early.

use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

/// Bits by which rows are told apart; as many rows as lie in memory at most.
const BITS: usize = 1 << 16;
/// Fewer writes are not worth a table.
const WRITES_MIN: usize = 512;
/// Two writes for one row are stepped over; more are not.
const WRITES_PER_ROW_MAX: usize = 2;
/// Rows that a scan has to have walked over.
const SCANNED_MIN: usize = 128;
/// Tables are not written out more often, however much is scanned.
const PAUSE: Duration = Duration::from_millis(500);

/// Of one table, since it was last written out.
pub(super) struct Rewrites {
    /// Which rows were written, by hash.
    seen: Box<[u64; BITS / 64]>,
    rows: usize,
    writes: usize,
    written_out: Option<Instant>,
}

impl Default for Rewrites {
    fn default() -> Self {
        Rewrites { seen: Box::new([0; BITS / 64]), rows: 0, writes: 0, written_out: None }
    }
}

impl Rewrites {
    /// A row is written or deleted.
    pub(super) fn note(&mut self, key: &[u8]) {
        if self.writes >= BITS {
            // By then it was written out for its size.
            self.clear();
        }
        let bit = xxh3_64(key) as usize % BITS;
        let word = &mut self.seen[bit / 64];
        let mask = 1 << (bit % 64);
        self.rows += usize::from(*word & mask == 0);
        *word |= mask;
        self.writes += 1;
    }

    /// Whether the table should be written out for the sake of a scan that has walked
    /// over so many rows, and others like it. If so, it counts as done.
    pub(super) fn are_in_the_way(&mut self, scanned: usize, now: Instant) -> bool {
        let rests = self.written_out.is_some_and(|last| now.duration_since(last) < PAUSE);
        let much = self.writes >= WRITES_MIN && self.writes >= WRITES_PER_ROW_MAX * self.rows;
        if scanned < SCANNED_MIN || rests || !much {
            return false;
        }
        self.clear();
        self.written_out = Some(now);
        true
    }

    fn clear(&mut self) {
        self.seen.fill(0);
        (self.rows, self.writes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rows: u32, times: u32) -> Rewrites {
        let mut rewrites = Rewrites::default();
        for row in (0..times).flat_map(|_| 0..rows) {
            rewrites.note(&row.to_be_bytes());
        }
        rewrites
    }

    #[test]
    fn only_what_was_rewritten_is_in_the_way() {
        let now = Instant::now();
        assert!(!written(100, 5).are_in_the_way(1000, now), "too few writes");
        assert!(!written(20_000, 1).are_in_the_way(1000, now), "each row once");
        assert!(!written(1000, 10).are_in_the_way(5, now), "a short scan");
        let mut rewrites = written(1000, 10);
        assert!(rewrites.are_in_the_way(1000, now));
        assert!(!rewrites.are_in_the_way(1000, now + PAUSE), "nothing was written since");
        let more = |rewrites: &mut Rewrites| {
            for n in 0..10_000u32 {
                rewrites.note(&(n % 100).to_be_bytes());
            }
        };
        more(&mut rewrites);
        assert!(!rewrites.are_in_the_way(1000, now + PAUSE / 2), "it was just done");
        assert!(rewrites.are_in_the_way(1000, now + PAUSE));
    }
}
