//! Multipart uploads and every way to get them wrong.

use costrel_core::checksum::{Algorithm, Digester};
use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, delete, get, head, post, put};
use crate::world::{BUCKET, World};

const MIB: usize = 1 << 20;

fn object() -> String {
    format!("/{BUCKET}/key")
}

async fn begin(world: &World, dialect: Dialect) -> String {
    let begun = post(dialect, &object()).query("uploads", "").send(world).await;
    assert_eq!(begun.element("Bucket").as_deref(), Some(BUCKET));
    assert_eq!(begun.element("Key").as_deref(), Some("key"));
    begun.element("UploadId").unwrap()
}

fn part(dialect: Dialect, id: &str, number: &str, body: &[u8]) -> Call {
    put(dialect, &object()).query("partNumber", number).query("uploadId", id).body(body)
}

async fn stored_part(
    world: &World,
    dialect: Dialect,
    id: &str,
    number: u32,
    body: &[u8],
) -> String {
    let answer = part(dialect, id, &number.to_string(), body).send(world).await;
    answer.ok().header("ETag").unwrap().to_owned()
}

fn document(parts: &[(u32, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(number, etag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        })
        .collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

fn complete(dialect: Dialect, id: &str, document: &str) -> Call {
    post(dialect, &object()).query("uploadId", id).body(document)
}

fn base64_of(algorithm: Algorithm, bytes: &[u8]) -> String {
    use base64::Engine;
    let mut digester = Digester::new([algorithm]);
    digester.update(bytes);
    let digests = digester.finish();
    let checksum = digests.others.iter().find(|(a, _)| *a == algorithm).unwrap();
    base64::engine::general_purpose::STANDARD.encode(&checksum.1)
}

#[tokio::test]
async fn a_bucket_is_deleted_with_its_uploads_in_s3_alone() {
    let world = World::with_bucket().await;
    let bucket = format!("/{BUCKET}");
    put(Dialect::S3, &format!("{bucket}/other")).body("x").send(&world).await.ok();
    let begun = post(Dialect::Cos, &object()).query("uploads", "").send(&world).await;
    let id = begun.element("UploadId").unwrap();
    for dialect in Dialect::ALL {
        delete(dialect, &bucket).send(&world).await.refused(409, "BucketNotEmpty");
    }
    delete(Dialect::S3, &format!("{bucket}/other")).send(&world).await.ok();
    delete(Dialect::Cos, &bucket).send(&world).await.refused(409, "BucketNotEmpty");
    // Nobody who was refused has ended it.
    get(Dialect::S3, &object()).query("uploadId", &id).send(&world).await.ok();
    assert_eq!(delete(Dialect::S3, &bucket).send(&world).await.status, 204);
    get(Dialect::S3, &bucket).send(&world).await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn an_upload_from_beginning_to_end() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let min = dialect.part_bytes_min() as usize;
        let begun = post(dialect, &object())
            .query("uploads", "")
            .header(&format!("{}meta-a", dialect.headers().prefix), "b")
            .header("Content-Type", "text/plain")
            .send(&world)
            .await;
        let id = begun.element("UploadId").unwrap();
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()), "Go does not escape it");
        // Nothing is seen of it before it is complete.
        get(dialect, &object()).send(&world).await.refused(404, "NoSuchKey");
        let uploads = get(dialect, &format!("/{BUCKET}")).query("uploads", "").send(&world).await;
        assert_eq!(uploads.elements("UploadId"), [id.as_str()]);
        assert!(uploads.element("Initiated").is_some() && uploads.has_element("StorageClass"));
        stored_part(&world, dialect, &id, 3, b"over").await;
        let three = stored_part(&world, dialect, &id, 3, b"end").await;
        let one = stored_part(&world, dialect, &id, 1, &vec![b'a'; min]).await;
        let listed = get(dialect, &object()).query("uploadId", &id).send(&world).await;
        assert_eq!(listed.elements("PartNumber"), ["1", "3"]);
        assert_eq!(listed.elements("Size"), [min.to_string(), "3".into()]);
        assert_eq!(listed.elements("ETag"), [one.clone(), three.clone()]);
        assert_eq!(listed.element("IsTruncated").as_deref(), Some("false"));
        for name in ["Initiator", "Owner", "StorageClass", "MaxParts", "PartNumberMarker"] {
            assert!(listed.has_element(name), "{name}");
        }
        let page = get(dialect, &object()).query("uploadId", &id).query("max-parts", "1");
        let page = page.send(&world).await;
        assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
        assert_eq!(page.element("NextPartNumberMarker").as_deref(), Some("1"));
        let page = get(dialect, &object()).query("uploadId", &id).query("part-number-marker", "1");
        assert_eq!(page.send(&world).await.elements("PartNumber"), ["3"]);

        let done = complete(dialect, &id, &document(&[(1, &one), (3, three.trim_matches('"'))]));
        let done = done.send(&world).await;
        assert_eq!(done.status, 200, "{}", done.dump());
        let etag = done.element("ETag").unwrap();
        assert!(etag.ends_with("-2\""), "{etag}");
        let place = done.element("Location").unwrap();
        assert!(place.starts_with("http://") && place.ends_with("/key"), "{place}");
        if dialect == Dialect::Cos {
            assert!(done.header("x-cos-hash-crc64ecma").is_some(), "Go compares it");
        }
        let read = get(dialect, &object()).send(&world).await;
        assert_eq!(read.body.len(), min + 3);
        assert!(read.body.ends_with(b"aend"));
        assert_eq!(read.header("ETag"), Some(etag.as_str()));
        assert_eq!(read.header("Content-Type"), Some("text/plain"));
        let meta = format!("{}meta-a", dialect.headers().prefix);
        assert_eq!(read.header(&meta), Some("b"));

        // The second part of the object was sent as number 3.
        let second = get(dialect, &object()).query("partNumber", "2").send(&world).await;
        assert_eq!((second.status, second.text()), (206, "end"));
        assert_eq!(
            second.header("Content-Range"),
            Some(&*format!("bytes {min}-{}/{}", min + 2, min + 3))
        );
        assert_eq!(second.header(dialect.headers().parts_count.as_str()), Some("2"));
        let third = get(dialect, &object()).query("partNumber", "3").send(&world).await;
        third.refused(
            416,
            if dialect == Dialect::Cos { "InvalidRange" } else { "InvalidPartNumber" },
        );
        let zero = get(dialect, &object()).query("partNumber", "0").send(&world).await;
        zero.refused(400, "InvalidArgument");

        for call in [
            complete(dialect, &id, &document(&[(1, &one)])),
            part(dialect, &id, "1", b"x"),
            get(dialect, &object()).query("uploadId", &id),
            delete(dialect, &object()).query("uploadId", &id),
        ] {
            call.send(&world).await.refused(404, "NoSuchUpload");
        }
    }
}

#[tokio::test]
async fn completions_that_are_refused_change_nothing() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let id = begin(&world, dialect).await;
        let min = dialect.part_bytes_min() as usize;
        let one = stored_part(&world, dialect, &id, 1, &vec![b'a'; min]).await;
        let small = stored_part(&world, dialect, &id, 2, b"small").await;
        let three = stored_part(&world, dialect, &id, 3, b"end").await;
        let other = "\"00000000000000000000000000000000\"";
        let cases = [
            (document(&[(1, &one), (2, &small), (3, &three)]), "EntityTooSmall"),
            (document(&[(3, &three), (1, &one)]), "InvalidPartOrder"),
            (document(&[(1, &one), (1, &one)]), "InvalidPartOrder"),
            (document(&[(1, &one), (4, &three)]), "InvalidPart"),
            (document(&[(1, other)]), "InvalidPart"),
            (document(&[(0, &one)]), "InvalidArgument"),
            (document(&[(10_001, &one)]), "InvalidArgument"),
            (document(&[]), "MalformedXML"),
            (String::new(), "MalformedXML"),
            ("<CompleteMultipartUpload>".into(), "MalformedXML"),
            ("<Other></Other>".into(), "MalformedXML"),
            ("not XML".into(), "MalformedXML"),
            (
                "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>y</ETag></Part>\
                 </CompleteMultipartUpload>"
                    .into(),
                "MalformedXML",
            ),
            (
                "<CompleteMultipartUpload><Part><ETag>y</ETag></Part></CompleteMultipartUpload>"
                    .into(),
                "MalformedXML",
            ),
        ];
        for (document, code) in cases {
            let answer = complete(dialect, &id, &document).send(&world).await;
            answer.refused(400, code);
        }
        get(dialect, &object()).send(&world).await.refused(404, "NoSuchKey");
        // The upload is as usable as before.
        let done = complete(dialect, &id, &document(&[(1, &one), (3, &three)]));
        assert_eq!(done.send(&world).await.status, 200);
    }
}

#[tokio::test]
async fn uploads_that_do_not_exist() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let gone = begin(&world, dialect).await;
        let abort = delete(dialect, &object()).query("uploadId", &gone).send(&world).await;
        assert_eq!(abort.status, 204);
        for id in [gone.as_str(), "00112233445566778899aabbccddeeff", "nonsense", "../x"] {
            for call in [
                part(dialect, id, "1", b"x"),
                get(dialect, &object()).query("uploadId", id),
                delete(dialect, &object()).query("uploadId", id),
                complete(dialect, id, &document(&[(1, "\"x\"")])),
            ] {
                call.send(&world).await.refused(404, "NoSuchUpload");
            }
        }
        // An upload belongs to its key.
        let id = begin(&world, dialect).await;
        let other = put(dialect, &format!("/{BUCKET}/other"));
        let call = other.query("partNumber", "1").query("uploadId", &id).body("x");
        call.send(&world).await.refused(404, "NoSuchUpload");
        for number in ["0", "10001", "x", "-1", "", "99999999999999999999"] {
            part(dialect, &id, number, b"x").send(&world).await.refused(400, "InvalidArgument");
        }
        let empty = get(dialect, &object()).query("uploadId", "").send(&world).await;
        match dialect {
            Dialect::Cos => empty.refused(400, "ListPartUploadIdIsEmpty"),
            Dialect::S3 => empty.refused(404, "NoSuchUpload"),
        };
    }
}

#[tokio::test]
async fn uploads_are_listed_in_pages() {
    let world = World::with_bucket().await;
    let mut made = Vec::new();
    for key in ["a/1", "a/2", "a/2", "b", "c c"] {
        let begun = post(Dialect::S3, &format!("/{BUCKET}/{key}")).query("uploads", "");
        made.push((key, begun.send(&world).await.element("UploadId").unwrap()));
        world.pass(std::time::Duration::from_millis(5));
    }
    for dialect in Dialect::ALL {
        let list = || get(dialect, &format!("/{BUCKET}")).query("uploads", "");
        let (mut key, mut id, mut seen) = (String::new(), String::new(), Vec::new());
        loop {
            let page = list()
                .query("max-uploads", "2")
                .query("key-marker", &key)
                .query("upload-id-marker", &id)
                .send(&world)
                .await;
            seen.extend(page.elements("UploadId"));
            if page.element("IsTruncated").as_deref() == Some("false") {
                break;
            }
            key = page.element("NextKeyMarker").unwrap();
            id = page.element("NextUploadIdMarker").unwrap_or_default();
        }
        assert_eq!(seen, made.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>());
        let page = list().query("delimiter", "/").query("encoding-type", "url").send(&world).await;
        assert_eq!(page.elements("Key"), ["b", "c%20c"]);
        let prefixes = page.elements("CommonPrefixes");
        assert_eq!(prefixes, ["<Prefix>a/</Prefix>"]);
        assert_eq!(page.element("EncodingType").as_deref(), Some("url"));
        if dialect == Dialect::Cos {
            // Each SDK reads its own spelling.
            assert_eq!(page.element("Encoding-Type").as_deref(), Some("url"));
            assert_eq!(page.elements("CommonPrefixs"), prefixes);
        }
        let page = list().query("prefix", "a/").send(&world).await;
        assert_eq!(page.elements("Key"), ["a/1", "a/2", "a/2"]);
        let page = list().query("key-marker", "a/2").send(&world).await;
        assert_eq!(page.elements("Key"), ["b", "c c"]);
    }
}

#[tokio::test]
async fn checksums_of_parts_and_of_the_whole() {
    let big = vec![b'a'; 5 * MIB];
    let cases = [
        (Algorithm::Crc32, None, "COMPOSITE"),
        (Algorithm::Crc32, Some("FULL_OBJECT"), "FULL_OBJECT"),
        (Algorithm::Crc32c, Some("COMPOSITE"), "COMPOSITE"),
        (Algorithm::Crc64Nvme, None, "FULL_OBJECT"),
        (Algorithm::Sha1, None, "COMPOSITE"),
        (Algorithm::Sha256, Some("COMPOSITE"), "COMPOSITE"),
    ];
    for (algorithm, asked, kind) in cases {
        let world = World::with_bucket().await;
        let mut begin = post(Dialect::S3, &object())
            .query("uploads", "")
            .header("x-amz-checksum-algorithm", algorithm.name());
        if let Some(kind) = asked {
            begin = begin.header("x-amz-checksum-type", kind);
        }
        let begun = begin.send(&world).await;
        assert_eq!(begun.header("x-amz-checksum-type"), Some(kind), "{}", begun.dump());
        let id = begun.element("UploadId").unwrap();
        let header = format!("x-amz-checksum-{}", algorithm.name().to_ascii_lowercase());
        let element = format!("Checksum{}", algorithm.name());
        let mut parts = String::new();
        for (number, body) in [(1, big.as_slice()), (2, b"end".as_slice())] {
            let sum = base64_of(algorithm, body);
            let wrong = base64_of(algorithm, b"something else");
            let number = number.to_string();
            let call = part(Dialect::S3, &id, &number, body);
            call.clone().header(&header, &wrong).send(&world).await.refused(400, "BadDigest");
            let answer = call.header(&header, &sum).send(&world).await;
            assert_eq!(answer.header(&header), Some(sum.as_str()));
            let etag = answer.header("ETag").unwrap();
            parts.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>\
                 <{element}>{sum}</{element}></Part>"
            ));
        }
        let listed = get(Dialect::S3, &object()).query("uploadId", &id).send(&world).await;
        assert_eq!(listed.elements(&element).len(), 2);
        assert_eq!(listed.element("ChecksumType").as_deref(), Some(kind));
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let other = base64_of(algorithm, b"end");
        let sum = base64_of(algorithm, &big);
        let lying = document.replace(&other, &base64_of(algorithm, b"lie"));
        complete(Dialect::S3, &id, &lying).send(&world).await.refused(400, "InvalidPart");
        let wrong = complete(Dialect::S3, &id, &document).header(&header, &sum);
        wrong.send(&world).await.refused(400, "BadDigest");
        let sized = complete(Dialect::S3, &id, &document).header("x-amz-mp-object-size", "7");
        sized.send(&world).await.refused(400, "InvalidRequest");
        let done = complete(Dialect::S3, &id, &document)
            .header("x-amz-mp-object-size", &(5 * MIB + 3).to_string())
            .send(&world)
            .await;
        assert_eq!(done.status, 200, "{}", done.dump());
        assert_eq!(done.element("ChecksumType").as_deref(), Some(kind));
        let whole = done.element(&element).unwrap();
        assert_eq!(whole.ends_with("-2"), kind == "COMPOSITE");
        let mut all = big.clone();
        all.extend_from_slice(b"end");
        if kind == "FULL_OBJECT" {
            assert_eq!(whole, base64_of(algorithm, &all));
        }
        let silent = head(Dialect::S3, &object()).send(&world).await;
        assert_eq!(silent.header(&header), None);
        let told = head(Dialect::S3, &object()).header("x-amz-checksum-mode", "ENABLED");
        let told = told.send(&world).await;
        assert_eq!(told.header(&header), Some(whole.as_str()));
        assert_eq!(told.header("x-amz-checksum-type"), Some(kind));
        // A part's own verifies what is sent of it; nothing verifies a range.
        let enabled = get(Dialect::S3, &object()).header("x-amz-checksum-mode", "ENABLED");
        let second = enabled.clone().query("partNumber", "2").send(&world).await;
        assert_eq!((second.text(), second.header(&header)), ("end", Some(other.as_str())));
        assert_eq!(second.header("x-amz-checksum-type"), Some(kind));
        let range = enabled.header("Range", "bytes=0-2").send(&world).await;
        assert_eq!((range.text(), range.header(&header)), ("aaa", None));
    }
}

/// What a completion declares is compared, or the completion refused.
#[tokio::test]
async fn checksums_declared_at_the_end_only() {
    let (algorithm, header) = (Algorithm::Crc64Nvme, "x-amz-checksum-crc64nvme");
    let whole = [vec![b'a'; 5 * MIB], b"end".to_vec()].concat();
    let (right, wrong) = (base64_of(algorithm, &whole), base64_of(algorithm, b"other"));
    // An upload of COS keeps no checksum of S3, but its parts may have come with it.
    let world = World::with_bucket().await;
    for summed in [true, false] {
        let id = begin(&world, Dialect::Cos).await;
        let mut etags = Vec::new();
        for (number, body) in [("1", &whole[..5 * MIB]), ("2", &whole[5 * MIB..])] {
            let mut call = part(Dialect::S3, &id, number, body);
            if summed {
                call = call.header(header, &base64_of(algorithm, body));
            }
            etags.push(call.send(&world).await.ok().header("ETag").unwrap().to_owned());
        }
        let document = document(&[(1, &etags[0]), (2, &etags[1])]);
        let declaring = |sum: &str| complete(Dialect::S3, &id, &document).header(header, sum);
        let code = if summed { "BadDigest" } else { "InvalidRequest" };
        declaring(&wrong).send(&world).await.refused(400, code);
        let other =
            complete(Dialect::S3, &id, &document).header("x-amz-checksum-crc32", "AAAAAA==");
        other.send(&world).await.refused(400, "InvalidRequest");
        let unknown = document.replace("</Part>", "<ChecksumSHA1>AAAA</ChecksumSHA1></Part>");
        complete(Dialect::S3, &id, &unknown).send(&world).await.refused(400, "InvalidPart");
        if summed {
            declaring(&right).send(&world).await.ok();
        }
    }

    let crc64 = |bytes: &[u8]| Digester::crc64(bytes).to_string();
    let id = begin(&world, Dialect::Cos).await;
    let etag = stored_part(&world, Dialect::Cos, &id, 1, b"whole").await;
    let declaring = |sum: &str| {
        complete(Dialect::Cos, &id, &document(&[(1, &etag)])).header("x-cos-hash-crc64ecma", sum)
    };
    declaring(&crc64(b"other")).send(&world).await.refused(400, "BadDigest");
    declaring("x").send(&world).await.refused(400, "InvalidArgument");
    declaring(&crc64(b"whole")).send(&world).await.ok();
}

fn attributes(world: &World, wanted: &str) -> impl Future<Output = Answer> {
    get(Dialect::S3, &object())
        .query("attributes", "")
        .header("x-amz-object-attributes", wanted)
        .send_owned(world)
}

/// The parts of the object, not those that were uploaded and left out.
#[tokio::test]
async fn attributes_list_the_parts_of_the_object() {
    let world = World::uncollected().await;
    let id = begin(&world, Dialect::S3).await;
    let mut etags = Vec::new();
    for number in 1..=4 {
        let body = vec![b'a'; 5 * MIB];
        etags.push(stored_part(&world, Dialect::S3, &id, number, &body).await);
    }
    let chosen = document(&[(2, &etags[1]), (4, &etags[3])]);
    complete(Dialect::S3, &id, &chosen).send(&world).await.ok();
    let all = "ETag,Checksum,ObjectParts,StorageClass,ObjectSize";
    let answer = attributes(&world, all).await;
    assert_eq!(answer.status, 200, "{}", answer.dump());
    assert_eq!(answer.elements("PartNumber"), ["2", "4"]);
    assert_eq!(answer.element("PartsCount").as_deref(), Some("2"));
    assert_eq!(answer.element("IsTruncated").as_deref(), Some("false"));
    assert_eq!(answer.element("ObjectSize"), Some((10 * MIB).to_string()));
    assert_eq!(answer.element("StorageClass").as_deref(), Some("STANDARD"));
    let etag = answer.element("ETag").unwrap();
    assert!(etag.ends_with("-2") && !etag.contains('"'), "{etag}");
    assert_eq!(answer.element("ChecksumType").as_deref(), Some("FULL_OBJECT"));
    assert!(answer.header("Last-Modified").is_some());
    let page = get(Dialect::S3, &object())
        .query("attributes", "")
        .header("x-amz-object-attributes", "ObjectParts")
        .header("x-amz-max-parts", "1");
    let page = page.send(&world).await;
    assert_eq!(page.elements("PartNumber"), ["2"]);
    assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
    assert_eq!(page.element("NextPartNumberMarker").as_deref(), Some("2"));
    for wrong in ["", "ETags", "ETag,,nonsense"] {
        attributes(&world, wrong).await.refused(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn what_cannot_be_verified_is_refused() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    let put = || put(Dialect::S3, &object()).body("hello");
    let cases = [
        (put().header("x-amz-checksum-sha512", "AAAA"), 501, "NotImplemented"),
        (put().header("x-amz-checksum-xxhash64", "AAAA"), 501, "NotImplemented"),
        (put().header("x-amz-checksum-crc32", "nonsense"), 400, "InvalidRequest"),
        (put().header("x-amz-checksum-crc32", "AAAA"), 400, "InvalidRequest"),
        (put().header("x-amz-checksum-crc32", "AAAAAA=="), 400, "BadDigest"),
        (put().header("x-amz-sdk-checksum-algorithm", "MD4"), 400, "InvalidRequest"),
        (
            put()
                .header("x-amz-checksum-crc32", "NhCmhg==")
                .header("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
            400,
            "InvalidRequest",
        ),
    ];
    for (call, status, code) in cases {
        call.send(&world).await.refused(status, code);
    }
    let begin = || post(Dialect::S3, &object()).query("uploads", "");
    let cases = [
        begin().header("x-amz-checksum-algorithm", "MD4"),
        begin().header("x-amz-checksum-type", "FULL_OBJECT"),
        begin()
            .header("x-amz-checksum-algorithm", "SHA256")
            .header("x-amz-checksum-type", "FULL_OBJECT"),
        begin()
            .header("x-amz-checksum-algorithm", "CRC64NVME")
            .header("x-amz-checksum-type", "COMPOSITE"),
        begin().header("x-amz-checksum-algorithm", "CRC32").header("x-amz-checksum-type", "HALF"),
    ];
    for call in cases {
        call.send(&world).await.refused(400, "InvalidRequest");
    }
    assert_eq!(world.stored().await, stored);
    let good = put().header("x-amz-checksum-crc32", "NhCmhg==").send(&world).await;
    assert_eq!(good.ok().header("x-amz-checksum-crc32"), Some("NhCmhg=="));
}
