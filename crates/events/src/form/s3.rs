//! S3's messages.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use std::fmt::Write;

use costrel_core::events::{Dispatch, EventKind, EventRecord};
use serde_json::{Map, Value, json};

use super::iso;

/// Who does what nobody asked for, and where it comes from.
const SERVICE: &str = "s3.amazonaws.com";

pub(super) fn message(dispatch: Dispatch<'_>) -> Option<String> {
    Some(match dispatch {
        Dispatch::Test { bucket, at_ms, request_id, second_id } => json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": iso(at_ms),
            "Bucket": bucket,
            "RequestId": request_id,
            "HostId": second_id,
        })
        .to_string(),
        Dispatch::Event { event, key, sequence } => {
            json!({ "Records": [record(event, key, sequence)?] }).to_string()
        }
    })
}

fn record(event: &EventRecord, key: &str, sequence: u64) -> Option<Value> {
    let kind = event.kind()?;
    let (principal, source) = match (event.by_server, event.principal.is_empty()) {
        (true, _) => (SERVICE.to_owned(), SERVICE),
        (false, true) => ("Anonymous".to_owned(), event.source_ip.as_str()),
        (false, false) => (format!("AWS:{}", event.principal), event.source_ip.as_str()),
    };
    let mut object = Map::new();
    object.insert("key".into(), encoded(key).into());
    if let Some(size) = event.size {
        object.insert("size".into(), size.into());
    }
    for (name, value) in [("eTag", &event.etag), ("versionId", &event.version)] {
        if !value.is_empty() {
            object.insert(name.into(), value.as_str().into());
        }
    }
    object.insert("sequencer".into(), format!("{sequence:016X}").into());
    let mut record = json!({
        "eventVersion": version(kind),
        "eventSource": "aws:s3",
        "awsRegion": event.region,
        "eventTime": iso(event.at_ms),
        "eventName": kind.name(),
        "userIdentity": { "principalId": principal },
        "requestParameters": { "sourceIPAddress": source },
        "responseElements": {
            "x-amz-request-id": event.request_id,
            "x-amz-id-2": event.second_id,
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": event.rule_id,
            "bucket": {
                "name": event.bucket,
                "ownerIdentity": { "principalId": format!("{:012}", event.owner_uin) },
                "arn": format!("arn:aws:s3:::{}", event.bucket),
            },
            "object": object,
        },
    });
    match kind {
        EventKind::Moved => {
            let class = class(&event.destination);
            record["lifecycleEventData"] =
                json!({ "transitionEventData": { "destinationStorageClass": class } });
        }
        EventKind::Archived => {
            record["intelligentTieringEventData"] =
                json!({ "destinationAccessTier": event.destination });
        }
        EventKind::RestoreDone => {
            let mut data = json!({ "lifecycleRestoreStorageClass": class(&event.destination) });
            if event.until_ms > 0 {
                data["lifecycleRestorationExpiryTime"] = iso(event.until_ms).into();
            }
            record["glacierEventData"] = json!({ "restoreEventData": data });
        }
        _ => {}
    }
    Some(record)
}

/// What came later has a later version of the form.
fn version(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Tagged
        | EventKind::Untagged
        | EventKind::AclSet
        | EventKind::RestoreExpired
        | EventKind::Expired
        | EventKind::ExpiredMarked
        | EventKind::Moved
        | EventKind::Archived => "2.3",
        _ => "2.1",
    }
}

/// S3's name of a class.
fn class(name: &str) -> &str {
    match name {
        "" => "STANDARD",
        "ARCHIVE" => "GLACIER",
        other => other,
    }
}

/// A key as forms write values: a space is a plus sign.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
                text.push(char::from(byte));
            }
            b' ' => text.push('+'),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventRecord {
        EventRecord {
            kind: EventKind::Put as u32,
            at_ms: 1_795_000_000_123,
            target: "t".into(),
            rule_id: "mine".into(),
            bucket: "b-1".into(),
            owner_uin: 7,
            region: "ap-guangzhou".into(),
            size: Some(3),
            etag: "abc".into(),
            version: "v1".into(),
            principal: "100000000002".into(),
            source_ip: "10.0.0.1".into(),
            request_id: "R".into(),
            second_id: "H".into(),
            ..EventRecord::default()
        }
    }

    fn told(event: &EventRecord, key: &str) -> Value {
        let text = message(Dispatch::Event { event, key, sequence: 0xAB }).unwrap();
        let mut message: Value = serde_json::from_str(&text).unwrap();
        let records = message["Records"].as_array_mut().unwrap();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    #[test]
    fn an_event_of_a_request() {
        let expected = json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "ap-guangzhou",
            "eventTime": "2026-11-18T11:06:40.123Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "AWS:100000000002" },
            "requestParameters": { "sourceIPAddress": "10.0.0.1" },
            "responseElements": { "x-amz-request-id": "R", "x-amz-id-2": "H" },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "mine",
                "bucket": {
                    "name": "b-1",
                    "ownerIdentity": { "principalId": "000000000007" },
                    "arn": "arn:aws:s3:::b-1",
                },
                "object": {
                    "key": "a+b/%C3%BC%2B%7E",
                    "size": 3,
                    "eTag": "abc",
                    "versionId": "v1",
                    "sequencer": "00000000000000AB",
                },
            },
        });
        assert_eq!(told(&event(), "a b/ü+~"), expected);
    }

    #[test]
    fn what_is_not_there_is_not_said() {
        let kind = EventKind::Removed as u32;
        let (size, etag, version) = Default::default();
        let gone = EventRecord { kind, size, etag, version, ..event() };
        let told = told(&gone, "k");
        assert_eq!(told["s3"]["object"], json!({ "key": "k", "sequencer": "00000000000000AB" }));
    }

    #[test]
    fn events_that_nobody_asked_for() {
        let kind = EventKind::Moved as u32;
        let moved = EventRecord { kind, by_server: true, destination: "ARCHIVE".into(), ..event() };
        let moved = told(&moved, "k");
        assert_eq!(moved["eventVersion"], "2.3");
        assert_eq!(moved["userIdentity"]["principalId"], SERVICE);
        assert_eq!(moved["requestParameters"]["sourceIPAddress"], SERVICE);
        let to = json!({ "transitionEventData": { "destinationStorageClass": "GLACIER" } });
        assert_eq!(moved["lifecycleEventData"], to);
        let kind = EventKind::Archived as u32;
        let destination = "ARCHIVE_ACCESS".to_owned();
        let archived = told(&EventRecord { kind, destination, ..event() }, "k");
        let to = json!({ "destinationAccessTier": "ARCHIVE_ACCESS" });
        assert_eq!(archived["intelligentTieringEventData"], to);
        let kind = EventKind::RestoreDone as u32;
        let restored = EventRecord {
            kind,
            destination: "ARCHIVE".into(),
            until_ms: 1_795_000_000_000,
            ..event()
        };
        let until = json!({ "restoreEventData": {
            "lifecycleRestorationExpiryTime": "2026-11-18T11:06:40.000Z",
            "lifecycleRestoreStorageClass": "GLACIER",
        } });
        let done = told(&restored, "k");
        assert_eq!((&done["glacierEventData"], &done["eventVersion"]), (&until, &json!("2.1")));
        let for_good = told(&EventRecord { until_ms: 0, ..restored.clone() }, "k");
        let class = json!({ "restoreEventData": { "lifecycleRestoreStorageClass": "GLACIER" } });
        assert_eq!(for_good["glacierEventData"], class);
        let kind = EventKind::RestoreExpired as u32;
        let expired = told(&EventRecord { kind, ..restored }, "k");
        assert_eq!(expired["eventName"], "ObjectRestore:Delete");
        assert_eq!(
            (expired.get("glacierEventData"), &expired["eventVersion"]),
            (None, &json!("2.3"))
        );
        let anonymous = told(&EventRecord { principal: String::new(), ..event() }, "k");
        assert_eq!(anonymous["userIdentity"]["principalId"], "Anonymous");
    }

    #[test]
    fn a_test() {
        let test = Dispatch::Test { bucket: "b-1", at_ms: 0, request_id: "R", second_id: "H" };
        let expected = json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": "1970-01-01T00:00:00.000Z",
            "Bucket": "b-1",
            "RequestId": "R",
            "HostId": "H",
        });
        let text = message(test).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let unknown = EventRecord { kind: 255, ..event() };
        assert_eq!(message(Dispatch::Event { event: &unknown, key: "k", sequence: 1 }), None);
    }
}
