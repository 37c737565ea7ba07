//! Lines as S3 writes them.

use costrel_core::account::{AccessKey, Holder};
use costrel_signature::Form;

use super::cos::remote;
use super::text::{field, number, optional, quoted};
use super::{Entry, names};
use crate::observe::RequestRecord;
use crate::{percent, permission};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn line(entry: &Entry, record: &RequestRecord, now_ms: u64) -> String {
    let bucket = &entry.logged.bucket;
    let trace = &entry.trace;
    let mut line = String::with_capacity(512);
    // Bucket owner, bucket, time, remote IP
    line.push_str(&format!("{:012}", bucket.owner_uin));
    field(&mut line, bucket.name.as_str().as_bytes());
    line.push_str(&time(now_ms));
    field(&mut line, remote(record.remote.ip()).as_bytes());
    // Requester, request id, operation, key
    optional(&mut line, trace.key.as_deref().map(requester).as_deref());
    field(&mut line, record.request_id.as_bytes());
    field(&mut line, names::in_s3(trace, record).as_bytes());
    match record.key.as_deref().filter(|key| !key.is_empty()) {
        None => line.push_str(" -"),
        Some(key) => field(&mut line, percent::encode(key).as_bytes()),
    }
    // Request-URI, HTTP status, error code
    let uri = format!("{} {} {:?}", record.method, entry.target, entry.version);
    quoted(&mut line, uri.as_bytes());
    number(&mut line, record.status);
    optional(&mut line, record.code);
    // Bytes sent, object size, total time, turn-around time
    some_number(&mut line, Some(record.bytes_out).filter(|sent| *sent > 0));
    some_number(&mut line, entry.object_size);
    number(&mut line, record.duration.as_millis());
    number(&mut line, entry.turnaround.as_millis());
    // Referer, user agent, version id, host id
    quoted(&mut line, &entry.referer);
    quoted(&mut line, &entry.user_agent);
    optional(&mut line, entry.version_id.as_deref());
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
fn time(now_ms: u64) -> String {
    let at = costrel_core::civil::Civil::of_ms(now_ms);
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
