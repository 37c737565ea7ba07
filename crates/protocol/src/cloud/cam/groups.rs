//! Groups of users.

use costrel_core::account::{Group, PolicyHolder, Uin, User};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::{attached_fields, id, object, page, time, user, user_fields, users};
use crate::cloud::call::Record;
use crate::cloud::listing::Listing;
use crate::cloud::{Answered, Asked, CloudFailure};

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let remark = asked.call.text("Remark")?.unwrap_or_default();
        let group = asked.accounts.create_group(asked.call.required("GroupName")?, remark).await?;
        Ok(object([("GroupId", group.id.into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Listing, CloudFailure>> {
    Box::pin(async {
        let group = asked.accounts.group(id(asked, "GroupId")?).await?;
        let mut answer = fields(&group);
        answer.insert("GroupNum".into(), group.members.into());
        let pages = users(asked.accounts, Some(group.id), member_fields);
        Ok(Listing { fields: answer, name: "UserInfo", pages })
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (skip, limit) = page(asked)?;
        let keyword = asked.call.text("Keyword")?.unwrap_or_default();
        let (count, groups) = asked.accounts.groups(keyword, skip, limit).await?;
        Ok(listed(count, &groups))
    })
}

pub(super) fn update<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (name, remark) = (asked.call.text("GroupName")?, asked.call.text("Remark")?);
        asked.accounts.update_group(id(asked, "GroupId")?, name, remark, None).await?;
        Ok(Map::new())
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        asked.accounts.delete_group(id(asked, "GroupId")?, true).await?;
        Ok(Map::new())
    })
}

pub(super) fn add_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        for (uin, group) in memberships(asked).await? {
            asked.accounts.add_to_group(uin, group).await?;
        }
        Ok(Map::new())
    })
}

pub(super) fn remove_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        for (uin, group) in memberships(asked).await? {
            asked.accounts.remove_from_group(uin, group).await?;
        }
        Ok(Map::new())
    })
}

/// Most users named in one request, each of whom is a commit of its own.
const MEMBERSHIPS_MAX: usize = 100;

/// Users, by either of their numbers, and the groups that they are named with.
async fn memberships(asked: &Asked<'_>) -> Result<Vec<(Uin, u64)>, CloudFailure> {
    let records = asked.call.records("Info", &["GroupId", "Uid", "Uin"])?;
    if records.is_empty() {
        return Err(CloudFailure::Missing("Info"));
    }
    if records.len() > MEMBERSHIPS_MAX {
        return Err(CloudFailure::BadValue("Info"));
    }
    let number = |record: &Record, name| -> Result<Option<u64>, CloudFailure> {
        let number = record.number(name)?;
        number
            .map(|number| u64::try_from(number).map_err(|_| CloudFailure::BadValue(name)))
            .transpose()
    };
    let mut memberships = Vec::with_capacity(records.len());
    for record in &records {
        let group = number(record, "GroupId")?.ok_or(CloudFailure::Missing("GroupId"))?;
        let uin = match (number(record, "Uin")?, number(record, "Uid")?) {
            (Some(uin), _) => {
                format!("{uin:012}").parse().map_err(|_| CloudFailure::BadValue("Uin"))?
            }
            (None, Some(uid)) => asked.accounts.user_of_uid(uid).await?.uin,
            (None, None) => return Err(CloudFailure::Missing("Uin")),
        };
        memberships.push((uin, group));
    }
    Ok(memberships)
}

pub(super) fn list_users<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (skip, limit) = page(asked)?;
        let group = asked.accounts.group(id(asked, "GroupId")?).await?;
        let (count, users) = asked.accounts.members(group.id, skip, limit).await?;
        let users: Value = users.iter().map(member_fields).collect();
        Ok(object([("TotalNum", count.into()), ("UserInfo", users)]))
    })
}

pub(super) fn list_of_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (skip, limit) = page(asked)?;
        let uin = match (asked.call.number("SubUin")?, asked.call.number("Uid")?) {
            (None, Some(_)) => asked.accounts.user_of_uid(id(asked, "Uid")?).await?.uin,
            _ => user(asked, "SubUin")?,
        };
        let groups = asked.accounts.groups_of(uin).await?;
        let shown: Vec<Group> = groups.iter().skip(skip).take(limit).cloned().collect();
        Ok(listed(groups.len(), &shown))
    })
}

pub(super) fn attach_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (policy, group) = (id(asked, "PolicyId")?, id(asked, "AttachGroupId")?);
        asked.accounts.attach_policy(PolicyHolder::Group(group), policy).await?;
        Ok(Map::new())
    })
}

pub(super) fn detach_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (policy, group) = (id(asked, "PolicyId")?, id(asked, "DetachGroupId")?);
        asked.accounts.detach_policy(PolicyHolder::Group(group), policy).await?;
        Ok(Map::new())
    })
}

pub(super) fn list_policies<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let holder = PolicyHolder::Group(id(asked, "TargetGroupId")?);
        attached_fields(asked, holder, "Remark").await
    })
}

fn listed(count: usize, groups: &[Group]) -> Map<String, Value> {
    let groups: Vec<Value> = groups.iter().map(|group| fields(group).into()).collect();
    object([("TotalNum", count.into()), ("GroupInfo", groups.into())])
}

fn fields(group: &Group) -> Map<String, Value> {
    object([
        ("GroupId", group.id.into()),
        ("GroupName", group.name.as_str().into()),
        ("CreateTime", time(group.created_ms)),
        ("Remark", group.remark.as_str().into()),
    ])
}

fn member_fields(user: &User) -> Value {
    let mut fields = user_fields(user);
    fields.remove("ConsoleLogin");
    fields.insert("CreateTime".into(), time(user.created_ms));
    // Neither a telephone nor an address has been tried. He is a sub-user, and gets
    // no messages of the account.
    let more = json!({ "PhoneFlag": 0, "EmailFlag": 0, "UserType": 2, "IsReceiverOwner": 0 });
    fields.extend(more.as_object().cloned().unwrap_or_default());
    fields.into()
}
