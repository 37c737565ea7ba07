//! Logs: lines are formatted where they arise and written by one thread, so that
//! a slow terminal or pipe never holds a request up.
//!
//! Lines gather in a bounded buffer; the writer takes all of them at once, then
//! rests a moment, so that a busy server wakes it a hundred times a second and
//! not once per request. What does not fit is dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::config::{LogFormat, LogLevel};

/// Bytes of lines that wait for the writer at most.
const PENDING_MAX: usize = 4 << 20;
const REST: Duration = Duration::from_millis(10);

/// Takes lines for the log. Cheap to clone.
#[derive(Clone)]
pub struct LogSink(Arc<Shared>);

struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    closed: bool,
}

/// The writing thread. Dropping it writes what is left and ends the thread; later
/// lines are dropped.
pub struct LogWriter {
    sink: LogSink,
    thread: Option<JoinHandle<()>>,
}

/// Starts the writer of lines into `out`.
pub fn start(out: impl Write + Send + 'static) -> io::Result<(LogSink, LogWriter)> {
    let shared =
        Shared { pending: Mutex::default(), wake: Condvar::new(), dropped: AtomicU64::new(0) };
    let sink = LogSink(Arc::new(shared));
    let thread = std::thread::Builder::new().name("log".into()).spawn({
        let sink = sink.clone();
        move || sink.write_out(out)
    })?;
    Ok((sink.clone(), LogWriter { sink, thread: Some(thread) }))
}

/// Sends the process's events into the sink.
pub fn install(sink: LogSink, format: LogFormat, level: LogLevel) {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(sink);
    let registry = tracing_subscriber::registry().with(targets(level));
    // Fails only when another subscriber was installed before: in tests.
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(registry.with(lines)),
        LogFormat::Json => tracing::subscriber::set_global_default(registry.with(lines.json())),
    };
}

/// What happens to brokers, the events' job says, once for each time of trouble. Their
/// clients would say it at every try, as warnings and errors.
const CHATTY: [&str; 2] = ["async_nats", "rskafka"];

fn targets(level: LogLevel) -> Targets {
    let all = Targets::new().with_default(filter(level));
    match level {
        LogLevel::Debug | LogLevel::Trace => all,
        _ => CHATTY.into_iter().fold(all, |all, one| all.with_target(one, LevelFilter::OFF)),
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl LogSink {
    /// Adds what `format` appends: one or more whole lines. It runs under the
    /// buffer's lock and must be quick.
    pub fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = self.0.pending.lock();
        if pending.bytes.len() >= PENDING_MAX || pending.closed {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = pending.bytes.is_empty();
        format(&mut pending.bytes);
        drop(pending);
        if was_empty {
            self.0.wake.notify_one();
        }
    }

    /// Lines that were dropped because the writer did not keep up, or could not write.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn write_out(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let closed = {
                let mut pending = self.0.pending.lock();
                while pending.bytes.is_empty() && !pending.closed {
                    self.0.wake.wait(&mut pending);
                }
                std::mem::swap(&mut batch, &mut pending.bytes);
                pending.closed
            };
            // There is nowhere to report a log that cannot be written; it is counted.
            if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.0.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            if closed {
                return;
            }
            batch.clear();
            batch.shrink_to(64 << 10);
            std::thread::sleep(REST);
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.sink.0.pending.lock().closed = true;
        self.sink.0.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

/// One event's line on its way into the sink.
pub struct Line<'a>(&'a LogSink);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(|pending| pending.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks until its lock is free, as a full pipe would.
    #[derive(Clone, Default)]
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.lock());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn dropping_the_writer_writes_every_line_in_order() {
        let paper = Paper::default();
        let (sink, writer) = start(paper.clone()).unwrap();
        for n in 0..1000 {
            sink.append(|bytes| writeln!(bytes, "line {n}").unwrap());
        }
        drop(writer);
        let text = String::from_utf8(paper.0.lock().clone()).unwrap();
        assert!(text.lines().eq((0..1000).map(|n| format!("line {n}"))));
        assert_eq!(sink.dropped(), 0);
    }

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (sink, writer) = start(Full).unwrap();
        for _ in 0..3 {
            sink.append(|bytes| bytes.extend_from_slice(b"line\n"));
        }
        drop(writer);
        assert_eq!(sink.dropped(), 3);
    }

    #[test]
    fn a_stuck_log_drops_lines_and_blocks_nobody() {
        let stuck = Stuck::default();
        let held = stuck.0.lock();
        let (sink, writer) = start(stuck.clone()).unwrap();
        let line = [b'x'; 64 << 10];
        for _ in 0..3 * PENDING_MAX / line.len() {
            sink.append(|bytes| bytes.extend_from_slice(&line));
        }
        assert!(sink.dropped() > 0);
        assert!(sink.0.pending.lock().bytes.len() <= PENDING_MAX + line.len());
        drop(held);
        drop(writer);
    }
}
