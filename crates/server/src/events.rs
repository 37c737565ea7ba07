//! `costrel events`: the targets of events, and what waits for them.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use costrel_core::Store;

use crate::asking::{self, AskError};
use crate::cli::EventsArgs;
use crate::metrics;

/// Path of the figures at the console endpoint.
pub const PATH: &str = "/events";

/// Asks the running server.
pub fn run(args: EventsArgs) -> Result<(), AskError> {
    print!("{}", asking::ask(args.serve, PATH)?);
    Ok(())
}

/// What the server answers.
pub fn page(store: &Store, uin: u64) -> String {
    let mut text = String::new();
    let now_ms = store.now_ms();
    for (target, stats) in store.event_lanes().stats() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{target}  arn:aws:sqs:{}:{uin:012}:{target}", store.region());
        let mut line = |count: u64, what: &str| {
            let _ = writeln!(text, "{count:>16} {what}");
        };
        line(stats.waiting.load(Relaxed), "events wait");
        line(metrics::age_s(stats, now_ms), "seconds since the oldest of them");
        line(stats.sent.load(Relaxed), "sent since the start");
        line(stats.failures.load(Relaxed), "tries that failed");
        line(stats.expired.load(Relaxed), "given up for their age");
        if stats.is_failing.load(Relaxed) {
            let _ = writeln!(text, "the last try failed: {}", stats.last_error.lock());
        }
    }
    if text.is_empty() {
        text.push_str("There are no targets of events.\n");
    }
    text
}
