//! XML bodies of requests.

use costrel_protocol::dialect::Dialect;
use costrel_protocol::xml::{
    CompleteUpload, CreateBucket, DeleteObjects, XmlWriter, parse_acl, parse_complete_upload,
    parse_cors, parse_create_bucket, parse_delete_objects, parse_legal_hold, parse_lifecycle,
    parse_lock_configuration, parse_logging, parse_notification, parse_referer, parse_restore,
    parse_retention, parse_tagging, parse_versioning, parse_website, write_cors, write_lifecycle,
    write_notification, write_referer, write_website,
};

/// Checksum elements that can be written again, by what follows `Checksum`.
const CHECKSUMS: [(&str, &str); 5] = [
    ("CRC32", "ChecksumCRC32"),
    ("CRC32C", "ChecksumCRC32C"),
    ("CRC64NVME", "ChecksumCRC64NVME"),
    ("SHA1", "ChecksumSHA1"),
    ("SHA256", "ChecksumSHA256"),
];

/// A document, read as each of the bodies there are.
pub fn xml(data: &[u8]) {
    if let Ok(read) = parse_create_bucket(data) {
        create_bucket(data, read);
    }
    if let Ok(read) = parse_delete_objects(data) {
        delete_objects(data, &read);
    }
    if let Ok(read) = parse_complete_upload(data) {
        complete_upload(data, read);
    }
    if let Ok(read) = parse_tagging(data) {
        bounded(data, read.iter().flat_map(|tag| [tag.name.as_str(), tag.value.as_str()]));
        let again = written("Tagging", |xml| {
            xml.element("TagSet", |xml| {
                for tag in &read {
                    xml.element("Tag", |xml| {
                        xml.text("Key", &tag.name);
                        xml.text("Value", &tag.value);
                    });
                }
            });
        });
        assert_eq!(parse_tagging(&again), Ok(read));
    }
    for dialect in Dialect::ALL {
        if let Ok(read) = parse_referer(data) {
            assert_eq!(parse_referer(&write_referer(Some(&read))), Ok(read));
        }
        if let Ok(read) = parse_acl(data) {
            assert!(read.grants.len() <= data.len());
        }
        if let Ok(Some(read)) = parse_logging(data, dialect) {
            bounded(data, [read.target.as_str(), read.prefix.as_str()].into_iter());
            assert!(read.grants.len() <= data.len());
        }
        if let Ok(read) = parse_notification(data) {
            let again = parse_notification(&write_notification(&read, dialect));
            assert_eq!(again.ok(), Some(read));
        }
        if let Ok(read) = parse_website(data, dialect) {
            assert_eq!(parse_website(&write_website(&read, dialect), dialect), Ok(read));
        }
        if let Ok(read) = parse_cors(data, dialect) {
            let origins = read.rules.iter().flat_map(|rule| &rule.origins);
            bounded(data, origins.map(String::as_str));
            assert_eq!(parse_cors(&write_cors(&read, dialect), dialect), Ok(read));
        }
        if let Ok(read) = parse_lifecycle(data, dialect) {
            bounded(data, read.rules.iter().flat_map(|rule| [rule.id.as_str(), rule.prefix()]));
            let again = parse_lifecycle(&write_lifecycle(&read, dialect), dialect);
            assert_eq!(again.ok(), Some(read));
        }
    }
    let _ = parse_lock_configuration(data);
    let _ = parse_restore(data);
    if let Ok((mode, _)) = parse_retention(data) {
        let again = written("Retention", |xml| {
            if let Some(mode) = mode {
                xml.text("Mode", mode.name());
            }
        });
        assert_eq!(parse_retention(&again), Ok((mode, None)));
    }
    if let Ok(held) = parse_legal_hold(data) {
        let again = written("LegalHold", |xml| xml.text("Status", if held { "ON" } else { "OFF" }));
        assert_eq!(parse_legal_hold(&again), Ok(held));
    }
    if let Ok(read) = parse_versioning(data) {
        let again = written("VersioningConfiguration", |xml| {
            if let Some(enabled) = read.enabled {
                xml.text("Status", if enabled { "Enabled" } else { "Suspended" });
            }
            xml.text("MfaDelete", if read.mfa_delete { "Enabled" } else { "Disabled" });
        });
        assert_eq!(parse_versioning(&again), Ok(read));
    }
}

fn create_bucket(data: &[u8], read: CreateBucket) {
    let fields = [
        ("LocationConstraint", &read.location_constraint),
        ("BucketAZConfig", &read.az_config),
        ("BucketArchConfig", &read.arch_config),
        ("BucketStorageClass", &read.storage_class),
    ];
    bounded(data, fields.iter().filter_map(|(_, text)| text.as_deref()));
    let again = written("CreateBucketConfiguration", |xml| {
        for (name, text) in fields {
            if let Some(text) = text {
                xml.text(name, text);
            }
        }
    });
    assert_eq!(parse_create_bucket(&again), Ok(CreateBucket { unknown: None, ..read }));
}

fn delete_objects(data: &[u8], read: &DeleteObjects) {
    assert!((1..=1000).contains(&read.objects.len()));
    let texts = || {
        read.objects.iter().flat_map(|object| {
            [Some(object.key.as_str()), object.version_id.as_deref(), object.etag.as_deref()]
        })
    };
    bounded(data, texts().flatten());
    assert!(read.objects.iter().all(|object| !object.key.is_empty()));
    let again = written("Delete", |xml| {
        xml.boolean("Quiet", read.quiet);
        for object in &read.objects {
            xml.element("Object", |xml| {
                xml.text("Key", &object.key);
                if let Some(version) = &object.version_id {
                    xml.text("VersionId", version);
                }
                if let Some(etag) = &object.etag {
                    xml.text("ETag", etag);
                }
                if let Some(time) = object.last_modified_ms {
                    xml.time("LastModifiedTime", time);
                }
                if let Some(size) = object.size {
                    xml.number("Size", size);
                }
            });
        }
    });
    assert_eq!(parse_delete_objects(&again).as_ref(), Ok(read));
}

fn complete_upload(data: &[u8], mut read: CompleteUpload) {
    assert!((1..=10_000).contains(&read.parts.len()));
    let texts = |read: &CompleteUpload| -> Vec<String> {
        let parts = read.parts.iter();
        parts
            .flat_map(|part| {
                let checksums = part.checksums.iter().flat_map(|(name, value)| [name, value]);
                checksums.chain([&part.etag]).cloned()
            })
            .collect()
    };
    bounded(data, texts(&read).iter().map(String::as_str));
    for part in &mut read.parts {
        part.checksums.retain(|(name, _)| CHECKSUMS.iter().any(|(known, _)| known == name));
    }
    let again = written("CompleteMultipartUpload", |xml| {
        for part in &read.parts {
            xml.element("Part", |xml| {
                xml.number("PartNumber", part.number);
                xml.text("ETag", &format!("\"{}\"", part.etag));
                for (name, value) in &part.checksums {
                    if let Some((_, element)) = CHECKSUMS.iter().find(|(known, _)| known == name) {
                        xml.text(element, value);
                    }
                }
            });
        }
    });
    assert_eq!(parse_complete_upload(&again), Ok(read));
}

fn written(root: &'static str, content: impl FnOnce(&mut XmlWriter)) -> Vec<u8> {
    let mut xml = XmlWriter::new(0);
    xml.root(root, None, content);
    xml.finish().to_vec()
}

/// There is nothing in a document that grows.
fn bounded<'a>(data: &[u8], texts: impl Iterator<Item = &'a str>) {
    assert!(texts.map(str::len).sum::<usize>() <= data.len());
}
