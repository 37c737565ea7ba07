use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::xml::XmlWriter;

fn keys(xml: &str) -> Result<Vec<String>, XmlError> {
    let delete = parse_delete_objects(xml.as_bytes())?;
    Ok(delete.objects.into_iter().map(|entry| entry.key).collect())
}

fn one_key(content: &str) -> Result<String, XmlError> {
    keys(&format!("<Delete><Object><Key>{content}</Key></Object></Delete>"))
        .map(|mut k| k.remove(0))
}

#[test]
fn create_bucket() {
    let empty = CreateBucket::default();
    for body in [
        "",
        " \n",
        "<CreateBucketConfiguration/>",
        "<?xml version='1.0' encoding='utf-8' ?><CreateBucketConfiguration></CreateBucketConfiguration>",
        "<CreateBucketConfiguration><LocationConstraint/></CreateBucketConfiguration>",
    ] {
        assert_eq!(parse_create_bucket(body.as_bytes()), Ok(empty.clone()), "{body}");
    }
    let s3 = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n \
              <LocationConstraint> eu-west-1\n</LocationConstraint></CreateBucketConfiguration>\n";
    let wanted = parse_create_bucket(s3.as_bytes()).unwrap();
    assert_eq!(wanted.location_constraint.as_deref(), Some("eu-west-1"));
    let cos = "<CreateBucketConfiguration><BucketAZConfig>MAZ</BucketAZConfig>\
               <BucketArchConfig>OFS</BucketArchConfig><Tags><Tag/></Tags></CreateBucketConfiguration>";
    let wanted = parse_create_bucket(cos.as_bytes()).unwrap();
    assert_eq!(wanted.az_config.as_deref(), Some("MAZ"));
    assert_eq!(wanted.arch_config.as_deref(), Some("OFS"));
    assert_eq!(wanted.unknown.as_deref(), Some("Tags"));
    let twice = "<CreateBucketConfiguration><LocationConstraint>a</LocationConstraint>\
                 <LocationConstraint>b</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(parse_create_bucket(twice.as_bytes()), Err(DUPLICATE));
}

#[test]
fn keys_of_a_multi_delete_are_literal() {
    let cases = [
        ("a", "a"),
        ("/a", "/a"),
        (" a\t\n ", " a\t\n "),
        ("a&#x0D;b&#13;&#10;c", "a\rb\r\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
        ("&amp;lt;", "&lt;"),
        ("&#x1;", "\u{1}"),
        ("&#128512;你", "😀你"),
        ("<![CDATA[<a>&amp;]]>b", "<a>&amp;b"),
        ("a<!-- no -->b", "ab"),
        ("a+b%20c", "a+b%20c"),
        ("../x//", "../x//"),
    ];
    for (content, want) in cases {
        assert_eq!(one_key(content).as_deref(), Ok(want), "{content}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..300 {
        let key: String = (0..rng.random_range(1..20))
            .map(|_| match rng.random_range(0..3) {
                0 => char::from(rng.random_range(1..128u8)),
                1 => rng.random_range('\u{80}'..'\u{d7ff}'),
                _ => rng.random_range('\u{e000}'..'\u{10ffff}'),
            })
            .collect();
        let mut writer = XmlWriter::new(0);
        writer.root("Delete", Some("urn:x"), |w| w.element("Object", |w| w.text("Key", &key)));
        let delete = parse_delete_objects(&writer.finish()).unwrap();
        assert_eq!(delete.objects[0].key, key);
    }
}

#[test]
fn delete_objects() {
    let xml = "<?xml version=\"1.0\"?><d:Delete xmlns:d=\"urn:x\"><d:Quiet>True</d:Quiet>\
               <Object><Key>a</Key><VersionId/></Object>\
               <Object><VersionId>null</VersionId><Key>b</Key><ETag>\"e\"</ETag>\
               <LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</LastModifiedTime><Size>7</Size>\
               <Later><Key>no</Key></Later></Object></d:Delete>";
    let delete = parse_delete_objects(xml.as_bytes()).unwrap();
    assert!(delete.quiet);
    assert_eq!(delete.objects[0], DeleteEntry { key: "a".into(), ..DeleteEntry::default() });
    let second = DeleteEntry {
        key: "b".into(),
        version_id: Some("null".into()),
        etag: Some("\"e\"".into()),
        last_modified_ms: Some(784_111_777_000),
        size: Some(7),
    };
    assert_eq!(delete.objects[1], second);

    let many = |count: usize| {
        format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(count))
    };
    assert_eq!(keys(&many(1000)).unwrap().len(), 1000);
    assert_eq!(keys(&many(1001)), Err(XmlError::TooMany { max: 1000 }));
    for bad in [
        "<Delete/>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key/></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<Delete><Object><Key><b/></Key></Object></Delete>",
        "<Delete><Quiet>maybe</Quiet><Object><Key>a</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><Size>-1</Size></Object></Delete>",
        "<Delete><Object><Key>a</Key><LastModifiedTime>x</LastModifiedTime></Object></Delete>",
    ] {
        assert!(matches!(keys(bad), Err(XmlError::Malformed(_))), "{bad}");
    }
}

#[test]
fn complete_upload() {
    let xml = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag>\
               <ChecksumCRC32>AAAA</ChecksumCRC32></Part><Part><ETag> b </ETag>\
               <PartNumber> 10000 </PartNumber></Part></CompleteMultipartUpload>";
    let parts = parse_complete_upload(xml.as_bytes()).unwrap().parts;
    assert_eq!((parts[0].number, parts[0].etag.as_str()), (1, "a"));
    assert_eq!(parts[0].checksums, [("CRC32".to_owned(), "AAAA".to_owned())]);
    assert_eq!((parts[1].number, parts[1].etag.as_str()), (10_000, "b"));

    let part = "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>";
    let many = |count| {
        let all = part.repeat(count);
        format!("<CompleteMultipartUpload>{all}</CompleteMultipartUpload>")
    };
    assert_eq!(parse_complete_upload(many(10_000).as_bytes()).unwrap().parts.len(), 10_000);
    assert_eq!(
        parse_complete_upload(many(10_001).as_bytes()),
        Err(XmlError::TooMany { max: 10_000 })
    );
    for bad in [
        "",
        "<Part><ETag>a</ETag></Part>",
        "<Part><PartNumber>1</PartNumber></Part>",
        "<Part><PartNumber/><ETag>a</ETag></Part>",
        "<Part><PartNumber>+1</PartNumber><ETag>a</ETag></Part>",
        "<Part><PartNumber>99999999999999999999</PartNumber><ETag>a</ETag></Part>",
        "<Part><PartNumber>1</PartNumber><ETag>a</ETag><ETag>b</ETag></Part>",
        "text",
    ] {
        let xml = format!("<CompleteMultipartUpload>{bad}</CompleteMultipartUpload>");
        let got = parse_complete_upload(xml.as_bytes());
        assert!(matches!(got, Err(XmlError::Malformed(_))), "{bad}");
    }
}

#[test]
fn hostile_documents() {
    let deep = |levels: usize| {
        let (open, close) = ("<a>".repeat(levels), "</a>".repeat(levels));
        format!("<Delete><Object><Key>k</Key>{open}{close}</Object></Delete>")
    };
    assert!(keys(&deep(14)).is_ok());
    assert_eq!(keys(&deep(15)), Err(XmlError::TooDeep));
    assert_eq!(keys(&"<a>".repeat(100_000)), Err(XmlError::Malformed("unexpected root element")));
    assert_eq!(keys(&format!("<Delete>{}", "<a>".repeat(100_000))), Err(XmlError::TooDeep));

    let bomb = "<!DOCTYPE Delete [<!ENTITY a \"x\"><!ENTITY b \"&a;&a;\">]>\
                <Delete><Object><Key>&b;</Key></Object></Delete>";
    assert_eq!(keys(bomb), Err(XmlError::ForbiddenDtd));
    let outside = "<!DOCTYPE Delete SYSTEM \"file:///etc/passwd\"><Delete/>";
    assert_eq!(keys(outside), Err(XmlError::ForbiddenDtd));

    let large = format!("<Delete>{}", " ".repeat(DELETE_OBJECTS_BYTES_MAX));
    assert_eq!(keys(&large), Err(XmlError::TooLarge { max: DELETE_OBJECTS_BYTES_MAX }));
    assert_eq!(keys(""), Err(XmlError::Empty));
    assert_eq!(
        parse_delete_objects(b"<Delete>\xff</Delete>"),
        Err(XmlError::Malformed("not UTF-8"))
    );
    let bom = "\u{feff}<Delete><Object><Key>a</Key></Object></Delete>";
    assert_eq!(keys(bom).unwrap(), ["a"]);

    for bad in [
        "x",
        "<",
        "<Delete",
        "<Delete>",
        "</Delete>",
        "<Other/>",
        "<Delete></Other>",
        "<Delete><Object><Key>a</Object></Key></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
        "<Delete><Object><Key>a</Key></Object></Delete>x",
        "<Delete>x<Object><Key>a</Key></Object></Delete>",
        "<?xml version='1.0' encoding='UTF-16'?><Delete><Object><Key>a</Key></Object></Delete>",
        "{\"json\": true}",
    ] {
        assert!(matches!(keys(bad), Err(XmlError::Malformed(_))), "{bad}");
    }
    for bad in ["&b;", "&nbsp;", "&#0;", "&#xD800;", "&#x110000;", "&#;", "&#-1;", "a & b", "&"] {
        assert!(matches!(one_key(bad), Err(XmlError::Malformed(_))), "{bad}");
    }
    for bad in ["\0", "a\u{1}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
        assert!(matches!(one_key(bad), Err(XmlError::Malformed(_))), "{bad}");
    }
}

/// Cuts and changes of a good document: any answer, no panic.
#[test]
fn damaged_documents_never_panic() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let good = b"<?xml version=\"1.0\"?><!-- c --><Delete xmlns='u'><Quiet>true</Quiet><Object>\
                 <Key>a&amp;<![CDATA[b]]>&#x41;</Key><Size>1</Size></Object><a b='c'/></Delete>";
    for _ in 0..3000 {
        let mut bytes = good.to_vec();
        bytes.truncate(rng.random_range(0..=good.len()));
        for _ in 0..rng.random_range(0..4) {
            if !bytes.is_empty() {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = *b"<>&;/!?[]'\"x\0\xff#".get(rng.random_range(0..15)).unwrap_or(&b' ');
            }
        }
        let _ = parse_delete_objects(&bytes);
        let _ = parse_create_bucket(&bytes);
        let _ = parse_complete_upload(&bytes);
    }
}
