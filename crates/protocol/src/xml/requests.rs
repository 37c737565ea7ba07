//! The XML bodies that requests carry. Elements that are not known are skipped,
//! as both services do, except where they would ask for something.

use super::reader::{Source, XmlError};
use crate::date;

/// Most bytes of a [`CreateBucket`] body.
pub const CREATE_BUCKET_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a [`DeleteObjects`] body: 1000 keys of 1024 bytes, with room
/// for markup and references.
pub const DELETE_OBJECTS_BYTES_MAX: usize = 4 << 20;
/// Most bytes of a [`CompleteUpload`] body: 10,000 parts, each with an ETag and
/// a checksum.
pub const COMPLETE_UPLOAD_BYTES_MAX: usize = 4 << 20;

/// Most keys of a multi-delete; both services.
const DELETE_ENTRIES_MAX: usize = 1000;
/// Most parts of an upload; both services.
const PARTS_MAX: usize = 10_000;

/// `CreateBucketConfiguration`. An absent element is `None`, an empty one too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateBucket {
    pub location_constraint: Option<String>,
    /// COS: `MAZ` or `OAZ`.
    pub az_config: Option<String>,
    /// COS: `OFS` for buckets with real directories.
    pub arch_config: Option<String>,
    /// COS: class of objects that name none.
    pub storage_class: Option<String>,
    /// The first element that is none of these. It asks for something, S3's
    /// directory buckets for instance, that must not be ignored.
    pub unknown: Option<String>,
}

/// Reads a bucket's configuration; no body at all asks for the defaults.
pub fn parse_create_bucket(body: &[u8]) -> Result<CreateBucket, XmlError> {
    let mut source = match Source::root(body, CREATE_BUCKET_BYTES_MAX, "CreateBucketConfiguration")
    {
        Ok(source) => source,
        Err(XmlError::Empty) => return Ok(CreateBucket::default()),
        Err(error) => return Err(error),
    };
    let mut wanted = CreateBucket::default();
    while let Some(name) = source.child()? {
        let field = match name.as_str() {
            "LocationConstraint" => &mut wanted.location_constraint,
            "BucketAZConfig" => &mut wanted.az_config,
            "BucketArchConfig" => &mut wanted.arch_config,
            "BucketStorageClass" => &mut wanted.storage_class,
            _ => {
                source.skip()?;
                wanted.unknown.get_or_insert(name);
                continue;
            }
        };
        let text = source.text()?;
        let text = text.trim();
        if !text.is_empty() {
            once(field, text.to_owned())?;
        }
    }
    source.finish()?;
    Ok(wanted)
}

/// `Delete`: what a multi-delete is to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteObjects {
    /// Answer with failures only.
    pub quiet: bool,
    /// At least one, at most 1000.
    pub objects: Vec<DeleteEntry>,
}

/// One object of a multi-delete, with S3's conditions on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteEntry {
    /// Literally as sent: no character is trimmed or normalised.
    pub key: String,
    pub version_id: Option<String>,
    /// Delete only if the ETag is this (`*`: any).
    pub etag: Option<String>,
    /// Delete only if last modified in this second, in ms since 1970.
    pub last_modified_ms: Option<u64>,
    /// Delete only if the object has this many bytes.
    pub size: Option<u64>,
}

pub fn parse_delete_objects(body: &[u8]) -> Result<DeleteObjects, XmlError> {
    let mut source = Source::root(body, DELETE_OBJECTS_BYTES_MAX, "Delete")?;
    let mut quiet = None;
    let mut objects = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Quiet" => once(&mut quiet, boolean(&source.text()?)?)?,
            "Object" if objects.len() == DELETE_ENTRIES_MAX => {
                return Err(XmlError::TooMany { max: DELETE_ENTRIES_MAX });
            }
            "Object" => objects.push(delete_entry(&mut source)?),
            _ => source.skip()?,
        }
    }
    source.finish()?;
    if objects.is_empty() {
        return Err(XmlError::Malformed("no Object"));
    }
    Ok(DeleteObjects { quiet: quiet.unwrap_or(false), objects })
}

fn delete_entry(source: &mut Source<'_>) -> Result<DeleteEntry, XmlError> {
    let mut key = None;
    let mut entry = DeleteEntry::default();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Key" => once(&mut key, source.text()?)?,
            "VersionId" => {
                let text = source.text()?;
                // COS lists an empty id for objects of unversioned buckets, and
                // clients send it back.
                if !text.trim().is_empty() {
                    once(&mut entry.version_id, text.trim().to_owned())?;
                }
            }
            "ETag" => once(&mut entry.etag, source.text()?.trim().to_owned())?,
            "LastModifiedTime" => {
                let text = source.text()?;
                let time = date::parse_http(&text).or_else(|| date::parse_iso(&text));
                let time = time.ok_or(XmlError::Malformed("LastModifiedTime is not a date"))?;
                once(&mut entry.last_modified_ms, time)?;
            }
            "Size" => once(&mut entry.size, number(&source.text()?)?)?,
            _ => source.skip()?,
        }
    }
    entry.key = key.filter(|key| !key.is_empty()).ok_or(XmlError::Malformed("no Key"))?;
    Ok(entry)
}

/// `CompleteMultipartUpload`: the parts that make the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompleteUpload {
    /// At least one, at most 10,000, in the order sent.
    pub parts: Vec<CompletedPart>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletedPart {
    pub number: u64,
    /// Without its quotes.
    pub etag: String,
    /// Checksums by what follows `Checksum` in the element's name (`CRC32C`,
    /// `SHA256`, …), in base64 as sent.
    pub checksums: Vec<(String, String)>,
}

pub fn parse_complete_upload(body: &[u8]) -> Result<CompleteUpload, XmlError> {
    let mut source = Source::root(body, COMPLETE_UPLOAD_BYTES_MAX, "CompleteMultipartUpload")?;
    let mut parts = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Part" if parts.len() == PARTS_MAX => {
                return Err(XmlError::TooMany { max: PARTS_MAX });
            }
            "Part" => parts.push(completed_part(&mut source)?),
            _ => source.skip()?,
        }
    }
    source.finish()?;
    if parts.is_empty() {
        return Err(XmlError::Malformed("no Part"));
    }
    Ok(CompleteUpload { parts })
}

fn completed_part(source: &mut Source<'_>) -> Result<CompletedPart, XmlError> {
    let mut part_number = None;
    let mut etag = None;
    let mut checksums: Vec<(String, String)> = Vec::new();
    while let Some(name) = source.child()? {
        match (name.as_str(), name.strip_prefix("Checksum")) {
            ("PartNumber", _) => once(&mut part_number, number(&source.text()?)?)?,
            ("ETag", _) => {
                let text = source.text()?;
                once(&mut etag, text.trim().trim_matches('"').to_owned())?;
            }
            (_, Some(algorithm)) => {
                if checksums.iter().any(|(known, _)| known == algorithm) {
                    return Err(DUPLICATE);
                }
                checksums.push((algorithm.to_owned(), source.text()?.trim().to_owned()));
            }
            _ => source.skip()?,
        }
    }
    Ok(CompletedPart {
        number: part_number.ok_or(XmlError::Malformed("no PartNumber"))?,
        etag: etag.ok_or(XmlError::Malformed("no ETag"))?,
        checksums,
    })
}

const DUPLICATE: XmlError = XmlError::Malformed("an element is there twice");

/// Which of two values counts would be a guess.
pub(super) fn once<T>(field: &mut Option<T>, value: T) -> Result<(), XmlError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(DUPLICATE),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        "1" => Ok(true),
        "0" => Ok(false),
        word if word.eq_ignore_ascii_case("true") => Ok(true),
        word if word.is_empty() || word.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(XmlError::Malformed("neither true nor false")),
    }
}

pub(super) fn number(text: &str) -> Result<u64, XmlError> {
    let text = text.trim();
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(XmlError::Malformed("not a number"));
    }
    text.parse().map_err(|_| XmlError::Malformed("not a number"))
}

#[cfg(test)]
mod tests;
