//! The audit log: a line in JSON for every request that was refused, or that administers
//! something. Requests never wait for it: lines go through a bounded buffer, as those of
//! the other log do, to a file that is put aside when it is full.

mod file;

use std::io;
use std::path::PathBuf;

use costrel_core::env::Clock;
use costrel_protocol::date::iso_ms_into;
use costrel_protocol::{Audit, Basis, RequestRecord};
use serde::Serialize;

use crate::config::{Config, EngineKind};
use crate::logs::{self, LogSink, LogWriter};
use crate::world::SystemClock;
pub use file::Rotating;

/// Characters of a text in a line, at most: whoever has no key can send long ones, too, and
/// the log keeps so many lines as there is room for.
const CHARS_MAX: usize = 256;

/// Of a key: as many as an object's may have, and of what decided, which names policies.
const LONG_CHARS_MAX: usize = 1024;

/// Takes what is to be audited.
pub struct AuditLog(LogSink);

/// Where the log is kept; `None` if there is none. By default it is beside the data of the
/// embedded engine, where there surely is a place that the server may write to; a gateway
/// of a cluster has no such place.
pub fn place(config: &Config) -> Option<PathBuf> {
    match (&config.audit_log, config.engine) {
        (Some(path), _) if path.as_os_str() == "off" => None,
        (Some(path), _) => Some(path.clone()),
        (None, EngineKind::Embedded) => Some(config.data_dir.join("audit.log")),
        (None, EngineKind::Rados) => None,
    }
}

/// Opens the log and starts its writer.
pub fn start(config: &Config) -> io::Result<Option<(LogSink, LogWriter)>> {
    let Some(path) = place(config) else { return Ok(None) };
    let files = config.audit_log_files.0;
    let file = Rotating::open(path, config.audit_log_size.0.max(1), files)?;
    logs::start(file).map(Some)
}

impl AuditLog {
    pub fn new(sink: LogSink) -> AuditLog {
        AuditLog(sink)
    }

    pub fn write(&self, record: &RequestRecord) {
        let Some(audit) = &record.audit else { return };
        let line = Line::of(record, audit, SystemClock.now_ms());
        self.0.append(|bytes| {
            let begun = bytes.len();
            match serde_json::to_writer(&mut *bytes, &line) {
                Ok(()) => bytes.push(b'\n'),
                // Texts and numbers cannot fail.
                Err(_) => bytes.truncate(begun),
            }
        });
    }
}

/// One line. Nothing in it is a secret or a signature.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    service: &'a str,
    /// The vendor's name of the operation; empty if none was found.
    action: &'a str,
    /// `refused`, `failed` or `done`.
    outcome: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// What decided, for people.
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    /// As it was named: it is good if there is a `caller`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    source: String,
    secure: bool,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// Of a request for several, those that were refused; `key` is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_keys: Option<u64>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    about: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

/// A decision for programs.
#[derive(Serialize)]
pub struct Decision<'a> {
    allowed: bool,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_of: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
}

impl<'a> Decision<'a> {
    pub fn of(explained: &'a costrel_protocol::Explained) -> Decision<'a> {
        let (policy, statement) = match &explained.basis {
            Basis::Statement { policy, number, sid, .. } => {
                (Some(policy), Some((*number, sid.as_deref())))
            }
            Basis::Silent(policy) => (Some(policy), None),
            _ => (None, None),
        };
        Decision {
            allowed: explained.allowed,
            by: explained.basis.kind(),
            policy_of: policy.map(|policy| policy.kind()),
            policy: policy.map(|policy| policy.id()).filter(|id| !id.is_empty()),
            statement: statement.map(|(number, _)| number),
            sid: statement.and_then(|(_, sid)| sid),
        }
    }
}

/// The front of a text.
fn front(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

fn short(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(|text| front(text, CHARS_MAX))
}

impl<'a> Line<'a> {
    fn of(record: &'a RequestRecord, audit: &'a Audit, now_ms: u64) -> Line<'a> {
        let mut time = String::new();
        iso_ms_into(&mut time, now_ms);
        let explained = audit.explained.as_ref();
        let some = audit.refused_keys.as_ref();
        let key = record.key.as_deref().or(some.map(|some| some.first.as_str()));
        // A decision is what refused it only if it says so: a lock may be stronger.
        let mut by = match explained {
            Some(explained) if explained.allowed != audit.refused => explained.basis.to_string(),
            _ if record.code.is_some() => record.failure.clone().unwrap_or_default(),
            _ if some.is_some() => some.map(|some| some.why.clone()).unwrap_or_default(),
            _ if audit.service == "console" => String::from("the operator may"),
            _ => String::from("whoever has a key may"),
        };
        by.truncate(front(&by, LONG_CHARS_MAX).len());
        Line {
            time,
            request_id: &record.request_id,
            service: audit.service,
            action: record.operation,
            outcome: match (audit.refused, record.code) {
                (true, _) => "refused",
                (false, Some(_)) => "failed",
                (false, None) => "done",
            },
            status: record.status,
            code: record.code.or(some.map(|some| some.code)),
            by,
            decision: explained.map(Decision::of),
            caller: audit.caller.as_deref(),
            access_key_id: short(&record.access_key_id),
            session: audit.session.as_deref(),
            issuer: audit.issuer.as_deref(),
            source: record.remote.to_string(),
            secure: audit.secure,
            method: front(&record.method, CHARS_MAX),
            bucket: short(&record.bucket),
            key: key.map(|key| front(key, LONG_CHARS_MAX)),
            refused_keys: some.map(|some| some.count),
            about: audit
                .about
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_str().into()))
                .collect(),
            user_agent: short(&record.user_agent),
        }
    }
}

#[cfg(test)]
mod tests {
    use costrel_protocol::dialect::Dialect;
    use costrel_protocol::{Explained, PolicyName};

    use super::*;

    fn record(audit: Audit) -> RequestRecord {
        RequestRecord {
            request_id: "NjQ2".into(),
            dialect: Dialect::S3,
            operation: "GetObject",
            method: "GET".into(),
            path: "/b/k".into(),
            bucket: Some("b-1250000000".into()),
            key: Some("a\"\n".into()),
            status: 403,
            code: Some("AccessDenied"),
            message: None,
            failure: Some("access denied".into()),
            bytes_in: 0,
            bytes_out: 0,
            duration: Default::default(),
            remote: "127.0.0.1:5".parse().unwrap(),
            user_agent: None,
            access_key_id: Some("AKID".into()),
            audit: Some(Box::new(audit)),
        }
    }

    fn line(record: &RequestRecord) -> serde_json::Value {
        let audit = record.audit.as_ref().unwrap();
        serde_json::to_value(Line::of(record, audit, 0)).unwrap()
    }

    fn audit(explained: Option<Explained>) -> Audit {
        Audit {
            service: "s3",
            refused: true,
            caller: Some("arn:aws:iam::100000000001:user/ann".into()),
            session: None,
            issuer: None,
            explained,
            about: vec![],
            refused_keys: None,
            secure: false,
        }
    }

    #[test]
    fn a_line_says_who_did_what_and_what_decided() {
        let basis = Basis::Statement {
            policy: PolicyName::Group { group: "g".into(), policy: "p".into() },
            number: 2,
            sid: Some("No".into()),
            span: None,
            certain: true,
        };
        let value = line(&record(audit(Some(Explained { allowed: false, basis }))));
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["outcome"], "refused");
        assert_eq!(value["by"], "statement 2 (No) of the policy p of the group g");
        let decision = serde_json::json!({
            "allowed": false, "by": "statement", "policy_of": "group", "policy": "p",
            "statement": 2, "sid": "No"
        });
        assert_eq!(value["decision"], decision);
        assert_eq!(value["key"], "a\"\n");
        assert_eq!(value["caller"], "arn:aws:iam::100000000001:user/ann");
        assert!(value.get("session").is_none());
    }

    #[test]
    fn whatever_is_sent_a_line_is_short() {
        let long = || "云".repeat(60 << 10);
        let sent = RequestRecord {
            method: long(),
            bucket: Some(long()),
            key: Some(long()),
            failure: Some(long()),
            user_agent: Some(long()),
            access_key_id: Some(long()),
            ..record(audit(None))
        };
        let value = line(&sent);
        assert_eq!(value["user_agent"], "云".repeat(CHARS_MAX));
        assert_eq!(value["key"], "云".repeat(LONG_CHARS_MAX));
        assert!(value.to_string().len() < 12 << 10);
    }

    #[test]
    fn what_came_to_no_decision_is_told_by_its_failure() {
        let value = line(&record(audit(None)));
        assert_eq!(value["by"], "access denied");
        // It was asked for in a wrong way, by whoever that was.
        let value = line(&record(Audit { refused: false, ..audit(None) }));
        assert_eq!(value["outcome"], "failed");
        assert_eq!(value["by"], "access denied");
        let done = RequestRecord { code: None, ..record(Audit { refused: false, ..audit(None) }) };
        assert_eq!(line(&done)["by"], "whoever has a key may");
        // The policies allowed it, and something else did not.
        let allowed = Explained { allowed: true, basis: Basis::Root };
        let value = line(&record(audit(Some(allowed))));
        assert_eq!(value["by"], "access denied");
        assert_eq!(value["decision"]["by"], "root");
    }
}
