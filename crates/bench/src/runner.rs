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

/// Waits for the moment; false when all threads ended before it. Threads that end
/// because it has come may do so before this one is woken.
fn wait_until(ends: &mpsc::Receiver<()>, moment: Instant) -> bool {
    let left = moment.saturating_duration_since(Instant::now());
    ends.recv_timeout(left) == Err(RecvTimeoutError::Timeout) || Instant::now() >= moment
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::endpoint::{Addressing, Place};
    use crate::keys::KeySpace;
    use crate::meter::ServerMeter;
    use crate::payload::Data;
    use crate::sign::{Credentials, Dialect};
    use crate::workload::{Kind, Mix};

    /// A server that stores nothing: it takes any PUT, refuses objects whose
    /// number ends in 7, and answers GET with 5,000 bytes in chunks.
    fn start_server() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        address
    }

    fn serve(stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            assert!(head.contains("AWS4-HMAC-SHA256 Credential=id/"), "unsigned: {head}");
            let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let len: u64 = len.map_or(0, |len| len.parse().expect("a number"));
            std::io::copy(&mut (&mut reader).take(len), &mut std::io::sink())?;
            let path = head.split(' ').nth(1).expect("a request line");
            if path.ends_with('7') {
                let body = "<Error><Code>SlowDown</Code></Error>";
                write!(writer, "HTTP/1.1 503 No\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
            } else if head.starts_with("GET") {
                let chunk = format!("9c4\r\n{}\r\n", "x".repeat(2500));
                let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                write!(writer, "{answer}{chunk}{chunk}0\r\n\r\n")?;
            } else {
                write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            }
        }
    }

    fn run(workload: Workload, size: u64, limit: Limit, payload: PayloadSigning) -> Outcome {
        let address = start_server();
        let endpoint = format!("http://{address}").parse().expect("an endpoint");
        let target = Arc::new(Target {
            name: "test".into(),
            address,
            place: Place::new(&endpoint, None, "bucket", Addressing::Path),
            create_bucket: false,
            credentials: Credentials { id: "id".into(), secret: "secret".into() },
            region: "us-east-1".into(),
            dialect: Dialect::S3,
            payload,
            content_md5: false,
            quick_ack: true,
            timeout: Duration::from_secs(10),
            meter: ServerMeter { pids: vec![std::process::id()], metrics_url: None },
        });
        let plan = Plan {
            workload,
            concurrency: 3,
            threads: 2,
            limit,
            keys: KeySpace::new("p/".into(), 10, 1, vec![size]),
            first: 0,
            objects: 5,
            range_len: 1,
            part_size: 1,
            page_len: 1,
            mix: Mix::default(),
            data: Data::Random,
            seed: 1,
        };
        execute(&target, &plan).expect("a run")
    }

    #[test]
    fn operations_bytes_and_errors_are_counted() {
        for payload in [PayloadSigning::Signed, PayloadSigning::Unsigned] {
            let outcome = run(Workload::Put, 100_000, Limit::Operations(40), payload);
            let puts = &outcome.tally.kinds[&Kind::Put];
            assert_eq!(puts.latency.count(), 36);
            assert_eq!(puts.bytes, 36 * 100_000);
            assert_eq!(outcome.tally.errors["503 SlowDown"], 4);
            assert!(outcome.elapsed > Duration::ZERO);
            assert!(outcome.server.is_some_and(|server| server.rss_peak_bytes > 0));
        }
    }

    #[test]
    fn a_body_of_another_length_is_an_error() {
        let limit = Limit::Operations(20);
        let right = run(Workload::Get, 5_000, limit, PayloadSigning::Unsigned);
        assert_eq!(right.tally.error_count(), 0);
        assert_eq!(right.tally.whole().bytes, 20 * 5_000);
        let wrong = run(Workload::Get, 4_999, limit, PayloadSigning::Unsigned);
        assert_eq!(wrong.tally.errors["wrong length"], 20);
    }

    #[test]
    fn deleting_ends_with_the_objects_and_time_with_the_clock() {
        let hour = Duration::from_secs(3600);
        let endless = Limit::Time { warmup: hour, measured: hour };
        let outcome = run(Workload::Delete, 0, endless, PayloadSigning::Unsigned);
        assert_eq!(outcome.tally.whole().latency.count(), 5);

        let warmup = Duration::from_millis(20);
        let measured = Duration::from_millis(60);
        let limit = Limit::Time { warmup, measured };
        let outcome = run(Workload::Get, 5_000, limit, PayloadSigning::Unsigned);
        let counted = outcome.tally.whole().latency.count();
        assert_eq!(outcome.elapsed, measured);
        assert!(counted > 0 && counted < outcome.issued, "{counted} of {}", outcome.issued);
    }
}
