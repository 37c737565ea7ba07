//! What of a bucket's events goes where: set, shown and refused; and what events say of the
//! requests that make them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_core::events::{
    Courier, Dispatch, EventJob, EventKind, EventOptions, EventRecord, Undelivered,
};
use costrel_protocol::dialect::Dialect;
use md5::{Digest, Md5};

use crate::client::{Call, Signing, delete, get, post, put};
use crate::world::{BUCKET, REGION, UIN, World};

/// A target, `hook`, that takes everything; `dead` takes nothing.
#[derive(Debug, Default)]
struct Hook(parking_lot::Mutex<Vec<(EventRecord, String)>>, parking_lot::Mutex<u32>);

#[async_trait]
impl Courier for Hook {
    fn targets(&self) -> Vec<String> {
        vec!["dead".into(), "hook".into()]
    }

    fn wants_metadata(&self, _: &str) -> bool {
        false
    }

    async fn deliver(&self, target: &str, dispatch: Dispatch<'_>) -> Result<(), Undelivered> {
        if target == "dead" {
            return Err(Undelivered("10.0.0.9 refuses".into()));
        }
        match dispatch {
            Dispatch::Event { event, key, .. } => {
                self.0.lock().push((event.clone(), key.to_owned()));
            }
            Dispatch::Test { .. } => *self.1.lock() += 1,
        }
        Ok(())
    }
}

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn queue(id: &str, target: &str, event: &str, more: &str) -> String {
    format!(
        "<QueueConfiguration><Id>{id}</Id><Queue>arn:aws:sqs:{REGION}:{UIN}:{target}</Queue>\
         <Event>s3:{event}</Event>{more}</QueueConfiguration>"
    )
}

fn set(configurations: &[&str]) -> Call {
    let root = "NotificationConfiguration";
    let document = format!("<{root}>{}</{root}>", configurations.concat());
    put(Dialect::S3, &bucket()).query("notification", "").body(document)
}

fn show() -> Call {
    get(Dialect::S3, &bucket()).query("notification", "")
}

#[tokio::test]
async fn configurations_are_set_shown_and_taken_back() {
    let hook: Arc<Hook> = Arc::default();
    let world = World::with_courier(hook.clone()).await;
    let none = show().send(&world).await;
    none.ok();
    assert_eq!(none.elements("Id").len(), 0);
    let filter = "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>a/</Value></FilterRule>\
                  </S3Key></Filter>";
    let one = queue("mine", "hook", "ObjectCreated:*", filter);
    let topic = queue("", "hook", "ObjectRemoved:Delete", "");
    let topic = topic.replace("Queue", "Topic").replace(":sqs:", ":sns:");
    set(&[&one, &topic]).send(&world).await.ok();
    assert_eq!(*hook.1.lock(), 1, "one test for each target");
    let shown = show().send(&world).await;
    let ids = shown.elements("Id");
    assert!(ids[0] == "mine" && ids.len() == 2 && !ids[1].is_empty(), "{ids:?}");
    assert_eq!(shown.elements("Event"), ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"]);
    assert_eq!(shown.elements("Queue"), [format!("arn:aws:sqs:{REGION}:{UIN}:hook")]);
    assert_eq!(shown.elements("Topic"), [format!("arn:aws:sns:{REGION}:{UIN}:hook")]);
    assert_eq!(shown.elements("Name"), ["Prefix"]);
    assert_eq!(shown.elements("Value"), ["a/"]);
    set(&[]).send(&world).await.ok();
    assert_eq!(show().send(&world).await.elements("Id").len(), 0);
    for dialect_call in [
        get(Dialect::Cos, &bucket()).query("notification", ""),
        put(Dialect::Cos, &bucket()).query("notification", "").body("x"),
        delete(Dialect::Cos, &bucket()).query("notification", ""),
    ] {
        dialect_call.send(&world).await.refused(501, "NotImplemented");
    }
}

#[tokio::test]
async fn what_cannot_be_obeyed_is_refused_and_changes_nothing() {
    let world = World::with_courier(Arc::<Hook>::default()).await;
    let good = queue("mine", "hook", "ObjectCreated:*", "");
    set(&[&good]).send(&world).await.ok();
    let rule = |name: &str, value: &str| {
        format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
    };
    let filter = |rules: &[String]| {
        let filter = format!("<Filter><S3Key>{}</S3Key></Filter>", rules.concat());
        queue("f", "hook", "ObjectCreated:*", &filter)
    };
    let twice = [rule("prefix", "a"), rule("Prefix", "b")];
    let bad = |document: &str, code: &'static str| (document.to_owned(), code);
    for (document, code) in [
        bad(&queue("a", "nowhere", "ObjectCreated:*", ""), "InvalidArgument"),
        bad(&queue("a", "dead", "ObjectCreated:*", ""), "InvalidArgument"),
        bad(&queue("a", "hook", "ObjectCreated:Never", ""), "InvalidArgument"),
        bad(&queue("a", "hook", "TestEvent", ""), "InvalidArgument"),
        bad(&good.replace(REGION, "ap-other"), "InvalidArgument"),
        bad(&good.replace(UIN, "100000000009"), "InvalidArgument"),
        bad(&good.replace("arn:aws", "urn:aws"), "InvalidArgument"),
        bad(&good.replace(":sqs:", ":sns:"), "InvalidArgument"),
        bad(&good.repeat(2), "InvalidArgument"),
        bad(
            &[good.clone(), queue("b", "hook", "ObjectCreated:Put", "")].concat(),
            "InvalidArgument",
        ),
        bad(&filter(&twice), "InvalidArgument"),
        bad(&filter(&[rule("infix", "a")]), "InvalidArgument"),
        bad(&filter(&[rule("suffix", &"x".repeat(1025))]), "InvalidArgument"),
        bad(&good.replace("<Event>s3:ObjectCreated:*</Event>", ""), "MalformedXML"),
        bad("<Other/>", "MalformedXML"),
    ] {
        set(&[&document]).send(&world).await.refused(400, code);
    }
    for document in [
        queue("a", "hook", "ReducedRedundancyLostObject", ""),
        queue("a", "hook", "Replication:*", ""),
        "<EventBridgeConfiguration/>".to_owned(),
    ] {
        set(&[&document]).send(&world).await.refused(501, "NotImplemented");
    }
    let skip = "x-amz-skip-destination-validation";
    set(&[&good]).header(skip, "perhaps").send(&world).await.refused(400, "InvalidArgument");
    let shown = show().send(&world).await;
    assert_eq!(shown.elements("Id"), ["mine"]);
    assert_eq!(shown.elements("Queue"), [format!("arn:aws:sqs:{REGION}:{UIN}:hook")]);
    // Why a target is not reached is nobody's business.
    let dead = queue("a", "dead", "ObjectCreated:*", "");
    let refused = set(&[&dead]).send(&world).await;
    assert!(!refused.text().contains("10.0.0.9"));
    set(&[&dead]).header(skip, "true").send(&world).await.ok();
    assert_eq!(show().send(&world).await.elements("Id"), ["a"]);
    set(&[&good]).signing(Signing::Nothing).send(&world).await.refused(403, "AccessDenied");
}

#[tokio::test]
async fn events_say_what_their_requests_were() {
    let hook: Arc<Hook> = Arc::default();
    let world = World::with_courier(hook.clone()).await;
    let all = [
        queue("created", "hook", "ObjectCreated:*", ""),
        queue("removed", "hook", "ObjectRemoved:*", ""),
        queue("tags", "hook", "ObjectTagging:*", ""),
    ]
    .concat();
    set(&[&all]).send(&world).await.ok();
    let object = |key: &str| format!("{}/{key}", bucket());
    let mut ids = Vec::new();
    for dialect in Dialect::ALL {
        let put = put(dialect, &object("k")).body("abc").send(&world).await;
        put.ok();
        ids.push(put.header(dialect.headers().request_id.as_str()).unwrap().to_owned());
    }
    let source = format!("/{BUCKET}/k");
    put(Dialect::S3, &object("copy")).header("x-amz-copy-source", &source).send(&world).await.ok();
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    put(Dialect::S3, &object("k")).query("tagging", "").body(tags).send(&world).await.ok();
    delete(Dialect::S3, &object("k")).query("tagging", "").send(&world).await.ok();
    post(Dialect::Cos, &object("a"))
        .query("append", "")
        .query("position", "0")
        .body("x")
        .send(&world)
        .await
        .ok();
    let two = "<Delete><Object><Key>k</Key></Object><Object><Key>copy</Key></Object></Delete>";
    let md5 = BASE64.encode(Md5::digest(two));
    post(Dialect::S3, &bucket())
        .query("delete", "")
        .header("content-md5", &md5)
        .body(two)
        .send(&world)
        .await
        .ok();
    let options = EventOptions { age_max: Duration::from_secs(3600), at_once: 1 };
    let job = EventJob::new(world.store.clone(), options);
    let told = async {
        while hook.0.lock().len() < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = job.run() => {}
        told = tokio::time::timeout(Duration::from_secs(60), told) => told.unwrap(),
    }
    let got = hook.0.lock().clone();
    let of = |wanted: &str| -> Vec<(EventKind, String)> {
        let of_key = got.iter().filter(|(_, key)| key == wanted);
        of_key.map(|(event, _)| (event.kind().unwrap(), event.rule_id.clone())).collect()
    };
    let said = |kind, rule: &str| (kind, rule.to_owned());
    assert_eq!(
        of("k"),
        [
            said(EventKind::Put, "created"),
            said(EventKind::Put, "created"),
            said(EventKind::Tagged, "tags"),
            said(EventKind::Untagged, "tags"),
            said(EventKind::Removed, "removed"),
        ]
    );
    let copied = [said(EventKind::Copy, "created"), said(EventKind::Removed, "removed")];
    assert_eq!(of("copy"), copied);
    assert_eq!(of("a"), [said(EventKind::Append, "created")]);
    assert!(got.iter().all(|(event, _)| event.principal == UIN && !event.by_server));
    assert!(got.iter().all(|(event, _)| event.source_ip == "127.0.0.1"));
    let told: Vec<String> = got
        .iter()
        .filter(|(event, key)| key == "k" && event.kind() == Some(EventKind::Put))
        .map(|(event, _)| event.request_id.clone())
        .collect();
    assert_eq!(told, ids);
}
