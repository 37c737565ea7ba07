//! Lines as S3 writes them.

use costrel_core::account::{AccessKey, Holder};
use costrel_core::bucket::Bucket;
use costrel_signature::Form;

use super::cos::remote;
use super::text::{field, number, optional, quoted};
use super::{Entry, names};
use crate::observe::{Deleted, RequestRecord, Source};
use crate::ops::Operation;
use crate::{percent, permission};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What lines of one request differ in.
struct Facts<'a> {
    bucket: &'a Bucket,
    operation: &'a str,
    key: &'a str,
    /// Whether it says how the client asked, and how long that took.
    is_whole: bool,
    status: u16,
    code: Option<&'a str>,
    bytes_out: u64,
    object_size: Option<u64>,
    version: Option<&'a str>,
}

/// The request itself.
pub(super) fn line(entry: &Entry, bucket: &Bucket, record: &RequestRecord, came_ms: u64) -> String {
    let facts = Facts {
        bucket,
        operation: &names::in_s3(&entry.trace, record),
        key: record.key.as_deref().unwrap_or_default(),
        is_whole: true,
        status: record.status,
        code: record.code,
        bytes_out: record.bytes_out,
        object_size: entry.object_size,
        version: entry.version_id.as_deref(),
    };
    write(entry, record, came_ms, &facts)
}

/// That a copy has read its source: it was there, whatever became of the copy.
pub(super) fn copied(
    entry: &Entry,
    record: &RequestRecord,
    came_ms: u64,
    (source, size): (&Source, u64),
) -> String {
    let is_part = entry.trace.operation == Some(Operation::UploadPartCopy);
    let facts = Facts {
        bucket: &source.bucket,
        operation: if is_part { "REST.COPY.PART_GET" } else { "REST.COPY.OBJECT_GET" },
        key: &source.key,
        is_whole: true,
        status: 200,
        code: None,
        bytes_out: 0,
        object_size: Some(size),
        version: source.version.as_deref(),
    };
    write(entry, record, came_ms, &facts)
}

/// One of many keys that were to be deleted.
pub(super) fn deletion(
    entry: &Entry,
    bucket: &Bucket,
    record: &RequestRecord,
    came_ms: u64,
    deleted: &Deleted,
) -> String {
    let facts = Facts {
        bucket,
        operation: "BATCH.DELETE.OBJECT",
        key: &deleted.key,
        is_whole: false,
        status: deleted.status,
        code: deleted.code,
        bytes_out: 0,
        object_size: None,
        version: deleted.version.as_deref(),
    };
    write(entry, record, came_ms, &facts)
}

fn write(entry: &Entry, record: &RequestRecord, came_ms: u64, facts: &Facts<'_>) -> String {
    let (bucket, trace) = (facts.bucket, &entry.trace);
    let mut line = String::with_capacity(512);
    // Bucket owner, bucket, time, remote IP
    line.push_str(&format!("{:012}", bucket.owner_uin));
    field(&mut line, bucket.name.as_str().as_bytes());
    line.push_str(&time(came_ms));
    field(&mut line, remote(record.remote.ip()).as_bytes());
    // Requester, request id, operation, key
    optional(&mut line, trace.key.as_deref().map(requester).as_deref());
    field(&mut line, record.request_id.as_bytes());
    field(&mut line, facts.operation.as_bytes());
    field(&mut line, percent::encode(facts.key).as_bytes());
    // Request-URI, HTTP status, error code
    match facts.is_whole {
        true => {
            let uri = format!("{} {} {:?}", record.method, entry.target, entry.version);
            quoted(&mut line, uri.as_bytes());
        }
        false => line.push_str(" -"),
    }
    number(&mut line, facts.status);
    optional(&mut line, facts.code);
    // Bytes sent, object size, total time, turn-around time
    some_number(&mut line, Some(facts.bytes_out).filter(|sent| *sent > 0));
    some_number(&mut line, facts.object_size);
    let times = [record.duration.as_millis() as u64, entry.turnaround.as_millis() as u64];
    times.into_iter().for_each(|ms| some_number(&mut line, facts.is_whole.then_some(ms)));
    // Referer, user agent, version id, host id
    match facts.is_whole {
        true => {
            quoted(&mut line, &entry.referer);
            quoted(&mut line, &entry.user_agent);
        }
        false => line.push_str(" - -"),
    }
    optional(&mut line, facts.version);
    field(&mut line, entry.second_id.as_bytes());
    // Signature version, cipher suite, authentication type
    let (version, kind) = signature(trace.form.unwrap_or(Form::Anonymous));
    line.push_str(&format!(" {version} - {kind}"));
    // Host header, TLS version, access point, ACL required
    field(&mut line, &entry.host);
    line.push_str(" - - -");
    line
}

fn some_number(line: &mut String, value: Option<u64>) {
    match value {
        Some(value) => number(line, value),
        None => line.push_str(" -"),
    }
}

/// ` [06/Feb/2019:00:00:38 +0000]`
fn time(ms: u64) -> String {
    let at = costrel_core::civil::Civil::of_ms(ms);
    let month = MONTHS[(at.month as usize - 1) % 12];
    format!(
        " [{:02}/{month}/{:04}:{:02}:{:02}:{:02} +0000]",
        at.day, at.year, at.hour, at.minute, at.second
    )
}

/// An account is known by its canonical id, others by their ARN.
fn requester(key: &AccessKey) -> String {
    match &key.holder {
        Holder::Root if key.session.is_none() => key.account.uin.to_string(),
        _ => permission::caller_arn(key),
    }
}

fn signature(form: Form) -> (&'static str, &'static str) {
    match form {
        Form::S3V4Header => ("SigV4", "AuthHeader"),
        Form::S3V4Query => ("SigV4", "QueryString"),
        Form::S3V2Header => ("SigV2", "AuthHeader"),
        Form::S3V2Query => ("SigV2", "QueryString"),
        // S3 has no name for COS's signatures.
        Form::CosHeader => ("-", "AuthHeader"),
        Form::CosQuery | Form::CosMerged => ("-", "QueryString"),
        Form::Anonymous | Form::Unknown => ("-", "-"),
    }
}
