//! Reports of inventories.

use std::sync::atomic::Ordering::Relaxed;

use costrel_core::engine::MetricKind::Counter;
use costrel_core::inventory::InventoryStats;

use super::exposition::Exposition;

pub fn write_inventories(page: &mut Exposition, stats: &InventoryStats) {
    let help = "Reports of inventories completed.";
    page.single("costrel_inventory_reports_total", Counter, help, stats.reports.load(Relaxed));
    let help = "Objects and versions written into reports.";
    page.single("costrel_inventory_rows_total", Counter, help, stats.rows.load(Relaxed));
    let help = "Reports that failed and are tried again.";
    page.single("costrel_inventory_failures_total", Counter, help, stats.failures.load(Relaxed));
}
