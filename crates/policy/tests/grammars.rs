//! What is a policy in each grammar, and what is none.

use costrel_policy::{Grammar, POLICY_BYTES_MAX, Policy, PolicyFault, Target};

const BUCKET: &str = "b-1250000000";

fn target<'a>() -> Target<'a> {
    Target {
        bucket: BUCKET,
        region: "ap-guangzhou",
        owner_uin: 100_000_000_001,
        owner_appid: 1_250_000_000,
        key: None,
    }
}

/// A whole policy with one member of its statement replaced, or without it.
fn iam(member: &str, value: &str) -> String {
    let members = [
        ("Effect", r#""Allow""#),
        ("Principal", r#""*""#),
        ("Action", r#""s3:GetObject""#),
        ("Resource", r#""arn:aws:s3:::b-1250000000/*""#),
    ];
    whole("Version", "2012-10-17", "Statement", &members, member, value)
}

fn cam(member: &str, value: &str) -> String {
    let members = [
        ("effect", r#""allow""#),
        ("principal", r#"{"qcs": ["qcs::cam::anyone:anyone"]}"#),
        ("action", r#"["name/cos:GetObject"]"#),
        ("resource", r#"["qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/*"]"#),
    ];
    whole("version", "2.0", "statement", &members, member, value)
}

fn whole(
    version: &str,
    number: &str,
    statement: &str,
    members: &[(&str, &str)],
    member: &str,
    value: &str,
) -> String {
    let kept = members.iter().filter(|(name, _)| *name != member);
    let mut all: Vec<String> = kept.map(|(name, value)| format!(r#""{name}": {value}"#)).collect();
    if !value.is_empty() {
        all.push(format!(r#""{member}": {value}"#));
    }
    format!(r#"{{"{version}": "{number}", "{statement}": [{{{}}}]}}"#, all.join(", "))
}

fn fault(grammar: Grammar, document: &str) -> Option<PolicyFault> {
    Policy::of_bucket(grammar, document.as_bytes()).err()
}

#[test]
fn elements_of_iam() {
    let good = [
        ("Sid", r#""any text""#),
        ("Principal", r#"{"AWS": "100000000001"}"#),
        (
            "Principal",
            r#"{"AWS": ["arn:aws:iam::100000000001:root", "*"], "Service": "s3.amazonaws.com"}"#,
        ),
        ("Principal", r#"{"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"}"#),
        ("Principal", r#"{"AWS": "arn:aws-cn:sts::100000000001:assumed-role/r/s"}"#),
        ("Action", r#""*""#),
        ("Action", r#"["s3:Get*", "S3:putobject"]"#),
        ("Resource", r#""*""#),
        ("Resource", r#""arn:aws:s3:::b-1250000000/${aws:username}/?""#),
        ("Condition", r#"{"Bool": {"aws:SecureTransport": true}}"#),
        ("Condition", r#"{"NumericLessThan": {"s3:max-keys": 10}}"#),
        ("Condition", "{}"),
    ];
    for (member, value) in good {
        assert_eq!(fault(Grammar::Iam, &iam(member, value)), None, "{member} {value}");
    }
    let bad = [
        ("Effect", ""),
        ("Effect", r#""allow""#),
        ("Effect", "true"),
        ("Principal", ""),
        ("Principal", r#""100000000001""#),
        ("Principal", r#"{}"#),
        ("Principal", r#"{"AWS": []}"#),
        ("Principal", r#"{"AWS": "arn:aws:iam::1:root"}"#),
        ("Principal", r#"{"AWS": "arn:aws:iam::100000000001:user/*"}"#),
        ("Principal", r#"{"AWS": "arn:aws:s3:::b"}"#),
        ("Principal", r#"{"Everybody": "*"}"#),
        ("NotPrincipal", r#""*""#),
        ("Action", ""),
        ("Action", "[]"),
        ("Action", r#""GetObject""#),
        ("Action", r#""name/cos:GetObject""#),
        ("NotAction", r#""s3:GetObject""#),
        ("Resource", ""),
        ("Resource", r#""b-1250000000""#),
        ("Resource", r#""arn:aws:s3:us-east-1::b""#),
        ("Resource", r#""arn:aws:s3:::""#),
        ("Resource", r#""arn:aws:s3:::b/${aws:nothing}""#),
        ("Resource", r#""arn:aws:s3:::b/${aws:username""#),
        ("Condition", r#""x""#),
        ("Condition", r#"{"StringEquals": "x"}"#),
        ("Condition", r#"{"string_equal": {"aws:UserAgent": "x"}}"#),
        ("Condition", r#"{"NullIfExists": {"aws:UserAgent": "true"}}"#),
        ("Condition", r#"{"Bool": {"aws:SecureTransport": "yes"}}"#),
        ("Condition", r#"{"NumericEquals": {"s3:max-keys": "1e3"}}"#),
        ("Condition", r#"{"DateEquals": {"aws:CurrentTime": "today"}}"#),
        ("Condition", r#"{"StringEquals": {"aws:UserAgent": []}}"#),
        ("Condition", r#"{"StringEquals": {"aws:UserAgent": {"a": "b"}}}"#),
        ("Condition", r#"{"StringEquals": {"cos:prefix": "x"}}"#),
        ("Condition", r#"{"StringEquals": {"aws:SourceVpc": "x"}}"#),
        ("Condition", r#"{"StringEquals": {"aws:ResourceTag/": "x"}}"#),
        ("Comment", r#""x""#),
    ];
    for (member, value) in bad {
        assert!(fault(Grammar::Iam, &iam(member, value)).is_some(), "{member} {value}");
    }
    let unsupported = iam("Condition", r#"{"StringEquals": {"AWS:sourcevpce": "x"}}"#);
    assert!(matches!(fault(Grammar::Iam, &unsupported), Some(PolicyFault::Unsupported(_))));
    let old =
        iam("Resource", r#""arn:aws:s3:::b/${aws:nothing}""#).replace("2012-10-17", "2008-10-17");
    assert_eq!(fault(Grammar::Iam, &old), None, "older policies have no variables");
}

#[test]
fn elements_of_cam() {
    let good = [
        ("Sid", r#""any text""#),
        ("effect", r#""ALLOW""#),
        ("principal", r#"{"qcs": "*"}"#),
        ("principal", r#"{"qcs": ["qcs::cam::uin/100000000001:uin/100000000011"]}"#),
        (
            "principal",
            r#"{"qcs": ["qcs::cam::uin/100000000001:roleName/r", "qcs::cam::anonymous:anonymous"]}"#,
        ),
        ("principal", r#"{"service": ["cos.cloud.tencent.com"]}"#),
        ("action", r#""*""#),
        ("action", r#"["cos:Get*", "name/cos:*", "name/ci:CreateMediaJobs"]"#),
        ("resource", r#""*""#),
        ("resource", r#""qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000""#),
        ("resource", r#""qcs::cos:ap-guangzhou:uid/1250000000:prefix//1250000000/b/folder/*""#),
        ("resource", r#""qcs::cos::uin/100000000001:b-1250000000/*""#),
        ("condition", r#"{"ip_equal": {"qcs:ip": ["10.0.0.0/8", "::1"]}}"#),
        ("condition", r#"{"for_all_value:string_like_if_exist": {"cos:prefix": "a*"}}"#),
        ("Condition", r#"{"bool_equal": {"cos:secure-transport": "true"}}"#),
    ];
    for (member, value) in good {
        assert_eq!(fault(Grammar::Cam, &cam(member, value)), None, "{member} {value}");
    }
    let bad = [
        ("effect", r#""permit""#),
        ("principal", ""),
        ("principal", r#"{"AWS": "*"}"#),
        ("principal", r#"{"qcs": "qcs::cam::uin/x:uin/y"}"#),
        ("principal", r#"{"qcs": "qcs::cam::anyone:anonymous"}"#),
        ("action", r#""GetObject""#),
        ("action", r#""name/cos:""#),
        ("resource", r#""arn:aws:s3:::b""#),
        ("resource", r#""qcs::cvm:ap-guangzhou:uid/1:b""#),
        ("resource", r#""qcs::cos:ap-guangzhou:1250000000:b/*""#),
        ("resource", r#""qcs::cos:ap-guangzhou:uid/1250000000:""#),
        ("condition", r#"{"StringEquals": {"cos:prefix": "x"}}"#),
        ("condition", r#"{"string_equal": {"aws:SourceIp": "x"}}"#),
        ("condition", r#"{"string_equal": {"cos:Prefix": "x"}}"#),
        ("condition", r#"{"string_equal": {"vpc:requester_vpc": "x"}}"#),
        ("condition", r#"{"ip_equal": {"qcs:ip": "10.0.0.1-10.0.0.9"}}"#),
        ("comment", r#""x""#),
        ("Effect", r#""allow""#),
    ];
    for (member, value) in bad {
        assert!(fault(Grammar::Cam, &cam(member, value)).is_some(), "{member} {value}");
    }
    let for_all = cam("principal", "").replacen('{', r#"{"principal": {"qcs": "*"}, "#, 1);
    assert_eq!(fault(Grammar::Cam, &for_all), None, "{for_all}");
}

#[test]
fn documents() {
    let sound = iam("Sid", r#""s""#);
    for (document, want) in [
        (sound.replacen('{', " {", 1), PolicyFault::NotJson),
        (String::new(), PolicyFault::NotJson),
        (format!("{sound}{{}}"), PolicyFault::NotJson),
        (sound.replacen('{', r#"{"Version": "2012-10-17", "#, 1), PolicyFault::NotJson),
        (
            format!(r#"{{"Statement": {}{}}}"#, "[".repeat(5000), "]".repeat(5000)),
            PolicyFault::NotJson,
        ),
        (sound.replace("2012-10-17", "2.0"), PolicyFault::Version),
        (sound.replace("Statement", "statement"), PolicyFault::UnknownField("statement".into())),
        (r#"{"Statement": []}"#.into(), PolicyFault::Missing("Statement")),
        (r#"{"Version": "2012-10-17"}"#.into(), PolicyFault::Missing("Statement")),
        (iam("Sid", &format!("\"{}\"", "x".repeat(POLICY_BYTES_MAX))), PolicyFault::TooLarge),
    ] {
        assert_eq!(fault(Grammar::Iam, &document), Some(want), "{:.100}", document);
    }
    let one = sound.replace(['[', ']'], "");
    assert_eq!(fault(Grammar::Iam, &one), None, "one statement needs no list");
    assert_eq!(fault(Grammar::Iam, &one.replace(r#""Version": "2012-10-17", "#, "")), None);
}

#[test]
fn statements_of_one_name() {
    let with = |sids: [&str; 2]| {
        let one = |sid: &str| {
            format!(r#"{{"Sid": "{sid}", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#)
        };
        let statements = sids.map(one).join(",");
        let document = format!(r#"{{"Statement": [{statements}]}}"#);
        // It is still read, wherever it was taken before.
        Policy::of_user(Grammar::Iam, document.as_bytes()).unwrap().check_sids()
    };
    assert_eq!(with(["a", "a"]), Err(PolicyFault::RepeatedSid("a".into())));
    assert_eq!(with(["a", "A"]), Ok(()));
    assert_eq!(with(["", ""]), Ok(()));
}

#[test]
fn whether_it_is_about_the_bucket() {
    let about = |grammar, document: &str| {
        Policy::of_bucket(grammar, document.as_bytes()).unwrap().is_about(&target())
    };
    for (path, yes) in [
        ("b-1250000000", true),
        ("b-1250000000/a/*", true),
        ("b-12500*", true),
        ("*", true),
        ("?-1250000000", true),
        ("${aws:username}/x", true),
        ("b-1250000001/*", false),
        ("b-12500000000*", false),
        ("c*", false),
    ] {
        let document = iam("Resource", &format!(r#""arn:aws:s3:::{path}""#));
        assert_eq!(about(Grammar::Iam, &document), yes, "{path}");
    }
    for (resource, yes) in [
        ("qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/*", true),
        ("qcs::cos:*:uin/100000000001:*", true),
        ("qcs:id/0:cos:ap-guangzhou:uid/1250000000:prefix//1250000000/b/*", true),
        ("qcs::cos:ap-guangzhou:uid/1250000000:prefix//1250000000/b/*", true),
        ("qcs::cos:ap-beijing:uid/1250000000:b-1250000000/*", false),
        ("qcs::cos:ap-guangzhou:uid/1250000001:b-1250000000/*", false),
        ("qcs::cos:ap-guangzhou:uid/1250000000:other-1250000000/*", false),
    ] {
        assert_eq!(
            about(Grammar::Cam, &cam("resource", &format!("\"{resource}\""))),
            yes,
            "{resource}"
        );
    }
}

#[test]
fn actions_that_there_are() {
    let known = || vec!["s3:GetObject", "s3:PutObject"];
    for (action, unknown) in
        [("s3:getobject", false), ("s3:*", false), ("s3:P*", false), ("s3:List*", true)]
    {
        let policy =
            Policy::of_bucket(Grammar::Iam, iam("Action", &format!("\"{action}\"")).as_bytes());
        assert_eq!(policy.unwrap().unknown_action(known), unknown.then_some(action));
    }
}

#[test]
fn whom_it_lets_in() {
    let public = |grammar, document: &str| {
        Policy::of_bucket(grammar, document.as_bytes()).unwrap().is_public()
    };
    let condition = |text: &str| iam("Condition", text);
    for (document, yes) in [
        (iam("Sid", r#""s""#), true),
        (iam("Effect", r#""Deny""#), false),
        (iam("Principal", r#"{"AWS": ["100000000001", "*"]}"#), true),
        (iam("Principal", r#"{"AWS": "100000000001"}"#), false),
        (condition(r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#), false),
        (condition(r#"{"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "0.0.0.0/1"]}}"#), true),
        (condition(r#"{"IpAddressIfExists": {"aws:SourceIp": "10.0.0.0/8"}}"#), true),
        (condition(r#"{"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#), true),
        (condition(r#"{"StringEquals": {"aws:SourceAccount": "100000000001"}}"#), false),
        (condition(r#"{"StringLike": {"aws:SourceAccount": "10*"}}"#), true),
        (condition(r#"{"StringEquals": {"aws:Referer": "secret"}}"#), true),
        (condition(r#"{"Null": {"aws:SourceIp": "false"}}"#), true),
    ] {
        assert_eq!(public(Grammar::Iam, &document), yes, "{document}");
    }
    assert!(public(Grammar::Cam, &cam("Sid", r#""s""#)));
    assert!(public(Grammar::Cam, &cam("principal", r#"{"qcs": "qcs::cam::anonymous:anonymous"}"#)));
    let address = cam("condition", r#"{"ip_equal": {"qcs:ip": "10.0.0.0/8"}}"#);
    assert!(!public(Grammar::Cam, &address));
}
