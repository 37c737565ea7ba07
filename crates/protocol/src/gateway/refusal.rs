//! The answer to a request that failed, in its dialect's shape.

use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::{Gateway, Progress};
use crate::dialect::Dialect;
use crate::error::{self, Failure};
use crate::ids::RequestId;
use crate::reply::{self, Reply};
use crate::request::host_of;

impl Gateway {
    /// A failure in its dialect's shape.
    pub(super) fn refuse(
        &self,
        parts: &Parts,
        failure: &Failure,
        id: &RequestId,
        progress: &mut Progress,
    ) -> Reply {
        let dialect = progress.dialect;
        if let Failure::Core(costrel_core::Error::NotModified(info)) = failure {
            let mut reply = reply::empty(StatusCode::NOT_MODIFIED);
            crate::attributes::describe(&mut reply, dialect, info, self.store.now_ms());
            return reply;
        }
        let described = error::describe(failure, dialect, self.store.now_ms());
        progress.record.code = Some(described.code.of(dialect));
        progress.record.failure = Some(failure.to_string());
        progress.refused = failure.is_refusal();
        let resource = resource(parts, dialect);
        let second_id = id.second(dialect);
        let document =
            error::document(&described, dialect, &resource, &id.text(dialect), &second_id);
        progress.record.message = Some(described.message);
        let mut reply = reply::xml(document);
        *reply.status_mut() = described.status;
        reply::set(&mut reply, dialect.headers().second_id.clone(), &second_id);
        if let Failure::Core(costrel_core::Error::InvalidRange { size }) = failure {
            reply::set(&mut reply, header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        if let Failure::Core(error) = failure {
            describe_marker(&mut reply, dialect, error);
            if let costrel_core::Error::Archived { class, .. } = error {
                reply::set(&mut reply, dialect.headers().storage_class.clone(), class);
            }
        }
        if described.status == StatusCode::SERVICE_UNAVAILABLE {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }
}

/// Says that there is a delete marker where an object was looked for.
fn describe_marker(reply: &mut Reply, dialect: Dialect, error: &costrel_core::Error) {
    use costrel_core::Error::{CurrentIsMarker, VersionIsMarker};
    let version = match error {
        CurrentIsMarker { version } => version,
        VersionIsMarker { version, modified_ms } => {
            let modified = crate::date::http_date(*modified_ms);
            reply.headers_mut().insert(header::LAST_MODIFIED, modified);
            version
        }
        _ => return,
    };
    if reply.status() == StatusCode::METHOD_NOT_ALLOWED {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("DELETE"));
    }
    reply::set(reply, dialect.headers().delete_marker.clone(), "true");
    crate::attributes::set_version(reply, dialect, Some(*version));
}

/// What was asked for, as errors of the dialect name it.
pub(super) fn resource(parts: &Parts, dialect: Dialect) -> String {
    match dialect {
        Dialect::Cos => {
            let host = host_of(&parts.uri, &parts.headers).unwrap_or_default();
            [host, parts.uri.path()].concat()
        }
        Dialect::S3 => parts.uri.path().to_owned(),
    }
}
