//! Building answers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::body::ResponseBody;

pub type Reply = Response<ResponseBody>;

pub fn empty(status: StatusCode) -> Reply {
    with_body(status, ResponseBody::empty())
}

pub fn with_body(status: StatusCode, body: ResponseBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
}

pub fn xml(document: Bytes) -> Reply {
    let mut reply = with_body(StatusCode::OK, ResponseBody::memory(document));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    reply
}

/// Sets a header whose value may hold any text; what cannot stand in a header is
/// left out, since it cannot have come in one.
pub fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        reply.headers_mut().insert(name, value);
    }
}

pub fn set_number(reply: &mut Reply, name: HeaderName, value: u64) {
    reply.headers_mut().insert(name, HeaderValue::from(value));
}

/// An ETag in its quotes.
pub fn set_etag(reply: &mut Reply, etag: &str) {
    let mut quoted = String::with_capacity(etag.len() + 2);
    quoted.push('"');
    quoted.push_str(etag);
    quoted.push('"');
    set(reply, header::ETAG, &quoted);
}
