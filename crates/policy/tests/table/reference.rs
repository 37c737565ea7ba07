//! The slow evaluator: the JSON as it is, names by their spelling, `Option` for
//! what cannot be known.

use std::net::IpAddr;

use costrel_policy::{Caller, Decision, Grammar, Ground, Place, Source, Verdict, Who};
use serde_json::Value as Json;

use crate::making::{APPID, ASSUME, BUCKET, Known, Made, OWNER, REGION, Request, World};

pub fn decide(world: &World, request: &Request) -> Decision {
    let denies = |made: &Made| effects(made, request, false).iter().any(|t| *t != Some(false));
    let allows = |made: &Made| effects(made, request, true).contains(&Some(true));
    if !world.session.iter().all(|made| allows(made) && !denies(made)) {
        return Decision::Denied;
    }
    let owner = request.caller.who == Who::Root(OWNER);
    if owner && request.on_policy {
        return Decision::Allowed;
    }
    for made in &world.policies {
        if denies(made) && (!owner || made.grammar == Grammar::Iam) {
            return Decision::Denied;
        }
    }
    if owner {
        return Decision::Allowed;
    }
    let by_bucket = world.policies.iter().any(allows);
    let (allowed, shut_out) = match request.caller.who {
        Who::User { account, .. } | Who::Role { account, .. } => {
            let within = world.limits.iter().all(allows);
            let role = matches!(request.caller.who, Who::Role { .. });
            let by_own = within && world.own.iter().any(allows);
            let by_bucket = by_bucket && (within || !role);
            let together = if account == OWNER { by_own || by_bucket } else { by_own && by_bucket };
            let denied = world.own.iter().chain(&world.limits).any(denies);
            let stranger = account != OWNER && !by_own;
            (together && !denied, denied || stranger || (role && !within))
        }
        _ => (by_bucket, false),
    };
    match (allowed, shut_out) {
        (true, _) => Decision::Allowed,
        (false, true) => Decision::Denied,
        (false, false) => Decision::LeftToAcls,
    }
}

/// Whether the caller may take on a role that trusts so.
pub fn decide_trust(world: &World, request: &Request) -> bool {
    let denies = |made: &Made| effects(made, request, false).iter().any(|t| *t != Some(false));
    let allows = |made: &Made| effects(made, request, true).contains(&Some(true));
    let session = world.session.iter().all(|made| allows(made) && !denies(made));
    let account = account_of(request.caller.who);
    // Whoever is no root is trusted with his account, too, unless it is that alone.
    let account_is_trusted = account.is_some_and(|account| {
        let root = Request { caller: Caller::new(Who::Root(account)), ..request.clone() };
        let alone = "qcs::cam::uin/100000000001:uin/100000000001";
        effects_but(&world.trust, &root, true, alone).contains(&Some(true))
    });
    let (own, limits) = match request.caller.who {
        Who::User { .. } | Who::Role { .. } => (&world.own[..], &world.limits[..]),
        _ => (&[][..], &[][..]),
    };
    if !session || denies(&world.trust) || own.iter().chain(limits).any(denies) {
        return false;
    }
    let within = limits.iter().all(allows);
    let by_own = own.iter().any(allows) && within;
    let root = matches!(request.caller.who, Who::Root(_));
    let role = matches!(request.caller.who, Who::Role { .. });
    match world.trust.grammar {
        Grammar::Iam if allows(&world.trust) => within || !role,
        _ => (allows(&world.trust) || account_is_trusted) && (root || by_own),
    }
}

/// Whether what a verdict cites says what it is cited for: a statement alone, with its
/// effect, or a policy that allows nothing of the kind. A permissions boundary allows
/// nothing by itself, and is cited wherever it is what stands in the way.
pub fn bears_out(world: &World, request: &Request, verdict: Verdict) -> bool {
    let denied = verdict.decision == Decision::Denied;
    let allows = |made: &Made| effects(made, request, true).contains(&Some(true));
    let (bounded, role) = match request.caller.who {
        Who::User { .. } => (!world.limits.iter().all(allows), false),
        Who::Role { .. } => (!world.limits.iter().all(allows), true),
        _ => (false, false),
    };
    let by_own = world.own.iter().any(allows);
    match verdict.ground {
        Ground::Statement { policy, statement, certain } => {
            let statements = member(&made(world, policy).document, "statement").unwrap();
            let one = &statements[statement];
            let allows = member(one, "effect").unwrap().as_str().unwrap() != "Deny"
                && member(one, "effect").unwrap().as_str().unwrap() != "deny";
            let mut document = made(world, policy).document.clone();
            for (name, value) in document.as_object_mut().unwrap() {
                if name.eq_ignore_ascii_case("statement") {
                    *value = Json::Array(vec![one.clone()]);
                }
            }
            let alone = Made { grammar: made(world, policy).grammar, document };
            let truth = effects(&alone, request, allows)[0];
            let may_allow = match policy.source {
                Source::Own => !bounded,
                Source::Bucket => !(bounded && role),
                Source::Trust => true,
                Source::Boundary | Source::Session => false,
            };
            allows != denied
                && (may_allow || !allows)
                && truth != Some(false)
                && certain == (truth == Some(true))
        }
        Ground::Silent(policy) => {
            let stands_in_the_way = match policy.source {
                Source::Boundary => bounded && (by_own || role),
                Source::Session | Source::Trust => denied,
                Source::Own | Source::Bucket => false,
            };
            stands_in_the_way
                && verdict.decision != Decision::Allowed
                && !allows(made(world, policy))
        }
        Ground::Root => matches!(request.caller.who, Who::Root(_)) && !denied,
        Ground::Nothing => verdict.decision != Decision::Allowed && !(bounded && by_own),
        // The table's buckets restrict nothing.
        Ground::PublicBlocked => false,
    }
}

fn made(world: &World, place: Place) -> &Made {
    match place.source {
        Source::Session => &world.session[place.at],
        Source::Own => &world.own[place.at],
        Source::Boundary => &world.limits[place.at],
        Source::Bucket => &world.policies[place.at],
        Source::Trust => &world.trust,
    }
}

fn account_of(who: Who) -> Option<u64> {
    match who {
        Who::Anonymous | Who::Bearer(_) => None,
        Who::Root(account) | Who::User { account, .. } | Who::Role { account, .. } => Some(account),
    }
}

fn member<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    let object = json.as_object().unwrap();
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn list(json: &Json) -> Vec<String> {
    match json {
        Json::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
        json => vec![json.as_str().unwrap().to_owned()],
    }
}

/// Whether each statement of an effect applies.
fn effects(made: &Made, request: &Request, allow: bool) -> Vec<Option<bool>> {
    effects_but(made, request, allow, "")
}

/// As if a principal were not named.
fn effects_but(made: &Made, request: &Request, allow: bool, but: &str) -> Vec<Option<bool>> {
    let statements = member(&made.document, "statement").unwrap().as_array().unwrap();
    let wanted = if allow { "allow" } else { "deny" };
    let chosen = statements.iter().filter(|statement| {
        member(statement, "effect").unwrap().as_str().unwrap().eq_ignore_ascii_case(wanted)
    });
    let variables =
        made.grammar == Grammar::Cam || member(&made.document, "version").unwrap() == "2012-10-17";
    chosen
        .map(|statement| {
            let element = |name: &str, one: &dyn Fn(&str) -> Option<bool>| {
                if name == "resource"
                    && member(statement, "resource").is_none()
                    && member(statement, "notresource").is_none()
                {
                    return Some(true);
                }
                let plain = member(statement, name).map(list);
                let not = member(statement, &format!("not{name}")).map(list);
                match (plain, not) {
                    (Some(names), None) => or(names.iter().map(|name| one(name)).collect()),
                    (None, Some(names)) => not3(or(names.iter().map(|name| one(name)).collect())),
                    _ => panic!("one of both"),
                }
            };
            let action = element("action", &|name| Some(action(made.grammar, name, request)));
            let resource =
                element("resource", &|name| resource(made.grammar, name, request, variables));
            let mut parts = vec![action, resource, principals(statement, request, allow, but)];
            if let Some(conditions) = member(statement, "condition") {
                for (operator, keys) in conditions.as_object().unwrap() {
                    for (key, values) in keys.as_object().unwrap() {
                        parts.push(condition(made.grammar, operator, key, &list(values), request));
                    }
                }
            }
            and(parts)
        })
        .collect()
}

fn or(truths: Vec<Option<bool>>) -> Option<bool> {
    not3(and(truths.into_iter().map(not3).collect()))
}

fn and(truths: Vec<Option<bool>>) -> Option<bool> {
    if truths.contains(&Some(false)) {
        Some(false)
    } else if truths.contains(&None) {
        None
    } else {
        Some(true)
    }
}

fn not3(truth: Option<bool>) -> Option<bool> {
    truth.map(|truth| !truth)
}

/// By trying everything.
fn glob(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            glob(&pattern[1..], text) || (!text.is_empty() && glob(pattern, &text[1..]))
        }
        (Some('?'), Some(_)) => glob(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) if p == t => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    glob(&chars(pattern), &chars(text))
}

fn principals(statement: &Json, request: &Request, allow: bool, but: &str) -> Option<bool> {
    let caller = &request.caller;
    let (who, account) = (caller.who, account_of(caller.who));
    let role = |name: &str| {
        matches!(who, Who::Role { account: OWNER, .. }) && caller.name.as_deref() == Some(name)
    };
    // An account denied is all of it denied; one named among those a statement is not
    // about, or allowed, is its root.
    let whole = |number: u64, others: bool| {
        who == Who::Root(number) || (!allow && !others && account == Some(number))
    };
    let one = |name: &str, others: bool| match name {
        "*" | "qcs::cam::anyone:anyone" => true,
        _ if name == but => false,
        "qcs::cam::anonymous:anonymous" => allow || who == Who::Anonymous,
        "qcs::cam::uin/100000000001:uin/100000000001" => who == Who::Root(OWNER),
        "100000000001" | "qcs::cam::uin/100000000001:root" => whole(OWNER, others),
        "arn:aws:iam::100000000002:root" => whole(OWNER + 1, others),
        "qcs::cam::uin/100000000002:uin/*" => account == Some(OWNER + 1),
        "qcs::cam::uin/100000000001:uin/100000000011" => {
            who == Who::User { account: OWNER, uin: 100_000_000_011 }
        }
        "arn:aws:iam::100000000001:user/ann" => {
            matches!(who, Who::User { account: OWNER, .. }) && caller.name.as_deref() == Some("ann")
        }
        "qcs::cam::uin/100000000001:role/31" => who == Who::Role { account: OWNER, id: 31 },
        "qcs::cam::uin/100000000001:roleName/r" | "arn:aws:iam::100000000001:role/r" => role("r"),
        "arn:aws:sts::100000000001:assumed-role/r/s" => {
            role("r") && caller.session_name.as_deref() == Some("s")
        }
        other => panic!("{other}"),
    };
    let any = |json: &Json, others: bool| match json {
        Json::Object(kinds) => kinds.values().flat_map(list).any(|name| one(&name, others)),
        json => one(json.as_str().unwrap(), others),
    };
    match (member(statement, "principal"), member(statement, "notprincipal")) {
        (Some(json), None) => Some(any(json, false)),
        (None, Some(json)) => Some(!any(json, true)),
        _ => Some(true),
    }
}

fn action(grammar: Grammar, pattern: &str, request: &Request) -> bool {
    match grammar {
        Grammar::Iam => matches(&pattern.to_lowercase(), &request.action.iam.to_lowercase()),
        Grammar::Cam => {
            let pattern = pattern.trim_start_matches("name/");
            matches(pattern, request.action.cam.trim_start_matches("name/"))
        }
    }
}

fn resource(grammar: Grammar, pattern: &str, request: &Request, variables: bool) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let elsewhere = pattern.starts_with("qcs::cam:") || pattern.starts_with("arn:aws:iam:");
    if elsewhere || request.action == ASSUME {
        return Some(elsewhere && request.resources.iter().any(|name| matches(pattern, name)));
    }
    let key = request.key;
    match grammar {
        Grammar::Iam => {
            let text = key.map_or(BUCKET.to_owned(), |key| format!("{BUCKET}/{key}"));
            let pattern = pattern.splitn(6, ':').nth(5).unwrap();
            substituted(pattern, "${aws:username}", "aws:username", &text, request, variables)
        }
        Grammar::Cam => {
            let parts: Vec<&str> = pattern.splitn(6, ':').collect();
            let region = parts[3].is_empty() || matches(parts[3], REGION);
            let owner = ["uid/*".to_owned(), format!("uid/{APPID}"), format!("uin/{OWNER}")];
            if !region || !owner.contains(&parts[4].to_owned()) {
                return Some(false);
            }
            let text = format!("{BUCKET}/{}", key.unwrap_or_default());
            let path = match parts[5] {
                "prefix//1250000000/b/home/*" => "b-1250000000/home/*",
                "b-1250000000" => "b-1250000000/",
                path => path,
            };
            substituted(path, "${uin}", "uin", &text, request, variables)
        }
    }
}

/// Matches with a variable's value, whose own wildcards are none.
fn substituted(
    pattern: &str,
    variable: &str,
    name: &str,
    text: &str,
    request: &Request,
    variables: bool,
) -> Option<bool> {
    let Some((front, back)) = pattern.split_once(variable).filter(|_| variables) else {
        return Some(matches(pattern, text));
    };
    match request.facts.get(name) {
        None | Some(Known::Many(_)) => Some(false),
        Some(Known::Unknown) => None,
        Some(Known::One(value)) => {
            let chars: Vec<char> = text.chars().collect();
            let value: Vec<char> = value.chars().collect();
            let (front, back): (Vec<char>, Vec<char>) =
                (front.chars().collect(), back.chars().collect());
            let splits = (0..=chars.len()).filter(|at| chars[*at..].starts_with(&value));
            let mut splits = splits.filter(|at| glob(&front, &chars[..*at]));
            Some(splits.any(|at| glob(&back, &chars[at + value.len()..])))
        }
    }
}

fn condition(
    grammar: Grammar,
    operator: &str,
    key: &str,
    wanted: &[String],
    request: &Request,
) -> Option<bool> {
    let key = match key {
        "qcs:ip" => "aws:sourceip",
        "cos:secure-transport" => "aws:securetransport",
        "cos:prefix" => "s3:prefix",
        "cos:max-keys" => "s3:max-keys",
        "qcs:current_time" => "aws:currenttime",
        key => &key.to_lowercase(),
    };
    // CAM's names without their underscores are IAM's in lower case, nearly.
    let name = operator.to_lowercase().replace('_', "");
    let (quantifier, name) = name.split_once(':').unwrap_or(("", &name));
    let (name, if_exists) = match name.strip_suffix("ifexists").or(name.strip_suffix("ifexist")) {
        Some(name) => (name, true),
        None => (name, false),
    };
    let values: Vec<&str> = match request.facts.get(key) {
        None => vec![],
        Some(Known::Unknown) => return None,
        Some(Known::One(value)) => vec![value],
        Some(Known::Many(values)) => values.clone(),
    };
    if name.starts_with("null") {
        return Some((wanted[0] == "true") == values.is_empty());
    }
    let negated = name.contains("not");
    if values.is_empty() {
        return Some(match quantifier {
            _ if if_exists => true,
            "foranyvalue" => false,
            "forallvalues" => true,
            _ => grammar == Grammar::Iam && negated,
        });
    }
    let plain = name.replace("not", "");
    let one = |value: &str| wanted.iter().any(|wanted| compare(&plain, value, wanted)) != negated;
    let all = quantifier == "forallvalues" || (quantifier.is_empty() && negated);
    Some(if all { values.iter().all(|v| one(v)) } else { values.iter().any(|v| one(v)) })
}

fn compare(operator: &str, value: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let time = |text: &str| match text {
        "2026-01-02T11:04:05+08:00" | "2026-01-02T03:04:05Z" | "1767323045" => 1_767_323_045_i64,
        "2028-01-01" => 1_830_297_600,
        "2030-01-01T00:00:00Z" => 1_893_456_000,
        other => panic!("{other}"),
    };
    let ordered = |order: std::cmp::Ordering, operator: &str| match operator {
        "equals" | "equal" => order.is_eq(),
        "lessthan" => order.is_lt(),
        "lessthanequals" | "lessthanequal" => order.is_le(),
        "greaterthan" => order.is_gt(),
        "greaterthanequals" | "greaterthanequal" => order.is_ge(),
        other => panic!("{other}"),
    };
    if let Some(rest) = operator.strip_prefix("numeric") {
        return ordered(number(value).partial_cmp(&number(wanted)).unwrap(), rest);
    }
    if let Some(rest) = operator.strip_prefix("date") {
        return ordered(time(value).cmp(&time(wanted)), rest);
    }
    match operator {
        "bool" | "boolequal" => value == wanted,
        "stringequals" | "stringequal" => value == wanted,
        "stringlike" => matches(wanted, value),
        "stringequalsignorecase" | "stringequalignorecase" => {
            value.to_lowercase() == wanted.to_lowercase()
        }
        "ipaddress" | "ipequal" => ip(value, wanted),
        "arnequals" | "arnlike" => {
            let parts = |text: &str| text.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
            let (value, wanted) = (parts(value), parts(wanted));
            value.len() == 6
                && value.iter().zip(&wanted).all(|(value, wanted)| matches(wanted, value))
        }
        other => panic!("{other}"),
    }
}

/// Bit by bit.
fn ip(value: &str, net: &str) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().map(|byte| format!("{byte:08b}")).concat(),
        IpAddr::V6(ip) => ip.octets().map(|byte| format!("{byte:08b}")).concat(),
    };
    let value = bits(value.strip_prefix("::ffff:").unwrap_or(value).parse().unwrap());
    let (address, len) = net.split_once('/').unwrap_or((net, "128"));
    let address = bits(address.parse().unwrap());
    let len = len.parse::<usize>().unwrap().min(address.len());
    value.len() == address.len() && value[..len] == address[..len]
}
