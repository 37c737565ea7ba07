use std::time::Duration;

use bytes::{Bytes, BytesMut};
use costrel_core::BodyError;
use futures_util::poll;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::pin::pin;
use std::task::Poll;
use tokio::time::Instant;

use super::speed::{Pacer, Speed};
use crate::error::Failure;
use crate::xml::XmlError;

/// How slowly a body may come in.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Longest pause between two pieces.
    pub idle: Duration,
    /// Least bytes per second on average, after the first `idle` has passed.
    pub bytes_per_second_min: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        BodyLimits { idle: Duration::from_secs(30), bytes_per_second_min: 256 }
    }
}

/// Bytes of a refused request's body that are still read, so that a client that
/// sends all before it reads gets to see the answer.
const DRAIN_BYTES_MAX: u64 = 8 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// A request's body as the connection delivers it.
pub struct Incoming {
    body: hyper::body::Incoming,
    limits: BodyLimits,
    begun: Option<Instant>,
    received: u64,
    /// When the last of it came.
    last: Option<std::time::Instant>,
    ended: bool,
    broken: bool,
    /// What was read and given back.
    ahead: Option<Bytes>,
    /// Keeps it slow, if the client asks for that.
    pacer: Option<Pacer>,
}

impl Incoming {
    pub fn new(body: hyper::body::Incoming, limits: BodyLimits) -> Incoming {
        Incoming {
            body,
            limits,
            begun: None,
            received: 0,
            last: None,
            ended: false,
            broken: false,
            ahead: None,
            pacer: None,
        }
    }

    /// Takes the rest no faster than at this speed, if there is one.
    pub fn slow_to(&mut self, speed: Option<Speed>) {
        self.pacer = speed.map(Pacer::new);
        let Some(speed) = speed else { return };
        // It could not come faster than that, however fast it is sent.
        let least = &mut self.limits.bytes_per_second_min;
        *least = (*least).min(speed.bytes_per_second() / 2);
    }

    /// Whether it is kept slower than it might come.
    pub fn is_slowed(&self) -> bool {
        self.pacer.is_some()
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// When the last of it came, if anything did.
    pub fn last_received(&self) -> Option<std::time::Instant> {
        self.last
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.wait().await;
        }
        while !self.ended {
            let frame = {
                let mut frame = pin!(self.body.frame());
                // A timer costs more than most pieces: only those that are not
                // there yet get one.
                match poll!(frame.as_mut()) {
                    Poll::Ready(frame) => frame,
                    Poll::Pending => {
                        let begun = *self.begun.get_or_insert_with(Instant::now);
                        match tokio::time::timeout(self.limits.idle, frame).await {
                            Ok(frame) if !too_slow(&self.limits, begun, self.received) => frame,
                            _ => {
                                self.broken = true;
                                return Err(BodyError::TooSlow);
                            }
                        }
                    }
                }
            };
            match frame {
                None => self.ended = true,
                Some(Err(error)) => {
                    self.broken = true;
                    // hyper calls a body that ends early an incomplete message.
                    return Err(match error.is_incomplete_message() {
                        true => BodyError::Truncated,
                        false => BodyError::Disconnected,
                    });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.received += data.len() as u64;
                        self.last = Some(std::time::Instant::now());
                        if let Some(pacer) = &mut self.pacer {
                            pacer.pass(data.len());
                        }
                        return Ok(Some(data));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The whole body in memory, for documents.
    pub async fn collect(&mut self, max: usize) -> Result<Bytes, Failure> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await.map_err(costrel_core::Error::Body)? {
            if all.len() + piece.len() > max {
                return Err(XmlError::TooLarge { max }.into());
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The whole body, which whoever reads it next finds as if nobody had looked; `None` if
    /// it is longer.
    pub async fn look(&mut self, max: usize) -> Result<Option<Bytes>, BodyError> {
        let mut all = BytesMut::new();
        while all.len() <= max
            && let Some(piece) = self.next().await?
        {
            all.extend_from_slice(&piece);
        }
        let all = all.freeze();
        self.ahead = Some(all.clone()).filter(|all| !all.is_empty());
        Ok(Some(all).filter(|all| all.len() <= max))
    }

    /// Reads on after a refusal, within bounds. False when the connection is of
    /// no more use.
    pub async fn drain(&mut self, headers: &HeaderMap) -> bool {
        if self.broken {
            return false;
        }
        // Such a client waits for a word before it sends anything.
        let waits = headers.contains_key(header::EXPECT) && self.received == 0;
        if waits {
            return false;
        }
        self.pacer = None;
        let until = self.received + DRAIN_BYTES_MAX;
        let drained = tokio::time::timeout(DRAIN_TIME_MAX, async {
            while let Ok(Some(_)) = self.next().await {
                if self.received > until {
                    return;
                }
            }
        });
        let _ = drained.await;
        self.ended
    }
}

fn too_slow(limits: &BodyLimits, begun: Instant, received: u64) -> bool {
    let elapsed = begun.elapsed();
    elapsed > limits.idle && received < limits.bytes_per_second_min * elapsed.as_secs()
}
