//! `costrel usage`: what buckets hold, by the counters, and whether the rows say the
//! same.

use std::fmt::Write;
use std::process::ExitCode;

use costrel_core::Store;
use costrel_core::bucket::ListBuckets;
use costrel_core::engine::{PartitionState, Tally};
use costrel_core::usage::{self, BucketUsage, DayUsage};

use crate::asking::{self, AskError};
use crate::cli::{RecountArgs, UsageShowArgs};
use crate::config::{self, ConfigError};
use crate::engine::{self, EngineOpenError};

/// Path of the figures at the console endpoint.
pub const PATH: &str = "/usage";

#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Open(#[from] EngineOpenError),
    #[error("the recount stopped: {0}")]
    Recount(#[from] costrel_core::Error),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Asks the running server.
pub fn show(args: UsageShowArgs) -> Result<(), UsageError> {
    let target = match &args.bucket {
        Some(bucket) => asking::about(PATH, bucket)?,
        None => PATH.to_owned(),
    };
    print!("{}", asking::ask(args.serve, &target)?);
    Ok(())
}

/// Counts all rows; succeeds if the counters say the same, or have been corrected.
pub fn recount(args: RecountArgs) -> Result<ExitCode, UsageError> {
    let config = config::load(args.serve.given, args.serve.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let differences = runtime.block_on(async {
        let engine = engine::open_to_check(&config).await?;
        let counted = recount_all(&*engine, args.correct).await;
        let closed = engine.close().await.map_err(costrel_core::Error::from);
        let counted = counted?;
        // What was corrected has to be there.
        closed?;
        Ok::<_, UsageError>(counted)
    })?;
    Ok(match differences == 0 || args.correct {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn recount_all(
    engine: &dyn costrel_core::engine::Engine,
    correct: bool,
) -> Result<u64, costrel_core::Error> {
    let (mut buckets, mut differences, mut uncounted) = (0, 0, 0);
    for (bucket, state) in engine.index().partitions().await? {
        if state != PartitionState::Live {
            continue;
        }
        let found = usage::recount(engine, bucket).await?;
        buckets += 1;
        uncounted += found.uncounted;
        if !found.agrees() {
            differences += 1;
            println!("bucket {:016x}: the counters say", bucket.0);
            print!("{}and the rows\n{}", lines(&found.counters), lines(&found.rows));
            if correct {
                usage::correct(engine, bucket, &found).await?;
            }
        }
    }
    println!("{buckets:>16} buckets");
    println!("{uncounted:>16} rows not counted yet");
    println!("{differences:>16} differences{}", if correct { ", corrected" } else { "" });
    Ok(differences)
}

/// What the server answers, for one bucket or all.
pub async fn page(store: &Store, uin: u64, bucket: Option<&str>) -> costrel_core::Result<String> {
    let mut text = String::new();
    match bucket {
        Some(name) => {
            let usage = store.usage(&*store.bucket(name).await?).await?;
            text.push_str(&lines(&usage));
            let today = store.usage_calendar().day(store.now_ms());
            for day in store.days_used(name, (today, today)).await? {
                text.push_str(&traffic_lines(&day));
            }
        }
        None => {
            for (name, usage) in all(store, uin, usize::MAX).await? {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name}");
                text.push_str(&lines(&usage));
            }
        }
    }
    if !store.is_all_counted().await? {
        text.push_str(
            "What was there before anything was counted is still being counted: \
             these figures are too low.\n",
        );
    }
    Ok(text)
}

/// The figures of the first `max` buckets, by their names.
pub async fn all(
    store: &Store,
    uin: u64,
    max: usize,
) -> costrel_core::Result<Vec<(String, BucketUsage)>> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let request = ListBuckets {
            owner_uin: uin,
            after,
            max: 1000.min(max - found.len()),
            ..Default::default()
        };
        let page = store.list_buckets(&request).await?;
        for bucket in page.buckets {
            let usage = store.usage(&bucket).await?;
            found.push((bucket.name.as_str().to_owned(), usage));
        }
        match page.next {
            Some(next) if found.len() < max => after = next,
            _ => return Ok(found),
        }
    }
}

fn lines(usage: &BucketUsage) -> String {
    let mut text = String::new();
    let mut line = |tally: Tally, what: &str| {
        if tally != Tally::default() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>16} bytes in {:>10} {what}", tally.bytes, tally.count);
        }
    };
    for class in &usage.classes {
        line(class.current, &format!("objects, {}", class.class));
        line(class.noncurrent, &format!("noncurrent versions, {}", class.class));
        line(Tally { count: class.uploads, bytes: 0 }, &format!("open uploads, {}", class.class));
        line(class.parts, &format!("parts outside of objects, {}", class.class));
    }
    line(Tally { count: usage.delete_markers, bytes: 0 }, "delete markers");
    let total = usage.total();
    let _ = writeln!(text, "{:>16} bytes in {:>10} objects and versions", total.bytes, total.count);
    text
}

/// What requests have done on a day.
fn traffic_lines(day: &DayUsage) -> String {
    let mut text = String::new();
    let (mut reads, mut writes) = (0, 0);
    for class in &day.classes {
        reads += class.reads;
        writes += class.writes;
    }
    let traffic = &day.traffic;
    for (count, what) in [
        (reads, "requests that read, today"),
        (writes, "requests that wrote, today"),
        (traffic.internet_in, "bytes in from the internet, today"),
        (traffic.internet_out, "bytes out to the internet, today"),
        (traffic.internal_in, "bytes in from internal networks, today"),
        (traffic.internal_out, "bytes out to internal networks, today"),
    ] {
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{count:>16} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use costrel_core::usage::ClassUsage;

    use super::*;

    #[test]
    fn figures_are_lines() {
        let usage = BucketUsage {
            classes: vec![ClassUsage {
                class: "STANDARD",
                current: Tally { count: 2, bytes: 30 },
                noncurrent: Tally { count: 1, bytes: 4 },
                uploads: 0,
                parts: Tally { count: 2, bytes: 7 },
            }],
            delete_markers: 3,
        };
        let want = "              30 bytes in          2 objects, STANDARD\n\
                    \x20              4 bytes in          1 noncurrent versions, STANDARD\n\
                    \x20              7 bytes in          2 parts outside of objects, STANDARD\n\
                    \x20              0 bytes in          3 delete markers\n\
                    \x20             34 bytes in          3 objects and versions\n";
        assert_eq!(lines(&usage), want);
        let none = "               0 bytes in          0 objects and versions\n";
        assert_eq!(lines(&BucketUsage::default()), none);
    }
}
