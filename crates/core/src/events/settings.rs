//! Which events of a bucket go where.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::kinds::{NameFault, check_name, overlap};
use super::{Dispatch, Notification, Rule, Service};
use crate::bucket::{Bucket, BucketSettings};
use crate::engine::{BucketId, Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::record::{decode, encode};
use crate::store::Store;

/// Configurations of one bucket, at most. (S3.)
pub const RULES_MAX: usize = 100;
/// Longest part of a key that a filter may name, in bytes. (S3.)
pub const FILTER_BYTES_MAX: usize = 1024;
/// Longest id of a configuration, in bytes.
pub const ID_BYTES_MAX: usize = 255;

/// Why a configuration of events is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    #[error("there are more than {max} configurations")]
    TooMany { max: usize },
    #[error("a configuration has no events")]
    NoEvents,
    #[error("there is no event {0}")]
    UnknownEvent(String),
    #[error("the event {0} never happens here")]
    NeverHappens(String),
    #[error("two configurations have the same id")]
    SameId,
    #[error("an id is longer than {max} bytes")]
    IdTooLong { max: usize },
    #[error("a filter's value is longer than {max} bytes")]
    FilterTooLong { max: usize },
    #[error("{0} is no ARN")]
    MalformedArn(String),
    #[error("{0} names another region than the bucket's")]
    OtherRegion(String),
    /// There is no such target, or it is not the account's to name.
    #[error("there is no target {0}")]
    NoTarget(String),
    #[error("{arn} does not take messages: {why}")]
    Unreachable { arn: String, why: String },
    #[error("an event of a key would go by two configurations")]
    Overlap,
}

/// The row that says what is told of a bucket. Beside the bucket's number stands its name:
/// while events of a bucket that is gone still wait, another one may have its name.
pub fn target_row(bucket: BucketId) -> RowRef {
    RowRef { table: Table::Event, suffix: Bytes::copy_from_slice(&bucket.0.to_be_bytes()) }
}

/// The bucket that such a row is of.
pub(super) fn bucket_of(suffix: &[u8]) -> Option<BucketId> {
    Some(BucketId(u64::from_be_bytes(suffix.try_into().ok()?)))
}

/// The target that an ARN names: `arn:aws:sqs:{region}:{account}:{target}`, the same with
/// `sns`, and `arn:aws:lambda:{region}:{account}:function:{target}`.
fn target_of(bucket: &Bucket, service: Service, arn: &str) -> Result<String, EventFault> {
    let malformed = || EventFault::MalformedArn(arn.to_owned());
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, of, region, account, name] = fields[..] else {
        return Err(malformed());
    };
    let expected = match service {
        Service::Topic => "sns",
        Service::Queue => "sqs",
        Service::Function => "lambda",
    };
    if scheme != "arn" || !partition.starts_with("aws") || of != expected || name.is_empty() {
        return Err(malformed());
    }
    let name = match service {
        Service::Function => name.strip_prefix("function:").ok_or_else(malformed)?,
        Service::Topic | Service::Queue => name,
    };
    if region != bucket.region {
        return Err(EventFault::OtherRegion(arn.to_owned()));
    }
    match account == format!("{:012}", bucket.owner_uin) {
        true => Ok(name.to_owned()),
        false => Err(EventFault::NoTarget(arn.to_owned())),
    }
}

/// Everything but the targets.
fn check(rules: &[Rule]) -> Result<(), EventFault> {
    if rules.len() > RULES_MAX {
        return Err(EventFault::TooMany { max: RULES_MAX });
    }
    let mut ids = HashSet::new();
    for rule in rules {
        if rule.events.is_empty() {
            return Err(EventFault::NoEvents);
        }
        for name in &rule.events {
            check_name(name).map_err(|fault| match fault {
                NameFault::Unknown => EventFault::UnknownEvent(name.clone()),
                NameFault::NeverHappens => EventFault::NeverHappens(name.clone()),
            })?;
        }
        if rule.id.len() > ID_BYTES_MAX {
            return Err(EventFault::IdTooLong { max: ID_BYTES_MAX });
        }
        if rule.prefix().len() > FILTER_BYTES_MAX || rule.suffix().len() > FILTER_BYTES_MAX {
            return Err(EventFault::FilterTooLong { max: FILTER_BYTES_MAX });
        }
        if !ids.insert(rule.id.as_str()) {
            return Err(EventFault::SameId);
        }
    }
    for (number, rule) in rules.iter().enumerate() {
        if rules[..number].iter().any(|other| overlaps(rule, other)) {
            return Err(EventFault::Overlap);
        }
    }
    Ok(())
}

/// Whether one event of one key could go by both.
fn overlaps(a: &Rule, b: &Rule) -> bool {
    let either = |a: &str, b: &str, within: fn(&str, &str) -> bool| within(a, b) || within(b, a);
    either(a.prefix(), b.prefix(), |a, b| a.starts_with(b))
        && either(a.suffix(), b.suffix(), |a, b| a.ends_with(b))
        && a.events.iter().any(|name| b.events.iter().any(|other| overlap(name, other)))
}

impl Store {
    /// Has a bucket's events told by these rules from now on, or none without any. What
    /// was to be told before still is. Each target is sent a test first, so that one
    /// that takes no messages is refused, unless it is not to be `tested`. A
    /// configuration that is refused leaves the old one in force.
    pub async fn set_notification(
        self: &Arc<Self>,
        bucket: &Bucket,
        mut rules: Vec<Rule>,
        tested: Option<(&str, &str)>,
    ) -> Result<()> {
        for rule in &mut rules {
            if rule.id.is_empty() {
                rule.id = hex::encode(self.fresh_id());
            }
            rule.target = target_of(bucket, rule.service(), &rule.arn)?;
        }
        check(&rules)?;
        if let Some(rule) = rules.iter().find(|rule| !self.lanes.has(&rule.target)) {
            return Err(EventFault::NoTarget(rule.arn.clone()).into());
        }
        if let Some(ids) = tested {
            self.test_targets(bucket, &rules, ids).await?;
        }
        let notification = Notification { write_id: self.fresh_id(), rules };
        let row = target_row(bucket.id);
        self.change_rows(bucket, move |record| {
            let has_rules = !notification.rules.is_empty();
            let is_new = !has_rules && record.notification.is_empty();
            record.notification =
                if has_rules { notification.write_id.clone() } else { Bytes::new() };
            // One without rules leads the job to what still waits.
            Ok(match is_new {
                true => Vec::new(),
                false => vec![Write::Put(row.clone(), encode(&notification))],
            })
        })
        .await
    }

    /// S3 tests topics and queues, and no functions.
    async fn test_targets(
        &self,
        bucket: &Bucket,
        rules: &[Rule],
        (request_id, second_id): (&str, &str),
    ) -> Result<()> {
        let (name, at_ms) = (bucket.name.as_str(), self.now_ms());
        let mut tested = HashSet::new();
        for rule in rules {
            if rule.service() == Service::Function || !tested.insert(&rule.target) {
                continue;
            }
            let test = Dispatch::Test { bucket: name, at_ms, request_id, second_id };
            if let Err(error) = self.options.courier.deliver(&rule.target, test).await {
                let (arn, why) = (rule.arn.clone(), error.to_string());
                tracing::warn!(bucket = name, target = rule.target, %error, "no events are told");
                return Err(EventFault::Unreachable { arn, why }.into());
            }
        }
        Ok(())
    }

    /// What of a bucket's events goes where.
    pub async fn notification(&self, bucket: &Bucket) -> Result<Option<Arc<Notification>>> {
        self.notification_by(bucket, &bucket.settings()).await
    }

    /// The same by certain settings; `None` also if those are not in force any more.
    pub(super) async fn notification_by(
        &self,
        bucket: &Bucket,
        settings: &BucketSettings,
    ) -> Result<Option<Arc<Notification>>> {
        let id = &settings.notification;
        if id.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.notifications.get(bucket.id, id) {
            return Ok(Some(known));
        }
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, target_row(bucket.id)).await?;
        let row = row.ok_or_else(|| Error::Damaged("a bucket's notifications are lost".into()))?;
        let notification: Arc<Notification> = Arc::new(decode(&row, "notification")?);
        if notification.write_id != *id {
            return Ok(None);
        }
        self.notifications.put(bucket.id, &notification);
        Ok(Some(notification))
    }

    /// What is left of a bucket's notifications when it is deleted: that its events may
    /// still wait.
    pub(crate) fn notifications_left(&self, bucket: BucketId) -> Write {
        let none = Notification { write_id: self.fresh_id(), rules: Vec::new() };
        Write::Put(target_row(bucket), encode(&none))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, events: &[&str], prefix: &str, suffix: &str) -> Rule {
        Rule {
            id: id.into(),
            service: Service::Queue as u32,
            events: events.iter().map(|name| (*name).to_owned()).collect(),
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            suffix: Some(suffix.to_owned()).filter(|suffix| !suffix.is_empty()),
            ..Rule::default()
        }
    }

    const CREATED: &[&str] = &["s3:ObjectCreated:*"];

    #[test]
    fn configurations_that_overlap_are_refused() {
        let check_pair = |a: Rule, b: Rule, overlaps: bool| {
            let expected = if overlaps { Err(EventFault::Overlap) } else { Ok(()) };
            assert_eq!(check(&[a.clone(), b.clone()]), expected, "{a:?} {b:?}");
            assert_eq!(check(&[b, a]), expected);
        };
        let put = &["s3:ObjectCreated:Put"];
        check_pair(rule("a", CREATED, "", ""), rule("b", put, "", ""), true);
        check_pair(rule("a", CREATED, "x/", ""), rule("b", put, "", ""), true);
        check_pair(rule("a", CREATED, "x/", ""), rule("b", put, "x/y", ""), true);
        check_pair(rule("a", CREATED, "x/", ".jpg"), rule("b", put, "", "g"), true);
        check_pair(rule("a", CREATED, "x/", ""), rule("b", put, "y/", ""), false);
        check_pair(rule("a", CREATED, "x/", ".jpg"), rule("b", put, "x/", ".png"), false);
        // A key may have the one's prefix and the other's suffix.
        check_pair(rule("a", CREATED, "x/", ""), rule("b", put, "", ".png"), true);
        let removed = &["s3:ObjectRemoved:*"];
        check_pair(rule("a", CREATED, "", ""), rule("b", removed, "", ""), false);
    }

    #[test]
    fn bad_configurations() {
        let good = rule("a", CREATED, "", "");
        assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
        let event = |name: &str| check(&[rule("a", &[name], "", "")]);
        assert_eq!(event("s3:Nothing"), Err(EventFault::UnknownEvent("s3:Nothing".into())));
        let never = "s3:ReducedRedundancyLostObject";
        assert_eq!(event(never), Err(EventFault::NeverHappens(never.into())));
        assert_eq!(check(&[rule("a", &[], "", "")]), Err(EventFault::NoEvents));
        let long = "x".repeat(FILTER_BYTES_MAX + 1);
        let too_long = Err(EventFault::FilterTooLong { max: FILTER_BYTES_MAX });
        assert_eq!(check(&[rule("a", CREATED, &long, "")]), too_long);
        assert_eq!(check(&[rule("a", CREATED, "", &long)]), too_long);
        let other = rule("a", &["s3:ObjectRemoved:*"], "", "");
        assert_eq!(check(&[good, other]), Err(EventFault::SameId));
        let id = "x".repeat(ID_BYTES_MAX + 1);
        let too_long = Err(EventFault::IdTooLong { max: ID_BYTES_MAX });
        assert_eq!(check(&[rule(&id, CREATED, "", "")]), too_long);
        let many: Vec<Rule> =
            (0..=RULES_MAX).map(|n| rule(&n.to_string(), CREATED, &n.to_string(), "")).collect();
        assert_eq!(check(&many), Err(EventFault::TooMany { max: RULES_MAX }));
    }
}
