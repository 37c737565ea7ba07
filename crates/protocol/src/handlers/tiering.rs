//! A bucket's intelligent tiering, as COS has it configured.

use costrel_core::bucket::Bucket;
use costrel_core::tiering::DAYS_DEFAULT;
use http::StatusCode;

use super::upload;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, XmlWriter, parse_tiering};

/// Where nobody has said anything the answer is empty, as COS's is.
pub fn get(request: &Request<'_>, bucket: &Bucket) -> Reply {
    let said = bucket.settings().tiering.filter(|tiering| !tiering.implied);
    let mut xml = XmlWriter::new(256);
    xml.root("IntelligentTieringConfiguration", request.dialect.xml_namespace(), |xml| {
        if let Some(tiering) = said {
            xml.text("Status", "Enabled");
            xml.element("Transition", |xml| {
                xml.number("Days", tiering.days.into());
                xml.number("RequestFrequent", 1);
            });
        }
    });
    reply::xml(xml.finish())
}

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let days = parse_tiering(&document)?.unwrap_or(DAYS_DEFAULT);
    gateway.store.set_tiering(bucket, days).await?;
    Ok(reply::empty(StatusCode::OK))
}
