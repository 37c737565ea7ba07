//! Who a statement is about.

use crate::decide::{Caller, Who};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Principal {
    /// Everybody, signed or not.
    Anyone,
    /// CAM's anonymous: whoever does not sign. What it allows is allowed to those
    /// who sign too, whose requests are judged as unsigned ones as well.
    Anonymous,
    /// CAM: an account's root alone.
    Root(u64),
    /// CAM: an account's root and all of its users.
    Account(u64),
    /// An account, in IAM and in CAM's trust policies. What is allowed to it, its root has and passes on by policies
    /// of its users; what is denied to it is denied to all of them.
    Delegate(u64),
    /// CAM: a user by his number and his account's.
    User { account: u64, uin: u64 },
    /// IAM: a user by his account and his name.
    Named { account: u64, name: Box<str> },
    /// CAM: a role by its account and its number.
    Role { account: u64, id: u64 },
    /// A role by its account and its name.
    RoleNamed { account: u64, name: Box<str> },
    /// IAM: whoever has taken on a role and calls himself so.
    RoleSession { account: u64, name: Box<str>, session: Box<str> },
    /// Whoever brings a token of an account's identity provider. In IAM it goes by its URL
    /// without the scheme, in CAM by a name of its own.
    Provider { account: u64, name: Box<str> },
    /// Somebody who does not call here: a service.
    Other,
}

impl Principal {
    /// In a statement that allows or denies, or that names whom it is not about
    /// (`others`).
    pub(crate) fn matches(&self, caller: &Caller, allows: bool, others: bool) -> bool {
        match (self, caller.who) {
            (Principal::Provider { account, name }, who) => {
                let names = [caller.name.as_deref(), caller.session_name.as_deref()];
                who == Who::Bearer(*account) && names.contains(&Some(&**name))
            }
            // What an issuer vouches for is worth what the account has said of that issuer.
            (_, Who::Bearer(_)) => !allows && *self == Principal::Anyone,
            (Principal::Anyone, _) => true,
            (Principal::Anonymous, who) => allows || who == Who::Anonymous,
            (Principal::Other, _) | (_, Who::Anonymous) => false,
            (
                Principal::Root(uin) | Principal::Account(uin) | Principal::Delegate(uin),
                Who::Root(root),
            ) => *uin == root,
            (Principal::Account(uin), Who::User { account, .. } | Who::Role { account, .. }) => {
                *uin == account
            }
            (Principal::Delegate(uin), Who::User { account, .. } | Who::Role { account, .. }) => {
                !allows && !others && *uin == account
            }
            (Principal::User { account, uin }, who) => {
                who == Who::User { account: *account, uin: *uin }
            }
            (Principal::Named { account, name }, Who::User { account: of, .. }) => {
                *account == of && caller.name.as_deref() == Some(&**name)
            }
            (Principal::Role { account, id }, who) => {
                who == Who::Role { account: *account, id: *id }
            }
            (Principal::RoleNamed { account, name }, Who::Role { account: of, .. }) => {
                *account == of && caller.name.as_deref() == Some(&**name)
            }
            (Principal::RoleSession { account, name, session }, Who::Role { account: of, .. }) => {
                *account == of
                    && caller.name.as_deref() == Some(&**name)
                    && caller.session_name.as_deref() == Some(&**session)
            }
            (Principal::Root(_), Who::User { .. } | Who::Role { .. })
            | (Principal::Named { .. }, Who::Root(_) | Who::Role { .. })
            | (
                Principal::RoleNamed { .. } | Principal::RoleSession { .. },
                Who::Root(_) | Who::User { .. },
            ) => false,
        }
    }

    /// Whether it is an account as a whole, which passes on what it is allowed.
    pub(crate) fn trusts_account(&self, account: u64) -> bool {
        match self {
            Principal::Anyone => true,
            Principal::Account(uin) | Principal::Delegate(uin) => *uin == account,
            _ => false,
        }
    }
}
