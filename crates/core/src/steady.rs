//! Whether the machine's clock goes on as time does.
//!
//! A clock that jumps ahead, before it is set right again, would end what ends by itself
//! and cannot be taken back. So such work waits until the clock has gone on steadily for a
//! while since the process began.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a clock has to go on, and how far it may be off meanwhile.
pub(crate) const STEADY_FOR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct SteadyClock {
    since: Mutex<(Instant, u64)>,
    needed: Duration,
}

impl SteadyClock {
    /// `longest` is the time whose end it is about: where it is short, less is enough.
    pub fn new(now_ms: u64, longest: Duration) -> SteadyClock {
        let since = Mutex::new((Instant::now(), now_ms));
        SteadyClock { since, needed: longest.min(STEADY_FOR) }
    }

    pub fn is_steady(&self, now_ms: u64) -> bool {
        let mut since = self.since.lock();
        let passed = since.0.elapsed();
        let expected = u128::from(since.1) + passed.as_millis();
        if u128::from(now_ms).abs_diff(expected) > self.needed.as_millis() {
            tracing::warn!("the machine's clock has jumped");
            *since = (Instant::now(), now_ms);
            return false;
        }
        passed >= self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_jump_begins_the_time_anew() {
        let second = Duration::from_secs(1);
        let clock = SteadyClock::new(1000, 10 * second);
        assert!(!clock.is_steady(1000));
        tokio::time::advance(9 * second).await;
        assert!(!clock.is_steady(10_500));
        tokio::time::advance(second).await;
        // Off by less than the time that is needed.
        assert!(clock.is_steady(20_000) && clock.is_steady(2_000));
        assert!(!clock.is_steady(22_000));
        tokio::time::advance(9 * second).await;
        assert!(!clock.is_steady(31_000));
        tokio::time::advance(second).await;
        assert!(clock.is_steady(32_000));
        assert!(!clock.is_steady(1000), "back is a jump, too");
    }
}
