//! Speed limits of single requests: COS's `x-cos-traffic-limit`.

use std::future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::dialect::cos::TRAFFIC_LIMIT;
use crate::request::{Outcome, bad_header};

/// What a limit may be, in bits per second.
const BITS_PER_SECOND: RangeInclusive<u64> = 819_200..=838_860_800;

/// How much time may be made up for in which nothing passed, so that the grain of timers
/// and of threads' turns costs no speed.
const CATCH_UP: Duration = Duration::from_millis(100);

/// How long what passes at once may take at the speed: what is sent comes evenly.
const PIECE: Duration = Duration::from_millis(50);

/// Bytes that may pass in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speed(u64);

impl Speed {
    /// What a request says in bits per second; nothing and an empty text are no limit.
    pub fn parse(said: Option<&str>) -> Outcome<Option<Speed>> {
        let Some(text) = said.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(bits) if BITS_PER_SECOND.contains(&bits) => Ok(Some(Speed(bits / 8))),
            _ => Err(bad_header(
                &TRAFFIC_LIMIT,
                text,
                "The speed limit must be a number of bits per second from 819200 to 838860800.",
            )),
        }
    }

    pub fn bytes_per_second(self) -> u64 {
        self.0
    }

    fn time_of(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.0 as f64)
    }
}

/// Keeps a body to its speed.
pub struct Pacer {
    speed: Speed,
    /// When the next bytes may pass.
    free: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Pacer {
    pub fn new(speed: Speed) -> Pacer {
        let free = Instant::now();
        Pacer { speed, free, timer: Box::pin(tokio::time::sleep_until(free)) }
    }

    /// How many bytes should pass at once at most.
    pub fn piece_max(&self) -> usize {
        (self.speed.0 as f64 * PIECE.as_secs_f64()) as usize
    }

    /// Notes that so many bytes pass.
    pub fn pass(&mut self, bytes: usize) {
        let now = Instant::now();
        let from = now.checked_sub(CATCH_UP).map_or(self.free, |then| self.free.max(then));
        self.free = from + self.speed.time_of(bytes);
        if self.free > now {
            self.timer.as_mut().reset(self.free);
        }
    }

    /// Whether bytes may pass.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.free > Instant::now() {
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }

    /// Waits until bytes may pass.
    pub async fn wait(&mut self) {
        future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    #[test]
    fn limits_are_numbers_in_their_range() {
        for (said, limit) in [
            (None, None),
            (Some(""), None),
            (Some("819200"), Some(Speed(102_400))),
            (Some("838860800"), Some(Speed(104_857_600))),
        ] {
            assert_eq!(Speed::parse(said).unwrap(), limit, "{said:?}");
        }
        for wrong in ["819199", "838860801", "-1", "1e6", "1 000 000", "99999999999999999999"] {
            let refused = Speed::parse(Some(wrong));
            assert!(matches!(refused, Err(Failure::InvalidArgument { .. })), "{wrong:?}");
        }
    }

    /// Lets bytes pass piece by piece; how long it takes.
    async fn passing(pacer: &mut Pacer, bytes: usize) -> Duration {
        let begun = Instant::now();
        let mut left = bytes;
        while left > 0 {
            pacer.wait().await;
            let piece = left.min(pacer.piece_max());
            pacer.pass(piece);
            left -= piece;
        }
        pacer.wait().await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_speed() {
        let mut pacer = Pacer::new(Speed(1_000_000));
        let took = passing(&mut pacer, 3_000_000).await;
        let (least, most) = (Duration::from_millis(2_990), Duration::from_millis(3_010));
        assert!(took >= least && took <= most, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_made_up_for() {
        let mut pacer = Pacer::new(Speed(1_000_000));
        passing(&mut pacer, 1_000_000).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let took = passing(&mut pacer, 1_000_000).await;
        assert!(took >= Duration::from_secs(1) - CATCH_UP - PIECE, "{took:?}");
    }
}
