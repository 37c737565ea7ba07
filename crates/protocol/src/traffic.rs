//! What a request counts for in its bucket's figures.

use std::sync::Arc;

use costrel_core::Store;
use costrel_core::bucket::Bucket;
use costrel_core::usage::{Meter, RequestKind, Served, class_number};
use http::request::Parts;
use http::{Method, header::HeaderMap};

use crate::dialect::Dialect;
use crate::logline::Trace;
use crate::observe::RequestRecord;
use crate::ops::Operation;
use crate::reply::Reply;
use crate::request;

/// An answered request of a bucket that is there, whose answer may still be on its way.
pub(crate) struct Traffic {
    store: Arc<Store>,
    bucket: Arc<Bucket>,
    /// Of what the request was about, as far as that is known by now.
    class: Option<u8>,
    meter: Option<Arc<Meter>>,
    kind: RequestKind,
    is_internal: bool,
    is_retrieval: bool,
}

/// Whether an operation is metered whose bucket is not logged, since nothing else tells
/// the class of what it is about. Operations that are small and many have it in a header.
pub(crate) fn needs_meter(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::AppendObject
            | Operation::CompleteMultipartUpload
            | Operation::CopyObject
            | Operation::PostObject
            | Operation::PutSymlink
            | Operation::RestoreObject
            | Operation::UploadPart
            | Operation::UploadPartCopy
    )
}

impl Traffic {
    pub(crate) fn new(
        store: &Arc<Store>,
        bucket: Arc<Bucket>,
        trace: &Trace,
        parts: &Parts,
        (dialect, reply): (Dialect, &Reply),
        is_internal: bool,
    ) -> Traffic {
        let name = &dialect.headers().storage_class;
        let said = |headers: &HeaderMap| request::text(headers, name).map(class_number);
        let is_new = matches!(
            trace.operation,
            Some(Operation::PutObject | Operation::CreateMultipartUpload)
        );
        let is_read = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let is_content = trace.is_visit || trace.operation == Some(Operation::GetObject);
        Traffic {
            store: store.clone(),
            bucket,
            class: match is_new {
                // What is refused makes nothing of the class that it names.
                true if reply.status().is_success() => said(&parts.headers),
                true => None,
                false => said(reply.headers()),
            },
            meter: trace.meter.clone(),
            kind: if is_read { RequestKind::Read } else { RequestKind::Write },
            is_internal,
            is_retrieval: is_content
                && parts.method == Method::GET
                && matches!(reply.status().as_u16(), 200 | 206),
        }
    }

    /// Counts it.
    pub(crate) fn count(&self, record: &RequestRecord) {
        let metered = || self.meter.as_ref().and_then(|meter| meter.class());
        let class = self.class.or_else(|| metered().map(|class| class_number(&class)));
        let served = Served {
            class: class.unwrap_or_default(),
            kind: self.kind,
            status: record.status,
            is_internal: self.is_internal,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            is_retrieval: self.is_retrieval,
        };
        self.store.count_request(&self.bucket, &served);
    }
}
