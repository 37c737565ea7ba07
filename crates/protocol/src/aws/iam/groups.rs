//! Groups of users.

use costrel_core::account::{Group, Labelled, Labels, Uin};
use futures_util::future::BoxFuture;

use super::{labels, listed, page, time, users};
use crate::aws::tree::Fields;
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
        let (_, users) = asked.accounts.members(group.id, 0, usize::MAX).await?;
        let users = listed(asked, users, |user| (&user.name, &user.labels));
        let users = users.iter().map(|user| users::fields(user, account).into()).collect();
        let mut answer: Fields = vec![("Group", fields(&group, account).into())];
        answer.extend(page(asked, "Users", users)?);
        Ok(Some(answer))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let groups = asked.accounts.groups("", 0, usize::MAX).await?.1;
        let groups = listed(asked, groups, |group| (&group.name, &group.labels));
        let groups = groups.iter().map(|group| fields(group, asked.key.account.uin).into());
        Ok(Some(page(asked, "Groups", groups.collect())?))
    })
}

pub(super) fn update<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let id = named(asked).await?.id;
        if let Some(path) = asked.call.text("NewPath") {
            let set = |labels: &mut Labels| path.clone_into(&mut labels.path);
            asked.accounts.change_labels(Labelled::Group(id), set).await?;
        }
        asked.accounts.update_group(id, asked.call.text("NewGroupName"), None).await?;
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
