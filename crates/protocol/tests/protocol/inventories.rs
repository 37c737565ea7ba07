//! Inventories as clients configure them, in both dialects.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, delete, get, post, put};
use crate::world::{BUCKET, World};

const ROOT: &str = "InventoryConfiguration";

fn on(call: fn(Dialect, &str) -> Call, dialect: Dialect, id: &str) -> Call {
    call(dialect, &format!("/{BUCKET}")).query("inventory", "").query("id", id)
}

fn document(dialect: Dialect, id: &str) -> String {
    let (element, bucket) = match dialect {
        Dialect::Cos => ("COSBucketDestination", format!("qcs::cos:ap-guangzhou::{BUCKET}")),
        Dialect::S3 => ("S3BucketDestination", format!("arn:aws:s3:::{BUCKET}")),
    };
    format!(
        "<{ROOT}><Id>{id}</Id><IsEnabled>true</IsEnabled><Destination><{element}>\
         <Format>CSV</Format><Bucket>{bucket}</Bucket><Prefix>p</Prefix></{element}></Destination>\
         <Schedule><Frequency>Weekly</Frequency></Schedule>\
         <IncludedObjectVersions>Current</IncludedObjectVersions>\
         <OptionalFields><Field>Size</Field></OptionalFields></{ROOT}>"
    )
}

#[tokio::test]
async fn one_set_of_inventories_is_shown_to_both() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let absent = match dialect {
            Dialect::Cos => "InventoryConfigurationNotFoundError",
            Dialect::S3 => "NoSuchConfiguration",
        };
        on(get, dialect, "a").send(&world).await.refused(404, absent);
        on(delete, dialect, "a").send(&world).await.refused(404, absent);
        let body = document(dialect, "a");
        on(put, dialect, "a").body(body).send(&world).await.ok();
        for reader in Dialect::ALL {
            let shown = on(get, reader, "a").send(&world).await;
            shown.ok();
            let want = match reader {
                Dialect::Cos => format!("qcs::cos:ap-guangzhou::{BUCKET}"),
                Dialect::S3 => format!("arn:aws:s3:::{BUCKET}"),
            };
            assert_eq!(shown.element("Bucket"), Some(want));
            assert_eq!(shown.element("Frequency").as_deref(), Some("Weekly"));
            assert_eq!(shown.element("Field").as_deref(), Some("Size"));
        }
        let gone = on(delete, dialect, "a").send(&world).await;
        assert_eq!(gone.status, 204);
    }
}

#[tokio::test]
async fn lists_have_pages() {
    let world = World::with_bucket().await;
    for number in 0..101 {
        let id = format!("i{number:03}");
        let body = document(Dialect::S3, &id);
        on(put, Dialect::S3, &id).body(body).send(&world).await.ok();
    }
    for dialect in Dialect::ALL {
        let list = |token: Option<String>| {
            let call = get(dialect, &format!("/{BUCKET}")).query("inventory", "");
            token.into_iter().fold(call, |call, token| call.query("continuation-token", &token))
        };
        let first = list(None).send(&world).await;
        assert_eq!(first.ok().text().matches("<Id>").count(), 100);
        assert_eq!(first.element("IsTruncated").as_deref(), Some("true"));
        let token = first.element("NextContinuationToken");
        let second = list(token.clone()).send(&world).await;
        assert_eq!(second.ok().text().matches("<Id>").count(), 1);
        assert_eq!(second.element("Id").as_deref(), Some("i100"));
        assert_eq!(second.element("IsTruncated").as_deref(), Some("false"));
        assert_eq!(second.element("ContinuationToken"), token);
        list(Some("nonsense".into())).send(&world).await.refused(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_in_force() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let good = document(dialect, "a");
        on(put, dialect, "a").body(good.clone()).send(&world).await.ok();
        let of = |cos: &'static str, s3: &'static str| match dialect {
            Dialect::Cos => cos,
            Dialect::S3 => s3,
        };
        let long = "x".repeat(65);
        for (id, from, to, status, code) in [
            ("b", "", "", 400, "InvalidArgument"),
            ("a/b", "<Id>a", "<Id>a/b", 400, of("InvalidArgument", "InvalidConfigurationId")),
            (
                &long,
                "<Id>a",
                &format!("<Id>{long}"),
                400,
                of("InvalidArgument", "InvalidConfigurationId"),
            ),
            (
                "a",
                BUCKET,
                "missing-1250000000",
                400,
                of("InvalidArgument", "InvalidS3DestinationBucket"),
            ),
            ("a", "Size", "Colour", 400, "MalformedXML"),
            ("a", "Weekly", "Hourly", 400, "MalformedXML"),
            ("a", "<Field>", "<Field>Size</Field><Field>", 400, "InvalidArgument"),
            ("a", "CSV", "orc", 400, "MalformedXML"),
            ("a", "<Prefix>", "<Encryption><SSE-X/></Encryption><Prefix>", 501, "NotImplemented"),
            ("a", "<Prefix>", &format!("<Prefix>{}", "x".repeat(1024)), 400, "InvalidArgument"),
            (
                "a",
                "<Prefix>",
                "<AccountId>7</AccountId><Prefix>",
                400,
                of("InvalidArgument", "InvalidS3DestinationBucket"),
            ),
        ] {
            let body = good.replacen(from, to, 1);
            on(put, dialect, id).body(body).send(&world).await.refused(status, code);
        }
        let shown = on(get, dialect, "a").send(&world).await;
        assert_eq!(shown.ok().element("Prefix").as_deref(), Some("p"));
    }
    let elsewhere = document(Dialect::Cos, "a").replace("ap-guangzhou", "ap-beijing");
    let refused = on(put, Dialect::Cos, "a").body(elsewhere).send(&world).await;
    refused.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn once_is_cos_alone() {
    let world = World::with_bucket().await;
    let body = document(Dialect::Cos, "once");
    on(post, Dialect::Cos, "once")
        .body(body.clone())
        .send(&world)
        .await
        .refused(400, "MalformedXML");
    let once = body
        .replace("<IsEnabled>true</IsEnabled>", "")
        .replace("<Schedule><Frequency>Weekly</Frequency></Schedule>", "");
    let taken = on(post, Dialect::Cos, "once").body(once.clone()).send(&world).await;
    assert!(taken.ok().text().contains("<PostInventoryResult"));
    assert!(taken.element("JobId").is_some_and(|job| job.len() > 16));
    let again = on(post, Dialect::Cos, "once").body(once).send(&world).await;
    again.refused(409, "OperationAborted");
    on(put, Dialect::Cos, "once").body(body).send(&world).await.refused(409, "OperationAborted");
}
