//! The grammar of Tencent Cloud.
//! <https://cloud.tencent.com/document/product/598/10603>, conditions
//! <https://cloud.tencent.com/document/product/598/58420>, of COS
//! <https://cloud.tencent.com/document/product/436/71306>

use crate::condition::{Compare, Kind, Operator, Quantifier};
use crate::fault::PolicyFault;
use crate::json::Json;
use crate::key::{self, Key};
use crate::parse::{Grammar, Variables, Words, texts};
use crate::pattern::{Pattern, Syntax};
use crate::principal::Principal;
use crate::resource::{Front, Owner, Resource};

pub(crate) const WORDS: Words = Words {
    grammar: Grammar::Cam,
    member,
    effect,
    principal,
    action,
    resource,
    // What other services there are, their actions do not tell.
    other_action: |_| false,
    other_resource,
    operator,
    key: key::of_cam,
    value,
    variables,
};

/// Documents, consoles and SDKs write them in any case.
fn member(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "version" => "Version",
        "id" => "Id",
        "statement" => "Statement",
        "sid" => "Sid",
        "effect" => "Effect",
        "principal" => "Principal",
        "notprincipal" | "not_principal" => "NotPrincipal",
        "action" => "Action",
        "notaction" | "not_action" => "NotAction",
        "resource" => "Resource",
        "notresource" | "not_resource" => "NotResource",
        "condition" => "Condition",
        _ => return None,
    })
}

fn effect(name: &str) -> Option<bool> {
    match name.to_ascii_lowercase().as_str() {
        "allow" => Some(true),
        "deny" => Some(false),
        _ => None,
    }
}

fn variables(version: Option<&str>) -> Option<Variables> {
    match version {
        None | Some("2.0") => Some(Some(key::variable_of_cam)),
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
            let read = match kind.to_ascii_lowercase().as_str() {
                "qcs" => qcs(&name),
                "federated" if !name.is_empty() => {
                    Some(provider(&name).unwrap_or(Principal::Other))
                }
                "service" => (!name.is_empty()).then_some(Principal::Other),
                _ => None,
            };
            principals.push(read.ok_or(PolicyFault::Principal(name))?);
        }
    }
    Ok(principals)
}

/// `qcs::cam::uin/<root>:uin/<sub or root>`, a role, or one of the two names for
/// everybody and for whoever does not sign.
fn qcs(name: &str) -> Option<Principal> {
    if name == "*" {
        return Some(Principal::Anyone);
    }
    let (front, who) = name.strip_prefix("qcs::cam::")?.split_once(':')?;
    match (front, who) {
        ("anyone", "anyone") => return Some(Principal::Anyone),
        ("anonymous", "anonymous") => return Some(Principal::Anonymous),
        _ => {}
    }
    let root = number(front.strip_prefix("uin/")?)?;
    if who == "root" {
        return Some(Principal::Delegate(root));
    }
    match who.split_once('/')? {
        ("uin", "*") => Some(Principal::Account(root)),
        ("uin", user) => Some(match number(user)? {
            uin if uin == root => Principal::Root(root),
            uin => Principal::User { account: root, uin },
        }),
        // A service's role has that in front.
        ("role", id) => {
            Some(Principal::Role { account: root, id: number(id.rsplit('/').next()?)? })
        }
        ("roleName", name) => {
            let name = name.rsplit('/').next().filter(|name| !name.is_empty())?;
            Some(Principal::RoleNamed { account: root, name: name.into() })
        }
        _ => None,
    }
}

/// `qcs::cam::uin/<root>:oidc-provider/<name>`
fn provider(name: &str) -> Option<Principal> {
    let (root, name) = name.strip_prefix("qcs::cam::uin/")?.split_once(":oidc-provider/")?;
    let account = number(root).filter(|_| !name.is_empty() && !name.contains('*'))?;
    Some(Principal::Provider { account, name: name.into() })
}

fn number(text: &str) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// `name/cos:GetObject`, `cos:Get*`, `*`. Policies may name other services.
fn action(name: &str) -> bool {
    let name = name.strip_prefix("name/").unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'_' | b'-');
    match name.split_once(':') {
        Some((service, action)) => {
            let both = [service, action];
            both.into_iter().all(|part| !part.is_empty() && part.bytes().all(plain))
        }
        None => name == "*",
    }
}

/// `qcs:<project>:<service>:<region>:<account>:<resource>` of another service.
fn other_resource(name: &str) -> bool {
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    matches!(parts[..], ["qcs", _, service, _, _, rest]
        if !matches!(service, "" | "cos" | "*") && !rest.is_empty())
}

/// `qcs:<project>:cos:<region>:<account>:<bucket>/<key>` or `*`. Everything is in the first
/// project, which older policies name.
fn resource(name: &str, variables: Variables) -> Result<Resource, PolicyFault> {
    if name == "*" {
        return Ok(Resource::All);
    }
    let invalid = || PolicyFault::Resource(name.to_owned());
    let mut parts = name.splitn(6, ':');
    let mut part = || parts.next().ok_or_else(invalid);
    let (qcs, project, service) = (part()?, part()?, part()?);
    let (region, account, path) = (part()?, part()?, part()?);
    if qcs != "qcs" || !matches!(project, "" | "*" | "id/0") || service != "cos" || path.is_empty()
    {
        return Err(invalid());
    }
    let owner = match account.split_once('/') {
        None if account.is_empty() || account == "*" => Owner::Any,
        Some(("uid" | "uin", "*")) => Owner::Any,
        Some(("uid", appid)) => Owner::AppId(number(appid).ok_or_else(invalid)?),
        Some(("uin", uin)) => Owner::Uin(number(uin).ok_or_else(invalid)?),
        _ => return Err(invalid()),
    };
    let region = if region.is_empty() { "*" } else { region };
    let syntax = Syntax { wildcards: true, variables, fold: false };
    let path = full_path(path).ok_or_else(invalid)?;
    Ok(Resource::Qcs {
        region: Pattern::parse(region, syntax)?,
        owner,
        path: Pattern::parse(&path, syntax)?,
        front: Front::of(&path),
    })
}

/// The older form is `prefix//<appid>/<bucket without it>/<key>`. A bucket alone
/// means the bucket itself, which is `<bucket>/`.
fn full_path(path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("prefix//") {
        let (appid, rest) = rest.split_once('/')?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        number(appid)?;
        return (!bucket.is_empty()).then(|| format!("{bucket}-{appid}/{key}"));
    }
    match path.contains(['/', '*', '?']) {
        true => Some(path.to_owned()),
        false => Some(format!("{path}/")),
    }
}

/// A content type stands in policies as it would in a URL.
fn value(key: &Key, text: &str) -> Option<String> {
    if *key != Key::ResponseContentType || !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, behind @ ..] = rest else { return None };
        let digit = |b: u8| char::from(b).to_digit(16);
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

fn operator(name: &str) -> Option<Operator> {
    let (quantifier, name) = if let Some(name) = name.strip_prefix("for_any_value:") {
        (Quantifier::AnyValue, name)
    } else if let Some(name) = name.strip_prefix("for_all_value:") {
        (Quantifier::AllValues, name)
    } else {
        (Quantifier::One, name)
    };
    let (name, if_exists) = match name.strip_suffix("_if_exist") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let text = |wildcards, fold| Kind::Text { wildcards, fold };
    let (kind, negated) = match name {
        "string_equal" => (text(false, false), false),
        "string_not_equal" => (text(false, false), true),
        "string_equal_ignore_case" => (text(false, true), false),
        "string_not_equal_ignore_case" => (text(false, true), true),
        "string_like" => (text(true, false), false),
        "string_not_like" => (text(true, false), true),
        "numeric_equal" => (Kind::Number(Compare::Equal), false),
        "numeric_not_equal" => (Kind::Number(Compare::Equal), true),
        "numeric_less_than" => (Kind::Number(Compare::Less), false),
        "numeric_less_than_equal" => (Kind::Number(Compare::LessEqual), false),
        "numeric_greater_than" => (Kind::Number(Compare::Greater), false),
        "numeric_greater_than_equal" => (Kind::Number(Compare::GreaterEqual), false),
        "date_equal" => (Kind::Date(Compare::Equal), false),
        "date_not_equal" => (Kind::Date(Compare::Equal), true),
        "date_less_than" => (Kind::Date(Compare::Less), false),
        "date_less_than_equal" => (Kind::Date(Compare::LessEqual), false),
        "date_greater_than" => (Kind::Date(Compare::Greater), false),
        "date_greater_than_equal" => (Kind::Date(Compare::GreaterEqual), false),
        "bool_equal" => (Kind::Bool, false),
        "binary_equal" => (Kind::Binary, false),
        "ip_equal" => (Kind::Ip, false),
        "ip_not_equal" => (Kind::Ip, true),
        "null_equal" if quantifier == Quantifier::One && !if_exists => (Kind::Null, false),
        _ => return None,
    };
    // A condition on what is not there does not hold, whatever the operator.
    Some(Operator { kind, negated, if_exists, quantifier, absent: false })
}
