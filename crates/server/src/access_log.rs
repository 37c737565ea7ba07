//! One line per request: formatted by hand into the log's buffer, since a line
//! through the general machinery costs several microseconds.

use std::io::Write;

use costrel_protocol::RequestRecord;
use costrel_protocol::date::iso_ms_into;

use crate::config::LogFormat;
use crate::logs::LogSink;

/// Where lines go, and how they look.
pub struct AccessLog {
    sink: LogSink,
    format: LogFormat,
}

impl AccessLog {
    pub fn new(sink: LogSink, format: LogFormat) -> Self {
        AccessLog { sink, format }
    }

    pub fn write(&self, record: &RequestRecord, now_ms: u64) {
        self.sink.append(|line| match self.format {
            LogFormat::Text => text_line(line, record, now_ms),
            LogFormat::Json => json_line(line, record, now_ms),
        });
    }
}

/// Whether an operator must look at it: the fault is the server's. A client that
/// asks for what is not implemented (501) is none of that.
fn is_error(record: &RequestRecord) -> bool {
    record.failure.is_some() && record.status >= 500 && record.status != 501
}

fn text_line(line: &mut Vec<u8>, record: &RequestRecord, now_ms: u64) {
    let mut time = String::new();
    iso_ms_into(&mut time, now_ms);
    line.extend_from_slice(time.as_bytes());
    line.extend_from_slice(if is_error(record) { b" ERROR request" } else { b"  INFO request" });
    each_field(record, |name, value| {
        line.push(b' ');
        line.extend_from_slice(name.as_bytes());
        line.push(b'=');
        match value {
            Value::Number(number) => put_number(line, number),
            Value::Plain(text) => line.extend_from_slice(text.as_bytes()),
            Value::Quoted(text) => put_quoted(line, text),
        }
    });
    line.push(b'\n');
}

fn json_line(line: &mut Vec<u8>, record: &RequestRecord, now_ms: u64) {
    let mut time = String::new();
    iso_ms_into(&mut time, now_ms);
    line.extend_from_slice(b"{\"timestamp\":\"");
    line.extend_from_slice(time.as_bytes());
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(if is_error(record) { b"ERROR" } else { b"INFO" });
    line.extend_from_slice(b"\",\"message\":\"request\"");
    each_field(record, |name, value| {
        line.extend_from_slice(b",\"");
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(b"\":");
        match value {
            Value::Number(number) => put_number(line, number),
            Value::Plain(text) | Value::Quoted(text) => put_quoted(line, text),
        }
    });
    line.extend_from_slice(b"}\n");
}

enum Value<'a> {
    Number(u64),
    /// Free of spaces, quotes and control characters.
    Plain(&'a str),
    Quoted(&'a str),
}

fn each_field(record: &RequestRecord, mut field: impl FnMut(&str, Value<'_>)) {
    use Value::{Number, Plain, Quoted};
    field("request_id", Plain(&record.request_id));
    field("operation", Plain(record.operation));
    field("dialect", Plain(record.dialect.name()));
    field("status", Number(record.status.into()));
    if let Some(code) = record.code {
        field("code", Plain(code));
    }
    if let Some(failure) = &record.failure {
        field("failure", Quoted(failure));
    }
    field("duration_us", Number(u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX)));
    field("bytes_in", Number(record.bytes_in));
    field("bytes_out", Number(record.bytes_out));
    // An address on the stack, not on the heap.
    let mut remote = [0; 64];
    let free = {
        let mut rest = &mut remote[..];
        let _ = write!(rest, "{}", record.remote);
        rest.len()
    };
    let remote = &remote[..remote.len() - free];
    field("remote", Plain(std::str::from_utf8(remote).unwrap_or_default()));
    field("method", Quoted(&record.method));
    field("path", Quoted(&record.path));
    if let Some(bucket) = &record.bucket {
        field("bucket", Quoted(bucket));
    }
    if let Some(id) = &record.access_key_id {
        field("access_key_id", Quoted(id));
    }
    if let Some(agent) = &record.user_agent {
        field("user_agent", Quoted(agent));
    }
}

fn put_number(line: &mut Vec<u8>, number: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(line, "{number}");
}

/// A JSON string: clients choose these texts, and must not break lines.
fn put_quoted(line: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    line.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                line.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => line.push(byte),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use costrel_protocol::dialect::Dialect;

    use super::*;

    fn record() -> RequestRecord {
        RequestRecord {
            operation: "GetObject",
            dialect: Dialect::Cos,
            status: 404,
            code: Some("NoSuchKey"),
            message: None,
            failure: None,
            bytes_in: 1,
            bytes_out: 2,
            duration: Duration::from_micros(34),
            request_id: "NjQ2".into(),
            remote: "127.0.0.1:5".parse().unwrap(),
            method: "GET".into(),
            path: "/a\"b\n".into(),
            bucket: None,
            key: None,
            user_agent: Some("x\\y\u{7f}é".into()),
            access_key_id: Some("AKID".into()),
            audit: None,
        }
    }

    #[test]
    fn a_text_line_cannot_be_broken_by_clients() {
        let mut line = Vec::new();
        text_line(&mut line, &record(), 0);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "1970-01-01T00:00:00.000Z  INFO request request_id=NjQ2 operation=GetObject \
             dialect=COS status=404 code=NoSuchKey duration_us=34 bytes_in=1 bytes_out=2 \
             remote=127.0.0.1:5 method=\"GET\" path=\"/a\\\"b\\u000a\" access_key_id=\"AKID\" \
             user_agent=\"x\\\\y\\u007fé\"\n"
        );
    }

    #[test]
    fn a_json_line_is_json() {
        let mut line = Vec::new();
        json_line(&mut line, &record(), 0);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["status"], 404);
        assert_eq!(value["path"], "/a\"b\n");
        assert_eq!(value["user_agent"], "x\\y\u{7f}é");
        assert_eq!(value["remote"], "127.0.0.1:5");
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn a_fault_of_the_server_is_an_error() {
        let failure = Some("a blob is missing".into());
        let record = RequestRecord { status: 500, failure, ..record() };
        let mut line = Vec::new();
        text_line(&mut line, &record, 0);
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains("Z ERROR request "), "{line}");
        assert!(line.contains(" failure=\"a blob is missing\" "), "{line}");
    }
}
