//! Listings: of objects and of buckets, in pages, with odd keys.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, get, head, post, put};
use crate::world::{BUCKET, UIN, World};

/// Keys that have gone wrong somewhere, in the order of their bytes.
const ODD: [&str; 17] = [
    " leading and trailing ",
    "%2F",
    "%zz",
    "+plus+",
    "../dots",
    "./dot",
    "//double",
    "/leading",
    "?query=1&b",
    "a#fragment",
    "a&b<c>\"d'",
    "a\\b",
    "dir//",
    "dir/a b",
    "~tilde",
    "你好",
    "😀",
];

async fn filled(keys: &[&str]) -> World {
    let world = World::with_bucket().await;
    for key in keys {
        let answer = put(Dialect::S3, &format!("/{BUCKET}/{key}")).body(key).send(&world).await;
        assert_eq!(answer.status, 200, "{key}");
    }
    world
}

fn list(dialect: Dialect) -> Call {
    get(dialect, &format!("/{BUCKET}"))
}

fn decoded(text: &str) -> String {
    costrel_protocol::percent::decode(text).unwrap().into_owned()
}

fn prefixes(answer: &Answer) -> Vec<String> {
    let all = answer.elements("CommonPrefixes");
    all.iter()
        .map(|text| text.trim_start_matches("<Prefix>").trim_end_matches("</Prefix>").to_owned())
        .collect()
}

#[tokio::test]
async fn odd_keys_are_read_and_listed_as_they_are() {
    let world = filled(&ODD).await;
    for dialect in Dialect::ALL {
        for key in ODD {
            let path = format!("/{BUCKET}/{key}");
            assert_eq!(get(dialect, &path).send(&world).await.text(), key, "{dialect:?}");
            assert_eq!(head(dialect, &path).send(&world).await.status, 200);
        }
        let plain = list(dialect).send(&world).await;
        assert_eq!(plain.elements("Key"), ODD);
        assert!(!plain.has_element("EncodingType"));
        let encoded = list(dialect).query("encoding-type", "url").send(&world).await;
        let keys = encoded.elements("Key");
        assert!(keys.iter().all(|key| key.is_ascii() && !key.contains([' ', '+', '?', '#'])));
        assert_eq!(keys.iter().map(|key| decoded(key)).collect::<Vec<_>>(), ODD);
        assert_eq!(encoded.element("EncodingType").as_deref(), Some("url"));
        // Page after page of one, by the marker as it was given.
        let (mut marker, mut seen) = (String::new(), Vec::new());
        loop {
            let page = list(dialect)
                .query("encoding-type", "url")
                .query("max-keys", "1")
                .query("marker", &marker)
                .send(&world)
                .await;
            let keys = page.elements("Key");
            seen.extend(keys.iter().map(|key| decoded(key)));
            assert_eq!(decoded(&page.element("Marker").unwrap_or_default()), marker);
            if page.element("IsTruncated").as_deref() == Some("false") {
                break;
            }
            marker = match dialect {
                Dialect::Cos => decoded(&page.element("NextMarker").unwrap()),
                Dialect::S3 => {
                    assert!(!page.has_element("NextMarker"), "S3 names it for delimiters only");
                    decoded(keys.last().unwrap())
                }
            };
        }
        assert_eq!(seen, ODD);
    }
}

/// XML can say them only as references, and COS does not take them at all.
#[tokio::test]
async fn control_characters_are_for_s3() {
    let keys = ["\u{1}", "a\nb", "a\tb", "a\rb", "bell\u{7}", "esc\u{1b}[0m"];
    let world = filled(&keys).await;
    let mut sorted = keys;
    sorted.sort_unstable();
    let listed = list(Dialect::S3).query("encoding-type", "url").send(&world).await;
    let listed: Vec<String> = listed.elements("Key").iter().map(|key| decoded(key)).collect();
    assert_eq!(listed, sorted);
    assert_eq!(list(Dialect::S3).send(&world).await.elements("Key"), sorted);
    for key in ["\u{1}", "bell\u{7}"] {
        let path = format!("/{BUCKET}/{key}");
        assert_eq!(get(Dialect::S3, &path).send(&world).await.text(), key);
        let stored = put(Dialect::Cos, &path).body("x").send(&world).await;
        stored.refused(400, "InvalidObjectName");
    }
    let document = "<Delete><Object><Key>&#x1;</Key></Object><Object><Key>bell&#7;</Key></Object>\
                    <Object><Key>a&#13;b</Key></Object></Delete>";
    let call = post(Dialect::S3, &format!("/{BUCKET}")).query("delete", "").body(document);
    let answer = call.send(&world).await;
    assert_eq!(answer.elements("Deleted").len(), 3, "{}", answer.dump());
    let left = list(Dialect::S3).send(&world).await.elements("Key");
    assert_eq!(left, ["a\tb", "a\nb", "esc\u{1b}[0m"]);
    // NUL is a byte like any other in a key.
    put(Dialect::S3, &format!("/{BUCKET}/nul\0")).body("x").send(&world).await.ok();
    assert_eq!(get(Dialect::S3, &format!("/{BUCKET}/nul\0")).send(&world).await.text(), "x");
}

#[tokio::test]
async fn odd_keys_are_deleted_literally() {
    let world = filled(&ODD).await;
    let document = |keys: &[&str]| {
        let escape =
            |key: &str| key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let objects: String =
            keys.iter().map(|key| format!("<Object><Key>{}</Key></Object>", escape(key))).collect();
        format!("<Delete>{objects}</Delete>")
    };
    let delete = |dialect, document: &str| {
        post(dialect, &format!("/{BUCKET}")).query("delete", "").body(document)
    };
    // Each is near a key that exists, and is none.
    let near =
        ["leading", "/dir//", "leading and trailing", "/", "%", "+", "dot", "DIR/A B", "%252F"];
    for dialect in Dialect::ALL {
        let answer = delete(dialect, &document(&near)).send(&world).await;
        assert_eq!(answer.elements("Key"), near, "what is not there is deleted: {}", answer.dump());
        assert_eq!(answer.elements("Error").len(), 0);
        assert_eq!(list(dialect).send(&world).await.elements("Key"), ODD);
    }
    let (one, other) = ODD.split_at(8);
    let verbose = delete(Dialect::Cos, &document(one)).send(&world).await;
    assert_eq!(verbose.elements("Key"), one);
    assert_eq!(list(Dialect::S3).send(&world).await.elements("Key"), other);
    let quiet = document(other).replace("<Delete>", "<Delete><Quiet>true</Quiet>");
    let quiet = delete(Dialect::S3, &quiet).send(&world).await;
    assert_eq!((quiet.status, quiet.elements("Key").len()), (200, 0));
    assert_eq!(list(Dialect::S3).send(&world).await.elements("Key"), [""; 0]);
}

#[tokio::test]
async fn a_multi_delete_tells_of_each_key_what_became_of_it() {
    let world = filled(&["a", "b", "c"]).await;
    let etag = head(Dialect::S3, &format!("/{BUCKET}/a")).send(&world).await;
    let etag = etag.header("ETag").unwrap().replace('"', "&quot;");
    let document = format!(
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>\
         <Object><Key>a</Key><ETag>{etag}</ETag></Object>\
         <Object><Key>b</Key><ETag>\"x\"</ETag></Object>\
         <Object><Key>c</Key><VersionId>1</VersionId></Object>\
         <Object><Key>{}</Key></Object></Delete>",
        "k".repeat(1025)
    );
    let answer = post(Dialect::S3, &format!("/{BUCKET}")).query("delete", "").body(&document);
    let answer = answer.send(&world).await;
    assert_eq!(answer.status, 200, "{}", answer.dump());
    assert_eq!(answer.elements("Code"), ["PreconditionFailed", "NoSuchVersion", "KeyTooLongError"]);
    assert_eq!(list(Dialect::S3).send(&world).await.elements("Key"), ["b", "c"]);
}

#[tokio::test]
async fn multi_deletes_that_are_refused() {
    let world = filled(&["a"]).await;
    let stored = world.stored().await;
    let many = "<Object><Key>a</Key></Object>".repeat(1001);
    for dialect in Dialect::ALL {
        let delete =
            |body: &str| post(dialect, &format!("/{BUCKET}")).query("delete", "").body(body);
        for body in [
            "<Delete></Delete>",
            "<Delete><Object></Object></Delete>",
            "<Delete><Object><Key></Key></Object></Delete>",
            "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
            "<Delete><Quiet>perhaps</Quiet><Object><Key>a</Key></Object></Delete>",
            "<Delete><Object><Key>a</Key></Object>",
            "<Remove><Object><Key>a</Key></Object></Remove>",
            &format!("<Delete>{many}</Delete>"),
        ] {
            delete(body).send(&world).await.refused(400, "MalformedXML");
        }
        delete("").send(&world).await.refused(400, "MissingRequestBodyError");
        let wrong = delete("<Delete><Object><Key>a</Key></Object></Delete>")
            .header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        wrong.send(&world).await.refused(400, "BadDigest");
    }
    assert_eq!(world.stored().await, stored);
}

#[tokio::test]
async fn prefixes_and_delimiters() {
    let keys = ["a", "b/1", "b/2", "b/c/3", "b0", "d/4", "e"];
    let world = filled(&keys).await;
    for dialect in Dialect::ALL {
        let cases: [(&str, &str, &[&str], &[&str]); 7] = [
            ("", "", &keys, &[]),
            ("", "/", &["a", "b0", "e"], &["b/", "d/"]),
            ("b/", "/", &["b/1", "b/2"], &["b/c/"]),
            ("b", "/", &["b0"], &["b/"]),
            ("b/c/", "/", &["b/c/3"], &[]),
            ("none", "/", &[], &[]),
            ("", "0", &["a", "b/1", "b/2", "b/c/3", "d/4", "e"], &["b0"]),
        ];
        for (prefix, delimiter, want, want_prefixes) in cases {
            let call = list(dialect).query("prefix", prefix).query("delimiter", delimiter);
            let answer = call.send(&world).await;
            assert_eq!(answer.elements("Key"), want, "{prefix:?} {delimiter:?}");
            assert_eq!(prefixes(&answer), want_prefixes, "{prefix:?} {delimiter:?}");
            assert_eq!(answer.has_element("Delimiter"), !delimiter.is_empty());
            let region = dialect.headers().bucket_region.as_str();
            assert!(answer.header(region).is_some());
        }
        // A prefix counts as one entry, and a marker that is one skips it.
        let (mut marker, mut seen) = (String::new(), Vec::new());
        loop {
            let call = list(dialect).query("delimiter", "/").query("max-keys", "2");
            let page = call.query("marker", &marker).send(&world).await;
            let (keys, prefixes) = (page.elements("Key"), prefixes(&page));
            assert!(keys.len() + prefixes.len() <= 2);
            seen.push((keys, prefixes));
            match page.element("NextMarker") {
                Some(next) => marker = next,
                None => break,
            }
        }
        let entry = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        assert_eq!(
            seen,
            [
                (entry(&["a"]), entry(&["b/"])),
                (entry(&["b0"]), entry(&["d/"])),
                (entry(&["e"]), entry(&[]))
            ]
        );
        let long = list(dialect).query("delimiter", "/c/").send(&world).await;
        match dialect {
            Dialect::Cos => {
                long.refused(400, "InvalidDelimiter");
            }
            Dialect::S3 => assert_eq!(prefixes(&long), ["b/c/"]),
        }
        for (name, value) in [
            ("max-keys", "x"),
            ("max-keys", "-1"),
            ("max-keys", "99999999999"),
            ("encoding-type", "base64"),
        ] {
            list(dialect).query(name, value).send(&world).await.refused(400, "InvalidArgument");
        }
        let none = list(dialect).query("max-keys", "0").send(&world).await;
        assert_eq!(none.elements("Key").len(), 0);
        assert_eq!(none.element("IsTruncated").as_deref(), Some("false"));
        let huge = list(dialect).query("max-keys", "5000").send(&world).await;
        assert_eq!(huge.element("MaxKeys").as_deref(), Some("1000"));
    }
}

#[tokio::test]
async fn entries_have_all_their_elements() {
    let world = filled(&["a"]).await;
    for (dialect, owner) in [(Dialect::Cos, "1250000000"), (Dialect::S3, UIN)] {
        let answer = list(dialect).send(&world).await;
        for name in ["Name", "Prefix", "Marker", "MaxKeys", "IsTruncated"] {
            assert!(answer.has_element(name), "{name}");
        }
        assert_eq!(answer.element("Size").as_deref(), Some("1"));
        assert_eq!(answer.element("StorageClass").as_deref(), Some("STANDARD"));
        assert_eq!(answer.element("LastModified").as_deref(), Some("2026-01-02T03:04:05.000Z"));
        assert_eq!(answer.element("ETag").as_deref(), Some("\"0cc175b9c0f1b6a831c399e269772661\""));
        assert_eq!(
            (answer.element("ID").as_deref(), answer.element("DisplayName").as_deref()),
            (Some(owner), Some(owner))
        );
    }
    assert!(!list(Dialect::Cos).send(&world).await.text().contains("xmlns"));
    let s3 = list(Dialect::S3).send(&world).await;
    assert!(s3.text().contains("xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""));
}

#[tokio::test]
async fn version_two() {
    let keys = ["a", "b/1", "b/2", "c", "d"];
    let world = filled(&keys).await;
    let list = || list(Dialect::S3).query("list-type", "2");
    let all = list().send(&world).await;
    assert_eq!(all.elements("Key"), keys);
    assert_eq!(all.element("KeyCount").as_deref(), Some("5"));
    assert!(!all.has_element("Owner") && !all.has_element("Marker"));
    let owned = list().query("fetch-owner", "true").send(&world).await;
    assert_eq!(owned.elements("Owner").len(), 5);
    let after = list().query("start-after", "b/1").send(&world).await;
    assert_eq!(after.elements("Key"), ["b/2", "c", "d"]);
    assert_eq!(after.element("StartAfter").as_deref(), Some("b/1"));
    let (mut token, mut seen) = (None::<String>, Vec::new());
    loop {
        let mut call = list().query("max-keys", "2").query("delimiter", "/");
        if let Some(token) = &token {
            // A token outranks where to start.
            call = call.query("continuation-token", token).query("start-after", "d");
        }
        let page = call.send(&world).await;
        assert_eq!(page.element("ContinuationToken"), token);
        seen.extend(page.elements("Key"));
        seen.extend(prefixes(&page));
        token = page.element("NextContinuationToken");
        assert_eq!(page.element("IsTruncated").as_deref() == Some("true"), token.is_some());
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b/", "c", "d"]);
    let first = list().query("continuation-token", "").send(&world).await;
    assert_eq!(first.elements("Key"), keys);
    assert!(first.has_element("ContinuationToken"));
    let wrong = list().query("continuation-token", "not a token!").send(&world).await;
    wrong.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn buckets_are_listed() {
    let world = World::new().await;
    let empty = get(Dialect::Cos, "/").send(&world).await;
    assert!(empty.text().contains("<Buckets/>"), "{}", empty.text());
    for (region, name) in [("ap-beijing", "one"), ("ap-guangzhou", "two"), ("ap-beijing", "zed")] {
        let host = format!("{name}-1250000000.cos.{region}.myqcloud.com");
        put(Dialect::Cos, "/").host(&host).send(&world).await.ok();
    }
    let list = |host: &str| get(Dialect::Cos, "/").host(host);
    let all = list("service.cos.myqcloud.com").send(&world).await;
    assert_eq!(all.elements("Name"), ["one-1250000000", "two-1250000000", "zed-1250000000"]);
    assert_eq!(all.elements("Location"), ["ap-beijing", "ap-guangzhou", "ap-beijing"]);
    assert_eq!(all.element("CreationDate").as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(all.element("ID"), Some(format!("qcs::cam::uin/{UIN}:uin/{UIN}")));
    assert_eq!(all.element("DisplayName").as_deref(), Some(UIN));
    let there = list("cos.ap-beijing.myqcloud.com").send(&world).await;
    assert_eq!(there.elements("Name"), ["one-1250000000", "zed-1250000000"]);
    let by_name = list("service.cos.myqcloud.com").query("region", "ap-guangzhou");
    assert_eq!(by_name.send(&world).await.elements("Name"), ["two-1250000000"]);
    let page = list("service.cos.myqcloud.com").query("max-keys", "2").send(&world).await;
    assert_eq!(page.element("NextMarker").as_deref(), Some("two-1250000000"));
    assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
    let rest = list("service.cos.myqcloud.com").query("marker", "two-1250000000");
    assert_eq!(rest.send(&world).await.elements("Name"), ["zed-1250000000"]);

    let s3 =
        get(Dialect::S3, "/").query("max-buckets", "1").query("prefix", "t").send(&world).await;
    assert_eq!(s3.elements("Name"), ["two-1250000000"]);
    assert_eq!(s3.element("Prefix").as_deref(), Some("t"));
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let call = get(Dialect::S3, "/").query("max-buckets", "1");
        let page = call.query("continuation-token", &token).send(&world).await;
        seen.extend(page.elements("Name"));
        match page.element("ContinuationToken") {
            Some(next) => token = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 3);
    for wrong in ["0", "10001", "x"] {
        let answer = get(Dialect::S3, "/").query("max-buckets", wrong).send(&world).await;
        answer.refused(400, "InvalidArgument");
    }
}
