//! The grammar of AWS.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use crate::condition::{Compare, Kind, Operator, Quantifier};
use crate::fault::PolicyFault;
use crate::json::Json;
use crate::key::{self, Key};
use crate::parse::{Grammar, Variables, Words, texts};
use crate::pattern::{Pattern, Syntax};
use crate::principal::Principal;
use crate::resource::{Front, Resource};

pub(crate) const WORDS: Words = Words {
    grammar: Grammar::Iam,
    member,
    effect,
    principal,
    action,
    resource,
    other_action,
    other_resource,
    operator,
    key: key::of_iam,
    value,
    variables,
};

fn member(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 12] = [
        "Version",
        "Id",
        "Statement",
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    NAMES.into_iter().find(|known| *known == name)
}

fn effect(name: &str) -> Option<bool> {
    match name {
        "Allow" => Some(true),
        "Deny" => Some(false),
        _ => None,
    }
}

/// Policies of the older version take variables for what they look like.
fn variables(version: Option<&str>) -> Option<Variables> {
    match version {
        Some("2012-10-17") => Some(Some(key::variable_of_iam)),
        None | Some("2008-10-17") => Some(None),
        Some(_) => None,
    }
}

fn principal(json: &Json) -> Result<Vec<Principal>, PolicyFault> {
    let kinds = match json {
        Json::Text(text) if text == "*" => return Ok(vec![Principal::Anyone]),
        Json::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(PolicyFault::Principal(String::new())),
    };
    let mut principals = Vec::new();
    for (kind, names) in kinds {
        for name in texts(names.clone(), "Principal")? {
            let read = match kind.as_str() {
                "AWS" => aws(&name),
                "CanonicalUser" => (!name.is_empty() && !name.contains('*'))
                    .then(|| account(&name).map_or(Principal::Other, Principal::Delegate)),
                "Federated" if !name.is_empty() => {
                    Some(provider(&name).unwrap_or(Principal::Other))
                }
                "Service" => (!name.is_empty()).then_some(Principal::Other),
                _ => None,
            };
            principals.push(read.ok_or(PolicyFault::Principal(name))?);
        }
    }
    Ok(principals)
}

/// An account by its number or its root, somebody of an account, or everybody.
fn aws(name: &str) -> Option<Principal> {
    if name == "*" {
        return Some(Principal::Anyone);
    }
    if let Some(number) = account(name) {
        return Some(Principal::Delegate(number));
    }
    let mut parts = name.splitn(6, ':');
    let (arn, partition) = (parts.next()?, parts.next()?);
    let (service, region) = (parts.next()?, parts.next()?);
    let (number, who) = (account(parts.next()?)?, parts.next()?);
    if arn != "arn" || !is_partition(partition) || !region.is_empty() || who.contains(['*', '?']) {
        return None;
    }
    let kind = who.split_once('/').filter(|(_, name)| !name.is_empty()).map(|(kind, _)| kind);
    match (service, who, kind) {
        ("iam", "root", _) => Some(Principal::Delegate(number)),
        // What stands between is a path, which is no part of the name.
        ("iam", _, Some("user")) => {
            let name = who.rsplit('/').next().filter(|name| !name.is_empty())?;
            Some(Principal::Named { account: number, name: name.into() })
        }
        ("iam", _, Some("role")) => {
            let name = who.rsplit('/').next().filter(|name| !name.is_empty())?;
            Some(Principal::RoleNamed { account: number, name: name.into() })
        }
        ("sts", _, Some("assumed-role")) => {
            let (name, session) = who.split_once('/')?.1.split_once('/')?;
            let (name, session) = (name.into(), session.into());
            Some(Principal::RoleSession { account: number, name, session })
        }
        ("sts", _, Some("federated-user")) => Some(Principal::Other),
        _ => None,
    }
}

/// `arn:aws:iam::<account>:oidc-provider/<host and path>`
fn provider(name: &str) -> Option<Principal> {
    let rest = name.strip_prefix("arn:")?;
    let (partition, rest) = rest.split_once(':')?;
    let (number, name) = rest.strip_prefix("iam::")?.split_once(":oidc-provider/")?;
    let known = is_partition(partition) && !name.is_empty() && !name.contains('*');
    let account = account(number).filter(|_| known)?;
    Some(Principal::Provider { account, name: name.into() })
}

fn account(text: &str) -> Option<u64> {
    (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_partition(partition: &str) -> bool {
    matches!(partition, "aws" | "aws-cn" | "aws-us-gov")
}

fn action(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower == "*" || lower.strip_prefix("s3:").is_some_and(is_action_name)
}

/// `sts:GetCallerIdentity`
fn other_action(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    name.split_once(':').is_some_and(|(service, action)| {
        !service.is_empty() && service.bytes().all(plain) && is_action_name(action)
    })
}

/// `arn:<partition>:<service>:<region>:<account>:<resource>` of another service.
fn other_resource(name: &str) -> bool {
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    matches!(parts[..], ["arn", _, service, _, _, rest]
        if !matches!(service, "" | "s3" | "*") && !rest.is_empty())
}

fn is_action_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?'))
}

fn resource(name: &str, variables: Variables) -> Result<Resource, PolicyFault> {
    if name == "*" {
        return Ok(Resource::All);
    }
    let invalid = || PolicyFault::Resource(name.to_owned());
    let rest = name.strip_prefix("arn:").ok_or_else(invalid)?;
    let (partition, rest) = rest.split_once(':').ok_or_else(invalid)?;
    let path = rest.strip_prefix("s3:::").ok_or_else(invalid)?;
    if path.is_empty() || !(is_partition(partition) || partition == "*") {
        return Err(invalid());
    }
    let syntax = Syntax { wildcards: true, variables, fold: false };
    Ok(Resource::Arn { path: Pattern::parse(path, syntax)?, front: Front::of(path) })
}

fn value(_: &Key, text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn operator(name: &str) -> Option<Operator> {
    let (quantifier, name) = if let Some(name) = name.strip_prefix("ForAnyValue:") {
        (Quantifier::AnyValue, name)
    } else if let Some(name) = name.strip_prefix("ForAllValues:") {
        (Quantifier::AllValues, name)
    } else {
        (Quantifier::One, name)
    };
    if name == "Null" {
        let one = quantifier == Quantifier::One;
        let (kind, negated, if_exists, absent) = (Kind::Null, false, false, true);
        return one.then_some(Operator { kind, negated, if_exists, quantifier, absent });
    }
    let (name, if_exists) = match name.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let text = |wildcards, fold| Kind::Text { wildcards, fold };
    let (kind, negated) = match name {
        "StringEquals" => (text(false, false), false),
        "StringNotEquals" => (text(false, false), true),
        "StringEqualsIgnoreCase" => (text(false, true), false),
        "StringNotEqualsIgnoreCase" => (text(false, true), true),
        "StringLike" => (text(true, false), false),
        "StringNotLike" => (text(true, false), true),
        "NumericEquals" => (Kind::Number(Compare::Equal), false),
        "NumericNotEquals" => (Kind::Number(Compare::Equal), true),
        "NumericLessThan" => (Kind::Number(Compare::Less), false),
        "NumericLessThanEquals" => (Kind::Number(Compare::LessEqual), false),
        "NumericGreaterThan" => (Kind::Number(Compare::Greater), false),
        "NumericGreaterThanEquals" => (Kind::Number(Compare::GreaterEqual), false),
        "DateEquals" => (Kind::Date(Compare::Equal), false),
        "DateNotEquals" => (Kind::Date(Compare::Equal), true),
        "DateLessThan" => (Kind::Date(Compare::Less), false),
        "DateLessThanEquals" => (Kind::Date(Compare::LessEqual), false),
        "DateGreaterThan" => (Kind::Date(Compare::Greater), false),
        "DateGreaterThanEquals" => (Kind::Date(Compare::GreaterEqual), false),
        "Bool" => (Kind::Bool, false),
        "BinaryEquals" => (Kind::Binary, false),
        "IpAddress" => (Kind::Ip, false),
        "NotIpAddress" => (Kind::Ip, true),
        "ArnEquals" | "ArnLike" => (Kind::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Kind::Arn, true),
        _ => return None,
    };
    // What is not there is not equal to anything.
    Some(Operator { kind, negated, if_exists, quantifier, absent: negated })
}
