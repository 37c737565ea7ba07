use costrel_core::Error;
use costrel_core::acl::Ownership;
use costrel_core::bucket::{Bucket, InitialSettings};
use costrel_core::names::BucketName;
use costrel_core::tags::Tags;
use http::StatusCode;

use super::upload;
use crate::acl::{self, Subject};
use crate::attributes::{OF_ACLS, refuse_unsupported_but, tag_pairs};
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::ops::Operation;
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request, bad_header};
use crate::xml::{CREATE_BUCKET_BYTES_MAX, CreateBucket, XmlError, XmlWriter, parse_create_bucket};

/// Characters of a bucket's name in COS, before the APPID's hyphen.
const COS_BUCKET_NAME_MAX: usize = 50;

pub async fn create(
    gateway: &Gateway,
    request: &Request<'_>,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let own: &[&str] = match request.dialect {
        Dialect::Cos => &["tagging"],
        Dialect::S3 => &["bucket-object-lock-enabled", "object-ownership"],
    };
    let obeyed = [OF_ACLS, own].concat();
    refuse_unsupported_but(request.dialect, request.headers, &obeyed)?;
    let name = BucketName::new(request.bucket_name()?)?;
    if request.dialect == Dialect::Cos {
        check_cos_name(&name, request.appid())?;
    }
    let document = upload::document(request, body, CREATE_BUCKET_BYTES_MAX).await?;
    let asked = match parse_create_bucket(&document) {
        Ok(asked) => asked,
        Err(XmlError::Empty) => CreateBucket::default(),
        Err(error) => return Err(error.into()),
    };
    let region = region(request, &asked)?;
    let (owner, mut initial) = (request.owner_uin(), initial_settings(request)?);
    let said = acl::of_headers(request, Subject::Bucket)?;
    let besides = [
        (!said.is_private(owner), Operation::PutBucketAcl),
        (!initial.tags.as_slice().is_empty(), Operation::PutBucketTagging),
        (initial.object_lock, Operation::PutObjectLock),
        (initial.ownership.is_some(), Operation::PutOwnershipControls),
    ];
    let besides = besides.into_iter().filter(|(asked, _)| *asked).map(|(_, operation)| operation);
    for operation in std::iter::once(Operation::CreateBucket).chain(besides) {
        let region = region.as_deref();
        gateway.require_of_account(request, operation, name.as_str(), region, &initial.tags)?;
    }
    initial.acl = gateway.bucket_acl(request.dialect, owner, said).await?;
    let bucket = gateway.store.create_bucket_with(name, owner, region.as_deref(), initial).await?;
    let mut reply = reply::empty(StatusCode::OK);
    if request.dialect == Dialect::S3 {
        set(&mut reply, http::header::LOCATION, &format!("/{}", bucket.name));
    }
    Ok(reply)
}

/// What headers say of the bucket.
fn initial_settings(request: &Request<'_>) -> Outcome<InitialSettings> {
    let mut initial = InitialSettings::default();
    match request.dialect {
        Dialect::Cos => {
            let name = &request.dialect.headers().tagging;
            if let Some(text) = request.header(name) {
                initial.tags = Tags::of_bucket(tag_pairs(name.as_str(), text)?)?;
            }
        }
        Dialect::S3 => {
            let name = dialect::s3::OBJECT_OWNERSHIP;
            if let Some(text) = request.header(&name) {
                let ownership = Ownership::from_name(text);
                let why = "Invalid x-amz-object-ownership header";
                initial.ownership = Some(ownership.ok_or_else(|| bad_header(&name, text, why))?);
            }
            let name = dialect::s3::BUCKET_OBJECT_LOCK_ENABLED;
            if let Some(text) = request.header(&name) {
                initial.object_lock = match text {
                    _ if text.eq_ignore_ascii_case("true") => true,
                    _ if text.eq_ignore_ascii_case("false") => false,
                    _ => return Err(bad_header(&name, text, "The value must be true or false.")),
                };
            }
        }
    }
    Ok(initial)
}

/// COS's own rules, about what stands before the APPID.
fn check_cos_name(name: &BucketName, appid: u64) -> Outcome<()> {
    let invalid = |why| Err(Error::InvalidBucketName(why).into());
    let Some((chosen, _)) = name.as_str().rsplit_once('-').filter(|_| name.appid() == Some(appid))
    else {
        return invalid("must end with a hyphen and your APPID");
    };
    if chosen.contains('.') {
        return invalid("only lower-case letters, digits and hyphens are allowed");
    }
    if chosen.ends_with('-') {
        return invalid("must not end with a hyphen before that of the APPID");
    }
    match chosen.len() > COS_BUCKET_NAME_MAX {
        true => Err(Error::BucketNameTooLong { max: COS_BUCKET_NAME_MAX }.into()),
        false => Ok(()),
    }
}

/// Where the bucket is said to be: by its document, by the host it was asked
/// for, or here. One installation stands for any region, so that programs that
/// use several find them.
fn region(request: &Request<'_>, asked: &CreateBucket) -> Outcome<Option<String>> {
    if asked.az_config.as_deref().is_some_and(|az| az.eq_ignore_ascii_case("MAZ")) {
        return Err(Failure::NotImplemented("BucketAZConfig MAZ".into()));
    }
    if asked.arch_config.as_deref().is_some_and(|arch| arch.eq_ignore_ascii_case("OFS")) {
        return Err(Failure::NotImplemented("BucketArchConfig OFS".into()));
    }
    if asked.storage_class.as_deref().is_some_and(|class| !class.is_empty() && class != "STANDARD")
    {
        return Err(Failure::NotImplemented("BucketStorageClass".into()));
    }
    if let Some(unknown) = &asked.unknown {
        return Err(Failure::NotImplemented(unknown.clone().into()));
    }
    let named = asked.location_constraint.clone().filter(|region| !region.is_empty());
    match named.or(request.address.region.clone()) {
        Some(region) if is_region(&region) => Ok(Some(region)),
        Some(region) => Err(Failure::InvalidArgument {
            name: "LocationConstraint".into(),
            value: region,
            why: "The specified location-constraint is not valid",
        }),
        None => Ok(None),
    }
}

fn is_region(region: &str) -> bool {
    region.len() <= 64
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub fn head(request: &Request<'_>, bucket: &Bucket) -> Reply {
    let mut reply = reply::empty(StatusCode::OK);
    set(&mut reply, request.dialect.headers().bucket_region.clone(), &bucket.region);
    reply
}

pub async fn delete(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    match request.dialect {
        // AWS does not ask for uploads, so its clients do not look for any when they
        // empty a bucket.
        Dialect::S3 => gateway.store.delete_bucket_and_uploads(bucket).await?,
        Dialect::Cos => gateway.store.delete_bucket(bucket).await?,
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub fn location(request: &Request<'_>, bucket: &Bucket) -> Reply {
    let region = match (request.dialect, bucket.region.as_str()) {
        // AWS's first region has no name here.
        (Dialect::S3, "us-east-1") => "",
        (_, region) => region,
    };
    let mut xml = XmlWriter::new(256);
    match request.dialect.xml_namespace() {
        Some(uri) => xml.text_with("LocationConstraint", &[("xmlns", uri)], region),
        None => xml.text("LocationConstraint", region),
    }
    reply::xml(xml.finish())
}
