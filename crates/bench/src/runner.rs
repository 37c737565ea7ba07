//! Runs a plan: threads, connections, the measured window, and what was used
//! meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::task::LocalSet;

use crate::error::BenchError;
use crate::meter::{Sample, sample_processes, sample_self};
use crate::payload::Payloads;
use crate::tally::Tally;
use crate::target::{PayloadSigning, Target};
use crate::worker::{Shared, Worker};
use crate::workload::{Limit, Plan, Workload};

/// How often the server's memory is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// What a run has brought to light.
pub struct Outcome {
    pub tally: Tally,
    /// Length of the measured window.
    pub elapsed: Duration,
    pub client_cpu_seconds: f64,
    pub server: Option<ServerUse>,
    /// Operations begun, warm-up included.
    pub issued: u64,
}

/// What the server used in the measured window.
#[derive(Clone, Copy, Debug)]
pub struct ServerUse {
    pub cpu_seconds: f64,
    pub rss_before_bytes: u64,
    pub rss_peak_bytes: u64,
}

/// Does a run to its end. Blocks the calling thread; the connections live on
/// threads of their own, so it may be called from anywhere.
pub fn execute(target: &Arc<Target>, plan: &Plan) -> Result<Outcome, BenchError> {
    let payloads = payloads(target, plan);
    let processes = target.meter.processes()?;
    let memory = MemoryWatch::start(processes.clone());
    let now = Instant::now();
    let (count_from, count_until) = match plan.limit {
        // Warming up would delete objects that are there only once.
        Limit::Time { measured, .. } if plan.workload == Workload::Delete => {
            (now, Some(now + measured))
        }
        Limit::Time { warmup, measured } => (now + warmup, Some(now + warmup + measured)),
        Limit::Operations(_) => (now, None),
    };
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        target: target.clone(),
        payloads,
        issued: AtomicU64::new(0),
        count_from,
        count_until,
    });

    let mut before = samples(target, &processes)?;
    let (ended, ends) = mpsc::channel::<()>();
    let threads = plan.threads.clamp(1, plan.concurrency.max(1));
    let handles: Vec<_> = (0..threads)
        .map(|index| {
            let shared = shared.clone();
            let ended = ended.clone();
            thread::spawn(move || {
                let tally = connections(&shared, index, threads);
                drop(ended);
                tally
            })
        })
        .collect();
    drop(ended);

    // The channel carries nothing: it disconnects when all threads have ended,
    // which happens early when there is nothing left to delete.
    let mut at_end = None;
    if let Some(until) = count_until
        && wait_until(&ends, count_from)
    {
        before = samples(target, &processes)?;
        if wait_until(&ends, until) {
            at_end = Some((samples(target, &processes)?, until));
        }
    }
    let mut tally = Tally::default();
    for handle in handles {
        let part = handle.join().map_err(|_| BenchError::setting("run", "a thread panicked"))?;
        tally.merge(part.map_err(|e| BenchError::io("start a runtime", e))?);
    }
    let (after, end) = match at_end {
        Some(at_end) => at_end,
        None => (samples(target, &processes)?, tally.last.unwrap_or(count_from)),
    };
    let rss_peak = memory.stop();
    Ok(Outcome {
        elapsed: end.saturating_duration_since(count_from),
        client_cpu_seconds: after.client.cpu_seconds - before.client.cpu_seconds,
        server: before.server.zip(after.server).map(|(before, after)| ServerUse {
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            rss_before_bytes: before.rss_bytes,
            rss_peak_bytes: rss_peak.max(before.rss_bytes).max(after.rss_bytes),
        }),
        issued: shared.issued.load(Ordering::Relaxed),
        tally,
    })
}

fn payloads(target: &Target, plan: &Plan) -> Payloads {
    let mut sizes: Vec<u64> = match plan.workload {
        Workload::Multipart => plan
            .keys
            .sizes()
            .iter()
            .flat_map(|size| [plan.part_size.min(*size), size % plan.part_size])
            .collect(),
        Workload::Put | Workload::Mixed => plan.keys.sizes().to_vec(),
        _ => Vec::new(),
    };
    sizes.sort_unstable();
    sizes.dedup();
    let signed = target.payload == PayloadSigning::Signed;
    Payloads::new(plan.data, &sizes, signed, target.content_md5, plan.seed)
}

/// One thread's share of the connections, until they have all ended.
fn connections(shared: &Arc<Shared>, thread: usize, threads: usize) -> std::io::Result<Tally> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let tasks: Vec<_> = (thread..shared.plan.concurrency)
        .step_by(threads)
        .map(|index| local.spawn_local(Worker::new(shared.clone(), index as u64).run()))
        .collect();
    local.block_on(&runtime, async {
        let mut tally = Tally::default();
        for task in tasks {
            tally.merge(task.await.map_err(std::io::Error::other)?);
        }
        Ok(tally)
    })
}

/// Whether the moment came before the end of all threads.
fn wait_until(ends: &mpsc::Receiver<()>, moment: Instant) -> bool {
    let left = moment.saturating_duration_since(Instant::now());
    ends.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
}

struct Samples {
    client: Sample,
    server: Option<Sample>,
}

fn samples(target: &Target, processes: &[u32]) -> Result<Samples, BenchError> {
    Ok(Samples { client: sample_self()?, server: target.meter.sample(processes)? })
}

/// Looks at the memory of processes until it is stopped.
struct MemoryWatch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    handle: Option<thread::JoinHandle<()>>,
}

impl MemoryWatch {
    fn start(processes: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(0));
        let handle = (!processes.is_empty()).then(|| {
            let (stop, peak) = (stop.clone(), peak.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A process that has ended shows at the end of the run.
                    if let Ok(sample) = sample_processes(&processes) {
                        peak.fetch_max(sample.rss_bytes, Ordering::Relaxed);
                    }
                    thread::sleep(MEMORY_INTERVAL);
                }
            })
        });
        MemoryWatch { stop, peak, handle }
    }

    /// The most that was seen, in bytes.
    fn stop(mut self) -> u64 {
        self.halt();
        self.peak.load(Ordering::Relaxed)
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(handle) = self.handle.take() {
            // The thread has nothing to report but the peak.
            let _ = handle.join();
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.halt();
    }
}
