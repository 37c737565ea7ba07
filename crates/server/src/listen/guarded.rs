//! A stream that does not wait for its client for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// How long a closed connection is still read from. A client that is sending a
/// body when its request is refused would otherwise get a reset, which destroys
/// the answer before the client reads it.
const LINGER: Duration = Duration::from_secs(5);

/// A stream whose writes fail when the other side takes nothing for a while, and
/// whose shutdown waits for the other side to close, within [`LINGER`].
pub struct Guarded<S> {
    stream: S,
    stall_timeout: Duration,
    /// True once the server is stopping: then nothing lingers, since what is
    /// closed are mostly connections that nobody was using.
    draining: watch::Receiver<bool>,
    /// Runs while a write waits, and during shutdown.
    timer: Option<Pin<Box<Sleep>>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Moving,
    /// A write waits; the timer runs.
    Stalled,
    /// Our side is closed; the timer runs.
    Lingering,
}

impl<S> Guarded<S> {
    pub fn new(stream: S, stall_timeout: Duration, draining: watch::Receiver<bool>) -> Self {
        Guarded { stream, stall_timeout, draining, timer: None, state: State::Moving }
    }

    fn start_timer(&mut self, length: Duration) {
        let deadline = Instant::now() + length;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(deadline),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Passes a write's outcome on, or an error when it has waited too long.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // Flushing goes on after the shutdown has begun, and must not undo it.
        if self.state == State::Lingering {
            return outcome;
        }
        if outcome.is_ready() {
            self.state = State::Moving;
            return outcome;
        }
        if self.state == State::Moving {
            self.state = State::Stalled;
            self.start_timer(self.stall_timeout);
        }
        ready!(self.poll_timer(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state != State::Lingering {
            let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.judge(cx, outcome))?;
            if *self.draining.borrow() {
                return Poll::Ready(Ok(()));
            }
            self.state = State::Lingering;
            self.start_timer(LINGER);
        }
        let mut scrap = [0; 4096];
        while self.poll_timer(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // Closed by the other side, properly or not.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn guarded<S>(stream: S) -> Guarded<S> {
        Guarded::new(stream, Duration::from_secs(60), watch::Sender::new(false).subscribe())
    }

    #[tokio::test(start_paused = true)]
    async fn flushing_does_not_prolong_a_shutdown() {
        let (near, far) = tokio::io::duplex(1024);
        let mut near = guarded(near);
        let started = Instant::now();
        // As hyper does it: each wake-up flushes before it goes on closing.
        std::future::poll_fn(|cx| {
            let _ = Pin::new(&mut near).poll_flush(cx);
            Pin::new(&mut near).poll_shutdown(cx)
        })
        .await
        .unwrap();
        assert_eq!(started.elapsed(), LINGER);
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_lingers_when_the_server_stops() {
        let (near, far) = tokio::io::duplex(1024);
        let draining = watch::Sender::new(true);
        let mut near = Guarded::new(near, Duration::from_secs(60), draining.subscribe());
        let started = Instant::now();
        near.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = guarded(near);
        let started = Instant::now();
        let writing = tokio::spawn(async move {
            let outcome = near.write_all(&[0; 4096]).await;
            (outcome.map_err(|error| error.kind()), started.elapsed())
        });
        // Progress just before the limit starts the wait anew.
        tokio::time::sleep(Duration::from_secs(59)).await;
        far.read_exact(&mut [0; 1024]).await.unwrap();
        let (outcome, elapsed) = writing.await.unwrap();
        assert_eq!(outcome, Err(io::ErrorKind::TimedOut));
        assert_eq!(elapsed.as_secs(), 59 + 60);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_reads_on_until_the_client_closes() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = guarded(near);
        let closing = tokio::spawn(async move { near.shutdown().await });
        far.write_all(&[0; 100_000]).await.unwrap();
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        drop(far);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_ever() {
        let (near, far) = tokio::io::duplex(1024);
        let mut near = guarded(near);
        let started = Instant::now();
        near.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), LINGER);
        drop(far);
    }
}
