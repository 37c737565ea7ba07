//! What the services call whoever holds a key.

use costrel_core::account::{AccessKey, Holder, SessionKind};

/// His name in policies of AWS. Whoever has taken on a role is known by the role's.
pub(crate) fn principal_arn(key: &AccessKey) -> String {
    let account = key.account.uin;
    match (&key.holder, &key.session) {
        (Holder::Role(role), _) => format!("arn:aws:iam::{account}:role/{}", role.name),
        (_, Some(session)) => format!("arn:aws:sts::{account}:federated-user/{}", session.name),
        (Holder::User(user), None) => format!("arn:aws:iam::{account}:user/{}", user.name),
        (Holder::Root, None) => format!("arn:aws:iam::{account}:root"),
    }
}

/// His number, and behind it what he calls himself for the while that a temporary key
/// is good.
pub(crate) fn user_id(key: &AccessKey) -> String {
    let number = match &key.holder {
        Holder::Role(role) => role.id.to_string(),
        Holder::User(_) | Holder::Root => key.uin().to_string(),
    };
    match &key.session {
        Some(session) => format!("{number}:{}", session.name),
        None => number,
    }
}

pub(super) fn principal_type(key: &AccessKey) -> &'static str {
    match (&key.holder, key.session.as_ref().map(|session| session.kind)) {
        (_, Some(SessionKind::Role)) | (Holder::Role(_), None) => "AssumedRole",
        (_, Some(SessionKind::Federated)) => "FederatedUser",
        (Holder::User(_), None) => "User",
        (Holder::Root, None) => "Account",
    }
}
