//! What the operating system says about this process.

use costrel_core::engine::MetricKind;
use rustix::time::{ClockId, clock_gettime};

use super::exposition::Exposition;

pub fn write(page: &mut Exposition) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    page.single(
        "process_cpu_seconds_total",
        MetricKind::Counter,
        "CPU time spent in user and system mode.",
        cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
    );
    if let Some(bytes) = resident_bytes() {
        let help = "Resident memory.";
        page.single("process_resident_memory_bytes", MetricKind::Gauge, help, bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        let help = "Open file descriptors.";
        page.single("process_open_fds", MetricKind::Gauge, help, files.count());
    }
}

/// Resident set in bytes; `None` where there is no `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        let mut page = Exposition::default();
        write(&mut page);
        let page = page.finish();
        for name in ["process_cpu_seconds_total 0.", "process_open_fds "] {
            assert!(page.contains(name), "{page}");
        }
    }
}
