//! Documents that configure buckets and versions: whatever is wrong with one is said
//! with the right code, in both dialects, and what was in force before still is.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, get, put};
use crate::world::{BUCKET, World};

/// A configuration: whose it is, its parameter, and a document that sets it.
struct Configuration {
    key: Option<&'static str>,
    name: &'static str,
    root: &'static str,
    inner: &'static str,
    dialects: &'static [Dialect],
}

const BOTH: &[Dialect] = &[Dialect::Cos, Dialect::S3];

const ALL: [Configuration; 9] = [
    of_bucket("versioning", "VersioningConfiguration", "<Status>Enabled</Status>"),
    of_bucket("tagging", "Tagging", "<TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet>"),
    of_bucket(
        "object-lock",
        "ObjectLockConfiguration",
        "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
         <Mode>COMPLIANCE</Mode><Days>3</Days></DefaultRetention></Rule>",
    ),
    of_bucket(
        "lifecycle",
        "LifecycleConfiguration",
        "<Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix/></Filter>\
         <Expiration><Days>7</Days></Expiration></Rule>",
    ),
    of_bucket(
        "cors",
        "CORSConfiguration",
        "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>",
    ),
    Configuration {
        dialects: &[Dialect::Cos],
        ..of_bucket(
            "intelligenttiering",
            "IntelligentTieringConfiguration",
            "<Status>Enabled</Status><Transition><Days>60</Days></Transition>",
        )
    },
    Configuration { key: Some("k"), ..of_bucket("tagging", "Tagging", "<TagSet/>") },
    Configuration {
        key: Some("k"),
        ..of_bucket(
            "retention",
            "Retention",
            "<Mode>COMPLIANCE</Mode><RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate>",
        )
    },
    Configuration {
        key: Some("k"),
        dialects: &[Dialect::S3],
        ..of_bucket("legal-hold", "LegalHold", "<Status>ON</Status>")
    },
];

const fn of_bucket(name: &'static str, root: &'static str, inner: &'static str) -> Configuration {
    Configuration { key: None, name, root, inner, dialects: BOTH }
}

impl Configuration {
    fn path(&self) -> String {
        match self.key {
            Some(key) => format!("/{BUCKET}/{key}"),
            None => format!("/{BUCKET}"),
        }
    }

    fn set(&self, dialect: Dialect, body: impl AsRef<[u8]>) -> Call {
        put(dialect, &self.path()).query(self.name, "").body(body)
    }

    async fn shown(&self, world: &World, dialect: Dialect) -> String {
        let read = get(dialect, &self.path()).query(self.name, "").send(world).await;
        read.ok().text().to_owned()
    }

    fn document(&self) -> String {
        format!("<{0}>{1}</{0}>", self.root, self.inner)
    }
}

async fn configured() -> World {
    let world = World::new().await;
    let made = put(Dialect::S3, &format!("/{BUCKET}"));
    made.header("x-amz-bucket-object-lock-enabled", "true").send(&world).await.ok();
    put(Dialect::S3, &format!("/{BUCKET}/k")).body("data").send(&world).await.ok();
    for configuration in &ALL {
        // Last in both lists: what S3 has, a client of S3 has set.
        let dialect = configuration.dialects[configuration.dialects.len() - 1];
        configuration.set(dialect, configuration.document()).send(&world).await.ok();
    }
    world
}

#[tokio::test]
async fn bad_documents_change_nothing() {
    let world = configured().await;
    for configuration in &ALL {
        let root = configuration.root;
        let good = configuration.document();
        let bomb = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{good}");
        let malformed: &[(&str, Vec<u8>)] = &[
            ("no XML", b"status=Enabled".to_vec()),
            ("another root", good.replace(root, "Elsewhere").into()),
            ("cut off", good[..good.len() - 3].into()),
            ("text behind it", format!("{good}more").into()),
            ("two roots", good.repeat(2).into()),
            ("a document type", bomb.into()),
            ("not UTF-8", [good.as_bytes(), b"\xff"].concat()),
            ("crossed elements", good.replacen("</", "</x></", 1).into()),
        ];
        for dialect in configuration.dialects.iter().copied() {
            let before = configuration.shown(&world, dialect).await;
            let stored = world.stored().await;
            for (what, body) in malformed {
                let answer = configuration.set(dialect, body).send(&world).await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (400, "MalformedXML"),
                    "{what}, {root}: {}",
                    answer.dump()
                );
            }
            let empty = configuration.set(dialect, "").send(&world).await;
            empty.refused(400, "MissingRequestBodyError");
            // A proper document that arrives otherwise than it was sent.
            let other = "1B2M2Y8AsgTpgAmY7PhCfg==";
            let damaged = configuration.set(dialect, &good).header("Content-MD5", other);
            damaged.send(&world).await.refused(400, "BadDigest");
            let senseless = configuration.set(dialect, &good).header("Content-MD5", "x");
            senseless.send(&world).await.refused(400, "InvalidDigest");
            let max = if configuration.name == "lifecycle" { 2 << 20 } else { 64 << 10 };
            let padded = format!("{good}{}", " ".repeat(max));
            let large = configuration.set(dialect, padded).send(&world).await;
            assert_eq!(large.status, 400, "{root}: {}", large.dump());
            assert_eq!(configuration.shown(&world, dialect).await, before, "{root}");
            assert_eq!(world.stored().await, stored, "{root}");
        }
    }
}

/// What contradicts what is in force, and not itself.
#[tokio::test]
async fn contradictions_change_nothing() {
    let world = configured().await;
    for dialect in Dialect::ALL {
        let stored = world.stored().await;
        let contradicting = |name: &str, key: Option<&'static str>, inner: &str| {
            let found = ALL.iter().find(|c| c.name == name && c.key == key);
            let found = found.expect("a configuration");
            found.set(dialect, format!("<{0}>{inner}</{0}>", found.root))
        };
        let suspended = contradicting("versioning", None, "<Status>Suspended</Status>");
        suspended.send(&world).await.refused(409, "InvalidBucketState");
        let disabled = "<ObjectLockEnabled>Disabled</ObjectLockEnabled>";
        let disabled = contradicting("object-lock", None, disabled).send(&world).await;
        disabled.refused(400, "MalformedXML");
        let shorter =
            "<Mode>COMPLIANCE</Mode><RetainUntilDate>2139-01-01T00:00:00Z</RetainUntilDate>";
        let shorter = contradicting("retention", Some("k"), shorter).send(&world).await;
        match dialect {
            Dialect::Cos => shorter.refused(409, "InvalidLockedTime"),
            Dialect::S3 => shorter.refused(403, "AccessDenied"),
        };
        let past = "<Mode>COMPLIANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate>";
        let past = contradicting("retention", Some("k"), past).send(&world).await;
        past.refused(400, "InvalidArgument");
        let half = "<RetainUntilDate>2150-01-01T00:00:00Z</RetainUntilDate>";
        if dialect == Dialect::S3 {
            let half = contradicting("retention", Some("k"), half).send(&world).await;
            half.refused(400, "MalformedXML");
        }
        assert_eq!(world.stored().await, stored);
    }
}
