//! What the services call whoever holds a key.

use costrel_core::account::{AccessKey, Holder, SessionKind};

/// His name in policies of AWS. Whoever has taken on a role is known by the role's.
pub(super) fn principal_arn(key: &AccessKey) -> String {
    let account = key.account.uin;
    match (&key.holder, &key.session) {
        (Holder::Role(role), _) => {
            format!("arn:aws:iam::{account}:role{}", role.labels.place(&role.name))
        }
        (_, Some(session)) if session.kind == SessionKind::Federated => {
            format!("arn:aws:sts::{account}:federated-user/{}", session.name)
        }
        (Holder::User(user), _) => {
            format!("arn:aws:iam::{account}:user{}", user.labels.place(&user.name))
        }
        (Holder::Root, _) => format!("arn:aws:iam::{account}:root"),
    }
}

/// His name as he is told it himself: whoever has taken on a role is told what he calls
/// himself, too.
pub(crate) fn caller_arn(key: &AccessKey) -> String {
    match (&key.holder, &key.session) {
        (Holder::Role(role), Some(session)) => {
            let (account, name) = (key.account.uin, &session.name);
            format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name)
        }
        _ => principal_arn(key),
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
        Some(session) if session.kind != SessionKind::Own => format!("{number}:{}", session.name),
        _ => number,
    }
}

/// A user's name. A root has none, and whom a user lets in is nobody's user.
pub(super) fn user_name(key: &AccessKey) -> Option<&str> {
    let own = key.session.as_ref().is_none_or(|session| session.kind == SessionKind::Own);
    key.user().filter(|_| own).map(|user| user.name.as_str())
}

pub(super) fn principal_type(key: &AccessKey) -> &'static str {
    match (&key.holder, key.session.as_ref().map(|session| session.kind)) {
        (Holder::Role(_), _) | (_, Some(SessionKind::Role)) => "AssumedRole",
        (_, Some(SessionKind::Federated)) => "FederatedUser",
        (Holder::User(_), _) => "User",
        (Holder::Root, _) => "Account",
    }
}
