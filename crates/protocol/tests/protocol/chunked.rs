//! aws-chunked bodies: signed, signed with trailers, unsigned with trailers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_core::checksum::{Algorithm, Digester};
use costrel_protocol::dialect::Dialect;
use costrel_signature::sign::{self, Outgoing};

use crate::client::{Answer, endpoint, exchange, get, raw_head};
use crate::world::{BUCKET, REGION, World};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Signed,
    SignedTrailer,
    UnsignedTrailer,
}

/// What is made wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    /// A byte of the second chunk's data.
    Data,
    ChunkSignature,
    LastSignature,
    Order,
    TrailerValue,
    TrailerSignature,
    TrailerMissing,
    TrailerUnknown,
    TrailerMalformed,
    /// The body ends within a chunk; its length in HTTP agrees.
    Truncated,
    LongerThanDeclared,
    ShorterThanDeclared,
    ChunkSize,
    NoDeclaredLength,
}

fn crc32(bytes: &[u8]) -> String {
    let mut digester = Digester::new([Algorithm::Crc32]);
    digester.update(bytes);
    BASE64.encode(&digester.finish().others[0].1)
}

async fn send(world: &World, kind: Kind, wrong: Wrong, chunks: &[&[u8]]) -> Answer {
    let path = format!("/{BUCKET}/key");
    let host = endpoint(Dialect::S3);
    let whole = chunks.concat();
    let declared = match wrong {
        Wrong::LongerThanDeclared => whole.len() - 1,
        Wrong::ShorterThanDeclared => whole.len() + 1,
        _ => whole.len(),
    };
    let declared = declared.to_string();
    let mut headers = vec![("content-encoding", "gzip,aws-chunked")];
    if wrong != Wrong::NoDeclaredLength {
        headers.push(("x-amz-decoded-content-length", declared.as_str()));
    }
    let has_trailer = kind != Kind::Signed;
    if has_trailer {
        headers.push(("x-amz-trailer", "x-amz-checksum-crc32"));
    }
    let request = Outgoing {
        method: "PUT",
        host,
        bucket_in_host: None,
        path: &path,
        query: &[],
        headers: &headers,
    };
    let now = world.now();
    let (added, mut signer) = match kind {
        Kind::UnsignedTrailer => {
            let payload = costrel_signature::Payload::UnsignedChunks;
            let (_, unused) = sign::v4_chunked(&world.identity, &request, REGION, true, now);
            (sign::v4_header(&world.identity, &request, REGION, payload, now), unused)
        }
        _ => sign::v4_chunked(&world.identity, &request, REGION, has_trailer, now),
    };
    let signed = kind != Kind::UnsignedTrailer;
    let mut framed: Vec<Vec<u8>> = Vec::new();
    for (at, chunk) in chunks.iter().chain(&[&b""[..]]).enumerate() {
        let is_last = chunk.is_empty();
        let mut line = match wrong {
            Wrong::ChunkSize if at == 1 => "xyz".to_owned(),
            _ => format!("{:x}", chunk.len()),
        };
        if signed {
            let mut signature = String::from_utf8(signer.chunk_of(chunk).to_vec()).unwrap();
            let spoilt = (wrong == Wrong::ChunkSignature && at == 1)
                || (wrong == Wrong::LastSignature && is_last);
            if spoilt {
                signature = "0".repeat(64);
            }
            line.push_str(&format!(";chunk-signature={signature}"));
        }
        let mut bytes = line.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        if !is_last {
            let mut data = chunk.to_vec();
            if wrong == Wrong::Data && at == 1 {
                data[0] ^= 1;
            }
            bytes.extend_from_slice(&data);
            bytes.extend_from_slice(b"\r\n");
        }
        framed.push(bytes);
    }
    if wrong == Wrong::Order {
        framed.swap(0, 1);
    }
    let mut body = framed.concat();
    if has_trailer {
        let mut line = format!("x-amz-checksum-crc32:{}", crc32(&whole));
        match wrong {
            Wrong::TrailerValue => line = format!("x-amz-checksum-crc32:{}", crc32(b"else")),
            Wrong::TrailerMissing => line.clear(),
            Wrong::TrailerUnknown => {
                line = "x-amz-checksum-sha1:qvTGHdzF6KLavt4PO0gs2a6pQ00=".into()
            }
            Wrong::TrailerMalformed => line = "x-amz-checksum-crc32:?".into(),
            _ => {}
        }
        let canonical = if line.is_empty() { String::new() } else { format!("{line}\n") };
        let mut signature =
            String::from_utf8(signer.trailer(canonical.as_bytes()).to_vec()).unwrap();
        if wrong == Wrong::TrailerSignature {
            signature = "0".repeat(64);
        }
        if !line.is_empty() {
            body.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
        if signed {
            body.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
    }
    body.extend_from_slice(b"\r\n");
    if wrong == Wrong::Truncated {
        body.truncate(framed[0].len() + framed[1].len() / 2);
    }
    let length = body.len().to_string();
    let mut all: Vec<(&str, &str)> = headers.clone();
    all.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    all.push(("content-length", &length));
    let mut bytes = raw_head("PUT", &request.target(), host, &all);
    bytes.extend_from_slice(&body);
    exchange(world, &bytes, false).await
}

const KINDS: [Kind; 3] = [Kind::Signed, Kind::SignedTrailer, Kind::UnsignedTrailer];

#[tokio::test]
async fn bodies_are_stored_without_their_framing() {
    let world = World::with_bucket().await;
    let big = vec![b'x'; 70_000];
    for kind in KINDS {
        for chunks in [&[][..], &[&b"hello"[..]], &[&big, &big, b"end"]] {
            let answer = send(&world, kind, Wrong::Nothing, chunks).await;
            assert_eq!(answer.status, 200, "{kind:?} {}", answer.dump());
            if kind != Kind::Signed {
                assert_eq!(answer.header("x-amz-checksum-crc32"), Some(&*crc32(&chunks.concat())));
            }
            let read = get(Dialect::S3, &format!("/{BUCKET}/key")).send(&world).await;
            assert!(read.body == chunks.concat(), "{kind:?}");
            // How the body travelled is no property of the object.
            assert_eq!(read.header("Content-Encoding"), Some("gzip"));
        }
    }
}

#[tokio::test]
async fn nothing_wrong_is_stored() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    let chunks: [&[u8]; 3] = [&[b'a'; 9000], &[b'b'; 9000], b"end"];
    let everywhere = [
        (Wrong::Truncated, 400, "IncompleteBody"),
        (Wrong::LongerThanDeclared, 400, "IncompleteBody"),
        (Wrong::ShorterThanDeclared, 400, "IncompleteBody"),
        (Wrong::ChunkSize, 400, "IncompleteBody"),
        (Wrong::NoDeclaredLength, 411, "MissingContentLength"),
    ];
    let signed = [
        (Wrong::Data, 403, "SignatureDoesNotMatch"),
        (Wrong::ChunkSignature, 403, "SignatureDoesNotMatch"),
        (Wrong::LastSignature, 403, "SignatureDoesNotMatch"),
        (Wrong::Order, 403, "SignatureDoesNotMatch"),
    ];
    let trailing = [
        (Wrong::TrailerValue, 400, "BadDigest"),
        (Wrong::TrailerMissing, 400, "MalformedTrailerError"),
        (Wrong::TrailerUnknown, 400, "MalformedTrailerError"),
        (Wrong::TrailerMalformed, 400, "MalformedTrailerError"),
    ];
    for kind in KINDS {
        let mut cases = everywhere.to_vec();
        if kind != Kind::UnsignedTrailer {
            cases.extend(signed);
        }
        if kind != Kind::Signed {
            cases.extend(trailing);
        }
        match kind {
            Kind::SignedTrailer => {
                cases.push((Wrong::TrailerSignature, 403, "SignatureDoesNotMatch"))
            }
            Kind::UnsignedTrailer => cases.push((Wrong::Data, 400, "BadDigest")),
            Kind::Signed => {}
        }
        for (wrong, status, code) in cases {
            let answer = send(&world, kind, wrong, &chunks).await;
            assert_eq!(
                (answer.status, &*answer.code()),
                (status, code),
                "{kind:?} {wrong:?} {}",
                answer.dump()
            );
            assert_eq!(world.stored().await, stored, "{kind:?} {wrong:?}");
        }
    }
    send(&world, Kind::Signed, Wrong::Nothing, &chunks).await.ok();
}
