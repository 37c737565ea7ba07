//! Spreading work in the background over time.

use std::time::Duration;

/// Pauses shorter than this are saved up; timers are no finer than milliseconds.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Keeps work of any kind at a mean rate, however much of it comes at once.
pub(crate) struct Pace {
    per_second: u64,
    owed: Duration,
}

impl Pace {
    pub fn new(per_second: u64) -> Pace {
        Pace { per_second: per_second.max(1), owed: Duration::ZERO }
    }

    /// Waits as long as this much may take.
    pub async fn spent(&mut self, amount: u64) {
        self.owed += Duration::from_secs_f64(amount as f64 / self.per_second as f64);
        if self.owed >= PAUSE_MIN {
            tokio::time::sleep(std::mem::take(&mut self.owed)).await;
        }
    }
}
