use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::names::ObjectKey;
use costrel_core::object::{DeleteOutcome, DeleteRequest};
use costrel_core::precondition::{EtagCondition, WriteConditions};
use costrel_core::version::VersionRef;
use futures_util::{StreamExt, stream};
use http::StatusCode;

use super::{lock, upload};
use crate::attributes::{refuse_unsupported, set_version};
use crate::date;
use crate::dialect::{self, Dialect};
use crate::error;
use crate::gateway::{Gateway, RequestBody};
use crate::observe::{Deleted, RefusedKeys};
use crate::ops::Operation;
use crate::permission::Need;
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request, bad_header, seconds};
use crate::xml::{DELETE_OBJECTS_BYTES_MAX, DeleteEntry, XmlWriter, parse_delete_objects};

/// Deletions of one request that are under way at once, so that they share the
/// engine's commits.
const CONCURRENT: usize = 64;

pub async fn delete_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    refuse_unsupported(request.dialect, request.headers)?;
    let mut conditions = request.write_conditions()?;
    if request.dialect == Dialect::S3 {
        let name = dialect::s3::IF_MATCH_SIZE;
        if let Some(text) = request.header(&name) {
            let size = text.parse().map_err(|_| bad_header(&name, text, "Not a size."))?;
            conditions.if_match_size = Some(size);
        }
        let name = dialect::s3::IF_MATCH_LAST_MODIFIED_TIME;
        if let Some(text) = request.header(&name) {
            let time = date::parse_http(text).or_else(|| date::parse_iso(text));
            let time = time.ok_or_else(|| bad_header(&name, text, "Not a time."))?;
            conditions.if_match_modified = Some(seconds(time));
        }
    }
    let key = request.key()?;
    let named = request.query.get_any_case("versionId");
    let bypass_governance = lock::bypasses(gateway, request, bucket, key.as_str(), named).await?;
    let delete = DeleteRequest { key, version: request.version()?, conditions, bypass_governance };
    let outcome = gateway.store.delete_object(bucket, &delete).await?;
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    set_version(&mut reply, request.dialect, outcome.version);
    if outcome.delete_marker {
        set(&mut reply, request.dialect.headers().delete_marker.clone(), "true");
    }
    Ok(reply)
}

pub async fn delete_objects(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    refuse_unsupported(request.dialect, request.headers)?;
    let document = upload::document(request, body, DELETE_OBJECTS_BYTES_MAX).await?;
    let asked = parse_delete_objects(&document)?;
    let results: Vec<(DeleteEntry, Outcome<DeleteOutcome>)> = stream::iter(asked.objects)
        .map(|entry| async {
            let result = delete_entry(gateway, request, bucket, &entry).await;
            (entry, result)
        })
        .buffered(CONCURRENT)
        .collect()
        .await;

    note_refusals(gateway, request, &results);
    note_each(gateway, request, &results);
    let mut xml = XmlWriter::new(128 + results.len() * 96);
    xml.root("DeleteResult", request.dialect.xml_namespace(), |xml| {
        for (entry, result) in &results {
            match result {
                Ok(_) if asked.quiet => {}
                Ok(outcome) => xml.element("Deleted", |xml| {
                    xml.text("Key", &entry.key);
                    if let Some(version) = &entry.version_id {
                        xml.text("VersionId", version);
                    }
                    if let Some(marker) = outcome.version.filter(|_| outcome.delete_marker) {
                        xml.boolean("DeleteMarker", true);
                        xml.text("DeleteMarkerVersionId", &marker.to_string());
                    }
                }),
                Err(failure) => {
                    let described =
                        error::describe(failure, request.dialect, gateway.store.now_ms());
                    xml.element("Error", |xml| {
                        xml.text("Key", &entry.key);
                        if let Some(version) = &entry.version_id {
                            xml.text("VersionId", version);
                        }
                        xml.text("Code", described.code.of(request.dialect));
                        xml.text("Message", &described.message);
                    });
                }
            }
        }
    });
    Ok(reply::xml(xml.finish()))
}

/// The answer is a success, whatever becomes of each key.
fn note_refusals(
    gateway: &Gateway,
    request: &Request<'_>,
    results: &[(DeleteEntry, Outcome<DeleteOutcome>)],
) {
    let mut refused = results.iter().filter_map(|(entry, result)| {
        Some((entry, result.as_ref().err().filter(|failure| failure.is_refusal())?))
    });
    let Some((entry, failure)) = refused.next() else { return };
    let described = error::describe(failure, request.dialect, gateway.store.now_ms());
    request.notes.refused_keys(RefusedKeys {
        count: 1 + refused.count() as u64,
        first: entry.key.clone(),
        code: described.code.of(request.dialect),
        why: failure.to_string(),
    });
}

/// For logs that have a line for each.
fn note_each(
    gateway: &Gateway,
    request: &Request<'_>,
    results: &[(DeleteEntry, Outcome<DeleteOutcome>)],
) {
    let note = |(entry, result): &(DeleteEntry, Outcome<DeleteOutcome>)| {
        let (status, code) = match result {
            Ok(_) => (StatusCode::NO_CONTENT, None),
            Err(failure) => {
                let now_ms = gateway.store.now_ms();
                let described = error::describe(failure, request.dialect, now_ms);
                (described.status, Some(described.code.of(request.dialect)))
            }
        };
        let (key, version) = (entry.key.clone(), entry.version_id.clone());
        Deleted { key, version, status: status.as_u16(), code }
    };
    request.notes.deleted(results.iter().map(note).collect());
}

/// Deletes one of many, each of which its caller must be allowed to.
async fn delete_entry(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    entry: &DeleteEntry,
) -> Outcome<DeleteOutcome> {
    let named = entry.version_id.as_deref();
    let need = Need::new(Operation::DeleteObject, Some(&entry.key), named);
    gateway.require(request, bucket, need).await?;
    let bypass_governance = lock::bypasses(gateway, request, bucket, &entry.key, named).await?;
    let version = entry.version_id.as_deref().map(VersionRef::parse);
    let version = version.map(|version| version.ok_or(Error::NoSuchVersion)).transpose()?;
    let conditions = WriteConditions {
        if_match: entry.etag.as_deref().map(EtagCondition::parse),
        if_match_modified: entry.last_modified_ms.map(seconds),
        if_match_size: entry.size,
        ..WriteConditions::default()
    };
    let key = ObjectKey::new(&entry.key)?;
    let delete = DeleteRequest { key, version, conditions, bypass_governance };
    Ok(gateway.store.delete_object(bucket, &delete).await?)
}
