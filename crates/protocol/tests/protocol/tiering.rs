//! Intelligent tiering as clients see it: configured by COS's, shown to them, and used
//! by both.

use costrel_protocol::dialect::Dialect;

use crate::client::{get, head, put};
use crate::world::{BUCKET, World};

const CLASS: &str = "INTELLIGENT_TIERING";

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn document(inner: &str) -> String {
    format!("<IntelligentTieringConfiguration>{inner}</IntelligentTieringConfiguration>")
}

async fn configured(world: &World) -> (Option<String>, Option<String>) {
    let shown = get(Dialect::Cos, &bucket()).query("intelligenttiering", "").send(world).await;
    shown.ok();
    (shown.element("Status"), shown.element("Days"))
}

#[tokio::test]
async fn a_class_that_is_used_is_not_yet_configured() {
    let world = World::with_bucket().await;
    assert_eq!(configured(&world).await, (None, None));
    let header = Dialect::S3.headers().storage_class.as_str();
    let at = format!("{}/k", bucket());
    put(Dialect::S3, &at).header(header, CLASS).body("x").send(&world).await.ok();
    assert_eq!(configured(&world).await, (None, None));
    let days = |days: &str| {
        let transition = format!("<Transition>{days}</Transition>");
        let body = document(&format!("<Status>Enabled</Status>{transition}"));
        put(Dialect::Cos, &bucket()).query("intelligenttiering", "").body(body)
    };
    for (said, want) in [("", "30"), ("<Days>60</Days>", "60"), ("<Days>90</Days>", "90")] {
        days(&format!("{said}<RequestFrequent>1</RequestFrequent>")).send(&world).await.ok();
        assert_eq!(configured(&world).await, (Some("Enabled".into()), Some(want.into())));
    }
    for wrong in ["<Days>1</Days>", "<Days>31</Days>", "<Days>0</Days>"] {
        days(wrong).send(&world).await.refused(400, "InvalidArgument");
    }
    for wrong in ["<Days>soon</Days>", "<RequestFrequent>2</RequestFrequent>", "<Date/>"] {
        days(wrong).send(&world).await.refused(400, "MalformedXML");
    }
    let off = document("<Status>Suspended</Status><Transition><Days>30</Days></Transition>");
    let off = put(Dialect::Cos, &bucket()).query("intelligenttiering", "").body(off);
    off.send(&world).await.refused(400, "MalformedXML");
    assert_eq!(configured(&world).await, (Some("Enabled".into()), Some("90".into())));
}

#[tokio::test]
async fn the_tier_is_shown_to_clients_of_cos() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let header = dialect.headers().storage_class.as_str();
        for (key, class) in [("tiered", CLASS), ("plain", "STANDARD")] {
            let at = format!("{}/{key}", bucket());
            put(dialect, &at).header(header, class).body("x").send(&world).await.ok();
            let tiered = class == CLASS;
            for reader in Dialect::ALL {
                let shown = (reader == Dialect::Cos && tiered).then_some("FREQUENT");
                for call in [head(reader, &at), get(reader, &at)] {
                    let found = call.send(&world).await;
                    assert_eq!(found.header("x-cos-storage-tier"), shown);
                    assert_eq!(found.header("x-amz-storage-tier"), None);
                }
                for list in ["list-type", "versions"] {
                    let listed = get(reader, &bucket()).query(list, "").query("prefix", key);
                    let listed = listed.send(&world).await;
                    assert_eq!(listed.ok().element("StorageTier").as_deref(), shown, "{list}");
                }
            }
        }
    }
}
