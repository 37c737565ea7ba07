//! Decisions in words: by which statement of which policy, by which grant, or why by
//! none.

use std::fmt;
use std::sync::Arc;

use costrel_core::account::{Holder, Origin};
use costrel_core::acl::{AclVerdict, Grant, Grantee};
use costrel_policy::{Caller, Decision, Grammar, Ground, Place, Policy, Source, Span, Verdict};

/// A decision, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub allowed: bool,
    pub basis: Basis,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A statement, by its number from 1 and what its author calls it. A Deny that is
    /// not `certain` applies since nobody can know what a condition asks for.
    Statement {
        policy: PolicyName,
        number: usize,
        sid: Option<String>,
        /// Where it stands in the policy's text.
        span: Option<Span>,
        certain: bool,
    },
    /// A policy without which nothing is allowed has no statement that allows it.
    Silent(PolicyName),
    /// The account's root may do what nothing forbids.
    Root,
    /// A grant of an ACL: the object's own, or the bucket's.
    Grant { of_object: bool, permission: &'static str, grantee: String },
    /// A statement lets anybody in, which the bucket restricts to its owner's account.
    PublicPolicyRestricted,
    /// A grant lets everybody in, which the bucket ignores.
    PublicAclIgnored,
    /// A grant would do in a bucket whose owner did not own whatever is in it.
    AclsDisabled,
    /// No statement and no grant allows it.
    Nothing,
}

/// What a policy belongs to, and its name if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyName {
    /// Limits a temporary key; by its number from 1.
    Session(usize),
    User(String),
    Group {
        group: String,
        policy: String,
    },
    Role(String),
    /// A permissions boundary. One that was deleted, and so allows nothing, has a number
    /// for a name.
    Boundary(String),
    /// One that was given to be tried; by its number from 1.
    Given(usize),
    /// A permissions boundary that was given to be tried.
    GivenBoundary,
    Bucket(Grammar),
    Trust,
}

impl PolicyName {
    /// In a word: whose it is.
    pub fn kind(&self) -> &'static str {
        match self {
            PolicyName::Session(_) => "session",
            PolicyName::User(_) => "user",
            PolicyName::Group { .. } => "group",
            PolicyName::Role(_) => "role",
            PolicyName::Boundary(_) | PolicyName::GivenBoundary => "boundary",
            PolicyName::Given(_) => "given",
            PolicyName::Bucket(_) => "bucket",
            PolicyName::Trust => "trust",
        }
    }

    /// Its own name, or what tells it from others of its kind.
    pub fn id(&self) -> String {
        match self {
            PolicyName::Session(number) | PolicyName::Given(number) => number.to_string(),
            PolicyName::User(name) | PolicyName::Role(name) | PolicyName::Boundary(name) => {
                name.clone()
            }
            PolicyName::Group { policy, .. } => policy.clone(),
            PolicyName::Bucket(Grammar::Cam) => "cos".into(),
            PolicyName::Bucket(Grammar::Iam) => "s3".into(),
            PolicyName::Trust | PolicyName::GivenBoundary => String::new(),
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyName::Session(number) => write!(f, "session policy {number}"),
            PolicyName::User(name) => write!(f, "the user's policy {name}"),
            PolicyName::Group { group, policy } => {
                write!(f, "the policy {policy} of the group {group}")
            }
            PolicyName::Role(name) => write!(f, "the role's policy {name}"),
            PolicyName::Boundary(name) => write!(f, "the permissions boundary {name}"),
            PolicyName::GivenBoundary => f.write_str("the given permissions boundary"),
            PolicyName::Given(number) => write!(f, "the given policy {number}"),
            PolicyName::Bucket(Grammar::Cam) => f.write_str("the bucket's policy of COS"),
            PolicyName::Bucket(Grammar::Iam) => f.write_str("the bucket's policy of S3"),
            PolicyName::Trust => f.write_str("the role's trust policy"),
        }
    }
}

impl Basis {
    /// In a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Basis::Statement { .. } => "statement",
            Basis::Silent(_) => "silence",
            Basis::Root => "root",
            Basis::Grant { .. } => "grant",
            Basis::PublicPolicyRestricted | Basis::PublicAclIgnored => "public_access_block",
            Basis::AclsDisabled => "ownership",
            Basis::Nothing => "nothing",
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basis::Statement { policy, number, sid, certain, .. } => {
                write!(f, "statement {number}")?;
                if let Some(sid) = sid {
                    write!(f, " ({sid})")?;
                }
                write!(f, " of {policy}")?;
                match certain {
                    true => Ok(()),
                    false => f.write_str(", a condition of which asks for what is not known here"),
                }
            }
            Basis::Silent(policy) => write!(f, "no statement of {policy} allows it"),
            Basis::Root => f.write_str("the account's root, against whom nothing speaks"),
            Basis::Grant { of_object, permission, grantee } => {
                let whose = if *of_object { "object" } else { "bucket" };
                write!(f, "a grant of {permission} to {grantee} in the {whose}'s ACL")
            }
            Basis::PublicPolicyRestricted => f.write_str(
                "a statement allows it to anybody, and the bucket's public access block restricts \
                 such policies to the owner's account",
            ),
            Basis::PublicAclIgnored => f.write_str(
                "an ACL grants it to everybody, and the bucket's public access block ignores \
                 such grants",
            ),
            Basis::AclsDisabled => f.write_str(
                "an ACL grants it, and ACLs count for nothing in a bucket whose owner owns \
                 whatever is in it",
            ),
            Basis::Nothing => f.write_str("no statement and no grant allows it"),
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.allowed { "allowed" } else { "denied" }, self.basis)
    }
}

/// The policies that judged, by which a verdict's ground is found.
#[derive(Clone, Copy)]
pub(super) struct Judges<'a> {
    pub caller: &'a Caller,
    /// Whose policies the caller's first ones are; the rest were given to be tried.
    pub holder: Option<&'a Holder>,
    /// Where the caller's permissions boundary is from; nowhere if it was given to be tried.
    pub boundary: &'a [Origin],
    pub bucket: &'a [Arc<Policy>],
    pub trust: Option<&'a Arc<Policy>>,
}

impl<'a> Judges<'a> {
    /// Those of a caller alone.
    pub fn of(caller: &'a Caller, holder: Option<&'a Holder>) -> Judges<'a> {
        let limits = holder.and_then(Holder::limits);
        let boundary = limits.map_or(&[][..], |limits| &limits.origins);
        Judges { caller, holder, boundary, bucket: &[], trust: None }
    }

    pub fn explain(&self, verdict: Verdict, acl: Option<AclVerdict>) -> Explained {
        let granted = acl.filter(|_| verdict.decision == Decision::LeftToAcls);
        let (allowed, basis) = match granted {
            Some(AclVerdict::Granted { grant, of_object }) => (true, of_grant(grant, of_object)),
            Some(AclVerdict::PublicIgnored) => (false, Basis::PublicAclIgnored),
            Some(AclVerdict::Disabled) => (false, Basis::AclsDisabled),
            Some(AclVerdict::Nothing) | None => {
                (verdict.decision == Decision::Allowed, self.basis(verdict.ground))
            }
        };
        Explained { allowed, basis }
    }

    fn basis(&self, ground: Ground) -> Basis {
        match ground {
            Ground::Statement { policy, statement, certain } => Basis::Statement {
                sid: self.policy(policy).and_then(|policy| policy.sid(statement)).map(Into::into),
                span: self.policy(policy).and_then(|policy| policy.span(statement)),
                policy: self.name(policy),
                number: statement + 1,
                certain,
            },
            Ground::Silent(policy) => Basis::Silent(self.name(policy)),
            Ground::Root => Basis::Root,
            Ground::PublicBlocked => Basis::PublicPolicyRestricted,
            Ground::Nothing => Basis::Nothing,
        }
    }

    fn policy(&self, place: Place) -> Option<&Policy> {
        let policies = match place.source {
            Source::Session => &self.caller.session[..],
            Source::Own => &self.caller.policies,
            Source::Boundary => &self.caller.limits,
            Source::Bucket => self.bucket,
            Source::Trust => return self.trust.map(|policy| &**policy),
        };
        policies.get(place.at).map(|policy| &**policy)
    }

    fn name(&self, place: Place) -> PolicyName {
        match place.source {
            Source::Session => PolicyName::Session(place.at + 1),
            Source::Bucket => {
                let policy = self.policy(place);
                PolicyName::Bucket(policy.map_or(Grammar::Iam, |policy| policy.grammar))
            }
            Source::Trust => PolicyName::Trust,
            Source::Boundary => match self.boundary.get(place.at) {
                Some(origin) => PolicyName::Boundary(origin.name.to_string()),
                None => PolicyName::GivenBoundary,
            },
            Source::Own => {
                let in_force = self.holder.and_then(Holder::in_force);
                let origins = in_force.map_or(&[][..], |in_force| &in_force.origins);
                let Some(origin) = origins.get(place.at) else {
                    return PolicyName::Given(place.at - origins.len() + 1);
                };
                let policy = origin.name.to_string();
                match (&origin.group, self.holder) {
                    (Some(group), _) => PolicyName::Group { group: group.to_string(), policy },
                    (None, Some(Holder::Role(_))) => PolicyName::Role(policy),
                    (None, _) => PolicyName::User(policy),
                }
            }
        }
    }
}

fn of_grant(grant: Grant, of_object: bool) -> Basis {
    let grantee = match grant.grantee {
        Grantee::AllUsers => "everybody".to_owned(),
        Grantee::AuthenticatedUsers => "everybody who signs".to_owned(),
        Grantee::User { account, uin } if account == uin => format!("the account {account:012}"),
        Grantee::User { uin, .. } => format!("the user {uin:012}"),
    };
    Basis::Grant { of_object, permission: grant.permission.name(), grantee }
}
