//! Conditions on an ETag.

use costrel_core::precondition::{
    Current, EtagCondition, ReadConditions, ReadVerdict, WriteConditions,
};

/// The value of an `If-Match` header.
pub fn etag_condition(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else { return };
    let condition = EtagCondition::parse(header);
    let other = "another";
    match &condition {
        EtagCondition::Any => {
            assert!(header.split(',').any(|tag| tag.trim() == "*"));
            judge(&condition, other, true);
        }
        EtagCondition::OneOf(tags) => {
            assert_eq!(tags.len(), header.split(',').count());
            assert!(tags.iter().map(String::len).sum::<usize>() <= header.len());
            let quoted: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            assert_eq!(EtagCondition::parse(&quoted.join(", ")), condition);
            tags.iter()
                // Weak ones are compared in two ways, and no object has one.
                .filter(|tag| !tag.starts_with("W/"))
                .for_each(|tag| judge(&condition, tag, true));
            let weak = format!("W/{other}");
            if !tags.contains(&weak) {
                judge(&condition, other, tags.iter().any(|tag| tag == other));
            }
        }
    }
}

/// All judges agree on whether an object's ETag is meant.
fn judge(condition: &EtagCondition, etag: &str, matches: bool) {
    let wanted = || Some(condition.clone());
    let read = ReadConditions { if_match: wanted(), ..ReadConditions::default() };
    assert_eq!(read.judge(etag, 0) == ReadVerdict::Proceed, matches);
    assert_eq!(read.judge_copy_source(etag, 0).is_ok(), matches);
    let read = ReadConditions { if_none_match: wanted(), ..ReadConditions::default() };
    assert_eq!(read.judge(etag, 0) == ReadVerdict::NotModified, matches);
    assert_eq!(read.judge_copy_source(etag, 0).is_err(), matches);

    let current = Some(Current { etag, modified_ms: 0, size: 0 });
    let write = WriteConditions { if_match: wanted(), ..WriteConditions::default() };
    assert_eq!(write.judge(current).is_ok(), matches);
    assert!(write.judge(None).is_err());
    let write = WriteConditions { if_none_match: wanted(), ..WriteConditions::default() };
    assert_eq!(write.judge(current).is_err(), matches);
    assert!(write.judge(None).is_ok());
}
