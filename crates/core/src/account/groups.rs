//! Groups of users. Whoever is in one has its policies beside his own.

use super::identity::random_below;
use super::labels::Labels;
use super::rows::{
    GroupRow, Membership, UserRow, decode, group_name_row, group_row, put, put_number, user_row,
};
use super::users::{User, check_text, is_name};
use super::{Accounts, IdentityError, Uin};
use crate::engine::Write;
use crate::error::{Error, Result};

/// Longest name of a group. (AWS; Tencent Cloud does not say.)
const NAME_LEN_MAX: usize = 128;

/// Most groups a user is in. (AWS and Tencent Cloud.)
pub const GROUPS_MAX: usize = 10;

/// Members of a group that are read at once where it is emptied.
const MEMBERS_AT_ONCE: usize = 256;

#[derive(Clone, Debug)]
pub struct Group {
    pub id: u64,
    pub name: String,
    pub remark: String,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// How many users are in it.
    pub members: u64,
    pub labels: Labels,
}

impl Group {
    pub(super) fn of(row: GroupRow) -> Group {
        Group {
            id: row.id,
            name: row.name,
            remark: row.remark,
            created_ms: row.created_ms,
            members: row.members,
            labels: Labels::of(row.labels),
        }
    }
}

impl Accounts {
    pub async fn create_group(&self, name: &str, remark: &str) -> Result<Group, IdentityError> {
        self.create_labelled_group(name, remark, &Labels::default()).await
    }

    pub async fn create_labelled_group(
        &self,
        name: &str,
        remark: &str,
        labels: &Labels,
    ) -> Result<Group, IdentityError> {
        if !is_name(name, NAME_LEN_MAX) {
            return Err(IdentityError::GroupName { len_max: NAME_LEN_MAX });
        }
        check_text(remark)?;
        let row = GroupRow {
            id: 100_000_000 + random_below(900_000_000, &*self.entropy),
            name: name.to_owned(),
            remark: remark.to_owned(),
            created_ms: self.clock.now_ms(),
            labels: labels.row()?,
            ..GroupRow::default()
        };
        self.change(&[group_name_row(name), group_row(row.id)], |found| match found {
            [None, None] => Ok((
                Group::of(row.clone()),
                vec![put_number(group_name_row(name), row.id), put(group_row(row.id), &row)],
            )),
            [None, _] => Err(Error::Internal("a number was drawn twice".into()).into()),
            _ => Err(IdentityError::GroupExists),
        })
        .await
    }

    pub async fn group(&self, id: u64) -> Result<Group, IdentityError> {
        let row = self.read_identity(group_row(id)).await?;
        row.map(Group::of).ok_or(IdentityError::NoSuchGroup)
    }

    pub async fn group_named(&self, name: &str) -> Result<Group, IdentityError> {
        let id = self.named(group_name_row(name)).await?.ok_or(IdentityError::NoSuchGroup)?;
        self.group(id).await
    }

    /// Groups whose name holds a text, in the order of their numbers: how many there
    /// are, and some of them.
    pub async fn groups(
        &self,
        keyword: &str,
        skip: usize,
        limit: usize,
    ) -> Result<(usize, Vec<Group>)> {
        let keep = |row: &GroupRow| row.name.contains(keyword);
        let (count, rows) = self.page(b'g', keep, skip, limit).await?;
        Ok((count, rows.into_iter().map(Group::of).collect()))
    }

    /// Replaces what is given, at once.
    pub async fn update_group(
        &self,
        id: u64,
        name: Option<&str>,
        remark: Option<&str>,
        path: Option<&str>,
    ) -> Result<(), IdentityError> {
        if name.is_some_and(|name| !is_name(name, NAME_LEN_MAX)) {
            return Err(IdentityError::GroupName { len_max: NAME_LEN_MAX });
        }
        check_text(remark.unwrap_or_default())?;
        let old = self.group(id).await?.name;
        let name = name.unwrap_or(&old);
        let rows = [group_row(id), group_name_row(&old), group_name_row(name)];
        self.change(&rows[..if name == old { 1 } else { 3 }], |found| {
            let (bytes, taken) = match found {
                [Some(bytes)] => (bytes, &None),
                [Some(bytes), _, taken] => (bytes, taken),
                _ => return Err(IdentityError::NoSuchGroup),
            };
            let mut row: GroupRow = decode(bytes)?;
            if row.name != old {
                return Err(Error::Internal("the group was renamed meanwhile".into()).into());
            }
            if taken.is_some() {
                return Err(IdentityError::GroupExists);
            }
            row.name = name.to_owned();
            if let Some(remark) = remark {
                row.remark = remark.to_owned();
            }
            Labels::move_to(&mut row.labels, path)?;
            let mut writes = vec![put(group_row(id), &row)];
            if name != old {
                writes.push(Write::Delete(group_name_row(&old)));
                writes.push(put_number(group_name_row(name), id));
            }
            Ok(((), writes))
        })
        .await
    }

    /// `force` lets its members go and its policies, without which there must be none.
    pub async fn delete_group(&self, id: u64, force: bool) -> Result<(), IdentityError> {
        loop {
            let group = self.group(id).await?;
            if force {
                self.empty_group(id).await?;
            }
            let rows = [group_row(id), group_name_row(&group.name)];
            let deleted = self.change(&rows, |found| {
                let [Some(bytes), _] = found else { return Err(IdentityError::NoSuchGroup) };
                let row: GroupRow = decode(bytes)?;
                let has_policies = !row.policies.is_empty() || !row.inline.is_empty();
                if row.members > 0 || (has_policies && !force) {
                    return Err(IdentityError::GroupInUse);
                }
                Ok(((), rows.iter().cloned().map(Write::Delete).collect()))
            });
            match deleted.await {
                // Somebody joined meanwhile.
                Err(IdentityError::GroupInUse) if force => {}
                result => return result,
            }
        }
    }

    /// Lets members of a group go, a page at a time.
    async fn empty_group(&self, id: u64) -> Result<(), IdentityError> {
        let mut after = None;
        loop {
            let (members, more) = self.members_behind(id, after, MEMBERS_AT_ONCE).await?;
            after = members.last().map(|user| user.uin);
            for user in members {
                match self.remove_from_group(user.uin, id).await {
                    Ok(()) | Err(IdentityError::NotMember | IdentityError::NoSuchUser) => {}
                    Err(error) => return Err(error),
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Whoever is in it stays in it.
    pub async fn add_to_group(&self, uin: Uin, id: u64) -> Result<(), IdentityError> {
        let joined_ms = self.clock.now_ms();
        self.change_membership(uin, id, |user, group| {
            if user.groups.iter().any(|member| member.group == id) {
                return Ok(false);
            }
            if user.groups.len() >= GROUPS_MAX {
                return Err(IdentityError::TooManyGroups { max: GROUPS_MAX });
            }
            user.groups.push(Membership { group: id, joined_ms });
            group.members += 1;
            Ok(true)
        })
        .await
    }

    pub async fn remove_from_group(&self, uin: Uin, id: u64) -> Result<(), IdentityError> {
        self.change_membership(uin, id, |user, group| {
            let count = user.groups.len();
            user.groups.retain(|member| member.group != id);
            if user.groups.len() == count {
                return Err(IdentityError::NotMember);
            }
            group.members = group.members.saturating_sub(1);
            Ok(true)
        })
        .await
    }

    async fn change_membership(
        &self,
        uin: Uin,
        id: u64,
        decide: impl Fn(&mut UserRow, &mut GroupRow) -> Result<bool, IdentityError>,
    ) -> Result<(), IdentityError> {
        let rows = [user_row(uin.0), group_row(id)];
        self.change(&rows, |found| {
            let [Some(user), group] = found else { return Err(IdentityError::NoSuchUser) };
            let group = group.as_ref().ok_or(IdentityError::NoSuchGroup)?;
            let (mut user, mut group): (UserRow, GroupRow) = (decode(user)?, decode(group)?);
            Ok(match decide(&mut user, &mut group)? {
                true => ((), vec![put(rows[0].clone(), &user), put(rows[1].clone(), &group)]),
                false => ((), Vec::new()),
            })
        })
        .await
    }

    /// Users of a group in the order of their numbers, and when they joined: how many
    /// there are, and some of them. Every user of the account is looked at.
    pub async fn members(&self, id: u64, skip: usize, limit: usize) -> Result<(usize, Vec<User>)> {
        let keep = |row: &UserRow| row.groups.iter().any(|member| member.group == id);
        let (count, rows) = self.page(b'u', keep, skip, limit).await?;
        Ok((count, rows.into_iter().map(User::of).collect()))
    }

    /// The groups that a user is in, in the order in which he joined.
    pub async fn groups_of(&self, uin: Uin) -> Result<Vec<Group>, IdentityError> {
        let rows: Vec<_> = self.user(uin).await?.groups.into_iter().map(group_row).collect();
        let found = if rows.is_empty() { vec![] } else { self.read_identities(&rows).await? };
        let groups = found.iter().flatten().map(|bytes| Ok(Group::of(decode(bytes)?)));
        groups.collect()
    }
}
