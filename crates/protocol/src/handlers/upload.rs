//! Bodies that operations take: objects' bytes, and documents.

use bytes::Bytes;
use costrel_core::body::BodySource;
use costrel_core::checksum::{Algorithm, Digester, Expected};
use costrel_signature::Payload;
use http::header;

use crate::attributes::{declared_checksums, named_algorithm};
use crate::body::PayloadSource;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::RequestBody;
use crate::request::{Outcome, Request, bad_header};
use crate::xml::XmlError;

/// A body on its way in and what its request declares about it.
pub struct Upload<'a> {
    pub source: PayloadSource<'a>,
    /// Without framing, if it is known.
    pub size: Option<u64>,
    pub expected: Expected,
    /// Checksums to compute though they are not declared in a header: those of
    /// announced trailers, and the one the SDK says it uses.
    pub announced: Vec<Algorithm>,
}

/// Prepares the body of a put, a part or an append.
pub fn upload<'a>(request: &Request<'_>, body: &'a mut RequestBody<'_>) -> Outcome<Upload<'a>> {
    let expected = expected(request, &body.payload)?;
    let chunks = body.chunks.take();
    let trailers = trailer_names(request, &body.payload);
    let mut announced: Vec<Algorithm> = Vec::new();
    for name in trailers.iter().flatten() {
        let algorithm = name.strip_prefix("x-amz-checksum-").and_then(Algorithm::from_name);
        announced.push(algorithm.ok_or(Failure::InvalidRequest(
            "The value specified in the x-amz-trailer header is not supported",
        ))?);
    }
    if request.dialect == Dialect::S3 {
        announced.extend(named_algorithm(request, &dialect::s3::SDK_CHECKSUM_ALGORITHM)?);
    }
    if matches!(body.payload, Payload::SignedChunks { .. } | Payload::UnsignedChunks) {
        let declared = request
            .header(&dialect::s3::DECODED_CONTENT_LENGTH)
            .ok_or(Failure::MissingContentLength)?;
        let size: u64 = declared.trim().parse().map_err(|_| {
            bad_header(&dialect::s3::DECODED_CONTENT_LENGTH, declared, "Not a length.")
        })?;
        let source = PayloadSource::framed(body.incoming, size, chunks, trailers);
        return Ok(Upload { source, size: Some(size), expected, announced });
    }
    let size = declared_length(request)?;
    Ok(Upload { source: PayloadSource::plain(body.incoming), size, expected, announced })
}

/// A request's `Content-Length`; `None` for a body in HTTP's own chunks.
fn declared_length(request: &Request<'_>) -> Outcome<Option<u64>> {
    match request.header(&header::CONTENT_LENGTH) {
        Some(text) => match text.trim().parse() {
            Ok(length) => Ok(Some(length)),
            Err(_) => Err(bad_header(&header::CONTENT_LENGTH, text, "Not a length.")),
        },
        None if request.headers.contains_key(header::TRANSFER_ENCODING) => Ok(None),
        None => Err(Failure::MissingContentLength),
    }
}

/// The names announced by `x-amz-trailer`, in lower case, for payloads that end
/// with trailers.
fn trailer_names(request: &Request<'_>, payload: &Payload) -> Option<Vec<String>> {
    match payload {
        Payload::SignedChunks { trailer: true } | Payload::UnsignedChunks => {
            let names = request.header(&dialect::s3::TRAILER).unwrap_or_default();
            let names = names.split(',').map(|name| name.trim().to_ascii_lowercase());
            Some(names.filter(|name| !name.is_empty()).collect())
        }
        _ => None,
    }
}

fn expected(request: &Request<'_>, payload: &Payload) -> Outcome<Expected> {
    let mut expected = Expected {
        content_md5: request.content_md5()?,
        content_sha256: match payload {
            Payload::Sha256(hash) => Some(*hash),
            _ => None,
        },
        checksums: declared_checksums(request)?,
        ..Expected::default()
    };
    if request.dialect == Dialect::Cos {
        expected.crc64 = declared_crc64(request)?;
        if let Some(text) = request.header(&dialect::cos::CONTENT_SHA1) {
            let mut sha1 = [0; 20];
            hex::decode_to_slice(text.trim(), &mut sha1).map_err(|_| {
                bad_header(&dialect::cos::CONTENT_SHA1, text, "Not a hexadecimal SHA-1.")
            })?;
            expected.content_sha1 = Some(sha1);
        }
    }
    Ok(expected)
}

/// The CRC-64 that a request of COS declares for an object or a part.
pub fn declared_crc64(request: &Request<'_>) -> Outcome<Option<u64>> {
    let name = dialect::cos::HASH_CRC64ECMA;
    match request.header(&name) {
        Some(text) if request.dialect == Dialect::Cos => {
            let crc64 = text.trim().parse();
            crc64.map(Some).map_err(|_| bad_header(&name, text, "Not a decimal CRC-64."))
        }
        _ => Ok(None),
    }
}

/// The whole body of a request whose body is a document, checked against what
/// the request declares.
pub async fn document(
    request: &Request<'_>,
    body: &mut RequestBody<'_>,
    max: usize,
) -> Outcome<Bytes> {
    let expected = expected(request, &body.payload)?;
    checked_document(request, body, max, expected).await
}

/// Like [`document`] for requests whose checksum headers speak of something else
/// than their own body.
pub async fn undeclared_document(
    request: &Request<'_>,
    body: &mut RequestBody<'_>,
    max: usize,
) -> Outcome<Bytes> {
    let mut expected = expected(request, &body.payload)?;
    expected.checksums.clear();
    expected.crc64 = None;
    checked_document(request, body, max, expected).await
}

async fn checked_document(
    request: &Request<'_>,
    body: &mut RequestBody<'_>,
    max: usize,
    mut expected: Expected,
) -> Outcome<Bytes> {
    let framed = matches!(body.payload, Payload::SignedChunks { .. } | Payload::UnsignedChunks);
    let document = if framed {
        let mut upload = upload(request, body)?;
        if upload.size.is_some_and(|size| size > max as u64) {
            return Err(XmlError::TooLarge { max }.into());
        }
        let mut document = Vec::new();
        while let Some(piece) = upload.source.next().await? {
            document.extend_from_slice(&piece);
        }
        expected.extend(upload.source.trailing_checksums());
        document.into()
    } else {
        body.incoming.collect(max).await?
    };
    let mut digester = Digester::new(expected.algorithms());
    digester.update(&document);
    digester.finish().check(&expected)?;
    Ok(document)
}
