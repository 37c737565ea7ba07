//! POST forms: their signatures by the vendors' examples, and what policies
//! allow.

use costrel_signature::policy::{Policy, PolicyDialect, PolicyError, Submission};
use costrel_signature::sign::{Identity, OutgoingForm, cos_post, v4_post};
use costrel_signature::{
    ParseError, PostForm, Secret, Verifier, VerifyError, detect_post, parse_post,
};

const COS_SECRET: &str = "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz";
const AWS_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// Documentation of COS POST Object.
const COS_POLICY: &str = "ewogICAgImV4cGlyYXRpb24iOiAiMjAxOS0wOC0zMFQwOTozODoxMi40MTRaIiwKICAgICJjb25kaXRpb25zIjogWwogICAgICAgIHsgImFjbCI6ICJkZWZhdWx0IiB9LAogICAgICAgIHsgImJ1Y2tldCI6ICJleGFtcGxlYnVja2V0LTEyNTAwMDAwMDAiIH0sCiAgICAgICAgWyAic3RhcnRzLXdpdGgiLCAiJGtleSIsICJmb2xkZXIvc3ViZm9sZGVyLyIgXSwKICAgICAgICBbICJzdGFydHMtd2l0aCIsICIkQ29udGVudC1UeXBlIiwgImltYWdlLyIgXSwKICAgICAgICBbICJzdGFydHMtd2l0aCIsICIkc3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiLCAiaHR0cHM6Ly9teS53ZWJzaXRlLyIgXSwKICAgICAgICBbICJlcSIsICIkeC1jb3Mtc2VydmVyLXNpZGUtZW5jcnlwdGlvbiIsICJBRVMyNTYiIF0sCiAgICAgICAgeyAicS1zaWduLWFsZ29yaXRobSI6ICJzaGExIiB9LAogICAgICAgIHsgInEtYWsiOiAiQUtJRFFqejNsdG9tcFZqQm5pNUxpdGtXSEZsRnB3a245VTVxIiB9LAogICAgICAgIHsgInEtc2lnbi10aW1lIjogIjE1NjcxNTA2OTI7MTU2NzE1Nzg5MiIgfQogICAgXQp9";
const COS_TIME: &str = "1567150692;1567157892";
const COS_NOW: i64 = 1_567_150_700;
const BUCKET: &str = "examplebucket-1250000000";

type Fields = Vec<(String, String)>;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn cos_form() -> Fields {
    fields(&[
        ("key", "folder/subfolder/${filename}"),
        ("acl", "default"),
        ("Content-Type", "image/jpeg"),
        ("success_action_redirect", "https://my.website/done"),
        ("x-cos-server-side-encryption", "AES256"),
        ("q-sign-algorithm", "sha1"),
        ("q-ak", "AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q"),
        ("q-key-time", COS_TIME),
        ("q-signature", "7758dc9a832e9d301dca704cacbf9d9f8172fdef"),
        ("policy", COS_POLICY),
    ])
}

fn set(fields: &mut Fields, name: &str, value: Option<&str>) {
    fields.retain(|(n, _)| n != name);
    fields.extend(value.map(|value| (name.to_string(), value.to_string())));
}

fn verify(fields: &Fields, secret: &str, now: i64) -> Result<(), VerifyError> {
    let post = parse_post(fields).unwrap().unwrap();
    Verifier::default().verify_post(&post, &Secret::new(secret), now)
}

#[test]
fn documentation_example_of_cos() {
    let form = cos_form();
    assert_eq!(detect_post(&form), PostForm::Cos);
    verify(&form, COS_SECRET, COS_NOW).unwrap();
    assert!(matches!(verify(&form, "another", COS_NOW), Err(VerifyError::Mismatch(_))));
    let late = verify(&form, COS_SECRET, 1_567_157_893);
    assert!(matches!(late, Err(VerifyError::Expired { expired_at: 1_567_157_892, .. })));
    let early = verify(&form, COS_SECRET, 1_567_150_692 - 901);
    assert!(matches!(early, Err(VerifyError::NotYetValid { .. })));

    let policy = Policy::parse(&parse_post(&form).unwrap().unwrap().policy_json).unwrap();
    assert_eq!(policy.expiration, 1_567_157_892);
    judge(PolicyDialect::Cos, &policy, BUCKET, "folder/subfolder/a.jpg", &form).unwrap();
}

#[test]
fn reference_example_of_s3_v4() {
    let policy = [
        "{ \"expiration\": \"2015-12-30T12:00:00.000Z\",",
        "  \"conditions\": [",
        "    {\"bucket\": \"sigv4examplebucket\"},",
        "    [\"starts-with\", \"$key\", \"user/user1/\"],",
        "    {\"acl\": \"public-read\"},",
        "    {\"success_action_redirect\": \"http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html\"},",
        "    [\"starts-with\", \"$Content-Type\", \"image/\"],",
        "    {\"x-amz-meta-uuid\": \"14365123651274\"},",
        "    {\"x-amz-server-side-encryption\": \"AES256\"},",
        "    [\"starts-with\", \"$x-amz-meta-tag\", \"\"],",
        "",
        "    {\"x-amz-credential\": \"AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request\"},",
        "    {\"x-amz-algorithm\": \"AWS4-HMAC-SHA256\"},",
        "    {\"x-amz-date\": \"20151229T000000Z\" }",
        "  ]",
        "}",
    ]
    .join("\r\n");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &policy);
    let mut form = fields(&[
        ("key", "user/user1/${filename}"),
        ("acl", "public-read"),
        (
            "success_action_redirect",
            "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
        ),
        ("Content-Type", "image/jpeg"),
        ("x-amz-meta-uuid", "14365123651274"),
        ("x-amz-server-side-encryption", "AES256"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20151229T000000Z"),
        ("x-amz-meta-tag", ""),
        ("Policy", &encoded),
        ("X-Amz-Signature", "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"),
    ]);
    assert_eq!(detect_post(&form), PostForm::S3V4);
    verify(&form, AWS_SECRET, 0).unwrap();
    assert!(matches!(verify(&form, "another", 0), Err(VerifyError::Mismatch(_))));
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let judged =
        judge(PolicyDialect::S3, &policy, "sigv4examplebucket", "user/user1/MyPhoto.jpg", &form);
    judged.unwrap();

    set(&mut form, "X-Amz-Date", Some("20151230T000000Z"));
    assert!(matches!(parse_post(&form), Err(ParseError::CredentialDate { .. })));
}

#[test]
fn forms_of_boto3() {
    let policy = "eyJleHBpcmF0aW9uIjogIjIwMjMtMTEtMTRUMjI6MjM6MjBaIiwgImNvbmRpdGlvbnMiOiBbeyJhY2wiOiAicHJpdmF0ZSJ9LCBbImNvbnRlbnQtbGVuZ3RoLXJhbmdlIiwgMSwgMTBdLCB7ImJ1Y2tldCI6ICJia3QtMTI1MDAwMDAwMCJ9LCBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXAvIl1dfQ==";
    let mut form = fields(&[
        ("acl", "private"),
        ("key", "up/${filename}"),
        ("AWSAccessKeyId", "AKIAIOSFODNN7EXAMPLE"),
        ("policy", policy),
        ("signature", "/2y3AylzDLLD3c6fxX6YT1Y9Qfc="),
    ]);
    assert_eq!(detect_post(&form), PostForm::S3V2);
    verify(&form, AWS_SECRET, 0).unwrap();
    assert!(verify(&form, "another", 0).is_err());
    let read = Policy::parse(&parse_post(&form).unwrap().unwrap().policy_json).unwrap();
    judge(PolicyDialect::S3, &read, "bkt-1250000000", "up/x", &form).unwrap();
    assert_eq!(read.length_range(), (1, 10));

    // base64 may be wrapped and unpadded when it is decoded, but what is signed
    // is the text of the form.
    set(&mut form, "policy", Some(&format!("{}\r\n{}", &policy[..76], &policy[76..])));
    assert!(matches!(verify(&form, AWS_SECRET, 0), Err(VerifyError::Mismatch(_))));
    set(&mut form, "policy", Some("?"));
    assert_eq!(parse_post(&form).unwrap_err(), ParseError::Malformed("policy"));
}

#[test]
fn what_a_form_lacks_is_named() {
    let without = |name: &str| {
        let mut form = cos_form();
        set(&mut form, name, None);
        parse_post(&form).unwrap_err()
    };
    for name in ["q-sign-algorithm", "q-ak", "q-key-time", "q-signature", "policy"] {
        assert_eq!(without(name), ParseError::Missing(name));
    }
    assert!(parse_post(&fields(&[("key", "k")])).unwrap().is_none());
    let v2 = fields(&[("AWSAccessKeyId", "a"), ("policy", "e30=")]);
    assert_eq!(parse_post(&v2).unwrap_err(), ParseError::Missing("signature"));
}

fn judge(
    dialect: PolicyDialect,
    policy: &Policy,
    bucket: &str,
    key: &str,
    fields: &Fields,
) -> Result<(), PolicyError> {
    policy.check(&Submission { dialect, bucket, key, fields }, policy.expiration)
}

/// Judges a form against conditions, in S3's rules, with the bucket covered.
fn s3(conditions: &str, form: &[(&str, &str)]) -> Result<(), PolicyError> {
    let text = format!(
        "{{\"expiration\":\"2030-01-01T00:00:00Z\",\"conditions\":[{{\"bucket\":\"b\"}},{conditions}]}}"
    );
    let policy = Policy::parse(text.as_bytes())?;
    let form = fields(form);
    let key = form.iter().find(|(name, _)| name == "key").map_or("", |(_, key)| key.as_str());
    judge(PolicyDialect::S3, &policy, "b", key, &form)
}

#[test]
fn each_condition_form_in_s3() {
    let ok = |conditions: &str, form: &[(&str, &str)]| {
        s3(conditions, form).unwrap_or_else(|why| panic!("{conditions}: {why}"))
    };
    let fails = |conditions: &str, form: &[(&str, &str)]| match s3(conditions, form) {
        Err(PolicyError::ConditionFailed { .. }) => {}
        other => panic!("{conditions}: {other:?}"),
    };
    ok("{\"key\":\"a\"}", &[("key", "a")]);
    fails("{\"key\":\"a\"}", &[("key", "ab")]);
    ok("[\"eq\",\"$key\",\"a\"]", &[("key", "a")]);
    ok("[\"starts-with\",\"$key\",\"a/\"]", &[("key", "a/b")]);
    fails("[\"starts-with\",\"$key\",\"a/\"]", &[("key", "a")]);
    ok("[\"starts-with\",\"$key\",\"\"]", &[("key", "anything")]);
    // Neither operators nor names have case.
    ok("[\"StArTs-WiTh\",\"$KeY\",\"a\"],{\"AcL\":\"x\"}", &[("key", "ab"), ("acl", "x")]);
    // A condition on a field that the form lacks fails, an empty one too.
    fails(
        "[\"starts-with\",\"$key\",\"\"],[\"starts-with\",\"$x-amz-meta-a\",\"\"]",
        &[("key", "k")],
    );
    // Each type of a list must have the prefix.
    let types = "[\"starts-with\",\"$key\",\"\"],[\"starts-with\",\"$Content-Type\",\"image/\"]";
    ok(types, &[("key", "k"), ("Content-Type", "image/png, image/jpeg")]);
    fails(types, &[("key", "k"), ("Content-Type", "image/png,text/html")]);
    // The escapes that AWS adds to JSON.
    ok("[\"eq\",\"$key\",\"\\$a\"]", &[("key", "$a")]);
    ok("[\"eq\",\"$key\",\"\\\\$a\"]", &[("key", "\\$a")]);
}

#[test]
fn every_field_of_an_s3_form_must_be_covered() {
    let any_key = "[\"starts-with\",\"$key\",\"\"]";
    let exempt = [
        ("key", "k"),
        ("Policy", "p"),
        ("signature", "s"),
        ("AWSAccessKeyId", "a"),
        ("x-amz-signature", "s"),
        ("x-ignore-me", "1"),
        ("file", "f"),
    ];
    s3(any_key, &exempt).unwrap();
    let extra = [("key", "k"), ("ACL", "private"), ("x-amz-algorithm", "a")];
    let names = vec!["acl".to_owned(), "x-amz-algorithm".to_owned()];
    assert_eq!(s3(any_key, &extra), Err(PolicyError::FieldsNotCovered(names)));
    // So must the bucket, though it is no field.
    let policy = "{\"expiration\":\"2030-01-01T00:00:00Z\",\"conditions\":[{\"key\":\"k\"}]}";
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let refused = judge(PolicyDialect::S3, &policy, "b", "k", &fields(&[("key", "k")]));
    assert_eq!(refused, Err(PolicyError::FieldsNotCovered(vec!["bucket".to_owned()])));
}

#[test]
fn sizes_are_inclusive_and_all_ranges_hold() {
    let policy = Policy::parse(b"{\"expiration\":\"2030-01-01T00:00:00Z\",\"conditions\":[[\"content-length-range\",2,9],[\"content-length-range\",\"0\",\"8\"]]}").unwrap();
    assert_eq!(policy.length_range(), (2, 8));
    for size in [2, 8] {
        policy.check_length(size).unwrap();
    }
    assert_eq!(policy.check_length(1), Err(PolicyError::TooSmall { size: 1, min: 2 }));
    assert_eq!(policy.check_length(9), Err(PolicyError::TooLarge { size: 9, max: 8 }));
}

#[test]
fn an_expired_policy_is_refused_whatever_it_says() {
    let policy =
        Policy::parse(b"{\"expiration\":\"2013-05-24T00:00:00Z\",\"conditions\":[]}").unwrap();
    let form =
        Submission { dialect: PolicyDialect::S3, bucket: "b", key: "k", fields: &fields(&[]) };
    let now = 1_369_353_601;
    let expired = PolicyError::Expired { expiration: 1_369_353_600, now };
    assert_eq!(policy.check(&form, now), Err(expired));
}

#[test]
fn documents_that_are_no_policies() {
    for text in [
        "",
        "[]",
        "{}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\"}",
        "{\"conditions\":[]}",
        "{\"EXPIRATION\":\"2030-01-01T00:00:00Z\",\"conditions\":[]}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\",\"CONDITIONS\":[]}",
        "{\"expiration\":\"2030-01-01 00:00:00\",\"conditions\":[]}",
        "{\"expiration\":1,\"conditions\":[]}",
        "{\"expiration\":\"2030-01-01T00:00:00Z\",\"conditions\":{}}",
    ] {
        let refused = Policy::parse(text.as_bytes());
        assert!(matches!(refused, Err(PolicyError::Malformed(_))), "{text}: {refused:?}");
    }
    for condition in [
        "{}",
        "1",
        "{\"a\":\"b\",\"c\":\"d\"}",
        "{\"a\":1}",
        "[]",
        "[\"eq\",\"$key\"]",
        "[\"eq\",\"key\",\"a\"]",
        "[\"eq\",\"$key\",1]",
        "[\"matches\",\"$key\",\"a\"]",
        "[\"content-length-range\",0]",
        "[\"content-length-range\",-1,0]",
        "[\"content-length-range\",\"x\",0]",
    ] {
        let refused = s3(condition, &[]);
        assert!(matches!(refused, Err(PolicyError::Malformed(_))), "{condition}: {refused:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(Policy::parse(deep.as_bytes()).is_err());
}

/// Judges the example form of COS against other conditions.
fn cos(conditions: &str, change: impl FnOnce(&mut Fields)) -> Result<(), PolicyError> {
    let text = format!("{{\"expiration\":\"2030-01-01T00:00:00Z\",\"conditions\":[{conditions}]}}");
    let policy = Policy::parse(text.as_bytes())?;
    let mut form = cos_form();
    change(&mut form);
    judge(PolicyDialect::Cos, &policy, BUCKET, "folder/subfolder/a.jpg", &form)
}

const MANDATORY: &str = "{\"q-sign-algorithm\":\"sha1\"},\
    {\"q-ak\":\"AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q\"},\
    {\"q-sign-time\":\"1567150692;1567157892\"}";

#[test]
fn three_conditions_are_mandatory_in_cos_and_fields_need_no_cover() {
    cos(MANDATORY, |_| {}).unwrap();
    assert_eq!(
        cos("{\"acl\":\"default\"}", |_| {}),
        Err(PolicyError::MissingCondition("q-sign-algorithm"))
    );
    let without_time = MANDATORY.rsplit_once(',').unwrap().0;
    assert_eq!(cos(without_time, |_| {}), Err(PolicyError::MissingCondition("q-sign-time")));
    // q-sign-time is compared with the form's q-key-time.
    let refused = cos(MANDATORY, |form| set(form, "q-key-time", Some("1;2")));
    match refused {
        Err(PolicyError::ConditionFailed { condition, actual }) => {
            assert_eq!(condition.field(), Some("q-sign-time"));
            assert_eq!(actual.as_deref(), Some("1;2"));
        }
        other => panic!("{other:?}"),
    }
    let refused = cos(MANDATORY, |form| set(form, "q-ak", Some("other")));
    assert!(matches!(refused, Err(PolicyError::ConditionFailed { .. })));
}

#[test]
fn each_field_of_the_cos_table() {
    for name in [
        "acl",
        "key",
        "Cache-Control",
        "Content-Type",
        "Content-Disposition",
        "Content-Encoding",
        "Expires",
        "success_action_redirect",
        "x-cos-meta-a",
    ] {
        let condition = |operator: &str, value: &str| {
            cos(&format!("{MANDATORY},[\"{operator}\",\"${name}\",\"{value}\"]"), |form| {
                set(form, name, Some("folder/subfolder/a.jpg"));
            })
        };
        condition("eq", "folder/subfolder/a.jpg").unwrap();
        condition("starts-with", "folder/").unwrap();
        assert!(
            matches!(condition("eq", "folder/"), Err(PolicyError::ConditionFailed { .. })),
            "{name}"
        );
        assert!(
            matches!(condition("starts-with", "x"), Err(PolicyError::ConditionFailed { .. })),
            "{name}"
        );
    }
    for name in ["bucket", "success_action_status", "x-cos-storage-class", "q-ak"] {
        let refused = cos(&format!("{MANDATORY},[\"starts-with\",\"${name}\",\"\"]"), |_| {});
        assert_eq!(refused, Err(PolicyError::PrefixNotAllowed(name.to_owned())));
    }
    // The bucket is compared with the one addressed and need be no field.
    cos(&format!("{MANDATORY},{{\"bucket\":\"{BUCKET}\"}}"), |_| {}).unwrap();
    assert!(cos(&format!("{MANDATORY},{{\"bucket\":\"other\"}}"), |_| {}).is_err());
    // Any other field that the policy names must be there.
    assert!(cos(&format!("{MANDATORY},[\"starts-with\",\"$Expires\",\"\"]"), |_| {}).is_err());
}

#[test]
fn forms_that_are_made_are_accepted() {
    const NOW: i64 = 1_795_000_000;
    let identity = || Identity::new("AKID", COS_SECRET).with_token("token");
    for key in ["a b/腾", "folder/", ""] {
        let outgoing = OutgoingForm {
            bucket: BUCKET,
            key,
            fields: &[("acl", "default"), ("success_action_status", "201")],
            length_max: Some(10),
        };
        let made = [
            (PolicyDialect::Cos, cos_post(&identity(), &outgoing, (NOW, NOW + 60))),
            (PolicyDialect::S3, v4_post(&identity(), &outgoing, "ap-guangzhou", NOW + 60, NOW)),
        ];
        for (dialect, form) in made {
            verify(&form, COS_SECRET, NOW).unwrap();
            assert!(matches!(verify(&form, "another", NOW), Err(VerifyError::Mismatch(_))));
            let presented = parse_post(&form).unwrap().unwrap();
            assert_eq!(
                (presented.access_key_id, presented.security_token),
                ("AKID", Some("token"))
            );
            let policy = Policy::parse(&presented.policy_json).unwrap();
            assert_eq!(policy.expiration, NOW + 60);
            let is_folder = key.is_empty() || key.ends_with('/');
            let name = if is_folder { format!("{key}file") } else { key.to_owned() };
            let check = |key: &str, fields: &Fields, now| {
                policy.check(&Submission { dialect, bucket: BUCKET, key, fields }, now)
            };
            check(&name, &form, NOW + 60).unwrap();
            assert!(matches!(check(&name, &form, NOW + 61), Err(PolicyError::Expired { .. })));
            let elsewhere = check("elsewhere", &form, NOW);
            assert_eq!(elsewhere.is_ok(), key.is_empty(), "{dialect:?} {key}: {elsewhere:?}");
            policy.check_length(10).unwrap();
            policy.check_length(11).unwrap_err();
            let mut other = form.clone();
            set(&mut other, "acl", Some("public-read"));
            assert!(check(&name, &other, NOW).is_err(), "{dialect:?}");
        }
    }
}
