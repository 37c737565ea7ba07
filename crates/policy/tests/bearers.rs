//! Roles that are taken on by tokens of identity providers.

use std::collections::HashMap;
use std::sync::Arc;

use costrel_policy::{
    Action, Attempt, Caller, Claim, Decision, Fact, Facts, Grammar, Key, Policy, PolicyFault,
    Target, Who, decide_trust,
};

const ACCOUNT: u64 = 100_000_000_001;
const ISSUER: &str = "token.example.com/realm";

/// What a token says.
struct Said(HashMap<Claim, Vec<&'static str>>);

impl Facts for Said {
    fn fact(&self, key: &Key) -> Fact<'_> {
        let Key::Claim { issuer, claim } = key else { return Fact::Absent };
        match self.0.get(claim) {
            Some(said) if issuer.as_deref().is_none_or(|issuer| issuer == ISSUER) => match said[..]
            {
                [one] => Fact::text(one),
                _ => Fact::Many(said.iter().map(|one| (*one).into()).collect()),
            },
            _ => Fact::Absent,
        }
    }
}

fn allowed(grammar: Grammar, trust: &str, account: u64) -> bool {
    let mut caller = Caller::new(Who::Bearer(account));
    caller.name = Some(ISSUER.into());
    caller.session_name = Some("realm".into());
    let said = [
        (Claim::Issuer, vec!["https://token.example.com/realm"]),
        (Claim::Audience, vec!["us"]),
        (Claim::Subject, vec!["repo:one"]),
        (Claim::Methods, vec!["pwd", "mfa"]),
    ];
    let attempt = Attempt {
        caller: &caller,
        action: Action {
            cam: "name/sts:AssumeRoleWithWebIdentity",
            iam: "sts:AssumeRoleWithWebIdentity",
        },
        target: Target {
            bucket: "",
            region: "",
            owner_uin: ACCOUNT,
            owner_appid: 1_250_000_000,
            key: None,
        },
        on_policy: false,
        facts: &Said(said.into()),
    };
    let trust = Arc::new(Policy::of_trust(grammar, trust.as_bytes()).unwrap());
    decide_trust(&attempt, &trust).decision == Decision::Allowed
}

fn statement(effect: &str, principal: &str, condition: &str) -> String {
    let condition = match condition {
        "" => String::new(),
        condition => format!(r#", "Condition": {condition}"#),
    };
    format!(
        r#"{{"Effect": "{effect}", "Principal": {principal},
            "Action": "sts:AssumeRoleWithWebIdentity"{condition}}}"#
    )
}

const PROVIDER: &str =
    r#"{"Federated": "arn:aws:iam::100000000001:oidc-provider/token.example.com/realm"}"#;

#[test]
fn only_a_provider_s_name_lets_its_bearers_in() {
    let trusts = |principal: &str| {
        let document = format!(
            r#"{{"Version": "2012-10-17", "Statement": {}}}"#,
            statement("Allow", principal, "")
        );
        allowed(Grammar::Iam, &document, ACCOUNT)
    };
    assert!(trusts(PROVIDER));
    for other in [
        r#""*""#,
        r#"{"AWS": "*"}"#,
        r#"{"AWS": "100000000001"}"#,
        r#"{"Federated": "*"}"#,
        r#"{"Federated": "token.example.com/realm"}"#,
        r#"{"Federated": "arn:aws:iam::100000000001:oidc-provider/token.example.com"}"#,
        r#"{"Federated": "arn:aws:iam::100000000002:oidc-provider/token.example.com/realm"}"#,
        r#"{"Federated": "arn:aws:iam::100000000001:saml-provider/token.example.com/realm"}"#,
        r#"{"Federated": "arn:aws:iam::100000000001:oidc-provider/*"}"#,
        r#"{"Service": "token.example.com/realm"}"#,
    ] {
        assert!(!trusts(other), "{other}");
    }
}

#[test]
fn a_token_must_say_what_the_trust_policy_asks_for() {
    let trusts = |condition: &str| {
        let statement = statement("Allow", PROVIDER, condition);
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
        allowed(Grammar::Iam, &document, ACCOUNT)
    };
    for (condition, yes) in [
        (r#"{"StringEquals": {"token.example.com/realm:aud": "us"}}"#, true),
        (r#"{"StringEquals": {"token.example.com/realm:AUD": ["them", "us"]}}"#, true),
        (r#"{"StringEquals": {"token.example.com/realm:aud": "them"}}"#, false),
        (r#"{"StringLike": {"token.example.com/realm:sub": "repo:*"}}"#, true),
        (r#"{"StringLike": {"token.example.com/realm:sub": "repo:two*"}}"#, false),
        (r#"{"StringEquals": {"other.example.com:sub": "repo:one"}}"#, false),
        (r#"{"StringEquals": {"token.example.com/realm:azp": "us"}}"#, false),
        (r#"{"ForAnyValue:StringEquals": {"token.example.com/realm:amr": "mfa"}}"#, true),
        (r#"{"ForAllValues:StringEquals": {"token.example.com/realm:amr": "mfa"}}"#, false),
        (r#"{"StringEquals": {"sts:RoleSessionName": "x"}}"#, false),
    ] {
        assert_eq!(trusts(condition), yes, "{condition}");
    }
}

#[test]
fn a_deny_counts_for_bearers_too() {
    let trusts = |deny: String| {
        let allow = statement("Allow", PROVIDER, "");
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{allow}, {deny}]}}"#);
        allowed(Grammar::Iam, &document, ACCOUNT)
    };
    let said =
        |subject| format!(r#"{{"StringEquals": {{"token.example.com/realm:sub": "{subject}"}}}}"#);
    assert!(!trusts(statement("Deny", r#""*""#, "")));
    assert!(!trusts(statement("Deny", PROVIDER, &said("repo:one"))));
    assert!(trusts(statement("Deny", PROVIDER, &said("repo:two"))));
    assert!(!allowed(
        Grammar::Iam,
        &format!(
            r#"{{"Version": "2012-10-17", "Statement": {}}}"#,
            statement("Allow", PROVIDER, "")
        ),
        ACCOUNT + 1,
    ));
}

#[test]
fn cam_names_providers_in_its_own_way() {
    let trusts = |principal: &str, condition: &str| {
        let document = format!(
            r#"{{"version": "2.0", "statement": [{{"effect": "allow", "principal": {principal},
                "action": "name/sts:AssumeRoleWithWebIdentity", "condition": {condition}}}]}}"#
        );
        allowed(Grammar::Cam, &document, ACCOUNT)
    };
    let provider = r#"{"federated": ["qcs::cam::uin/100000000001:oidc-provider/realm"]}"#;
    let said =
        r#"{"string_equal": {"oidc:iss": "https://token.example.com/realm", "oidc:aud": ["us"]}}"#;
    assert!(trusts(provider, said));
    assert!(!trusts(provider, r#"{"string_equal": {"oidc:sub": "repo:two"}}"#));
    assert!(!trusts(r#"{"federated": "qcs::cam::uin/100000000001:oidc-provider/other"}"#, said));
    assert!(!trusts(r#"{"federated": "qcs::cam::uin/100000000002:oidc-provider/realm"}"#, said));
    assert!(!trusts(r#"{"qcs": "qcs::cam::uin/100000000001:root"}"#, said));
}

#[test]
fn tokens_mean_nothing_to_other_policies() {
    let with = |key: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "s3:*",
                "Resource": "*", "Condition": {{"StringEquals": {{"{key}": "x"}}}}}}}}"#
        )
    };
    let fault = |document: &str| Policy::of_user(Grammar::Iam, document.as_bytes()).err();
    let key = "token.example.com/realm:sub";
    assert_eq!(fault(&with(key)), Some(PolicyFault::Unsupported(key.into())));
    assert_eq!(fault(&with("s3:sub")), Some(PolicyFault::Key("s3:sub".into())));
    let variable = with("s3:prefix").replace("\"x\"", "\"${token.example.com/realm:sub}\"");
    assert!(matches!(fault(&variable), Some(PolicyFault::Variable(_))));
}
