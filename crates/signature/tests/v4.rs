//! SigV4: the examples of the Amazon S3 API reference, and each rule.

mod support;

use costrel_signature::sign::{Identity, Outgoing, v4_chunked, v4_header, v4_presign};
use costrel_signature::{Form, ParseError, Payload, VerifyError};
use support::{Refused, Wire};

const AK: &str = "AKIAIOSFODNN7EXAMPLE";
const SK: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "examplebucket.s3.amazonaws.com";
const STAMP: &str = "20130524T000000Z";
const NOW: i64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn authorization(headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={AK}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={headers},Signature={signature}"
    )
}

fn outgoing<'a>(
    method: &'a str,
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, &'a str)],
) -> Outgoing<'a> {
    Outgoing { method, host: HOST, bucket_in_host: None, path, query, headers }
}

fn empty_hash() -> Payload {
    let mut hash = [0; 32];
    hex::decode_to_slice(EMPTY, &mut hash).unwrap();
    Payload::Sha256(hash)
}

/// A request with the headers our signer adds.
fn sent(request: &Outgoing<'_>, payload: Payload) -> Wire {
    let mut wire = Wire::new(request.method, request.host, &request.target());
    for (name, value) in request.headers {
        wire = wire.header(name, value);
    }
    for (name, value) in v4_header(&Identity::new(AK, SK), request, "us-east-1", payload, NOW) {
        wire = wire.header(name, &value);
    }
    wire
}

#[test]
fn reference_get_object_with_range() {
    let request = Wire::new("GET", HOST, "/test.txt")
        .header("Range", "bytes=0-9")
        .header("x-amz-content-sha256", EMPTY)
        .header("x-amz-date", STAMP)
        .header(
            "Authorization",
            &authorization(
                "host;range;x-amz-content-sha256;x-amz-date",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
        );
    assert_eq!(request.form(), Form::S3V4Header);
    assert_eq!(request.verify(SK, NOW), Ok(empty_hash()));
    request.assert_mismatch("another", NOW);
}

#[test]
fn reference_put_object() {
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    Wire::new("PUT", HOST, "/test%24file.text")
        .header("Date", "Fri, 24 May 2013 00:00:00 GMT")
        .header("x-amz-date", STAMP)
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("x-amz-content-sha256", hash)
        .header(
            "Authorization",
            &authorization(
                "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
        )
        .verify(SK, NOW)
        .unwrap();
}

#[test]
fn reference_get_lifecycle_and_list() {
    for (target, signature) in [
        ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        (
            "/?prefix=J&max-keys=2",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        Wire::new("GET", HOST, target)
            .header("x-amz-date", STAMP)
            .header("x-amz-content-sha256", EMPTY)
            .header(
                "Authorization",
                &authorization("host;x-amz-content-sha256;x-amz-date", signature),
            )
            .verify(SK, NOW)
            .unwrap();
    }
}

const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

#[test]
fn reference_presigned_url() {
    let request = Wire::new("GET", HOST, PRESIGNED);
    assert_eq!(request.form(), Form::S3V4Query);
    for now in [NOW - 900, NOW, NOW + 86_400] {
        assert_eq!(request.verify(SK, now), Ok(Payload::Unsigned));
    }
    let expired_at = NOW + 86_400;
    let expired =
        VerifyError::Expired { expired_at, now: expired_at + 1, lifetime_s: Some(86_400) };
    assert_eq!(request.verify(SK, expired_at + 1), Err(Refused::Verify(expired)));
    let early = VerifyError::NotYetValid { valid_from: NOW, now: NOW - 901 };
    assert_eq!(request.verify(SK, NOW - 901), Err(Refused::Verify(early)));

    let made = v4_presign(
        &Identity::new(AK, SK),
        &outgoing("GET", "/test.txt", &[], &[]),
        "us-east-1",
        86_400,
        NOW,
    );
    assert_eq!(made, PRESIGNED);
}

/// The chunked examples: 65 KiB of `a` in a chunk of 64 KiB and one of 1 KiB.
fn chunked(payload: &str, headers: &str, seed: &str) -> Wire {
    Wire::new("PUT", "s3.amazonaws.com", "/examplebucket/chunkObject.txt")
        .header("x-amz-date", STAMP)
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("x-amz-content-sha256", payload)
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", "66560")
        .header("Authorization", &authorization(headers, seed))
}

#[test]
fn reference_chunked_upload() {
    let request = chunked(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
         x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )
    .header("Content-Length", "66824");
    let verified = request.full(SK, NOW).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(verified.payload, Payload::SignedChunks { trailer: false });
    let mut chunks = verified.chunks.unwrap();
    let signatures = [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ];
    // Out of order, changed, or signed by nobody: refused.
    assert!(chunks.clone().chunk_of(&[b'a'; 1024], signatures[1]).is_err());
    assert!(chunks.clone().chunk_of(&[b'b'; 65_536], signatures[0]).is_err());
    assert!(chunks.clone().chunk_of(&[b'a'; 65_536], "").is_err());
    chunks.chunk_of(&[b'a'; 65_536], signatures[0]).unwrap();
    chunks.chunk_of(&[b'a'; 1024], signatures[1]).unwrap();
    chunks.chunk_of(b"", signatures[2]).unwrap();
}

#[test]
fn reference_chunked_upload_with_trailer() {
    let request = chunked(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "content-encoding;host;x-amz-content-sha256;x-amz-date;\
         x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    )
    .header("x-amz-trailer", "x-amz-checksum-crc32c");
    let verified = request.full(SK, NOW).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(verified.payload, Payload::SignedChunks { trailer: true });
    let mut chunks = verified.chunks.unwrap();
    for (data, signature) in [
        (&[b'a'; 65_536][..], "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
        (&[b'a'; 1024][..], "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
        (b"", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
    ] {
        chunks.chunk_of(data, signature).unwrap();
    }
    let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    assert!(chunks.clone().trailer(b"x-amz-checksum-crc32c:AAAAAA==\n", signature).is_err());
    chunks.trailer(b"x-amz-checksum-crc32c:sOO8/Q==\n", signature).unwrap();
}

#[test]
fn what_the_chunk_signer_makes_the_verifier_takes() {
    let headers = [("x-amz-trailer", "x-amz-checksum-crc32"), ("content-encoding", "aws-chunked")];
    let request = outgoing("PUT", "/k", &[], &headers);
    let (added, mut signer) = v4_chunked(&Identity::new(AK, SK), &request, "r", true, NOW);
    let mut wire = Wire::new("PUT", HOST, "/k");
    for (name, value) in headers {
        wire = wire.header(name, value);
    }
    for (name, value) in added {
        wire = wire.header(name, &value);
    }
    let mut verifier = wire.full(SK, NOW).unwrap_or_else(|why| panic!("{why:?}")).chunks.unwrap();
    let text = |signature: [u8; 64]| String::from_utf8(signature.to_vec()).unwrap();
    for data in [&b"one"[..], b"two", b""] {
        verifier.chunk_of(data, &text(signer.chunk_of(data))).unwrap();
    }
    let trailer = b"x-amz-checksum-crc32:AAAAAA==\n";
    verifier.trailer(trailer, &text(signer.trailer(trailer))).unwrap();
}

#[test]
fn payload_keywords() {
    for payload in [
        Payload::Unsigned,
        Payload::Sha256([7; 32]),
        Payload::SignedChunks { trailer: false },
        Payload::SignedChunks { trailer: true },
        Payload::UnsignedChunks,
    ] {
        let verified = sent(&outgoing("PUT", "/k", &[], &[]), payload).full(SK, NOW);
        let verified = verified.unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(verified.payload, payload);
        let signed = matches!(payload, Payload::SignedChunks { .. });
        assert_eq!(verified.chunks.is_some(), signed);
    }
    let mut wire = sent(&outgoing("PUT", "/k", &[], &[]), Payload::Unsigned);
    wire.headers[0].1 = "STREAMING-SOMETHING".into();
    let bad = ParseError::BadPayloadHash("STREAMING-SOMETHING".into());
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Parse(bad)));
    wire.headers.remove(0);
    let missing = ParseError::Missing("x-amz-content-sha256");
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Parse(missing)));
}

#[test]
fn a_presigned_url_covers_the_body_only_if_it_says_so() {
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    // An unsigned header changes nothing.
    let wire = Wire::new("GET", HOST, PRESIGNED).header("x-amz-content-sha256", hash);
    assert_eq!(wire.verify(SK, NOW), Ok(Payload::Unsigned));
}

#[test]
fn paths_are_encoded_once_and_not_normalised() {
    for (path, wire_path) in [
        ("/a b+c", "/a%20b%2Bc"),
        ("/a+b", "/a+b"),
        ("//a/./../b//", "//a/./../b//"),
        ("/~x!(y)", "/%7ex%21(y)"),
        ("/腾讯?#%", "/%e8%85%be%E8%AE%AF%3f%23%25"),
        ("/a%2Fb", "/a%252Fb"),
    ] {
        let mut wire = sent(&outgoing("GET", path, &[], &[]), empty_hash());
        wire.verify(SK, NOW).unwrap();
        wire.target = wire_path.into();
        wire.verify(SK, NOW).unwrap_or_else(|why| panic!("{path}: {why:?}"));
    }
}

#[test]
fn parameters_are_sorted_by_name_and_then_value() {
    let query = [("b", "2"), ("a-b", "x"), ("a", "z"), ("b", "1"), ("acl", ""), ("A", " +/")];
    let mut wire = sent(&outgoing("GET", "/", &query, &[]), empty_hash());
    wire.verify(SK, NOW).unwrap();
    wire.target = "/?A=+%2B%2F&acl=&a=z&a-b=x&b=1&b=2".into();
    wire.verify(SK, NOW).unwrap();
    wire.target = "/?A=+%2B%2F&acl=&a=z&a-b=x&b=1&b=1".into();
    wire.assert_mismatch(SK, NOW);
}

#[test]
fn header_blanks_are_folded_and_repeats_joined() {
    let mut wire =
        sent(&outgoing("GET", "/", &[], &[("x-amz-meta-a", "one two,three")]), empty_hash());
    wire.verify(SK, NOW).unwrap();
    wire.headers[0].1 = "  one  \t two ".into();
    wire.headers.insert(1, ("X-Amz-Meta-A".into(), "three".into()));
    wire.verify(SK, NOW).unwrap();
    wire.headers.swap(0, 1);
    wire.assert_mismatch(SK, NOW);
}

#[test]
fn amz_headers_must_be_signed() {
    let wire = sent(&outgoing("PUT", "/k", &[], &[]), empty_hash());
    let refused = wire.clone().header("X-Amz-Acl", "public-read").verify(SK, NOW);
    let unsigned = VerifyError::HeadersNotSigned(vec!["x-amz-acl".into()]);
    assert_eq!(refused, Err(Refused::Verify(unsigned)));
    wire.header("x-amzn-trace-id", "Root=1").header("Content-Type", "a/b").verify(SK, NOW).unwrap();
    // Nor may somebody else's presigned PUT be turned into a copy.
    let refused =
        Wire::new("GET", HOST, PRESIGNED).header("x-amz-copy-source", "/b/k").verify(SK, NOW);
    let unsigned = VerifyError::HeadersNotSigned(vec!["x-amz-copy-source".into()]);
    assert_eq!(refused, Err(Refused::Verify(unsigned)));
}

#[test]
fn the_host_must_be_signed() {
    let wire = Wire::new("GET", HOST, "/")
        .header("x-amz-date", STAMP)
        .header("x-amz-content-sha256", EMPTY)
        .header("Authorization", &authorization("x-amz-content-sha256;x-amz-date", EMPTY));
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Verify(VerifyError::HostNotSigned)));
}

#[test]
fn clocks_may_differ_by_fifteen_minutes() {
    let wire = sent(&outgoing("GET", "/", &[], &[]), empty_hash());
    for now in [NOW - 900, NOW + 900] {
        wire.verify(SK, now).unwrap();
    }
    for now in [NOW - 901, NOW + 901] {
        let skewed = VerifyError::Skewed { request_time: NOW, now, skew_s_max: 900 };
        assert_eq!(wire.verify(SK, now), Err(Refused::Verify(skewed)));
    }
}

#[test]
fn the_date_header_serves_where_there_is_no_amz_date() {
    // Signature by independent computation (Python hmac/hashlib).
    let signature = "3c01d29e0c0ecfa73607a2777dd84be8e48d26086e352908db1fc74d07b967fa";
    let mut wire = Wire::new("GET", HOST, "/")
        .header("x-amz-content-sha256", EMPTY)
        .header("Date", "Fri, 24 May 2013 00:00:00 GMT")
        .header("Authorization", &authorization("date;host;x-amz-content-sha256", signature));
    wire.verify(SK, NOW).unwrap();
    wire.headers[1].1 = "yesterday".into();
    let bad = ParseError::BadTime { item: "x-amz-date", value: "yesterday".into() };
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Parse(bad)));
    wire.headers.remove(1);
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Parse(ParseError::Missing("x-amz-date"))));
}

#[test]
fn any_region_and_only_our_service() {
    let identity = Identity::new(AK, SK);
    let target = v4_presign(&identity, &outgoing("GET", "/", &[], &[]), "auto", 60, NOW);
    let wire = Wire::new("GET", HOST, &target);
    wire.verify(SK, NOW).unwrap();
    let region = wire.view(|view| match costrel_signature::parse(view) {
        Ok(costrel_signature::Presented::V4(v4)) => v4.scope.region.to_owned(),
        other => panic!("{other:?}"),
    });
    assert_eq!(region, "auto");
    let wire = Wire::new("GET", HOST, &PRESIGNED.replace("%2Fs3%2F", "%2Fiam%2F"));
    let wrong = VerifyError::WrongService { expected: "s3", found: "iam".into() };
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Verify(wrong)));
}

#[test]
fn what_is_missing_or_unreadable_in_a_url_is_named() {
    let presigned = |from: &str, to: &str| {
        Wire::new("GET", HOST, &PRESIGNED.replace(from, to)).verify(SK, NOW).unwrap_err()
    };
    for item in [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ] {
        let refused = presigned(item, "gone");
        assert_eq!(refused, Refused::Parse(ParseError::Missing(item)));
    }
    for expires in ["0", "604801", "-1", "x", "99999999999"] {
        let refused = presigned("=86400", &format!("={expires}"));
        assert_eq!(refused, Refused::Parse(ParseError::BadExpires(expires.into())));
    }
    let refused = presigned("HMAC-SHA256", "ECDSA-P256-SHA256");
    let unsupported = ParseError::UnsupportedAlgorithm("AWS4-ECDSA-P256-SHA256".into());
    assert_eq!(refused, Refused::Parse(unsupported));
    for (from, to) in [
        ("aws4_request", "aws5_request"),
        ("20130524%2F", "2013052%2F"),
        ("%2Fus-east-1", ""),
        ("AKIAIOSFODNN7EXAMPLE", ""),
    ] {
        let refused = presigned(from, to);
        assert!(matches!(refused, Refused::Parse(ParseError::BadCredential(_))), "{refused:?}");
    }
    let refused = presigned("20130524%2F", "20130525%2F");
    let date = ParseError::CredentialDate {
        scope_date: "20130525".into(),
        request_date: "20130524".into(),
    };
    assert_eq!(refused, Refused::Parse(date));
    let refused = presigned("SignedHeaders=host", "SignedHeaders=Host");
    assert_eq!(refused, Refused::Parse(ParseError::Malformed("SignedHeaders")));
}

#[test]
fn parameters_may_be_written_in_lower_case() {
    let wire = Wire::new("GET", HOST, &PRESIGNED.replace("X-Amz-", "x-amz-"));
    assert_eq!(wire.form(), Form::S3V4Query);
    // Understood, and another canonical request than the one that was signed.
    wire.assert_mismatch(SK, NOW);
}

#[test]
fn two_signatures_are_refused() {
    let mut wire = sent(&outgoing("GET", "/test.txt", &[], &[]), empty_hash());
    wire.target = PRESIGNED.into();
    assert_eq!(wire.verify(SK, NOW), Err(Refused::Parse(ParseError::SeveralMechanisms)));
}

#[test]
fn what_is_missing_in_the_header_is_named() {
    let wire = sent(&outgoing("GET", "/", &[], &[]), empty_hash());
    let last = wire.headers.len() - 1;
    for item in ["Credential", "SignedHeaders", "Signature"] {
        let mut wire = wire.clone();
        wire.headers[last].1 = wire.headers[last].1.replace(&format!("{item}="), "x=");
        assert_eq!(wire.verify(SK, NOW), Err(Refused::Parse(ParseError::Missing(item))));
    }
    for signature in ["", "zz", &EMPTY[1..]] {
        let mut wire = wire.clone();
        let text = &wire.headers[last].1;
        let at = text.find("Signature=").unwrap() + 10;
        wire.headers[last].1 = format!("{}{signature}", &text[..at]);
        match signature {
            "" => assert!(wire.verify(SK, NOW).is_err()),
            _ => wire.assert_mismatch(SK, NOW),
        }
    }
}

#[test]
fn explain_shows_what_the_server_signed() {
    let wire = sent(&outgoing("GET", "/test.txt", &[], &[("range", "bytes=0-9")]), empty_hash());
    let Err(Refused::Verify(VerifyError::Mismatch(explain))) = wire.full("wrong", NOW) else {
        panic!("must be a mismatch");
    };
    let expected = format!(
        "GET\n/test.txt\n\nhost:{HOST}\nrange:bytes=0-9\nx-amz-content-sha256:{EMPTY}\n\
         x-amz-date:{STAMP}\n\nhost;range;x-amz-content-sha256;x-amz-date\n{EMPTY}"
    );
    assert_eq!(explain.canonical_request, expected);
    assert_eq!(
        explain.string_to_sign,
        format!(
            "AWS4-HMAC-SHA256\n{STAMP}\n20130524/us-east-1/s3/aws4_request\n\
             7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
        )
    );
}
