//! CPU time and memory of the server and of this process.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::endpoint::{Addressing, Endpoint, Place};
use crate::error::BenchError;

/// Ticks per second in `/proc/*/stat`: the kernel's USER_HZ, which is 100 on
/// every architecture we run on, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;
const METRICS_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server's figures come from.
#[derive(Clone, Debug, Default)]
pub struct ServerMeter {
    /// Processes whose figures are added up, with all their descendants.
    pub pids: Vec<u32>,
    /// A Prometheus page with `process_cpu_seconds_total`, used when there are
    /// no processes to look at.
    pub metrics_url: Option<String>,
}

/// Figures at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// CPU time used since the start, user and system.
    pub cpu_seconds: f64,
    /// Resident memory; pages shared between processes count for each.
    pub rss_bytes: u64,
}

impl ServerMeter {
    /// Processes to look at during a run; empty without `pids`.
    pub fn processes(&self) -> Result<Vec<u32>, BenchError> {
        if self.pids.is_empty() { Ok(Vec::new()) } else { with_descendants(&self.pids) }
    }

    /// `None` when nothing was said about how to meter the server.
    pub fn sample(&self, processes: &[u32]) -> Result<Option<Sample>, BenchError> {
        if !processes.is_empty() {
            return sample_processes(processes).map(Some);
        }
        self.metrics_url.as_deref().map(sample_metrics).transpose()
    }
}

/// Figures of this process.
pub fn sample_self() -> Result<Sample, BenchError> {
    sample_processes(&[std::process::id()])
}

/// The sum over the given processes.
pub fn sample_processes(processes: &[u32]) -> Result<Sample, BenchError> {
    let mut sum = Sample::default();
    for pid in processes {
        let stat = read_stat(*pid)?;
        sum.cpu_seconds += stat.cpu_seconds;
        sum.rss_bytes += resident_bytes(*pid)?;
    }
    Ok(sum)
}

struct Stat {
    parent: u32,
    cpu_seconds: f64,
}

fn read_stat(pid: u32) -> Result<Stat, BenchError> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|e| BenchError::io(format!("read {path}"), e))?;
    parse_stat(&text).ok_or_else(|| BenchError::Meter(format!("{path} has an unknown form")))
}

/// The command's name, in parentheses, may hold anything; fields are counted
/// after its end (proc_pid_stat(5): parent is 4th, utime and stime 14th and 15th).
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        cpu_seconds: (ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND,
    })
}

fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| BenchError::io(format!("read {path}"), e))?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    kib.map(|kib| kib << 10)
        .ok_or_else(|| BenchError::Meter(format!("{path} has no VmRSS; has the process ended?")))
}

/// The processes and everything they have started.
fn with_descendants(roots: &[u32]) -> Result<Vec<u32>, BenchError> {
    let listing = fs::read_dir("/proc").map_err(|e| BenchError::io("list /proc", e))?;
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in listing.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between listing and reading.
        if let Ok(stat) = read_stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut waiting = roots.to_vec();
    while let Some(pid) = waiting.pop() {
        if !found.contains(&pid) {
            found.push(pid);
            waiting.extend(children.remove(&pid).unwrap_or_default());
        }
    }
    Ok(found)
}

fn sample_metrics(url: &str) -> Result<Sample, BenchError> {
    let page = fetch(url)?;
    let metric = |name: &str| {
        page.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(' ')?;
            value.split_ascii_whitespace().next()?.parse::<f64>().ok()
        })
    };
    let cpu_seconds = metric("process_cpu_seconds_total")
        .ok_or_else(|| BenchError::Meter(format!("{url} has no process_cpu_seconds_total")))?;
    let rss_bytes = metric("process_resident_memory_bytes").unwrap_or(0.0) as u64;
    Ok(Sample { cpu_seconds, rss_bytes })
}

/// Fetches a small page outside of the measured connections. HTTP/1.0 keeps the
/// answer free of chunks and ends it with the connection.
fn fetch(url: &str) -> Result<String, BenchError> {
    let path_start = url.get(7..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| at + 7);
    let endpoint: Endpoint = url[..path_start].parse()?;
    let path = if path_start == url.len() { "/metrics" } else { &url[path_start..] };
    let host = Place::new(&endpoint, None, "", Addressing::Path).host;
    let mut page = String::new();
    let exchange = |page: &mut String| -> std::io::Result<()> {
        let address = endpoint.resolve().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, METRICS_TIMEOUT)?;
        stream.set_read_timeout(Some(METRICS_TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
        stream.read_to_string(page)?;
        Ok(())
    };
    exchange(&mut page).map_err(|e| BenchError::io(format!("fetch {url}"), e))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_awkward_names() {
        let stat =
            parse_stat("42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 9 9 20 0 4 0 1 2 3\n")
                .expect("well-formed");
        assert_eq!(stat.parent, 7);
        assert_eq!(stat.cpu_seconds, 2.0);
        assert!(parse_stat("42 (a").is_none());
    }

    #[test]
    fn this_process_is_metered() {
        let own = std::process::id();
        assert!(with_descendants(&[own]).expect("/proc").contains(&own));
        let sample = sample_self().expect("/proc/self");
        assert!(sample.rss_bytes > 1 << 20);
    }
}
