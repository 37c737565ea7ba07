//! Sub-users of the account and their keys.

use std::sync::Arc;

use super::holders::{Held, InForce, NewHolder};
use super::identity::{KeyPair, random_below};
use super::labels::Labels;
use super::rows::{
    GroupRow, UserKeyEntry, UserKeyRow, UserRow, decode, group_row, key_row, put, put_number,
    use_row, user_name_row, user_row,
};
use super::{AccessKey, Accounts, Holder, IdentityError, Uin, seal_context};
use crate::engine::Write;
use crate::error::{Error, Result};

/// Most keys of a user. (Tencent Cloud.)
pub const USER_KEYS_MAX: usize = 2;

/// Uins have 12 digits, and the first is 1.
const UIN_FIRST: u64 = 100_000_000_000;

/// How often a number is drawn for somebody new that another has.
const DRAWS: usize = 8;

/// Longest remark and description, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1000;

/// A sub-user: somebody of the account who may do what policies say.
#[derive(Clone, Debug)]
pub struct User {
    pub uin: Uin,
    /// His number within the account, as CAM has it: his uin, but for those who were made
    /// when there were shorter ones.
    pub uid: u64,
    pub name: String,
    pub details: UserDetails,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Ids of the policies attached, and since when.
    pub attached: Vec<(u64, u64)>,
    /// Ids of the groups that he is in.
    pub groups: Vec<u64>,
    pub labels: Labels,
    /// A policy that must allow whatever his others do, by its id, if there is one.
    pub boundary: Option<u64>,
    /// That policy, where it counts.
    pub limits: InForce,
    /// His policies and those of his groups, where they count.
    pub in_force: InForce,
}

/// What is noted about a user and means nothing here.
#[derive(Clone, Debug, Default)]
pub struct UserDetails {
    pub remark: String,
    pub phone: String,
    pub country_code: String,
    pub email: String,
}

impl UserDetails {
    fn check(&self) -> Result<(), IdentityError> {
        [&self.remark, &self.phone, &self.country_code, &self.email]
            .into_iter()
            .try_for_each(|text| check_text(text))
    }
}

/// What is known of a key but its secret.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    pub id: String,
    pub enabled: bool,
    pub created_ms: u64,
    pub description: String,
}

impl User {
    pub(super) fn of(row: UserRow) -> User {
        User {
            uin: Uin(row.uin),
            uid: row.uid,
            name: row.name,
            details: UserDetails {
                remark: row.remark,
                phone: row.phone,
                country_code: row.country_code,
                email: row.email,
            },
            created_ms: row.created_ms,
            attached: row.policies.iter().map(|policy| (policy.id, policy.attached_ms)).collect(),
            groups: row.groups.iter().map(|member| member.group).collect(),
            labels: Labels::of(row.labels),
            boundary: Some(row.boundary).filter(|id| *id != 0),
            limits: InForce::default(),
            in_force: InForce::default(),
        }
    }
}

/// Letters, digits and some marks: names stand in resources and in names of others.
pub(super) fn is_name(name: &str, len_max: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    (1..=len_max).contains(&name.len()) && name.bytes().all(plain)
}

pub(super) fn check_text(text: &str) -> Result<(), IdentityError> {
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => Err(IdentityError::TextTooLong { max: TEXT_BYTES_MAX }),
    }
}

const USER_NAME_LEN_MAX: usize = 64;

impl Accounts {
    pub async fn add_user(&self, name: &str, details: UserDetails) -> Result<User, IdentityError> {
        self.add_user_with(name, details, &NewHolder::default()).await
    }

    /// There is no moment in which he is there without his permissions boundary.
    pub async fn add_user_with(
        &self,
        name: &str,
        details: UserDetails,
        given: &NewHolder,
    ) -> Result<User, IdentityError> {
        if !is_name(name, USER_NAME_LEN_MAX) {
            return Err(IdentityError::UserName { len_max: USER_NAME_LEN_MAX });
        }
        details.check()?;
        for _ in 0..DRAWS {
            let uin = UIN_FIRST + random_below(UIN_FIRST, &*self.entropy);
            let row = UserRow {
                uin,
                uid: uin,
                name: name.to_owned(),
                remark: details.remark.clone(),
                phone: details.phone.clone(),
                country_code: details.country_code.clone(),
                email: details.email.clone(),
                created_ms: self.clock.now_ms(),
                labels: given.labels.row()?,
                boundary: given.boundary.unwrap_or(0),
                ..UserRow::default()
            };
            let mut rows = vec![user_name_row(name), user_row(uin)];
            rows.extend(given.boundary_row());
            let made = self.change(&rows, |found| match found {
                [Some(_), ..] => Err(IdentityError::UserExists),
                // Somebody has the number.
                [_, taken, ..] if taken.is_some() || uin == self.account.uin.0 => {
                    Ok((None, Vec::new()))
                }
                _ => {
                    given.check_boundary(found.get(2))?;
                    let writes =
                        vec![put_number(user_name_row(name), uin), put(user_row(uin), &row)];
                    Ok((Some(User::of(row.clone())), writes))
                }
            });
            if let Some(user) = made.await? {
                return Ok(user);
            }
        }
        Err(Error::Internal("no number is free".into()).into())
    }

    pub async fn user_named(&self, name: &str) -> Result<User, IdentityError> {
        let uin = self.named(user_name_row(name)).await?.ok_or(IdentityError::NoSuchUser)?;
        self.user(Uin(uin)).await
    }

    pub async fn user(&self, uin: Uin) -> Result<User, IdentityError> {
        let row = self.read_identity(user_row(uin.0)).await?;
        row.map(User::of).ok_or(IdentityError::NoSuchUser)
    }

    /// A user by what clients of CAM know as his number within the account.
    pub async fn user_of_uid(&self, uid: u64) -> Result<User, IdentityError> {
        if uid >= UIN_FIRST {
            return self.user(Uin(uid)).await;
        }
        // Of those who were made when the numbers were others, and short enough for two to
        // have the same.
        let (count, rows) = self.page(b'u', |row: &UserRow| row.uid == uid, 0, 1).await?;
        let only = rows.into_iter().next().filter(|_| count == 1);
        only.map(User::of).ok_or(IdentityError::NoSuchUser)
    }

    pub async fn set_user_details(
        &self,
        uin: Uin,
        details: UserDetails,
    ) -> Result<(), IdentityError> {
        details.check()?;
        self.change_user(uin, |row| {
            row.remark.clone_from(&details.remark);
            row.phone.clone_from(&details.phone);
            row.country_code.clone_from(&details.country_code);
            row.email.clone_from(&details.email);
            Ok(((), Vec::new()))
        })
        .await
    }

    /// Gives him another name, another path or both, at once. What belongs to him stays his.
    /// Policies that name him by his former name are about him no more.
    pub async fn move_user(
        &self,
        uin: Uin,
        name: Option<&str>,
        path: Option<&str>,
    ) -> Result<(), IdentityError> {
        if name.is_some_and(|name| !is_name(name, USER_NAME_LEN_MAX)) {
            return Err(IdentityError::UserName { len_max: USER_NAME_LEN_MAX });
        }
        let old = self.user(uin).await?.name;
        let name = name.unwrap_or(&old);
        let rows = [user_row(uin.0), user_name_row(&old), user_name_row(name)];
        self.change(&rows[..if name == old { 1 } else { 3 }], |found| {
            let (bytes, taken) = match found {
                [Some(bytes)] => (bytes, &None),
                [Some(bytes), _, taken] => (bytes, taken),
                _ => return Err(IdentityError::NoSuchUser),
            };
            let mut row: UserRow = decode(bytes)?;
            if row.name != old {
                return Err(Error::Internal("the user was renamed meanwhile".into()).into());
            }
            if taken.is_some() {
                return Err(IdentityError::UserExists);
            }
            row.name = name.to_owned();
            Labels::move_to(&mut row.labels, path)?;
            let mut writes = vec![put(rows[0].clone(), &row)];
            if name != old {
                writes.push(Write::Delete(rows[1].clone()));
                writes.push(put_number(rows[2].clone(), uin.0));
            }
            Ok(((), writes))
        })
        .await
    }

    /// `force` takes keys, attachments and memberships along, without which there must
    /// be none.
    pub async fn delete_user(&self, name: &str, force: bool) -> Result<(), IdentityError> {
        let user = self.user_named(name).await?;
        if force {
            for group in user.groups {
                match self.remove_from_group(user.uin, group).await {
                    Ok(()) | Err(IdentityError::NotMember | IdentityError::NoSuchGroup) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let rows = [user_row(user.uin.0), user_name_row(name)];
        self.change(&rows, |found| {
            let [Some(row), Some(_)] = found else { return Err(IdentityError::NoSuchUser) };
            let row: UserRow = decode(row)?;
            let has_policies = !row.policies.is_empty() || !row.inline.is_empty();
            let in_use = !row.keys.is_empty() || has_policies;
            // Who joined a group meanwhile is still counted there.
            if (in_use && !force) || !row.groups.is_empty() {
                return Err(IdentityError::UserInUse);
            }
            let mut writes = rows.iter().cloned().map(Write::Delete).collect::<Vec<_>>();
            let keys = row.keys.iter().flat_map(|key| [key_row(&key.id), use_row(&key.id)]);
            writes.extend(keys.map(Write::Delete));
            Ok(((), writes))
        })
        .await
    }

    pub async fn create_key(&self, uin: Uin, description: &str) -> Result<KeyPair, IdentityError> {
        check_text(description)?;
        let pair = KeyPair::generate(&*self.entropy);
        let sealed = self.master_key.seal(&pair.secret, &seal_context(&pair.id), &*self.entropy);
        let key = UserKeyRow { user_uin: uin.0, sealed_secret: sealed.into() };
        let entry = UserKeyEntry {
            id: pair.id.clone(),
            disabled: false,
            created_ms: self.clock.now_ms(),
            description: description.to_owned(),
        };
        self.change_user(uin, |row| {
            if row.keys.len() >= USER_KEYS_MAX {
                return Err(IdentityError::TooManyKeys { max: USER_KEYS_MAX });
            }
            row.keys.push(entry.clone());
            Ok((pair.clone(), vec![put(key_row(&pair.id), &key)]))
        })
        .await
    }

    pub async fn keys(&self, uin: Uin) -> Result<Vec<KeyInfo>, IdentityError> {
        let row: Option<UserRow> = self.read_identity(user_row(uin.0)).await?;
        let row = row.ok_or(IdentityError::NoSuchUser)?;
        let info = |key: UserKeyEntry| KeyInfo {
            id: key.id,
            enabled: !key.disabled,
            created_ms: key.created_ms,
            description: key.description,
        };
        Ok(row.keys.into_iter().map(info).collect())
    }

    pub async fn enable_key(&self, uin: Uin, id: &str, enabled: bool) -> Result<(), IdentityError> {
        self.change_user(uin, |row| {
            let key = row.keys.iter_mut().find(|key| key.id == id);
            key.ok_or(IdentityError::NoSuchKey)?.disabled = !enabled;
            Ok(((), Vec::new()))
        })
        .await
    }

    pub async fn delete_key(&self, uin: Uin, id: &str) -> Result<(), IdentityError> {
        self.change_user(uin, |row| {
            let count = row.keys.len();
            row.keys.retain(|key| key.id != id);
            match row.keys.len() < count {
                true => Ok(((), [key_row(id), use_row(id)].map(Write::Delete).to_vec())),
                false => Err(IdentityError::NoSuchKey),
            }
        })
        .await
    }

    /// Whose key it is.
    pub async fn key_owner(&self, id: &str) -> Result<User, IdentityError> {
        let key: Option<UserKeyRow> = self.read_identity(key_row(id)).await?;
        self.user(Uin(key.ok_or(IdentityError::NoSuchKey)?.user_uin)).await
    }

    /// Changes a user's row, together with whatever else is written.
    pub(super) async fn change_user<T>(
        &self,
        uin: Uin,
        decide: impl Fn(&mut UserRow) -> Result<(T, Vec<Write>), IdentityError>,
    ) -> Result<T, IdentityError> {
        let user = user_row(uin.0);
        self.change(std::slice::from_ref(&user), |found| {
            let [Some(bytes)] = found else { return Err(IdentityError::NoSuchUser) };
            let mut row: UserRow = decode(bytes)?;
            let (value, mut writes) = decide(&mut row)?;
            writes.push(put(user.clone(), &row));
            Ok((value, writes))
        })
        .await
    }

    /// A user's key as it signs requests: with its secret, and with what its user may
    /// do.
    pub(super) async fn user_key(&self, id: &str) -> Result<Option<AccessKey>> {
        let Some(key) = self.read_identity::<UserKeyRow>(key_row(id)).await? else {
            return Ok(None);
        };
        let row: Option<UserRow> = self.read_identity(user_row(key.user_uin)).await?;
        // Between the two reads the user or the key may have gone.
        let entry = |row: &UserRow| row.keys.iter().find(|entry| entry.id == id).cloned();
        let Some((row, entry)) = row.and_then(|row| entry(&row).map(|entry| (row, entry))) else {
            return Ok(None);
        };
        let secret = self
            .master_key
            .unseal(&key.sealed_secret, &seal_context(id))
            .map_err(|error| Error::Damaged(format!("access key {id}: {error}")))?;
        let user = self.in_force(row).await?;
        Ok(Some(AccessKey {
            id: id.to_owned(),
            secret,
            account: self.account.clone(),
            enabled: !entry.disabled,
            holder: Holder::User(Arc::new(user)),
            session: None,
        }))
    }

    /// A user with what he may do.
    pub async fn user_in_force(&self, name: &str) -> Result<User, IdentityError> {
        let uin = self.named(user_name_row(name)).await?.ok_or(IdentityError::NoSuchUser)?;
        let row = self.read_identity(user_row(uin)).await?.ok_or(IdentityError::NoSuchUser)?;
        Ok(self.in_force(row).await?)
    }

    async fn in_force(&self, row: UserRow) -> Result<User> {
        let rows: Vec<_> = row.groups.iter().map(|member| group_row(member.group)).collect();
        let mut groups: Vec<GroupRow> = Vec::with_capacity(rows.len());
        if !rows.is_empty() {
            for bytes in self.read_identities(&rows).await?.iter().flatten() {
                groups.push(decode(bytes)?);
            }
        }
        let own = Held { group: None, attached: &row.policies, inline: &row.inline };
        let of_groups = groups.iter().map(|group| Held {
            group: Some(group.name.as_str().into()),
            attached: &group.policies,
            inline: &group.inline,
        });
        let held: Vec<_> = std::iter::once(own).chain(of_groups).collect();
        let in_force = self.policies_in_force(&held).await?;
        let user = User::of(row);
        let limits = self.limits_in_force(user.boundary).await?;
        Ok(User { in_force, limits, ..user })
    }
}
