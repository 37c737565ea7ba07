//! Hears of every finished request: counts it, logs it, and notes what is to be audited.

use std::sync::Arc;

use costrel_core::env::Clock;
use costrel_protocol::{Observer, RequestRecord};

use crate::access_log::AccessLog;
use crate::audit::AuditLog;
use crate::metrics::Metrics;
use crate::world::SystemClock;

pub struct Requests {
    metrics: Arc<Metrics>,
    /// None when the level of the log is above that of requests.
    log: Option<AccessLog>,
    audit: Option<AuditLog>,
}

impl Requests {
    pub fn new(metrics: Arc<Metrics>, log: Option<AccessLog>, audit: Option<AuditLog>) -> Self {
        Requests { metrics, log, audit }
    }
}

impl Observer for Requests {
    fn request_begun(&self) {
        self.metrics.in_flight.enter();
    }

    fn request_done(&self, record: &RequestRecord) {
        self.metrics.in_flight.leave();
        self.metrics.requests.record(
            (record.operation, record.dialect.name()),
            record.status,
            (record.bytes_in, record.bytes_out),
            record.duration,
        );
        if let Some(log) = &self.log {
            log.write(record, SystemClock.now_ms());
        }
        if let Some(audit) = &self.audit {
            audit.write(record);
        }
    }
}
