//! What IAM puts on users, groups, roles, policies and identity providers beside their
//! names: a path, and tags.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::rows::{
    GroupRow, LabelsRow, ManagedPolicyRow, ProviderRow, RoleRow, TagRow, UserRow, decode,
    group_row, policy_row, provider_row, put, role_row, user_row,
};
use super::session::named;
use super::{Accounts, IdentityError, Uin};
use crate::engine::{RowRef, Write};
use crate::error::Result;

/// Longest path, in bytes; longest names and values of tags, in characters; and most of
/// them. (AWS.)
const PATH_BYTES_MAX: usize = 512;
const TAG_NAME_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;
const TAGS_MAX: usize = 50;

/// A path and tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Begins and ends with a slash.
    pub path: String,
    pub tags: BTreeMap<String, String>,
}

impl Default for Labels {
    fn default() -> Labels {
        Labels { path: "/".into(), tags: BTreeMap::new() }
    }
}

impl Labels {
    /// A tag by its name in any case. (AWS.)
    pub fn tag(&self, name: &str) -> Option<&str> {
        named(&self.tags, name)
    }

    /// What IAM calls whoever has this name.
    pub fn place(&self, name: &str) -> String {
        [&self.path, name].concat()
    }

    pub(super) fn of(row: Option<LabelsRow>) -> Labels {
        let Some(row) = row else { return Labels::default() };
        Labels {
            path: if row.path.is_empty() { "/".into() } else { row.path },
            tags: row.tags.into_iter().map(|tag| (tag.name, tag.value)).collect(),
        }
    }

    pub(super) fn row(&self) -> Result<Option<LabelsRow>, IdentityError> {
        self.check()?;
        let path = if self.path == "/" { String::new() } else { self.path.clone() };
        let tag =
            |(name, value): (&String, &String)| TagRow { name: name.clone(), value: value.clone() };
        let tags: Vec<_> = self.tags.iter().map(tag).collect();
        Ok((!path.is_empty() || !tags.is_empty()).then_some(LabelsRow { path, tags }))
    }

    /// Changes the path of what has these labels, if another one is given.
    pub(super) fn move_to(
        row: &mut Option<LabelsRow>,
        path: Option<&str>,
    ) -> Result<(), IdentityError> {
        if let Some(path) = path {
            let labels = Labels { path: path.to_owned(), ..Labels::of(row.take()) };
            *row = labels.row()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), IdentityError> {
        let path = self.path.as_bytes();
        let ends = path.first() == Some(&b'/') && path.last() == Some(&b'/');
        if !ends || path.len() > PATH_BYTES_MAX || !path.iter().all(u8::is_ascii_graphic) {
            return Err(IdentityError::Path { max: PATH_BYTES_MAX });
        }
        let fits = |(name, value): (&String, &String)| {
            (1..=TAG_NAME_CHARS_MAX).contains(&name.chars().count())
                && value.chars().count() <= TAG_VALUE_CHARS_MAX
        };
        if !self.tags.iter().all(fits) {
            return Err(IdentityError::Tag);
        }
        match self.tags.len() <= TAGS_MAX {
            true => Ok(()),
            false => Err(IdentityError::TooManyTags { max: TAGS_MAX }),
        }
    }
}

/// What has labels, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelled<'a> {
    User(Uin),
    Group(u64),
    Role(u64),
    Policy(u64),
    /// By its URL without the scheme. It has tags alone.
    Provider(&'a str),
}

impl Labelled<'_> {
    fn row(self) -> RowRef {
        match self {
            Labelled::User(uin) => user_row(uin.0),
            Labelled::Group(id) => group_row(id),
            Labelled::Role(id) => role_row(id),
            Labelled::Policy(id) => policy_row(id),
            Labelled::Provider(place) => provider_row(place),
        }
    }

    fn missing(self) -> IdentityError {
        match self {
            Labelled::User(_) => IdentityError::NoSuchUser,
            Labelled::Group(_) => IdentityError::NoSuchGroup,
            Labelled::Role(_) => IdentityError::NoSuchRole,
            Labelled::Policy(_) => IdentityError::NoSuchPolicy,
            Labelled::Provider(_) => IdentityError::NoSuchProvider,
        }
    }

    /// The row with other labels.
    fn changed(self, bytes: &Bytes, change: &impl Fn(&mut Labels)) -> Result<Write, IdentityError> {
        fn changed<M: Message + Default>(
            row: RowRef,
            bytes: &Bytes,
            labels: impl Fn(&mut M) -> &mut Option<LabelsRow>,
            change: &impl Fn(&mut Labels),
        ) -> Result<Write, IdentityError> {
            let mut record: M = decode(bytes)?;
            let stored = labels(&mut record);
            let mut changed = Labels::of(stored.take());
            change(&mut changed);
            *stored = changed.row()?;
            Ok(put(row, &record))
        }
        let row = self.row();
        match self {
            Labelled::User(_) => changed(row, bytes, |row: &mut UserRow| &mut row.labels, change),
            Labelled::Group(_) => changed(row, bytes, |row: &mut GroupRow| &mut row.labels, change),
            Labelled::Role(_) => changed(row, bytes, |row: &mut RoleRow| &mut row.labels, change),
            Labelled::Policy(_) => {
                changed(row, bytes, |row: &mut ManagedPolicyRow| &mut row.labels, change)
            }
            Labelled::Provider(_) => {
                changed(row, bytes, |row: &mut ProviderRow| &mut row.labels, change)
            }
        }
    }
}

impl Accounts {
    /// Changes the path or the tags of something.
    pub async fn change_labels(
        &self,
        whose: Labelled<'_>,
        change: impl Fn(&mut Labels),
    ) -> Result<(), IdentityError> {
        self.change(&[whose.row()], |found| {
            let [Some(bytes)] = found else { return Err(whose.missing()) };
            Ok(((), vec![whose.changed(bytes, &change)?]))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_limits() {
        let path = |path: &str| Labels { path: path.into(), ..Labels::default() }.row().is_ok();
        for good in ["/", "/a/", "/a/b/", "/!~/", &format!("/{}/", "x".repeat(510))] {
            assert!(path(good), "{good}");
        }
        for bad in ["", "a", "/a", "a/", "/a b/", "/é/", &format!("/{}/", "x".repeat(511))] {
            assert!(!path(bad), "{bad}");
        }
        let tags = |tags: &[(String, String)]| {
            Labels { tags: tags.iter().cloned().collect(), ..Labels::default() }.row()
        };
        assert!(tags(&[("é".repeat(128), "é".repeat(256))]).is_ok());
        for (name, value) in [("", ""), (&"x".repeat(129), ""), ("a", &"x".repeat(257))] {
            assert!(matches!(tags(&[(name.into(), value.into())]), Err(IdentityError::Tag)));
        }
        let many: Vec<_> = (0..=TAGS_MAX).map(|n| (n.to_string(), String::new())).collect();
        assert!(tags(&many[1..]).is_ok());
        assert!(matches!(tags(&many), Err(IdentityError::TooManyTags { .. })));
    }

    #[test]
    fn labels_that_say_nothing_are_not_stored() {
        assert_eq!(Labels::default().row().unwrap(), None);
        assert_eq!(Labels::of(None), Labels::default());
        let labels = Labels { path: "/a/".into(), tags: [("b".to_owned(), "c".to_owned())].into() };
        assert_eq!(Labels::of(labels.row().unwrap()), labels);
        assert_eq!(labels.place("d"), "/a/d");
    }
}
