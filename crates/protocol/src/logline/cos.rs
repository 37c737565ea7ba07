//! Lines as COS writes them: 31 fields with a space between them.
//!
//! Spaces in a field are escaped, but in the last two, which are in quotes.

use std::net::IpAddr;

use costrel_core::account::{AccessKey, Holder};
use costrel_core::bucket::Bucket;

use super::Entry;
use super::names;
use super::text::{field, number, optional, quoted};
use crate::date::iso_seconds;
use crate::observe::RequestRecord;
use crate::ops::Operation;
use crate::percent;

pub(super) fn line(entry: &Entry, bucket: &Bucket, record: &RequestRecord, now_ms: u64) -> String {
    let trace = &entry.trace;
    let mut line = String::with_capacity(512);
    // 1: eventVersion
    line.push_str("1.0");
    // 2: bucketName, 3: qcsRegion, 4: eventTime
    field(&mut line, bucket.name.as_str().as_bytes());
    field(&mut line, bucket.region.as_bytes());
    field(&mut line, iso_seconds(now_ms).as_bytes());
    // 5: eventSource, 6: eventName
    field(&mut line, &entry.host);
    field(&mut line, names::in_cos(trace, record).as_bytes());
    // 7: remoteIp, 8: userSecretKeyId, 9: reserved
    field(&mut line, remote(record.remote.ip()).as_bytes());
    optional(&mut line, record.access_key_id.as_deref());
    line.push_str(" -");
    // 10: reqBytesSent, 11: deltaDataSize
    number(&mut line, record.bytes_in);
    number(&mut line, entry.stored());
    // 12: reqPath, 13: reqMethod, 14: userAgent
    line.push_str(" /");
    line.push_str(&percent::encode(record.key.as_deref().unwrap_or_default()));
    field(&mut line, record.method.as_bytes());
    field(&mut line, &entry.user_agent);
    // 15: resHttpCode, 16: resErrorCode, 17: resErrorMsg
    number(&mut line, record.status);
    optional(&mut line, record.code);
    optional(&mut line, record.message.as_deref());
    // 18: resBytesSent, 19: resTotalTime, 20: logSourceType
    number(&mut line, record.bytes_out);
    number(&mut line, record.duration.as_millis());
    line.push_str(" USER");
    // 21: storageClass, 22: accountId, 23: resTurnAroundTime
    optional(&mut line, entry.class.as_deref());
    number(&mut line, format_args!("{:012}", bucket.owner_uin));
    number(&mut line, entry.turnaround.as_millis());
    // 24: requester, 25: requestId
    optional(&mut line, trace.key.as_deref().map(requester).as_deref());
    field(&mut line, record.request_id.as_bytes());
    // 26: objectSize, 27: versionId, 28: targetStorageClass
    match entry.object_size {
        Some(size) => number(&mut line, size),
        None => line.push_str(" -"),
    }
    optional(&mut line, entry.version_id.as_deref());
    let is_copy = matches!(trace.operation, Some(Operation::CopyObject));
    optional(&mut line, entry.class.as_deref().filter(|_| is_copy));
    // 29: referer, 30: requestUri, 31: vpcId
    field(&mut line, &entry.referer);
    let uri = format!("{} {} {:?}", record.method, entry.target, entry.version);
    quoted(&mut line, uri.as_bytes());
    line.push_str(" \"0\"");
    line
}

pub(super) fn remote(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// The account and, behind it, who of it: itself, a user or a role.
fn requester(key: &AccessKey) -> String {
    let account = key.account.uin;
    match &key.holder {
        Holder::Root => format!("{account}:{account}"),
        Holder::User(user) => format!("{account}:{}", user.uin),
        Holder::Role(role) => format!("{account}:{}", role.id),
    }
}
