//! COS's messages, as its triggers hand them to functions.
//! <https://cloud.tencent.com/document/product/583/9707>

use costrel_core::events::{Dispatch, EventKind, EventRecord};
use costrel_core::percent;
use costrel_core::record::Metadata;
use serde_json::{Map, Value, json};

/// What every reader of numbers can hold.
const NUMBER_BITS: u32 = 53;

pub(super) fn message(dispatch: Dispatch<'_>) -> Option<String> {
    let records = match dispatch {
        // COS has no tests, and nobody who reads its messages expects one.
        Dispatch::Test { .. } => json!([]),
        Dispatch::Event { event, key, sequence } => json!([record(event, key, sequence)?]),
    };
    Some(json!({ "Records": records }).to_string())
}

fn record(event: &EventRecord, key: &str, sequence: u64) -> Option<Value> {
    let (name, appid) = parts(&event.bucket);
    let EventRecord { bucket, region, target, .. } = event;
    let host = format!("{bucket}.cos.{region}.myqcloud.com");
    Some(json!({
        "cos": {
            "cosSchemaVersion": "1.0",
            "cosObject": {
                "url": format!("http://{host}/{}", percent::encode(key)),
                "meta": meta(event),
                "vid": event.version,
                "key": format!("/{appid}/{name}/{key}"),
                "size": event.size.unwrap_or(0),
            },
            "cosBucket": { "region": region, "name": name, "appid": appid },
            "cosNotificationId": event.rule_id,
        },
        "event": {
            "eventName": format!("cos:{}", event_name(event.kind()?)),
            "eventVersion": "1.0",
            "eventTime": event.at_ms / 1000,
            "eventSource": "qcs::cos",
            "requestParameters": {
                "requestSourceIP": event.source_ip,
                // They hold what lets others in.
                "requestHeaders": {},
            },
            "eventQueue": format!("qcs:0:scf:{region}:appid/{appid}:default.{target}.$LATEST"),
            "reservedInfo": "",
            "reqid": sequence & ((1 << NUMBER_BITS) - 1),
        },
    }))
}

/// What COS has no name for is named by its rule.
fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Append => "ObjectCreated:Append",
        EventKind::Removed => "ObjectRemove:Delete",
        EventKind::Marked => "ObjectRemove:DeleteMarkerCreated",
        other => other.name(),
    }
}

/// A bucket's name without the account's number, and that.
fn parts(bucket: &str) -> (&str, &str) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    bucket.rsplit_once('-').filter(|(_, appid)| is_number(appid)).unwrap_or((bucket, ""))
}

/// Headers of the object, as COS answers them.
fn meta(event: &EventRecord) -> Map<String, Value> {
    let none = Metadata::default();
    let said = event.metadata.as_ref().unwrap_or(&none);
    let mut meta = Map::new();
    meta.insert("x-cos-request-id".into(), event.request_id.as_str().into());
    meta.insert("Content-Type".into(), said.content_type.as_str().into());
    let others = [
        ("Cache-Control", &said.cache_control),
        ("Content-Disposition", &said.content_disposition),
        ("Content-Encoding", &said.content_encoding),
        ("Content-Language", &said.content_language),
        ("Expires", &said.expires),
    ];
    for (name, value) in others {
        if !value.is_empty() {
            meta.insert(name.into(), value.as_str().into());
        }
    }
    for pair in &said.user {
        meta.insert(format!("x-cos-meta-{}", pair.name), pair.value.as_str().into());
    }
    meta
}

#[cfg(test)]
mod tests {
    use costrel_core::record::Pair;

    use super::*;

    fn event() -> EventRecord {
        EventRecord {
            kind: EventKind::Put as u32,
            at_ms: 1_795_000_000_123,
            target: "jobs".into(),
            rule_id: "mine".into(),
            bucket: "pictures-1250000000".into(),
            region: "ap-guangzhou".into(),
            size: Some(3),
            source_ip: "10.0.0.1".into(),
            request_id: "R".into(),
            metadata: Some(Metadata {
                content_type: "image/png".into(),
                cache_control: "no-cache".into(),
                user: vec![Pair { name: "colour".into(), value: "blue".into() }],
                ..Metadata::default()
            }),
            ..EventRecord::default()
        }
    }

    fn told(event: &EventRecord, key: &str) -> Value {
        let text = message(Dispatch::Event { event, key, sequence: u64::MAX }).unwrap();
        let mut message: Value = serde_json::from_str(&text).unwrap();
        let records = message["Records"].as_array_mut().unwrap();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    #[test]
    fn an_event_of_a_request() {
        let expected = json!({
            "cos": {
                "cosSchemaVersion": "1.0",
                "cosObject": {
                    "url": "http://pictures-1250000000.cos.ap-guangzhou.myqcloud.com/a%20b/%C3%BC",
                    "meta": {
                        "x-cos-request-id": "R",
                        "Content-Type": "image/png",
                        "Cache-Control": "no-cache",
                        "x-cos-meta-colour": "blue",
                    },
                    "vid": "",
                    "key": "/1250000000/pictures/a b/ü",
                    "size": 3,
                },
                "cosBucket": { "region": "ap-guangzhou", "name": "pictures", "appid": "1250000000" },
                "cosNotificationId": "mine",
            },
            "event": {
                "eventName": "cos:ObjectCreated:Put",
                "eventVersion": "1.0",
                "eventTime": 1_795_000_000,
                "eventSource": "qcs::cos",
                "requestParameters": { "requestSourceIP": "10.0.0.1", "requestHeaders": {} },
                "eventQueue": "qcs:0:scf:ap-guangzhou:appid/1250000000:default.jobs.$LATEST",
                "reservedInfo": "",
                "reqid": 9_007_199_254_740_991_u64,
            },
        });
        assert_eq!(told(&event(), "a b/ü"), expected);
    }

    #[test]
    fn what_is_gone_has_no_headers() {
        let kind = EventKind::Removed as u32;
        let gone = EventRecord { kind, size: None, metadata: None, ..event() };
        let gone = told(&gone, "k");
        assert_eq!(gone["event"]["eventName"], "cos:ObjectRemove:Delete");
        let object = &gone["cos"]["cosObject"];
        assert_eq!(object["meta"], json!({ "x-cos-request-id": "R", "Content-Type": "" }));
        assert_eq!(object["size"], 0);
    }

    #[test]
    fn names() {
        let names: Vec<&str> = EventKind::ALL.into_iter().map(event_name).collect();
        assert!(names.contains(&"ObjectCreated:Append") && names.contains(&"ObjectRestore:Post"));
        assert!(names.iter().all(|name| !name.starts_with("ObjectRemoved")));
        assert_eq!(parts("plain"), ("plain", ""));
        assert_eq!(parts("a-b"), ("a-b", ""));
    }

    #[test]
    fn a_test_says_nothing() {
        let test = Dispatch::Test { bucket: "b-1", at_ms: 0, request_id: "R", second_id: "H" };
        assert_eq!(message(test).unwrap(), r#"{"Records":[]}"#);
        let unknown = EventRecord { kind: 255, ..event() };
        assert_eq!(message(Dispatch::Event { event: &unknown, key: "k", sequence: 1 }), None);
    }
}
