//! Latencies in buckets that are linear inside each power of two: constant
//! memory, and any quantile is known to within 1.6 %.

use std::time::Duration;

/// Linear steps inside one power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Powers of two above the first `STEPS` values, each with `STEPS` buckets.
const BUCKETS: usize = ((64 - STEP_BITS as usize) + 1) * STEPS as usize;

/// Counts of durations, in nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Histogram { counts: vec![0; BUCKETS], total: 0, sum_ns: 0, max_ns: 0 }
    }

    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    /// Arithmetic mean in microseconds; zero when nothing was recorded.
    pub fn mean_us(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum_ns as f64 / self.total as f64 / 1e3 }
    }

    /// The largest recorded value in microseconds, exact.
    pub fn max_us(&self) -> f64 {
        self.max_ns as f64 / 1e3
    }

    /// The smallest bucket edge, in microseconds, that at least `quantile` of
    /// the values do not exceed; zero when nothing was recorded.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        let rank = ((quantile * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index).min(self.max_ns) as f64 / 1e3;
            }
        }
        0.0
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    // The highest STEP_BITS + 1 bits: the leading one and the step below it.
    let shift = 63 - ns.leading_zeros() - STEP_BITS;
    let step = (ns >> shift) - STEPS;
    ((u64::from(shift) + 1) * STEPS + step) as usize
}

/// The largest value that falls into a bucket.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    let step = index % STEPS;
    // Written so that the last bucket, which ends at u64::MAX, doesn't overflow.
    ((STEPS + step) << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut values: Vec<u64> = (0..2_000).collect();
        for bit in 7..64 {
            let power = 1_u64 << bit;
            values.extend([power - 1, power, power + 1, power + power / 3]);
        }
        values.push(u64::MAX);
        for value in values {
            let index = bucket(value);
            assert!(upper_edge(index) >= value, "{value} above the edge of {index}");
            if index > 0 {
                assert!(upper_edge(index - 1) < value, "{value} belongs below {index}");
            }
            assert!(upper_edge(index) - value <= value / STEPS, "bucket of {value} is too wide");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_uniform_distribution() {
        let mut left = Histogram::new();
        let mut right = Histogram::new();
        for us in 1..=10_000 {
            let half = if us % 2 == 0 { &mut left } else { &mut right };
            half.record(Duration::from_micros(us));
        }
        left.merge(&right);
        assert_eq!(left.count(), 10_000);
        for (quantile, want) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let got = left.quantile_us(quantile);
            assert!((got / want - 1.0).abs() < 0.016, "p{quantile} is {got}");
        }
        assert_eq!(left.max_us(), 10_000.0);
        assert!((left.mean_us() - 5_000.5).abs() < 0.001);
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::new().quantile_us(0.5), 0.0);
        assert_eq!(Histogram::new().mean_us(), 0.0);
    }
}
