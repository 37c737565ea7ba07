//! A request's line in the log of its bucket.
//!
//! What a line needs is gathered when the answer is made, and only for buckets that are
//! logged; the line is made when the answer has been sent or given up, in the form of
//! the service whose client has configured the log.

mod cos;
mod names;
mod s3;
mod text;

use std::sync::Arc;
use std::time::{Duration, Instant};

use costrel_core::Store;
use costrel_core::account::AccessKey;
use costrel_core::bucket::Bucket;
use costrel_core::logging::{Form as LogForm, Logged};
use costrel_core::usage::Meter;
use costrel_signature::Form;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body;

use crate::dialect::Dialect;
use crate::observe::{Deleted, RequestRecord, Source};
use crate::ops::Operation;
use crate::reply::Reply;
use crate::request::host_of;

/// What becomes known of a request on its way, for the line.
#[derive(Default)]
pub(crate) struct Trace {
    /// The bucket, if it is there.
    pub bucket: Option<Arc<Bucket>>,
    /// Where its line goes. Of some requests that is known only when they are over.
    pub logged: Option<Logged>,
    pub looked_up: bool,
    /// Counts what its commits do.
    pub meter: Option<Arc<Meter>>,
    pub operation: Option<Operation>,
    pub is_visit: bool,
    pub form: Option<Form>,
    pub key: Option<Arc<AccessKey>>,
}

/// An answered request of a logged bucket, whose answer may still be on its way.
pub(crate) struct Entry {
    store: Arc<Store>,
    /// `None` if only what it copies is of a logged bucket.
    logged: Option<Logged>,
    /// What it copies, where that has a line of its own.
    source: Option<(Logged, Source)>,
    /// Keys that it has deleted, where each has.
    deleted: Vec<Deleted>,
    trace: Trace,
    host: Vec<u8>,
    /// Path and query as they came, without what signs.
    target: String,
    version: http::Version,
    user_agent: Vec<u8>,
    referer: Vec<u8>,
    second_id: String,
    /// Of what is stored now, if the request was about an object that is there.
    object_size: Option<u64>,
    class: Option<String>,
    version_id: Option<String>,
    turnaround: Duration,
}

impl Entry {
    /// Whether a log's form has lines for what a request does besides.
    pub(crate) fn has_more_lines(logged: &Logged) -> bool {
        logged.logging.form() == LogForm::S3
    }

    /// `received` is when the request was there as a whole, `second` the second id of
    /// its answer.
    pub(crate) fn new(
        store: &Arc<Store>,
        (logged, source, mut deleted): (Option<Logged>, Option<(Logged, Source)>, Vec<Deleted>),
        trace: Trace,
        parts: &Parts,
        (dialect, reply): (Dialect, &Reply),
        received: Instant,
        second_id: String,
    ) -> Entry {
        let bytes = |name: &HeaderName| {
            parts.headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
        };
        let said = |name: &HeaderName| {
            let value = reply.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let names = dialect.headers();
        let asked = parts.uri.query().and_then(|query| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut versions = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("versionId"));
            versions.next().map(|(_, value)| value.to_owned())
        });
        let made = trace.meter.as_ref().and_then(|meter| meter.made());
        let made = made.filter(|_| trace.operation.is_none_or(makes_object));
        let shown = shown_size(parts, reply, &trace);
        let said_class = said(&names.storage_class);
        let class = match (&made, shown) {
            (Some(made), _) if made.class.is_empty() => Some("STANDARD".to_owned()),
            (Some(made), _) => Some(made.class.clone()),
            (None, Some(_)) => Some(said_class.unwrap_or_else(|| "STANDARD".to_owned())),
            (None, None) => None,
        };
        if !logged.as_ref().is_some_and(Entry::has_more_lines) {
            deleted.clear();
        }
        Entry {
            store: store.clone(),
            logged,
            source,
            deleted,
            host: host_of(&parts.uri, &parts.headers).unwrap_or_default().into(),
            target: text::without_signature(
                parts.uri.path_and_query().map_or("", |target| target.as_str()),
            ),
            version: parts.version,
            user_agent: bytes(&header::USER_AGENT),
            // A page that was opened by a link sends the link on.
            referer: match parts.headers.get(header::REFERER).map(HeaderValue::to_str) {
                Some(Ok(referer)) => text::without_signature(referer).into_bytes(),
                _ => bytes(&header::REFERER),
            },
            second_id,
            object_size: made.map(|made| made.size).or(shown),
            class,
            version_id: said(&names.version_id).or(asked).filter(|id| !id.is_empty()),
            turnaround: received.elapsed(),
            trace,
        }
    }

    /// Hands the line in.
    pub(crate) fn write(&self, record: &RequestRecord) {
        // COS names the end of a request, S3 when it came.
        let now_ms = self.store.now_ms();
        let came_ms = now_ms.saturating_sub(record.duration.as_millis() as u64);
        if let Some(logged) = &self.logged {
            let (at_ms, line) = match logged.logging.form() {
                LogForm::Cos => (now_ms, cos::line(self, &logged.bucket, record, now_ms)),
                LogForm::S3 => (came_ms, s3::line(self, &logged.bucket, record, came_ms)),
            };
            self.store.log_request(logged, at_ms, line);
            for deleted in &self.deleted {
                let line = s3::deletion(self, &logged.bucket, record, came_ms, deleted);
                self.store.log_request(logged, came_ms, line);
            }
        }
        let read = self.trace.meter.as_ref().and_then(|meter| meter.copied_from());
        if let (Some((logged, source)), Some(size)) = (&self.source, read) {
            let line = s3::copied(self, record, came_ms, (source, size));
            self.store.log_request(logged, came_ms, line);
        }
    }

    fn stored(&self) -> i64 {
        self.trace.meter.as_ref().map_or(0, |meter| meter.stored())
    }
}

fn makes_object(operation: Operation) -> bool {
    operation.creates() || operation == Operation::CompleteMultipartUpload
}

/// The whole object's size, if the answer tells it.
fn shown_size(parts: &Parts, reply: &Reply, trace: &Trace) -> Option<u64> {
    let is_read = matches!(trace.operation, Some(Operation::GetObject | Operation::HeadObject));
    if !is_read && !trace.is_visit {
        return None;
    }
    let header = |name| reply.headers().get(name).and_then(|value| value.to_str().ok());
    match reply.status() {
        StatusCode::PARTIAL_CONTENT => {
            header(header::CONTENT_RANGE)?.rsplit_once('/')?.1.parse().ok()
        }
        StatusCode::OK if parts.method == Method::HEAD => {
            header(header::CONTENT_LENGTH)?.parse().ok()
        }
        StatusCode::OK => reply.body().size_hint().exact(),
        _ => None,
    }
}
