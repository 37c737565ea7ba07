//! Form uploads. The signature is among the form's fields, so authentication
//! waits for them; nothing is looked up before it has succeeded.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::account::AccessKey;
use costrel_core::body::BodySource;
use costrel_core::checksum::Expected;
use costrel_core::events::Occasion;
use costrel_core::object::{Attributes, PutOutcome, PutRequest};
use costrel_core::precondition::WriteConditions;
use costrel_core::tags::Tags;
use costrel_core::{BodyError, Error, limits};
use costrel_signature::policy::{Policy, PolicyDialect, Submission};
use costrel_signature::{PostForm, detect_post, parse_post};
use http::{StatusCode, header};

use super::{lifecycle, multipart::location};
use crate::acl;
use crate::attributes::{
    self, OF_NEW_OBJECTS, checksum_header, parse_checksum, storage_class, supported,
};
use crate::body::Incoming;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::form::{self, FormError, FormEvent, FormFields, FormParser};
use crate::gateway::Gateway;
use crate::ops::{OpRow, Operation};
use crate::percent;
use crate::permission::Need;
use crate::reply::{self, Reply, set, set_etag, set_number};
use crate::request::{Outcome, Request, new_object_key};
use crate::xml::{XmlWriter, parse_tagging};

impl From<FormError> for Failure {
    fn from(error: FormError) -> Failure {
        match error {
            FormError::ContentType => Failure::MalformedForm("content type"),
            FormError::Malformed(what) => Failure::MalformedForm(what),
            FormError::FieldsTooLarge | FormError::TooManyFields => Failure::FormTooLarge,
            FormError::Duplicate(name) => Failure::InvalidArgument {
                name: name.into(),
                value: String::new(),
                why: "The field is there more than once.",
            },
            FormError::NoFile | FormError::SecondFile => Failure::FileCount,
            // The body came as long as it was declared; a connection that broke
            // is told apart before this.
            FormError::Incomplete => Failure::MalformedForm("incomplete"),
        }
    }
}

/// `dialect`, `signer` and `key_id` are corrected as soon as the form's signature tells
/// them, the last though it be wrong.
pub async fn post_object(
    gateway: &Arc<Gateway>,
    mut request: Request<'_>,
    row: &'static OpRow,
    incoming: &mut Incoming,
    (dialect, signer, key_id): (&mut Dialect, &mut Option<Arc<AccessKey>>, &mut Option<String>),
) -> Outcome<Reply> {
    let content_type = request.header(&header::CONTENT_TYPE).unwrap_or_default();
    let mut source = FileSource {
        parser: Some(FormParser::new(&form::boundary(content_type)?)),
        incoming,
        ready: VecDeque::new(),
        ended: false,
        received: 0,
        range: (0, limits::PUT_BYTES_MAX),
    };
    let form = source.fields().await?;
    let fields: Vec<(String, String)> =
        form.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    match detect_post(&fields) {
        PostForm::Cos => *dialect = Dialect::Cos,
        PostForm::S3V4 | PostForm::S3V2 => *dialect = Dialect::S3,
        // A policy that nobody signed is nobody's.
        PostForm::Anonymous if form.get("policy").is_some() => return Err(Failure::Anonymous),
        PostForm::Anonymous => {}
    }
    request.dialect = *dialect;

    let now_ms = gateway.store.now_ms();
    let presented = match detect_post(&fields) {
        PostForm::Anonymous => None,
        _ => {
            let authenticator = &gateway.authenticator;
            let authenticated = authenticator.authenticate_post(&fields, now_ms).await;
            let (key, presented) = authenticated.inspect_err(|_| {
                let named = parse_post(&fields).ok().flatten();
                *key_id = named.map(|named| named.access_key_id.to_owned());
            })?;
            *key_id = Some(key.id.clone());
            *signer = Some(key.clone());
            request.identify(key);
            Some(presented)
        }
    };
    let permitted = gateway.permitted_bucket(&request, row, request.bucket_name()?).await?;
    let bucket = permitted.bucket;
    let named = form.get("key").ok_or(Failure::InvalidArgument {
        name: "key".into(),
        value: String::new(),
        why: "Bucket POST must contain a field named 'key'. If it is specified, please check the \
              order of the fields.",
    })?;
    let object = form.substitute_file_name(named);
    if let Some(presented) = presented {
        let policy = Policy::parse(&presented.policy_json)?;
        let submission = Submission {
            dialect: match request.dialect {
                Dialect::Cos => PolicyDialect::Cos,
                Dialect::S3 => PolicyDialect::S3,
            },
            bucket: bucket.name.as_str(),
            key: &object,
            fields: &fields,
        };
        policy.check(&submission, (now_ms / 1000) as i64)?;
        let (min, max) = policy.length_range();
        source.range = (min, max.min(limits::PUT_BYTES_MAX));
    }

    let mut put = put_request(&request, &fields, &object)?;
    let need = Need::new(Operation::PostObject, Some(&object), None).with_fields(&fields);
    let need = need.with_tags(&put.attributes.tags);
    gateway.require(&request, &bucket, need).await?;
    gateway.require_besides(&request, &bucket, need).await?;
    let said = acl::of_fields(request.dialect, &fields)?;
    put.attributes.acl = gateway.object_acl(request.dialect, &bucket, said).await?;
    let limit = form.get(dialect::cos::TRAFFIC_LIMIT.as_str());
    source.incoming.slow_to(request.speed(limit)?);
    let key = put.key.clone();
    let work = Box::pin(gateway.store.put_object(&bucket, put, &mut source));
    let outcome = match request.occasion(gateway.store.event_lanes()) {
        None => work.await?,
        Some(occasion) => Occasion { is_form: true, ..occasion }.around(work).await?,
    };
    let mut reply = answer(&request, &form, bucket.name.as_str(), &object, &outcome)?;
    let facts = (outcome.size, outcome.modified_ms, &outcome.tags);
    lifecycle::set_expiration(gateway, &mut reply, &request, &bucket, &key, facts).await;
    Ok(reply)
}

fn put_request(
    request: &Request<'_>,
    fields: &[(String, String)],
    key: &str,
) -> Outcome<PutRequest> {
    let names = request.dialect.headers();
    let mut attributes = Attributes::default();
    let mut expected = Expected::default();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        let behind_prefix = name.strip_prefix(names.prefix).unwrap_or(&name);
        let is_metadata = name.starts_with(names.meta_prefix);
        // A document in S3's own field, pairs in either dialect's header.
        let is_tagging = name == "tagging";
        if name == "tagging" && request.dialect == Dialect::S3 {
            attributes.tags = Tags::of_object(parse_tagging(value.as_bytes())?)?;
        } else if name == names.tagging.as_str() {
            attributes.tags = attributes::parse_tags(&name, value)?;
        }
        let is_obeyed = (name.starts_with(names.prefix) || name == "acl")
            && OF_NEW_OBJECTS.contains(&behind_prefix);
        if !is_metadata
            && !is_tagging
            && !is_obeyed
            && !supported(request.dialect, behind_prefix, value)
        {
            return Err(Failure::NotImplemented(name.into()));
        }
        if name == names.storage_class.as_str() {
            attributes.storage_class = storage_class(Some(value))?;
        }
        for algorithm in costrel_core::checksum::Algorithm::ALL {
            if request.dialect == Dialect::S3 && name == checksum_header(algorithm).as_str() {
                let value = parse_checksum(algorithm, value)
                    .ok_or(Failure::InvalidRequest("Value for x-amz-checksum field is invalid."))?;
                expected.checksums.push((algorithm, value));
            }
        }
        if name == "content-md5" {
            expected.content_md5 = Some(md5(value)?);
        }
        attributes::put(&mut attributes.metadata, request.dialect, &name, value)?;
    }
    attributes.lock = attributes::lock(request.dialect, |name| {
        let field = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name.as_str()));
        field.map(|(_, value)| value.as_str())
    })?;
    Ok(PutRequest {
        key: new_object_key(request.dialect, key)?,
        attributes,
        conditions: WriteConditions::default(),
        checksums: Vec::new(),
        expected,
        size: None,
    })
}

fn md5(text: &str) -> Outcome<[u8; 16]> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim());
    decoded.ok().and_then(|d| d.try_into().ok()).ok_or(Failure::InvalidDigest)
}

fn answer(
    request: &Request<'_>,
    form: &FormFields,
    bucket: &str,
    key: &str,
    outcome: &PutOutcome,
) -> Outcome<Reply> {
    let location = location(request, key);
    let redirect = form.get("success_action_redirect").or_else(|| form.get("redirect"));
    let mut reply = match redirect.and_then(|url| redirected(url, bucket, key, &outcome.etag)) {
        Some(url) => {
            let mut reply = reply::empty(StatusCode::SEE_OTHER);
            set(&mut reply, header::LOCATION, &url);
            reply
        }
        None => {
            let mut reply = match form.get("success_action_status") {
                Some("200") => reply::empty(StatusCode::OK),
                Some("201") => {
                    let mut xml = XmlWriter::new(512);
                    xml.root("PostResponse", None, |xml| {
                        xml.text("Location", &location);
                        xml.text("Bucket", bucket);
                        xml.text("Key", key);
                        xml.etag(&outcome.etag);
                    });
                    let mut reply = reply::xml(xml.finish());
                    *reply.status_mut() = StatusCode::CREATED;
                    reply
                }
                _ => reply::empty(StatusCode::NO_CONTENT),
            };
            set(&mut reply, header::LOCATION, &location);
            reply
        }
    };
    set_etag(&mut reply, &outcome.etag);
    let version = attributes::written_version(request.dialect, outcome.version);
    attributes::set_version(&mut reply, request.dialect, version);
    if request.dialect == Dialect::Cos {
        set_number(&mut reply, dialect::cos::HASH_CRC64ECMA, outcome.crc64);
    }
    Ok(reply)
}

/// The redirect's target with what was stored; a text that is no URL is ignored,
/// as both services do.
fn redirected(url: &str, bucket: &str, key: &str, etag: &str) -> Option<String> {
    let parsed: http::Uri = url.parse().ok()?;
    parsed.authority()?;
    let mut target = url.to_owned();
    target.push(if parsed.query().is_some() { '&' } else { '?' });
    target.push_str("bucket=");
    percent::encode_into(&mut target, bucket);
    target.push_str("&key=");
    percent::encode_into(&mut target, key);
    target.push_str("&etag=%22");
    percent::encode_into(&mut target, etag);
    target.push_str("%22");
    Some(target)
}

/// The file of a form, after its fields were read.
struct FileSource<'a> {
    incoming: &'a mut Incoming,
    /// Gone once the file is complete.
    parser: Option<FormParser>,
    ready: VecDeque<FormEvent>,
    ended: bool,
    received: u64,
    /// Bytes that the policy allows, inclusive.
    range: (u64, u64),
}

impl FileSource<'_> {
    async fn fields(&mut self) -> Outcome<FormFields> {
        loop {
            match self.event().await? {
                Some(FormEvent::File(fields)) => return Ok(fields),
                Some(_) => {}
                None => return Err(Failure::FileCount),
            }
        }
    }

    async fn event(&mut self) -> Outcome<Option<FormEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            let piece = self.incoming.next().await.map_err(Error::Body)?;
            match (piece, &mut self.parser) {
                // What follows the file means nothing, but is read.
                (Some(_), None) => {}
                (Some(piece), Some(parser)) => {
                    let mut events = Vec::new();
                    parser.feed(piece, &mut events)?;
                    if parser.is_done() {
                        self.parser = None;
                    }
                    self.ready.extend(events);
                }
                (None, parser) => {
                    self.ended = true;
                    if let Some(parser) = parser.take() {
                        parser.finish()?;
                    }
                }
            }
        }
    }
}

#[async_trait]
impl BodySource for FileSource<'_> {
    async fn next(&mut self) -> costrel_core::Result<Option<Bytes>> {
        let (min, max) = self.range;
        loop {
            let event = self.event().await.map_err(|failure| match failure {
                Failure::Core(error) => error,
                Failure::FileCount => BodyError::SecondFile.into(),
                _ => BodyError::MalformedForm.into(),
            })?;
            match event {
                Some(FormEvent::Data(data)) => {
                    self.received += data.len() as u64;
                    if self.received > max {
                        return Err(BodyError::TooLarge { max }.into());
                    }
                    return Ok(Some(data));
                }
                Some(_) => {}
                None if self.received < min => return Err(BodyError::TooSmall { min }.into()),
                None => return Ok(None),
            }
        }
    }

    fn is_slowed(&self) -> bool {
        self.incoming.is_slowed()
    }
}
