//! What conditions of policies know of a request, in both dialects.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, Signing, delete, get, put};
use crate::forms::Form;
use crate::policies::{document, iam, set, statement, with_objects};
use crate::world::{BUCKET, REGION};

/// One condition after the other, each met and not met.
#[tokio::test]
async fn conditions() {
    let world = with_objects().await;
    let tagged = format!("/{BUCKET}/tagged");
    put(Dialect::S3, &tagged)
        .header("x-amz-tagging", "team=blue")
        .body("x")
        .send(&world)
        .await
        .ok();
    let key = format!("/{BUCKET}/key");
    let new = format!("/{BUCKET}/new");
    let bucket = format!("/{BUCKET}");
    let tagging = |tag: &str| {
        let body = format!(
            "<Tagging><TagSet><Tag><Key>team</Key><Value>{tag}</Value></Tag></TagSet></Tagging>"
        );
        put(Dialect::S3, &key).query("tagging", "").body(body)
    };
    let s3 = Dialect::S3;
    // Condition, what meets it, what does not.
    let iam_cases: Vec<(&str, Call, Option<Call>)> = vec![
        (r#""IpAddress": {"aws:SourceIp": "127.0.0.0/8"}"#, get(s3, &key), None),
        (r#""Bool": {"aws:SecureTransport": "false"}"#, get(s3, &key), None),
        (r#""DateLessThan": {"aws:CurrentTime": "2026-01-03T00:00:00Z"}"#, get(s3, &key), None),
        (r#""NumericGreaterThan": {"aws:EpochTime": 1767000000}"#, get(s3, &key), None),
        (
            r#""StringLike": {"aws:UserAgent": "good/*"}"#,
            get(s3, &key).header("User-Agent", "good/1"),
            Some(get(s3, &key).header("User-Agent", "bad")),
        ),
        (
            r#""StringEquals": {"aws:Referer": "http://a/"}"#,
            get(s3, &key).header("Referer", "http://a/"),
            Some(get(s3, &key)),
        ),
        (
            r#""StringEquals": {"s3:prefix": "home/"}"#,
            get(s3, &bucket).query("prefix", "home/"),
            Some(get(s3, &bucket)),
        ),
        (
            r#""NumericLessThanEquals": {"s3:max-keys": "10"}"#,
            get(s3, &bucket).query("max-keys", "10"),
            Some(get(s3, &bucket).query("max-keys", "11")),
        ),
        (
            r#""StringEquals": {"s3:delimiter": "/"}"#,
            get(s3, &bucket).query("delimiter", "/"),
            Some(get(s3, &bucket).query("delimiter", "-")),
        ),
        (
            r#""StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}"#,
            put(s3, &new).header("x-amz-storage-class", "STANDARD_IA"),
            Some(put(s3, &new)),
        ),
        (
            r#""StringEquals": {"s3:x-amz-acl": "private"}"#,
            put(s3, &new).header("x-amz-acl", "private"),
            Some(put(s3, &new)),
        ),
        (
            r#""StringEquals": {"s3:x-amz-copy-source": "/examplebucket-1250000000/key"}"#,
            put(s3, &new).header("x-amz-copy-source", &key),
            None,
        ),
        (
            r#""StringEquals": {"s3:RequestObjectTag/team": "blue"}"#,
            put(s3, &new).header("x-amz-tagging", "team=blue"),
            Some(put(s3, &new).header("x-amz-tagging", "team=red")),
        ),
        (
            r#""StringEquals": {"s3:RequestObjectTag/team": "blue"}"#,
            tagging("blue"),
            Some(tagging("red")),
        ),
        (r#""ForAllValues:StringLike": {"s3:RequestObjectTagKeys": "te*"}"#, tagging("blue"), None),
        (
            r#""StringEquals": {"s3:ExistingObjectTag/team": "blue"}"#,
            get(s3, &tagged),
            Some(get(s3, &format!("/{BUCKET}/source"))),
        ),
        (
            r#""StringEquals": {"s3:versionid": "null"}"#,
            get(s3, &key).query("versionId", "null"),
            Some(get(s3, &key)),
        ),
        (
            r#""Null": {"s3:if-none-match": "false"}"#,
            put(s3, &format!("{new}2")).header("If-None-Match", "*"),
            Some(put(s3, &new)),
        ),
        (r#""StringEquals": {"aws:PrincipalType": "Anonymous"}"#, get(s3, &key), None),
        // The other dialect's requests mean the same.
        (
            r#""StringEquals": {"s3:prefix": "home/"}"#,
            get(Dialect::Cos, &bucket).query("prefix", "home/"),
            Some(get(Dialect::Cos, &bucket)),
        ),
        (
            r#""StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}"#,
            put(Dialect::Cos, &new).header("x-cos-storage-class", "STANDARD_IA"),
            Some(put(Dialect::Cos, &new)),
        ),
    ];
    let cos = Dialect::Cos;
    let cam_cases: Vec<(&str, Call, Option<Call>)> = vec![
        (r#""ip_equal": {"qcs:ip": ["10.0.0.0/8", "127.0.0.1"]}"#, get(cos, &key), None),
        (r#""ip_not_equal": {"qcs:ip": "10.0.0.0/8"}"#, get(cos, &key), None),
        (r#""bool_equal": {"cos:secure-transport": "false"}"#, get(cos, &key), None),
        (
            r#""string_like": {"cos:prefix": "home/*"}"#,
            get(cos, &bucket).query("prefix", "home/a"),
            Some(get(cos, &bucket)),
        ),
        (
            r#""numeric_less_than": {"cos:content-length": 10}"#,
            put(cos, &new).body("short"),
            Some(put(cos, &new).body("long enough")),
        ),
        (
            r#""string_equal": {"cos:content-type": "image/jpeg"}"#,
            put(cos, &new).header("Content-Type", "image/jpeg"),
            Some(put(cos, &new).header("Content-Type", "text/html")),
        ),
        (
            r#""string_equal_if_exist": {"cos:x-cos-storage-class": "STANDARD"}"#,
            put(cos, &new),
            Some(put(cos, &new).header("x-cos-storage-class", "STANDARD_IA")),
        ),
        (
            r#""string_equal": {"cos:versionid": "null"}"#,
            get(cos, &key).query("versionId", "null"),
            Some(get(cos, &key)),
        ),
        // Not there is not unequal, in CAM.
        (
            r#""string_not_equal": {"cos:versionid": "1"}"#,
            get(cos, &key).query("versionId", "null"),
            Some(get(cos, &key)),
        ),
    ];
    let all = iam_cases.into_iter().map(|case| (Dialect::S3, case));
    let all = all.chain(cam_cases.into_iter().map(|case| (Dialect::Cos, case)));
    for (grammar, (condition, good, bad)) in all {
        let action = if grammar == Dialect::S3 { "s3:*" } else { "cos:*" };
        let name = if grammar == Dialect::S3 { "Condition" } else { "condition" };
        let action = format!(r#""Action": "{action}""#);
        let read = if grammar == Dialect::S3 { "s3:GetObject" } else { "cos:GetObject" };
        // A copy's source is read under no such condition.
        let source = match condition.contains("copy-source") {
            true => {
                format!(", {}", statement(grammar, "Allow", &format!(r#""Action": "{read}""#), ""))
            }
            false => String::new(),
        };
        let more = format!(r#", "{name}": {{{condition}}}"#);
        let allow = statement(grammar, "Allow", &action, &more);
        set(&world, grammar, &document(grammar, &format!("{allow}{source}"))).await;
        let answer = good.clone().signing(Signing::Nothing).send(&world).await;
        assert_eq!(answer.status, 200, "{condition}: {}", answer.dump());
        if let Some(bad) = bad {
            let answer = bad.signing(Signing::Nothing).send(&world).await;
            answer.refused(403, "AccessDenied");
        }
        let gone = delete(grammar, &bucket).query("policy", "").send(&world).await;
        assert_eq!(gone.status, 204);
    }
}

/// No header says where a request comes from.
#[tokio::test]
async fn addresses_are_the_connection_s() {
    let world = with_objects().await;
    let key = format!("/{BUCKET}/key");
    let away = statement(
        Dialect::S3,
        "Allow",
        r#""Action": "s3:*""#,
        r#", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
    );
    set(&world, Dialect::S3, &iam(&away)).await;
    let call = get(Dialect::S3, &key).signing(Signing::Nothing);
    for name in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"] {
        let forged = call.clone().header(name, "10.0.0.1").header("X-Forwarded-Proto", "https");
        forged.send(&world).await.refused(403, "AccessDenied");
    }
}

/// What `aws:SecureTransport` is mostly used for.
#[tokio::test]
async fn a_policy_may_forbid_plain_http_to_everybody() {
    let world = with_objects().await;
    let plain = statement(
        Dialect::S3,
        "Deny",
        r#""Action": "s3:*""#,
        r#", "Condition": {"Bool": {"aws:SecureTransport": "false"}}"#,
    );
    set(&world, Dialect::S3, &iam(&plain)).await;
    for dialect in Dialect::ALL {
        get(dialect, &format!("/{BUCKET}/key")).send(&world).await.refused(403, "AccessDenied");
    }
    let gone = delete(Dialect::S3, &format!("/{BUCKET}")).query("policy", "").send(&world).await;
    assert_eq!(gone.status, 204, "{}", gone.dump());
    get(Dialect::S3, &format!("/{BUCKET}/key")).send(&world).await.ok();
}

/// A policy may end links earlier than they say, and take no signature of an age that it
/// cannot know.
#[tokio::test]
async fn signatures_have_an_age() {
    let world = with_objects().await;
    let path = format!("/{BUCKET}/key");
    let old = |age_ms: u64| {
        let condition =
            format!(r#", "Condition": {{"NumericGreaterThan": {{"s3:signatureAge": {age_ms}}}}}"#);
        iam(&statement(Dialect::S3, "Deny", r#""Action": "s3:GetObject""#, &condition))
    };
    let signed = |signing| get(Dialect::S3, &path).signing(signing).clock_offset(-300);
    set(&world, Dialect::S3, &old(300_000)).await;
    signed(Signing::V4).send(&world).await.ok();
    signed(Signing::V4Query).send(&world).await.ok();
    signed(Signing::V2Query).send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &old(299_999)).await;
    signed(Signing::V4).send(&world).await.refused(403, "AccessDenied");
    signed(Signing::V4Query).send(&world).await.refused(403, "AccessDenied");
    get(Dialect::S3, &path).signing(Signing::V4Query).send(&world).await.ok();
}

/// What a condition is about does not escape it by another spelling that is obeyed alike.
#[tokio::test]
async fn what_is_obeyed_is_judged_however_it_is_spelt() {
    let world = with_objects().await;
    let locked = "locked-1250000000";
    let made = put(Dialect::S3, &format!("/{locked}"));
    made.header("x-amz-bucket-object-lock-enabled", "true").send(&world).await.ok();
    let deny = |bucket: &str, condition: &str| {
        iam(&format!(
            r#"{{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::{bucket}/*", "Condition": {{{condition}}}}}"#
        ))
    };
    let until = r#""DateGreaterThan": {"s3:object-lock-retain-until-date": "2026-03-01"}"#;
    let body = deny(locked, until);
    put(Dialect::S3, &format!("/{locked}")).query("policy", "").body(body).send(&world).await.ok();
    let keep = |date: &str| {
        let put = put(Dialect::S3, &format!("/{locked}/a"));
        let put = put.header("x-amz-object-lock-mode", "GOVERNANCE");
        put.header("x-amz-object-lock-retain-until-date", date).body("x")
    };
    keep("2026-02-01T00:00:00Z").send(&world).await.ok();
    for late in ["2027-02-01T00:00:00Z", "2027-02-01T00:00:00", "Mon, 01 Feb 2027 00:00:00 GMT"] {
        let answer = keep(late).send(&world).await;
        assert_ne!(answer.status, 200, "{late}");
    }
    keep("Mon, 01 Feb 2027 00:00:00 GMT").send(&world).await.refused(403, "AccessDenied");

    let copy = |dialect: Dialect, source: &str| {
        put(dialect, &format!("/{BUCKET}/copy")).header(&copy_source(dialect), source)
    };
    set(
        &world,
        Dialect::S3,
        &deny(BUCKET, r#""StringEquals": {"s3:x-amz-metadata-directive": "REPLACE"}"#),
    )
    .await;
    let from = format!("/{BUCKET}/source");
    copy(Dialect::S3, &from).send(&world).await.ok();
    copy(Dialect::S3, &from).header("x-amz-metadata-directive", "copy").send(&world).await.ok();
    let replaces = copy(Dialect::S3, &from).header("x-amz-metadata-directive", "replace");
    replaces.send(&world).await.refused(403, "AccessDenied");
    let replaces = copy(Dialect::Cos, &from).header("x-cos-metadata-directive", "Replaced");
    replaces.send(&world).await.refused(403, "AccessDenied");

    let host = format!("{BUCKET}.cos.{REGION}.myqcloud.com/source");
    for pattern in [format!("/{BUCKET}/sou*"), format!("{BUCKET}/source")] {
        let condition = format!(r#""StringLike": {{"s3:x-amz-copy-source": "{pattern}"}}"#);
        set(&world, Dialect::S3, &deny(BUCKET, &condition)).await;
        copy(Dialect::S3, &format!("/{BUCKET}/key")).send(&world).await.ok();
        for source in
            ["/B/source", "B/source", "/B/%73ource", "%2FB%2Fsource", "B/source?versionId=null"]
        {
            let source = source.replace('B', BUCKET);
            let answer = copy(Dialect::S3, &source).send(&world).await;
            assert_eq!(answer.status, 403, "{pattern} {source}: {}", answer.dump());
        }
        copy(Dialect::Cos, &host).send(&world).await.refused(403, "AccessDenied");
    }
    // One that names all that may be a source lets it in, however it is spelt.
    let only = format!(
        r#""StringNotLike": {{"s3:x-amz-copy-source": "/{BUCKET}/source"}},
                           "Null": {{"s3:x-amz-copy-source": "false"}}"#
    );
    set(&world, Dialect::S3, &deny(BUCKET, &only)).await;
    copy(Dialect::S3, &format!("{BUCKET}/source")).send(&world).await.ok();
    copy(Dialect::Cos, &host).send(&world).await.ok();
    copy(Dialect::S3, &format!("{BUCKET}/key")).send(&world).await.refused(403, "AccessDenied");

    // No form is conditional, whatever fields it has.
    set(&world, Dialect::S3, &deny(BUCKET, r#""Null": {"s3:if-none-match": "true"}"#)).await;
    let new = put(Dialect::S3, &format!("/{BUCKET}/new"));
    new.clone().send(&world).await.refused(403, "AccessDenied");
    new.header("If-None-Match", "*").send(&world).await.ok();
    let form = Form::new(Dialect::S3).field("if-none-match", "*");
    let form = form.condition(r#"["eq", "$if-none-match", "*"]"#);
    form.send(&world).await.refused(403, "AccessDenied");
}

fn copy_source(dialect: Dialect) -> String {
    dialect.headers().copy_source.as_str().to_owned()
}
