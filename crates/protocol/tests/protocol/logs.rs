//! Whole lines of access logs, in both forms.

use std::io::Read;
use std::time::Duration;

use costrel_core::logging::LogJob;
use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, delete, get, post, put};
use crate::world::{BUCKET, KEY_ID, UIN, World};

const TARGET: &str = "logs-1250000000";

/// A bucket that is logged, in the form of a dialect.
async fn logged(dialect: Dialect) -> World {
    let world = World::with_bucket().await;
    world.make_bucket(TARGET).await;
    let enabled = format!(
        "<LoggingEnabled><TargetBucket>{TARGET}</TargetBucket><TargetPrefix>p/</TargetPrefix>\
         </LoggingEnabled>"
    );
    let document = format!("<BucketLoggingStatus>{enabled}</BucketLoggingStatus>");
    let call = put(dialect, &format!("/{BUCKET}")).query("logging", "").body(document);
    call.send(&world).await.ok();
    world
}

/// What is delivered. Lines are in the order in which requests ended.
async fn delivered(world: &World) -> Vec<String> {
    LogJob::new(world.store.clone(), Duration::from_secs(300)).deliver().await.unwrap();
    let key = get(Dialect::S3, &format!("/{TARGET}")).send(world).await.element("Key").unwrap();
    let object = get(Dialect::S3, &format!("/{TARGET}/{key}")).send(world).await;
    let mut text = String::new();
    match key.ends_with(".gz") {
        true => drop(flate2::read::GzDecoder::new(&object.body[..]).read_to_string(&mut text)),
        false => text.push_str(object.text()),
    }
    text.lines().map(str::to_owned).collect()
}

/// Compares a line with what it should be, where `MS` stands for any number and `ID` for
/// what is there.
fn check(line: &str, want: &str) {
    let masked = line.split(' ').zip(want.split(' ')).map(|(found, want)| match want {
        "MS" if found.parse::<u64>().is_ok() => "MS",
        "ID" if found.len() > 8 => "ID",
        // When it came: so many milliseconds before it was over.
        "[TIME" if found.starts_with("[02/Jan/2026:03:0") => "[TIME",
        _ => found,
    });
    assert_eq!(masked.collect::<Vec<_>>().join(" "), want, "{line}");
    assert_eq!(line.split(' ').count(), want.split(' ').count(), "{line}");
}

fn of_object(dialect: Dialect, method: fn(Dialect, &str) -> Call, key: &str) -> Call {
    method(dialect, &format!("/{BUCKET}/{key}"))
        .header("User-Agent", "agent/1 \"x\"")
        .header("Referer", "http://site/page?q-signature=abc")
}

fn id(answer: &Answer, name: &str) -> String {
    answer.header(name).unwrap().to_owned()
}

#[tokio::test]
async fn lines_in_the_form_of_cos() {
    let world = logged(Dialect::Cos).await;
    let made = of_object(Dialect::Cos, put, "a b")
        .header("x-cos-storage-class", "STANDARD_IA")
        .body("12345")
        .send(&world)
        .await;
    let missing = of_object(Dialect::Cos, get, "missing").send(&world).await;
    missing.refused(404, "NoSuchKey");
    of_object(Dialect::Cos, delete, "a b").send(&world).await.ok();
    let lines = delivered(&world).await;
    let host = "cos.ap-guangzhou.myqcloud.com";
    let begin = format!("1.0 {BUCKET} ap-guangzhou 2026-01-02T03:04:05Z {host}");
    let agent = "agent/1%20%22x%22";
    let end = |method: &str, key: &str| {
        let referer = "http://site/page?q-signature=***";
        format!("{referer} \"{method} /{BUCKET}/{key} HTTP/1.1\" \"0\"")
    };
    check(
        &lines[0],
        &format!(
            "{begin} PutObject 127.0.0.1 {KEY_ID} - 5 5 /a%20b PUT {agent} 200 - - 0 MS USER \
             STANDARD_IA {UIN} MS {UIN}:{UIN} {} 5 - - {}",
            id(&made, "x-cos-request-id"),
            end("PUT", "a%20b")
        ),
    );
    check(
        &lines[1],
        &format!(
            "{begin} GetObject 127.0.0.1 {KEY_ID} - 0 0 /missing GET {agent} 404 NoSuchKey \
             The%20specified%20key%20does%20not%20exist. {} MS USER - {UIN} MS {UIN}:{UIN} {} \
             - - - {}",
            missing.body.len(),
            id(&missing, "x-cos-request-id"),
            end("GET", "missing")
        ),
    );
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn lines_in_the_form_of_s3() {
    let world = logged(Dialect::S3).await;
    let made = of_object(Dialect::S3, put, "a b").body("12345").send(&world).await;
    let missing = of_object(Dialect::S3, get, "missing").send(&world).await;
    missing.refused(404, "NoSuchKey");
    let copied = of_object(Dialect::S3, put, "copy")
        .header("x-amz-copy-source", &format!("{BUCKET}/a%20b"))
        .send(&world)
        .await;
    copied.ok();
    let document = "<Delete><Object><Key>copy</Key></Object><Object><Key>a b</Key>\
                    <VersionId>null</VersionId></Object></Delete>";
    let deleted = post(Dialect::S3, &format!("/{BUCKET}"))
        .query("delete", "")
        .body(document)
        .header("Content-MD5", &md5_of(document))
        .send(&world)
        .await;
    deleted.ok();
    let lines = delivered(&world).await;
    let begin = format!("{UIN} {BUCKET} [TIME +0000] 127.0.0.1 {UIN}");
    let from = "\"http://site/page?q-signature=***\" \"agent/1 %22x%22\"";
    let host = "s3.ap-guangzhou.amazonaws.com";
    let end = format!("ID SigV4 - AuthHeader {host} - - -");
    let of = |answer: &Answer| id(answer, "x-amz-request-id");
    check(
        &lines[0],
        &format!(
            "{begin} {} REST.PUT.OBJECT a%20b \"PUT /{BUCKET}/a%20b HTTP/1.1\" 200 - - 5 MS MS \
             {from} - {}",
            of(&made),
            end
        ),
    );
    check(
        &lines[1],
        &format!(
            "{begin} {} REST.GET.OBJECT missing \"GET /{BUCKET}/missing HTTP/1.1\" 404 NoSuchKey \
             {} - MS MS {from} - {}",
            of(&missing),
            missing.body.len(),
            end
        ),
    );
    let copying = format!("\"PUT /{BUCKET}/copy HTTP/1.1\" 200 -");
    check(
        &lines[2],
        &format!(
            "{begin} {} REST.COPY.OBJECT copy {copying} {} 5 MS MS {from} - {}",
            of(&copied),
            copied.body.len(),
            end
        ),
    );
    check(
        &lines[3],
        &format!(
            "{begin} {} REST.COPY.OBJECT_GET a%20b {copying} - 5 MS MS {from} - {}",
            of(&copied),
            end
        ),
    );
    check(
        &lines[4],
        &format!(
            "{begin} {} REST.POST.MULTI_OBJECT_DELETE - \"POST /{BUCKET}?delete HTTP/1.1\" 200 - \
             {} - MS MS \"-\" \"-\" - {}",
            of(&deleted),
            deleted.body.len(),
            end
        ),
    );
    for (line, key, version) in [(&lines[5], "copy", "-"), (&lines[6], "a%20b", "null")] {
        let facts = format!("{key} - 204 - - - - - - - {version}");
        let want = format!("{begin} {} BATCH.DELETE.OBJECT {facts} {}", of(&deleted), end);
        check(line, &want);
    }
    assert_eq!(lines.len(), 7);
}

/// A copy is read in one bucket and written in another: each has its line in its own log.
#[tokio::test]
async fn a_copy_is_logged_where_it_is_read() {
    let world = logged(Dialect::S3).await;
    put(Dialect::S3, &format!("/{BUCKET}/k")).body("12345").send(&world).await.ok();
    world.make_bucket("other-1250000000").await;
    let copy = |key: &str| {
        put(Dialect::Cos, "/other-1250000000/k")
            .header("x-cos-copy-source", &format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/{key}"))
    };
    copy("k").send(&world).await.ok();
    copy("missing").send(&world).await.refused(404, "NoSuchKey");
    let lines = delivered(&world).await;
    assert_eq!(lines.len(), 2, "what is not there is not read: {lines:?}");
    let facts = "REST.COPY.OBJECT_GET k \"PUT /other-1250000000/k HTTP/1.1\" 200 - - 5 ";
    assert!(lines[1].contains(facts), "{}", lines[1]);
}

fn md5_of(text: &str) -> String {
    use base64::Engine;
    use md5::Digest;
    base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(text))
}
