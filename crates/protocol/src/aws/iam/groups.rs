//! Groups of users.

use costrel_core::account::{Group, Uin};
use futures_util::future::BoxFuture;

use super::{by_name, labels, page, page_limit, rest, time, users};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let name = asked.call.required("GroupName")?;
        let group = asked.accounts.create_labelled_group(name, "", &labels(asked)?).await?;
        Ok(Some(vec![("Group", fields(&group, asked.key.account.uin).into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let group = named(asked).await?;
        let account = asked.key.account.uin;
        // A marker is the number of the user before it.
        let after = asked.call.text("Marker").map(str::parse).transpose();
        let after = after.map_err(|_| AwsFailure::BadValue("Marker"))?;
        let limit = page_limit(asked)?;
        let (users, more) = asked.accounts.members_behind(group.id, after, limit).await?;
        let next = users.last().filter(|_| more).map(|user| user.uin.to_string());
        let users = users.iter().map(|user| users::fields(user, account).into()).collect();
        let mut answer: Fields =
            vec![("Group", fields(&group, account).into()), ("Users", Node::List(users))];
        answer.extend(rest(next));
        Ok(Some(answer))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (after, limit, prefix) = by_name(asked)?;
        let wanted = |group: &Group| group.labels.path.starts_with(prefix);
        let (groups, next) = asked.accounts.groups_by_name(after, limit, wanted).await?;
        let groups = groups.iter().map(|group| fields(group, asked.key.account.uin).into());
        let mut answer: Fields = vec![("Groups", Node::List(groups.collect()))];
        answer.extend(rest(next));
        Ok(Some(answer))
    })
}

pub(super) fn update<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (id, call) = (named(asked).await?.id, asked.call);
        let (name, path) = (call.text("NewGroupName"), call.text("NewPath"));
        asked.accounts.update_group(id, name, None, path).await?;
        Ok(None)
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        asked.accounts.delete_group(named(asked).await?.id, false).await?;
        Ok(None)
    })
}

pub(super) fn add_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let user = asked.accounts.user_named(asked.call.required("UserName")?).await?;
        asked.accounts.add_to_group(user.uin, named(asked).await?.id).await?;
        Ok(None)
    })
}

pub(super) fn remove_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let user = asked.accounts.user_named(asked.call.required("UserName")?).await?;
        asked.accounts.remove_from_group(user.uin, named(asked).await?.id).await?;
        Ok(None)
    })
}

pub(super) fn list_of_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let user = asked.accounts.user_named(asked.call.required("UserName")?).await?;
        let groups = asked.accounts.groups_of(user.uin).await?;
        let groups = groups.iter().map(|group| fields(group, asked.key.account.uin).into());
        Ok(Some(page(asked, "Groups", groups.collect())?))
    })
}

async fn named(asked: &Asked<'_>) -> Result<Group, AwsFailure> {
    Ok(asked.accounts.group_named(asked.call.required("GroupName")?).await?)
}

pub(super) fn fields(group: &Group, account: Uin) -> Fields {
    vec![
        ("Path", group.labels.path.as_str().into()),
        ("GroupName", group.name.as_str().into()),
        ("GroupId", group.id.to_string().into()),
        ("Arn", format!("arn:aws:iam::{account}:group{}", group.labels.place(&group.name)).into()),
        ("CreateDate", time(group.created_ms)),
    ]
}
